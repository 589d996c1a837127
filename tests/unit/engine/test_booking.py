from itertools import pairwise

import pytest

from tests.cast import ADA_WALLET, CREDIT, DAY, POOL_WALLET, T0, make_grant, make_hold, make_lot, make_settlement
from tokenroll.engine import booking
from tokenroll.engine.balance import balance_at
from tokenroll.engine.booking import Book, ConflictError, OverdrawError, TransitionError
from tokenroll.model.hold import HoldState, ReleaseReason
from tokenroll.model.identifier import HoldKey

NOT_SENT = ReleaseReason.NOT_SENT
NEVER_DISPATCHED = ReleaseReason.NEVER_DISPATCHED
PROVIDER_ERROR = ReleaseReason.PROVIDER_ERROR


def key(sequence):
    return HoldKey(1, 1, sequence)


def funded(amount=100, **lot):
    """Ada's wallet with one lot."""
    return booking.grant(Book(), make_grant(amount_nanos=amount), (make_lot(amount_nanos=amount, **lot),))


def dispatched(book, sequence, *slices):
    return booking.dispatch(booking.admit(book, make_hold(sequence, *slices), T0), key(sequence))


def parts(book, lot_id=1):
    state = book.lots[lot_id]
    return state.remainder_nanos, state.held_nanos, state.suspense_nanos, state.spent_nanos


def test_a_call_goes_from_hold_to_settlement():
    book = funded()
    assert parts(book) == (100, 0, 0, 0)
    book = booking.admit(book, make_hold(1, (1, 60)), T0)
    assert parts(book) == (40, 60, 0, 0)
    book = booking.dispatch(book, key(1))
    assert parts(book) == (40, 60, 0, 0)
    book = booking.settle(book, make_settlement(1, (1, 13)))
    assert parts(book) == (87, 0, 0, 13)
    assert book.holds[key(1)].state is HoldState.SETTLED


def test_the_old_book_stays_as_it_was():
    before = funded()
    booking.admit(before, make_hold(1, (1, 60)), T0)
    assert parts(before) == (100, 0, 0, 0)
    assert not before.holds


def test_a_settlement_returns_the_tail_to_the_same_lots():
    book = booking.grant(
        Book(), make_grant(), (make_lot(amount_nanos=40 * CREDIT), make_lot(id=2, amount_nanos=60 * CREDIT))
    )
    book = dispatched(book, 1, (1, 40 * CREDIT), (2, 20 * CREDIT))
    book = booking.settle(book, make_settlement(1, (1, 40 * CREDIT), (2, 5 * CREDIT)))
    assert parts(book, 1) == (0, 0, 0, 40_000_000_000)
    assert parts(book, 2) == (55_000_000_000, 0, 0, 5_000_000_000)


def test_two_phase_amounts_of_tigerbeetle():
    # pending 15, 15, 15, 7, 1, 1 on top of 15 posted; then 13, void, lapse, 7, 1 and 0: 36 posted
    book = booking.settle(dispatched(funded(), 1, (1, 15)), make_settlement(1, (1, 15)))
    for sequence, nanos in ((2, 15), (3, 15), (4, 15), (5, 7), (6, 1), (7, 1)):
        book = dispatched(book, sequence, (1, nanos))
    assert parts(book) == (31, 54, 0, 15)
    book = booking.settle(book, make_settlement(2, (1, 13)))
    book = booking.release(book, key(3), PROVIDER_ERROR)
    book = booking.suspend(book, key(4))
    assert parts(book) == (48, 9, 15, 28)
    book = booking.release(book, key(4), NOT_SENT)
    for settlement in (make_settlement(5, (1, 7)), make_settlement(6, (1, 1)), make_settlement(7)):
        book = booking.settle(book, settlement)
    assert parts(book) == (64, 0, 0, 36)


def test_the_time_out_ladder_of_tigerbeetle():
    book = funded()
    for sequence, nanos in ((1, 10), (2, 11), (3, 12), (4, 13)):
        book = booking.admit(book, make_hold(sequence, (1, nanos)), T0)
    held = [book.lots[1].held_nanos]
    for sequence in (2, 3, 4):
        book = booking.release(book, key(sequence), NEVER_DISPATCHED)
        held.append(book.lots[1].held_nanos)
    assert held == [46, 35, 23, 10]


def test_own_pending_amounts_count_against_the_limit():
    book = booking.admit(funded(), make_hold(1, (1, 60)), T0)
    with pytest.raises(OverdrawError, match="takes 41 nanos that lot 1 does not have"):
        booking.admit(book, make_hold(2, (1, 41)), T0)
    assert parts(booking.admit(book, make_hold(2, (1, 40)), T0)) == (0, 100, 0, 0)


def test_two_slices_of_one_lot_are_added_up():
    with pytest.raises(OverdrawError, match="takes 101 nanos"):
        booking.admit(funded(), make_hold(1, (1, 60), (1, 41)), T0)


