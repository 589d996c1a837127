"""Commands about api keys. The secret itself never comes here: a door makes it, shows it once and sends only its hash."""

import json
from collections.abc import Mapping
from typing import Any, Required, TypedDict

from sqlalchemy import Connection, Row, func, select

from tokenroll.model.api_key import ApiKey, KeyOrigin, KeyScope
from tokenroll.model.instant import MICROS_PER_SECOND
from tokenroll.model.limit import LimitScope, WindowKind
from tokenroll.model.limits import KEY_FORMER_SECRETS_MAX, KEY_OVERLAP_SECONDS_MAX
from tokenroll.model.tag import PURPOSE, merged_tags, named_tag, short_tags, tags_from_text
from tokenroll.services.finding import find_key, find_member, instant_given, name_given, required
from tokenroll.services.limiting import create_limit
from tokenroll.services.price_reports import cards_now
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema


class _CreateKey(TypedDict, total=False):
    member: Required[str]
    name: str
    scope: str
    shown_prefix: Required[str]
    secret_hash: Required[str]
    expires_at: int
    models: list[str]
    tags: str
    purpose: str
    budget_nanos: int
    budget_window: str
    origin: str


def create_key(work: UnitOfWork, arguments: _CreateKey) -> dict[str, Any]:
    """A key of a member, known by its hash from now on; with a `budget`, also the limit that is one."""
    member = find_member(work.connection, required(arguments, "member"))
    if member.left_on is not None:
        message = f"{member.name} leaves or left on {member.left_on} and gets no key"
        raise Refused("left", message)
    if member.suspended_at is not None:
        message = f"{member.name} is suspended and gets no key: `tokenroll member resume '{member.name}'` first"
        raise Refused("suspended", message)
    key = ApiKey(
        id=work.new_id("api_keys"),
        public_id=work.public_id("key"),
        member_id=member.id,
        name=name_given({"name": arguments.get("name", "default")}),
        scope=KeyScope(arguments.get("scope") or KeyScope.INFERENCE),
        shown_prefix=required(arguments, "shown_prefix"),
        secret_hash=_new_secret(work.connection, arguments),
        created_at=work.now,
        expires_at=None if arguments.get("expires_at") is None else instant_given(arguments, "expires_at", work.now),
        models=_models_given(work, arguments.get("models") or ()),
        tags=_tags_given(arguments, ""),
        origin=KeyOrigin(arguments.get("origin") or KeyOrigin.COMMAND),
    )
    work.connection.execute(
        schema.api_keys.insert().values(
            id=key.id, public_id=key.public_id, member_id=key.member_id, name=key.name, scope=key.scope.value,
            shown_prefix=key.shown_prefix, secret_hash=key.secret_hash, created_at=key.created_at, expires_at=key.expires_at,
            revoked_at=None, models_json=_models_json(key), tags=key.tags or None, origin=key.origin.value,
        )
    )  # fmt: skip
    work.keys_changed([key.id])
    return {
        "key": key.public_id,
        "name": key.name,
        "member": member.public_id,
        "member_name": member.name,
        "scope": key.scope.value,
        "shown_prefix": key.shown_prefix,
        "expires_at": key.expires_at,
        **_told(key),
        **_budget(work, key, arguments),
    }


class _ChangeKey(TypedDict, total=False):
    key: Required[str]
    models: list[str]
    tags: str
    purpose: str
    budget_nanos: int
    budget_window: str


def change_key(work: UnitOfWork, arguments: _ChangeKey) -> dict[str, Any]:
    """What a key is for, changed from now on: its models, its tags, its purpose, its budget. What is not named stays."""
    row = _living(work, arguments)
    if all(arguments.get(name) is None for name in ("models", "tags", "purpose", "budget_nanos")):
        raise Refused("argument", "nothing to change: name models, tags, a purpose or a budget")
    models = arguments.get("models")
    key = _key_from(
        row,
        models=tuple(json.loads(row.models_json or "[]")) if models is None else _models_given(work, models),
        tags=_tags_given(arguments, row.tags or ""),
    )
    keys = schema.api_keys
    work.connection.execute(
        keys.update().where(keys.c.id == key.id).values(models_json=_models_json(key), tags=key.tags or None)
    )
    work.keys_changed([key.id])
    return {"key": key.public_id, "name": key.name, **_told(key), **_budget(work, key, arguments)}


