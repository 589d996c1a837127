"""Recorded traces of public research as usage events: Mooncake, Qwen-Bailian, ServeGen, Azure, BurstGPT, and those that replays read.

They say when and how much, seldom which model or whose; that is told by whoever imports them, as is the instant their own clocks
begin at. Tables among them are read by their columns' names (`columns.py`), the others here, or by `traces.py` where it knows them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import Billing, UsageEvent
from tokenroll.services.importers.columns import column_events
from tokenroll.services.importers.figures import digest_of, name_of
from tokenroll.services.importers.intake import Intake, SourceError, lines_of
from tokenroll.services.importers.tables import text_lines
from tokenroll.services.list_prices import ListPrices
from tokenroll.services.traces import Rows, TraceError, read_trace

MODEL_UNTOLD: Final = "unknown"
MOONCAKE: Final = "mooncake"
BAILIAN: Final = "bailian"
AIDER: Final = "aider"
AGENT_CALLS: Final = "agent-calls"
_MILLISECOND_MICROS: Final = 1_000
_LENGTHS: Final = (b'"input_length"', b'"output_length"')


class _Line(msgspec.Struct, gc=False):
    timestamp: float
    input_length: int
    output_length: int
    hash_ids: list[int] | None = None
    chat_id: int | str | None = None
    turn: int | None = None
    type: str | None = None


_DECODER: Final = msgspec.json.Decoder(_Line)


def is_trace(head: bytes) -> bool:
    """Whether a file's first bytes look like a trace that is no table; tables are known by their columns."""
    return bool(_format(head))


def _format(head: bytes) -> str:
    if all(mark in head for mark in _LENGTHS):
        return BAILIAN if b'"chat_id"' in head else MOONCAKE
    if b'"t_ms"' in head and b'"input_tokens"' in head:
        return AGENT_CALLS
    return AIDER if b'"event"' in head and b'"main_model"' in head else ""


def trace_events(
    path: Path,
    member: str,
    prices: ListPrices,
    intake: Intake,
    *,
    model: str = MODEL_UNTOLD,
    starts_at: Instant = 0,
    head: bytes = b"",
) -> Iterator[UsageEvent]:
    """The calls of one trace. `model` is that of calls which name none, `starts_at` the instant that its clock begins at.

    `head`, the file's first bytes, spares opening it once more. Raises SourceError for a file that is no trace.
    """
    if not head:
        head = next((line for _, line in lines_of(path, Intake())), b"")
    kind = _format(head)
    if kind in {MOONCAKE, BAILIAN}:
        yield from _lengths(path, member, prices, intake, model, starts_at)
    elif kind:
        yield from _replayed(path, kind, member, prices, intake, model, starts_at)
    else:
        yield from column_events(path, member, prices, intake, model=model, starts_at=starts_at)


def _lengths(
    path: Path, member: str, prices: ListPrices, intake: Intake, model: str, starts_at: Instant
) -> Iterator[UsageEvent]:
    """Mooncake counts milliseconds, Bailian seconds and names conversations. Equal lines are different calls: neither names any."""
    origin = ""
    for number, line in lines_of(path, intake):
        if line.isspace():
            continue
        intake.row_count += 1
        origin = origin or intake.origins.of(path, digest_of(member, line), text_lines(path), intake.notes)
        try:
            told = _DECODER.decode(line)
            yield _call(told, f"{origin}:{number}", member, prices, model, starts_at)
        except (ValueError, OverflowError) as error:
            intake.is_bad(str(path), number, str(error))


def _call(told: _Line, ident: str, member: str, prices: ListPrices, model: str, starts_at: Instant) -> UsageEvent:
    is_bailian = told.chat_id is not None
    at = starts_at + round(told.timestamp * (MICROS_PER_SECOND if is_bailian else _MILLISECOND_MICROS))
    used = Usage(input_tokens=told.input_length, output_tokens=told.output_length)
    cost = prices.cost("", model, at, "standard", used)
    return UsageEvent(
        source=BAILIAN if is_bailian else MOONCAKE,
        event_id=ident,
        admitted_at=at,
        provider="",
        requested_model=model,
        usage=used,
        list_cost_nanos=cost.nanos,
        rate_card_digest=cost.rate_card_digest,
        billing=Billing.OWNED,
        member=member,
        session=name_of(str(told.chat_id)) if is_bailian else "",
        purpose=name_of(told.type),
        hashes=tuple(map(str, told.hash_ids or ())),
    )


def _replayed(
    path: Path, kind: str, member: str, prices: ListPrices, intake: Intake, model: str, starts_at: Instant
) -> Iterator[UsageEvent]:
    """What replays read, as they read it."""
    named = "" if kind == AIDER and model == MODEL_UNTOLD else model
    begin = digest_of(member, next((line for _, line in lines_of(path, Intake())), b""))
    origin = intake.origins.of(path, begin, text_lines(path), intake.notes)
    try:
        trace = read_trace(path, kind, model=named)
        for call in trace.calls:
            at = starts_at + call.at
            used = Usage(input_tokens=call.input_tokens, output_tokens=call.output_tokens)
            cost = prices.cost("", call.model, at, "standard", used)
            yield UsageEvent(
                source=kind,
                event_id=f"{origin}:{call.line}",
                admitted_at=at,
                provider="",
                requested_model=call.model,
                usage=used,
                list_cost_nanos=cost.nanos,
                rate_card_digest=cost.rate_card_digest,
                member=member or (call.session if kind == AIDER else ""),
                session=call.session,
                hashes=tuple(map(str, call.blocks)),
            )
    except TraceError as error:
        raise SourceError(str(error)) from error
    _counted(trace.rows, path, intake)


def _counted(rows: Rows, path: Path, intake: Intake) -> None:
    intake.row_count += rows.call_count + rows.bad_count + sum(rows.skipped.values())
    for reason, (count, *lines) in rows.bad.items():
        for line in lines:
            intake.is_bad(str(path), line, reason)
        intake.bad_count += count - len(lines)
    for kind, count in rows.skipped.items():
        intake.other[kind] = intake.other.get(kind, 0) + count
