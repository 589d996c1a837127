"""What became of the rows of imported files, and how their lines are read: streamed, bounded, packed or not.

A reader never stops at a bad row and never drops one in silence: each is counted, and the first ones are named by file and line.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Protocol

import zstandard

from tokenroll.model.limits import IMPORT_BAD_ROWS_NAMED_MAX, IMPORT_LINE_BYTES_MAX
from tokenroll.services.importers.origins import Origins

_READ_BYTES: Final = 1024 * 1024
_PACKED_BYTES: Final = 4 * 1024
"""Packed bytes unpacked at once: a block of 4 bytes may stand for 128 KiB, so this many for 128 MiB at most."""
TORN: Final = (OSError, EOFError, zlib.error, zstandard.ZstdError)
"""What reading a packed file raises where it is not whole."""


class Lines(Protocol):
    """What lines are read from."""

    def readline(self, limit: int, /) -> bytes:
        """The next line with its end, or its first so many bytes; nothing at the end."""


UNKNOWN_FILES: Final = "files of no known kind"


class SourceError(Exception):
    """A file or folder of usage that cannot be read at all; the message says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that should have been usage and is not."""

    file: str
    line: int
    reason: str


@dataclass(slots=True)
class Intake:
    """Counts of all rows of all files, and the first bad ones by name."""

    file_count: int = 0
    row_count: int = 0
    event_count: int = 0
    repeat_count: int = 0
    bad_count: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)
    unknown_files: list[str] = field(default_factory=list)
    other: dict[str, int] = field(default_factory=dict)
    """Rows and files that are no usage by their kind."""
    sources: set[str] = field(default_factory=set)
    """Of the events that files held, also of files that were read before."""
    origins: Origins = field(default_factory=Origins)
    """By what tables without ids are known again."""
    notes: list[str] = field(default_factory=list)
    """What could not be made sure of."""

    def is_bad(self, file: str, line: int, reason: str) -> None:
        """Count and, while there is room, name a row that should have been usage."""
        self.bad_count += 1
        if len(self.bad_rows) < IMPORT_BAD_ROWS_NAMED_MAX:
            self.bad_rows.append(BadRow(file, line, reason))

    def is_other(self, kind: str) -> None:
        """Count what is something else by its kind."""
        self.other[kind] = self.other.get(kind, 0) + 1

    def is_unknown(self, file: str) -> None:
        """Count and, while there is room, name a file whose first bytes no importer knows."""
        self.is_other(UNKNOWN_FILES)
        if len(self.unknown_files) < IMPORT_BAD_ROWS_NAMED_MAX:
            self.unknown_files.append(file)

    def add(self, more: "Intake") -> None:
        """Count what another process read as well."""
        self.file_count += more.file_count
        self.row_count += more.row_count
        self.event_count += more.event_count
        self.repeat_count += more.repeat_count
        self.bad_count += more.bad_count
        room = IMPORT_BAD_ROWS_NAMED_MAX - len(self.bad_rows)
        self.bad_rows += more.bad_rows[:room]
        for kind, count in more.other.items():
            self.other[kind] = self.other.get(kind, 0) + count

    def summary(self) -> dict[str, Any]:
        """Counts and names, for JSON and people."""
        return {
            "file_count": self.file_count,
            "row_count": self.row_count,
            "event_count": self.event_count,
            "repeat_count": self.repeat_count,
            "bad_count": self.bad_count,
            "bad_rows": [{"file": bad.file, "line": bad.line, "reason": bad.reason} for bad in self.bad_rows],
            "unknown_files": self.unknown_files,
            "other": dict(sorted(self.other.items())),
            "notes": self.notes,
        }


class _Ready(io.RawIOBase):
    """A gzip stream that gives what it has, where the library's own reader gives nothing of the last megabyte before a tear."""

    def __init__(self, packed: gzip.GzipFile) -> None:
        self._packed = packed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._packed.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._packed.close()
        super().close()


class _Unpacked(io.RawIOBase):
    """A zstd stream that says when it is torn, which the library's own reader takes for its end."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._unpacker = zstandard.ZstdDecompressor().decompressobj()
        self._ready = memoryview(b"")
        self._begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            data = self._unpacker.unused_data or self._packed.read(_PACKED_BYTES)
            if self._unpacker.eof:
                self._unpacker = zstandard.ZstdDecompressor().decompressobj()
                self._begun = False
            if not data:
                if self._begun:
                    raise EOFError("it ends within a frame")
                return 0
            self._begun = True
            self._ready = memoryview(self._unpacker.decompress(data))
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        self._packed.close()
        super().close()


def opened(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked where its name ends in .gz or .zst. Raises SourceError."""
    try:
        if path.suffix == ".gz":
            return io.BufferedReader(_Ready(gzip.GzipFile(path, "rb")), _READ_BYTES)
        stream = path.open("rb")
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    return io.BufferedReader(_Unpacked(stream), _READ_BYTES) if path.suffix == ".zst" else stream


def lines_of(path: Path, intake: Intake) -> Iterator[tuple[int, bytes]]:
    """Each line of a file with its number, without its end; one that is too long is a bad row, and so is the rest of a torn file."""
    with opened(path) as stream:
        yield from lines_in(stream, path, intake)


def lines_in(stream: Lines, path: Path, intake: Intake, number: int = 0) -> Iterator[tuple[int, bytes]]:
    """Each line of a stream that goes on after so many lines of its file, as `lines_of` has them."""
    while True:
        try:
            line = stream.readline(IMPORT_LINE_BYTES_MAX)
        except TORN as error:
            intake.row_count += 1
            intake.is_bad(str(path), number + 1, not_whole(error))
            return
        if not line:
            return
        number += 1
        if len(line) == IMPORT_LINE_BYTES_MAX and not line.endswith(b"\n"):
            intake.row_count += 1
            intake.is_bad(str(path), number, f"the line is longer than {IMPORT_LINE_BYTES_MAX} bytes")
            while line and not line.endswith(b"\n"):
                line = stream.readline(IMPORT_LINE_BYTES_MAX)
            continue
        yield number, line


def not_whole(error: Exception) -> str:
    """Why the rest of a torn file is a bad row."""
    return f"the file is not whole: {error}"


def read_text(path: Path, limit_bytes: int) -> str:
    """A small file of text. Raises SourceError where it is missing, too large or no text."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > limit_bytes:
        raise SourceError(f"{path} has more than {limit_bytes} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is no text in UTF-8") from error
