"""Backtesting: how far a forecast was off where the truth is known by now, beside the simplest one that could have been made.

Rolling origins, each with only what was known then. Errors are scaled by what the seasonal naive forecast missed in sample (MASE:
Hyndman, Koehler, "Another look at measures of forecast accuracy", IJF 2006) or by the truth itself (WAPE); never by single values,
which are zero half of the time (analytics, §4).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tokenroll.insight.forecasting import Forecast
from tokenroll.insight.sampling import Flags, Floats

Forecaster = Callable[[Floats], Forecast]
"""A forecast of a fixed horizon from the periods known so far."""
ENOUGH_ORIGINS: Final = 4
"""Origins that a backtest rolls over if the history allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of the truth lay in a band that promised `level` percent, of periods and of totals."""

    level: int
    percent: float
    total_percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """How good a forecast was at past origins; NaN where there was nothing to compare with.

    `mase` is the mean over series and origins, `wape` the absolute error over the truth, `total_wape` the same of the horizon's
    totals against what was expected, `quantile_loss` the weighted one, a mean over the quantiles of all bands. `ratio` is `mase` over
    that of the seasonal naive forecast in the same run: below 1 the method is worth its name.
    """

    method: str
    series: int
    origins: int
    mase: float
    mase_median: float
    wape: float
    total_wape: float
    bias: float
    quantile_loss: float
    coverages: tuple[Coverage, ...]
    naive_mase: float
    naive_wape: float
    naive_total_wape: float

    @property
    def ratio(self) -> float:
        """The mean scaled error as a part of the seasonal naive forecast's."""
        return self.mase / self.naive_mase


def origins_to_test(count: int, season: int, horizon: int) -> list[int]:
    """Origins a horizon apart, the newest first to end with the history, each with two seasons before."""
    return [*range(count - horizon, 2 * season - 1, -horizon)][:ENOUGH_ORIGINS][::-1]


def seasonal_naive(history: Floats, season: int, horizon: int) -> Floats:
    """The last season once more, again and again; zero where it is not known."""
    last = np.nan_to_num(history[:, -season:])
    return np.tile(last, (1, -(-horizon // season)))[:, :horizon]


def backtest(
    history: Floats, forecaster: Forecaster, *, season: int, horizon: int, origins: Sequence[int] | None = None
) -> Accuracy:
    """A forecaster at past origins, over all series that had moved by then.

    `origins` count the periods known at each; by default the last ones that the history allows. ValueError without any.
    """
    tested = origins_to_test(history.shape[1], season, horizon) if origins is None else list(origins)
    if not tested:
        raise ValueError(f"{history.shape[1]} periods are too few to test a horizon of {horizon}")
    runs = [_run(history, forecaster, season, horizon, origin) for origin in tested]
    truth = np.concatenate([run.truth for run in runs])
    own, naive = (np.concatenate([run.scaled[place] for run in runs]) for place in (0, 1))
    size = _over(1.0, truth.sum())
    bands = runs[0].found.bands
    return Accuracy(
        method=runs[0].found.method,
        series=len(history),
        origins=len(tested),
        mase=_mean(own),
        mase_median=float(np.median(own)) if own.size else np.nan,
        wape=sum(run.errors[0] for run in runs) * size,
        total_wape=sum(run.total_errors[0] for run in runs) * size,
        bias=sum(float(run.found.expected[run.kept].sum()) for run in runs) * size - 1,
        quantile_loss=sum(_loss(run) for run in runs) * size,
        coverages=tuple(_coverage(runs, place, band.level) for place, band in enumerate(bands)),
        naive_mase=_mean(naive),
        naive_wape=sum(run.errors[1] for run in runs) * size,
        naive_total_wape=sum(run.total_errors[1] for run in runs) * size,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Run:
    """One origin: the forecast, the truth of the series that are judged, and errors of the forecast and of the naive one."""

    found: Forecast
    kept: Flags
    truth: Floats
    scaled: tuple[Floats, Floats]
    errors: tuple[float, float]
    total_errors: tuple[float, float]


def _run(history: Floats, forecaster: Forecaster, season: int, horizon: int, origin: int) -> _Run:
    past, truth = history[:, :origin], history[:, origin : origin + horizon]
    found = forecaster(past)
    steps = np.abs(past[:, season:] - past[:, :-season])
    known = ~np.isnan(steps)
    scale = np.where(known, steps, 0.0).sum(1) / np.maximum(known.sum(1), 1)
    kept = (scale > 0) & ~np.isnan(truth).any(1)
    truth, scale = truth[kept], scale[kept]
    naive = seasonal_naive(past, season, horizon)[kept]
    wrong = [np.abs(truth - found.point[kept]), np.abs(truth - naive)]
    totals = [np.abs(truth.sum(1) - one.sum(1)) for one in (found.expected[kept], naive)]
    return _Run(
        found=found,
        kept=kept,
        truth=truth,
        scaled=(wrong[0].mean(1) / scale, wrong[1].mean(1) / scale),
        errors=(float(wrong[0].sum()), float(wrong[1].sum())),
        total_errors=(float(totals[0].sum()), float(totals[1].sum())),
    )


def _loss(run: _Run) -> float:
    """Twice the pinball loss of the median and of both ends of all bands, as a mean over these quantiles."""
    found = [(0.5, run.found.point)]
    for band in run.found.bands:
        tail = (100 - band.level) / 200
        found += [(tail, band.lower), (1 - tail, band.upper)]
    losses = [
        2 * np.maximum(share * (run.truth - value[run.kept]), (share - 1) * (run.truth - value[run.kept])).sum()
        for share, value in found
    ]
    return float(np.mean(losses))


def _coverage(runs: list[_Run], place: int, level: int) -> Coverage:
    inside, totals = [], []
    for run in runs:
        band, total = run.found.bands[place], run.truth.sum(1)
        inside.append((run.truth >= band.lower[run.kept]) & (run.truth <= band.upper[run.kept]))
        totals.append((total >= band.total_lower[run.kept]) & (total <= band.total_upper[run.kept]))
    return Coverage(
        level=level,
        percent=100 * _mean(np.concatenate(inside)),
        total_percent=100 * _mean(np.concatenate(totals)),
    )


def _mean(values: Floats | Flags) -> float:
    return float(values.mean()) if values.size else float(np.nan)


def _over(amount: float, size: float) -> float:
    return amount / size if size > 0 else float(np.nan)
