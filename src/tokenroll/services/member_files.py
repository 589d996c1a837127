"""Members as a file of another system: known by that system's own ids, compared field by field, imported as a whole."""

import difflib
from collections.abc import Mapping
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Required, TypedDict, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Row, bindparam, select

from tokenroll.model.limits import ABSENT_COUNT_MIN, ABSENT_PERCENT_MAX, MEMBERS_PER_FILE_MAX
from tokenroll.model.member import FULL_TIME_MILLIONTHS, EmploymentType, MemberField, MemberKind
from tokenroll.services.finding import required
from tokenroll.services.members import (
    COLUMN_OF,
    change_member,
    day_given,
    loop_among,
    new_member,
    told,
)
from tokenroll.services.people import company_zone, create_department, leave
from tokenroll.services.refusal import Refused
from tokenroll.services.row_files import (
    Column,
    RowFileError,
    RowFormat,
    choice_cell,
    date_cell,
    id_cell,
    name_cell,
    read_rows,
    shortened,
)
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema


class MemberFileError(RowFileError):
    """A file that cannot be used: every problem in a line of its own, with file, line and field."""


class LeaverPolicy(StrEnum):
    """What becomes of members whom another system named before and this file does not."""

    KEEP = "keep"
    SUSPEND = "suspend"
    LEAVE = "leave"


