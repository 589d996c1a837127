"""The tape: a gateway worker's append-only file of what it did (DESIGN §7.1). Format, writer and reader.

A segment is a header and blocks; a block is one write of whole records under one checksum. A block that is torn or damaged
counts as never written, which is right because nobody was told of it: a hold is dispatched only after its block is durable.
Sequence numbers belong to records, count from 1 in each (worker, epoch), and have no gaps.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum, StrEnum
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from tokenroll.model.instant import Instant
from tokenroll.model.limits import TAPE_BLOCK_BYTES_MAX, TAPE_SEGMENT_BYTES_MAX
from tokenroll.store.write_out import write_out

MAGIC: Final = b"TKRLTAPE"
VERSION: Final = 3
"""2: counts may stand under a mask of 32 bits (WIDE_COUNTS). 3: a HOLD and a SETTLE may be short ones. Each record says by its type and flags
how it is read, so whoever writes 3 also reads 1 and 2, and rows have all of them side by side."""
VERSIONS_READ: Final = frozenset({1, 2, VERSION})
CODEC_PACKED: Final = 1

# magic, version, codec, worker, epoch, segment, boot id, first sequence, created at; then crc32 of all that
_SEGMENT = struct.Struct("<8sHBBII16sQq")
_CRC = struct.Struct("<I")
SEGMENT_HEADER_BYTES: Final = _SEGMENT.size + _CRC.size
# payload bytes, crc32 of (first sequence, record count, payload), first sequence, record count
_BLOCK = struct.Struct("<IIQI")
_BLOCK_COVERED = struct.Struct("<QI")
BLOCK_HEADER_BYTES: Final = _BLOCK.size
# every record: type, flags, whole length
RECORD_HEAD: Final = struct.Struct("<BBH")
RECORD_BYTES_MAX: Final = 0xFFFF
_BLOCK_RECORDS_SAFE: Final = TAPE_BLOCK_BYTES_MAX // (RECORD_BYTES_MAX + 1)
"""So many records fit one block whatever their lengths."""
_WRITTEN_OUT_BYTES: Final = 1024 * 1024
"""After so many bytes the kernel begins to bring them to the disk: a full segment is synced while calls wait, and shall be quick."""


class Durability(StrEnum):
    """What a hold survives before its call is sent: `written` the process's death, `synced` also power loss."""

    WRITTEN = "written"
    SYNCED = "synced"


class RecordType(IntEnum):
    """What a record says. Numbers are part of the format; append only."""

    NAME = 1
    HOLD = 2
    DISPATCHED = 3
    EVIDENCE = 4
    SETTLE = 5
    RELEASE = 6
    LAPSE = 7
    LEASE = 8
    RETURN = 9
    SHORT_HOLD = 10
    """A HOLD in fewer bytes, for nearly every one. What does not fit its narrower fields is written as a HOLD."""
    SHORT_SETTLE = 11
    """A SETTLE in fewer bytes, in the same way."""


class Finish(IntEnum):
    """How an attempt ended, as one byte."""

    UNKNOWN = 0
    COMPLETE = 1
    CLIENT_GONE = 2
    UPSTREAM_CUT = 3
    UPSTREAM_ERROR = 4
    TIMED_OUT = 5
    WORKER_DIED = 6
    GOES_ON = 7
    """It was answered and goes on at the provider, who is asked about it later."""


class TapeSource(IntEnum):
    """Where the counts of a SETTLE or EVIDENCE come from."""

    REPORTED = 1
    ESTIMATED = 2
    BILL = 3


class TapeRelease(IntEnum):
    """Why a hold was released."""

    NOT_SENT = 1
    PROVIDER_ERROR = 2
    NEVER_DISPATCHED = 3
    COALESCED = 4
    """It got the answer of another hold's call: whose, RELEASE_LEADER says behind it."""
    LOOP_BROKEN = 5


# Flags of a HOLD.
HOLD_STREAM: Final = 1
HOLD_WOULD_DENY: Final = 2
HOLD_CAP_INJECTED: Final = 4
HOLD_PERSONAL: Final = 8
HOLD_LIMITED: Final = 16
"""Behind its slices the record says which limits the hold raised: LIMITS_HEAD and so many LIMIT_RAISE."""
HOLD_CACHE_MARKED: Final = 32
HOLD_CACHE_KEYED: Final = 64
HOLD_CACHE_WITHHELD: Final = HOLD_CACHE_MARKED | HOLD_CACHE_KEYED
"""What was done to its request so that its prompt is read from a cache: marks, a key, or no key so that others can be compared with it."""

