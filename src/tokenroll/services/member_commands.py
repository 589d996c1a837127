"""What a person changes of one member at a time: fields with their day, and whether their keys may work."""

from collections.abc import Mapping
from typing import Any, Final, Required, TypedDict

from sqlalchemy import select

from tokenroll.model.member import FULL_TIME_MILLIONTHS, EmploymentType, MemberField, MemberKind
from tokenroll.services.finding import find_department, find_member, name_given, required
from tokenroll.services.member_files import part_time_cell
from tokenroll.services.members import change_member, day_given, loop_among, names_by_public_id, stop_keys, told
from tokenroll.services.people import company_zone, refuse_taken, zone_checked
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema

_TEXTS: Final = (MemberField.EMPLOYEE_ID, MemberField.LEVEL, MemberField.LOCATION)


class _Change(TypedDict, total=False):
    member: Required[str]
    on: str
    name: str
    kind: str
    department: str
    employee_id: str
    level: str
    location: str
    employment_type: str
    zone: str
    manager: str
    part_time: str


def change(work: UnitOfWork, arguments: _Change) -> dict[str, Any]:
    """The given fields, from `on` (default today) on; an empty text takes a field away. Raises Refused when nothing would change."""
    row = find_member(work.connection, required(arguments, "member"))
    on = day_given(work, arguments.get("on"), company_zone(work.connection))
    texts: Mapping[str, Any] = arguments
    becomes: dict[MemberField, Any] = {
        field: texts[field.value].strip() or None for field in _TEXTS if field.value in texts
    }
    if "name" in arguments:
        becomes[MemberField.NAME] = name_given(arguments)
        if becomes[MemberField.NAME] != row.name:
            refuse_taken(work.connection, schema.members, becomes[MemberField.NAME], "member")
    if "kind" in arguments:
        becomes[MemberField.KIND] = MemberKind(arguments["kind"]).value
    if "department" in arguments:
        becomes[MemberField.DEPARTMENT] = find_department(work.connection, arguments["department"]).id
    if "employment_type" in arguments:
        text = arguments["employment_type"]
        becomes[MemberField.EMPLOYMENT_TYPE] = EmploymentType(text).value if text else None
    if "zone" in arguments:
        becomes[MemberField.ZONE] = zone_checked(arguments["zone"])
    if "manager" in arguments:
        becomes[MemberField.MANAGER] = _manager(work, row.id, arguments["manager"])
    if "part_time" in arguments:
        part = part_time_cell(arguments["part_time"]) if arguments["part_time"] else FULL_TIME_MILLIONTHS
        becomes[MemberField.WORKING_TIME] = None if part == FULL_TIME_MILLIONTHS else part
    _refuse_taken_id(work, row.id, becomes.get(MemberField.EMPLOYEE_ID))
    changed = change_member(work, row, becomes, on)
    if not changed:
        raise Refused("same", f"{row.name} is so already: nothing to change")
    names = names_by_public_id(work.connection)

    def text_of(field: MemberField, value: Any) -> str | None:
        text = told(work.connection, field, value)
        return None if text is None else names.get(text, text)

    return {
        "member": row.public_id,
        "name": becomes.get(MemberField.NAME, row.name),
        "effective_on": on.isoformat(),
        "changes": [
            {"field": field.value, "was": text_of(field, was), "becomes": text_of(field, new)}
            for field, (was, new) in changed.items()
        ],
    }


class _Suspend(TypedDict):
    member: str


def suspend(work: UnitOfWork, arguments: _Suspend) -> dict[str, Any]:
    """A member's keys stop now and they get no new ones until `resume`; what they have stays theirs."""
    row = find_member(work.connection, required(arguments, "member"))
    if row.suspended_at is not None:
        raise Refused("already_suspended", f"{row.name} is suspended already: `tokenroll member resume '{row.name}'`")
    revoked_count = stop_keys(work, row.id)
    on = day_given(work, None, company_zone(work.connection))
    change_member(work, row, {MemberField.SUSPENDED: work.now}, on)
    return {"member": row.public_id, "name": row.name, "suspended_at": work.now, "revoked_key_count": revoked_count}


def resume(work: UnitOfWork, arguments: _Suspend) -> dict[str, Any]:
    """A suspended member may have keys again. The revoked ones stay revoked: nobody knows who has seen them."""
    row = find_member(work.connection, required(arguments, "member"))
    if row.suspended_at is None:
        raise Refused("not_suspended", f"{row.name} is not suspended: nothing to take back")
    on = day_given(work, None, company_zone(work.connection))
    change_member(work, row, {MemberField.SUSPENDED: None}, on)
    return {"member": row.public_id, "name": row.name, "suspended_at": None}


def _manager(work: UnitOfWork, member_id: int, reference: str) -> int | None:
    if not reference:
        return None
    manager = find_member(work.connection, reference)
    members = schema.members.c
    manager_of: dict[int, int | None] = dict(work.connection.execute(select(members.id, members.manager_id)).all())
    manager_of[member_id] = manager.id
    if manager.id != member_id and loop_among(manager_of, [member_id]):
        raise Refused("loop", f"{manager.name} stands below them already: nobody is above themselves")
    return int(manager.id)


def _refuse_taken_id(work: UnitOfWork, member_id: int, employee_id: str | None) -> None:
    if employee_id is None:
        return
    members = schema.members.c
    where = (members.employee_id == employee_id) & (members.id != member_id)
    holder = work.connection.scalar(select(members.name).where(where))
    if holder is not None:
        raise Refused("taken", f"the id {employee_id!r} is {holder}'s: an id is one member's")
