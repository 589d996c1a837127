"""OpenAI's usage and costs (`/v1/organization/usage/…`, `/v1/organization/costs`), as pages in files, as usage events.

A result is what one project, person, key and model used within a bucket of time: many calls, whose number is the request count.
Usage has counts and no invoice, costs have an invoice and no counts, so the two are sources of their own and add up beside each other.
`tokenroll` serves the same reports, so it reads its own as well.
"""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import UsageEvent
from tokenroll.services.importers.figures import Seen, digest_of, fresh_input, key_of, name_of, nanos_of
from tokenroll.services.importers.intake import Intake
from tokenroll.services.importers.json_values import values_of
from tokenroll.services.list_prices import ListPrices

USAGE_SOURCE: Final = "openai-usage"
COSTS_SOURCE: Final = "openai-costs"
_USAGE: Final = "organization.usage."
_COSTS: Final = "organization.costs.result"
_MARKS: Final = (b'"organization.usage.', b'"organization.costs.')
_COUNTED_FROM_TEXT: Final = frozenset(
    {"organization.usage.web_searches.result", "organization.usage.file_searches.result"}
)
"""Their requests are those that `completions` tells."""


class _Amount(msgspec.Struct, gc=False):
    value: Decimal
    currency: str = "usd"


class _Result(msgspec.Struct, gc=False):
    object: str = ""
    input_tokens: int | None = None
    input_cached_tokens: int | None = None
    input_cache_write_tokens: int | None = None
    input_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    output_tokens: int | None = None
    output_audio_tokens: int | None = None
    output_image_tokens: int | None = None
    num_model_requests: int | None = None
    num_requests: int | None = None
    images: int | None = None
    characters: int | None = None
    seconds: int | None = None
    project_id: str | None = None
    user_id: str | None = None
    api_key_id: str | None = None
    model: str | None = None
    batch: bool | None = None
    service_tier: str | None = None
    size: str | None = None
    source: str | None = None
    context_level: str | None = None
    vector_store_id: str | None = None
    api_source: str | None = None
    line_item: str | None = None
    amount: _Amount | None = None


class _Bucket(msgspec.Struct, gc=False):
    start_time: int
    end_time: int
    results: list[msgspec.Raw] | None = None
    result: list[msgspec.Raw] | None = None


class _Page(msgspec.Struct, gc=False):
    data: list[msgspec.Raw] | None = None


_PAGE: Final = msgspec.json.Decoder(_Page)
_BUCKET: Final = msgspec.json.Decoder(_Bucket)
_RESULT: Final = msgspec.json.Decoder(_Result)


def is_openai_report(head: bytes) -> bool:
    """Whether a file's first bytes look like such pages; an empty page is one."""
    return any(mark in head for mark in _MARKS) or (b'"start_time"' in head and b'"bucket"' in head)


def openai_report_events(path: Path, member: str, prices: ListPrices, intake: Intake) -> Iterator[UsageEvent]:
    """The results of all pages, or buckets, of one file, each once."""
    seen = Seen()
    for line, value in values_of(path, intake):
        try:
            data = _PAGE.decode(value).data
            buckets = [_BUCKET.decode(one) for one in ([value] if data is None else data)]
        except ValueError as error:
            intake.row_count += 1
            intake.is_bad(str(path), line, f"no page of a report: {error}")
            continue
        for bucket in buckets:
            for raw in bucket.results or bucket.result or ():
                intake.row_count += 1
                try:
                    event = _event(_RESULT.decode(raw), bucket, member, prices)
                except (ValueError, OverflowError) as error:
                    intake.is_bad(str(path), line, str(error))
                    continue
                if event is None:
                    intake.is_other("results of another kind")
                elif seen.has(event.event_id):
                    intake.repeat_count += 1
                else:
                    yield event


