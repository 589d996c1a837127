"""Codex's own logs (`~/.codex/sessions/…/rollout-….jsonl`) as usage events.

A `turn_context` line says the model of what follows; a `token_count` line says what the last call used and what the session used in
all. Cached tokens are part of the input there and reasoning is part of the output; here both stand apart. A forked session repeats
the counts of the one it came from: the same instant, model and counts name one call. A subagent's log begins with its parent's
counts, all written within one second, which are the parent's.
"""

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from tokenroll.model.instant import instant_from_text
from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import Billing, UsageEvent, printable
from tokenroll.services.importers.intake import Intake, lines_of
from tokenroll.services.list_prices import ListPrices

SOURCE: Final = "codex"
MODEL_UNTOLD: Final = "gpt-5"
"""Logs of before September 2025 name no model; the program's default then was this one."""
_MARKS: Final = (b'"token_count"', b'"turn_context"', b'"session_meta"')
_SECOND_CHARACTERS: Final = len("2026-05-13T09:00:00")
_SUBAGENT: Final = b"thread_spawn"
_HEAD_BYTES: Final = 16 * 1024


class _Counts(msgspec.Struct, gc=False):
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0

    def less(self, before: "_Counts | None") -> "_Counts":
        """What was used since; a session that starts anew counts from nothing."""
        if before is None or before.input_tokens > self.input_tokens or before.output_tokens > self.output_tokens:
            return self
        return _Counts(
            self.input_tokens - before.input_tokens,
            max(0, self.cached_input_tokens - before.cached_input_tokens),
            self.output_tokens - before.output_tokens,
            max(0, self.reasoning_output_tokens - before.reasoning_output_tokens),
        )


class _Info(msgspec.Struct, gc=False):
    last_token_usage: _Counts | None = None
    total_token_usage: _Counts | None = None
    model: str | None = None


class _Payload(msgspec.Struct, gc=False):
    type: str | None = None
    model: str | None = None
    info: _Info | None = None
    cwd: str | None = None
    id: str | None = None


class _Line(msgspec.Struct, gc=False):
    type: str = ""
    timestamp: str = ""
    payload: _Payload | None = None


_DECODER: Final = msgspec.json.Decoder(_Line)


def is_codex(head: bytes) -> bool:
    """Whether a file's first bytes look like such a log."""
    return any(mark in head for mark in _MARKS) or b'"type":"event_msg"' in head


def codex_events(path: Path, member: str, prices: ListPrices, intake: Intake) -> Iterator[UsageEvent]:
    """The calls of one log, each once."""
    reader = _Session(path, member, prices)
    seen: set[str] = set()
    replayed = _replayed_second(path)
    for number, line in lines_of(path, intake):
        intake.row_count += 1
        if not any(line.find(mark) >= 0 for mark in _MARKS):
            intake.is_other("lines without usage")
            continue
        try:
            told = _DECODER.decode(line)
            if replayed and _is_count(told) and told.timestamp[:_SECOND_CHARACTERS] == replayed:
                reader.skip(told)
                intake.is_other("a parent's counts, repeated")
                continue
            event = reader.event(told)
        except (ValueError, OverflowError) as error:
            intake.is_bad(str(path), number, str(error))
            continue
        if event is None:
            intake.is_other("lines without usage")
        elif event.event_id in seen:
            intake.repeat_count += 1
        else:
            seen.add(event.event_id)
            yield event


class _Session:
    """What the lines before said: the model, the folder, the totals so far."""

    def __init__(self, path: Path, member: str, prices: ListPrices) -> None:
        self.member = member
        self.prices = prices
        self.session = printable(path.stem)
        self.project = printable(path.parent.name)
        self.model = ""
        self.totals: _Counts | None = None

    def skip(self, told: _Line) -> None:
        if told.payload is not None and told.payload.info is not None:
            self.totals = told.payload.info.total_token_usage or self.totals

    def event(self, told: _Line) -> UsageEvent | None:
        payload = told.payload
        if payload is None:
            return None
        if told.type in {"turn_context", "session_meta"}:
            self.model = payload.model or self.model
            self.session = payload.id or self.session
            if payload.cwd:
                self.project = payload.cwd.replace("\\", "/").rstrip("/").rpartition("/")[2] or payload.cwd
            return None
        if not _is_count(told) or payload.info is None:
            return None
        counts = self._counts(payload.info)
        if counts is None or not (counts.input_tokens or counts.output_tokens):
            return None
        return self._made(told.timestamp, payload.info.model or payload.model or self.model or MODEL_UNTOLD, counts)

    def _counts(self, info: _Info) -> _Counts | None:
        total = info.total_token_usage
        counts = info.last_token_usage or (total.less(self.totals) if total else None)
        self.totals = total or self.totals
        return counts

    def _made(self, timestamp: str, model: str, counts: _Counts) -> UsageEvent:
        cached = min(counts.cached_input_tokens, counts.input_tokens)
        reasoning = min(counts.reasoning_output_tokens, counts.output_tokens)
        named = f"{timestamp} {model} {counts.input_tokens} {cached} {counts.output_tokens} {reasoning}"
        at = instant_from_text(timestamp)
        used = Usage(
            input_tokens=counts.input_tokens - cached,
            cache_read_tokens=cached,
            output_tokens=counts.output_tokens - reasoning,
            reasoning_tokens=reasoning,
        )
        cost = self.prices.cost("openai", model, at, "standard", used)
        return UsageEvent(
            source=SOURCE,
            event_id=blake2b(named.encode(), digest_size=12).hexdigest(),
            admitted_at=at,
            provider="openai",
            requested_model=model,
            answered_model=model,
            usage=used,
            list_cost_nanos=cost.nanos,
            rate_card_digest=cost.rate_card_digest,
            billing=Billing.SEAT,
            member=self.member,
            project=self.project,
            session=self.session,
        )


def _is_count(told: _Line) -> bool:
    return told.type == "event_msg" and told.payload is not None and told.payload.type == "token_count"


def _replayed_second(path: Path) -> str:
    """The second in which a subagent's log repeats its parent's counts; empty where it repeats none."""
    intake = Intake()
    first = ""
    for number, line in lines_of(path, intake):
        if number == 1 and line[:_HEAD_BYTES].find(_SUBAGENT) < 0:
            return ""
        if line.find(_MARKS[0]) < 0:
            continue
        try:
            told = _DECODER.decode(line)
        except ValueError:
            continue
        second = told.timestamp[:_SECOND_CHARACTERS]
        if first:
            return first if second == first else ""
        first = second
    return ""
