"""Windows of calendar days and the like, found once for all limits that are alike: thousands of wallets of a plan turn at the same instant."""

from collections.abc import Sequence
from typing import Final
from zoneinfo import ZoneInfo

from tokenroll.engine.limiting import Window, window_at
from tokenroll.model.instant import Instant
from tokenroll.model.limit import WindowKind
from tokenroll.model.pay_cycle import PayCalendar

_REMEMBERED: Final = frozenset({WindowKind.DAY, WindowKind.WEEK})
_KNOWN_MAX: Final = 1024
"""Kinds times zones that are remembered; there are a few."""
_KNOWN: Final[dict[tuple[str, str], Window]] = {}


def window_of(
    kind: WindowKind, seconds: int, now: Instant, zone: ZoneInfo, calendars: Sequence[PayCalendar] = ()
) -> Window:
    """What `engine.limiting.window_at` says, which is so for every instant from the window's start until it turns."""
    # a cycle depends on calendars, the others are found at once (and hours may overlap where clocks are put back by half of one)
    if kind not in _REMEMBERED:
        return window_at(kind, seconds, now, zone, calendars)
    place = (kind.value, zone.key)
    known = _KNOWN.get(place)
    if known is None or not known.start_at <= now < known.turns_at:
        if len(_KNOWN) >= _KNOWN_MAX:
            _KNOWN.clear()
        known = _KNOWN[place] = window_at(kind, seconds, now, zone, calendars)
    return known
