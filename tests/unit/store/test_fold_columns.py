"""Which attempts of a report are plain ones, and what becomes of them in columns."""

from array import array

import numpy as np
import pytest

from tests.ledger_kit import (
    ADA,
    ADA_LOT,
    BO,
    BO_LOT,
    START,
    dispatched_record,
    evidence_record,
    hold_record,
    pack_block,
    pack_name,
    release_record,
    settle_record,
)
from tests.short_records import shortened
from tokenroll.engine.chaining import leaf_hash
from tokenroll.store import fold_columns, tape
from tokenroll.store.journal import settlement_leaf
from tokenroll.store.tape import TapeRelease

HELD = 10_000_000
COST = 4_500_000  # 1,000 model tokens in at 3,000 nanos, 100 out at 15,000
LAST_SEQ = (0, 17, 0)
"""Ada has a row already, Bo none."""


def found(*records, lots=(0, 0, 40_000_000, ADA, 40_000_000, BO), rest_max=1.0, first=1):
    """As columns, of lots 1 and 2 of Ada's and Bo's."""
    block = pack_block(first, shortened(list(records), first, START))
    return fold_columns.found(
        list(tape.split_blocks(block)), array("q", lots), array("q", LAST_SEQ), lambda _opened: 0, 101, rest_max
    )


def call(sequence, wallet=ADA, lot=ADA_LOT, held=HELD):
    return (
        hold_record(sequence, (lot, held), wallet=wallet, at=START + sequence),
        dispatched_record(sequence),
        settle_record(sequence, 1_000, 100, at=START + 900),
    )


TWO_OF_ADAS = (*call(1), *call(4))


def test_each_call_is_linked_to_its_wallets_call_before():
    columns = found(*TWO_OF_ADAS)
    assert columns.rest == []
    assert columns.row_count == 2
    assert columns.seqs.tolist() == [101, 102]
    assert columns.opened.tolist() == [1, 4]
    assert columns.wallets.tolist() == [ADA, ADA]
    assert columns.previous.tolist() == [17, 101]
    assert columns.charges.tolist() == [COST, COST]
    assert (columns.last_wallets.tolist(), columns.last_seqs.tolist()) == ([ADA], [102])


def test_what_they_cost_leaves_the_lots_and_every_wallet_knows_its_newest():
    columns = found(*TWO_OF_ADAS)
    lots, last_seq = array("q", (0, 0, 40_000_000, ADA)), array("q", LAST_SEQ)
    paid = fold_columns.settle(columns, lots, last_seq)
    assert [column.tolist() for column in paid] == [[ADA_LOT], [ADA], [102], [2], [9_000_000]]
    assert lots.tolist() == [0, 0, 31_000_000, ADA]
    assert last_seq.tolist() == [0, 102, 0]


def test_a_leaf_is_the_journals_and_a_row_has_the_tapes_bytes():
    columns = found(*TWO_OF_ADAS)
    records = shortened(list(TWO_OF_ADAS), 1, START)
    hashes = [b"", b""]
    rows = fold_columns.rows(columns, 0, 24_313, 7 << 40, 101, hashes)
    assert rows.records == [records[0] + records[2], records[3] + records[5]]
    assert (rows.hold_keys - (7 << 40)).tolist() == [1, 4]
    assert hashes[1] == leaf_hash(settlement_leaf(102, 7 << 40 | 4, 101, 24_313, 1, records[3] + records[5]))
    assert hashes[0] == leaf_hash(settlement_leaf(101, 7 << 40 | 1, 17, 24_313, 1, records[0] + records[2]))


@pytest.mark.parametrize(
    "odd",
    [
        (*call(4, BO, ADA_LOT),),
        (hold_record(4, (BO_LOT, HELD), wallet=BO, at=START), dispatched_record(4)),
        (hold_record(4, (2, HELD), wallet=BO), dispatched_record(4), release_record(4, TapeRelease.PROVIDER_ERROR)),
        (hold_record(4, (2, HELD), wallet=BO), settle_record(4, 1_000, 100, at=START + 900), dispatched_record(4)),
        (hold_record(4, (2, HELD), wallet=BO), dispatched_record(4), dispatched_record(4), settle_record(4, 1_000, 100, at=START + 900)),
        (hold_record(4, (2, HELD), wallet=BO), dispatched_record(4), evidence_record(4, 5, 5), settle_record(4, 1_000, 100, at=START + 900)),
        (hold_record(4, (2, 4_000_000), wallet=BO), dispatched_record(4), settle_record(4, 1_000, 100, at=START + 900)),
        (hold_record(4, (2, 50_000_000), wallet=BO), dispatched_record(4), settle_record(4, 1_000, 100, at=START + 900)),
        (pack_name(1, "mine"), hold_record(5, (2, HELD), wallet=BO, client_name=1), dispatched_record(5), settle_record(5, 1_000, 100, at=START + 900)),
    ],
    ids=["of another's lot", "open", "released", "settled before it is sent", "sent twice", "with evidence", "above its bound",
         "of a lot that might be overdrawn", "named by its client"],
)  # fmt: skip
def test_what_is_not_plain_is_left_in_its_order(odd):
    columns = found(*call(1), *odd)
    assert columns.opened.tolist() == [1]
    assert [one.sequence for one in columns.rest] == list(range(4, 4 + len(odd)))


def test_a_sending_leaves_only_those_that_are_not_plain():
    columns = found(
        hold_record(1, (1, HELD), at=START), hold_record(2, (2, HELD), wallet=BO), dispatched_record(1, 2),
        settle_record(1, 1_000, 100, at=START + 900),
    )  # fmt: skip
    assert [(one.sequence, one.opened) for one in columns.rest] == [(2, None), (3, [2])]


@pytest.mark.parametrize(
    "records",
    [
        (hold_record(1, (ADA_LOT, HELD)),),
        (*call(1), tape.pack_gives(1, START, [(1, 1, 5)])),
        (*call(1), settle_record(99, 1, 1)),
        (*call(1), bytes([77, 0, 4, 0])),
    ],
    ids=["nothing that ends", "lots given back", "the end of what nobody knows", "a kind that is not"],
)
def test_the_loop_has_the_rest(records):
    assert found(*records) is None


def test_a_report_of_which_little_is_plain_is_the_loops():
    records = (*call(1), hold_record(4, (2, HELD), wallet=BO))
    assert found(*records, rest_max=0.125) is None
    assert found(*records, rest_max=0.25) is not None


def test_numbers_are_put_in_order_and_equal_ones_stay_as_they_came():
    order, numbers, starts = fold_columns._by_number(np.array([7, 3, 7, 3, 1]))
    assert (order.tolist(), numbers.tolist(), starts.tolist()) == ([4, 1, 3, 0, 2], [1, 3, 3, 7, 7], [0, 1, 3])
