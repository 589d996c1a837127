"""What calls amount to since the ledger began, by department, model and provider: counters that only grow, for tools that watch.

Each settlement is counted once, under the names of its day, and stays there: what changes later of a department or of how it is told
moves no counter. The sums are kept in a file of the home with the last row of the journal that they hold, so that a start goes on where
the last one ended; without that file, or with one of another ledger, they are counted again from the first settlement.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import msgspec
from sqlalchemy import Connection, func, select

from tokenroll.model.instant import Instant
from tokenroll.model.limits import (
    LAKE_SLICE_SETTLEMENTS,
    LIVE_AGE_SECONDS_MAX,
    LIVE_AVAILABLE_SECONDS,
    LIVE_READ_SECONDS_MAX,
    LIVE_SERIES_MAX,
    PEOPLE_TOLD_MIN,
)
from tokenroll.model.member import MemberKind
from tokenroll.model.usage import METERS, TOKEN_METER_COUNT
from tokenroll.model.usage_event import UsageEvent
from tokenroll.services.lake_feeding import OK, SettlementEvents
from tokenroll.services.live_available import available_by_department
from tokenroll.services.reporting import Reports
from tokenroll.store import schema

OTHER: Final = "other"
"""What is not told apart: a small department's models, and what is beyond the number of series."""
NONE: Final = "none"
"""What has no name, such as a call whose provider no rate card names."""
_VERSION: Final = 2
_PAUSE_SECONDS: Final = 0.1
"""In which questions find the sums free."""
_USD: Final = "USD"
_KEYS_AT_ONCE: Final = 500
"""Keys that one question to the database names."""

Questions: TypeAlias = Callable[[], AbstractContextManager[Reports]]
Labels: TypeAlias = tuple[str, str, str]
"""Department, model, provider."""
_NOT_TOLD: Final[Labels] = (OTHER, OTHER, OTHER)


class Amounts(msgspec.Struct):
    """What calls of one set of labels cost."""

    labels: Labels
    charge_nanos: int = 0
    list_cost_nanos: int = 0


class Work(msgspec.Struct):
    """How many calls of one set of labels there were, and their tokens in the order of METERS."""

    labels: Labels
    call_count: int = 0
    counts: list[int] = msgspec.field(default_factory=lambda: [0] * TOKEN_METER_COUNT)


class _Kept(msgspec.Struct):
    """The file: whose sums these are, how far they go, and the sums."""

    version: int
    ledger: str
    through_seq: int
    amounts: list[Amounts]
    work: list[Work]
    people: list[tuple[Labels, list[int]]]
    """Who has used what, as far as it takes to know that they are enough: inside numbers of members."""


class LiveFigures(NamedTuple):
    """The sums as they were `age_seconds` ago, when they were the whole ledger up to `through_seq`."""

    since_at: Instant
    through_seq: int
    age_seconds: int
    amounts: Sequence[Amounts]
    work: Sequence[Work]
    available: Mapping[str, int]
    """Nanos by department; empty where there are too many wallets."""


class NotCountedYetError(Exception):
    """The ledger is longer than what was counted in the time that a question has; the message says how far it is."""


class _Ledger(NamedTuple):
    digest: str
    since_at: Instant
    last_seq: int


