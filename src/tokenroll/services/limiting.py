"""Limits: made, overridden for a while, removed. Money never moves here; what counts is on the tape of whoever admits calls."""

from collections.abc import Mapping
from typing import Any, Final, Required, TypedDict

from sqlalchemy import Connection, Row, func, select

from tokenroll.model.amount import text_from_nanos
from tokenroll.model.enforcement import Enforcement
from tokenroll.model.instant import Instant
from tokenroll.model.limit import Degrade, Limit, LimitMeasure, LimitOverride, LimitScope, WindowKind
from tokenroll.model.limits import (
    LIMIT_OVERRIDES_MAX,
    LIMITS_MAX,
    LIMITS_PER_SCOPE_MAX,
    TAG_CHARACTERS_MAX,
)
from tokenroll.model.rate_card import RateCard
from tokenroll.services.finding import find_department, find_key, find_member, instant_given, name_given, required
from tokenroll.services.limit_terms import limit_from_row
from tokenroll.services.people import company_zone, zone_checked
from tokenroll.services.price_reports import cards_now
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema

UNITS: Final = {
    LimitMeasure.CREDITS: "credits", LimitMeasure.CALLS: "calls", LimitMeasure.MODEL_TOKENS: "model tokens",
    LimitMeasure.INPUT_TOKENS: "input tokens", LimitMeasure.OUTPUT_TOKENS: "output tokens",
}  # fmt: skip


class CreateLimit(TypedDict, total=False):
    """What `limit.create` takes."""

    name: Required[str]
    department: str
    member: str
    key: str
    model: str
    tag: str
    window: Required[str]
    window_seconds: int
    zone: str
    measure: str
    cap: Required[int]
    enforcement: str
    degrade: str
    cheaper_model: str
    overage: int
    effective_at: int
    expires_at: int


def create_limit(work: UnitOfWork, arguments: CreateLimit) -> dict[str, Any]:
    """A limit that counts calls admitted from its date on, or from now on as soon as the workers know it; it starts at zero."""
    name = name_given(arguments)
    if _living(work.connection, name) is not None:
        message = f"there is a limit {name!r} already: choose another name, or `tokenroll limit show '{name}'`"
        raise Refused("taken", message)
    scope, subject_id, zone = _scope_given(work.connection, arguments)
    model, cheaper = _models_given(work, arguments)
    limit = Limit(
        id=work.new_id("limits"),
        public_id=work.public_id("limit"),
        name=name,
        scope=scope,
        subject_id=subject_id,
        model=model,
        tag=tag_checked(arguments.get("tag") or ""),
        window=WindowKind(required(arguments, "window")),
        window_seconds=arguments.get("window_seconds") or 0,
        zone=zone_checked(arguments.get("zone") or zone),
        measure=LimitMeasure(arguments.get("measure") or LimitMeasure.CREDITS),
        cap=required(arguments, "cap"),
        enforcement=Enforcement(arguments.get("enforcement") or Enforcement.ENFORCE),
        degrade=Degrade(arguments.get("degrade") or Degrade.DENY),
        cheaper_model=cheaper,
        overage=arguments.get("overage") or 0,
        effective_at=instant_given(arguments, "effective_at", work.now),
        expires_at=instant_given(arguments, "expires_at", work.now) if arguments.get("expires_at") else None,
    )
    if limit.expires_at is not None and limit.expires_at <= work.now:
        raise Refused("argument", f"limit {name} would be over before it is made: name an end that is still to come")
    _refuse_too_many(work.connection, limit, work.now)
    work.connection.execute(schema.limits.insert().values(**_row_of(limit), removed_at=None, recorded_at=work.now))
    work.limits_changed([limit.id])
    return {
        "limit": limit.public_id, "name": name, "scope": limit.scope.value, "window": limit.window.value,
        "zone": limit.zone, "cap": amount_text(limit.measure, limit.cap), "enforcement": limit.enforcement.value,
        "degrade": limit.degrade.value, "effective_at": limit.effective_at, "expires_at": limit.expires_at,
    }  # fmt: skip


