"""A gateway worker on real sockets, tape and all, spending what a test leases it; and a provider that sends what a script says.

Both run on one loop in a thread of their own. The clock stands still, so that every header and record is a literal.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import uvloop

from tests.cast import T0
from tokenroll.engine.rating import canonical_json, card_digest
from tokenroll.gateway.deployment import Deployment
from tokenroll.gateway.edge import EdgeLimits
from tokenroll.gateway.outbox import Outbox
from tokenroll.gateway.settings import GatewaySettings
from tokenroll.gateway.worker import Gateway
from tokenroll.model.rate_card import RateCard, RateTable
from tokenroll.model.usage import METERS, Meter
from tokenroll.services.group_commit import GroupCommit
from tokenroll.services.keys import key_hash
from tokenroll.services.protocol import CardTerms, KeyTerms, Lease, LotTerms, View, WalletTerms
from tokenroll.services.spending import Spending
from tokenroll.store.attempt_record import parse_record
from tokenroll.store.tape import (
    ENDS,
    HOLDS,
    Disk,
    Durability,
    RecordType,
    TapeWriter,
    ended_sequence,
    iter_records,
    read_blocks,
    segment_paths,
    worker_directory,
)

T = TypeVar("T")
PEPPER = bytes(32)
CREDIT = 1_000_000_000
TURNS = 12
"""As `ScriptedProvider.turns`, for clients: one more connection has to be accepted in between."""
NANO = 1_000_000_000
"""Attos in a nano."""


def toy_card(
    card_id: int = 1,
    provider: str = "openai",
    model: str = "toy",
    times: int = 1,
    tiers: tuple[str, ...] = ("standard",),
) -> CardTerms:
    """2,000 nanos an input token, 1,000 a cached one, 10,000 an output token: prices a reader can multiply by heart. `times` as dear."""
    rates = {
        Meter.INPUT: 2_000 * NANO, Meter.CACHE_READ: 1_000 * NANO, Meter.CACHE_WRITE_5M: 2_500 * NANO,
        Meter.CACHE_WRITE_1H: 4_000 * NANO, Meter.OUTPUT: 10_000 * NANO,
    }  # fmt: skip
    rates = {meter: times * rate for meter, rate in rates.items()}
    table = dict.fromkeys(tiers, RateTable(base=rates))
    card = RateCard(
        id=card_id, public_id=f"ratecard_{card_id:032x}", provider=provider, model=model, aliases=(), effective_at=0,
        recorded_at=0, currency="USD", list_prices=table, net_prices=table, internal_prices=table,
        context_window_tokens=200_000, output_tokens_max=8_000, source="a test", digest="", overhead_tokens_per_message=16,
        overhead_tokens_per_request_with_tools=512, overhead_tokens_per_tool=32,
    )  # fmt: skip
    return CardTerms(card_id, card_digest(card), canonical_json(card))


def wallet_terms(wallet_id: int, nanos: int, **changes: Any) -> WalletTerms:
    """A wallet of one lot."""
    lots = [LotTerms(wallet_id * 10, 100, 0, 0, nanos, "tool")] if nanos else []
    facts: dict[str, Any] = {
        "id": wallet_id, "public_id": f"wallet_{wallet_id:032x}", "name": f"Ada {wallet_id}", "holder_kind": "member",
        "zone": "UTC", "lots": lots, "enforcement": "enforce", "cap_policy": "deny", "output_cap_tokens": 16_384,
        "overage_nanos_max": 0, "spent_nanos": 0, "held_nanos": 0, "suspense_nanos": 0,
    }  # fmt: skip
    return WalletTerms(**facts | changes)


def key_terms(key_id: int, wallet_id: int, secret: bytes, **changes: Any) -> KeyTerms:
    """A key of a wallet's member."""
    facts: dict[str, Any] = {
        "id": key_id, "public_id": f"key_{key_id:032x}", "secret_hash": key_hash(PEPPER, secret), "scope": "inference",
        "member_id": wallet_id, "member_public_id": f"member_{wallet_id:032x}", "wallet_id": wallet_id, "pool_wallet_id": 0,
        "expires_at": 0, "revoked": False,
    }  # fmt: skip
    return KeyTerms(**facts | changes)


