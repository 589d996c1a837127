"""Law 7 between workers: what a client named is claimed at the ledger before it is sent, by whichever worker, and sent once."""

import asyncio

import pytest

from tests import ledger_kit as kit
from tests.desk import BOUND
from tests.pair import Pair
from tests.unit.services.test_lending import story
from tokenroll.services.claims import Claims
from tokenroll.services.hot import HotHold, Wait
from tokenroll.services.loopback import Loopback
from tokenroll.services.protocol import FREE, Claim, ClaimAnswer
from tokenroll.upstream.dialect import Denial

JOB = b"nightly-42"


def claims(pair):
    return pair.rows("SELECT client_call_id, worker FROM call_claims ORDER BY 1")


def told(call):
    """What a refused call was told: why, what became of the other, and what that cost."""
    return call.denial.code, call.denial.state, call.denial.cost_nanos


def outcomes(*calls):
    """How many were admitted, and what the others were told."""
    refused = [told(one) for one in calls if isinstance(one.answer, Denial)]
    return sum(isinstance(one.answer, HotHold) for one in calls), refused


def silent(pair):
    """A claim that is heard by nobody for now: the line is cut before it is read."""
    worker = pair.workers[0]
    worker.link.close()
    return worker


@story
def test_two_workers_asked_at_once_send_it_once(pair):
    calls = [pair.call(worker, call_id=JOB, talk=False) for worker in (0, 1, 0, 1)]
    assert [type(one.answer) for one in calls] == [Wait] * 4
    pair.talk()
    assert outcomes(*calls) == (1, [("call_repeated", "still running", None)] * 3)
    pair.prove()


@story
def test_whatever_is_heard_first_it_is_sent_once(pair):
    for number in range(40):
        calls = [pair.call(worker, call_id=b"job-%d" % number, talk=False) for worker in (0, 1)]
        for turn in range(12):  # each number lets the lines be heard in another order
            pair.workers[number >> turn & 1].link.step()
            pair.workers[number >> turn & 1].turn()
        pair.talk()
        assert outcomes(*calls)[0] == 1
        next(one for one in calls if isinstance(one.answer, HotHold)).settle(input=1, output=1)
    pair.prove()
    assert pair.rows("SELECT count(*) FROM client_calls") == [(40,)]
    assert claims(pair) == []


@story
def test_a_repeated_id_is_told_what_the_other_call_cost(pair):
    cost = pair.call(0, call_id=JOB).settle(input=1_000, output=10)
    pair.talk()
    assert told(pair.call(1, call_id=JOB)) == ("call_repeated", "settled", cost)
    pair.call(0, call_id=b"nightly-43").release()
    pair.talk()
    assert told(pair.call(1, call_id=b"nightly-43")) == ("call_repeated", "released without a charge", None)
    pair.prove()


@story
def test_calls_without_an_id_ask_nobody(pair):
    for _ in range(5):
        pair.call(0).settle(input=1, output=1)
    assert pair.workers[0].sized.claims.claim_count == 0
    pair.call(0, call_id=JOB).settle(input=1, output=1)
    assert pair.workers[0].sized.claims.claim_count == 1
    assert told(pair.call(0, call_id=JOB))[0] == "call_repeated"
    assert pair.workers[0].sized.claims.claim_count == 1
    pair.prove()


def test_a_worker_alone_asks_nobody(tmp_path):
    async def inside():
        pair = Pair(tmp_path, of=1)
        call = pair.call(0, call_id=JOB, talk=False)
        assert isinstance(call.answer, HotHold)
        assert told(pair.call(0, call_id=JOB, talk=False)) == ("call_repeated", "still running", None)
        pair.prove()

    asyncio.run(inside())