# Flags of a SETTLE.
SETTLE_PASSES: Final = 1
"""Behind its counts, which are the sums, the record says what each pass of a model counted: PASSES_HEAD and so many passes."""

# Bodies, without RECORD_HEAD. `…_name` are ids of NAME records of the same (worker, epoch); 0 is "none".
NAME_HEAD: Final = struct.Struct("<I")  # name id; then UTF-8 text
NAME_BYTES_MAX: Final = 1024
_NAME_TYPE: Final = int(RecordType.NAME)
_SHORT_SETTLE_TYPE: Final = int(RecordType.SHORT_SETTLE)
_SEQUENCE: Final = struct.Struct("<Q")
_SHORT_SEQUENCE: Final = struct.Struct("<I")
HOLDS: Final = frozenset({RecordType.HOLD, RecordType.SHORT_HOLD})
ENDS: Final = frozenset({RecordType.SETTLE, RecordType.SHORT_SETTLE, RecordType.RELEASE})
"""What ends an attempt for good; a LAPSE leaves it open, in suspense."""
_NAME_WHOLE_HEAD: Final = struct.Struct("<BBHI")
"""RECORD_HEAD and NAME_HEAD, packed at once: every call's provider request id is a name."""
HOLD: Final = struct.Struct("<BBHBB2x16sqqqqqqIIIIIIII")
"""type, flags, length, attempt, slice count; call number (big-endian 16 bytes), wallet id, key id, rate card id, admitted at,
bound nanos, would-deny needed nanos; requested model name, deployment name, tags name, client call id name, output cap tokens,
input bytes, message count, tool count. Slices follow."""
SLICE: Final = struct.Struct("<qq")  # lot id, nanos
SHORT_HOLD: Final = struct.Struct("<BBHIIIqHHIIIIHHIq")
"""Of a first attempt that is held from one lot: type, flags, length; wallet id, key id, rate card id,
admitted at; names of model, deployment, tags and client call id; output cap tokens, input bytes, message count, tool count; lot id, bound nanos.
What is not there follows: the slice is the whole bound, so is what a would-be denial needed, and the call's number is made of worker, epoch,
this record's sequence and its time (model/identifier.call_number)."""
LIMITS_HEAD: Final = struct.Struct("<H")  # how many limits were raised
LIMIT_RAISE: Final = struct.Struct("<IBBHqq")
"""limit id, measure (place in model.limit.LIMIT_MEASURES), flags, spare; start of the counter, amount raised."""
RAISE_WOULD_DENY: Final = 1
RAISE_OVERAGE: Final = 2
WIDE_COUNTS: Final = 2
"""Flag of a SETTLE and an EVIDENCE: the masks of their counts have 32 bits. Records of tapes of version 1 have 16."""
DISPATCHED_HEAD: Final = struct.Struct("<BBHq")  # type, flags, length, at; then u64 hold sequences
EVIDENCE: Final = struct.Struct("<BBHQqqBBH")
"""type, flags, length; hold sequence, at, answer bytes relayed, source, finish, HTTP status. Counts follow."""
SETTLE: Final = struct.Struct("<BBHQqqqqqqBBBBHHII")
"""type, flags, length; hold sequence, settled at, first byte at, charge nanos, list cost nanos, net cost nanos, answer bytes;
source, finish, service tier index, dialect; HTTP status, reserved; answered model name, provider request id name. Counts follow."""
SHORT_SETTLE: Final = struct.Struct("<BBHIIIIIIIBBBHHIH")
"""type, flags, length; hold sequence; settled at, as micros since its hold was admitted; first byte at, as these micros and one more, 0 for none;
charge nanos, list cost nanos, net cost nanos, answer bytes; source and four times finish, service tier index, dialect; HTTP status; answered model
name, provider request id name; mask of 16 bits. Counts follow, of 32 bits each, or of 16 (SHORT_COUNTS). It has no passes."""
SHORT_COUNTS: Final = 4
"""Flag of a SHORT_SETTLE: its counts have 16 bits each."""
SHORT_COUNT_MAX: Final = (1 << 16) - 1
PASSES_HEAD: Final = struct.Struct("<H")  # how many passes there were
PASS_HEAD: Final = struct.Struct("<qB")  # rate card id, service tier index; then the pass's counts
RELEASE: Final = struct.Struct("<BBHQqBBH")  # type, flags, length; hold sequence, at, reason, finish, HTTP status
RELEASE_LEADER: Final = struct.Struct("<Q")
"""Behind a RELEASE of a coalesced call: the sequence of the HOLD whose attempt was answered for both, of the same (worker, epoch)."""
LAPSE: Final = struct.Struct(
    "<BBHQqqBBH"
)  # type, flags, length; hold sequence, at, answer bytes, finish, spare, HTTP status. A name may follow.
LAPSE_NAME: Final = struct.Struct("<I")
"""Behind a LAPSE: the name under which the provider keeps the answer and can be asked about it."""
LEASE: Final = struct.Struct("<BBHQq")  # type, flags, length; last delta applied, at. Gives follow.
GIVE: Final = struct.Struct("<qqq")  # recall id, lot id, nanos: what the worker gave back of a leased lot
GIVES_MAX: Final = (RECORD_BYTES_MAX - LEASE.size) // GIVE.size
RETURN: Final = struct.Struct(
    "<BBHQq"
)  # type, flags, length; number of what asked for it (0: nothing did), at. Parts follow.
RETURNED: Final = struct.Struct("<qqq")  # LOT or LIMIT, id, how much of it goes back to the ledger
LOT: Final = 0
LIMIT: Final = 1
"""Of what a part of a sized lease is."""
RETURNED_MAX: Final = (RECORD_BYTES_MAX - RETURN.size) // RETURNED.size
COUNTS_MASK: Final = struct.Struct("<I")
COUNTS_MASK_NARROW: Final = struct.Struct("<H")
COUNT: Final = struct.Struct("<q")

