"""A node's own deadline: it counts from before it asked, and what becomes of calls once it cannot ask."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import ledger_kit as kit
from tests.desk import BOUND, CHAT, SIM, make_facts, make_meter, wallet
from tests.ledger_kit import CREDIT
from tests.pair import SECRETS, Pair
from tokenroll.gateway import local
from tokenroll.gateway.settings import GatewaySettings
from tokenroll.model.usage import METERS, Meter
from tokenroll.services.hot import HotHold, Wait
from tokenroll.services.lease_deadline import LeaseDeadline, seconds_on
from tokenroll.services.protocol import Delta, Lease, Renewed, Welcome
from tokenroll.services.sized_lease import WhenCutOff
from tokenroll.store.tape import Durability, Finish
from tokenroll.upstream.dialect import Denial


class Clock:
    """Seconds since the machine's start, which a test moves."""

    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


def begun(seconds=30):
    clock = Clock()
    deadline = LeaseDeadline(clock)
    deadline.made()
    deadline.hear(Welcome(epoch=1, folded_sequences={}))
    deadline.hear(Lease(wallets=[], expires_at=0, delta=0, last=True, of=2, seconds=seconds))
    return clock, deadline


def test_nothing_counts_before_the_ledger_said_for_how_long():
    deadline = LeaseDeadline(Clock())
    deadline.made()
    assert not deadline.counts
    assert deadline.due(64, 1) is None


def test_it_counts_from_the_welcome_and_stops_a_sixth_before_the_end():
    clock, deadline = begun()
    clock.now += 24.9
    assert deadline.counts
    clock.now += 0.2
    assert not deadline.counts
    assert deadline.is_cut_off


def test_an_answer_counts_from_when_it_was_asked_for_and_not_from_when_it_came():
    clock, deadline = begun()
    clock.now += 10
    asked = deadline.due(64, 1)
    assert (asked.worker, asked.epoch, asked.number) == (64, 1, 1)
    clock.now += 20
    assert not deadline.counts  # 30 s after the welcome
    assert deadline.hear(Renewed(1))
    assert deadline.counts
    clock.now += 4.9  # 25 s less a tenth after the question
    assert deadline.counts
    clock.now += 0.2
    assert not deadline.counts


def test_a_ledger_that_was_started_with_another_span_says_so():
    clock, deadline = begun()
    asked = deadline.due(64, 1)
    deadline.hear(Renewed(asked.number, 60))
    clock.now += 49.9
    assert deadline.counts
    clock.now += 0.2
    assert not deadline.counts


def test_it_asks_six_times_in_the_span():
    clock, deadline = begun()
    asked = 0
    for _ in range(300):
        clock.now += 0.1
        asked += deadline.due(64, 1) is not None
    assert asked == 6


def test_an_answer_to_what_was_asked_on_a_line_that_is_gone_counts_nothing():
    clock, deadline = begun()
    clock.now += 10
    deadline.due(64, 1)
    deadline.lost()
    assert deadline.is_cut_off
    deadline.made()
    assert deadline.due(64, 1).number == 2
    clock.now += 16
    deadline.hear(Renewed(1))
    assert not deadline.counts


def test_the_clock_goes_on():
    assert seconds_on() <= seconds_on()


# ---- calls -------------------------------------------------------------------------------------------------------------


def cut_off(tmp_path, test, policy, beyond_nanos=0):
    """The story of a node that has nine calls of Ada's lent and one under way, when its line is gone."""

    async def inside():
        pair = Pair(tmp_path, first=64)
        pair.call(0)
        pair.talk()
        clock, deadline = begun()
        sized = pair.workers[0].sized
        sized.deadline, sized.when_cut_off, sized.beyond_max_nanos = deadline, policy, beyond_nanos
        deadline.on_renewed = sized.renewed
        pair.workers[0].link.close()
        deadline.lost()
        test(pair, clock, deadline)

    asyncio.run(inside())


def calls(pair, count, **facts):
    return [pair.call(0, talk=False, **facts).answer for _ in range(count)]


@pytest.mark.parametrize(("policy", "then"), [(WhenCutOff.DENY, Denial), (WhenCutOff.RETRY_THEN_DENY, Wait)])
def test_a_node_spends_what_it_was_lent_and_then_its_policy_decides(tmp_path, policy, then):
    def story(pair, _clock, _deadline):
        answers = calls(pair, 10)
        assert [type(one) for one in answers] == [HotHold] * 9 + [then]
        if then is Denial:
            assert (answers[-1].code, answers[-1].state) == ("not_ready", "cut_off")

    cut_off(tmp_path, story, policy)


