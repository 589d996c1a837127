"""Group commit: one write, and under `synced` one fdatasync, for every hold that came in meanwhile. On demand, without a timer.

A hold is durable before its call is sent (DESIGN §4 law 6), so every call passes here; while the disk works, the next group gathers.
The only thread is the one that waits for the disk.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Protocol

from tokenroll.services.clock import Clock
from tokenroll.services.hot import HotHold
from tokenroll.store.tape import Durability, TapeWriter


class Waiter(Protocol):
    """A call on its way out. All four are used on the loop's thread only."""

    hold: HotHold

    def on_durable(self) -> None:
        """Its HOLD survives what the durability promises. With a connection at hand it calls `dispatch(self)` at once, else dials first."""

    def on_dispatched(self) -> None:
        """Its DISPATCHED is written: the first byte may go out, now."""

    def on_commit_failed(self, error: OSError) -> None:
        """The tape cannot be written: nothing was or will be sent."""


class GroupCommit:
    """Owns the writing of one tape.

    `on_block` gets every block after it is written (the worker reports it to the ledger); `append_dispatched` appends one DISPATCHED
    record for the holds given. After a failed write or sync nothing is ever written again: what lies behind a torn block cannot be
    read back, so pretending to go on would lose calls; the worker answers 503 until it is started anew.
    """

    __slots__ = (
        "_append_dispatched", "_busy", "_clock", "_dispatching", "_jobs", "_loop", "_on_block", "_on_failure", "_scheduled",
        "_synced", "_tape", "_thread", "_unsynced", "_waiters", "failure",
    )  # fmt: skip

    def __init__(
        self,
        tape: TapeWriter,
        durability: Durability,
        loop: asyncio.AbstractEventLoop,
        *,
        clock: Clock,
        append_dispatched: Callable[[list[HotHold]], None],
        on_block: Callable[[bytes], None],
        on_failure: Callable[[OSError], None],
    ) -> None:
        self._tape = tape
        self._synced = durability is Durability.SYNCED
        self._loop = loop
        self._clock = clock
        self._append_dispatched = append_dispatched
        self._on_block = on_block
        self._on_failure = on_failure
        self._waiters: list[Waiter] = []
        self._dispatching: list[Waiter] = []
        self._busy = False
        self._scheduled = False
        self._unsynced = False
        self.failure: OSError | None = None
        self._jobs: queue.SimpleQueue[tuple[list[bytes], list[Waiter]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def hold_ready(self, waiter: Waiter) -> None:
        """The waiter's HOLD is appended; it hears `on_durable` when the hold is."""
        raise NotImplementedError

    def dispatch(self, waiter: Waiter) -> None:
        """The waiter has a connection; it hears `on_dispatched` when its DISPATCHED is written (never before its hold is durable)."""
        raise NotImplementedError

    def soon(self) -> None:
        """Something was appended (a settlement, evidence): written at the loop's next turn even though nobody waits."""
        raise NotImplementedError

    def close(self) -> None:
        """Everything appended is written and, under `synced`, synced; the thread ends. Blocks for the disk."""
        raise NotImplementedError
