"""Counters that nobody counts any more: minutes and parts of rolling windows, which come by the second, are not kept for ever."""

from typing import Final

from sqlalchemy import Connection, delete, select

from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.limit import WindowKind
from tokenroll.model.limits import LIMIT_COUNTERS_KEPT_SECONDS
from tokenroll.store import schema

_FORGOTTEN: Final = (WindowKind.ROLLING.value, WindowKind.MINUTE.value)


def forgotten_limits(connection: Connection) -> list[tuple[int, int]]:
    """The limits whose old counters may be gone, each with the length of a rolling window."""
    limits = schema.limits.c
    rows = connection.execute(select(limits.id, limits.window_seconds).where(limits.window.in_(_FORGOTTEN)))
    return [(row.id, row.window_seconds) for row in rows]


def kept_from(window_seconds: int, now: Instant) -> Instant:
    """Minutes, and parts of a rolling window, that start before it may be gone."""
    return now - (window_seconds + LIMIT_COUNTERS_KEPT_SECONDS) * MICROS_PER_SECOND


def delete_old_counters(connection: Connection, now: Instant) -> int:
    """Those counters deleted; how many. No open call can be in one: an inquiry ends within 72 hours (law 4)."""
    counters = schema.limit_counters
    connection.rollback()
    deleted = 0
    with connection.begin():
        for limit_id, seconds in forgotten_limits(connection):
            where = (counters.c.limit_id == limit_id) & (counters.c.start_at < kept_from(seconds, now))
            deleted += connection.execute(delete(counters).where(where)).rowcount
    return deleted
