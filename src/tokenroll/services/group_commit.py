"""Group commit: one write, and under `synced` one fdatasync, for every hold that came in meanwhile. On demand, without a timer.

A hold is durable before its call is sent (DESIGN §4 law 6), so every call passes here; while the disk works, the next group
gathers. The only thread is the one that waits for the disk: it writes and syncs one group at a time, and the loop writes nothing
while it does, so blocks reach the file in the order in which they were taken.
"""

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from tokenroll.services.clock import Clock
from tokenroll.services.hot import HotHold
from tokenroll.store.tape import Durability, TapeWriter


class Waiter(Protocol):
    """A call on its way out. All methods are called on the loop's thread."""

    hold: HotHold

    def find_connection(self) -> None:
        """Its HOLD survives what the durability promises, or will by the write that precedes `on_dispatched`; nothing is sent yet.

        With a connection at hand it calls `dispatch` at once, else dials first.
        """

    def on_dispatched(self) -> None:
        """Its DISPATCHED is written: the first byte may go out, now."""

    def on_commit_failed(self, error: OSError) -> None:
        """The tape cannot be written: nothing was or will be sent."""

    def on_fault(self, error: Exception) -> None:
        """`find_connection` or `on_dispatched` raised: it ends by itself, so that those behind it in the group are heard."""


_TURN_BYTES: Final = 256 * 1024
"""Bodies of so many bytes together do not wait for the end of the turn: a share of what a processor keeps near itself."""


