"""What the ledger says of wallets in one pay cycle, read for a thousand of them at a time; `slip_making` makes slips of it.

A pay run of a million wallets reads a hundred million roll-ups. So the database does the adding, and answers for a range of wallets
with one row of JSON texts.

A cycle's figures stand still once it is closed: calls that end later are booked to the next open cycle (store/cycles.py). The
opening of a cycle is what the slip before it stored, so slips join without a gap by construction.
"""

from collections.abc import Iterator
from typing import Final

import msgspec
from sqlalchemy import Connection, select

from tokenroll.engine import cycling
from tokenroll.model.hold import COMPANY_LOT_ID
from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.pay_cycle import CycleDays
from tokenroll.model.recall import RecallPurpose
from tokenroll.services.charge_reports import seq_before
from tokenroll.services.slip_making import SlipMaker, WalletRow, WalletSlip
from tokenroll.services.slip_statements import slip_statements
from tokenroll.store import schema
from tokenroll.store.attempt_record import parse_record
from tokenroll.store.cycles import REGULAR, CycleBook
from tokenroll.store.database import raw_connection
from tokenroll.store.lease_book import in_suspense
from tokenroll.store.raw import RawConnection
from tokenroll.store.rollups import rolled_through, sums_of

WALLETS_PER_READ: Final = 1_000
"""Wallets of one answer: a megabyte of text, and few enough answers that their cost of a hundred microseconds is nothing."""
_NOTHING: Final = "'[]'"


