"""Rounds: what is done again and again beside a ledger, on the loop that owns it, in moments."""

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable

_log = logging.getLogger(__name__)


class Rounds(ABC):
    """A round, a pause, the next round; one that fails is told and made again."""

    name: str
    """What is done in them, in one word, for logs."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins on the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self.name)

    async def close(self) -> None:
        """No more rounds. What a round left to threads is theirs, and nobody listens any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def is_over(self) -> bool:
        """Whether they were begun and closed: then the ledger is closing, too."""
        return self._task is not None and self._task.done()

    @abstractmethod
    def _round(self) -> Iterable[object]:
        """One round, in steps: between two of them the loop does what else waits, for as long as the step took.

        Whatever it raises is told, and does not end the others.
        """

    async def _run(self) -> None:
        while True:
            try:
                started = time.monotonic()
                for _ in self._round():
                    await asyncio.sleep(time.monotonic() - started)
                    started = time.monotonic()
            except Exception:  # noqa: BLE001 - a door: told, and tried again
                _log.exception("%s failed; they are tried again in %s s", self.name, self._seconds)
            await asyncio.sleep(self._seconds)
