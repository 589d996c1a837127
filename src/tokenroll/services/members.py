"""A member's row and its dated changes: written by whoever brings the news, a person, a file or an identity provider."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, func, select

from tokenroll.engine.attributing import value_on
from tokenroll.engine.calendar import day_start
from tokenroll.model.instant import Instant, datetime_from_instant
from tokenroll.model.member import FULL_TIME_MILLIONTHS, EmploymentType, Member, MemberChange, MemberField, MemberKind
from tokenroll.model.wallet import HolderKind, Wallet
from tokenroll.services.approvers_told import tell_denials
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema

COLUMN_OF: Final[Mapping[MemberField, str]] = {
    **{field: field.value for field in MemberField},
    MemberField.DEPARTMENT: "department_id",
    MemberField.MANAGER: "manager_id",
    MemberField.SUSPENDED: "suspended_at",
}
"""Where a field stands in a member's row."""
_TOLD_IN_DENIALS: Final = frozenset({MemberField.NAME, MemberField.LEFT_ON, MemberField.SUSPENDED})
"""Fields on which hangs whether, and how, denials name a member."""
_DAY: Final = timedelta(days=1)


def today_in(zone: str, now: Instant) -> date:
    """The date on which somebody in that zone reads this."""
    return datetime_from_instant(now).astimezone(ZoneInfo(zone)).date()


def day_given(work: UnitOfWork, text: str | None, zone: str) -> date:
    """The day from which a change holds, default today. Raises Refused for a day to come: what is true then is not true now."""
    today = today_in(zone, work.now)
    if not text:
        return today
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise Refused("argument", f"{text!r} is not a date such as 2026-01-31") from error
    if day > today:
        raise Refused("argument", f"{day} is still to come: record the change on that day, or as of {today}")
    return day


def member_from_row(row: Row[Any] | Mapping[str, Any]) -> Member:
    """The noun of a row."""
    values = row if isinstance(row, Mapping) else row._mapping  # noqa: SLF001 - SQLAlchemy's own public name for it
    working_time = values["working_time_millionths"]
    return Member(
        id=values["id"],
        public_id=values["public_id"],
        name=values["name"],
        kind=MemberKind(values["kind"]),
        department_id=values["department_id"],
        zone=values["zone"],
        hired_on=_date(values["hired_on"]),
        left_on=_date(values["left_on"]),
        employee_id=values["employee_id"],
        level=values["level"],
        location=values["location"],
        employment_type=None if values["employment_type"] is None else EmploymentType(values["employment_type"]),
        manager_id=values["manager_id"],
        working_time_millionths=FULL_TIME_MILLIONTHS if working_time is None else working_time,
        suspended_at=values["suspended_at"],
    )


def new_member(work: UnitOfWork, values: Mapping[str, Any]) -> tuple[Member, Wallet]:
    """A member with these columns and a wallet in their zone; the name is not taken. Raises ValueError for what no member may be."""
    row = {
        **dict.fromkeys(column.name for column in schema.members.c),
        **values,
        "id": work.new_id("members"),
        "public_id": work.public_id("member"),
        "recorded_at": work.now,
    }
    member = member_from_row(row)
    work.connection.execute(schema.members.insert(), row)
    return member, open_wallet(work, HolderKind.MEMBER, member.id, member.name, member.zone)


def open_wallet(work: UnitOfWork, kind: HolderKind, holder_id: int, name: str, zone: str) -> Wallet:
    """An empty wallet of a member or a pool."""
    wallet = Wallet(
        id=work.new_id("wallets"),
        public_id=work.public_id("wallet"),
        holder_kind=kind,
        holder_id=holder_id,
        name=name,
        zone=zone,
    )
    work.connection.execute(
        schema.wallets.insert(),
        {
            "id": wallet.id,
            "public_id": wallet.public_id,
            "holder_kind": kind.value,
            "holder_id": holder_id,
            "name": name,
            "zone": zone,
            "recorded_at": work.now,
        },
    )
    work.wallet_changed(wallet.id)
    return wallet


