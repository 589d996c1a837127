"""Bedrock's streams through the gateway: whatever the reads and the ending, Ada's client reads Anthropic's events and the money is right.

With the toy card ten tokens in and five out cost 70,000 nanos.
"""

import binascii
import gzip

import pytest

from tests.e2e.edge_table import chunked
from tests.e2e.rig import CREDIT, Exchange, Rig, RigOptions, raw_call, wallet_terms
from tests.e2e.test_it_bills_every_ending import connect, ends, eventually, leave_rudely, read_all, request
from tests.e2e.test_it_speaks_flavours import one_way
from tests.e2e.test_it_tries_elsewhere import MESSAGES_BODY
from tests.frames import (
    DELTA,
    FRAMES,
    HEAD,
    START,
    STOP,
    STREAM,
    TEXT,
    event_frame,
    event_headers,
    exception_frame,
    frame,
    sse,
)
from tokenroll.gateway.deployment import Deployment
from tokenroll.model.limits import FRAME_BYTES_MAX

BODY = MESSAGES_BODY.replace(b'"max_tokens"', b'"stream":true,"max_tokens"')
COST = 70_000
BEGUN = event_frame(START) + event_frame(TEXT)
REPORTED = BEGUN + event_frame(DELTA)
SHORT = HEAD.replace(b"transfer-encoding: chunked", b"content-length: %d" % len(FRAMES))
UNTIL_CLOSE = HEAD.replace(b"transfer-encoding: chunked\r\n", b"")


def bedrock(**facts) -> RigOptions:
    return one_way(dialect="anthropic", flavour="bedrock", **facts)


def asked(version: bytes = b"HTTP/1.1") -> bytes:
    return request(BODY, path=b"/v1/messages").replace(b"HTTP/1.1", version, 1)


def payload(answer: bytes) -> tuple[bytes, bool]:
    """The body of a chunked answer, and whether it reached its end."""
    body = answer.partition(b"\r\n\r\n")[2]
    parts: list[bytes] = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        count = int(size, 16)
        if not count:
            return b"".join(parts), True
        parts.append(rest[:count])
        body = rest[count + 2 :]
    return b"".join(parts), False


@pytest.mark.parametrize(
    "parts",
    [
        [HEAD + chunked(FRAMES)],
        [HEAD, chunked(FRAMES)],
        [HEAD, *(bytes([byte]) for byte in chunked(FRAMES))],
        [HEAD, chunked(*(bytes([byte]) for byte in FRAMES))],
        [HEAD + chunked(event_frame(START), event_frame(TEXT) + event_frame(DELTA), event_frame(STOP))],
        [SHORT + FRAMES],
        [SHORT, *(FRAMES[place : place + 7] for place in range(0, len(FRAMES), 7))],
    ],
    ids=["at once", "head apart", "byte by byte", "a chunk a byte", "frames together", "whole with length", "pieces with length"],
)  # fmt: skip
def test_the_client_reads_anthropics_events_and_pays_what_they_say(tmp_path, parts):
    with Rig(tmp_path, bedrock()) as one:
        one.provider.scripts[b"a"] = [Exchange(parts)]
        got = one.call(raw_call(one.port, [asked()]))
        head = got.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
        assert head[0] == b"http/1.1 200 ok"
        assert [line for line in head if line.startswith(b"content-")] == [
            b"content-type: text/event-stream; charset=utf-8"
        ]
        assert payload(got) == (STREAM, True)
        assert ends(one) == [("settled", COST, "reported")]
        assert one.ended()[1][0].counts == {"input": 10, "output": 5, "request": 1}


def test_the_connection_serves_the_next_call(tmp_path):
    with Rig(tmp_path, bedrock()) as one:
        one.provider.scripts[b"a"] = [Exchange([HEAD + chunked(FRAMES)])]
        for _ in range(3):
            assert payload(one.call(raw_call(one.port, [asked()]))) == (STREAM, True)
        assert one.provider.connections == 1
        assert ends(one) == 3 * [("settled", COST, "reported")]


def test_an_old_client_and_an_answer_without_a_length_end_with_their_connections(tmp_path):
    with Rig(tmp_path, bedrock()) as one:
        one.provider.scripts[b"a"] = [Exchange([UNTIL_CLOSE + FRAMES], close="fin")]
        assert one.call(raw_call(one.port, [asked(b"HTTP/1.0")])).partition(b"\r\n\r\n")[2] == STREAM
        assert payload(one.call(raw_call(one.port, [asked()]))) == (STREAM, True)
        assert ends(one) == 2 * [("settled", COST, "reported")]


