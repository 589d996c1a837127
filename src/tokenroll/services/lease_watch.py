"""The lease watch: which nodes have been silent for longer than their leases count, by the ledger's own clock that only goes on.

It counts looks, not the hour: a ledger that stood still has looked once, and hears what waited for it before it looks again. So it may
take a lease back late, and never early; a ledger that was started anew begins to count then. So it counts the hours after which it
gives a node up, too: by the hour of the day only what an earlier start of it has seen.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from tokenroll.model.instant import MICROS_PER_SECOND
from tokenroll.model.limits import (
    NODE_LEASE_MARGIN_SHARE,
    NODE_LEASE_SECONDS,
    NODE_WORKER_MIN,
    SUSPENSE_SECONDS_MAX,
)
from tokenroll.services.ledger import GIVE_UP, Ledger
from tokenroll.services.protocol import Command

_LOOKS: Final = 60
"""In the time for which a lease counts."""
_NANOS: Final = 1_000_000_000

_log = logging.getLogger(__name__)


class LeaseWatch:
    """Takes back the leases of nodes that are away; `reclaimed` is told of each."""

    def __init__(self, ledger: Ledger, reclaimed: Callable[[int], None], seconds: int = NODE_LEASE_SECONDS) -> None:
        self._ledger = ledger
        self._reclaimed = reclaimed
        self.seconds = seconds
        """How long a node's lease counts that is not renewed."""
        self._silent: dict[int, float] = {}
        self._looked = 0.0
        """Seconds, since this watch began."""
        self._away: dict[int, tuple[float, float]] = {}
        """Of nodes that are away: when that was seen, in seconds looked, and how long it was so by then."""
        self._nodes: dict[int, str] = {}
        """Which node spoke for a worker last, since this watch began."""

    def seconds_for(self, worker: int) -> int:
        """How long a worker's lease counts; 0: for ever, for it is beside the ledger and its tape is there."""
        return self.seconds if worker >= NODE_WORKER_MIN else 0

    def spoken_for(self, worker: int, node: str) -> None:
        """A node of that name speaks for a worker: so it is called when it is away."""
        self._nodes[worker] = node

    def _called(self, worker: int) -> str:
        node = self._nodes.get(worker)
        return f"worker {worker}" if node is None else f"node {node} (worker {worker})"

    def heard(self, worker: int) -> None:
        """A word of a worker: whatever it is, nothing is taken back for as long again."""
        self._silent[worker] = 0.0

    def look(self, seconds: float) -> None:
        """So long after the last look."""
        self._looked += seconds
        most = self.seconds + self.seconds / NODE_LEASE_MARGIN_SHARE
        for worker in self._ledger.lessees:
            if worker < NODE_WORKER_MIN:
                continue
            silent = self._silent[worker] = self._silent.get(worker, 0.0) + seconds
            if silent > most:
                nanos = self._ledger.reclaim(worker) or 0
                self._away[worker] = self._looked, 0.0
                _log.warning(
                    "%s is away since %.0f s: what it was lent, %.6f credits, is in suspense until it is back",
                    self._called(worker), silent, nanos / _NANOS,
                )  # fmt: skip
                self._reclaimed(worker)

    def give_up(self) -> None:
        """Nobody waits any longer for nodes that are away for as long as anything may be in suspense (law 4)."""
        away, now = self._ledger.away(), self._ledger.now()
        self._away = {worker: known for worker, known in self._away.items() if worker in away}
        for worker, since in away.items():
            seen, before = self._away.setdefault(worker, (self._looked, (now - since) / MICROS_PER_SECOND))
            looked = self._looked - seen
            if looked >= self.seconds and before + looked >= SUSPENSE_SECONDS_MAX:  # who lives has come by then
                hours = SUSPENSE_SECONDS_MAX // 3600
                _log.warning("%s is given up: nobody heard of it for %d h", self._called(worker), hours)
                self._ledger.execute(Command(id=f"give-up-{worker}-{now}", name=GIVE_UP, arguments={"worker": worker}))

    async def run(self) -> None:
        """Looks for as long as the ledger is served."""
        pause = self.seconds / _LOOKS
        while True:
            await asyncio.sleep(pause)
            self.look(pause)

    def told(self, workers: list[dict[str, Any]]) -> None:
        """To each of the ledger's workers: how long its lease counts on, as far as the ledger knows."""
        for one in workers:
            known = one["worker"] >= NODE_WORKER_MIN and one["worker"] in self._ledger.lessees
            silent = self._silent.get(one["worker"], 0.0)
            one["lease_seconds_left"] = max(0, round(self.seconds - silent)) if known else None
