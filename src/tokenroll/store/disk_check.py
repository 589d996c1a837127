"""Whether a disk takes what a tape will ask of it, and a disk for a worker that may not write at all."""

import contextlib
import os
from pathlib import Path
from typing import Final

TRIED_BYTES: Final = 1024 * 1024
"""What a new life writes at once, and some room: a disk with less would be full again at the next call."""
_NAME: Final = ".disk-check"


def disk_problem(directory: Path) -> str:
    """Why nothing can be recorded in that folder; empty where a file could be written, brought to the disk and removed. Blocks."""
    path = directory / _NAME
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            left = memoryview(bytes(TRIED_BYTES))
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return error.strerror or str(error)
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    return ""


class NoDisk:
    """A disk for a worker that only says why it admits nobody: what is asked of it comes to nothing (store/tape.py: Disk)."""

    def open_append(self, path: Path) -> int:
        """See Disk."""
        del path
        return -1

    def write(self, descriptor: int, data: bytes) -> None:
        """See Disk."""

    def write_out(self, descriptor: int, size: int) -> None:
        """See Disk."""

    def sync(self, descriptor: int) -> None:
        """See Disk."""

    def cut(self, path: Path, size: int) -> None:
        """See Disk."""

    def sync_directory(self, path: Path) -> None:
        """See Disk."""

    def close(self, descriptor: int) -> None:
        """See Disk."""
