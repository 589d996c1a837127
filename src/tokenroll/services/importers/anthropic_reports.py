"""Anthropic's reports (`usage_report/messages`, `cost_report`, `usage_report/claude_code`), as pages in files, as usage events.

A result is what one account, workspace, key and model used within a bucket of time. Costs are decimals of cents and an invoice;
the report on Claude Code has an estimate in cents, which is none. Each is a source of its own, so they stand beside each other.
"""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from tokenroll.model.instant import Instant, instant_from_text
from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import Billing, UsageEvent
from tokenroll.services.importers.figures import CENTS, Seen, digest_of, key_of, name_of, nanos_of
from tokenroll.services.importers.intake import Intake
from tokenroll.services.importers.json_values import values_of
from tokenroll.services.list_prices import ListPrices

USAGE_SOURCE: Final = "anthropic-usage"
COSTS_SOURCE: Final = "anthropic-costs"
CLAUDE_CODE_SOURCE: Final = "anthropic-claude-code"
LONG_CONTEXT: Final = "200k-1M"
LONG_TOKENS: Final = 200_001
"""The shortest input of what the report calls long."""
_MARKS: Final = (b'"uncached_input_tokens"', b'"model_breakdown"')
_COST_MARK: Final = b'"amount"'


class _CacheWrites(msgspec.Struct, gc=False):
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class _ServerTools(msgspec.Struct, gc=False):
    web_search_requests: int | None = None


class _Result(msgspec.Struct, gc=False):
    uncached_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: _CacheWrites | None = None
    output_tokens: int | None = None
    server_tool_use: _ServerTools | None = None
    account_id: str | None = None
    service_account_id: str | None = None
    api_key_id: str | None = None
    workspace_id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    context_window: str | None = None
    inference_geo: str | None = None
    speed: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    cost_type: str | None = None
    token_type: str | None = None
    description: str | None = None


class _Bucket(msgspec.Struct, gc=False):
    starting_at: str
    ending_at: str
    results: list[msgspec.Raw]


class _Page(msgspec.Struct, gc=False):
    data: list[msgspec.Raw] | None = None


class _Actor(msgspec.Struct, gc=False):
    email_address: str | None = None
    api_key_name: str | None = None


class _Cents(msgspec.Struct, gc=False):
    amount: Decimal
    currency: str = "USD"


class _Tokens(msgspec.Struct, gc=False):
    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_creation: int | None = None


class _ModelUse(msgspec.Struct, gc=False):
    model: str
    tokens: _Tokens
    estimated_cost: _Cents | None = None


class _Day(msgspec.Struct, gc=False):
    date: str
    actor: _Actor
    model_breakdown: list[msgspec.Raw]
    organization_id: str | None = None
    customer_type: str | None = None
    terminal_type: str | None = None


class _Kind(msgspec.Struct, gc=False):
    model_breakdown: list[msgspec.Raw] | None = None


_PAGE: Final = msgspec.json.Decoder(_Page)
_KIND: Final = msgspec.json.Decoder(_Kind)
_BUCKET: Final = msgspec.json.Decoder(_Bucket)
_RESULT: Final = msgspec.json.Decoder(_Result)
_DAY: Final = msgspec.json.Decoder(_Day)
_MODEL_USE: Final = msgspec.json.Decoder(_ModelUse)


def is_anthropic_report(head: bytes) -> bool:
    """Whether a file's first bytes look like such pages; an empty page is one."""
    if any(mark in head for mark in _MARKS):
        return True
    return b'"data"' in head and (b'"starting_at"' in head or b'"has_more"' in head) and b'"object"' not in head


def anthropic_report_events(path: Path, member: str, prices: ListPrices, intake: Intake) -> Iterator[UsageEvent]:
    """The results of all pages of one file, whichever of the three reports they are of, each once."""
    seen = Seen()
    for line, value in values_of(path, intake):
        try:
            data = _PAGE.decode(value).data
            parts = [_part(one) for one in ([value] if data is None else data)]
        except ValueError as error:
            intake.row_count += 1
            intake.is_bad(str(path), line, f"no page of a report: {error}")
            continue
        for part in parts:
            for raw in part.model_breakdown if isinstance(part, _Day) else part.results:
                intake.row_count += 1
                try:
                    event = _event(raw, part, member, prices)
                except (ValueError, OverflowError) as error:
                    intake.is_bad(str(path), line, str(error))
                    continue
                if seen.has(event.event_id):
                    intake.repeat_count += 1
                else:
                    yield event


