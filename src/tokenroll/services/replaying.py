"""Replaying a trace as real HTTP calls through a gateway, and proving every sum afterwards.

Members by a stated rule: sessions of the trace, in order of their first call, go to members in turn; a trace without sessions gives
its calls to members in turn. Every second call streams. Arrivals are open-loop: a call leaves when the trace says so (divided by
`speed`), whatever became of those before it, as long as fewer than `concurrency` are under way; what waits longer is reported.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import uvloop

from tokenroll.ledger_place import LedgerPlace
from tokenroll.model.amount import NANOS_PER_CREDIT
from tokenroll.services.keys import key_hash
from tokenroll.services.replay_client import Exchange, Pool
from tokenroll.services.replay_proof import DIRECT_PREFIX, Proof, Standing, prove, standing
from tokenroll.services.replay_requests import body_of, request_of
from tokenroll.services.traces import Trace, TraceCall

MEMBERS_DEFAULT: Final = 10
CONCURRENCY_DEFAULT: Final = 256
GRANT_DEFAULT_NANOS: Final = 10_000 * NANOS_PER_CREDIT
DIRECT_EVERY_DEFAULT: Final = 20
FOLD_SECONDS_MAX: Final = 120
"""How long the ledger may take to fold the last call before the replay calls it lost."""
_POLL_SECONDS: Final = 0.02
_AHEAD_MAX: Final = 512
"""Calls built before their time at most."""


class ReplayError(Exception):
    """A replay that cannot start or cannot be judged; the message says what to do."""


class Address(NamedTuple):
    """Host and port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where a replay takes place: a running gateway, the simulated provider behind it, and the ledger to read from."""

    gateway: Address
    provider: Address
    ledger_place: LedgerPlace
    read_bill: Callable[[], Sequence[bytes | str]]
    durability: str
    pepper: bytes
    execute: Callable[[str, Mapping[str, Any]], dict[str, Any]]
    """A command of the ledger by name; raises when it is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """How to replay."""

    trace: Trace
    trace_name: str
    ground: Ground
    speed: float = 60.0
    """Times as fast as recorded; 0: as fast as `concurrency` allows."""
    members: int = MEMBERS_DEFAULT
    concurrency: int = CONCURRENCY_DEFAULT
    grant_nanos: int = GRANT_DEFAULT_NANOS
    direct_every: int = DIRECT_EVERY_DEFAULT
    """Every so many calls one more of the same size goes straight to the provider, to measure what the gateway adds; 0: none."""
    on_progress: Callable[[int, int], None] | None = None
    """Told (answered, sent) now and then."""


@dataclass(slots=True)
class ReplaySummary:
    """What happened, and whether it adds up."""

    trace: str
    rows: dict[str, Any]
    calls: int
    served: int
    denied: dict[str, int]
    failed: dict[str, int]
    members: int
    elapsed_seconds: float
    speed: float
    late_p99_ms: float
    durability: str
    fold_lag_ms: float
    added_latency_ms: dict[str, float]
    proof: Proof
    streamed: int = 0
    direct_probes: int = 0
    answer_bytes: int = 0

    @property
    def good(self) -> bool:
        """Whether the replay stands: calls were sent, all sums agree, every one ended, none is open. Denied is not failed."""
        return self.calls > 0 and self.proof.holds and not self.failed and not self.proof.attempts_open

    def to_json(self) -> dict[str, Any]:
        """Everything, as the CLI prints it (amounts still in nanos; the door words them)."""
        ratios = sorted(self.proof.hold_ratios)
        return {
            "trace": self.trace,
            "rows": self.rows,
            "calls": self.calls,
            "served": self.served,
            "streamed": self.streamed,
            "denied_count": sum(self.denied.values()),
            "denied": dict(sorted(self.denied.items())),
            "failed_count": sum(self.failed.values()),
            "failed": dict(sorted(self.failed.items())),
            "members": self.members,
            "tokens": dict(sorted(self.proof.tokens.items())),
            "usage_sources": dict(sorted(self.proof.sources.items())),
            "charged_nanos": self.proof.settlements_nanos,
            "hold_per_settled": {"p50": _rounded(quantile(ratios, 0.5)), "p95": _rounded(quantile(ratios, 0.95))},
            "added_latency_ms": self.added_latency_ms,
            "direct_probes": self.direct_probes,
            "fold_lag_ms": self.fold_lag_ms,
            "durability": self.durability,
            "speed": self.speed,
            "late_p99_ms": self.late_p99_ms,
            "elapsed_seconds": round(self.elapsed_seconds, 3),
            "attempts": {
                "settled": self.proof.attempts_settled,
                "released": self.proof.attempts_released,
                "open": self.proof.attempts_open,
            },
            "reconciliation": self.proof.summary(),
            "good": self.good,
        }


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of the ordered values lie; 0 when there are none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _rounded(value: float) -> float:
    return round(value, 3)


