"""LiteLLM's spend logs (`/spend/logs`, `LiteLLM_SpendLogs` as JSON) as usage events: an array, pages of the UI's answer, or one a line.

Model tokens read from a cache and written to it are part of the input there; here they stand apart. What LiteLLM calls spend is what
its own table of prices, with the discounts set there, makes of a call: net cost, and no invoice. An answer out of LiteLLM's own cache
asked no provider, so its list cost is zero.
"""

from collections.abc import Iterator
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import UsageEvent
from tokenroll.services.importers.column_maps import LITELLM
from tokenroll.services.importers.columns import CACHE_HIT
from tokenroll.services.importers.figures import (
    Seen,
    digest_of,
    fresh_input,
    ident_of,
    instant_of_text,
    key_of,
    name_of,
    nanos_of,
    tags_of,
)
from tokenroll.services.importers.intake import Intake
from tokenroll.services.importers.json_values import values_of
from tokenroll.services.list_prices import ListCost, ListPrices

SOURCE: Final = LITELLM
_NOT_ASKED: Final = ListCost(0, "")
_MARKS: Final = (b'"request_id"', b'"spend"')


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    audio_tokens: int | None = None
    reasoning_tokens: int | None = None


class _ServerTools(msgspec.Struct, gc=False):
    web_search_requests: int | None = None


class _UsageObject(msgspec.Struct, gc=False):
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    server_tool_use: _ServerTools | None = None


class _Metadata(msgspec.Struct, gc=False):
    usage_object: _UsageObject | None = None
    additional_usage_values: _UsageObject | None = None
    status: str | None = None
    user_api_key_user_email: str | None = None
    user_api_key_user_id: str | None = None
    user_api_key_team_alias: str | None = None


class _Row(msgspec.Struct, gc=False):
    request_id: str | None = None
    call_type: str | None = None
    api_key: str | None = None
    spend: Decimal | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    startTime: str | None = None  # noqa: N815  the log's own spelling
    endTime: str | None = None  # noqa: N815
    completionStartTime: str | None = None  # noqa: N815
    model: str | None = None
    model_group: str | None = None
    model_id: str | None = None
    custom_llm_provider: str | None = None
    user: str | None = None
    team_id: str | None = None
    session_id: str | None = None
    request_tags: list[str] | dict[str, msgspec.Raw] | str | None = None
    cache_hit: bool | str | None = None
    status: str | None = None
    metadata: _Metadata | str | None = None
    data: list[msgspec.Raw] | None = None


_DECODER: Final = msgspec.json.Decoder(_Row)
_METADATA: Final = msgspec.json.Decoder(_Metadata | None)
_TAGS: Final = msgspec.json.Decoder(list[str] | dict[str, msgspec.Raw] | None)
_NO_METADATA: Final = _Metadata()
_NO_USAGE: Final = _UsageObject()
_NO_DETAILS: Final = _Details()


def is_litellm(head: bytes) -> bool:
    """Whether a file's first bytes look like such a log."""
    return all(mark in head for mark in _MARKS) and (b'"startTime"' in head or b'"call_type"' in head)


def litellm_events(path: Path, member: str, prices: ListPrices, intake: Intake) -> Iterator[UsageEvent]:
    """The calls of one log, each once."""
    seen = Seen()
    for line, value in values_of(path, intake):
        intake.row_count += 1
        try:
            told = _DECODER.decode(value)
            if told.data is None:
                yield from _once(_event(told, member, prices), seen, intake)
                continue
        except (ValueError, OverflowError) as error:
            intake.is_bad(str(path), line, str(error))
            continue
        intake.row_count += len(told.data) - 1
        for row in told.data:
            try:
                yield from _once(_event(_DECODER.decode(row), member, prices), seen, intake)
            except (ValueError, OverflowError) as error:
                intake.is_bad(str(path), line, str(error))


def _once(event: UsageEvent, seen: Seen, intake: Intake) -> Iterator[UsageEvent]:
    if seen.has(event.event_id):
        intake.repeat_count += 1
    else:
        yield event


def _event(told: _Row, member: str, prices: ListPrices) -> UsageEvent:
    if not told.startTime:
        raise ValueError("it has no startTime")
    at = instant_of_text(told.startTime, UTC)
    metadata = _METADATA.decode(told.metadata or "{}") if isinstance(told.metadata, str) else told.metadata
    metadata = metadata or _NO_METADATA
    provider, model = told.custom_llm_provider or "", told.model or told.model_group or ""
    used = _used(told, metadata)
    is_hit = str(told.cache_hit).lower() == "true"
    cost = _NOT_ASKED if is_hit else prices.cost(provider, model, at, "standard", used)
    is_failed = "fail" in (told.status or metadata.status or "")
    tags = _TAGS.decode(told.request_tags or "[]") if isinstance(told.request_tags, str) else told.request_tags
    tags = tags if isinstance(tags, list) else []
    return UsageEvent(
        source=SOURCE,
        event_id=ident_of(told.request_id)
        or digest_of(told.startTime, told.endTime, told.api_key, told.user, model, used.counts),
        admitted_at=at,
        provider=name_of(provider),
        requested_model=name_of(told.model_group or model),
        answered_model=name_of(model),
        usage=used,
        list_cost_nanos=cost.nanos,
        rate_card_digest=cost.rate_card_digest,
        net_cost_nanos=None if told.spend is None else nanos_of(told.spend),
        deployment=name_of(told.model_id),
        member=name_of(metadata.user_api_key_user_email or told.user or metadata.user_api_key_user_id) or member,
        department=name_of(metadata.user_api_key_team_alias or told.team_id),
        key=key_of(told.api_key, hashes_stay=True),
        session=name_of(told.session_id),
        tags=tags_of((CACHE_HIT, *tags) if is_hit else tags),
        status="failed" if is_failed else "ok",
        first_byte_at=instant_of_text(told.completionStartTime, UTC) if told.completionStartTime else None,
        ended_at=instant_of_text(told.endTime, UTC) if told.endTime else None,
    )


def _used(told: _Row, metadata: _Metadata) -> Usage:
    usage, more = metadata.usage_object or _NO_USAGE, metadata.additional_usage_values or _NO_USAGE
    inside = usage.prompt_tokens_details or more.prompt_tokens_details or _NO_DETAILS
    out = usage.completion_tokens_details or more.completion_tokens_details or _NO_DETAILS
    tools = usage.server_tool_use or more.server_tool_use
    read = _first(usage.cache_read_input_tokens, more.cache_read_input_tokens, inside.cached_tokens)
    written = _first(usage.cache_creation_input_tokens, more.cache_creation_input_tokens)
    return Usage(
        input_tokens=fresh_input(told.prompt_tokens, read, written, inside.audio_tokens),
        cache_read_tokens=read,
        cache_write_5m_tokens=written,
        input_audio_tokens=inside.audio_tokens,
        output_tokens=fresh_input(told.completion_tokens, out.reasoning_tokens, out.audio_tokens),
        reasoning_tokens=out.reasoning_tokens,
        output_audio_tokens=out.audio_tokens,
        web_search_count=tools.web_search_requests if tools else None,
    )


def _first(*counts: int | None) -> int | None:
    return next((count for count in counts if count is not None), None)
