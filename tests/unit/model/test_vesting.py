import pytest

from tokenroll.model.vesting import Period, PeriodUnit, Vesting, VestingKind


def test_it_is_immediate_unless_said():
    assert Vesting().kind is VestingKind.IMMEDIATE


def test_it_may_be_four_years_with_a_cliff_of_one():
    vesting = Vesting(kind=VestingKind.MONTHLY, months=48, cliff_months=12)
    assert (vesting.months, vesting.cliff_months) == (48, 12)


@pytest.mark.parametrize("numbers", [{"months": 1}, {"cliff_months": 1}])
def test_immediate_has_no_months(numbers):
    with pytest.raises(ValueError, match="immediate vesting has neither"):
        Vesting(**numbers)


@pytest.mark.parametrize("months", [0, 601])
def test_it_takes_a_month_to_fifty_years(months):
    with pytest.raises(ValueError, match="1 to 600 months"):
        Vesting(kind=VestingKind.MONTHLY, months=months)


@pytest.mark.parametrize("cliff_months", [-1, 13])
def test_a_cliff_fits_its_schedule(cliff_months):
    with pytest.raises(ValueError, match="does not fit 12 months"):
        Vesting(kind=VestingKind.MONTHLY, months=12, cliff_months=cliff_months)


@pytest.mark.parametrize("count", [0, -1, 36_501])
def test_a_period_is_positive_and_ends_in_a_century(count):
    with pytest.raises(ValueError, match="1 to 36500 days"):
        Period(count=count, unit=PeriodUnit.DAY)