def replay(options: ReplayOptions) -> ReplaySummary:
    """Send the trace, wait until the ledger has folded it, and prove the sums. Raises ReplayError."""
    keys = make_members(options.ground, options.members, options.grant_nanos)
    before = standing(options.ground.ledger_place)
    billed_before = frozenset(options.ground.read_bill())
    run = _Run(options, keys)
    uvloop.run(run.all())
    lag = _folded(options.ground, run, before)
    bill = [line for line in options.ground.read_bill() if line not in billed_before]
    proof = prove(options.ground.ledger_place, before, bill)
    return ReplaySummary(
        trace=options.trace_name,
        rows=options.trace.rows.summary(),
        calls=run.sent,
        served=run.served,
        denied=run.denied,
        failed=run.failed,
        members=options.members,
        elapsed_seconds=run.elapsed_seconds,
        speed=options.speed,
        late_p99_ms=_rounded(quantile(sorted(run.late_ms), 0.99)),
        durability=options.ground.durability,
        fold_lag_ms=_rounded(lag * 1_000),
        added_latency_ms=run.added_latency_ms(),
        proof=proof,
        streamed=run.streamed,
        direct_probes=len(run.direct_ways),
        answer_bytes=run.answer_bytes,
    )


def make_members(ground: Ground, count: int, grant_nanos: int) -> list[str]:
    """`count` members of a new department, each with a working-tool grant and a key; their keys, in order."""
    mark = f"{time.time_ns():x}"
    department, plan = f"Replay {mark}", f"replay-{mark}"
    ground.execute("department.create", {"name": department})
    ground.execute(
        "plan.create",
        {"name": plan, "kind": "stipend", "classification": "tool", "amount_nanos": grant_nanos, "lifetime": "12m"},
    )
    keys = []
    for number in range(1, count + 1):
        name = f"Replayed {mark} {number:04d}"
        member = ground.execute("member.create", {"name": name, "department": department, "zone": "UTC"})
        ground.execute("grant.create", {"to": name, "plan": plan})
        key = f"tr-replay-{mark}-{number:04d}"
        digest = key_hash(ground.pepper, key.encode()).hex()
        ground.execute("key.create", {"member": member["member"], "shown_prefix": key[:9], "secret_hash": digest})
        keys.append(key)
    return keys


def _folded(ground: Ground, run: "_Run", before: Standing) -> float:
    """Seconds from the last answer until the ledger had every attempt; given up (and found by the proof) after two minutes."""
    while True:
        now: Standing = standing(ground.ledger_place)
        waited = time.monotonic() - run.ended_at
        if (now.open_holds == 0 and now.settlements - before.settlements >= run.served) or waited > FOLD_SECONDS_MAX:
            return waited
        time.sleep(_POLL_SECONDS)


@dataclass(slots=True)
class _Tag:
    """What an exchange is."""

    direct: bool = False
    streamed: bool = False


