"""Who waits for whom at the ledger: no want is lost, none is answered for what was not asked, and thousands wait at no cost."""

import random
import sqlite3
import time

import msgspec
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from tests import ledger_kit as kit
from tests.ledger_kit import ADA_LOT, BO_LOT, CREDIT, POOL_LOT
from tests.pair import Pair
from tests.unit.services.test_lending import story
from tokenroll.services.hot import HotHold
from tokenroll.services.ledger_server import LedgerServer
from tokenroll.services.loopback import Loopback
from tokenroll.services.protocol import AskBack, Lacking, Lent, Want
from tokenroll.store.collector import no_cycle_search


class Listener:
    """A worker's connection that writes down what it is told."""

    def __init__(self, worker):
        self.worker = worker
        self.heard = []
        self.is_over = False

    def say(self, message):
        self.heard.append(message)

    def end(self):
        self.is_over = True


def want_of(worker, number, need, wallets):
    return Want(worker, 1, number, wallets, need, 0, [], at=kit.START + 1)


def pool_of(pair, count):
    """So many wants of members of one pool: others are asked for the first one, and the rest stand behind it."""
    pair.ledger.want = lambda message, asked=frozenset(), *, sparing=False: (
        Lacking(message.number, []) if asked or message.number > 1 else {1}
    )
    desk, first, asked = pair.server.leases, Listener(0), Listener(1)
    desk.peers[1] = asked
    for number in range(1, count + 1):
        desk.want(first, want_of(0, number, 5, [100 + number, 9]))
    return desk, first, asked


