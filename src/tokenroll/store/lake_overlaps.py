"""Calls that went through our gateway and are told by a client's own log once more: found by their counts and their time.

No log names our call ids. But two calls with the same number of model tokens in, read from caches and out, of which the second ended
while the first was under way, are one: counts of thousands agree by chance about as often as two people type the same page.
"""

from collections import defaultdict
from typing import Any, Final, NamedTuple

from tokenroll.model.instant import HOUR_MICROS, MICROS_PER_SECOND, Instant
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
_DAY_MICROS: Final = 24 * HOUR_MICROS
_ROWS: Final = f"SELECT admitted_at, ended_at, {', '.join(COUNTS)} FROM usage WHERE source = ?"  # noqa: S608  names of columns


class _Counts(NamedTuple):
    fresh: int
    read: int
    out: int


class Overlaps:
    """The gateway's calls of the days that are asked about; each is found once, so that two equal calls are two."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._days: dict[int, dict[_Counts, list[tuple[Instant, Instant]]]] = {}

    def take(self, event: UsageEvent) -> bool:
        """Whether this is a call of the gateway that nobody took yet; then it is taken."""
        return event.source != GATEWAY and self._take(event.admitted_at, event.usage.counts)

    def kept(self, rows: Any) -> Any:
        """The rows of an Arrow table without the gateway's calls; each of those is taken once."""
        days = arrow_compute().unique(arrow_compute().divide(rows.column("admitted_at"), _DAY_MICROS)).to_pylist()
        if not any(self._of(near) for day in days for near in (day - 1, day, day + 1)):
            return rows
        columns = [rows.column(name).to_pylist() if name in rows.column_names else None for name in COUNTS]
        stays = [
            not self._take(at, tuple(column[place] if column else None for column in columns))
            for place, at in enumerate(rows.column("admitted_at").to_pylist())
        ]
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

    def _of(self, day: int) -> dict[_Counts, list[tuple[Instant, Instant]]]:
        known = self._days.get(day)
        if known is not None:
            return known
        found: dict[_Counts, list[tuple[Instant, Instant]]] = defaultdict(list)
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
        self._days[day] = found
        return found


def _counts(counts: tuple[int | None, ...]) -> _Counts:
    return _Counts(fresh_input_tokens(counts), counts[1] or 0, output_tokens(counts))
