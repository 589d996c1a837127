"""How calls end when something leaves, breaks, waits or stalls: on real sockets, money read back from the tape (laws 3 to 5)."""

import asyncio
import gzip
import json
import os
import re
import socket
import struct
import time
import zlib
from pathlib import Path

import brotli
import pytest
import zstandard

from tests.e2e.edge_table import ANSWER, ASKED_BODY, BODY, DONE, EVENT, EVENTS, STREAM_BODY, USAGE, chunked
from tests.e2e.rig import CREDIT, Exchange, Rig, RigOptions, key_terms, raw_call, toy_card, wallet_terms
from tokenroll.gateway.call import Call
from tokenroll.gateway.deployment import Deployment
from tokenroll.gateway.edge import EdgeLimits
from tokenroll.gateway.upstream import Pool, UpstreamConnection
from tokenroll.services.protocol import Delta
from tokenroll.store.tape import Durability, KernelDisk


def request(
    body: bytes = BODY,
    case: bytes = b"a",
    extra: bytes = b"Connection: close\r\n",
    path: bytes = b"/v1/chat/completions",
) -> bytes:
    return (
        b"POST " + path + b" HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer tr-ada\r\nx-case: " + case + b"\r\n" + extra
        + b"Content-Length: %d\r\n\r\n" % len(body) + body
    )  # fmt: skip


def whole(body: bytes = ANSWER, extra: bytes = b"") -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        + extra
        + b"Content-Length: %d\r\n\r\n" % len(body)
        + body
    )


def ends(one: Rig, wallet: int = 1) -> list[tuple[str, int, str]]:
    return [(end.end, end.charge_nanos, end.source) for end in one.ended().get(wallet, [])]


