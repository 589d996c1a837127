from datetime import date
from zoneinfo import ZoneInfo

import pytest

from tests.cast import CREDIT, make_grant, monthly, utc
from tokenroll.engine.vesting import vest
from tokenroll.model.classification import Classification
from tokenroll.model.vesting import AllocationType, DatedShare, Period, PeriodUnit, Vesting, VestingKind

UTC = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
HAVANA = ZoneInfo("America/Havana")


def test_a_stipend_is_one_lot_at_once():
    (lot,) = vest(make_grant(effective_at=utc("2026-01-01")), UTC, 7)
    assert (lot.id, lot.grant_id, lot.wallet_id) == (7, 1, 1)
    assert (lot.amount_nanos, lot.effective_at, lot.expires_at) == (100_000_000_000, utc("2026-01-01"), None)


def test_its_lots_are_classified_and_ranked_like_the_grant():
    (lot,) = vest(make_grant(classification=Classification.COMPENSATION, priority=5), UTC, 1)
    assert (lot.classification, lot.priority) == (Classification.COMPENSATION, 5)


def test_eighteen_over_four_rounds_down_cumulatively():
    lots = vest(make_grant(amount_nanos=18, vesting=monthly(4)), UTC, 1)
    assert [lot.amount_nanos for lot in lots] == [4, 5, 4, 5]


@pytest.mark.parametrize(
    ("allocation", "tranches"),
    [
        (AllocationType.CUMULATIVE_ROUNDING, [5, 4, 5, 4]),
        (AllocationType.CUMULATIVE_ROUND_DOWN, [4, 5, 4, 5]),
        (AllocationType.FRONT_LOADED, [5, 5, 4, 4]),
        (AllocationType.BACK_LOADED, [4, 4, 5, 5]),
        (AllocationType.FRONT_LOADED_TO_SINGLE_TRANCHE, [6, 4, 4, 4]),
        (AllocationType.BACK_LOADED_TO_SINGLE_TRANCHE, [4, 4, 4, 6]),
        (AllocationType.FRACTIONAL, [4.5, 4.5, 4.5, 4.5]),
    ],
)
def test_eighteen_credits_over_four_are_allocated_as_ocf_says(allocation, tranches):
    vesting = monthly(4, allocation=allocation, unit_nanos=CREDIT)
    lots = vest(make_grant(amount_nanos=18 * CREDIT, vesting=vesting), UTC, 1)
    assert [lot.amount_nanos / CREDIT for lot in lots] == tranches


@pytest.mark.parametrize("allocation", list(AllocationType))
def test_what_is_less_than_a_unit_is_in_the_last_tranche(allocation):
    vesting = monthly(4, allocation=allocation, unit_nanos=CREDIT)
    amounts = [lot.amount_nanos for lot in vest(make_grant(amount_nanos=18 * CREDIT + 7, vesting=vesting), UTC, 1)]
    assert sum(amounts) == 18_000_000_007
    if allocation is AllocationType.FRACTIONAL:
        assert amounts == [4_500_000_001, 4_500_000_002, 4_500_000_002, 4_500_000_002]
    else:
        assert [nanos % CREDIT for nanos in amounts] == [0, 0, 0, 7]


def test_less_than_one_unit_comes_at_the_end():
    vesting = monthly(3, unit_nanos=CREDIT)
    (lot,) = vest(make_grant(amount_nanos=999, effective_at=utc("2026-01-01"), vesting=vesting), UTC, 1)
    assert (lot.amount_nanos, lot.effective_at) == (999, utc("2026-04-01"))


def test_a_cliff_takes_the_tranches_as_they_were_allocated():
    vesting = monthly(4, 2, allocation=AllocationType.FRONT_LOADED_TO_SINGLE_TRANCHE, unit_nanos=CREDIT)
    lots = vest(make_grant(amount_nanos=18 * CREDIT, vesting=vesting), UTC, 1)
    assert [lot.amount_nanos for lot in lots] == [10 * CREDIT, 4 * CREDIT, 4 * CREDIT]


def test_quarters_and_fortnights():
    quarters = Vesting(kind=VestingKind.PERIODIC, period=Period(count=3, unit=PeriodUnit.MONTH), occurrences=3)
    lots = vest(make_grant(effective_at=utc("2025-11-30"), vesting=quarters), UTC, 1)
    assert [lot.effective_at for lot in lots] == [utc("2026-02-28"), utc("2026-05-30"), utc("2026-08-30")]
    fortnights = Vesting(kind=VestingKind.PERIODIC, period=Period(count=14, unit=PeriodUnit.DAY), occurrences=2)
    lots = vest(make_grant(effective_at=utc("2026-02-20"), vesting=fortnights), UTC, 1)
    assert [lot.effective_at for lot in lots] == [utc("2026-03-06"), utc("2026-03-20")]


