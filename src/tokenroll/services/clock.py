"""Clocks: where instants come from. Everything takes a `Clock`, so that tests and the demo can move time (DESIGN §4 law 9)."""

import mmap
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from tokenroll.model.instant import Instant

Clock: TypeAlias = Callable[[], Instant]
CLOCK_FILE_BYTES: Final = 8
_OFFSET = struct.Struct("<q")


def system_clock() -> Instant:
    """The machine's own time in microseconds, UTC."""
    return time.time_ns() // 1000


class VirtualClock:
    """System time plus an offset that lies in a file and is read at each call, so that several processes leap together.

    Only homes that `tokenroll demo` created have such a file; the offset is micros, little-endian, eight bytes.
    """

    __slots__ = ("_map", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size < CLOCK_FILE_BYTES:
                os.ftruncate(descriptor, CLOCK_FILE_BYTES)
            self._map = mmap.mmap(descriptor, CLOCK_FILE_BYTES)
        finally:
            os.close(descriptor)

    def __call__(self) -> Instant:
        """The virtual now."""
        return time.time_ns() // 1000 + self.offset_micros

    @property
    def offset_micros(self) -> int:
        """How far this clock is ahead of the machine's."""
        offset: int = _OFFSET.unpack_from(self._map)[0]
        return offset

    def advance(self, micros: int) -> None:
        """All readers of the file are `micros` later from now on. Raises ValueError for a step back: recorded time is monotone."""
        if micros < 0:
            message = f"a virtual clock only goes forward, not {micros} micros"
            raise ValueError(message)
        _OFFSET.pack_into(self._map, 0, self.offset_micros + micros)

    def close(self) -> None:
        """The file is let go."""
        self._map.close()


def start_clock_at(path: Path, at: Instant) -> None:
    """A new clock file whose readers find themselves at that instant, past or to come. Raises FileExistsError for an old one.

    The only step that may go back: nothing can have been recorded yet by a clock that did not exist.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_OFFSET.pack(at - system_clock()))
