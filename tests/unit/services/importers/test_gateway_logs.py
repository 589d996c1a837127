"""Spend logs of LiteLLM and spans of instrumented programs become usage events, each call once.

Prices worked with, in nanos a token: gpt-4o-mini 150 in, 75 read, 600 out.
"""

import base64
import gzip
import hashlib
import json
from typing import Any

import pytest

from tokenroll.model.usage import Usage
from tokenroll.services.importers.intake import Intake
from tokenroll.services.importers.litellm_logs import is_litellm, litellm_events
from tokenroll.services.importers.otel_spans import decoded_request, is_otel, otel_events, request_events

EIGHT = 1_770_105_600_000_000
"""2026-02-03T08:00:00Z."""
TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


def spent(ident: str | None = "chatcmpl-1", **told: Any) -> dict[str, Any]:
    return {
        "request_id": ident, "call_type": "acompletion", "api_key": "8b3f", "spend": 2.3999999999999997e-05, "total_tokens": 1_050,
        "prompt_tokens": 1_000, "completion_tokens": 50, "startTime": "2026-02-03T08:00:00.250000+00:00", "endTime": "2026-02-03T08:00:02Z",
        "model": "gpt-4o-mini", "model_group": "small", "custom_llm_provider": "openai", "user": "ada", "team_id": "research",
        "request_tags": ["atlas", "atlas", "eval"], "cache_hit": "False", "status": "success",
        "messages": "what costs this?", "response": {"choices": [{"message": {"content": "little"}}]},
        "metadata": {
            "usage_object": {
                "prompt_tokens": 1_000, "prompt_tokens_details": {"cached_tokens": 400}, "completion_tokens_details": {"reasoning_tokens": 20},
            },
        },
        **told,
    }  # fmt: skip


def test_a_spend_log_is_taken_apart_to_the_nano(saved, prices):
    (event,) = litellm_events(saved("spend.json", [spent()]), "Cleo", prices, Intake())
    assert event.usage == Usage(input_tokens=600, cache_read_tokens=400, output_tokens=30, reasoning_tokens=20)
    assert event.list_cost_nanos == 600 * 150 + 400 * 75 + 50 * 600
    assert event.net_cost_nanos == 24_000
    assert event.billed_cost_nanos is None, "LiteLLM's own sum is no invoice"
    assert (event.admitted_at, event.ended_at) == (EIGHT + 250_000, EIGHT + 2_000_000)
    assert (event.event_id, event.member, event.department, event.key) == ("chatcmpl-1", "ada", "research", "8b3f")
    assert (event.requested_model, event.answered_model, event.tags) == ("small", "gpt-4o-mini", ("atlas", "eval"))
    assert "little" not in repr(event)


def test_a_cache_of_anthropics_is_inside_the_input(saved, prices):
    usage = {"cache_read_input_tokens": 700, "cache_creation_input_tokens": 200}
    told = spent(
        metadata=json.dumps({"additional_usage_values": usage}),
        model="claude-sonnet-4-5",
        custom_llm_provider="anthropic",
    )
    (event,) = litellm_events(saved("spend.json", [told]), "", prices, Intake())
    assert event.usage.counts[:3] == (100, 700, 200)
    assert event.list_cost_nanos == 100 * 3_000 + 700 * 300 + 200 * 3_750 + 50 * 15_000


def test_what_one_part_of_the_metadata_leaves_out_the_other_says(saved, prices):
    metadata = {
        "usage_object": {"prompt_tokens_details": None},
        "additional_usage_values": {
            "prompt_tokens_details": {"cached_tokens": 300},
            "server_tool_use": {"web_search_requests": 2},
        },
    }
    (event,) = litellm_events(saved("spend.json", [spent(metadata=metadata, request_tags={})]), "", prices, Intake())
    assert (event.usage.input_tokens, event.usage.cache_read_tokens, event.usage.web_search_count) == (700, 300, 2)
    assert event.tags == ()


def test_an_answer_from_the_gateways_cache_costs_nothing(saved, prices):
    (event,) = litellm_events(saved("spend.json", [spent(cache_hit="True", spend=0)]), "", prices, Intake())
    assert (event.list_cost_nanos, event.net_cost_nanos, event.tags[0]) == (0, 0, "cache-hit")


def test_a_key_that_is_no_hash_is_hashed(saved, prices):
    (event,) = litellm_events(saved("spend.json", [spent(api_key="sk-ada-1234567890")]), "", prices, Intake())
    assert event.key == hashlib.sha256(b"sk-ada-1234567890").hexdigest()


@pytest.mark.parametrize("packed", [False, True])
def test_spend_logs_come_as_an_array_as_lines_and_as_an_answer_with_data(packed, saved, prices, tmp_path):
    rows = [spent("a"), spent("b"), spent("a"), spent("c", status="failure")]
    for path in (
        saved("array.json", rows), saved("wide.json", json.dumps(rows, indent=1)), saved("lines.jsonl", *rows),
        saved("ui.json", {"data": rows, "total": 4, "page": 1}),
    ):  # fmt: skip
        log = tmp_path / f"{path.name}.gz" if packed else path
        if packed:
            log.write_bytes(gzip.compress(path.read_bytes()))
        intake = Intake()
        events = list(litellm_events(log, "", prices, intake))
        assert [(event.event_id, event.status) for event in events] == [("a", "ok"), ("b", "ok"), ("c", "failed")]
        assert (intake.row_count, intake.repeat_count, intake.bad_count) == (4, 1, 0)


