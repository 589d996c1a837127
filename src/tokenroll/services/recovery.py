"""Recovery: what a dead worker's tape says about the holds it left open (DESIGN §5, law 6).

The torn tail was never true for anybody and is cut. Then every open hold gets the one end that is safe: released if the same
kernel still runs and no DISPATCHED was written (written data outlives the process, so the request was never sent), else lapsed to
suspense with the evidence seen. The records are appended to the dead epoch's own tape with continued sequence, so recovering twice
changes nothing: the second time no hold is open.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tokenroll.model.instant import Instant
from tokenroll.store import tape
from tokenroll.store.attempt_record import LapseRecord, ReleaseRecord, pack_lapse, pack_release
from tokenroll.store.tape import Block, Disk, Finish, KernelDisk, RecordType, TapeError, TapeRelease

_RECORDS_PER_BLOCK: Final = 4_096
_OPENED_SHORT: Final = struct.Struct("<I")
_OPENED: Final = struct.Struct("<Q")
_HEAD_BYTES: Final = 4
_HOLD: Final = int(RecordType.HOLD)
_SHORT_HOLD: Final = int(RecordType.SHORT_HOLD)
_SHORT_SETTLE: Final = int(RecordType.SHORT_SETTLE)
_DISPATCHED: Final = int(RecordType.DISPATCHED)
_EVIDENCE: Final = int(RecordType.EVIDENCE)
_ENDS: Final = frozenset({int(RecordType.SETTLE), int(RecordType.RELEASE), int(RecordType.LAPSE)})


class OpenOnTape(NamedTuple):
    """A hold without an end: whether it may have been sent, and what was seen of its answer."""

    sequence: int
    dispatched: bool
    answer_bytes: int


class TapeEnd(NamedTuple):
    """Where an epoch's tape ends and what it left open."""

    next_sequence: int
    last_segment: int
    boot_id: bytes
    open_holds: tuple[OpenOnTape, ...]


def epochs_on_disk(directory: Path) -> list[int]:
    """Epochs of one worker that have segments, ascending."""
    return sorted({int(path.name.split("-")[0]) for path in tape.segment_paths(directory)})


def epoch_paths(directory: Path, epoch: int) -> list[Path]:
    """The segments of one epoch in the order of writing."""
    return sorted(directory.glob(f"{epoch:08d}-*.tape"))


def recover_epoch(
    directory: Path,
    epoch: int,
    *,
    folded_sequence: int,
    boot_id: bytes,
    now: Instant,
    disk: Disk | None = None,
    end: TapeEnd | None = None,
) -> TapeEnd:
    """Ends what a dead epoch left open and returns how its tape stands then; repeating it changes nothing.

    `boot_id` is the present kernel's: another one on the tape means that written data may be lost, so nothing is proven unsent.
    `end` is what `whole_end` said, where it was asked before. `folded_sequence` is the ledger's. After power loss it may know more than the tape (`written`): then nothing is appended,
    because the ledger knows every open hold itself and lapses them when the worker says READY.
    """
    disk = disk or KernelDisk()
    end = end or whole_end(directory, epoch, disk)
    if not end.open_holds or folded_sequence >= end.next_sequence:
        return end
    same_kernel = end.boot_id == boot_id and boot_id != bytes(16)
    records = [_ending(hold, same_kernel=same_kernel, now=now) for hold in end.open_holds]
    append_segment(
        directory, epoch, end.last_segment + 1, end.next_sequence, records, boot_id=end.boot_id, now=now, disk=disk
    )
    return TapeEnd(end.next_sequence + len(records), end.last_segment + 1, end.boot_id, ())


def whole_end(directory: Path, epoch: int, disk: Disk | None = None) -> TapeEnd:
    """How a dead epoch's tape ends, its torn tail cut. Only the owner of the directory may ask."""
    cut_torn_tail(directory, epoch, disk or KernelDisk())
    return read_end(directory, epoch)


def cut_torn_tail(directory: Path, epoch: int, disk: Disk) -> int:
    """How many bytes were cut behind the last whole block of the epoch's newest segment.

    What stays is synced, also when nothing is cut: a later segment must not outlive this one in a power loss. A segment whose
    header is torn held nothing and is removed. Raises TapeError for a damaged one: that is not a tail.
    """
    paths = epoch_paths(directory, epoch)
    if not paths:
        return 0
    newest = paths[-1]
    data = newest.read_bytes()
    if len(data) < tape.SEGMENT_HEADER_BYTES or not _header_holds(data):
        if len(data) > tape.SEGMENT_HEADER_BYTES:
            raise TapeError(f"{newest} has no readable header but {len(data)} bytes: it is damaged, not torn")
        newest.unlink()
        return len(data)
    end = tape.SEGMENT_HEADER_BYTES
    for block in tape.read_blocks(data):
        end = block.end_offset
    disk.cut(newest, end)
    return len(data) - end


def epoch_blocks(directory: Path, epoch: int, after_sequence: int = 0) -> Iterator[Block]:
    """The whole blocks of an epoch that hold records after `after_sequence`.

    Segments that end before it are not read: they may be large, folded long ago, or deleted at any moment. Raises TapeError when an older segment is damaged: only the newest may end in the middle of a block.
    """
    paths = epoch_paths(directory, epoch)
    for place, path in enumerate(paths):
        if place + 1 < len(paths) and _begins_by(paths[place + 1], after_sequence + 1):
            continue
        data = _mapped(path)
        end = tape.SEGMENT_HEADER_BYTES
        for block in tape.read_blocks(data):
            end = block.end_offset
            if block.last_sequence > after_sequence:
                yield block
        if end < len(data) and path != paths[-1]:
            raise TapeError(f"{path} is damaged at byte {end}, and later segments follow it")


