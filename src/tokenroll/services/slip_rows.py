"""What the ledger says of wallets in one pay cycle, read for a thousand of them at a time and made into slips.

A pay run of a million wallets reads a hundred million roll-ups. So SQLite does the adding, and answers for a range of wallets
with one row of JSON texts: within that one step no Python runs, and other threads may. The arithmetic of a slip is
`engine.paying.slip_amounts`, which refuses one whose opening and movements are not its closing.

A cycle's figures stand still once it is closed: calls that end later are booked to the next open cycle (store/cycles.py). The
opening of a cycle is what the slip before it stored, so slips join without a gap by construction.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote

import msgspec
from sqlalchemy import Connection, select

from tokenroll.engine import cycling
from tokenroll.engine.paying import LotOrigin, LotRow, slip_amounts
from tokenroll.model.hold import COMPANY_LOT_ID
from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.pay_cycle import CycleDays
from tokenroll.model.recall import RecallPurpose
from tokenroll.store import schema
from tokenroll.store.attempt_record import parse_record
from tokenroll.store.cycles import REGULAR, CycleBook
from tokenroll.store.database import raw_connection
from tokenroll.store.rollups import rolled_through, sums_of

WALLETS_PER_READ: Final = 1_000
"""Wallets of one answer: a megabyte of text, and few enough answers that their cost of a hundred microseconds is nothing."""
READERS: Final = 2
"""Threads that read while the pay run writes: SQLite adds without Python's lock, so they use the second core."""
_READ_AHEAD: Final = 4
STATE_FIELDS: Final = (
    "held_nanos", "suspense_nanos", "spent_nanos", "forfeited_nanos", "clawed_back_nanos", "voided_nanos",
    "transferred_out_nanos",
)  # fmt: skip
"""The numbers of a lot's state, in the order of `engine.paying.StateRow`."""
_READ_ONLY: Final = (f"PRAGMA cache_size=-{8 * 1024}", "PRAGMA query_only=ON")
"""A page is read once: a small cache stays in the processor's own."""

_LOTS: Final = f"""
    SELECT json_group_array(json_array(l.id, l.amount_nanos, l.effective_at, l.expires_at, l.classification,
        CASE WHEN l.origin_lot_id IS NULL THEN {int(LotOrigin.GRANT)}
            WHEN o.wallet_id <> l.wallet_id OR o.effective_at <= l.moved_at THEN {int(LotOrigin.TRANSFER)}
            ELSE {int(LotOrigin.GRANT)} END, coalesce(l.moved_at, g.recorded_at), v.spent_nanos, v.forfeited_nanos,
        v.clawed_back_nanos, v.voided_nanos, v.transferred_out_nanos))
    FROM lots l JOIN lot_values v ON v.lot_id = l.id JOIN grants g ON g.id = l.grant_id
        LEFT JOIN lots o ON o.id = l.origin_lot_id
    WHERE l.wallet_id = w.id AND coalesce(l.moved_at, g.recorded_at) < :until"""  # noqa: S608 - constants of this module
_GRANTS: Final = """
    SELECT json_group_array(json_array(max(effective_at, recorded_at), amount_nanos)) FROM grants
    WHERE wallet_id = w.id AND max(effective_at, recorded_at) BETWEEN :since AND :until"""
_SPENT: Final = """
    SELECT json_group_array(json_array(lot_id, label_id, nanos, calls)) FROM (
        SELECT lot_id, label_id, sum(nanos) AS nanos, sum(call_count) AS calls FROM spend_rollups
        WHERE cycle = :cycle AND wallet_id = w.id GROUP BY lot_id, label_id)"""
_LATE: Final = """
    SELECT json_group_array(json_array(lot_id, label_id, nanos)) FROM spend_rollups INDEXED BY spend_rollups_late
    WHERE late = 1 AND cycle = :cycle AND wallet_id = w.id"""
_LATER: Final = """
    SELECT json_group_array(json_array(lot_id, nanos)) FROM (
        SELECT lot_id, sum(nanos) AS nanos FROM spend_rollups
        WHERE cycle IN ({cycles}) AND wallet_id = w.id GROUP BY lot_id)"""
