"""Law 2 on paper: over random lives of a wallet every slip adds up, and one slip's closing opens the next."""

from dataclasses import dataclass
from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st

from tests.cast import ADA_WALLET, DAY, make_lot, utc
from tokenroll.engine.calendar import month_cycle_at, next_cycle
from tokenroll.engine.paying import CycleFacts, LotFacts, pay_slip
from tokenroll.model.instant import Instant
from tokenroll.model.lot import Lot, LotState
from tokenroll.model.pay_cycle import PayCycle

START = utc("2026-01-01")
DAYS = st.integers(0, 120)


@dataclass(frozen=True)
class Call:
    """One slice of the lot, admitted on a day, settled on another for a part of it."""

    admitted_at: Instant
    settled_at: Instant
    held: int
    charge: int


@st.composite
def lives(draw: st.DrawFn) -> tuple[Lot, tuple[Call, ...]]:
    effective = draw(st.integers(-20, 100))
    lifetime = draw(st.none() | st.integers(1, 60) | st.just(31))
    expires_at = None if lifetime is None else START + (effective + lifetime) * DAY
    lot = make_lot(amount_nanos=draw(st.integers(1, 100)), effective_at=START + effective * DAY, expires_at=expires_at)
    calls, left = [], lot.amount_nanos
    for _ in range(draw(st.integers(0, 4))):
        held = draw(st.integers(0, left))
        admitted = draw(st.integers(effective, effective + (lifetime or 60) - 1))
        settled = admitted + draw(st.integers(0, 40))
        calls.append(Call(START + admitted * DAY, START + settled * DAY, held, draw(st.integers(0, held))))
        left -= held
    return lot, tuple(calls)


def state_at(lot: Lot, calls: tuple[Call, ...], boundary: Instant) -> LotState:
    """The lot as a cycle's boundary sees it: settled before it is spent, admitted before it and open is held."""
    return LotState(
        lot=lot,
        held_nanos=sum(one.held for one in calls if one.admitted_at < boundary <= one.settled_at),
        spent_nanos=sum(one.charge for one in calls if one.settled_at < boundary),
    )


def facts(lot: Lot, calls: tuple[Call, ...], cycle: PayCycle) -> LotFacts:
    settled = [one for one in calls if cycle.start_at <= one.settled_at < cycle.end_until]
    return LotFacts(
        opened=state_at(lot, calls, cycle.start_at),
        closed=state_at(lot, calls, cycle.end_until),
        spent_nanos=sum(one.charge for one in settled if one.admitted_at >= cycle.start_at),
        adjusted_nanos=sum(one.charge for one in settled if one.admitted_at < cycle.start_at),
    )


@given(wallet=st.lists(lives(), max_size=4))
def test_every_slip_adds_up_and_opens_where_the_last_one_closed(wallet):
    cycle = month_cycle_at(START - DAY, "UTC", UTC)
    closing, vested, gone = None, 0, 0
    for _ in range(9):
        slip = pay_slip(
            CycleFacts(wallet_id=ADA_WALLET, cycle=cycle, lots=tuple(facts(lot, calls, cycle) for lot, calls in wallet))
        )
        closing_before, closing = closing, slip.closing_nanos
        assert closing_before in {None, slip.opening_nanos}
        assert min(slip.opening_nanos, slip.spent_nanos, slip.breakage_nanos, slip.closing_nanos) >= 0
        vested += slip.vested_nanos
        gone += slip.spent_nanos + slip.adjustments_nanos + slip.breakage_nanos
        cycle = next_cycle(cycle, UTC)
    assert vested - gone == closing
    assert vested == sum(lot.amount_nanos for lot, _ in wallet)
