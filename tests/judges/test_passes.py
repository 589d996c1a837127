"""Answers for which several models ran, as the official client sees them: each run is billed, and charged, at its own model's prices.

Prices worked with, in nanos a token: claude-haiku-4-5 1,000 in, 5,000 out; claude-opus-5-5 4,000 in, 20,000 out; claude-haiku-5-5 100 in,
500 out, and above 100,000 tokens of input 500 and 2,500. The document is 3,000 tokens and has its call held for the whole window of its
model; with `HELLO`, 17 bytes or 5 tokens, and 16 for the message the last run reads 3,021.
"""

import pytest

DOCUMENT = {"type": "document", "source": {"type": "url", "url": "https://example.com/slip.pdf"}}
HELLO = [{"role": "user", "content": [DOCUMENT, {"type": "text", "text": "How much is left?"}]}]


def asked(passes, model="claude-haiku-4-5", **more):
    return {
        "model": model, "max_tokens": 100, "messages": HELLO,
        "extra_headers": {"x-sim-output-tokens": "12", "x-sim-fault": f"passes={passes}"}, **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def haiku(company):
    company.do("ratecard.import", providers=["anthropic"], models=["claude-haiku-5-5"])
    return "claude-haiku-5-5"


@pytest.mark.parametrize("stream", [False, True])
def test_a_compaction_and_an_advisor_are_charged_at_their_own_models(company, stream):
    runs = "compaction:2000:90+advisor_message:300:40:claude-opus-5-5"
    own = 3_021 * 1_000 + 12 * 5_000
    with company.moves("Ada", own + 2_000 * 1_000 + 90 * 5_000 + 300 * 4_000 + 40 * 20_000):
        if stream:
            with company.anthropic().beta.messages.stream(**asked(runs)) as events:
                usage = events.get_final_message().usage
        else:
            usage = company.anthropic().beta.messages.create(**asked(runs)).usage
    assert [(one.type, one.input_tokens, one.output_tokens) for one in usage.iterations] == [
        ("compaction", 2_000, 90), ("advisor_message", 300, 40), ("message", 3_021, 12),
    ]  # fmt: skip
    assert (usage.input_tokens, usage.output_tokens) == (3_021, 12)


def test_a_fallback_that_served_is_charged_and_so_is_the_run_that_declined(company):
    # what the asked model had read before it declined, and the other model's own run
    with company.moves("Ada", 20 * 1_000 + 1 * 5_000 + 1_521 * 4_000 + 12 * 20_000 + 3_021 * 1_000 + 12 * 5_000):
        company.anthropic().beta.messages.create(**asked("message:20:1+fallback_message:1521:12:claude-opus-5-5"))


def test_a_long_run_is_long_alone_and_two_short_ones_are_not(company, haiku):
    own = 3_021 * 100 + 12 * 500
    with company.moves("Ada", own + (60_000 + 90_000) * 100 + (100 + 200) * 500):
        company.anthropic().beta.messages.create(**asked("message:60000:100+message:90000:200", haiku))
    with company.moves("Ada", own + 100_001 * 500 + 10 * 2_500):
        company.anthropic().beta.messages.create(**asked("message:100001:10", haiku))


def test_a_client_that_leaves_pays_for_every_run(company):
    own = 3_021 * 1_000 + 12 * 5_000
    with (
        company.moves("Ada", own + 2_000 * 1_000 + 90 * 5_000),
        company.anthropic().beta.messages.create(**asked("compaction:2000:90"), stream=True) as events,
    ):
        next(iter(events))


def test_its_story_and_its_verification_know_every_run(company):
    company.anthropic().beta.messages.create(**asked("compaction:2000:90"))
    company.quiet()
    call = company.calls("Ada", 1)[0]
    assert call["charge_nanos"] == 3_021 * 1_000 + 12 * 5_000 + 2_000 * 1_000 + 90 * 5_000
    company.ledger_verify()
