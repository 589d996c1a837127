"""Pay calendars: which cycles there are from a day on, and when each is paid."""

from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any, Final, Required, TypedDict
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from tokenroll.engine import cycling
from tokenroll.engine.calendar_terms import CALENDARS_SETTING, calendar_text, calendars_text
from tokenroll.engine.paydays import is_weekday, pay_day
from tokenroll.model.instant import Instant
from tokenroll.model.limits import CUSTOM_CYCLES_MAX
from tokenroll.model.pay_cycle import CustomCycle, PayCalendar, PayCycleKind, YearEnd
from tokenroll.services.finding import required
from tokenroll.services.pay_days import pay_day_rule, working_days
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema
from tokenroll.store.cycles import CycleBook, read_calendars

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_FOREMOST: Final = ZoneInfo("Pacific/Kiritimati")
"""Where a day begins first: a day that has not begun there has begun nowhere."""
_NAMES_COMPARED: Final = timedelta(days=400)


class _SetCalendar(TypedDict, total=False):
    effective_on: Required[str]
    kind: Required[str]
    weeks: str
    year_end_month: int
    year_end_weekday: str
    year_end: str
    custom: list[list[str]]
    custom_until: str


def set_calendar(work: UnitOfWork, arguments: _SetCalendar) -> dict[str, Any]:
    """From a day to come on, other cycles. Calls of before stay in the cycle that they were booked to.

    `effective_on`, `kind`, and for a year of weeks `weeks`, `year_end_month`, `year_end_weekday`, `year_end`; for a custom
    calendar `custom` (pairs of name and first day) and `custom_until`. Raises Refused.
    """
    calendar = _calendar(arguments)
    _refuse_begun(calendar, work.now)
    _refuse_middle(calendar)
    row_id, public_id = work.new_id("pay_calendars"), work.public_id("calendar")
    before = read_calendars(work.connection)
    work.connection.execute(
        schema.pay_calendars.insert().values(
            id=row_id,
            public_id=public_id,
            effective_on=calendar.effective_on.isoformat(),
            kind=calendar.kind.value,
            terms_json=calendar_text(calendar),
            recorded_at=work.now,
        )
    )
    work.fact(schema.pay_calendars, row_id)
    after = read_calendars(work.connection)
    _refuse_double(after, calendar)
    work.setting_changed(CALENDARS_SETTING, calendars_text(after))
    cut = cycling.cycle_on(after, calendar.effective_on - timedelta(days=1))
    whole = cycling.cycle_on(before, cut.starts_on)
    coming = islice(cycling.cycles_from(after, calendar.effective_on), 3)
    return {
        "calendar": public_id,
        "kind": calendar.kind.value,
        "effective_on": calendar.effective_on.isoformat(),
        "first_cycles": ", ".join(one.name for one in coming),
        "cut_short": f"{cut.name} ends before {cut.until_on}, not {whole.until_on}" if cut != whole else None,
    }


def calendars(connection: Connection) -> list[dict[str, Any]]:
    """Every calendar that was set, newest first."""
    table = schema.pay_calendars
    rows = connection.execute(select(table).order_by(table.c.id.desc())).all()
    return [
        {
            "calendar": row.public_id,
            "kind": row.kind,
            "effective_on": row.effective_on,
            "recorded_at": row.recorded_at,
        }
        for row in rows
    ]


def cycle_dates(connection: Connection, day: date, count: int) -> list[dict[str, Any]]:
    """The cycle that a day is in and those after it: what each is called, its first and last day, and when it is paid."""
    book = CycleBook(connection)
    rule = pay_day_rule(connection)
    works = is_weekday if rule is None else working_days(rule)
    return [
        {
            "cycle": one.name,
            "starts_on": one.starts_on.isoformat(),
            "ends_on": (one.until_on - timedelta(days=1)).isoformat(),
            "days_count": (one.until_on - one.starts_on).days,
            "paid_on": None if rule is None else pay_day(one, rule, works).isoformat(),
            "state": "closed" if one.number <= book.closed_through else "open",
        }
        for one in islice(cycling.cycles_from(book.calendars, day), count)
    ]


