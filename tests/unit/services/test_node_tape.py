"""A node's tape lies where the ledger cannot see it: segments go once nothing needs them, by the ledger's word, and never before."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from tests.ledger_kit import (
    ADA_LOT,
    BOOT,
    START,
    Ack,
    Kit,
    Report,
    dispatched_record,
    hold_record,
    pack_block,
    settle_record,
)
from tests.line_kit import WORKER, Line, until
from tokenroll.services.node_tape import delete_segments, offered_segments
from tokenroll.services.protocol import SegmentTerms
from tokenroll.services.retention import deletable_segments
from tokenroll.store import schema
from tokenroll.store import tape as tapes
from tokenroll.store.tape import TapeWriter, segment_paths


@pytest.fixture
def directory(tmp_path, monkeypatch):
    monkeypatch.setattr(tapes, "TAPE_SEGMENT_BYTES_MAX", 1)  # a segment for each block
    return tmp_path


def life(directory, epoch, *blocks):
    """A worker's tape of one life, a segment for each block, and what it reported."""
    tape = TapeWriter(directory, worker=0, epoch=epoch, boot_id=BOOT, created_at=START)
    written = []
    for records in blocks:
        for record in records:
            tape.append(record)
        written.append(tape.take_block())
        tape.write(written[-1], START)
    tape.close()
    return written


THREE_CALLS = (
    [hold_record(1, (ADA_LOT, 1000)), dispatched_record(1), settle_record(1, 0, 0)],
    [hold_record(4, (ADA_LOT, 1000)), dispatched_record(4)],
    [settle_record(4, 0, 0), hold_record(7, (ADA_LOT, 1000))],
)
"""Sequences 1 to 3, 4 to 5, 6 to 7; the hold of 4 ends in the third segment, that of 7 nowhere."""


EMPTY = (1, 0)
"""The segment that a life begins with has no room for its first block here."""


def spans(offered):
    return [(one.epoch, (one.first_sequence, one.last_sequence)) for one in offered]


def test_it_offers_what_is_acknowledged_and_not_what_is_written(directory):
    life(directory, 1, *THREE_CALLS)
    known: dict[Path, SegmentTerms] = {}
    assert spans(offered_segments(directory, 1, 2, known)) == [(1, EMPTY)]
    offered = offered_segments(directory, 1, 5, known)
    assert spans(offered) == [(1, EMPTY), (1, (1, 3)), (1, (4, 5))]
    paths = segment_paths(directory)
    assert [one.digest for one in offered] == [hashlib.sha256(path.read_bytes()).digest() for path in paths[:3]]
    # the newest one stays, also when all of it is acknowledged
    assert len(paths) == 4
    assert spans(offered_segments(directory, 1, 7, known)) == spans(offered)


def test_all_of_an_earlier_life_is_offered(directory):
    life(directory, 1, THREE_CALLS[0])
    life(directory, 2, THREE_CALLS[0])
    assert spans(offered_segments(directory, 2, 0, {})) == [(1, EMPTY), (1, (1, 3)), (2, EMPTY)]


def test_the_ledger_lets_go_what_is_folded_and_keeps_from_an_open_hold_on(directory):
    one = Kit()
    assert one.ledger.report(Report(0, 1, pack_block(1, THREE_CALLS[0]))) == Ack(1, 3)
    offered = [
        SegmentTerms(1, 1, 1, 3, b"a" * 32), SegmentTerms(1, 2, 4, 5, b"b" * 32), SegmentTerms(1, 3, 6, 7, b"c" * 32)
    ]  # fmt: skip
    assert deletable_segments(one.ledger, 0, offered) == [(1, 1)]
    assert one.ledger.report(Report(0, 1, pack_block(4, THREE_CALLS[1]))) == Ack(1, 5)
    assert deletable_segments(one.ledger, 0, offered) == [(1, 1)]  # the hold of 4 is open, in its second segment
    assert one.ledger.report(Report(0, 1, pack_block(6, THREE_CALLS[2]))) == Ack(1, 7)
    assert deletable_segments(one.ledger, 0, offered) == [(1, 1), (1, 2)]
    rows = one.connection.execute(schema.tape_segments.select()).all()
    assert [(row.worker, row.epoch, row.segment, row.digest) for row in rows] == [
        (0, 1, 1, b"a" * 32),
        (0, 1, 2, b"b" * 32),
    ]
    one.connection.rollback()
    # another worker's segments are judged by what that worker reported
    assert deletable_segments(one.ledger, 64, offered) == []


def test_only_what_was_offered_is_deleted(directory):
    life(directory, 1, *THREE_CALLS)
    known: dict[Path, SegmentTerms] = {}
    offered = offered_segments(directory, 1, 5, known)
    before = segment_paths(directory)
    assert delete_segments([(1, 99), (9, 1)], known) == 0
    assert segment_paths(directory) == before
    assert delete_segments([(one.epoch, one.segment) for one in offered[:1]], known) == 1
    assert segment_paths(directory) == before[1:]


def test_over_the_line_segments_go_once_they_are_folded(directory, monkeypatch):
    monkeypatch.setattr("tokenroll.services.node_tape.HOUSE_SECONDS", 0.05)

    async def story():
        async with Line(directory) as line:
            core, events, link = line.worker(line.authority.node(), keeps_house=True)
            await until(lambda: core.spending)
            for records in THREE_CALLS:
                core.report(events.write(*records))
            assert await link.drained(20)
            # the newest segment is being written; the one before it holds a call that has ended in the newest
            await until(lambda: len(segment_paths(events.directory)) == 1)
            rows = line.ledger.connection.execute(schema.tape_segments.select()).all()
            line.ledger.connection.rollback()
            assert [(row.worker, row.first_sequence, row.last_sequence) for row in rows] == [
                (WORKER, 1, 0), (WORKER, 1, 3), (WORKER, 4, 5)
            ]  # fmt: skip
            core.report(events.write(dispatched_record(7), settle_record(7, 0, 0)))
            assert await link.drained(20)

    asyncio.run(story())
