"""What one turn of the loop sends, sent together at its end.

Every answer used to be written where it was made, so that the kernel's network code and ours took turns in the processor's caches,
call by call. Made first and sent together, a call costs a third less CPU time at full load. When little is to be sent there is
nothing to send it together with, and it goes out where it is made.
"""

import asyncio
from typing import Final

from tokenroll.model.limits import OUTBOX_BYTES_MAX

_RATE_WRITES: Final = 64
"""The rate is taken over so many writes."""
_CROWD_WRITES_PER_SECOND: Final = 10_000
"""More than this is gathered: a turn of the loop then holds several calls."""


class Outbox:
    """Bytes on their way to clients and providers, in order. Whoever ends a connection in its own time flushes first.

    `gathers` says whether they wait for the end of the turn, which they do while there are many.
    """

    __slots__ = ("_bytes", "_loop", "_rated_at", "_unrated", "_waiting", "gathers")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.gathers = False
        self._loop = loop
        self._unrated = _RATE_WRITES
        self._rated_at = loop.time()
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
        now = self._loop.time()
        self.gathers = (now - self._rated_at) * _CROWD_WRITES_PER_SECOND < _RATE_WRITES
        self._rated_at = now
        self._unrated = _RATE_WRITES

    def close(self, transport: asyncio.Transport) -> None:
        """The connection ends after all that was written."""
        self.flush()
        transport.close()
