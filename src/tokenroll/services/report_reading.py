"""A provider's report files as sums by UTC day, model and key, and which days they tell whole: what `tokenroll reconcile` compares.

The files are those that `usage import` reads. A day is told whole if the buckets of the pages cover it and it was over when the file
was fetched; a table says no buckets, so rows of days are believed from its first day to its last, and rows of moments between them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tokenroll.books.provider_reports import ALL, Counts, Part, Told, report_counts
from tokenroll.model.instant import DAY_MICROS, Instant, datetime_from_instant
from tokenroll.model.limits import REPORT_ROWS_MAX
from tokenroll.model.usage import METER_INDEX, METERS, Meter
from tokenroll.model.usage_event import UsageEvent
from tokenroll.services.importers.anthropic_reports import CLAUDE_CODE_SOURCE, anthropic_report_spans
from tokenroll.services.importers.columns import ColumnMap
from tokenroll.services.importers.detecting import COLUMNS, FOCUS, UsageFile, events_of, head_of, source_of
from tokenroll.services.importers.figures import key_of
from tokenroll.services.importers.intake import Intake, SourceError
from tokenroll.services.importers.litellm_logs import SOURCE as LITELLM
from tokenroll.services.importers.openai_reports import openai_report_spans
from tokenroll.services.list_prices import ListPrices

_OPENAI: Final = "openai-reports"
_ANTHROPIC: Final = "anthropic-reports"
_REPORTS: Final = frozenset({_OPENAI, _ANTHROPIC, FOCUS, COLUMNS})
_NO_REPORTS: Final = frozenset({CLAUDE_CODE_SOURCE, LITELLM, "azure-trace", "burstgpt", "servegen"})
"""Sources that are nobody's invoice and nobody's count of what a key used."""
_REQUEST: Final = METER_INDEX[Meter.REQUEST]
_CENT_NANOS: Final = 10_000_000
"""The coarsest place that a report is taken to be rounded to: few amounts may happen to be whole."""


class KeyNames:
    """Which deployments have which of the provider's keys, as reports call them (`report_keys` in the settings)."""

    def __init__(self, deployments: Iterable[tuple[str, str, Sequence[str]]]) -> None:
        """Provider, name and keys of each. Deployments that share a key have it together."""
        self._named: dict[tuple[str, str], dict[str, None]] = {}
        self._told_apart: set[str] = set()
        for provider, name, keys in deployments:
            for key in keys:
                self._named.setdefault((provider, key_of(key)), {})[name] = None
                self._told_apart.add(provider)

    def tells_apart(self, provider: str) -> bool:
        """Whether keys of that provider are named at all."""
        return provider in self._told_apart

    def deployments(self, provider: str, key: str) -> tuple[str, ...]:
        """Those that have the key; none for a key that is not named."""
        return tuple(self._named.get((provider, key), ()))

    def label(self, provider: str, deployment: str) -> str:
        """The key of a deployment, as reports call it; a deployment without one stands for itself."""
        return next(
            (key for (one, key), names in self._named.items() if one == provider and deployment in names), deployment
        )


@dataclass(slots=True)
class _Sum:
    tiers: dict[str, list[int]] = field(default_factory=dict)
    meters: set[int] = field(default_factory=set)
    request_count: int = 0
    counts_requests: bool = True
    cost_nanos: int | None = None
    currency: str = ""
    row_count: int = 0
    """Of those that have a cost."""


@dataclass(slots=True)
class Reports:
    """What files tell: sums by part, and by provider the days that are judged and those that are told in part only."""

    told: list[Told] = field(default_factory=list)
    whole_days: dict[str, set[str]] = field(default_factory=dict)
    partial_days: dict[str, set[str]] = field(default_factory=dict)
    row_count: int = 0
    long_count: int = 0
    """Rows of more than a day, which no day can be told of."""


class _Row(NamedTuple):
    source: str
    day: str
    event: UsageEvent