def test_a_torn_row_is_named_and_the_next_line_is_read(saved, prices):
    intake = Intake()
    path = saved(
        "lines.jsonl", spent("a"), '{"request_id": "b", "spend": ', spent("c"), "7", spent("d", startTime=None), '{"x"'
    )
    assert [event.event_id for event in litellm_events(path, "", prices, intake)] == ["a", "c"]
    assert [bad.line for bad in intake.bad_rows] == [2, 4, 5, 6]
    assert intake.row_count == 6


def attribute(key: str, value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"key": key, "value": {"arrayValue": {"values": [{"stringValue": one} for one in value]}}}
    return {"key": key, "value": {"stringValue": value} if isinstance(value, str) else {"intValue": str(value)}}


def span(ident: str = SPAN, parent: str = "", **told: Any) -> dict[str, Any]:
    attributes = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18", "gen_ai.usage.input_tokens": 1_000, "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.cache_read.input_tokens": 400, "gen_ai.conversation.id": "conv-1", "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.input.messages": '[{"role":"user","content":"what costs this?"}]',
        **{name.replace("__", "."): value for name, value in told.items()},
    }  # fmt: skip
    return {
        "traceId": TRACE, "spanId": ident, "parentSpanId": parent, "name": "chat", "startTimeUnixNano": str(EIGHT * 1_000),
        "endTimeUnixNano": EIGHT * 1_000 + 1_500_000_000, "kind": 3, "status": {},
        "attributes": [attribute(name, value) for name, value in attributes.items() if value is not None],
    }  # fmt: skip


def exported(*spans: dict[str, Any], user: str = "ada@acme.example") -> dict[str, Any]:
    resource = {"attributes": [attribute("service.name", "atlas"), attribute("user.email", user)]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "x"}, "spans": list(spans)}]}]}


def test_a_span_that_asks_a_model_is_a_call(saved, prices):
    (event,) = otel_events(saved("traces.jsonl", exported(span())), "Cleo", prices, Intake())
    assert event.event_id == f"{TRACE}:{SPAN}"
    assert event.usage == Usage(input_tokens=600, cache_read_tokens=400, output_tokens=50)
    assert event.list_cost_nanos == 600 * 150 + 400 * 75 + 50 * 600
    assert (event.member, event.project, event.session, event.finish) == ("ada@acme.example", "atlas", "conv-1", "stop")
    assert (event.admitted_at, event.ended_at) == (EIGHT, EIGHT + 1_500_000)
    assert "what costs this" not in repr(event)


def test_spans_of_agents_and_tools_and_frameworks_stand_around_calls(prices):
    intake = Intake()
    request = decoded_request(
        json.dumps(
            exported(
                span("aaaaaaaaaaaaaaaa", gen_ai__operation__name="invoke_agent"),
                span("bbbbbbbbbbbbbbbb", "aaaaaaaaaaaaaaaa"),
                span("cccccccccccccccc", "bbbbbbbbbbbbbbbb"),
                span("dddddddddddddddd", "aaaaaaaaaaaaaaaa", gen_ai__operation__name="execute_tool"),
            )
        ).encode()
    )
    assert [event.event_id[-16:] for event in request_events(request, "", prices, intake)] == ["cccccccccccccccc"]
    assert intake.other == {"spans that are no call of a model": 2, "spans around a call that has its own": 1}
    assert intake.row_count == 4


def test_older_conventions_and_base64_ids_are_read(saved, prices):
    old = span(
        gen_ai__operation__name=None, gen_ai__provider__name=None, gen_ai__system="openai", gen_ai__usage__input_tokens=None,
        gen_ai__usage__output_tokens=None, gen_ai__usage__prompt_tokens=10, gen_ai__usage__completion_tokens=2,
        gen_ai__usage__cache_read__input_tokens=None, error__type="timeout",
    )  # fmt: skip
    old |= {
        "traceId": base64.b64encode(bytes.fromhex(TRACE)).decode(),
        "spanId": base64.b64encode(bytes.fromhex(SPAN)).decode(),
    }
    (event,) = otel_events(saved("traces.json", exported(old)), "Cleo", prices, Intake())
    assert event.event_id == f"{TRACE}:{SPAN}"
    assert event.usage == Usage(input_tokens=10, output_tokens=2)
    assert (event.provider, event.status) == ("openai", "failed")


def test_a_bad_span_is_named_and_the_others_count(saved, prices):
    intake = Intake()
    path = saved(
        "traces.jsonl", exported(span(), span()), exported(span("xyz")), '{"resourceSpans": 7}',
        exported(span(gen_ai__usage__input_tokens="many")), exported(span("ffffffffffffffff") | {"startTimeUnixNano": ""}),
    )  # fmt: skip
    assert len(list(otel_events(path, "", prices, intake))) == 1
    assert [bad.line for bad in intake.bad_rows] == [2, 3, 4, 5]
    assert (intake.row_count, intake.repeat_count) == (6, 1)


def test_logs_of_gateways_are_known_by_their_first_bytes():
    log, traces = json.dumps([spent()]).encode(), json.dumps(exported(span())).encode()
    assert (is_litellm(log), is_otel(log)) == (True, False)
    assert (is_litellm(traces), is_otel(traces)) == (False, True)
