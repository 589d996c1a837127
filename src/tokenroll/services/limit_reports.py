"""What people see of limits: how much of each is used now, what overrides hold, and what observing found."""

from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, func, select

from tokenroll.engine.limiting import cap_at, holds_at, window_at
from tokenroll.model.amount import text_from_nanos
from tokenroll.model.instant import Instant
from tokenroll.model.limit import Limit, LimitMeasure, LimitOverride, LimitScope, WindowKind
from tokenroll.services.limit_terms import ScopeNames, counters_of, limit_from_row, overrides_of
from tokenroll.services.limiting import UNITS, find_limit
from tokenroll.store import schema
from tokenroll.store.cycles import read_calendars

WINDOWS_SHOWN_MAX = 24
"""Past windows of one limit that are shown: a day of hours, two years of cycles."""


def limits_now(connection: Connection, now: Instant) -> list[dict[str, Any]]:
    """All limits that are not removed or over, by name."""
    limits = schema.limits
    query = select(limits).where(
        limits.c.removed_at.is_(None), limits.c.expires_at.is_(None) | (limits.c.expires_at > now)
    )
    rows = connection.execute(query.order_by(limits.c.name)).all()
    overrides = overrides_of(connection, [row.id for row in rows])
    names = ScopeNames(connection)
    return [_listed(connection, row, overrides.get(row.id, []), names, now) for row in rows]


def limits_of_keys(connection: Connection, now: Instant, key_ids: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
    """By key: the limits that count its calls alone, which are its budgets, oldest first."""
    limits = schema.limits
    query = select(limits).where(
        limits.c.scope == LimitScope.KEY.value, limits.c.subject_id.in_(list(key_ids)), limits.c.removed_at.is_(None),
        limits.c.expires_at.is_(None) | (limits.c.expires_at > now),
    )  # fmt: skip
    rows = connection.execute(query.order_by(limits.c.id)).all()
    overrides = overrides_of(connection, [row.id for row in rows])
    names = ScopeNames(connection)
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row.subject_id, []).append(_listed(connection, row, overrides.get(row.id, []), names, now))
    return found


def limit_shown(connection: Connection, reference: str, now: Instant) -> dict[str, Any]:
    """One limit: as listed, its overrides that are not over, and its last windows. Raises Refused."""
    row = find_limit(connection, reference)
    overrides = overrides_of(connection, [row.id]).get(row.id, [])
    limit = limit_from_row(row)
    counters = schema.limit_counters.c
    last = connection.execute(
        select(schema.limit_counters)
        .where(counters.limit_id == row.id)
        .order_by(counters.start_at.desc())
        .limit(WINDOWS_SHOWN_MAX)
    )
    return {
        **_listed(connection, row, overrides, ScopeNames(connection), now),
        "effective_at": limit.effective_at,
        "expires_at": limit.expires_at,
        "overrides": [
            {"cap": amount(limit.measure, one.cap), "effective_at": one.effective_at, "expires_at": one.expires_at}
            for one in overrides
            if one.expires_at > now
        ],
        "windows": [
            {
                "start_at": one.start_at, "used": amount(limit.measure, one.used), "call_count": one.call_count,
                "would_deny_count": one.would_deny_count, "overage_count": one.overage_count,
            }
            for one in last
        ],
    }  # fmt: skip


def amount(measure: LimitMeasure, value: int) -> dict[str, str]:
    """An amount of a measure, as every door shows it: a decimal string with its unit."""
    number = text_from_nanos(value) if measure is LimitMeasure.CREDITS else str(value)
    return {"amount": number, "unit": UNITS[measure]}


def window_text(limit: Limit) -> str:
    """`day`, or the length of a rolling window."""
    if limit.window is not WindowKind.ROLLING:
        return limit.window.value
    seconds = limit.window_seconds
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds % size == 0:
            return f"rolling {seconds // size} {unit}"
    return f"rolling {seconds} s"


def _listed(
    connection: Connection, row: Row[Any], overrides: list[LimitOverride], names: ScopeNames, now: Instant
) -> dict[str, Any]:
    limit = limit_from_row(row)
    cap = cap_at(limit, overrides, now)
    used = sum(used for _, used in counters_of(connection, limit, now))
    counters = schema.limit_counters.c
    told = connection.execute(
        select(func.sum(counters.would_deny_count), func.sum(counters.overage_count)).where(counters.limit_id == row.id)
    ).one()
    window = window_at(limit.window, limit.window_seconds, now, ZoneInfo(limit.zone), read_calendars(connection))
    return {
        "limit": limit.public_id,
        "name": limit.name,
        "scope": limit.scope.value,
        "of": names.text(limit),
        "model": limit.model or None,
        "tag": limit.tag or None,
        "window": window_text(limit),
        "zone": limit.zone,
        "measure": limit.measure.value,
        "cap": amount(limit.measure, cap),
        "used": amount(limit.measure, used),
        "left": amount(limit.measure, max(0, cap - used)),
        "holds": holds_at(limit, now),
        "is_overridden": cap_at(limit, [], now) != cap,
        "turns_at": window.turns_at,
        "enforcement": limit.enforcement.value,
        "degrade": limit.degrade.value,
        "cheaper_model": limit.cheaper_model or None,
        "overage": amount(limit.measure, limit.overage) if limit.overage else None,
        "would_deny_count": told[0] or 0,
        "overage_count": told[1] or 0,
    }
