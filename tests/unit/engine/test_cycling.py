from datetime import UTC, date, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from tests.cast import utc
from tokenroll.engine import cycling
from tokenroll.model.pay_cycle import CustomCycle, PayCalendar, PayCycleKind, YearEnd

HALVES = PayCalendar(effective_on=date(2026, 1, 16), kind=PayCycleKind.SEMI_MONTHLY)
WEEKS = PayCalendar(effective_on=date(2026, 2, 9), kind=PayCycleKind.WEEKLY)
FORTNIGHTS = PayCalendar(effective_on=date(2026, 1, 5), kind=PayCycleKind.BI_WEEKLY)
RETAIL = PayCalendar(
    effective_on=date(2026, 2, 1), kind=PayCycleKind.QUARTERS, year_end_month=1, year_end=YearEnd.NEAREST
)
SEASONS = PayCalendar(
    effective_on=date(2026, 3, 20), kind=PayCycleKind.CUSTOM, custom_until=date(2026, 9, 23),
    custom=(CustomCycle("Spring", date(2026, 3, 20)), CustomCycle("Summer", date(2026, 6, 21))),
)  # fmt: skip


def told(calendars, day, count):
    """Name, number, first and last day."""
    found = islice(cycling.cycles_from(calendars, day), count)
    return [(one.name, one.number, f"{one.starts_on}", f"{one.until_on - timedelta(days=1)}") for one in found]


def test_months_are_numbered_by_year_and_month():
    assert told((), date(2026, 12, 31), 2) == [
        ("2026-12", 202612, "2026-12-01", "2026-12-31"),
        ("2027-01", 202701, "2027-01-01", "2027-01-31"),
    ]


def test_half_months_end_on_the_15th_and_on_the_last():
    assert told((HALVES,), date(2026, 1, 31), 3) == [
        ("2026-01-B", 20260116, "2026-01-16", "2026-01-31"),
        ("2026-02-A", 20260201, "2026-02-01", "2026-02-15"),
        ("2026-02-B", 20260216, "2026-02-16", "2026-02-28"),
    ]


def test_a_calendar_cuts_the_running_cycle_short():
    assert told((WEEKS,), date(2026, 2, 1), 3) == [
        ("2026-02", 202602, "2026-02-01", "2026-02-08"),
        ("2026-W07", 20260209, "2026-02-09", "2026-02-15"),
        ("2026-W08", 20260216, "2026-02-16", "2026-02-22"),
    ]


def test_weeks_that_begin_on_monday_are_those_of_iso_8601():
    for one in islice(cycling.cycles_from((WEEKS,), date(2026, 2, 9)), 600):
        year, week, _ = one.starts_on.isocalendar()
        assert one.name == f"{year}-W{week:02d}"


def test_two_weeks_are_counted_in_the_year_they_end_in():
    assert told((FORTNIGHTS,), date(2026, 12, 20), 2) == [
        ("2026-BW26", 20261207, "2026-12-07", "2026-12-20"),
        ("2027-BW01", 20261221, "2026-12-21", "2027-01-03"),
    ]


def test_a_retail_year_has_the_months_of_4_4_and_5_weeks():
    spans = told((RETAIL,), date(2026, 2, 1), 12)
    assert [name for name, *_ in spans] == [f"2026-P{number:02d}" for number in range(1, 13)]
    assert [starts for _, _, starts, _ in spans[:4]] == ["2026-02-01", "2026-03-01", "2026-03-29", "2026-05-03"]
    assert spans[-1][3] == "2027-01-30"


def test_retail_years_end_where_the_national_retail_federation_ends_them():
    """Fiscal 2023 has 53 weeks and ends on 3 February 2024; the years around it have 52."""
    ends = [f"{cycling.year_of_weeks_ends_on(RETAIL, year)}" for year in range(2022, 2028)]
    assert ends == ["2022-01-29", "2023-01-28", "2024-02-03", "2025-02-01", "2026-01-31", "2027-01-30"]


def test_the_53rd_week_belongs_to_the_last_period():
    early = PayCalendar(
        effective_on=date(2023, 1, 29), kind=PayCycleKind.QUARTERS, year_end_month=1, year_end=YearEnd.NEAREST
    )
    last = cycling.cycle_named((early,), "2023-P12")
    assert last is not None
    assert (last.until_on - last.starts_on).days == 6 * 7