SERVICE_TIERS: Final = ("standard", "batch", "flex", "priority")
"""Service tier index of a SETTLE record. Append only."""


def pack_counts(counts: "tuple[int | None, ...] | list[int | None]") -> bytes:
    """Usage counts in the order of METERS: a bit mask of the non-null ones, then their values. The record has the flag WIDE_COUNTS."""
    mask = 0
    values = []
    for index, count in enumerate(counts):
        if count is not None:
            mask |= 1 << index
            values.append(count)
    return struct.pack(f"<I{len(values)}q", mask, *values)


@cache
def _counts_layout(mask: int, meter_count: int) -> "tuple[struct.Struct, tuple[int, ...]]":
    """How the counts under a mask lie, and for each meter its place among them; absent ones name a last place that is None."""
    places, present = [], 0
    for index in range(meter_count):
        places.append(present if mask >> index & 1 else -1)
        present += mask >> index & 1
    return struct.Struct(f"<{mask.bit_count()}q"), tuple(places)


def counts_mask(flags: int) -> struct.Struct:
    """How the mask of counts lies in a record with these flags."""
    return COUNTS_MASK if flags & WIDE_COUNTS else COUNTS_MASK_NARROW


def unpack_counts(
    data: "bytes | memoryview", offset: int, meter_count: int, flags: int = WIDE_COUNTS
) -> tuple[int | None, ...]:
    """The counts at `offset` of a record with these flags, as `pack_counts` packed them; absent ones are None."""
    mask_layout = counts_mask(flags)
    (mask,) = mask_layout.unpack_from(data, offset)
    layout, places = _counts_layout(mask, meter_count)
    values = (*layout.unpack_from(data, offset + mask_layout.size), None)
    return tuple([values[place] for place in places])


def settle_counts(data: "bytes | memoryview", offset: int, meter_count: int) -> tuple[int | None, ...]:
    """The counts of the SETTLE or SHORT_SETTLE at `offset`; absent ones are None."""
    if data[offset] != _SHORT_SETTLE_TYPE:
        return unpack_counts(data, offset + SETTLE.size, meter_count, data[offset + 1])
    place = offset + SHORT_SETTLE.size
    layout, places = _short_layout(data[place - 2] | data[place - 1] << 8, meter_count, data[offset + 1] & SHORT_COUNTS)
    values = (*layout.unpack_from(data, place), None)
    return tuple([values[at] for at in places])


@cache
def _short_layout(mask: int, meter_count: int, short: int) -> "tuple[struct.Struct, tuple[int, ...]]":
    """The same for the counts of a SHORT_SETTLE."""
    _, places = _counts_layout(mask, meter_count)
    return struct.Struct(f"<{mask.bit_count()}{'H' if short else 'I'}"), places


