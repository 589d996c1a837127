"""Law 9 for pay cycles: under any calendars, one after another, every day is in exactly one cycle, and so is every instant."""

from datetime import date, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import utc
from tokenroll.engine import cycling
from tokenroll.engine.calendar_terms import calendars_from_text, calendars_text
from tokenroll.model.pay_cycle import PATTERNS, CustomCycle, PayCalendar, PayCycleKind, YearEnd

FIRST = date(2024, 1, 1)
DAYS = st.integers(0, 2500).map(lambda days: FIRST + timedelta(days=days))
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/Havana", "Pacific/Apia", "America/St_Johns", "Pacific/Kiritimati"]
)


@st.composite
def calendars(draw: st.DrawFn) -> PayCalendar:
    kind = draw(st.sampled_from(PayCycleKind))
    day = draw(DAYS)
    if kind is PayCycleKind.CUSTOM:
        lengths = draw(st.lists(st.integers(1, 90), min_size=1, max_size=5))
        starts = [day]
        for length in lengths:
            starts.append(starts[-1] + timedelta(days=length))
        listed = tuple(CustomCycle(f"C{starts_on}", starts_on) for starts_on in starts[:-1])
        return PayCalendar(effective_on=day, kind=kind, custom=listed, custom_until=starts[-1])
    terms = PayCalendar(
        effective_on=day, kind=kind, weeks=draw(st.sampled_from(PATTERNS)), year_end_month=draw(st.integers(1, 12)),
        year_end_weekday=draw(st.integers(0, 6)), year_end=draw(st.sampled_from(YearEnd)),
    )  # fmt: skip
    begins = cycling.begins_on(terms, day)
    return PayCalendar(
        effective_on=begins, kind=kind, weeks=terms.weeks, year_end_month=terms.year_end_month,
        year_end_weekday=terms.year_end_weekday, year_end=terms.year_end,
    )  # fmt: skip


@st.composite
def timelines(draw: st.DrawFn) -> tuple[PayCalendar, ...]:
    found = {one.effective_on: one for one in draw(st.lists(calendars(), max_size=3))}
    return tuple(found[day] for day in sorted(found))


@given(timeline=timelines(), day=DAYS)
def test_cycles_tile_the_days(timeline, day):
    found = list(islice(cycling.cycles_from(timeline, day), 40))
    assert found[0].starts_on <= day < found[0].until_on
    for one, following in pairwise(found):
        assert one.starts_on < one.until_on == following.starts_on
        assert one.number < following.number
        assert cycling.following_cycle(timeline, one.number) == following
        assert cycling.preceding_cycle(timeline, following.number) == one
    for one in found:
        assert cycling.cycle_numbered(timeline, one.number) == one
        assert cycling.cycle_on(timeline, one.until_on - timedelta(days=1)) == one


@given(timeline=timelines(), minutes=st.integers(0, 2500 * 1440), zone_name=ZONES)
def test_every_instant_is_in_one_cycle(timeline, minutes, zone_name):
    zone = ZoneInfo(zone_name)
    at = utc("2024-01-02") + minutes * 60_000_000
    days = cycling.cycle_at(timeline, at, zone)
    span = cycling.cycle_span(days, zone_name, zone)
    assert span.start_at <= at < span.end_until
    assert (
        cycling.cycle_at(timeline, span.start_at, zone) == days == cycling.cycle_at(timeline, span.end_until - 1, zone)
    )
    assert cycling.cycle_at(timeline, span.end_until, zone).starts_on == days.until_on


@given(calendar=calendars(), n=st.integers(0, 60))
def test_a_cycle_begins_at_anchor_plus_n_periods(calendar, n):
    steps = {
        PayCycleKind.MONTHLY: relativedelta(months=1), PayCycleKind.WEEKLY: relativedelta(weeks=1),
        PayCycleKind.BI_WEEKLY: relativedelta(weeks=2),
    }  # fmt: skip
    if calendar.kind in steps:
        begins = calendar.effective_on + steps[calendar.kind] * n
    elif calendar.kind is PayCycleKind.SEMI_MONTHLY:
        halves = n + (calendar.effective_on.day != 1)
        begins = calendar.effective_on.replace(day=1) + relativedelta(months=halves // 2, days=15 * (halves % 2))
    else:
        return
    assert cycling.cycle_on((calendar,), begins).starts_on == begins
    *_, nth = islice(cycling.cycles_from((calendar,), calendar.effective_on), n + 1)
    assert nth.starts_on == begins


@given(calendar=calendars().filter(lambda one: one.kind is PayCycleKind.QUARTERS), year=st.integers(2024, 2060))
def test_a_year_of_weeks_has_52_or_53_and_ends_on_its_weekday(calendar, year):
    before, end = (cycling.year_of_weeks_ends_on(calendar, one) for one in (year - 1, year))
    assert (end - before).days in {52 * 7, 53 * 7}
    assert end.weekday() == calendar.year_end_weekday
    month_end = date(year, calendar.year_end_month, 1) + relativedelta(months=1, days=-1)
    assert (
        -3 <= (month_end - end).days <= 3 if calendar.year_end is YearEnd.NEAREST else 0 <= (month_end - end).days <= 6
    )


@given(timeline=timelines(), day=DAYS)
def test_a_name_finds_its_cycle_again(timeline, day):
    one = cycling.cycle_on(timeline, day)
    found = cycling.cycle_named(timeline, one.name)
    assert found is not None
    assert found.name == one.name


@given(timeline=timelines())
def test_workers_are_told_the_same_calendars(timeline):
    assert calendars_from_text(calendars_text(timeline)) == timeline
