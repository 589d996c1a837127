"""Forecasting from the usage lake: the past of people, teams, models and the company, and what it says of the periods to come.

An estimate of list cost, net cost, charge or model tokens, each apart from the others. It never becomes an amount of the ledger: it
is told as a number beside its unit, with how far the same way was off on this very past.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from importlib.util import find_spec
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from tokenroll.insight.outlook import DAYS_PER_WEEK, Method, Outlook, Past, TriedOut, outlook, tried_out, under_factors
from tokenroll.insight.sampling import Flags, Floats
from tokenroll.insight.scenarios import headcount_factors, price_factors, rollout_factors
from tokenroll.insight.small_groups import told_together
from tokenroll.model.amount import NANOS_PER_CREDIT
from tokenroll.model.instant import HOUR_MICROS, Instant, datetime_from_instant
from tokenroll.model.limits import FORECAST_PAST_DAYS_MAX, FORECAST_PAST_HOURS_MAX, PEOPLE_TOLD_MIN
from tokenroll.services.meter_quarantine import LeftOut, amount_of, left_out, quarantined
from tokenroll.services.wire import CREDITS
from tokenroll.store.lake import LakeView
from tokenroll.store.lake_queries import MEASURES, OF_ONE_PERSON, Condition, UsageQuery, answer
from tokenroll.store.lake_schema import DAY_MICROS, USAGE

PAST_DAYS_MIN: Final = 21
"""Days without which nothing is said: three weeks, of which one tests what two have learned."""
PAST_HOURS_MIN: Final = 7 * 24
TOGETHER: Final = "small groups together"
"""Teams or models of too few people, whose hours are told in one row."""
NOBODY: Final = "nobody named"
"""Usage of which no source tells a member, a department or a model."""
_STALE_DAYS: Final = 7
_DAYS_AT_ONCE: Final = 50
_HOURS_AT_ONCE: Final = 7 * 24


class Level(StrEnum):
    """Of whom one is told: the company alone, or what adds up to it."""

    COMPANY = "company"
    TEAM = "team"
    MEMBER = "member"
    MODEL = "model"


class Measure(StrEnum):
    """What is forecast, by the names that questions to the lake use."""

    LIST = "list"
    NET = "net"
    CHARGE = "charge"
    MODEL_TOKENS = "model_tokens"

    @property
    def called(self) -> str:
        """Its name in a sentence."""
        return _TITLES[self]

    @property
    def is_cost(self) -> bool:
        """Whether prices move it."""
        return self is not Measure.MODEL_TOKENS


_TITLES: Final = {
    Measure.LIST: "list cost",
    Measure.NET: "net cost",
    Measure.CHARGE: "charge",
    Measure.MODEL_TOKENS: "model tokens",
}


class ForecastError(ValueError):
    """What cannot be forecast; the message says why, and what can be done."""


class ScenarioError(ForecastError):
    """A scenario that does not fit the question."""


class Headcount(NamedTuple):
    """From a day on a team, or the company where none is named, has other heads."""

    on: date
    team: str
    heads_before: int
    heads_after: int


class PriceChange(NamedTuple):
    """From a day on the same use costs so many times as much."""

    on: date
    factor: float


class Rollout(NamedTuple):
    """From a day to another, both included, use grows in a straight line to so many times what it was."""

    first: date
    last: date
    factor: float


Change = Headcount | PriceChange | Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastQuestion:
    """What is asked. `first_at` is the beginning of the first period to forecast, a day's or an hour's in UTC."""

    first_at: Instant
    horizon: int
    by: Level = Level.COMPANY
    measure: Measure = Measure.LIST
    is_hourly: bool = False
    method: Method = Method.LIGHT
    where: tuple[Condition, ...] = ()
    changes: tuple[Change, ...] = ()
    is_working_day: Callable[[date], bool] | None = None

    @property
    def width(self) -> int:
        """Microseconds of a period."""
        return HOUR_MICROS if self.is_hourly else DAY_MICROS

    def start_of(self, place: int) -> datetime:
        """The beginning of a period; 0 is the first to forecast, the ones before it are negative."""
        return datetime_from_instant(self.first_at + place * self.width)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UsagePast:
    """The past that a question is answered from: names of its lowest rows, and what cannot be seen in it."""

    past: Past
    names: tuple[str, ...]
    unit: str
    scale: float
    """How many of the whole units that are added up make one of `unit`."""
    unknown_count: int
    """Sums of whose parts nobody told the measure: they count as nothing."""
    left_out: LeftOut
    """Calls whose meter cannot be right (W12) and that nobody confirmed: they are no part of the past."""
    newest_at: Instant
    together: tuple[str, ...]
    """Teams or models whose hours are told in one row, because one of them would tell of too few people (law 10)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forecasted:
    """A question, the past, the outlook and its backtest."""

    question: ForecastQuestion
    usage: UsagePast
    outlook: Outlook
    tested: TriedOut | None
    notes: tuple[str, ...]


