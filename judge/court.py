"""One trial: a provider whose bill is the truth, the gateway in front of it on an empty folder, and what is asked of both."""

import asyncio
import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from judge.gateway import AdapterError, Door, Gateway, Purse, Setting
from judge.wire import Answer, Call, Calls, ask
from tokenroll.testing import BillLine, SimulatedProvider

MODEL = "gpt-4o"
CHEAP = "gpt-4o-mini"
OF_MESSAGES = "claude-haiku-4-5"
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
SMALL = 16
"""Output tokens: the provider gives at least these, and never more than were allowed, so such an answer has exactly these."""
NANOS_PER_TOKEN = {MODEL: (2_500, 10_000), CHEAP: (150, 600), OF_MESSAGES: (1_000, 5_000)}
"""In and out, as the provider's price table has them."""
KEY_OF_COMPANY = "sk-the-company"


@dataclass(frozen=True)
class Finding:
    """What one scenario found. `broken` names each promise that was not kept."""

    done: str
    allowed: str
    seen: str
    broken: tuple[str, ...] = ()


@dataclass(frozen=True)
class Books:
    """A purse in two books: the provider's bill and the gateway's own."""

    budget_nanos: int
    billed_nanos: int
    line_count: int
    spent_nanos: int
    open_nanos: int
    left_nanos: int
    row_count: int | None
    forgiven_nanos: int

    @property
    def overspent_nanos(self) -> int:
        return max(0, self.billed_nanos - self.budget_nanos)

    @property
    def free_nanos(self) -> int:
        """Billed and not debited."""
        short = self.billed_nanos - self.spent_nanos
        return short if short > self.forgiven_nanos else 0

    @property
    def phantom_nanos(self) -> int:
        """Debited, or kept from being spent, and not billed."""
        over = self.spent_nanos + self.open_nanos - self.billed_nanos
        return over if over > self.forgiven_nanos else 0

    @property
    def lost_rows(self) -> int:
        return 0 if self.row_count is None else max(0, self.line_count - self.row_count)

    def broken(self, false_denials: int = 0) -> list[str]:
        """The four promises and that sums agree, each named where it is broken."""
        named = {
            "overspend": self.overspent_nanos,
            "free calls": self.free_nanos,
            "phantom spend": self.phantom_nanos,
            "lost rows": self.lost_rows,
            "false denials": false_denials,
            "left is not budget less spent": self._off_by(),
        }
        return [name for name, amount in named.items() if amount]

    def _off_by(self) -> int:
        off = abs(self.budget_nanos - self.spent_nanos - self.open_nanos - self.left_nanos)
        return off if off > self.forgiven_nanos and self.billed_nanos <= self.budget_nanos else 0

    def told(self) -> str:
        """As the table has it."""
        parts = [f"billed {dollars(self.billed_nanos)} of {dollars(self.budget_nanos)}"]
        for name, nanos in (
            ("overspent", self.overspent_nanos),
            ("free", self.free_nanos),
            ("debited without a bill", self.phantom_nanos),
        ):
            parts += [f"{name} {dollars(nanos)}"] if nanos else []
        parts += [f"{self.lost_rows} of {self.line_count} rows lost"] if self.lost_rows else []
        return ", ".join(parts)


def dollars(nanos: int) -> str:
    """An amount to the nano, without zeros at its end."""
    whole, part = divmod(abs(nanos), 10**9)
    digits = f"{part:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nanos < 0 else ''}${whole}.{digits}"