def eventually(check, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def connect(one: Rig) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", one.port), 10)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def leave_rudely(client: socket.socket) -> None:
    """A reset, as of a process that was killed."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def read_all(client: socket.socket) -> bytes:
    parts = []
    while part := client.recv(65_536):
        parts.append(part)
    return b"".join(parts)


# ---- clients that leave ---------------------------------------------------------------------------------


class SlowDisk(KernelDisk):
    """A disk whose sync waits until the test lets it go."""

    def __init__(self) -> None:
        self.slow = False

    def sync(self, descriptor: int) -> None:
        while self.slow:
            time.sleep(0.005)
        super().sync(descriptor)


def test_a_client_that_leaves_before_its_hold_is_durable_costs_nothing_and_sends_nothing(tmp_path):
    disk = SlowDisk()
    with Rig(tmp_path, RigOptions(durability=Durability.SYNCED, disk=disk)) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        disk.slow = True
        client = connect(one)
        client.sendall(request())
        eventually(lambda: one.ask(lambda: len(one.spending.open_holds)) == 1)
        leave_rudely(client)
        eventually(lambda: one.ask(lambda: not one.gateway.clients))
        disk.slow = False
        eventually(lambda: one.ask(lambda: not one.spending.open_holds))
        one.call(asyncio.sleep(0.05))
        assert ends(one) == [("released: not sent", 0, "")]
        assert not one.provider.received


def test_a_client_that_leaves_while_its_dispatch_waits_for_the_disk_costs_nothing(tmp_path, monkeypatch):
    disk = SlowDisk()
    dialling = Pool.dial
    may_dial = asyncio.Event()

    async def when_told(pool: Pool) -> UpstreamConnection:
        await may_dial.wait()
        return await dialling(pool)

    monkeypatch.setattr(Pool, "dial", when_told)
    with Rig(tmp_path, RigOptions(durability=Durability.SYNCED, disk=disk)) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        first, second = connect(one), connect(one)
        first.sendall(request())
        eventually(lambda: one.ask(lambda: len(one.gateway._dials)) == 1)
        disk.slow = True
        second.sendall(request())
        eventually(lambda: one.ask(lambda: len(one.spending.open_holds)) == 2)
        one.ask(may_dial.set)
        eventually(lambda: one.ask(lambda: len(one.gateway.commit._dispatching)) == 1)
        leave_rudely(first)
        eventually(lambda: one.ask(lambda: len(one.spending.open_holds)) == 1)
        disk.slow = False
        assert read_all(second).endswith(ANSWER)
        second.close()
        assert ends(one) == [("released: not sent", 0, ""), ("settled", 70_000, "reported")]
        assert len(one.provider.received[b"a"]) == 1
        assert one.provider.connections == 1  # the first call's connection, given back


def test_a_client_that_leaves_in_mid_stream_pays_what_the_provider_reports(tmp_path):
    with Rig(tmp_path) as one:
        begun = EVENTS + chunked(EVENT).removesuffix(b"0\r\n\r\n")
        one.provider.scripts[b"a"] = [Exchange([begun, chunked(EVENT, USAGE, DONE)], withheld_from=1)]
        client = connect(one)
        client.sendall(request(ASKED_BODY))
        assert b"200 OK" in client.recv(4096)
        leave_rudely(client)
        eventually(lambda: one.ask(lambda: not one.gateway.clients))
        one.ask(one.provider.let_go)
        eventually(lambda: ends(one) == [("settled", 70_000, "reported")])
        assert one.ended()[1][0].finish == "client gone"


def test_a_client_that_leaves_before_a_whole_answer_pays_for_it(tmp_path):
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()], withheld_from=0)]
        client = connect(one)
        client.sendall(request())
        eventually(lambda: b"a" in one.provider.received)
        leave_rudely(client)
        eventually(lambda: one.ask(lambda: not one.gateway.clients))
        one.ask(one.provider.let_go)
        eventually(lambda: ends(one) == [("settled", 70_000, "reported")])


def test_draining_is_bounded_and_then_the_evidence_decides(tmp_path):
    edge = EdgeLimits(tick_seconds=0.02, drain_seconds=0.1)
    with Rig(tmp_path, RigOptions(edge=edge, timeouts={"idle_seconds": 0.3})) as one:
        one.provider.scripts[b"a"] = [Exchange([EVENTS + chunked(EVENT).removesuffix(b"0\r\n\r\n")])]
        client = connect(one)
        client.sendall(request(ASKED_BODY))
        assert b"200 OK" in client.recv(4096)
        leave_rudely(client)
        eventually(lambda: [end[0] for end in ends(one)] == ["settled"])
        end = one.ended()[1][0]
        assert end.source == "estimated"
        assert 0 < end.charge_nanos <= end.bound_nanos


@pytest.mark.parametrize("lost", [False, True])
def test_what_goes_on_in_the_background_is_found_out_and_never_estimated(tmp_path, lost):
    """Its client could come back for all of it, and would have paid for what it waited for only."""
    begun = b'event: response.created\ndata: {"type":"response.created","response":{"id":"resp_1","status":"in_progress"}}\n\n'
    edge = EdgeLimits(tick_seconds=0.02, drain_seconds=0.1, drain_bytes=1 << 20 if lost else 1)
    with Rig(tmp_path, RigOptions(edge=edge, timeouts={"idle_seconds": 0.3})) as one:
        more = [] if lost else [b"%x\r\n%b\r\n" % (len(begun), begun)] * 3
        one.provider.scripts[b"a"] = [
            Exchange([EVENTS + b"%x\r\n%b\r\n" % (len(begun), begun), *more], withheld_from=1)
        ]
        client = connect(one)
        body = b'{"model":"toy","input":"Hi","stream":true,"background":true,"max_output_tokens":20}'
        client.sendall(request(body, path=b"/v1/responses"))
        assert b"200 OK" in client.recv(4096)
        leave_rudely(client)
        eventually(lambda: one.ask(lambda: not one.gateway.clients))
        one.ask(one.provider.let_go)
        eventually(lambda: [(end.end, end.finish) for end in one.ended()[1]] == [("suspense", "client gone")])


def test_a_client_that_half_closes_still_gets_its_answer(tmp_path):
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        data = one.call(raw_call(one.port, [request(extra=b"")], eof=True))
        assert data.startswith(b"HTTP/1.1 200 OK")
        assert data.endswith(ANSWER)
        assert ends(one) == [("settled", 70_000, "reported")]


# ---- many agents, one wallet ------------------------------------------------------------------------------


def test_200_agents_on_a_wallet_that_affords_10_bounds_get_exactly_10_answers(tmp_path):
    """Answers are withheld until all decisions are made: nothing comes back in time to be spent twice."""
    edge = EdgeLimits(tick_seconds=0.05, wait_seconds=0.2)
    options = RigOptions(edge=edge, wallets=[wallet_terms(1, 10 * 410_000 + 409_999)], durability=Durability.SYNCED)
    with Rig(tmp_path, options) as one:
        provider = one.provider
        provider.withheld = True
        provider.scripts[b"a"] = [Exchange([whole()])]

        async def agents() -> list[bytes]:
            calls = [asyncio.ensure_future(raw_call(one.port, [request()], seconds=30)) for _ in range(200)]
            while sum(call.done() for call in calls) < 190:  # noqa: ASYNC110 - calls end in any order
                await asyncio.sleep(0.01)
            provider.let_go()
            return await asyncio.gather(*calls)

        answers = one.call(agents())
        served = [data for data in answers if data.startswith(b"HTTP/1.1 200")]
        refused = [data for data in answers if data.startswith(b"HTTP/1.1 429")]
        assert (len(served), len(refused)) == (10, 190)
        assert all(b"x-should-retry: false" in data and b"insufficient_quota" in data for data in refused)
        assert len(provider.received[b"a"]) == 10
        assert ends(one) == [("settled", 70_000, "reported")] * 10
        assert one.ask(lambda: one.spending.wallets[1].available_nanos) == 10 * 410_000 + 409_999 - 10 * 70_000


def test_a_call_that_may_wait_is_served_when_a_parallel_one_settles(tmp_path):
    with Rig(tmp_path, RigOptions(wallets=[wallet_terms(1, 500_000)])) as one:
        one.provider.turns = 300
        one.provider.scripts[b"a"] = [Exchange([b"", b"", whole()])]

        async def two() -> list[bytes]:
            return await asyncio.gather(*(raw_call(one.port, [request()]) for _ in range(2)))

        answers = one.call(two())
        assert [data[:15] for data in answers] == [b"HTTP/1.1 200 OK"] * 2
        assert one.ask(lambda: one.gateway.metrics.waits) == 1
        assert ends(one) == [("settled", 70_000, "reported")] * 2


# ---- slow and large -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        [b"POST /v1/chat/completions HT"],
        [request()[:-10]],
        [b"POST /v1/chat/completions HTTP/1.1\r\nHost: gw\r\nX: ", b"y", b"y"],
    ],
    ids=["head", "body", "dripping head"],
)
def test_a_slow_sender_is_cut_and_told_so(tmp_path, parts):
    edge = EdgeLimits(tick_seconds=0.02, head_seconds=0.1, body_seconds=0.1)
    with Rig(tmp_path, RigOptions(edge=edge)) as one:
        data = one.call(raw_call(one.port, parts))
        assert data.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert not one.ended()


def test_an_idle_connection_is_closed_without_a_word(tmp_path):
    edge = EdgeLimits(tick_seconds=0.02, head_seconds=0.1, idle_seconds=0.1)
    with Rig(tmp_path, RigOptions(edge=edge)) as one:
        assert one.call(raw_call(one.port, [])) == b""


def test_heads_and_bodies_above_the_limits_are_refused(tmp_path):
    edge = EdgeLimits(header_bytes=2_000, body_bytes=5_000, tick_seconds=0.05)
    with Rig(tmp_path, RigOptions(edge=edge)) as one:
        big_head = request(extra=b"x-big: " + b"a" * 3_000 + b"\r\n")
        assert one.call(raw_call(one.port, [big_head])).startswith(b"HTTP/1.1 431 ")
        assert one.call(raw_call(one.port, [big_head[:2_500]])).startswith(b"HTTP/1.1 431 ")
        assert one.call(raw_call(one.port, [request(b"x" * 6_000)])).startswith(b"HTTP/1.1 413 ")
        chunks = b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"x" * 3_000, b"x" * 3_000)
        head = request(b"").replace(b"Content-Length: 0\r\n\r\n", b"")
        assert one.call(raw_call(one.port, [head + chunks])).startswith(b"HTTP/1.1 413 ")
        assert not one.ended()
        assert not one.provider.received


def test_expect_100_continue_is_answered_before_the_body(tmp_path):
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        client = connect(one)
        head, _, body = request(extra=b"Expect: 100-continue\r\nConnection: close\r\n").partition(b"\r\n\r\n")
        client.sendall(head + b"\r\n\r\n")
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert read_all(client).startswith(b"HTTP/1.1 200 OK\r\n")
        client.close()


def resident_bytes() -> int:
    """What this process, whose threads are the gateway and its provider, has in memory now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_slow_reader_of_50_megabytes_does_not_fill_our_memory(tmp_path):
    part = b"x" * 250_000
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % (200 * len(part))
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([answer + part * 200])]
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        client.connect(("127.0.0.1", one.port))
        before = resident_bytes()  # the provider's 50 MB are there already
        client.sendall(request(ASKED_BODY))
        eventually(lambda: one.ask(lambda: any(connection.writing_paused for connection in one.gateway.clients)))
        one.call(asyncio.sleep(0.2))
        (connection,) = one.ask(lambda: list(one.gateway.clients))
        assert one.ask(connection.transport.get_write_buffer_size) < 1_500_000
        most, count = resident_bytes(), 0
        while data := client.recv(65_536):
            count += len(data)
            most = max(most, resident_bytes())
        client.close()
        assert count > 50_000_000
        assert most - before < 12_000_000