@dataclass
class _Run:
    """The sending itself."""

    options: ReplayOptions
    keys: list[str]
    sent: int = 0
    answered: int = 0
    served: int = 0
    streamed: int = 0
    direct_sent: int = 0
    answer_bytes: int = 0
    elapsed_seconds: float = 0.0
    ended_at: float = 0.0
    denied: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    late_ms: list[float] = field(default_factory=list)
    ways: list[int] = field(default_factory=list)
    direct_ways: list[int] = field(default_factory=list)

    async def all(self) -> None:
        """Every call of the trace, then silence."""
        options, ground = self.options, self.options.ground
        self._idle = asyncio.Event()
        pool = Pool(*ground.gateway, options.concurrency, self._done)
        direct = Pool(*ground.provider, max(1, options.concurrency // 8), self._done)
        self._turns: dict[str, int] = {}
        started = time.monotonic()
        started_ns = time.monotonic_ns()
        for call in options.trace.calls:
            due_ns = started_ns + (int(call.at * 1_000 / options.speed) if options.speed else 0)
            # Built before its time has come, so that building delays nobody's answer more than it must.
            exchanges = self._built(call, due_ns)
            await self._wait(due_ns, pool)
            for exchange in exchanges:
                (direct if exchange.tag.direct else pool).submit(exchange)
        while self.answered < self.sent + self.direct_sent:
            self._idle.clear()
            await self._idle.wait()
        self.ended_at = time.monotonic()
        self.elapsed_seconds = self.ended_at - started
        pool.close()
        direct.close()
        await asyncio.sleep(0)

    async def _wait(self, due_ns: int, pool: Pool) -> None:
        """Until the call's time has come, and there is room: a client that is told to hold 256 calls holds no more in memory."""
        delay = (due_ns - time.monotonic_ns()) / 1e9
        if delay > 0:
            await asyncio.sleep(delay)
        elif self.sent % 16 == 0:
            await asyncio.sleep(0)
        while len(pool.waiting) >= _AHEAD_MAX or (not self.options.speed and pool.waiting):
            self._idle.clear()
            await self._idle.wait()

    def _built(self, call: TraceCall, due_ns: int) -> list[Exchange]:
        """The call, and sometimes its like straight to the provider."""
        exchanges = []
        key = self.keys[self._turn(call)]
        stream = bool(self.sent % 2)
        ground = self.options.ground
        every = self.options.direct_every
        if every and self.sent % every == 0:
            salt = f"direct probe {self.sent:012d} "
            more = f"x-client-request-id: {DIRECT_PREFIX}{self.sent}/1\r\n"
            body = body_of(call, stream=stream, salt=salt)
            request = request_of(call, body, host=str(ground.provider), key="direct", more=more)
            self.direct_sent += 1
            exchanges.append(Exchange(request, _Tag(direct=True), due_ns))
        request = request_of(call, body_of(call, stream=stream), host=str(ground.gateway), key=key)
        self.sent += 1
        exchanges.append(Exchange(request, _Tag(streamed=stream), due_ns))
        return exchanges

    def _turn(self, call: TraceCall) -> int:
        """Which member calls: sessions in order of first call take turns, calls without one take turns themselves."""
        count = len(self.keys)
        if not call.session:
            return self.sent % count
        return self._turns.setdefault(call.session, len(self._turns) % count)

    def _done(self, exchange: Exchange) -> None:
        self.answered += 1
        tag: _Tag = exchange.tag
        if tag.direct:
            if exchange.way_ns >= 0:
                self.direct_ways.append(exchange.way_ns)
        else:
            self._count(exchange, tag)
        self._idle.set()
        if self.options.on_progress is not None and self.answered % 50 == 0:
            self.options.on_progress(self.answered, self.sent)

    def _count(self, exchange: Exchange, tag: _Tag) -> None:
        self.answer_bytes += exchange.answer_bytes
        if self.options.speed and exchange.sent_ns:
            self.late_ms.append(max(0, exchange.sent_ns - exchange.due_ns) / 1e6)
        if exchange.status == 200 and not exchange.failure:
            self.served += 1
            self.streamed += tag.streamed
            if exchange.way_ns >= 0:
                self.ways.append(exchange.way_ns)
        elif b"x-tokenroll-denied" in exchange.headers:
            self.denied[exchange.reason] = self.denied.get(exchange.reason, 0) + 1
        else:
            self.failed[exchange.reason] = self.failed.get(exchange.reason, 0) + 1

    def added_latency_ms(self) -> dict[str, float]:
        """Time to the first answer byte on the way through the gateway, less the median of the same calls' way without it.

        Empty at speed 0: with every queue full, what is measured is the queues.
        """
        if not self.ways or not self.direct_ways or not self.options.speed:
            return {}
        base = quantile(sorted(self.direct_ways), 0.5)
        added = sorted(way - base for way in self.ways)
        return {
            "p50": _rounded(quantile(added, 0.5) / 1e6),
            "p99": _rounded(quantile(added, 0.99) / 1e6),
            "direct_p50": _rounded(base / 1e6),
        }
