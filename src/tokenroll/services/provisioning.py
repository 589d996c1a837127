"""What an identity provider says of people: a user is a member, a group is a department (decision 0044).

A user and a group come whole, as they shall be; what is so already is not written again, so the same request twice does once.
What is not said of a member stays: a provider does not know everything.
"""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any, Final, Required, TypedDict, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Row, func, select

from tokenroll.model.checks import name_checked
from tokenroll.model.limits import NAME_CHARACTERS_MAX, SCIM_VALUES_MAX
from tokenroll.model.member import FULL_TIME_MILLIONTHS, MemberField, MemberKind
from tokenroll.services.approvers_told import tell_denials
from tokenroll.services.finding import required
from tokenroll.services.member_files import part_time_cell
from tokenroll.services.members import (
    change_member,
    last_day_over,
    loop_among,
    member_from_row,
    new_member,
    today_in,
)
from tokenroll.services.people import company_zone, create_department
from tokenroll.services.refusal import Refused
from tokenroll.services.scim_documents import ENTERPRISE, GROUPS, MEMBER, USERS, Document, Kind, ScimError
from tokenroll.services.scim_resources import UNASSIGNED, Directory, folded, version_of
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema
from tokenroll.store.journal import canonical

OWN: Final = ("name", "displayName", "title", "userType", "emails")
"""What is the provider's own: replaced whole, kept as it was said."""
VERSION: Final = "version"
UNIQUENESS: Final = "uniqueness"


class _PutUser(TypedDict, total=False):
    user: Required[dict[str, Any]]
    user_id: str
    version: str


def put_user(work: UnitOfWork, arguments: _PutUser) -> dict[str, Any]:
    """A user created (without `user_id`) or brought to what `user` says, if it still has the `version` that the asker saw."""
    user: Document = required(arguments, "user")
    user_name = str(user.get("userName") or "")
    if not user_name:
        raise Refused("invalidValue", "userName is needed: the name with which somebody signs in")
    name_checked(user_name, "userName")
    row = _seen(work, USERS, arguments)
    on = today_in(company_zone(work.connection), work.now)
    taken = _identity_named(work, user_name)
    if taken is not None and taken.removed_at is None and (row is None or taken.member_id != row.id):
        raise Refused(UNIQUENESS, f"userName {user_name!r} is another user's")
    if taken is not None and taken.removed_at is not None and not _is_back(work, taken, user, row):
        users = schema.identity_users
        work.connection.execute(users.delete().where(users.c.member_id == taken.member_id))
        taken = None
    if row is None:
        row = _former(work, taken, user) or _created(work, user, user_name)
    before = _said_before(work, row.id)
    _store_identity(work, row.id, user, user_name)
    _bring(work, row, user, user_name, before, on)
    return {"user": row.public_id}


class _RemoveUser(TypedDict, total=False):
    user_id: Required[str]
    version: str


def remove_user(work: UnitOfWork, arguments: _RemoveUser) -> dict[str, Any]:
    """A user that the provider deletes is suspended and no longer shown; member, wallet and history are kept."""
    row = _seen(work, USERS, {**arguments, "user_id": required(arguments, "user_id")})
    assert row is not None
    on = today_in(company_zone(work.connection), work.now)
    if row.suspended_at is None:
        change_member(work, row, {MemberField.SUSPENDED: work.now}, on)
    users = schema.identity_users
    work.connection.execute(
        users.update().where(users.c.member_id == row.id).values(removed_at=work.now, changed_at=work.now)
    )
    return {"user": row.public_id}


class _PutGroup(TypedDict, total=False):
    group: Required[dict[str, Any]]
    group_id: str
    version: str