def openai_report_spans(path: Path) -> Iterator[tuple[str, Instant, Instant]]:
    """Which spans of time the pages of a file are about, also those in which nothing was used; the source is empty where none says it."""
    for _, value in values_of(path, Intake()):
        source = COSTS_SOURCE if _COSTS.encode() in value else USAGE_SOURCE if _USAGE.encode() in value else ""
        try:
            data = _PAGE.decode(value).data
            buckets = [_BUCKET.decode(one) for one in ([value] if data is None else data)]
        except ValueError:
            continue  # a bad row, which whoever reads the results counts
        for bucket in buckets:
            yield source, bucket.start_time * MICROS_PER_SECOND, bucket.end_time * MICROS_PER_SECOND


def _event(told: _Result, bucket: _Bucket, member: str, prices: ListPrices) -> UsageEvent | None:
    is_cost = told.object == _COSTS
    if not is_cost and not told.object.startswith(_USAGE):
        return None
    at = bucket.start_time * MICROS_PER_SECOND
    tier = (
        "batch" if told.batch else {"default": "standard"}.get(told.service_tier or "", told.service_tier or "standard")
    )
    ident = digest_of(
        told.object, bucket.start_time, bucket.end_time, told.project_id, told.user_id, told.api_key_id, told.model,
        tier, told.size, told.source, told.context_level, told.vector_store_id, told.api_source, told.line_item,
    )  # fmt: skip
    model = told.model or ""
    currency, billed, used = "USD", None, Usage()
    if is_cost:
        if told.amount is None:
            raise ValueError("it has no amount")
        model = (told.line_item or "").partition(",")[0]
        currency, billed = told.amount.currency.upper(), nanos_of(told.amount.value)
    else:
        used = _used(told)
    calls = used.request_count
    context = _context_tokens(used) // calls if calls else 0
    cost = prices.cost("openai", model, at, tier, used, context_tokens=context)
    return UsageEvent(
        source=COSTS_SOURCE if is_cost else USAGE_SOURCE,
        event_id=ident,
        admitted_at=at,
        ended_at=bucket.end_time * MICROS_PER_SECOND,
        provider="openai",
        requested_model=name_of(model),
        answered_model=name_of(model),
        usage=used,
        list_cost_nanos=None if is_cost else cost.nanos,
        rate_card_digest="" if is_cost else cost.rate_card_digest,
        billed_cost_nanos=billed,
        currency=currency,
        service_tier=tier,
        member=name_of(told.user_id) or member,
        project=name_of(told.project_id),
        key=key_of(told.api_key_id),
        purpose=name_of(told.line_item),
    )


def _used(told: _Result) -> Usage:
    searches = told.num_requests if told.object in _COUNTED_FROM_TEXT else None
    is_file = told.object.endswith("file_searches.result")
    return Usage(
        input_tokens=fresh_input(
            told.input_tokens, told.input_cached_tokens, told.input_cache_write_tokens, told.input_audio_tokens,
            told.input_image_tokens,
        ),
        cache_read_tokens=told.input_cached_tokens,
        cache_write_5m_tokens=told.input_cache_write_tokens,
        input_audio_tokens=told.input_audio_tokens,
        input_image_tokens=told.input_image_tokens,
        output_tokens=fresh_input(told.output_tokens, told.output_audio_tokens, told.output_image_tokens),
        output_audio_tokens=told.output_audio_tokens,
        output_image_tokens=told.output_image_tokens,
        request_count=None if told.object in _COUNTED_FROM_TEXT else told.num_model_requests,
        web_search_count=None if is_file else searches,
        file_search_count=searches if is_file else None,
        image_count=told.images,
        character_count=told.characters,
        audio_second_count=told.seconds,
    )  # fmt: skip


def _context_tokens(used: Usage) -> int:
    return sum(
        count or 0
        for count in (
            used.input_tokens, used.cache_read_tokens, used.cache_write_5m_tokens, used.input_audio_tokens, used.input_image_tokens,
        )
    )  # fmt: skip
