"""Verifying usage roll-ups: days against the settlements, and each finer grain against the next.

A ledger has as many sums by minute as it has busy minutes, more than memory holds; so the settlements are summed by day, with the moment of
each day: every sum times its minute. A minute that lost what another gained leaves the day right and its moment wrong.
"""

from collections.abc import Callable, Iterator
from itertools import groupby, pairwise
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, func, select

from tokenroll.model.instant import MICROS_PER_SECOND, Instant, text_from_instant
from tokenroll.model.rate_card import RateCard
from tokenroll.store import schema
from tokenroll.store.attempt_record import AttemptRecord
from tokenroll.store.usage_rollups import (
    GRAINS_SECONDS,
    MINUTE_SECONDS,
    UsageLabel,
    UsageSum,
    UsageSums,
    floored,
    labels_by_id,
    unpacked,
)

Differs = Callable[[str, str], None]
_MINUTES_KEPT: Final = 20_000
_ROWS_PER_FETCH: Final = 2_000
_DAY_SECONDS: Final = GRAINS_SECONDS[-1]


class _Day:
    """The sum of a day, and its moment."""

    __slots__ = ("moment", "sum")

    def __init__(self) -> None:
        self.sum = UsageSum()
        self.moment = 0

    def add_minute(self, start_at: Instant, one: UsageSum) -> None:
        self.sum.add_sum(one)
        minute = start_at // (MINUTE_SECONDS * MICROS_PER_SECOND)
        self.moment += minute * (one.call_count + one.charge_nanos + sum(map(sum, one.parts.values())))

    def said(self) -> tuple[object, ...]:
        return (*_said(self.sum), self.moment)


class UsageReplay:
    """The settlements up to the mark, summed again."""

    def __init__(
        self, name_of: Callable[[int, int, int], str], card_of: Callable[[int], RateCard | None]
    ) -> None:  # fmt: skip
        self._sums = UsageSums(name_of, card_of)
        self._days: dict[tuple[Instant, UsageLabel], _Day] = {}

    def add(self, hold_number: int, attempt: AttemptRecord) -> None:
        """One settlement more."""
        self._sums.add(hold_number, attempt)
        if len(self._sums.sums) > _MINUTES_KEPT:
            self._into_days()

    def _into_days(self) -> None:
        for (start_at, label), one in self._sums.sums.items():
            day = self._days.setdefault((floored(start_at, _DAY_SECONDS), label), _Day())
            day.add_minute(start_at, one)
        self._sums.sums.clear()

    def check(self, connection: Connection, differs: Differs) -> int:
        """Every stored sum; how many there are. What was added is used up."""
        self._into_days()
        labels = labels_by_id(connection)
        stored: dict[tuple[Instant, int], _Day] = {}
        for row in _rows(connection, MINUTE_SECONDS):
            day = stored.setdefault((floored(row.start_at, _DAY_SECONDS), row.label_id), _Day())
            day.add_minute(row.start_at, _sum(row))
        for (start_at, label_id), day in stored.items():
            label = labels.get(label_id)
            replayed = self._days.pop((start_at, label), None) if label else None
            if replayed is None or replayed.said() != day.said():
                found = replayed and replayed.said()
                differs(
                    "usage rollup",
                    f"{_named(start_at, label)} is rolled up to {day.said()}; the settlements give {found}",
                )
        for (start_at, label), day in self._days.items():
            differs(
                "usage rollup", f"{_named(start_at, label)} is not rolled up; the settlements give {day.said()}"
            )  # fmt: skip
        for finer, seconds in pairwise(GRAINS_SECONDS):
            _check_grain(connection, finer, seconds, differs)
        return connection.scalar(select(func.count()).select_from(schema.usage_rollups)) or 0


def _check_grain(connection: Connection, finer: int, seconds: int, differs: Differs) -> None:
    """The rows of one grain against those of the next finer one."""
    rows = schema.usage_rollups
    spans = groupby(_rows(connection, finer), lambda row: floored(row.start_at, seconds))
    seen = 0
    for start_at, finer_rows in spans:
        wanted: dict[int, UsageSum] = {}
        for row in finer_rows:
            wanted.setdefault(row.label_id, UsageSum()).add_sum(_sum(row))
        where = (rows.c.grain_seconds == seconds) & (rows.c.start_at == start_at)
        found = {row.label_id: _said(_sum(row)) for row in connection.execute(select(rows).where(where))}
        seen += len(found)
        for label_id in sorted(found.keys() | wanted.keys()):
            said = _said(wanted[label_id]) if label_id in wanted else None
            if found.get(label_id) != said:
                differs(
                    "usage rollup", f"label {label_id} in the {seconds} s from {text_from_instant(start_at)} is rolled up to "
                    f"{found.get(label_id)}; its parts of {finer} s give {said}",
                )  # fmt: skip
    count = connection.scalar(select(func.count()).select_from(rows).where(rows.c.grain_seconds == seconds)) or 0
    if count != seen:
        differs("usage rollup", f"{count - seen} sums of {seconds} s have no parts of {finer} s")


def _rows(connection: Connection, seconds: int) -> Iterator[Any]:
    rows = schema.usage_rollups
    query = select(rows).where(rows.c.grain_seconds == seconds).order_by(rows.c.start_at, rows.c.label_id)
    yield from connection.execute(query.execution_options(yield_per=_ROWS_PER_FETCH))


def _sum(row: Any) -> UsageSum:
    """The row's sum; without its parts when their bytes are none, which then differ from what the settlements give."""
    one = UsageSum()
    try:
        parts = list(unpacked(row.parts))
    except (msgspec.DecodeError, TypeError, ValueError):
        parts = []
    one.add(row.call_count, row.charge_nanos, parts)
    return one


def _said(one: UsageSum) -> tuple[object, ...]:
    """Calls, nanos, and the parts."""
    return one.call_count, one.charge_nanos, tuple(one.flat())


def _named(start_at: Instant, label: UsageLabel | None) -> str:
    what = "an unknown label" if label is None else f"key {label.api_key_id}, {label.model or 'no model'}"
    return f"{what} on {text_from_instant(start_at)[:10]}"