# ---- endings ------------------------------------------------------------------------------------------------------

LAST = event_frame(STOP)
WRONG = LAST[:-1] + bytes([LAST[-1] ^ 1])
TOO_LONG = frame(event_headers(), b" " * (FRAME_BYTES_MAX - 90))


def unended(body: bytes) -> bytes:
    """A chunked body whose end never comes."""
    return chunked(body).removesuffix(b"0\r\n\r\n")


@pytest.mark.parametrize("reported", [False, True], ids=["unreported", "reported"])
@pytest.mark.parametrize(
    ("framing", "rest", "close"),
    [
        (chunked, LAST[:40], ""),
        (unended, LAST[:40], "fin"),
        (unended, LAST[:40], "rst"),
        (chunked, WRONG + LAST, ""),
        (chunked, LAST[:12] + LAST, ""),
        (chunked, TOO_LONG, ""),
        (chunked, frame(event_headers(), b"{}"), ""),
    ],
    ids=["ends in a frame", "cut in a frame", "reset in a frame", "wrong checksum", "torn frame", "above the limit", "no event"],
)  # fmt: skip
def test_what_breaks_is_cut_where_it_breaks_and_never_free(tmp_path, framing, rest, close, reported):
    with Rig(tmp_path, bedrock()) as one:
        begun = REPORTED if reported else BEGUN
        one.provider.scripts[b"a"] = [Exchange([HEAD + framing(begun + rest)], close=close)]
        got = one.call(raw_call(one.port, [asked()]))
        events = sse(START) + sse(TEXT) + (sse(DELTA) if reported else b"")
        assert payload(got) == (events, False)
        assert ends(one) == [("settled", COST, "reported") if reported else ("suspense", 0, "")]
        assert one.ended()[1][0].finish == "upstream cut"


def test_an_exception_before_any_output_costs_nothing(tmp_path):
    with Rig(tmp_path, bedrock()) as one:
        one.provider.scripts[b"a"] = [Exchange([HEAD + chunked(exception_frame("throttlingException", "Slower."))])]
        assert payload(one.call(raw_call(one.port, [asked()]))) == (
            b'event: error\ndata: {"type": "error", "error": {"type": "rate_limit_error", "message": "Slower."}}\n\n',
            True,
        )
        assert ends(one) == [("released: provider error", 0, "")]


def test_an_exception_after_bytes_went_out_is_an_error_event_and_is_charged_by_what_was_seen(tmp_path):
    with Rig(tmp_path, bedrock()) as one:
        broken = exception_frame("modelStreamErrorException", "Broken.")
        one.provider.scripts[b"a"] = [Exchange([HEAD + chunked(BEGUN + broken)])]
        assert payload(one.call(raw_call(one.port, [asked()]))) == (
            sse(START)
            + sse(TEXT)
            + b'event: error\ndata: {"type": "error", "error": {"type": "api_error", "message": "Broken."}}\n\n',
            True,
        )
        # ten tokens in were reported; what passed after that is, at four bytes to a token, more than the cap of five
        assert ends(one) == [("settled", 70_000, "estimated")]


def test_a_client_that_leaves_is_charged_for_what_the_provider_says_later(tmp_path):
    with Rig(tmp_path, bedrock()) as one:
        frames = [event_frame(START), event_frame(TEXT), event_frame(DELTA), event_frame(STOP)]
        parts = [HEAD, *(unended(frame) for frame in frames), b"0\r\n\r\n"]
        one.provider.scripts[b"a"] = [Exchange(parts, withheld_from=2)]
        client = connect(one)
        client.sendall(asked())
        got = b""
        while b"message_start" not in got:
            got += client.recv(65_536)
        leave_rudely(client)
        eventually(lambda: one.ask(lambda: not one.gateway.clients))
        one.ask(one.provider.let_go)
        eventually(lambda: ends(one)[0][0] != "open")
        assert ends(one) == [("settled", COST, "reported")]
        assert one.ended()[1][0].finish == "client gone"


def test_a_frame_that_drips_and_never_ends_is_given_up_in_time(tmp_path):
    with Rig(tmp_path, bedrock(answer_seconds=0.2)) as one:
        unfinished = FRAME_BYTES_MAX.to_bytes(4, "big") + bytes(4)
        unfinished += binascii.crc32(unfinished).to_bytes(4, "big")
        drip = b"1\r\n:\r\n"
        one.provider.scripts[b"a"] = [Exchange([HEAD + unended(BEGUN + unfinished), *[drip] * 1_000_000])]
        assert payload(one.call(raw_call(one.port, [asked()]))) == (sse(START) + sse(TEXT), False)
        assert ends(one) == [("suspense", 0, "")]
        assert one.ended()[1][0].finish == "timed out"


