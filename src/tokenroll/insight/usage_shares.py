"""Who used how much of what: events summed by any of their names, largest cost first, sums exact."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Final, NamedTuple

from tokenroll.model.instant import Instant, datetime_from_instant
from tokenroll.model.rate_card import Rates
from tokenroll.model.usage import INPUT_METERS, METER_INDEX, METERS, OUTPUT_METERS, Meter
from tokenroll.model.usage_event import UsageEvent

UNKNOWN: Final = "(not told)"
HOURS_PER_DAY: Final = 24
DAYS_PER_WEEK: Final = 7
_INPUTS: Final = tuple(METER_INDEX[meter] for meter in INPUT_METERS)
_OUTPUTS: Final = tuple(METER_INDEX[meter] for meter in OUTPUT_METERS)
_CACHE_READ: Final = METER_INDEX[Meter.CACHE_READ]


class PricedEvent(NamedTuple):
    """An event and the list rates that priced it; no rates where no price is known."""

    event: UsageEvent
    rates: Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One name's part: calls, model tokens in and out, and the list cost of those calls that have a price."""

    name: str
    call_count: int
    unpriced_count: int
    input_tokens: int
    cache_read_tokens: int
    output_tokens: int
    list_cost_nanos: int

    @property
    def model_tokens(self) -> int:
        """All model tokens, in and out."""
        return self.input_tokens + self.output_tokens


class _Sum:
    __slots__ = ("calls", "cost", "counts", "unpriced")

    def __init__(self) -> None:
        self.calls = self.unpriced = self.cost = 0
        self.counts = [0] * len(METERS)

    def add(self, event: UsageEvent) -> None:
        self.calls += 1
        if event.list_cost_nanos is None:
            self.unpriced += 1
        else:
            self.cost += event.list_cost_nanos
        counts = self.counts
        for place, count in enumerate(event.usage.counts):
            if count:
                counts[place] += count

    def share(self, name: str) -> Share:
        return Share(
            name=name,
            call_count=self.calls,
            unpriced_count=self.unpriced,
            input_tokens=sum(self.counts[place] for place in _INPUTS),
            cache_read_tokens=self.counts[_CACHE_READ],
            output_tokens=sum(self.counts[place] for place in _OUTPUTS),
            list_cost_nanos=self.cost,
        )


def shares(events: Iterable[UsageEvent], name_of: Callable[[UsageEvent], str]) -> tuple[Share, ...]:
    """The parts of all names, dearest first, then by name; what has no name is one part."""
    sums: dict[str, _Sum] = {}
    for event in events:
        name = name_of(event)
        found = sums.get(name)
        if found is None:
            found = sums[name] = _Sum()
        found.add(event)
    parts = [found.share(name or UNKNOWN) for name, found in sums.items()]
    return tuple(sorted(parts, key=lambda part: (-part.list_cost_nanos, -part.model_tokens, part.name)))


def total(events: Iterable[UsageEvent]) -> Share:
    """The sum of all events."""
    found = _Sum()
    for event in events:
        found.add(event)
    return found.share("all")


def counts_of(events: Iterable[UsageEvent]) -> dict[Meter, int]:
    """Each meter's units in all, those that were used at all."""
    found = _Sum()
    for event in events:
        found.add(event)
    return {meter: count for meter, count in zip(METERS, found.counts, strict=True) if count}


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day's part in the reader's zone."""

    on: date
    call_count: int
    model_tokens: int
    list_cost_nanos: int


def days(events: Iterable[UsageEvent], zone: tzinfo) -> tuple[Day, ...]:
    """Every day from the first to the last with usage, also those without any, in order."""
    sums: dict[date, list[int]] = {}
    for event in events:
        found = sums.setdefault(local(event.admitted_at, zone).date(), [0, 0, 0])
        counts = event.usage.counts
        found[0] += 1
        found[1] += sum(counts[place] or 0 for place in (*_INPUTS, *_OUTPUTS))
        found[2] += event.list_cost_nanos or 0
    if not sums:
        return ()
    first, last = min(sums), max(sums)
    return tuple(
        Day(on=on, call_count=found[0], model_tokens=found[1], list_cost_nanos=found[2])
        for on in (first + timedelta(days=n) for n in range((last - first).days + 1))
        for found in (sums.get(on, (0, 0, 0)),)
    )


def hours_of_week(events: Iterable[UsageEvent], zone: tzinfo) -> tuple[tuple[int, ...], ...]:
    """List cost in nanos by weekday (Monday first) and hour of the day in the reader's zone."""
    grid = [[0] * HOURS_PER_DAY for _ in range(DAYS_PER_WEEK)]
    for event in events:
        moment = local(event.admitted_at, zone)
        grid[moment.weekday()][moment.hour] += event.list_cost_nanos or 0
    return tuple(tuple(row) for row in grid)


def local(at: Instant, zone: tzinfo) -> datetime:
    """The wall clock of an instant in a zone."""
    return datetime_from_instant(at).astimezone(zone)


def by_session(priced: Iterable[PricedEvent]) -> dict[str, Sequence[PricedEvent]]:
    """The calls of each session in order of time; what names no session is one of its own."""
    found: dict[str, list[PricedEvent]] = {}
    for one in priced:
        found.setdefault(one.event.session or one.event.event_id, []).append(one)
    for calls in found.values():
        calls.sort(key=lambda one: (one.event.admitted_at, one.event.event_id))
    return dict(found)
