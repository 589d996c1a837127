"""A row that is read without making records of it sums to what its records say."""

import pytest

from tests.ledger_kit import (
    ADA,
    ADA_LOT,
    ADA_SECOND_LOT,
    POOL_LOT,
    START,
    Kit,
    evidence_record,
    hold_record,
    release_record,
    settle_record,
)
from tests.short_records import shortened
from tokenroll.model.usage import Meter
from tokenroll.store.attempt_record import LimitRaise, Outcome, PassRecord, SettleRecord, pack_settle, parse_record
from tokenroll.store.plain_settlement import settle_offset
from tokenroll.store.rollups import sums_of
from tokenroll.store.tape import TapeRelease
from tokenroll.store.usage_rollups import usage_sums_of

HELD = 10_000_000
NUMBER = 1 << 40 | 1


def settled(charge, *counts, tier="standard", passes=()):
    """A settlement of these counts, from the first meter on."""
    padded = (*counts, *[None] * (15 - len(counts)))
    return pack_settle(
        1, SettleRecord(START, START, charge, charge, charge, 9, 1, 1, tier, 0, 200, 0, 0, padded, passes)
    )


ONE_LOT = hold_record(1, (ADA_LOT, HELD))
PLAIN = {
    "a plain one": ONE_LOT + settle_record(1, 1_000, 100),
    "one that cost nothing": ONE_LOT + settled(0, 0, 0),
    "one of limits": hold_record(1, (ADA_LOT, HELD), raises=(LimitRaise(1, 0, 0, START, HELD),))
    + settle_record(1, 5, 5),
    "one that cost more than it held": ONE_LOT + settled(HELD + 7, 3_000, 10),
    "of a pool": hold_record(1, (POOL_LOT, HELD)) + settle_record(1, 1_000, 100),
    "of the company": hold_record(1, (0, HELD)) + settle_record(1, 1_000, 100),
    "of cached input": ONE_LOT + settled(1_000_001, 1, 400, 30, None, None, None, 77, 13),
    "with zeros told": ONE_LOT + settled(77, 10, 0, 0, 0, 0, 0, 2, 0),
    "of a tier that is not sold": ONE_LOT + settled(77, 10, tier="flex"),
    "with counts that have no price": ONE_LOT
    + settled(77, None, None, None, None, None, None, None, None, None, None, 5),
    "of a long context": ONE_LOT + settled(9_000_000, 150_000, 60_000),
}
PLAIN |= {
    f"{name}, by tapes of version 3": b"".join(shortened([record[:at], record[at:]]))
    for name, record in PLAIN.items()
    for at in (settle_offset(record),)
}
RARER = {
    "of two lots": hold_record(1, (ADA_LOT, 3), (ADA_SECOND_LOT, HELD)) + settle_record(1, 1_000, 100),
    "with evidence": ONE_LOT + evidence_record(1, 5, 5) + settle_record(1, 1_000, 100),
    "of passes": ONE_LOT + settled(9, 5, 4, passes=(PassRecord(1, "standard", (5, 4, *[None] * 13)),)),
    "released": ONE_LOT + release_record(1, TapeRelease.NOT_SENT),
}


@pytest.fixture
def one():
    return Kit()


@pytest.mark.parametrize("record", PLAIN.values(), ids=PLAIN)
def test_what_is_plain_is_read_so(record):
    assert settle_offset(record) == int.from_bytes(record[2:4], "little")


@pytest.mark.parametrize("record", RARER.values(), ids=RARER)
def test_what_is_rarer_is_not(record):
    assert settle_offset(record) == 0


@pytest.mark.parametrize("record", [*PLAIN.values(), *RARER.values()], ids=[*PLAIN, *RARER])
def test_both_ways_of_reading_sum_the_same(one, record):
    """Three times, so that what is remembered of the first is met."""
    read, parsed = usage_sums_of(one.connection), usage_sums_of(one.connection)
    for _ in range(3):
        read.add_row(NUMBER, record)
        parsed.add(NUMBER, parse_record(record))
    assert {at: (found.call_count, found.charge_nanos, list(found.flat())) for at, found in read.sums.items()} == {
        at: (found.call_count, found.charge_nanos, list(found.flat())) for at, found in parsed.sums.items()
    }
    book = one.ledger._changes.cycles
    outcome = Outcome.SETTLED if parse_record(record).settle else Outcome.RELEASED
    spent, said = sums_of(one.connection, book), sums_of(one.connection, book)
    for _ in range(3):
        spent.add_row(NUMBER, ADA, 202601, outcome, record)
        said.add(NUMBER, ADA, 202601, outcome, parse_record(record))
    assert spent.sums == said.sums


def test_a_charge_is_taken_apart_by_what_each_meter_costs(one):
    """1,000 in at 3,000 and 100 out at 15,000 nanos: two thirds and one third of 4,500,001, the odd nano to the dearer one."""
    sums = usage_sums_of(one.connection)
    sums.add_row(NUMBER, ONE_LOT + settled(4_500_001, 1_000, None, None, None, None, None, 100))
    (found,) = sums.sums.values()
    assert (found.count(Meter.INPUT), found.count(Meter.OUTPUT)) == (1_000, 100)
    assert [nanos for *_, nanos in found.flat()] == [3_000_001, 1_500_000]
    assert found.unexplained_nanos == 0


def test_a_sum_that_was_written_is_not_added_to_again(one):
    sums = sums_of(one.connection, one.ledger._changes.cycles)
    for _ in range(2):
        sums.add_row(NUMBER, ADA, 202601, Outcome.SETTLED, PLAIN["a plain one"])
        assert list(sums.sums.values()) == [[4_500_000, 1]]
        sums.clear()
