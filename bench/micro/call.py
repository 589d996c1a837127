"""What one call costs in the gateway's own code, from the request's bytes to the answer's, without a kernel: µs of CPU a call.

64 clients send, the loop turns, the provider answers: the same callbacks in the same order as behind sockets, on transports that
only count. The least of many short rounds is shown, because other work on the machine only adds. `--profile` shows by function.

`--full` is the same company with everything on that costs something: paces and thrift of a plan, access lists, tags, a limit of the department.

usage: python bench/micro/call.py [--body 1000] [--stream] [--full] [--profile]
"""

import argparse
import cProfile
import gc
import pstats
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenroll.engine.rating import canonical_json, pinned
from tokenroll.gateway.client import ClientConnection
from tokenroll.gateway.deployment import Deployment
from tokenroll.gateway.outbox import Outbox
from tokenroll.gateway.settings import GatewaySettings
from tokenroll.gateway.upstream import UpstreamConnection
from tokenroll.gateway.worker import Gateway
from tokenroll.model.rate_card import RateCard, RateTable
from tokenroll.model.usage import Meter
from tokenroll.services.clock import system_clock
from tokenroll.services.group_commit import GroupCommit
from tokenroll.services.keys import key_hash
from tokenroll.services.protocol import CardTerms, KeyTerms, Lease, LimitTerms, LotTerms, View, WalletTerms
from tokenroll.services.spending import Spending
from tokenroll.store.tape import Durability, TapeWriter

CLIENTS, TURNS, ROUNDS = 64, 10, 60
PEPPER = b"p" * 32
ANSWER_BODY = (
    b'{"id":"chatcmpl-9f8e7d6c5b4a","object":"chat.completion","created":1760000000,"model":"gpt-4o-mini-2024-07-18",'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"'
    + b"words "
    * 40
    + b'","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":213,"completion_tokens":58,'
    b'"total_tokens":271,"prompt_tokens_details":{"cached_tokens":128,"audio_tokens":0},"completion_tokens_details":'
    b'{"reasoning_tokens":0,"audio_tokens":0}},"service_tier":"default"}'
)
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"
    b"x-request-id: req_0123456789\r\n\r\n"
)
EVENT = (
    b'data: {"id":"chatcmpl-9f8e7d6c5b4a","object":"chat.completion.chunk","created":1760000000,"model":"gpt-4o-mini",'
    b'"service_tier":"default","choices":[{"index":0,"delta":{"content":"hello"},"logprobs":null,"finish_reason":null}],'
    b'"usage":null}\n\n'
)
USAGE = (
    b'data: {"id":"chatcmpl-9f8e7d6c5b4a","object":"chat.completion.chunk","created":1760000000,"model":"gpt-4o-mini",'
    b'"choices":[],"usage":{"prompt_tokens":213,"completion_tokens":58,"total_tokens":271}}\n\n'
)


KEY_EXTRAS: dict[str, Any] = {
    "department_ids": [1],
    "models": ["gpt-4o-mini"],
    "tags": "project=atlas,cost_center=42,purpose=work",
}
WALLET_EXTRAS: dict[str, Any] = {
    "models": ["gpt-4o*"],
    "service_tiers": ["standard"],
    "calls_per_minute_max": 10**9,
    "tokens_per_minute_max": 10**12,
    "input_tokens_per_minute_max": 10**12,
    "output_tokens_per_minute_max": 10**12,
    "calls_per_day_max": 10**12,
    "tokens_per_day_max": 10**12,
    "cache_marking": True,
    "cache_key": True,
    "coalesce": True,
    "break_loops": 5,
    "cap_hints": True,
}
LIMIT = LimitTerms(
    1, "engineering", "department", 1, "the department Engineering", "", "", "day", 0, "UTC", "credits", 10**18, "enforce", "deny", "", 0, 0, 0, [], [],
)  # fmt: skip


class Transport:
    """Takes bytes and forgets them."""

    def __init__(self) -> None:
        self.write_count = 0

    def write(self, _data: bytes) -> None:
        self.write_count += 1

    def writelines(self, parts: list[bytes]) -> None:
        self.write_count += len(parts)

    def set_write_buffer_limits(self, high: int) -> None:
        del high

    @staticmethod
    def get_write_buffer_size() -> int:
        return 0

    @staticmethod
    def is_closing() -> bool:
        return False


class Loop:
    """Callbacks in order; no I/O, no time: whatever is sent seems to be sent at once, as at full load."""

    def __init__(self) -> None:
        self._ready: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def call_soon(self, callback: Callable[..., Any], *arguments: Any) -> None:
        self._ready.append((callback, arguments))

    def time(self) -> float:
        return 0.0

    def call_later(self, _seconds: float, _callback: Callable[..., Any]) -> None:
        """No time passes here."""

    def turn(self) -> None:
        while self._ready:
            ready, self._ready = self._ready, []
            for callback, arguments in ready:
                callback(*arguments)


def card() -> CardTerms:
    base = {Meter.INPUT: 150 * 10**9, Meter.CACHE_READ: 75 * 10**9, Meter.OUTPUT: 600 * 10**9}
    prices = {"standard": RateTable(base=base)}
    made = pinned(
        RateCard(
            id=1, public_id="ratecard_1", provider="openai", model="gpt-4o-mini", aliases=(), effective_at=0, recorded_at=0,
            currency="USD", list_prices=prices, net_prices=prices, internal_prices=prices, context_window_tokens=128_000,
            output_tokens_max=16_384, source="bench", digest="", overhead_tokens_per_message=16,
            overhead_tokens_per_request_with_tools=512, overhead_tokens_per_tool=32,
        )
    )  # fmt: skip
    return CardTerms(1, made.digest, canonical_json(made))


