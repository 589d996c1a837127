"""One model for all: same input, same answer; too little to learn from is refused."""

import numpy as np
import pytest

from tokenroll.insight.boosting import boosted_forecast
from tokenroll.insight.sampling import DAILY

pytest.importorskip("lightgbm")


def test_the_same_history_gives_the_same_forecast_in_order_and_not_negative():
    history = np.random.default_rng(5).poisson(3.0, (20, 84)).astype(float)
    history[0] = 0.0
    off = np.arange(98) % 7 >= 5
    first, second = (boosted_forecast(history, DAILY, horizon=14, off=off) for _ in range(2))
    assert first.point.tolist() == second.point.tolist()
    assert first.band(95).upper.tolist() == second.band(95).upper.tolist()
    assert (first.band(95).lower >= 0).all()
    assert (first.band(95).lower <= first.point).all()
    assert (first.point <= first.band(80).upper).all()
    assert not first.band(95).upper[0].any()


@pytest.mark.parametrize("history", [np.ones((3, 20)), np.ones((3, 90)), np.zeros((90, 90)), np.zeros((0, 90))])
def test_too_little_to_learn_from_is_refused(history):
    with pytest.raises(ValueError, match="too few to learn from"):
        boosted_forecast(history, DAILY, horizon=7)
