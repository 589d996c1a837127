"""How often nodes ask their ledger: `python -m bench.lease_trips [--quick] [--json FILE]`, figures in docs/performance.md.

A wallet of 120 credits (100 of them the member's own, 20 the pool's), spent to its end by calls that cost 0.05 at most (uniform around it) and 35 % of that when they end, eight seconds
later: four a second over all nodes, each at a node by chance. The nodes are real workers with their tapes and the ledger is a real one,
in one process, by a clock that is moved: no figure here belongs to a machine. What a node and its ledger say to each other because of
leases is a trip: a want and its answer, what was asked back of others, what was returned because it lay idle. Reports of calls are none:
they go their way by themselves, and nobody waits for them.
"""

import argparse
import asyncio
import heapq
import itertools
import json
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any, Final, NamedTuple

from tests import ledger_kit as kit
from tests.pair import Call, Pair
from tokenroll.model.instant import MICROS_PER_SECOND
from tokenroll.model.limits import LEASE_IDLE_SECONDS
from tokenroll.services.hot import HotHold

NODES: Final = (1, 4, 16, 64)
BAR: Final = 0.15
BARRED: Final = (4, 16)
CALLS_A_SECOND: Final = 4
CALL_SECONDS: Final = 8
INPUT_NANOS: Final = 6_096_000
"""What the input of a call holds (tests/desk.py)."""
WORST_NANOS: Final = 50_000_000
ACTUAL: Final = 0.35
FIRST_NODE: Final = 64


class Figures(NamedTuple):
    """One run to the end of the wallet."""

    admissions: int
    wants: int
    asked_back: int
    idle: int
    stranded: float
    """Which part of the wallet lay free somewhere when a call was denied first."""

    @property
    def trips(self) -> float:
        return (self.wants + self.asked_back + self.idle) / self.admissions


class Run:
    """One wallet's life."""

    def __init__(self, folder: Path, nodes: int, seed: int) -> None:
        self._rng = random.Random(seed)
        # one alone is one of two, of which the other has no calls: a node has a sized lease
        self.pair = Pair(folder, of=max(2, nodes), first=FIRST_NODE)
        self.pair.do("grant.create", to="Ada", plan="tools", amount_nanos=20 * kit.CREDIT)
        self.pair.talk()
        self._nodes = nodes
        self._asked_back = self._idle = self._admissions = 0
        for worker in self.pair.workers:
            worker.ask_back = self._counted(worker.ask_back)  # type: ignore[method-assign]

    def _counted(self, heard: Any) -> Any:
        def ask_back(asked: Any) -> None:
            self._asked_back += 1
            heard(asked)

        return ask_back

    def live(self) -> Figures:
        """Calls until one is denied."""
        pair, numbers = self.pair, itertools.count()
        events: list[tuple[int, int, Call | None]] = [(at, next(numbers), None) for at in self._arrivals()]
        idle_at = pair.now + LEASE_IDLE_SECONDS * MICROS_PER_SECOND
        while True:
            at, _, ending = heapq.heappop(events)
            while at >= idle_at:
                pair.now = idle_at
                self._return_idle()
                idle_at += LEASE_IDLE_SECONDS * MICROS_PER_SECOND
            pair.now = at
            if ending is not None:
                ending.settle(input=0, output=round(ACTUAL * ending.hold.bound_nanos / kit.OUT_NANOS))
                pair.talk()
                continue
            if not events[0:1]:
                raise AssertionError("the wallet outlived its calls")
            call = self._call()
            if not isinstance(call.answer, HotHold):
                return self._figures()
            self._admissions += 1
            heapq.heappush(events, (at + CALL_SECONDS * MICROS_PER_SECOND, next(numbers), call))

    def _arrivals(self) -> Iterator[int]:
        at = float(self.pair.now)
        for _ in range(40_000):
            at += self._rng.expovariate(CALLS_A_SECOND) * MICROS_PER_SECOND
            yield int(at)

    def _call(self) -> Call:
        worst = self._rng.uniform(WORST_NANOS / 2, 3 * WORST_NANOS / 2)
        return self.pair.call(
            self._rng.randrange(self._nodes), output_cap_tokens=int((worst - INPUT_NANOS) / kit.OUT_NANOS)
        )

    def _return_idle(self) -> None:
        for worker in self.pair.workers:
            parts = worker.sized.idle()
            if parts:
                self._idle += 1
                worker.spending.returned(parts)
        self.pair.talk()

    def _figures(self) -> Figures:
        pair = self.pair
        lots = pair.rows(
            "SELECT coalesce(sum(amount_nanos - held_nanos - suspense_nanos - spent_nanos), 0) FROM lots JOIN lot_values ON lot_id = id"
            f" WHERE wallet_id IN ({kit.ADA}, {kit.POOL})"
        )
        wants = sum(worker.sized.want_count for worker in pair.workers)
        pair.prove()
        return Figures(self._admissions, wants, self._asked_back, self._idle, lots[0][0] / (120 * kit.CREDIT))


async def run(nodes: int, seed: int) -> Figures:
    """One seed."""
    with tempfile.TemporaryDirectory() as folder:
        return Run(Path(folder), nodes, seed).live()


def main() -> int:
    """Measures, prints a table, and says whether the bar holds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="One seed, and up to 16 nodes.")
    parser.add_argument("--seeds", type=int, default=5, help="So many lives of the wallet each.")
    parser.add_argument("--nodes", type=int, nargs="+", default=NODES, help="How many nodes there are.")
    parser.add_argument("--json", type=Path, help="Where to write the figures.")
    given = parser.parse_args()
    seeds, sizes = (range(1), NODES[:3]) if given.quick else (range(given.seeds), given.nodes)
    rows, holds = [], True
    print("| nodes | admissions | trips per admission | wants | asked back | idle | free at the first denial |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for nodes in sizes:
        found = [asyncio.run(run(nodes, seed)) for seed in seeds]
        each = {name: mean(getattr(one, name) for one in found) for name in (*Figures._fields, "trips")}
        rows.append({"nodes": nodes, "seeds": len(found), **each})
        holds &= nodes not in BARRED or each["trips"] <= BAR
        print(
            f"| {nodes} | {each['admissions']:.0f} | {each['trips']:.3f} | {each['wants']:.0f} | {each['asked_back']:.0f} "
            f"| {each['idle']:.0f} | {100 * each['stranded']:.2f} % |",
            flush=True,
        )
    if any(nodes in BARRED for nodes in sizes):
        print(f"the bar of {BAR} at {BARRED[0]} to {BARRED[-1]} nodes is {'met' if holds else 'NOT met'}")
    if given.json is not None:
        given.json.write_text(json.dumps({"bar": BAR, "rows": rows}, indent=2) + "\n")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
