"""Clocks: the machine's own, and one that several processes move together."""

import struct
import time

import pytest

from tests.cast import DAY
from tokenroll.services.clock import VirtualClock, system_clock


def test_the_system_clock_counts_micros_since_1970():
    before = time.time_ns() // 1000
    assert before <= system_clock() <= time.time_ns() // 1000


def test_a_virtual_clock_leaps_for_all_who_read_its_file(tmp_path):
    mine, theirs = VirtualClock(tmp_path / "clock"), VirtualClock(tmp_path / "clock")
    start = theirs()
    assert abs(start - system_clock()) < DAY
    mine.advance(30 * DAY)
    assert theirs.offset_micros == 30 * DAY
    assert 30 * DAY <= theirs() - start < 31 * DAY
    assert (tmp_path / "clock").read_bytes() == struct.pack("<q", 30 * DAY)
    mine.close()
    theirs.close()


def test_a_virtual_clock_never_goes_back(tmp_path):
    clock = VirtualClock(tmp_path / "clock")
    with pytest.raises(ValueError, match="only goes forward"):
        clock.advance(-1)
    clock.close()
