"""Coalesced calls and broken loops in the books: ledger and gateway in processes of their own, the official clients, a provider's own bill.

gpt-4o-mini costs 150 nanos a token in and 600 out. `HELLO` is 5 + 16 tokens, so an answer of 12 costs 21 × 150 + 12 × 600 = 10,350.
"""

import threading

import anthropic
import openai
import pytest

from tests.company import CREDIT, Company

HELLO = [{"role": "user", "content": "How much is left?"}]
COST = 10_350


def ask(**more):
    return {
        "model": "gpt-4o-mini", "messages": HELLO, "max_completion_tokens": 300, "temperature": 0,
        "extra_headers": {"x-sim-output-tokens": "12"}, **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    with Company(tmp_path_factory.mktemp("twins") / "home") as running:
        running.hire("Ada", terms={"thrift": {"coalesce": True}})
        running.hire("Nightly agent", terms={"thrift": {"break_loops": 3}})
        running.hire("Bo")
        yield running
        running.prove()


def at_once(company, name, count, function):
    """What `count` clients get that ask while the provider holds its answers; the first one alone is at the provider."""
    got = []
    company.provider.hold()
    clients = [company.openai(name) for _ in range(count)]
    threads = [threading.Thread(target=lambda one=one: got.append(function(one))) for one in clients]
    for thread in threads:
        thread.start()
    company.until(lambda: company.metric("tokenroll_open_holds") == count, "all are held")
    company.provider.release()
    for thread in threads:
        thread.join()
    return got


def test_five_that_ask_the_same_get_one_answer_that_is_billed_once(company):
    with company.moves("Ada", COST):
        got = at_once(company, "Ada", 5, lambda one: one.chat.completions.with_raw_response.create(**ask()))
    assert len({one.content for one in got}) == 1
    costs = sorted(one.headers["x-tokenroll-cost"] for one in got)
    assert costs == ["0.000000000"] * 4 + ["0.000010350"]
    (leader,) = {one.headers["x-tokenroll-coalesced"] for one in got if "x-tokenroll-coalesced" in one.headers}
    assert [one.headers["x-tokenroll-call-id"] for one in got if one.headers["x-tokenroll-cost"] != "0.000000000"] == [
        leader
    ]
    assert len(company.bill()) == 1
    for one in got:
        story = company.tokenroll("call", "show", one.headers["x-tokenroll-call-id"], "--json")["attempts"][0]
        if "x-tokenroll-coalesced" not in one.headers:
            assert story["state"] == "settled"
        else:
            assert (story["state"], story["reason"]) == ("released", "coalesced")
            assert story["answered_by"] == leader
            assert story["dispatched_at"] is None
            assert story["returned"] == story["slices"]
    assert company.ledger_verify()["holds"]


def test_five_streams_are_one(company):
    with company.moves("Ada", COST):
        got = at_once(
            company, "Ada", 5, lambda one: [part.to_json() for part in one.chat.completions.create(**ask(stream=True))]
        )
    assert got[0]
    assert got == [got[0]] * 5
    assert company.metric('tokenroll_attempts_ended_total{worker="0",end="released_coalesced"}') == 8


def test_the_report_says_what_the_first_one_cost_for_each_that_followed(company):
    company.quiet()
    told = company.tokenroll("thrift", "report", "--json")["effects"]
    (row,) = [one for one in told if one["mechanism"] == "coalescing"]
    # four of five whole answers and four of five streams, at 10,350 nanos each
    assert (row["call_count"], row["unknown_count"]) == (8, 0)
    assert [row[name]["amount"] for name in ("saved", "lost", "net")] == ["0.000082800", "0.000000000", "0.000082800"]


def test_whose_plan_does_not_say_so_pays_for_each(company):
    with company.moves("Bo", 5 * COST):
        at_once(company, "Bo", 5, lambda one: one.chat.completions.create(**ask()))


def test_an_agent_in_a_loop_is_told_so_in_the_words_of_openai_and_of_anthropic(company):
    with company.moves("Nightly agent", 3 * COST):
        client = company.openai("Nightly agent", max_retries=2)
        for _ in range(3):
            client.chat.completions.create(**ask())
        with pytest.raises(openai.RateLimitError) as refused:
            client.chat.completions.create(**ask())
    assert refused.value.code == "loop_broken"
    assert "came 3 times in a row" in refused.value.message
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert company.metric('tokenroll_denials_total{worker="0",reason="loop_broken"}') == 1
    claude = company.anthropic("Nightly agent", max_retries=2)
    question = {
        "model": "claude-opus-5-5", "max_tokens": 300, "messages": HELLO, "extra_body": {"temperature": 0},
        "extra_headers": {"x-sim-output-tokens": "12"},
    }  # fmt: skip
    for _ in range(3):
        claude.messages.create(**question)
    with pytest.raises(anthropic.RateLimitError, match="x-tokenroll-loops: allow"):
        claude.messages.create(**question)
    assert company.metric('tokenroll_denials_total{worker="0",reason="loop_broken"}') == 2
    claude.messages.create(**question | {"extra_headers": {"x-tokenroll-loops": "allow", "x-sim-output-tokens": "12"}})


def test_a_refused_loop_is_a_line_without_a_charge(company):
    company.quiet()
    reasons = [
        company.tokenroll("call", "show", one["call"], "--json")["attempts"][0].get("reason")
        for one in company.calls("Nightly agent")
    ]
    assert reasons.count("loop_broken") == 2
    told = company.tokenroll("thrift", "report", "--json")["effects"]
    (row,) = [one for one in told if one["mechanism"] == "loops broken"]
    assert (row["call_count"], row["saved"], row["lost"]) == (2, None, None)
    assert company.wallet("Nightly agent").left < 100 * CREDIT
