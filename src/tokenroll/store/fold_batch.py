"""FoldBatch: what one fold writes, in few statements: settlements as they fill some, all else gathered and written at its end."""

import sqlite3
from collections import Counter
from typing import Any, Final

from sqlalchemy import Connection

from tokenroll.model.instant import Instant
from tokenroll.store.database import raw_connection
from tokenroll.store.limit_sums import LimitSums
from tokenroll.store.mirror import Mirror

SettlementRow = tuple[int, int, int, int, int, int, int, int, int, bytes]
"""In the order of the columns of `settlements`."""

_ROWS_PER_STATEMENT: Final = (256, 32, 4, 1)
"""Rows of one INSERT, the most first: a statement's own cost is then shared by so many, which takes a third off each. A short fold's
rows are few statements, too."""


class _Bulk:
    """An INSERT of many rows at a time; an upsert serves as the UPDATE of many rows that SQLite lacks."""

    __slots__ = ("_most_values", "_statements")

    def __init__(self, table: str, row: str, conflict: str = "") -> None:
        width = row.count("?")
        self._statements = [
            (rows * width, f"INSERT INTO {table} VALUES {','.join([row] * rows)} {conflict}")  # noqa: S608 - constants of this module
            for rows in _ROWS_PER_STATEMENT
        ]
        self._most_values = self._statements[0][0]

    def execute(self, cursor: sqlite3.Cursor, values: list[Any]) -> None:
        """All rows in their order; `values` are theirs, one row after another, and are taken out of the list."""
        for step, statement in self._statements:
            if len(values) >= step:
                self._execute(cursor, statement, step, values)

    def execute_whole(self, connection: Connection, values: list[Any]) -> None:
        """The first rows, as many as fill the longest statements; the values of the rest stay."""
        if len(values) >= self._most_values:
            step, statement = self._statements[0]
            self._execute(raw_connection(connection).cursor(), statement, step, values)

    @staticmethod
    def _execute(cursor: sqlite3.Cursor, statement: str, step: int, values: list[Any]) -> None:
        whole = len(values) - len(values) % step
        cursor.executemany(statement, [values[start : start + step] for start in range(0, whole, step)])
        del values[:whole]


_SETTLEMENTS: Final = _Bulk("settlements", "(?,?,?,?,?,?,?,?,?,?)")
_SPENT: Final = _Bulk(
    "lot_values(lot_id, spent_nanos)",
    "(?,?)",
    "ON CONFLICT(lot_id) DO UPDATE SET spent_nanos = spent_nanos + excluded.spent_nanos",
)
_WALLETS: Final = _Bulk(
    "wallet_values",
    "(?,?,?,?,0)",
    "ON CONFLICT(wallet_id) DO UPDATE SET last_seq = excluded.last_seq, call_count = call_count + excluded.call_count, "
    "charged_nanos = charged_nanos + excluded.charged_nanos",
)
_LOTS: Final = """
    UPDATE lot_values SET held_nanos = held_nanos + ?, suspense_nanos = suspense_nanos + ?, spent_nanos = spent_nanos + ?
    WHERE lot_id = ?"""
_COMPANY: Final = "UPDATE wallet_values SET company_nanos = company_nanos + ? WHERE wallet_id = ?"
_HOLD: Final = "INSERT OR REPLACE INTO holds VALUES (?,?,?,?,?,?,?)"
_NO_HOLD: Final = "DELETE FROM holds WHERE hold_key=?"
_DRAWS: Final = "INSERT INTO pool_draws VALUES (?,?,?)"
_ATTEMPTS: Final = "INSERT INTO attempts VALUES (?,?,?)"
_CLIENT_CALLS: Final = "INSERT INTO client_calls VALUES (?,?,?) ON CONFLICT DO NOTHING"
"""Two workers may each meet the same client id before they hear of each other: the first folded keeps it, and the fold goes on."""
_NAMES: Final = "INSERT INTO names VALUES (?,?,?,?)"