def test_requests_sent_far_ahead_are_read_no_further_than_the_limit(tmp_path):
    with Rig(tmp_path) as one:
        one.provider.turns = 300
        one.provider.scripts[b"a"] = [Exchange([b"", whole()]), Exchange([whole()])]
        many = request(extra=b"") * 600 + request()
        data = one.call(raw_call(one.port, [many], seconds=60), 90)
        assert data.count(b"HTTP/1.1 200 OK") == 601
        assert ends(one) == [("settled", 70_000, "reported")] * 601


def test_a_connection_is_used_again_after_errors(tmp_path):
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        bad = [request(b"{oops", extra=b""), request(BODY.replace(b"toy", b"tox"), extra=b""), request(extra=b"").replace(b"tr-ada", b"tr-eve"),
               b"GET /nowhere HTTP/1.1\r\nHost: gw\r\n\r\n"]  # fmt: skip
        data = one.call(raw_call(one.port, [*bad, request()]))
        assert re.findall(rb"HTTP/1\.1 (\d{3}) ", data) == [b"400", b"404", b"401", b"404", b"200"]
        assert one.ask(lambda: one.gateway.metrics.client_connections_total) == 1


# ---- providers that fail --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [b"429 Too Many Requests", b"500 Internal Server Error", b"529 Overloaded"])
def test_a_providers_refusal_is_relayed_and_costs_nothing(tmp_path, status):
    with Rig(tmp_path) as one:
        body = b'{"error":{"message":"no"}}'
        one.provider.scripts[b"a"] = [
            Exchange([b"HTTP/1.1 " + status + b"\r\nretry-after: 3\r\nContent-Length: %d\r\n\r\n" % len(body) + body])
        ]
        data = one.call(raw_call(one.port, [request()]))
        assert data.startswith(b"HTTP/1.1 " + status[:3])
        assert b"retry-after: 3\r\n" in data
        assert data.endswith(body)
        assert ends(one) == [("released: provider error", 0, "")]


