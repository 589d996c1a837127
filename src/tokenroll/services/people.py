"""Departments, members and pools: who there is, and the wallet each of them gets."""

from collections.abc import Mapping
from typing import Any, Final, Required, TypedDict
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Connection, select

from tokenroll.model.department import Department
from tokenroll.model.member import MemberField, MemberKind
from tokenroll.model.plan_terms import TerminationReason
from tokenroll.model.pool import DrawRule, Pool
from tokenroll.model.wallet import HolderKind
from tokenroll.services.ending import Leaving, end_grants
from tokenroll.services.finding import date_given, find_department, find_member, find_wallet, name_given, required
from tokenroll.services.members import change_member, new_member, open_wallet, today_in
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema

COMPANY_NAME_SETTING: Final = "company_name"
COMPANY_ZONE_SETTING: Final = "company_zone"


class _SetCompany(TypedDict):
    name: str
    zone: str


def set_company(work: UnitOfWork, arguments: _SetCompany) -> dict[str, Any]:
    """The company's name and zone; pools begin their months in that zone. Wallets that exist keep theirs."""
    name, zone = name_given(arguments), zone_checked(required(arguments, "zone"))
    work.setting_changed(COMPANY_NAME_SETTING, name)
    work.setting_changed(COMPANY_ZONE_SETTING, zone)
    return {"name": name, "zone": zone}


class _CreateDepartment(TypedDict, total=False):
    name: Required[str]
    cost_centre: str
    parent: str


def create_department(work: UnitOfWork, arguments: _CreateDepartment) -> dict[str, Any]:
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


class _CreateMember(TypedDict, total=False):
    name: Required[str]
    department: Required[str]
    zone: str
    kind: str
    hired_on: str


def create_member(work: UnitOfWork, arguments: _CreateMember) -> dict[str, Any]:
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
            "hired_on": date_given(arguments["hired_on"]).isoformat() if arguments.get("hired_on") else None,
        },
    )
    return {
        "member": member.public_id,
        "wallet": wallet.public_id,
        "name": name,
        "department_name": department.name,
        "zone": member.zone,
    }


class _Leave(TypedDict, total=False):
    member: Required[str]
    left_on: Required[str]
    reason: str
    revoke_keys: bool


def leave(work: UnitOfWork, arguments: _Leave) -> dict[str, Any]:
    """A member's last day, and what it ends: unvested credits, vested ones after the window of their plan, and then the keys.

    Everything follows from the date, so a day to come may be recorded today. Keys end with the last window, else with the last day;
    they stop at once when that has come, or with `revoke_keys`. `reason` is why they leave: plans give windows by it.
    """
    row = find_member(work.connection, required(arguments, "member"))
    if row.left_on is not None:
        message = f"{row.name} has left on {row.left_on} already"
        raise Refused("already_left", message)
    left_on = date_given(required(arguments, "left_on"))
    reason = _termination_reason(arguments.get("reason"))
    wallets, keys = schema.wallets.c, schema.api_keys.c
    leaving = Leaving(left_on=left_on, zone=ZoneInfo(row.zone), reason=reason)
    own = (wallets.holder_kind == HolderKind.MEMBER.value) & (wallets.holder_id == row.id)
    grants = [
        ended
        for wallet_id in work.connection.scalars(select(wallets.id).where(own).order_by(wallets.id)).all()
        for ended in end_grants(work, wallet_id, leaving)
    ]
    kept_until = max((one["kept_until"] for one in grants if one["kept_until"]), default=0)
    ends = work.now if arguments.get("revoke_keys") else kept_until if kept_until > leaving.until() else None
    live = select(keys.id).where(keys.member_id == row.id, keys.revoked_at.is_(None))
    key_ids = work.connection.scalars(live).all()
    change_member(work, row, {MemberField.LEFT_ON: left_on.isoformat()}, today_in(row.zone, work.now), keys_until=ends)
    revoked_count = len(key_ids) - len(work.connection.scalars(live).all())
    is_over = left_on <= today_in(row.zone, work.now) if ends is None else ends <= work.now
    return {
        "member": row.public_id,
        "name": row.name,
        "left_on": left_on.isoformat(),
        "reason": reason.value,
        "keys_until": None if is_over else ends or leaving.until(),
        "revoked_key_count": revoked_count,
        "forfeited_nanos": sum(one["forfeited_nanos"] for one in grants),
        "clawed_back_nanos": sum(one["clawed_back_nanos"] for one in grants),
        "kept_nanos": sum(one["kept_nanos"] for one in grants),
        "grants": grants,
    }


