"""Finding a row by what a person types: its id or its name. What is not found, or is more than one, is refused in words.

Names are kept without the blanks around them, so they are also found when they are typed with such blanks.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, Row, Table, or_, select

from tokenroll.model.instant import Instant, text_from_instant
from tokenroll.model.limits import ENTERED_AT_MAX, ENTERED_AT_MIN, ENTERED_DATE_MAX
from tokenroll.model.wallet import HolderKind
from tokenroll.services.refusal import Refused
from tokenroll.store import schema

_PUBLIC_ID: Final = re.compile(r"[a-z]+_[0-9a-f]{32}")


def required(arguments: Mapping[str, Any], name: str) -> Any:
    """The argument, which must be there. Raises Refused."""
    value = arguments.get(name)
    if value is None or value == "":
        message = f"the {name.replace('_', ' ')} is missing: it must be given and not be empty"
        raise Refused("argument", message)
    return value


def name_given(arguments: Mapping[str, Any], name: str = "name") -> str:
    """The name that something gets, without the blanks around it: nobody sees those in a list. Raises Refused for a blank one."""
    return str(required({name: str(arguments.get(name) or "").strip()}, name))


def seen_name(name: str) -> str:
    """What of a name people tell apart at a glance: without case, blanks and the forms that Unicode calls compatible."""
    return "".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split())


def instant_given(arguments: Mapping[str, Any], name: str, default: Instant) -> Instant:
    """The instant that the asker entered, else the default. Raises Refused outside the years that may be entered."""
    at = arguments.get(name)
    if at is None:
        return default
    if type(at) is not int or not ENTERED_AT_MIN <= at <= ENTERED_AT_MAX:
        first, last = text_from_instant(ENTERED_AT_MIN), text_from_instant(ENTERED_AT_MAX // 10**6 * 10**6)
        message = f"{name.replace('_', ' ')} must lie between {first} and {last}"
        raise Refused("argument", message)
    return at


def date_given(text: str) -> date:
    """The date of an ISO text. Raises Refused, also beyond the years that may be entered."""
    try:
        found = date.fromisoformat(text)
    except ValueError as error:
        message = f"{text!r} is not a date such as 2026-01-31"
        raise Refused("argument", message) from error
    return date_in_reach(found)


def date_in_reach(found: date) -> date:
    """The same date. Raises Refused beyond the last that may be entered: an end that never comes is left out, not written down."""
    if found > ENTERED_DATE_MAX:
        message = f"{found} is too late: dates end with {ENTERED_DATE_MAX}; leave out an end that never comes"
        raise Refused("argument", message)
    return found


def find_department(connection: Connection, reference: str) -> Row[Any]:
    """The department with this id or name. Raises Refused."""
    return _find(connection, schema.departments, reference, "department", "`tokenroll department list` shows them")


def find_member(connection: Connection, reference: str) -> Row[Any]:
    """The member with this id or name. Raises Refused."""
    return _find(connection, schema.members, reference, "member", "`tokenroll member list` shows them")


def find_plan(connection: Connection, reference: str, at: Instant) -> Row[Any]:
    """The version with this id, else the version of this name that holds at `at`, else its first to come. Raises Refused."""
    plans = schema.plans
    if _PUBLIC_ID.fullmatch(reference):
        row = connection.execute(select(plans).where(plans.c.public_id == reference)).one_or_none()
        if row is not None:
            return row
    versions = connection.execute(select(plans).where(plans.c.name == reference).order_by(plans.c.version)).all()
    if not versions and reference != reference.strip():
        return find_plan(connection, reference.strip(), at)
    if not versions:
        message = f"there is no plan {reference!r}: `tokenroll plan list` shows them"
        raise Refused("not_found", message)
    holding = [row for row in versions if row.effective_at <= at]
    return holding[-1] if holding else versions[0]


def find_grant(connection: Connection, reference: str) -> Row[Any]:
    """The grant with this id. Raises Refused."""
    grants = schema.grants
    rows = connection.execute(select(grants).where(grants.c.public_id == reference.strip())).all()
    return _one(rows, reference, "grant", "`tokenroll grant list` shows them")


def find_wallet(connection: Connection, reference: str) -> Row[Any]:
    """The wallet with this id, of this member (id or name), or of this pool's name. Raises Refused."""
    wallets, members = schema.wallets, schema.members
    holder = select(members.c.id).where(or_(members.c.public_id == reference, members.c.name == reference))
    rows = connection.execute(
        select(wallets).where(
            or_(
                wallets.c.public_id == reference,
                (wallets.c.holder_kind == HolderKind.MEMBER.value) & wallets.c.holder_id.in_(holder),
                (wallets.c.holder_kind != HolderKind.MEMBER.value) & (wallets.c.name == reference),
            )
        )
    ).all()
    if not rows and reference != reference.strip():
        return find_wallet(connection, reference.strip())
    return _one(rows, reference, "wallet", "`tokenroll wallet list` shows them")


def find_key(connection: Connection, reference: str) -> Row[Any]:
    """The key with this id, name or first characters. Raises Refused."""
    keys = schema.api_keys
    where = or_(keys.c.public_id == reference, keys.c.name == reference, keys.c.shown_prefix == reference)
    return _one(
        connection.execute(select(keys).where(where)).all(), reference, "key", "`tokenroll key list` shows them"
    )


def _find(connection: Connection, table: Table, reference: str, noun: str, hint: str) -> Row[Any]:
    where = or_(table.c.public_id == reference, table.c.name == reference)
    rows = connection.execute(select(table).where(where)).all()
    if not rows and reference != reference.strip():
        return _find(connection, table, reference.strip(), noun, hint)
    return _one(rows, reference, noun, hint)


def _one(rows: Any, reference: str, noun: str, hint: str) -> Row[Any]:
    found: list[Row[Any]] = list(rows)
    if not found:
        message = f"there is no {noun} {reference!r}: {hint}"
        raise Refused("not_found", message)
    if len(found) > 1:
        message = f"{reference!r} names {len(found)} {noun}s: use the id; {hint}"
        raise Refused("ambiguous", message)
    return found[0]
