"""Connections spread over the workers of one machine: all take from one listening socket, each no more than its share.

Left to the kernel whoever wakes first takes everything that waits, and of 64 connections one of two workers had 62. A socket for each
worker would be worse: what waits at one that is dead or stands still waits for as long as it does. So they keep the one queue, each
says on a page that all of them share how many connections it has, and who has its share already leaves the next ones to the others.
Nobody waits for one that does not come: after `LEFT_SECONDS_MAX` they are taken all the same.
"""

import asyncio
import mmap
import os
import socket
import struct
import sys
import tempfile
from collections.abc import Callable
from typing import Final

LEFT_SECONDS_MAX: Final = 0.01
"""How long connections are left to others that have fewer: a turn of a busy worker takes a few thousandths of a second."""
_LOOK_SECONDS: Final = 0.001
"""Between two looks at what was left to others."""
_TELL_SECONDS: Final = 0.2
"""A worker that runs says so this often, so that one which was busy for a moment is soon waited for again."""
_PAUSE_SECONDS: Final = 0.1
"""Until the next try, when the system has no descriptor left."""
TAKEN_AT_ONCE_MAX: Final = 64
"""Connections of one turn: calls under way wait for no more than so many."""
_NOT_ADMITTING: Final = 1 << 32
"""A worker that would refuse every call counts as one with so many connections: whoever admits has fewer."""
_NUMBER_BYTES: Final = 8
_UNACKED: Final = struct.Struct("24xI")
"""Of `struct tcp_info`; of a listening socket it is how many connections wait to be taken."""


def attendance_page(workers: int) -> int:
    """A descriptor of memory for so many workers, to hand down to each. It lives for as long as its processes, and nothing of it in a file."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("tokenroll-attendance")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, _size(workers))
    return descriptor


def _size(workers: int) -> int:
    """Two numbers of each, and who took last."""
    return (2 * workers + 1) * _NUMBER_BYTES


class Attendance:
    """How many connections each worker of this machine has. Each writes its own count and reads all.

    Beside it stands how often it was written: whoever is waited for in vain is not waited for again until it says something new. So
    a page that begins with zeros, a worker that was killed and one that is stopped need no care of anybody.
    """

    def __init__(self, page: int, workers: int, own: int) -> None:
        self._slots = memoryview(mmap.mmap(page, _size(workers))).cast("q")
        self._last = 2 * workers
        self._own = own
        self._others = [number for number in range(workers) if number != own]
        self._passed_over: dict[int, int] = {}

    def tell(self, count: int) -> None:
        """This worker has so many."""
        self._slots[2 * self._own] = count
        self._slots[2 * self._own + 1] += 1

    def due(self, waiting: int) -> int:
        """So many of those that wait are this worker's to take: up to its share of all there are, its own as it told them last.

        What cannot be shared evenly is for anybody but the one that took last: so clients that come one by one come to each in turn.
        """
        own = self._slots[2 * self._own]
        total = own + waiting
        sharing = 1
        for number in self._others:
            count = self._slots[2 * number]
            if count >= _NOT_ADMITTING > own:
                continue  # it takes none, and the others share as if it were not there
            if self._passed_over.get(number) != self._slots[2 * number + 1]:
                total += count
                sharing += 1
        share, rest = divmod(total, sharing)
        if rest and self._slots[self._last] != self._own + 1:
            share += 1
        return min(waiting, share - own)

    def took(self) -> None:
        """This worker took one."""
        self._slots[self._last] = self._own + 1

    def said(self) -> list[int]:
        """How often each of the others has told its count."""
        return [self._slots[2 * number + 1] for number in self._others]

    def pass_over(self, said: list[int]) -> None:
        """Those of the others that have told nothing since are not waited for."""
        self._passed_over.update(zip(self._others, said, strict=True))


class Acceptor:
    """Takes this worker's share of the connections that come to a socket of several workers. `take` makes a protocol for each.

    `count` says how many connections this worker has, `admits` whether it would serve a call.
    """

    def __init__(
        self,
        listening: socket.socket,
        attendance: Attendance,
        take: Callable[[], asyncio.Protocol],
        count: Callable[[], int],
        admits: Callable[[], bool],
    ) -> None:
        self._listening = listening
        self._attendance = attendance
        self._take = take
        self._count = count
        self._admits = admits
        self._loop = asyncio.get_running_loop()
        self._coming: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        """While it does not look by itself as soon as somebody waits."""
        self._telling: asyncio.TimerHandle | None = None
        self._said: list[int] = []
        self._left_until = 0.0

    def start(self) -> None:
        """From now on."""
        self._listening.setblocking(False)
        self._keep_telling()
        self._loop.add_reader(self._listening, self._look)

    async def close(self) -> None:
        """No more: who still waits is the others' to take, or a later life's. Those that were taken are there."""
        if self._timer is None:
            self._loop.remove_reader(self._listening)
        else:
            self._timer.cancel()
        if self._telling is not None:
            self._telling.cancel()
        self._listening.close()
        await asyncio.gather(*self._coming)

    def tell(self) -> None:
        """The others learn how many connections there are now."""
        self._attendance.tell(self._count() + len(self._coming) if self._admits() else _NOT_ADMITTING)

    def _keep_telling(self) -> None:
        self.tell()
        self._telling = self._loop.call_later(_TELL_SECONDS, self._keep_telling)

    def _look(self) -> None:
        pause_seconds = self._take_due()
        if pause_seconds:
            if self._timer is None:
                self._loop.remove_reader(self._listening)
            self._timer = self._loop.call_later(pause_seconds, self._look)
        elif self._timer is not None:
            self._timer = None
            self._loop.add_reader(self._listening, self._look)

    def _take_due(self) -> float:
        """Takes what is this worker's to take. Seconds until it is to look again; 0: as soon as somebody waits."""
        self.tell()
        waiting = _waiting(self._listening)
        if not waiting:
            if self._timer is not None:
                return 0.0
            waiting = 1  # somebody came, whatever the system says; others may have been quicker
        due = self._attendance.due(waiting)
        if due <= 0:
            self._leave()
            return _LOOK_SECONDS
        try:
            for _ in range(min(due, TAKEN_AT_ONCE_MAX)):
                self._accept()
        except BlockingIOError:
            pass  # others were quicker
        except OSError:  # no descriptor is left, or this one connection failed before it was taken
            return _PAUSE_SECONDS
        finally:
            self.tell()
        return 0.0

    def _leave(self) -> None:
        """Somebody waits who is for others to take; those of them that tell nothing for long enough are not waited for."""
        now = self._loop.time()
        if now < self._left_until:
            return
        if now < self._left_until + LEFT_SECONDS_MAX:
            self._attendance.pass_over(self._said)
        self._said = self._attendance.said()
        self._left_until = now + LEFT_SECONDS_MAX

    def _accept(self) -> None:
        connection, _ = self._listening.accept()
        self._attendance.took()
        connection.setblocking(False)
        coming = self._loop.create_task(self._serve(connection))
        self._coming.add(coming)
        coming.add_done_callback(self._coming.discard)

    async def _serve(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._take, connection)
        except OSError:  # it is gone already
            connection.close()


def _waiting(listening: socket.socket) -> int:
    """How many connections wait to be taken; 1 where the system does not tell, and 0 from a Linux that is none but for its name."""
    if sys.platform != "linux":
        return 1
    told = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED.size)
    waiting: int = _UNACKED.unpack(told)[0] if len(told) == _UNACKED.size else 0
    return waiting