class _OverrideLimit(TypedDict, total=False):
    limit: Required[str]
    cap: Required[int]
    effective_at: int
    until: Required[int]


def override_limit(work: UnitOfWork, arguments: _OverrideLimit) -> dict[str, Any]:
    """Another cap until a date; the newest override that holds decides, and when it is over the limit's own cap holds again."""
    row = find_limit(work.connection, required(arguments, "limit"))
    limit = limit_from_row(row)
    override = LimitOverride(
        id=work.new_id("limit_overrides"),
        limit_id=limit.id,
        cap=required(arguments, "cap"),
        effective_at=instant_given(arguments, "effective_at", work.now),
        expires_at=instant_given({"until": required(arguments, "until")}, "until", work.now),
    )
    if override.expires_at <= work.now:
        raise Refused("argument", "the override would be over already: name an end that is still to come")
    table = schema.limit_overrides
    standing = work.connection.scalar(
        select(func.count()).where(table.c.limit_id == limit.id, table.c.expires_at > work.now)
    )
    if (standing or 0) >= LIMIT_OVERRIDES_MAX:
        raise Refused(
            "limit", f"limit {limit.name} has {standing} overrides that are not over, which is as many as may be"
        )
    public_id = work.public_id("override")
    work.connection.execute(
        table.insert().values(
            id=override.id, public_id=public_id, limit_id=limit.id, cap=override.cap, effective_at=override.effective_at,
            expires_at=override.expires_at, recorded_at=work.now,
        )
    )  # fmt: skip
    work.limits_changed([limit.id])
    return {
        "override": public_id, "limit": limit.public_id, "name": limit.name, "cap": amount_text(limit.measure, override.cap),
        "own_cap": amount_text(limit.measure, limit.cap), "effective_at": override.effective_at,
        "expires_at": override.expires_at,
    }  # fmt: skip


class _RemoveLimit(TypedDict):
    limit: str


def remove_limit(work: UnitOfWork, arguments: _RemoveLimit) -> dict[str, Any]:
    """A limit that counts nothing from now on. Calls under way keep their place in its counters until they end."""
    row = find_limit(work.connection, required(arguments, "limit"))
    limits = schema.limits
    work.connection.execute(limits.update().where(limits.c.id == row.id).values(removed_at=work.now))
    work.limits_changed([row.id])
    return {"limit": row.public_id, "name": row.name, "removed_at": work.now}


def find_limit(connection: Connection, reference: str) -> Row[Any]:
    """The limit with this id, or of this name and not removed. Raises Refused."""
    limits = schema.limits
    row = connection.execute(select(limits).where(limits.c.public_id == reference)).one_or_none()
    row = row or _living(connection, reference.strip())
    if row is None:
        raise Refused("not_found", f"there is no limit {reference!r}: `tokenroll limit list` shows them")
    if row.removed_at is not None:
        raise Refused("removed", f"limit {row.name} is removed: `tokenroll limit create` makes a new one")
    return row


def amount_text(measure: LimitMeasure, amount: int) -> str:
    """An amount of a measure with its unit: `20.00 credits`, `100 calls`."""
    number = text_from_nanos(amount, 2) if measure is LimitMeasure.CREDITS else str(amount)
    return f"{number} {UNITS[measure]}"


def tag_checked(tag: str) -> str:
    """The same tag, proven to be one that a header can carry. Raises Refused."""
    if len(tag) > TAG_CHARACTERS_MAX or not (tag.isascii() and tag.isprintable()) or "," in tag or tag != tag.strip():
        message = f"a tag is 1 to {TAG_CHARACTERS_MAX} printable ASCII characters without commas, not {tag[:40]!r}"
        raise Refused("argument", message)
    return tag


def _living(connection: Connection, name: str) -> Row[Any] | None:
    limits = schema.limits
    return connection.execute(select(limits).where(limits.c.name == name, limits.c.removed_at.is_(None))).one_or_none()


