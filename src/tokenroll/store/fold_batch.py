"""FoldBatch: what one fold writes, gathered in memory and written in few statements at its end."""

import sqlite3
from array import array
from operator import itemgetter
from typing import Final

from sqlalchemy import Connection

from tokenroll.model.instant import Instant
from tokenroll.store.database import raw_connection
from tokenroll.store.mirror import Mirror

SettlementRow = tuple[int, int, int, int, int, int, int, int, int, bytes]
"""In the order of the columns of `settlements`."""

_SETTLEMENTS: Final = "INSERT INTO settlements VALUES (?,?,?,?,?,?,?,?,?,?)"
_LOTS: Final = "UPDATE lot_values SET held_nanos=?, suspense_nanos=?, spent_nanos=? WHERE lot_id=?"
_WALLETS: Final = (
    "UPDATE wallet_values SET last_seq=?, call_count=?, charged_nanos=?, company_nanos=? WHERE wallet_id=?"
)
_HOLD: Final = "INSERT OR REPLACE INTO holds VALUES (?,?,?,?,?,?,?)"
_NO_HOLD: Final = "DELETE FROM holds WHERE hold_key=?"
_DRAWS: Final = "INSERT INTO pool_draws VALUES (?,?,?)"
_ATTEMPTS: Final = "INSERT INTO attempts VALUES (?,?,?)"
_CLIENT_CALLS: Final = "INSERT INTO client_calls VALUES (?,?,?)"
_NAMES: Final = "INSERT INTO names VALUES (?,?,?,?)"


class FoldBatch:
    """One fold's rows. `touched` are keys of holds whose row must follow the mirror's."""

    __slots__ = ("attempts", "client_calls", "draws", "lots", "names", "rows", "touched", "wallets")

    def __init__(self) -> None:
        self.rows: list[SettlementRow] = []
        self.lots: set[int] = set()
        self.wallets: set[int] = set()
        self.draws: list[tuple[int, int, int]] = []
        self.attempts: list[tuple[int, int, int]] = []
        self.client_calls: list[tuple[int, str, int]] = []
        self.names: list[tuple[int, int, int, str]] = []
        self.touched: set[int] = set()

    def write(self, connection: Connection, mirror: Mirror, now: Instant) -> None:
        """All of it, inside the caller's transaction."""
        cursor = raw_connection(connection).cursor()
        cursor.executemany(_SETTLEMENTS, self.rows)
        self._write_values(cursor, mirror)
        self._write_holds(cursor, mirror, now)
        for statement, rows in (
            (_DRAWS, self.draws), (_ATTEMPTS, self.attempts), (_CLIENT_CALLS, self.client_calls), (_NAMES, self.names),
        ):  # fmt: skip
            if rows:
                cursor.executemany(statement, rows)
        cursor.close()

    def _write_values(self, cursor: sqlite3.Cursor, mirror: Mirror) -> None:
        """Absolute values in the order of ids: neighbours lie on the same page."""
        if lots := sorted(self.lots):
            cursor.executemany(
                _LOTS,
                zip(_of(mirror.held, lots), _of(mirror.suspense, lots), _of(mirror.spent, lots), lots, strict=True),
            )
        if wallets := sorted(self.wallets):
            columns = (mirror.last_seq, mirror.calls, mirror.charged, mirror.company)
            cursor.executemany(_WALLETS, zip(*(_of(column, wallets) for column in columns), wallets, strict=True))

    def _write_holds(self, cursor: sqlite3.Cursor, mirror: Mirror, now: Instant) -> None:
        holds = mirror.holds
        for key in sorted(self.touched):
            hold = holds.get(key)
            if hold is None:
                cursor.execute(_NO_HOLD, (key,))
            else:
                values = (key, hold.wallet_id, hold.state, hold.dispatched_at, hold.lapsed_at, now, hold.record)
                cursor.execute(_HOLD, values)


def _of(values: "array[int]", indexes: list[int]) -> tuple[int, ...]:
    """The values at the indexes, at the speed of C."""
    if len(indexes) == 1:
        return (values[indexes[0]],)
    picked: tuple[int, ...] = itemgetter(*indexes)(values)
    return picked