def _flat(*columns: list[int]) -> list[int]:
    """Row after row: columns are laid in at a stride, which is four times as fast as to chain rows."""
    width = len(columns)
    values = [0] * (width * len(columns[0]))
    for place, column in enumerate(columns):
        values[place::width] = column
    return values


class FoldBatch:
    """One fold's rows. `touched` are keys of holds whose row must follow the mirror's.

    `values` are those of settlements not yet written, row after row; a record as a bytearray, for sqlite3 looks up an adapter for
    bytes. `spent` is what plain ones took, by the place in the mirror of the one lot that paid them, and `again` has that place for
    each but the first. `counts` and `charged` are how many others there are by wallet, and what they cost; `changes` is all other
    movement: lot -> [held, suspense, spent].
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
        "spent",
        "touched",
        "values",
    )

    def __init__(self) -> None:
        self.values: list[int | bytes | bytearray] = []
        self.counts: dict[int, int] = {}
        self.charged: dict[int, int] = {}
        self.spent: dict[Any, Any] = {}
        self.again: list[int] = []
        self.changes: dict[int, list[int]] = {}
        self.company: dict[int, int] = {}
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

    def write_settlements(self, connection: Connection) -> None:
        """The rows of settlements so far, as many as fill statements: what is written soon is still in the processor's cache."""
        _SETTLEMENTS.execute_whole(connection, self.values)

    def write(self, connection: Connection, mirror: Mirror, now: Instant) -> None:
        """All that is not written yet, inside the caller's transaction."""
        cursor = raw_connection(connection).cursor()
        _SETTLEMENTS.execute(cursor, self.values)
        self._write_values(cursor, mirror)
        self._write_holds(cursor, mirror, now)
        for statement, rows in (
            (_DRAWS, self.draws), (_ATTEMPTS, self.attempts), (_CLIENT_CALLS, self.client_calls), (_NAMES, self.names),
        ):  # fmt: skip
            if rows:
                cursor.executemany(statement, rows)
        self.limits.write(cursor)
        cursor.close()

    def _write_values(self, cursor: sqlite3.Cursor, mirror: Mirror) -> None:
        """What each lot paid, in the order of lots, because neighbours lie on the same page: mostly that of their wallets, too.

        A wallet has a row for each lot that paid, for these add up, and are not summed before: in SQLite one statement may meet a row
        of its own again.
        """
        lots, last_seq, spent, places = mirror.lots, mirror.last_seq, self.spent, sorted(self.spent)
        nanos = [spent[place] for place in places]
        wallets = [lots[place + 1] for place in places]
        counts = [1] * len(places)
        if self.again:
            more = Counter(self.again)
            counts = [1 + more.get(place, 0) for place in places]
        _WALLETS.execute(cursor, _flat(wallets, [last_seq[wallet] for wallet in wallets], counts, nanos))
        _SPENT.execute(cursor, _flat([place >> 1 for place in places], nanos))
        others = sorted(self.counts)
        seqs, counts = [last_seq[wallet] for wallet in others], [self.counts[wallet] for wallet in others]
        _WALLETS.execute(cursor, _flat(others, seqs, counts, [self.charged[wallet] for wallet in others]))
        if self.changes:
            changes = ((held, suspense, spent, lot) for lot, (held, suspense, spent) in sorted(self.changes.items()))
            cursor.executemany(_LOTS, changes)
        if self.company:
            cursor.executemany(_COMPANY, [(nanos, wallet) for wallet, nanos in sorted(self.company.items())])

    def _write_holds(self, cursor: sqlite3.Cursor, mirror: Mirror, now: Instant) -> None:
        holds = mirror.holds
        for key in sorted(self.touched):
            hold = holds.get(key)
            if hold is None:
                cursor.execute(_NO_HOLD, (key,))
            else:
                values = (key, hold.wallet_id, hold.state, hold.dispatched_at, hold.lapsed_at, now, hold.record)
                cursor.execute(_HOLD, values)
