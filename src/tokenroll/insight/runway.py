"""Runway: how likely a wallet is to run dry before its cycle ends, and when.

Two kinds of scenario are mixed. In the first, the days to come are drawn from the wallet's own days, two in a row, since bursts last
(circular blocks: Politis, Romano, "A circular block-resampling procedure for stationary data", 1992), a third of them with a level
that is higher or lower throughout; in the second, the wallet goes on at its recent pace times a growth that some wallet had
at some past day. Own days know a person's bursts, pooled growth knows that people start and stop; mixed they beat a line drawn through
what was used so far (analytics, §4, wallet exhaustion; measured in docs/decisions/0116).
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from tokenroll.insight.sampling import Floats

PACE_DAYS: Final = 14
"""Days that a pace is taken from."""
PACE_DAYS_MIN: Final = 3
"""Days before a past day is asked how its pace went on."""
OWN_SHARE: Final = 0.75
"""What scenarios of own days weigh; growth has the rest."""
BLOCK_DAYS: Final = 2
"""Days in a row that are drawn together."""
LEVEL_SHARE: Final = 1 / 3
"""The part of own scenarios that have a level of their own."""
LEVEL_SPREAD: Final = 0.5
"""Standard deviation of that level's logarithm."""
SCENARIOS: Final = 1_000
SERIES_AT_ONCE: Final = 500
CHANCES: Final = (0.1, 0.5, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Runway:
    """What is to be said of each wallet: an estimate for its holder, never a reason to refuse a call.

    `chance` is that of running dry within the days that are left; `by_day` (wallet × day) that of having run dry by the end of each.
    `dry_days` (wallet × 3) are the first days by which that is as likely as 10, 50 and 90 percent: 1 is the first day to come, 0 says
    that it is not reached within the cycle.
    """

    by_day: Floats
    dry_days: np.ndarray[tuple[int, ...], np.dtype[np.int64]]

    @property
    def chance(self) -> Floats:
        """The chance to run dry before the cycle ends."""
        if not self.by_day.shape[1]:
            return np.zeros(len(self.by_day))
        return self.by_day[:, -1]


def runway(daily: Floats, left: Floats, *, days_left: int, seed: int, scenarios: int = SCENARIOS) -> Runway:
    """The chance that each wallet's use in the days to come exceeds what is left of it.

    `daily` is wallet × day, oldest first, NaN before a wallet was there. The same seed gives the same answer, whatever the order of
    wallets, and all wallets meet the same luck, so that more in a wallet never makes it more likely to run dry.
    """
    use, budget = np.asarray(daily, np.float64), np.asarray(left, np.float64)
    if use.ndim != 2 or budget.shape != (len(use),) or days_left < 0 or scenarios < 2:
        raise ValueError(f"use is wallet × day and left one for each: {use.shape}, {budget.shape}, {days_left} days")
    if not days_left or not len(use):
        return Runway(by_day=np.zeros((len(use), days_left)), dry_days=np.zeros((len(use), 3), np.int64))
    luck = _luck(seed, scenarios, days_left)
    spread = NormalDist(0.0, LEVEL_SPREAD)
    moved = round(scenarios * LEVEL_SHARE)
    factors = np.ones(scenarios)
    factors[:moved] = [np.exp(spread.inv_cdf((place + 0.5) / moved)) for place in range(moved)]
    growth = _growth(use, days_left, scenarios)
    parts = [
        _by_day(use[start : start + SERIES_AT_ONCE], budget[start : start + SERIES_AT_ONCE], luck, factors, growth)
        for start in range(0, len(use), SERIES_AT_ONCE)
    ]
    by_day = np.concatenate(parts)
    reached = [np.where(by_day[:, -1] >= one, (by_day < one).sum(1) + 1, 0) for one in CHANCES]
    return Runway(by_day=by_day, dry_days=np.stack(reached, axis=1))


def _luck(seed: int, scenarios: int, days_left: int) -> Floats:
    """Numbers between 0 and 1 (scenario × day), the same for the days of a block; on each day spread evenly over the scenarios."""
    generator = np.random.default_rng(seed)
    shape = (scenarios, -(-days_left // BLOCK_DAYS))
    strata = generator.permuted(np.tile(np.arange(scenarios)[:, None], (1, shape[1])), axis=0)
    even = (strata + generator.random(shape)) / scenarios
    return np.repeat(even, BLOCK_DAYS, axis=1)[:, :days_left]


def _by_day(use: Floats, left: Floats, luck: Floats, factors: Floats, growth: Floats) -> Floats:
    """The chance to have run dry by each day, of some wallets."""
    days, horizon = use.shape[1], luck.shape[1]
    known = (~np.isnan(use)).sum(1)
    first = np.floor(luck[None] * known[:, None, None]).astype(np.int64)
    place = (first + np.arange(horizon) % BLOCK_DAYS) % np.maximum(known, 1)[:, None, None]
    where = days - known[:, None, None] + place
    filled = np.nan_to_num(use)
    drawn = np.take_along_axis(filled, np.minimum(where, days - 1).reshape(len(use), -1), axis=1)
    own = np.cumsum(drawn.reshape(where.shape) * factors[None, :, None], axis=2)
    paced = _pace(use)[:, None, None] * growth[None, :, None] * np.arange(1, horizon + 1)
    dry = [(one > left[:, None, None]).mean(1) for one in (own, paced)]
    return np.asarray(OWN_SHARE * dry[0] + (1 - OWN_SHARE) * dry[1], np.float64)


def _pace(use: Floats) -> Floats:
    """Use per day of late; 0 of who was not there."""
    late = use[:, -PACE_DAYS:]
    known = ~np.isnan(late)
    return np.asarray(np.where(known, late, 0.0).sum(1) / np.maximum(known.sum(1), 1), np.float64)


def _growth(use: Floats, days_left: int, count: int) -> Floats:
    """So many quantiles of what became of a pace, over all wallets and past days; 1 where nothing is known."""
    days = use.shape[1]
    window = min(days_left, max(1, days - PACE_DAYS_MIN))
    found = [np.zeros(0)]
    for day in range(min(PACE_DAYS_MIN, days - window), days - window + 1):
        before = _pace(use[:, :day]) if day else np.zeros(len(use))
        after = use[:, day : day + window].mean(1)
        alive = (before > 0) & ~np.isnan(after)
        found.append(after[alive] / before[alive])
    ratios = np.concatenate(found)
    if not ratios.size:
        return np.ones(count)
    return np.asarray(np.quantile(ratios, (np.arange(count) + 0.5) / count), np.float64)
