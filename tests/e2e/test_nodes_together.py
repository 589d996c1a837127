"""Several nodes at once, with processes and TLS: one wallet for all, a machine that dies, a line that is cut for longer than a lease counts."""

import json
import time

import pytest

from tests.company import CREDIT
from tests.e2e.burst import Burst, body_of, run
from tests.e2e.node_kit import Several
from tokenroll.model.amount import nanos_from_text

CALL = body_of(116, model="gpt-4o-mini", max_tokens=400, stream=False)
COST = 21 * 150 + 12 * 600
"""What such a call costs with 12 model tokens of answer: 20 bytes of content are 5 model tokens, and 16 for the message."""
BOUND = (116 + 16) * 150 + 400 * 600
"""What it holds: 116 bytes of a body and 16 tokens at 150 nanos each, and 400 out at 600."""
BIG = body_of(116, model="gpt-4o", max_tokens=16_000, stream=False)
BIG_COST = 22 * 2_500 + 12 * 10_000
"""It holds 132 x 2,500 in and 16,000 x 10,000 out: 0.16 credits."""
QUICK = {"x-sim-output-tokens": "12"}


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    """Two nodes that deny at once what they cannot pay while they are cut off, and a worker beside the ledger."""
    with Several(tmp_path_factory.mktemp("several"), workers=1, node='when_cut_off = "deny"\n') as running:
        yield running


def bursts(company, *requests):
    """So many calls at once at each door, as (port, requests); the answers in that order."""

    async def story():
        waves = [Burst(port, calls) for port, calls in requests]
        return [answer for wave in waves for answer in await wave.finish()]

    return run(story)


def call(company, node, name, body=CALL):
    (answer,) = bursts(company, (node.port, [company.raw_chat(name, body, QUICK)]))
    return answer


def proven(company):
    company.prove()
    assert company.calls_open() == []
    assert sum(line.cost_nanos for line in company.bill()) == company.spent_by_all()


