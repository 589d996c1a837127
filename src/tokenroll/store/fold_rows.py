"""What a fold writes most of, as each database takes it fastest: one port, and SQLite's way behind it.

`postgresql_rows.py` is the other way. All else that a fold writes is few rows, and the same statements on both.
"""

import sqlite3
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import Connection

_ROWS_PER_STATEMENT: Final = (256, 32, 4, 1)
"""Rows of one INSERT, the most first: a statement's own cost is then shared by so many, which takes a third off each. A short fold's
rows are few statements, too."""


class PlainRows(NamedTuple):
    """Rows of `settlements` of one cycle, each settled, as columns of numpy."""

    seqs: Any
    hold_keys: Any
    wallets: Any
    api_keys: Any
    admitted: Any
    cycle: int
    charges: Any
    previous: Any
    records: list[bytearray]


class FoldRows(Protocol):
    """The rows of one fold, inside its transaction. What is handed over is in the order of its keys, so that locks and pages are, too."""

    def settlements_so_far(self, values: list[Any]) -> None:
        """The first rows, as many as are worth a statement now; their values are taken out of the list."""

    def settlements(self, values: list[Any]) -> None:
        """All rows; `values` are theirs, one row after another, and are taken out of the list."""

    def plain_settlements(self, rows: PlainRows) -> None:
        """All of them."""

    def add_spent(self, lots: list[int], nanos: list[int]) -> None:
        """What lots paid, each lot once."""

    def add_charged(self, wallets: list[int], last_seqs: list[int], counts: list[int], nanos: list[int]) -> None:
        """How often wallets called and what it cost; a wallet may come again, with the same newest settlement."""


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

    def execute_whole(self, raw: sqlite3.Connection, values: list[Any]) -> None:
        """The first rows, as many as fill the longest statements; the values of the rest stay."""
        if len(values) >= self._most_values:
            step, statement = self._statements[0]
            self._execute(raw.cursor(), statement, step, values)

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


@lru_cache(maxsize=16)
def _plain(cycle: int) -> _Bulk:
    """Settled rows of a cycle: what is the same for all stands in the statement, for each value that is handed over costs."""
    return _Bulk("settlements", f"(?,?,?,?,?,{cycle},?,1,?,?)")


def _flat(*columns: list[Any]) -> list[Any]:
    """Row after row: columns are laid in at a stride, which is four times as fast as to chain rows."""
    width = len(columns)
    values: list[Any] = [0] * (width * len(columns[0]))
    for place, column in enumerate(columns):
        values[place::width] = column
    return values


class _SqliteRows:
    """Statements of many rows. A wallet's rows are not summed before: in SQLite one statement may meet a row of its own again."""

    __slots__ = ("_raw",)

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    def settlements_so_far(self, values: list[Any]) -> None:
        _SETTLEMENTS.execute_whole(self._raw, values)

    def settlements(self, values: list[Any]) -> None:
        _SETTLEMENTS.execute(self._raw.cursor(), values)

    def plain_settlements(self, rows: PlainRows) -> None:
        columns = (rows.seqs, rows.hold_keys, rows.wallets, rows.api_keys, rows.admitted, rows.charges, rows.previous)
        values = _flat(*[column.tolist() for column in columns], rows.records)
        _plain(rows.cycle).execute(self._raw.cursor(), values)

    def add_spent(self, lots: list[int], nanos: list[int]) -> None:
        _SPENT.execute(self._raw.cursor(), _flat(lots, nanos))

    def add_charged(self, wallets: list[int], last_seqs: list[int], counts: list[int], nanos: list[int]) -> None:
        _WALLETS.execute(self._raw.cursor(), _flat(wallets, last_seqs, counts, nanos))


def fold_rows(connection: Connection) -> FoldRows:
    """The way of this connection's database."""
    raw = connection.connection.driver_connection
    if isinstance(raw, sqlite3.Connection):
        return _SqliteRows(raw)
    from tokenroll.store.postgresql_rows import PostgresqlRows  # noqa: PLC0415 - an extra: only where a PostgreSQL is named

    return PostgresqlRows(raw)
