"""FoldBatch: what one fold writes, gathered in memory and written in few statements at its end."""

import sqlite3
from operator import itemgetter
from typing import Final

from sqlalchemy import Connection

from tokenroll.model.instant import Instant
from tokenroll.store.database import raw_connection
from tokenroll.store.mirror import Mirror

SettlementRow = tuple[int, int, int, int, int, int, int, int, int, bytes]
"""In the order of the columns of `settlements`."""

_SETTLEMENTS: Final = "INSERT INTO settlements VALUES (?,?,?,?,?,?,?,?,?,?)"
_SPENT: Final = "UPDATE lot_values SET spent_nanos = spent_nanos + ? WHERE lot_id = ?"
_LOTS: Final = """
    UPDATE lot_values SET held_nanos = held_nanos + ?, suspense_nanos = suspense_nanos + ?, spent_nanos = spent_nanos + ?
    WHERE lot_id = ?"""
_WALLETS: Final = """
    UPDATE wallet_values SET last_seq = ?, call_count = call_count + 1, charged_nanos = charged_nanos + ? WHERE wallet_id = ?"""
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
_SEQ_CHARGE_WALLET: Final = itemgetter(0, 6, 2)


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
        if self.rows:
            cursor.executemany(_SETTLEMENTS, self.rows)
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
        if self.spent:
            cursor.executemany(_SPENT, sorted(self.spent, key=_SECOND))
        if self.changes:
            changes = ((held, suspense, spent, lot) for lot, (held, suspense, spent) in sorted(self.changes.items()))
            cursor.executemany(_LOTS, changes)
        if self.rows:
            cursor.executemany(_WALLETS, map(_SEQ_CHARGE_WALLET, sorted(self.rows, key=_WALLET)))
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
