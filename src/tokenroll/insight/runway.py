"""Runway: how likely a wallet is to run dry before its cycle ends, and when.

Two kinds of scenario are mixed. In the first, the days to come are drawn from the wallet's own days, two in a row, since bursts last
(circular blocks: Politis, Romano, "A circular block-resampling procedure for stationary data", 1992): mostly late days and, once two
weeks are known, those of the same weekday. Each scenario has a level, higher or lower throughout, that spreads as much as this wallet
has swung so far: who is steady is told surer chances than who is not. In the second, the wallet goes on at its recent pace times a
growth that some wallet had at some past day. Own days know a person's bursts, pooled growth knows that people start and stop; mixed
they beat a line drawn through what was used so far (analytics, §4, wallet exhaustion; measured in docs/decisions/0122).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from tokenroll.insight.sampling import Floats

PACE_DAYS: Final = 14
"""Days that a pace is taken from."""
PACE_DAYS_MIN: Final = 3
"""Days before a past day is asked how its pace went on."""
WEEK: Final = 7
WEEKS_MAX: Final = 8
"""Weeks that say how much a wallet's level moves."""
SCENARIOS: Final = 1_000
SERIES_AT_ONCE: Final = 500
CHANCES: Final = (0.1, 0.5, 0.9)
Counts = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """How the days to come are drawn; `python -m bench.runway --choose` shows how clients that were left out chose the values.

    `own_share` is what scenarios of own days weigh; growth has the rest. Of the blocks of `block_days`, a `lasting_share` begins on any
    known day, a `weekday_share` on the weekday that it stands for, from `weekday_days_min` known days on, a week counting
    `week_decay` of the one after it; the rest on a late day, each counting `day_decay` of the next. A level's logarithm has
    `level_share` of a wallet's swing as its standard deviation; `swing_prior` is the swing of who has not shown any, worth one day, and
    `swing_max` the largest that is believed.
    """

    own_share: float = 0.85
    block_days: int = 2
    lasting_share: float = 0.25
    day_decay: float = 0.7
    weekday_share: float = 0.5
    weekday_days_min: int = 2 * WEEK
    week_decay: float = 0.8
    level_share: float = 0.8
    swing_prior: float = 0.4
    swing_max: float = 2.5


HABIT: Final = Habit()