@pytest.mark.parametrize(
    ("policy", "status"), [(WhenCutOff.DENY, 503), (WhenCutOff.RETRY_THEN_DENY, 503), (WhenCutOff.ALLOW, 200)]
)
def test_whoever_balances_loads_hears_of_a_lease_that_is_over(tmp_path, policy, status):
    """Each call that came would be refused, some after seconds: /healthz says so. With `allow` the company carries them."""

    def story(pair, clock, _deadline):
        gateway: Any = SimpleNamespace(
            not_ready="", stopping=False, spending=pair.workers[0].spending, settings=GatewaySettings(home=Path(), durability=Durability.WRITTEN, deployments=()),
            deployments_state=dict,
        )  # fmt: skip
        assert local._health(gateway).status == 200
        clock.now += 60
        assert local._health(gateway).status == status

    cut_off(tmp_path, story, policy)


def test_after_its_deadline_a_node_spends_nothing_of_it(tmp_path):
    def story(pair, clock, _deadline):
        clock.now += 25.1
        (answer,) = calls(pair, 1)
        assert (answer.code, answer.state) == ("not_ready", "cut_off")
        assert pair.workers[0].left(1) == 9 * BOUND

    cut_off(tmp_path, story, WhenCutOff.DENY)


def test_what_is_allowed_the_company_holds_and_it_is_never_more_than_was_said(tmp_path):
    def story(pair, _clock, _deadline):
        answers = calls(pair, 13)
        assert [type(one) for one in answers] == [HotHold] * 11 + [Denial] * 2
        assert [one.company_nanos for one in answers[:11]] == [0] * 9 + [BOUND] * 2
        assert answers[10].would_deny
        assert not answers[10].lots

    cut_off(tmp_path, story, WhenCutOff.ALLOW, 3 * BOUND - 1)


def test_what_a_call_cost_the_company_counts_on_and_the_rest_is_allowed_again(tmp_path):
    def story(pair, clock, deadline):
        clock.now += 25.1
        first = pair.call(0, talk=False)
        assert first.hold.company_nanos == BOUND
        assert isinstance(calls(pair, 1)[0], Denial)
        cost = first.settle(input=100, output=10)
        assert cost == 450_000
        # what is left is less than such a call may cost, and enough for a smaller one
        assert isinstance(calls(pair, 1)[0], Denial)
        (second,) = calls(pair, 1, output_cap_tokens=50)
        assert second.company_nanos == 6_846_000
        # the line is back, and cut once more: what was reported counts no more, what is open does
        deadline.made()
        deadline.due(64, 1)
        deadline.hear(Renewed(1))
        deadline.lost()
        clock.now += 30
        assert isinstance(calls(pair, 1)[0], Denial)

    cut_off(tmp_path, story, WhenCutOff.ALLOW, BOUND)


