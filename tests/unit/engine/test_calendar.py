from zoneinfo import ZoneInfo

import pytest

from tests.cast import utc
from tokenroll.engine.calendar import month_cycle_at, month_step, next_cycle, period_step
from tokenroll.model.vesting import Period, PeriodUnit

UTC = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
HAVANA = ZoneInfo("America/Havana")
ASUNCION = ZoneInfo("America/Asuncion")
SAMOA = ZoneInfo("Pacific/Apia")


@pytest.mark.parametrize(
    ("months", "expected"),
    [
        (0, "2026-01-31T09:00"),
        (1, "2026-02-28T09:00"),
        (2, "2026-03-31T09:00"),
        (3, "2026-04-30T09:00"),
        (11, "2026-12-31T09:00"),
        (25, "2028-02-29T09:00"),
        (-2, "2025-11-30T09:00"),
        (-13, "2024-12-31T09:00"),
    ],
)
def test_it_clamps_the_31st_and_remembers_it(months, expected):
    assert month_step(utc("2026-01-31T09:00"), months, UTC) == utc(expected)


def test_a_leap_day_comes_back():
    assert month_step(utc("2024-02-29"), 12, UTC) == utc("2025-02-28")
    assert month_step(utc("2024-02-29"), 48, UTC) == utc("2028-02-29")


def test_it_keeps_the_wall_clock_over_summer_time():
    # 29 January 02:30 in Berlin is 01:30Z; 29 April 02:30 is summer time
    assert month_step(utc("2026-01-29T01:30"), 1, BERLIN) == utc("2026-02-28T01:30")
    assert month_step(utc("2026-01-29T01:30"), 3, BERLIN) == utc("2026-04-29T00:30")


def test_a_time_that_the_clock_skips_moves_forward():
    # 29 March 2026 02:30 does not exist in Berlin: 03:30 summer time does
    assert month_step(utc("2026-01-29T01:30"), 2, BERLIN) == utc("2026-03-29T01:30")


def test_a_time_that_comes_twice_keeps_the_anchors_side():
    # 25 October 2026 02:30 comes at 00:30Z and again at 01:30Z
    assert month_step(utc("2026-09-25T00:30"), 1, BERLIN) == utc("2026-10-25T00:30")
    assert month_step(utc("2026-10-25T01:30"), 0, BERLIN) == utc("2026-10-25T01:30")
    assert period_step(utc("2026-10-25T01:30"), 0, Period(count=1, unit=PeriodUnit.DAY), BERLIN) == utc(
        "2026-10-25T01:30"
    )


def test_a_day_that_a_country_skipped_moves_forward():
    # Samoa had no 30 December 2011: from the 29th, 10:00 (UTC-10) it went to the 31st (UTC+14)
    one_day = Period(count=1, unit=PeriodUnit.DAY)
    assert period_step(utc("2011-12-29T20:00"), 1, one_day, SAMOA) == utc("2011-12-30T20:00")


def test_the_zone_decides_which_month_it_is():
    # 31 January 23:30Z is 1 February in Berlin
    assert month_step(utc("2026-01-31T23:30"), 1, UTC) == utc("2026-02-28T23:30")
    assert month_step(utc("2026-01-31T23:30"), 1, BERLIN) == utc("2026-02-28T23:30")
    assert month_step(utc("2026-01-31T23:30"), 2, BERLIN) == utc("2026-03-31T22:30")


def test_a_day_is_a_calendar_day():
    one_day = Period(count=1, unit=PeriodUnit.DAY)
    assert period_step(utc("2026-03-28T11:00"), 1, one_day, BERLIN) == utc("2026-03-29T10:00")
    assert period_step(utc("2026-03-28T11:00"), 1, one_day, UTC) == utc("2026-03-29T11:00")


def test_periods_count_from_the_anchor():
    quarter = Period(count=3, unit=PeriodUnit.MONTH)
    assert period_step(utc("2025-11-30"), 1, quarter, UTC) == utc("2026-02-28")
    assert period_step(utc("2025-11-30"), 2, quarter, UTC) == utc("2026-05-30")
    ninety = Period(count=90, unit=PeriodUnit.DAY)
    assert period_step(utc("2026-01-01"), 1, ninety, UTC) == utc("2026-04-01")


@pytest.mark.parametrize(("months", "year"), [(12, 10000), (-12 * 9999, 0)])
def test_it_refuses_years_that_have_no_name(months, year):
    with pytest.raises(ValueError, match=f"is the year {year}"):
        month_step(utc("9999-12-01"), months, UTC)


def test_it_refuses_days_that_have_no_name():
    century = Period(count=36_500, unit=PeriodUnit.DAY)
    with pytest.raises(ValueError, match="cannot be named"):
        period_step(utc("9999-01-01"), 1, century, UTC)


def test_a_cycle_is_a_month_from_midnight_to_midnight():
    march = month_cycle_at(utc("2026-03-15T12:00"), "Europe/Berlin", BERLIN)
    assert (march.name, march.zone) == ("2026-03", "Europe/Berlin")
    assert march.start_at == utc("2026-02-28T23:00")
    assert march.end_until == utc("2026-03-31T22:00")


def test_a_cycle_holds_its_start_and_not_its_end():
    assert month_cycle_at(utc("2026-02-01"), "UTC", UTC).name == "2026-02"
    assert month_cycle_at(utc("2026-02-01") - 1, "UTC", UTC).name == "2026-01"


def test_the_year_turns():
    december = month_cycle_at(utc("2026-12-31T23:59"), "UTC", UTC)
    january = next_cycle(december, UTC)
    assert (december.name, january.name) == ("2026-12", "2027-01")
    assert january.start_at == december.end_until == utc("2027-01-01")


def test_a_cycle_starts_at_the_first_of_two_midnights():
    # on 1 November 2026 at 01:00 clocks in Havana go back to 00:00
    november = month_cycle_at(utc("2026-11-01T05:30"), "America/Havana", HAVANA)
    assert november.name == "2026-11"
    assert november.start_at == utc("2026-11-01T04:00")


def test_a_cycle_starts_when_a_skipped_midnight_is_over():
    # on 1 October 2017 clocks in Asunción went from 00:00 to 01:00
    september = month_cycle_at(utc("2017-09-15"), "America/Asuncion", ASUNCION)
    october = next_cycle(september, ASUNCION)
    assert september.end_until == october.start_at == utc("2017-10-01T04:00")
    assert october.end_until == utc("2017-11-01T03:00")


def test_it_says_so_where_a_zone_has_no_such_date():
    last = utc("9999-12-31") + 23 * 3_600_000_000
    one_day = Period(count=1, unit=PeriodUnit.DAY)
    for step in (
        lambda: month_step(last, 1, BERLIN),
        lambda: period_step(last, 1, one_day, BERLIN),
        lambda: period_step(utc("9999-12-31") + 4 * 3_600_000_000, 1, one_day, ZoneInfo("America/Los_Angeles")),
        lambda: month_cycle_at(last, "Europe/Berlin", BERLIN),
    ):
        with pytest.raises(ValueError, match="cannot be named"):
            step()
