"""Empty lines before a request: one is read over, more are no head, and none of them buys time."""

import pytest

from tests.e2e.edge_table import ANSWER
from tests.e2e.rig import Exchange, Rig, RigOptions, raw_call
from tests.e2e.test_it_bills_every_ending import connect, ends, eventually, read_all, request, whole
from tokenroll.gateway.edge import EdgeLimits

EMPTY = b"\r\n"
REFUSED = b"HTTP/1.1 400 Bad Request\r\n"


def asked(one: Rig, *parts: bytes) -> bytes:
    return one.call(raw_call(one.port, list(parts)))


def answered(one: Rig) -> list[bytes]:
    return one.provider.received.get(b"a", [])


def test_one_empty_line_before_each_request_of_a_connection_is_read_over(tmp_path):
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()]), Exchange([whole()]), Exchange([whole()])]
        kept, last = request(extra=b""), request()
        data = asked(one, EMPTY + kept + EMPTY + kept + EMPTY, last)
        assert data.count(ANSWER) == 3
        assert len(answered(one)) == 3
        assert ends(one) == [("settled", 70_000, "reported")] * 3


@pytest.mark.parametrize(
    "parts", [[EMPTY * 2], [EMPTY, EMPTY], [b"\r", b"\n\r", b"\n"], [EMPTY * 128_000], [EMPTY] * 9]
)
def test_more_than_one_is_malformed_and_ends_the_connection(tmp_path, parts):
    with Rig(tmp_path) as one:
        data = asked(one, *parts, request())
        assert data.startswith(REFUSED)
        assert b'"code": "malformed_request"' in data
        assert data.count(b"HTTP/1.1") == 1
        assert answered(one) == []
        assert not one.ended()


def test_a_second_one_behind_an_answer_is_malformed_too(tmp_path):
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        data = asked(one, request(extra=b"") + EMPTY * 2 + request())
        assert data.count(ANSWER) == 1
        assert data.count(REFUSED) == 1
        assert len(answered(one)) == 1


def test_an_empty_line_leaves_the_time_of_an_idle_connection_as_it_was(tmp_path):
    """The time for a head runs from its first byte; a line that is read over is none of it, and is no request to be told of."""
    edge = EdgeLimits(tick_seconds=0.05, idle_seconds=5_000, head_seconds=1_000)
    with Rig(tmp_path, RigOptions(edge=edge)) as one:
        client = connect(one)
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: gw\r\n\r\n")
        (connection,) = one.ask(lambda: list(one.gateway.clients))
        eventually(lambda: one.ask(lambda: connection._head is not None))
        idle = one.ask(lambda: connection.deadline)
        client.sendall(EMPTY)
        eventually(lambda: one.ask(lambda: bytes(connection._buffer)) == EMPTY)
        assert one.ask(lambda: connection.deadline) == idle
        client.sendall(b"GET")
        eventually(lambda: one.ask(lambda: bytes(connection._buffer)) == EMPTY + b"GET")
        head = one.ask(lambda: connection.deadline)
        assert head < idle
        client.sendall(b" /healthz")
        eventually(lambda: one.ask(lambda: bytes(connection._buffer)) == EMPTY + b"GET /healthz")
        assert one.ask(lambda: connection.deadline) == head
        client.close()


def test_a_connection_that_sent_only_an_empty_line_is_closed_without_a_word(tmp_path):
    with Rig(tmp_path, RigOptions(edge=EdgeLimits(tick_seconds=0.05, head_seconds=0.3))) as one:
        client = connect(one)
        client.sendall(EMPTY)
        assert read_all(client) == b""
        client.close()
