"""The official Anthropic client at message batches: one hold for all of it, one settlement when it has ended.

Prices worked with, in nanos a token: claude-haiku-4-5 at the batch tier 500 in, 2,500 out. `HELLO` is 17 bytes: 5 tokens, and 16 for
the message. Sizes go in the metadata of each message, where the simulated provider reads them.
"""

import anthropic
import pytest

HELLO = "How much is left?"


def request(name, output_tokens, **params):
    message = {
        "model": "claude-haiku-4-5", "max_tokens": 64, "messages": [{"role": "user", "content": HELLO}],
        "metadata": {"sim_output_tokens": str(output_tokens)},
    }  # fmt: skip
    return {"custom_id": name, "params": {**message, **params}}


def created(company, *requests, name="Ada", **sizes):
    headers = {f"x-sim-{size.replace('_', '-')}": str(value) for size, value in sizes.items()}
    return company.anthropic(name).messages.batches.with_raw_response.create(requests=requests, extra_headers=headers)


def test_a_batch_is_charged_at_the_batch_rates_by_what_each_message_used(company):
    with company.moves("Ada", (21 + 21) * 500 + (12 + 30) * 2_500):
        raw = created(company, request("one", 12), request("two", 30))
        assert raw.parse().processing_status == "in_progress"
        assert "x-tokenroll-cost" not in raw.headers
        company.until_found("Ada")
    client = company.anthropic()
    assert client.messages.batches.retrieve(raw.parse().id).request_counts.succeeded == 2
    results = {one.custom_id: one.result for one in client.messages.batches.results(raw.parse().id)}
    assert {name: one.message.usage.output_tokens for name, one in results.items()} == {"one": 12, "two": 30}


def test_a_current_model_s_batch_is_billed_at_half_and_charged_so(company):
    with company.moves("Ada", 21 * 1_000 + 12 * 5_000):
        created(company, request("one", 12, model="claude-sonnet-5-5"))
        company.until_found("Ada")


def test_its_hold_is_the_sum_of_what_each_message_may_cost(company):
    with company.moves("Ada", 0):
        one = created(company, request("one", 12), background_ms=60_000)
        two = created(company, request("one", 12), request("two", 12), background_ms=60_000)
        alone, both = (int(raw.headers["x-tokenroll-hold-max"].replace(".", "")) for raw in (one, two))
        assert both > 2 * (alone - 1_000 * 500)
        assert both >= 2 * 64 * 2_500
        for raw in (one, two):
            company.anthropic().messages.batches.cancel(raw.parse().id)
        company.until_found("Ada")


def test_a_message_that_is_refused_costs_nothing_and_the_others_their_own(company):
    with company.moves("Ada", 21 * 500 + 12 * 2_500):
        raw = created(company, request("fine", 12), request("limited", 12, metadata={"sim_fault": "429"}))
        company.until_found("Ada")
    results = company.anthropic().messages.batches.results(raw.parse().id)
    assert {one.custom_id: one.result.type for one in results} == {"fine": "succeeded", "limited": "errored"}


def test_a_batch_that_nobody_asks_for_again_is_settled_once(company):
    with company.moves("Ada", 21 * 500 + 12 * 2_500):
        raw = created(company, request("one", 12), background_ms=500)
        company.until_found("Ada")
    with company.moves("Ada", 0):
        client = company.anthropic()
        list(client.messages.batches.results(raw.parse().id))
        with pytest.raises(anthropic.APIStatusError) as refused:
            client.messages.batches.delete(raw.parse().id)
    assert refused.value.status_code == 405


@pytest.mark.parametrize(
    ("requests", "says"),
    [
        ([request("one", 1), request("two", 1, model="claude-sonnet-5-5")], "one model"),
        ([request("one", 1, stream=True)], "no stream"),
        ([request("one", 1, max_tokens=None)], "max_tokens"),
        ([request("one", 1, tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 1}])], "searching the web"),
        ([{"custom_id": "one", "params": {"model": "claude-haiku-4-5"}}], r"requests\[0\]\.params"),
        ([], "1 to 2000"),
    ],
)  # fmt: skip
def test_what_cannot_be_one_bounded_batch_is_refused_by_place_and_reaches_nobody(company, requests, says):
    seen = company.provider.state()["requests"]
    with company.moves("Ada", 0), pytest.raises(anthropic.BadRequestError, match=says):
        created(company, *requests)
    assert company.provider.state()["requests"] == seen


def test_a_batch_is_not_lowered_to_fit_and_not_sent_elsewhere(company):
    company.hire("Eve", 400_000, cap_policy="clamp")
    with company.moves("Eve", 0), pytest.raises(anthropic.APIStatusError) as denied:
        created(company, request("one", 12), request("two", 12, max_tokens=60_000), name="Eve")
    assert denied.value.status_code == 402