_OPENED: Final = (
    "SELECT json_extract(values_json, '$.lots') FROM pay_slips WHERE pay_run_id = :before AND wallet_id = w.id"
)
_PART: Final = """
    SELECT json_group_array(json_array(w.id, w.zone, {columns})) FROM wallets w
    WHERE w.id BETWEEN :first AND :last AND w.recorded_at < :until"""
_NOTHING: Final = "'[]'"


class WalletSlip(NamedTuple):
    """One wallet's slip as numbers. `amounts` holds what is not nothing; `lots` the closed states, for the next opening."""

    wallet_id: int
    zone: str
    classifications: tuple[str, ...]
    amounts: dict[str, int]
    models: dict[str, int]
    projects: dict[str, int]
    lots: dict[str, dict[str, int]]


_WalletRow = tuple[int, str, list[Any], list[Any], list[Any], list[Any], list[Any], dict[str, dict[str, int]] | None]
"""Wallet, zone, lots, granted, spent, late, later, opened: as `_PART` answers."""


class SlipRows:
    """The slips of one cycle that is not closed, in the order of wallets, over one snapshot.

    A cycle that has not ended is told as if it ended now, so that nothing is called expired or vested before it is.
    """

    def __init__(self, connection: Connection, book: CycleBook, days: CycleDays, now: Instant) -> None:
        self._connection = connection
        self._book = book
        self._days = days
        self._now = now
        self._spans: dict[str, tuple[Instant, Instant]] = {}
        labels = schema.spend_labels
        rows = connection.execute(select(labels)).all()
        self._labels: dict[int, tuple[str, str]] = {row.id: (row.model, row.project) for row in rows}
        self._before = run_before(connection, book, days.number)
        self._held: dict[int, int] = {}
        self._suspense: dict[int, int] = {}
        self._read_holds()
        self._unrolled: dict[int, list[Any]] = {}
        self._unrolled_later: dict[int, dict[int, int]] = {}
        self._read_unrolled()
        self._taken_within: dict[int, list[int]] = {}
        self._taken_later: dict[int, list[int]] = {}
        self._rescheduled: dict[int, list[int]] = {}
        self._read_taken()
        self._query, self._parameters = self._reading()

    def of(self, wallet_id: int) -> WalletSlip | None:
        """One wallet's slip; None for a wallet that was opened after the cycle."""
        return next(self._slips(self._read(raw_connection(self._connection), wallet_id, wallet_id)), None)

    def every(self, *, aside: bool = False) -> Iterator[WalletSlip]:
        """Every wallet's slip. `aside` reads in threads and connections of their own.

        That is for a writer that has the database to itself, has written nothing yet that slips are made of, and keeps every other
        from writing: then all of them see what it sees.
        """
        raw = raw_connection(self._connection)
        last_id = raw.execute("SELECT max(id) FROM wallets").fetchone()[0] or 0
        path = raw.execute("PRAGMA database_list").fetchone()[2]
        ranges = [(first, first + WALLETS_PER_READ - 1) for first in range(1, last_id + 1, WALLETS_PER_READ)]
        if not (aside and path and len(ranges) > 1):
            for first, last in ranges:
                yield from self._slips(self._read(raw, first, last))
            return
        with _Readers(path, READERS) as readers:
            ahead: list[Future[str]] = []
            for first, last in ranges:
                ahead.append(readers.submit(self._query, {**self._parameters, "first": first, "last": last}))
                if len(ahead) > _READ_AHEAD:
                    yield from self._slips(ahead.pop(0).result())
            for one in ahead:
                yield from self._slips(one.result())

    # ---- reading ----------------------------------------------------------------------------------------------------

    def _reading(self) -> tuple[str, dict[str, int]]:
        """One statement for all that is asked of a range, and its parameters without the range."""
        zones = self._connection.scalars(select(schema.wallets.c.zone).distinct()).all()
        spans = [self._span(zone) for zone in zones] or [(0, 1)]
        later = ",".join(map(str, _cycles_after(raw_connection(self._connection), self._days.number)))
        late = raw_connection(self._connection).execute(
            "SELECT 1 FROM spend_rollups INDEXED BY spend_rollups_late WHERE late = 1 AND cycle = ? LIMIT 1",
            (self._days.number,),
        )
        texts = [
            _LOTS, _GRANTS, _SPENT, _LATE if late.fetchone() else f"SELECT {_NOTHING}",
            _LATER.format(cycles=later) if later else f"SELECT {_NOTHING}", _OPENED if self._before else "SELECT NULL",
        ]  # fmt: skip
        parameters = {
            "cycle": self._days.number, "before": self._before, "since": min(one[0] for one in spans),
            "until": max(one[1] for one in spans),
        }  # fmt: skip
        columns = ",".join(f"json(({one}))" for one in texts)
        return _PART.format(columns=columns), parameters

    def _read(self, raw: sqlite3.Connection, first: int, last: int) -> str:
        found: str = raw.execute(self._query, {**self._parameters, "first": first, "last": last}).fetchone()[0]
        return found

    def _read_holds(self) -> None:
        """What calls hold that were admitted before the cycle's end, and may still cost."""
        holds, lots, wallets = schema.holds, schema.lots.c, schema.wallets.c
        zones: dict[int, str] = {}
        for state, blob in self._connection.execute(select(holds.c.state, holds.c.record)):
            hold = parse_record(blob).hold
            part = self._suspense if state == "suspense" else self._held
            for lot_id, nanos in hold.slices:
                if lot_id == COMPANY_LOT_ID:
                    continue
                if lot_id not in zones:
                    query = select(wallets.zone).join(lots.wallet_id.table, lots.wallet_id == wallets.id)
                    zones[lot_id] = self._connection.scalar(query.where(lots.id == lot_id)) or "UTC"
                if hold.admitted_at < self._span(zones[lot_id])[1]:
                    part[lot_id] = part.get(lot_id, 0) + nanos

    def _read_taken(self) -> None:
        """What recalls took of lots within the cycle and later: rows hold what was taken by now."""
        gives, recalls = schema.recall_gives.c, schema.recalls.c
        query = (
            select(schema.recalls, gives.given_at, gives.nanos, schema.wallets.c.zone, schema.lots.c.effective_at)
            .join(schema.recall_gives, recalls.id == gives.recall_id)
            .join(schema.wallets, schema.wallets.c.id == recalls.wallet_id)
            .join(schema.lots, schema.lots.c.id == recalls.lot_id)
            .where(gives.given_at >= self._book.span(self._days, "UTC").start_at - _DAY)
        )
        for row in self._connection.execute(query):
            start_at, end_until = self._span(row.zone)
            if row.given_at < start_at:
                continue
            part = self._taken_later if row.given_at >= end_until else self._taken_within
            part.setdefault(row.lot_id, [0, 0, 0, 0])[_TAKEN_PLACES[row.purpose]] += row.nanos
            if row.purpose == RecallPurpose.RESCHEDULE and row.given_at < end_until and row.effective_at < end_until:
                # out of one lot and into another of the same wallet is no transfer: neither line tells it
                net = self._rescheduled.setdefault(row.wallet_id, [0, 0])
                net[row.effective_at <= row.given_at] += row.nanos

    def _read_unrolled(self) -> None:
        """The settlements that no roll-up holds yet, as roll-ups would tell them."""
        settlements = schema.settlements.c
        query = select(
            settlements.hold_key, settlements.wallet_id, settlements.cycle, settlements.outcome, settlements.record
        ).where(settlements.ledger_seq > rolled_through(self._connection))
        sums = sums_of(self._connection, self._book)
        for number, wallet_id, cycle, outcome, record in self._connection.execute(query):
            sums.add(number, wallet_id, cycle, outcome, parse_record(record))
        numbers = {label: label_id for label_id, label in self._labels.items()}
        for key, (nanos, calls) in sums.sums.items():
            if key.cycle == self._days.number:
                label = (key.model, key.project)
                label_id = numbers.setdefault(label, -1 - len(numbers))
                self._labels[label_id] = label
                row = (key.lot_id, label_id, nanos, calls, key.late)
                self._unrolled.setdefault(key.wallet_id, []).append(row)
            elif key.cycle > self._days.number:
                of_wallet = self._unrolled_later.setdefault(key.wallet_id, {})
                of_wallet[key.lot_id] = of_wallet.get(key.lot_id, 0) + nanos

    def _span(self, zone: str) -> tuple[Instant, Instant]:
        """The cycle in a zone up to and with `now`; at least an instant of it, so that a cycle to come is empty."""
        known = self._spans.get(zone)
        if known is None:
            cycle = self._book.span(self._days, zone)
            ends = cycle.end_until if self._now >= cycle.end_until else max(self._now, cycle.start_at) + 1
            known = self._spans[zone] = (cycle.start_at, ends)
        return known

    # ---- adding up --------------------------------------------------------------------------------------------------

    def _slips(self, text: str) -> Iterator[WalletSlip]:
        for row in msgspec.json.decode(text):
            yield self._slip(row)

    def _slip(self, row: _WalletRow) -> WalletSlip:
        wallet_id, zone, lots, granted, every_spent, late, later, opened = row
        span = self._spans.get(zone) or self._span(zone)
        labels = self._labels
        models: dict[str, int] = {}
        projects: dict[str, int] = {}
        spent: dict[int, int] = {}
        adjusted: dict[int, int] = {}
        calls = carried = 0
        if late or self._unrolled:
            every_spent, adjusted = self._with_late(wallet_id, every_spent, late)
        for lot_id, label_id, nanos, count in every_spent:
            calls += count
            if lot_id == COMPANY_LOT_ID:
                carried += nanos
            elif nanos:
                spent[lot_id] = spent.get(lot_id, 0) + nanos
                model, project = labels[label_id]
                models[model] = models.get(model, 0) + nanos
                projects[project] = projects.get(project, 0) + nanos
        rows, kinds, states = self._lot_rows(wallet_id, span, lots, (dict(later), opened), (spent, adjusted))
        amounts = slip_amounts(*span, rows, f"pay slip of wallet {wallet_id} for {self._days.name}")
        if wallet_id in self._rescheduled:
            self._net_rescheduled(wallet_id, amounts)
        if granted:
            amounts["granted_nanos"] = sum([nanos for at, nanos in granted if span[0] <= at < span[1]])
        if carried:
            amounts["company_carried_nanos"] = carried
        if calls:
            amounts["call_count"] = calls
        return WalletSlip(wallet_id, zone, kinds, amounts, models, projects, states)

    def _net_rescheduled(self, wallet_id: int, amounts: dict[str, int]) -> None:
        vesting, vested = self._rescheduled[wallet_id]
        for name, nanos in (
            ("vested_nanos", vesting), ("transferred_in_nanos", vested), ("transferred_out_nanos", vesting + vested),
        ):  # fmt: skip
            amounts[name] = amounts.get(name, 0) - nanos

    def _with_late(self, wallet_id: int, spent: list[Any], late: list[Any]) -> tuple[list[Any], dict[int, int]]:
        """What was spent in time, label by label, and what late calls took from each lot: adjustments."""
        found = {(lot_id, label_id): [nanos, calls] for lot_id, label_id, nanos, calls in spent}
        adjusted: dict[int, int] = {}
        late = [(lot_id, label_id, nanos, 0, True) for lot_id, label_id, nanos in late if lot_id != COMPANY_LOT_ID]
        for lot_id, label_id, nanos, _, _ in late:
            found[lot_id, label_id][0] -= nanos
        for lot_id, label_id, nanos, calls, is_late in (*late, *self._unrolled.get(wallet_id, ())):
            known = found.setdefault((lot_id, label_id), [0, 0])
            known[1] += calls
            if is_late and lot_id != COMPANY_LOT_ID:
                adjusted[lot_id] = adjusted.get(lot_id, 0) + nanos
            else:
                known[0] += nanos
        return [(*key, nanos, calls) for key, (nanos, calls) in found.items()], adjusted

    def _lot_rows(
        self, wallet_id: int, span: tuple[Instant, Instant], lots: list[Any],
        around: tuple[dict[int, int], dict[str, dict[str, int]] | None], moved: tuple[dict[int, int], dict[int, int]],
    ) -> tuple[list[LotRow], tuple[str, ...], dict[str, dict[str, int]]]:  # fmt: skip
        """Every lot that was known before the cycle's end, as the engine wants it; their classifications; their closed states."""
        start_at, end_until = span
        later, before = around
        spent, adjusted = moved
        rows: list[LotRow] = []
        states: dict[str, dict[str, int]] = {}
        kinds = set()
        if self._unrolled_later:
            for lot_id, nanos in self._unrolled_later.get(wallet_id, {}).items():
                later[lot_id] = later.get(lot_id, 0) + nanos
        held, suspense = self._held.get, self._suspense.get
        for lot_id, amount, effective_at, expires_at, kind, origin, recorded_at, all_spent, *taken_by_now in lots:
            if recorded_at >= end_until:
                continue
            taken = taken_by_now
            if lot_id in self._taken_later:
                taken = [now - after for now, after in zip(taken_by_now, self._taken_later[lot_id], strict=True)]
            closed = (held(lot_id, 0), suspense(lot_id, 0), all_spent - later.get(lot_id, 0), *taken)
            lot_spent, lot_adjusted = spent.get(lot_id, 0), adjusted.get(lot_id, 0)
            name = str(lot_id)
            opened: tuple[int, ...] | None = None
            if before is not None:
                stored = before.get(name)
                if stored is not None:
                    opened = tuple([stored.get(field, 0) for field in STATE_FIELDS]) if stored else _UNTOUCHED
            elif recorded_at < start_at:
                # no paper yet: what was held at the boundary counts as not yet taken, and every call is booked to its own cycle
                within = self._taken_within.get(lot_id, _NOTHING_TAKEN)
                taken_before = [now - one for now, one in zip(taken, within, strict=True)]
                opened = (0, 0, closed[2] - lot_spent - lot_adjusted, *taken_before)
            kinds.add(kind)
            rows.append((amount, effective_at, expires_at, origin, opened, closed, lot_spent, lot_adjusted))
            if closed[2] and closed[2] == sum(closed):
                states[name] = {"spent_nanos": closed[2]}
            else:
                states[name] = {field: value for field, value in zip(STATE_FIELDS, closed, strict=True) if value}
        return rows, tuple(sorted(kinds)), states


