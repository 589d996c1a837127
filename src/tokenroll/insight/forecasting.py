"""Forecasting: what many series bring in the periods to come, with intervals that keep what they say.

The point is a median, which loses least in absolute error; beside it stands what is expected, a mean, because money adds up over
people and periods and medians do not. Intervals are those of the sampled past, moved by what they would have missed at past
origins, pooled over all series (conformalised quantiles: Romano, Patterson, Candès, "Conformalized Quantile Regression", NeurIPS
2019; recent origins weigh more: Barber, Candès, Ramdas, Tibshirani, "Conformal prediction beyond exchangeability", 2023). One series
has too few periods to know its own tails, so all share them, each in its own scale (docs/decisions/0116).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from tokenroll.insight.sampling import Flags, Floats, Kernel, levels, sampled

ORIGINS: Final = 8
"""Past origins that intervals are calibrated at."""
ORIGIN_DECAY: Final = 0.8
"""What an origin weighs of the one after it."""
TAILS_MIN: Final = 80
"""Misses of totals below which both tails are as wide as either: two in each tail of 95 percent are the least that know them apart."""
SPARSE_SHARE: Final = 0.9
"""A series with more zeros than this is forecast by a rate: where hardly anything happens no place in the week is better known."""
SPARSE_DECAY: Final = 0.98
"""What a period weighs of the one after it in that rate."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Band:
    """Where the value lies with a chance of `level` percent: for each period (series × period) and for the total of all (series).

    With a chance of zero that is large enough it begins at zero and is not central.
    """

    level: int
    lower: Floats
    upper: Floats
    total_lower: Floats
    total_upper: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forecast:
    """What is to come (series × period): an estimate, never an amount of the ledger.

    `point` is the median of a period; `expected` its mean, whose sums over periods and series are the ones to budget by. Without
    `origins` (too little history) bands are what the past alone says, not calibrated.
    """

    method: str
    point: Floats
    expected: Floats
    bands: tuple[Band, ...]
    origins: int

    @property
    def total_expected(self) -> Floats:
        """What each series is expected to bring in all periods together."""
        return np.asarray(self.expected.sum(1), np.float64)

    def band(self, level: int) -> Band:
        """The band of a level; KeyError where it was not asked for."""
        found = {band.level: band for band in self.bands}
        return found[level]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Guess:
    """What a model says before it is calibrated: quantiles (bottom, …, median, …, top) in the order of `probabilities(levels)`."""

    quantiles: Floats
    expected: Floats
    scale: Floats
    level: Floats


def checked(history: Floats, horizon: int, bands: Sequence[int], off: Flags | None = None) -> Floats:
    """A history as floats; ValueError for what cannot be one."""
    values = np.asarray(history, np.float64)
    if values.ndim != 2 or values.shape[1] < 1:
        raise ValueError(f"a history is series × periods, not {values.shape}")
    if np.isinf(values).any() or (values < 0).any():
        raise ValueError("a history is finite and not negative")
    if horizon < 1:
        raise ValueError(f"a horizon is at least one period, not {horizon}")
    if list(bands) != sorted(set(bands)) or not all(0 < band < 100 for band in bands):
        raise ValueError(f"levels ascend between 0 and 100 percent: {list(bands)}")
    if off is not None and off.shape != (values.shape[1] + horizon,):
        raise ValueError(f"periods off are told for history and horizon: {values.shape[1] + horizon}, not {off.shape}")
    return values


def probabilities(bands: Sequence[int]) -> list[float]:
    """The quantiles of these bands and the median, ascending."""
    tails = [(100 - band) / 200 for band in reversed(bands)]
    return [*tails, 0.5, *(1 - tail for tail in reversed(tails))]


def forecast(
    history: Floats, kernel: Kernel, *, horizon: int, bands: Sequence[int] = (80, 95), off: Flags | None = None
) -> Forecast:
    """The next `horizon` periods of each series, from series × periods that are not negative (NaN: not known).

    `off` says of each period of history and of horizon whether nobody works.
    """
    values = checked(history, horizon, bands, off)

    def guess(until: int) -> Guess:
        return light_guess(values[:, :until], kernel, horizon, bands, None if off is None else off[: until + horizon])

    return calibrated("sampled past", values, guess, origins_of(values.shape[1], kernel, horizon), horizon, bands)


def light_guess(values: Floats, kernel: Kernel, horizon: int, bands: Sequence[int], off: Flags | None) -> Guess:
    """What the sampled past says; what hardly ever happens is expected at its rate."""
    found = sampled(values, kernel, horizon, probabilities(bands), off)
    level = levels(values, kernel)
    expected = found.mean
    rate, sparse = _rates(values)
    expected = np.where(sparse[:, None], rate[:, None], expected)
    if off is not None:
        expected = np.where(off[-horizon:], np.minimum(found.mean, expected), expected)
    return Guess(
        quantiles=found.quantiles, expected=expected, scale=(found.mean + level[:, None]) / 2, level=level
    )  # fmt: skip


