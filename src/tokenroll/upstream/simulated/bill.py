"""The simulated provider's bill: one JSON line per attempt, written before the first answer byte leaves.

An attempt whose end is not known yet gets a line with status `open` first and a final one later; the last line of a
attempt is the one that counts.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

OPEN: Final = "open"
COMPLETE: Final = "complete"
ABORTED: Final = "aborted"
CUT: Final = "cut"


class Line(msgspec.Struct, frozen=True):
    """One attempt as billed. `at` is in microseconds since 1970, `cost_nanos` in billionths of a USD."""

    call_id: str
    attempt: int
    request_id: str
    provider: str
    model: str
    service_tier: str
    at: int
    usage: Mapping[str, int]
    """Disjoint counts by kind: input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, web_search."""
    status: str
    cost_nanos: int


class Bill:
    """Lines in memory by request id, and in a file when there is one."""

    def __init__(self, path: Path | None) -> None:
        self._lines: dict[str, Line] = {}
        self._descriptor = -1
        self._encode = msgspec.json.Encoder().encode
        if path is not None:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, line: Line) -> None:
        """The line handed to the kernel: from here on it survives the provider's own death."""
        self._lines[line.request_id] = line
        if self._descriptor >= 0:
            os.write(self._descriptor, self._encode(line) + b"\n")

    def lines(self) -> list[Line]:
        """The last line of every attempt, in the order of their first."""
        return list(self._lines.values())

    def text(self) -> bytes:
        """The lines that count as JSON lines."""
        return b"".join([self._encode(line) + b"\n" for line in self.lines()])

    def clear(self) -> None:
        """Start an empty bill in memory; the file keeps what it has."""
        self._lines.clear()

    def close(self) -> None:
        """Give the file back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def final_lines(texts: Iterable[bytes | str]) -> list[Line]:
    """The lines that count: the last one of each attempt (request id, call id, arrival). Raises msgspec.MsgspecError for a line that is no bill line."""
    decode = msgspec.json.Decoder(Line).decode
    last: dict[tuple[str, str, int, int], Line] = {}
    for text in texts:
        if text.strip():
            line = decode(text)
            last[line.request_id, line.call_id, line.attempt, line.at] = line
    return list(last.values())


def totals(lines: Iterable[Line]) -> dict[str, Any]:
    """Counts and sums of a bill, for people and for reconciliation."""
    usage: dict[str, int] = {}
    statuses: dict[str, int] = {}
    count = cost = 0
    for line in lines:
        count += 1
        cost += line.cost_nanos
        statuses[line.status] = statuses.get(line.status, 0) + 1
        for kind, tokens in line.usage.items():
            usage[kind] = usage.get(kind, 0) + tokens
    return {"attempts": count, "cost_nanos": cost, "statuses": statuses, "usage": usage}
