"""Roll-ups: what settlements took from each lot, summed by cycle, label and day, so that a pay run reads sums and no calls.

The fold does not write them: it would pay for every settlement what one pay run a month needs. The ledger rolls up what was folded
in its quiet moments, in the order of the journal, and notes how far it came. A sum is a function of the settlements up to that
mark alone, so a crash repeats nothing and `tokenroll journal verify` compares every row. Who reads before the ledger rolled up adds the
few settlements after the mark (`SpendSums`).

A cycle's sums follow these rules, which are those of the slips:

- nanos are told to the wallet whose lot they came from, the company's (lot 0) to the wallet that called;
- the cycle is that of the settlement; a pool whose zone is in a later cycle already takes its draw into that one;
- a charge of usage around the gateway is written when it is booked, to the cycle of its entry, and counts no call;
- a call is counted once, with its own wallet: at its first own lot, else at lot 0; one that was released is not counted.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeAlias

from sqlalchemy import Connection, func, select

from tokenroll.model.hold import COMPANY_LOT_ID
from tokenroll.model.instant import Instant
from tokenroll.model.tag import PROJECT, tag_value
from tokenroll.store import schema
from tokenroll.store.attempt_record import AttemptRecord, Outcome, hold_key, parse_record
from tokenroll.store.cycles import CycleBook
from tokenroll.store.database import raw_connection
from tokenroll.store.plain_settlement import hold_label, settle_label, settle_offset
from tokenroll.store.tape import HOLD_PERSONAL

MARK: Final = "spend"
SLICE_SETTLEMENTS: Final = 2_000
"""Settlements rolled up in one transaction: about 40 ms, for which no report waits longer than it notices."""
_NAMES_KEPT: Final = 65_536
_UPSERT: Final = """
    INSERT INTO spend_rollups VALUES (?,?,?,?,?,?,?,?)
    ON CONFLICT(cycle, wallet_id, lot_id, label_id, day) DO UPDATE SET nanos = spend_rollups.nanos + excluded.nanos,
    call_count = spend_rollups.call_count + excluded.call_count"""
_SET_MARK: Final = """
    INSERT INTO rollup_marks VALUES (?,?) ON CONFLICT(name) DO UPDATE SET ledger_seq = excluded.ledger_seq"""
_SETTLEMENTS: Final = """
    SELECT ledger_seq, hold_key, wallet_id, cycle, outcome, record FROM settlements
    WHERE ledger_seq > ? ORDER BY ledger_seq LIMIT ?"""


class SpendKey(NamedTuple):
    """What one sum is of. `day` counts from 1 January of the year 1; `late` says that it is an adjustment."""

    cycle: int
    wallet_id: int
    lot_id: int
    model: str
    project: str
    is_personal: bool
    day: int
    late: bool


_Said: TypeAlias = tuple[int, int, int, int, int, int, int]
"""What a record says of its sum: worker and epoch, by their numbers model and tags, whether it is personal, wallet, lot, cycle."""


class _OpenSum:
    """A sum of plain settlements that say the same, and the day in which they all are."""

    __slots__ = ("since", "sum", "until")

    def __init__(self, found: list[int], since: Instant, until: Instant) -> None:
        self.sum = found
        self.since = since
        self.until = until


class SpendSums:
    """Sums of settlements by `SpendKey`: [nanos, calls]. Whoever makes one says whose a lot is and in which zone a wallet lives."""

    def __init__(
        self, book: CycleBook, *, owner_of: Callable[[int], int], zone_of: Callable[[int], str],
        name_of: Callable[[int, int, int], str],
    ) -> None:  # fmt: skip
        self.sums: dict[SpendKey, list[int]] = {}
        self._book = book
        self._owner_of = owner_of
        self._zone_of = zone_of
        self._name_of = name_of
        self._first_days: dict[int, int] = {}
        self._open: dict[_Said, _OpenSum] = {}

    def clear(self) -> None:
        """Nothing is summed any more."""
        self.sums.clear()
        self._open.clear()

    def add_row(self, hold_number: int, wallet_id: int, cycle: int, outcome: int, record: bytes) -> None:
        """One settlement more, as its row has it: what `add` would add, without making records of the bytes of a plain one."""
        at = settle_offset(record)
        if not at or not self._add_plain(hold_number, wallet_id, cycle, record, at):
            self.add(hold_number, wallet_id, cycle, outcome, parse_record(record))

    def _add_plain(self, hold_number: int, wallet_id: int, cycle: int, record: bytes, at: int) -> bool:
        """Whether a plain settlement, whose SETTLE is at `at`, was paid by its own wallet from the lot that it held, and is added."""
        flags, _, _, admitted_at, hold_name, tags_name, lot_id, held_nanos = hold_label(record)
        _, charge_nanos, _, _, settle_name = settle_label(record, at)
        if not 0 < charge_nanos <= held_nanos:
            return False
        model_name, personal = settle_name or hold_name, flags & HOLD_PERSONAL
        said = (hold_number >> 40, model_name, tags_name, personal, wallet_id, lot_id, cycle)
        one = self._open.get(said)
        if one is None or not one.since <= admitted_at < one.until:
            if lot_id == COMPANY_LOT_ID or self._owner_of(lot_id) != wallet_id:
                return False
            label = self._label(hold_number, model_name, tags_name, personal)
            found = self._sum(wallet_id, cycle, lot_id, label, admitted_at, own=True)
            since, until, _ = self._book.day_window(self._zone_of(wallet_id), admitted_at)
            one = self._open[said] = _OpenSum(found, since, until)
        one.sum[0] += charge_nanos
        one.sum[1] += 1
        return True

    def add(self, hold_number: int, wallet_id: int, cycle: int, outcome: int, attempt: AttemptRecord) -> None:
        """One settlement more."""
        hold, settle = attempt.hold, attempt.settle
        model_name = settle.answered_model_name if settle and settle.answered_model_name else hold.model_name
        label = self._label(hold_number, model_name, hold.tags_name, hold.flags & HOLD_PERSONAL)
        uncounted = outcome != Outcome.RELEASED
        for lot_id, nanos in attempt.consumed:
            owner = wallet_id if lot_id == COMPANY_LOT_ID else self._owner_of(lot_id)
            own = owner == wallet_id
            found = self._sum(owner, cycle, lot_id, label, hold.admitted_at, own=own)
            found[0] += nanos
            found[1] += own and uncounted
            uncounted = uncounted and not own
        if uncounted:
            self._sum(wallet_id, cycle, COMPANY_LOT_ID, label, hold.admitted_at, own=True)[1] += 1

    def add_charged(
        self, wallet_id: int, lot_id: int, model: str, nanos: int, *, used_at: Instant, booked_at: Instant
    ) -> None:
        """What a charge of usage around the gateway took of a lot, as a call of that model: told to the cycle it is booked to."""
        cycle = self._book.of_admission(self._zone_of(wallet_id), booked_at)
        self._sum(wallet_id, cycle, lot_id, (model, "", False), used_at, own=True)[0] += nanos

    def _label(self, hold_number: int, model_name: int, tags_name: int, personal: int) -> tuple[str, str, bool]:
        key = hold_key(hold_number)
        model = self._name_of(key.worker, key.epoch, model_name) if model_name else ""
        project = tag_value(self._name_of(key.worker, key.epoch, tags_name), PROJECT) if tags_name else ""
        return model, project, bool(personal)

    def _sum(
        self, wallet_id: int, cycle: int, lot_id: int, label: tuple[str, str, bool], at: Instant, *, own: bool
    ) -> list[int]:
        zone = self._zone_of(wallet_id)
        if not own:
            cycle = max(cycle, self._book.of_admission(zone, at))
        day = self._book.day_number(zone, at)
        first = self._first_days.get(cycle)
        if first is None:
            first = self._first_days[cycle] = self._book.numbered(cycle).starts_on.toordinal()
        key = SpendKey(cycle, wallet_id, lot_id, *label, day, day < first)
        found = self.sums.get(key)
        if found is None:
            found = self.sums[key] = [0, 0]
        return found


def rolled_through(connection: Connection) -> int:
    """The last sequence of the journal that roll-ups hold; 0 for none."""
    marks = schema.rollup_marks.c
    return connection.scalar(select(marks.ledger_seq).where(marks.name == MARK)) or 0


def set_mark(connection: Connection, name: str, ledger_seq: int) -> None:
    """Every settlement up to that sequence is rolled up."""
    raw_connection(connection).execute(_SET_MARK, (name, ledger_seq))


def names_of(connection: Connection) -> Callable[[int, int, int], str]:
    """What the name ids of tapes stand for, the latest remembered: tags name sessions, so there is no end of texts."""
    known: dict[tuple[int, int, int], str] = {}
    names = schema.names.c

    def name_of(worker: int, epoch: int, name_id: int) -> str:
        at = (worker, epoch, name_id)
        text = known.get(at)
        if text is None:
            if len(known) >= _NAMES_KEPT:
                known.clear()
            where = (names.worker == worker) & (names.epoch == epoch) & (names.name_id == name_id)
            text = known[at] = connection.scalar(select(names.text).where(where)) or ""
        return text

    return name_of


def owners_of(connection: Connection) -> Callable[[int], int]:
    """Whose a lot is, each read once."""
    known: dict[int, int] = {}

    def owner_of(lot_id: int) -> int:
        owner = known.get(lot_id)
        if owner is None:
            owner = known[lot_id] = (
                connection.scalar(select(schema.lots.c.wallet_id).where(schema.lots.c.id == lot_id)) or 0
            )
        return owner

    return owner_of


def zones_of(connection: Connection) -> Callable[[int], str]:
    """The zone of a wallet, each read once."""
    known: dict[int, str] = {}

    def zone_of(wallet_id: int) -> str:
        zone = known.get(wallet_id)
        if zone is None:
            zone = known[wallet_id] = (
                connection.scalar(select(schema.wallets.c.zone).where(schema.wallets.c.id == wallet_id)) or "UTC"
            )
        return zone

    return zone_of


def sums_of(connection: Connection, book: CycleBook) -> SpendSums:
    """Empty sums that look up what they must know in this connection."""
    return SpendSums(book, owner_of=owners_of(connection), zone_of=zones_of(connection), name_of=names_of(connection))


def roll_up(connection: Connection, sums: SpendSums, limit: int = SLICE_SETTLEMENTS) -> int:
    """The next settlements after the mark put into `spend_rollups`; how many. Inside the caller's transaction.

    `sums` is empty, and is emptied again once its sums are rows.
    """
    rows = raw_connection(connection).execute(_SETTLEMENTS, (rolled_through(connection), limit)).fetchall()
    if not rows:
        return 0
    for _, number, wallet_id, cycle, outcome, record in rows:
        sums.add_row(number, wallet_id, cycle, outcome, record)
    _write(connection, sums)
    set_mark(connection, MARK, rows[-1][0])
    return len(rows)


def add_charged(connection: Connection, sums: SpendSums) -> None:
    """What charges took put into `spend_rollups`, in the transaction that books them: no mark waits for it."""
    _write(connection, sums)


def _write(connection: Connection, sums: SpendSums) -> None:
    """The sums added to their rows, and emptied."""
    labels = _labels(connection, (key[3:6] for key in sums.sums))
    raw_connection(connection).executemany(
        _UPSERT,
        sorted(
            (key.cycle, key.wallet_id, key.lot_id, labels[key[3:6]], key.day, nanos, count, int(key.late))
            for key, (nanos, count) in sums.sums.items()
        ),
    )
    sums.clear()


def _labels(connection: Connection, wanted: Iterable[tuple[str, str, bool]]) -> dict[tuple[str, str, bool], int]:
    table = schema.spend_labels
    known: dict[tuple[str, str, bool], int] = {}
    for label in sorted(set(wanted)):
        model, project, is_personal = label
        values = {"model": model, "project": project, "is_personal": int(is_personal)}
        found = connection.scalar(select(table.c.id).filter_by(**values))
        if found is None:
            found = (connection.scalar(select(func.max(table.c.id))) or 0) + 1
            connection.execute(table.insert().values(id=found, **values))
        known[label] = found
    return known
