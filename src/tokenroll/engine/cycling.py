"""Cycling: which pay cycle a day is in, under the calendars that a company set one after another.

Cycles are made of days, so they are the same everywhere; a zone only says at which instant a day begins. Before the first
calendar, and without any, cycles are calendar months. Where a calendar takes effect the running cycle of the one before ends.

A cycle's number orders it among all cycles and stands in rows: a month that nobody set is YYYYMM, every other cycle is its first day,
YYYYMMDD. Eight digits are above six, so numbers grow with time whatever calendar follows another.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta, tzinfo

from tokenroll.engine.calendar import day_start
from tokenroll.model.instant import Instant, datetime_from_instant
from tokenroll.model.pay_cycle import CycleDays, PayCalendar, PayCycle, PayCycleKind, YearEnd

MONTHS = PayCalendar(effective_on=date.min, kind=PayCycleKind.MONTHLY)
"""What holds until a calendar is set."""
_DAY = timedelta(days=1)
_WEEK = 7
_PERIODS_PER_YEAR = 12


def calendar_on(calendars: Sequence[PayCalendar], day: date) -> tuple[PayCalendar, date | None]:
    """The calendar that holds on a day, and the day from which the next one does. `calendars` ascend by `effective_on`."""
    holding, following = MONTHS, None
    for one in calendars:
        if one.effective_on > day:
            following = one.effective_on
            break
        holding = one
    return holding, following


def cycle_on(calendars: Sequence[PayCalendar], day: date) -> CycleDays:
    """The cycle that a day is in. Raises ValueError at the ends of what dates can name."""
    calendar, following = calendar_on(calendars, day)
    name, starts_on, until_on = _natural(calendar, day)
    starts_on = max(starts_on, calendar.effective_on)
    number = starts_on.year * 100 + starts_on.month
    if calendar is not MONTHS:
        number = number * 100 + starts_on.day
    return CycleDays(number, name, starts_on, until_on if following is None else min(until_on, following))


def begins_on(calendar: PayCalendar, day: date) -> date:
    """The first day of the cycle that a day would be in, if the calendar had always held."""
    return _natural(calendar, day)[1]


def cycle_numbered(calendars: Sequence[PayCalendar], number: int) -> CycleDays:
    """The cycle of a number in a row. Raises ValueError for a number of none."""
    month, day = (number, 1) if number < 1_000_000 else divmod(number, 100)
    found = cycle_on(calendars, date(month // 100, month % 100, day))
    if found.number != number:
        raise ValueError(f"{number} is the number of no cycle")
    return found


def cycle_named(calendars: Sequence[PayCalendar], name: str) -> CycleDays | None:
    """The cycle of that name, such as `2026-01` or `2026-W07`; None when there is none."""
    for calendar in calendars:
        for listed in calendar.custom:
            if listed.name == name:
                found = cycle_on(calendars, listed.starts_on)
                return found if found.name == name else None
    if len(name) < len("2026-01") or not (name[:4].isascii() and name[:4].isdigit()) or name[4] != "-":
        return None
    year = int(name[:4])
    if not date.min.year < year < date.max.year:
        return None
    # a name may belong to the year beside it: a week begins in December, a year of weeks may begin eleven months before
    for one in cycles_from(calendars, date(year - 1, 1, 1)):
        if one.name == name:
            return one
        if one.starts_on.year > year:
            break
    return None


def cycles_from(calendars: Sequence[PayCalendar], day: date) -> Iterator[CycleDays]:
    """The cycle that a day is in, and all after it."""
    while True:
        found = cycle_on(calendars, day)
        yield found
        day = found.until_on


def following_cycle(calendars: Sequence[PayCalendar], number: int) -> CycleDays:
    """The cycle after the one of that number."""
    return cycle_on(calendars, cycle_numbered(calendars, number).until_on)


def preceding_cycle(calendars: Sequence[PayCalendar], number: int) -> CycleDays:
    """The cycle before the one of that number."""
    return cycle_on(calendars, cycle_numbered(calendars, number).starts_on - _DAY)


def day_at(at: Instant, zone: tzinfo) -> date:
    """The day in `zone` at an instant, as days follow each other.

    A clock that is set back over midnight shows the evening twice; the day that had begun goes on, so that days tile time.
    """
    try:
        day = datetime_from_instant(at).astimezone(zone).date()
    except OverflowError as error:
        raise ValueError(f"{at} microseconds is a date in {zone} that cannot be named") from error
    return day + _DAY if day_start(day + _DAY, zone) <= at else day


def cycle_at(calendars: Sequence[PayCalendar], at: Instant, zone: tzinfo) -> CycleDays:
    """The cycle that an instant is in."""
    return cycle_on(calendars, day_at(at, zone))


def cycle_span(days: CycleDays, zone_name: str, zone: tzinfo, kind: PayCycleKind = PayCycleKind.MONTHLY) -> PayCycle:
    """The cycle's instants in a zone, from local midnight to local midnight."""
    return PayCycle(
        kind=kind,
        name=days.name,
        zone=zone_name,
        start_at=day_start(days.starts_on, zone),
        end_until=day_start(days.until_on, zone),
    )


