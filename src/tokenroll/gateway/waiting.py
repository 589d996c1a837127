"""Calls that wait a moment for parallel calls of their wallet to settle, instead of being denied at once (DESIGN §6)."""

from typing import TYPE_CHECKING

from tokenroll.services.hot import Wait

if TYPE_CHECKING:
    from tokenroll.gateway.call import Call


class Waiting:
    """One call's waiting: woken by settlements, ended by the wheel at its time limit."""

    __slots__ = ("_call", "_gateway", "_wait", "closed", "deadline")

    def __init__(self, call: "Call") -> None:
        gateway = call.gateway
        self._call = call
        self._gateway = gateway
        self._wait: Wait | None = None
        self.closed = False
        self.deadline = gateway.wheel.now + gateway.ticks.wait
        gateway.wheel.add(self)
        gateway.metrics.waits += 1

    def begin(self, wait: Wait) -> None:
        """Waits for the wallets that `wait` names; again, after a wake that did not suffice."""
        self._wait = wait
        self._gateway.spending.wait(wait, self._wake)

    def end(self) -> None:
        """No more waiting."""
        self.closed = True
        wait, self._wait = self._wait, None
        if wait is not None:
            self._gateway.spending.forget(wait)

    def _wake(self) -> None:
        self._wait = None
        self._gateway.loop.call_soon(self._try)

    def _try(self) -> None:
        if not self.closed:
            self._call.admit_again(may_wait=True)
            self.closed = not self._call.is_waiting

    def deadline_passed(self) -> None:
        """Long enough: admitted or denied for good."""
        self.end()
        self._call.admit_again(may_wait=False)