def _termination_reason(text: str | None) -> TerminationReason:
    try:
        return TerminationReason(text or TerminationReason.VOLUNTARY_OTHER)
    except ValueError as error:
        message = f"{text!r} is not a reason for leaving: use one of {', '.join(TerminationReason)}"
        raise Refused("argument", message) from error


class _CreatePool(TypedDict, total=False):
    name: Required[str]
    department: str
    draw_rule: str


def create_pool(work: UnitOfWork, arguments: _CreatePool) -> dict[str, Any]:
    """A wallet that a department, or everybody, draws on after their own lots. One pool serves one member at a time."""
    name = name_given(arguments)
    reference = arguments.get("department")
    department = None if reference is None else find_department(work.connection, reference)
    department_id = None if department is None else department.id
    pools = schema.pools
    if work.connection.execute(select(pools).where(pools.c.department_id == department_id)).first() is not None:
        message = (
            f"{'the company' if department is None else department.name} has a pool already: `tokenroll pool list`"
        )
        raise Refused("taken", message)
    if work.connection.execute(select(schema.wallets.c.id).where(schema.wallets.c.name == name)).first() is not None:
        message = f"there is a wallet {name!r} already: choose another name"
        raise Refused("taken", message)
    kind = HolderKind.COMPANY if department is None else HolderKind.DEPARTMENT
    wallet = open_wallet(work, kind, department_id or 0, name, company_zone(work.connection))
    pool = Pool(wallet_id=wallet.id, department_id=department_id, draw_rule=_draw_rule(arguments))
    work.connection.execute(
        pools.insert().values(
            wallet_id=pool.wallet_id, department_id=pool.department_id, draw_rule=pool.draw_rule.value
        )
    )
    _tell_keys(work)
    return {
        "wallet": wallet.public_id,
        "name": name,
        "serves": "everybody" if department is None else department.name,
        "draw_rule": pool.draw_rule.value,
    }


class _SetPool(TypedDict, total=False):
    pool: Required[str]
    draw_rule: str


def set_pool(work: UnitOfWork, arguments: _SetPool) -> dict[str, Any]:
    """Another draw rule for a pool: from now on its members' calls take from it first, or last."""
    pools = schema.pools
    row = find_wallet(work.connection, required(arguments, "pool"))
    rule = _draw_rule(arguments)
    where = pools.c.wallet_id == row.id
    if not work.connection.execute(pools.update().where(where).values(draw_rule=rule.value)).rowcount:
        message = f"{row.name} is no pool: `tokenroll pool list`"
        raise Refused("not_found", message)
    _tell_keys(work)
    return {"wallet": row.public_id, "name": row.name, "draw_rule": rule.value}


def _tell_keys(work: UnitOfWork) -> None:
    """Gateways hear of every live key, because a pool serves the departments below its own, too."""
    keys, members = schema.api_keys.c, schema.members.c
    live = select(keys.id).join(schema.members, members.id == keys.member_id).where(keys.revoked_at.is_(None))
    work.keys_changed(work.connection.scalars(live))


def _draw_rule(arguments: Mapping[str, Any]) -> DrawRule:
    given = arguments.get("draw_rule") or DrawRule.OWN_FIRST
    try:
        return DrawRule(given)
    except ValueError as error:
        message = f"a pool is drawn {' or '.join(DrawRule)}, not {given!r}"
        raise Refused("argument", message) from error


def company_zone(connection: Connection) -> str:
    """The zone in which the company's own cycles begin; set when its home was made."""
    where = schema.settings.c.name == COMPANY_ZONE_SETTING
    return str(connection.scalar(select(schema.settings.c.value).where(where)) or "UTC")


def zone_checked(name: str) -> str:
    """The same name, proven to be an IANA time zone. Raises Refused."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # a folder of zones is none
        message = f"{name!r} is not an IANA time zone, such as Europe/Berlin"
        raise Refused("zone", message) from error
    return name


def refuse_taken(connection: Connection, table: Any, name: str, noun: str) -> None:
    """Nothing, unless something of this noun has the name. Raises Refused."""
    if connection.execute(select(table.c.id).where(table.c.name == name)).first() is not None:
        message = f"there is a {noun} {name!r} already: choose another name, or `tokenroll {noun} show '{name}'`"
        raise Refused("taken", message)
