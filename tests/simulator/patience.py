"""A call at the door of a worker, and its waiting: for parallel calls, and for what the ledger may lend."""

from typing import TYPE_CHECKING, Any

from tests.simulator.reference import must
from tokenroll.model.limits import WAITING_CALLS_MAX
from tokenroll.services.hot import Wait

if TYPE_CHECKING:
    from tests.simulator.denials import Said
    from tests.simulator.gateway import Worker

TRIES_MAX = 2_000


class Patience:
    """A call at the door, from its first admission to its answer. It waits as the gateway's calls do (gateway/waiting.py)."""

    def __init__(self, worker: "Worker", key: tuple[int, bytes, int], size: tuple[int, int], client: str) -> None:
        self.worker = worker
        self.key = key
        self.size = size
        self.client = client
        self.claim: tuple[int, str] | None = None
        """What it waited for the ledger's word on: what its client named it."""
        self.wait: Wait | None = None
        self.asked: Wait | None = None
        self.lacked: Wait | None = None
        self.said: Said | None = None
        """What there was when the ledger said last that there is not so much."""
        self.lacked_money = False
        """Whether that was less than the call lacked then."""
        self.is_late = False
        self._timer: Any = None
        self._deadline: Any = None
        self._tries = 0

    def attempt(self, asked: Wait | None = None, *, may_wait: bool = True) -> None:
        """Admitted, denied, or to wait."""
        self._tries += 1
        must(self._tries < TRIES_MAX, "a call was tried %d times", self._tries)
        has_room = self._deadline is not None or len(self.worker.waiting) < WAITING_CALLS_MAX
        may_wait = may_wait and has_room and self.worker.world.rates.patient
        answer, wait = self.worker.admit(self, asked, may_wait=may_wait)
        if wait is None:
            self._end()
            self.worker.world.told(answer)
            return
        if self._deadline is None:
            self.worker.world.told(answer)
            self.worker.waiting.add(self)
            patience = 1 + self.worker.world.rng.random() * 5
            self._deadline = self.worker.loop.call_later(patience, self._deadline_passed)
        self.wait = wait
        self.claim = wait.client or self.claim
        self.worker.spending.wait(wait, self._wake)
        if wait.until:
            seconds = max(0, wait.until - self.worker.host.clock()) / 1_000_000
            self._timer = self.worker.loop.call_later(seconds, self._until)

    def _leave(self) -> None:
        wait, self.wait = self.wait, None
        if wait is not None:
            self.worker.spending.forget(wait)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._leave()
        if self.claim is not None:
            self.worker.spending.drop_claim(self.claim)
        if self._deadline is not None:
            self._deadline.cancel()
            self.worker.waiting.discard(self)

    def _until(self) -> None:
        self._leave()
        self._try()

    def _wake(self) -> None:
        wait = self.wait
        self.asked = wait if wait is not None and wait.lacked else None
        if self.asked is not None and self.asked.client is None:
            self.lacked = self.asked
            self.said = self.worker.said
            self.lacked_money = self.said is not None and self.worker.lacks(self, self.said)
        self._leave()
        self.worker.loop.call_soon(self._try)

    def _try(self) -> None:
        if not self.is_late and self in self.worker.waiting:
            asked, self.asked = self.asked, None
            self.attempt(asked)

    def _deadline_passed(self) -> None:
        """Long enough: admitted or denied for good."""
        asked = self.wait or Wait(asks=[])
        asked.lacked_before = self.lacked
        self._leave()
        self.is_late = True
        self.attempt(asked, may_wait=False)
