"""What calls consumed and cost, by buckets of time and by who, what and how: for tools that read providers' usage reports.

A bucket is a minute, an hour or a day in UTC, and a call is in that of its admission. A member's department is that of the bucket's day,
so a report of last month tells who belonged where then. What is not summed yet is added as it stands, so that a report is the whole
ledger unless the ledger is far behind.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from sqlalchemy import Connection, select

from tokenroll.engine.attributing import value_on
from tokenroll.model.instant import MICROS_PER_SECOND, Instant, datetime_from_instant
from tokenroll.model.limits import REPORT_TAIL_SETTLEMENTS_MAX
from tokenroll.model.member import MemberChange, MemberField, MemberKind
from tokenroll.services.members import changes_of
from tokenroll.store import schema
from tokenroll.store.database import raw_connection
from tokenroll.store.usage_rollups import (
    UsageLabel,
    UsageSum,
    add_after,
    coarser,
    floored,
    labels_by_id,
    unpacked,
    usage_rolled_through,
    usage_sums_of,
)

SHORT_WINDOW: Final = "0-200k"
LONG_WINDOW: Final = "200k-1M"
"""Context windows as providers' reports name them."""
_BATCH_TIER: Final = "batch"
_BUCKET: Final = (
    "SELECT label_id, call_count, charge_nanos, parts FROM usage_rollups WHERE grain_seconds = ? AND start_at = ?"
)

_KEY: Final = """
    SELECT k.public_id, m.id, m.public_id, m.kind, d.public_id
    FROM api_keys k JOIN members m ON m.id = k.member_id JOIN departments d ON d.id = m.department_id WHERE k.id = ?"""


class Dimension(StrEnum):
    """What calls can be told apart by. Nouns of ours have their public ids as values."""

    DEPARTMENT = "department"
    MEMBER = "member"
    PERSON = "person"
    """A member who is a person; null for a service account."""
    SERVICE = "service"
    """A member that is a service account; null for a person."""
    KEY = "key"
    MODEL = "model"
    SERVICE_TIER = "service_tier"
    BATCH = "batch"
    """`true` or `false`."""
    CONTEXT_WINDOW = "context_window"


Group: TypeAlias = tuple[str | None, ...]
"""Values of the dimensions that a report is grouped by, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuestion:
    """What a report is asked for. `from_at` is the start of a bucket; `only` keeps calls whose value is one of these.

    `dialects` are the endpoints whose calls count, by their index on the tape.
    """

    from_at: Instant
    until: Instant
    width_seconds: int
    dialects: frozenset[int]
    group_by: tuple[Dimension, ...] = ()
    only: Mapping[Dimension, frozenset[str]] = field(default_factory=dict)


class UsageBucket(NamedTuple):
    """One span of time and what was consumed in it, by group, in the order of the groups' values."""

    start_at: Instant
    until: Instant
    groups: list[tuple[Group, UsageSum]]


