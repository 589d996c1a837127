"""FoldBatch: what one fold writes, in few statements: settlements as they fill some, all else gathered and written at its end."""

from collections import Counter
from typing import Any, Final

from sqlalchemy import Connection

from tokenroll.model.instant import Instant
from tokenroll.store.attempt_record import hold_key
from tokenroll.store.database import raw_connection
from tokenroll.store.fold_rows import FoldRows, PaidRows, PlainRows, fold_rows
from tokenroll.store.limit_sums import LimitSums
from tokenroll.store.mirror import Mirror
from tokenroll.store.raw import RawConnection

SettlementRow = tuple[int, int, int, int, int, int, int, int, int, bytes]
"""In the order of the columns of `settlements`."""

_LOTS: Final = """
    UPDATE lot_values SET held_nanos = held_nanos + ?, suspense_nanos = suspense_nanos + ?, spent_nanos = spent_nanos + ?
    WHERE lot_id = ?"""
_COMPANY: Final = "UPDATE wallet_values SET company_nanos = company_nanos + ? WHERE wallet_id = ?"
_OVERAGE: Final = """
    INSERT INTO overage_uses VALUES (?,?,?)
    ON CONFLICT(wallet_id, worker) DO UPDATE SET nanos = overage_uses.nanos + excluded.nanos"""
_HOLD: Final = """
    INSERT INTO holds VALUES (?,?,?,?,?,?,?) ON CONFLICT(hold_key) DO UPDATE SET wallet_id = excluded.wallet_id,
    state = excluded.state, dispatched_at = excluded.dispatched_at, lapsed_at = excluded.lapsed_at,
    recorded_at = excluded.recorded_at, record = excluded.record"""
_NO_HOLD: Final = "DELETE FROM holds WHERE hold_key=?"
_DRAWS: Final = "INSERT INTO pool_draws VALUES (?,?,?)"
_ATTEMPTS: Final = "INSERT INTO attempts VALUES (?,?,?)"
_CLIENT_CALLS: Final = "INSERT INTO client_calls VALUES (?,?,?) ON CONFLICT DO NOTHING"
"""Two workers may each meet the same client id before they hear of each other: the first folded keeps it, and the fold goes on."""
_NAMES: Final = "INSERT INTO names VALUES (?,?,?,?)"