def test_nobody_is_allowed_what_the_wallet_did_not_have(tmp_path):
    def story(pair, _clock, _deadline):
        # Bo has 5 credits and the pool's 20
        more, less = (pair.call(0, "Bo", talk=False, output_cap_tokens=one * CREDIT // 15_000) for one in (26, 24))
        assert more.denial.code == "not_ready"
        assert less.hold.company_nanos == less.hold.bound_nanos

    cut_off(tmp_path, story, WhenCutOff.ALLOW, 100 * CREDIT)


def test_a_limit_is_never_passed(tmp_path):
    async def inside():
        pair = Pair(tmp_path, first=64)
        pair.do("limit.create", name="ten", member="Ada", window="day", measure="calls", cap=10)
        pair.talk()
        _, deadline = begun()
        sized = pair.workers[0].sized
        sized.deadline, sized.when_cut_off, sized.beyond_max_nanos = deadline, WhenCutOff.ALLOW, 100 * CREDIT
        pair.workers[0].link.close()
        deadline.lost()
        (answer,) = calls(pair, 1)
        assert answer.code == "not_ready"

    asyncio.run(inside())


def test_the_books_balance_with_what_was_allowed(tmp_path):
    def story(pair, clock, _deadline):
        clock.now += 25.1
        call = pair.call(0, talk=False)
        cost = call.settle(input=1_000, output=100)
        pair.workers[0].sized.deadline = None
        pair.workers[0].link = type(pair.workers[0].link)(pair.server, pair.workers[0].core)
        pair.talk()
        assert pair.rows("SELECT company_nanos FROM wallet_values WHERE wallet_id = 1") == [(cost,)]
        assert pair.rows("SELECT sum(spent_nanos) FROM lot_values WHERE lot_id IN (1, 2)") == [(0,)]
        pair.prove()

    cut_off(tmp_path, story, WhenCutOff.ALLOW, BOUND)


def test_what_was_allowed_and_is_in_suspense_counts_as_the_ledger_counts_it(tmp_path):
    def story(pair, clock, _deadline):
        clock.now += 25.1
        call = pair.call(0, talk=False)
        spending = pair.workers[0].spending
        spending.dispatched([call.hold], pair.now)
        spending.lapse(call.hold, make_meter(), pair.now, Finish.TIMED_OUT)
        ada = spending.wallets[kit.ADA]
        assert (ada.carried_nanos, ada.overage_held_nanos, ada.overage_left_nanos) == (BOUND, 0, -BOUND)
        pair.workers[0].sized.deadline = None
        pair.workers[0].link = type(pair.workers[0].link)(pair.server, pair.workers[0].core)
        pair.talk()
        assert pair.rows("SELECT * FROM overage_uses") == [(kit.ADA, 64, BOUND)]
        ((number,),) = pair.rows("SELECT hold_key FROM holds WHERE state = 'suspense'")
        counts = [0 if meter in {Meter.INPUT, Meter.OUTPUT} else None for meter in METERS]
        pair.do("suspense.find", hold=number, usages=[counts], service_tier="standard", dialect=15, is_doubtful=False)
        pair.talk()
        assert pair.rows("SELECT nanos FROM overage_uses") == [(0,)]
        assert (ada.carried_nanos, ada.overage_left_nanos) == (0, 0)
        pair.prove()

    cut_off(tmp_path, story, WhenCutOff.ALLOW, BOUND)


def test_what_the_plan_lets_the_company_carry_is_not_beside_what_a_node_may_allow(tmp_path):
    """A half of the call is elsewhere, as the ledger said before it was gone: one call has one reason to be carried."""

    def story(pair, clock, _deadline):
        spending = pair.workers[0].spending
        ada = spending.wallets[kit.ADA]
        spending.apply_delta(
            Delta(spending.last_delta + 1, [wallet(overage_nanos_max=60 * CREDIT, cap_policy="deny")], [], [], [], {})
        )
        assert ada.overage_left_nanos == 30 * CREDIT
        clock.now += 25.1
        ada.elsewhere_nanos = BOUND // 2
        asked = Wait(BOUND, (ada,), asks=[])
        asked.lacked = True
        key = spending.key_for(SECRETS["Ada"], pair.now)
        key.pool.elsewhere_nanos = 0
        answer = spending.admit(key, CHAT, make_facts(), pair.now, deployment=SIM, may_wait=False, asked=asked)
        assert (answer.code, answer.state) == ("not_ready", "cut_off")
        ada.elsewhere_nanos = 0  # all of it is above the wallet
        answer = spending.admit(key, CHAT, make_facts(), pair.now, deployment=SIM, may_wait=False, asked=asked)
        assert (answer.company_nanos, ada.overage_left_nanos) == (BOUND, 30 * CREDIT - BOUND)

    cut_off(tmp_path, story, WhenCutOff.ALLOW, 60 * CREDIT)


def test_where_nobody_is_refused_nobody_is_when_the_node_is_cut_off(tmp_path):
    async def inside():
        pair = Pair(tmp_path, first=64)
        pair.do(
            "plan.create",
            name="seen",
            kind="stipend",
            classification="tool",
            amount_nanos=CREDIT,
            enforcement="observe",
        )
        pair.do("grant.create", to="Ada", plan="seen")
        pair.talk()
        _, deadline = begun()
        sized = pair.workers[0].sized
        sized.deadline, sized.when_cut_off = deadline, WhenCutOff.DENY
        pair.workers[0].link.close()
        deadline.lost()
        (answer,) = calls(pair, 1)
        assert answer.company_nanos == BOUND
        assert answer.would_deny

    asyncio.run(inside())
