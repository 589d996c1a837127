"""Calls of the made-up month as real HTTP, the clock advanced to each call's moment before it leaves.

Work happens on weekdays from 9 to 18 UTC: a trace's seconds are working seconds, laid out over the month's working days.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import uvloop

from tokenroll.model.instant import MICROS_PER_SECOND, Instant, instant_from_datetime
from tokenroll.services.generating import Company, generate, person_of
from tokenroll.services.replay_client import Exchange, Pool
from tokenroll.services.replay_requests import body_of, request_of
from tokenroll.services.replaying import Address, quantile
from tokenroll.services.traces import TraceCall

DAYS: Final = 31
_FIRST: Final = datetime(2027, 3, 1, tzinfo=UTC)
WORK_DAYS: Final = tuple(
    day for day in (_FIRST + timedelta(days=number) for number in range(DAYS)) if day.weekday() < 5
)
_DAY_SECONDS: Final = 9 * 3_600
_OPENS: Final = timedelta(hours=9)
DIRECT_EVERY: Final = 20
"""Every so many calls one more of the same size goes straight to a twin of the provider, to know what the gateway adds."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One call of the month: whose, when, what."""

    at: Instant
    person: int
    call: TraceCall


def month_of_calls(seed: int, people: int, calls: int) -> list[Planned]:
    """The calls in order; the person with the second most of them is number 0, the engineer."""
    working = len(WORK_DAYS) * _DAY_SECONDS
    # The generator ends when it has enough calls, about two thirds through its time: the rest of the stretch is exact.
    drawn = list(generate(Company(seed=seed, people=people, calls=calls, seconds=working * 3 // 2)))
    last = drawn[-1].at + 1
    counts: dict[int, int] = {}
    for call in drawn:
        person = person_of(call.session)
        counts[person] = counts.get(person, 0) + 1
    second = sorted(counts, key=lambda person: (-counts[person], person))[1]
    swapped = {0: second, second: 0}
    return [
        Planned(
            _moment(call.at * working * MICROS_PER_SECOND // last),
            swapped.get(person_of(call.session), person_of(call.session)),
            call,
        )
        for call in drawn
    ]


def _outcome(session: str) -> str:
    """An agent's session works at a change, and says so; a chat works at none."""
    kind, _, number = session.rpartition("/")[2].rpartition("-")
    return f"x-tokenroll-tags: outcome=change-{number}\r\n" if kind.endswith("agent") else ""


def _moment(working_micros: int) -> Instant:
    day, rest = divmod(working_micros, _DAY_SECONDS * MICROS_PER_SECOND)
    return instant_from_datetime(WORK_DAYS[day] + _OPENS) + rest


@dataclass(kw_only=True)
class Traffic:
    """The sending, and what was seen on the way."""

    gateway: Address
    twin: Address
    keys: Sequence[str]
    """By person."""
    advance_to: Callable[[Instant], None]
    on_tick: Callable[["Traffic"], None]
    calls_per_second: int = 300
    concurrency: int = 8
    """Few at once, because what the gateway adds is a way and not a queue for one of two cores."""
    served: int = 0
    answered: int = 0
    total: int = 0
    by_day: list[int] = field(default_factory=lambda: [0] * DAYS)
    failed: dict[str, int] = field(default_factory=dict)
    started: float = 0.0
    elapsed_seconds: float = 0.0
    ways: list[int] = field(default_factory=list)
    direct_ways: list[int] = field(default_factory=list)

    def run(self, calls: Sequence[Planned]) -> None:
        """Every call sent and answered."""
        self.total = len(calls)
        uvloop.run(self._all(calls))

    async def _all(self, calls: Sequence[Planned]) -> None:
        self.started = time.monotonic()
        self._turn = asyncio.Event()
        self._direct_left = 0
        pool = Pool(*self.gateway, self.concurrency, self._answered)
        direct = Pool(*self.twin, 4, self._direct)
        ticking = asyncio.get_running_loop().create_task(self._tick())
        for number, planned in enumerate(calls):
            await asyncio.sleep(max(0.0, self.started + number / self.calls_per_second - time.monotonic()))
            while pool.active >= self.concurrency:
                self._turn.clear()
                await self._turn.wait()
            self._send(number, planned, pool, direct)
        while self.answered < self.total or self._direct_left:
            self._turn.clear()
            await self._turn.wait()
        self.elapsed_seconds = time.monotonic() - self.started
        ticking.cancel()
        self.on_tick(self)
        pool.close()
        direct.close()
        await asyncio.sleep(0)

    def _send(self, number: int, planned: Planned, pool: Pool, direct: Pool) -> None:
        call = planned.call
        body = body_of(call, stream=bool(number % 2))
        if number % DIRECT_EVERY == 0:
            request = request_of(call, body, host=str(self.twin), key="direct")
            self._direct_left += 1
            direct.submit(Exchange(request, 0, 0))
        request = request_of(
            call, body, host=str(self.gateway), key=self.keys[planned.person], more=_outcome(call.session)
        )
        self.advance_to(planned.at)
        day = (planned.at - instant_from_datetime(_FIRST)) // (86_400 * MICROS_PER_SECOND)
        pool.submit(Exchange(request, day, 0))

    def _answered(self, exchange: Exchange) -> None:
        self.answered += 1
        self.by_day[exchange.tag] += 1
        if exchange.status == 200 and not exchange.failure:
            self.served += 1
            if exchange.way_ns >= 0:
                self.ways.append(exchange.way_ns)
        else:
            self.failed[exchange.reason] = self.failed.get(exchange.reason, 0) + 1
        self._turn.set()

    def _direct(self, exchange: Exchange) -> None:
        self._direct_left -= 1
        if exchange.way_ns >= 0:
            self.direct_ways.append(exchange.way_ns)
        self._turn.set()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            self.on_tick(self)

    def added_milliseconds(self) -> tuple[float, float]:
        """p50 and p99 of the time on the way to the first byte, less the median of the same calls' way without a gateway."""
        base = quantile(sorted(self.direct_ways), 0.5)
        added = sorted(self.ways)
        return (quantile(added, 0.5) - base) / 1e6, (quantile(added, 0.99) - base) / 1e6


def send_all(
    address: Address,
    requests: Mapping[str, bytes],
    on_progress: Callable[[Mapping[str, Exchange]], bool] | None = None,
) -> dict[str, Exchange]:
    """All requests at once, each on a connection of its own; the exchanges by name when all have ended.

    `on_progress` is asked now and then, in this loop's pauses, with all exchanges; once it says True it is asked no more.
    """
    return uvloop.run(_send_all(address, requests, on_progress))


async def _send_all(
    address: Address,
    requests: Mapping[str, bytes],
    on_progress: Callable[[Mapping[str, Exchange]], bool] | None,
) -> dict[str, Exchange]:
    ended = asyncio.Event()
    left = len(requests)

    def done(_exchange: Exchange) -> None:
        nonlocal left
        left -= 1
        if not left:
            ended.set()

    pool = Pool(*address, len(requests), done)
    exchanges = {name: Exchange(request, name, 0) for name, request in requests.items()}
    for exchange in exchanges.values():
        pool.submit(exchange)
    asking = on_progress is not None
    while not ended.is_set():
        try:
            await asyncio.wait_for(ended.wait(), 0.02)
        except TimeoutError:
            if asking and on_progress is not None and on_progress(exchanges):
                asking = False
    pool.close()
    await asyncio.sleep(0)
    return exchanges
