"""What a second worker brings: `python -m bench.workers [--rounds 3] [--plain] [--package DIR] [--json FILE]`, figures in docs/performance.md.

`tokenroll serve --workers 1` and `--workers 2` in alternating rounds, everything on, calls of 1 kB as many as go. Provider and load need
a core, too, so two workers cannot have two cores to themselves on a machine of two. What is measured instead is the CPU time of the
gateway's processes for each call: two cores' worth of it bring `2 x that of one worker / that of two`. Two workers are measured

- `together`: on the core of the one, taking turns, each with half of the calls and so with smaller groups of them than one would have;
- `apart`: each on its own core, the second beside provider, load and ledger, which come first there.

Connections keep their key (64 wallets, each at one worker), or rotate over all wallets, so that every wallet is lent to both
workers in parts. The ledger's CPU time is told beside it, and what share of it each worker had.
"""

import argparse
import itertools
import json
import os
import time
import urllib.request
from pathlib import Path
from statistics import median
from typing import Final

from bench.interpreter import interpreter
from bench.machine import DIR, LOAD_CORE, awake, cpu_seconds, place, start
from bench.measure import Result, calls
from bench.node_line import running
from bench.subjects import Tokenroll

BODY_BYTES: Final = 1_000
BAR: Final = 1.8
HEALTHY_IN_A_ROW: Final = 40
"""Answers of /healthz, each on a connection of its own, until both workers are taken to have their lease."""
WARM_UP_SECONDS: Final = 3.0
ROTATING_WARM_UP_SECONDS: Final = 45.0
"""Loans of wallets and limits are few and small at first, and calls wait for them: what is measured is how it goes on. Where keys rotate
each of 10,000 wallets is lent to both workers first."""


class Workers(Tokenroll):
    """So many workers on the system's core, or one on each core."""

    def __init__(self, count: int, *, full: bool, apart: bool = False, package: Path | None = None) -> None:
        super().__init__("written", full=full)
        self.count, self.apart, self._package = count, apart, package
        self.name = f"workers-{count}" + "-apart" * apart
        self.home = DIR / f"home-{self.name}"

    def package(self) -> Path:
        return self._package or super().package()

    def _serve(self, environment: dict[str, str]) -> None:
        command = [
            interpreter(), "-m", "tokenroll", "serve", "--durability", self.durability, "--workers", str(self.count),
        ]  # fmt: skip
        self._process = start(command, LOAD_CORE, DIR / f"{self.name}.log", scheduling=[], env=environment)

    def _wait_until_healthy(self) -> None:
        super()._wait_until_healthy()
        until, healthy = time.monotonic() + 60, 0
        while healthy < HEALTHY_IN_A_ROW or len(self.near()) < self.count:
            if time.monotonic() > until:
                raise SystemExit(f"{self.name}: not all workers are healthy; see {DIR / self.name}.log")
            healthy += 1
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=1).close()
            except OSError:
                healthy = 0
                time.sleep(0.1)

    def start(self) -> None:
        super().start()
        if self.apart:
            for pid in self.near()[1:]:
                place(pid, LOAD_CORE, real_time=True)

    def near(self) -> list[int]:
        return [pid for number in range(self.count) if (pid := self._pid(f"gateway-{number:03d}"))]


def measured(subject: Workers, *, rotating: bool) -> Result:
    """One sample, with each worker's share of their CPU time."""
    subject.warm_up = ROTATING_WARM_UP_SECONDS if rotating else WARM_UP_SECONDS
    with running(subject):
        before = [cpu_seconds([pid]) for pid in subject.near()]
        result = calls(subject, BODY_BYTES, rotating=rotating)
        spent = [cpu_seconds([pid]) - then for pid, then in zip(subject.near(), before, strict=True)]
    result["shares"] = [round(one / sum(spent), 3) for one in spent]
    print(json.dumps({"system": subject.name, "rotating": rotating, **result}), flush=True)
    return result


def main() -> None:
    """Prints a line for each sample and a summary as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain", action="store_true", help="a company that has nothing switched on")
    parser.add_argument(
        "--package", type=Path, default=None, help="a compiled copy (scripts/compile.sh); default the wheel"
    )
    parser.add_argument("--json", type=Path, default=None, help="file for summary and samples")
    options = parser.parse_args()
    subjects = [
        Workers(1, full=not options.plain, package=options.package),
        Workers(2, full=not options.plain, package=options.package),
        Workers(2, full=not options.plain, package=options.package, apart=True),
    ]
    samples: dict[str, list[Result]] = {}
    with awake(wanted=True):
        for number, rotating in itertools.product(range(options.rounds), (False, True)):
            turn = number % len(subjects)
            for subject in subjects[turn:] + subjects[:turn]:
                name = f"{subject.name}{', rotating' * rotating}"
                samples.setdefault(name, []).append(measured(subject, rotating=rotating))
    for subject in subjects:
        subject.verified()
    summary = {
        f"{how}{kind}": scaling(samples[f"workers-1{kind}"], samples[f"{name}{kind}"])
        for how, name in (("together", "workers-2"), ("apart", "workers-2-apart"))
        for kind in ("", ", rotating")
    }
    found = {"demanded": BAR, "two workers / one": summary, "load": os.getloadavg()}
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps({**found, "samples": samples}, indent=1) + "\n")


def scaling(ones: list[Result], twos: list[Result]) -> Result:
    """Medians of the rounds' ratios."""
    pairs = list(zip(ones, twos, strict=True))
    return {
        "calls on two cores' worth of CPU, of those on one": round(
            median(2 * one["near_us"] / two["near_us"] for one, two in pairs), 3
        ),
        "CPU of gateways and ledger for each call": round(
            median((two["near_us"] + two["far_us"]) / (one["near_us"] + one["far_us"]) for one, two in pairs), 3
        ),
        "share of the busier worker": max(max(two["shares"]) for two in twos),
    }


if __name__ == "__main__":
    main()