def anthropic_report_spans(path: Path) -> Iterator[tuple[str, Instant, Instant]]:
    """Which spans of time the pages of a file are about, also those in which nothing was used; the source is empty where none says it."""
    for _, value in values_of(path, Intake()):
        source = USAGE_SOURCE if _MARKS[0] in value else COSTS_SOURCE if _COST_MARK in value else ""
        try:
            data = _PAGE.decode(value).data
            parts = [_part(one) for one in ([value] if data is None else data)]
            spans = [
                (instant_from_text(one.starting_at), instant_from_text(one.ending_at))
                for one in parts
                if isinstance(one, _Bucket)
            ]
        except ValueError:
            continue  # a bad row, which whoever reads the results counts
        for at, until in spans:
            yield source, at, until


def _part(raw: bytes | msgspec.Raw) -> _Bucket | _Day:
    return _BUCKET.decode(raw) if _KIND.decode(raw).model_breakdown is None else _DAY.decode(raw)


def _event(raw: msgspec.Raw, part: _Bucket | _Day, member: str, prices: ListPrices) -> UsageEvent:
    if isinstance(part, _Day):
        return _claude_code(_MODEL_USE.decode(raw), part, member, prices)
    told = _RESULT.decode(raw)
    at, until = instant_from_text(part.starting_at), instant_from_text(part.ending_at)
    return (
        _usage(told, at, until, member, prices) if told.amount is None else _cost(told, told.amount, at, until, member)
    )


def _usage(told: _Result, at: Instant, until: Instant, member: str, prices: ListPrices) -> UsageEvent:
    model, tier = told.model or "", told.service_tier or "standard"
    writes = told.cache_creation
    used = Usage(
        input_tokens=told.uncached_input_tokens,
        cache_read_tokens=told.cache_read_input_tokens,
        cache_write_5m_tokens=writes.ephemeral_5m_input_tokens if writes else None,
        cache_write_1h_tokens=writes.ephemeral_1h_input_tokens if writes else None,
        output_tokens=told.output_tokens,
        web_search_count=told.server_tool_use.web_search_requests if told.server_tool_use else None,
    )
    context = LONG_TOKENS if told.context_window == LONG_CONTEXT else 0
    cost = prices.cost("anthropic", model, at, tier, used, context_tokens=context)
    who = told.account_id or told.service_account_id
    return UsageEvent(
        source=USAGE_SOURCE,
        event_id=digest_of(
            at, until, who, told.api_key_id, told.workspace_id, model, tier, told.context_window, told.inference_geo, told.speed
        ),
        admitted_at=at,
        ended_at=until,
        provider="anthropic",
        requested_model=name_of(model),
        answered_model=name_of(model),
        usage=used,
        list_cost_nanos=cost.nanos,
        rate_card_digest=cost.rate_card_digest,
        service_tier=tier,
        member=name_of(who) or member,
        project=name_of(told.workspace_id),
        key=key_of(told.api_key_id),
        tags=("fast",) if told.speed == "fast" else (),
    )  # fmt: skip


def _cost(told: _Result, amount: Decimal, at: Instant, until: Instant, member: str) -> UsageEvent:
    return UsageEvent(
        source=COSTS_SOURCE,
        event_id=digest_of(
            at, until, told.workspace_id, told.description, told.cost_type, told.token_type, told.model,
            told.service_tier, told.context_window, told.inference_geo,
        ),
        admitted_at=at,
        ended_at=until,
        provider="anthropic",
        requested_model=name_of(told.model),
        answered_model=name_of(told.model),
        usage=Usage(),
        billed_cost_nanos=nanos_of(amount, CENTS),
        currency=(told.currency or "USD").upper(),
        service_tier=told.service_tier or "standard",
        member=member,
        project=name_of(told.workspace_id),
        purpose=name_of(told.description),
    )  # fmt: skip


def _claude_code(told: _ModelUse, day: _Day, member: str, prices: ListPrices) -> UsageEvent:
    at = instant_from_text(day.date if "T" in day.date else day.date + "T00:00:00Z")
    tokens, actor = told.tokens, day.actor
    used = Usage(
        input_tokens=tokens.input,
        cache_read_tokens=tokens.cache_read,
        cache_write_5m_tokens=tokens.cache_creation,
        output_tokens=tokens.output,
    )
    cost = prices.cost("anthropic", told.model, at, "standard", used, context_tokens=0)
    listed = cost.nanos
    if listed is None and told.estimated_cost is not None:
        listed = nanos_of(told.estimated_cost.amount, CENTS)
    who = actor.email_address or actor.api_key_name
    return UsageEvent(
        source=CLAUDE_CODE_SOURCE,
        event_id=digest_of(at, who, day.organization_id, day.customer_type, day.terminal_type, told.model),
        admitted_at=at,
        provider="anthropic",
        requested_model=name_of(told.model),
        answered_model=name_of(told.model),
        usage=used,
        list_cost_nanos=listed,
        rate_card_digest=cost.rate_card_digest,
        billing=Billing.SEAT if day.customer_type == "subscription" else Billing.METERED,
        member=name_of(actor.email_address) or member,
        key="" if actor.email_address else key_of(actor.api_key_name),
    )
