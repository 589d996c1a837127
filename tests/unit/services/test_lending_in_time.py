"""What the ledger remembers between two wants is what is so: nobody is denied, or drawn from elsewhere, for what was so before."""

import asyncio
import time

from tests import ledger_kit as kit
from tests.ledger_kit import BO_LOT, CREDIT, DAY
from tests.pair import Pair
from tests.unit.services.test_lending import story
from tests.unit.services.test_lending_races import Listener, credits_worth
from tokenroll.model.limits import AMOUNTS_ASKED_MAX
from tokenroll.services.hot import HotHold
from tokenroll.services.protocol import AskAmounts, AskBack, Lacking, Lent, Want


@story
def test_nobody_is_denied_what_a_claw_back_left(pair):
    """A pro-rata claw-back is answered without a delta, while the ledger remembers what was owed to it: the rest is Bo's all the same."""
    leaving = {"leaving": {"clawback": {"basis": "pro_rata", "months": 12}}}
    pair.do("plan.create", name="once", kind="stipend", classification="tool", amount_nanos=24 * CREDIT, terms=leaving)
    grant = pair.do("grant.create", to="Bo", plan="once")["grant"]
    pair.talk()
    pair.now += 1
    pair.call(0, "Bo", **credits_worth(6)).settle(input=10, output=0)  # of both lots something is lent to worker 0
    pair.talk()
    pair.now += 150 * DAY
    taken = pair.do("grant.clawback", grant=grant, reason="left")["clawed_back_nanos"]
    assert 0 < taken < 24 * CREDIT
    pair.ledger.want(Want(1, 1, 77, [kit.ADA], 0, 0, [], at=pair.now))  # anybody's, before the worker has answered
    pair.talk()
    assert pair.rows("SELECT count(*) FROM recalls WHERE ended_at IS NULL") == [(0,)]
    left = 5 * CREDIT + 20 * CREDIT + 24 * CREDIT - taken - 10 * kit.IN_NANOS
    assert isinstance(pair.call(1, "Bo", output_cap_tokens=(left - 7_000_000) // kit.OUT_NANOS).answer, HotHold)
    pair.prove()


@story
def test_no_pool_is_drawn_while_a_worker_has_ones_own_money_idle(pair):
    pair.call(0, "Bo", **credits_worth(4.9)).release()
    pair.talk()
    assert pair.lent(0, BO_LOT) > 4 * CREDIT
    call = pair.call(1, "Bo", **credits_worth(2))
    assert [one.wallet.id for one in call.hold.lots] == [kit.BO]
    pair.prove()


def test_a_pause_of_the_whole_machine_is_no_silence_of_who_was_asked(tmp_path):
    """The ledger wakes first, and its second is over by the clock: who was asked slept, too, and answers in a moment."""

    async def inside():
        pair = Pair(tmp_path)
        pair.call(0, "Bo", **credits_worth(24)).release()
        call = pair.call(1, "Bo", talk=False, **credits_worth(2))
        while pair.workers[1].link.step():  # the want comes to the ledger, which asks the other one
            pass
        time.sleep(1.1)  # noqa: ASYNC251 - nothing runs: that is the story
        await asyncio.sleep(0.01)
        pair.talk()
        assert isinstance(call.answer, HotHold)
        pair.prove()

    asyncio.run(inside())


@story
def test_a_loan_is_sized_by_its_own_wallet_and_not_by_the_pool_behind_it(pair):
    """Bo has five credits: four of them with one worker would have to be asked back for the next."""
    lent = pair.ledger.want(Want(0, 1, 77, [kit.BO, kit.POOL], CREDIT // 10, 4 * CREDIT, [], at=pair.now + 1))
    assert isinstance(lent, Lent)
    assert lent.lots == [(kit.BO, BO_LOT, 5 * CREDIT // 4)]  # a quarter, for there are two workers; of the pool nothing
    pair.talk()


@story
def test_nobody_asks_ahead_for_a_wallet_of_which_little_is_left(pair):
    """Each such question brought a little, and made the next worker ask it back."""
    worker = pair.workers[0]
    said: list[Want] = []
    worker.sized.say = said.append
    call = pair.call(0, "Bo", talk=False, **credits_worth(1))
    (want,) = said
    assert want.need_nanos == want.like_nanos // 10
    worker.spending.lent(Lent(want.number, [(kit.BO, BO_LOT, want.need_nanos)], [], []))
    worker.turn()
    assert isinstance(call.answer, HotHold)
    assert [one.need_nanos for one in said] == [want.need_nanos]


@story
def test_a_limit_that_is_raised_is_lent_of_at_once(pair):
    """What the ledger read of a limit it reads again after each command."""
    limit = pair.do("limit.create", name="ten", member="Ada", window="day", measure="calls", cap=1)["limit"]
    pair.talk()
    assert isinstance(pair.call(0).answer, HotHold)
    assert pair.call(1).denial.code == "limit_reached"
    pair.do("limit.override", limit=limit, cap=3, until=pair.now + DAY)
    pair.talk()
    assert isinstance(pair.call(1).answer, HotHold)
    pair.prove()


@story
def test_what_calls_hold_is_told_to_who_may_wait_for_it(pair):
    """Bo's calls are not Ada's, and the pool's are both's."""
    pair.call(1, **credits_worth(1))
    pair.call(1, "Bo", **credits_worth(1))
    asks = [kit.ADA, kit.BO]
    lacking = pair.ledger.want(Want(0, 1, 77, asks, 10**15, 0, [], at=pair.now), frozenset({1}))
    assert isinstance(lacking, Lacking)
    most = int(1 * CREDIT) // kit.OUT_NANOS * kit.OUT_NANOS
    assert [one.held_nanos - most < CREDIT // 10 for one in lacking.elsewhere] == [True, True]
    assert all(one.held_nanos >= most for one in lacking.elsewhere)
    lent = pair.ledger.want(Want(0, 1, 78, [kit.ADA], 1, 0, [], at=pair.now))
    assert isinstance(lent, Lent)


@story
def test_questions_that_nobody_waits_for_any_more_are_forgotten(pair):
    """While a worker's fold is halted, what its owners ask stays at the ledger, and no more of it than they may ask at once."""
    desk, peer = pair.server.amounts, Listener(0)
    for number in range(3 * AMOUNTS_ASKED_MAX):
        desk.ask(peer, AskAmounts(0, 1, number, 1_000_000, [kit.ADA], []))
    assert [len(one) for one in desk._waiting.values()] == [AMOUNTS_ASKED_MAX]
    desk.left(peer)
    assert [len(one) for one in desk._waiting.values()] == [0]
    desk.ask(peer, AskAmounts(0, 1, 9, 0, [kit.ADA], []))
    assert [one.number for one in peer.heard] == [9]


@story
def test_nobody_is_lent_what_was_over_when_its_life_began(pair):
    """By its own clock, a second behind the ledger's, the second worker may still spend what it was not told of: it would come back at once."""
    pair.do("plan.create", name="day", kind="stipend", classification="tool", amount_nanos=CREDIT, lifetime="1d")
    pair.do("grant.create", to="Bo", plan="day")
    pair.talk()
    pair.now += DAY
    pair.restart(1)
    pair.talk()
    want = Want(1, 2, 1, [kit.BO], 5 * CREDIT, 0, [], at=pair.now - 1_000_000)
    lent = pair.ledger.want(want)
    assert isinstance(lent, Lent)
    assert [(lot, nanos) for _, lot, nanos in lent.lots] == [(BO_LOT, 5 * CREDIT)]
    assert [one.left_nanos for one in lent.elsewhere] == [0]


@story
def test_a_clock_that_is_set_back_keeps_no_share_of_a_day_that_is_over(pair):
    """Instants of a life never go back, so the next calls count for the second day: what the first day used is not held back for it."""
    pair.do("limit.create", name="ten", member="Ada", window="day", measure="calls", cap=10)
    pair.talk()
    for _ in range(4):
        pair.call(0).settle(input=10, output=0)
    pair.now += DAY
    pair.call(0, "Bo").settle(input=10, output=0)
    pair.now -= DAY
    worker = pair.workers[0]
    limit = next(iter(worker.spending.limits.known))
    parts = worker.spending.give_back_asked(AskBack(1, [], [limit]))
    assert [one[:2] for one in parts] == [(1, limit)]
    assert worker.spending.limits.known[limit].share == 0
