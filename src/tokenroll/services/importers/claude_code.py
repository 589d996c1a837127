"""Claude Code's own logs (`~/.claude/projects/PROJECT/SESSION.jsonl`) as usage events.

A line per message; only those of the assistant carry usage. While an answer streams, and when a session is resumed or branched, the
same message is written again: message id and request id name a call, and of its lines the one with the most model tokens is the
whole of it. What a subscription pays is not in these logs, so their billing is `seat` and their cost is the list price.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from tokenroll.model.instant import Instant, instant_from_text
from tokenroll.model.usage import Usage, model_tokens
from tokenroll.model.usage_event import Billing, UsageEvent, printable
from tokenroll.services.importers.intake import Intake, lines_of
from tokenroll.services.list_prices import ListPrices

SOURCE: Final = "claude-code"
_MARK: Final = b'"usage":'
_SYNTHETIC: Final = "<synthetic>"
"""The model of messages that the program itself wrote: no provider was asked."""


_TIERS: Final = frozenset({"standard", "priority", "batch"})


class _CacheWrites(msgspec.Struct, gc=False):
    ephemeral_5m_input_tokens: int = 0
    ephemeral_1h_input_tokens: int = 0


class _ServerTools(msgspec.Struct, gc=False):
    web_search_requests: int = 0
    web_fetch_requests: int = 0


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: _CacheWrites | None = None
    server_tool_use: _ServerTools | None = None
    service_tier: str | None = None
    speed: str | None = None


class _Message(msgspec.Struct, gc=False):
    usage: _Usage
    model: str | None = None
    id: str | None = None
    stop_reason: str | None = None


class _Line(msgspec.Struct, gc=False):
    timestamp: str
    message: _Message
    sessionId: str | None = None  # noqa: N815  the log's own spelling
    requestId: str | None = None  # noqa: N815
    cwd: str | None = None
    isSidechain: bool | None = None  # noqa: N815
    isApiErrorMessage: bool | None = None  # noqa: N815


_DECODER: Final = msgspec.json.Decoder(_Line)


def is_claude_code(head: bytes) -> bool:
    """Whether a file's first bytes look like such a log."""
    return b'"sessionId"' in head or (b'"message":{' in head and b'"type":"event_msg"' not in head)


def claude_code_events(path: Path, member: str, prices: ListPrices, intake: Intake) -> Iterator[UsageEvent]:
    """The calls of one log, each once."""
    project = printable(_project(path))
    kept: dict[str, UsageEvent] = {}
    for number, line in lines_of(path, intake):
        intake.row_count += 1
        if line.find(_MARK) < 0:
            intake.is_other("lines without usage")
            continue
        try:
            told = _DECODER.decode(line)
            event = _event(told, path, number, member, project, prices)
        except (ValueError, OverflowError) as error:
            if b'"usage":null' in line or b'"message"' not in line:
                intake.is_other("lines without usage")
            else:
                intake.is_bad(str(path), number, str(error))
            continue
        if event is None:
            intake.is_other("lines that asked no provider")
            continue
        before = kept.get(event.event_id)
        if before is not None:
            intake.repeat_count += 1
            if model_tokens(event.usage.counts) <= model_tokens(before.usage.counts):
                continue
            event = replace(event, admitted_at=before.admitted_at)
        kept[event.event_id] = event
    yield from kept.values()


def _event(told: _Line, path: Path, number: int, member: str, project: str, prices: ListPrices) -> UsageEvent | None:
    message, usage = told.message, told.message.usage
    model = message.model or ""
    if not model or model == _SYNTHETIC or told.isApiErrorMessage:
        return None
    writes = usage.cache_creation
    tools = usage.server_tool_use
    tier = usage.service_tier if usage.service_tier in _TIERS else "standard"
    session = told.sessionId or printable(path.stem)
    at = _instant(told.timestamp)
    used = Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cache_read_input_tokens,
        cache_write_5m_tokens=writes.ephemeral_5m_input_tokens if writes else usage.cache_creation_input_tokens,
        cache_write_1h_tokens=writes.ephemeral_1h_input_tokens if writes else None,
        output_tokens=usage.output_tokens,
        web_search_count=tools.web_search_requests if tools else None,
        web_fetch_count=tools.web_fetch_requests if tools else None,
    )
    cost = prices.cost("anthropic", model, at, tier, used)
    return UsageEvent(
        source=SOURCE,
        event_id=f"{message.id}:{told.requestId or ''}" if message.id else f"{session}:{number}",
        admitted_at=at,
        provider="anthropic",
        requested_model=model,
        answered_model=model,
        usage=used,
        list_cost_nanos=cost.nanos,
        rate_card_digest=cost.rate_card_digest,
        billing=Billing.SEAT,
        service_tier=tier,
        member=member,
        project=_last_part(told.cwd) if told.cwd else project,
        session=session,
        finish=message.stop_reason or "",
        tags=("fast",) if usage.speed == "fast" else (),
    )


def _instant(timestamp: str) -> Instant:
    """The instant of a line; its text is not repeated in what is said of a bad one, because it may be anything."""
    try:
        return instant_from_text(timestamp)
    except ValueError:
        message = "timestamp is no RFC 3339 time with a zone"
        raise ValueError(message) from None


def _project(path: Path) -> str:
    """The folder below `projects`, which is spelt like the working folder with every slash a dash."""
    parts = path.parts
    if "projects" in parts[:-1]:
        return parts[parts.index("projects") + 1].removesuffix(".jsonl")
    return path.parent.name


def _last_part(folder: str) -> str:
    return folder.replace("\\", "/").rstrip("/").rpartition("/")[2] or folder