def read_end(directory: Path, epoch: int) -> TapeEnd:
    """The epoch's last sequence and its open holds, from all its segments that are left."""
    holds: dict[int, bool] = {}
    answers: dict[int, int] = {}
    next_sequence = 1
    boot_id, last_segment = bytes(16), 0
    for path in epoch_paths(directory, epoch):
        header = tape.read_header(path.read_bytes()[: tape.SEGMENT_HEADER_BYTES])
        boot_id, last_segment = header.boot_id, header.segment
        next_sequence = max(next_sequence, header.first_sequence)
    for block in epoch_blocks(directory, epoch):
        _follow(holds, answers, block)
        next_sequence = block.last_sequence + 1
    found = tuple(OpenOnTape(sequence, sent, answers.get(sequence, 0)) for sequence, sent in sorted(holds.items()))
    return TapeEnd(next_sequence, last_segment, boot_id, found)


def append_segment(
    directory: Path, epoch: int, segment: int, first_sequence: int, records: list[bytes],
    *, boot_id: bytes, now: Instant, disk: Disk,
) -> None:  # fmt: skip
    """A segment of its own for what recovery has to say, synced before anybody is told."""
    worker = int(directory.name.rsplit("-", 1)[1])
    header = tape.SegmentHeader(worker, epoch, segment, boot_id, first_sequence, now)
    path = tape.segment_path(directory, epoch, segment)
    descriptor = disk.open_append(path)
    try:
        disk.write(descriptor, tape.pack_header(header))
        disk.sync(
            descriptor
        )  # before any record: a file that is longer than its header has one that can be read, or is damaged
        for start in range(0, len(records), _RECORDS_PER_BLOCK):
            disk.write(descriptor, tape.pack_block(first_sequence + start, records[start : start + _RECORDS_PER_BLOCK]))
        disk.sync(descriptor)
        disk.sync_directory(directory)
    except OSError:
        # what may not be on the disk would read whole for as long as the kernel remembers it, and be reported as if it were
        path.unlink(missing_ok=True)
        raise
    finally:
        disk.close(descriptor)


def _ending(hold: OpenOnTape, *, same_kernel: bool, now: Instant) -> bytes:
    if same_kernel and not hold.dispatched:
        return pack_release(
            hold.sequence,
            ReleaseRecord(at=now, reason=int(TapeRelease.NEVER_DISPATCHED), finish=int(Finish.WORKER_DIED), status=0),
        )
    lapse = LapseRecord(at=now, answer_bytes=hold.answer_bytes, finish=int(Finish.WORKER_DIED), status=0)
    return pack_lapse(hold.sequence, lapse)


def _follow(holds: dict[int, bool], answers: dict[int, int], block: Block) -> None:
    """`holds`: open sequence -> whether it was dispatched; `answers`: bytes of its answer, as the last EVIDENCE says.

    One loop without calls for what there is most of: a tape of two million records is read before anybody is served.
    """
    payload, sequence = block.payload, block.first_sequence - 1
    offset, end = 0, len(block.payload)
    while offset < end:
        sequence += 1
        head = payload[offset : offset + _HEAD_BYTES]
        length = head[2] | head[3] << 8 if len(head) == _HEAD_BYTES else 0
        if length < _HEAD_BYTES or offset + length > end:
            raise TapeError(f"record {sequence} at byte {offset} claims {length} bytes of {end - offset}")
        kind = head[0]
        if kind == _SHORT_HOLD or kind == _HOLD:  # noqa: PLR1714, SIM109 - a set is looked at by its hash
            holds[sequence] = False
        elif kind == _SHORT_SETTLE:
            holds.pop(_OPENED_SHORT.unpack_from(payload, offset + _HEAD_BYTES)[0], None)
        elif kind in _ENDS:
            holds.pop(_OPENED.unpack_from(payload, offset + _HEAD_BYTES)[0], None)
        elif kind == _DISPATCHED:
            count = (length - tape.DISPATCHED_HEAD.size) // _OPENED.size
            for opened in struct.unpack_from(f"<{count}Q", payload, offset + tape.DISPATCHED_HEAD.size):
                if opened in holds:
                    holds[opened] = True
        elif kind == _EVIDENCE:
            values = tape.EVIDENCE.unpack_from(payload, offset)
            answers[values[3]] = values[5]
        offset += length


def _mapped(path: Path) -> memoryview:
    """A file's bytes, read as they are looked at: who reports a large segment bit by bit is not held up by all of it."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _begins_by(segment: Path, sequence: int) -> bool:
    """Whether a segment's own header says that everything before `sequence` is in earlier ones."""
    with segment.open("rb") as file:
        head = file.read(tape.SEGMENT_HEADER_BYTES)
    return _header_holds(head) and tape.read_header(head).first_sequence <= sequence


def _header_holds(data: bytes) -> bool:
    try:
        tape.read_header(data)
    except TapeError:
        return False
    return True
