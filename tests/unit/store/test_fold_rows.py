"""Rows of a fold in columns are written as they are, whether their numbers fit into words together or not."""

import numpy as np
import pytest

from tokenroll.store.database import open_writer, raw_connection
from tokenroll.store.fold_rows import PaidRows, PlainRows, fold_rows

ADA, BO = 1, 2
ADAS_KEY, BOS_KEY = 11, 12
EIGHT = 1_767_600_000_000_000
"""2026-01-05T08:00Z, in micros."""
CYCLE = 24_313
FIRST = 7 << 40
"""The hold key of the first record of a worker's seventh life."""


@pytest.fixture
def connection():
    made = open_writer(None)
    yield made
    made.close()
    made.engine.dispose()


def written(connection, *rows):
    """What stands in `settlements` after Ada's call, or two, were written: seq, hold key, wallet, key, admitted, charge, previous, record."""
    columns = [np.array(column, np.int64) for column in list(zip(*rows, strict=True))[:7]]
    seqs, hold_keys, wallets, keys, admitted, charges, previous = columns
    plain = PlainRows(
        seqs, hold_keys, wallets, keys, admitted, CYCLE, charges, previous, [bytearray(row[7]) for row in rows]
    )
    fold_rows(connection).plain_settlements(plain)
    return raw_connection(connection).execute("SELECT * FROM settlements ORDER BY ledger_seq").fetchall()


def test_two_calls_are_rows_as_they_were_told(connection):
    ada = (101, FIRST | 5, ADA, ADAS_KEY, EIGHT + 20, 9_000_000, 17, b"Ada's hold and settlement")
    bo = (103, FIRST | 4, BO, BOS_KEY, EIGHT, 0, 0, b"Bo's")
    assert written(connection, ada, bo) == [
        (101, FIRST | 5, ADA, ADAS_KEY, EIGHT + 20, CYCLE, 9_000_000, 1, 17, b"Ada's hold and settlement"),
        (103, FIRST | 4, BO, BOS_KEY, EIGHT, CYCLE, 0, 1, 0, b"Bo's"),
    ]


@pytest.mark.parametrize(
    "bo",
    [
        (101 + 8_191, FIRST | 2**18, BO, BOS_KEY, EIGHT + 2**32 - 1, 2**32 - 1, 2**32 - 1, b"b"),
        (103, FIRST | 4, 2**31 - 1, 2**31 - 1, EIGHT, 1, 0, b"b"),
        (101 + 8_192, FIRST | 4, BO, BOS_KEY, EIGHT, 1, 0, b"b"),
        (103, FIRST | 1 + 2**18, BO, BOS_KEY, EIGHT, 1, 0, b"b"),
        (103, FIRST | 4, 2**31, BOS_KEY, EIGHT, 1, 0, b"b"),
        (103, FIRST | 4, BO, 2**31, EIGHT, 1, 0, b"b"),
        (103, FIRST | 4, BO, BOS_KEY, EIGHT + 2**32, 1, 0, b"b"),
        (103, FIRST | 4, BO, BOS_KEY, EIGHT - 2**32, 1, 0, b"b"),
        (103, FIRST | 4, BO, BOS_KEY, EIGHT, 2**32, 0, b"b"),
        (2**32 + 5, FIRST | 4, BO, BOS_KEY, EIGHT, 1, 2**32, b"b"),
    ],
    ids=["the most", "the highest ids", "rows apart", "holds apart", "wallet", "key", "later", "earlier", "charge", "previous"],
)  # fmt: skip
def test_a_number_that_is_too_large_for_its_word_is_a_value_of_its_own(connection, bo):
    ada = (101, FIRST | 1, ADA, ADAS_KEY, EIGHT, 9_000_000, 17, b"a")
    seq, hold_key, wallet, key, admitted, charge, previous, record = bo
    assert written(connection, ada, bo) == [
        (101, FIRST | 1, ADA, ADAS_KEY, EIGHT, CYCLE, 9_000_000, 1, 17, b"a"),
        (seq, hold_key, wallet, key, admitted, CYCLE, charge, 1, previous, record),
    ]


def test_hundreds_of_calls_are_rows_in_their_order(connection):
    calls = [(seq, FIRST | seq, BO, BOS_KEY, EIGHT + seq, 7, seq - 1, b"%d" % seq) for seq in range(1, 296)]
    rows = written(connection, *calls)
    assert len(rows) == 295
    assert rows[0] == (1, FIRST | 1, BO, BOS_KEY, EIGHT + 1, CYCLE, 7, 1, 0, b"1")
    assert rows[256] == (257, FIRST | 257, BO, BOS_KEY, EIGHT + 257, CYCLE, 7, 1, 256, b"257")
    assert rows[294] == (295, FIRST | 295, BO, BOS_KEY, EIGHT + 295, CYCLE, 7, 1, 294, b"295")


@pytest.mark.parametrize(
    ("nanos", "count", "last_seq", "wallet", "lot"),
    [
        (2**32 - 1, 2**20 - 1, 2**43 - 1, 2**31 - 1, 2**31 - 1),
        (2**32, 1, 104, BO, 22),
        (1, 2**20, 104, BO, 22),
        (1, 1, 2**43, BO, 22),
        (1, 1, 104, 2**31, 22),
        (1, 1, 104, BO, 2**31),
    ],
    ids=["the most", "nanos", "calls", "newest", "wallet", "lot"],
)
def test_what_lots_paid_is_added_to_what_they_had_paid(connection, nanos, count, last_seq, wallet, lot):
    raw = raw_connection(connection)
    raw.execute("DELETE FROM lot_values")
    raw.execute("INSERT INTO wallet_values VALUES (?,17,3,500,0)", (ADA,))
    raw.execute("INSERT INTO lot_values(lot_id, spent_nanos) VALUES (20, 400), (21, 100)")
    paid = ([20, 21, lot], [ADA, ADA, wallet], [103, 103, last_seq], [1, 2, count], [30, 4, nanos])
    fold_rows(connection).paid(PaidRows(*[np.array(column, np.int64) for column in paid]))
    assert raw.execute("SELECT * FROM wallet_values ORDER BY wallet_id").fetchall() == [
        (ADA, 103, 6, 534, 0),
        (wallet, last_seq, count, nanos, 0),
    ]
    assert raw.execute("SELECT lot_id, spent_nanos FROM lot_values ORDER BY lot_id").fetchall() == [
        (20, 430),
        (21, 104),
        (lot, nanos),
    ]
