"""Several gateway processes spend the same wallets: never more than there is, and nobody is denied what is there (law 3, law 4)."""

import os
import signal
import subprocess
import sys
from collections import Counter

import pytest

from tests.chaos.supervised import SERVE, Supervised
from tests.company import CREDIT, Company
from tests.e2e.burst import Burst, body_of, run

CALL = body_of(116, model="gpt-4o-mini", max_tokens=400, stream=False)
# 116 bytes of a body bound 116 + 16 tokens in at 150 nanos each, and 400 out at 600: what a call holds at most
BOUND = (116 + 16) * 150 + 400 * 600
QUICK = {"x-sim-output-tokens": "12"}
CALLS = 300


@pytest.fixture
def company(tmp_path):
    with Company(tmp_path / "home", workers=2) as running:
        yield running


def burst(company, requests):
    async def story():
        return await Burst(company.port, requests).finish()

    return run(story)


def proven(company):
    """Nothing is open, the bill is the ledger to the nano, and the journal gives again what is stored."""
    company.prove()
    assert company.calls_open() == []
    assert sum(line.cost_nanos for line in company.bill()) == company.spent_by_all()


def test_two_workers_serve_one_wallet_with_plenty(company):
    company.hire("Ada")
    answers = burst(company, [company.raw_chat("Ada", CALL, QUICK) for _ in range(CALLS)])
    assert {answer.status for answer in answers} == {200}
    assert len(company.bill()) == CALLS
    proven(company)


