"""Counters of limits as records tell them: what holds raised, what their ends counted. One sum for the fold and for verifying."""

import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from tokenroll.engine.limiting import counted_for
from tokenroll.model.instant import Instant
from tokenroll.model.limit import LIMIT_MEASURES, LimitMeasure
from tokenroll.store import tape
from tokenroll.store.attempt_record import METER_COUNT, LimitRaise, SettleRecord, counted, no_such_raise
from tokenroll.store.raw import RawConnection

_WRITE: Final = """
    INSERT INTO limit_counters(limit_id, start_at, used, call_count, would_deny_count, overage_count) VALUES (?,?,?,?,?,?)
    ON CONFLICT(limit_id, start_at) DO UPDATE SET used = limit_counters.used + excluded.used,
    call_count = limit_counters.call_count + excluded.call_count,
    would_deny_count = limit_counters.would_deny_count + excluded.would_deny_count,
    overage_count = limit_counters.overage_count + excluded.overage_count"""

_WRITE_USES: Final = """
    INSERT INTO limit_uses(worker, epoch, limit_id, start_at, used) VALUES (?,?,?,?,?)
    ON CONFLICT(worker, epoch, limit_id, start_at) DO UPDATE SET used = limit_uses.used + excluded.used"""


_CREDITS: Final[int] = LIMIT_MEASURES.index(LimitMeasure.CREDITS)
_CALLS: Final[int] = LIMIT_MEASURES.index(LimitMeasure.CALLS)
_MEASURE_COUNT: Final[int] = len(LIMIT_MEASURES)
_HEAD_BYTES: Final = 2
_RAISE_BYTES: Final = 24
_KIND_BYTES: Final = 16
"""Of a LIMIT_RAISE, all but its amount: the same bytes for every call that a limit counts in a window."""
_MEASURE_PLACE: Final = 4
_SIGN_PLACE: Final = 23
_SIGN: Final = 0x80
_KIND: Final = struct.Struct("<IBBHq")
"""What these bytes say: limit id, measure, flags, spare; start of the counter. A test compares them with the tape's."""


def raises_end(record: bytes, at: int) -> int:
    """Where what a hold's record says of its limits ends, whose head is at `at`. Raises TapeError for what is nothing that counts."""
    count = record[at] | record[at + 1] << 8
    at += _HEAD_BYTES
    measures = _MEASURE_COUNT
    for _ in range(count):
        if record[at + _MEASURE_PLACE] >= measures or record[at + _SIGN_PLACE] & _SIGN:
            limit_id, measure, _, _, _, amount = tape.LIMIT_RAISE.unpack_from(record, at)
            raise no_such_raise(limit_id, measure, amount)
        at += _RAISE_BYTES
    return at


class CounterValues(NamedTuple):
    """A row of `limit_counters`: used by ended and open calls, how many ended, how many were over the cap and admitted all the same."""

    used: int
    call_count: int
    would_deny_count: int
    overage_count: int


class LimitSums:
    """Changes by (limit, start of the counter)."""

    __slots__ = ("_passed", "_sums")

    def __init__(self) -> None:
        self._passed: dict[bytes, list[int]] = {}
        """What `passed` was told and is not in the sums yet: by the bytes of a raise but its amount, what was counted and how often."""
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
        count = hold[at] | hold[at + 1] << 8
        at += _HEAD_BYTES
        known, by_charge, by_call = self._passed, _CREDITS, _CALLS
        counts: tuple[int | None, ...] | None = None
        for _ in range(count):
            measure = hold[at + _MEASURE_PLACE]
            if measure == by_charge:
                amount = charge_nanos
            elif measure == by_call:
                amount = 1
            else:
                if counts is None:
                    record = settle[settle_at : settle_at + (settle[settle_at + 2] | settle[settle_at + 3] << 8)]
                    counts = tape.settle_counts(record, 0, METER_COUNT)
                amount = counted_for(LIMIT_MEASURES[measure], charge_nanos, counts)
            kind = hold[at : at + _KIND_BYTES]
            sums = known.get(kind)
            if sums is None:
                known[kind] = [amount, 1]
            else:
                sums[0] += amount
                sums[1] += 1
            at += _RAISE_BYTES

    def values(self) -> Iterator[tuple[tuple[int, Instant], CounterValues]]:
        """The sums so far."""
        self._sum_up()
        for key, sums in self._sums.items():
            yield key, CounterValues(*sums)

    def write(self, raw: RawConnection) -> None:
        """Added to the rows, inside the caller's transaction."""
        self._sum_up()
        if self._sums:
            raw.executemany(_WRITE, [(*key, *sums) for key, sums in sorted(self._sums.items())])

    def write_uses(self, raw: RawConnection, worker: int, epoch: int) -> None:
        """What of it counts against the shares of a worker's life, added to its rows."""
        rows = [(worker, epoch, *key, sums[0]) for key, sums in sorted(self._sums.items())]
        if rows:
            raw.executemany(_WRITE_USES, rows)

    def _sum_up(self) -> None:
        """What `passed` was told, put to the sums."""
        for kind, (amount, calls) in self._passed.items():
            limit_id, _, flags, _, start_at = _KIND.unpack(kind)
            sums = self._sums.setdefault((limit_id, start_at), [0, 0, 0, 0])
            sums[0] += amount
            sums[1] += calls
            if flags & tape.RAISE_WOULD_DENY:
                sums[2] += calls
            if flags & tape.RAISE_OVERAGE:
                sums[3] += calls
        self._passed.clear()

    def _of(self, one: LimitRaise) -> list[int]:
        return self._sums.setdefault((one.limit_id, one.start_at), [0, 0, 0, 0])