def forecast_usage(view: LakeView, question: ForecastQuestion) -> Forecasted:
    """The answer. Raises ForecastError, and QuestionError for conditions that the lake does not know."""
    usage = past_of(view, question)
    found = outlook(usage.past, question.horizon, question.method)
    for factors in _factors(question, usage.names):
        found = under_factors(found, factors)
    accuracy = tried_out(usage.past, question.horizon, question.method)
    return Forecasted(
        question=question, usage=usage, outlook=found, tested=accuracy, notes=_notes(question, usage, found)
    )


def backtest_usage(view: LakeView, question: ForecastQuestion) -> tuple[UsagePast, TriedOut | None]:
    """The accuracy alone, as `forecast_usage` tells it beside its figures. Raises ForecastError."""
    usage = past_of(view, question)
    return usage, tried_out(usage.past, question.horizon, question.method)


def past_of(view: LakeView, question: ForecastQuestion) -> UsagePast:
    """What the lake knows before the first period to forecast, period by period. Raises ForecastError for too little."""
    if question.method is Method.BOOSTED and find_spec("lightgbm") is None:
        raise ForecastError(
            "boosted trees need a library that is not installed: install `tokenroll[forecast]`, or ask with --method light"
        )
    _refuse_hours_of_one(question)
    files = view.manifest.of_kind(USAGE)
    earliest = min((one.admitted_from_at for one in files), default=question.first_at)
    most = FORECAST_PAST_HOURS_MAX if question.is_hourly else FORECAST_PAST_DAYS_MAX
    count = min(most, -(-(question.first_at - earliest) // question.width))
    _refuse_short(question, count)
    rows, names, groups, unit, unknown = _read(view, question, count)
    without = _leave_out(view, question, count, rows, unit)
    rows, names, groups, together = _told_apart(view, question, count, (rows, names, groups))
    if not rows or not any(any(one.values()) for one in rows.values()):
        raise ForecastError(
            f"none of the {count} {_periods(question)} before {question.start_of(0):%Y-%m-%d} has any {question.measure.called}: "
            "there is nothing to learn from"
        )
    table = _table(rows, count)
    first = int((~np.isnan(table)).any(0).argmax())
    _refuse_short(question, count - first)
    group_names = sorted(set(groups.values())) if question.by is not Level.MODEL else list(names)
    place = {name: number for number, name in enumerate(group_names)}
    group_of = tuple(place[groups[name]] if question.by is not Level.MODEL else place[name] for name in names)
    is_people = question.by is not Level.MODEL
    return UsagePast(
        past=Past(
            rows=table[:, first:],
            group_of=group_of,
            depth={Level.COMPANY: 1, Level.TEAM: 2, Level.MODEL: 2, Level.MEMBER: 3}[question.by],
            is_hourly=question.is_hourly,
            is_people=is_people,
            off=_off(question, count - first),
        ),
        names=("company",) if question.by is Level.COMPANY else tuple(group_names if question.by is Level.TEAM else names),
        unit=unit,
        scale=float(NANOS_PER_CREDIT) if question.measure.is_cost else 1.0,
        unknown_count=unknown,
        left_out=without,
        newest_at=max(one.admitted_last_at for one in files),
        together=together,
    )  # fmt: skip


def _periods(question: ForecastQuestion) -> str:
    return "hours" if question.is_hourly else "days"


def _refuse_short(question: ForecastQuestion, count: int) -> None:
    least = PAST_HOURS_MIN if question.is_hourly else PAST_DAYS_MIN
    if count < least:
        raise ForecastError(
            f"the usage lake knows {max(0, count)} {_periods(question)} before {question.start_of(0):%Y-%m-%d}; a forecast needs {least}"
        )


_Rows = dict[str, dict[int, int]]


def _read(
    view: LakeView, question: ForecastQuestion, count: int
) -> tuple[_Rows, tuple[str, ...], dict[str, str], str, int]:
    """Each row's sums by period, the rows' names in order, the newest team of each, the unit, and how many sums nobody told."""
    rows: _Rows = {}
    groups: dict[str, str] = {}
    newest: dict[str, int] = {}
    unknown, units = 0, set()
    column, time = MEASURES[question.measure], "hour_at" if question.is_hourly else "day"
    keys = ("model",) if question.by is Level.MODEL else ("member", "department")
    for from_at, until in _slices(question, count):
        asked = UsageQuery(
            by=("hour" if question.is_hourly else "day", *keys), measures=(question.measure.value,), where=question.where,
            from_at=from_at, until=until,
        )  # fmt: skip
        found = answer(view, asked)
        units.add(found.currency)
        columns = [found.table.column(name).to_pylist() for name in (time, *keys, column)]
        for at, name, *group, amount in zip(*columns, strict=True):
            place = count - (question.first_at - _instant(at)) // question.width
            row = rows.setdefault(name or NOBODY, {})
            row[place] = row.get(place, 0) + max(0, amount or 0)
            unknown += amount is None
            if group and place >= newest.get(name or NOBODY, -1):
                newest[name or NOBODY], groups[name or NOBODY] = place, group[0] or NOBODY
    unit = {Measure.CHARGE: CREDITS, Measure.MODEL_TOKENS: "model tokens"}.get(question.measure, "")
    named = sorted(units - {""})
    if not unit and len(named) > 1:
        raise ForecastError(f"these costs are in {', '.join(named)}: ask with --where currency={named[0]}")
    return rows, tuple(sorted(rows)), groups, unit or (named[0] if named else "USD"), unknown


def _leave_out(view: LakeView, question: ForecastQuestion, count: int, rows: _Rows, unit: str) -> LeftOut:
    """Takes calls out of the rows that are quarantined, and says how many and how much: nobody spent what they cost."""
    asked = UsageQuery(
        where=question.where, from_at=question.first_at - count * question.width, until=question.first_at
    )  # fmt: skip
    found = quarantined(view, asked)
    for call in found:
        row = rows[(call.model if question.by is Level.MODEL else call.member) or NOBODY]
        place = count - (question.first_at - call.admitted_at // question.width * question.width) // question.width
        row[place] = max(0, row[place] - amount_of(call, question.measure))
    return left_out(found, question.measure, unit)


_Told: TypeAlias = tuple[_Rows, tuple[str, ...], dict[str, str]]


def _refuse_hours_of_one(question: ForecastQuestion) -> None:
    """Hours of one person are theirs alone, whether asked by member or with a condition that leaves one."""
    if question.is_hourly and question.by is Level.MEMBER:
        raise ScenarioError("the hours of one person are theirs alone: ask for hours by team, or for members by day")
    named = [one.dimension for one in question.where if one.dimension in OF_ONE_PERSON and one.operator == "="]
    if question.is_hourly and named:
        raise ScenarioError(
            f"the hours of one {named[0]} are one person's alone: ask without --where {named[0]}=, or by day"
        )


def _told_apart(
    view: LakeView, question: ForecastQuestion, count: int, known: _Told
) -> tuple[_Rows, tuple[str, ...], dict[str, str], tuple[str, ...]]:
    """Of hours, teams and models of too few people as one, and which they are; of days everything as it is (law 10)."""
    rows, names, groups = known
    if not question.is_hourly:
        return rows, names, groups, ()
    users = _users(view, question, count, known)
    everybody = set().union(*users.values()) if users else set()
    if 0 < len(everybody) < PEOPLE_TOLD_MIN:
        raise ForecastError(
            f"the hours of {len(everybody)} people would tell of each: they are withheld below {PEOPLE_TOLD_MIN}; ask by day"
        )
    together = told_together({name: len(people) for name, people in users.items()})
    if not together or question.by is Level.COMPANY:
        return rows, names, groups, ()
    if question.by is Level.TEAM:
        return (
            rows,
            names,
            {name: TOGETHER if team in together else team for name, team in groups.items()},
            tuple(sorted(together)),
        )
    merged: _Rows = {}
    for name, row in rows.items():
        found = merged.setdefault(TOGETHER if name in together else name, {})
        for place, amount in row.items():
            found[place] = found.get(place, 0) + amount
    return merged, tuple(sorted(merged)), groups, tuple(sorted(together))


def _users(view: LakeView, question: ForecastQuestion, count: int, known: _Told) -> dict[str, set[str]]:
    """Which named people used something under each team or model."""
    rows, _, groups = known
    found: dict[str, set[str]] = {}
    if question.by is not Level.MODEL:
        for name in rows:
            found.setdefault(groups[name], set()).update({name} - {NOBODY})
        return found
    asked = UsageQuery(
        by=("model", "member"), measures=("calls",), where=question.where,
        from_at=question.first_at - count * question.width, until=question.first_at,
    )  # fmt: skip
    for row in answer(view, asked).rows():
        found.setdefault(row["model"] or NOBODY, set()).update({row["member"]} - {""})
    return found


def _instant(at: Any) -> int:
    return (at - date(1970, 1, 1)).days * DAY_MICROS if isinstance(at, date) else int(at)


def _slices(question: ForecastQuestion, count: int) -> Iterator[tuple[Instant, Instant]]:
    """The past in parts, each small enough for one answer of the lake."""
    step = _HOURS_AT_ONCE if question.is_hourly else _DAYS_AT_ONCE
    for start in range(-count, 0, step):
        end = min(0, start + step)
        yield question.first_at + start * question.width, question.first_at + end * question.width


def _table(rows: _Rows, count: int) -> Floats:
    """Row × period: zero where nothing was used, NaN before the first use."""
    found = np.zeros((len(rows), count))
    for number, name in enumerate(sorted(rows)):
        row = rows[name]
        found[number, list(row)] = list(row.values())
        found[number, : min(row)] = np.nan
    return found


def _off(question: ForecastQuestion, count: int) -> Flags | None:
    """Whether nobody works, of each period known and to come; None where nobody said which country's holidays hold."""
    works = question.is_working_day
    if works is None:
        return None
    return np.asarray([not works(question.start_of(one).date()) for one in range(-count, question.horizon)], np.bool_)


# ---- scenarios ----------------------------------------------------------------------------------------------------------


def _factors(question: ForecastQuestion, names: Sequence[str]) -> Iterator[Floats]:
    for one in question.changes:
        match one:
            case PriceChange():
                if not question.measure.is_cost:
                    raise ScenarioError(
                        "a price moves costs and no model tokens: ask with --measure list, net or charge"
                    )
                yield price_factors(question.horizon, at=_place(question, one.on), factor=one.factor)
            case Rollout():
                last = _place(question, one.last + timedelta(days=1), is_end=True) - 1
                yield rollout_factors(
                    question.horizon, start=_place(question, one.first), end=last, factor=one.factor
                )  # fmt: skip
            case Headcount():
                yield _heads(question, names, one)


def _heads(question: ForecastQuestion, names: Sequence[str], one: Headcount) -> Floats:
    factors = headcount_factors(
        question.horizon, at=_place(question, one.on), heads_before=one.heads_before, heads_after=one.heads_after
    )  # fmt: skip
    if question.by is Level.MEMBER:
        raise ScenarioError(
            "who is still to be hired has no name: ask for a headcount with --by company, team or model"
        )
    if not one.team:
        return factors
    if question.by is not Level.TEAM:
        raise ScenarioError("a team's headcount is asked with --by team")
    if one.team not in names:
        raise ScenarioError(f"there is no team {one.team!r} in this usage: there are {', '.join(names)}")
    return np.stack([factors if name == one.team else np.ones(question.horizon) for name in names])


def _place(question: ForecastQuestion, on: date, *, is_end: bool = False) -> int:
    """The first period that begins on a day or later. Raises ScenarioError for a day that is not forecast."""
    at = (on - date(1970, 1, 1)).days * DAY_MICROS
    found = -((question.first_at - at) // question.width)
    if not is_end and not 0 <= found < question.horizon:
        first, last = question.start_of(0), question.start_of(question.horizon - 1)
        raise ScenarioError(f"{on} is not in what is forecast: {first:%Y-%m-%d} to {last:%Y-%m-%d}")
    return found


def _notes(question: ForecastQuestion, usage: UsagePast, found: Outlook) -> tuple[str, ...]:
    """What to know before believing the figures."""
    notes = []
    if question.method is Method.BOOSTED:
        levels = ("company", "teams" if usage.past.is_people else "models", "members")
        light = [level for level, name in zip(levels, found.methods, strict=False) if name != "boosted trees"]
        if light:
            notes.append(f"too few series and days to learn trees from: {', '.join(light)} by the light method")
    if usage.unknown_count:
        notes.append(
            f"{usage.unknown_count} sums of the past tell no {question.measure.called} and count as nothing: the figures are too low"
        )
    if usage.left_out.call_count:
        notes.append(usage.left_out.text())
    if usage.together:
        notes.append(
            f"withheld one by one, since fewer than {PEOPLE_TOLD_MIN} people's hours would be told: {', '.join(usage.together)}; they are "
            f"in {TOGETHER!r}"
        )
    still = (question.first_at - usage.newest_at) // DAY_MICROS
    if still >= _STALE_DAYS:
        newest = datetime_from_instant(usage.newest_at).date()
        notes.append(
            f"the newest usage is of {newest}: the {still} days since count as zero; --from {newest} forecasts from there"
        )
    if usage.past.rows.shape[1] < 2 * DAYS_PER_WEEK * DAYS_PER_WEEK and not question.is_hourly:
        notes.append("a season of the year cannot be seen in so few weeks")
    return tuple(notes)
