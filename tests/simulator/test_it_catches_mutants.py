"""Every planted bug is found within a few seeds; one that is not is a defect of the simulator."""

import pytest

from tests.simulator.__main__ import memory_folder
from tests.simulator.mutants import PLANTED, Planted, caught

SEEDS = range(1, 25)
EVENTS = 2_000


@pytest.mark.parametrize("bug", PLANTED, ids=[bug.name for bug in PLANTED])
def test_it_catches(bug: Planted):
    with memory_folder() as place:
        assert caught(bug, place, SEEDS, EVENTS)
