"""A slice of the simulator for every run of the tests, and the full figure by hand."""

import datetime
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulator.__main__ import memory_folder
from tests.simulator.mutants import focused
from tests.simulator.rates import HOUR, SECOND, drawn
from tests.simulator.universe import Universe, run

ONCE_FAILED = (5, 9, 20, 31, 34, 100, 103, 265)
"""Seeds that found something, in the product or in the simulator: kept, so that it stays found. Whoever changes what a run draws makes
other histories of them, and looks for such ones again with `make simulate`."""
ONCE_FAILED_AMONG_SEVERAL = ((1, 3), (8, 3), (17, 3), (35, 4), (43, 3), (57, 3), (96, 4), (251, 4))
"""Likewise, with so many workers at most."""
SLICE_SECONDS = 6.0
ENDURED_SEEDS = 1_000
ENDURED_EVENTS = 10_000
ROOT = Path(__file__).parents[2]


@pytest.fixture
def place() -> Iterator[Path]:
    """Where the machines' disks are."""
    with memory_folder() as found:
        yield found


def test_it_holds_in_the_seeds_that_failed_once(place: Path):
    worlds = [run(seed, place, events=800) for seed in ONCE_FAILED]
    assert sum(world.faults for world in worlds) > 50
    assert sum(world.answers["admitted"] for world in worlds) > 300


def test_it_holds_in_the_seeds_that_failed_once_among_several(place: Path):
    worlds = [
        run(seed, place, events=700, rates=focused(seed, {"workers_max": most}))
        for seed, most in ONCE_FAILED_AMONG_SEVERAL
    ]
    assert sum(len(world.workers) for world in worlds) > len(worlds)
    assert sum(world.answers.get("ask", 0) for world in worlds) > 100


def test_it_holds_for_as_long_as_there_is_time(place: Path):
    until = time.monotonic() + SLICE_SECONDS
    events = 0
    for seed in range(1_000, 1_200):
        events += run(seed, place, events=3_000).agenda.events
        if time.monotonic() > until:
            break
    assert events > 3_000


def test_one_seed_is_one_history(place: Path):
    def story() -> tuple[object, ...]:
        world = run(77, place, events=1_500, rates=focused(77, {"workers_max": 4}))
        assert world.are_several
        return world.agenda.events, world.agenda.now, world.answers, world.provider.bill

    assert story() == story()


@pytest.mark.parametrize("seed", [3, 11])
def test_clocks_that_are_set_move_no_money(seed: int, place: Path):
    """The same world twice, once with every wall clock set hours ahead from the first moment on: nothing hangs on dates in it (I12)."""

    def spent(skew: int) -> list[tuple[int, int]]:
        rates = drawn(random.Random(seed))
        rates.jumps_every = rates.skews_every = rates.commands_every = rates.restores_every = 0
        rates.calls_every = SECOND // 50
        world = Universe(seed, place, rates)
        for host in (*world.hosts, world.ledger_host):
            host.skew = skew
        while world.agenda.events < 1_500:
            world.step()
        world.finish()
        lots = [(lot.id, lot.spent) for lot in world.judge.books.lots.values()]
        world.close()
        return lots

    as_they_are = spent(0)
    assert sum(nanos for _, nanos in as_they_are) > 1_000_000
    assert spent(5 * HOUR) == as_they_are


@pytest.mark.endure
@pytest.mark.timeout(14_400)
def test_it_holds_over_ten_million_events():
    """Two processes over ranges of seeds; what they said becomes a dated page."""
    command = [
        sys.executable,
        "-m",
        "tests.simulator",
        "--seeds",
        str(ENDURED_SEEDS),
        "--events",
        str(ENDURED_EVENTS),
        "--processes",
        "2",
    ]
    started = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": "src:."}, stdout=subprocess.PIPE, text=True, check=False
    )
    seconds = time.monotonic() - started
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, "the seed and how to see it again stand above"
    today = datetime.datetime.now(tz=datetime.UTC).date()
    machine = f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, {seconds:.0f} s"
    lines = "\n".join(f"- {line}" for line in done.stdout.splitlines())
    (ROOT / "results" / f"simulator-{today}.md").write_text(
        f"# simulator, {today}\n\n{machine}, two processes:\n\n{lines}\n"
    )
