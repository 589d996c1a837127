"""Recorded traces as calls: five public formats, and every row that is no call counted and named by its line.

A reader never stops at a bad row and never drops one in silence. What a trace does not say (a model, an arrival time within a
slot) is filled in by a rule that is written here and repeats itself under the same seed.
"""

import csv
import gzip
import json
import math
import random
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, TextIO

from tokenroll.model.instant import MICROS_PER_SECOND, instant_from_datetime

FORMATS: Final = ("azure", "mooncake", "servegen", "aider", "agent-calls")
NAMED_LINES_MAX: Final = 20
"""Line numbers shown per reason; all are counted."""
TOKENS_MAX: Final = 4_000_000
"""A prompt or answer above this is a broken row: no model takes it."""
SERVEGEN_LIMIT: Final = 10_000
"""Arrivals drawn when no limit is given: the trace stands for 3.8 billion."""
SERVEGEN_MODELS: Final[Mapping[str, str]] = {
    "m-small": "gpt-4o-mini",
    "m-mid": "claude-haiku-4-5",
    "deepseek-r1": "o3-mini",
}
"""The trace hides its models' names; each stands for a priced one of its class (small, middle, reasoning)."""
_SLOT_SECONDS: Final = 600
_UNPACKED_AT_ONCE_BYTES: Final = 1024 * 1024
_Z99: Final = 2.3263478740408408
"""99th percentile of the standard normal."""


class TraceError(Exception):
    """A trace that cannot be read at all: no such file, or no such format."""


class TraceDamagedError(TraceError):
    """A trace whose file is not whole, so that it is not read in part either."""


@dataclass(frozen=True, slots=True)
class TraceCall:
    """One call of a trace. `at` counts microseconds from the first call; `session` groups calls of one user or agent."""

    line: int
    at: int
    model: str
    session: str
    input_tokens: int
    output_tokens: int
    blocks: tuple[int, ...] = ()
    """Ids of prompt blocks, leading first: calls share a prompt prefix exactly as far as these agree."""
    block_tokens: int = 0


@dataclass(slots=True)
class Rows:
    """What became of a trace's rows that are no call."""

    read_count: int = 0
    call_count: int = 0
    bad: dict[str, list[int]] = field(default_factory=dict)
    """Lines that should be a call and are not, by reason: the count first, then the first line numbers."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Rows that are something else by their kind."""

    def is_bad(self, line: int, reason: str) -> None:
        """Count and name a row that should have been a call."""
        entry = self.bad.setdefault(reason, [0])
        entry[0] += 1
        if len(entry) <= NAMED_LINES_MAX:
            entry.append(line)

    def is_other(self, kind: str) -> None:
        """Count a row of another kind."""
        self.skipped[kind] = self.skipped.get(kind, 0) + 1

    @property
    def bad_count(self) -> int:
        """All bad rows."""
        return sum(entry[0] for entry in self.bad.values())

    def summary(self) -> dict[str, Any]:
        """Counts and names, for JSON and people."""
        return {
            "read_count": self.read_count,
            "call_count": self.call_count,
            "bad_count": self.bad_count,
            "bad": {
                reason: {"count": entry[0], "first_lines": entry[1:]} for reason, entry in sorted(self.bad.items())
            },
            "skipped_count": sum(self.skipped.values()),
            "skipped": dict(sorted(self.skipped.items())),
        }


@dataclass(slots=True)
class Trace:
    """Calls in order of arrival, and what became of the other rows (complete once the calls are read)."""

    calls: Iterable[TraceCall]
    rows: Rows


def read_trace(path: Path, trace_format: str, *, model: str = "", seed: int = 1, limit: int | None = None) -> Trace:
    """The calls of a trace file, gzip or not.

    `model` replaces the trace's own models, and must be given for those that carry none (azure, mooncake, agent-calls). Raises
    TraceError when the file, the format or the model is missing, and when a packed file is not whole.
    """
    if trace_format not in _READERS:
        raise TraceError(f"no trace format is called {trace_format!r}; known: {', '.join(FORMATS)}")
    if not path.is_file():
        raise TraceError(f"there is no trace file {path}")
    if not model and trace_format in {"azure", "mooncake", "agent-calls"}:
        raise TraceError(f"{trace_format} traces carry no model: name one with --model")
    _check_whole(path)
    rows = Rows()
    calls = _READERS[trace_format](_Source(path, rows, model, seed, limit))
    if limit is not None:
        calls = islice(calls, limit)
    return Trace(calls=_counted(calls, rows), rows=rows)


