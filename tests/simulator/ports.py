"""The world's ports: time, a disk that loses what was not synced, and a network that delays, cuts and doubles. One seed decides all."""

import asyncio
import heapq
import os
import random
import struct
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.simulator.rates import SECOND, Rates
from tokenroll.store.tape import MAGIC, KernelDisk

__all__ = ["SECOND", "Agenda", "Died", "Event", "FaultyDisk", "Host", "Loop", "Wire"]

_BLOCK_HEAD = struct.Struct("<8xQI")
"""Of a tape's block: its first sequence and its number of records."""


class Died(BaseException):
    """The process is gone in the middle of what it did. Nothing of the product may catch it."""


class Event:
    """Something that will happen, unless it is cancelled before."""

    __slots__ = ("arguments", "callback", "loop")

    def __init__(self, callback: Callable[..., Any], arguments: tuple[Any, ...], loop: "Loop | None") -> None:
        self.callback: Callable[..., Any] | None = callback
        self.arguments = arguments
        self.loop = loop

    def cancel(self) -> None:
        """It will not happen."""
        self.callback = None


class Agenda:
    """What will happen when. One event at a time, in an order that the seed alone decides."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.events = 0
        self.said: deque[bytes] = deque(maxlen=300)
        """Reports and wants that were sent of late, whoever heard them: a line may say one of them again much later."""
        self._count = 0
        self._heap: list[tuple[int, int, int, Event]] = []
        """When, when it was to be, and in which order it was told: what a process that stood still does late, it does in the old order."""

    def at(self, when: int, callback: Callable[..., Any], *arguments: Any, loop: "Loop | None" = None) -> Event:
        """`callback` at that instant, or at once when it has passed; not if its process is dead by then."""
        event = Event(callback, arguments, loop)
        self._count += 1
        when = max(when, self.now)
        heapq.heappush(self._heap, (when, when, self._count, event))
        return event

    def after(self, micros: int, callback: Callable[..., Any], *arguments: Any, loop: "Loop | None" = None) -> Event:
        """The same in so many micros."""
        return self.at(self.now + micros, callback, *arguments, loop=loop)

    def next(self) -> Event | None:
        """The next event, at whose instant it is now; None: nothing will ever happen again."""
        while self._heap:
            when, at, count, event = heapq.heappop(self._heap)
            loop = event.loop
            if event.callback is None or (loop is not None and loop.is_dead):
                continue
            if loop is not None and when < loop.stalled_until:
                heapq.heappush(self._heap, (loop.stalled_until, at, count, event))
                continue
            self.now = max(self.now, when)
            self.events += 1
            return event
        return None


class Loop:
    """As much of an event loop as the product asks for, for one process. A dead process's callbacks are never called."""

    def __init__(self, agenda: Agenda) -> None:
        self.agenda = agenda
        self.is_dead = False
        self.stalled_until = 0
        self.dies: Callable[[], None] = lambda: None
        """What the world does when its process dies in the middle of an event."""

    def call_soon(self, callback: Callable[..., Any], *arguments: Any) -> Event:
        """See asyncio."""
        return self.agenda.after(0, callback, *arguments, loop=self)

    call_soon_threadsafe = call_soon

    def call_later(self, seconds: float, callback: Callable[..., Any], *arguments: Any) -> Event:
        """See asyncio."""
        return self.agenda.after(int(seconds * 1_000_000), callback, *arguments, loop=self)

    def time(self) -> float:
        """See asyncio."""
        return self.agenda.now / 1_000_000


class Host:
    """A machine: its wall clock, its boot, and whether its disk works."""

    def __init__(self, agenda: Agenda) -> None:
        self.agenda = agenda
        self.skew = 0
        self.boots = 1

    @property
    def boot_id(self) -> bytes:
        """Sixteen bytes that are others after a loss of power."""
        return self.boots.to_bytes(16, "big")

    def clock(self) -> int:
        """What its wall clock shows, which is nobody else's business."""
        return self.agenda.now + self.skew