def ended_sequence(data: "bytes | memoryview", offset: int) -> int:
    """The sequence of the HOLD that the record at `offset` ends, of whichever type that end is."""
    if data[offset] == _SHORT_SETTLE_TYPE:
        return int(_SHORT_SEQUENCE.unpack_from(data, offset + RECORD_HEAD.size)[0])
    return int(_SEQUENCE.unpack_from(data, offset + RECORD_HEAD.size)[0])


def pack_name(name_id: int, text: str) -> bytes:
    """A NAME record: from here on `name_id` stands for `text` in this (worker, epoch)."""
    body = text.encode()[:NAME_BYTES_MAX]
    return _NAME_WHOLE_HEAD.pack(_NAME_TYPE, 0, _NAME_WHOLE_HEAD.size + len(body), name_id) + body


def pack_gives(delta: int, at: Instant, gives: "list[tuple[int, int, int]]") -> bytes:
    """A LEASE record: what the worker gave back of leased lots, `(recall id, lot id, nanos)` each; at most GIVES_MAX."""
    head = LEASE.pack(RecordType.LEASE, 0, LEASE.size + GIVE.size * len(gives), delta, at)
    return head + b"".join(GIVE.pack(*one) for one in gives)


def pack_return(number: int, at: Instant, parts: "list[tuple[int, int, int]]") -> bytes:
    """A RETURN record: parts of a sized lease that go back, `(kind, id, amount)` each; at most RETURNED_MAX."""
    head = RETURN.pack(RecordType.RETURN, 0, RETURN.size + RETURNED.size * len(parts), number, at)
    return head + b"".join(RETURNED.pack(*one) for one in parts)


class TapeError(Exception):
    """A tape that cannot be what a worker wrote: damage before the tail, a foreign header, a gap in the sequence."""


class SegmentHeader(NamedTuple):
    """The first bytes of a segment: who wrote it, in which life of process and kernel."""

    worker: int
    epoch: int
    segment: int
    boot_id: bytes
    first_sequence: int
    created_at: Instant


class Block(NamedTuple):
    """One whole block: its bytes as written (`raw`), the records in it, and where it ends in its file."""

    first_sequence: int
    record_count: int
    payload: bytes
    raw: bytes
    end_offset: int

    @property
    def last_sequence(self) -> int:
        """Sequence of its last record."""
        return self.first_sequence + self.record_count - 1


class Disk(Protocol):
    """The few file operations a tape needs, so that tests can lose power at any of them."""

    def open_append(self, path: Path) -> int:
        """A descriptor that appends to `path`, created with mode 0600."""

    def write(self, descriptor: int, data: bytes) -> None:
        """All of `data` handed to the kernel, else OSError."""

    def write_out(self, descriptor: int, size: int) -> None:
        """Most of the `size` bytes written so far begins to be brought to stable storage; nothing is promised, and nobody waits."""

    def sync(self, descriptor: int) -> None:
        """All data written so far on stable storage, else OSError."""

    def cut(self, path: Path, size: int) -> None:
        """The file ended at `size`, and all before it on stable storage."""

    def sync_directory(self, path: Path) -> None:
        """The directory's entries on stable storage."""

    def close(self, descriptor: int) -> None:
        """The descriptor given back."""


class KernelDisk:
    """The real disk."""

    def open_append(self, path: Path) -> int:
        """See Disk."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, descriptor: int, data: bytes) -> None:
        """See Disk. A short write is continued: a full disk raises on the next turn."""
        written = os.write(descriptor, data)
        while written < len(data):
            written += os.write(descriptor, data[written:])

    def write_out(self, descriptor: int, size: int) -> None:
        """See Disk."""
        write_out(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """See Disk. fdatasync: the size is data's metadata and is synced with it."""
        os.fdatasync(descriptor)

    def cut(self, path: Path, size: int) -> None:
        """See Disk."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(descriptor, size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync_directory(self, path: Path) -> None:
        """See Disk."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self, descriptor: int) -> None:
        """See Disk."""
        os.close(descriptor)


def kernel_boot_id() -> bytes:
    """Sixteen bytes that change when the kernel restarts: only then can written but unsynced data be gone."""
    try:
        return bytes.fromhex(
            Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip().replace("-", "")
        )
    except OSError:
        return bytes(16)


def worker_directory(tape_directory: Path, worker: int) -> Path:
    """Where one worker's segments lie."""
    return tape_directory / f"worker-{worker:03d}"