def test_a_call_that_waits_for_the_same_answer_reads_the_same_events(tmp_path):
    options = bedrock()
    options.wallets = [wallet_terms(1, CREDIT, coalesce=True)]
    body = BODY.replace(b'"max_tokens"', b'"temperature":0,"max_tokens"')
    with Rig(tmp_path, options) as one:
        parts = [HEAD + unended(BEGUN), chunked(event_frame(DELTA) + event_frame(STOP))]
        one.provider.scripts[b"a"] = [Exchange(parts, withheld_from=1)]
        clients = []
        for _ in range(2):
            client = connect(one)
            client.sendall(request(body, path=b"/v1/messages"))
            got = b""
            while b"Hello" not in got:
                got += client.recv(65_536)
            clients.append((client, got))
        one.ask(one.provider.let_go)
        for client, got in clients:
            with client:
                assert payload(got + read_all(client)) == (STREAM, True)
        assert len(one.provider.received[b"a"]) == 1
        assert ends(one) == [("settled", COST, "reported"), ("released: coalesced", 0, "")]


def test_frames_that_are_compressed_are_not_read(tmp_path):
    with Rig(tmp_path, bedrock()) as one:
        head = HEAD.replace(b"transfer-encoding", b"content-encoding: gzip\r\ntransfer-encoding")
        one.provider.scripts[b"a"] = [Exchange([head + chunked(gzip.compress(FRAMES))])]
        got = one.call(raw_call(one.port, [asked()]))
        assert got.startswith(b"HTTP/1.1 502 ")
        assert b"compressed, which nobody asked for" in got
        assert ends(one) == [("suspense", 0, "")]


# ---- where frames are none ----------------------------------------------------------------------------------------


def test_an_answer_of_another_kind_is_relayed_as_it_came(tmp_path):
    refused = b'{"message":"Too many tokens, please wait before trying again."}'
    limited = b"HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(refused),
        refused,
    )
    with Rig(tmp_path, bedrock()) as one:
        events = HEAD.replace(b"application/vnd.amazon.eventstream", b"text/event-stream") + chunked(STREAM)
        one.provider.scripts[b"a"] = [Exchange([limited]), Exchange([events])]
        got = one.call(raw_call(one.port, [asked()]))
        assert got.startswith(b"HTTP/1.1 429 ")
        assert got.endswith(refused)
        assert payload(one.call(raw_call(one.port, [asked()]))) == (STREAM, True)
        assert ends(one) == [("released: provider error", 0, ""), ("settled", COST, "reported")]


def test_frames_of_another_flavour_are_relayed_as_they_came(tmp_path):
    with Rig(tmp_path, one_way(dialect="anthropic")) as one:
        one.provider.scripts[b"a"] = [Exchange([HEAD + chunked(FRAMES)])]
        assert one.call(raw_call(one.port, [asked()])).endswith(FRAMES)
        assert [(end, source) for end, _, source in ends(one)] == [("settled", "estimated")]


def test_another_deployment_stands_in_for_bedrock_and_bedrock_for_another(tmp_path):
    broken = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"

    def made(bases: list[str]) -> list[Deployment]:
        return [
            Deployment(name=name, dialect="anthropic", base_url=bases[0], api_key="k", flavour=flavour, priority=place)
            for place, (name, flavour) in enumerate((("aws", "bedrock"), ("own", "standard")), 1)
        ]

    with Rig(tmp_path, RigOptions(made=made)) as one:
        own = HEAD.replace(b"application/vnd.amazon.eventstream", b"text/event-stream") + chunked(STREAM)
        one.provider.scripts[b"a"] = [Exchange([broken]), Exchange([own]), Exchange([HEAD + chunked(FRAMES)])]
        for _ in range(2):
            assert payload(one.call(raw_call(one.port, [asked()]))) == (STREAM, True)
        assert [sent.partition(b" HTTP")[0] for sent in one.provider.received[b"a"]] == [
            b"POST /model/toy/invoke-with-response-stream",
            b"POST /v1/messages",
            b"POST /model/toy/invoke-with-response-stream",
        ]
        settled = ("settled", COST, "reported")
        assert ends(one) == [("released: provider error", 0, ""), settled, settled]
