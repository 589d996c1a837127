"""What a period is like, worked out by hand, and against numpy where weights are equal."""

import numpy as np
import pytest

from tokenroll.insight.sampling import DAILY, HOURLY, Kernel, levels, sampled, weighted_quantiles

PAIRS = Kernel(season=2, decay=0.5, level_periods=2)
SINGLE = Kernel(season=1, decay=0.5, level_periods=3)


def test_a_season_counts_half_of_the_one_after_it():
    found = sampled(np.array([[1.0, 2, 3, 4, 5, 6]]), PAIRS, 2, [0.5])
    # 5, 3, 1 with weights 1, 1/2, 1/4: the mean is 6.75 / 1.75, and one half lies midway between the middles of 3 and 5
    assert found.mean[0] == pytest.approx([27 / 7, 34 / 7])
    assert found.quantiles[0, 0] == pytest.approx([4.0, 5.0])


def test_what_is_not_known_counts_nothing():
    found = sampled(np.array([[np.nan, np.nan, 3, 4, 5, 6]]), PAIRS, 1, [0.5])
    assert found.mean[0] == pytest.approx([13 / 3])
    assert found.quantiles[0, 0] == pytest.approx([13 / 3])


def test_beyond_a_season_the_last_one_known_is_asked_again():
    found = sampled(np.array([[1.0, 2, 3, 4, 5, 6]]), PAIRS, 6, [0.5])
    assert found.quantiles[0, 0] == pytest.approx([4, 5, 4, 5, 4, 5])


def test_neighbours_and_the_weekday_count_too():
    kernel = Kernel(season=2, decay=0.001, neighbours=1, cycle=4, cycle_decay=0.001, level_periods=2)
    found = sampled(np.array([[1.0, 0, 0, 0, 8, 0]]), kernel, 1, [0.5])
    # of the season: 8 in weight 1 beside two zeros in weight 1/2; of the cycle: 0 in weight 1/2 beside zeros in weight 1/4
    assert found.mean[0] == pytest.approx([8 / 3])


def test_days_off_are_like_days_off_and_work_is_like_work():
    history = np.array([[10.0, 0, 10, 0, 10, 0]])
    off = np.array([False, True] * 4)
    assert sampled(history, SINGLE, 2, [0.5], off).quantiles[0, 0].tolist() == [10.0, 0.0]
    assert 0 < sampled(history, SINGLE, 2, [0.5]).mean[0, 0] < 10


def test_a_first_day_off_is_forecast_at_nothing_and_a_first_day_of_work_as_any():
    history = np.array([[4.0, 4, 4]])
    assert sampled(history, SINGLE, 1, [0.5], np.array([False, False, False, True])).mean.tolist() == [[0.0]]
    assert sampled(history, SINGLE, 1, [0.5], np.array([True, True, True, False])).mean.tolist() == [[4.0]]


def test_equal_weights_are_quantiles_as_hazen_took_them():
    values = np.random.default_rng(3).exponential(size=(9, 4))
    found = weighted_quantiles(values, np.ones_like(values), [0.1, 0.5, 0.8])
    assert found == pytest.approx(np.quantile(values, [0.1, 0.5, 0.8], axis=0, method="hazen"))


def test_many_series_are_looked_at_in_parts(monkeypatch):
    history = np.arange(120.0).reshape(12, 10)
    whole = sampled(history, PAIRS, 3, [0.1, 0.5])
    monkeypatch.setattr("tokenroll.insight.sampling.CELLS_MAX", 40)
    parts = sampled(history, PAIRS, 3, [0.1, 0.5])
    assert parts.quantiles.tolist() == whole.quantiles.tolist()
    assert parts.mean.tolist() == whole.mean.tolist()


def test_no_series_and_no_samples():
    assert sampled(np.zeros((0, 4)), PAIRS, 3, [0.5]).quantiles.shape == (1, 0, 3)
    assert sampled(np.array([[7.0]]), SINGLE, 2, [0.5]).quantiles[0].tolist() == [[7.0, 7.0]]
    assert sampled(np.array([[7.0]]), PAIRS, 1, [0.5]).quantiles[0].tolist() == [[0.0]]


def test_a_level_is_the_mean_of_what_is_known_of_late():
    assert levels(np.array([[9.0, 1, 2, 3], [np.nan, np.nan, np.nan, 6], [np.nan] * 4]), SINGLE).tolist() == [2, 6, 0]


def test_a_kernel_is_whole_periods_and_falling_weights():
    assert (HOURLY.season, HOURLY.cycle, DAILY.season, DAILY.cycle) == (24, 168, 1, 7)
    with pytest.raises(ValueError, match="whole periods"):
        Kernel(season=0, decay=0.5, level_periods=1)
    with pytest.raises(ValueError, match="weights of a kernel fall"):
        Kernel(season=7, decay=1.0, level_periods=1)
