from dataclasses import replace
from typing import Any

import pytest

from tests.cast import ADA_WALLET, CREDIT, DAY, make_grant, make_lot, utc
from tokenroll.engine.paying import CycleFacts, LotFacts, LotOrigin, pay_slip
from tokenroll.model.lot import LotState
from tokenroll.model.pay_cycle import PayCycle, PayCycleKind, PaySlip

JANUARY, FEBRUARY = utc("2026-01-01"), utc("2026-02-01")
CYCLE = PayCycle(kind=PayCycleKind.MONTHLY, name="2026-01", zone="UTC", start_at=JANUARY, end_until=FEBRUARY)


def facts(
    opened: dict[str, int] | None,
    closed: dict[str, int],
    spent: int = 0,
    adjusted: int = 0,
    origin: LotOrigin = LotOrigin.GRANT,
    rolls_over_at: int | None = None,
    **lot: Any,
) -> LotFacts:
    """A lot of 100 nanos (unless said) with its parts as January began and as it ended."""
    one = make_lot(**{"amount_nanos": 100, "effective_at": JANUARY - DAY} | lot)

    def state(numbers: dict[str, int]) -> LotState:
        return LotState(lot=one, **{f"{name}_nanos": nanos for name, nanos in numbers.items()})

    return LotFacts(
        opened=None if opened is None else state(opened),
        closed=state(closed),
        spent_nanos=spent,
        adjusted_nanos=adjusted,
        origin=origin,
        rolls_over_at=rolls_over_at,
    )


def slip(*lots: LotFacts, **changes: Any) -> PaySlip:
    return pay_slip(replace(CycleFacts(wallet_id=ADA_WALLET, cycle=CYCLE, lots=lots), **changes))


def test_a_lot_that_lives_all_month_is_spent_down():
    january = slip(facts({"spent": 10}, {"spent": 70}, spent=60))
    assert (january.opening_nanos, january.spent_nanos, january.closing_nanos) == (90, 60, 30)
    assert january.cycle_name == "2026-01"


def test_a_stipend_vests_is_used_and_lapses():
    january = slip(facts({}, {"spent": 85}, spent=85, effective_at=JANUARY, expires_at=FEBRUARY))
    assert (january.opening_nanos, january.vested_nanos) == (0, 100)
    assert (january.spent_nanos, january.breakage_nanos, january.closing_nanos) == (85, 15, 0)


def test_next_months_stipend_is_not_this_months():
    january = slip(facts({}, {}, effective_at=FEBRUARY, expires_at=FEBRUARY + 28 * DAY))
    assert (january.vested_nanos, january.closing_nanos) == (0, 0)
    assert (january.next_vest_at, january.next_vest_nanos) == (FEBRUARY, 100)
    assert (january.next_expiry_at, january.next_expiry_nanos) == (FEBRUARY + 28 * DAY, 100)


def test_decembers_stipend_broke_in_december():
    january = slip(facts({"spent": 40}, {"spent": 40}, expires_at=JANUARY))
    assert (january.opening_nanos, january.breakage_nanos, january.closing_nanos) == (0, 0, 0)


def test_a_call_open_over_the_end_is_carried_and_adjusted():
    held_over = {"spent": 40, "held": 30}
    december_end = facts({}, held_over, expires_at=JANUARY)
    assert december_end.closed.held_nanos == 30
    january = slip(facts(held_over, {"spent": 62}, adjusted=22, expires_at=JANUARY))
    # 30 came over in use, 22 of it were spent by December's call, 8 returned to a lot that had lapsed
    assert (january.opening_nanos, january.spent_nanos, january.adjustments_nanos) == (30, 0, 22)
    assert (january.breakage_nanos, january.closing_nanos) == (8, 0)


def test_what_is_being_checked_is_still_the_members():
    january = slip(facts({}, {"suspense": 25, "spent": 10}, spent=10, expires_at=FEBRUARY))
    assert (january.suspense_nanos, january.closing_nanos, january.breakage_nanos) == (25, 25, 65)


def test_a_backdated_grant_vests_when_it_is_known():
    january = slip(facts(None, {"spent": 5}, spent=5))
    assert (january.opening_nanos, january.vested_nanos, january.closing_nanos) == (0, 100, 95)


def test_a_backdated_grant_may_have_lapsed_already():
    january = slip(facts(None, {}, expires_at=JANUARY - 1))
    assert (january.vested_nanos, january.breakage_nanos, january.closing_nanos) == (100, 100, 0)


def test_leaving_forfeits_what_has_not_vested_without_moving_the_slip():
    january = slip(facts({}, {"forfeited": 100}, effective_at=FEBRUARY))
    assert (january.forfeited_nanos, january.closing_nanos, january.next_vest_at) == (0, 0, None)


