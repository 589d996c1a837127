"""What is decided multiplies what is forecast."""

import numpy as np
import pytest

from tokenroll.insight.forecasting import forecast
from tokenroll.insight.sampling import DAILY
from tokenroll.insight.scenarios import headcount_factors, price_factors, rollout_factors, under


def test_factors_by_hand():
    assert headcount_factors(4, at=2, heads_before=4, heads_after=6).tolist() == [1, 1, 1.5, 1.5]
    assert price_factors(3, at=0, factor=0.8).tolist() == [0.8, 0.8, 0.8]
    assert rollout_factors(5, start=1, end=3, factor=4.0).tolist() == [1, 2, 3, 4, 4]
    assert rollout_factors(2, start=1, end=1, factor=2.0).tolist() == [1, 2]


def test_a_price_moves_every_figure_of_a_forecast():
    plain = forecast(np.random.default_rng(1).exponential(size=(3, 70)), DAILY, horizon=7)
    half = under(plain, price_factors(7, at=0, factor=0.5))
    assert half.point == pytest.approx(plain.point / 2)
    assert half.total_expected == pytest.approx(plain.total_expected / 2)
    assert half.band(80).upper == pytest.approx(plain.band(80).upper / 2)
    assert half.band(95).total_lower == pytest.approx(plain.band(95).total_lower / 2)


def test_a_series_of_zeros_stays_one():
    nothing = under(forecast(np.zeros((1, 70)), DAILY, horizon=2), np.array([1.0, 3.0]))
    assert nothing.point.tolist() == [[0, 0]]
    assert nothing.band(80).total_upper.tolist() == [0]


def test_what_cannot_be_decided_is_refused():
    plain = forecast(np.zeros((1, 70)), DAILY, horizon=2)
    for refused in (
        lambda: headcount_factors(2, at=0, heads_before=0, heads_after=1),
        lambda: price_factors(2, at=0, factor=-1.0),
        lambda: rollout_factors(2, start=1, end=0, factor=1.0),
        lambda: under(plain, np.array([1.0, -1.0])),
    ):
        with pytest.raises(ValueError, match=r"negative|nobody"):
            refused()
