"""Counters that nobody counts any more: parts of rolling windows, which come by the second, are not kept for ever."""

from sqlalchemy import Connection, delete, select

from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.limit import WindowKind
from tokenroll.model.limits import LIMIT_COUNTERS_KEPT_SECONDS
from tokenroll.store import schema


def kept_from(window_seconds: int, now: Instant) -> Instant:
    """Parts of a rolling window that start before it may be gone."""
    return now - (window_seconds + LIMIT_COUNTERS_KEPT_SECONDS) * MICROS_PER_SECOND


def delete_old_counters(connection: Connection, now: Instant) -> int:
    """Those parts deleted; how many. No open call can be in one: an inquiry ends within 72 hours (law 4)."""
    limits, counters = schema.limits.c, schema.limit_counters
    connection.rollback()
    deleted = 0
    with connection.begin():
        rolling = select(limits.id, limits.window_seconds).where(limits.window == WindowKind.ROLLING.value)
        for limit_id, seconds in connection.execute(rolling).all():
            where = (counters.c.limit_id == limit_id) & (counters.c.start_at < kept_from(seconds, now))
            deleted += connection.execute(delete(counters).where(where)).rowcount
    return deleted
