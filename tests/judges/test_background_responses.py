"""Responses that go on in the background, and streams that were cut: their money is held until the provider is asked, and then exact.

Prices worked with, in nanos a token: gpt-4o-mini 150 in, 600 out. `HELLO` is 17 bytes: 5 tokens, and 16 for the message.
"""

import signal

import httpx2
import openai
import pytest

HELLO = "How much is left?"


def sized(output_tokens, **more):
    sizes = {"output_tokens": output_tokens, **more}
    return {"extra_headers": {f"x-sim-{name.replace('_', '-')}": str(value) for name, value in sizes.items()}}


def in_background(company, output_tokens=12, **more):
    return company.openai().responses.with_raw_response.create(
        model="gpt-4o-mini", input=HELLO, background=True, max_output_tokens=100, **sized(output_tokens, **more)
    )


def settled(company, name):
    """Waits until nothing is in suspense any more, and gives the newest call."""
    company.until_found(name)
    return company.calls(name)[0]


def told(company, call):
    """Where a call's counts come from and how it ended, as its story says."""
    attempt = company.tokenroll("call", "show", call["call"], "--json")["attempts"][0]
    return attempt["usage_source"], attempt["finish"], attempt["stored_as"]


def test_a_response_in_the_background_is_charged_what_it_came_to_although_nobody_asks_for_it(company):
    with company.moves("Ada", 21 * 150 + 12 * 600):
        raw = in_background(company)
        assert (raw.parse().status, raw.parse().usage) == ("queued", None)
        assert "x-tokenroll-cost" not in raw.headers
        call = settled(company, "Ada")
    assert told(company, call) == ("reported", "goes_on", raw.parse().id)


def test_its_money_is_held_as_long_as_it_goes_on(company):
    with company.moves("Ada", 21 * 150 + 12 * 600):
        response = in_background(company, background_ms=3_000).parse()
        company.until(lambda: company.me("Ada").being_checked > 0, "the hold in suspense")
        client = company.openai()
        assert client.responses.retrieve(response.id).status == "queued"
        settled(company, "Ada")
    ended = company.openai().responses.retrieve(response.id)
    assert (ended.status, ended.usage.output_tokens) == ("completed", 12)


def test_one_that_is_cancelled_costs_what_the_provider_read(company):
    with company.moves("Ada", 21 * 150):
        response = in_background(company, background_ms=60_000).parse()
        assert company.openai().responses.cancel(response.id).status == "cancelled"
        settled(company, "Ada")


def test_a_stream_that_was_cut_is_asked_about_and_charged_exactly(company):
    # of ten events the first four open the answer, and each other one has eight tokens
    with company.moves("Ada", 21 * 150 + 6 * 8 * 600):
        with pytest.raises((openai.APIError, httpx2.RemoteProtocolError)):
            list(
                company.openai(max_retries=0).responses.create(
                    model="gpt-4o-mini", input=HELLO, stream=True, max_output_tokens=300,
                    extra_headers={"x-sim-output-tokens": "200", "x-sim-fault": "cut=10"},
                )
            )  # fmt: skip
        call = settled(company, "Ada")
    source, finish, stored_as = told(company, call)
    assert (source, finish, stored_as[:5]) == ("reported", "upstream_cut", "resp_")


def test_the_ledger_started_anew_asks_about_what_it_was_told_before(company):
    with company.moves("Ada", 21 * 150 + 12 * 600):
        in_background(company, background_ms=1_500)
        company.until(lambda: company.me("Ada").being_checked > 0, "the hold in suspense")
        company.end("ledger", signal.SIGTERM)
        company.start_ledger()
        settled(company, "Ada")