def _calendar(arguments: Mapping[str, Any]) -> PayCalendar:
    kind = required(arguments, "kind")
    if kind not in set(PayCycleKind):
        raise Refused("argument", f"a pay calendar is {', '.join(PayCycleKind)}, not {kind!r}")
    listed = arguments.get("custom") or ()
    if len(listed) > CUSTOM_CYCLES_MAX:
        raise Refused("argument", f"a custom calendar has at most {CUSTOM_CYCLES_MAX} cycles, not {len(listed)}")
    until = arguments.get("custom_until")
    weekday = str(arguments.get("year_end_weekday") or "saturday").lower()
    if weekday not in WEEKDAYS:
        raise Refused("argument", f"a year of weeks ends on a {', '.join(WEEKDAYS)}, not {weekday!r}")
    year_end = arguments.get("year_end") or YearEnd.LAST.value
    if year_end not in set(YearEnd):
        raise Refused(
            "argument",
            f"a year of weeks ends on the last such weekday of its month or the nearest one: last or nearest, not {year_end!r}",
        )
    weeks = str(arguments.get("weeks") or "4-4-5").split("-")
    if not all(one in {"4", "5"} for one in weeks) or len(weeks) != 3:
        raise Refused("argument", f"the weeks of a quarter are 4-4-5, 4-5-4 or 5-4-4, not {'-'.join(weeks)!r}")
    return PayCalendar(
        effective_on=_day(required(arguments, "effective_on")),
        kind=PayCycleKind(kind),
        weeks=(int(weeks[0]), int(weeks[1]), int(weeks[2])),
        year_end_month=int(arguments.get("year_end_month") or 12),
        year_end_weekday=WEEKDAYS.index(weekday),
        year_end=YearEnd(year_end),
        custom=tuple(CustomCycle(str(name), _day(starts_on)) for name, starts_on in listed),
        custom_until=None if until is None else _day(until),
    )


def _day(text: str) -> date:
    try:
        return datetime.strptime(str(text), "%Y-%m-%d").date()  # noqa: DTZ007 - a date has no zone
    except ValueError as error:
        raise Refused("argument", f"a day is a date such as 2026-02-09, not {text!r}") from error


def _refuse_begun(calendar: PayCalendar, now: Instant) -> None:
    today = cycling.day_at(now, _FOREMOST)
    if calendar.effective_on <= today:
        message = (
            f"a calendar takes effect on a day that has begun nowhere yet, {today + timedelta(days=1)} or later, not "
            f"{calendar.effective_on}: calls of a day that has begun are booked already"
        )
        raise Refused("argument", message)


def _refuse_middle(calendar: PayCalendar) -> None:
    begins = cycling.begins_on(calendar, calendar.effective_on)
    if begins != calendar.effective_on:
        raise Refused(
            "argument",
            f"{calendar.effective_on} is in the middle of a {calendar.kind.value} cycle, which begins on {begins}: "
            "a calendar takes effect on the first day of one of its cycles",
        )


def _refuse_double(known: tuple[PayCalendar, ...], calendar: PayCalendar) -> None:
    """Cycles of the old and the new calendar are told apart by name, or a person could not ask for one."""
    first, last = calendar.effective_on - _NAMES_COMPARED, calendar.effective_on + _NAMES_COMPARED
    names: Counter[str] = Counter()
    for one in cycling.cycles_from(known, first):
        if one.starts_on > last:
            break
        names[one.name] += 1
    double = sorted(name for name, count in names.items() if count > 1)
    if double:
        raise Refused(
            "conflict",
            f"there would be two cycles called {double[0]}: let the calendar take effect later, or name its cycles otherwise",
        )
