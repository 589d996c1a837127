"""One coarse clock for the deadlines of all connections: one timer of the loop, none per connection, none per call.

Setting a deadline is one attribute assignment (`connection.deadline = wheel.now + ticks`). Every connection is looked at every
few ticks, so a deadline may be kept a few ticks late; it is never kept early.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

_SLOTS: Final = 8


class Timed(Protocol):
    """A thing with a deadline. `deadline` is in ticks, 0 for none; `closed` things are forgotten."""

    deadline: int
    closed: bool

    def deadline_passed(self) -> None:
        """Told when `deadline` has come; it closes itself or sets another."""


class Wheel:
    """Everything that has a deadline. `now` counts ticks and is read without a call."""

    __slots__ = ("_handle", "_loop", "_on_tick", "_slots", "now", "tick_seconds")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, tick_seconds: float, on_tick: Callable[[], None] | None = None
    ) -> None:
        self.now = 1
        self.tick_seconds = tick_seconds
        self._loop = loop
        self._on_tick = on_tick
        self._slots: list[list[Timed]] = [[] for _ in range(_SLOTS)]
        self._handle: asyncio.TimerHandle | None = None

    def ticks(self, seconds: float) -> int:
        """The ticks that surely cover `seconds`: rounded up, and one more because the present tick has begun."""
        return -int(-seconds // self.tick_seconds) + 1

    def start(self) -> None:
        """Ticks from now on, until `stop`."""
        self._handle = self._loop.call_later(self.tick_seconds, self._tick)

    def stop(self) -> None:
        """No tick after this."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def add(self, item: Timed) -> None:
        """`item` is looked at from the next tick on, until it is closed."""
        self._slots[(self.now + 1) % _SLOTS].append(item)

    def _tick(self) -> None:
        self._handle = self._loop.call_later(self.tick_seconds, self._tick)
        self.now = now = self.now + 1
        index = now % _SLOTS
        items = self._slots[index]
        self._slots[index] = []
        for item in items:
            if item.closed:
                continue
            deadline = item.deadline
            if 0 < deadline <= now:
                item.deadline_passed()
                deadline = item.deadline  # a closed one is dropped when it is met again
            wait = deadline - now if deadline else _SLOTS - 1
            self._slots[(now + max(1, min(wait, _SLOTS - 1))) % _SLOTS].append(item)
        if self._on_tick is not None:
            self._on_tick()
