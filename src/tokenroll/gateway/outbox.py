"""What one turn of the loop sends, sent together at its end.

Every answer used to be written where it was made, so that the kernel's network code and ours took turns in the processor's caches,
call by call. Made first and sent together, a call costs a third less CPU time at full load. When little is to be sent there is
nothing to send it together with, and it goes out where it is made.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from tokenroll.model.limits import OUTBOX_BYTES_MAX

_RATE_WRITES: Final = 64
"""The rate is taken over so many writes."""
_CROWD_WRITES_PER_SECOND: Final = 10_000
"""More than this is gathered: a turn of the loop then holds several calls."""
_BUSY_SHARE: Final = 0.75
"""A loop that computes more of its time gathers, too: few writes a second are many when each is of a large body."""


class Outbox:
    """Bytes on their way to clients and providers, in order. Whoever ends a connection in its own time flushes first.

    `gathers` says whether they wait for the end of the turn, which they do while there are many or the loop is busy.
    `busy_seconds` is the CPU time of the loop's thread.
    """

    __slots__ = ("_busy_seconds", "_bytes", "_loop", "_rated_at", "_rated_busy", "_unrated", "_waiting", "gathers")

    def __init__(self, loop: asyncio.AbstractEventLoop, busy_seconds: Callable[[], float] = time.thread_time) -> None:
        self.gathers = False
        self._loop = loop
        self._unrated = _RATE_WRITES
        self._busy_seconds = busy_seconds
        self._rated_at = loop.time()
        self._rated_busy = 0.0
        self._bytes = 0
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Sent now when there is little to send, else when the callbacks of this turn are done, by the next `flush`, or when much waits.

        Never sent when the connection ends before.
        """
        self._unrated -= 1
        if not self._unrated:
            self._rate()
        waiting = self._waiting
        if not self.gathers and not waiting:
            self._send(transport, data)
            return
        if not waiting:
            self._loop.call_soon(self.flush)
        waiting.append((transport, data))
        self._bytes += len(data)
        if self._bytes > OUTBOX_BYTES_MAX:
            self.flush()

    def flush(self) -> None:
        """Everything goes to the kernel now."""
        waiting = self._waiting
        if not waiting:
            return
        self._waiting = []
        self._bytes = 0
        for transport, data in waiting:
            self._send(transport, data)

    def _send(self, transport: asyncio.Transport, data: bytes) -> None:
        if not transport.is_closing():
            try:
                transport.write(data)
            except Exception as error:  # noqa: BLE001 - one connection's trouble must not take the others' bytes
                transport.abort()
                self._loop.call_exception_handler({"message": "a write failed", "exception": error})

    def _rate(self) -> None:
        """By the loop's own time, which is that of its turn: milliseconds are fine enough, and it costs nothing."""
        now, busy = self._loop.time(), self._busy_seconds()
        passed = now - self._rated_at
        is_busy = busy - self._rated_busy > passed * _BUSY_SHARE
        self.gathers = is_busy or passed * _CROWD_WRITES_PER_SECOND < _RATE_WRITES
        self._rated_at = now
        self._rated_busy = busy
        self._unrated = _RATE_WRITES

    def close(self, transport: asyncio.Transport) -> None:
        """The connection ends after all that was written."""
        self.flush()
        transport.close()
