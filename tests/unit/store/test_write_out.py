"""A tape is on its way to the disk long before its segment is full: who then syncs the segment keeps calls waiting only for the rest."""

import pytest

from tests.desk import MemoryDisk, make_tape
from tokenroll.store import tape as tapes
from tokenroll.store import write_out as module
from tokenroll.store.tape import KernelDisk, TapeWriter, read_blocks

MEBIBYTE = 1024 * 1024
RECORD = tapes.pack_name(1, "a" * 200)


def written(tape: TapeWriter, block_count: int) -> None:
    """So many blocks of 40 kB and a little."""
    for _ in range(block_count):
        for _ in range(200):
            tape.append(RECORD)
        tape.write(tape.take_block(), 0)


def test_each_mebibyte_is_sent_on_and_nothing_is_synced_for_it(tmp_path):
    disk = MemoryDisk()
    tape = make_tape(tmp_path, disk)
    disk.calls.clear()
    written(tape, 100)
    assert 4 * MEBIBYTE > len(disk.data) > 3 * MEBIBYTE
    assert disk.calls.count("write") == 100
    assert disk.calls.count("write out") == 3
    assert "sync" not in disk.calls
    assert disk.calls.index("write out") < 30


def test_the_file_says_the_same(tmp_path):
    tape = make_tape(tmp_path, KernelDisk())
    written(tape, 60)
    tape.close()
    (segment,) = tmp_path.glob("*.tape")
    blocks = list(read_blocks(segment.read_bytes()))
    assert (len(blocks), blocks[-1].last_sequence) == (60, 12_000)


def test_the_kernel_is_asked_to_begin_and_not_waited_for(monkeypatch):
    asked = []
    monkeypatch.setattr(module, "_call", lambda *arguments: asked.append(arguments))
    KernelDisk().write_out(7, 200_000)
    begin_and_do_not_wait = 2
    assert asked == [(7, 0, 3 * 65_536, begin_and_do_not_wait)], "all but the pages that are still written to"
    KernelDisk().write_out(7, 65_535)  # no bytes would mean all
    monkeypatch.setattr(module, "_call", None)  # where the kernel cannot
    KernelDisk().write_out(7, 200_000)
    assert len(asked) == 1


def test_trouble_is_the_next_syncs_to_tell(tmp_path):
    disk = KernelDisk()
    descriptor = disk.open_append(tmp_path / "one")
    disk.close(descriptor)
    disk.write_out(descriptor, MEBIBYTE)
    with pytest.raises(OSError, match="Bad file descriptor"):
        disk.sync(descriptor)