@pytest.mark.parametrize(
    ("day", "dates"),
    [
        (0, ["2026-02-15", "2026-03-15", "2026-04-15"]),
        (1, ["2026-02-01", "2026-03-01", "2026-04-01"]),
        (28, ["2026-02-28", "2026-03-28", "2026-04-28"]),
        (29, ["2026-02-28", "2026-03-29", "2026-04-29"]),
        (31, ["2026-02-28", "2026-03-31", "2026-04-30"]),
    ],
)
def test_tranches_come_on_their_day_of_the_month_or_its_last(day, dates):
    lots = vest(make_grant(effective_at=utc("2026-01-15"), vesting=monthly(3, day_of_month=day)), UTC, 1)
    assert [lot.effective_at for lot in lots] == [utc(one) for one in dates]


def dated(*shares, **changes):
    kept = tuple(DatedShare(on=date.fromisoformat(on), weight=weight) for on, weight in shares)
    return Vesting(kind=VestingKind.DATED, shares=kept, **changes)


def test_dates_of_its_own_begin_at_midnight_where_the_wallet_is():
    vesting = dated(("2026-07-01", 1), ("2027-01-01", 3))
    lots = vest(make_grant(effective_at=utc("2026-01-01"), vesting=vesting), BERLIN, 1)
    assert [(lot.amount_nanos, lot.effective_at) for lot in lots] == [
        (25 * CREDIT, utc("2026-06-30T22:00")),
        (75 * CREDIT, utc("2026-12-31T23:00")),
    ]


def test_dates_that_are_over_are_due_when_the_grant_begins():
    vesting = dated(("2025-07-01", 1), ("2026-01-01", 1), ("2026-07-01", 2))
    lots = vest(make_grant(effective_at=utc("2026-01-01T09:00"), vesting=vesting), UTC, 1)
    assert [(lot.amount_nanos, lot.effective_at) for lot in lots] == [
        (50 * CREDIT, utc("2026-01-01T09:00")),
        (50 * CREDIT, utc("2026-07-01")),
    ]


def test_a_midnight_that_a_clock_change_skips_comes_an_hour_later():
    # in Havana clocks went from 00:00 to 01:00 on 8 March 2026
    (lot,) = vest(make_grant(effective_at=utc("2026-01-01"), vesting=dated(("2026-03-08", 1))), HAVANA, 1)
    assert lot.effective_at == utc("2026-03-08T05:00")


def test_four_years_with_a_cliff_of_one():
    grant = make_grant(amount_nanos=4_800 * CREDIT, effective_at=utc("2026-01-01"), vesting=monthly(48, 12))
    lots = vest(grant, UTC, 1)
    assert len(lots) == 37
    assert (lots[0].amount_nanos, lots[0].effective_at) == (1_200_000_000_000, utc("2027-01-01"))
    assert {lot.amount_nanos for lot in lots[1:]} == {100_000_000_000}
    assert (lots[1].effective_at, lots[-1].effective_at) == (utc("2027-02-01"), utc("2030-01-01"))


def test_a_cliff_accrues_what_rounding_left():
    lots = vest(make_grant(amount_nanos=100, vesting=monthly(12, 7)), UTC, 1)
    # 700/12 = 58.3, then 66.6, 75, 83.3, 91.6, 100, each rounded down
    assert [lot.amount_nanos for lot in lots] == [58, 8, 9, 8, 8, 9]


def test_a_cliff_at_the_end_is_one_tranche():
    (lot,) = vest(make_grant(effective_at=utc("2026-01-31"), vesting=monthly(13, 13)), UTC, 1)
    assert (lot.amount_nanos, lot.effective_at) == (100_000_000_000, utc("2027-02-28"))


def test_the_31st_is_clamped_and_comes_back():
    lots = vest(make_grant(effective_at=utc("2026-01-31"), vesting=monthly(4)), UTC, 1)
    assert [lot.effective_at for lot in lots] == [
        utc("2026-02-28"),
        utc("2026-03-31"),
        utc("2026-04-30"),
        utc("2026-05-31"),
    ]


def test_tranches_of_nothing_are_left_out():
    lots = vest(make_grant(amount_nanos=3, effective_at=utc("2026-01-01"), vesting=monthly(12)), UTC, 7)
    assert [(lot.id, lot.amount_nanos, lot.effective_at) for lot in lots] == [
        (7, 1, utc("2026-05-01")),
        (8, 1, utc("2026-09-01")),
        (9, 1, utc("2027-01-01")),
    ]


def test_each_lot_lives_from_its_own_date():
    month = Period(count=1, unit=PeriodUnit.MONTH)
    lots = vest(make_grant(effective_at=utc("2026-01-31"), vesting=monthly(2), lot_lifetime=month), UTC, 1)
    assert [(lot.effective_at, lot.expires_at) for lot in lots] == [
        (utc("2026-02-28"), utc("2026-03-28")),
        (utc("2026-03-31"), utc("2026-04-30")),
    ]


def test_a_lifetime_of_days_ends_at_the_same_wall_clock():
    # 1 March 00:00 in Berlin is 23:00Z; 31 days later it is summer time
    month = Period(count=31, unit=PeriodUnit.DAY)
    (lot,) = vest(make_grant(effective_at=utc("2026-02-28T23:00"), lot_lifetime=month), BERLIN, 1)
    assert lot.expires_at == utc("2026-03-31T22:00")