@story
def test_a_call_that_is_denied_leaves_its_id_free(pair):
    poor = pair.call(0, "Bo", call_id=JOB, output_cap_tokens=4_000_000)
    assert poor.denial.code == "wallet_empty"
    assert claims(pair) == [("nightly-42", 0)]
    assert told(pair.call(1, "Bo", call_id=JOB)) == ("call_repeated", "still running", None)
    pair.workers[0].spending.drop_claim((poor.key_id, "nightly-42"))  # as the gateway does when a call is over
    pair.talk()
    assert claims(pair) == []
    assert isinstance(pair.call(1, "Bo", call_id=JOB).answer, HotHold)
    pair.prove()


@story
def test_an_id_that_nobody_used_for_long_is_free_again(pair):
    pair.call(0, "Bo", call_id=JOB, output_cap_tokens=4_000_000)
    pair.workers[0].sized.idle()
    assert claims(pair) == [("nightly-42", 0)]
    pair.workers[0].sized.idle()
    pair.talk()
    assert claims(pair) == []


@story
def test_a_claim_that_comes_too_late_is_given_back(pair):
    worker = silent(pair)
    late = pair.call(0, call_id=JOB, talk=False)
    worker.spending.forget(late.answer)  # its client has waited for long enough
    late.attempt(Wait(asks=[]))
    assert (late.denial.code, late.denial.call_id) == ("not_ready", "nightly-42")
    worker.link = Loopback(pair.server, worker.core)
    pair.talk()
    assert claims(pair) == []
    assert isinstance(pair.call(1, call_id=JOB).answer, HotHold)
    pair.prove()


@story
def test_what_was_claimed_while_a_worker_was_cut_off_it_is_told_when_it_is_back(pair):
    worker = silent(pair)
    cost = pair.call(1, call_id=JOB).settle(input=1_000, output=10)
    repeated = pair.call(0, call_id=JOB)
    assert isinstance(repeated.answer, Wait)
    worker.link = Loopback(pair.server, worker.core)
    pair.talk()
    assert told(repeated) == ("call_repeated", "settled", cost)
    pair.prove()


@story
def test_a_claim_whose_answer_was_lost_is_answered_again(pair):
    call = pair.call(0, call_id=JOB, talk=False)
    worker = pair.workers[0]
    worker.link.step()  # the ledger has heard it, and its answer is on the way
    assert claims(pair) == [("nightly-42", 0)]
    worker.link.close()
    assert told(pair.call(1, call_id=JOB))[0] == "not_ready"  # only a worker knows that is not there
    worker.link = Loopback(pair.server, worker.core)
    pair.talk()
    assert isinstance(call.answer, HotHold)
    pair.prove()


@story
def test_an_end_whose_answer_was_lost_frees_nothing_that_was_claimed_since(pair):
    pair.call(0, "Bo", call_id=JOB, output_cap_tokens=4_000_000)
    worker = pair.workers[0]
    worker.sized.idle()
    worker.sized.idle()
    worker.link.step()
    assert claims(pair) == []
    worker.link.close()
    other = pair.call(1, "Bo", call_id=JOB)
    worker.link = Loopback(pair.server, worker.core)
    pair.talk()
    assert isinstance(other.answer, HotHold)
    assert told(pair.call(0, "Bo", call_id=JOB)) == ("call_repeated", "still running", None)
    pair.prove()


@story
def test_a_claim_that_is_heard_twice_and_granted_the_second_time_is_given_back(pair):
    """It went out again over a new line; meanwhile its first answer came, and the other worker let the name go."""
    poor = pair.call(0, "Bo", call_id=JOB, output_cap_tokens=4_000_000)
    late = pair.call(1, "Bo", call_id=JOB)
    assert told(late) == ("call_repeated", "still running", None)
    pair.workers[0].spending.drop_claim((poor.key_id, "nightly-42"))
    pair.talk()
    worker = pair.workers[1]
    again = Claim(1, worker.core.epoch, 1, late.key_id, "nightly-42")
    answers = pair.server.ledger.claim([again], {0, 1})
    assert claims(pair) == [("nightly-42", 1)]
    worker.sized.claims.answered(answers)
    pair.talk()
    assert claims(pair) == []
    pair.prove()