def _rates(values: Floats) -> tuple[Floats, Flags]:
    """An exponentially smoothed rate of each series, zeros included, and whether it is sparse enough to be forecast by it.

    It is the product of smoothed chance and smoothed size of Teunter, Syntetos and Babai ("Intermittent demand: linking forecasting
    to inventory obsolescence", EJOR 2011) with one memory for both, which makes it a smoothed mean.
    """
    known = ~np.isnan(values)
    weights = np.where(known, SPARSE_DECAY ** np.arange(values.shape[1])[::-1], 0.0)
    filled = np.where(known, values, 0.0)
    rate = (filled * weights).sum(1) / np.maximum(weights.sum(1), np.finfo(np.float64).tiny)
    zeros = ((filled == 0) & known).sum(1)
    return rate, zeros > SPARSE_SHARE * known.sum(1)


def origins_of(count: int, kernel: Kernel, horizon: int, most: int = ORIGINS, parts: int = 4) -> list[int]:
    """Past origins to learn from, newest first, a season or a part of the horizon apart; three seasons come before each."""
    origins = range(count - horizon, 3 * kernel.season - 1, -max(kernel.season, horizon // parts))
    return list(origins)[:most]


def calibrated(
    method: str, values: Floats, guess: Callable[[int], Guess], origins: list[int], horizon: int, bands: Sequence[int]
) -> Forecast:
    """A forecast by `guess` (from the first so many periods), its bands moved by what they missed at past origins."""
    last, middle = guess(values.shape[1]), len(bands)
    misses, total_misses = [], []
    for origin in origins:
        past, truth = guess(origin), values[:, origin : origin + horizon]
        alive = past.level > 0
        misses.append([_misses(past, truth, middle - 1 - place)[alive] for place in range(middle)])
        total_misses.append(((truth.sum(1) - past.expected.sum(1)) / np.where(alive, past.scale.sum(1), 1.0))[alive])
    found: list[Band] = []
    lower = upper = last.quantiles[middle]
    total = last.expected.sum(1)
    total_lower = total_upper = total
    for place, level in enumerate(bands):
        bottom, top = last.quantiles[middle - 1 - place], last.quantiles[middle + 1 + place]
        move = _pooled([one[place] for one in misses], level / 100)
        lower = np.minimum(lower, np.where(bottom > 0, np.maximum(bottom - move * last.scale, 0.0), 0.0))
        upper = np.maximum(upper, top + move * last.scale)
        if origins:
            sinks, rises = (_pooled(total_misses, share / 200) for share in (100 - level, 100 + level))
            if sum(one.size for one in total_misses) < TAILS_MIN:
                either = _either_way(total_misses, level)
                sinks, rises = min(sinks, -either), max(rises, either)
            low, high = (np.maximum(total + way * last.scale.sum(1), 0.0) for way in (sinks, rises))
        else:
            low, high = lower.sum(1), upper.sum(1)
        total_lower, total_upper = np.minimum(total_lower, low), np.maximum(total_upper, high)
        found.append(Band(level=level, lower=lower, upper=upper, total_lower=total_lower, total_upper=total_upper))
    return Forecast(
        method=method, point=last.quantiles[middle], expected=last.expected, bands=tuple(found), origins=len(origins)
    )


def _either_way(misses: list[Floats], level: int) -> float:
    """How far a total lies off with that chance, to either side: as seen, and at least as if the few misses were those of a normal one."""
    known = [np.abs(one[~np.isnan(one)]) for one in misses]
    values = np.concatenate([*known, np.zeros(0)])
    if not values.size:
        return 0.0
    spread = float(np.sqrt(np.mean(values**2)))
    return max(_pooled(known, level / 100), NormalDist().inv_cdf((100 + level) / 200) * spread)


def _misses(past: Guess, truth: Floats, place: int) -> Floats:
    """How far outside of a band the truth lay, in the series' own scale; negative inside.

    A zero under a band that begins at zero cannot be missed, however far the band is moved.
    """
    bottom, top = past.quantiles[place], past.quantiles[-1 - place]
    scale = np.where(past.scale > 0, past.scale, 1.0)
    below = np.where(bottom > 0, (bottom - truth) / scale, -np.inf)
    above = np.where((truth <= 0) & (bottom <= 0), -np.inf, (truth - top) / scale)
    return np.asarray(np.maximum(below, above), np.float64)


def _pooled(scores: list[Floats], probability: float) -> float:
    """The quantile of scores of several origins, newest first, of which each weighs less than the one before it; 0 without any."""
    known = [one.ravel()[~np.isnan(one.ravel())] for one in scores]
    values = np.concatenate([*known, np.zeros(0)])
    if not values.size:
        return 0.0
    weights = np.concatenate([np.full(one.size, ORIGIN_DECAY**age) for age, one in enumerate(known)])
    order = np.lexsort((weights, values))  # equal scores by weight: the order of series changes nothing
    reached = np.cumsum(weights[order])
    place = int(np.searchsorted(reached, probability * reached[-1]))
    found = float(values[order][min(place, values.size - 1)])
    return found if np.isfinite(found) else 0.0
