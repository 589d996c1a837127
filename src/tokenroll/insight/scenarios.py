"""Scenarios: a forecast under what is decided and no past can tell: hires, prices, a rollout.

Each is a factor for every period to come; factors of several multiply.
"""

from dataclasses import replace

import numpy as np

from tokenroll.insight.forecasting import Forecast
from tokenroll.insight.sampling import Floats


def headcount_factors(horizon: int, *, at: int, heads_before: int, heads_after: int) -> Floats:
    """From period `at` on a team of other size uses in proportion to its heads. Use it for teams, not for members."""
    if heads_before < 1 or heads_after < 0:
        raise ValueError(f"a team has somebody before and nobody missing after: {heads_before} to {heads_after}")
    return _from(horizon, at, heads_after / heads_before)


def price_factors(horizon: int, *, at: int, factor: float) -> Floats:
    """From period `at` on what is used costs `factor` as much. For forecasts of cost; tokens stay what they are."""
    if factor < 0:
        raise ValueError(f"a price is not negative: {factor}")
    return _from(horizon, at, factor)


def rollout_factors(horizon: int, *, start: int, end: int, factor: float) -> Floats:
    """Use rises (or falls) in a straight line from what it is before period `start` to `factor` times that from `end` on."""
    if factor < 0 or end < start:
        raise ValueError(
            f"a rollout ends after its start, at a factor that is not negative: {start} to {end}, {factor}"
        )
    progress = np.clip((np.arange(horizon) - start + 1) / (end - start + 1), 0.0, 1.0)
    return np.asarray(1.0 + (factor - 1.0) * progress, np.float64)


def under(forecast: Forecast, factors: Floats) -> Forecast:
    """The forecast with each period multiplied: by one factor a period, or one a series and period.

    Bands of totals keep their width relative to what is expected: a decision moves the level, and what is unknown with it.
    """
    if np.any(factors < 0):
        raise ValueError("a factor is not negative")
    expected = forecast.expected * factors
    before, after = forecast.expected.sum(1), expected.sum(1)
    plain = np.broadcast_to(factors, expected.shape).mean(1)
    ratio = np.where(before > 0, after / np.where(before > 0, before, 1.0), plain)
    return replace(
        forecast,
        point=forecast.point * factors,
        expected=expected,
        bands=tuple(
            replace(
                band,
                lower=band.lower * factors,
                upper=band.upper * factors,
                total_lower=band.total_lower * ratio,
                total_upper=band.total_upper * ratio,
            )
            for band in forecast.bands
        ),
    )


def _from(horizon: int, at: int, factor: float) -> Floats:
    return np.where(np.arange(horizon) >= at, factor, 1.0)