def change_member(
    work: UnitOfWork, row: Row[Any], becomes: Mapping[MemberField, Any], on: date, *, keys_until: Instant | None = None
) -> dict[MemberField, tuple[Any, Any]]:
    """The fields that are not so already, from that day on; by field what it was and is.

    All else follows: name and pool of the wallet, what denials say of an approver, keys that end with a last day (or, where a plan lets credits outlive it, at
    `keys_until`) or stop at a suspension. A wallet keeps the zone in which its cycles were counted. Raises Refused for a day before
    the field's last change, ValueError for what no member may be.
    """
    columns = row._mapping  # noqa: SLF001 - SQLAlchemy's own public name for it
    changed = {
        field: (columns[COLUMN_OF[field]], value)
        for field, value in becomes.items()
        if columns[COLUMN_OF[field]] != value
    }
    if not changed:
        return {}
    values = {COLUMN_OF[field]: value for field, (_, value) in changed.items()}
    member = member_from_row({**columns, **values})
    _record(work, member, changed, on)
    members = schema.members
    work.connection.execute(members.update().where(members.c.id == row.id).values(**values))
    if MemberField.NAME in changed:
        _rename_wallet(work, member)
    if not _TOLD_IN_DENIALS.isdisjoint(changed):
        tell_denials(work)
    if MemberField.DEPARTMENT in changed:
        work.keys_changed(_live_keys(work.connection, member.id))
    if MemberField.SUSPENDED in changed and member.suspended_at is not None:
        stop_keys(work, member.id)
    if MemberField.LEFT_ON in changed and member.left_on is not None:
        _end_keys(work, member, keys_until)
    return changed


def stop_keys(work: UnitOfWork, member_id: int) -> int:
    """Every key of a member revoked now; how many there were. Workers forget them with the delta of this command."""
    keys = schema.api_keys
    key_ids = _live_keys(work.connection, member_id)
    work.connection.execute(keys.update().where(keys.c.id.in_(key_ids)).values(revoked_at=work.now))
    work.keys_changed(key_ids)
    return len(key_ids)


def changes_of(connection: Connection, member_id: int) -> list[MemberChange]:
    """What changed of a member, in the order in which it was written."""
    changes = schema.member_changes
    rows = connection.execute(select(changes).where(changes.c.member_id == member_id).order_by(changes.c.id))
    return [
        MemberChange(
            field=MemberField(one.field),
            was=one.was,
            becomes=one.becomes,
            effective_on=date.fromisoformat(one.effective_on),
            recorded_at=one.recorded_at,
        )
        for one in rows
    ]


def changes_told(connection: Connection, member_id: int) -> list[dict[str, Any]]:
    """The same for people, newest first: departments and managers by the names that they have now."""
    names = names_by_public_id(connection)
    return [
        {
            "field": one.field.value,
            "was": None if one.was is None else names.get(one.was, one.was),
            "becomes": None if one.becomes is None else names.get(one.becomes, one.becomes),
            "effective_on": one.effective_on.isoformat(),
            "recorded_at": one.recorded_at,
        }
        for one in reversed(changes_of(connection, member_id))
    ]


def attributes_on(connection: Connection, row: Row[Any], on: date) -> dict[MemberField, str | None]:
    """What was known of a member on a day, as `told` tells it: for questions whose answer depends on the day."""
    changes = changes_of(connection, row.id)
    columns = row._mapping  # noqa: SLF001 - SQLAlchemy's own public name for it
    return {
        field: value_on(changes, field, on, told(connection, field, columns[COLUMN_OF[field]])) for field in MemberField
    }


def told_on(connection: Connection, row: Row[Any], on: str) -> dict[str, Any]:
    """The same for people. Raises Refused for a text that is no date."""
    try:
        day = date.fromisoformat(on)
    except ValueError as error:
        raise Refused("argument", f"{on!r} is not a date such as 2026-01-31") from error
    names = names_by_public_id(connection)
    return {
        field.value.removesuffix("_millionths"): None if text is None else names.get(text, text)
        for field, text in attributes_on(connection, row, day).items()
    }


def member_state(row: Row[Any], now: Instant) -> str:
    """Whether somebody is here in one word: `active`, `leaves` (their last day is set and to come), `suspended` or `left`."""
    member = member_from_row(row)
    if last_day_over(member, now):
        return "left"
    if member.suspended_at is not None:
        return "suspended"
    return "active" if member.left_on is None else "leaves"


