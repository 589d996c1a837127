"""Counters of limits as records tell them: what holds raised, what their ends counted. One sum for the fold and for verifying."""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from tokenroll.model.instant import Instant
from tokenroll.store import tape
from tokenroll.store.attempt_record import LimitRaise, SettleRecord, counted

_WRITE: Final = """
    INSERT INTO limit_counters(limit_id, start_at, used, call_count, would_deny_count, overage_count) VALUES (?,?,?,?,?,?)
    ON CONFLICT(limit_id, start_at) DO UPDATE SET used = used + excluded.used, call_count = call_count + excluded.call_count,
    would_deny_count = would_deny_count + excluded.would_deny_count, overage_count = overage_count + excluded.overage_count"""


class CounterValues(NamedTuple):
    """A row of `limit_counters`: used by ended and open calls, how many ended, how many were over the cap and admitted all the same."""

    used: int
    call_count: int
    would_deny_count: int
    overage_count: int


class LimitSums:
    """Changes by (limit, start of the counter)."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums: dict[tuple[int, Instant], list[int]] = {}

    def opened(self, raises: Iterable[LimitRaise]) -> None:
        """A hold raised its limits by its bound."""
        for one in raises:
            sums = self._of(one)
            sums[0] += one.amount
            sums[2] += bool(one.flags & tape.RAISE_WOULD_DENY)
            sums[3] += bool(one.flags & tape.RAISE_OVERAGE)

    def ended(self, raises: Iterable[LimitRaise], settle: SettleRecord | None) -> None:
        """It ended: trued up to what it cost, or to nothing when it was released (None)."""
        for one in raises:
            sums = self._of(one)
            sums[0] += counted(one, settle) - one.amount
            sums[1] += settle is not None

    def values(self) -> Iterator[tuple[tuple[int, Instant], CounterValues]]:
        """The sums so far."""
        for key, sums in self._sums.items():
            yield key, CounterValues(*sums)

    def write(self, cursor: sqlite3.Cursor) -> None:
        """Added to the rows, inside the caller's transaction."""
        if self._sums:
            cursor.executemany(_WRITE, [(*key, *sums) for key, sums in sorted(self._sums.items())])

    def _of(self, one: LimitRaise) -> list[int]:
        return self._sums.setdefault((one.limit_id, one.start_at), [0, 0, 0, 0])