def read_reports(
    files: Sequence[UsageFile],
    keys: KeyNames,
    canonical: "ModelNames",
    now: Instant,
    column_map: ColumnMap | None = None,
) -> Reports:
    """The sums of all files. Raises SourceError for a file that is no report, or has a row that cannot be read."""
    rows: dict[tuple[str, str], UsageEvent] = {}
    covered: dict[str, list[tuple[Instant, Instant]]] = {}
    for file in files:
        intake = Intake()
        kind = _kind_of(file.path, is_mapped=column_map is not None)
        fetched_at = min(now, int(file.path.stat().st_mtime * 1_000_000))
        mine: list[UsageEvent] = []
        for event in events_of([file], ListPrices(()), intake, column_map=column_map):
            if event.source in _NO_REPORTS:
                raise SourceError(_no_report(file.path))
            mine.append(event)
            known = rows.get((event.source, event.event_id))
            if known is None or _fullness(event) > _fullness(known):
                rows[event.source, event.event_id] = event
            if len(rows) > REPORT_ROWS_MAX:
                raise SourceError(
                    f"the reports have more than {REPORT_ROWS_MAX} rows: give those of fewer days at a time"
                )
        if intake.bad_count:
            bad = intake.bad_rows[0]
            raise SourceError(
                f"{intake.bad_count} rows of {file.path} cannot be read, so nothing is compared; line {bad.line}: {bad.reason}"
            )
        for source, at, until in _spans(kind, file.path, mine):
            if until <= fetched_at:
                covered.setdefault(source or kind, []).append((at, until))
    _give_empty_pages(covered, {source for source, _ in rows})
    return _summed(rows, covered, keys, canonical)


def _give_empty_pages(covered: dict[str, list[tuple[Instant, Instant]]], sources: set[str]) -> None:
    """A page without rows does not say what it is of: it is of the only report of its provider's, if there is one only."""
    for kind in (_OPENAI, _ANTHROPIC):
        empty = covered.pop(kind, [])
        own = [source for source in sources if source.startswith(kind.removesuffix("reports"))]
        if empty and len(own) == 1:
            covered.setdefault(own[0], []).extend(empty)


def _kind_of(path: Path, *, is_mapped: bool) -> str:
    kind = source_of(path, head_of(path))
    if is_mapped and kind not in _REPORTS:
        kind = COLUMNS
    if kind not in _REPORTS:
        raise SourceError(_no_report(path))
    return kind


def _no_report(path: Path) -> str:
    return f"{path} is no report of a provider: give what OpenAI's and Anthropic's usage and costs answer, their tables, or a cost table in FOCUS"


def _fullness(event: UsageEvent) -> tuple[int, int]:
    """Of a row that is told twice the fullest telling stays, as in the lake."""
    return sum(count or 0 for count in event.usage.counts), abs(event.billed_cost_nanos or 0)


def _spans(kind: str, path: Path, events: Sequence[UsageEvent]) -> Iterator[tuple[str, Instant, Instant]]:
    """Which spans of time a file tells of, by source; the source of an empty page is empty."""
    if kind in {_OPENAI, _ANTHROPIC}:
        yield from (openai_report_spans if kind == _OPENAI else anthropic_report_spans)(path)
        return
    for source in {one.source for one in events}:
        starts = sorted(one.admitted_at for one in events if one.source == source)
        first, last = starts[0] // DAY_MICROS, starts[-1] // DAY_MICROS
        if all(at % DAY_MICROS == 0 for at in starts):
            yield source, first * DAY_MICROS, (last + 1) * DAY_MICROS
        elif last - first > 1:
            yield source, (first + 1) * DAY_MICROS, last * DAY_MICROS


def _summed(
    rows: Mapping[tuple[str, str], UsageEvent], covered: Mapping[str, list[tuple[Instant, Instant]]], keys: KeyNames,
    canonical: "ModelNames",
) -> Reports:  # fmt: skip
    found = Reports(row_count=len(rows))
    whole = {source: _whole_days(spans) for source, spans in covered.items()}
    sums: dict[Part, _Sum] = {}
    known: dict[Part, bool] = {}
    kept: list[tuple[str, UsageEvent]] = []
    broken: set[tuple[str, str]] = set()
    for event in rows.values():
        day = day_of(event.admitted_at)
        until = event.ended_at or event.admitted_at
        if until - event.admitted_at > DAY_MICROS:
            found.long_count += 1
            continue
        last = day_of(max(event.admitted_at, until - 1))
        if last != day:  # a bucket across midnight is of neither day
            broken |= {(event.source, day), (event.source, last)}
        kept.append((day, event))
    providers: dict[str, set[str]] = {}
    for day, event in kept:
        providers.setdefault(event.source, set()).add(event.provider)
        if day not in whole.get(event.source, ()) or (event.source, day) in broken:
            found.partial_days.setdefault(event.provider, set()).add(day)
    for source, days in whole.items():  # also those on which it tells of nothing
        for provider in providers.get(source, {source.partition("-")[0]}):
            found.whole_days.setdefault(provider, set()).update(days)
    for provider, days in found.partial_days.items():
        found.whole_days.get(provider, set()).difference_update(days)
    for day, event in kept:
        if day not in found.whole_days.get(event.provider, ()):
            continue
        part, is_known = _part_of(day, event, keys, canonical)
        known[part] = is_known
        _add(sums.setdefault(part, _Sum()), event)
    step = _step_nanos(rows.values())
    found.told = [_told(part, one, step, is_known=known[part]) for part, one in sorted(sums.items(), key=_in_order)]
    return found


