"""What a worker gives back of its leased lots when it is asked: what is free now, what returns later, all of a group or nothing."""

import pytest

from tests.cast import CREDIT, T0
from tests.desk import BOUND, Desk, lot, make_silent_meter, wallet
from tokenroll.model.hold import ReleaseReason
from tokenroll.services.protocol import Delta, LotChange, LotTerms, RecallTerms
from tokenroll.store.tape import Finish


@pytest.fixture
def ada(tmp_path) -> Desk:
    """Ada has one lot of one credit."""
    return Desk(tmp_path, wallet(lot(1, CREDIT)))


def recall(delta: int, *parts: RecallTerms) -> Delta:
    return Delta(delta, [], [], [], [], {}, list(parts))


def test_a_recall_of_all_gives_what_is_free_now_and_the_rest_as_calls_end(ada):
    """A credit, of which a call holds its bound: the rest comes at once, and of the bound what the call does not cost."""
    hold = ada.admit()
    assert ada.spending.apply_delta(recall(1, RecallTerms(7, 7, 1, 1, CREDIT, "owed")))
    assert ada.available() == 0
    assert ada.gives() == [(7, 1, CREDIT - BOUND)]
    assert ada.admit().code == "wallet_empty"
    ada.dispatch(hold)
    ada.settle(hold, input=100)
    assert ada.gives() == [(7, 1, CREDIT - BOUND), (7, 1, BOUND - 300_000)]
    assert ada.available() == 0
    assert ada.spending.wallets[1].lots[1].left_nanos == -300_000


def test_what_is_owed_to_two_recalls_is_paid_in_their_order_and_the_rest_stays(ada):
    hold = ada.admit()
    asked = (RecallTerms(7, 7, 1, 1, CREDIT - BOUND + 100, "owed"), RecallTerms(8, 8, 1, 1, 50, "owed"))
    ada.spending.apply_delta(recall(1, *asked))
    ada.spending.release(hold, ReleaseReason.NOT_SENT, T0)
    assert ada.gives() == [(7, 1, CREDIT - BOUND), (8, 1, 0), (7, 1, 100), (8, 1, 50)]
    assert ada.available() == BOUND - 150


def test_a_recall_of_what_is_left_wants_nothing_later(ada):
    hold = ada.admit()
    ada.spending.apply_delta(recall(1, RecallTerms(7, 7, 1, 1, CREDIT, "left")))
    ada.spending.release(hold, ReleaseReason.NOT_SENT, T0)
    assert ada.gives() == [(7, 1, CREDIT - BOUND)]
    assert ada.available() == BOUND


def test_a_recall_of_the_whole_is_all_of_its_group_or_nothing(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT), lot(2, 5 * CREDIT)))
    desk.admit()
    parts = (RecallTerms(7, 7, 1, 1, CREDIT, "whole"), RecallTerms(8, 7, 1, 2, CREDIT, "whole"))
    desk.spending.apply_delta(recall(1, *parts))
    assert desk.gives() == [(7, 1, 0), (8, 2, 0)]
    assert desk.available() == 6 * CREDIT - BOUND
    parts = (RecallTerms(9, 9, 1, 1, CREDIT - BOUND, "whole"), RecallTerms(10, 9, 1, 2, CREDIT, "whole"))
    desk.spending.apply_delta(recall(2, *parts))
    assert desk.gives()[2:] == [(9, 1, CREDIT - BOUND), (10, 2, CREDIT)]
    assert desk.available() == 4 * CREDIT


def test_a_lot_that_is_not_leased_here_has_nothing_to_give(ada):
    ada.spending.apply_delta(
        recall(1, RecallTerms(7, 7, 1, 99, CREDIT, "owed"), RecallTerms(8, 8, 77, 5, CREDIT, "left"))
    )
    assert ada.gives() == [(7, 99, 0), (8, 5, 0)]


def test_what_comes_out_of_suspense_is_owed_to_a_recall_too(ada):
    hold = ada.admit()
    ada.dispatch(hold)
    ada.spending.lapse(hold, make_silent_meter(), T0, Finish.UPSTREAM_CUT)
    ada.spending.apply_delta(recall(1, RecallTerms(7, 7, 1, 1, CREDIT, "owed")))
    ada.spending.apply_delta(Delta(2, [], [LotChange(1, 1, BOUND - 5, None, 5)], [], [], {}))
    assert ada.gives() == [(7, 1, CREDIT - BOUND), (7, 1, BOUND - 5)]
    assert ada.available() == 0


def test_what_has_expired_is_not_passed_on_any_more(tmp_path):
    """Asked for before the lot's end, answered at it."""
    desk = Desk(tmp_path, wallet(lot(1, CREDIT, expires_at=T0 + 5), lot(2, CREDIT)))
    desk.spending.clock = lambda: T0 + 5
    desk.spending.apply_delta(
        recall(1, RecallTerms(7, 7, 1, 1, CREDIT, "whole"), RecallTerms(8, 7, 1, 2, CREDIT, "whole"))
    )
    assert desk.gives() == [(7, 1, 0), (8, 2, 0)]


def test_a_lot_that_expired_before_the_worker_began_is_told_with_the_recall_and_given(tmp_path):
    """A charge of usage from before: the ledger knows what is left of the lot, because nobody has spent of it since."""
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)))
    gone = LotChange(1, 5, 0, LotTerms(5, 100, 0, T0 - 1, 3 * CREDIT, "tool"))
    known = LotChange(1, 1, 0, LotTerms(1, 100, 0, 0, 99 * CREDIT, "tool"))
    asked = [RecallTerms(7, 7, 1, 5, 2 * CREDIT, "left"), RecallTerms(8, 7, 1, 1, 4 * CREDIT, "left")]
    desk.spending.apply_delta(Delta(1, [], [gone, known], [], [], {}, asked, spent={1: 5}))
    assert desk.gives() == [(7, 5, 2 * CREDIT), (8, 1, CREDIT)]
    assert desk.available() == 0
    assert desk.spending.wallets[1].spent_nanos == 5


def test_what_was_given_and_could_not_be_taken_is_left_again_and_neither_spent_nor_in_suspense(ada):
    ada.spending.apply_delta(recall(1, RecallTerms(7, 7, 1, 1, CREDIT, "left")))
    assert ada.available() == 0
    ada.spending.apply_delta(Delta(2, [], [LotChange(1, 1, CREDIT, None, -CREDIT)], [], [], {}, spent={1: CREDIT}))
    seen = ada.spending.wallets[1]
    assert (ada.available(), seen.spent_nanos, seen.suspense_nanos) == (CREDIT, 0, 0)
