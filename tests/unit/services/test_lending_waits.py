"""Calls that wait for what the ledger lends: who is woken, who asks for whom, and what a worker keeps in mind for it.

A strange reader found these, not the simulator.
"""

import time
import types
from pathlib import Path
from typing import Any

from tests import ledger_kit as kit
from tests.desk import BOUND, CHAT, PEPPER, SIM, make_facts
from tests.ledger_kit import ADA_LOT, BO_LOT, CREDIT
from tests.pair import SECRETS, Call
from tests.unit.services.test_lending import story
from tests.unit.services.test_lending_races import credits_worth
from tokenroll.gateway.process import _Life
from tokenroll.gateway.settings import GatewaySettings
from tokenroll.gateway.waiting import Waiting
from tokenroll.model.hold import Slice
from tokenroll.services.hot import HotHold, Wait
from tokenroll.services.protocol import AskBack, Lacking, Lent, Want
from tokenroll.store.tape import Durability
from tokenroll.upstream.dialect import Denial


@story
def test_a_wallet_that_nobody_used_here_stays_packed_when_it_is_asked_back(pair):
    sized, wallets = pair.workers[0].sized, pair.workers[0].spending.wallets
    assert kit.NIGHTLY not in wallets.hot
    assert sized.give_back(AskBack(1, [kit.NIGHTLY], []), pair.now) == []
    assert kit.NIGHTLY not in wallets.hot


@story
def test_wants_that_were_said_again_and_lacked_are_not_remembered_for_ever(pair):
    sized, hot = pair.workers[0].sized, pair.workers[0].spending.wallets[kit.ADA]
    hot.look(pair.now)
    sized.say = lambda _want: None
    for number in range(1, 1_101):
        one = Wait(BOUND, (hot,), asks=[])
        one.wake = lambda: None
        sized.wait(one)
        sized.give_back(AskBack(number, [kit.ADA], []), pair.now)
        sized.lacking(Lacking(number, []))
    sized.idle()
    sized.lent(Lent(1_100, [(kit.ADA, ADA_LOT, 7)], [], []))  # half a minute later it is still its worker's
    assert pair.workers[0].left(kit.ADA) == 7
    sized.idle()
    assert not sized._lacked | sized._lacked_before
    sized.lent(Lent(999, [(kit.ADA, ADA_LOT, 7)], [], []))
    assert pair.workers[0].left(kit.ADA) == 7


@story
def test_a_few_that_lacked_are_remembered_for_as_long_as_their_line_may_stand_still(pair):
    """What is lent for one of them is lent here, and would be nobody's until the next life if it were not heard (simulator, seed 80760)."""
    sized, hot = pair.workers[0].sized, pair.workers[0].spending.wallets[kit.ADA]
    hot.look(pair.now)
    sized.say = lambda _want: None
    one = Wait(BOUND, (hot,), asks=[])
    one.wake = lambda: None
    sized.wait(one)
    sized.give_back(AskBack(1, [kit.ADA], []), pair.now)
    sized.lacking(Lacking(1, []))
    for _ in range(100):
        sized.idle()
    lent = Lent(1, [(kit.ADA, ADA_LOT, 7)], [], [])
    sized.lent(lent)
    assert pair.workers[0].left(kit.ADA) == 7
    sized.lent(lent)  # said twice
    assert pair.workers[0].left(kit.ADA) == 7


@story
def test_a_worker_that_ends_in_order_returns_what_others_need_while_its_last_calls_run(pair):
    pair.call(1, "Bo", **credits_worth(0.1)).settle(input=10, output=0)
    pair.talk()
    other = pair.workers[1]
    settings = GatewaySettings(home=Path(), durability=Durability.WRITTEN, deployments=())
    life = _Life(settings, lambda: pair.now, PEPPER, observe=False, ready=None)
    life._spending = other.spending
    life._commit = types.SimpleNamespace(soon=lambda: None)  # type: ignore[assignment]
    life._ended.set()  # SIGTERM: an answer of two minutes is still streamed
    other.ask_back = life._give_back
    assert isinstance(pair.call(0, "Bo", **credits_worth(24.9)).answer, HotHold)
    before = other.tape.next_sequence
    life._returns = False  # its tape is closed
    life._give_back(AskBack(9, [kit.BO], []))
    assert other.tape.next_sequence == before
    pair.prove()


@story
def test_what_is_lent_of_a_lot_that_its_worker_does_not_know_goes_back_and_whoever_waits_is_answered(pair):
    """A lot that was used up when this life began, say: the lease leaves it out."""
    worker, bo = pair.workers[0], pair.workers[0].spending.wallets[kit.BO]
    lots, bo.lots = bo.lots, {}
    bo.next_change_at = 0
    call, other = (pair.call(0, "Bo", talk=False, **credits_worth(0.1)) for _ in range(2))
    pair.talk()
    assert (pair.lent(0, BO_LOT), worker.left(kit.BO), worker.sized.unanswered()) == (0, 0, [])
    assert [(one.denial.code, one.denial.state) for one in (call, other)] == [("not_ready", "")] * 2
    bo.lots, bo.next_change_at = lots, 0  # the next life knows it
    assert isinstance(pair.call(0, "Bo", **credits_worth(0.1)).answer, HotHold)
    pair.prove()