class Ended(NamedTuple):
    """How one attempt ended on the tape, for a comparison with a literal."""

    end: str
    charge_nanos: int
    counts: dict[str, int]
    source: str
    finish: str
    bound_nanos: int
    attempt: int
    status: int


class OpenAttempt(NamedTuple):
    wallet_id: int
    bound_nanos: int
    attempt: int
    record: bytes


@dataclass
class Exchange:
    """One connection's worth of a script: parts to send as answer to each request, and what becomes of the connection."""

    parts: list[bytes] = field(default_factory=list)
    close: str = ""
    """`fin`, `rst` or empty: keep it open."""
    withheld_from: int = -1
    """From which part on it waits until the provider is told to `let_go`."""


@dataclass(kw_only=True)
class RigOptions:
    durability: Durability = Durability.WRITTEN
    edge: EdgeLimits = field(default_factory=lambda: EdgeLimits(tick_seconds=0.05))
    wallets: list[WalletTerms] = field(default_factory=lambda: [wallet_terms(1, CREDIT)])
    keys: list[KeyTerms] = field(default_factory=lambda: [key_terms(1, 1, b"tr-ada")])
    deployments: list[Deployment] | None = None
    others: list["ScriptedProvider"] = field(default_factory=list)
    """More providers. `made` gets the base URLs of all, the rig's own first, and gives the deployments."""
    made: Callable[[list[str]], list[Deployment]] | None = None
    timeouts: dict[str, Any] = field(default_factory=dict)
    """Of the deployments that the rig makes by itself, such as `first_byte_seconds`."""
    cards: list[CardTerms] = field(default_factory=lambda: [toy_card(), toy_card(2, "anthropic")])
    disk: Disk | None = None
    decode_request_bodies: bool = False
    clock: Callable[[], int] = lambda: T0
    ca_file: Path | None = None
    provider_tls: ssl.SSLContext | None = None
    settings: dict[str, str] = field(default_factory=dict)