@pytest.mark.parametrize("lines", [1, 2])
def test_a_claim_that_was_said_twice_and_refused_once_is_given_back_in_any_case(lines):
    """The other time it may be granted, and that answer may be lost with the line: nobody could use the name as long as this worker lives."""
    said: list[Claim] = []
    claims = Claims(1, 5, said.append)
    claims.wait(Wait(client=(2, "nightly-42")))
    if lines == 2:
        claims.unanswered()
    claims.answered([ClaimAnswer(1, "held")])
    ends = [(one.number, one.ends) for one in claims.unanswered()]
    assert ends == ([(1, True)] if lines == 2 else [])
    assert [(one.number, one.ends) for one in said] == [(1, False), *ends]
    claims.answered([ClaimAnswer(1, FREE)])
    assert claims.unanswered() == []


@story
def test_the_claims_of_a_dead_worker_are_what_its_tape_says(pair):
    pair.call(0).settle(input=1, output=1)
    pair.talk()
    sent = pair.call(0, call_id=JOB, talk=False)
    while isinstance(sent.answer, Wait):
        pair.workers[0].link.step()
        pair.workers[0].turn()
    pair.workers[0].spending.dispatched([sent.hold], pair.now)
    pair.workers[0].turn()  # on its tape, and not told
    pair.workers[0].link._to_ledger.clear()
    pair.call(0, "Bo", call_id=b"nightly-43", output_cap_tokens=4_000_000, talk=False)
    pair.workers[0].link.step()
    assert [one for one, _ in claims(pair)] == ["nightly-42", "nightly-43"]
    pair.workers[0].die()
    assert told(pair.call(1, call_id=JOB))[0] == "not_ready"
    assert told(pair.call(1, "Bo", call_id=b"nightly-43"))[0] == "not_ready"
    pair.workers[0].link.close()
    pair.workers[0] = type(pair.workers[0])(pair, 0)
    pair.talk()
    assert claims(pair) == []
    assert told(pair.call(1, call_id=JOB)) == ("call_repeated", "being checked", None)
    assert isinstance(pair.call(1, "Bo", call_id=b"nightly-43").answer, HotHold)
    pair.prove()


@story
def test_a_ledger_that_is_started_again_knows_who_claimed_what(pair):
    pair.call(0, "Bo", call_id=JOB, output_cap_tokens=4_000_000)
    again = kit.new_ledger(pair.connection, lambda: pair.now)
    epoch = pair.workers[1].core.epoch
    key = pair.rows("SELECT api_key_id FROM call_claims")[0][0]
    (answer,) = again.claim([Claim(1, epoch, 1, key, "nightly-42")], {0, 1})
    assert answer.state == "held"


@story
def test_a_life_that_is_over_claims_nothing(pair):
    epoch = pair.workers[0].core.epoch
    pair.restart(0)
    pair.talk()
    assert pair.ledger.claim([Claim(0, epoch, 1, 1, "nightly-42")], {0, 1}) == []
    assert claims(pair) == []


@pytest.mark.parametrize("workers", [3, 4])
def test_a_hundred_ids_at_all_workers_are_a_hundred_calls(tmp_path, workers):
    async def inside():
        pair = Pair(tmp_path, of=workers)
        calls = [
            pair.call(worker, call_id=b"job-%d" % number, talk=False)
            for number in range(100)
            for worker in range(workers)
        ]
        pair.talk()
        held = [one for one in calls if isinstance(one.answer, HotHold)]
        assert len(held) == 100
        assert {told(one) for one in calls if one not in held} == {("call_repeated", "still running", None)}
        assert sum(one.hold.bound_nanos for one in held) == 100 * BOUND
        for one in held:
            one.settle(input=1, output=1)
        pair.prove()
        assert pair.rows("SELECT count(*) FROM client_calls") == [(100,)]
        assert claims(pair) == []

    asyncio.run(inside())