def segment_path(directory: Path, epoch: int, segment: int) -> Path:
    """The file of one segment; names sort in the order of writing."""
    return directory / f"{epoch:08d}-{segment:06d}.tape"


def segment_paths(directory: Path) -> list[Path]:
    """All segments of one worker in the order of writing."""
    return sorted(directory.glob("*.tape")) if directory.is_dir() else []


def pack_block(first_sequence: int, records: list[bytes]) -> bytes:
    """One block of whole records."""
    payload = b"".join(records)
    if len(payload) > TAPE_BLOCK_BYTES_MAX:
        message = f"a tape block of {len(payload)} bytes is above the limit of {TAPE_BLOCK_BYTES_MAX}"
        raise TapeError(message)
    count = len(records)
    checksum = zlib.crc32(payload, zlib.crc32(_BLOCK_COVERED.pack(first_sequence, count)))
    return _BLOCK.pack(len(payload), checksum, first_sequence, count) + payload


class TapeWriter:
    """Collects records and turns them into blocks; the caller decides when to write and when to sync.

    Not thread-safe by itself: `append` and `take_block` belong to the worker's loop, `write` and `sync` to whoever commits,
    one at a time, in the order of `take_block`.
    """

    __slots__ = (
        "_boot_id", "_bytes", "_descriptor", "_directory", "_disk", "_first", "_pending", "_segment",
        "epoch", "names", "next_sequence", "worker",
    )  # fmt: skip

    def __init__(
        self, directory: Path, *, worker: int, epoch: int, boot_id: bytes, created_at: Instant, disk: Disk | None = None
    ) -> None:
        self.worker = worker
        self.epoch = epoch
        self.next_sequence = 1
        self.names: dict[str, int] = {}
        self._directory = directory
        self._boot_id = boot_id
        self._disk: Disk = disk or KernelDisk()
        self._pending: list[bytes] = []
        self._first = 1
        self._segment = 0
        self._bytes = 0
        self._descriptor = -1
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._open_segment(created_at, 1)

    def _open_segment(self, created_at: Instant, first_sequence: int) -> None:
        if self._descriptor >= 0:
            self.close()  # also forgets the number: should the next one not open, it is soon another file's
        self._segment += 1
        path = segment_path(self._directory, self.epoch, self._segment)
        self._descriptor = self._disk.open_append(path)
        header = SegmentHeader(self.worker, self.epoch, self._segment, self._boot_id, first_sequence, created_at)
        self._disk.write(self._descriptor, pack_header(header))
        self._disk.sync(self._descriptor)
        self._disk.sync_directory(self._directory)
        self._bytes = SEGMENT_HEADER_BYTES

    def append(self, record: bytes) -> int:
        """The record's sequence; it will be in the next block."""
        self._pending.append(record)
        sequence = self.next_sequence
        self.next_sequence = sequence + 1
        return sequence

    def name_id(self, text: str) -> int:
        """The id that stands for `text` on this tape, recorded at its first use; 0 for the empty text."""
        if not text:
            return 0
        known = self.names.get(text)
        if known is None:
            known = self.names[text] = len(self.names) + 1
            self.append(pack_name(known, text))
        return known

    @property
    def has_pending(self) -> bool:
        """Whether records wait for a block."""
        return bool(self._pending)

    def take_block(self) -> bytes:
        """The next block: every record appended since the last one that fits a block. Empty bytes when there is none.

        A disk that stalls while calls go on gathers more than one block holds, so callers take until nothing is left.
        """
        records = self._pending
        if not records:
            return b""
        self._pending = []
        while len(records) > _BLOCK_RECORDS_SAFE and sum(map(len, records)) > TAPE_BLOCK_BYTES_MAX:
            half = len(records) // 2
            records, self._pending = records[:half], records[half:] + self._pending
        first = self._first
        self._first = first + len(records)
        return pack_block(first, records)

    def write(self, block: bytes, at: Instant) -> None:
        """The block handed to the kernel, in a new segment when this one is full. OSError: the worker must stop admitting."""
        if self._bytes + len(block) > TAPE_SEGMENT_BYTES_MAX:
            (_, _, first, _) = _BLOCK.unpack_from(block)
            self._open_segment(at, first)
        self._disk.write(self._descriptor, block)
        before, self._bytes = self._bytes, self._bytes + len(block)
        if self._bytes // _WRITTEN_OUT_BYTES != before // _WRITTEN_OUT_BYTES:
            self._disk.write_out(self._descriptor, self._bytes)

    def sync(self) -> None:
        """Everything written so far on stable storage."""
        self._disk.sync(self._descriptor)

    def close(self) -> None:
        """The segment synced and closed; pending records are the caller's to have taken."""
        if self._descriptor >= 0:
            self._disk.sync(self._descriptor)
            self._disk.close(self._descriptor)
            self._descriptor = -1