class LiveUsage:
    """The sums of one home, brought up to date when they are asked for, at most every few seconds; safe for any number of threads."""

    def __init__(self, questions: Questions, path: Path) -> None:
        self._questions = questions
        self._path = path
        self._lock = threading.Lock()
        self._ledger = _Ledger("", 0, 0)
        self._through_seq = 0
        self._amounts: dict[Labels, Amounts] = {}
        self._work: dict[Labels, Work] = {}
        self._people: dict[Labels, set[int]] = {}
        self._read = False
        self._whole_at: float | None = None
        self._available: Mapping[str, int] = {}
        self._available_until = 0.0
        self._counting: threading.Thread | None = None

    def figures(self) -> LiveFigures:
        """Everything that is counted. Raises NotCountedYetError until the whole ledger was."""
        with self._lock:
            now = time.monotonic()
            if self._whole_at is None or now - self._whole_at >= LIVE_AGE_SECONDS_MAX:
                self._advance(now + LIVE_READ_SECONDS_MAX)
            if self._whole_at is None:
                self._go_on()
                raise NotCountedYetError(
                    f"the ledger is being counted: up to row {self._through_seq} of {self._ledger.last_seq} of its journal"
                )
            return LiveFigures(
                self._ledger.since_at,
                self._through_seq,
                int(time.monotonic() - self._whole_at),
                [msgspec.structs.replace(self._amounts[labels]) for labels in sorted(self._amounts)],
                [
                    msgspec.structs.replace(self._work[labels], counts=list(self._work[labels].counts))
                    for labels in sorted(self._work)
                    if labels[1] != OTHER or labels == _NOT_TOLD or self._may_tell(labels)
                ],
                self._available_now(),
            )

    def _available_now(self) -> Mapping[str, int]:
        if time.monotonic() >= self._available_until:
            with self._questions() as reports:
                self._available = available_by_department(reports.connection, reports.now, NONE)
            self._available_until = time.monotonic() + LIVE_AVAILABLE_SECONDS
        return dict(self._available)

    def _go_on(self) -> None:
        """A long ledger is counted on in a thread of its own, so that it does not take a question for every few seconds of it."""
        if self._counting is None or not self._counting.is_alive():
            self._counting = threading.Thread(target=self._count_all, name="tokenroll live usage counting", daemon=True)
            self._counting.start()

    def _count_all(self) -> None:
        while True:
            with self._lock:
                self._advance(time.monotonic() + LIVE_READ_SECONDS_MAX)
                if self._whole_at is not None:
                    return
            time.sleep(_PAUSE_SECONDS)

    def _advance(self, deadline: float) -> None:
        before = self._through_seq
        while True:
            with self._questions() as reports:
                self._begin(reports.connection)
                is_whole = self._count_slice(reports.connection)
            if is_whole:
                self._whole_at = time.monotonic()
                break
            if time.monotonic() >= deadline:
                break
        if self._through_seq != before:
            self._keep()

    def _begin(self, connection: Connection) -> None:
        """The file is read once; sums of another ledger, or of more than this one has, are none."""
        ledger = _ledger_of(connection)
        if not self._read:
            self._read = True
            kept = self._kept()
            if kept is not None and kept.ledger == ledger.digest:
                self._through_seq = kept.through_seq
                self._amounts = {one.labels: one for one in kept.amounts}
                self._work = {one.labels: one for one in kept.work}
                self._people = {labels: set(people) for labels, people in kept.people}
        elif ledger.digest != self._ledger.digest and self._ledger.digest:
            self._forget()
        if ledger.last_seq < self._through_seq:
            self._forget()
        self._ledger = ledger

    def _forget(self) -> None:
        self._through_seq, self._amounts, self._work, self._people, self._whole_at = 0, {}, {}, {}, None

    def _count_slice(self, connection: Connection) -> bool:
        """The next settlements counted; whether there were no more than these."""
        table = schema.settlements
        query = select(table).where(table.c.ledger_seq > self._through_seq).order_by(table.c.ledger_seq)
        rows = connection.execute(query.limit(LAKE_SLICE_SETTLEMENTS)).all()
        if rows:
            told, people = SettlementEvents(connection), _people_by_department(connection)
            events = [told.event(row) for row in rows]  # all of them are read before any is counted
            person_of = _person_by_key(connection, {event.key for event in events})
            for event in events:
                self._count(event, people, person_of.get(event.key, 0))
            self._through_seq = int(rows[-1].ledger_seq)
        return len(rows) < LAKE_SLICE_SETTLEMENTS

    def _count(self, event: UsageEvent, people: Mapping[str, int], person: int) -> None:
        """Amounts of a department are told of any; what its people do with which model only where they are enough (law 10)."""
        if event.status != OK and not event.status.startswith("http_"):
            return
        department = event.department or NONE
        told: Labels = (department, event.model or NONE, event.provider or NONE)
        is_small = people.get(department, 0) < PEOPLE_TOLD_MIN
        rest: Labels = (department, OTHER, OTHER)
        if not is_small and person:
            self._note_person(told, person)
        spent = told if not is_small and self._may_tell(told) else rest
        if not is_small and spent == rest:
            self._note_person(rest, person)
        amounts = self._amounts.setdefault(spent := _bounded(spent, self._amounts), Amounts(spent))
        amounts.charge_nanos += event.charge_nanos or 0
        if event.currency == _USD:
            amounts.list_cost_nanos += event.list_cost_nanos or 0
        if is_small and sum(count for count in people.values() if count < PEOPLE_TOLD_MIN) < PEOPLE_TOLD_MIN:
            return  # all small departments together are too few to be told of
        done = _bounded(_NOT_TOLD if is_small else spent, self._work)
        work = self._work.setdefault(done, Work(done))
        work.call_count += 1
        for place, count in enumerate(event.usage.counts[:TOKEN_METER_COUNT]):
            work.counts[place] += count or 0

    def _note_person(self, labels: Labels, person: int) -> None:
        """One more of those who are counted under these labels; as many as are enough are remembered, and no more."""
        known = self._people.setdefault(labels, set())
        if person and len(known) < PEOPLE_TOLD_MIN:
            known.add(person)

    def _may_tell(self, labels: Labels) -> bool:
        """Whether nobody, or enough people, are counted under these labels."""
        return len(self._people.get(labels, ())) in {0, PEOPLE_TOLD_MIN}

    def _kept(self) -> _Kept | None:
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except (OSError, ValueError):
            return None
        is_ours = kept.version == _VERSION and all(len(one.counts) == TOKEN_METER_COUNT for one in kept.work)
        return kept if is_ours else None

    def _keep(self) -> None:
        """A file that cannot be written costs the next start its time, and nothing else."""
        kept = _Kept(
            _VERSION,
            self._ledger.digest,
            self._through_seq,
            [*self._amounts.values()],
            [*self._work.values()],
            [(labels, sorted(people)) for labels, people in self._people.items()],
        )
        new = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(kept))
            new.replace(self._path)


