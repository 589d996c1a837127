"""The alert desk: looks at thresholds now and then, and sends what is due, beside a ledger that it never keeps waiting.

What it reads and notes it does on the ledger's own loop, in moments; what it sends it sends in threads, one for each destination, so
that a slow receiver delays its own messages only.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tokenroll.model.instant import Instant
from tokenroll.model.limits import ALERT_CHANGES_MAX, ALERT_SECONDS
from tokenroll.services import alerting
from tokenroll.services.alert_sending import send
from tokenroll.services.alert_watch import AlertWatch
from tokenroll.services.alerting import Outcome
from tokenroll.services.ledger import Ledger
from tokenroll.services.protocol import Command
from tokenroll.services.rounds import Rounds
from tokenroll.settings import AlertSettings

_log = logging.getLogger(__name__)


class _Due(NamedTuple):
    message_id: int
    public_id: str
    destination: str
    told: dict[str, Any]


class AlertDesk(Rounds):
    """See the module. A message that is on its way when it closes is sent again by the next ledger, under the same id."""

    name = "alerts"

    def __init__(self, ledger: Ledger, settings: AlertSettings, *, seconds: float = ALERT_SECONDS) -> None:
        super().__init__(seconds)
        self._ledger = ledger
        self._settings = settings
        self._watch = AlertWatch(settings.thresholds)
        self._sending: set[str] = set()

    def _round(self) -> Iterator[int]:
        yield from self._looks()
        self._send_due()

    def look(self) -> int:
        """Notes what passed a threshold since the last look. How much that is."""
        return sum(self._looks())

    def _looks(self) -> Iterator[int]:
        """The same in parts, and of each how much was noted."""
        ledger = self._ledger
        try:
            for changes in self._watch.changes(ledger.connection, ledger.open_raises, ledger.now):
                for start in range(0, len(changes), ALERT_CHANGES_MAX):
                    yield self._note(changes[start : start + ALERT_CHANGES_MAX])
                yield 0
        except Exception:
            ledger.connection.rollback()
            raise

    def _note(self, changes: list[dict[str, Any]]) -> int:
        ledger = self._ledger
        names = [one.name for one in self._settings.destinations]
        command = Command(
            id=f"alerts-{ledger.last_seq}", name="alert.note", arguments={"changes": changes, "destinations": names}
        )
        reply = ledger.execute(command)
        if reply.result is None:
            raise RuntimeError(reply.problem)
        noted: int = reply.result["noted_count"]
        return noted

    def _send_due(self) -> None:
        """A thread for each destination that has something due and is not being sent to already."""
        loop = asyncio.get_running_loop()
        parts: dict[str, list[_Due]] = {}
        for one in self.due():
            if one.destination not in self._sending:
                parts.setdefault(one.destination, []).append(one)
        now = self._ledger.now()
        for destination, messages in parts.items():
            self._sending.add(destination)
            threading.Thread(
                target=_send_all, args=(self._settings, messages, now, _to_loop(loop, self._sent, destination)), daemon=True,
                name=f"alerts-{destination}",
            ).start()  # fmt: skip

    def due(self) -> list[_Due]:
        """Messages to be tried now."""
        ledger = self._ledger
        rows = alerting.due(ledger.connection, ledger.now())
        found = [
            _Due(row.id, row.public_id, row.destination, alerting.alert_told(ledger.connection, row, row.alert))
            for row in rows
        ]
        ledger.connection.rollback()
        return found

    def _sent(self, destination: str, outcomes: list[Outcome]) -> None:
        self._sending.discard(destination)
        if self.is_over:
            return
        alerting.note_outcomes(self._ledger.connection, outcomes, self._ledger.now())
        for one in outcomes:
            if one.error:
                _log.warning("an alert to %s was not delivered: %s", destination, one.error)


def _to_loop(
    loop: asyncio.AbstractEventLoop, sent: Callable[[str, list[Outcome]], None], destination: str
) -> Callable[[list[Outcome]], None]:
    def tell(outcomes: list[Outcome]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(sent, destination, outcomes)

    return tell


def _send_all(
    settings: AlertSettings, messages: list[_Due], now: Instant, tell: Callable[[list[Outcome]], None]
) -> None:
    """Oldest first; after one that cannot be delivered the others wait for the next round, because it fails for all alike."""
    outcomes = []
    for one in messages:
        outcome = send(settings, one.destination, one.public_id, one.told, now)._replace(message_id=one.message_id)
        outcomes.append(outcome)
        if outcome.error and not outcome.final:
            break
    tell(outcomes)
