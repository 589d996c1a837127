"""Counters of limits as records tell them: what holds raised, what their ends counted. One sum for the fold and for verifying."""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from tokenroll.engine.limiting import counted_for
from tokenroll.model.instant import Instant
from tokenroll.model.limit import LIMIT_MEASURES, LimitMeasure
from tokenroll.store import tape
from tokenroll.store.attempt_record import METER_COUNT, LimitRaise, SettleRecord, counted, no_such_raise

_WRITE: Final = """
    INSERT INTO limit_counters(limit_id, start_at, used, call_count, would_deny_count, overage_count) VALUES (?,?,?,?,?,?)
    ON CONFLICT(limit_id, start_at) DO UPDATE SET used = used + excluded.used, call_count = call_count + excluded.call_count,
    would_deny_count = would_deny_count + excluded.would_deny_count, overage_count = overage_count + excluded.overage_count"""


_CREDITS: Final = LIMIT_MEASURES.index(LimitMeasure.CREDITS)
_CALLS: Final = LIMIT_MEASURES.index(LimitMeasure.CALLS)


def raises_end(record: bytes, at: int) -> int:
    """Where what a hold's record says of its limits ends, whose head is at `at`. Raises TapeError for what is nothing that counts."""
    (count,) = tape.LIMITS_HEAD.unpack_from(record, at)
    at += tape.LIMITS_HEAD.size
    for _ in range(count):
        limit_id, measure, _, _, _, amount = tape.LIMIT_RAISE.unpack_from(record, at)
        if measure >= len(LIMIT_MEASURES) or amount < 0:
            raise no_such_raise(limit_id, measure, amount)
        at += tape.LIMIT_RAISE.size
    return at


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

    def passed(self, hold: bytes, at: int, charge_nanos: int, settle: bytes, settle_at: int) -> None:
        """The same for a hold that began and settled in one go, whose record's limits, at `at`, `raises_end` has found well."""
        (count,) = tape.LIMITS_HEAD.unpack_from(hold, at)
        at += tape.LIMITS_HEAD.size
        for _ in range(count):
            limit_id, measure, flags, _, start_at, _ = tape.LIMIT_RAISE.unpack_from(hold, at)
            at += tape.LIMIT_RAISE.size
            key = (limit_id, start_at)
            sums = self._sums.get(key)
            if sums is None:
                sums = self._sums[key] = [0, 0, 0, 0]
            if measure == _CREDITS:
                sums[0] += charge_nanos
            elif measure == _CALLS:
                sums[0] += 1
            else:
                counts = tape.unpack_counts(settle, settle_at + tape.SETTLE.size, METER_COUNT, settle[settle_at + 1])
                sums[0] += counted_for(LIMIT_MEASURES[measure], charge_nanos, counts)
            sums[1] += 1
            if flags:
                sums[2] += bool(flags & tape.RAISE_WOULD_DENY)
                sums[3] += bool(flags & tape.RAISE_OVERAGE)

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
