"""FoldBatch: what one fold writes, gathered in memory and written in few statements at its end."""

import sqlite3
from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection

from tokenroll.model.instant import Instant
from tokenroll.store.database import raw_connection
from tokenroll.store.mirror import Mirror

SettlementRow = tuple[int, int, int, int, int, int, int, int, int, bytes]
"""In the order of the columns of `settlements`."""

_ROWS_PER_STATEMENT: Final = 64
"""Rows of one INSERT: a statement's own cost is then shared by so many, which takes a third off each."""


class _Bulk:
    """An INSERT of many rows at a time; an upsert serves as the UPDATE of many rows that SQLite lacks."""

    __slots__ = ("_many", "_one")

    def __init__(self, table: str, row: str, conflict: str = "") -> None:
        self._one = f"INSERT INTO {table} VALUES {row} {conflict}"  # noqa: S608 - constants of this module
        self._many = f"INSERT INTO {table} VALUES {','.join([row] * _ROWS_PER_STATEMENT)} {conflict}"  # noqa: S608

    def execute(self, cursor: sqlite3.Cursor, rows: Sequence[tuple[Any, ...]]) -> None:
        """All rows in their order."""
        whole = len(rows) - len(rows) % _ROWS_PER_STATEMENT
        if whole:
            parts = (rows[start : start + _ROWS_PER_STATEMENT] for start in range(0, whole, _ROWS_PER_STATEMENT))
            cursor.executemany(self._many, (tuple(chain.from_iterable(part)) for part in parts))
        if whole < len(rows):
            cursor.executemany(self._one, rows[whole:])


_SETTLEMENTS: Final = _Bulk("settlements", "(?,?,?,?,?,?,?,?,?,?)")
_SPENT: Final = _Bulk(
    "lot_values(spent_nanos, lot_id)",
    "(?,?)",
    "ON CONFLICT(lot_id) DO UPDATE SET spent_nanos = spent_nanos + excluded.spent_nanos",
)
_WALLETS: Final = _Bulk(
    "wallet_values",
    "(?,?,1,?,0)",
    "ON CONFLICT(wallet_id) DO UPDATE SET last_seq = excluded.last_seq, call_count = call_count + 1, "
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
_SECOND: Final = itemgetter(1)
_WALLET: Final = itemgetter(2)
_WALLET_SEQ_CHARGE: Final = itemgetter(2, 0, 6)


class FoldBatch:
    """One fold's rows. `touched` are keys of holds whose row must follow the mirror's.

    `spent` is what plain settlements took, (nanos, lot) each; `changes` all other movement: lot -> [held, suspense, spent].
    """

    __slots__ = ("attempts", "changes", "client_calls", "company", "draws", "names", "rows", "spent", "touched")

    def __init__(self) -> None:
        self.rows: list[SettlementRow] = []
        self.spent: list[tuple[int, int]] = []
        self.changes: dict[int, list[int]] = {}
        self.company: dict[int, int] = {}
        self.draws: list[tuple[int, int, int]] = []
        self.attempts: list[tuple[int, int, int]] = []
        self.client_calls: list[tuple[int, str, int]] = []
        self.names: list[tuple[int, int, int, str]] = []
        self.touched: set[int] = set()

    def move(self, lot: int, *, held: int = 0, suspense: int = 0, spent: int = 0) -> None:
        """Nanos that moved within a lot."""
        change = self.changes.setdefault(lot, [0, 0, 0])
        change[0] += held
        change[1] += suspense
        change[2] += spent

    def write(self, connection: Connection, mirror: Mirror, now: Instant) -> None:
        """All of it, inside the caller's transaction."""
        cursor = raw_connection(connection).cursor()
        _SETTLEMENTS.execute(cursor, self.rows)
        self._write_values(cursor)
        self._write_holds(cursor, mirror, now)
        for statement, rows in (
            (_DRAWS, self.draws), (_ATTEMPTS, self.attempts), (_CLIENT_CALLS, self.client_calls), (_NAMES, self.names),
        ):  # fmt: skip
            if rows:
                cursor.executemany(statement, rows)
        cursor.close()

    def _write_values(self, cursor: sqlite3.Cursor) -> None:
        """In the order of ids, because neighbours lie on the same page; rows of one wallet stay in the order of the ledger."""
        _SPENT.execute(cursor, sorted(self.spent, key=_SECOND))
        if self.changes:
            changes = ((held, suspense, spent, lot) for lot, (held, suspense, spent) in sorted(self.changes.items()))
            cursor.executemany(_LOTS, changes)
        _WALLETS.execute(cursor, [_WALLET_SEQ_CHARGE(row) for row in sorted(self.rows, key=_WALLET)])
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
