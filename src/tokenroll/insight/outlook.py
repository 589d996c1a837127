"""An outlook: what a company, its groups and their rows bring in the periods to come, every level by its own model, and all agreeing.

Rows are people or models, groups are teams. Whoever is new borrows a team's past per head, so that a team that hires is not forecast
at what its old members use. The accuracy is that of the whole way from usage to the figures that are shown, reconciled and all.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from tokenroll.insight.backtesting import Accuracy, backtest, origins_to_test
from tokenroll.insight.boosting import boosted_forecast
from tokenroll.insight.forecasting import Forecast, forecast
from tokenroll.insight.newcomers import with_borrowed_past
from tokenroll.insight.reconciling import Counts, reconciled
from tokenroll.insight.sampling import HOURLY, Flags, Floats, daily_kernel
from tokenroll.insight.scenarios import under

SETTLED_DAYS: Final = 14
"""Days of their own from which on somebody is no newcomer: two of each weekday."""
HOURS_PER_DAY: Final = 24
DAYS_PER_WEEK: Final = 7
_SHORTER_DAYS: Final = (14, 7, 1)
"""Horizons that a backtest falls back on where the past is too short for the one that was asked for."""


class Method(StrEnum):
    """How a level is forecast: by its sampled past alone, or with one model of boosted trees over all its series."""

    LIGHT = "light"
    BOOSTED = "boosted"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Past:
    """What was: row × period, NaN before a row's first use, and which group each row is part of.

    `off` says of each period of the past and of the horizon whether nobody works. `depth` is how far down is asked: 1 the company, 2
    its groups, 3 their rows. Only people borrow a past.
    """

    rows: Floats
    group_of: tuple[int, ...]
    depth: int
    is_hourly: bool = False
    is_people: bool = True
    off: Flags | None = None

    @property
    def season(self) -> int:
        """Periods after which things come again: hours of a day, days of a week."""
        return HOURS_PER_DAY if self.is_hourly else DAYS_PER_WEEK

    @property
    def actual(self) -> Floats:
        """What really was, at the depth that is asked for."""
        if self.depth == _ROWS:
            return self.rows
        filled = np.nan_to_num(self.rows)
        return filled.sum(0)[None] if self.depth == _COMPANY else _grouped(filled, self.group_of)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """A level's forecast and what of it is shown as expected: whole units (series × period), whose sums agree with the other levels."""

    forecast: Forecast
    counts: Counts

    @property
    def totals(self) -> list[int]:
        """What each series is expected to bring in all periods together."""
        return [int(total) for total in self.counts.sum(1)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outlook:
    """The company (one series), and the lowest level that was asked for: their sums are equal to the unit in each period."""

    company: Line
    lowest: Line
    methods: tuple[str, ...]
    """How each level was forecast, the company first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedOut:
    """How far the outlook was off at past origins, and over how many periods ahead it was tried."""

    accuracy: Accuracy
    periods: int


_COMPANY: Final = 1
_ROWS: Final = 3


def outlook(past: Past, horizon: int, method: Method = Method.LIGHT, *, known: int | None = None) -> Outlook:
    """The next `horizon` periods, from the first `known` ones (all of them by default). ModuleNotFoundError without the extra."""
    count = past.rows.shape[1] if known is None else known
    off = None if past.off is None else past.off[: count + horizon]
    found = [_forecast(values, past, horizon, method, off) for values in _levels(past, count)]
    methods = tuple(one.method for one in found)
    if past.depth == _COMPANY:
        line = _agreeing(found[0], np.rint(found[0].expected).astype(np.int64))
        return Outlook(company=line, lowest=line, methods=methods)
    groups, lowest = found[1], found[-1]
    places = past.group_of if past.depth == _ROWS else range(len(groups.expected))
    agreed = reconciled(lowest.expected, places, groups.expected, found[0].expected[0])
    return Outlook(
        company=_agreeing(found[0], agreed.company[None]),
        lowest=_agreeing(lowest, agreed.members),
        methods=methods,
    )


def tried_out(past: Past, horizon: int, method: Method = Method.LIGHT) -> TriedOut | None:
    """The backtest of the lowest level; None where the past is too short, or too even to be compared with anything."""
    count = past.rows.shape[1]
    shorter = [days * (HOURS_PER_DAY if past.is_hourly else 1) for days in _SHORTER_DAYS]
    tried = [horizon, *(one for one in shorter if one < horizon)]
    periods = next((one for one in tried if origins_to_test(count, past.season, one)), 0)
    actual = past.actual
    if not periods or not np.nan_to_num(actual).any():
        return None

    def ahead(known: Floats) -> Forecast:
        return outlook(past, periods, method, known=known.shape[1]).lowest.forecast

    found = backtest(actual, ahead, season=past.season, horizon=periods)
    return None if np.isnan(found.mase) or found.naive_mase <= 0 else TriedOut(accuracy=found, periods=periods)


def under_factors(found: Outlook, factors: Floats) -> Outlook:
    """The outlook under what is decided: one factor a period, or one for each series of the lowest level and period."""
    lowest = _agreeing(
        under(found.lowest.forecast, factors), np.rint(found.lowest.counts * factors).astype(np.int64)
    )  # fmt: skip
    if found.lowest is found.company:
        return replace(found, company=lowest, lowest=lowest)
    before, after = found.company.counts.sum(0), lowest.counts.sum(0)
    plain = np.broadcast_to(factors, lowest.counts.shape).mean(0)
    moved = np.where(before > 0, after / np.where(before > 0, before, 1), plain)
    company = replace(under(found.company.forecast, moved), expected=after[None].astype(np.float64))
    return replace(found, company=Line(forecast=company, counts=after[None]), lowest=lowest)


def _levels(past: Past, count: int) -> list[Floats]:
    """The histories of the company, its groups and their rows as far as they are asked for, borrowed pasts included."""
    rows = _lent(past, count)
    levels = [rows.sum(0)[None], _grouped(rows, past.group_of), rows]
    return levels[: past.depth]


def _lent(past: Past, count: int) -> Floats:
    """The first periods of each row; of people who are new by then, with their team's past, and of those still to come with none."""
    values = past.rows[:, :count]
    filled = np.nan_to_num(values)
    present = ~np.isnan(values).all(1)
    if past.is_people and present.any():
        groups = np.asarray(past.group_of, np.int64)[present].tolist()
        enough = SETTLED_DAYS * (HOURS_PER_DAY if past.is_hourly else 1)
        filled[present] = np.nan_to_num(with_borrowed_past(values[present], groups, enough_periods=enough))
    return filled


def _grouped(rows: Floats, group_of: Sequence[int]) -> Floats:
    places = np.asarray(group_of, np.int64)
    found = np.zeros((int(places.max()) + 1, rows.shape[1]))
    np.add.at(found, places, rows)
    return found


def _forecast(values: Floats, past: Past, horizon: int, method: Method, off: Flags | None) -> Forecast:
    """One level; where there is too little to learn from, its own past says all."""
    kernel = HOURLY if past.is_hourly else daily_kernel(values.shape[1])
    if method is Method.BOOSTED:
        with contextlib.suppress(ValueError):
            return boosted_forecast(values, kernel, horizon=horizon, off=off)
    return forecast(values, kernel, horizon=horizon, off=off)


def _agreeing(found: Forecast, counts: Counts) -> Line:
    """A forecast moved, its bands with it, to the whole units that it is told in."""
    ratio = np.where(found.expected > 0, counts / np.where(found.expected > 0, found.expected, 1.0), 1.0)
    return Line(forecast=replace(under(found, ratio), expected=counts.astype(np.float64)), counts=counts)