class FaultyDisk(KernelDisk):
    """Real files in memory; what of them is on stable storage is kept apart. Errors, deaths and lies come at the rates of the run."""

    def __init__(self, rng: random.Random, rates: Rates) -> None:
        self.rng = rng
        self.rates = rates
        self._paths: dict[int, Path] = {}
        self.sizes: dict[Path, int] = {}
        self._synced: dict[Path, int] = {}
        self._named: set[Path] = set()
        self._blocks: dict[Path, list[tuple[int, int]]] = {}
        """By file: where each whole block ends, and the sequence of its last record."""

    def _fate(self) -> None:
        rates, draw = self.rates, self.rng.random()
        if draw < rates.disk_deaths:
            raise Died
        if draw < rates.disk_deaths + rates.disk_errors:
            raise OSError(28, "No space left on device")

    def open_append(self, path: Path) -> int:
        descriptor = super().open_append(path)
        self._paths[descriptor] = path
        if path not in self.sizes:
            self.sizes[path] = self._synced[path] = 0
            self._blocks[path] = []
        return descriptor

    def write(self, descriptor: int, data: bytes) -> None:
        path = self._paths[descriptor]
        try:
            self._fate()
        except (Died, OSError):
            part = data[: self.rng.randrange(len(data))]
            os.write(descriptor, part)
            self.sizes[path] += len(part)
            raise
        os.write(descriptor, data)
        self.sizes[path] += len(data)
        if not data.startswith(MAGIC):
            first, count = _BLOCK_HEAD.unpack_from(data)
            self._blocks[path].append((self.sizes[path], first + count - 1))
        if self.rng.random() < self.rates.disk_deaths:
            raise Died

    def sync(self, descriptor: int) -> None:
        self._fate()
        path = self._paths[descriptor]
        if self.rng.random() >= self.rates.lost_syncs:
            self._synced[path] = self.sizes[path]

    def cut(self, path: Path, size: int) -> None:
        self._fate()
        os.truncate(path, size)
        self._keep(path, size)
        self._synced[path] = size

    def sync_directory(self, path: Path) -> None:
        self._fate()
        self._named.update(one for one in self.sizes if one.parent == path)

    def close(self, descriptor: int) -> None:
        if self._paths.pop(descriptor, None) is not None:
            os.close(descriptor)

    def close_all(self) -> None:
        """What dead processes left open."""
        for descriptor in list(self._paths):
            self.close(descriptor)

    def _keep(self, path: Path, size: int) -> None:
        self.sizes[path] = size
        self._blocks[path] = [one for one in self._blocks[path] if one[0] <= size]

    def lose_power(self) -> None:
        """What was not synced is gone from some byte on, or is zeros from there; so are names that were not synced."""
        for path, synced in self._synced.items():
            if not path.exists():
                continue
            if path not in self._named:
                path.unlink()
                self._keep(path, 0)
                continue
            if self.sizes[path] > synced:
                self._lose_tail(path, synced, self.sizes[path])
            self._synced[path] = self.sizes[path]

    def _lose_tail(self, path: Path, synced: int, size: int) -> None:
        kept = self.rng.randint(synced, size)
        lost = path.read_bytes()[kept:]
        os.truncate(path, kept)
        if not kept or self.rates.lost_syncs or self.rng.random() < 0.7:
            self._keep(path, kept)
            return
        # a length that reached the disk before its data did: zeros, which may be what was there
        os.truncate(path, size)
        self._keep(path, kept + len(lost) - len(lost.lstrip(b"\0")))
        self.sizes[path] = size

    def survived(self, directory: Path, epoch: int) -> int:
        """The last sequence of an epoch that can be read back: whole blocks from the first on, nothing torn before them."""
        last = 0
        for path in sorted(self._blocks):
            if path.parent == directory and path.name.startswith(f"{epoch:08d}-") and path.exists():
                last = max([last, *(sequence for _, sequence in self._blocks[path])])
        return last