def test_a_clawback_moves_the_slip():
    january = slip(facts({"clawed_back": 10}, {"clawed_back": 40}))
    assert (january.opening_nanos, january.clawed_back_nanos, january.closing_nanos) == (90, 30, 60)


def test_a_lot_cut_before_it_vested_vests_the_rest():
    january = slip(facts({"forfeited": 60}, {"forfeited": 60}, effective_at=JANUARY))
    assert (january.vested_nanos, january.forfeited_nanos, january.closing_nanos) == (40, 0, 40)


def test_voids_and_transfers_have_lines_of_their_own():
    january = slip(facts({}, {"voided": 5, "transferred_out": 7}))
    assert (january.voided_nanos, january.transferred_out_nanos, january.adjustments_nanos) == (5, 7, 0)
    assert january.closing_nanos == 88


@pytest.mark.parametrize(("origin", "line"), [("GRANT", "vested_nanos"), ("TRANSFER", "transferred_in_nanos")])
def test_what_comes_stands_in_the_line_of_where_it_came_from(origin, line):
    january = slip(facts(None, {}, origin=LotOrigin[origin]))
    lines = ("vested_nanos", "transferred_in_nanos")
    assert [getattr(january, name) for name in lines] == [100 if name == line else 0 for name in lines]
    assert january.closing_nanos == 100


def test_what_lives_on_after_its_first_lifetime_rolled_over():
    """Of four lots that may roll over: one's first lifetime ends with January, one's later, one's second ended too, one is in use."""
    january = slip(
        facts({}, {"spent": 30}, spent=30, id=1, expires_at=FEBRUARY + 30 * DAY, rolls_over_at=FEBRUARY),
        facts({}, {}, id=2, expires_at=FEBRUARY + 31 * DAY, rolls_over_at=FEBRUARY + 1),
        facts({}, {}, id=3, expires_at=FEBRUARY, rolls_over_at=JANUARY),
        facts({"held": 10}, {"held": 10}, id=4, expires_at=FEBRUARY, rolls_over_at=JANUARY),
    )
    assert (january.closing_nanos, january.rolled_over_nanos) == (70 + 100 + 10, 70 + 10)


def test_grants_are_told_when_they_are_known_and_effective():
    grants = (
        make_grant(amount_nanos=1, effective_at=JANUARY, recorded_at=JANUARY - DAY),
        make_grant(id=2, amount_nanos=10, effective_at=JANUARY - DAY, recorded_at=JANUARY + DAY),
        make_grant(id=3, amount_nanos=100, effective_at=JANUARY - DAY, recorded_at=JANUARY - 1),
        make_grant(id=4, amount_nanos=1_000, effective_at=FEBRUARY, recorded_at=JANUARY),
    )
    assert slip(grants=grants).granted_nanos == 11


def test_what_is_next_adds_up_all_that_comes_at_once():
    january = slip(
        facts({}, {}, id=1, effective_at=FEBRUARY + DAY),
        facts({}, {}, id=2, effective_at=FEBRUARY + DAY, amount_nanos=11),
        facts({}, {}, id=3, effective_at=FEBRUARY + 2 * DAY),
        facts({}, {"spent": 100}, spent=100, id=4, expires_at=FEBRUARY + 1),
        facts({}, {"spent": 60}, spent=60, id=5, expires_at=FEBRUARY + 5),
        facts({}, {}, id=6, expires_at=FEBRUARY + 5, amount_nanos=7),
    )
    assert (january.next_vest_at, january.next_vest_nanos) == (FEBRUARY + DAY, 111)
    assert (january.next_expiry_at, january.next_expiry_nanos) == (FEBRUARY + 5, 47)


def test_the_company_and_the_calls_are_told():
    january = slip(company_carried_nanos=3 * CREDIT, call_count=12)
    assert (january.company_carried_nanos, january.call_count) == (3_000_000_000, 12)


@pytest.mark.parametrize("changes", [{"spent_nanos": 59}, {"spent_nanos": 61}, {"adjusted_nanos": 1}])
def test_settlements_that_the_lots_do_not_show_are_found(changes):
    with pytest.raises(AssertionError, match="opening \\+ movements"):
        slip(replace(facts({"spent": 10}, {"spent": 70}, spent=60), **changes))


def test_closing_is_the_next_opening():
    held = facts({}, {"spent": 20, "held": 30, "suspense": 10}, spent=20, expires_at=FEBRUARY + DAY)
    february = CycleFacts(
        wallet_id=ADA_WALLET,
        cycle=replace(CYCLE, name="2026-02", start_at=FEBRUARY, end_until=utc("2026-03-01")),
        lots=(LotFacts(opened=held.closed, closed=replace(held.closed, held_nanos=0, suspense_nanos=0)),),
    )
    assert slip(held).closing_nanos == pay_slip(february).opening_nanos == 80
    assert pay_slip(february).breakage_nanos == 80