@pytest.mark.parametrize("at", [T0 - 1, T0 + DAY])
def test_a_lot_is_not_drawn_before_its_start_or_from_its_expiry(at):
    with pytest.raises(OverdrawError, match="does not have"):
        booking.admit(funded(expires_at=T0 + DAY), make_hold(1, (1, 1)), at)


def test_an_unknown_lot_has_nothing():
    with pytest.raises(OverdrawError, match="lot 7"):
        booking.admit(funded(), make_hold(1, (7, 1)), T0)


def test_held_slices_outlive_their_lot_and_the_rest_breaks():
    book = dispatched(funded(expires_at=T0 + DAY), 1, (1, 60))
    book = booking.settle(book, make_settlement(1, (1, 25), settled_at=T0 + 2 * DAY))
    after = balance_at(book.wallet(ADA_WALLET), T0 + 2 * DAY, leased=False)
    assert (after.spent_nanos, after.breakage_nanos, after.available_nanos) == (25, 75, 0)


def test_what_exceeds_the_hold_is_the_companys():
    book = booking.settle(dispatched(funded(), 1, (1, 60)), make_settlement(1, (1, 60), (0, 7)))
    assert parts(book) == (40, 0, 0, 60)
    assert book.company_nanos == 7


def test_an_observed_call_takes_nothing_from_the_wallet():
    book = booking.settle(dispatched(funded(), 1, (0, 500)), make_settlement(1, (0, 300)))
    assert parts(book) == (100, 0, 0, 0)
    assert book.company_nanos == 300


def test_a_pool_serves_what_the_wallet_lacks():
    book = booking.grant(
        funded(),
        make_grant(id=2, wallet_id=POOL_WALLET, amount_nanos=50),
        (make_lot(id=2, grant_id=2, wallet_id=POOL_WALLET, amount_nanos=50),),
    )
    book = booking.settle(dispatched(book, 1, (1, 100), (2, 50)), make_settlement(1, (1, 100), (2, 20)))
    assert [state.lot.id for state in book.wallet(POOL_WALLET)] == [2]
    assert parts(book, 2) == (30, 0, 0, 20)


def test_suspense_keeps_the_money_apart_until_it_is_resolved():
    book = booking.suspend(dispatched(funded(), 1, (1, 60)), key(1))
    assert parts(book) == (40, 0, 60, 0)
    book = booking.resolve(book, make_settlement(1, (1, 22)))
    assert parts(book) == (78, 0, 0, 22)
    assert book.holds[key(1)].state is HoldState.SETTLED


def test_a_late_proof_is_the_companys():
    settled = booking.settle(dispatched(funded(), 1, (1, 60)), make_settlement(1, (1, 22)))
    book = booking.prove(settled, key(1), 5)
    assert book.variance_nanos == 5
    assert parts(book) == (78, 0, 0, 22)
    assert booking.prove(book, key(1), 5) is book
    with pytest.raises(ConflictError, match="another proof"):
        booking.prove(book, key(1), 6)


def lives():
    """A hold in each of its states."""
    held = booking.admit(funded(), make_hold(1, (1, 60)), T0)
    sent = booking.dispatch(held, key(1))
    return {
        "held": held,
        "dispatched": sent,
        "suspense": booking.suspend(sent, key(1)),
        "unsent suspense": booking.suspend(held, key(1)),
        "settled": booking.settle(sent, make_settlement(1, (1, 22))),
        "resolved": booking.resolve(booking.suspend(sent, key(1)), make_settlement(1, (1, 22))),
        "released": booking.release(sent, key(1), PROVIDER_ERROR),
        "unsent released": booking.release(held, key(1), NEVER_DISPATCHED),
    }


EVENTS = {
    "dispatch": lambda book: booking.dispatch(book, key(1)),
    "settle": lambda book: booking.settle(book, make_settlement(1, (1, 30))),
    "resolve": lambda book: booking.resolve(book, make_settlement(1, (1, 30))),
    "suspend": lambda book: booking.suspend(book, key(1)),
    "not sent": lambda book: booking.release(book, key(1), NOT_SENT),
    "never dispatched": lambda book: booking.release(book, key(1), NEVER_DISPATCHED),
    "provider error": lambda book: booking.release(book, key(1), PROVIDER_ERROR),
    "prove": lambda book: booking.prove(book, key(1), 5),
}

# One column per event above: "+" goes on, "=" the same book, "c" a conflict, "-" not from there.
TABLE = {
    #                  dispatch settle resolve suspend not_sent never  error prove
    "held":            "+       -      -       +       +        +      -     -",
    "dispatched":      "=       +      -       +       +        -      +     -",
    "suspense":        "=       -      +       =       +        -      +     -",
    "unsent suspense": "-       -      +       =       +        +      -     -",
    "settled":         "=       c      c       -       -        -      -     +",
    "resolved":        "=       c      c       =       -        -      -     +",
    "released":        "=       -      -       -       c        c      =     -",
    "unsent released": "-       -      -       -       c        =      c     -",
}  # fmt: skip
CASES = [
    (life, event, mark) for life, marks in TABLE.items() for event, mark in zip(EVENTS, marks.split(), strict=True)
]


