"""Ten thousand races and crashes; after each schedule the provider's bill is the ledger plus what is named in suspense."""

from pathlib import Path

import pytest

from tests.simulator.world import run

SCHEDULES = 20
STEPS = 45
ONCE_FAILED = (1, 34, 500)
"""Seeds that found something: kept, so that it stays found."""


ENDURED_SCHEDULES = 5_000


@pytest.mark.endure
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("synced", [True, False], ids=["synced", "written"])
def test_it_bills_what_the_provider_bills_over_ten_thousand_schedules(tmp_path: Path, synced):
    faults = settled = 0
    for seed in range(100_000, 100_000 + ENDURED_SCHEDULES):
        world = run(seed, tmp_path / "tape", synced=synced, steps=STEPS)
        faults += world.faults
        settled += len(world.settled())
    print(f"{ENDURED_SCHEDULES} schedules, {faults} faults, {settled} settled calls")
    assert faults > 4 * ENDURED_SCHEDULES
    assert settled > ENDURED_SCHEDULES


@pytest.mark.parametrize("synced", [True, False], ids=["synced", "written"])
def test_it_bills_what_the_provider_bills_over_dozens_of_races_and_crashes(tmp_path: Path, synced):
    faults = settled = 0
    for seed in (*ONCE_FAILED, *range(10_000, 10_000 + SCHEDULES)):
        world = run(seed, tmp_path / "tape", synced=synced, steps=STEPS)
        faults += world.faults
        settled += len(world.settled())
    assert faults > 60
    assert settled > 25


def test_it_bills_what_the_provider_bills_in_a_few_schedules(tmp_path: Path):
    worlds = [run(seed, tmp_path / "tape", synced=seed % 2 == 0) for seed in range(24)]
    assert sum(world.faults for world in worlds) > 30
    assert sum(len(world.settled()) for world in worlds) > 24
