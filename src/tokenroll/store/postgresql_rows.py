"""What a fold writes most of, as PostgreSQL takes it fastest: COPY for new rows, one UPDATE over whole arrays for values.

Both in the binary form, which costs neither side the making and reading of digits. A statement may meet a row only once, so a
wallet's parts are summed first. Rows come in the order of their keys.
"""

import struct
import sys
from array import array
from typing import Any, Final

import psycopg

from tokenroll.store.fold_rows import PaidRows, PlainRows
from tokenroll.store.postgresql import Int8s

_ROWS_PER_COPY: Final = 8_192
_WIDTH: Final = 10
_PLANNED_MIN: Final = 1_000
_MERGED: Final = (
    b"SET LOCAL enable_nestloop = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_seqscan = off; "
    b"SET LOCAL enable_bitmapscan = off; SET LOCAL work_mem = '64MB'"
)
"""Rows come in the order of their keys from the index (since version 17 page after page), and the arrays are laid beside them. The
planner would read a million wallets, or look for each row from the root."""
_AS_PLANNED: Final = (
    b"SET LOCAL enable_nestloop TO DEFAULT; SET LOCAL enable_hashjoin TO DEFAULT; SET LOCAL enable_seqscan TO DEFAULT; "
    b"SET LOCAL enable_bitmapscan TO DEFAULT; SET LOCAL work_mem TO DEFAULT"
)
_COPY_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END: Final = b"\xff\xff"
_ROW: Final = struct.Struct(">h" + "iq" * (_WIDTH - 1) + "i")
"""How many fields, then of each its length and value; of the last, the record, its length alone."""
_FIELD: Final = [("size", ">i4"), ("value", ">i8")]
_ARRAY_HEAD: Final = struct.Struct(">iiIii")
_INT8_OID: Final = 20

_SETTLEMENTS: Final = "COPY settlements FROM STDIN (FORMAT BINARY)"
_SPENT: Final = """
    UPDATE lot_values SET spent_nanos = spent_nanos + more.nanos
    FROM unnest(%(keys)b, %(nanos)b) AS more(lot_id, nanos)
    WHERE lot_values.lot_id = more.lot_id AND lot_values.lot_id = ANY((SELECT %(keys)b)::bigint[])"""
"""One walk through the index for all keys (a look-up for each before version 17); in a query of their own, or the planner weighs each."""
_NEW_SPENT: Final = """
    INSERT INTO lot_values(lot_id, spent_nanos) SELECT more.lot_id, more.nanos
    FROM unnest(%(keys)b, %(nanos)b) AS more(lot_id, nanos)
    WHERE NOT EXISTS (SELECT FROM lot_values known WHERE known.lot_id = more.lot_id)"""
_CHARGED: Final = """
    UPDATE wallet_values SET last_seq = more.last_seq, call_count = call_count + more.calls, charged_nanos = charged_nanos + more.nanos
    FROM unnest(%(keys)b, %(last_seqs)b, %(calls)b, %(nanos)b) AS more(wallet_id, last_seq, calls, nanos)
    WHERE wallet_values.wallet_id = more.wallet_id AND wallet_values.wallet_id = ANY((SELECT %(keys)b)::bigint[])"""
_NEW_CHARGED: Final = """
    INSERT INTO wallet_values SELECT more.wallet_id, more.last_seq, more.calls, more.nanos, 0
    FROM unnest(%(keys)b, %(last_seqs)b, %(calls)b, %(nanos)b) AS more(wallet_id, last_seq, calls, nanos)
    WHERE NOT EXISTS (SELECT FROM wallet_values known WHERE known.wallet_id = more.wallet_id)"""