# ---- the kinds ----------------------------------------------------------------------------------------------------------


def _natural(calendar: PayCalendar, day: date) -> tuple[str, date, date]:
    """Name, first day and first day after, as if the calendar held for ever."""
    match calendar.kind:
        case PayCycleKind.SEMI_MONTHLY:
            return _half_month(day)
        case PayCycleKind.WEEKLY:
            return _weeks(calendar.effective_on, day, 1)
        case PayCycleKind.BI_WEEKLY:
            return _weeks(calendar.effective_on, day, 2)
        case PayCycleKind.QUARTERS:
            return _period(calendar, day)
        case PayCycleKind.CUSTOM if calendar.custom_until is not None and day < calendar.custom_until:
            return _custom(calendar, calendar.custom_until, day)
        case PayCycleKind.CUSTOM if calendar.custom_until is not None:
            name, starts_on, until_on = _month(day)
            return name, max(starts_on, calendar.custom_until), until_on
        case _:
            return _month(day)


def _month(day: date) -> tuple[str, date, date]:
    year, month0 = divmod(day.year * 12 + day.month, 12)
    try:
        until_on = date(year, month0 + 1, 1)
    except ValueError as error:
        raise ValueError(f"the month of {day} has no end that dates can name") from error
    return f"{day:%Y-%m}", day.replace(day=1), until_on


def _half_month(day: date) -> tuple[str, date, date]:
    name, starts_on, until_on = _month(day)
    middle = starts_on.replace(day=16)
    return (f"{name}-A", starts_on, middle) if day < middle else (f"{name}-B", middle, until_on)


def _weeks(anchor: date, day: date, count: int) -> tuple[str, date, date]:
    """So many weeks from an anchor: a week is named by its fourth day (as ISO 8601 does), two weeks by the year they end in."""
    length = count * _WEEK
    starts_on = anchor + timedelta(days=(day - anchor).days // length * length)
    naming = starts_on + timedelta(days=3 if count == 1 else length - 1)
    number = (naming.timetuple().tm_yday - 1) // length + 1
    sign = "W" if count == 1 else "BW"
    return f"{naming.year:04d}-{sign}{number:02d}", starts_on, starts_on + timedelta(days=length)


def year_of_weeks_ends_on(calendar: PayCalendar, year: int) -> date:
    """The last day of the year of weeks whose last month is in that calendar year."""
    following = date(year + calendar.year_end_month // 12, calendar.year_end_month % 12 + 1, 1)
    last = following - _DAY
    back = (last.weekday() - calendar.year_end_weekday) % _WEEK
    if calendar.year_end is YearEnd.NEAREST and back > 3:
        back -= _WEEK
    return last - timedelta(days=back)


def _period(calendar: PayCalendar, day: date) -> tuple[str, date, date]:
    """A period of weeks of a year of 52 or 53 weeks; the 53rd belongs to the last period."""
    year = day.year - 1
    while year_of_weeks_ends_on(calendar, year) < day:
        year += 1
    starts_on = year_of_weeks_ends_on(calendar, year - 1) + _DAY
    year_until = year_of_weeks_ends_on(calendar, year) + _DAY
    # a year that ends with January is called after the one it was nearly all in, as retailers do
    shown = year - 1 if calendar.year_end_month == 1 else year
    for period in range(_PERIODS_PER_YEAR):
        until_on = starts_on + timedelta(days=_WEEK * calendar.weeks[period % 3])
        if period == _PERIODS_PER_YEAR - 1:
            until_on = year_until
        if day < until_on:
            break
        starts_on = until_on
    return f"{shown:04d}-P{period + 1:02d}", starts_on, until_on


def _custom(calendar: PayCalendar, until_on: date, day: date) -> tuple[str, date, date]:
    for one in reversed(calendar.custom):
        if one.starts_on <= day:
            return one.name, one.starts_on, until_on
        until_on = one.starts_on
    # before the first one nothing is asked: the calendar before holds then
    return calendar.custom[0].name, calendar.effective_on, until_on
