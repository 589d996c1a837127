"""Alerting: which thresholds a subject has passed, given which of them it is known to be above."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tokenroll.model.alert import AlertKind
from tokenroll.model.instant import Instant


class Passing(NamedTuple):
    """One threshold passed, one way."""

    threshold_percent: int
    kind: AlertKind


def is_above(used: int, allowance: int, threshold_percent: int) -> bool:
    """Whether so many percent are used; of nothing, nothing is."""
    return allowance > 0 and used * 100 >= allowance * threshold_percent


def passings(
    known: Mapping[int, Instant], used: int, allowance: int, window_start_at: Instant, thresholds: Iterable[int]
) -> list[Passing]:
    """What is news: `known` are the thresholds it is above, and in which window that was told.

    One that is above again in a new window is told again: it had recovered when the window turned. A threshold that nobody asks
    about any more recovers in silence.
    """
    found = []
    for percent in sorted(thresholds):
        above = is_above(used, allowance, percent)
        if above and known.get(percent) != window_start_at:
            found.append(Passing(percent, AlertKind.CROSSED))
        elif not above and percent in known:
            found.append(Passing(percent, AlertKind.RECOVERED))
    return found
