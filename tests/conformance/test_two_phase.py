"""The published vectors of two-phase transfers (TigerBeetle, src/state_machine_tests.zig; reference: credits, §3.1).

Pending is what a wallet's holds keep, posted what its calls have spent. One difference is ours: a pending transfer that times out there
gives its money back; a hold whose worker died goes to suspense, because the provider may have billed it, and is found out later.
"""

import pytest

from tests.cast import ADA_WALLET, T0, make_grant, make_settlement
from tokenroll.engine import booking
from tokenroll.engine.booking import Book, OverdrawError, TransitionError
from tokenroll.model.hold import Hold, ReleaseReason, Slice
from tokenroll.model.identifier import HoldKey
from tokenroll.model.lot import Lot

LOT = 1


def wallet_with(nanos: int) -> Book:
    grant = make_grant(amount_nanos=nanos)
    lot = Lot(
        id=LOT, grant_id=grant.id, wallet_id=ADA_WALLET, classification=grant.classification, priority=grant.priority,
        amount_nanos=nanos, effective_at=T0,
    )  # fmt: skip
    return booking.grant(Book(), grant, (lot,))


def pend(book: Book, sequence: int, nanos: int) -> Book:
    hold = Hold(
        key=HoldKey(1, 1, sequence), call_number=sequence, attempt=1, wallet_id=ADA_WALLET, api_key_id=1, rate_card_id=1,
        bound_nanos=nanos, slices=(Slice(LOT, nanos),), admitted_at=T0,
    )  # fmt: skip
    return booking.dispatch(booking.admit(book, hold, T0), hold.key)


def post(book: Book, sequence: int, nanos: int) -> Book:
    consumed = ((LOT, nanos),) if nanos else ()
    return booking.settle(book, make_settlement(sequence, *consumed))


def void(book: Book, sequence: int) -> Book:
    return booking.release(book, HoldKey(1, 1, sequence), ReleaseReason.PROVIDER_ERROR)


def time_out(book: Book, sequence: int) -> Book:
    return booking.suspend(book, HoldKey(1, 1, sequence))


def found_to_have_cost(book: Book, sequence: int, nanos: int) -> Book:
    consumed = ((LOT, nanos),) if nanos else ()
    return booking.resolve(book, make_settlement(sequence, *consumed))


def amounts(book: Book) -> tuple[int, int, int]:
    """pending, suspense, posted."""
    state = book.lots[LOT]
    return state.held_nanos, state.suspense_nanos, state.spent_nanos


def pending_of_six() -> Book:
    """Posted 15, then pending 15, 15, 15 (which times out), 7, 1 and 1."""
    book = post(pend(wallet_with(1_000), 1, 15), 1, 15)
    for sequence, nanos in enumerate((15, 15, 15, 7, 1, 1), 2):
        book = pend(book, sequence, nanos)
    return book


def test_pending_54_and_posted_15():
    assert amounts(pending_of_six()) == (54, 0, 15)


def test_pending_0_and_posted_36():
    book = time_out(pending_of_six(), 4)
    book = post(book, 2, 13)
    book = void(book, 3)
    book = post(book, 5, 7)
    book = post(book, 6, 1)
    book = post(book, 7, 0)
    # there the third is gone; here its 15 wait until it is known that nothing was billed
    assert amounts(book) == (0, 15, 36)
    assert amounts(found_to_have_cost(book, 4, 0)) == (0, 0, 36)


def test_a_late_post_of_what_timed_out_is_taken_here():
    """There it is refused as expired; here the provider's bill is late and still true (reference: credits, §0.6)."""
    book = found_to_have_cost(time_out(pending_of_six(), 4), 4, 12)
    assert amounts(book) == (39, 0, 27)


def test_the_expiry_ladder_46_35_23_10():
    """Pending 10 without a time-out, then 11, 12 and 13 with one, two and three seconds."""
    book = wallet_with(1_000)
    for sequence, nanos in enumerate((10, 11, 12, 13), 1):
        book = pend(book, sequence, nanos)
    pending = [amounts(book)[0]]
    for sequence in (2, 3, 4):
        book = time_out(book, sequence)
        pending.append(amounts(book)[0])
    assert pending == [46, 35, 23, 10]
    assert amounts(book) == (10, 36, 0)


def test_own_pending_counts_against_the_limit():
    """`debits_must_not_exceed_credits`: pending and posted together may not exceed what there is."""
    book = pend(wallet_with(20), 1, 15)
    with pytest.raises(OverdrawError):
        pend(book, 2, 6)
    assert amounts(pend(book, 2, 5)) == (20, 0, 0)


def test_what_is_not_posted_returns_and_can_be_pended_again():
    book = post(pend(wallet_with(20), 1, 15), 1, 0)
    assert amounts(pend(book, 2, 20)) == (20, 0, 0)


@pytest.mark.parametrize("again", [lambda book: void(book, 1), lambda book: time_out(book, 1)])
def test_a_pending_transfer_resolves_once(again):
    book = post(pend(wallet_with(20), 1, 15), 1, 10)
    with pytest.raises(TransitionError):
        again(book)
    assert booking.settle(book, make_settlement(1, (LOT, 10))) is book
