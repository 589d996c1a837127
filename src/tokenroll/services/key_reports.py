"""Questions about keys: what each is for, which secrets of it work, when it was used last. Never a secret, which nobody has."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from tokenroll.model.api_key import KeyOrigin
from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.limit import LimitScope
from tokenroll.services.finding import find_key, find_member
from tokenroll.services.limit_reports import limits_of_keys
from tokenroll.services.refusal import Refused
from tokenroll.store import schema

_DAY_MICROS = 86_400 * MICROS_PER_SECOND


def keys_told(
    connection: Connection, now: Instant, member: str | None = None, unused_days: int | None = None
) -> list[dict[str, Any]]:
    """Keys, newest first: all, one member's, or the live ones that nobody used for so many days, counted from their making at least."""
    query = _query()
    if member is not None:
        query = query.where(schema.api_keys.c.member_id == find_member(connection, member).id)
    former = _former(connection, now)
    told = [_told(row, former.get(row.id, []), now) for row in connection.execute(query)]
    if unused_days is None:
        return told
    since = now - unused_days * _DAY_MICROS
    return [one for one in told if one["state"] == "live" and max(one["used_at"] or 0, one["created_at"]) <= since]


def key_told(connection: Connection, now: Instant, reference: str) -> dict[str, Any]:
    """One key with the secrets that it had before and the limits that count its calls alone. Raises Refused."""
    key_id = find_key(connection, reference).id
    row = connection.execute(_query().where(schema.api_keys.c.id == key_id)).one()
    limits = schema.limits.c
    where = (limits.scope == LimitScope.KEY.value) & (limits.subject_id == key_id) & limits.removed_at.is_(None)
    names = connection.scalars(select(limits.name).where(where).order_by(limits.id)).all()
    former = _former(connection, now, [key_id])
    return {**_told(row, former.get(key_id, []), now), "limits": list(names)}


def keys_of_member(
    connection: Connection, now: Instant, member: str, limit: int, before: int | None = None
) -> tuple[list[dict[str, Any]], int]:
    """A member's keys, newest first, each with the limits of its own; and where the next page begins (0: there is none)."""
    keys = schema.api_keys.c
    query = _query().where(keys.member_id == find_member(connection, member).id)
    if before is not None:
        query = query.where(keys.id < before)
    rows = connection.execute(query.limit(limit + 1)).all()
    shown = rows[:limit]
    budgets = limits_of_keys(connection, now, [row.id for row in shown])
    former = _former(connection, now, [row.id for row in shown])
    told = [{**_told(row, former.get(row.id, []), now), "budgets": budgets.get(row.id, [])} for row in shown]
    return told, shown[-1].id if len(rows) > limit else 0


def key_of_member(connection: Connection, now: Instant, member: str, public_id: str) -> dict[str, Any]:
    """One key of a member's own, likewise. Raises Refused: another's is not found, which is all they may know."""
    keys = schema.api_keys.c
    where = (keys.member_id == find_member(connection, member).id) & (keys.public_id == public_id)
    row = connection.execute(_query().where(where)).one_or_none()
    if row is None:
        raise Refused("not_found", f"there is no key {public_id!r}")
    budgets, former = limits_of_keys(connection, now, [row.id]), _former(connection, now, [row.id])
    return {**_told(row, former.get(row.id, []), now), "budgets": budgets.get(row.id, []), "number": row.id}


def key_with_secret(connection: Connection, secret_hash: bytes, now: Instant) -> Row[Any] | None:
    """The key that this is the secret of, or was and still may be."""
    keys, former = schema.api_keys, schema.former_secrets.c
    row = connection.execute(select(keys).where(keys.c.secret_hash == secret_hash)).one_or_none()
    if row is not None:
        return row
    query = select(keys).join(schema.former_secrets, former.api_key_id == keys.c.id)
    return connection.execute(query.where(former.secret_hash == secret_hash, former.works_until > now)).one_or_none()


def key_state(row: Row[Any], now: Instant) -> str:
    """`live`, `expired` or `revoked`."""
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= now else "live"


def _query() -> Select[Any]:
    keys, members, uses = schema.api_keys, schema.members, schema.key_uses
    return (
        select(keys, members.c.name.label("member_name"), uses.c.used_at)
        .join(members, members.c.id == keys.c.member_id)
        .outerjoin(uses, uses.c.api_key_id == keys.c.id)
        .order_by(keys.c.id.desc())
    )


def _former(
    connection: Connection, now: Instant, key_ids: Sequence[int] | None = None
) -> dict[int, list[dict[str, Any]]]:
    """By key (of these, or all): what it was rotated away from, newest first."""
    former = schema.former_secrets
    query = select(former).order_by(former.c.replaced_at.desc())
    if key_ids is not None:
        query = query.where(former.c.api_key_id.in_(key_ids))
    found: dict[int, list[dict[str, Any]]] = {}
    for row in connection.execute(query):
        found.setdefault(row.api_key_id, []).append(
            {
                "shown_prefix": row.shown_prefix, "replaced_at": row.replaced_at, "works_until": row.works_until,
                "works": row.works_until > now,
            }
        )  # fmt: skip
    return found


def _told(row: Row[Any], former: list[dict[str, Any]], now: Instant) -> dict[str, Any]:
    return {
        "key": row.public_id,
        "name": row.name,
        "member_name": row.member_name,
        "shown_prefix": row.shown_prefix,
        "scope": row.scope,
        "state": key_state(row, now),
        "models": json.loads(row.models_json) if row.models_json else [],
        "tags": row.tags or "",
        "origin": row.origin or KeyOrigin.COMMAND.value,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
        "used_at": row.used_at,
        "former_secrets": former,
    }
