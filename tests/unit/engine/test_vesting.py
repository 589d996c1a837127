from zoneinfo import ZoneInfo

from tests.cast import CREDIT, make_grant, utc
from tokenroll.engine.vesting import vest
from tokenroll.model.classification import Classification
from tokenroll.model.vesting import Period, PeriodUnit, Vesting, VestingKind

UTC = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")


def monthly(months, cliff_months=0):
    return Vesting(kind=VestingKind.MONTHLY, months=months, cliff_months=cliff_months)


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