class Rig:
    """A gateway whose sockets are transports that only count."""

    def __init__(self, folder: Path, *, full: bool = False) -> None:
        loop: Any = Loop()  # as far as an event loop is used here
        self.loop = loop
        tape = TapeWriter(folder / "tape", worker=0, epoch=1, boot_id=bytes(16), created_at=system_clock())
        self.spending = spending = Spending(tape, system_clock, PEPPER)
        keys, wallets = [], []
        for number in range(1, CLIENTS + 1):
            secret = key_hash(PEPPER, b"bench-%06d" % number)
            keys.append(
                KeyTerms(
                    number,
                    f"key_{number}",
                    secret,
                    "inference",
                    number,
                    f"member_{number}",
                    number,
                    0,
                    0,
                    False,
                    **KEY_EXTRAS if full else {},
                )
            )
            lots = [LotTerms(number, 100, 0, 0, 10**17, "tool")]
            wallets.append(
                WalletTerms(
                    number,
                    f"wallet_{number}",
                    "Ada",
                    "member",
                    "UTC",
                    lots,
                    "enforce",
                    "deny",
                    16_384,
                    0,
                    0,
                    0,
                    0,
                    **WALLET_EXTRAS if full else {},
                )
            )
        spending.apply_view(View(keys, [card()], {}, last=True, limits=[LIMIT] if full else []))
        spending.apply_lease(Lease(wallets, 0, 0, last=True))
        outbox = Outbox(loop)
        commit = GroupCommit(
            tape, Durability.WRITTEN, loop, clock=system_clock,
            append_dispatched=lambda holds: spending.dispatched(holds, system_clock()),
            after_dispatch=outbox.flush, on_block=lambda _block: None, on_failure=print,
        )  # fmt: skip
        deployment = Deployment(
            name="mock", dialect="openai", provider="openai", base_url="http://127.0.0.1:9/v1", api_key="sk-upstream"
        )
        settings = GatewaySettings(home=folder, durability=Durability.WRITTEN, deployments=(deployment,))
        self.gateway = Gateway(settings, spending, commit, system_clock, loop, outbox)
        self.gateway.not_ready = ""
        pool = next(iter(self.gateway.pools.values()))
        self.clients: list[ClientConnection] = []
        self.upstreams: list[UpstreamConnection] = []
        for _ in range(CLIENTS):
            client = ClientConnection(self.gateway)
            client.connection_made(Transport())  # type: ignore[arg-type]  # has what is used
            self.clients.append(client)
            upstream = UpstreamConnection(pool)
            upstream.connection_made(Transport())  # type: ignore[arg-type]
            pool.give(upstream)
            self.upstreams.append(upstream)

    def ask(self, requests: list[bytes]) -> None:
        for client, request in zip(self.clients, requests, strict=True):
            client.data_received(request)
        self.loop.turn()

    def answer(self, data: bytes) -> None:
        for upstream in self.upstreams:
            if upstream.call is not None:
                upstream.data_received(data)
        self.loop.turn()


def requests_of(size: int, *, stream: bool) -> list[bytes]:
    text = b"word " * (size // 5)
    flag = b'"stream":true,' if stream else b""
    body = b'{"model":"gpt-4o-mini",%b"max_tokens":1024,"messages":[{"role":"user","content":"%b"}]}' % (flag, text)
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8787\r\nAuthorization: Bearer bench-%06d\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    return [head % (number, len(body)) + body for number in range(1, CLIENTS + 1)]


def framed(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


def calls(rig: Rig, requests: list[bytes]) -> int:
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nx-request-id: req_0123456789\r\n\r\n%b"
        % (len(ANSWER_BODY), ANSWER_BODY)
    )
    for _ in range(TURNS):
        rig.ask(requests)
        rig.answer(answer)
    return TURNS * CLIENTS


def events(rig: Rig, requests: list[bytes]) -> int:
    """The events alone are timed by the difference to a stream of none."""
    event = framed(EVENT)
    rig.ask(requests)
    rig.answer(STREAM_HEAD + event)
    for _ in range(TURNS * 10):
        rig.answer(event)
    rig.answer(framed(USAGE) + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    return TURNS * 10 * CLIENTS


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--body", type=int, default=1000)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(Path(folder), full=options.full)
        work = events if options.stream else calls
        requests = requests_of(options.body, stream=options.stream)
        work(rig, requests)
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 1000)
        if options.profile:
            profiler = cProfile.Profile()
            profiler.runcall(lambda: [work(rig, requests) for _ in range(5)])
            pstats.Stats(profiler).sort_stats("tottime").print_stats(40)
            return
        best = min(timed(work, rig, requests) for _ in range(ROUNDS // (10 if options.stream else 1)))
        print(f"{best:.2f} µs {'an event' if options.stream else 'a call'}, open holds {len(rig.spending.open_holds)}")


def timed(work: Callable[[Rig, list[bytes]], int], rig: Rig, requests: list[bytes]) -> float:
    begun = time.process_time()
    count = work(rig, requests)
    return (time.process_time() - begun) * 1e6 / count


if __name__ == "__main__":
    main()