def working_time_text(millionths: int | None) -> str | None:
    """The part of full time as people write it; None for all of it."""
    if millionths is None or millionths == FULL_TIME_MILLIONTHS:
        return None
    return f"0.{millionths:06d}".rstrip("0")


def told(connection: Connection, field: MemberField, value: Any) -> str | None:
    """A value as it is kept in a change and shown: departments and managers by their ids outside, a suspension as yes."""
    if value is None or value == "":
        return None
    if field is MemberField.SUSPENDED:
        return "yes"
    if field is MemberField.WORKING_TIME:
        return working_time_text(value)
    table = {MemberField.DEPARTMENT: schema.departments, MemberField.MANAGER: schema.members}.get(field)
    if table is None:
        return str(value)
    return connection.scalar(select(table.c.public_id).where(table.c.id == value))


def names_by_public_id(connection: Connection) -> dict[str, str]:
    """What people call the departments and members that changes name by their ids."""
    return {
        row.public_id: row.name
        for table in (schema.departments, schema.members)
        for row in connection.execute(select(table.c.public_id, table.c.name))
    }


def last_day_over(member: Member, now: Instant) -> bool:
    """Whether a member's last day is today or before, where they are: from then on they get no key."""
    return member.left_on is not None and member.left_on <= today_in(member.zone, now)


def loop_among(manager_of: Mapping[int, int | None], starts: Iterable[int]) -> list[int]:
    """Members who would be above themselves, in their order from one of `starts` upwards; empty when nobody is."""
    cleared: set[int] = set()
    for start in starts:
        way: list[int] = []
        current: int | None = start
        while current is not None and current not in cleared:
            if current in way:
                return way[way.index(current) :]
            way.append(current)
            current = manager_of.get(current)
        cleared.update(way)
    return []


def _record(work: UnitOfWork, member: Member, changed: Mapping[MemberField, tuple[Any, Any]], on: date) -> None:
    changes = schema.member_changes
    query = select(changes.c.field, func.max(changes.c.effective_on)).where(changes.c.member_id == member.id)
    last_of: dict[str, str] = dict(work.connection.execute(query.group_by(changes.c.field)).all())
    for field, (was, becomes) in changed.items():
        last = last_of.get(field.value, "")
        if last > on.isoformat():
            message = (
                f"{member.name}: {field.value} changed on {last} already, so it cannot change on {on}; give a later day"
            )
            raise Refused("earlier", message)
        work.connection.execute(
            changes.insert(),
            {
                "id": work.new_id("member_changes"),
                "member_id": member.id,
                "field": field.value,
                "was": told(work.connection, field, was),
                "becomes": told(work.connection, field, becomes),
                "effective_on": on.isoformat(),
                "recorded_at": work.now,
            },
        )


def _rename_wallet(work: UnitOfWork, member: Member) -> None:
    wallets = schema.wallets
    where = (wallets.c.holder_kind == HolderKind.MEMBER.value) & (wallets.c.holder_id == member.id)
    work.connection.execute(wallets.update().where(where).values(name=member.name))
    for wallet_id in work.connection.scalars(select(wallets.c.id).where(where)).all():
        work.wallet_changed(wallet_id)


def _end_keys(work: UnitOfWork, member: Member, kept_until: Instant | None) -> None:
    """Keys end with the last day: now if it has come, else at the midnight after it, which needs nobody to be awake (law 9).

    With credits that outlive it, they end with those.
    """
    if last_day_over(member, work.now) if kept_until is None else kept_until <= work.now:
        stop_keys(work, member.id)
        return
    assert member.left_on is not None
    keys = schema.api_keys
    until = kept_until or day_start(member.left_on + _DAY, ZoneInfo(member.zone))
    where = (keys.c.member_id == member.id) & keys.c.revoked_at.is_(None)
    later = where & (keys.c.expires_at.is_(None) | (keys.c.expires_at > until))
    key_ids = work.connection.scalars(select(keys.c.id).where(later)).all()
    work.connection.execute(keys.update().where(keys.c.id.in_(key_ids)).values(expires_at=until))
    work.keys_changed(key_ids)


def _live_keys(connection: Connection, member_id: int) -> list[int]:
    keys = schema.api_keys
    where = (keys.c.member_id == member_id) & keys.c.revoked_at.is_(None)
    return list(connection.scalars(select(keys.c.id).where(where)))


def _date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
