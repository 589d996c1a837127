"""How far the ledger may be behind: above that nobody is admitted until it has caught up (DESIGN §5, tape limits).

What is on the tape is safe, so calls go on while the ledger is away. But whoever starts again after a crash first has all of it folded,
and that shall never take long.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from tokenroll.model.limits import UNFOLDED_RECORDS_MAX

_log = logging.getLogger(__name__)

_RESUMED_BELOW: Final = UNFOLDED_RECORDS_MAX * 9 // 10
"""Lower than where it stops, so that a ledger that just keeps up does not stop and start all the time."""
_LOOK_SECONDS: Final = 0.2
BEHIND: Final = (
    f"The ledger has more than {UNFOLDED_RECORDS_MAX:,} records of this gateway still to book, so new calls wait until it has caught up; "
    "try again in a few seconds. Whoever runs the gateway should see that its ledger runs."
)


class Admitting(Protocol):
    """What is paused: a word in `not_ready` says why nobody is admitted."""

    not_ready: str


class Backlog:
    """Looks now and then how many records wait for the ledger, and pauses or resumes admission."""

    def __init__(self, gateway: Admitting, unfolded: Callable[[], int]) -> None:
        self._gateway = gateway
        self._unfolded = unfolded
        self.paused = False

    def look_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Now and five times a second, for as long as the loop runs."""
        self.look()
        loop.call_later(_LOOK_SECONDS, self.look_on, loop)

    def look(self) -> None:
        """Once. Another reason not to admit stands, whatever the ledger does."""
        unfolded = self._unfolded()
        gateway = self._gateway
        if not self.paused and unfolded > UNFOLDED_RECORDS_MAX and not gateway.not_ready:
            self.paused, gateway.not_ready = True, BEHIND
            _log.warning("admission pauses, %s records wait for the ledger", f"{unfolded:,}")
        elif self.paused and unfolded < _RESUMED_BELOW:
            self.paused = False
            if gateway.not_ready == BEHIND:
                gateway.not_ready = ""
            _log.warning("admission goes on, the ledger has caught up")

    def metrics(self) -> Iterable[tuple[str, str, str, float]]:
        """In Prometheus' words."""
        yield "tokenroll_admission_paused", "gauge", 'reason="unfolded_records"', int(self.paused)
        yield "tokenroll_unfolded_records_max", "gauge", "", UNFOLDED_RECORDS_MAX