def test_an_error_behind_status_200_costs_nothing(tmp_path):
    with Rig(tmp_path) as one:
        body = b'{"error":{"message":"no","type":"server_error","param":null,"code":null}}'
        one.provider.scripts[b"a"] = [Exchange([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body])]
        assert one.call(raw_call(one.port, [request()])).endswith(body)
        assert ends(one) == [("released: provider error", 0, "")]


def test_a_stream_that_is_cut_without_usage_goes_to_suspense_with_its_evidence(tmp_path):
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([EVENTS + chunked(EVENT, EVENT).removesuffix(b"0\r\n\r\n")], "fin")]
        data = one.call(raw_call(one.port, [request(ASKED_BODY)]))
        assert data.count(EVENT) == 2
        assert not data.endswith(b"0\r\n\r\n")
        assert ends(one) == [("suspense", 0, "")]
        assert one.ask(lambda: one.spending.wallets[1].suspense_nanos) == 626_000


def test_an_answer_without_usage_or_that_is_no_json_is_estimated_never_free(tmp_path):
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [
            Exchange([whole(b'{"choices":[{"message":{"content":"yo"}}]}')]),
            Exchange([whole(b"<html>")]),
        ]
        for _ in range(2):
            assert one.call(raw_call(one.port, [request()])).startswith(b"HTTP/1.1 200 OK")
        settled = ends(one)
        assert [(end, source) for end, _, source in settled] == [("settled", "estimated")] * 2
        assert all(charge > 0 for _, charge, _ in settled)


