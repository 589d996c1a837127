"""Reports of OpenAI and Anthropic become usage events: counts and invoices beside each other, ours read back as they were written.

Prices worked with, in nanos a token: gpt-4o-mini 150 in, 75 read, 600 out; claude-sonnet-4-5 3,000 in, 300 read, 3,750 written for 5
minutes, 6,000 for an hour, 15,000 out.
"""

import json
from typing import Any

import msgspec
import pytest

from tokenroll.api import anthropic_usage, openai_usage
from tokenroll.api.usage_pages import Page
from tokenroll.model.usage import METER_INDEX, Meter, Usage
from tokenroll.model.usage_event import Billing
from tokenroll.services.importers.anthropic_reports import anthropic_report_events, is_anthropic_report
from tokenroll.services.importers.intake import Intake
from tokenroll.services.importers.openai_reports import is_openai_report, openai_report_events
from tokenroll.store.usage_rollups import UsageSum

DAY = 86_400
MONDAY = 1_770_076_800
"""2026-02-03T00:00:00Z in seconds."""
MONDAY_AT = MONDAY * 1_000_000


def bucket(*results: dict[str, Any], start: int = MONDAY) -> dict[str, Any]:
    return {"object": "bucket", "start_time": start, "end_time": start + DAY, "results": list(results)}


def page(*buckets: dict[str, Any]) -> dict[str, Any]:
    return {"object": "page", "data": list(buckets), "has_more": False, "next_page": None}


def completions(**told: Any) -> dict[str, Any]:
    return {
        "object": "organization.usage.completions.result", "input_tokens": 1_000, "input_cached_tokens": 400, "output_tokens": 50,
        "num_model_requests": 3, "project_id": "proj_atlas", "user_id": "user_ada", "api_key_id": "key_1", "model": "gpt-4o-mini",
        "batch": False, **told,
    }  # fmt: skip


def costs(value: Any, item: str | None = None) -> dict[str, Any]:
    return {
        "object": "organization.costs.result", "amount": {"value": value, "currency": "eur"}, "line_item": item, "project_id": "proj_atlas",
    }  # fmt: skip


def messages(**told: Any) -> dict[str, Any]:
    return {
        "uncached_input_tokens": 1_000, "cache_read_input_tokens": 2_000, "output_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 10},
        "server_tool_use": {"web_search_requests": 2}, "account_id": "acct_bo", "model": "claude-sonnet-4-5", "workspace_id": "wrkspc_1",
        "api_key_id": "apikey_1", "service_tier": "standard", "context_window": "0-200k", **told,
    }  # fmt: skip


def day(*results: dict[str, Any]) -> dict[str, Any]:
    return {"starting_at": "2026-02-03T00:00:00Z", "ending_at": "2026-02-04T00:00:00Z", "results": list(results)}


def test_openais_results_are_calls_of_a_day_at_list_price(saved, prices):
    intake = Intake()
    (event,) = openai_report_events(saved("usage.json", page(bucket(completions()))), "Cleo", prices, intake)
    assert (event.admitted_at, event.ended_at) == (MONDAY_AT, MONDAY_AT + DAY * 1_000_000)
    assert event.usage == Usage(input_tokens=600, cache_read_tokens=400, output_tokens=50, request_count=3)
    assert event.list_cost_nanos == 600 * 150 + 400 * 75 + 50 * 600
    assert (event.member, event.project, event.key, event.model) == ("user_ada", "proj_atlas", "key_1", "gpt-4o-mini")
    assert event.billed_cost_nanos is None
    assert intake.summary()["row_count"] == 1


def test_a_batch_is_a_tier_and_a_day_is_no_long_context(saved, prices):
    """gpt-5.4 costs 2,500 nanos a token of input, and twice that above 272,000 in one call; three calls of 200,000 are no such call."""
    long = {"model": "gpt-5.4", "input_tokens": 600_000, "input_cached_tokens": 0, "output_tokens": 0}
    rows = [completions(batch=True), completions(**long), completions(**long, num_model_requests=1, user_id=None)]
    batched, many, one = openai_report_events(saved("usage.json", page(bucket(*rows))), "Cleo", prices, Intake())
    assert (batched.service_tier, many.service_tier, one.member) == ("batch", "standard", "Cleo")
    assert (many.list_cost_nanos, one.list_cost_nanos) == (600_000 * 2_500, 600_000 * 5_000)