def most_for(nanos):
    """A call that may cost nearly so much."""
    return body_of(116, model="gpt-4o-mini", max_tokens=(nanos - 140 * 150) // 600, stream=False)


def test_two_nodes_and_a_worker_beside_the_ledger_spend_one_wallet(company):
    # what 30 calls cost, and one more may: many at once at three doors, each of which holds 25 times what it costs
    company.hire("Ada", 30 * COST + BOUND)
    before = len(company.bill())
    doors = [company.local_port, *(node.port for node in company.nodes)]
    answers = bursts(company, *((port, [company.raw_chat("Ada", CALL, QUICK)] * 50) for port in doors))
    served = sum(answer.status == 200 for answer in answers)
    assert {answer.status for answer in answers} == {200, 429}
    proven(company)
    wallet = company.wallet("Ada")
    assert (wallet.in_use, wallet.being_checked) == (0, 0)
    assert wallet.left < BOUND
    assert (len(company.bill()) - before, wallet.spent) == (served, served * COST)


def test_a_machine_that_dies_stops_nobody_and_its_money_is_seen(company):
    first, second = company.nodes
    company.hire("Bo", 4 * BOUND)
    assert call(company, first, "Bo").status == 200
    company.quiet()
    lent = company.lease_of(first)["lent_nanos"]
    assert lent >= BOUND - COST
    company.kill(first)
    # the rest serves the same wallet at once
    started = time.monotonic()
    assert call(company, second, "Bo").status == 200
    assert time.monotonic() - started < 0.9
    company.until(lambda: company.is_away(first), "the lease of the dead")
    assert company.wallet("Bo").being_checked >= BOUND - COST
    assert "Z ledger: node eu-1 (worker 64) is away since" in company.log("ledger")
    told = {one["name"]: one for one in company.tokenroll("node", "list", "--json")}
    assert (told["eu-1"]["lease"], told["eu-2"]["lease"]) == ("away", "sized")
    assert nanos_from_text(told["eu-1"]["suspense"]["amount"]) == lent
    assert 1 <= told["eu-2"]["lease_seconds_left"] <= 3
    assert company.ledger_verify()["differences"] == []
    assert call(company, second, "Bo").status == 200
    # it is back, and tells by its tape that it held nothing: all of it is there for the other one
    company.start_node(first)
    company.until(lambda: company.admits(first), "the next life")
    wallet = company.wallet("Bo")
    assert (wallet.being_checked, wallet.spent) == (0, 3 * COST)
    assert call(company, second, "Bo", most_for(wallet.left)).status == 200
    proven(company)


def test_a_node_that_is_given_up_is_waited_for_no_more(company):
    first, second = company.nodes
    company.hire("Cleo", 4 * BOUND)
    assert call(company, first, "Cleo").status == 200
    company.quiet()
    company.kill(first)
    company.until(lambda: company.is_away(first), "the lease of the dead")
    whole = most_for(4 * BOUND - COST)
    assert call(company, second, "Cleo", whole).status == 429
    (said,) = company.tokenroll("node", "give-up", "eu-1", "--json")
    assert (said["worker"], said["calls_being_checked"]) == (64, 0)
    assert call(company, second, "Cleo", whole).status == 200
    proven(company)
    # its machine comes back after all: another life, which is lent what it wants
    company.start_node(first)
    company.until(lambda: company.admits(first), "the next life")
    assert call(company, first, "Cleo").status == 200
    proven(company)


def test_a_node_without_its_ledger_stops_before_its_lease_is_taken_back(company):
    first, second = company.nodes
    company.hire("Dev", 100 * CREDIT)
    company.hire("Nightly agent", 100 * CREDIT)
    slow = {"x-sim-output-tokens": "400", "x-sim-interval-us": "200000"}
    stream = body_of(115, model="gpt-4o-mini", max_tokens=400, stream=True)
    assert call(company, first, "Dev").status == 200
    three = [company.raw_chat("Dev", CALL, QUICK)] * 3

    async def story():
        under_way = Burst(first.port, [company.raw_chat("Nightly agent", stream, slow)])
        await under_way.until(lambda: under_way.pieces[0] >= 2)
        company.cut(first)
        answers = await Burst(first.port, three).finish()
        await under_way.until(lambda: company.is_away(first))
        assert not under_way.answers
        answers += await Burst(first.port, three).finish()
        answers += await Burst(second.port, three).finish()
        company.mend(first)
        return [*answers, *await under_way.finish()]

    answers = run(story)
    assert [answer.status for answer in answers] == [200] * 3 + [503] * 3 + [200] * 3 + [200]
    assert b"cut off from its ledger" in answers[3].body
    # the answer that was under way all the time came to its end, and is paid of what was in suspense meanwhile
    assert answers[-1].whole
    company.until(lambda: not company.is_away(first), "its lease")
    assert call(company, first, "Dev").status == 200
    proven(company)
    assert company.wallet("Dev").spent == 8 * COST


def above_the_lease(company, name):
    """A node is lent ten big calls, less what the first one cost, and cut off; then twenty come at once. How many were answered."""
    first, _ = company.nodes
    company.hire(name, 100 * CREDIT)
    assert call(company, first, name, BIG).status == 200
    company.quiet()
    company.cut(first)
    company.until(lambda: "waiting for the ledger at" in company.log("eu-1"), "the cut")
    company.provider.hold()

    async def story():
        wave = Burst(first.port, [company.raw_chat(name, BIG, QUICK)] * 20)
        await wave.until(lambda: len(wave.answers) + company.provider.state()["held"] == 20)
        company.provider.release()
        return await wave.finish()

    answers = run(story)
    refused = [answer for answer in answers if answer.status != 200]
    assert {answer.status for answer in refused} == {503}
    assert json.loads(refused[0].body)["error"]["code"] == "not_ready"
    return len(answers) - len(refused)


def mended(company):
    company.mend(company.nodes[0])
    company.until(lambda: "answers again" in company.log("eu-1"), "the line")
    proven(company)


def test_a_node_that_denies_what_is_above_its_lease_says_so_in_each_dialect(company):
    first, _ = company.nodes
    assert above_the_lease(company, "Mei") == 9
    huge = body_of(124, model="claude-opus-5-5", max_tokens=100_000, stream=False)
    (told,) = bursts(company, (first.port, [company.raw_messages("Mei", huge, QUICK)]))
    assert told.status == 503
    assert json.loads(told.body)["type"] == "error"
    mended(company)
    assert company.wallet("Mei").spent == 10 * BIG_COST


def test_what_a_node_allows_above_its_lease_the_company_carries(tmp_path):
    """With the ledger in PostgreSQL, whatever the tests were told: nodes know nothing of it."""
    with Several(tmp_path, postgresql=True, node='when_cut_off = "allow"\nallow_credits_max = 1\n') as company:
        # nine fit; the tenth lacks what the first has cost, and six more fit into the one credit that may be allowed
        assert above_the_lease(company, "Ada") == 16
        mended(company)
        wallet = company.wallet("Ada")
        assert (wallet.spent, wallet.company_carried) == (11 * BIG_COST, 6 * BIG_COST)