def _counted(calls: Iterable[TraceCall], rows: Rows) -> Iterator[TraceCall]:
    for call in calls:
        rows.call_count += 1
        yield call


@dataclass(slots=True)
class _Source:
    path: Path
    rows: Rows
    model: str
    seed: int
    limit: int | None

    def lines(self) -> Iterator[tuple[int, str]]:
        """Numbered lines without their ends. Undecodable bytes are replaced, so that only their row is bad."""
        with _opened(self.path) as stream:
            for number, text in enumerate(stream, 1):
                self.rows.read_count += 1
                yield number, text.rstrip("\r\n")

    def table(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Numbered rows of a CSV with a header, by column name."""
        header: list[str] = []
        for number, text in self.lines():
            cells = next(csv.reader([text]), [])
            if not header:
                header = cells
                self.rows.read_count -= 1
            elif len(cells) != len(header):
                self.rows.is_bad(number, f"{len(cells)} columns instead of {len(header)}" if cells else "empty line")
            else:
                yield number, dict(zip(header, cells, strict=True))

    def objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Numbered JSON objects, one a line."""
        for number, text in self.lines():
            try:
                value = json.loads(text)
            except ValueError:
                self.rows.is_bad(number, "not JSON" if text else "empty line")
                continue
            if isinstance(value, dict):
                yield number, value
            else:
                self.rows.is_bad(number, "not a JSON object")


def _is_packed(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _check_whole(path: Path) -> None:
    """Unpacked once before the first call leaves: a trace that breaks off would be found out in the middle of its replay."""
    if not _is_packed(path):
        return
    try:
        with gzip.open(path, "rb") as stream:
            while stream.read(_UNPACKED_AT_ONCE_BYTES):
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TraceDamagedError(
            f"{path} is not whole gzip ({error}), so nothing was replayed: copy it again, or unpack what is left of it"
        ) from error


def _opened(path: Path) -> TextIO:
    if _is_packed(path):
        return gzip.open(path, "rt", encoding="utf-8", errors="replace")
    return path.open(encoding="utf-8", errors="replace")


class _BadRow(ValueError):  # noqa: N818  a reason, counted and named
    """Why a row is no call."""


def _tokens(value: Any, what: str, *, least: int = 0) -> int:
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _BadRow(f"no {what} tokens" if value in {None, ""} else f"{what} tokens are not a count")
    if not least <= value <= TOKENS_MAX:
        raise _BadRow(f"{what} tokens below {least}" if value < least else f"{what} tokens above {TOKENS_MAX}")
    return value


def _each(
    source: _Source, rows: Iterable[tuple[int, Any]], call: Callable[[int, Any], TraceCall | None]
) -> Iterator[TraceCall]:
    for line, row in rows:
        try:
            made = call(line, row)
        except _BadRow as reason:
            source.rows.is_bad(line, str(reason))
            continue
        if made is not None:
            yield made


class _Clock:
    """Microseconds since the first call; a row that is earlier than one before it happens at the same moment as that one.

    Asked last for each row, so that a bad row moves nobody's time.
    """

    def __init__(self) -> None:
        self._first: int | None = None
        self._latest = 0

    def at(self, micros: int) -> int:
        if self._first is None:
            self._first = micros
        self._latest = max(self._latest, micros - self._first)
        return self._latest


def _blocks(row: Mapping[str, Any]) -> tuple[int, ...]:
    blocks = row.get("hash_ids") or []
    if not isinstance(blocks, list) or not all(isinstance(block, int) for block in blocks):
        raise _BadRow("hash_ids are not numbers")
    return tuple(blocks)


# ---- the five formats ---------------------------------------------------------------------------------------------------


def _azure(source: _Source) -> Iterator[TraceCall]:
    """TIMESTAMP,ContextTokens,GeneratedTokens: one call a row, no user and no session."""
    clock = _Clock()

    def call(line: int, row: dict[str, str]) -> TraceCall:
        text = row.get("TIMESTAMP", "")
        try:
            # Seven decimals: ticks of 100 ns, which no clock here tells apart from microseconds.
            moment = datetime.fromisoformat(text[:26]).replace(tzinfo=UTC)
        except ValueError:
            raise _BadRow("TIMESTAMP is no time") from None
        return TraceCall(
            line=line,
            input_tokens=_tokens(row.get("ContextTokens"), "input", least=1),
            output_tokens=_tokens(row.get("GeneratedTokens"), "output"),
            model=source.model,
            session="",
            at=clock.at(instant_from_datetime(moment)),
        )

    return _each(source, source.table(), call)


def _mooncake(source: _Source) -> Iterator[TraceCall]:
    """`{timestamp (ms), input_length, output_length, hash_ids}`: blocks of 512 tokens; equal first blocks are one conversation."""
    clock = _Clock()

    def call(line: int, row: dict[str, Any]) -> TraceCall:
        moment = row.get("timestamp")
        if not isinstance(moment, int):
            raise _BadRow("timestamp is no count of milliseconds")
        blocks = _blocks(row)
        return TraceCall(
            line=line,
            model=source.model,
            # Block 0 is a system prompt that many share; the block after it tells conversations apart.
            session=str(blocks[1] if len(blocks) > 1 else blocks[0] if blocks else ""),
            input_tokens=_tokens(row.get("input_length"), "input", least=1),
            output_tokens=_tokens(row.get("output_length"), "output"),
            blocks=blocks,
            block_tokens=512,
            at=clock.at(moment * 1_000),
        )

    return _each(source, source.objects(), call)


def _agent_calls(source: _Source) -> Iterator[TraceCall]:
    """`{agent, session, t_ms, input_tokens, output_tokens, hash_ids}`: full blocks of 64 tokens, sessions by agent and number.

    The file is ordered by session; calls leave in order of their time.
    """

    def call(line: int, row: dict[str, Any]) -> TraceCall:
        moment = row.get("t_ms")
        if not isinstance(moment, int):
            raise _BadRow("t_ms is no count of milliseconds")
        return TraceCall(
            line=line,
            at=moment * 1_000,
            model=source.model,
            session=f"{row.get('agent')}/{row.get('session')}",
            input_tokens=_tokens(row.get("input_tokens"), "input", least=1),
            output_tokens=_tokens(row.get("output_tokens"), "output"),
            blocks=_blocks(row),
            block_tokens=64,
        )

    found = sorted(_each(source, source.objects(), call), key=lambda one: (one.at, one.line))
    clock = _Clock()
    return (_moved(one, clock.at(one.at)) for one in found)


def _moved(call: TraceCall, at: int) -> TraceCall:
    return TraceCall(
        call.line, at, call.model, call.session, call.input_tokens, call.output_tokens, call.blocks, call.block_tokens
    )


def _aider(source: _Source) -> Iterator[TraceCall]:
    """Events of a coding tool; `message_send` is a call, every other kind is skipped by its name."""
    clock = _Clock()

    def call(line: int, row: dict[str, Any]) -> TraceCall | None:
        kind = row.get("event")
        if kind != "message_send":
            source.rows.is_other(str(kind))
            return None
        moment, model = row.get("t"), row.get("main_model")
        if not isinstance(moment, int):
            raise _BadRow("t is no count of seconds")
        if not isinstance(model, str) or model in {"", "None"}:
            raise _BadRow("no model")
        return TraceCall(
            line=line,
            # `openrouter/anthropic/claude-3.7-sonnet`: who sold it is the deployment's business
            model=source.model or model.rpartition("/")[2],
            session=str(row.get("user")),
            input_tokens=_tokens(row.get("prompt_tokens"), "input", least=1),
            output_tokens=_tokens(row.get("completion_tokens"), "output"),
            at=clock.at(moment * MICROS_PER_SECOND),
        )

    return _each(source, source.objects(), call)


# ---- servegen: slots, not calls --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Slot:
    """Ten minutes of one client: how many requests, how bursty, and how large."""

    line: int
    second: int
    model: str
    session: str
    requests: int
    cv: float
    input_mean: float
    input_p99: float
    output_mean: float
    output_p99: float


def _servegen(source: _Source) -> Iterator[TraceCall]:
    """Slots of ten minutes per client: a seeded share of their requests is drawn, over the whole length of the trace.

    The share makes `limit` calls expected in all; a row's share is rounded by chance, arrivals keep the row's burstiness (gamma
    gaps with its coefficient of variation), sizes are log-normal with the row's mean and 99th percentile. Rows without token
    sizes are bad rows: a call without a size cannot be priced.
    """
    slots = sorted(_slots(source), key=lambda one: (one.second, one.line))
    total = sum(slot.requests for slot in slots)
    wanted = source.limit if source.limit is not None else SERVEGEN_LIMIT
    share = min(1.0, wanted / total) if total else 0.0
    rng = random.Random(source.seed)  # noqa: S311  a repeatable draw, not a secret
    clock = _Clock()
    drawn: list[tuple[float, _Slot]] = []
    for index, slot in enumerate(slots):
        drawn += ((at, slot) for at in _arrivals(slot, share, rng))
        if index + 1 == len(slots) or slots[index + 1].second != slot.second:
            for at, one in sorted(drawn, key=lambda pair: (pair[0], pair[1].line)):
                yield TraceCall(
                    line=one.line,
                    at=clock.at(round(at * MICROS_PER_SECOND)),
                    model=source.model or SERVEGEN_MODELS.get(one.model, one.model),
                    session=one.session,
                    input_tokens=max(1, _size(one.input_mean, one.input_p99, rng)),
                    output_tokens=_size(one.output_mean, one.output_p99, rng),
                )
            drawn = []


def _slots(source: _Source) -> Iterator[_Slot]:
    for line, row in source.table():
        try:
            if not row["in_mean"] or not row["out_mean"]:
                source.rows.is_bad(line, "no token sizes")
                continue
            yield _Slot(
                line=line,
                second=int(row["t_s"]),
                model=row["model"],
                session=f"{row['model']}/{row['client']}",
                requests=int(row["requests"]),
                cv=float(row["cv"] or 1),
                input_mean=float(row["in_mean"]),
                input_p99=float(row["in_p99"] or row["in_mean"]),
                output_mean=float(row["out_mean"]),
                output_p99=float(row["out_p99"] or row["out_mean"]),
            )
        except (KeyError, ValueError):
            source.rows.is_bad(line, "a column is missing or no number")


def _arrivals(slot: _Slot, share: float, rng: random.Random) -> list[float]:
    expected = slot.requests * share
    count = int(expected) + (rng.random() < expected - int(expected))
    if not count:
        return []
    shape = 1 / max(slot.cv, 0.01) ** 2
    gaps = [rng.gammavariate(shape, 1.0) + 1e-12 for _ in range(count + 1)]
    scale, at, times = _SLOT_SECONDS / sum(gaps), 0.0, []
    for gap in gaps[:-1]:
        at += gap * scale
        times.append(slot.second + at)
    return times


def _size(mean: float, p99: float, rng: random.Random) -> int:
    """A log-normal draw with that mean and 99th percentile, at most twice the latter."""
    if mean <= 0:
        return 0
    ratio = math.log(max(p99, mean) / mean)
    sigma = _Z99 - math.sqrt(max(0.0, _Z99 * _Z99 - 2 * ratio))
    drawn = rng.lognormvariate(math.log(mean) - sigma * sigma / 2, sigma)
    return min(round(drawn), round(2 * p99), TOKENS_MAX)


_READERS: Final[Mapping[str, Callable[[_Source], Iterator[TraceCall]]]] = {
    "azure": _azure,
    "mooncake": _mooncake,
    "servegen": _servegen,
    "aider": _aider,
    "agent-calls": _agent_calls,
}
