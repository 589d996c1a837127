"""Requests in crumbs: however small the pieces and however many requests are sent ahead, they cost what their bytes weigh."""

import re

from tests.e2e.edge_table import ANSWER, BODY
from tests.e2e.rig import Exchange, Rig, raw_call
from tests.e2e.test_it_bills_every_ending import connect, ends, eventually, read_all, request, whole

CHUNKED = b"Transfer-Encoding: chunked\r\n"


def head(extra: bytes = CHUNKED + b"Connection: close\r\n") -> bytes:
    return request(b"", extra=extra).replace(b"Content-Length: 0\r\n", b"")


def in_chunks(body: bytes, size: int) -> bytes:
    return b"".join(
        b"%x\r\n%b\r\n" % (len(body[at : at + size]), body[at : at + size]) for at in range(0, len(body), size)
    )


def test_5_000_chunked_requests_sent_ahead_are_each_answered(tmp_path):
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        oops = head(CHUNKED) + b"1\r\n{\r\n0\r\n\r\n"
        data = one.call(raw_call(one.port, [oops * 5_000, request()], seconds=60), 90)
        assert data.count(b"HTTP/1.1 400 ") == 5_000
        assert data.endswith(ANSWER)
        assert ends(one) == [("settled", 70_000, "reported")]
        assert one.ask(lambda: one.gateway.body_bytes) == 0


def test_a_body_in_crumbs_is_kept_in_few_pieces(tmp_path):
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        body = BODY.replace(b"{", b"{" + b" " * 99_999, 1)
        coded = in_chunks(body, 2)
        client = connect(one)
        client.sendall(head())
        for at in range(0, len(coded), 1_000):
            client.sendall(coded[at : at + 1_000])
        (connection,) = one.ask(lambda: list(one.gateway.clients))
        eventually(lambda: one.ask(lambda: connection._body_bytes) == len(body))
        assert one.ask(lambda: len(connection._parts)) <= 50
        client.sendall(b"0\r\n\r\n")
        assert read_all(client).endswith(ANSWER)
        client.close()
        assert one.provider.received[b"a"][0].endswith(body)
        assert ends(one) == [("settled", 70_000, "reported")]


def test_a_body_of_a_known_length_that_drips_is_kept_in_few_pieces(tmp_path):
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        start, _, body = request().partition(b"\r\n\r\n")
        client = connect(one)
        client.sendall(start + b"\r\n\r\n")
        (connection,) = one.ask(lambda: list(one.gateway.clients))
        for at in range(len(body) - 1):
            client.sendall(body[at : at + 1])
            eventually(lambda at=at: one.ask(lambda: connection._body_bytes) == at + 1)
        assert one.ask(lambda: len(connection._parts)) <= 2
        client.sendall(body[-1:])
        assert read_all(client).endswith(ANSWER)
        client.close()


def test_a_body_of_more_than_65_536_chunks_is_refused(tmp_path):
    with Rig(tmp_path) as one:
        data = one.call(raw_call(one.port, [head(), in_chunks(b" " * 66_000, 1)]))
        assert re.match(rb"HTTP/1\.1 413 .*\r\n", data)
        assert b'"code": "too_many_chunks"' in data
        assert b"at most 65536 chunks" in data
        assert not one.ended()
        assert one.ask(lambda: one.gateway.body_bytes) == 0
