"""Every planted bug is found within a few seeds; one that is not is a defect of the simulator."""

import pytest

from tests.simulator.__main__ import memory_folder
from tests.simulator.mutants import PLANTED, Planted, caught
from tests.simulator.overage_mutants import OVERAGE

SEEDS = range(1, 30)
EVENTS = 2_000
FOUND_SOON = {
    "drop a tape record": (2, 400),
    "drop a block of a report": (1, 400),
    "go on behind a torn block": (1, 400),
    "send before the hold is durable": (8, 1000),
    "send without DISPATCHED": (1, 400),
    "do not sync": (3, 400),
    "fold twice": (1, 400),
    "reorder the fold": (1, 400),
    "skip the epoch check": (23, 2000),
    "acknowledge too much": (1, 400),
    "forget suspense": (3, 400),
    "free a lapsed lease": (3, 400),
    "leave a dead life's holds": (3, 400),
    "lease what is in suspense": (1, 400),
    "forget first answers": (1, 400),
    "unlink the chain": (1, 400),
    "trust the ledger's wall clock": (4, 400),
    "decide suspense at once": (1, 400),
    "decide suspense at the bound": (1, 400),
    "release what was sent": (6, 400),
    "ignore the kernel's boot": (3, 400),
    "leave a torn tail": (9, 400),
    "tell nothing of earlier lives": (8, 400),
    "shrink a hold": (7, 400),
    "admit what is not there": (5, 400),
    "settle twice": (1, 400),
    "keep the tail": (1, 400),
    "refund an abort": (1, 400),
    "draw what has expired": (10, 2000),
    "draw what has not vested": (2, 400),
    "draw the newest lot first": (1, 400),
    "trust the worker's wall clock": (11, 1000),
    "owe recalls nothing": (3, 1000),
    "forget the clients' call ids": (7, 400),
    "forget folded call ids": (3, 400),
    "free a dead life's claims at once": (13, 2000),
    "claim in memory alone": (7, 400),
    "give back a claim that was used": (3, 400),
    "give no claim back": (7, 400),
    "keep claims that are folded": (3, 400),
    "keep revoked keys": (8, 400),
    "true no limit up": (9, 1000),
    "skip a delta": (4, 400),
    "lend and keep": (3, 400),
    "lend the same want twice": (9, 400),
    "lend to a life that is over": (14, 2000),
    "lend the newest lot first": (3, 400),
    "lend less than is needed": (5, 400),
    "forget returns": (3, 400),
    "return no shares": (17, 2000),
    "share more than the whole": (3, 400),
    "share what dead lives used": (17, 2000),
    "round shares up": (43, 2000),
    "deny before the others returned": (4, 400),
    "wait for nobody's return": (4, 400),
    "deny what was not asked for": (4, 400),
    "believe what no want lacked": (5, 1500),
    "deny whoever's time is over": (4, 1500),
    "return what is held": (3, 400),
    "return and keep": (3, 400),
    "return nothing that lies idle": (5, 400),
    "take a loan twice": (3, 400),
    "end no lease": (4, 400),
    "give tails to the ledger": (3, 400),
    "give suspense to its worker": (3, 400),
    "settle suspense at the worker, too": (8, 400),
    "count what others resolve": (22, 1000),
    "delete a tape that is not folded": (26, 2000),
    "carry anew in each life": (39, 400),
    "count nothing that the company carries": (3, 400),
    "tell nobody what the company carries after all": (3, 400),
}
"""By bug: a seed that finds it soon, and in how many events. Where it no longer does, the others are tried."""


@pytest.mark.parametrize("bug", PLANTED + OVERAGE, ids=[bug.name for bug in PLANTED + OVERAGE])
def test_it_catches(bug: Planted):
    seed, events = FOUND_SOON.get(bug.name, (SEEDS[0], EVENTS))
    with memory_folder() as place:
        assert caught(bug, place, range(seed, seed + 1), events) or caught(bug, place, SEEDS, EVENTS)
