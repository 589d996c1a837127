"""A worker's life that ends in order leaves nothing behind: what it was lent is the ledger's at once, whatever is still being found out."""

import pytest

from tests import ledger_kit as kit
from tests.desk import BOUND, make_meter
from tests.ledger_kit import ADA_LOT, BO_LOT, CREDIT
from tests.pair import Pair
from tests.unit.services.test_lending import story
from tokenroll.services.hot import HotHold
from tokenroll.services.protocol import Resign
from tokenroll.store.tape import Finish

LENT = "SELECT count(*) FROM lot_leases WHERE left_nanos > 0"


def lapsed(pair):
    """A call of Ada's at worker 0 that was sent, and of whose end nobody knows."""
    call = pair.call(0)
    spending = pair.workers[0].spending
    spending.dispatched([call.hold], pair.now)
    spending.lapse(call.hold, make_meter(), pair.now, Finish.UPSTREAM_CUT)
    pair.talk()
    assert not spending.open_holds


@story
def test_a_life_returns_its_lease_though_a_call_of_it_is_being_checked(pair):
    lapsed(pair)
    assert pair.lent(0, ADA_LOT) == 9 * BOUND
    pair.workers[0].core.resign()
    pair.talk()
    assert pair.rows(LENT) == [(0,)]
    # all but what is being checked is for the other worker, whom nobody asks to wait
    most = 100 * CREDIT - BOUND - 7_000_000
    everything = pair.call(1, output_cap_tokens=most // kit.OUT_NANOS)
    assert isinstance(everything.answer, HotHold)
    everything.release()
    pair.talk()
    # and what the check finds that it did not cost is the lots' own again
    pair.now += 73 * kit.HOUR
    assert pair.ledger.housekeep().result["decided_count"] == 1
    assert pair.rows("SELECT sum(suspense_nanos) FROM lot_values") == [(0,)]
    pair.workers.pop(0)
    pair.prove()


@story
def test_a_life_that_has_an_open_call_does_not_end_by_its_word_alone(pair):
    pair.call(0)
    pair.talk()
    pair.workers[0].core.resign()
    pair.talk()
    assert pair.lent(0, ADA_LOT) == 9 * BOUND
    assert not pair.ledger.known(0).resigned


@pytest.mark.parametrize("first", [0, 64])
def test_a_worker_that_is_alone_leaves_all_to_the_ledger(tmp_path, first):
    """Its one call is being checked: grants and recalls go on without a worker, and not only after its next life."""

    @story
    def alone(_pair):
        pair = Pair(tmp_path / "alone", of=1, first=first)
        lapsed(pair)
        pair.workers[0].core.resign()
        pair.talk()
        known = pair.ledger.known(first)
        assert known is not None
        assert known.resigned
        assert not pair.ledger._leased
        pair.prove()

    alone(tmp_path)


@story
def test_a_resignation_is_heard_only_on_the_line_whose_hello_named_its_worker(pair):
    """As reports and wants are (decision 0139)."""
    pair.call(1, "Bo").settle(input=10, output=0)
    pair.talk()
    lent = pair.lent(1, BO_LOT)
    assert lent > 0
    pair.workers[0].core._say(Resign(worker=1, epoch=1))
    pair.talk()
    assert pair.lent(1, BO_LOT) == lent
    assert isinstance(pair.call(1, "Bo").answer, HotHold)
    pair.prove()


@story
def test_a_resignation_that_is_not_heeded_answers_for_nothing(pair):
    """Who waits for what worker 1 was asked for goes on waiting for its answer: it has the lease as before."""
    pair.call(1, "Bo", output_cap_tokens=CREDIT // 10 // kit.OUT_NANOS)
    pair.talk()
    call = pair.call(0, "Bo", talk=False, output_cap_tokens=49 * CREDIT // 2 // kit.OUT_NANOS)
    while pair.workers[0].link.step():
        pass
    (waiting,) = pair.server.leases._waiting.values()
    assert set(waiting.asked) == {1}
    pair.workers[1].core._say(Resign(worker=1, epoch=1))
    connection = pair.workers[1].link._connection
    connection.data_received(pair.workers[1].link._to_ledger.popleft())
    assert set(waiting.asked) == {1}
    pair.talk()
    assert isinstance(call.answer, HotHold)
    pair.prove()