def put_group(work: UnitOfWork, arguments: _PutGroup) -> dict[str, Any]:
    """A department created (without `group_id`) or brought to what `group` says: its name, and whose department it is."""
    group: Document = required(arguments, "group")
    name = str(group.get("displayName") or "")
    if not name:
        raise Refused("invalidValue", "displayName is needed: the department's name")
    row = _seen(work, GROUPS, arguments)
    departments, groups = schema.departments, schema.identity_groups
    namesake = work.connection.execute(select(departments).where(departments.c.name == name)).one_or_none()
    if row is None and namesake is not None and _is_removed(work, namesake.id):
        row = namesake
    if namesake is not None and (row is None or namesake.id != row.id):
        raise Refused(UNIQUENESS, f"displayName {name!r} is another group's")
    if row is None:
        create_department(work, {"name": name})
        row = work.connection.execute(select(departments).where(departments.c.name == name)).one()
    elif row.name != name:
        name_checked(name, "displayName")
        work.connection.execute(departments.update().where(departments.c.id == row.id).values(name=name))
        tell_denials(work)
    said = {"external_id": group.get("externalId"), "changed_at": work.now, "removed_at": None}
    work.connection.execute(groups.delete().where(groups.c.department_id == row.id))
    work.connection.execute(groups.insert(), {"department_id": row.id, **said})
    if "members" in group:
        _bring_members(work, row, {one.get("value") for one in group["members"] or ()})
    return {"group": row.public_id}


class _RemoveGroup(TypedDict, total=False):
    group_id: Required[str]
    version: str


def remove_group(work: UnitOfWork, arguments: _RemoveGroup) -> dict[str, Any]:
    """A group that the provider deletes is no longer shown and its users have no department; the cost centre keeps its past."""
    row = _seen(work, GROUPS, {**arguments, "group_id": required(arguments, "group_id")})
    assert row is not None
    if row.name == UNASSIGNED:
        raise Refused("mutability", f"{UNASSIGNED} is where those without a department are; it cannot be deleted")
    _bring_members(work, row, set())
    groups = schema.identity_groups
    work.connection.execute(groups.delete().where(groups.c.department_id == row.id))
    work.connection.execute(
        groups.insert(), {"department_id": row.id, "external_id": None, "changed_at": work.now, "removed_at": work.now}
    )
    return {"group": row.public_id}


# ---- who is meant ------------------------------------------------------------------------------------------------------------


def _seen(work: UnitOfWork, kind: Kind, arguments: Mapping[str, Any]) -> Row[Any] | None:
    """The row of the resource that is changed, as the asker saw it; None for a new one. Raises Refused."""
    public_id = arguments.get("user_id" if kind is USERS else "group_id")
    if not public_id:
        return None
    try:
        document = Directory(work.connection, work.now).find(kind, public_id)
    except ScimError as error:
        raise Refused("not_found", error.detail) from error
    if arguments.get(VERSION) not in {None, version_of(document)}:
        raise Refused(VERSION, f"the {kind.name} was changed meanwhile: read it again")
    table = schema.members if kind is USERS else schema.departments
    return work.connection.execute(select(table).where(table.c.public_id == public_id)).one()


def _identity_named(work: UnitOfWork, user_name: str) -> Row[Any] | None:
    users = schema.identity_users
    return work.connection.execute(select(users).where(users.c.user_name_folded == folded(user_name))).one_or_none()


def _is_removed(work: UnitOfWork, department_id: int) -> bool:
    groups = schema.identity_groups.c
    return work.connection.scalar(select(groups.removed_at).where(groups.department_id == department_id)) is not None


def _is_back(work: UnitOfWork, removed: Row[Any], user: Document, asked: Row[Any] | None) -> bool:
    """Whether a new user of a deleted one's name is the same person, and not somebody who was given the address later.

    A number or an id of the provider that both have decides; without one only the name is left to go by, and whoever has left is
    not back by it.
    """
    members = schema.members
    if asked is not None:
        return bool(removed.member_id == asked.id)
    member = work.connection.execute(select(members).where(members.c.id == removed.member_id)).one()
    number = (user.get(ENTERPRISE) or {}).get("employeeNumber")
    for told, known in ((number, member.employee_id), (user.get("externalId"), removed.external_id)):
        if told and known:
            return bool(told == known)
    return not last_day_over(member_from_row(member), work.now)


def _said_before(work: UnitOfWork, member_id: int) -> tuple[str, Document] | None:
    """User name and own attributes as the provider said them last; None for a member of whom it said nothing."""
    users = schema.identity_users
    row = work.connection.execute(select(users).where(users.c.member_id == member_id)).one_or_none()
    return None if row is None else (row.user_name, json.loads(row.attributes_json))


