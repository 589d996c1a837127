"""Limits as rows say them: as nouns, as what people read, and as the messages that a worker counts by."""

from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, select

from tokenroll.engine.limiting import window_at
from tokenroll.model.enforcement import Enforcement
from tokenroll.model.instant import Instant
from tokenroll.model.limit import Degrade, Limit, LimitMeasure, LimitOverride, LimitScope, WindowKind
from tokenroll.services.protocol import LimitTerms
from tokenroll.store import schema
from tokenroll.store.cycles import read_calendars


def limit_from_row(row: Row[Any]) -> Limit:
    """The noun of a row; a removed one ends when it was removed."""
    ends = [at for at in (row.expires_at, row.removed_at) if at is not None]
    return Limit(
        id=row.id,
        public_id=row.public_id,
        name=row.name,
        scope=LimitScope(row.scope),
        subject_id=row.subject_id,
        model=row.model,
        tag=row.tag,
        window=WindowKind(row.window),
        window_seconds=row.window_seconds,
        zone=row.zone,
        measure=LimitMeasure(row.measure),
        cap=row.cap,
        enforcement=Enforcement(row.enforcement),
        degrade=Degrade(row.degrade),
        cheaper_model=row.cheaper_model,
        overage=row.overage,
        effective_at=row.effective_at,
        # removed before it began: it never holds, and a noun must still be born
        expires_at=max(min(ends), row.effective_at + 1) if ends else None,
    )


def overrides_of(connection: Connection, limit_ids: Iterable[int]) -> dict[int, list[LimitOverride]]:
    """By limit, oldest first."""
    table = schema.limit_overrides
    found: dict[int, list[LimitOverride]] = {}
    for row in connection.execute(select(table).where(table.c.limit_id.in_(sorted(limit_ids))).order_by(table.c.id)):
        found.setdefault(row.limit_id, []).append(
            LimitOverride(
                id=row.id, limit_id=row.limit_id, cap=row.cap, effective_at=row.effective_at, expires_at=row.expires_at
            )
        )
    return found


def counters_of(connection: Connection, limit: Limit, now: Instant) -> list[tuple[Instant, int]]:
    """The counters that count at `now`, oldest first, as `(start_at, used)`."""
    return _counters_since(connection, limit, counted_from(connection, limit, now))


def _told_counters(connection: Connection, limit: Limit, now: Instant) -> list[tuple[Instant, int]]:
    """These, and those of the window before: a worker's clock may be behind, and what is over by its own it leaves out."""
    since = counted_from(connection, limit, now)
    return _counters_since(connection, limit, counted_from(connection, limit, since - 1))


def _counters_since(connection: Connection, limit: Limit, since: Instant) -> list[tuple[Instant, int]]:
    counters = schema.limit_counters.c
    query = select(counters.start_at, counters.used).where(counters.limit_id == limit.id, counters.start_at >= since)
    return [(row.start_at, row.used) for row in connection.execute(query.order_by(counters.start_at))]


def counted_from(connection: Connection, limit: Limit, now: Instant) -> Instant:
    """Counters that begin before it count nothing at `now`."""
    zone = ZoneInfo(limit.zone)
    return window_at(limit.window, limit.window_seconds, now, zone, read_calendars(connection)).counted_from


def limit_terms(connection: Connection, now: Instant, limit_ids: Iterable[int] | None = None) -> list[LimitTerms]:
    """These limits, or all that hold now or later."""
    table = schema.limits
    query = select(table).order_by(table.c.id)
    if limit_ids is not None:
        query = query.where(table.c.id.in_(sorted(limit_ids)))
    else:
        query = query.where(table.c.removed_at.is_(None), table.c.expires_at.is_(None) | (table.c.expires_at > now))
    rows = connection.execute(query).all()
    overrides = overrides_of(connection, [row.id for row in rows])
    names = ScopeNames(connection)
    return [_terms(connection, row, overrides.get(row.id, []), names, now) for row in rows]


def _terms(
    connection: Connection, row: Row[Any], overrides: list[LimitOverride], names: "ScopeNames", now: Instant
) -> LimitTerms:
    limit = limit_from_row(row)
    return LimitTerms(
        limit.id, limit.name, limit.scope.value, limit.subject_id, names.text(limit), limit.model, limit.tag,
        limit.window.value, limit.window_seconds, limit.zone, limit.measure.value, limit.cap, limit.enforcement.value,
        limit.degrade.value, limit.cheaper_model, limit.overage, limit.effective_at, limit.expires_at or 0,
        [(one.cap, one.effective_at, one.expires_at) for one in overrides if one.expires_at > now],
        _told_counters(connection, limit, now),
    )  # fmt: skip


class ScopeNames:
    """What people call the scope of a limit."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tables = {
            LimitScope.DEPARTMENT: schema.departments, LimitScope.MEMBER: schema.members, LimitScope.KEY: schema.api_keys,
        }  # fmt: skip
        self._known: dict[tuple[LimitScope, int], str] = {}

    def subject(self, limit: Limit) -> str | None:
        """The name of the department, member or key; None for other scopes."""
        table = self._tables.get(limit.scope)
        if table is None:
            return None
        key = (limit.scope, limit.subject_id)
        if key not in self._known:
            found = self._connection.scalar(select(table.c.name).where(table.c.id == limit.subject_id))
            self._known[key] = str(found or "?")
        return self._known[key]

    def text(self, limit: Limit) -> str:
        """Such as `the member Ada, model sonnet`."""
        name = self.subject(limit)
        parts = []
        if name is not None:
            parts.append(f"the {limit.scope.value} {name}")
        elif limit.scope is LimitScope.COMPANY:
            parts.append("the company")
        if limit.model:
            parts.append(f"the model {limit.model}" if not parts else f"model {limit.model}")
        if limit.tag:
            parts.append(f"the tag {limit.tag}" if not parts else f"tag {limit.tag}")
        return ", ".join(parts)