class UsageReport:
    """The answer to one question over one snapshot. `through_seq`: the last row of the journal that it holds."""

    def __init__(self, connection: Connection, question: UsageQuestion) -> None:
        self._connection = connection
        self._question = question
        self._labels = labels_by_id(connection)
        self._whose = _Whose(connection)
        self._asks_for_departments = Dimension.DEPARTMENT in (*question.group_by, *question.only)
        self._groups: dict[tuple[UsageLabel, date | None], Group | None] = {}
        tail = usage_sums_of(connection)
        after = usage_rolled_through(connection)
        _, self.through_seq = add_after(connection, tail, after, REPORT_TAIL_SETTLEMENTS_MAX)
        self._tail: dict[Instant, list[tuple[UsageLabel, UsageSum]]] = {}
        for (start_at, label), one in coarser(tail.sums, question.width_seconds).items():
            self._tail.setdefault(start_at, []).append((label, one))

    def buckets(self) -> Iterator[UsageBucket]:
        """Every bucket from the first on, also empty ones; each is read when it is asked for."""
        width = self._question.width_seconds * MICROS_PER_SECOND
        start_at = self._question.from_at
        while start_at < self._question.until:
            yield UsageBucket(start_at, start_at + width, self._bucket(start_at))
            start_at += width

    def _bucket(self, start_at: Instant) -> list[tuple[Group, UsageSum]]:
        on = datetime_from_instant(start_at).date()
        found: dict[Group, UsageSum] = {}
        raw = raw_connection(self._connection)
        for label_id, call_count, charge_nanos, parts in raw.execute(_BUCKET, (self._question.width_seconds, start_at)):
            group = self._group(self._labels[label_id], on)
            if group is not None:
                found.setdefault(group, UsageSum()).add(call_count, charge_nanos, unpacked(parts))
        for label, one in self._tail.get(start_at, ()):
            group = self._group(label, on)
            if group is not None:
                found.setdefault(group, UsageSum()).add_sum(one)
        return sorted(found.items(), key=lambda item: [value or "" for value in item[0]])

    def _group(self, label: UsageLabel, on: date) -> Group | None:
        """Where calls of a label are told on a day; None when the question is not about them."""
        at = (label, on if self._asks_for_departments else None)
        if at in self._groups:
            return self._groups[at]
        question = self._question
        group: Group | None = None
        if label.dialect in question.dialects:
            key = self._whose.key(label.api_key_id)
            asked = {one: self._value(one, label, key, on) for one in (*question.only, *question.group_by)}
            if all(asked[dimension] in wanted for dimension, wanted in question.only.items()):
                group = tuple(asked[dimension] for dimension in question.group_by)
        self._groups[at] = group
        return group

    def _value(self, dimension: Dimension, label: UsageLabel, key: "_Key", on: date) -> str | None:
        is_service = key.kind == MemberKind.SERVICE
        match dimension:
            case Dimension.DEPARTMENT:
                return self._whose.department(key, on)
            case Dimension.MEMBER:
                return key.member
            case Dimension.PERSON:
                return None if is_service else key.member
            case Dimension.SERVICE:
                return key.member if is_service else None
            case Dimension.KEY:
                return key.public_id
            case Dimension.MODEL:
                return label.model
            case Dimension.SERVICE_TIER:
                return label.service_tier
            case Dimension.BATCH:
                return "true" if label.service_tier == _BATCH_TIER else "false"
            case Dimension.CONTEXT_WINDOW:
                return LONG_WINDOW if label.is_long else SHORT_WINDOW


class _Key(NamedTuple):
    public_id: str | None = None
    member_id: int = 0
    member: str | None = None
    kind: str = ""
    department: str | None = None


class _Whose:
    """Keys, their members and these members' departments, each read once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._keys: dict[int, _Key] = {}
        changes = schema.member_changes.c
        moved = select(changes.member_id).where(changes.field == MemberField.DEPARTMENT.value).distinct()
        self._changes: dict[int, list[MemberChange] | None] = dict.fromkeys(connection.scalars(moved))
        """Of members who were ever moved; read when one is asked about."""

    def key(self, key_id: int) -> _Key:
        known = self._keys.get(key_id)
        if known is None:
            row = raw_connection(self._connection).execute(_KEY, (key_id,)).fetchone()
            known = self._keys[key_id] = _Key() if row is None else _Key._make(row)
        return known

    def department(self, key: _Key, on: date) -> str | None:
        if key.member_id not in self._changes:
            return key.department
        changes = self._changes[key.member_id]
        if changes is None:
            changes = self._changes[key.member_id] = changes_of(self._connection, key.member_id)
        return value_on(changes, MemberField.DEPARTMENT, on, key.department)


def bucket_start(at: Instant, width_seconds: int) -> Instant:
    """The start of the bucket that an instant is in."""
    return floored(at, width_seconds)
