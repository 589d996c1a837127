"""Runs the world over many seeds: `python -m tests.simulator --seeds 1000`, or one of them again with `--seed N`."""

import argparse
import collections
import gc
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.postgresql_kit import Choice
from tests.simulator.universe import EVENTS, run

SAY_SECONDS = 5.0
MEMORY = Path("/dev/shm")


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder in memory where there is such a place: what a disk loses, the world decides. It is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="simulator-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as found:
        yield Path(found) / "tape"


def several(seeds: range, events: int) -> dict[str, int]:
    """All of them one after the other; the first that fails ends it, with its seed and how to see it again."""
    told = started = time.monotonic()
    sums: collections.Counter[str] = collections.Counter()
    gc.set_threshold(100_000, 20, 20)  # a world is searched for cycles a tenth as often
    with memory_folder() as place:
        for seed in seeds:
            world = run(seed, place, events=events)
            sums.update(
                seeds=1,
                workers=len(world.workers),
                events=world.agenda.events,
                faults=world.faults,
                calls=world.calls,
                bills=len(world.provider.bill),
            )
            sums.update({f"answered {name}": count for name, count in world.answers.items()})
            if time.monotonic() - told > SAY_SECONDS:
                told = time.monotonic()
                rate = sums["events"] / (told - started)
                sys.stderr.write(
                    f"{sums['seeds']} of {len(seeds)} seeds, {sums['events']:,} events, {rate:,.0f} a second, no violation\n"
                )
    return dict(sums)


def beside(first: int, seeds: int, events: int, processes: int) -> int:
    """Ranges of seeds in processes of their own; 1 when any of them found something."""
    part = -(-seeds // processes)
    command = [sys.executable, "-m", "tests.simulator", "--events", str(events), "--processes", "1"]
    running = [
        subprocess.Popen([*command, "--first", str(start), "--seeds", str(min(part, first + seeds - start))])
        for start in range(first, first + seeds, part)
    ]
    return max(one.wait() for one in running)


def main() -> int:
    """0: nothing was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--seed", type=int, help="this one alone, with its whole story when it fails")
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--events", type=int, default=EVENTS, help="in which faults happen, in each run")
    parser.add_argument("--processes", type=int, default=1, help="side by side")
    parser.add_argument(
        "--ledger", choices=("sqlite", "postgresql"), default="sqlite", help="what the ledger's rows are in"
    )
    given = parser.parse_args()
    Choice.postgresql = given.ledger == "postgresql"
    if given.seed is None and given.processes > 1:
        return beside(given.first, given.seeds, given.events, given.processes)
    seeds = range(given.first, given.first + given.seeds) if given.seed is None else range(given.seed, given.seed + 1)
    started = time.monotonic()
    try:
        sums = several(seeds, given.events)
    except Exception as error:  # noqa: BLE001 - whatever is wrong is told with its seed
        if given.seed is not None:
            traceback.print_exc()
        sys.stderr.write("".join(traceback.format_exception_only(error)))
        return 1
    seconds = time.monotonic() - started
    sys.stdout.write(
        f"0 violations in {sums['events']:,} events over {sums['seeds']:,} seeds, {sums['events'] / seconds:,.0f} events a second\n"
    )
    sys.stdout.write(
        ", ".join(f"{name} {count:,}" for name, count in sorted(sums.items()) if name not in {"events", "seeds"}) + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