class Wire(asyncio.Transport):
    """One connection to the ledger: bytes in both directions, in order, late, in pieces, until it is cut or a side closes it.

    Within a connection nothing is lost or overtaken, as on a socket; what is on the way when it ends may or may not arrive.
    """

    def __init__(
        self, agenda: Agenda, rng: random.Random, rates: Rates, protocol: asyncio.Protocol, ledger_loop: Loop, peer: Any, peer_loop: Loop,
        is_dying: Callable[[], bool], overhear: Callable[[Any, bytes], None],
    ) -> None:  # fmt: skip
        super().__init__()
        self._agenda = agenda
        self._rng = rng
        self._rates = rates
        self._protocol: Any = protocol
        self._peer = peer
        self._ledger_loop = ledger_loop
        self._peer_loop = peer_loop
        self._is_dying = is_dying
        self._overhear = overhear
        """What becomes of loans is judged when it is said."""
        self._up_at = self._down_at = 0
        self.held_until = 0
        """Bytes written before then arrive after then: a partition that heals before anybody gave up."""
        self.is_up = self.is_down = True
        """Whether the ledger still hears the peer, and the peer the ledger."""
        self._protocol.connection_made(self)

    def _delay(self) -> int:
        return 1 + int(self._rng.expovariate(1) * self._rates.delay_micros)

    def write(self, data: Any) -> None:
        """The ledger says something. A ledger that dies in this very moment has said nothing."""
        if self._is_dying() or not self.is_down:
            return
        if b"lacking" in data[:24] or b"ask_back" in data[:24]:
            self._overhear(self._peer, data)
        self._down_at = max(self._down_at, self._agenda.now + self._delay(), self.held_until)
        self._agenda.at(self._down_at, self._deliver_down, bytes(data), loop=self._peer_loop)

    def send(self, data: bytes) -> None:
        """The peer says something; now and then in two pieces, now and then a message that may be repeated twice."""
        rng = self._rng
        pieces = [data]
        if b"report" in data[:24] or b"want" in data[:24]:
            self._agenda.said.append(data)
        if rng.random() < 0.1 and len(data) > 1:
            middle = rng.randrange(1, len(data))
            pieces = [data[:middle], data[middle:]]
        if rng.random() < self._rates.frame_doubles and any(
            tag in data[:24] for tag in (b"report", b"applied", b"command")
        ):
            pieces.append(data)
        for piece in pieces:
            self._up_at = max(self._up_at, self._agenda.now + self._delay(), self.held_until)
            self._agenda.at(self._up_at, self._deliver_up, piece, loop=self._ledger_loop)

    def _deliver_up(self, data: bytes) -> None:
        if self.is_up:
            self._protocol.data_received(data)

    def _deliver_down(self, data: bytes) -> None:
        if self.is_down:
            self._peer.heard(self, data)

    def close(self) -> None:
        """The ledger's side ends it: what it wrote still arrives, and nothing is heard any more."""
        if self.is_up:
            self.is_up = False
            self._down_at = max(self._down_at, self._agenda.now + self._delay())
            self._agenda.at(self._down_at, self._lose_down, loop=self._peer_loop)
            self._agenda.after(0, self._protocol.connection_lost, None, loop=self._ledger_loop)

    def cut(self, *, peer_died: bool = False) -> None:
        """The line is gone, or its peer is. Each side notices by itself, and what was on the way up may still come."""
        if peer_died or self._rng.random() < 0.5:
            self._up_at = max(self._up_at, self._agenda.now + self._delay())
        else:
            self.is_up = False
            self._up_at = self._agenda.now + self._delay() * self._rng.randint(1, 50)
        self.is_down = False
        self._agenda.at(self._up_at, self._lose_up, loop=self._ledger_loop)
        if not peer_died:
            self._agenda.after(self._delay(), self._peer_lost, loop=self._peer_loop)

    def ledger_died(self) -> None:
        """Whatever it had written may still arrive; then the peer hears that nobody is there."""
        self.is_up = False
        if self._rng.random() < 0.5:
            self.is_down = False
        self._down_at = max(self._down_at, self._agenda.now + self._delay())
        self._agenda.at(self._down_at, self._lose_down, loop=self._peer_loop)

    def _lose_up(self) -> None:
        self.is_up = False
        self._protocol.connection_lost(None)

    def _lose_down(self) -> None:
        self.is_down = False
        self._peer_lost()

    def _peer_lost(self) -> None:
        self._peer.lost(self)