@pytest.mark.parametrize(
    ("weeks", "days"), [((4, 4, 5), [28, 28, 35]), ((4, 5, 4), [28, 35, 28]), ((5, 4, 4), [35, 28, 28])]
)
def test_a_quarter_has_its_siblings(weeks, days):
    one = PayCalendar(effective_on=date(2026, 12, 27), kind=PayCycleKind.QUARTERS, weeks=weeks)
    found = islice(cycling.cycles_from((one,), date(2026, 12, 27)), 12)
    assert [(cycle.until_on - cycle.starts_on).days for cycle in found] == days * 4


def test_a_list_is_followed_by_months():
    assert told((SEASONS,), date(2026, 3, 1), 5) == [
        ("2026-03", 202603, "2026-03-01", "2026-03-19"),
        ("Spring", 20260320, "2026-03-20", "2026-06-20"),
        ("Summer", 20260621, "2026-06-21", "2026-09-22"),
        ("2026-09", 20260923, "2026-09-23", "2026-09-30"),
        ("2026-10", 20261001, "2026-10-01", "2026-10-31"),
    ]


@pytest.mark.parametrize(
    ("calendar", "name", "starts"),
    [(WEEKS, "2026-W10", "2026-03-02"), (RETAIL, "2026-P12", "2026-12-27"), (SEASONS, "Summer", "2026-06-21"),
     (FORTNIGHTS, "2027-BW01", "2026-12-21"), (HALVES, "2026-02-B", "2026-02-16"), (WEEKS, "2026-01", "2026-01-01")],
)  # fmt: skip
def test_it_finds_a_cycle_by_name(calendar, name, starts):
    found = cycling.cycle_named((calendar,), name)
    assert found is not None
    assert (found.name, f"{found.starts_on}") == (name, starts)


@pytest.mark.parametrize(
    "name", ["", "2026", "2026-13", "2026-W60", "0000-01", "9999-12", "2026-02-C", "Winter", "२०२६-01"]
)
def test_it_finds_none_by_a_name_of_none(name):
    assert cycling.cycle_named((WEEKS,), name) is None


def test_a_number_of_no_cycle_is_refused():
    with pytest.raises(ValueError, match="20260210 is the number of no cycle"):
        cycling.cycle_numbered((WEEKS,), 20260210)


def test_a_day_goes_on_when_the_clock_is_set_back_over_midnight():
    """In 1998 the clocks of Newfoundland went from 00:01 on 25 October back to 23:01 on the 24th."""
    zone = ZoneInfo("America/St_Johns")
    first = utc("1998-10-25T02:30")  # 00:00 had come at 02:30 UTC
    assert cycling.day_at(first, zone) == date(1998, 10, 25)
    assert cycling.day_at(first + 30 * 60_000_000, zone) == date(1998, 10, 25)
    assert cycling.day_at(first - 1, zone) == date(1998, 10, 24)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"kind": PayCycleKind.QUARTERS, "weeks": (4, 4, 4)}, "4-4-5, 4-5-4 or 5-4-4, not 4-4-4"),
        ({"kind": PayCycleKind.QUARTERS, "year_end_month": 13}, "a month from 1 to 12"),
        ({"kind": PayCycleKind.CUSTOM}, "has a list of cycles"),
        ({"kind": PayCycleKind.WEEKLY, "custom": (CustomCycle("A", date(2026, 1, 1)),)}, "and no other"),
        (
            {"kind": PayCycleKind.CUSTOM, "custom": (CustomCycle("A", date(2026, 1, 2)),), "custom_until": date(2026, 2, 1)},
            "follow each other from the day",
        ),
        (
            {"kind": PayCycleKind.CUSTOM, "custom_until": date(2026, 3, 1),
             "custom": (CustomCycle("A", date(2026, 1, 1)), CustomCycle("A", date(2026, 2, 1)))},
            "the same name",
        ),
    ],
)  # fmt: skip
def test_a_calendar_is_valid_at_birth(fields, problem):
    with pytest.raises(ValueError, match=problem):
        PayCalendar(effective_on=date(2026, 1, 1), **fields)


def test_an_instant_is_in_the_cycle_of_its_zone():
    at = utc("2026-02-08T23:30")
    assert cycling.cycle_at((WEEKS,), at, ZoneInfo("Europe/Berlin")).name == "2026-W07"
    assert cycling.cycle_at((WEEKS,), at, UTC).name == "2026-02"