def test_openais_costs_are_an_invoice_without_counts(saved, prices):
    told = [costs(0.1234567891, "gpt-4o-mini, input"), costs("12.5"), costs(-3, "refund")]
    events = list(openai_report_events(saved("costs.json", page(bucket(*told))), "Cleo", prices, Intake()))
    assert [event.billed_cost_nanos for event in events] == [123_456_789, 12_500_000_000, -3_000_000_000]
    assert {(event.source, event.currency, event.usage) for event in events} == {("openai-costs", "EUR", Usage())}
    assert [event.model for event in events] == ["gpt-4o-mini", "", "refund"]


@pytest.mark.parametrize(
    ("told", "used"),
    [
        ({"object": "organization.usage.embeddings.result", "input_tokens": 42, "num_model_requests": 2}, Usage(input_tokens=42, request_count=2)),
        ({"object": "organization.usage.images.result", "images": 3, "num_model_requests": 2}, Usage(image_count=3, request_count=2)),
        ({"object": "organization.usage.audio_speeches.result", "characters": 70, "num_model_requests": 1}, Usage(character_count=70, request_count=1)),
        ({"object": "organization.usage.audio_transcriptions.result", "seconds": 9, "num_model_requests": 1}, Usage(audio_second_count=9, request_count=1)),
        ({"object": "organization.usage.web_searches.result", "num_requests": 4, "num_model_requests": 1}, Usage(web_search_count=4)),
        ({"object": "organization.usage.file_searches.result", "num_requests": 5}, Usage(file_search_count=5)),
    ],
)  # fmt: skip
def test_what_is_not_text_is_counted_in_its_own_units(told, used, saved, prices):
    (event,) = openai_report_events(saved("usage.json", page(bucket(told))), "Cleo", prices, Intake())
    assert event.usage == used


def test_pages_come_alone_in_a_list_or_one_a_line(saved, prices):
    pages = [page(bucket(completions())), page(bucket(completions(), start=MONDAY + DAY))]
    for path in (
        saved("list.json", pages),
        saved("lines.jsonl", *pages),
        saved("wide.json", json.dumps(pages, indent=2)),
    ):
        events = list(openai_report_events(path, "Cleo", prices, Intake()))
        assert [event.admitted_at for event in events] == [MONDAY_AT, MONDAY_AT + DAY * 1_000_000], path


def test_a_result_that_is_told_twice_is_one(saved, prices):
    intake = Intake()
    path = saved(
        "usage.jsonl", page(bucket(completions(), completions(user_id="user_bo"))), page(bucket(completions()))
    )
    assert len(list(openai_report_events(path, "Cleo", prices, intake))) == 2
    assert (intake.row_count, intake.repeat_count) == (3, 1)


def test_a_bad_result_is_named_and_the_others_count(saved, prices):
    intake = Intake()
    path = saved(
        "usage.jsonl",
        page(bucket(completions(input_tokens=-4), completions())),
        '{"data": 7}',
        page(bucket({"object": "else"})),
    )
    assert len(list(openai_report_events(path, "Cleo", prices, intake))) == 1
    assert [(bad.line, bad.reason) for bad in intake.bad_rows] == [
        (1, "usage input_tokens must be 0 to 1000000000000, not -4"),
        (2, "no page of a report: Expected `array | null`, got `int` - at `$.data`"),
    ]  # fmt: skip
    assert intake.other == {"results of another kind": 1}
    assert intake.row_count == 4


def test_anthropics_results_keep_both_lives_of_a_cache(saved, prices):
    path = saved("usage.json", {"data": [day(messages())], "has_more": False, "next_page": None})
    (event,) = anthropic_report_events(path, "Cleo", prices, Intake())
    assert event.usage.counts[:4] == (1_000, 2_000, 400, 10)
    assert (event.usage.output_tokens, event.usage.web_search_count) == (100, 2)
    tokens = 1_000 * 3_000 + 2_000 * 300 + 400 * 3_750 + 10 * 6_000 + 100 * 15_000
    assert event.list_cost_nanos == tokens + 2 * 10_000_000
    assert (event.member, event.project, event.key) == ("acct_bo", "wrkspc_1", "apikey_1")


def test_anthropics_costs_are_cents(saved, prices):
    told = {
        "currency": "USD",
        "amount": "123.45678901",
        "workspace_id": None,
        "description": "Claude Sonnet 4.5, input",
        "model": "claude-sonnet-4-5",
    }
    path = saved("costs.json", {"data": [day(told, {**told, "description": None, "amount": "0.0000001"})]})
    events = list(anthropic_report_events(path, "Cleo", prices, Intake()))
    assert [event.billed_cost_nanos for event in events] == [1_234_567_890, 1]
    assert {event.source for event in events} == {"anthropic-costs"}


