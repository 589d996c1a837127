"""Calendar steps: months and days in a time zone, and the pay cycles made of them.

Every date is `anchor + n x period`, never the last date plus one period: stepping from a clamped date would turn
31 January, 28 February into 28 March for ever (DESIGN §4 law 9). Zones are passed in, so nothing here reads a machine.
"""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from tokenroll.model.instant import Instant, datetime_from_instant, instant_from_datetime
from tokenroll.model.pay_cycle import PayCycle, PayCycleKind
from tokenroll.model.vesting import Period, PeriodUnit


def month_step(anchor: Instant, months: int, zone: tzinfo, *, day: int = 0) -> Instant:
    """The anchor plus `months` calendar months: same wall clock in `zone`, day clamped to the month's last.

    `day` takes the place of the anchor's day of the month (0: the anchor's own). A wall time that a clock change skips moves forward by the length of the gap; one that happens twice keeps the
    anchor's side. Raises ValueError outside the years that dates can name.
    """
    local = _local(anchor, zone)
    year, month0 = divmod(local.year * 12 + local.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise ValueError(f"{months} months from {local.isoformat()} is the year {year}, which dates cannot name")
    clamped = min(day or local.day, monthrange(year, month0 + 1)[1])
    return _instant_of_wall(local.replace(year=year, month=month0 + 1, day=clamped))


def period_step(anchor: Instant, n: int, period: Period, zone: tzinfo) -> Instant:
    """The anchor plus `n` periods, in wall-clock days or months of `zone`.

    A day is a calendar day, not 24 hours, because people count the days on a calendar. Raises ValueError as
    `month_step` does.
    """
    if period.unit is PeriodUnit.MONTH:
        return month_step(anchor, n * period.count, zone)
    local = _local(anchor, zone)
    try:
        # adding a timedelta forgets which of two equal wall times it was
        return _instant_of_wall((local + timedelta(days=n * period.count)).replace(fold=local.fold))
    except OverflowError as error:
        raise ValueError(f"{n * period.count} days from {local.isoformat()} is a date that cannot be named") from error


def day_start(day: date, zone: tzinfo) -> Instant:
    """The first instant of a day in `zone`; a midnight that a clock change skips moves forward by the length of the gap."""
    return _instant_of_wall(datetime.combine(day, time(), zone))


def month_cycle_at(at: Instant, zone_name: str, zone: tzinfo) -> PayCycle:
    """The calendar month of `zone` that contains `at`, from local midnight to local midnight.

    Raises ValueError for the first and the last month that dates can name, which have no end on one side.
    """
    local = _local(at, zone)
    first = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)
    start_at = _instant_of_wall(first)
    year, month0 = divmod(local.year * 12 + local.month, 12)
    return PayCycle(
        kind=PayCycleKind.MONTHLY,
        name=f"{local.year:04d}-{local.month:02d}",
        zone=zone_name,
        start_at=start_at,
        # from the wall clock and not from start_at: a midnight that was skipped must not shift the next one
        end_until=_instant_of_wall(first.replace(year=year, month=month0 + 1)),
    )


def next_cycle(cycle: PayCycle, zone: tzinfo) -> PayCycle:
    """The cycle that starts where this one ends."""
    return month_cycle_at(cycle.end_until, cycle.zone, zone)


def _local(at: Instant, zone: tzinfo) -> datetime:
    """The wall clock of `zone` at an instant. Raises ValueError where that date has no name."""
    try:
        return datetime_from_instant(at).astimezone(zone)
    except OverflowError as error:
        raise ValueError(f"{at} microseconds is a date in {zone} that cannot be named") from error


def _instant_of_wall(wall: datetime) -> Instant:
    """The instant at which `wall` is read off a clock, moved forward where the clock skips it. Raises ValueError as `_local`."""
    try:
        moment = wall.astimezone(UTC)
        if moment.astimezone(wall.tzinfo).replace(tzinfo=None) != wall.replace(tzinfo=None):
            # in a gap fold 0 means the offset before it, which lands behind the gap (PEP 495)
            moment = wall.replace(fold=0).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{wall.isoformat()} is a date that cannot be named in UTC") from error
    return instant_from_datetime(moment)