def _former(work: UnitOfWork, removed: Row[Any] | None, user: Document) -> Row[Any] | None:
    """The member that a new user is already: a deleted user of the same name, else one whom the people system numbers so."""
    members, users = schema.members, schema.identity_users
    if removed is not None:
        return work.connection.execute(select(members).where(members.c.id == removed.member_id)).one()
    number = (user.get(ENTERPRISE) or {}).get("employeeNumber")
    if not number:
        return None
    row = work.connection.execute(select(members).where(members.c.employee_id == number)).one_or_none()
    if row is None:
        return None
    identity = work.connection.execute(select(users).where(users.c.member_id == row.id)).one_or_none()
    if identity is not None and identity.removed_at is None:
        raise Refused(UNIQUENESS, f"employeeNumber {number!r} is the user {identity.user_name!r}")
    return row


def _created(work: UnitOfWork, user: Document, user_name: str) -> Row[Any]:
    enterprise = user.get(ENTERPRISE) or {}
    member, _ = new_member(
        work,
        {
            "name": _member_name(work, user, user_name, 0),
            "kind": MemberKind.PERSON.value,
            "department_id": _department_id(work, enterprise.get("department") or UNASSIGNED),
            "zone": _zone(user.get("timezone")) or company_zone(work.connection),
            "employee_id": enterprise.get("employeeNumber"),
        },
    )
    members = schema.members
    return work.connection.execute(select(members).where(members.c.id == member.id)).one()


# ---- what becomes of them -----------------------------------------------------------------------------------------------------


def _store_identity(work: UnitOfWork, member_id: int, user: Document, user_name: str) -> None:
    users = schema.identity_users
    said = {name: user[name] for name in OWN if user.get(name) not in (None, [], {})}
    if len(said.get("emails", ())) > SCIM_VALUES_MAX:
        raise Refused("invalidValue", f"emails holds at most {SCIM_VALUES_MAX} values, not {len(said['emails'])}")
    work.connection.execute(users.delete().where(users.c.member_id == member_id))
    work.connection.execute(
        users.insert(),
        {
            "member_id": member_id,
            "user_name": user_name,
            "user_name_folded": folded(user_name),
            "external_id": user.get("externalId"),
            "attributes_json": canonical(said).decode(),
            "changed_at": work.now,
            "removed_at": None,
        },
    )


def _bring(
    work: UnitOfWork, row: Row[Any], user: Document, user_name: str, before: tuple[str, Document] | None, on: date
) -> None:
    """The member changed to what the user says; what it does not say stays, and so does a name that it says as before."""
    enterprise, own = user.get(ENTERPRISE) or {}, user.get(MEMBER) or {}
    becomes: dict[MemberField, Any] = {}
    if before is not None and _called(before[1], before[0]) != _called(user, user_name):
        becomes[MemberField.NAME] = _member_name(work, user, user_name, row.id)
    if "employeeNumber" in enterprise:
        becomes[MemberField.EMPLOYEE_ID] = _free_number(work, enterprise["employeeNumber"], row.id)
    if "department" in enterprise:
        becomes[MemberField.DEPARTMENT] = _department_id(work, enterprise["department"] or UNASSIGNED)
    if "manager" in enterprise:
        becomes[MemberField.MANAGER] = _manager_id(work, enterprise["manager"], row.id)
    if user.get("timezone"):
        becomes[MemberField.ZONE] = _zone(user["timezone"])
    texts = {
        "level": MemberField.LEVEL,
        "location": MemberField.LOCATION,
        "employmentType": MemberField.EMPLOYMENT_TYPE,
    }
    becomes.update({field: own[name] for name, field in texts.items() if name in own})
    if "hiredOn" in own:
        becomes[MemberField.HIRED_ON] = _day(own["hiredOn"])
    if "partTime" in own:
        part = part_time_cell(own["partTime"]) if own["partTime"] else FULL_TIME_MILLIONTHS
        becomes[MemberField.WORKING_TIME] = None if part == FULL_TIME_MILLIONTHS else part
    active = user.get("active")
    has_left = last_day_over(member_from_row(row), work.now)
    if active and has_left:
        raise Refused(
            "mutability", f"{row.name} has left on {row.left_on}: the people system takes that back, not the provider"
        )
    if active is not None and not has_left and active != (row.suspended_at is None):
        becomes[MemberField.SUSPENDED] = None if active else work.now
    try:
        change_member(work, row, becomes, on)
    except ValueError as error:
        raise Refused("invalidValue", str(error)) from error