@dataclass
class Court:
    """Where scenarios are tried: one gateway, one seed."""

    gateway: Gateway
    seed: int = 1
    scale: int = 1
    """Divides how often things are done, for a short run."""
    bounds: dict[str, int] = field(default_factory=dict)
    """What such calls are held for, once asked."""

    def few(self, count: int) -> int:
        """So many, or the part of it that a short run takes."""
        return max(4, count // self.scale)

    @contextlib.asynccontextmanager
    async def world(
        self, *, workers: int = 1, fallback: bool = False, patience_seconds: int = 0, **provider_options: Any
    ) -> AsyncIterator["World"]:
        """A provider and the gateway before it, both new; both gone at the end."""
        folder = Path(tempfile.mkdtemp(prefix="judge-"))
        options = {"api_key": KEY_OF_COMPANY, **provider_options}
        try:
            with SimulatedProvider(seed=self.seed, **options) as provider, contextlib.ExitStack() as more:
                other = (
                    more.enter_context(SimulatedProvider(seed=self.seed, api_key=KEY_OF_COMPANY)) if fallback else None
                )
                setting = Setting(
                    folder, Door(provider.base_url), Door(other.base_url) if other else None, workers, patience_seconds
                )
                try:
                    await asyncio.to_thread(self.gateway.start, setting)
                    yield World(self, provider, other)
                finally:
                    await asyncio.to_thread(self.gateway.stop)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass
class World:
    """A running provider and gateway, as a scenario sees them."""

    court: Court
    provider: SimulatedProvider
    other: SimulatedProvider | None
    _marks: dict[str, int] = field(default_factory=dict)

    @property
    def gateway(self) -> Gateway:
        return self.court.gateway

    # ---- purses and calls ----

    async def purse(self, nanos: int, scope: str = "") -> Purse:
        """A new purse; what was billed before is not its own."""
        purse = await asyncio.to_thread(self.gateway.budget, nanos, scope)
        self.begin(purse)
        return purse

    def begin(self, purse: Purse) -> None:
        """From here on whatever is billed is this purse's."""
        self._marks[purse.key] = len(self._all_lines())

    def call(
        self, purse: Purse, number: int, *, path: str = CHAT, model: str = MODEL, output: int | None = SMALL,
        text: str = "", stream: bool = False, leave_after: int | None = None, **fields: Any,
    ) -> Call:  # fmt: skip
        """A call of that purse; another number is another text, so that no cache and no twin answers it."""
        asked = text or f"Call {number:06d} of trial {self.court.seed}: how much is left?"
        body: dict[str, Any] = {"model": self.gateway.model(OF_MESSAGES if path == MESSAGES else model)}
        body |= {"input": asked} if path == RESPONSES else {"messages": [{"role": "user", "content": asked}]}
        if output is not None:
            body["max_output_tokens" if path == RESPONSES else "max_tokens"] = output
        if stream:
            body["stream"] = True
        headers = {**self.gateway.key_headers(purse.key, path), **purse.headers}
        return Call(path, json.dumps({**body, **fields}).encode(), headers, leave_after=leave_after)

    async def ask(self, call: Call, seconds: float = 60) -> Answer:
        """One call alone."""
        return await ask(self.gateway.base_url, call, seconds)

    def send(self, calls: Sequence[Call]) -> Calls:
        """Many at the same time."""
        return Calls(self.gateway.base_url, calls)

    async def bound(self, **fields: Any) -> int:
        """The most that such a call can cost: what the gateway says that it holds, else a token for every byte asked."""
        such = json.dumps(fields)
        if such not in self.court.bounds:
            probe = await self.purse(10**10)
            call = self.call(probe, 0, **fields)
            answer = await self.ask(call)
            if not answer.is_served:
                raise AdapterError(f"a call with plenty to spend was answered {answer.status}: {answer.body[:300]!r}")
            await self.books(probe)
            said = self.gateway.hold_nanos(answer.headers)
            into, out = NANOS_PER_TOKEN[fields.get("model", MODEL)]
            self.court.bounds[such] = said or len(call.body) * into + (fields.get("output") or SMALL) * out
        return self.court.bounds[such]

    async def race(self, calls: Sequence[Call]) -> list[Answer]:
        """All at once; no answer of the last provider comes before every call was let through or refused."""
        provider = self.other or self.provider
        provider.hold()
        under_way = self.send(calls)
        try:
            await self.judged(under_way, len(calls), provider)
        finally:
            provider.release()
        return await under_way.finish()

    async def judged(self, calls: Calls, count: int, provider: SimulatedProvider | None = None) -> None:
        """Waits until so many are answered or at the provider, or nothing new has happened for long."""
        at_provider = provider or self.provider
        last, since = -1, time.monotonic()
        while last < count and time.monotonic() - since < self.gateway.still_seconds:
            await asyncio.sleep(0.02)
            now = len(calls.answers) + at_provider.state()["held"]
            if now != last:
                last, since = now, time.monotonic()

    async def until(self, ready: Callable[[], bool], seconds: float = 30) -> bool:
        """Whether it came about in time."""
        end = time.monotonic() + seconds
        while not ready() and time.monotonic() < end:  # noqa: ASYNC110 - the condition is in another thread or process
            await asyncio.sleep(0.02)
        return ready()

    # ---- the two books ----

    def _all_lines(self) -> list[BillLine]:
        return [line for one in (self.provider, self.other) if one is not None for line in one.bill()]

    def lines(self, purse: Purse) -> list[BillLine]:
        """What has been billed since the purse was begun. With two providers purses are tried one after the other in worlds of their own."""
        return self._all_lines()[self._marks[purse.key] :]

    def bill(self) -> bytes:
        """The provider's whole bill, a JSON object on each line."""
        lines = [{name: getattr(line, name) for name in line.__struct_fields__} for line in self._all_lines()]
        return b"".join(json.dumps(line).encode() + b"\n" for line in lines)

    async def books(self, purse: Purse, *, after_crash: bool = False, must_agree: bool = True) -> Books:
        """Both books once they agree, or once the gateway has had all the time that it may take.

        `after_crash`: what the gateway's operator does then is done as well. Without `must_agree`, once nothing is open and
        every billed call has its row.
        """
        deadline = time.monotonic() + self.gateway.quiet_seconds
        while True:
            books = await self._books_now(purse)
            settled = not any(one.state()["open"] for one in (self.provider, self.other) if one is not None)
            is_even = not books.broken() if must_agree else not books.open_nanos and not books.lost_rows
            if (settled and is_even) or time.monotonic() > deadline:
                return books
            if settled and after_crash:
                await asyncio.to_thread(self.gateway.check_open_calls, self.bill())
            await asyncio.sleep(0.2)

    async def _books_now(self, purse: Purse) -> Books:
        lines = self.lines(purse)
        standing = await asyncio.to_thread(self.gateway.standing, purse)
        rows = await asyncio.to_thread(self.gateway.rows, purse)
        return Books(
            budget_nanos=purse.nanos,
            billed_nanos=sum(line.cost_nanos for line in lines),
            line_count=sum(line.cost_nanos > 0 for line in lines),
            spent_nanos=standing.spent_nanos,
            open_nanos=standing.open_nanos,
            left_nanos=standing.left_nanos,
            row_count=None if rows is None else sum(charge > 0 for charge in rows),
            forgiven_nanos=(len(lines) * self.gateway.grain_nanos + 1) // 2,
        )


def served(answers: Sequence[Answer]) -> int:
    """How many were answered in full."""
    return sum(answer.is_served for answer in answers)


def denied(answers: Sequence[Answer]) -> int:
    """How many were refused for want of money."""
    return sum(answer.is_denied for answer in answers)


def found(
    done: str, allowed: str, books: Books, *, false_denials: int = 0, more: str = "", also_broken: Sequence[str] = ()
) -> Finding:
    """A finding from both books; `also_broken` names what they do not show."""
    parts = [*([more] if more else []), books.told(), *([f"{false_denials} false denials"] if false_denials else [])]
    return Finding(done, allowed, "; ".join(parts), (*books.broken(false_denials), *also_broken))