@pytest.mark.parametrize(
    "first", [b"", EVENTS + chunked(EVENT).removesuffix(b"0\r\n\r\n")], ids=["no byte", "one event"]
)
def test_a_provider_that_stalls_is_given_up_and_its_fate_found_out(tmp_path, first):
    options = RigOptions(edge=EdgeLimits(tick_seconds=0.02), timeouts={"first_byte_seconds": 0.2, "idle_seconds": 0.2})
    with Rig(tmp_path, options) as one:
        one.provider.scripts[b"a"] = [Exchange([first])]
        data = one.call(raw_call(one.port, [request(ASKED_BODY)]))
        assert data.startswith(b"HTTP/1.1 200 OK" if first else b"HTTP/1.1 504 Gateway Timeout")
        assert ends(one) == [("suspense", 0, "")]
        assert one.ended()[1][0].finish == "timed out"


def test_a_stale_connection_is_an_attempt_of_its_own_and_the_resend_another(tmp_path):
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()]), Exchange([], "fin"), Exchange([whole()])]
        for _ in range(2):
            assert one.call(raw_call(one.port, [request()])).startswith(b"HTTP/1.1 200 OK")
        assert ends(one) == [("settled", 70_000, "reported"), ("suspense", 0, ""), ("settled", 70_000, "reported")]
        assert [end.attempt for end in one.ended()[1]] == [1, 1, 2]
        sent = one.provider.received[b"a"]
        assert sent[1].replace(b"/1\r\n", b"/2\r\n") == sent[2]


