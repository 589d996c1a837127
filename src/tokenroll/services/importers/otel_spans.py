"""OpenTelemetry spans with the GenAI conventions, as OTLP JSON, as usage events: what instrumented programs say of their calls.

A span is a call if it asked a model; spans of agents, tools and workflows stand around calls that have spans of their own, and so
does a call's span of a framework around the one of the client library. What is said in a call is an attribute like any other, and is
passed by. `request_events` takes one request as a receiver of `/v1/traces` gets it.
"""

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from tokenroll.model.instant import Instant
from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import UsageEvent
from tokenroll.services.importers.figures import Seen, fresh_input, name_of
from tokenroll.services.importers.intake import Intake
from tokenroll.services.importers.json_values import values_of
from tokenroll.services.list_prices import ListPrices

SOURCE: Final = "otel"
_CALLS: Final = frozenset(
    {"chat", "text_completion", "generate_content", "embeddings", "completion", "responses", "image_generation"}
)
_MODEL: Final = ("gen_ai.response.model", "gen_ai.request.model")
_PROVIDER: Final = ("gen_ai.provider.name", "gen_ai.system")
_INPUT: Final = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens")
_OUTPUT: Final = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens")
_CACHE_READ: Final = ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens")
_CACHE_WRITE: Final = (
    "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation_input_tokens",
)  # fmt: skip
_REASONING: Final = ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens")
_MEMBER: Final = ("user.email", "enduser.id", "user.id", "user.name")
_SESSION: Final = ("gen_ai.conversation.id", "session.id")
_TIER: Final = ("openai.response.service_tier", "gen_ai.openai.response.service_tier")
_ERRORS: Final = frozenset({2, "2", "STATUS_CODE_ERROR"})
_PROVIDERS: Final = {
    "gcp.gemini": "google", "gcp.vertex_ai": "google", "gemini": "google", "vertex_ai": "google", "azure.ai.openai": "openai",
    "az.ai.openai": "openai", "aws.bedrock": "bedrock", "mistral_ai": "mistral", "x_ai": "x-ai", "xai": "x-ai",
}  # fmt: skip
_HEX: Final = frozenset("0123456789abcdef")


class _Array(msgspec.Struct, gc=False):
    values: list["_Value"] | None = None


class _Value(msgspec.Struct, gc=False):
    stringValue: str | None = None  # noqa: N815  OTLP's own spelling
    intValue: int | str | None = None  # noqa: N815
    doubleValue: float | str | None = None  # noqa: N815
    arrayValue: _Array | None = None  # noqa: N815


class _Attribute(msgspec.Struct, gc=False):
    key: str
    value: msgspec.Raw = msgspec.Raw(b"null")


class _Status(msgspec.Struct, gc=False):
    code: int | str | None = None


class _Span(msgspec.Struct, gc=False):
    traceId: str = ""  # noqa: N815
    spanId: str = ""  # noqa: N815
    parentSpanId: str | None = None  # noqa: N815
    startTimeUnixNano: int | str = ""  # noqa: N815
    endTimeUnixNano: int | str = ""  # noqa: N815
    attributes: list[_Attribute] | None = None
    status: _Status | None = None


class _Scope(msgspec.Struct, gc=False):
    spans: list[msgspec.Raw] | None = None


class _Resource(msgspec.Struct, gc=False):
    attributes: list[_Attribute] | None = None


class _ResourceSpans(msgspec.Struct, gc=False):
    resource: _Resource | None = None
    scopeSpans: list[_Scope] | None = None  # noqa: N815
    instrumentationLibrarySpans: list[_Scope] | None = None  # noqa: N815


class TracesRequest(msgspec.Struct, gc=False):
    """One ExportTraceServiceRequest, or one line of a file exporter, as far as it is read."""

    resourceSpans: list[_ResourceSpans] | None = None  # noqa: N815


_REQUEST: Final = msgspec.json.Decoder(TracesRequest)
_SPAN: Final = msgspec.json.Decoder(_Span)
_VALUE: Final = msgspec.json.Decoder(_Value | None)


class _Told:
    """A span's attributes and those of what made it; only those asked for are read."""

    def __init__(self, span: list[_Attribute] | None, resource: dict[str, msgspec.Raw]) -> None:
        self._values = {one.key: one.value for one in span or ()}
        self._resource = resource

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def text(self, *keys: str) -> str:
        """The first of these that is told; the first of several values."""
        for key in keys:
            raw = self._values.get(key) or self._resource.get(key)
            value = _VALUE.decode(raw) if raw is not None else None
            if value is None:
                continue
            if value.arrayValue is not None and value.arrayValue.values:
                value = value.arrayValue.values[0]
            told = value.stringValue if value.stringValue is not None else value.intValue
            if told is not None and told != "":
                return name_of(str(told))
        return ""

    def count(self, *keys: str) -> int | None:
        """The first of these that is told: a number, or the text of one, as 64-bit integers are written."""
        for key in keys:
            raw = self._values.get(key)
            value = _VALUE.decode(raw) if raw is not None else None
            if value is None:
                continue
            for told in (value.intValue, value.stringValue, value.doubleValue):
                if told is not None:
                    number = float(told) if isinstance(told, float) else int(told)
                    if number != int(number):
                        raise ValueError(f"{key} is {told}, which is no count")
                    return int(number)
        return None


def is_otel(head: bytes) -> bool:
    """Whether a file's first bytes look like OTLP spans."""
    return b'"resourceSpans"' in head


