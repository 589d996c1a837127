"""Days that do not fit: spend far above what its own history makes likely.

Robust on purpose: the middle is a median and the width a median of distances, so one wild day neither hides itself nor makes the
next one look wild. Days are compared with the same weekday where there are enough of them. A call whose meter cannot be right is
another thing (`broken_meters.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import Final, NamedTuple

ALARM_WIDTHS: Final = 6.0
"""Widths above the middle from which a day is told: of days that are distributed normally, one in some two million is."""
WEEKDAYS_MIN: Final = 5
HISTORY_DAYS_MIN: Final = 10
"""Fewer days than this have no usual: nothing is told."""
LEAST_NANOS: Final = 1_000_000_000
"""A day within one unit of currency of its usual is never told, however still the days before it were."""
_WIDTH_OF_NORMAL: Final = 1.4826
"""Makes the median of distances the standard deviation where days are distributed normally."""


class SpendDay(NamedTuple):
    """A day and what was spent on it, in nanos."""

    on: date
    nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusualDay:
    """A day far above its usual: what it cost, what days like it cost in the middle, and how many widths lie between."""

    on: date
    nanos: int
    usual_nanos: int
    widths: float


def unusual_days(days: Sequence[SpendDay]) -> tuple[UnusualDay, ...]:
    """The days far above what the days before them make likely, in order; each is judged by its past alone."""
    found = []
    for place, day in enumerate(days):
        past = days[:place]
        if len(past) < HISTORY_DAYS_MIN:
            continue
        alike = [one.nanos for one in past if one.on.weekday() == day.on.weekday()]
        history = alike if len(alike) >= WEEKDAYS_MIN else [one.nanos for one in past]
        usual = median(history)
        width = _WIDTH_OF_NORMAL * median(abs(nanos - usual) for nanos in history)
        floor = max(width, usual / 4, LEAST_NANOS / ALARM_WIDTHS)
        widths = (day.nanos - usual) / floor
        if widths >= ALARM_WIDTHS:
            found.append(UnusualDay(on=day.on, nanos=day.nanos, usual_nanos=round(usual), widths=round(widths, 1)))
    return tuple(found)
