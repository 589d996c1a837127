"""A forecast of series whose answer is plain, and what is refused."""

import numpy as np
import pytest

from tokenroll.insight.forecasting import forecast, origins_of, probabilities
from tokenroll.insight.sampling import DAILY, HOURLY, Kernel, daily_kernel

SINGLE = Kernel(season=1, decay=0.5, level_periods=4)


def test_who_uses_the_same_each_day_goes_on_so():
    found = forecast(np.full((2, 70), 5.0), DAILY, horizon=14)
    assert found.point.tolist() == [[5.0] * 14] * 2
    assert found.total_expected == pytest.approx([70, 70])
    assert found.band(80).lower == pytest.approx(found.band(95).upper)
    assert found.band(95).total_lower == pytest.approx([70] * 2)
    assert found.band(95).total_upper == pytest.approx([70] * 2)
    assert found.origins == 8


def test_a_week_is_forecast_as_a_week():
    week = [10.0, 10, 10, 10, 6, 0, 0]
    found = forecast(np.array([week * 10]), DAILY, horizon=7)
    assert found.point[0] == pytest.approx(week)


def test_the_median_of_a_burst_is_nothing_and_its_mean_is_not():
    history = np.zeros((1, 240))
    history[0, 5::24] = [0, 0, 0, 0, 100] * 2
    found = forecast(history, HOURLY, horizon=24)
    assert found.point[0, 5] == 0
    assert found.expected[0, 5] > 0


def test_what_hardly_ever_happens_is_expected_at_its_rate():
    history = np.zeros((1, 100))
    history[0, 99] = 1.0
    found = forecast(history, DAILY, horizon=3)
    # one of weight 1 among a hundred that each weigh 0.98 of the one after: (1 - 0.98) / (1 - 0.98 ** 100)
    assert found.expected[0] == pytest.approx([0.0230579] * 3, abs=1e-7)


def test_too_little_history_is_told_and_bands_are_wide():
    found = forecast(np.array([[1.0, 3, 2, 8]]), SINGLE, horizon=2)
    assert found.origins == 0
    assert found.band(95).total_upper == pytest.approx(found.band(95).upper.sum(1))


def test_bands_that_missed_are_moved_out():
    calm, wild = np.tile([4.0, 4.0], 30), np.tile([4.0, 4.0], 30)
    wild[20::9] = 40.0
    narrow, wide = (forecast(np.array([one]), SINGLE, horizon=1, bands=(95,)).bands[0].upper for one in (calm, wild))
    assert wide[0, 0] > narrow[0, 0] == 4.0


def test_origins_are_a_season_or_a_quarter_of_the_horizon_apart_and_have_their_truth_behind_them():
    assert origins_of(240, HOURLY, 24) == [216, 192, 168, 144, 120, 96, 72]
    assert origins_of(60, DAILY, 31) == [29, 22, 15, 8]
    assert origins_of(20, DAILY, 4) == [16, 15, 14, 13, 12, 11, 10, 9]
    assert origins_of(9, DAILY, 7) == []


def test_quantiles_of_bands_ascend_around_the_median():
    assert probabilities([80, 95]) == pytest.approx([0.025, 0.1, 0.5, 0.9, 0.975])


@pytest.mark.parametrize(
    ("history", "options", "said"),
    [
        ([1.0, 2.0], {}, "series × periods"),
        ([[]], {}, "series × periods"),
        ([[1.0, -2.0]], {}, "not negative"),
        ([[1.0, np.inf]], {}, "finite"),
        ([[1.0]], {"horizon": 0}, "at least one period"),
        ([[1.0]], {"bands": (95, 80)}, "levels ascend"),
        ([[1.0]], {"bands": (0,)}, "levels ascend"),
        ([[1.0]], {"off": np.array([False])}, "history and horizon: 2"),
    ],
)
def test_what_cannot_be_a_history_is_refused(history, options, said):
    with pytest.raises(ValueError, match=said):
        forecast(np.array(history), SINGLE, **{"horizon": 1, **options})


def test_a_band_that_was_not_asked_for_is_not_there():
    with pytest.raises(KeyError):
        forecast(np.ones((1, 9)), SINGLE, horizon=1, bands=(80,)).band(95)


def test_no_series_have_no_forecast():
    found = forecast(np.zeros((0, 40)), DAILY, horizon=3)
    assert found.point.shape == (0, 3)
    assert found.band(80).total_upper.shape == (0,)


def test_the_total_of_one_company_alone_keeps_about_what_its_bands_promise():
    """Eight misses do not tell one tail from the other: each alone held half of what it promised 80 % for."""
    held = {80: 0, 95: 0}
    for seed in range(60):
        random = np.random.default_rng(seed)
        active = random.random((24, 130)) < np.where(np.arange(130) % 7 < 5, 0.85, 0.15)
        days = (random.lognormal(1, 0.8, (24, 1)) * random.lognormal(0, 0.7, (24, 130)) * active).sum(0)
        found = forecast(days[None, :100], daily_kernel(100), horizon=30)
        for band in found.bands:
            held[band.level] += bool(band.total_lower[0] <= days[100:].sum() <= band.total_upper[0])
    assert 0.7 <= held[80] / 60 <= 0.9
    assert held[95] / 60 >= 0.88