def test_nobody_overspends_and_nobody_is_denied_what_is_there(company):
    # what 20 calls cost, and one more may cost: hundreds at once, of which each holds ten times what it costs
    cost = 21 * 150 + 12 * 600
    company.hire("Ada", 20 * cost + BOUND)
    answers = burst(company, [company.raw_chat("Ada", CALL, QUICK) for _ in range(CALLS)])
    served = sum(answer.status == 200 for answer in answers)
    assert {answer.status for answer in answers} == {200, 429}
    proven(company)
    wallet = company.wallet("Ada")
    assert wallet.in_use == 0
    # who was denied was denied because less was there than a call may cost
    assert wallet.left < BOUND
    assert wallet.spent == sum(line.cost_nanos for line in company.bill())
    assert len(company.bill()) == served
    # what is left serves whoever needs no more than that, wherever it lies
    small = body_of(116, model="gpt-4o-mini", max_tokens=(wallet.left - 132 * 150) // 600, stream=False)
    if wallet.left > 132 * 150 + 600 * 16:
        assert {answer.status for answer in burst(company, [company.raw_chat("Ada", small, QUICK)])} == {200}
        proven(company)


def test_a_worker_that_is_killed_under_load_stops_nobody(company, tmp_path):
    company.hire("Ada")
    company.hire("Bo")
    slow = {"x-sim-output-tokens": "400", "x-sim-interval-us": "20000"}
    stream = body_of(115, model="gpt-4o-mini", max_tokens=400, stream=True)

    async def story():
        streams = Burst(company.port, [company.raw_chat("Ada", stream, slow) for _ in range(40)])
        await streams.until(lambda: min(streams.pieces) >= 2)
        company.end("gateway-1")
        others = await Burst(company.port, [company.raw_chat("Bo", CALL, QUICK) for _ in range(100)]).finish()
        return [*others, *await streams.finish()]

    answers = run(story)
    # the other one answers everybody meanwhile
    assert [answer.status for answer in answers[:100]] == [200] * 100
    cut = sum(not answer.whole for answer in answers[100:])
    company.start_gateway()
    company.quiet()
    assert len(company.calls_open()) == cut
    said = company.tokenroll("reconcile", "--bill", str(company.bill_file(tmp_path / "bill.jsonl")), "--json")
    assert (said["resolved_count"], said["suspense_count"], said["difference_count"]) == (cut, 0, 0)
    proven(company)


def test_a_limit_holds_for_all_of_them(company):
    company.hire("Ada")
    company.do("limit.create", name="a hundred calls", member="Ada", window="day", measure="calls", cap=100)
    answers = burst(company, [company.raw_chat("Ada", CALL, QUICK) for _ in range(CALLS)])
    assert sum(answer.status == 200 for answer in answers) == 100
    assert len(company.bill()) == 100
    proven(company)


def test_a_worker_that_runs_no_more_tells_its_last_word(company, tmp_path):
    company.hire("Ada")
    burst(company, [company.raw_chat("Ada", CALL, QUICK) for _ in range(20)])
    company.end("gateway")
    company.end("gateway-1")
    command = [sys.executable, "-m", "tokenroll.cli.role", "gateway", "--worker", "1", "--workers", "2", "--retire"]
    done = subprocess.run(command, env={**os.environ, "TOKENROLL_HOME": str(company.home)}, timeout=60, check=False)
    assert done.returncode == 0
    company.workers = 1
    company.start_gateway()
    assert {answer.status for answer in burst(company, [company.raw_chat("Ada", CALL, QUICK)])} == {200}
    company.quiet()
    # a kill may have come before the end of the last calls was on a tape: the bill says what they cost
    company.tokenroll("reconcile", "--bill", str(company.bill_file(tmp_path / "bill.jsonl")), "--json")
    proven(company)
    assert company.me("Ada").left == company.wallet("Ada").left


def test_whoever_asks_any_of_them_is_told_what_all_of_them_did(company):
    """Each connection may come to another worker, of which none knows the others' calls."""
    company.hire("Ada")
    company.do("limit.create", name="a day", member="Ada", window="day", measure="calls", cap=100)
    cost = 21 * 150 + 12 * 600
    for count in range(1, 9):
        assert {answer.status for answer in burst(company, [company.raw_chat("Ada", CALL, QUICK)])} == {200}
        company.until(lambda spent=count * cost: company.wallet("Ada").spent == spent, "the call in the ledger")
        assert company.me("Ada") == company.wallet("Ada")
    assert company.me("Ada").left == 100 * CREDIT - 8 * cost
    assert [limit["used"] for limit in company.get("/me/wallet", "Ada")[1]["limits"]] == ["8 calls"]


def test_nobody_waits_for_the_answers_of_all_before_him(tmp_path):
    """Four workers, money for ten calls, and none of it comes back: when his time is over everybody is denied, not told to come again."""
    with Company(tmp_path / "home", workers=4) as company:
        company.hire("Ada", 10 * BOUND)
        company.provider.hold()

        async def story():
            calls = Burst(company.port, [company.raw_chat("Ada", CALL, QUICK) for _ in range(60)])
            await calls.until(lambda: len(calls.answers) + company.provider.state()["held"] == 60)
            company.provider.release()
            return await calls.finish()

        answers = run(story)
        assert Counter(answer.status for answer in answers) == {200: 10, 429: 50}
        proven(company)
        assert company.me("Ada") == company.wallet("Ada")


def test_a_ledger_that_does_not_answer_is_not_guessed_for(company):
    company.hire("Ada")
    assert {answer.status for answer in burst(company, [company.raw_chat("Ada", CALL, QUICK)])} == {200}
    company.end("ledger")
    status, body = company.get("/me/wallet", "Ada")
    assert (status, body["code"]) == (503, "not_ready")
    assert "the ledger does not answer" in body["detail"]
    company.start_ledger()
    company.quiet()
    company.until(lambda: company.me("Ada") == company.wallet("Ada"), "what is left")


def test_fewer_workers_start_at_once_after_everything_was_killed(tmp_path):
    """Nobody told the ledger that the second one is dead: its tape is told first, and then the one that is alone begins."""
    with Supervised(tmp_path / "home", workers=2) as company:
        company.hire("Ada")
        assert {answer.status for answer in burst(company, [company.raw_chat("Ada", CALL, QUICK)] * 20)} == {200}
        pids = [company.pid(role) for role in (SERVE, "ledger", "web", *company.gateways)]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        company.end(SERVE)
        company.workers = 1
        company.start_gateway()
        assert company.starts_refused == 0
        assert {answer.status for answer in burst(company, [company.raw_chat("Ada", CALL, QUICK)])} == {200}
        company.quiet()
        company.tokenroll("reconcile", "--bill", str(company.bill_file(tmp_path / "bill.jsonl")), "--json")
        proven(company)