CONE: Final = (0.025, 0.1, 0.5, 0.9, 0.975)
"""The parts of scenarios that have no more left than each edge of a cone: its 95 % band, its 80 % band and its middle."""
_HAIR: Final = 1e-9
"""Weights that are added up may miss a part by as much."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Runway:
    """What is to be said of each wallet: an estimate for its holder, never a reason to refuse a call.

    `chance` is that of running dry within the days that are left; `by_day` (wallet × day) that of having run dry by the end of each.
    `dry_days` (wallet × 3) are the first days by which that is as likely as 10, 50 and 90 percent: 1 is the first day to come, 0 says
    that it is not reached within the cycle.
    """

    by_day: Floats
    dry_days: Counts

    @property
    def chance(self) -> Floats:
        """The chance to run dry before the cycle ends."""
        if not self.by_day.shape[1]:
            return np.zeros(len(self.by_day))
        return self.by_day[:, -1]


def runway(
    daily: Floats, left: Floats, *, days_left: int, seed: int, scenarios: int = SCENARIOS, habit: Habit = HABIT
) -> Runway:
    """The chance that each wallet's use in the days to come exceeds what is left of it.

    `daily` is wallet × day, oldest first, NaN before a wallet was there. The same seed gives the same answer, whatever the order of
    wallets, and all wallets meet the same luck, so that more in a wallet never makes it more likely to run dry.
    """
    use, budget = np.asarray(daily, np.float64), np.asarray(left, np.float64)
    if use.ndim != 2 or budget.shape != (len(use),) or days_left < 0 or scenarios < 2:
        raise ValueError(f"use is wallet × day and left one for each: {use.shape}, {budget.shape}, {days_left} days")
    if not days_left or not len(use):
        return Runway(by_day=np.zeros((len(use), days_left)), dry_days=np.zeros((len(use), 3), np.int64))
    luck = _luck(seed, scenarios, -(-days_left // habit.block_days))
    growth = _growth(use, days_left, scenarios)
    parts = []
    for start in range(0, len(use), SERIES_AT_ONCE):
        some, left_some = use[start : start + SERIES_AT_ONCE], budget[start : start + SERIES_AT_ONCE]
        own = _own_by_day(some, left_some, luck, days_left, habit)
        paced = _paced_by_day(some, left_some, growth, days_left)
        parts.append(habit.own_share * own + (1 - habit.own_share) * paced)
    by_day = np.concatenate(parts)
    reached = [np.where(by_day[:, -1] >= one, (by_day < one).sum(1) + 1, 0) for one in CHANCES]
    return Runway(by_day=by_day, dry_days=np.stack(reached, axis=1))


def cone(
    daily: Floats, left: float, *, days_left: int, seed: int, scenarios: int = SCENARIOS, habit: Habit = HABIT
) -> Floats:
    """What is left of one wallet at the end of each day to come (edge of CONE × day), by the scenarios its chances are counted in.

    Nothing is left where more would be used: a wallet that is dry stays so, since nothing that is still to come is counted.
    """
    use = np.asarray(daily, np.float64)[None, :]
    if not days_left:
        return np.zeros((len(CONE), 0))
    luck = _luck(seed, scenarios, -(-days_left // habit.block_days))
    weights = np.repeat([habit.own_share, 1 - habit.own_share], scenarios) / scenarios
    days = zip(
        _own_use(use, luck, days_left, habit),
        _paced_use(use, _growth(use, days_left, scenarios), days_left),
        strict=True,
    )
    edges = [_edges(left - np.concatenate([own[0], paced[0]]), weights) for own, paced in days]
    return np.asarray(np.maximum(np.stack(edges, axis=1), 0.0), np.float64)


def _edges(values: Floats, weights: Floats) -> Floats:
    """The smallest of the values that each part of CONE of the weight does not exceed: of scenarios that were drawn, none in between."""
    order = np.argsort(values)
    reached = np.searchsorted(np.cumsum(weights[order]), np.asarray(CONE) - _HAIR)
    return np.asarray(values[order][reached], np.float64)


def _luck(seed: int, scenarios: int, blocks: int) -> Floats:
    """Numbers between 0 and 1 (scenario × block), in each block spread evenly over the scenarios."""
    generator = np.random.default_rng(seed)
    shape = (scenarios, blocks)
    strata = generator.permuted(np.tile(np.arange(scenarios)[:, None], (1, blocks)), axis=0)
    return np.asarray((strata + generator.random(shape)) / scenarios, np.float64)


def _own_by_day(use: Floats, left: Floats, luck: Floats, days_left: int, habit: Habit) -> Floats:
    """The chance to have run dry by each day if days are like those that were."""
    return np.stack([(used > left[:, None]).mean(1) for used in _own_use(use, luck, days_left, habit)], axis=1)


def _own_use(use: Floats, luck: Floats, days_left: int, habit: Habit) -> Iterator[Floats]:
    """What is used up to each day to come (wallet × scenario) if days are like those that were."""
    scenarios, days = len(luck), use.shape[1]
    known = np.maximum((~np.isnan(use)).sum(1), 1)[:, None]
    filled = np.nan_to_num(use)
    even = np.array([NormalDist().inv_cdf((place + 0.5) / scenarios) for place in range(scenarios)])
    factors = np.exp(_level_spread(use, habit)[:, None] * even)
    total = np.zeros((len(use), scenarios))
    ages: Counts = np.zeros((len(use), scenarios), np.int64)
    for day in range(days_left):
        block, place = divmod(day, habit.block_days)
        if not place:
            ages = _ages(luck[:, block], known, day, habit)
        total += np.take_along_axis(filled, days - 1 - (ages - place) % known, axis=1)
        yield total * factors


def _ages(luck: Floats, known: Counts, day: int, habit: Habit) -> Counts:
    """How many days before the last known one each block begins (wallet × scenario) that stands for this day to come."""
    lasting = habit.lasting_share
    weekdays = np.where(known >= habit.weekday_days_min, habit.weekday_share, 0.0)
    late = 1 - lasting - weekdays
    any_day = np.floor(luck / max(lasting, np.finfo(np.float64).tiny) * known)
    late_day = _faded((luck - lasting) / late, habit.day_decay, known)
    nearest = WEEK - 1 - day % WEEK
    weeks = np.maximum((known - 1 - nearest) // WEEK + 1, 1)
    with_weekdays = np.where(weekdays > 0, weekdays, 1.0)
    weekday = nearest + WEEK * _faded((luck - lasting - late) / with_weekdays, habit.week_decay, weeks)
    found = np.where(luck < lasting, any_day, np.where((luck < lasting + late) | (weekdays == 0), late_day, weekday))
    return np.asarray(np.minimum(found, known - 1), np.int64)


def _faded(luck: Floats, decay: float, count: Counts) -> Floats:
    """Which of so many, the last one first, each as likely as `decay` times the one before."""
    even = np.clip(luck, 0.0, np.nextafter(1.0, 0.0))
    return np.asarray(np.minimum(np.floor(np.log1p(-even * (1 - decay**count)) / np.log(decay)), count - 1), np.float64)


def _level_spread(use: Floats, habit: Habit) -> Floats:
    """The spread of each wallet's level: from how much its days differ, and, as soon as there are two, rather from its weeks.

    Days of who rests on Sundays differ and the weeks do not, so weeks count for the seven days that they have.
    """
    here = ~np.isnan(use)
    known = np.maximum(here.sum(1), 1)[:, None]
    age = np.arange(use.shape[1])[::-1]
    faded = habit.day_decay**age * (1 - habit.day_decay) / (1 - habit.day_decay**known)
    weights = np.where(here, (1 - habit.lasting_share) * faded + habit.lasting_share / known, 0.0)
    squared = (weights**2).sum(1)
    worth = 1 / np.where(squared > 0, squared, 1.0)
    day_swing = _swing(np.nan_to_num(use), weights, np.ones(len(use)), habit)
    weeks = min(WEEKS_MAX, max(use.shape[1] // WEEK, 1))
    whole = np.minimum(known[:, 0] // WEEK, weeks)
    late = np.zeros((len(use), weeks * WEEK))
    late[:, -use.shape[1] :] = np.nan_to_num(use[:, -weeks * WEEK :])
    told = np.where(np.arange(weeks)[::-1] < whole[:, None], 1 / np.maximum(whole, 1)[:, None], 0.0)
    pairs = np.maximum(whole - 1, 0)
    week_swing = _swing(late.reshape(len(use), weeks, WEEK).sum(2), told, whole / np.maximum(pairs, 1), habit)
    total = day_swing**2 * worth + habit.swing_prior**2 + week_swing**2 * WEEK * pairs
    return np.asarray(habit.level_share * np.sqrt(total / (worth + 1 + WEEK * pairs)), np.float64)


def _swing(values: Floats, weights: Floats, corrected: Floats, habit: Habit) -> Floats:
    """Standard deviation over mean, up to the largest that is believed."""
    mean = (values * weights).sum(1)
    variance = ((values - mean[:, None]) ** 2 * weights).sum(1) * corrected
    swing = np.sqrt(variance) / np.where(mean > 0, mean, 1.0)
    return np.asarray(np.where(mean > 0, np.minimum(swing, habit.swing_max), 0.0), np.float64)


def _paced_by_day(use: Floats, left: Floats, growth: Floats, days_left: int) -> Floats:
    """The chance to have run dry by each day at the pace of late times a growth that some wallet had."""
    return np.stack([(used > left[:, None]).mean(1) for used in _paced_use(use, growth, days_left)], axis=1)


def _paced_use(use: Floats, growth: Floats, days_left: int) -> Iterator[Floats]:
    """What is used up to each day to come (wallet × scenario) at the pace of late times a growth that some wallet had."""
    pace = _pace(use)[:, None] * growth
    for day in range(1, days_left + 1):
        yield pace * day


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