_ROWS: Final = msgspec.json.Decoder(list[WalletRow])


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
        self._maker = SlipMaker(days.name, self._span)
        self._maker.labels = {row.id: (row.model, row.project, bool(row.is_personal)) for row in rows}
        self._before = run_before(connection, book, days.number)
        self._read_holds()
        self._read_unrolled()
        self._read_taken()
        self._read_charges()
        self._maker.begin()
        self._query, self._parameters = self._reading()

    def of(self, wallet_id: int) -> WalletSlip | None:
        """One wallet's slip; None for a wallet that was opened after the cycle."""
        return next(self.within(wallet_id, wallet_id), None)

    def every(self) -> Iterator[WalletSlip]:
        """Every wallet's slip."""
        for first, last in self.ranges():
            yield from self.within(first, last)

    def within(self, first: int, last: int) -> Iterator[WalletSlip]:
        """The slips of a range of wallets, both ends included."""
        return self._slips(self._read(raw_connection(self._connection), first, last))

    def ranges(self) -> list[tuple[int, int]]:
        """All wallets, as ranges of `WALLETS_PER_READ` ids."""
        last_id = raw_connection(self._connection).execute("SELECT max(id) FROM wallets").fetchone()[0] or 0
        return [(first, first + WALLETS_PER_READ - 1) for first in range(1, last_id + 1, WALLETS_PER_READ)]

    # ---- reading ----------------------------------------------------------------------------------------------------

    def _reading(self) -> tuple[str, dict[str, int]]:
        """One statement for all that is asked of a range, and its parameters without the range."""
        zones = self._connection.scalars(select(schema.wallets.c.zone).distinct()).all()
        spans = [self._span(zone) for zone in zones] or [(0, 1)]
        later = ",".join(map(str, _cycles_after(raw_connection(self._connection), self._days.number)))
        said = slip_statements(self._connection)
        late = raw_connection(self._connection).execute(said.any_late, (self._days.number,))
        texts = [
            said.lots, said.grants, said.spent, said.late if late.fetchone() else f"SELECT {_NOTHING}",
            said.later.format(cycles=later) if later else f"SELECT {_NOTHING}",
            said.opened if self._before else "SELECT 'null'",
        ]  # fmt: skip
        parameters = {
            "cycle": self._days.number, "before": self._before, "since": min(one[0] for one in spans),
            "until": max(one[1] for one in spans),
        }  # fmt: skip
        # texts are put together as texts: as JSON, the database would read and write each of them again
        columns = " || ',' || ".join(f"coalesce(({one}), 'null')" for one in texts)
        return said.part.format(columns=columns), parameters

    def _read(self, raw: RawConnection, first: int, last: int) -> str:
        found: str = raw.execute(self._query, {**self._parameters, "first": first, "last": last}).fetchone()[0]
        return found

    def _read_holds(self) -> None:
        """What calls hold that were admitted before the cycle's end, and may still cost; and what a node has that was away by then."""
        holds, held, suspense = schema.holds, self._maker.held, self._maker.suspense
        found = [(suspense, *one) for one in in_suspense(self._connection)]
        for state, blob in self._connection.execute(select(holds.c.state, holds.c.record)):
            hold = parse_record(blob).hold
            part = suspense if state == "suspense" else held
            found += [(part, lot_id, nanos, hold.admitted_at) for lot_id, nanos in hold.slices]
        lots, wallets = schema.lots.c, schema.wallets.c
        zones: dict[int, str] = {}
        for part, lot_id, nanos, since in found:
            if lot_id == COMPANY_LOT_ID:
                continue
            if lot_id not in zones:
                query = select(wallets.zone).join(lots.wallet_id.table, lots.wallet_id == wallets.id)
                zones[lot_id] = self._connection.scalar(query.where(lots.id == lot_id)) or "UTC"
            if since < self._span(zones[lot_id])[1]:
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
            part = self._maker.taken_later if row.given_at >= end_until else self._maker.taken_within
            part.setdefault(row.lot_id, [0, 0, 0, 0])[_TAKEN_PLACES[row.purpose]] += row.nanos
            if row.purpose == RecallPurpose.RESCHEDULE and row.given_at < end_until and row.effective_at < end_until:
                # out of one lot and into another of the same wallet is no transfer: neither line tells it
                net = self._maker.rescheduled.setdefault(row.wallet_id, [0, 0])
                net[row.effective_at <= row.given_at] += row.nanos

    def _read_charges(self) -> None:
        """What lots paid of the cycle's usage around the gateway: roll-ups have it among what was spent, and what is late as adjustment."""
        parts, entries, wallets = schema.usage_charge_parts.c, schema.entries.c, schema.wallets.c
        charges = schema.usage_charges.c
        since = self._book.span(self._days, "UTC").start_at - _DAY
        query = (
            select(parts.wallet_id, parts.nanos, entries.effective_at, charges.used_at, wallets.zone)
            .select_from(schema.usage_charge_parts)
            .join(schema.entries, entries.ledger_seq == parts.ledger_seq)
            .join(schema.usage_charges, charges.id == parts.charge_id)
            .join(schema.wallets, wallets.id == parts.wallet_id)
            .where(
                parts.lot_id != COMPANY_LOT_ID,
                parts.ledger_seq > seq_before(self._connection, since),
                entries.effective_at >= since,
            )
        )
        around = self._maker.around
        for wallet_id, nanos, at, used_at, zone in self._connection.execute(query):
            start_at, end_until = self._span(zone)
            if start_at <= used_at and start_at <= at < end_until:
                around[wallet_id] = around.get(wallet_id, 0) + nanos

    def _read_unrolled(self) -> None:
        """The settlements that no roll-up holds yet, as roll-ups would tell them."""
        settlements = schema.settlements.c
        query = select(
            settlements.hold_key, settlements.wallet_id, settlements.cycle, settlements.outcome, settlements.record
        ).where(settlements.ledger_seq > rolled_through(self._connection))
        sums = sums_of(self._connection, self._book)
        for number, wallet_id, cycle, outcome, record in self._connection.execute(query):
            sums.add_row(number, wallet_id, cycle, outcome, record)
        numbers = {label: label_id for label_id, label in self._maker.labels.items()}
        for key, (nanos, calls) in sums.sums.items():
            if key.cycle == self._days.number:
                label = (key.model, key.project, key.is_personal)
                label_id = numbers.setdefault(label, -1 - len(numbers))
                self._maker.labels[label_id] = label
                row = (key.lot_id, label_id, nanos, calls, key.late)
                self._maker.unrolled.setdefault(key.wallet_id, []).append(row)
            elif key.cycle > self._days.number:
                of_wallet = self._maker.unrolled_later.setdefault(key.wallet_id, {})
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
        for row in _ROWS.decode(text):
            yield self._maker.slip(row)


_TAKEN_PLACES: Final = {
    RecallPurpose.FORFEITURE: 0, RecallPurpose.CLAWBACK: 1, RecallPurpose.VOID: 2, RecallPurpose.TRANSFER: 3,
    RecallPurpose.RESCHEDULE: 3,
}  # fmt: skip
"""Where what was taken stands in a state, after what was spent."""
_DAY: Final = 86_400 * MICROS_PER_SECOND
"""No zone is further from UTC."""


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


def _cycles_after(raw: RawConnection, number: int) -> Iterator[int]:
    """The cycles with roll-ups after that one: each found by one step into the key."""
    while True:
        (found,) = raw.execute("SELECT min(cycle) FROM spend_rollups WHERE cycle > ?", (number,)).fetchone()
        if found is None:
            return
        number = found
        yield found
