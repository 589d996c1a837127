"""Members and departments as an identity provider sees them: SCIM's users and groups, read from the ledger's rows."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, func, select

from tokenroll.model.instant import Instant, text_from_instant
from tokenroll.services.members import last_day_over, member_from_row, working_time_text
from tokenroll.services.scim_documents import ENTERPRISE, GROUPS, MEMBER, USERS, Document, Kind, ScimError
from tokenroll.services.scim_filters import Filter, read_filter
from tokenroll.store import schema
from tokenroll.store.journal import canonical

UNASSIGNED: Final = "Unassigned"
"""Whose department a provider did not say, or took away: everybody has one."""
_FOUND_AT_ONCE: Final = {"userName", "externalId", "id"}


def folded(user_name: str) -> str:
    """What of a user name tells users apart."""
    return user_name.casefold()


def version_of(document: Document) -> str:
    """The weak tag of what a document says; when it changed, and under which address it is read, are not part of it."""
    return f'W/"{hashlib.blake2b(canonical(_said(document)), digest_size=12).hexdigest()}"'


def _said(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _said(one) for name, one in value.items() if name not in {"meta", "$ref"}}
    return [_said(one) for one in value] if isinstance(value, list) else value


class Directory:
    """Users and groups of one snapshot, as of `now`. `base` is the address under which they stand."""

    def __init__(self, connection: Connection, now: Instant, base: str = "") -> None:
        self._connection = connection
        self._now = now
        self._base = base

    def find(self, kind: Kind, public_id: str) -> Document:
        """The resource with this id. Raises ScimError 404."""
        table = schema.members if kind is USERS else schema.departments
        found = list(self._users(table.c.public_id == public_id) if kind is USERS else self._groups(public_id))
        if not found:
            raise ScimError(404, "", f"there is no {kind.name} {public_id!r}")
        return found[0]

    def listed(self, kind: Kind, filter_text: str) -> list[Document]:
        """Everything that the filter lets through, oldest first. Raises ScimError for a filter that is none."""
        asked = read_filter(kind, filter_text) if filter_text.strip() else None
        where = None if asked is None else self._where(asked)
        found = self._users(where) if kind is USERS else self._groups()
        return [one for one in found if asked is None or asked.test(one)]

    @staticmethod
    def _where(asked: Filter) -> ColumnElement[bool] | None:
        """The rows among which an equal user must be, where the question is that short: providers ask it before every write."""
        if asked.equals is None or asked.equals[0] not in _FOUND_AT_ONCE:
            return None
        name, text = asked.equals
        users = schema.identity_users.c
        if name == "userName":
            return users.user_name_folded == folded(text)
        return users.external_id == text if name == "externalId" else schema.members.c.public_id == text

    # ---- users -------------------------------------------------------------------------------------------------------

    def _users(self, where: ColumnElement[bool] | None) -> Iterable[Document]:
        users, members, departments, changes = (
            schema.identity_users, schema.members, schema.departments, schema.member_changes,
        )  # fmt: skip
        managers = members.alias("managers")
        newest = select(func.max(changes.c.recorded_at)).where(changes.c.member_id == members.c.id).scalar_subquery()
        query = (
            select(
                members, users.c.user_name, users.c.external_id, users.c.attributes_json, users.c.changed_at,
                departments.c.name.label("department_name"), departments.c.public_id.label("department_public_id"),
                managers.c.name.label("manager_name"), managers.c.public_id.label("manager_public_id"),
                newest.label("member_changed_at"),
            )
            .join(users, users.c.member_id == members.c.id)
            .join(departments, departments.c.id == members.c.department_id)
            .outerjoin(managers, managers.c.id == members.c.manager_id)
            .where(users.c.removed_at.is_(None))
            .order_by(members.c.id)
        )  # fmt: skip
        rows = self._connection.execute(query if where is None else query.where(where)).all()
        return (self._user(row) for row in rows)

    def _user(self, row: Row[Any]) -> Document:
        said: Document = json.loads(row.attributes_json)
        manager = None
        if row.manager_public_id:
            manager = self._link(USERS, row.manager_public_id, displayName=row.manager_name)
        department = None if row.department_name == UNASSIGNED else row.department_name
        group = self._link(GROUPS, row.department_public_id, display=row.department_name, type="direct")
        found = without_nothing(
            {
                "schemas": list(USERS.schemas),
                "id": row.public_id,
                "externalId": row.external_id,
                "userName": row.user_name,
                **said,
                "timezone": row.zone,
                "active": row.suspended_at is None and not last_day_over(member_from_row(row), self._now),
                "groups": [group],
                ENTERPRISE: {"employeeNumber": row.employee_id, "department": department, "manager": manager},
                MEMBER: {
                    "level": row.level,
                    "location": row.location,
                    "employmentType": row.employment_type,
                    "hiredOn": row.hired_on,
                    "leftOn": row.left_on,
                    "partTime": working_time_text(row.working_time_millionths),
                },
            }
        )
        changed_at = max(row.changed_at, row.member_changed_at or 0)
        return self._with_meta(USERS, found, row.recorded_at, changed_at)

    # ---- groups -----------------------------------------------------------------------------------------------------

    def _groups(self, public_id: str | None = None) -> Iterable[Document]:
        departments, groups = schema.departments, schema.identity_groups
        members, users = schema.members, schema.identity_users
        query = (
            select(departments, groups.c.external_id, groups.c.changed_at)
            .outerjoin(groups, groups.c.department_id == departments.c.id)
            .where(groups.c.removed_at.is_(None))
            .order_by(departments.c.id)
        )
        people = (
            select(members.c.department_id, members.c.public_id, members.c.name)
            .join(users, users.c.member_id == members.c.id)
            .where(users.c.removed_at.is_(None))
            .order_by(members.c.id)
        )
        if public_id is not None:
            query = query.where(departments.c.public_id == public_id)
            inside = select(departments.c.id).where(departments.c.public_id == public_id)
            people = people.where(members.c.department_id.in_(inside))
        belong: dict[int, list[Document]] = {}
        for row in self._connection.execute(people):
            belong.setdefault(row.department_id, []).append(
                self._link(USERS, row.public_id, display=row.name, type="User")
            )
        rows = self._connection.execute(query).all()
        return (self._group(row, belong.get(row.id, [])) for row in rows)

    def _group(self, row: Row[Any], belong: list[Document]) -> Document:
        found = without_nothing(
            {
                "schemas": list(GROUPS.schemas),
                "id": row.public_id,
                "externalId": row.external_id,
                "displayName": row.name,
                "members": belong,
            }
        )
        return self._with_meta(GROUPS, found, row.recorded_at, row.changed_at or row.recorded_at)

    def _link(self, kind: Kind, public_id: str, **beside: str) -> Document:
        return {"value": public_id, "$ref": f"{self._base}{kind.place}/{public_id}", **beside}

    def _with_meta(self, kind: Kind, found: Document, created_at: Instant, changed_at: Instant) -> Document:
        found["meta"] = {
            "resourceType": kind.name,
            "created": text_from_instant(created_at),
            "lastModified": text_from_instant(changed_at),
            "location": f"{self._base}{kind.place}/{found['id']}",
            "version": version_of(found),
        }
        return found


def without_nothing(document: Document) -> Document:
    """What a document says: neither nulls nor empty objects; an empty list says that there is nobody."""
    plain = {
        name: without_nothing(value) if isinstance(value, dict) else value
        for name, value in document.items()
        if value is not None
    }
    return {name: value for name, value in plain.items() if value != {}}