_UNTOUCHED: Final = (0,) * len(STATE_FIELDS)
_NOTHING_TAKEN: Final = (0, 0, 0, 0)
_TAKEN_PLACES: Final = {
    RecallPurpose.FORFEITURE: 0, RecallPurpose.CLAWBACK: 1, RecallPurpose.VOID: 2, RecallPurpose.TRANSFER: 3,
    RecallPurpose.RESCHEDULE: 3,
}  # fmt: skip
"""Where what was taken stands in a state, after what was spent."""
_DAY: Final = 86_400 * MICROS_PER_SECOND
"""No zone is further from UTC."""


class _Readers:
    """Threads with a read-only connection each."""

    def __init__(self, path: str, count: int) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="pay-run")
        self._free: list[sqlite3.Connection] = []
        self._all: list[sqlite3.Connection] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        for one in self._all:
            one.close()

    def submit(self, query: str, parameters: Mapping[str, int]) -> "Future[str]":
        return self._pool.submit(self._read, query, parameters)

    def _read(self, query: str, parameters: Mapping[str, int]) -> str:
        connection = self._free.pop() if self._free else self._open()
        found: str = connection.execute(query, parameters).fetchone()[0]
        self._free.append(connection)
        return found

    def _open(self) -> sqlite3.Connection:
        opened = sqlite3.connect(
            f"file:{quote(self._path)}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        for pragma in _READ_ONLY:
            opened.execute(pragma).fetchall()
        self._all.append(opened)
        return opened


def run_before(connection: Connection, book: CycleBook, number: int) -> int:
    """The run that closed the cycle just before; 0 when that one is open, or nothing was ever closed."""
    runs, reversals = schema.pay_runs, schema.pay_run_reversals
    before = cycling.preceding_cycle(book.calendars, number).number
    query = (
        select(runs.c.id)
        .outerjoin(reversals, reversals.c.pay_run_id == runs.c.id)
        .where(runs.c.cycle == before, runs.c.kind == REGULAR, reversals.c.id.is_(None))
    )
    return connection.scalar(query) or 0


def _cycles_after(raw: sqlite3.Connection, number: int) -> Iterator[int]:
    """The cycles with roll-ups after that one: each found by one step into the key."""
    while True:
        (found,) = raw.execute("SELECT min(cycle) FROM spend_rollups WHERE cycle > ?", (number,)).fetchone()
        if found is None:
            return
        number = found
        yield found
