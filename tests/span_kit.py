"""Spans as exporters send them: OTLP/JSON bodies in the shape of the protocol's own example, with the GenAI attributes of a call."""

import json
from typing import Any

TRACE = "5b8efff798038103d269b633813fc60c"
EIGHT_NANOSECONDS = 1_770_105_600_000_000_000
"""2026-02-03T08:00:00Z."""
SECRET_WORDS = "the merger with Initech is off"


def attribute(key: str, value: Any) -> dict[str, Any]:
    if isinstance(value, int):
        return {"key": key, "value": {"intValue": str(value)}}
    if isinstance(value, list):
        return {"key": key, "value": {"arrayValue": {"values": [{"stringValue": one} for one in value]}}}
    return {"key": key, "value": {"stringValue": value}}


def span(number: int, *, parent: str = "", seconds: int = 0, **told: Any) -> dict[str, Any]:
    """A client's call of gpt-4o-mini: 1,000 tokens in, 400 of them from a cache, 50 out; with its words, which nobody may keep."""
    facts: dict[str, Any] = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18", "gen_ai.usage.input_tokens": 1_000, "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.cache_read.input_tokens": 400, "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": SECRET_WORDS}]}]),
        "gen_ai.system_instructions": SECRET_WORDS, "gen_ai.tool.call.arguments": SECRET_WORDS,
    } | {name.replace("__", "."): value for name, value in told.items()}  # fmt: skip
    start = EIGHT_NANOSECONDS + seconds * 10**9
    return {
        "traceId": TRACE, "spanId": f"{number:016x}", "parentSpanId": parent, "name": f"chat {SECRET_WORDS}", "kind": 3,
        "startTimeUnixNano": str(start), "endTimeUnixNano": str(start + 1_500_000_000),
        "attributes": [attribute(key, value) for key, value in facts.items() if value is not None],
        "events": [{"timeUnixNano": str(start), "name": "gen_ai.content.prompt", "attributes": [attribute("gen_ai.prompt", SECRET_WORDS)]}],
        "status": {},
    }  # fmt: skip


def exported(*spans: Any, user: str = "ada@acme.example", service: str = "atlas") -> bytes:
    """An ExportTraceServiceRequest of one program."""
    resource = {"attributes": [attribute("service.name", service), attribute("user.email", user)]}
    scope = {"scope": {"name": "opentelemetry.instrumentation.openai_v2", "version": "2.3"}, "spans": list(spans)}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}).encode()