def test_a_provider_that_cannot_be_reached_is_sent_nothing_and_costs_nothing(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port = placeholder.getsockname()[1]
    deployments = [Deployment(name="gone", dialect="openai", base_url=f"http://127.0.0.1:{port}", api_key="sk")]
    with Rig(tmp_path, RigOptions(deployments=deployments)) as one:
        assert one.call(raw_call(one.port, [request()])).startswith(b"HTTP/1.1 502 Bad Gateway")
        assert ends(one) == [("released: not sent", 0, "")]


class FullDisk(KernelDisk):
    full = False

    def write(self, descriptor: int, data: bytes) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        super().write(descriptor, data)


@pytest.mark.parametrize("durability", list(Durability))
def test_a_full_disk_stops_admission_and_says_so(tmp_path, durability):
    disk = FullDisk()
    with Rig(tmp_path, RigOptions(disk=disk, durability=durability)) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        disk.full = True
        assert one.call(raw_call(one.port, [request()])).startswith(b"HTTP/1.1 503 ")
        assert one.call(raw_call(one.port, [request()])).startswith(b"HTTP/1.1 503 ")
        health = one.call(raw_call(one.port, [b"GET /healthz HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n"]))
        assert health.startswith(b"HTTP/1.1 503 ")
        assert not one.provider.received


# ---- compressed answers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coding", "pack"),
    [(b"gzip", gzip.compress), (b"deflate", zlib.compress), (b"br", brotli.compress), (b"zstd", zstandard.compress)],
    ids=["gzip", "deflate", "br", "zstd"],
)
def test_a_compressed_answer_is_relayed_as_it_is_and_metered_all_the_same(tmp_path, coding, pack):
    packed = pack(ANSWER)
    events = pack(EVENT + USAGE + DONE)
    encoding = b"Content-Encoding: " + coding + b"\r\n"
    stream = EVENTS.replace(b"Transfer", encoding + b"Transfer") + chunked(events[:20], events[20:])
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([whole(packed, encoding)]), Exchange([stream])]
        data = one.call(raw_call(one.port, [request()]))
        assert encoding in data
        assert b"x-tokenroll-cost: 0.000070000\r\n" in data
        assert data.endswith(packed)
        data = one.call(raw_call(one.port, [request(STREAM_BODY)]))
        assert data.endswith(chunked(events[:20], events[20:]))
        assert ends(one) == [("settled", 70_000, "reported")] * 2


def test_a_compressed_request_is_taken_only_where_that_is_set(tmp_path):
    packed = request(gzip.compress(BODY), extra=b"Content-Encoding: gzip\r\nConnection: close\r\n")
    bomb = request(gzip.compress(bytes(40_000_000)), extra=b"Content-Encoding: gzip\r\nConnection: close\r\n")
    with Rig(tmp_path, RigOptions(decode_request_bodies=True)) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        assert one.call(raw_call(one.port, [packed])).startswith(b"HTTP/1.1 200 OK")
        assert one.provider.received[b"a"][0].endswith(b"content-length: 74\r\n\r\n" + BODY)
        assert one.call(raw_call(one.port, [bomb])).startswith(b"HTTP/1.1 415 ")
        assert len(one.provider.received[b"a"]) == 1


# ---- what we answer ourselves --------------------------------------------------------------------------------------


def get(one: Rig, path: bytes, extra: bytes = b"Authorization: Bearer tr-ada\r\n") -> tuple[int, dict]:
    data = one.call(
        raw_call(one.port, [b"GET " + path + b" HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n" + extra + b"\r\n"])
    )
    return int(data[9:12]), json.loads(data.partition(b"\r\n\r\n")[2])


def test_ada_reads_her_wallet_her_call_and_her_models(tmp_path):
    keys = [key_terms(1, 1, b"tr-ada"), key_terms(2, 2, b"tr-bo"), key_terms(3, 1, b"tr-boss", scope="admin")]
    with Rig(tmp_path, RigOptions(wallets=[wallet_terms(1, CREDIT), wallet_terms(2, CREDIT)], keys=keys)) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        call_id = one.call(raw_call(one.port, [request()])).partition(b"call-id: ")[2][:37].decode()
        assert get(one, b"/me/wallet")[1]["left"] == "0.999930000"
        status, view = get(one, b"/me/calls/" + call_id.encode())
        assert status == 200
        assert "0.000070000" in json.dumps(view)
        assert get(one, b"/me/calls/" + call_id.encode(), b"Authorization: Bearer tr-bo\r\n")[0] == 404
        assert [model["id"] for model in get(one, b"/v1/models")[1]["data"]] == ["toy"]
        assert (
            get(one, b"/v1/models/toy", b"x-api-key: tr-ada\r\nanthropic-version: 2023-06-01\r\n")[1]["type"] == "model"
        )
        assert get(one, b"/v1/models/no")[0] == 404
        assert get(one, b"/me/wallet", b"")[0] == 401
        assert get(one, b"/healthz", b"") == (
            200,
            {"status": "ok", "durability": "written", "deployments": {"one": "ok", "two": "ok"}},
        )
        admin = one.call(raw_call(one.port, [request().replace(b"tr-ada", b"tr-boss")]))
        assert admin.startswith(b"HTTP/1.1 403 ")


