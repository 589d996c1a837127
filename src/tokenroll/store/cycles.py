"""Which pay cycle a call is booked to: that of its admission, or the first open one (DESIGN §5).

Cycles are days (engine/cycling.py), the wallet's zone says when they begin, and rows keep their numbers. A cycle is closed by a
regular row of `pay_runs` and open again once a row of `pay_run_reversals` refers to it.
"""

from datetime import date, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select

from tokenroll.engine import cycling
from tokenroll.engine.calendar import day_start
from tokenroll.engine.calendar_terms import calendar_from_text
from tokenroll.model.instant import Instant
from tokenroll.model.pay_cycle import CycleDays, PayCalendar, PayCycle
from tokenroll.store import schema

NEVER: Final = (1, 0, 0)
"""A window that no instant is in."""
REGULAR: Final = "regular"
"""The kind of a run that closes its cycle."""
OFF_CYCLE: Final = "off-cycle"
"""The kind of a run that prints slips between two cycles and closes nothing."""


def read_calendars(connection: Connection) -> tuple[PayCalendar, ...]:
    """The calendars that hold one after another; of two for the same day the later row."""
    table = schema.pay_calendars
    rows = connection.execute(select(table).order_by(table.c.id)).all()
    by_day = {row.effective_on: calendar_from_text(row.effective_on, row.kind, row.terms_json) for row in rows}
    return tuple(by_day[day] for day in sorted(by_day))


def closed_through(connection: Connection) -> int:
    """The number of the newest cycle that is closed; 0 for none."""
    runs, reversals = schema.pay_runs, schema.pay_run_reversals
    query = (
        select(func.max(runs.c.cycle))
        .outerjoin(reversals, reversals.c.pay_run_id == runs.c.id)
        .where(runs.c.kind == REGULAR, reversals.c.id.is_(None))
    )
    return connection.scalar(query) or 0


class CycleBook:
    """Cycles by zone, remembered, and how far they are closed. Without a connection: calendar months, nothing closed."""

    __slots__ = ("_days", "_following", "_spans", "_zones", "calendars", "closed_through")

    def __init__(self, connection: Connection | None = None) -> None:
        self.closed_through = 0
        self.calendars: tuple[PayCalendar, ...] = ()
        self._following: tuple[int, int] = (0, 0)
        self._zones: dict[str, tzinfo] = {}
        self._spans: dict[str, tuple[Instant, Instant, int]] = {}
        self._days: dict[str, tuple[Instant, Instant, int]] = {}
        if connection is not None:
            self.reload(connection)

    def reload(self, connection: Connection) -> None:
        """Calendars, and how far cycles are closed, by what is committed so far."""
        self.closed_through = closed_through(connection)
        calendars = read_calendars(connection)
        if calendars != self.calendars:
            self.calendars = calendars
            self._following = (0, 0)
            self._spans.clear()

    def of_admission(self, zone_name: str, at: Instant) -> int:
        """The number of the cycle that contains `at` in that zone."""
        return self._span(zone_name, at)[2]

    def began_at(self, zone_name: str, at: Instant) -> Instant:
        """When the cycle began that contains `at` in that zone."""
        return self._span(zone_name, at)[0]

    def first_open(self) -> int:
        """The cycle after the newest closed one: where late calls go. 0 when none is closed."""
        closed = self.closed_through
        if closed == 0:
            return 0
        if self._following[0] != closed:
            self._following = (closed, cycling.following_cycle(self.calendars, closed).number)
        return self._following[1]

    def booked(self, zone_name: str, at: Instant) -> int:
        """The cycle a call admitted at `at` is booked to now."""
        return max(self._span(zone_name, at)[2], self.first_open())

    def common_window(self, zone_names: list[str], at: Instant) -> tuple[Instant, Instant, int]:
        """`[start, end)` around `at` in which every zone has the same cycle, and where that books to; else NEVER.

        Nearly every call of a batch is inside, so a fold asks for a zone only near a cycle's turn.
        """
        spans = [self._span(name, at) for name in zone_names]
        if len({span[2] for span in spans}) != 1:
            return NEVER
        return max(span[0] for span in spans), min(span[1] for span in spans), max(spans[0][2], self.first_open())

    def numbered(self, number: int) -> CycleDays:
        """The days of a cycle in a row. Raises ValueError."""
        return cycling.cycle_numbered(self.calendars, number)

    def span(self, days: CycleDays, zone_name: str) -> PayCycle:
        """The instants of a cycle in a zone."""
        kind = cycling.calendar_on(self.calendars, days.starts_on)[0].kind
        return cycling.cycle_span(days, zone_name, self.zone(zone_name), kind)

    def cycle_at(self, zone_name: str, at: Instant) -> CycleDays:
        """The cycle of a zone that an instant is in, as days."""
        return cycling.cycle_at(self.calendars, at, self.zone(zone_name))

    def span_at(self, zone_name: str, at: Instant) -> PayCycle:
        """The cycle of a zone that an instant is in."""
        return self.span(self.cycle_at(zone_name, at), zone_name)

    def day_number(self, zone_name: str, at: Instant) -> int:
        """The day of a zone that an instant is in, counted from 1 January of the year 1."""
        return self.day_window(zone_name, at)[2]

    def day_window(self, zone_name: str, at: Instant) -> tuple[Instant, Instant, int]:
        """The same day as `[start, end)`, and its number."""
        known = self._days.get(zone_name)
        if known is None or not known[0] <= at < known[1]:
            zone = self.zone(zone_name)
            day = cycling.day_at(at, zone)
            until = day_start(date.fromordinal(day.toordinal() + 1), zone)
            known = self._days[zone_name] = (day_start(day, zone), until, day.toordinal())
        return known

    def zone(self, zone_name: str) -> tzinfo:
        """The zone of that name, remembered."""
        return self._zones.get(zone_name) or self._zones.setdefault(zone_name, ZoneInfo(zone_name))

    def _span(self, zone_name: str, at: Instant) -> tuple[Instant, Instant, int]:
        span = self._spans.get(zone_name)
        if span is None or not span[0] <= at < span[1]:
            days = cycling.cycle_at(self.calendars, at, self.zone(zone_name))
            cycle = self.span(days, zone_name)
            span = self._spans[zone_name] = (cycle.start_at, cycle.end_until, days.number)
        return span
