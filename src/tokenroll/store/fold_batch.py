"""FoldBatch: what one fold writes, gathered in memory and written in few statements at its end."""

import sqlite3
from array import array
from typing import Any, Final

from sqlalchemy import Connection

from tokenroll.model.instant import Instant
from tokenroll.store.database import raw_connection
from tokenroll.store.limit_sums import LimitSums
from tokenroll.store.mirror import Mirror

SettlementRow = tuple[int, int, int, int, int, int, int, int, int, bytes]
"""In the order of the columns of `settlements`."""

_ROWS_PER_STATEMENT: Final = 64
"""Rows of one INSERT: a statement's own cost is then shared by so many, which takes a third off each."""


class _Bulk:
    """An INSERT of many rows at a time; an upsert serves as the UPDATE of many rows that SQLite lacks."""

    __slots__ = ("_many", "_one", "_row_values", "_statement_values")

    def __init__(self, table: str, row: str, conflict: str = "") -> None:
        self._row_values = row.count("?")
        self._statement_values = self._row_values * _ROWS_PER_STATEMENT
        self._one = f"INSERT INTO {table} VALUES {row} {conflict}"  # noqa: S608 - constants of this module
        self._many = f"INSERT INTO {table} VALUES {','.join([row] * _ROWS_PER_STATEMENT)} {conflict}"  # noqa: S608

    def execute(self, cursor: sqlite3.Cursor, values: list[Any]) -> None:
        """All rows in their order; `values` are theirs, one row after another."""
        step = self._statement_values
        whole = len(values) - len(values) % step
        if whole:
            cursor.executemany(self._many, [values[start : start + step] for start in range(0, whole, step)])
        if whole < len(values):
            step = self._row_values
            cursor.executemany(self._one, [values[start : start + step] for start in range(whole, len(values), step)])


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

    `values` are those of the settlements, row after row. `counts` and `charged` are how many there are by wallet, and what they cost;
    `spent` is what plain ones took of the one lot that paid them; `changes` is all other movement: lot -> [held, suspense, spent].
    """

    __slots__ = (
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
        self.values: list[int | bytes] = []
        self.counts: dict[int, int] = {}
        self.charged: dict[int, int] = {}
        self.spent: dict[int, int] = {}
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

    def write(self, connection: Connection, mirror: Mirror, now: Instant) -> None:
        """All of it, inside the caller's transaction."""
        cursor = raw_connection(connection).cursor()
        _SETTLEMENTS.execute(cursor, self.values)
        self._write_values(cursor, mirror.last_seq)
        self._write_holds(cursor, mirror, now)
        for statement, rows in (
            (_DRAWS, self.draws), (_ATTEMPTS, self.attempts), (_CLIENT_CALLS, self.client_calls), (_NAMES, self.names),
        ):  # fmt: skip
            if rows:
                cursor.executemany(statement, rows)
        self.limits.write(cursor)
        cursor.close()

    def _write_values(self, cursor: sqlite3.Cursor, last_seq: "array[int]") -> None:
        """Each wallet and lot once, in the order of their numbers, because neighbours lie on the same page."""
        counts, charged, spent = self.counts, self.charged, self.spent
        wallets, lots = sorted(counts), sorted(spent)
        seqs = [last_seq[wallet] for wallet in wallets]
        columns = (wallets, seqs, [counts[wallet] for wallet in wallets], [charged[wallet] for wallet in wallets])
        _WALLETS.execute(cursor, _flat(*columns))
        _SPENT.execute(cursor, _flat(lots, [spent[lot] for lot in lots]))
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