def test_a_model_of_the_other_dialect_is_not_listed_and_its_denial_says_where_it_is_called(tmp_path):
    with Rig(tmp_path) as one:
        card = toy_card(3, "anthropic", "claude-toy")
        delta = Delta(number=1, wallets=[], lots=[], keys=[], cards=[card], settings={})
        one.ask(lambda: one.gateway.spending.apply_delta(delta))
        anthropic = b"x-api-key: tr-ada\r\nanthropic-version: 2023-06-01\r\n"
        assert [model["id"] for model in get(one, b"/v1/models")[1]["data"]] == ["toy"]
        assert [model["id"] for model in get(one, b"/v1/models", anthropic)[1]["data"]] == ["claude-toy", "toy"]
        answer = one.call(raw_call(one.port, [request(BODY.replace(b'"toy"', b'"claude-toy"'))]))
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"Call it at /v1/messages." in answer
        assert b"/v1/chat/completions" not in answer
        unheard = one.call(raw_call(one.port, [request(BODY.replace(b'"toy"', b'"unheard-of"'))]))
        assert b"Anthropic's models are called at /v1/messages, OpenAI's at /v1/chat/completions." in unheard


def test_a_call_id_is_dispatched_once(tmp_path):
    again = request(extra=b"x-tokenroll-call-id: nightly-7\r\nConnection: close\r\n")
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        assert one.call(raw_call(one.port, [again])).startswith(b"HTTP/1.1 200 OK")
        second = one.call(raw_call(one.port, [again]))
        assert second.startswith(b"HTTP/1.1 409 Conflict")
        assert b"0.000070000" in second
        assert len(one.provider.received[b"a"]) == 1


def test_anthropic_clients_are_answered_in_their_words(tmp_path):
    body = b'{"model":"toy","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'
    answer = b'{"type":"message","content":[{"type":"text","text":"yo"}],"usage":{"input_tokens":10,"output_tokens":5}}'
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([whole(answer)])]
        extra = b"anthropic-version: 2023-06-01\r\nConnection: close\r\n"
        good = request(body, extra=extra, path=b"/v1/messages?beta=true").replace(
            b"Authorization: Bearer", b"x-api-key:"
        )
        assert one.call(raw_call(one.port, [good])).endswith(answer)
        sent = one.provider.received[b"a"][0]
        assert sent.startswith(b"POST /v1/messages?beta=true HTTP/1.1\r\n")
        assert b"x-api-key: sk-ant-company\r\n" in sent
        assert b"tr-ada" not in sent
        bad = one.call(raw_call(one.port, [good.replace(b"tr-ada", b"tr-eve")]))
        assert bad.startswith(b"HTTP/1.1 401 ")
        assert json.loads(bad.partition(b"\r\n\r\n")[2])["error"]["type"] == "authentication_error"
        assert ends(one) == [("settled", 70_000, "reported")]


# ---- durability -----------------------------------------------------------------------------------------------------


class TracingDisk(KernelDisk):
    """Writes down what became durable when; `lying` only says that it synced."""

    def __init__(self, *, lying: bool) -> None:
        self.lying = lying
        self.events: list[str] = []

    def write(self, descriptor: int, data: bytes) -> None:
        super().write(descriptor, data)
        self.events.append("written")

    def sync(self, descriptor: int) -> None:
        if not self.lying:
            super().sync(descriptor)
            self.events.append("synced")


