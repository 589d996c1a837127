"""What several workers and the ledger say to each other crosses on the way, and no nanos are lost or denied for it.

Each of these was found by a simulated world (tests/simulator).
"""

import asyncio
import types
from typing import Any

import msgspec

from tests import ledger_kit as kit
from tests.desk import BOUND, make_facts, wallet
from tests.ledger_kit import ADA_LOT, CREDIT
from tests.pair import Call, Pair
from tests.unit.services.test_lending import story
from tokenroll.gateway.waiting import Waiting
from tokenroll.model.recall import RecallMode
from tokenroll.services.hot import HotHold, HotWallet, Wait
from tokenroll.services.hot_limits import HotLimit
from tokenroll.services.ledger_server import LedgerConnection
from tokenroll.services.protocol import (
    AskBack,
    Delta,
    FrameReader,
    Lacking,
    Lease,
    Lent,
    LotChange,
    RecallTerms,
    Refusal,
    Report,
    Want,
    encode,
)
from tokenroll.upstream.dialect import Denial

HOUR = 3_600_000_000


class Listener:
    """A worker's connection that writes down what it is told."""

    def __init__(self, worker):
        self.worker = worker
        self.heard = []

    def say(self, message):
        self.heard.append(message)


def credits_worth(amount):
    """An output cap that makes a call cost so many credits at most, and six thousandths."""
    return {"output_cap_tokens": int(amount * CREDIT) // kit.OUT_NANOS}


@story
def test_what_others_hold_when_a_life_begins_is_not_held_by_it(pair):
    other = pair.call(0)
    pair.restart(1)
    pair.talk()
    wallet = pair.workers[1].spending.wallets[kit.ADA]
    assert (wallet.held_nanos, wallet.held_elsewhere_nanos) == (0, BOUND)
    pair.call(1).settle(input=1_000, output=0)
    for _ in range(2):
        pair.workers[1].spending.returned(pair.workers[1].sized.idle())
    pair.talk()
    assert pair.lent(1, ADA_LOT) == 0
    other.release()
    pair.prove()


@story
def test_what_comes_back_behind_a_return_lies_idle_too(pair):
    call = pair.call(0)
    need = pair.call(1, **credits_worth(99.96))  # whatever worker 0 does not hold is asked back for it
    assert isinstance(need.answer, HotHold)
    assert pair.lent(0, ADA_LOT) == 0
    call.settle(input=1_000, output=0)
    for _ in range(2):
        pair.workers[0].spending.returned(pair.workers[0].sized.idle())
    pair.talk()
    assert pair.lent(0, ADA_LOT) == 0
    pair.prove()


@story
def test_a_worker_whose_clock_is_behind_is_lent_nothing_that_it_cannot_draw(pair):
    pair.now -= HOUR  # before the first grant; the ledger's time does not go back
    call = pair.call(0)
    assert call.denial.code == "wallet_empty"
    assert pair.workers[0].sized.want_count == 1
    assert pair.lent(0, ADA_LOT) == 0
    pair.now += HOUR
    assert isinstance(pair.call(0).answer, HotHold)
    pair.prove()


def test_three_workers_share_three_calls(tmp_path):
    """A third is no whole number of parts of a cap, and the last worker is not denied for it."""

    async def inside():
        pair = Pair(tmp_path, of=3)
        pair.do("limit.create", name="three", member="Ada", window="day", measure="calls", cap=3)
        pair.talk()
        assert all(isinstance(pair.call(worker).answer, HotHold) for worker in range(3))
        assert [pair.call(worker).denial.code for worker in range(3)] == ["limit_reached"] * 3
        pair.prove()

    asyncio.run(inside())


def want_of(worker, number, need, like=0):
    return Want(worker, 1, number, [kit.ADA], need, like, [], at=kit.START + 1)


@story
def test_what_was_lent_ahead_and_never_heard_is_said_again_while_others_wait(pair):
    pair.now = kit.START + 1
    desk, first, second = pair.server.leases, Listener(0), Listener(1)
    desk.want(first, want_of(0, 9, 0, like=10 * CREDIT))
    desk.want(second, want_of(1, 9, 75 * CREDIT))
    assert [type(one) for one in first.heard + second.heard] == [Lent]
    (waiting,) = desk._waiting.values()
    timer = waiting.timer
    desk.left(first)  # the line was cut behind the loan
    first.heard.clear()
    desk.came(first)
    desk.want(first, msgspec.structs.replace(want_of(0, 9, 0, like=10 * CREDIT), again=True))
    asked, lent, anew = first.heard
    assert (asked.number, lent.lots) == (waiting.number, [(kit.ADA, ADA_LOT, 10 * CREDIT)])
    assert timer.cancelled()  # it has a second from now on, not what is left of the first one
    assert waiting.timer.when() > timer.when()
    desk.returned(0, {asked.number})  # it had nothing yet
    assert second.heard == []
    desk.returned(0, {anew.number})
    assert [(type(one), one.number) for one in second.heard] == [(Lacking, 9)]
    assert pair.rows("SELECT count(*) FROM lease_moves WHERE number = 9") == [(1,)]


@story
def test_a_want_that_is_put_another_way_is_not_met_a_second_time(pair):
    """Its answer and what the worker is asked back for cross on the way."""
    worker = pair.workers[0]
    pair.call(0, talk=False)
    (want,) = worker.sized.unanswered()
    said: list[Any] = []
    worker.sized.say = said.append
    worker.sized.give_back(types.SimpleNamespace(wallets=want.wallets, limits=[]), pair.now)
    assert [(one.number, one.again) for one in said] == [(want.number, True)]
    pair.talk()
    assert isinstance(pair.ledger.want(said[0]), Lent)
    assert pair.rows(f"SELECT count(*) FROM lease_moves WHERE number = {want.number}") == [(1,)]


@story
def test_a_want_that_was_lacking_and_is_met_when_it_is_put_another_way_is_heard(pair):
    worker = pair.workers[0]
    pair.call(0, talk=False)
    (want,) = worker.sized.unanswered()
    worker.sized.give_back(types.SimpleNamespace(wallets=want.wallets, limits=[]), pair.now)
    worker.sized.lacking(Lacking(want.number, []))
    for _ in range(2):
        worker.sized.lent(Lent(want.number, [(kit.ADA, ADA_LOT, 7)], [], []))
    assert worker.left(kit.ADA) == 7


@story
def test_a_loan_that_is_heard_behind_a_recall_pays_it_first(pair):
    """The line broke, and what was said again came before what was lent earlier."""
    worker = pair.workers[0]
    call = pair.call(0)
    said: list[Any] = []
    worker.sized.say = said.append
    pair.call(0, talk=False, **credits_worth(2))
    lent = pair.ledger.want(said[0])
    assert isinstance(lent, Lent)
    (grant,) = pair.rows("SELECT public_id FROM grants WHERE id = 1")[0]
    pair.do("grant.void", grant=grant, reason="a slip")
    pair.talk()
    held = call.hold.bound_nanos
    loan = sum(nanos for _, lot, nanos in lent.lots if lot == ADA_LOT)
    assert pair.rows("SELECT voided_nanos FROM lot_values WHERE lot_id = 1") == [(40 * CREDIT - held - loan,)]
    worker.core.received(lent)
    pair.talk()
    assert pair.rows("SELECT voided_nanos FROM lot_values WHERE lot_id = 1") == [(40 * CREDIT - held,)]
    call.settle(input=1_000, output=0)
    pair.prove()
    assert pair.rows("SELECT voided_nanos FROM lot_values WHERE lot_id = 1") == [(40 * CREDIT - 3_000_000,)]


@story
def test_a_limit_that_lacked_and_of_which_something_went_back_since_is_asked_for_again(pair):
    limit = pair.do("limit.create", name="ten", member="Ada", window="day", measure="credits", cap=10 * CREDIT)["limit"]
    pair.talk()
    before = pair.call(0, **credits_worth(6))
    pair.call(1, **credits_worth(2))
    ((limit_id,),) = pair.rows(f"SELECT id FROM limits WHERE public_id = '{limit}'")
    worker = pair.workers[0]
    said: list[Any] = []
    worker.sized.say = said.append
    call = pair.call(0, talk=False, **credits_worth(3))
    worker.sized.lacking(Lacking(said[0].number, [], limits=[(limit_id, 8 * 10**17)]))  # two of ten are another's
    before.settle(input=0, output=CREDIT // kit.OUT_NANOS)
    worker.spending.give_back_asked(AskBack(1, [], [limit_id]))
    worker.turn()
    assert isinstance(call.answer, Wait)  # of the ten three are used
    assert len(said) == 2


@story
def test_a_call_that_needs_less_by_now_asks_again(pair):
    pair.do("limit.create", name="ten", member="Ada", window="day", measure="credits", cap=10 * CREDIT)
    pair.talk()
    pair.call(1, **credits_worth(5.9))
    before = pair.call(0, **credits_worth(2.9))
    call = pair.call(0, talk=False, **credits_worth(2.4))  # of ten are left one, and a little
    before.settle(input=0, output=1_500_000_000 // kit.OUT_NANOS)
    pair.talk()
    assert isinstance(call.answer, HotHold)
    pair.prove()


@story
def test_a_lot_that_was_over_when_a_life_began_may_come_out_of_suspense(pair):
    spending = pair.workers[0].spending
    change = LotChange(kit.ADA, 999, 5, None)
    delta = Delta(number=spending.last_delta + 1, wallets=[], lots=[change], keys=[], cards=[], settings={})
    assert spending.apply_delta(delta)
    pair.prove()


@story
def test_who_waited_for_a_pace_is_not_told_that_the_wallet_is_empty(pair):
    pace = object.__new__(HotLimit)
    hold = types.SimpleNamespace(key=types.SimpleNamespace(funding_text="The wallet Ada"), limited=None)
    sized = pair.workers[0].sized
    told = sized.refusal(hold, 0, Denial("wallet_empty"), Wait(limit=pace))
    assert told.code == "not_ready"
    assert sized.refusal(hold, 0, Denial("limit_reached"), Wait(limit=pace)).code == "limit_reached"


@story
def test_what_a_want_of_nothing_lacks_no_call_lacks(pair):
    """When it asked enough had come back; another call took that before the answer."""
    sized, wallet = pair.workers[0].sized, pair.workers[0].spending.wallets[kit.ADA]
    wallet.look(pair.now)
    woken: list[str] = []
    first = Wait(BOUND, (wallet,), asks=[])
    said: list[Want] = []
    sized.say = said.append
    first.wake = lambda: woken.append("first")
    sized.wait(first)
    lot = wallet.lots[ADA_LOT]
    wallet.change(lot, BOUND)
    sized.lent(Lent(said[0].number, [], [], []))
    assert woken == ["first"]
    first.wake = lambda: woken.append("first again")
    sized.wait(first)
    assert said[1].need_nanos == 0
    wallet.change(lot, -BOUND)  # another call was quicker
    sized.lacking(Lacking(said[1].number, []))
    assert (woken[1:], first.lacked) == (["first again"], False)


@story
def test_whoever_came_since_a_want_asks_together(pair):
    """Ten calls of which each would wait for nine answers are two questions."""
    assert isinstance(pair.call(1, **credits_worth(99.99)).answer, HotHold)
    wants = pair.workers[0].sized.want_count
    calls = [pair.call(0, talk=False, **credits_worth(0.1)) for _ in range(10)]
    pair.talk()
    assert {call.denial.code for call in calls} == {"wallet_empty"}
    assert pair.workers[0].sized.want_count == wants + 2
    pair.prove()


@story
def test_a_call_whose_time_ends_while_it_asks_again_is_denied_for_what_was_lacking(pair):
    sized, limit = pair.workers[0].sized, object.__new__(HotLimit)
    limit.id = 7
    hold = types.SimpleNamespace(key=types.SimpleNamespace(funding_text="The wallet Ada"), limited=None)
    asks = Wait(BOUND, asks=[])
    asks.lacked_before = before = Wait(BOUND, asks=[])

    def told(code, need, limits):
        before.lacks = need, limits
        return sized.refusal(hold, 0, Denial(code), asks).code

    assert told("wallet_empty", BOUND, []) == "wallet_empty"
    assert told("wallet_empty", 0, [7]) == "not_ready"  # a limit was lacking
    assert told("wallet_empty", BOUND, [7]) == "not_ready"  # one of both
    asks.asks = [(limit, 1)]
    assert told("limit_reached", 0, [7]) == "limit_reached"
    assert told("limit_reached", BOUND, [7]) == "not_ready"
    assert told("limit_reached", 0, [8]) == "not_ready"
    asks.lacked_before = None
    assert told("wallet_empty", BOUND, []) == "not_ready"


def test_a_call_whose_time_ends_when_it_is_woken_has_not_been_told_that_there_is_no_more():
    told = []
    gateway = types.SimpleNamespace(
        wheel=types.SimpleNamespace(now=0, add=lambda _one: None), ticks=types.SimpleNamespace(wait=5),
        metrics=types.SimpleNamespace(waits=0), loop=types.SimpleNamespace(call_soon=lambda _does: None),
        spending=types.SimpleNamespace(wait=lambda _wait, _wake: None, forget=lambda _wait: None, sized=None),
    )  # fmt: skip
    call = types.SimpleNamespace(
        gateway=gateway, is_waiting=False, admit_again=lambda *, may_wait, asked: told.append((may_wait, asked))
    )
    waiting = Waiting(call, HotWallet(wallet()))  # type: ignore[arg-type]
    waiting.begin(Wait(1, asks=[]))
    waiting._wake()  # something was lent, which another call takes before this one is tried
    waiting.deadline_passed()
    ((may_wait, last),) = told
    assert (may_wait, last.asks, last.lacked) == (False, [], False)


@story
def test_a_report_is_heard_only_on_the_line_whose_hello_named_its_worker(pair):
    written: list[Any] = []
    line = LedgerConnection(pair.server)
    line.write = written.append  # type: ignore[method-assign, assignment]
    pair.restart(0)  # between HELLO and READY
    while pair.ledger.epoch_of(0) < 2:
        pair.workers[0].link.step()
    block = kit.pack_block(pair.ledger.folded_sequence(0, 1) + 1, [kit.hold_record(1, (ADA_LOT, 10))])
    line.data_received(encode(Report(worker=0, epoch=1, blocks=block)))
    (answer,) = FrameReader().feed(b"".join(written))
    assert isinstance(answer, Refusal)
    assert pair.ledger.folded_sequence(0, 1) == 0
    pair.talk()
    pair.prove()


def limit_told(pair, cap):
    pair.do("limit.create", name="calls", member="Ada", window="hour", zone="UTC", measure="calls", cap=cap)
    pair.talk()


def call_of_one(pair):
    return pair.call(0).settle(input=10, output=0)


def test_a_worker_whose_clock_is_behind_counts_by_its_own_window(tmp_path):
    """The ledger tells what its own window counts, and the one before: in the window of a clock that is behind only that one counts."""

    async def inside():
        pair = Pair(tmp_path, of=1)
        limit_told(pair, 3)
        call_of_one(pair)  # in the first hour, one
        pair.now += HOUR
        for _ in range(3):
            call_of_one(pair)
        assert pair.call(0).denial.code == "limit_reached"
        pair.talk()
        pair.now -= HOUR  # somebody sets the clock back, and the worker is started again
        pair.restart(0)
        pair.talk()
        assert [call_of_one(pair) > 0 for _ in range(2)] == [True, True]
        assert pair.call(0).denial.code == "limit_reached"  # three in the first hour
        pair.now += HOUR
        assert pair.call(0).denial.code == "limit_reached"  # and three in the second
        pair.now += HOUR
        assert isinstance(pair.call(0).answer, HotHold)
        pair.talk()
        assert pair.rows("SELECT used FROM limit_counters ORDER BY start_at") == [(3,), (3,), (1,)]

    asyncio.run(inside())


def waiting_for_what_is_held(pair, count):
    """So many calls at worker 1 that wait for what a call at worker 0 holds: it is nearly all that Ada has."""
    holder = pair.call(0, **credits_worth(99.9))
    calls = [Call(pair.workers[1], "Ada", make_facts(**credits_worth(1)), None) for _ in range(count)]
    for one in calls:
        one.may_wait = True
        one.attempt()
    pair.talk()
    return holder, calls


def again(pair, calls):
    """The moment comes at which those that still wait ask once more, as the gateway lets them."""
    still = [one for one in calls if isinstance(one.answer, Wait) and one.answer.until]
    for one in still:
        pair.workers[1].spending.forget(one.answer)
        one.attempt()
    pair.talk()
    return len(still)


@story
def test_calls_that_wait_for_what_others_hold_ask_together(pair):
    holder, calls = waiting_for_what_is_held(pair, 20)
    sized = pair.workers[1].sized
    assert len({one.answer.until for one in calls}) == 1
    # the first asked at once, and the others together when it was answered
    assert sized.want_count <= 3
    for _ in range(5):
        before = sized.want_count
        pair.now += 50_000
        assert again(pair, calls) == 20
        assert sized.want_count - before <= 2
    holder.release()
    pair.talk()
    pair.now += 50_000
    again(pair, calls)
    for _ in range(8):
        pair.talk()
    assert [type(one.answer) for one in calls] == [HotHold] * 20
    pair.prove()


@story
def test_one_that_needs_less_is_not_told_that_there_is_no_more(pair):
    holder = pair.call(0, **credits_worth(98))
    sizes = [5, 4, 1]
    calls = [Call(pair.workers[1], "Ada", make_facts(**credits_worth(size)), None) for size in sizes]
    for one in calls:
        one.attempt()
    pair.talk()
    assert [type(one.answer) for one in calls] == [Denial, Denial, HotHold]
    holder.release()
    pair.prove()


@story
def test_what_is_lent_to_a_life_that_has_resigned_is_not_heard(pair):
    """Its want was answered while its last word was on the way. It hears of no new lots either, and nothing more is for its tape to say."""
    pair.call(0).release()
    pair.talk()
    worker = pair.workers[0]
    worker.sized._send([worker.spending.wallets[kit.ADA]], 0, BOUND, [], [])  # ahead, for nobody waits
    worker.core.resign()
    worker.core.received(Lent(worker.sized._number, [(kit.ADA, 99, 5)], [], [], []))
    assert not worker.tape.has_pending
    pair.talk()
    assert pair.rows("SELECT sum(left_nanos) FROM lot_leases WHERE worker = 0") == [(None,)]


@story
def test_a_lease_that_comes_behind_a_lifes_last_word_is_nobodys(pair):
    """It was asked for on the line before. With it the life would hear of claw-backs, and answer them when all was taken back of it."""
    pair.call(0).release()
    pair.talk()
    worker = pair.workers[0]
    assert worker.spending.wallets[kit.ADA].lots[ADA_LOT].left_nanos > 7
    worker.core.resign()
    worker.core.received(Lease([], 0, worker.core.last_delta, last=True, of=2))
    recall = RecallTerms(99, 99, kit.ADA, ADA_LOT, 7, RecallMode.LEFT.value)
    worker.core.received(Delta(worker.core.last_delta + 1, [], [], [], [], {}, recalls=[recall]))
    assert not worker.core.spending
    assert not worker.tape.has_pending
    pair.talk()
    assert pair.rows("SELECT sum(left_nanos) FROM lot_leases WHERE worker = 0") == [(None,)]


@story
def test_a_claw_back_while_a_worker_says_its_last_words_is_the_ledgers_to_answer(pair):
    """What it would still write would be told behind its last word: the ledger has taken back and given by then, and its next life would halt."""
    pair.call(0).settle(input=1_000, output=0)
    pair.talk()
    worker = pair.workers[0]
    assert pair.lent(0, ADA_LOT) > 0
    worker.core.ends()
    grant = pair.rows("SELECT public_id FROM grants WHERE id = 1")[0][0]
    pair.do("grant.void", grant=grant, reason="a slip")
    pair.talk()
    assert not worker.tape.has_pending
    assert pair.rows("SELECT count(*) FROM recalls WHERE ended_at IS NULL") == [(1,)]
    worker.core.resign()
    pair.talk()
    spent = 1_000 * 3_000
    assert pair.rows("SELECT voided_nanos, spent_nanos FROM lot_values WHERE lot_id = 1") == [(40 * CREDIT - spent, spent)]  # fmt: skip
    assert pair.rows("SELECT count(*) FROM recalls WHERE ended_at IS NULL") == [(0,)]
    pair.restart(0)
    pair.talk()
    pair.prove()
