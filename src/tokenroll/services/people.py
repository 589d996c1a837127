"""Departments, members and pools: who there is, and the wallet each of them gets."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Connection, select

from tokenroll.model.department import Department
from tokenroll.model.member import Member, MemberKind
from tokenroll.model.pool import Pool
from tokenroll.model.wallet import HolderKind
from tokenroll.services.finding import find_department, find_member, name_given, required
from tokenroll.services.members import new_member, open_wallet
from tokenroll.services.unit_of_work import Refused, UnitOfWork
from tokenroll.store import schema

COMPANY_NAME_SETTING: Final = "company_name"
COMPANY_ZONE_SETTING: Final = "company_zone"


def set_company(work: UnitOfWork, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The company's name and zone; pools begin their months in that zone. Wallets that exist keep theirs."""
    name, zone = name_given(arguments), zone_checked(required(arguments, "zone"))
    work.setting_changed(COMPANY_NAME_SETTING, name)
    work.setting_changed(COMPANY_ZONE_SETTING, zone)
    return {"name": name, "zone": zone}


def create_department(work: UnitOfWork, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A cost centre, under another one if `parent` names it."""
    name = name_given(arguments)
    parent = arguments.get("parent")
    refuse_taken(work.connection, schema.departments, name, "department")
    department = Department(
        id=work.new_id("departments"),
        public_id=work.public_id("department"),
        name=name,
        cost_centre=arguments.get("cost_centre") or name,
        parent_id=None if parent is None else find_department(work.connection, parent).id,
    )
    work.connection.execute(
        schema.departments.insert().values(
            id=department.id,
            public_id=department.public_id,
            name=department.name,
            cost_centre=department.cost_centre,
            parent_id=department.parent_id,
            recorded_at=work.now,
        )
    )
    return {"department": department.public_id, "name": name, "cost_centre": department.cost_centre}


def create_member(work: UnitOfWork, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A person or a service account, and a wallet in their zone."""
    name = name_given(arguments)
    refuse_taken(work.connection, schema.members, name, "member")
    department = find_department(work.connection, required(arguments, "department"))
    member, wallet = new_member(
        work,
        {
            "name": name,
            "kind": MemberKind(arguments.get("kind") or MemberKind.PERSON).value,
            "department_id": department.id,
            "zone": zone_checked(arguments.get("zone") or company_zone(work.connection)),
            "hired_on": None if (hired_on := _date(arguments.get("hired_on"))) is None else hired_on.isoformat(),
        },
    )
    return {
        "member": member.public_id,
        "wallet": wallet.public_id,
        "name": name,
        "department_name": department.name,
        "zone": member.zone,
    }


def leave(work: UnitOfWork, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A member's last day is recorded and their keys stop working now, because a key outlives nobody's employment.

    What they have vested and not vested stays as it is: what becomes of it is the plan's rule, and plans have none yet.
    """
    row = find_member(work.connection, required(arguments, "member"))
    if row.left_on is not None:
        message = f"{row.name} has left on {row.left_on} already"
        raise Refused("already_left", message)
    left_on = _date(required(arguments, "left_on"))
    Member(
        id=row.id,
        public_id=row.public_id,
        name=row.name,
        kind=MemberKind(row.kind),
        department_id=row.department_id,
        zone=row.zone,
        hired_on=_date(row.hired_on),
        left_on=left_on,
    )
    members, keys = schema.members, schema.api_keys
    work.connection.execute(
        members.update().where(members.c.id == row.id).values(left_on=left_on and left_on.isoformat())
    )
    where = (keys.c.member_id == row.id) & keys.c.revoked_at.is_(None)
    key_ids = list(work.connection.scalars(select(keys.c.id).where(where)))
    work.connection.execute(keys.update().where(where).values(revoked_at=work.now))
    work.keys_changed(key_ids)
    return {"member": row.public_id, "name": row.name, "left_on": str(left_on), "revoked_key_count": len(key_ids)}


def create_pool(work: UnitOfWork, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A wallet that a department, or everybody, draws on after their own lots. One pool serves one member at a time."""
    name = name_given(arguments)
    reference = arguments.get("department")
    department = None if reference is None else find_department(work.connection, reference)
    department_id = None if department is None else department.id
    pools, members, keys = schema.pools, schema.members, schema.api_keys
    if work.connection.execute(select(pools).where(pools.c.department_id == department_id)).first() is not None:
        message = (
            f"{'the company' if department is None else department.name} has a pool already: `tokenroll pool list`"
        )
        raise Refused("taken", message)
    kind = HolderKind.COMPANY if department is None else HolderKind.DEPARTMENT
    wallet = open_wallet(work, kind, department_id or 0, name, company_zone(work.connection))
    pool = Pool(wallet_id=wallet.id, department_id=department_id)
    work.connection.execute(pools.insert().values(wallet_id=pool.wallet_id, department_id=pool.department_id))
    served = (
        select(members.c.id)
        if department_id is None
        else select(members.c.id).where(members.c.department_id == department_id)
    )
    work.keys_changed(work.connection.scalars(select(keys.c.id).where(keys.c.member_id.in_(served))))
    return {"wallet": wallet.public_id, "name": name, "serves": "everybody" if department is None else department.name}


def company_zone(connection: Connection) -> str:
    """The zone in which the company's own cycles begin; set when its home was made."""
    where = schema.settings.c.name == COMPANY_ZONE_SETTING
    return str(connection.scalar(select(schema.settings.c.value).where(where)) or "UTC")


def zone_checked(name: str) -> str:
    """The same name, proven to be an IANA time zone. Raises Refused."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        message = f"{name!r} is not an IANA time zone, such as Europe/Berlin"
        raise Refused("zone", message) from error
    return name


def refuse_taken(connection: Connection, table: Any, name: str, noun: str) -> None:
    """Nothing, unless something of this noun has the name. Raises Refused."""
    if connection.execute(select(table.c.id).where(table.c.name == name)).first() is not None:
        message = f"there is a {noun} {name!r} already: choose another name, or `tokenroll {noun} show '{name}'`"
        raise Refused("taken", message)


def _date(text: str | None) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        message = f"{text!r} is not a date such as 2026-01-31"
        raise Refused("argument", message) from error