def sent_unsynced(folder, *, lying: bool) -> int:
    """How many of five calls reached the provider while the block with their hold was not synced."""
    disk = TracingDisk(lying=lying)
    with Rig(folder, RigOptions(durability=Durability.SYNCED, disk=disk)) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        answer = one.provider.exchange_for

        def noted(case: bytes, request: bytes) -> Exchange:
            disk.events.append("sent")
            return answer(case, request)

        one.provider.exchange_for = noted  # type: ignore[method-assign]
        disk.events.clear()
        call = request()
        for _ in range(5):
            assert one.call(raw_call(one.port, [call])).startswith(b"HTTP/1.1 200 OK")
    found = 0
    since_last_call: list[str] = []
    for event in disk.events:
        since_last_call.append(event)
        if event == "sent":
            # HOLD is written, then synced, then DISPATCHED is written, then the call is sent
            found += since_last_call[-4:] != ["written", "synced", "written", "sent"]
            since_last_call = []
    assert disk.events.count("sent") == 5
    return found


def test_no_byte_reaches_the_provider_before_its_hold_is_synced(tmp_path):
    assert sent_unsynced(tmp_path, lying=False) == 0


def test_a_disk_that_is_never_synced_is_noticed(tmp_path):
    assert sent_unsynced(tmp_path, lying=True) == 5


# ---- requests that cannot be changed as they must be ----------------------------------------------------


def searching(parameters: bytes) -> bytes:
    return (
        b'{"model":"toy","input":"hi","max_output_tokens":5,"tools":[{"type":"web_search"},'
        b'{"type":"function","name":"f","parameters":' + parameters + b"}]}"
    )


@pytest.mark.parametrize("durability", list(Durability))
def test_a_request_that_cannot_be_changed_is_refused_before_it_is_sent_and_holds_up_nobody(tmp_path, durability):
    """The card has no price for searches, so the search tool is left out; but its neighbour is nothing that can be read and written."""
    with Rig(tmp_path, RigOptions(durability=durability)) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        bodies = [request(), request(searching(b"9" * 4_301), b"b", path=b"/v1/responses"), request()]

        async def at_once():
            return await asyncio.gather(*(raw_call(one.port, [body]) for body in bodies))

        first, refused, last = one.call(at_once())
        assert [answer[:12] for answer in (first, refused, last)] == [b"HTTP/1.1 200", b"HTTP/1.1 400", b"HTTP/1.1 200"]
        assert json.loads(refused.split(b"\r\n\r\n", 1)[1])["error"]["code"] == "invalid_json"
        assert list(one.provider.received) == [b"a"]
        assert one.ask(lambda: one.spending.open_holds) == {}
        assert sorted(ends(one)) == [
            ("released: not sent", 0, ""),
            ("settled", 70_000, "reported"),
            ("settled", 70_000, "reported"),
        ]


@pytest.mark.parametrize("durability", list(Durability))
@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
def test_a_defect_in_one_call_is_not_the_others(tmp_path, monkeypatch, durability, behind):
    """Bo's call raises before it asks to be sent, or behind that: it is never sent, and those in its group are."""
    find = Call.find_connection

    def broken(call):
        if call._facts.model == "toy-broken":
            if behind:
                find(call)
            raise RuntimeError("a defect")
        find(call)

    with Rig(tmp_path, RigOptions(durability=durability, cards=[toy_card(), toy_card(2, model="toy-broken")])) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        one.provider.scripts[b"warm"] = [Exchange([whole()])] * 3

        async def at_once(*requests):
            return await asyncio.gather(*(raw_call(one.port, [each]) for each in requests))

        one.call(at_once(*[request(case=b"warm")] * 3))  # so that connections are at hand
        monkeypatch.setattr(Call, "find_connection", broken)
        bad = request(BODY.replace(b'"toy"', b'"toy-broken"'), b"b")
        answers = one.call(at_once(request(), bad, request()))
        assert [answer[:12] for answer in answers] == [b"HTTP/1.1 200", b"HTTP/1.1 500", b"HTTP/1.1 200"]
        assert b"b" not in one.provider.received
        assert one.ask(lambda: one.spending.open_holds) == {}
        assert ends(one).count(("released: not sent", 0, "")) == 1
