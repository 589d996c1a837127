"""Calls that went through our gateway and are told by a client's own log once more: found by their counts and their time.

No log names our call ids. But two calls with the same number of model tokens in, read from caches and out, of which the second ended
while the first was under way, are one: counts of thousands agree by chance about as often as two people type the same page.
"""

import os
import tempfile
from collections import defaultdict
from typing import IO, Any, Final, NamedTuple, TypeAlias

import msgspec

from tokenroll.model.instant import HOUR_MICROS, MICROS_PER_SECOND, Instant
from tokenroll.model.limits import LAKE_OVERLAPS_HELD_MAX
from tokenroll.model.usage import fresh_input_tokens, output_tokens
from tokenroll.model.usage_event import GATEWAY, UsageEvent
from tokenroll.store.lake import Lake
from tokenroll.store.lake_files import lake_engine, show_rows
from tokenroll.store.lake_libraries import arrow, arrow_compute
from tokenroll.store.lake_schema import COUNTS, USAGE

BEFORE_MICROS: Final = 5 * MICROS_PER_SECOND
"""How much earlier than the gateway's admission a client's clock may say that the call was."""
AFTER_MICROS: Final = 120 * MICROS_PER_SECOND
"""How much later than its end: a client writes its log when it is done with the answer."""
TOKENS_MIN: Final = 200
"""Smaller calls look like each other: they are never taken for one."""
DAYS_HELD_MIN: Final = 3
"""Days in memory at least: a call at midnight is looked for on either side of it."""
_DAY_MICROS: Final = 24 * HOUR_MICROS
_ROWS: Final = f"SELECT admitted_at, ended_at, {', '.join(COUNTS)} FROM usage WHERE source = ?"  # noqa: S608  names of columns


class _Counts(NamedTuple):
    fresh: int
    read: int
    out: int


_Calls: TypeAlias = dict[_Counts, list[tuple[Instant, Instant]]]


class Overlaps:
    """The gateway's calls of the days that are asked about; each is found once, so that two equal calls are two."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._days: dict[int, _Calls] = {}
        """Those asked about last; the others lie beside the lake, without the calls that are taken."""
        self._sizes: dict[int, int] = {}
        self._aside: dict[int, int] = {}
        self._file: IO[bytes] | None = None

    def take(self, event: UsageEvent) -> bool:
        """Whether this is a call of the gateway that nobody took yet; then it is taken."""
        return event.source != GATEWAY and self._take(event.admitted_at, event.usage.counts)

    def kept(self, rows: Any) -> Any:
        """The rows of an Arrow table without the gateway's calls; each of those is taken once."""
        days = arrow_compute().unique(arrow_compute().divide(rows.column("admitted_at"), _DAY_MICROS)).to_pylist()
        if not any(self._of(near) for day in days for near in (day - 1, day, day + 1)):
            return rows
        columns = [rows.column(name).to_pylist() if name in rows.column_names else None for name in COUNTS]
        stays = [True] * rows.num_rows
        instants = rows.column("admitted_at").to_pylist()
        for place in sorted(range(rows.num_rows), key=instants.__getitem__):  # day after day, since few are in memory
            stays[place] = not self._take(
                instants[place], tuple(column[place] if column else None for column in columns)
            )
        return rows.filter(arrow().array(stays))

    def _take(self, at: Instant, told: tuple[int | None, ...]) -> bool:
        counts = _counts(told)
        if sum(counts) < TOKENS_MIN or not counts.out:
            return False
        day = at // _DAY_MICROS
        for near in (day, day - 1, (at + BEFORE_MICROS) // _DAY_MICROS):
            calls = self._of(near).get(counts, [])
            for place, (admitted_at, ended_at) in enumerate(calls):
                if admitted_at - BEFORE_MICROS <= at <= ended_at + AFTER_MICROS:
                    del calls[place]
                    return True
        return False

    def _of(self, day: int) -> "_Calls":
        known = self._days.pop(day, None)
        if known is not None:
            self._days[day] = known
            return known
        known = self._taken_back(day) if day in self._aside else self._read(day)
        self._days[day] = known
        self._sizes[day] = sum(map(len, known.values()))
        while len(self._days) > DAYS_HELD_MIN and sum(self._sizes.values()) > LAKE_OVERLAPS_HELD_MAX:
            self._put(next(iter(self._days)))
        return known

    def close(self) -> None:
        """What lies beside the lake is gone."""
        if self._file is not None:
            self._file.close()

    def _put(self, day: int) -> None:
        """A day out of memory: what is left of it is written, behind what was written before."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._lake.directory)  # noqa: SIM115 - it is closed by `close`
        del self._sizes[day]
        self._aside[day] = self._file.seek(0, os.SEEK_END)
        packed = msgspec.msgpack.encode(
            [(*counts, at, until) for counts, calls in self._days.pop(day).items() for at, until in calls]
        )
        self._file.write(len(packed).to_bytes(8, "big") + packed)

    def _taken_back(self, day: int) -> "_Calls":
        assert self._file is not None
        self._file.seek(self._aside[day])
        packed = self._file.read(int.from_bytes(self._file.read(8), "big"))
        found: _Calls = defaultdict(list)
        for fresh, read, out, at, until in msgspec.msgpack.decode(packed, type=list[tuple[int, int, int, int, int]]):
            found[_Counts(fresh, read, out)].append((at, until))
        return found

    def _read(self, day: int) -> "_Calls":
        found: _Calls = defaultdict(list)
        start = day * _DAY_MICROS
        files = [
            one
            for one in self._lake.manifest.of_kind(USAGE)
            if one.admitted_from_at < start + _DAY_MICROS and one.admitted_last_at >= start
        ]
        if files:
            with lake_engine(self._lake.directory) as engine:
                show_rows(engine, self._lake.directory, files)
                for admitted_at, ended_at, *counts in engine.execute(_ROWS, [GATEWAY]).fetchall():
                    found[_counts(tuple(counts))].append((admitted_at, ended_at or admitted_at))
        return found


def _counts(counts: tuple[int | None, ...]) -> _Counts:
    return _Counts(fresh_input_tokens(counts), counts[1] or 0, output_tokens(counts))
