"""What a team's page has from the usage lake: what comes next, and, of teams of five and more, which models and hours.

Amounts of a team are its manager's to see; which models its people use and at which hours is behaviour, and is told only where at
least five of them used anything in the days that are shown (law 10). Nobody is told alone, and no part names anybody.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from tokenroll.insight.pictures import WEEKDAYS, Amount, Step, document, hours_of_week, sized, spend_by_name
from tokenroll.model.instant import Instant, datetime_from_instant
from tokenroll.model.limits import PEOPLE_TOLD_MIN, PICTURE_DAYS_MAX
from tokenroll.services.forecasting import NOBODY, ForecastQuestion, Measure
from tokenroll.services.lake_home import LakeHome
from tokenroll.services.lake_questions import working_days_of
from tokenroll.services.page_parts import Part, amounts, forecast_part, made, part, parts_told, share, table
from tokenroll.store.lake_queries import Condition, UsageQuery, answer
from tokenroll.store.lake_schema import DAY_MICROS

_DAYS_AHEAD: Final = 30
_DAYS_APART_MAX: Final = 21
"""Days up to which a mix is drawn by the day: of more it is one of weeks, since people do not choose anew each morning."""
_WIDTH: Final = 760
_NAMES: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_UNIT: Final = "credits"


def team_parts(home: LakeHome, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the lake says of a team."""
    return parts_told(home, _parts(home, facts))


def _parts(home: LakeHome, facts: Mapping[str, Any]) -> list[Part]:
    """The parts in the order of the page. `people` are the names of the team's persons, `where` says whose usage it is."""
    where = tuple(Condition(dimension=name, operator="=", value=value) for name, value in facts["where"])
    first_at = facts["now"] // DAY_MICROS * DAY_MICROS
    ahead = ForecastQuestion(
        first_at=first_at, horizon=_DAYS_AHEAD, measure=Measure.CHARGE, where=where, is_working_day=working_days_of(home)
    )  # fmt: skip
    period = (first_at - PICTURE_DAYS_MAX * DAY_MICROS, first_at + DAY_MICROS)
    parts = [
        made(
            "forecast",
            "What comes next cannot be said yet",
            lambda: forecast_part(home, ahead, "The team", facts["behind"]),
        )
    ]
    count = _people_active(home, where, period, facts["people"])
    if count < PEOPLE_TOLD_MIN:
        told = f"{count} {'person' if count == 1 else 'people'} of this team used anything in the last {PICTURE_DAYS_MAX} days"
        says = [
            f"{told}. Which models and which hours is told of {PEOPLE_TOLD_MIN} and more, so that nobody is told alone."
        ]
        return [*parts, part("habits", "Models and hours are not told of so few", says=says)]
    return [
        *parts,
        made("mix", "Which models cannot be said", lambda: _mix(home, where, period)),
        made("hours", "Which hours cannot be said", lambda: _hours(home, where, period, facts["zone"])),
    ]


def _people_active(
    home: LakeHome, where: Sequence[Condition], period: tuple[Instant, Instant], people: Sequence[str]
) -> int:
    """How many of these persons used anything: service accounts and who only has a name in somebody's log are none."""
    query = UsageQuery(by=("member",), measures=("calls",), where=tuple(where), from_at=period[0], until=period[1])
    return len({row["member"] for row in answer(home.view, query).rows()} & set(people))


def _mix(home: LakeHome, where: Sequence[Condition], period: tuple[Instant, Instant]) -> Part:
    query = UsageQuery(
        by=("day", "model"), measures=("charge",), where=tuple(where), from_at=period[0], until=period[1]
    )  # fmt: skip
    points = [
        Amount(on=date.fromisoformat(row["day"]), name=row["model"] or NOBODY, nanos=row["charge_nanos"] or 0)
        for row in answer(home.view, query).rows()
    ]
    first, last = min(one.on for one in points), max(one.on for one in points)
    half = first + timedelta(days=((last - first).days + 1) // 2)
    before, after = (
        _by_name([one for one in points if one.on < half]),
        _by_name([one for one in points if one.on >= half]),
    )
    whole = _by_name(points)
    ranked = sorted(whole, key=lambda name: (-whole[name], name))
    step = Step.WEEK if (last - first).days > _DAYS_APART_MAX else Step.DAY
    view = spend_by_name(points, unit="charge", what="model", step=step, share=True)
    sums = (sum(before.values()), sum(after.values()))
    told = amounts([whole[name] for name in ranked])
    rows = [
        [name, told[place], share(whole[name], sum(whole.values())), share(before.get(name, 0), sums[0]), share(after.get(name, 0), sums[1])]
        for place, name in enumerate(ranked)
    ]  # fmt: skip
    columns = [("Model", False), (f"Charge, {_UNIT}", True), ("Share", True), (f"before {half}", True), ("since", True)]
    return part(
        "mix", _shift(before, after, half), picture=document(sized(view, _WIDTH, 220), ""),
        tables=[table(f"Charge by model, {first} to {last}", columns, rows)],
    )  # fmt: skip


def _shift(before: Mapping[str, int], after: Mapping[str, int], half: date) -> str:
    """Whose share moved most between the halves of the time that is shown."""
    wholes = (sum(before.values()), sum(after.values()))
    if not all(wholes):
        name = max(after or before, key=lambda one: ((after or before)[one], one))
        return f"Most is charged for {name}"
    moved = {
        name: after.get(name, 0) / wholes[1] - before.get(name, 0) / wholes[0] for name in sorted({*before, *after})
    }  # fmt: skip
    name = max(moved, key=lambda one: abs(moved[one]))
    shares = (share(before.get(name, 0), wholes[0]), share(after.get(name, 0), wholes[1]))
    return f"{name} moved most: {shares[0]} of the charge before {half:%-d %B}, {shares[1]} since"


def _hours(home: LakeHome, where: Sequence[Condition], period: tuple[Instant, Instant], zone: str) -> Part:
    query = UsageQuery(by=("hour",), measures=("charge",), where=tuple(where), from_at=period[0], until=period[1])
    grid = [[0] * 24 for _ in WEEKDAYS]
    for row in answer(home.view, query).rows():
        at = datetime_from_instant(row["hour_at"]).astimezone(ZoneInfo(zone))
        grid[at.weekday()][at.hour] += row["charge_nanos"] or 0
    whole = sum(map(sum, grid))
    day = max(range(len(WEEKDAYS)), key=lambda one: sum(grid[one]))
    night = sum(sum(row[:8]) + sum(row[20:]) for row in grid)
    title = f"{_NAMES[day]} is the busiest day, and {share(night, whole)} of the charge falls before 8 or after 20 h"
    told = amounts([nanos for row in grid for nanos in row])
    rows = [[f"{hour:02}", *(told[day * 24 + hour] for day in range(len(WEEKDAYS)))] for hour in range(24)]
    columns = [(f"Hour, {zone}", False), *((name, True) for name in WEEKDAYS)]
    return part(
        "hours", title, picture=document(sized(hours_of_week(grid, unit=_UNIT), _WIDTH, 170), ""),
        tables=[table(f"Charge by hour and weekday, {_UNIT}, of the last {PICTURE_DAYS_MAX} days", columns, rows)],
    )  # fmt: skip


def _by_name(points: Sequence[Amount]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in points:
        found[one.name] = found.get(one.name, 0) + one.nanos
    return found
