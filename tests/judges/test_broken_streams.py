"""Answers that break off, as the official clients see them, and how the books come to the provider's truth afterwards."""

import anthropic
import httpx2
import openai
import pytest

from tests.company import Company
from tokenroll.model.amount import nanos_from_text

HELLO = [{"role": "user", "content": "How much is left?"}]


@pytest.fixture
def company(tmp_path):
    with Company(tmp_path / "home") as running:
        running.hire("Ada")
        yield running


def chat(fault, **more):
    sizes = {"x-sim-output-tokens": "80", "x-sim-fault": fault}
    return {"model": "gpt-4o-mini", "messages": HELLO, "max_tokens": 500, "extra_headers": sizes, **more}


def messages(fault, **more):
    return {**chat(fault), "model": "claude-opus-5-5", **more}


def reconcile(company, tmp_path, *options, code=0):
    bill = company.bill_file(tmp_path / "bill.jsonl")
    return company.tokenroll("reconcile", "--bill", str(bill), "--json", *options, code=code)


def usd_nanos(money):
    assert money["unit"] == "USD"
    return nanos_from_text(money["amount"])


def test_it_settles_what_was_cut_from_the_provider_s_bill(company, tmp_path):
    """A connection that breaks leaves the cost open: the hold is checked, never charged whole and never given back unseen."""
    with pytest.raises(openai.APIConnectionError):
        list(company.openai().chat.completions.create(**chat("cut=4", stream=True)))
    with pytest.raises(openai.APIStatusError) as gone:
        company.openai().chat.completions.create(**chat("drop"))
    assert gone.value.status_code == 502
    with (
        pytest.raises(httpx2.RemoteProtocolError),  # this client's streams raise what their transport says
        company.anthropic().messages.stream(**messages("cut=6")) as stream,
    ):
        stream.until_done()
    company.quiet()
    assert {call["outcome"] for call in company.calls("Ada")} == {"being checked"}
    assert (company.wallet("Ada").spent, company.me("Ada").being_checked) == (0, company.wallet("Ada").being_checked)
    said = reconcile(company, tmp_path)
    assert (said["resolved_count"], said["difference_count"], said["suspense_count"]) == (3, 0, 0)
    company.prove()
    assert company.wallet("Ada").spent == sum(line.cost_nanos for line in company.bill())
    assert company.me("Ada") == company.wallet("Ada")


def test_it_charges_what_was_seen_when_the_provider_breaks_off_itself(company, tmp_path):
    """The provider says in its stream that it failed, and no usage ever comes: what was seen is charged as estimated.

    Its bill proves something else later. The difference is the company's, booked as provider variance when asked; never the member's.
    """
    with pytest.raises(openai.APIError, match="server had an error"):
        list(company.openai().chat.completions.create(**chat("error-event", stream=True)))
    company.quiet()
    (call,) = company.calls("Ada")
    (line,) = company.bill()
    assert call["outcome"] == "settled"
    # 48 tokens are 192 bytes of text; 192 more came as the role, the error and whatever else may have been text: evidence is not below it
    assert (line.usage["output"], call["output_tokens"]) == (48, 96)
    assert call["charge_nanos"] > line.cost_nanos
    (difference,) = reconcile(company, tmp_path, code=1)["differences"]
    assert usd_nanos(difference["bill_cost"]) == line.cost_nanos
    assert usd_nanos(difference["ledger_cost"]) == call["charge_nanos"]
    said = reconcile(company, tmp_path, "--book", code=1)
    assert usd_nanos(said["booked_cost"]) == line.cost_nanos - call["charge_nanos"]
    assert company.wallet("Ada").spent == call["charge_nanos"]
    # booked once, however often it is asked
    assert usd_nanos(reconcile(company, tmp_path, "--book", code=1)["booked_cost"]) == 0
    company.ledger_verify()


def test_a_message_that_fails_before_its_first_word_costs_what_the_provider_says_it_read(company):
    """Its first event tells the input, which is billed; an error that comes before any event is a refusal, and costs nothing."""
    told = [{"role": "user", "content": "x" * 300}]
    for events in (0, 1, 3):
        with (
            pytest.raises(anthropic.APIStatusError, match="Overloaded"),
            company.anthropic(max_retries=0).messages.stream(
                **messages(f"error-event={events}") | {"messages": told}
            ) as stream,
        ):
            stream.until_done()
    company.quiet()
    # 91 tokens of input at 4 USD a million, and nothing else
    assert sorted(call["charge_nanos"] for call in company.calls("Ada")) == [0, 364_000, 364_000]
    assert sorted(line.cost_nanos for line in company.bill()) == [0, 364_000, 364_000]
    company.prove()


def test_a_response_that_fails_before_its_first_word_is_refused(company):
    """A full provider answers 200, creates the response and then says that it failed: nothing was made, nothing is billed."""
    for events in (0, 2):
        asked = company.openai(max_retries=0).responses.create(
            model="gpt-4o-mini", input="How much is left?", max_output_tokens=500, stream=True,
            extra_headers={"x-sim-fault": f"error-event={events}"},
        )  # fmt: skip
        assert [event.type for event in asked][-1] == "error"
    company.quiet()
    assert [call["outcome"] for call in company.calls("Ada")] == ["not charged", "not charged"]
    assert [line.cost_nanos for line in company.bill()] == [0, 0]
    company.prove()


def test_it_charges_an_answer_without_usage_by_what_it_saw(company):
    """A provider that forgets the usage is not free: what passed is counted, and the call marked as estimated."""
    client = company.openai(_strict_response_validation=False)
    client.chat.completions.create(**chat("missing-usage"))
    list(client.chat.completions.create(**chat("missing-usage", stream=True)))
    company.quiet()
    streamed, whole = company.calls("Ada")
    assert (streamed["outcome"], whole["outcome"]) == ("settled", "settled")
    assert company.metric('tokenroll_settlements_total{worker="0",source="estimated"}') == 2
    # 80 tokens are 320 bytes of text. Of the rest only frames are taken off: in the stream 336 bytes are left, of the role and the last
    # events without text; in the whole answer 292 of 331. What it counts is never below the text that was delivered.
    assert (streamed["output_tokens"], whole["output_tokens"]) == (164, 153)
    company.ledger_verify()