class Rig:
    """`with Rig(tmp_path) as rig:` — the gateway listens on `rig.port`, the provider on `rig.provider.port`."""

    def __init__(
        self, home: Path, options: RigOptions | None = None, provider: "ScriptedProvider | None" = None
    ) -> None:
        self.home = home
        self.options = options or RigOptions()
        self.provider = provider or ScriptedProvider()
        self.port = 0
        self.loop: asyncio.AbstractEventLoop
        self.gateway: Gateway
        self.spending: Spending
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="rig", daemon=True)
        self._thread.start()
        self.call(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self._stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        assert self._thread is not None
        self._thread.join(10)
        self.loop.close()

    def call(self, work: Coroutine[Any, Any, T], seconds: float = 100) -> T:
        """The result of a coroutine that ran on the rig's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def ask(self, function: Callable[[], T]) -> T:
        """The result of a function that ran on the rig's loop."""

        async def run() -> T:
            return function()

        return self.call(run())

    async def _start(self) -> None:
        options = self.options
        loop = asyncio.get_running_loop()
        await self.provider.listen(options.provider_tls)
        for other in options.others:
            await other.listen(None)
        tape = TapeWriter(
            worker_directory(self.home / "tape", 0),
            worker=0,
            epoch=1,
            boot_id=bytes(16),
            created_at=T0,
            disk=options.disk,
        )
        self.tape = tape
        spending = self.spending = Spending(tape, options.clock, PEPPER)
        spending.apply_view(View(keys=options.keys, cards=options.cards, settings=options.settings, last=True))
        spending.apply_lease(Lease(wallets=options.wallets, expires_at=0, delta=0, last=True))
        self.blocks: list[bytes] = []
        self.failures: list[OSError] = []
        outbox = Outbox(loop)
        commit = GroupCommit(
            tape, options.durability, loop, clock=options.clock,
            append_dispatched=lambda holds: spending.dispatched(holds, options.clock()),
            after_dispatch=outbox.flush, on_block=self.blocks.append, on_failure=self._failed,
        )  # fmt: skip
        scheme = "https" if options.provider_tls else "http"
        base = f"{scheme}://localhost:{self.provider.port}"
        deployments = options.deployments
        if options.made is not None:
            deployments = options.made([base, *(f"http://127.0.0.1:{one.port}" for one in options.others)])
        if deployments is None:
            deployments = [
                Deployment(
                    name="one",
                    dialect="openai",
                    base_url=base + "/v1",
                    api_key="sk-company",
                    ca_file=options.ca_file,
                    **options.timeouts,
                ),
                Deployment(
                    name="two",
                    dialect="anthropic",
                    base_url=base,
                    api_key="sk-ant-company",
                    ca_file=options.ca_file,
                    **options.timeouts,
                ),
            ]
        self.gateway = Gateway(
            GatewaySettings(
                home=self.home, durability=options.durability, deployments=tuple(deployments), edge=options.edge,
                decode_request_bodies=options.decode_request_bodies, stop_seconds=1,
            ),
            spending, commit, options.clock, loop, outbox,
        )  # fmt: skip
        self.gateway.not_ready = ""
        self.port = await self.gateway.listen()

    def _failed(self, error: OSError) -> None:
        self.failures.append(error)
        self.gateway.not_ready = "The tape cannot be written; nothing is admitted until the gateway is started anew."

    async def _stop(self) -> None:
        await self.gateway.stop()
        for one in (self.provider, *self.options.others):
            one.close()
        self.gateway.commit.close()
        self.tape.close()

    # ---- the tape, read back ------------------------------------------------------------------------------

    def ended(self) -> dict[int, list[Ended]]:
        """By wallet: how each attempt ended, read back from the tape's files; `open` for those that have not."""
        self.ask(lambda: None)  # whatever the loop had scheduled before is done
        holds: dict[int, OpenAttempt] = {}
        ends: dict[int, Ended] = {}
        for path in segment_paths(worker_directory(self.home / "tape", 0)):
            for block in read_blocks(path.read_bytes()):
                sequence = block.first_sequence
                for kind, offset, length in iter_records(block.payload):
                    _read_record(kind, block.payload[offset : offset + length], sequence, holds, ends)
                    sequence += 1
        found: dict[int, list[Ended]] = {}
        for sequence, hold in holds.items():
            end = ends.get(sequence, Ended("open", 0, {}, "", "", 0, 0, 0))
            found.setdefault(hold.wallet_id, []).append(
                end._replace(bound_nanos=hold.bound_nanos, attempt=hold.attempt)
            )
        return found


def _read_record(
    kind: int, record: bytes, sequence: int, holds: dict[int, OpenAttempt], ends: dict[int, Ended]
) -> None:
    if kind in HOLDS:
        hold = parse_record(record).hold
        holds[sequence] = OpenAttempt(hold.wallet_id, hold.bound_nanos, hold.attempt, record)
        return
    if kind not in {*ENDS, RecordType.LAPSE}:
        return
    opened = ended_sequence(record, 0)
    assert opened not in ends
    attempt = parse_record(holds[opened].record + record)
    if attempt.settle is not None:
        settle = attempt.settle
        named = {meter.value: count for meter, count in zip(METERS, settle.counts, strict=True) if count}
        source = {1: "reported", 2: "estimated", 3: "bill"}[settle.source]
        ends[opened] = Ended("settled", settle.charge_nanos, named, source, _finish(settle.finish), 0, 0, settle.status)
    elif attempt.release is not None:
        reason = {1: "not sent", 2: "provider error", 3: "never dispatched", 4: "coalesced", 5: "loop broken"}[
            attempt.release.reason
        ]
        ends[opened] = Ended(f"released: {reason}", 0, {}, "", "", 0, 0, attempt.release.status)
    elif attempt.lapse is not None:
        ends[opened] = Ended("suspense", 0, {}, "", _finish(attempt.lapse.finish), 0, 0, attempt.lapse.status)


def _finish(number: int) -> str:
    return (
        "unknown",
        "complete",
        "client gone",
        "upstream cut",
        "upstream error",
        "timed out",
        "worker died",
        "goes on",
    )[number]


class ScriptedProvider:
    """Answers each request with the exchange that its `x-case` header names, and remembers every byte it was sent.

    An exchange is looked up at each request: `scripts[case]` is a list, one exchange per request of that case, in order.
    """

    def __init__(self) -> None:
        self.port = 0
        self.scripts: dict[bytes, list[Exchange]] = {}
        self.received: dict[bytes, list[bytes]] = {}
        self.connections = 0
        self.open: set[ProviderConnection] = set()
        self.withheld = False
        """Whether answers wait until `let_go`."""
        self.waiting: list[Callable[[], None]] = []
        self.has_let_go = False
        self.turns = 8
        """How many turns of the loop lie between two parts: enough that the gateway, on the same loop, has read the first."""
        self._server: asyncio.Server | None = None

    async def listen(self, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: ProviderConnection(self), "127.0.0.1", 0, ssl=tls, backlog=2048)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self.open):
            connection.transport.abort()

    def let_go(self) -> None:
        """Every withheld answer goes out, and later ones at once."""
        self.withheld = False
        self.has_let_go = True
        waiting, self.waiting = self.waiting, []
        for answer in waiting:
            answer()

    def exchange_for(self, case: bytes, request: bytes) -> Exchange:
        self.received.setdefault(case, []).append(request)
        script = self.scripts[case]
        return script.pop(0) if len(script) > 1 else script[0]