def read_members(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV or JSON by their ids; a column that is not there says nothing, an empty cell says "none".

    Raises MemberFileError with every mistake in it, not only the first.
    """
    return read_rows(path, _FORMAT)


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{text!r} is not an IANA time zone, such as Europe/Berlin") from error
    return text


def part_time_cell(text: str) -> int:
    """The part of full time that somebody works (`0.8`, `80%` or `4/5`), in millionths."""
    try:
        part = Fraction(text.removesuffix("%").strip()) / (100 if text.endswith("%") else 1)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{text!r} is no part of full time such as 0.8, 80% or 4/5") from error
    if not 0 < part <= 1:
        raise ValueError(f"must lie above 0 and at most at 1, which is full time, not at {text}")
    return max(1, round(part * FULL_TIME_MILLIONTHS))


_FORMAT: Final = RowFormat(
    plural="members",
    rows_max=MEMBERS_PER_FILE_MAX,
    error=MemberFileError,
    keeps_empty=True,
    also_called={"employee_id": "id"},
    columns={
        "id": Column(read=id_cell, needed=True),
        "name": Column(read=name_cell, needed=True),
        "department": Column(read=name_cell, needed=True),
        "kind": Column(read=choice_cell(MemberKind)),
        "level": Column(read=name_cell),
        "location": Column(read=name_cell),
        "employment_type": Column(read=choice_cell(EmploymentType)),
        "zone": Column(read=_zone),
        "hired_on": Column(read=date_cell),
        "left_on": Column(read=date_cell),
        "manager": Column(read=name_cell),
        "part_time": Column(read=part_time_cell, name="working_time_millionths"),
    },
)
_PLAIN: Final = (
    MemberField.LEVEL, MemberField.LOCATION, MemberField.EMPLOYMENT_TYPE, MemberField.HIRED_ON,
)  # fmt: skip
"""Fields whose cell is the value."""


# ---- against the ledger ---------------------------------------------------------------------------------------------------


class _MemberRow(TypedDict, total=False):
    line: Required[int]
    id: Required[str]
    name: Required[str]
    department: Required[str]
    kind: str
    level: str
    location: str
    employment_type: str
    zone: str
    hired_on: str
    left_on: str
    manager: str
    working_time_millionths: int


class _ImportMembers(TypedDict, total=False):
    rows: Required[list[_MemberRow]]
    leavers: str
    leavers_max: int
    create_departments: bool
    effective_on: str


def import_members(work: UnitOfWork, arguments: _ImportMembers) -> dict[str, Any]:
    """Every row new, changed field by field, or the same, all or none; and what `leavers` says of members that are not named.

    A member without an id of the other system is taken for the row of the same name, once, and gets the row's id. Raises Refused with
    every row that cannot be.
    """
    return _Import(work, arguments).run()


class _Import:
    """One file being imported."""

    def __init__(self, work: UnitOfWork, arguments: _ImportMembers) -> None:
        self._work = work
        self._rows = cast("list[Mapping[str, Any]]", required(arguments, "rows"))
        self._leavers = LeaverPolicy(arguments.get("leavers") or LeaverPolicy.KEEP)
        self._leavers_max = arguments.get("leavers_max")
        self._creates_departments = bool(arguments.get("create_departments"))
        self._zone = company_zone(work.connection)
        self._on = day_given(work, arguments.get("effective_on"), self._zone)
        self._problems: list[str] = []
        self._created_departments: list[str] = []
        self._found: list[dict[str, Any]] = []
        self._by_line: dict[int, dict[str, Any]] = {}
        connection = work.connection
        departments, members = schema.departments.c, schema.members
        self._departments: dict[str, int] = dict(connection.execute(select(departments.name, departments.id)).all())
        known = connection.execute(select(members)).all()
        self._by_employee_id: dict[str, Row[Any]] = {row.employee_id: row for row in known if row.employee_id}
        self._by_name: dict[str, Row[Any]] = {row.name: row for row in known}
        self._department_names = {id_: name for name, id_ in self._departments.items()}
        self._member_names: dict[int, str] = {row.id: row.name for row in known}

    def run(self) -> dict[str, Any]:
        pairs = [(row, self._member_of(row)) for row in self._rows]
        self._check_names(pairs)
        self._refuse_problems()
        absent = self._absent_rows({row.id for _, row in pairs if row is not None})
        self._make_room_for_names(pairs)
        ids = {row["line"]: self._write(row, member) for row, member in pairs}
        self._write_managers(pairs, ids)
        self._refuse_problems()
        for row in absent:
            self._end(row)
        self._refuse_problems()
        counts = {
            state: sum(1 for one in self._found if one["state"] == state) for state in ("new", "changed", "leaving")
        }
        return {
            "effective_on": self._on.isoformat(),
            "members": self._found,
            "created_departments": self._created_departments,
            "new_count": counts["new"],
            "changed_count": counts["changed"],
            "leaving_count": counts["leaving"],
            "same_count": len(self._rows) - counts["new"] - counts["changed"],
            "absent_count": len(absent),
            "leavers": self._leavers.value,
        }

    # ---- who is who ------------------------------------------------------------------------------------------------

    def _member_of(self, row: Mapping[str, Any]) -> Row[Any] | None:
        """The member of the row's id; else the one of its name whom no other system has named yet."""
        known = self._by_employee_id.get(str(required(row, "id")))
        if known is not None:
            return known
        namesake = self._by_name.get(row["name"])
        return namesake if namesake is not None and namesake.employee_id is None else None

    def _check_names(self, pairs: list[tuple[Mapping[str, Any], Row[Any] | None]]) -> None:
        """A name tells one member from all others once everything is written."""
        free = {row.name for _, row in pairs if row is not None}
        line_of: dict[str, int] = {}
        for given, member in pairs:
            name, line = given["name"], given["line"]
            earlier = line_of.setdefault(name, line)
            if earlier != line:
                self._problem(
                    line,
                    "name",
                    f"{name!r} is already that of line {earlier}; a name is one member's, add what tells them apart",
                )
            elif (holder := self._by_name.get(name)) is not None and name not in free and holder is not member:
                self._problem(
                    line, "name", f"{name!r} is the member with the id {holder.employee_id}; add what tells them apart"
                )

    def _make_room_for_names(self, pairs: list[tuple[Mapping[str, Any], Row[Any] | None]]) -> None:
        """Members who are renamed let go of their names first, so that two may change theirs with each other."""
        members = schema.members
        for given, member in pairs:
            if member is not None and member.name != given["name"]:
                where = members.c.id == member.id
                self._work.connection.execute(members.update().where(where).values(name=member.public_id))

    # ---- what is written ---------------------------------------------------------------------------------------------

    def _write(self, given: Mapping[str, Any], member: Row[Any] | None) -> int:
        """The inside id of the member that the row is now; 0 after a problem."""
        values = self._values(given, member)
        if values is None:
            return 0
        if member is not None:
            self._change(given, member, values)
            return int(member.id)
        try:
            made, _ = new_member(self._work, {COLUMN_OF[field]: value for field, value in values.items()})
        except ValueError as error:
            self._problem(given["line"], "id", f"{given['id']}: {error}")
            return 0
        known = {MemberField.NAME, MemberField.EMPLOYEE_ID}
        said = {field: (None, value) for field, value in values.items() if value is not None and field not in known}
        self._tell("new", given["line"], given["id"], made.name, self._in_words(said))
        return made.id

    def _values(self, given: Mapping[str, Any], member: Row[Any] | None) -> dict[MemberField, Any] | None:
        """What the row says, by field; a column that the file has not is not among them, unless a new member needs it."""
        department_id = self._department(given)
        if department_id is None:
            return None
        values: dict[MemberField, Any] = {
            MemberField.NAME: given["name"],
            MemberField.EMPLOYEE_ID: given["id"],
            MemberField.DEPARTMENT: department_id,
        }
        values.update({field: given[field.value] for field in _PLAIN if field.value in given})
        if "working_time_millionths" in given:
            part = given["working_time_millionths"]
            values[MemberField.WORKING_TIME] = None if part == FULL_TIME_MILLIONTHS else part
        if member is None:
            values[MemberField.KIND] = given.get("kind") or MemberKind.PERSON.value
            values[MemberField.ZONE] = given.get("zone") or self._zone
            values[MemberField.LEFT_ON] = given.get("left_on")
            return values
        for field in (MemberField.KIND, MemberField.ZONE):
            if given.get(field.value):
                values[field] = given[field.value]
        if "left_on" in given:
            values[MemberField.LEFT_ON] = given["left_on"]
        return values

    def _change(self, given: Mapping[str, Any], member: Row[Any], values: dict[MemberField, Any]) -> None:
        try:
            changes = self._changed(member, values)
        except (Refused, ValueError) as error:
            self._problem(given["line"], "id", f"{given['id']}: {error}")
            return
        if changes:
            self._tell("changed", given["line"], given["id"], given["name"], changes)

    def _changed(self, member: Row[Any], values: dict[MemberField, Any]) -> list[dict[str, Any]]:
        left_on = values.pop(MemberField.LEFT_ON, member.left_on)
        changed = change_member(self._work, member, values, self._on)
        if left_on != member.left_on:
            row = self._work.connection.execute(select(schema.members).where(schema.members.c.id == member.id)).one()
            if member.left_on is None:
                leave(self._work, {"member": row.public_id, "left_on": left_on})
            else:
                change_member(self._work, row, {MemberField.LEFT_ON: left_on}, self._on)
            changed[MemberField.LEFT_ON] = (member.left_on, left_on)
        return self._in_words(changed)

    def _write_managers(self, pairs: list[tuple[Mapping[str, Any], Row[Any] | None]], ids: Mapping[int, int]) -> None:
        """Once everybody is there: a manager may stand below the people they manage."""
        members = schema.members
        rows = {row.id: row for row in self._work.connection.execute(select(members))}
        self._member_names = {row.id: row.name for row in rows.values()}
        by_employee_id = {row.employee_id: row.id for row in rows.values() if row.employee_id}
        by_name = {row.name: row.id for row in rows.values()}
        manager_of = {row.id: row.manager_id for row in rows.values()}
        given_by: dict[int, Mapping[str, Any]] = {}
        for given, _ in pairs:
            member_id = ids[given["line"]]
            if "manager" not in given or not member_id:
                continue
            reference = given["manager"]
            manager_id = by_employee_id.get(reference) or by_name.get(reference) if reference else None
            if reference and manager_id is None:
                self._problem(
                    given["line"], "manager", f"{reference!r} is neither an id of a row or a member nor a name"
                )
            elif manager_id == member_id:
                self._problem(
                    given["line"], "manager", f"{reference!r} is the member of this line; nobody is their own manager"
                )
            else:
                manager_of[member_id] = manager_id
                given_by[member_id] = given
        if loop := loop_among(manager_of, given_by):
            line = next((given_by[one]["line"] for one in loop if one in given_by), 1)
            names = " → ".join(rows[one].name for one in [*loop, loop[0]])
            self._problem(line, "manager", f"would be above themselves: {names}")
            return
        of_the_new = []
        for member_id, given in given_by.items():
            manager_id = manager_of[member_id]
            if self._by_line.get(given["line"], {}).get("state") != "new":
                changed = self._manager_changed(rows[member_id], manager_id, given)
            elif manager_id is not None:
                of_the_new.append({"member": member_id, "manager": manager_id})
                changed = self._in_words({MemberField.MANAGER: (None, manager_id)})
            else:
                continue
            if changed:
                self._tell("changed", given["line"], given["id"], given["name"], changed)
        if of_the_new:
            statement = (
                members.update().where(members.c.id == bindparam("member")).values(manager_id=bindparam("manager"))
            )
            self._work.connection.execute(statement, of_the_new)

    def _manager_changed(self, row: Row[Any], manager_id: int | None, given: Mapping[str, Any]) -> list[dict[str, Any]]:
        try:
            return self._in_words(change_member(self._work, row, {MemberField.MANAGER: manager_id}, self._on))
        except Refused as error:
            self._problem(given["line"], "manager", error.message)
            return []

    # ---- who is not named -----------------------------------------------------------------------------------------

    def _absent_rows(self, named: set[int]) -> list[Row[Any]]:
        """Members that an earlier file named, this one does not, and who have not left or are not suspended already."""
        could = [
            row
            for row in self._by_employee_id.values()
            if row.left_on is None and (self._leavers is not LeaverPolicy.SUSPEND or row.suspended_at is None)
        ]
        absent = [row for row in could if row.id not in named]
        allowed = max(ABSENT_COUNT_MIN, len(could) * ABSENT_PERCENT_MAX // 100)
        if self._leavers is not LeaverPolicy.KEEP and len(absent) > (
            allowed if self._leavers_max is None else self._leavers_max
        ):
            names = ", ".join(row.name for row in absent[:5])
            message = (
                f"{len(absent)} of {len(could)} members are not in the file ({names}{', …' if len(absent) > 5 else ''}), more than "
                f"{allowed if self._leavers_max is None else self._leavers_max}: is it whole? If it is, say --leavers-max {len(absent)}"
            )
            raise Refused("leavers", message)
        return absent

    def _end(self, row: Row[Any]) -> None:
        if self._leavers is LeaverPolicy.KEEP:
            self._tell("absent", None, row.employee_id, row.name, [])
            return
        try:
            if self._leavers is LeaverPolicy.LEAVE:
                leave(self._work, {"member": row.public_id, "left_on": self._on.isoformat()})
                changes = self._in_words({MemberField.LEFT_ON: (None, self._on.isoformat())})
            else:
                suspended = change_member(self._work, row, {MemberField.SUSPENDED: self._work.now}, self._on)
                changes = self._in_words(suspended)
        except (Refused, ValueError) as error:
            self._problems.append(f"{row.employee_id} {row.name}, who is not in the file: {error}")
            return
        self._tell("leaving", None, row.employee_id, row.name, changes)

    # ---- words ---------------------------------------------------------------------------------------------------

    def _department(self, given: Mapping[str, Any]) -> int | None:
        name = given["department"]
        known = self._departments.get(name)
        if known is not None:
            return known
        if self._creates_departments:
            create_department(self._work, {"name": name})
            departments = schema.departments.c
            made: int = self._work.connection.execute(
                select(departments.id).where(departments.name == name)
            ).scalar_one()
            self._departments[name] = made
            self._department_names[made] = name
            self._created_departments.append(name)
            return made
        near = difflib.get_close_matches(name, self._departments, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "`tokenroll department list` shows them."
        self._problem(
            given["line"], "department", f"there is no department {name!r}; {hint} --create-departments makes new ones"
        )
        return None

    def _in_words(self, changed: Mapping[MemberField, tuple[Any, Any]]) -> list[dict[str, Any]]:
        return [
            {"field": field.value, "was": self._word(field, was), "becomes": self._word(field, becomes)}
            for field, (was, becomes) in changed.items()
        ]

    def _word(self, field: MemberField, value: Any) -> str | None:
        if value is not None and field is MemberField.DEPARTMENT:
            return self._department_names[value]
        if value is not None and field is MemberField.MANAGER:
            return self._member_names[value]
        return told(self._work.connection, field, value)

    def _tell(self, state: str, line: int | None, id_: str, name: str, changes: list[dict[str, Any]]) -> None:
        earlier = self._by_line.get(line or 0)
        if earlier is not None:
            earlier["changes"] += changes
            return
        one = {"line": line, "id": id_, "name": name, "state": state, "changes": changes}
        self._found.append(one)
        if line:
            self._by_line[line] = one

    def _problem(self, line: int, column: str, what: str) -> None:
        self._problems.append(f"line {line}, {column}: {what}")

    def _refuse_problems(self) -> None:
        if self._problems:
            raise Refused("members", "\n".join(shortened(self._problems)))