@story
def test_those_who_wait_for_money_are_not_all_tried_again_for_each_loan(pair):
    """Each loan woke everybody, and the first to wait again asked for ten calls' worth alone: thousands of tries."""
    tries: list[Any] = []
    spending, sized = pair.workers[0].spending, pair.workers[0].sized
    real = spending.admit

    def admit(*facts, **how):
        tries.append(facts)
        return real(*facts, **how)

    spending.admit = admit
    calls = [pair.call(0, talk=False) for _ in range(300)]
    pair.talk()
    assert all(isinstance(one.answer, HotHold) for one in calls)
    assert len(tries) == 600
    assert sized.want_count < 10
    pair.prove()


@story
def test_of_a_loan_those_who_fit_are_woken_in_their_order_and_the_others_ask_once_for_all(pair):
    sized, wallet = pair.workers[0].sized, pair.workers[0].spending.wallets[kit.ADA]
    wallet.look(pair.now)
    woken: list[str] = []
    said: list[Want] = []
    sized.say = said.append
    waits = [Wait(need, (wallet,), asks=[]) for need in (30, 50, 10, 40)]
    for name, one in zip("abcd", waits, strict=True):
        one.wake = lambda name=name: woken.append(name)
        sized.wait(one)
    wallet.change(wallet.lots[ADA_LOT], 5)
    sized.lent(Lent(said[0].number, [(kit.ADA, ADA_LOT, 40)], [], []))
    assert woken == ["a", "c"]  # 40 of 45: beside them b lacks 45
    assert [(one.need_nanos, one.like_nanos) for one in said[1:]] == [(45, 500)]
    pair.workers[0].spending.forget(waits[1])  # its client is gone
    sized.lent(Lent(said[1].number, [(kit.ADA, ADA_LOT, 45)], [], []))
    assert woken == ["a", "c", "d"]
    assert len(said) == 2


def denied_late(pair, asked):
    """What a call of Ada's is told at worker 0 when its time ends while it waits so."""
    spending = pair.workers[0].spending
    key = spending.key_for(SECRETS["Ada"], pair.now)
    return spending.admit(key, CHAT, make_facts(), pair.now, deployment=SIM, may_wait=False, asked=asked).code


@story
def test_a_call_that_waited_for_money_behind_others_is_not_told_that_a_limit_is_reached(pair):
    """Its want lacked money, so no share was lent; its time ends behind a dearer call, with money enough for it here."""
    pair.call(0)  # nine more calls' money is here
    pair.do("limit.create", name="three", member="Ada", window="day", measure="calls", cap=3)
    pair.talk()
    wallet = pair.workers[0].spending.wallets[kit.ADA]
    waits = {
        "money": Wait(BOUND, (wallet,), until=pair.now + 50_000),  # as Spending makes it: no share is asked for
        "a pace": Wait(limit=next(iter(pair.workers[0].spending.limits.known.values()))),
    }
    assert {what: denied_late(pair, one) for what, one in waits.items()} == dict.fromkeys(waits, "not_ready")
    for _ in range(3):
        assert isinstance(pair.call(0).answer, HotHold)
    # of three calls it has made three itself, and no other share would let it in
    assert {what: denied_late(pair, one) for what, one in waits.items()} == dict.fromkeys(waits, "limit_reached")


@story
def test_while_the_ledger_does_not_answer_the_company_carries_nothing_that_the_wallet_may_pay(pair):
    """Of Ada's sixty credits none are here yet; her plan lets the company carry as much above them (simulator, seed 107)."""
    pair.do(
        "plan.create",
        name="above",
        kind="stipend",
        classification="tool",
        amount_nanos=1,
        overage_nanos_max=60 * CREDIT,
    )
    pair.do("grant.create", to="Ada", plan="above", amount_nanos=1)
    pair.talk()
    wallet = pair.workers[0].spending.wallets[kit.ADA]
    assert wallet.overage_left_nanos == 30 * CREDIT
    assert denied_late(pair, Wait(BOUND, (wallet,), asks=[])) == "not_ready"
    lacked = Wait(BOUND, (wallet,), asks=[])
    lacked.lacks = (BOUND, [])
    late = Wait(BOUND, (wallet,), asks=[])
    late.lacked_before = lacked  # the ledger said while it waited that there is no more
    key = pair.workers[0].spending.key_for(SECRETS["Ada"], pair.now)
    carried = pair.workers[0].spending.admit(
        key, CHAT, make_facts(), pair.now, deployment=SIM, may_wait=False, asked=late
    )
    assert carried.slices == [Slice(0, BOUND)]