def _in_order(one: tuple[Part, object]) -> tuple[str, str, str, str]:
    return one[0][:4]


def _part_of(day: str, event: UsageEvent, keys: KeyNames, canonical: "ModelNames") -> tuple[Part, bool]:
    told_model = event.model.partition(",")[0] if event.billed_cost_nanos is not None else event.model
    model = canonical.name(event.provider, told_model, event.admitted_at) if told_model else ALL
    if not event.key or not keys.tells_apart(event.provider):
        return Part(day, event.provider, model, ALL, None), True
    deployments = keys.deployments(event.provider, event.key)
    return Part(day, event.provider, model, event.key, deployments), bool(deployments)


def _add(one: _Sum, event: UsageEvent) -> None:
    counts = event.usage.counts
    if any(count is not None for count in counts):
        mine = one.tiers.setdefault(event.service_tier, [0] * len(METERS))
        for place, count in enumerate(report_counts(counts)):
            mine[place] += count
        one.meters |= {place for place, count in enumerate(counts) if count is not None and place != _REQUEST}
        if counts[_REQUEST] is not None:
            one.request_count += counts[_REQUEST] or 0
        elif event.usage.web_search_count is None and event.usage.file_search_count is None:
            one.counts_requests = False
    if event.billed_cost_nanos is not None:
        one.cost_nanos = (one.cost_nanos or 0) + event.billed_cost_nanos
        one.currency = event.currency
        one.row_count += 1


def _told(part: Part, one: _Sum, step_nanos: int, *, is_known: bool) -> Told:
    tiers: dict[str, Counts] = {tier: tuple(counts) for tier, counts in one.tiers.items()}
    counts_requests = one.counts_requests and bool(one.request_count)
    return Told(
        part=part, tiers=tiers, meters=frozenset(one.meters), request_count=one.request_count if counts_requests else None,
        cost_nanos=one.cost_nanos, currency=one.currency or "USD", row_count=one.row_count, step_nanos=step_nanos,
        is_known_key=is_known,
    )  # fmt: skip


def _step_nanos(events: Iterable[UsageEvent]) -> int:
    """The last decimal place that any amount uses, in nanos; a cent at most."""
    step = _CENT_NANOS
    for event in events:
        while event.billed_cost_nanos and event.billed_cost_nanos % step:
            step //= 10
    return step


def _whole_days(spans: Sequence[tuple[Instant, Instant]]) -> set[str]:
    found: set[str] = set()
    begin = end = -1
    for at, until in [*sorted(spans), (1 << 62, 1 << 62)]:
        if at > end:
            first = -(-begin // DAY_MICROS)
            found |= (
                {day_of(number * DAY_MICROS) for number in range(first, end // DAY_MICROS)} if begin >= 0 else set()
            )
            begin, end = at, until
        end = max(end, until)
    return found


def day_of(at: Instant) -> str:
    """The date of an instant in UTC, as reports write it."""
    return datetime_from_instant(at).date().isoformat()


class ModelNames:
    """Models by the name that the company's rate cards give them, whichever of its names a report or an answer says."""

    def __init__(self, cards: ListPrices) -> None:
        self.cards = cards

    def name(self, provider: str, model: str, at: Instant) -> str:
        """The card's name; a model without a card is called what it is called there."""
        card = self.cards.card(provider, model, at)
        return model if card is None else card.model