@pytest.mark.parametrize(("life", "event", "mark"), CASES)
def test_each_state_allows_what_the_table_says(life, event, mark):
    book = lives()[life]
    act = EVENTS[event]
    if mark == "+":
        assert act(book) != book
    elif mark == "=":
        assert act(book) is book
    else:
        with pytest.raises(ConflictError if mark == "c" else TransitionError, match="HoldKey"):
            act(book)


def test_the_same_settlement_again_is_the_same_book():
    book = lives()["settled"]
    assert booking.settle(book, make_settlement(1, (1, 22))) is book
    assert booking.resolve(book, make_settlement(1, (1, 22))) is book


def test_a_different_settlement_conflicts():
    with pytest.raises(ConflictError, match="has settled differently"):
        booking.settle(lives()["settled"], make_settlement(1, (1, 22), list_cost_nanos=23))


@pytest.mark.parametrize("consumed", [((2, 22),), ((1, 60), (1, 1)), ((1, 10), (1, 12))])
def test_a_settlement_consumes_its_hold_in_order(consumed):
    with pytest.raises(ConflictError, match="does not consume its hold in order"):
        booking.settle(lives()["dispatched"], make_settlement(1, *consumed))


def test_the_same_hold_again_is_the_same_book_even_when_it_is_over():
    for book in lives().values():
        assert booking.admit(book, make_hold(1, (1, 60)), T0 + DAY) is book


def test_another_hold_under_the_same_key_conflicts():
    with pytest.raises(ConflictError, match="already booked"):
        booking.admit(lives()["held"], make_hold(1, (1, 59)), T0)


def test_the_same_grant_again_is_the_same_book():
    book = booking.admit(funded(), make_hold(1, (1, 60)), T0)
    assert booking.grant(book, make_grant(amount_nanos=100), (make_lot(amount_nanos=100),)) is book


@pytest.mark.parametrize(
    ("grant", "lots", "words"),
    [
        (make_grant(amount_nanos=99), (make_lot(amount_nanos=99),), "already booked"),
        (make_grant(amount_nanos=100), (make_lot(amount_nanos=100, priority=1),), "already booked"),
        (make_grant(id=2), (make_lot(id=2, grant_id=2, amount_nanos=1),), "do not sum"),
        (make_grant(id=2), (make_lot(id=1, grant_id=2),), "ids are taken"),
        (make_grant(id=2, amount_nanos=2), (make_lot(id=2, grant_id=2, amount_nanos=1),) * 2, "ids are taken"),
        (make_grant(id=2), (make_lot(id=2, grant_id=1),), "another grant or wallet"),
        (make_grant(id=2), (make_lot(id=2, grant_id=2, wallet_id=2),), "another grant or wallet"),
    ],
)
def test_a_grant_and_its_lots_agree(grant, lots, words):
    with pytest.raises(ConflictError, match=words):
        booking.grant(funded(), grant, lots)


def test_a_hold_that_never_was_cannot_end():
    with pytest.raises(TransitionError, match="there is no hold"):
        booking.settle(funded(), make_settlement(9, (1, 1)))


def test_replaying_the_journal_gives_the_same_book():
    events: list[booking.Event] = [
        booking.Granted(grant=make_grant(amount_nanos=100), lots=(make_lot(amount_nanos=100),)),
        booking.Admitted(hold=make_hold(1, (1, 60)), at=T0),
        booking.Dispatched(key=key(1)),
        booking.Suspended(key=key(1)),
        booking.Resolved(settlement=make_settlement(1, (1, 22))),
        booking.Admitted(hold=make_hold(2, (1, 10)), at=T0),
        booking.Released(key=key(2), reason=NEVER_DISPATCHED),
    ]
    book = Book()
    for event in events:
        book = booking.apply(book, event)
    assert booking.replay(events) == book
    assert booking.replay(events[4:], booking.replay(events[:4])) == book
    assert booking.replay([one for pair in pairwise([*events, events[-1]]) for one in pair]) == book


def test_a_replay_stops_at_what_is_refused():
    with pytest.raises(TransitionError, match="there is no hold"):
        booking.replay([booking.Dispatched(key=key(1))])


def test_a_long_journal_is_replayed_in_one_pass():
    # copying the book for every event would copy 10^8 entries here and meet the time limit of the test run
    events: list[booking.Event] = [booking.Granted(grant=make_grant(), lots=(make_lot(),))]
    for sequence in range(1, 10_001):
        events += [
            booking.Admitted(hold=make_hold(sequence, (1, 60)), at=T0),
            booking.Dispatched(key=key(sequence)),
            booking.Settled(settlement=make_settlement(sequence, (1, 2))),
        ]
    assert parts(booking.replay(events)) == (99_999_980_000, 0, 0, 20_000)