def pack_header(header: SegmentHeader) -> bytes:
    """The first bytes of a segment."""
    head = _SEGMENT.pack(
        MAGIC, VERSION, CODEC_PACKED, header.worker, header.epoch, header.segment, header.boot_id, header.first_sequence,
        header.created_at,
    )  # fmt: skip
    return head + _CRC.pack(zlib.crc32(head))


def read_header(data: "bytes | memoryview") -> SegmentHeader:
    """The header of a segment's first bytes. Raises TapeError."""
    if len(data) < SEGMENT_HEADER_BYTES:
        message = f"a tape segment starts with {SEGMENT_HEADER_BYTES} bytes of header; this one has {len(data)}"
        raise TapeError(message)
    magic, version, codec, worker, epoch, segment, boot_id, first, created_at = _SEGMENT.unpack_from(data)
    (checksum,) = _CRC.unpack_from(data, _SEGMENT.size)
    if magic != MAGIC or checksum != zlib.crc32(data[: _SEGMENT.size]):
        message = "not a tape segment: magic or header checksum differ"
        raise TapeError(message)
    if version not in VERSIONS_READ or codec != CODEC_PACKED:
        message = f"tape version {version} codec {codec} is not ours (up to {VERSION}, {CODEC_PACKED}); use the release that wrote it"
        raise TapeError(message)
    return SegmentHeader(worker, epoch, segment, boot_id, first, created_at)


def block_span(raw: bytes) -> tuple[int, int]:
    """First and last sequence of a whole block's bytes, from its head alone."""
    _, _, first, count = _BLOCK.unpack_from(raw)
    return first, first + count - 1


def parse_block(data: "bytes | memoryview", offset: int) -> Block | None:
    """The block at `offset`, or None when the bytes there are not a whole, undamaged block."""
    if offset + BLOCK_HEADER_BYTES > len(data):
        return None
    length, checksum, first, count = _BLOCK.unpack_from(data, offset)
    end = offset + BLOCK_HEADER_BYTES + length
    if length > TAPE_BLOCK_BYTES_MAX or end > len(data) or count == 0:
        return None
    payload = bytes(data[offset + BLOCK_HEADER_BYTES : end])
    if checksum != zlib.crc32(payload, zlib.crc32(_BLOCK_COVERED.pack(first, count))):
        return None
    return Block(first, count, payload, bytes(data[offset:end]), end)


def read_blocks(data: "bytes | memoryview") -> Iterator[Block]:
    """The whole blocks of one segment's bytes, in order; stops at the first torn one.

    Raises TapeError when sequences do not continue: that is not a torn tail but a tape nobody wrote.
    """
    header = read_header(data)
    expected = header.first_sequence
    offset = SEGMENT_HEADER_BYTES
    while (block := parse_block(data, offset)) is not None:
        if block.first_sequence != expected:
            message = f"tape {header.worker}/{header.epoch}/{header.segment}: expected sequence {expected}, found {block.first_sequence}"
            raise TapeError(message)
        yield block
        expected = block.last_sequence + 1
        offset = block.end_offset


def split_blocks(data: bytes) -> Iterator[Block]:
    """The blocks of a REPORT: raw blocks one after another, nothing before and nothing behind. Raises TapeError."""
    offset = 0
    while offset < len(data):
        block = parse_block(data, offset)
        if block is None:
            message = f"a reported block at byte {offset} is damaged"
            raise TapeError(message)
        yield block
        offset = block.end_offset


def iter_records(payload: bytes) -> Iterator[tuple[int, int, int]]:
    """`(type, offset, length)` of each record of a block's payload. Raises TapeError when lengths do not add up."""
    offset = 0
    end = len(payload)
    while offset < end:
        if offset + RECORD_HEAD.size > end:
            message = f"a record at byte {offset} is cut"
            raise TapeError(message)
        kind, _flags, length = RECORD_HEAD.unpack_from(payload, offset)
        if length < RECORD_HEAD.size or offset + length > end:
            message = f"a record at byte {offset} claims {length} bytes of {end - offset}"
            raise TapeError(message)
        yield kind, offset, length
        offset += length
