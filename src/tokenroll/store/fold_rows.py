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


class PaidRows(NamedTuple):
    """What lots paid in a report of columns, each lot once and in their order, as columns of numpy; a wallet may come again."""

    lots: Any
    wallets: Any
    last_seqs: Any
    counts: Any
    """For how many calls a lot paid."""
    nanos: Any


class FoldRows(Protocol):
    """The rows of one fold, inside its transaction. What is handed over is in the order of its keys, so that locks and pages are, too."""

    def settlements_so_far(self, values: list[Any]) -> None:
        """The first rows, as many as are worth a statement now; their values are taken out of the list."""

    def settlements(self, values: list[Any]) -> None:
        """All rows; `values` are theirs, one row after another, and are taken out of the list."""

    def plain_settlements(self, rows: PlainRows) -> None:
        """All of them."""

    def paid(self, rows: PaidRows) -> None:
        """What `add_spent` and `add_charged` write of these."""

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


class _Packed:
    """The same for rows of a few words of 63 bits, which the statement takes apart: a shift costs it less than another value does.

    `head` values stand before the rows' of each statement, for all of its rows. In `row` they are `?1` and so on, the row's own `{0}` and
    so on.
    """

    __slots__ = ("_statements", "_width")

    def __init__(self, table: str, row: str, *, head: int, width: int, conflict: str = "") -> None:
        self._width = width
        self._statements = []
        for rows in _ROWS_PER_STATEMENT:
            places = [[f"?{head + width * place + word + 1}" for word in range(width)] for place in range(rows)]
            whole = ",".join([row.format(*words) for words in places])
            self._statements.append((rows, f"INSERT INTO {table} VALUES {whole} {conflict}"))  # noqa: S608 - constants of this module

    def execute(self, cursor: sqlite3.Cursor, head: list[int], values: list[Any]) -> None:
        """All rows in their order; `values` are theirs, one row after another."""
        begun, count = 0, len(values)
        for rows, statement in self._statements:
            step = rows * self._width
            end = count - (count - begun) % step
            if end > begun:
                cursor.executemany(
                    statement, [head + values[start : start + step] for start in range(begun, end, step)]
                )
            begun = end


_SETTLEMENTS: Final = _Bulk("settlements", "(?,?,?,?,?,?,?,?,?,?)")
_ADD_SPENT: Final = "ON CONFLICT(lot_id) DO UPDATE SET spent_nanos = spent_nanos + excluded.spent_nanos"
_ADD_CHARGED: Final = (
    "ON CONFLICT(wallet_id) DO UPDATE SET last_seq = excluded.last_seq, call_count = call_count + excluded.call_count, "
    "charged_nanos = charged_nanos + excluded.charged_nanos"
)
_SPENT: Final = _Bulk("lot_values(lot_id, spent_nanos)", "(?,?)", _ADD_SPENT)
_WALLETS: Final = _Bulk("wallet_values", "(?,?,?,?,0)", _ADD_CHARGED)
# Words, from the highest bits: nanos 32, lot or wallet 31; calls 20, newest settlement 43.
_ID_BITS: Final = 31
_NANOS_BITS: Final = 32
_COUNT_BITS: Final = 20
_SEQ_BITS: Final = 43
_ID: Final = f"{{0}}&{(1 << _ID_BITS) - 1}"
_NANOS: Final = f"{{0}}>>{_ID_BITS}"
_PACKED_SPENT: Final = _Packed(
    "lot_values(lot_id, spent_nanos)", f"({_ID},{_NANOS})", head=0, width=1, conflict=_ADD_SPENT
)
_PACKED_WALLETS: Final = _Packed(
    "wallet_values", f"({_ID},{{1}}&{(1 << _SEQ_BITS) - 1},{{1}}>>{_SEQ_BITS},{_NANOS},0)", head=0, width=2,
    conflict=_ADD_CHARGED,
)  # fmt: skip
# Words of a settlement, from the highest bits: charge 32, wallet 31; micros after the earliest admission 32, API key 31; places after
# the lowest hold key 18, after the first row 13, the wallet's row before 32. The three least ones stand before the rows.
_KEY_BITS: Final = 18
_ROW_BITS: Final = 13
_PREVIOUS_BITS: Final = 32


