"""A tape cut at every record boundary and inside every record: each dispatched call is settled or in suspense, nothing else moved."""

import errno
from pathlib import Path

import pytest

from tests.ledger_kit import (
    ADA_LOT,
    ADA_SECOND_LOT,
    BO,
    BO_LOT,
    BOOT,
    START,
    Ack,
    Kit,
    Refusal,
    Report,
    dispatched_record,
    evidence_record,
    hold_record,
    lapse_record,
    make_ready,
    pack_block,
    pack_name,
    release_record,
    settle_record,
)
from tokenroll.services.recovery import epoch_blocks, read_end, recover_epoch
from tokenroll.store import tape
from tokenroll.store.attempt_record import hold_key
from tokenroll.store.tape import KernelDisk, TapeRelease, segment_path, worker_directory
from tokenroll.store.verify import verify

HELD = 10_000_000
RECORDS = [
    pack_name(1, "claude-sonnet-4-5"),
    hold_record(2, (ADA_LOT, HELD)),
    hold_record(3, (ADA_LOT, HELD), (ADA_SECOND_LOT, HELD)),
    dispatched_record(2, 3),
    evidence_record(3, 500, 1),
    hold_record(6, (BO_LOT, HELD), wallet=BO),
    settle_record(2, 1_000, 100),
    hold_record(8, (ADA_LOT, HELD)),
    release_record(6, TapeRelease.NOT_SENT),
    dispatched_record(8),
    hold_record(11, (BO_LOT, HELD), wallet=BO),
    release_record(8, TapeRelease.PROVIDER_ERROR),
    dispatched_record(11),
    evidence_record(11, 1_000, 7),
    settle_record(3, 2_000, 100),
    lapse_record(11),
]
BLOCKS = [pack_block(sequence, [record]) for sequence, record in enumerate(RECORDS, 1)]
# by hold: where it was dispatched, where it ended, and what it then had cost
STORY = {2: (4, 7, 4_500_000), 3: (4, 15, 7_500_000), 6: (99, 9, 0), 8: (10, 12, 0), 11: (13, 16, None)}


