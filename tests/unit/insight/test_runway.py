"""When a wallet runs dry, where luck has little to say."""

import numpy as np
import pytest

from tokenroll.insight.runway import runway

STEADY = np.full((1, 20), 10.0)


def test_steady_use_runs_dry_when_division_says():
    found = runway(STEADY, np.array([32.0]), days_left=5, seed=1)
    # a quarter of all scenarios has a level of its own: above 0.64 in 81.4 % of them, five days of it are more than 32
    assert found.chance == pytest.approx([0.75 + 0.25 * 0.814], abs=0.003)
    # by the third day only levels above 1.067 are dry (44.9 % of a quarter), by the fourth all others, too
    assert found.by_day[0, 2:4] == pytest.approx([0.25 * 0.449, 0.75 + 0.25 * 0.672], abs=0.003)
    assert found.dry_days.tolist() == [[3, 4, 4]]


def test_what_lasts_has_no_date():
    found = runway(STEADY, np.array([1000.0]), days_left=5, seed=1)
    assert (found.chance.tolist(), found.dry_days.tolist()) == ([0.0], [[0, 0, 0]])


def test_an_overdrawn_wallet_is_dry_and_an_unused_one_never():
    found = runway(np.array([[1.0] * 9, [0.0] * 9]), np.array([-1.0, 0.0]), days_left=3, seed=1)
    assert (found.chance.tolist(), found.dry_days.tolist()) == ([1.0, 0.0], [[1, 1, 1], [0, 0, 0]])


def test_a_newcomers_unknown_days_are_no_days_without_use():
    newcomer = np.array([[np.nan] * 15 + [10.0] * 5])
    assert runway(newcomer, np.array([32.0]), days_left=5, seed=1).by_day == pytest.approx(
        runway(STEADY, np.array([32.0]), days_left=5, seed=1).by_day
    )
    nobody = runway(np.full((1, 20), np.nan), np.array([5.0]), days_left=5, seed=1)
    assert nobody.chance.tolist() == [0.0]


def test_pooled_growth_knows_that_people_start():
    stepping = np.array([[1.0] * 6 + [8.0] * 6] * 30)
    quiet = np.vstack([stepping, np.full((1, 12), 1.0)])
    budget = np.full(31, 20.0)
    alone = runway(np.full((1, 12), 1.0), np.array([20.0]), days_left=6, seed=1)
    assert runway(quiet, budget, days_left=6, seed=1).chance[-1] > alone.chance[0]


def test_many_wallets_are_answered_in_parts_and_the_seed_decides(monkeypatch):
    use = np.random.default_rng(2).exponential(size=(7, 30))
    whole = runway(use, np.full(7, 9.0), days_left=8, seed=4)
    monkeypatch.setattr("tokenroll.insight.runway.SERIES_AT_ONCE", 2)
    assert runway(use, np.full(7, 9.0), days_left=8, seed=4).by_day.tolist() == whole.by_day.tolist()
    assert runway(use, np.full(7, 9.0), days_left=8, seed=5).by_day.tolist() != whole.by_day.tolist()


def test_a_cycle_that_is_over_has_no_chance():
    found = runway(STEADY, np.array([1.0]), days_left=0, seed=1)
    assert (found.chance.tolist(), found.dry_days.tolist()) == ([0.0], [[0, 0, 0]])


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(ValueError, match="wallet × day"):
        runway(STEADY, np.array([1.0, 2.0]), days_left=3, seed=1)