class Waiter(Call):
    """A call at the door of a worker, which waits as the gateway's do; what its loop would do soon is done by `turn`."""

    waiting: Any = None

    def __init__(self, worker, soon, **facts):
        super().__init__(worker, "Ada", make_facts(**facts), None)
        self.gateway = types.SimpleNamespace(
            wheel=types.SimpleNamespace(now=0, add=lambda _one: None), ticks=types.SimpleNamespace(wait=5),
            metrics=types.SimpleNamespace(waits=0), clock=lambda: worker.pair.now, spending=worker.spending,
            loop=types.SimpleNamespace(call_soon=soon.append, call_later=self._later),
        )  # fmt: skip
        self._soon = soon
        self.admit_again(may_wait=True)

    def _later(self, _seconds, does):
        self._soon.append(does)
        return types.SimpleNamespace(cancel=lambda: None)

    @property
    def is_waiting(self):
        return isinstance(self.answer, Wait)

    def admit_again(self, *, may_wait, asked=None):
        spending, now = self.worker.spending, self.worker.pair.now
        key = spending.key_for(SECRETS[self.name], now)
        assert key is not None
        self.answer = spending.admit(key, CHAT, self.facts, now, deployment=SIM, may_wait=may_wait, asked=asked)
        if self.is_waiting:
            self.waiting = self.waiting or Waiting(self, key.wallet)  # type: ignore[arg-type]
            self.waiting.begin(self.answer)


def turn(pair, soon):
    """Everything is said and heard, and done that was to be done soon; the moment has come at which calls ask once more."""
    pair.talk()
    does, soon[:] = soon[:], []
    for one in does:
        one()
    pair.talk()


@story
def test_who_has_waited_long_enough_reads_what_is_left_wherever_it_is(pair):
    """The worker has nothing of it itself; Ada's page tells of all."""
    holder = pair.call(0, **credits_worth(99))
    soon: list[Any] = []
    call = Waiter(pair.workers[1], soon, **credits_worth(5))
    for _ in range(3):
        turn(pair, soon)
    assert call.is_waiting
    call.admit_again(may_wait=False, asked=Wait())
    assert (call.denial.code, call.denial.held_nanos) == ("wallet_empty", holder.hold.bound_nanos)
    assert call.denial.left_nanos == 100 * 10**9 - holder.hold.bound_nanos > 0


@story
def test_no_more_calls_wait_for_what_others_hold_than_may_wait(pair):
    """Those that asked the ledger once more were not counted, so that any number waited and asked twenty times a second."""
    holder = pair.call(0, **credits_worth(99))
    soon: list[Any] = []
    calls = [Waiter(pair.workers[1], soon, **credits_worth(1)) for _ in range(100)]
    assert sum(one.is_waiting for one in calls) == 100  # for a word of the ledger all of them
    for _ in range(6):
        turn(pair, soon)
    assert [sum(isinstance(one.answer, kind) for one in calls) for kind in (Wait, Denial, HotHold)] == [64, 36, 0]
    assert {one.denial.code for one in calls if not one.is_waiting} == {"wallet_empty"}
    holder.release()
    for _ in range(20):
        turn(pair, soon)
    assert sum(isinstance(one.answer, HotHold) for one in calls) == 64
    assert not pair.workers[1].sized._places
    pair.prove()


@story
def test_one_of_ten_thousand_that_wait_for_the_ledger_leaves_without_a_look_at_the_others(pair):
    sized, wallet = pair.workers[0].sized, pair.workers[0].spending.wallets[kit.ADA]
    sized.say = lambda _want: None
    waits = [Wait(BOUND, (wallet,), asks=[]) for _ in range(10_000)]
    for one in waits:
        sized.wait(one)
    began = time.process_time()
    for one in reversed(waits):
        pair.workers[0].spending.forget(one)
    assert time.process_time() - began < 0.5  # with a look at each of the others it takes several seconds
    assert not any(sized._queues.values())


@story
def test_of_two_limits_the_one_that_was_not_lacking_denies_nothing_once_the_other_is_gone(pair):
    """Both were wanted together, and one word answers for both. Until the call looks again the one that was used up may be over (seed 50952)."""
    for name, cap in (("one", 1), ("hundred", 100)):
        pair.do("limit.create", name=name, member="Ada", window="day", measure="calls", cap=cap)
    pair.talk()
    pair.call(0).settle(input=10, output=0)
    pair.talk()
    call, (first, second) = pair.call(1, talk=False), pair.workers
    for _ in range(9):
        while first.link.step() or second.link.step():
            pass
        first.turn()
    assert len(second.woken) == 1  # it was told that there is no more, and has not looked again
    pair.do("limit.remove", limit="one")
    pair.now += 1
    while second.link.step():
        pass
    pair.talk()
    assert isinstance(call.answer, HotHold)
    pair.prove()