class PostgresqlRows:
    """`FoldRows` on psycopg's connection."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Any) -> None:
        assert isinstance(raw, psycopg.Connection)
        self._raw: psycopg.Connection[Any] = raw

    def settlements_so_far(self, values: list[Any]) -> None:
        """One COPY of every row so far, once there are enough."""
        if len(values) >= _ROWS_PER_COPY * _WIDTH:
            self.settlements(values)

    def settlements(self, values: list[Any]) -> None:
        """One COPY of every row. Raises OverflowError for a number that no row takes, as sqlite3 does."""
        if not values:
            return
        try:
            packed = self._packed(values)
        except struct.error as error:
            raise OverflowError(str(error)) from error
        with self._raw.cursor() as cursor, cursor.copy(_SETTLEMENTS) as copy:
            copy.write(packed)
        values.clear()

    def plain_settlements(self, rows: PlainRows) -> None:
        """The same of columns: one COPY."""
        import numpy as np  # noqa: PLC0415 - whoever has columns has it

        numbers = (
            rows.seqs, rows.hold_keys, rows.wallets, rows.api_keys, rows.admitted, rows.cycle, rows.charges, 1, rows.previous,
        )  # fmt: skip
        heads = np.empty(
            len(rows.seqs), np.dtype([("width", ">i2"), ("fields", _FIELD, len(numbers)), ("length", ">i4")])
        )
        heads["width"], heads["fields"]["size"] = _WIDTH, 8
        for place, values in enumerate(numbers):
            heads["fields"]["value"][:, place] = values
        heads["length"] = [len(record) for record in rows.records]
        packed, size = heads.tobytes(), heads.itemsize
        parts: list[bytes | bytearray] = [_COPY_HEAD]
        for place, record in enumerate(rows.records):
            parts += (packed[place * size : place * size + size], record)
        parts.append(_COPY_END)
        with self._raw.cursor() as cursor, cursor.copy(_SETTLEMENTS) as copy:
            copy.write(b"".join(parts))

    @staticmethod
    def _packed(values: list[Any]) -> bytes:
        parts: list[bytes | bytearray] = [_COPY_HEAD]
        pack, width, eight = _ROW.pack, _WIDTH, 8
        items = iter(values)
        for seq, key, wallet, api_key, admitted, cycle, charge, outcome, previous, record in zip(
            *[items] * width, strict=True
        ):
            parts.append(
                pack(
                    width, eight, seq, eight, key, eight, wallet, eight, api_key, eight, admitted, eight, cycle, eight, charge,
                    eight, outcome, eight, previous, len(record),
                )
            )  # fmt: skip
            parts.append(record)
        parts.append(_COPY_END)
        return b"".join(parts)

    def paid(self, rows: PaidRows) -> None:
        """The same as the two below, of columns, which are sent as they are where each wallet comes once."""
        import numpy as np  # noqa: PLC0415 - whoever has columns has it

        lots, wallets, last_seqs, counts, nanos = (_column_int8s(column) for column in rows)
        if len(np.unique(rows.wallets)) == len(rows.wallets):
            self._add(
                _CHARGED, _NEW_CHARGED, len(rows.wallets), keys=wallets, last_seqs=last_seqs, calls=counts, nanos=nanos
            )
        else:
            self.add_charged(*[column.tolist() for column in (rows.wallets, rows.last_seqs, rows.counts, rows.nanos)])
        self._add(_SPENT, _NEW_SPENT, len(rows.lots), keys=lots, nanos=nanos)

    def add_spent(self, lots: list[int], nanos: list[int]) -> None:
        """One statement for all lots; one more for those that have no values yet."""
        self._add(_SPENT, _NEW_SPENT, len(lots), keys=int8s(lots), nanos=int8s(nanos))

    def add_charged(self, wallets: list[int], last_seqs: list[int], counts: list[int], nanos: list[int]) -> None:
        """The same for wallets, whose parts are summed first."""
        if len(set(wallets)) < len(wallets):
            sums: dict[int, list[int]] = {}
            for wallet, last_seq, count, more in zip(wallets, last_seqs, counts, nanos, strict=True):
                found = sums.setdefault(wallet, [last_seq, 0, 0])
                found[1] += count
                found[2] += more
            wallets = sorted(sums)
            last_seqs, counts, nanos = ([sums[wallet][place] for wallet in wallets] for place in range(3))
        columns = {"keys": wallets, "last_seqs": last_seqs, "calls": counts, "nanos": nanos}
        self._add(_CHARGED, _NEW_CHARGED, len(wallets), **{name: int8s(column) for name, column in columns.items()})

    def _add(self, update: str, insert: str, count: int, **values: Int8s) -> None:
        if not count:
            return
        with self._raw.cursor() as cursor:
            if count >= _PLANNED_MIN:
                cursor.execute(_MERGED)
            updated = cursor.execute(update.encode(), values).rowcount
            if count >= _PLANNED_MIN:
                cursor.execute(_AS_PLANNED)
            if updated < count:
                cursor.execute(insert.encode(), values)


def _column_int8s(column: Any) -> Int8s:
    """The same as the next one, of a column of numpy."""
    import numpy as np  # noqa: PLC0415 - whoever has columns has it

    words = np.empty(len(column), np.dtype(_FIELD))
    words["size"], words["value"] = 8, column
    return _whole(len(column), words.tobytes())


def int8s(numbers: list[int]) -> Int8s:
    """A `bigint[]` in binary: a head, then each number behind its length. Laid in at a stride, as words of four bytes."""
    count = len(numbers)
    values = array("q", numbers)
    lengths = array("i", (8,))
    if sys.byteorder == "little":
        values.byteswap()
        lengths.byteswap()
    halves = array("i", values.tobytes())
    words = array("i", bytes(12 * count))
    words[0::3] = lengths * count
    words[1::3] = halves[0::2]
    words[2::3] = halves[1::2]
    return _whole(count, words.tobytes())


def _whole(count: int, words: bytes) -> Int8s:
    return Int8s(_ARRAY_HEAD.pack(1, 0, _INT8_OID, count, 1) + words)