@lru_cache(maxsize=16)
def _plain(cycle: int) -> _Bulk:
    """Settled rows of a cycle: what is the same for all stands in the statement, for each value that is handed over costs."""
    return _Bulk("settlements", f"(?,?,?,?,?,{cycle},?,1,?,?)")


@lru_cache(maxsize=16)
def _packed_plain(cycle: int) -> _Packed:
    """The same of rows whose numbers are packed; the fourth value is the record."""
    seq = f"?1+({{2}}>>{_PREVIOUS_BITS}&{(1 << _ROW_BITS) - 1})"
    hold_key = f"?2+({{2}}>>{_PREVIOUS_BITS + _ROW_BITS})"
    admitted = f"?3+({{1}}>>{_ID_BITS})"
    key = f"{{1}}&{(1 << _ID_BITS) - 1}"
    previous = f"{{2}}&{(1 << _PREVIOUS_BITS) - 1}"
    row = f"({seq},{hold_key},{_ID},{key},{admitted},{cycle},{_NANOS},1,{previous},{{3}})"
    return _Packed("settlements", row, head=3, width=4)


def _words(rows: PlainRows) -> tuple[list[int], list[Any]] | None:
    """The heads and the words of these rows; None where a number needs more bits than its word has for it."""
    first, key, earliest = int(rows.seqs[0]), int(rows.hold_keys.min()), int(rows.admitted.min())
    seqs, keys, micros = rows.seqs - first, rows.hold_keys - key, rows.admitted - earliest
    for numbers, bits in (
        (seqs, _ROW_BITS), (keys, _KEY_BITS), (rows.previous, _PREVIOUS_BITS), (micros, 32), (rows.api_keys, _ID_BITS),
        (rows.wallets, _ID_BITS), (rows.charges, _NANOS_BITS),
    ):  # fmt: skip
        if numbers.min() < 0 or int(numbers.max()) >> bits:
            return None
    words = (
        rows.charges << _ID_BITS | rows.wallets,
        micros << _ID_BITS | rows.api_keys,
        (keys << _ROW_BITS | seqs) << _PREVIOUS_BITS | rows.previous,
    )
    return [first, key, earliest], [word.tolist() for word in words]


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
        packed = _words(rows)
        if packed is not None:
            head, words = packed
            _packed_plain(rows.cycle).execute(self._raw.cursor(), head, _flat(*words, rows.records))
            return
        columns = (rows.seqs, rows.hold_keys, rows.wallets, rows.api_keys, rows.admitted, rows.charges, rows.previous)
        values = _flat(*[column.tolist() for column in columns], rows.records)
        _plain(rows.cycle).execute(self._raw.cursor(), values)

    def paid(self, rows: PaidRows) -> None:
        """Words where the numbers fit; a lot that paid more than some dollars, and the like, by its own."""
        if not len(rows.lots):
            return
        cursor = self._raw.cursor()
        fit = (rows.nanos >> _NANOS_BITS == 0) & (rows.counts >> _COUNT_BITS == 0) & (rows.last_seqs >> _SEQ_BITS == 0)
        fit &= (rows.lots >> _ID_BITS == 0) & (rows.wallets >> _ID_BITS == 0)
        few = PaidRows(*[column[fit] for column in rows])
        more = [column[~fit].tolist() for column in rows]
        nanos = few.nanos << _ID_BITS
        counts = few.counts << _SEQ_BITS | few.last_seqs
        _PACKED_WALLETS.execute(cursor, [], _flat((nanos | few.wallets).tolist(), counts.tolist()))
        _PACKED_SPENT.execute(cursor, [], (nanos | few.lots).tolist())
        lots, wallets, last_seqs, calls, paid = more
        self.add_charged(wallets, last_seqs, calls, paid)
        self.add_spent(lots, paid)

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
