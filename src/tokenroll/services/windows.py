"""Windows of limits, found once for all limits that are alike: thousands of wallets of a plan turn at the same instant."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from tokenroll.engine.limiting import frees_at, window_at
from tokenroll.model.instant import Instant
from tokenroll.model.limit import WindowKind
from tokenroll.model.pay_cycle import PayCalendar

_REMEMBERED: Final = frozenset({WindowKind.DAY, WindowKind.WEEK, WindowKind.ROLLING})
_KNOWN_MAX: Final = 1024
"""Kinds times zones, and lengths of rolling windows, that are remembered; there are a few."""


class HotWindow:
    """What `engine.limiting.window_at` says of every instant from `start_at` until `turns_at`, and when what is counted in it counts no more."""

    __slots__ = ("counted_from", "frees_at", "start_at", "turns_at")

    def __init__(self, start_at: Instant, counted_from: Instant, turns_at: Instant, frees_at: Instant) -> None:
        self.start_at = start_at
        self.counted_from = counted_from
        self.turns_at = turns_at
        self.frees_at = frees_at


NO_WINDOW: Final = HotWindow(-1, -1, 0, 0)
"""Of a limit that has not looked at the clock: it turns at once."""


class Windows:
    """The windows of one kind, length and zone: the newest is remembered."""

    __slots__ = ("_is_remembered", "_kind", "_newest", "_seconds", "_zone")

    def __init__(self, kind: WindowKind, seconds: int, zone: ZoneInfo) -> None:
        self._kind = kind
        self._seconds = seconds
        self._zone = zone
        self._newest = NO_WINDOW
        # a cycle depends on calendars, the others are found at once (and hours may overlap where clocks are put back by half of one)
        self._is_remembered = kind in _REMEMBERED

    def at(self, now: Instant, calendars: Sequence[PayCalendar] = ()) -> HotWindow:
        """The window of an instant."""
        newest = self._newest
        if newest.start_at <= now < newest.turns_at:
            return newest
        found = window_at(self._kind, self._seconds, now, self._zone, calendars)
        start_at, turns_at = found.start_at, found.turns_at
        window = HotWindow(start_at, found.counted_from, turns_at, self.frees_at(start_at, turns_at))
        if self._is_remembered:
            self._newest = window
        return window

    def frees_at(self, start_at: Instant, turns_at: Instant) -> Instant:
        """When what was counted from `start_at` on counts no more, while the window that turns at `turns_at` is the newest."""
        return frees_at(self._kind, self._seconds, start_at, turns_at)


@lru_cache(maxsize=_KNOWN_MAX)
def windows_of(kind: WindowKind, seconds: int, zone: str) -> Windows:
    """The one finder of all limits with such windows. Raises ZoneInfoNotFoundError for a zone that is none."""
    return Windows(kind, seconds, ZoneInfo(zone))
