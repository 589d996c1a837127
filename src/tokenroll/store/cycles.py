"""Which pay cycle a call is booked to: that of its admission, or the first open one (DESIGN §5).

Cycles are calendar months in the wallet's zone, written as the integer YYYYMM; closing one is a row in `pay_runs`.
"""

from datetime import tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select

from tokenroll.engine.calendar import month_cycle_at
from tokenroll.model.instant import Instant
from tokenroll.store import schema

NEVER: Final = (1, 0, 0)
"""A window that no instant is in."""


def cycle_number(name: str) -> int:
    """`2026-01` as 202601."""
    return int(name[:4]) * 100 + int(name[5:7])


def cycle_name(cycle: int) -> str:
    """202601 as `2026-01`."""
    return f"{cycle // 100:04d}-{cycle % 100:02d}"


def following(cycle: int) -> int:
    """The month after."""
    return cycle + 1 if cycle % 100 < 12 else (cycle // 100 + 1) * 100 + 1


class CycleBook:
    """Months by zone, remembered, and how far they are closed."""

    __slots__ = ("_spans", "_zones", "closed_through")

    def __init__(self, closed_through: int = 0) -> None:
        self.closed_through = closed_through
        self._zones: dict[str, tzinfo] = {}
        self._spans: dict[str, tuple[Instant, Instant, int]] = {}

    def reload(self, connection: Connection) -> None:
        """How far cycles are closed, by the pay runs committed so far."""
        self.closed_through = connection.scalar(select(func.max(schema.pay_runs.c.cycle))) or 0

    def of_admission(self, zone_name: str, at: Instant) -> int:
        """The month that contains `at` in that zone."""
        return self._span(zone_name, at)[2]

    def booked(self, zone_name: str, at: Instant) -> int:
        """The cycle a call admitted at `at` is booked to now."""
        cycle = self._span(zone_name, at)[2]
        return cycle if cycle > self.closed_through else following(self.closed_through)

    def common_window(self, zone_names: list[str], at: Instant) -> tuple[Instant, Instant, int]:
        """`[start, end)` around `at` in which every zone has the same month, and where that books to; else NEVER.

        Nearly every call of a batch is inside, so a fold asks for a zone only near a month's turn.
        """
        spans = [self._span(name, at) for name in zone_names]
        if len({span[2] for span in spans}) != 1:
            return NEVER
        cycle = spans[0][2]
        booked = cycle if cycle > self.closed_through else following(self.closed_through)
        return max(span[0] for span in spans), min(span[1] for span in spans), booked

    def _span(self, zone_name: str, at: Instant) -> tuple[Instant, Instant, int]:
        span = self._spans.get(zone_name)
        if span is None or not span[0] <= at < span[1]:
            zone = self._zones.get(zone_name) or self._zones.setdefault(zone_name, ZoneInfo(zone_name))
            cycle = month_cycle_at(at, zone_name, zone)
            span = self._spans[zone_name] = (cycle.start_at, cycle.end_until, cycle_number(cycle.name))
        return span
