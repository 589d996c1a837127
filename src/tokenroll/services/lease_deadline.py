"""How long a node's lease counts, by the node's own clock: from before it asked until so long after, if the ledger answered.

No rule compares the clocks of two machines. The ledger counts by its own clock from when it heard, which is later, and takes nothing
back before the node has stopped: both leave a margin (`docs/nodes.md`).
"""

import time
from collections.abc import Callable
from typing import Final

from tokenroll.model.limits import NODE_LEASE_MARGIN_SHARE
from tokenroll.services.protocol import Lease, Message, Renew, Renewed, Welcome

Seconds = Callable[[], float]
"""A clock that only goes on, also while the machine sleeps."""
RENEWED_PER_LEASE: Final = 6
"""How often it is renewed in the time for which it counts: five of these may be lost."""


def seconds_on() -> float:
    """The time since the machine's start, where the system tells it with its sleep; else without."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class LeaseDeadline:
    """One node's. Nothing counts before the ledger has said for how long it does."""

    def __init__(self, clock: Seconds = seconds_on) -> None:
        self._clock = clock
        self._asked: dict[int, float] = {}
        """When questions were asked that are not answered, by number."""
        self._number = 0
        self._welcomed_at = 0.0
        self._next_at = 0.0
        self._until = 0.0
        self._seconds = 0
        self.connected = False
        """Whether there is a line to the ledger."""
        self.on_renewed: Callable[[], None] = _nobody

    @property
    def counts(self) -> bool:
        """Whether the lease may still be spent of."""
        return self._clock() < self._until

    @property
    def is_cut_off(self) -> bool:
        """Whether the ledger can be asked nothing, or has not answered for as long as the lease counts."""
        return not self.connected or not self.counts

    def hear(self, message: Message) -> bool:
        """Whether the message was for this clock alone."""
        if isinstance(message, Welcome):
            self._welcomed_at = self._clock()
        elif isinstance(message, Lease):
            if message.last and message.seconds:
                self._seconds = message.seconds
                self._extend(self._welcomed_at)  # nothing was lent before that
        elif isinstance(message, Renewed):
            asked_at = self._asked.pop(message.number, None)
            if asked_at is not None:
                self._seconds = message.seconds or self._seconds
                self._extend(asked_at)
                self.on_renewed()
            return True
        return False

    def due(self, worker: int, epoch: int) -> Renew | None:
        """What to ask now, if it is time to."""
        now = self._clock()
        if not self._seconds or now < self._next_at:
            return None
        self._next_at = now + self._seconds / RENEWED_PER_LEASE
        self._number += 1
        self._asked[self._number] = now
        return Renew(worker, epoch, self._number)

    def made(self) -> None:
        """A new line: what was asked on the last one nobody will answer."""
        self.connected = True
        self._asked.clear()
        self._next_at = 0.0

    def lost(self) -> None:
        """The line is gone."""
        self.connected = False

    def _extend(self, since: float) -> None:
        self._until = max(self._until, since + self._seconds - self._seconds / NODE_LEASE_MARGIN_SHARE)


def _nobody() -> None:
    """Until somebody wants to know."""
