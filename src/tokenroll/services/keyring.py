"""Commands about api keys. The secret itself never comes here: a door makes it, shows it once and sends only its hash."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from tokenroll.model.api_key import ApiKey, KeyScope
from tokenroll.services.finding import find_key, find_member, instant_given, name_given, required
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema


def create_key(work: UnitOfWork, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A key of a member, known by its hash from now on."""
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
        secret_hash=bytes.fromhex(required(arguments, "secret_hash")),
        created_at=work.now,
        expires_at=None if arguments.get("expires_at") is None else instant_given(arguments, "expires_at", work.now),
    )
    keys = schema.api_keys
    if work.connection.execute(select(keys.c.id).where(keys.c.secret_hash == key.secret_hash)).first() is not None:
        message = "this secret is registered already: `tokenroll key list`, or make a new one without --secret-file"
        raise Refused("taken", message)
    work.connection.execute(
        keys.insert().values(
            id=key.id,
            public_id=key.public_id,
            member_id=key.member_id,
            name=key.name,
            scope=key.scope.value,
            shown_prefix=key.shown_prefix,
            secret_hash=key.secret_hash,
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=None,
        )
    )
    work.keys_changed([key.id])
    return {
        "key": key.public_id,
        "name": key.name,
        "member": member.public_id,
        "member_name": member.name,
        "scope": key.scope.value,
        "shown_prefix": key.shown_prefix,
        "expires_at": key.expires_at,
    }


def revoke_key(work: UnitOfWork, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A key that no longer works once workers have applied the delta; calls under way are finished and settled."""
    row = find_key(work.connection, required(arguments, "key"))
    if row.revoked_at is not None:
        message = f"key {row.name} ({row.shown_prefix}…) is revoked already"
        raise Refused("already_revoked", message)
    work.connection.execute(schema.api_keys.update().where(schema.api_keys.c.id == row.id).values(revoked_at=work.now))
    work.keys_changed([row.id])
    return {"key": row.public_id, "name": row.name, "shown_prefix": row.shown_prefix, "revoked_at": work.now}