def _bounded(labels: Labels, known: Mapping[Labels, object]) -> Labels:
    return labels if labels in known or len(known) < LIVE_SERIES_MAX else _NOT_TOLD


def _ledger_of(connection: Connection) -> _Ledger:
    batches = schema.batches.c
    first = connection.execute(select(batches.hash, batches.closed_at).order_by(batches.number).limit(1)).one_or_none()
    last_seq = connection.scalar(select(func.max(batches.last_seq))) or 0
    return _Ledger("", 0, last_seq) if first is None else _Ledger(first.hash.hex(), first.closed_at, last_seq)


def _people_by_department(connection: Connection) -> dict[str, int]:
    members, departments = schema.members.c, schema.departments.c
    query = (
        select(departments.name, func.count())
        .select_from(schema.members.join(schema.departments, members.department_id == departments.id))
        .where(members.left_on.is_(None), members.kind == MemberKind.PERSON.value)
        .group_by(departments.name)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def _person_by_key(connection: Connection, keys: Collection[str]) -> dict[str, int]:
    """Whose keys these are: a person's inside number. An agent's key is nobody's."""
    members, api_keys = schema.members.c, schema.api_keys.c
    query = (
        select(api_keys.public_id, members.id)
        .select_from(schema.api_keys.join(schema.members, api_keys.member_id == members.id))
        .where(members.kind == MemberKind.PERSON.value)
    )
    wanted = sorted(keys)
    return {
        row[0]: row[1]
        for start in range(0, len(wanted), _KEYS_AT_ONCE)
        for row in connection.execute(query.where(api_keys.public_id.in_(wanted[start : start + _KEYS_AT_ONCE])))
    }


KINDS: Final = tuple(meter.value for meter in METERS[:TOKEN_METER_COUNT])
"""The kinds of tokens, in the order of `Work.counts`."""