class _RotateKey(TypedDict, total=False):
    key: Required[str]
    secret_hash: Required[str]
    shown_prefix: Required[str]
    overlap_seconds: int


def rotate_key(work: UnitOfWork, arguments: _RotateKey) -> dict[str, Any]:
    """The same key with a new secret: its id, limits, tags and history stay. The old secret works until the overlap is over."""
    row = _living(work, arguments)
    if row.expires_at is not None and row.expires_at <= work.now:
        raise Refused("expired", f"key {row.name} ({row.shown_prefix}…) has expired: make another one")
    overlap_seconds = arguments.get("overlap_seconds") or 0
    if type(overlap_seconds) is not int or not 0 <= overlap_seconds <= KEY_OVERLAP_SECONDS_MAX:
        days = KEY_OVERLAP_SECONDS_MAX // 86_400
        raise Refused("argument", f"an overlap lasts 0 seconds to {days} days, not {overlap_seconds!r} seconds")
    until = work.now + overlap_seconds * MICROS_PER_SECOND
    former, keys = schema.former_secrets, schema.api_keys
    working = work.connection.scalar(
        select(func.count()).where(former.c.api_key_id == row.id, former.c.works_until > work.now)
    )
    if overlap_seconds and (working or 0) >= KEY_FORMER_SECRETS_MAX:
        message = (
            f"{working} replaced secrets of key {row.name} still work, which is as many as may: rotate without an overlap, "
            f"or wait until one of them is over (`tokenroll key show {row.public_id}`)"
        )
        raise Refused("limit", message)
    secret_hash, shown = _new_secret(work.connection, arguments), required(arguments, "shown_prefix")
    work.connection.execute(
        former.insert().values(
            secret_hash=row.secret_hash, api_key_id=row.id, shown_prefix=row.shown_prefix, replaced_at=work.now,
            works_until=until,
        )
    )  # fmt: skip
    if not overlap_seconds:  # nothing of the past shall work: neither do those of earlier rotations
        past = (former.c.api_key_id == row.id) & (former.c.works_until > work.now)
        work.connection.execute(former.update().where(past).values(works_until=work.now))
    work.connection.execute(
        keys.update().where(keys.c.id == row.id).values(secret_hash=secret_hash, shown_prefix=shown)
    )
    work.keys_changed([row.id])
    return {
        "key": row.public_id, "name": row.name, "shown_prefix": shown, "former_prefix": row.shown_prefix,
        "former_works_until": until,
    }  # fmt: skip


class _RevokeKey(TypedDict):
    key: str


def revoke_key(work: UnitOfWork, arguments: _RevokeKey) -> dict[str, Any]:
    """A key that no longer works once workers have applied the delta; calls under way are finished and settled."""
    row = _living(work, arguments)
    work.connection.execute(schema.api_keys.update().where(schema.api_keys.c.id == row.id).values(revoked_at=work.now))
    work.keys_changed([row.id])
    return {"key": row.public_id, "name": row.name, "shown_prefix": row.shown_prefix, "revoked_at": work.now}


def _living(work: UnitOfWork, arguments: Mapping[str, Any]) -> Row[Any]:
    row = find_key(work.connection, required(arguments, "key"))
    if row.revoked_at is not None:
        message = f"key {row.name} ({row.shown_prefix}…) is revoked already"
        raise Refused("already_revoked", message)
    return row