def credits_worth(amount):
    """An output cap that makes a call cost so many credits at most, and six thousandths."""
    return {"output_cap_tokens": int(amount * CREDIT) // kit.OUT_NANOS}


def disk_is_full():
    cause = sqlite3.OperationalError("database or disk is full")
    cause.sqlite_errorcode = sqlite3.SQLITE_FULL
    return OperationalError("INSERT", {}, cause)


def come_again(pair: Pair):
    """Workers whose line was ended make a new one."""
    for worker in pair.workers:
        if worker.link._connection is None:
            worker.link = Loopback(pair.server, worker.core)


@story
def test_a_want_whose_answer_failed_once_is_said_again(pair):
    """The disk is full for a moment, when another worker's return would meet the want."""
    pair.call(1, "Bo", **credits_worth(4.9)).release()
    real = pair.ledger.want
    failures: list[OperationalError] = []

    def want(message, asked=frozenset(), **how):
        if asked and not failures:
            failures.append(disk_is_full())
            raise failures[0]
        return real(message, asked, **how)

    pair.ledger.want = want
    call = pair.call(0, "Bo", **credits_worth(24.5))
    assert len(failures) == 1
    assert pair.workers[0].link._connection is None
    assert pair.workers[1].link._connection is not None  # it only returned what it had
    come_again(pair)
    pair.talk()
    assert isinstance(call.answer, HotHold)
    pair.prove()


@story
def test_thousands_of_wants_behind_one_are_all_answered_in_their_order(pair):
    desk, first, asked = pool_of(pair, 3_000)
    assert first.heard == []
    (question,) = asked.heard
    assert isinstance(question, AskBack)
    desk.returned(1, {question.number})
    assert [one.number for one in first.heard] == [*range(1, 3_001)]
    assert not desk._waiting
    assert not desk._lines


@story
def test_a_want_costs_as_little_behind_thousands_as_behind_few(pair):
    """Each that is compared with all that wait costs 16 times as much when 16 times as many wait."""
    seconds = []
    for count in (500, 8_000):
        with no_cycle_search():
            began = time.thread_time()
            desk, first, asked = pool_of(pair, count)
            desk.returned(1, {asked.heard[0].number})
            seconds.append((time.thread_time() - began) / count)
        assert len(first.heard) == count
    few, many = seconds
    assert many < 5 * few, f"{many * 1e6:.0f} us a want of 8,000, {few * 1e6:.0f} us of 500"


@story
def test_what_was_returned_for_a_ledger_before_this_one_answers_no_question_of_this_one(pair):
    """A worker was asked, and returned about somebody else; before that was reported the ledger was started again.

    Its clock was set back meanwhile, so it is no later for it than it was (simulator, seed 120006).
    """
    pair.call(1, "Bo", **credits_worth(0.1)).settle(input=10, output=0)
    pair.talk()
    wanter, other = pair.workers
    question = pair.server.leases._number + 1
    other.link.close()
    other.spending.returned([], question)
    other.turn()  # on its tape, and not reported
    wanter.link.close()
    pair.ledger = kit.new_ledger(pair.connection, lambda: pair.now)
    pair.ledger.random_bits = random.Random(7).getrandbits
    pair.server = LedgerServer(pair.ledger)
    wanter.link = Loopback(pair.server, wanter.core)
    wanter.link.pump()
    assert pair.lent(1, BO_LOT) > 0
    call = pair.call(0, "Bo", talk=False, **credits_worth(24.9))
    other.link = Loopback(pair.server, other.core)
    other.link.step()  # it says HELLO, so it is asked
    while wanter.link.step():
        pass
    (waiting,) = pair.server.leases._waiting.values()
    assert waiting.asked.keys() == {1}
    pair.talk()
    assert isinstance(call.answer, HotHold)
    pair.prove()


@story
def test_a_worker_whose_line_was_cut_behind_a_question_is_asked_again(pair):
    pair.call(1, "Bo", **credits_worth(0.1)).settle(input=10, output=0)
    pair.talk()
    wanter, other = pair.workers
    call = pair.call(0, "Bo", talk=False, **credits_worth(24.9))
    while wanter.link.step():
        pass
    (waiting,) = pair.server.leases._waiting.values()
    assert waiting.asked.keys() == {1}
    other.link.close()  # and the question is lost
    other.link = Loopback(pair.server, other.core)
    pair.talk()
    assert isinstance(call.answer, HotHold)
    assert not pair.server.leases._waiting
    pair.prove()


@story
def test_who_was_lent_something_and_did_not_hear_it_denies_nobody_else(pair):
    """It is asked back while its answer is said again, and what it returned before that says nothing."""
    call = pair.call(0, "Bo", talk=False, **credits_worth(0.1))
    first, second = pair.workers
    while first.link.step():
        if pair.lent(0, BO_LOT):
            break
    lent = pair.lent(0, BO_LOT)
    assert lent == 1_060_860_000
    first.link.close()
    first.link = Loopback(pair.server, first.core)
    first.link.step()  # it says HELLO, so it can be asked
    other = pair.call(1, "Bo", talk=False, output_cap_tokens=(25 * CREDIT - lent // 2) // kit.OUT_NANOS)
    while second.link.step():  # its want comes first
        pass
    pair.talk()
    assert isinstance(call.answer, HotHold)
    assert isinstance(other.answer, HotHold)
    pair.prove()


@story
def test_a_want_that_is_put_another_way_asks_for_what_it_did_not_ask(pair):
    """A worker was asked for money alone; that it returned that says nothing of its share of a limit, which is wanted since."""
    pair.do("limit.create", name="ten", member="Bo", window="day", measure="calls", cap=10)
    pair.talk()
    pair.now += 1
    for _ in range(3):
        pair.call(1, "Bo", **credits_worth(0.1))
    (limit_id,) = pair.workers[0].spending.limits.known
    shares = pair.rows(f"SELECT share FROM limit_shares WHERE worker = 1 AND limit_id = {limit_id}")
    assert shares[0][0] > 0
    desk, wanter, holder = pair.server.leases, Listener(0), Listener(1)
    desk.peers[1] = holder
    want = Want(0, 1, 50, [kit.BO, kit.POOL], 24 * CREDIT + 700_000_000, 0, [], at=pair.now)
    desk.want(wanter, want)
    # what it counted on of the limit went back meanwhile, and it wants all that there is
    desk.want(wanter, msgspec.structs.replace(want, limits=[(limit_id, 10**18)], again=True))
    (question,) = holder.heard
    desk.returned(1, {question.number})
    _, anew = holder.heard
    assert (question.limits, anew.limits, anew.wallets) == ([], [limit_id], [kit.BO, kit.POOL])
    assert wanter.heard == []
    desk.returned(1, {anew.number})
    assert [type(one) for one in wanter.heard] == [Lacking]
    assert not desk._lines


@story
def test_two_that_are_put_another_way_do_not_wait_for_each_other(pair):
    """Each names what the other does, behind one that is asked for."""
    desk, wanter, asked = pool_of(pair, 1)
    two, three = want_of(0, 2, 5, [9, 20]), want_of(0, 3, 5, [9, 30])
    desk.want(wanter, two)
    desk.want(wanter, three)
    desk.want(wanter, msgspec.structs.replace(three, limits=[(7, 1)]))
    desk.want(wanter, msgspec.structs.replace(two, limits=[(7, 1)]))
    assert wanter.heard == []
    desk.returned(1, {asked.heard[0].number})
    assert [one.number for one in wanter.heard] == [1, 2, 3]
    assert not desk._lines


@story
def test_who_has_enough_waits_for_nobody_of_the_same_pool(pair):
    """Bo needs the pool, and worker 1 is asked for what it has of it; Ada has eighty credits of her own."""
    pair.now += 1
    pair.call(1, "Nightly", **credits_worth(1))
    desk, peer = pair.server.leases, Listener(0)
    pool = pair.lent(1, POOL_LOT)
    assert pool > 0
    desk.want(peer, want_of(0, 8, 24 * CREDIT, [kit.BO, kit.POOL]))
    assert peer.heard == []
    desk.want(peer, want_of(0, 9, CREDIT, [kit.ADA, kit.POOL]))
    assert [one.lots for one in peer.heard] == [[(kit.ADA, ADA_LOT, CREDIT)]]
    desk.want(peer, want_of(0, 10, 80 * CREDIT, [kit.ADA, kit.POOL]))  # more than her own: the pool is Bo's first
    desk.want(peer, want_of(0, 11, CREDIT, [kit.BO, kit.POOL]))
    assert len(peer.heard) == 1
    assert pair.rows("SELECT sum(left_nanos) FROM lot_leases WHERE worker = 0") == [(CREDIT,)]


@story
def test_who_has_enough_money_waits_for_a_limit_that_somebody_waits_for(pair):
    pair.do("limit.create", name="ten", department="Engineering", window="day", measure="calls", cap=10)
    pair.talk()
    pair.now += 1
    pair.call(1, "Bo", **credits_worth(0.1))
    (limit_id,) = pair.workers[1].spending.limits.known
    desk, peer = pair.server.leases, Listener(0)
    desk.want(peer, Want(0, 1, 8, [kit.BO, kit.POOL], 0, 0, [(limit_id, 10**18)], at=pair.now))
    desk.want(peer, Want(0, 1, 9, [kit.ADA, kit.POOL], CREDIT, 0, [(limit_id, 1)], at=pair.now))
    assert peer.heard == []


@story
def test_wants_that_came_in_one_read_are_met_in_one_transaction(pair):
    calls = [pair.call(0, name, talk=False, **credits_worth(0.1)) for name in ("Ada", "Bo")]
    link = pair.workers[0].link
    read = b"".join(link._to_ledger)
    link._to_ledger.clear()
    ((before,),) = pair.rows("SELECT count(*) FROM batches")
    link._connection.data_received(read)
    assert pair.rows("SELECT count(*) FROM batches") == [(before + 1,)]
    assert pair.lent(0, ADA_LOT) > 0
    assert pair.lent(0, BO_LOT) > 0
    pair.talk()
    assert [type(one.answer) for one in calls] == [HotHold, HotHold]
    pair.prove()


@story
def test_behind_a_want_for_which_another_is_asked_none_of_its_wallet_is_met(pair):
    pair.call(1, "Bo", **credits_worth(0.1))
    desk, wanter, holder = pair.server.leases, Listener(0), Listener(1)
    desk.peers[1] = holder
    # Bo has 5 credits and 20 of the pool, of which the other one has some
    much = want_of(0, 50, 25 * CREDIT, [kit.BO, kit.POOL])
    desk.wants(wanter, [much, want_of(0, 51, 5, [kit.BO]), want_of(0, 52, 7, [kit.ADA])])
    assert [(one.number, one.lots) for one in wanter.heard] == [(52, [(kit.ADA, ADA_LOT, 7)])]
    (question,) = holder.heard
    desk.returned(1, {question.number})
    assert [(one.number, type(one)) for one in wanter.heard[1:]] == [(50, Lacking), (51, Lent)]
    assert not desk._lines


@story
def test_where_wants_that_came_together_fail_their_worker_says_them_anew(pair):
    def fails(wants, *, sparing):
        del wants, sparing
        raise disk_is_full()

    pair.ledger.lend = fails
    wanter = Listener(0)
    pair.server.leases.wants(wanter, [want_of(0, 50, 5, [kit.ADA]), want_of(0, 51, 5, [kit.BO])])
    assert wanter.is_over
    assert wanter.heard == []


@story
def test_however_many_limits_are_wanted_together_their_terms_are_read_together(pair):
    """Each of ten thousand wallets has limits of its own: read one after another they were two fifths of the ledger's work."""
    asked, counts = [], []
    event.listen(pair.connection, "before_cursor_execute", lambda *told: asked.append(told[2]))
    for count in (2, 12):
        for number in range(count):
            pair.do("limit.create", name=f"{count} {number}", member="Bo", window="day", measure="calls", cap=10)
        pair.talk()
        limits = [(limit_id, 10**17) for limit_id in sorted(pair.workers[0].spending.limits.known)]
        asked.clear()
        wanter = Listener(0)
        wants = [want_of(0, 50 * count + number, 5, [name]) for number, name in enumerate((kit.ADA, kit.BO))]
        pair.server.leases.wants(
            wanter, [msgspec.structs.replace(one, limits=limits[number::2]) for number, one in enumerate(wants)]
        )
        assert [type(one) for one in wanter.heard] == [Lent, Lent]
        counts.append(len(asked))
    assert counts[0] == counts[1] > 0