def _bring_members(work: UnitOfWork, department: Row[Any], wanted: set[str | None]) -> None:
    """Whose department it is from now on; whoever is no longer among them has none."""
    members, users = schema.members, schema.identity_users
    query = select(members).join(users, users.c.member_id == members.c.id).where(users.c.removed_at.is_(None))
    rows = {row.public_id: row for row in work.connection.execute(query)}
    if unknown := sorted(str(one) for one in wanted - rows.keys()):
        raise Refused("invalidValue", f"members names {unknown[0]!r}, which is no user's id; groups hold users only")
    on = today_in(company_zone(work.connection), work.now)
    for public_id, row in rows.items():
        if public_id in wanted:
            change_member(work, row, {MemberField.DEPARTMENT: department.id}, on)
        elif row.department_id == department.id and department.name != UNASSIGNED:
            change_member(work, row, {MemberField.DEPARTMENT: _department_id(work, UNASSIGNED)}, on)


def _department_id(work: UnitOfWork, name: str) -> int:
    """The department of that name, made when it is not there: a provider cannot be asked."""
    departments = schema.departments
    query = select(departments.c.id).where(departments.c.name == name)
    found = work.connection.scalar(query)
    if found is None:
        create_department(work, {"name": name})
        found = work.connection.execute(query).scalar_one()
    return cast("int", found)


def _called(user: Document, user_name: str) -> str:
    """What people call a user."""
    parts = user.get("name") or {}
    whole = " ".join(part for part in (parts.get("givenName"), parts.get("familyName")) if part)
    return str(user.get("displayName") or parts.get("formatted") or whole or user_name)


def _member_name(work: UnitOfWork, user: Document, user_name: str, member_id: int) -> str:
    """What people call them; with the user name behind it when somebody else is called so."""
    name = _called(user, user_name)
    members = schema.members.c
    for candidate in (name, f"{name} ({user_name})"[:NAME_CHARACTERS_MAX]):
        where = (members.name == candidate) & (members.id != member_id)
        if work.connection.scalar(select(func.count()).where(where)) == 0:
            return candidate
    raise Refused(UNIQUENESS, f"{name!r} and {candidate!r} are other members' names")


def _free_number(work: UnitOfWork, number: str | None, member_id: int) -> str | None:
    members = schema.members.c
    where = (members.employee_id == number) & (members.id != member_id)
    if number and (holder := work.connection.scalar(select(members.name).where(where))) is not None:
        raise Refused(UNIQUENESS, f"employeeNumber {number!r} is {holder}'s")
    return number or None


def _manager_id(work: UnitOfWork, manager: Document | None, member_id: int) -> int | None:
    reference = (manager or {}).get("value")
    if not reference:
        return None
    members = schema.members.c
    found = work.connection.scalar(select(members.id).where(members.public_id == reference))
    if found is None:
        raise Refused("invalidValue", f"manager {reference!r} is no user's id")
    manager_of: dict[int, int | None] = dict(work.connection.execute(select(members.id, members.manager_id)).all())
    manager_of[member_id] = found
    if loop_among(manager_of, [member_id]):
        raise Refused("invalidValue", f"manager {reference!r} stands below this user already")
    return cast("int", found)


def _zone(name: str | None) -> str | None:
    if not name:
        return None
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Refused("invalidValue", f"timezone {name!r} is not an IANA time zone, such as Europe/Berlin") from error


def _day(text: str | None) -> str | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text[:10]).isoformat()
    except ValueError as error:
        raise Refused("invalidValue", f"hiredOn {text!r} is not a date such as 2026-01-31") from error
