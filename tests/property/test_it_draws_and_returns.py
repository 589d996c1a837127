"""Laws 2 and 3 on drawing: what is taken and given back is all there was, whatever order the lots come in."""

from hypothesis import given
from hypothesis import strategies as st

from tests.cast import ADA_WALLET, T0, make_grant, make_hold, make_lot, make_settlement
from tests.property.machine import rank
from tokenroll.engine import booking, drawing
from tokenroll.engine.booking import Book
from tokenroll.model.hold import ReleaseReason
from tokenroll.model.identifier import HoldKey
from tokenroll.model.lot import LotState


@st.composite
def wallets(draw: st.DrawFn) -> list[LotState]:
    """Up to six lots with ties in every part of the draw order."""
    return [
        LotState(
            lot=make_lot(
                id=number,
                amount_nanos=amount,
                priority=draw(st.integers(0, 1)),
                effective_at=T0 + draw(st.integers(-1, 1)),
                expires_at=draw(st.none() | st.integers(T0 + 2, T0 + 4)),
            ),
            spent_nanos=draw(st.integers(0, amount)),
        )
        for number, amount in enumerate(draw(st.lists(st.integers(0, 10), max_size=6)), 1)
    ]


@given(states=wallets(), need=st.integers(0, 70), at=st.integers(T0 - 2, T0 + 5), data=st.data())
def test_the_order_of_lots_in_memory_does_not_matter(states, need, at, data):
    shuffled = data.draw(st.permutations(states))
    assert drawing.draw(shuffled, need, at) == drawing.draw(states, need, at)


@given(states=wallets(), need=st.integers(0, 70), at=st.integers(T0 - 2, T0 + 5))
def test_it_takes_what_is_needed_or_all_there_is(states, need, at):
    drawing_done = drawing.draw(states, need, at)
    free = sum(state.remainder_nanos for state in states if drawing.eligible(state.lot, at))
    taken = sum(one.nanos for one in drawing_done.slices)
    assert taken == min(need, free)
    assert drawing_done.missing_nanos == need - taken


@given(states=wallets(), need=st.integers(0, 70), at=st.integers(T0 - 2, T0 + 5))
def test_no_better_lot_is_passed_over(states, need, at):
    """Slices come in the draw order, and whatever ranks before a slice is used up."""
    slices = drawing.draw(states, need, at).slices
    lots = {state.lot.id: state.lot for state in states}
    ranks = [rank(lots[one.lot_id]) for one in slices]
    assert ranks == sorted(ranks)
    taken = dict(slices)
    for state in states:
        left = state.remainder_nanos - taken.get(state.lot.id, 0)
        if left and drawing.eligible(state.lot, at):
            assert all(one <= rank(state.lot) for one in ranks)


@given(states=wallets(), parts=st.lists(st.integers(0, 30), max_size=4), at=st.integers(T0 - 2, T0 + 5))
def test_drawing_in_parts_is_drawing_at_once(states, parts, at):
    """Four small holds take the lots that one large hold would."""
    left, taken = {state.lot.id: state for state in states}, dict.fromkeys((s.lot.id for s in states), 0)
    for part in parts:
        for lot_id, nanos in drawing.draw(left.values(), part, at).slices:
            taken[lot_id] += nanos
            old = left[lot_id]
            left[lot_id] = LotState(lot=old.lot, held_nanos=old.held_nanos + nanos, spent_nanos=old.spent_nanos)
    at_once = drawing.draw(states, sum(parts), at).slices
    assert {lot_id: nanos for lot_id, nanos in taken.items() if nanos} == dict(at_once)


SLICES = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 50)), max_size=6)


@given(slices=SLICES, charge=st.integers(0, 400))
def test_consumed_and_returned_are_the_hold_and_its_overage(slices, charge):
    hold = make_hold(1, *slices)
    consumed, returned = drawing.split(hold.slices, charge)
    company = sum(one.nanos for one in consumed if one.lot_id == 0)
    assert sum(one.nanos for one in consumed) == charge
    assert company == max(0, charge - hold.bound_nanos)
    assert sum(one.nanos for one in returned) == max(0, hold.bound_nanos - charge)
    assert all(one.nanos > 0 for one in (*consumed, *returned))
    assert not returned or not company


@given(amounts=st.lists(st.integers(1, 50), min_size=1, max_size=5), need=st.integers(1, 200), sent=st.booleans())
def test_a_hold_that_returns_whole_leaves_the_lots_as_they_were(amounts, need, sent):
    lots = tuple(make_lot(id=number, amount_nanos=amount) for number, amount in enumerate(amounts, 1))
    book = booking.grant(Book(), make_grant(amount_nanos=sum(amounts)), lots)
    slices = drawing.draw(book.wallet(ADA_WALLET), need, T0).slices
    held = booking.admit(book, make_hold(1, *slices), T0)
    key = HoldKey(1, 1, 1)
    if sent:
        ended = booking.settle(booking.dispatch(held, key), make_settlement(1))
    else:
        ended = booking.release(held, key, ReleaseReason.NEVER_DISPATCHED)
    assert ended.lots == book.lots
