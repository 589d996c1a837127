from datetime import date

import pytest

from tests.cast import monthly
from tokenroll.model.vesting import AllocationType, DatedShare, Period, PeriodUnit, Vesting, VestingKind

MONTH = Period(count=1, unit=PeriodUnit.MONTH)
NEW_YEAR, MIDSUMMER = date(2027, 1, 1), date(2026, 7, 1)


def test_it_is_immediate_unless_said():
    assert Vesting().kind is VestingKind.IMMEDIATE


def test_it_may_be_four_years_with_a_cliff_of_one():
    vesting = Vesting(kind=VestingKind.PERIODIC, period=MONTH, occurrences=48, cliff_occurrences=12)
    assert (vesting.occurrences, vesting.cliff_occurrences) == (48, 12)


@pytest.mark.parametrize(
    "terms", [{"occurrences": 1}, {"cliff_occurrences": 1}, {"period": MONTH}, {"day_of_month": 1}]
)
@pytest.mark.parametrize("kind", [VestingKind.IMMEDIATE, VestingKind.DATED])
def test_only_periodic_vesting_has_periods(kind, terms):
    with pytest.raises(ValueError, match=f"{kind} vesting has neither periods"):
        Vesting(kind=kind, **terms)


def test_only_dated_vesting_has_dates():
    with pytest.raises(ValueError, match="immediate vesting has no dates"):
        Vesting(shares=(DatedShare(on=NEW_YEAR),))
    with pytest.raises(ValueError, match="periodic vesting has no dates"):
        monthly(3, shares=(DatedShare(on=NEW_YEAR),))
    with pytest.raises(ValueError, match="1 to 600 dates, not 0"):
        Vesting(kind=VestingKind.DATED)


def test_periodic_vesting_needs_a_period():
    with pytest.raises(ValueError, match="needs its period"):
        Vesting(kind=VestingKind.PERIODIC, occurrences=3)


@pytest.mark.parametrize("months", [0, 601])
def test_it_takes_a_month_to_fifty_years(months):
    with pytest.raises(ValueError, match="1 to 600 occurrences"):
        monthly(months)


@pytest.mark.parametrize("cliff_months", [-1, 13])
def test_a_cliff_fits_its_schedule(cliff_months):
    with pytest.raises(ValueError, match="does not fit 12 periods"):
        monthly(12, cliff_months)


@pytest.mark.parametrize("day", [-1, 32])
def test_a_day_of_the_month_is_one_of_31(day):
    with pytest.raises(ValueError, match="a day of the month is 1 to 31"):
        monthly(12, day_of_month=day)


def test_a_day_of_the_month_is_for_months():
    with pytest.raises(ValueError, match="needs periods of months, not of days"):
        Vesting(kind=VestingKind.PERIODIC, period=Period(count=14, unit=PeriodUnit.DAY), occurrences=2, day_of_month=1)


def test_dates_ascend():
    shares = (DatedShare(on=NEW_YEAR), DatedShare(on=MIDSUMMER))
    with pytest.raises(ValueError, match="2026-07-01 follows 2027-01-01"):
        Vesting(kind=VestingKind.DATED, shares=shares)


@pytest.mark.parametrize("weight", [0, 1_000_000_001])
def test_a_share_weighs_something(weight):
    with pytest.raises(ValueError, match="the share of 2027-01-01 weighs 1 to"):
        DatedShare(on=NEW_YEAR, weight=weight)


def test_loading_a_side_is_for_tranches_of_equal_weight():
    shares = (DatedShare(on=MIDSUMMER), DatedShare(on=NEW_YEAR, weight=3))
    with pytest.raises(ValueError, match="front_loaded is for tranches of equal weight"):
        Vesting(kind=VestingKind.DATED, shares=shares, allocation=AllocationType.FRONT_LOADED)


@pytest.mark.parametrize("unit_nanos", [0, 10**18 * 10])
def test_a_unit_is_an_amount(unit_nanos):
    with pytest.raises(ValueError, match="the unit of vesting is 1 to"):
        Vesting(unit_nanos=unit_nanos)


@pytest.mark.parametrize("count", [0, -1, 36_501])
def test_a_period_is_positive_and_ends_in_a_century(count):
    with pytest.raises(ValueError, match="1 to 36500 days"):
        Period(count=count, unit=PeriodUnit.DAY)