class FoldBatch:
    """One fold's rows. `touched` are keys of holds whose row must follow the mirror's.

    `values` are those of settlements not yet written, row after row; a record as a bytearray, for sqlite3 looks up an adapter for
    bytes. `spent` is what plain ones took, by the place in the mirror of the one lot that paid them, and `again` has that place for
    each but the first; `paid` is the same of a report that was folded in columns. `counts` and `charged` are how many others there are
    by wallet, and what they cost; `changes` is all other movement: lot -> [held, suspense, spent]. `company` is what the company paid by
    wallet, `overage` the same with what is in suspense, by wallet and worker.
    """

    __slots__ = (
        "again",
        "attempts",
        "changes",
        "charged",
        "client_calls",
        "company",
        "counts",
        "draws",
        "limits",
        "names",
        "overage",
        "paid",
        "spent",
        "touched",
        "values",
    )

    def __init__(self) -> None:
        self.values: list[int | bytes | bytearray] = []
        self.counts: dict[int, int] = {}
        self.charged: dict[int, int] = {}
        self.spent: dict[Any, Any] = {}
        self.paid: PaidRows | None = None
        self.again: list[int] = []
        self.changes: dict[int, list[int]] = {}
        self.company: dict[int, int] = {}
        self.overage: dict[tuple[int, int], int] = {}
        self.draws: list[tuple[int, int, int]] = []
        self.attempts: list[tuple[int, int, int]] = []
        self.client_calls: list[tuple[int, str, int]] = []
        self.names: list[tuple[int, int, int, str]] = []
        self.touched: set[int] = set()
        self.limits = LimitSums()

    def settle(self, row: SettlementRow) -> None:
        """One more row of `settlements`, whose money `move` moves."""
        self.values.extend(row)
        wallet = row[2]
        self.counts[wallet] = self.counts.get(wallet, 0) + 1
        self.charged[wallet] = self.charged.get(wallet, 0) + row[6]

    def move(self, lot: int, *, held: int = 0, suspense: int = 0, spent: int = 0) -> None:
        """Nanos that moved within a lot."""
        change = self.changes.setdefault(lot, [0, 0, 0])
        change[0] += held
        change[1] += suspense
        change[2] += spent

    def carry(self, hold: int, wallet: int, nanos: int) -> None:
        """More of the company's part of a hold, charged or in suspense; less when below zero."""
        key = (wallet, hold_key(hold).worker)
        self.overage[key] = self.overage.get(key, 0) + nanos

    def paying_lots(self) -> set[int]:
        """Which lots plain settlements took from."""
        paying = {place >> 1 for place in self.spent}
        return paying if self.paid is None else paying.union(self.paid.lots.tolist())

    def write_settlements(self, connection: Connection) -> None:
        """The rows of settlements so far, as many as are worth it: what is written soon is still in the processor's cache."""
        fold_rows(connection).settlements_so_far(self.values)

    def write_plain(self, connection: Connection, rows: PlainRows) -> None:
        """Rows of plain settlements."""
        fold_rows(connection).plain_settlements(rows)

    def write(self, connection: Connection, mirror: Mirror, now: Instant) -> None:
        """All that is not written yet, inside the caller's transaction."""
        raw, rows = raw_connection(connection), fold_rows(connection)
        rows.settlements(self.values)
        self._write_values(raw, rows, mirror)
        self._write_holds(raw, mirror, now)
        for statement, many in (
            (_DRAWS, self.draws), (_ATTEMPTS, self.attempts), (_CLIENT_CALLS, self.client_calls), (_NAMES, self.names),
        ):  # fmt: skip
            if many:
                raw.executemany(statement, many)
        self.limits.write(raw)

    def _write_values(self, raw: RawConnection, rows: FoldRows, mirror: Mirror) -> None:
        """What each lot paid, in the order of lots, because neighbours lie on the same page: mostly that of their wallets, too.

        A wallet has a row for each lot that paid, for these add up.
        """
        lots, last_seq, spent, places = mirror.lots, mirror.last_seq, self.spent, sorted(self.spent)
        nanos = [spent[place] for place in places]
        wallets = [lots[place + 1] for place in places]
        counts = [1] * len(places)
        if self.again:
            more = Counter(self.again)
            counts = [1 + more.get(place, 0) for place in places]
        rows.add_charged(wallets, [last_seq[wallet] for wallet in wallets], counts, nanos)
        rows.add_spent([place >> 1 for place in places], nanos)
        if self.paid is not None:
            rows.paid(self.paid)
        others = sorted(self.counts)
        seqs, counts = [last_seq[wallet] for wallet in others], [self.counts[wallet] for wallet in others]
        rows.add_charged(others, seqs, counts, [self.charged[wallet] for wallet in others])
        if self.changes:
            changes = ((held, suspense, spent, lot) for lot, (held, suspense, spent) in sorted(self.changes.items()))
            raw.executemany(_LOTS, changes)
        if self.company:
            raw.executemany(_COMPANY, [(nanos, wallet) for wallet, nanos in sorted(self.company.items())])
        if self.overage:
            raw.executemany(_OVERAGE, [(*key, nanos) for key, nanos in sorted(self.overage.items())])

    def _write_holds(self, raw: RawConnection, mirror: Mirror, now: Instant) -> None:
        holds = mirror.holds
        ended: list[tuple[int]] = []
        open_ones: list[tuple[int, int, str, Instant | None, Instant | None, Instant, bytes]] = []
        for key in sorted(self.touched):
            hold = holds.get(key)
            if hold is None:
                ended.append((key,))
            else:
                open_ones.append(
                    (key, hold.wallet_id, hold.state, hold.dispatched_at, hold.lapsed_at, now, hold.record)
                )
        if ended:
            raw.executemany(_NO_HOLD, ended)
        if open_ones:
            raw.executemany(_HOLD, open_ones)