def cuts():
    """Every boundary, and in every block its first byte, the middle of its head, of its record, and all but its last byte."""
    offset = tape.SEGMENT_HEADER_BYTES
    found = [(0, 0), (tape.SEGMENT_HEADER_BYTES // 2, 0), (offset, 0)]
    for index, block in enumerate(BLOCKS):
        found += [
            (offset + inside, index) for inside in (1, tape.BLOCK_HEADER_BYTES // 2, len(block) // 2, len(block) - 1)
        ]
        offset += len(block)
        found.append((offset, index + 1))
    return found


def expected(whole: int, *, same_kernel: bool) -> dict[int, tuple[str, int]]:
    """What each hold must be after recovery when the first `whole` records survived."""
    states: dict[int, tuple[str, int]] = {}
    for hold, (dispatched, ended, charge) in STORY.items():
        if hold > whole:
            continue
        if ended <= whole:
            states[hold] = ("suspense", 0) if charge is None else ("ended", charge)
        elif dispatched <= whole or not same_kernel:
            states[hold] = ("suspense", 0)
        else:
            states[hold] = ("ended", 0)
    return states


def found(one: Kit) -> dict[int, tuple[str, int]]:
    rows = {hold_key(key).sequence: (state, 0) for key, state in one.rows("SELECT hold_key, state FROM holds")}
    for key, charge in one.rows("SELECT hold_key, charge_nanos FROM settlements"):
        rows[hold_key(key).sequence] = ("ended", charge)
    return rows


def recover(one: Kit, directory: Path, boot_id: bytes, folded: int = 0) -> int:
    """A new life's recovery of epoch 1, reported; the last sequence folded."""
    epoch = one.new_life(ready=False)
    recover_epoch(directory, 1, folded_sequence=folded, boot_id=boot_id, now=one.now)
    for block in epoch_blocks(directory, 1, folded):
        answer = one.ledger.report(Report(worker=0, epoch=1, blocks=block.raw))
        assert isinstance(answer, Ack), answer
        folded = answer.sequence
    make_ready(one.ledger, epoch)
    return folded


@pytest.mark.parametrize("same_kernel", [True, False], ids=["process died", "power lost"])
@pytest.mark.parametrize("reported", [0, 5, 10], ids=lambda count: f"{count} reported")
def test_it_recovers_a_tape_cut_at_any_byte(tmp_path, reported, same_kernel):
    header = tape.pack_header(tape.SegmentHeader(0, 1, 1, BOOT, 1, START))
    data = header + b"".join(BLOCKS)
    boot_id = BOOT if same_kernel else b"a second kernel!"
    for number, (cut, whole) in enumerate(cuts()):
        if whole < reported:
            continue  # what is written but lost after it was folded is the simulator's to try
        one = Kit()
        one.ledger.report(Report(worker=0, epoch=1, blocks=b"".join(BLOCKS[:reported])))
        directory = worker_directory(tmp_path / str(number), 0)
        directory.mkdir(parents=True)
        segment_path(directory, 1, 1).write_bytes(data[:cut])
        folded = recover(one, directory, boot_id, reported)
        assert found(one) == expected(whole, same_kernel=same_kernel), f"cut at byte {cut}, {whole} whole records"
        one.connection.rollback()
        assert verify(one.connection, one.now).differences == [], f"cut at byte {cut}"
        tapes = [path.read_bytes() for path in tape.segment_paths(directory)]
        assert recover(one, directory, boot_id, folded) == folded
        assert [path.read_bytes() for path in tape.segment_paths(directory)] == tapes, (
            "recovering twice changed the tape"
        )
        assert found(one) == expected(whole, same_kernel=same_kernel)


def test_it_keeps_the_evidence_of_a_call_that_its_worker_did_not_end(tmp_path):
    one = Kit()
    directory = worker_directory(tmp_path, 0)
    directory.mkdir(parents=True)
    header = tape.pack_header(tape.SegmentHeader(0, 1, 1, BOOT, 1, START))
    segment_path(directory, 1, 1).write_bytes(header + b"".join(BLOCKS[:5]))
    recover(one, directory, BOOT)
    one.do("suspense.decide", through="2026-01")
    # 500 model tokens in and 1 out had been seen of hold 3, nothing of hold 2
    assert sorted(one.rows("SELECT charge_nanos FROM settlements")) == [(0,), (1_515_000,)]


def test_it_names_damage_that_is_not_a_tail(tmp_path):
    directory = worker_directory(tmp_path, 0)
    directory.mkdir(parents=True)
    header = tape.pack_header(tape.SegmentHeader(0, 1, 1, BOOT, 1, START))
    second = tape.pack_header(tape.SegmentHeader(0, 1, 2, BOOT, 5, START))
    segment_path(directory, 1, 1).write_bytes(header + b"".join(BLOCKS[:4])[:-3])
    segment_path(directory, 1, 2).write_bytes(second + BLOCKS[4])
    with pytest.raises(tape.TapeError, match="is damaged at byte"):
        recover_epoch(directory, 1, folded_sequence=0, boot_id=BOOT, now=START)
    segment_path(directory, 1, 2).write_bytes(b"x" * 200)
    with pytest.raises(tape.TapeError, match="damaged, not torn"):
        recover_epoch(directory, 1, folded_sequence=0, boot_id=BOOT, now=START)


def test_it_survives_a_crash_inside_its_own_recovery(tmp_path):
    """The recovery's segment cut at every byte: the next recovery finishes what this one began."""
    header = tape.pack_header(tape.SegmentHeader(0, 1, 1, BOOT, 1, START))
    directory = worker_directory(tmp_path, 0)
    directory.mkdir(parents=True)
    segment_path(directory, 1, 1).write_bytes(header + b"".join(BLOCKS[:10]))
    recover_epoch(directory, 1, folded_sequence=0, boot_id=BOOT, now=START)
    whole = segment_path(directory, 1, 2).read_bytes()
    for cut in range(0, len(whole), 7):
        one = Kit()
        segment_path(directory, 1, 2).write_bytes(whole[:cut])
        for later in directory.glob("00000001-00000[3-9].tape"):
            later.unlink()
        recover(one, directory, BOOT)
        assert found(one) == expected(10, same_kernel=True), f"cut at byte {cut}"


@pytest.mark.parametrize("index", range(len(RECORDS)))
def test_it_halts_when_any_record_is_dropped_or_two_are_swapped(index):
    """Nothing of a report with a hole is applied, whichever record is missing."""
    one = Kit()
    if index < len(RECORDS) - 1:
        answer = one.ledger.report(Report(worker=0, epoch=1, blocks=b"".join(BLOCKS[:index] + BLOCKS[index + 1 :])))
        assert isinstance(answer, Refusal)
        assert answer.kind == "gap"
        swapped = [*BLOCKS[:index], BLOCKS[index + 1], BLOCKS[index], *BLOCKS[index + 2 :]]
        answer = one.ledger.report(Report(worker=0, epoch=1, blocks=b"".join(swapped)))
        assert isinstance(answer, Refusal)
        assert answer.kind == "gap"
        assert one.rows("SELECT count(*) FROM settlements") == [(0,)]
    again = [*BLOCKS[: index + 1], *BLOCKS[index:]]
    assert one.ledger.report(Report(worker=0, epoch=1, blocks=b"".join(again))) == Ack(epoch=1, sequence=len(RECORDS))
    assert found(one) == expected(len(RECORDS), same_kernel=True)
    for block in BLOCKS[: index + 1]:
        one.ledger.report(Report(worker=0, epoch=1, blocks=block))
    assert found(one) == expected(len(RECORDS), same_kernel=True)


def test_it_cuts_on_the_disk_it_was_given(tmp_path):
    """The cut is synced before anything is appended behind it, and the new segment's header before its records.

    Else zeros, where a file got its length before its data, would be a header that nobody can read, and no worker would start again.
    """
    done = []

    class Watched(KernelDisk):
        def cut(self, path, size):
            done.append(("cut", path.name))
            super().cut(path, size)

        def open_append(self, path):
            done.append(("open", path.name))
            return super().open_append(path)

        def write(self, descriptor, data):
            done.append(("write", "header" if data.startswith(tape.MAGIC) else "records"))
            super().write(descriptor, data)

        def sync(self, descriptor):
            done.append(("sync", ""))
            super().sync(descriptor)

        def sync_directory(self, path):
            done.append(("sync_directory", ""))
            super().sync_directory(path)

    directory = worker_directory(tmp_path, 0)
    directory.mkdir(parents=True)
    header = tape.pack_header(tape.SegmentHeader(0, 1, 1, BOOT, 1, START))
    segment_path(directory, 1, 1).write_bytes(header + b"".join(BLOCKS[:3]))
    recover_epoch(directory, 1, folded_sequence=0, boot_id=BOOT, now=START, disk=Watched())
    assert done == [
        ("cut", "00000001-000001.tape"),
        ("open", "00000001-000002.tape"),
        ("write", "header"),
        ("sync", ""),
        ("write", "records"),
        ("sync", ""),
        ("sync_directory", ""),
    ]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_segment_that_was_not_synced_is_not_read_as_if_it_were(tmp_path, failing):
    """The disk says no at the sync of the header, or of the records. The next life writes them again, and once."""

    class Failing(KernelDisk):
        syncs = 0

        def sync(self, descriptor):
            self.syncs += 1
            if self.syncs == failing:
                raise OSError(errno.EIO, "Input/output error")
            super().sync(descriptor)

    directory = worker_directory(tmp_path, 0)
    directory.mkdir(parents=True)
    header = tape.pack_header(tape.SegmentHeader(0, 1, 1, BOOT, 1, START))
    segment_path(directory, 1, 1).write_bytes(header + b"".join(BLOCKS[:3]))
    with pytest.raises(OSError, match="Input/output error"):
        recover_epoch(directory, 1, folded_sequence=0, boot_id=BOOT, now=START, disk=Failing())
    assert [path.name for path in sorted(directory.iterdir())] == ["00000001-000001.tape"]
    ended = recover_epoch(directory, 1, folded_sequence=0, boot_id=BOOT, now=START)
    assert ended.last_segment == 2
    assert read_end(directory, 1).open_holds == ()
