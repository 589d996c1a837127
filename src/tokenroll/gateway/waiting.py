"""Calls that wait a moment for parallel calls of their wallet to settle, for a pace, or for a word of the ledger (DESIGN §6).

It says what it lends, and whether a call of the name that a client gave was sent by another worker.
"""

import asyncio
from typing import TYPE_CHECKING

from tokenroll.model.instant import MICROS_PER_SECOND
from tokenroll.services.hot import HotWallet, Wait

if TYPE_CHECKING:
    from tokenroll.gateway.call import Call


class Waiting:
    """One call's waiting: woken by settlements and by the turn of a window, ended by the wheel at its time limit."""

    __slots__ = (
        "_asked", "_call", "_client", "_gateway", "_has_place", "_lacked", "_timer", "_wait", "_wallet", "closed", "deadline",
    )  # fmt: skip

    def __init__(self, call: "Call", wallet: HotWallet) -> None:
        gateway = call.gateway
        self._call = call
        self._gateway = gateway
        self._wait: Wait | None = None
        self._asked: Wait | None = None
        """For what the ledger was asked in vain."""
        self._lacked: Wait | None = None
        """Likewise, the last time of all."""
        self._client: tuple[int, str] | None = None
        """What was claimed at the ledger for it."""
        self._wallet = wallet
        self._has_place = False
        """At one of several workers: whether it is one of those that wait for what calls of its wallet hold, also while it asks again."""
        self._timer: asyncio.TimerHandle | None = None
        self.closed = False
        self.deadline = gateway.wheel.now + gateway.ticks.wait
        gateway.wheel.add(self)
        gateway.metrics.waits += 1

    def begin(self, wait: Wait) -> None:
        """Waits for the wallets or the limit that `wait` names; again, after a wake that did not suffice."""
        gateway = self._gateway
        self._wait = wait
        self._client = wait.client or self._client
        gateway.spending.wait(wait, self._wake)
        if wait.until:
            sized = gateway.spending.sized
            if sized is not None and wait.wallets and not self._has_place:
                self._has_place = True
                sized.take_place(self._wallet)
            seconds = max(0, wait.until - gateway.clock()) / MICROS_PER_SECOND
            self._timer = gateway.loop.call_later(seconds, self._until)

    def end(self) -> None:
        """No more waiting: the call is over."""
        self.closed = True
        self._leave()
        self._drop()

    def _drop(self) -> None:
        self._give_up_place()
        if self._client is not None:
            self._gateway.spending.drop_claim(self._client)

    def _give_up_place(self) -> None:
        sized = self._gateway.spending.sized
        if sized is not None and self._has_place:
            self._has_place = False
            sized.give_up_place(self._wallet)

    def _may_wait(self) -> bool:
        """Whether it may wait for what calls hold: at a worker alone it was seen when it came, here when the ledger has no more to lend."""
        sized = self._gateway.spending.sized
        return sized is None or self._has_place or sized.has_place(self._wallet)

    def _leave(self) -> None:
        """No place in a queue, and no timer."""
        wait, self._wait = self._wait, None
        if wait is not None:
            self._gateway.spending.forget(wait)
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _until(self) -> None:
        self._leave()
        self._try()

    def _wake(self) -> None:
        wait = self._wait
        self._asked = wait if wait is not None and wait.lacked else None
        self._lacked = self._asked or self._lacked
        self._leave()
        self._gateway.loop.call_soon(self._try)

    def _try(self) -> None:
        if not self.closed:
            asked, self._asked = self._asked, None
            self._call.admit_again(may_wait=self._may_wait(), asked=asked)
            self.closed = not self._call.is_waiting
            if self.closed:
                self._drop()

    def deadline_passed(self) -> None:
        """Long enough: admitted or denied for good."""
        # woken and not tried yet: what it was lent may be another's by now, which says nothing of what there is
        asked = self._wait or Wait(asks=[])
        asked.lacked_before = self._lacked
        self.closed = True
        self._leave()
        self._give_up_place()
        self._call.admit_again(may_wait=False, asked=asked)
        if not self._call.is_waiting:
            self._drop()