def _key_from(row: Row[Any], *, models: tuple[str, ...], tags: str) -> ApiKey:
    return ApiKey(
        id=row.id, public_id=row.public_id, member_id=row.member_id, name=row.name, scope=KeyScope(row.scope),
        shown_prefix=row.shown_prefix, secret_hash=row.secret_hash, created_at=row.created_at, expires_at=row.expires_at,
        models=models, tags=tags, origin=KeyOrigin(row.origin or KeyOrigin.COMMAND),
    )  # fmt: skip


def _new_secret(connection: Connection, arguments: Mapping[str, Any]) -> bytes:
    """The hash of a secret that no key has or had. Raises Refused."""
    secret_hash = bytes.fromhex(required(arguments, "secret_hash"))
    keys, former = schema.api_keys.c, schema.former_secrets.c
    for where in (keys.secret_hash == secret_hash, former.secret_hash == secret_hash):
        if connection.execute(select(1).where(where)).first() is not None:
            message = "this secret is registered already: `tokenroll key list`, or make a new one without --secret-file"
            raise Refused("taken", message)
    return secret_hash


def _models_given(work: UnitOfWork, names: Any) -> tuple[str, ...]:
    """Names of models or beginnings of them with a `*`, each of which some rate card has now. Raises Refused for one that none has."""
    given = tuple(str(name).strip() for name in names)
    if not given:
        return ()
    known = [name for card in cards_now(work.connection, work.now) for name in (card.model, *card.aliases)]
    for one in given:
        start = one.removesuffix("*")
        if not any(name.startswith(start) if start != one else name == one for name in known):
            message = f"no model {one!r} has a rate card now: `tokenroll ratecard list` shows them, and `claude-*` names a family"
            raise Refused("not_found", message)
    return given


def _models_json(key: ApiKey) -> str | None:
    return json.dumps(list(key.models)) if key.models else None


def _tags_given(arguments: Mapping[str, Any], before: str) -> str:
    """The tags that a key gives its calls. A purpose is one of them, so naming it alone leaves the others."""
    given, purpose = arguments.get("tags"), arguments.get("purpose")
    tags = before if given is None else tags_from_text(str(given))
    return short_tags(merged_tags(named_tag(PURPOSE, str(purpose)), tags)) if purpose else tags


def _told(key: ApiKey) -> dict[str, Any]:
    """What is special about a key, for whoever made it so."""
    return {"models": ", ".join(key.models) or None, "tags": key.tags or None}


def _budget(work: UnitOfWork, key: ApiKey, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The key's budget, which is a limit of its scope: one command in place of two. Raises Refused where it has one."""
    nanos = arguments.get("budget_nanos")
    if nanos is None and arguments.get("budget_window") is not None:
        raise Refused("argument", "a budget window is that of a budget: name the budget, too")
    if nanos is None:
        return {}
    if nanos == 0:
        message = (
            "a budget of 0 credits would refuse every call of this key: name one above 0, leave it out for a key that only "
            "its wallet bounds, or end the key with `tokenroll key revoke`"
        )
        raise Refused("argument", message)
    if key.scope is not KeyScope.INFERENCE:
        raise Refused("argument", f"a key with scope {key.scope.value} calls no model, so it has no budget")
    limits = schema.limits.c
    where = (limits.scope == LimitScope.KEY.value) & (limits.subject_id == key.id) & limits.removed_at.is_(None)
    known = work.connection.scalar(select(limits.name).where(where))
    if known is not None:
        message = (
            f"key {key.name} has the limit {known!r} already: `tokenroll limit override` changes it for a while, "
            "`tokenroll limit remove` ends it, and `tokenroll limit create --key` makes another beside it"
        )
        raise Refused("taken", message)
    made = create_limit(
        work,
        {
            "name": f"{key.name if key.name.isascii() else 'key'} {key.public_id[-8:]}", "key": key.public_id,
            "window": arguments.get("budget_window") or WindowKind.CYCLE.value, "cap": nanos,
        },
    )  # fmt: skip
    return {"budget": made["cap"], "budget_window": made["window"], "limit": made["name"]}