def test_claude_codes_report_says_whose_and_no_invoice(saved, prices):
    use = {
        "model": "claude-sonnet-4-5", "tokens": {"input": 100, "output": 10, "cache_read": 1_000, "cache_creation": 20},
        "estimated_cost": {"currency": "USD", "amount": 99},
    }  # fmt: skip
    told = {
        "date": "2026-02-03T00:00:00Z", "actor": {"type": "user_actor", "email_address": "dev@acme.example"}, "organization_id": "org",
        "customer_type": "subscription", "terminal_type": "vscode", "core_metrics": {"num_sessions": 5},
        "model_breakdown": [use, {**use, "model": "claude-unheard-of"}],
    }  # fmt: skip
    known, unknown = anthropic_report_events(
        saved("cc.json", {"data": [told], "has_more": False}), "Cleo", prices, Intake()
    )
    assert (known.member, known.billing, known.billed_cost_nanos) == ("dev@acme.example", Billing.SEAT, None)
    assert known.list_cost_nanos == 100 * 3_000 + 10 * 15_000 + 1_000 * 300 + 20 * 3_750
    assert unknown.list_cost_nanos == 990_000_000, "no price is published, so it is what the report estimates, 99 cents"


def test_reports_are_known_by_their_first_bytes():
    ours = json.dumps(page(bucket(completions()))).encode()
    theirs = json.dumps({"data": [day(messages())]}).encode()
    assert (is_openai_report(ours), is_anthropic_report(ours)) == (True, False)
    assert (is_openai_report(theirs), is_anthropic_report(theirs)) == (False, True)


# ---- what we serve ourselves --------------------------------------------------------------------------------------------


def summed(calls: int, **counts: int) -> UsageSum:
    one = UsageSum()
    one.add(calls, 0, [(METER_INDEX[Meter(name)], 1, count, 0) for name, count in counts.items()])
    return one


def test_openais_report_of_ours_is_read_back_to_equal_counts(saved, prices):
    kind = openai_usage.KINDS["completions"]
    one = summed(
        4,
        input=700,
        cache_read=200,
        cache_write_5m=30,
        input_audio=11,
        input_image=5,
        output=90,
        output_audio=7,
        output_image=3,
    )
    row = {"object": "organization.usage.completions.result", **kind.figures(one), "user_id": "Ada", "batch": True}
    body, _ = openai_usage._answer(Page([(MONDAY_AT, MONDAY_AT + DAY * 10**6, [row])], None, 1))
    path = saved("ours.json", msgspec.json.encode(body).decode())
    (event,) = openai_report_events(path, "", prices, Intake())
    assert event.usage == Usage(
        input_tokens=700, cache_read_tokens=200, cache_write_5m_tokens=30, input_audio_tokens=11, input_image_tokens=5,
        output_tokens=90, output_audio_tokens=7, output_image_tokens=3, request_count=4,
    )  # fmt: skip
    assert event.service_tier == "batch"
    cost = openai_usage._cost(1_234_567_891, {"project_id": "Engineering"})
    body, _ = openai_usage._answer(Page([(MONDAY_AT, MONDAY_AT + 1, [cost])], None, 1))
    (event,) = openai_report_events(saved("costs.json", msgspec.json.encode(body).decode()), "", prices, Intake())
    assert (event.billed_cost_nanos, event.project) == (1_234_567_891, "Engineering")


def test_anthropics_report_of_ours_is_read_back_to_equal_counts(saved, prices):
    one = summed(
        4, input=700, cache_read=200, cache_write_5m=30, cache_write_1h=8, output=90, reasoning=10, web_search=2
    )
    row = {**anthropic_usage._figures(one), "account_id": "Bo", "model": "claude-sonnet-4-5"}
    told = anthropic_usage._cost(1_234_567_891, {"workspace_id": "Sales"})
    body, _ = anthropic_usage._answer(Page([(MONDAY_AT, MONDAY_AT + DAY * 10**6, [row, told])], None, 1))
    usage, cost = anthropic_report_events(saved("ours.json", msgspec.json.encode(body).decode()), "", prices, Intake())
    assert usage.usage == Usage(
        input_tokens=700, cache_read_tokens=200, cache_write_5m_tokens=30, cache_write_1h_tokens=8, output_tokens=100, web_search_count=2
    )  # fmt: skip
    assert (cost.billed_cost_nanos, cost.project) == (1_234_567_891, "Sales")
    assert usage.member == "Bo"