def _scope_given(connection: Connection, arguments: Mapping[str, Any]) -> tuple[LimitScope, int, str]:
    """Scope, subject, and the zone in which its calendar windows begin."""
    named = [one for one in ("department", "member", "key") if arguments.get(one)]
    if len(named) > 1:
        raise Refused("argument", f"a limit has one scope, not {' and '.join(named)}: make a limit for each")
    zone = company_zone(connection)
    if arguments.get("member"):
        member = find_member(connection, arguments["member"])
        return LimitScope.MEMBER, member.id, member.zone
    if arguments.get("department"):
        return LimitScope.DEPARTMENT, find_department(connection, arguments["department"]).id, zone
    if arguments.get("key"):
        key = find_key(connection, arguments["key"])
        members = schema.members.c
        return LimitScope.KEY, key.id, str(connection.scalar(select(members.zone).where(members.id == key.member_id)))
    if arguments.get("model"):
        return LimitScope.MODEL, 0, zone
    return (LimitScope.TAG if arguments.get("tag") else LimitScope.COMPANY), 0, zone


def _models_given(work: UnitOfWork, arguments: Mapping[str, Any]) -> tuple[str, str]:
    """The model that is limited and the cheaper one, as their rate cards name them. Raises Refused for one without a card."""
    model, cheaper = arguments.get("model") or "", arguments.get("cheaper_model") or ""
    if not (model or cheaper):
        return "", ""
    cards = cards_now(work.connection, work.now)
    limited = _card(cards, model) if model else None
    if not cheaper:
        return (limited.model if limited else ""), ""
    other = _card(cards, cheaper)
    if limited is not None and limited.provider != other.provider:
        message = f"{other.model} is sold by {other.provider} and {limited.model} by {limited.provider}: a call keeps its dialect"
        raise Refused("argument", message)
    return (limited.model if limited else ""), other.model


def _card(cards: list[RateCard], name: str) -> RateCard:
    for card in cards:
        if name == card.model or name in card.aliases:
            return card
    raise Refused("not_found", f"the model {name!r} has no rate card now: `tokenroll ratecard list` shows them")


def _refuse_too_many(connection: Connection, limit: Limit, now: Instant) -> None:
    limits = schema.limits
    living = limits.c.removed_at.is_(None) & (limits.c.expires_at.is_(None) | (limits.c.expires_at > now))
    if (connection.scalar(select(func.count()).select_from(limits).where(living)) or 0) >= LIMITS_MAX:
        raise Refused("limit", f"there are {LIMITS_MAX} limits already, which is as many as may hold at a time")
    same = living & (limits.c.scope == limit.scope.value) & (limits.c.subject_id == limit.subject_id)
    if limit.scope is LimitScope.MODEL:
        same &= limits.c.model == limit.model
    elif limit.scope is LimitScope.TAG:
        same &= limits.c.tag == limit.tag
    if (connection.scalar(select(func.count()).select_from(limits).where(same)) or 0) >= LIMITS_PER_SCOPE_MAX:
        message = f"this {limit.scope.value} has {LIMITS_PER_SCOPE_MAX} limits already: remove one with `tokenroll limit remove`"
        raise Refused("limit", message)


def _row_of(limit: Limit) -> dict[str, Any]:
    return {
        "id": limit.id, "public_id": limit.public_id, "name": limit.name, "scope": limit.scope.value,
        "subject_id": limit.subject_id, "model": limit.model, "tag": limit.tag, "window": limit.window.value,
        "window_seconds": limit.window_seconds, "zone": limit.zone, "measure": limit.measure.value, "cap": limit.cap,
        "enforcement": limit.enforcement.value, "degrade": limit.degrade.value, "cheaper_model": limit.cheaper_model,
        "overage": limit.overage, "effective_at": limit.effective_at, "expires_at": limit.expires_at,
    }  # fmt: skip