class ProviderConnection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, provider: ScriptedProvider) -> None:
        self.provider = provider
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.provider.connections += 1
        self.provider.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.provider.open.discard(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, mark, rest = self.buffer.partition(b"\r\n\r\n")
            if not mark:
                return
            names = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
            length = int(names.get(b"content-length", b"0"))
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.answer(self.provider.exchange_for(names.get(b"x-case", b""), head + mark + rest[:length]))

    def answer(self, exchange: Exchange) -> None:
        def send(index: int) -> None:
            if self.transport.is_closing():
                return
            if index == exchange.withheld_from and not self.provider.has_let_go:
                exchange.withheld_from = -1
                self.provider.waiting.append(lambda: send(index))
            elif index < len(exchange.parts):
                self.transport.write(exchange.parts[index])
                after_turns(self.provider.turns, send, index + 1)
            elif exchange.close == "fin":
                self.transport.close()
            elif exchange.close == "rst":
                after_turns(self.provider.turns, self.transport.abort)

        if self.provider.withheld:
            self.provider.waiting.append(lambda: send(0))
        else:
            send(0)


def after_turns(turns: int, function: Callable[..., object], *arguments: object) -> None:
    """Calls it when the loop has turned so often; each turn reads every socket that has something."""
    if turns:
        asyncio.get_running_loop().call_soon(after_turns, turns - 1, function, *arguments)
    else:
        function(*arguments)


class RawClient(asyncio.Protocol):
    """Sends parts as separate segments and keeps what comes back."""

    transport: asyncio.Transport

    def __init__(self, parts: list[bytes], *, eof: bool = False) -> None:
        self.parts = parts
        self.eof = eof
        self.got = bytearray()
        self.closed: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._send(0)

    def _send(self, index: int) -> None:
        if self.transport.is_closing():
            return
        if index < len(self.parts):
            self.transport.write(self.parts[index])
            after_turns(TURNS, self._send, index + 1)
        elif self.eof:
            self.transport.write_eof()

    def data_received(self, data: bytes) -> None:
        self.got += data

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(bytes(self.got))


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Waits for a condition that comes about on this loop."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - any condition, without an event for each
            await asyncio.sleep(0)


async def raw_call(port: int, parts: list[bytes], *, eof: bool = False, seconds: float = 10) -> bytes:
    """Everything the gateway sent until it closed the connection."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: RawClient(parts, eof=eof), "127.0.0.1", port)
    try:
        return await asyncio.wait_for(client.closed, seconds)
    except TimeoutError:
        return bytes(client.got) + b" (and the connection stayed open)"
    finally:
        client.transport.abort()
