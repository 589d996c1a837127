"""Faults that a test switches on and off in running processes: `faults.c`, compiled once, and the file that steers it."""

import functools
import mmap
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

_LAYOUT = struct.Struct("<q2B2B2I")
TAPE, LEDGER = 0, 1


@functools.cache
def library() -> Path:
    """The compiled shim. A test without a compiler is skipped by name."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no gcc: faults of disks and clocks cannot be made")
    path = Path(tempfile.mkdtemp(prefix="tr-faults-")) / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run([compiler, "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", path, source, "-ldl"], check=True)
    return path


class Faults:
    """What is wrong with disk and clock of the processes that are started with `environment`; at first nothing."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "faults"
        self._path.write_bytes(bytes(_LAYOUT.size))
        descriptor = os.open(self._path, os.O_RDWR)
        self._map = mmap.mmap(descriptor, _LAYOUT.size)
        os.close(descriptor)
        self.environment = {"LD_PRELOAD": str(library()), "TR_FAULTS": str(self._path)}

    def full(self, whose: int, *, now: bool = True) -> None:
        """No byte more fits on that disk, or there is room again."""
        self._map[8 + whose] = now

    def deaf(self, whose: int, *, now: bool = True) -> None:
        """What is written to that disk cannot be synced, or can again."""
        self._map[10 + whose] = now

    def step_clock(self, micros: int) -> None:
        """The wall clock is off by so much more than before, forward or back."""
        (off,) = struct.unpack_from("<q", self._map)
        struct.pack_into("<q", self._map, 0, off + micros)

    def met(self, whose: int) -> int:
        """How often a process met a fault of that disk."""
        return int(_LAYOUT.unpack_from(self._map)[5 + whose])
