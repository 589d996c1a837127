"""Tapes of version 1, whose counts stand under a mask of 16 bits, are read for ever beside those of version 2.

The old bytes are spelled out here as version 1 wrote them; nothing of the present writer makes them.
"""

import struct
import zlib

import pytest

from tests.ledger_kit import (
    ADA_LOT,
    DAY,
    START,
    Kit,
    Report,
    dispatched_record,
    hold_record,
    lapse_record,
    pack_block,
    settle_record,
)
from tokenroll.model.usage import METERS
from tokenroll.store import tape
from tokenroll.store.attempt_record import parse_record
from tokenroll.store.tape import SEGMENT_HEADER_BYTES, TapeError, read_blocks, read_header
from tokenroll.store.verify import verify

OLD_COUNTS = struct.pack("<H3q", 1 << 0 | 1 << 6 | 1 << 10, 100, 20, 1)
NEW_COUNTS = (100, *[None] * 5, 20, *[None] * 3, 1, *[None] * 9)


def old_settle(opened: int, charge: int) -> bytes:
    head = struct.pack(
        "<BBHQqqqqqqBBBBHHII", 5, 0, 76 + len(OLD_COUNTS), opened, START, START, charge, charge, charge, 200,
        1, 1, 0, 0, 200, 0, 0, 0,
    )  # fmt: skip
    return head + OLD_COUNTS


def old_evidence(opened: int) -> bytes:
    return struct.pack("<BBHQqqBBH", 4, 0, 32 + len(OLD_COUNTS), opened, START, 100, 2, 0, 200) + OLD_COUNTS


def header(version: int) -> bytes:
    head = struct.pack("<8sHBBII16sQq", b"TKRLTAPE", version, 1, 1, 7, 1, bytes(16), 1, START)
    return head + struct.pack("<I", zlib.crc32(head))


def test_an_old_settlement_says_what_it_said():
    attempt = parse_record(hold_record(1, (ADA_LOT, 5_000_000)) + old_settle(1, 400_000))
    assert attempt.settle is not None
    assert (attempt.settle.charge_nanos, attempt.settle.counts) == (400_000, NEW_COUNTS)


def test_old_evidence_says_what_it_said():
    attempt = parse_record(hold_record(1, (ADA_LOT, 5_000_000)) + old_evidence(1))
    assert attempt.evidence is not None
    assert attempt.evidence.counts == NEW_COUNTS


def test_a_new_settlement_counts_what_no_old_one_could():
    packed = tape.pack_counts((*[None] * 18, 12))
    assert packed == struct.pack("<Iq", 1 << 18, 12)
    assert tape.unpack_counts(packed, 0, len(METERS)) == (*[None] * 18, 12, None)


def test_a_report_of_old_records_is_folded_and_its_suspense_is_settled_by_its_evidence():
    kit = Kit()
    records = [
        hold_record(1, (ADA_LOT, 5_000_000)), hold_record(2, (ADA_LOT, 5_000_000)), dispatched_record(1, 2),
        old_settle(1, 600_000), old_evidence(2), lapse_record(2),
    ]  # fmt: skip
    kit.ledger.report(Report(worker=0, epoch=1, blocks=pack_block(1, records)))
    kit.now = START + 3 * DAY
    # 100 tokens in at 3,000 and 20 out at 15,000
    decided = kit.ledger.housekeep()
    assert decided is not None
    assert decided.result is not None
    assert decided.result["charged_nanos"] == 600_000
    kit.connection.rollback()
    assert verify(kit.connection, kit.now).holds


def test_a_mask_that_names_a_meter_nobody_knows_is_no_settlement():
    record = bytearray(settle_record(1, 100, 20))
    struct.pack_into("<I", record, 76, 1 << 0 | 1 << 6 | 1 << 31)
    with pytest.raises(TapeError, match="counts under mask"):
        parse_record(hold_record(1, (ADA_LOT, 5_000_000)) + bytes(record))


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_segment_of_any_version_is_read(version):
    records = [hold_record(1, (ADA_LOT, 5_000_000)), dispatched_record(1), old_settle(1, 400_000)]
    (block,) = read_blocks(header(version) + pack_block(1, records))
    assert (block.record_count, read_header(header(version)).first_sequence) == (3, 1)
    assert len(header(version)) == SEGMENT_HEADER_BYTES


def test_a_segment_of_a_later_version_is_left_to_who_wrote_it():
    with pytest.raises(TapeError, match=r"tape version 4 codec 1 is not ours \(up to 3, 1\)"):
        read_header(header(4))