class GroupCommit:
    """Owns the writing of one tape.

    `after_dispatch` is called when a whole group has heard `on_dispatched`, so that what it sends can go out together.
    `on_block` gets every block after it is written (the worker reports it to the ledger); `append_dispatched` appends one
    DISPATCHED record for the holds given. After a failed write or sync nothing is ever written again: what lies behind a torn block
    cannot be read back, so going on would lose calls; the worker answers 503 until it is started anew.
    """

    __slots__ = (
        "_after_dispatch", "_append_dispatched", "_body_bytes", "_busy", "_clock", "_disk_thread", "_dispatching", "_done", "_idle_seconds", "_jobs", "_later", "_loop",
        "_on_block", "_on_failure", "_scheduled", "_synced", "_tape", "_turning", "_waiters", "failure",
    )  # fmt: skip

    def __init__(
        self,
        tape: TapeWriter,
        durability: Durability,
        loop: asyncio.AbstractEventLoop,
        *,
        clock: Clock,
        append_dispatched: Callable[[list[HotHold]], None],
        after_dispatch: Callable[[], None],
        on_block: Callable[[bytes], None],
        on_failure: Callable[[OSError], None],
        idle_seconds: float = 0.0,
    ) -> None:
        self._tape = tape
        self._synced = durability is Durability.SYNCED
        self._loop = loop
        self._clock = clock
        self._append_dispatched = append_dispatched
        self._after_dispatch = after_dispatch
        self._on_block = on_block
        self._on_failure = on_failure
        self._idle_seconds = idle_seconds
        """How long a settlement or evidence may wait for the next hold's write; a crash meanwhile leaves its call in suspense."""
        self._later = False
        self._body_bytes = 0
        """Of the waiters' bodies, as far as they were told."""
        self._waiters: list[Waiter] = []
        self._dispatching: list[Waiter] = []
        self._busy = False
        self._scheduled = False
        self._turning = False
        self.failure: OSError | None = None
        self._jobs: queue.SimpleQueue[tuple[list[bytes], list[Waiter]] | None] = queue.SimpleQueue()
        self._done: deque[tuple[list[bytes], list[Waiter], OSError | None]] = deque()
        """What the thread has written and the loop has not heard of: one group at most."""
        self._disk_thread: threading.Thread | None = None
        if self._synced:
            self._disk_thread = threading.Thread(target=self._work, name="tape", daemon=True)
            self._disk_thread.start()

    @property
    def waiting_count(self) -> int:
        """How many waiters go out with the next turn."""
        return len(self._waiters)

    def hold_ready(self, waiter: Waiter, *, alone: bool = False, body_bytes: int = 0) -> None:
        """The waiter's HOLD is appended; it hears `find_connection` when the hold is durable.

        `alone`: others are not expected in this turn of the loop, so that nothing is gained by waiting for them; under `written` the
        waiter may hear it, and `on_dispatched` or `on_commit_failed`, before this returns. So it may when the `body_bytes` of those
        that wait are many: sent now, bodies are still in the processor's caches, and the next ones take their place there.
        """
        self._waiters.append(waiter)
        self._body_bytes += body_bytes
        if not self._synced and (
            (alone and not self._scheduled) or (self._body_bytes >= _TURN_BYTES and not self._turning)
        ):
            self._turn()
        else:
            self._next_turn()

    def dispatch(self, waiter: Waiter) -> None:
        """The waiter has a connection; it hears `on_dispatched` when its DISPATCHED is written.

        Its hold must be durable. Called from `find_connection`, all holds of the group share one record and one write.
        """
        self._dispatching.append(waiter)
        self._next_turn()

    def withdraw(self, waiter: Waiter) -> bool:
        """Whether a waiter that was to be dispatched is not: no DISPATCHED was written, and none will be."""
        if waiter not in self._dispatching:
            return False
        self._dispatching.remove(waiter)
        return True

    def soon(self) -> None:
        """Something was appended (a settlement, evidence): written even though nobody waits, with the next hold or after `idle_seconds`."""
        if not self._idle_seconds:
            self._next_turn()
        elif not self._later and not self._scheduled:
            self._later = True
            self._loop.call_later(self._idle_seconds, self._idle_turn)

    def _idle_turn(self) -> None:
        self._later = False
        if self._tape.has_pending:
            self._next_turn()

    def _next_turn(self) -> None:
        if not self._scheduled and not self._busy:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def close(self) -> None:
        """Everything appended is written and, under `synced`, synced; the thread ends. Blocks for the disk.

        What the thread wrote last is told before anything else is written: `on_block` hears of every block once and in order, also
        when the loop does not turn again. Nobody adds holds afterwards.
        """
        if self._disk_thread is not None:
            self._jobs.put(None)
            self._disk_thread.join()
            self._disk_thread = None
            self._scheduled = True  # what the last waiters dispatch goes out at once: there may be no other turn
            self._synced_back()
            self._scheduled = False
        if self.failure is None and self._tape.has_pending:
            self._write_now()
        if self.failure is None and self._synced:
            try:
                self._tape.sync()
            except OSError as error:
                self._fail(error)

    def _turn(self) -> None:
        """One turn of the wheel: dispatch what is durable, then commit what waits."""
        self._scheduled = False
        self._body_bytes = 0
        if self._busy:
            return
        self._turning = True
        try:
            self._turn_once()
        finally:
            self._turning = False

    def _turn_once(self) -> None:
        if self.failure is not None:
            self._fail(self.failure)
            return
        if self._waiters and not self._synced:
            self._find_connections()
        if self._dispatching and not self._dispatch_all():
            return
        waiters = self._waiters
        if waiters and self._disk_thread is not None:
            self._waiters = []
            self._busy = True
            self._jobs.put((self._take_blocks(), waiters))
        elif self._tape.has_pending:
            self._write_now()

    def _find_connections(self) -> None:
        """Under `written` HOLD and DISPATCHED go into one write: a block is read back whole or not at all, and in its order."""
        waiters = self._waiters
        self._waiters = []
        self._scheduled = True  # what they dispatch goes out in this very turn
        try:
            self._find_all(waiters)
        finally:
            self._scheduled = False

    @staticmethod
    def _find_all(waiters: list[Waiter]) -> None:
        for waiter in waiters:
            try:
                waiter.find_connection()
            except Exception as error:  # noqa: BLE001 - a defect in one call is not the others'
                waiter.on_fault(error)

    def _dispatch_all(self) -> bool:
        going = self._dispatching
        self._dispatching = []
        self._append_dispatched([waiter.hold for waiter in going])
        if not self._write_now():
            self._refuse(going)
            return False
        try:
            for waiter in going:
                try:
                    waiter.on_dispatched()
                except Exception as error:  # noqa: BLE001 - a defect in one call is not the others'
                    waiter.on_fault(error)
        finally:
            self._after_dispatch()
        return True

    def _durable(self, waiters: list[Waiter]) -> None:
        self._find_all(waiters)
        # what they dispatched goes out in this very turn, and what came in meanwhile is committed next
        if self._dispatching or self._waiters or self._tape.has_pending:
            self._turn()

    def _take_blocks(self) -> list[bytes]:
        blocks = []
        while block := self._tape.take_block():
            blocks.append(block)
        return blocks

    def _write_now(self) -> bool:
        """All pending records written from the loop, without a sync; False after a failure."""
        try:
            for block in self._take_blocks():
                self._tape.write(block, self._clock())
                self._on_block(block)
        except OSError as error:
            self._fail(error)
            return False
        return True

    def _work(self) -> None:
        """The disk's thread."""
        while (job := self._jobs.get()) is not None:
            blocks, waiters = job
            error: OSError | None = None
            try:
                for block in blocks:
                    self._tape.write(block, self._clock())
                self._tape.sync()
            except OSError as failed:
                error = failed
            self._done.append((blocks, waiters, error))
            with contextlib.suppress(RuntimeError):  # a loop that is closed already: `close` tells it
                self._loop.call_soon_threadsafe(self._synced_back)

    def _synced_back(self) -> None:
        """The thread's last group is on the disk, or is not; nothing to do when `close` was told first."""
        if not self._done:
            return
        blocks, waiters, error = self._done.popleft()
        self._busy = False
        if error is not None:
            self._refuse_after(waiters, error)
            return
        for block in blocks:
            self._on_block(block)
        self._durable(waiters)

    def _refuse_after(self, waiters: list[Waiter], error: OSError) -> None:
        self._waiters = waiters + self._waiters
        self._fail(error)

    def _fail(self, error: OSError) -> None:
        first = self.failure is None
        self.failure = error
        waiting = self._waiters + self._dispatching
        self._waiters = []
        self._dispatching = []
        if first:
            self._on_failure(error)
        self._refuse(waiting)

    def _refuse(self, waiters: list[Waiter]) -> None:
        assert self.failure is not None
        for waiter in waiters:
            waiter.on_commit_failed(self.failure)
