"""`kill -9` of a role while calls are under way: nothing is lost, nothing is double, and the provider's bill settles what was being checked."""

import json
import signal
from functools import partial

import pytest

from tests.company import Company
from tests.e2e.burst import Burst, body_of, run

STREAMS = 50
# 21 tokens in (19 bytes of content are 5, and 16 for the message) and up to 400 out, one event of 8 tokens each 100 ms: five seconds
STREAM = body_of(115, model="gpt-4o-mini", max_tokens=400, stream=True)
WHOLE = body_of(116, model="gpt-4o-mini", max_tokens=400, stream=False)
SLOW = {"x-sim-output-tokens": "400", "x-sim-interval-us": "100000"}
QUICK = {"x-sim-output-tokens": "12"}


@pytest.fixture
def company(request, tmp_path):
    with Company(tmp_path / "home", durability=getattr(request, "param", "written")) as running:
        running.hire("Ada")
        running.hire("Nightly agent")
        yield running


def reconciled(company, tmp_path):
    """What `tokenroll reconcile --bill` says, run with the provider's own bill."""
    return company.tokenroll("reconcile", "--bill", str(company.bill_file(tmp_path / "bill.jsonl")), "--json")


def all_agree(company):
    """Nothing is open or being checked any more, and the bill is the ledger to the nano."""
    company.prove()
    assert company.calls_open() == []
    assert sum(line.cost_nanos for line in company.bill()) == company.spent_by_all()


@pytest.mark.parametrize("company", ["written", "synced"], indirect=True)
def test_it_checks_every_stream_that_a_killed_gateway_had_under_way(company, tmp_path):
    requests = [company.raw_chat("Ada", STREAM, SLOW) for _ in range(STREAMS)]

    async def story():
        burst = Burst(company.port, requests)
        await burst.until(lambda: min(burst.pieces) >= 4)
        company.end("gateway")
        return await burst.finish()

    answers = run(story)
    assert not any(answer.whole for answer in answers)
    company.start_gateway()
    company.quiet()
    # 50 calls were sent and none is known to have ended: each is being checked, nothing was charged, nothing given back
    wallet = company.wallet("Ada")
    assert len(company.calls_open()) == STREAMS
    assert {call["outcome"] for call in company.calls("Ada")} == {"being checked"}
    assert (wallet.spent, wallet.in_use) == (0, 0)
    assert wallet.being_checked == STREAMS * ((115 + 16) * 150 + 400 * 600)
    assert wallet.left == 100 * 10**9 - wallet.being_checked
    # the gateway spends on with what is left, while they are being checked
    assert (
        company.openai("Nightly agent")
        .chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Are you back?"}],
            max_tokens=9,
            extra_headers=QUICK,
        )
        .choices
    )
    said = reconciled(company, tmp_path)
    assert (said["resolved_count"], said["suspense_count"], said["difference_count"]) == (STREAMS, 0, 0)
    # the provider generated until the connection broke: at least what was seen, less than the whole
    assert {line.status for line in company.bill()[:STREAMS]} == {"aborted"}
    assert all(0 < line.usage["output"] < 400 for line in company.bill()[:STREAMS])
    all_agree(company)
    assert company.wallet("Ada").being_checked == 0
    # what was given back can be spent at once
    me = company.me("Ada")
    assert me == company.wallet("Ada")
    assert (me.being_checked, me.in_use, me.spent) == (0, 0, sum(line.cost_nanos for line in company.bill()[:STREAMS]))


def test_it_loses_no_call_of_a_busy_gateway_that_is_killed_again_and_again(company, tmp_path):
    """Two lives, each killed in the middle of whole answers and streams that come and go; the next serves whoever waits on the socket."""
    for _ in range(2):
        requests = [
            company.raw_chat(
                "Ada", STREAM if number % 2 else WHOLE, {"x-sim-output-tokens": "40", "x-sim-interval-us": "3000"}
            )
            for number in range(120)
        ]

        async def story(requests=requests):
            burst = Burst(company.port, requests)
            await burst.until(lambda: len(burst.answers) >= 30)
            company.end("gateway")
            company.start_gateway()
            return await burst.finish()

        answers = run(story)
        assert sum(answer.whole and answer.status == 200 for answer in answers) >= 30
    company.quiet()
    reconciled(company, tmp_path)
    all_agree(company)
    # who got a whole answer was charged for a whole answer, and no call is in the ledger twice
    calls = company.calls("Ada")
    assert len({call["call"] for call in calls}) == len(calls)


def test_it_goes_on_while_the_ledger_is_dead(company):
    """A lease is whole wallets: calls are served, held and settled without the ledger, which learns of them when it is back."""
    company.end("ledger")
    client = company.openai()
    for _ in range(20):
        client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "How much is left?"}],
            max_tokens=50,
            extra_headers=QUICK,
        )
    # 20 × (21 × 150 + 12 × 600), known to the worker alone
    assert company.me("Ada").spent == 207_000
    assert company.wallet("Ada").spent == 0
    company.start_ledger()
    company.quiet()
    assert company.wallet("Ada").spent == 207_000
    all_agree(company)


@pytest.mark.parametrize("company", ["synced"], indirect=True)
def test_it_loses_nothing_when_the_ledger_is_killed_while_it_folds(company):
    """Killed three times under load; the gateway reports again what was not acknowledged, and nothing is folded twice."""
    requests = [company.raw_chat("Ada", WHOLE, QUICK) for _ in range(400)]

    async def story():
        burst = Burst(company.port, requests)
        for part in range(1, 4):
            await burst.until(partial(lambda wanted: len(burst.answers) >= wanted, part * 60))
            company.end("ledger")
            company.start_ledger()
        return await burst.finish()

    answers = run(story)
    assert {answer.status for answer in answers} == {200}
    company.quiet()
    # 20 bytes of content are 5 tokens, and 16
    assert company.wallet("Ada").spent == 400 * (21 * 150 + 12 * 600)
    all_agree(company)


def test_it_settles_everything_after_both_were_killed(company, tmp_path):
    requests = [company.raw_chat("Ada", STREAM, SLOW) for _ in range(20)]

    async def story():
        burst = Burst(company.port, requests)
        await burst.until(lambda: min(burst.pieces) >= 4)
        company.end("ledger")
        company.end("gateway")
        return await burst.finish()

    run(story)
    company.start_ledger()
    company.start_gateway()
    company.quiet()
    assert reconciled(company, tmp_path)["resolved_count"] == 20
    all_agree(company)


def test_it_ends_orderly_with_every_call_settled(company):
    """SIGTERM instead: streams under way end first, nothing is left to be checked."""
    requests = [company.raw_chat("Ada", STREAM, {**SLOW, "x-sim-output-tokens": "80"}) for _ in range(20)]

    async def story():
        burst = Burst(company.port, requests)
        await burst.until(lambda: min(burst.pieces) >= 4)
        company.ask_to_end("gateway")
        return await burst.finish()

    answers = run(story)
    assert all(answer.whole for answer in answers)
    company.end("gateway", signal.SIGTERM)
    company.start_gateway()
    company.quiet()
    assert company.wallet("Ada").spent == 20 * (21 * 150 + 80 * 600)
    all_agree(company)


def test_bodies_are_of_the_sizes_that_the_figures_above_are_worked_out_from():
    assert len(json.loads(STREAM)["messages"][0]["content"]) == 19
    assert len(json.loads(WHOLE)["messages"][0]["content"]) == 19