def otel_events(path: Path, member: str, prices: ListPrices, intake: Intake) -> Iterator[UsageEvent]:
    """The calls among the spans of one file, each once."""
    seen = Seen()
    for line, value in values_of(path, intake):
        try:
            request = decoded_request(value)
        except ValueError as error:
            intake.row_count += 1
            intake.is_bad(str(path), line, f"no OTLP spans: {error}")
            continue
        yield from request_events(request, member, prices, intake, seen=seen, file=str(path), line=line)


def decoded_request(body: bytes) -> TracesRequest:
    """The spans of an OTLP/JSON body. Raises ValueError for another."""
    return _REQUEST.decode(body)


def request_events(
    request: TracesRequest,
    member: str,
    prices: ListPrices,
    intake: Intake,
    *,
    seen: Seen | None = None,
    around: set[str] | None = None,
    file: str = "request",
    line: int = 0,
) -> Iterator[UsageEvent]:
    """The calls among one request's spans. A span counts as a row; one that cannot be read is named, the others count.

    A span ends after those in it and so may come in a later request than they: `around` is given the names, `trace:span`, of all that
    calls of this request say they stand in.
    """
    seen = seen or Seen()
    around = set() if around is None else around
    calls: list[tuple[_Span, _Told]] = []
    for group in request.resourceSpans or ():
        attributes = group.resource.attributes if group.resource else None
        resource = {one.key: one.value for one in attributes or ()}
        for scope in (*(group.scopeSpans or ()), *(group.instrumentationLibrarySpans or ())):
            for raw in scope.spans or ():
                intake.row_count += 1
                try:
                    span = _SPAN.decode(raw)
                    told = _Told(span.attributes, resource)
                    is_call = _is_call(told)
                except ValueError as error:
                    intake.is_bad(file, line, str(error))
                    continue
                if is_call:
                    calls.append((span, told))
                else:
                    intake.is_other("spans that are no call of a model")
    around |= {parent for span, _ in calls if span.parentSpanId and (parent := _name(span.traceId, span.parentSpanId))}
    for span, told in calls:
        if _name(span.traceId, span.spanId) in around:
            intake.is_other("spans around a call that has its own")
            continue
        try:
            event = _event(span, told, member, prices)
        except (ValueError, OverflowError) as error:
            intake.is_bad(file, line, str(error))
            continue
        if seen.has(event.event_id):
            intake.repeat_count += 1
        else:
            yield event


def _name(trace_id: str, span_id: str) -> str:
    """A span's name as an event has it; empty where there is none."""
    try:
        return f"{_hexadecimal(trace_id, 32)}:{_hexadecimal(span_id, 16)}"
    except ValueError:
        return ""


def _is_call(told: _Told) -> bool:
    operation = told.text("gen_ai.operation.name")
    if operation:
        return operation in _CALLS
    is_counted = any(key in told for key in (*_INPUT, *_OUTPUT))
    return is_counted and any(key in told for key in (*_PROVIDER, *_MODEL)) and "gen_ai.agent.name" not in told


def _event(span: _Span, told: _Told, member: str, prices: ListPrices) -> UsageEvent:
    at, until = _instant(span.startTimeUnixNano), _instant(span.endTimeUnixNano)
    if not at:
        raise ValueError("the span has no start time")
    named = told.text(*_PROVIDER)
    provider, model = _PROVIDERS.get(named, named), told.text(*_MODEL)
    read, written, reasoning = told.count(*_CACHE_READ), told.count(*_CACHE_WRITE), told.count(*_REASONING)
    used = Usage(
        input_tokens=fresh_input(told.count(*_INPUT), read, written),
        cache_read_tokens=read,
        cache_write_5m_tokens=written,
        output_tokens=fresh_input(told.count(*_OUTPUT), reasoning),
        reasoning_tokens=reasoning,
    )
    tier = told.text(*_TIER)
    tier = "standard" if tier in {"", "default", "auto"} else tier
    cost = prices.cost(provider, model, at, tier, used)
    is_failed = "error.type" in told or (span.status is not None and span.status.code in _ERRORS)
    return UsageEvent(
        source=SOURCE,
        event_id=f"{_hexadecimal(span.traceId, 32)}:{_hexadecimal(span.spanId, 16)}",
        admitted_at=at,
        ended_at=until or None,
        provider=provider,
        requested_model=told.text("gen_ai.request.model") or model,
        answered_model=told.text("gen_ai.response.model"),
        usage=used,
        list_cost_nanos=cost.nanos,
        rate_card_digest=cost.rate_card_digest,
        service_tier=tier,
        member=told.text(*_MEMBER) or member,
        project=told.text("service.name"),
        session=told.text(*_SESSION),
        call_id=told.text("gen_ai.response.id"),
        status="failed" if is_failed else "ok",
        finish=told.text("gen_ai.response.finish_reasons"),
    )


def _instant(nanoseconds: int | str) -> Instant:
    """64-bit integers are texts in OTLP/JSON, and numbers from those who do not know that."""
    return int(nanoseconds or 0) // 1_000


def _hexadecimal(ident: str, length: int) -> str:
    """An id in hexadecimal, which OTLP/JSON asks for; plain protobuf JSON writes it in base64. Raises ValueError for neither."""
    lower = ident.lower()
    if len(ident) == length and _HEX.issuperset(lower):
        return lower
    try:
        decoded = base64.b64decode(ident, validate=True)
    except binascii.Error:
        decoded = b""
    if len(decoded) * 2 != length:
        raise ValueError(f"{ident[:40]!r} is no id of {length} hexadecimal digits")
    return decoded.hex()
