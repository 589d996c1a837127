"""Sampling: which past periods a future one is like, and how much each of them counts.

A period's distribution is the weighted one of past periods: those at the same place of recent seasons, halved in weight with every
season further back, those of the same weekday in past weeks, and near each of these their neighbours. It is the seasonal
non-parametric forecaster of Rangapuram et al. ("Deep Non-Parametric Time Series Forecaster", arXiv 2312.14657, section 2) with
quantiles taken exactly in place of draws, and with neighbours. Bursty series full of zeros defeat models with a trend or an
additive season; a median of what was does not care (docs/decisions/0116).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

WEIGHT_MIN: Final = 0.005
"""Seasons whose weight is smaller than this are left out: they move no quantile that anybody asks for."""
CELLS_MAX: Final = 4_000_000
"""Samples looked at in one go, which bounds memory at about 200 MB however many series there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """How much a past period counts for a future one; times are counted in periods.

    `season` periods make a season, whose weight falls by `decay` with each step back. With a `cycle` (a week of seasons) the same
    place of past cycles counts `cycle_weight` at first and falls by `cycle_decay`. A neighbour counts `neighbour_decay` for each
    period that it lies off, up to `neighbours` of them.
    """

    season: int
    decay: float
    neighbours: int = 0
    neighbour_decay: float = 0.5
    cycle: int = 0
    cycle_weight: float = 0.5
    cycle_decay: float = 0.5
    level_periods: int

    def __post_init__(self) -> None:
        if self.season < 1 or self.neighbours < 0 or self.cycle < 0 or self.level_periods < 1:
            raise ValueError(f"a kernel counts in whole periods: {self}")
        if not (0 < self.decay < 1 and 0 < self.cycle_decay < 1 and 0 < self.neighbour_decay <= 1):
            raise ValueError(f"weights of a kernel fall: {self}")


HOURLY: Final = Kernel(season=24, decay=0.5, neighbours=2, cycle=168, level_periods=168)
"""Hours: the same hour of recent days and of the same weekday, two hours around."""
DAILY: Final = Kernel(season=1, decay=0.8, cycle=7, cycle_weight=2.0, cycle_decay=0.8, level_periods=28)
"""Days: the same weekday of recent weeks in two thirds of the weight, and any day of late in the rest."""
WEEKDAYS: Final = Kernel(season=1, decay=0.8, cycle=7, cycle_weight=8.0, cycle_decay=0.9, level_periods=28)
"""Days of which many weeks are known: nearly the same weekday alone, since by then a Sunday says what a Sunday is."""
WEEKDAYS_DAYS_MIN: Final = 56
"""Days of history from which weekdays are known well enough to go by them: with fewer, bands of weekdays alone hold too little."""


def daily_kernel(day_count: int) -> Kernel:
    """The kernel for days of which so many are known."""
    return WEEKDAYS if day_count >= WEEKDAYS_DAYS_MIN else DAILY


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """What the weighted past says of each future period: quantiles (probability × series × period) and the mean."""

    quantiles: Floats
    mean: Floats


def sampled(
    history: Floats, kernel: Kernel, horizon: int, probabilities: Sequence[float], off: Flags | None = None
) -> Sampled:
    """The distribution of each of the next `horizon` periods of each series.

    A period that is not known (NaN: before somebody joined) counts nothing. `off` says of each period of history and horizon whether
    nobody works; then like is compared with like, and a period off that has no like is zero.
    """
    places, weights = _places(history.shape[1], kernel, horizon, off)
    parts = list(_in_parts(history, places, weights, probabilities))
    if not parts:
        return Sampled(quantiles=np.zeros((len(probabilities), 0, horizon)), mean=np.zeros((0, horizon)))
    return Sampled(
        quantiles=np.concatenate([quantiles for quantiles, _ in parts], axis=1),
        mean=np.concatenate([mean for _, mean in parts]),
    )


def levels(history: Floats, kernel: Kernel) -> Floats:
    """What a period of each series has brought of late, on average: its scale in everything that is pooled over series."""
    late = history[:, -kernel.level_periods :]
    known = ~np.isnan(late)
    sums = np.where(known, late, 0.0).sum(1)
    return np.asarray(sums / np.maximum(known.sum(1), 1), np.float64)


def _places(count: int, kernel: Kernel, horizon: int, off: Flags | None) -> tuple[NDArray[np.int64], Floats]:
    """Where the samples of each future period lie (sample × period), and their weights; 0 where there is nothing to look at."""
    steps = np.arange(horizon)
    target = count + steps
    families = [(kernel.season, 1.0, kernel.decay)]
    if kernel.cycle:
        families.append((kernel.cycle, kernel.cycle_weight, kernel.cycle_decay))
    places, weights = [], []
    for lag, first, decay in families:
        nearest = steps // lag + 1
        weight = first
        for back in range(count // lag + 1):
            if weight < WEIGHT_MIN:
                break
            for offset in range(-kernel.neighbours, kernel.neighbours + 1):
                places.append(target - lag * (nearest + back) + offset)
                weights.append(np.full(horizon, weight * kernel.neighbour_decay ** abs(offset)))
            weight *= decay
    where, heavy = np.stack(places), np.stack(weights)
    known = (where >= 0) & (where < count)
    where = np.where(known, where, 0)
    if off is not None:
        alike = known & (off[where] == off[target])
        found = alike.any(0)
        known = np.where(found | off[target], alike, known)
    return where, np.where(known, heavy, 0.0)


def _in_parts(
    history: Floats, places: NDArray[np.int64], weights: Floats, probabilities: Sequence[float]
) -> Iterator[tuple[Floats, Floats]]:
    """Quantiles and means of so many series at a time as fit."""
    rows = max(1, CELLS_MAX // places.size)
    for start in range(0, len(history), rows):
        values = np.moveaxis(history[start : start + rows][:, places], 1, 0)
        heavy = np.where(np.isnan(values), 0.0, weights[:, None, :])
        values = np.where(heavy > 0, values, 0.0)
        total = heavy.sum(0)
        mean = (values * heavy).sum(0) / np.where(total > 0, total, 1.0)
        values = np.where(heavy > 0, values, values.max(0))
        yield weighted_quantiles(values, heavy, probabilities), mean


def weighted_quantiles(values: Floats, weights: Floats, probabilities: Sequence[float]) -> Floats:
    """Quantiles along the first axis, interpolated between the middles of the weights, never beyond what was seen."""
    order = np.argsort(values, axis=0, kind="stable")
    values = np.take_along_axis(values, order, 0)
    weights = np.take_along_axis(weights, order, 0)
    total = weights.sum(0)
    middles = (np.cumsum(weights, axis=0) - weights / 2) / np.where(total > 0, total, 1.0)
    found = []
    for probability in probabilities:
        after = np.clip((middles < probability).sum(0), 1, len(values) - 1)[None] if len(values) > 1 else None
        if after is None:
            found.append(values[0])
            continue
        low, high = np.take_along_axis(middles, after - 1, 0)[0], np.take_along_axis(middles, after, 0)[0]
        lower, upper = np.take_along_axis(values, after - 1, 0)[0], np.take_along_axis(values, after, 0)[0]
        share = np.clip((probability - low) / np.where(high > low, high - low, 1.0), 0.0, 1.0)
        found.append(lower + share * (upper - lower))
    return np.stack(found)
