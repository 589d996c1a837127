"""When a wallet runs dry, where luck has little to say."""

import numpy as np
import pytest

from tokenroll.insight.runway import Habit, runway

STEADY = np.full((1, 20), 10.0)


def test_steady_use_runs_dry_when_division_says():
    found = runway(STEADY, np.array([32.0]), days_left=5, seed=1)
    # the level of who never swung spreads by 0.8 x 0.4 / sqrt(8.24 + 1 + 7) = 0.0794; five days of it are more than 32 for certain
    assert found.chance == pytest.approx([1.0], abs=0.001)
    # three days are more at a level above 1.067, 20.8 % of 0.85; four at one above 0.8, 99.75 %, and at the pace of late
    assert found.by_day[0, 2:4] == pytest.approx([0.85 * 0.208, 0.15 + 0.85 * 0.9975], abs=0.003)
    assert found.dry_days.tolist() == [[3, 4, 4]]


def test_half_a_year_of_steady_use_makes_a_chance_surer():
    found = runway(np.full((1, 180), 10.0), np.array([32.0]), days_left=5, seed=1)
    # eight weeks that are alike count for 49 days: 0.8 x 0.4 / sqrt(8.33 + 1 + 49) = 0.0419, and 6.2 % of levels are above 1.067
    assert found.by_day[0, 2] == pytest.approx(0.85 * 0.062, abs=0.003)
    assert found.dry_days.tolist() == [[4, 4, 4]]


def test_who_swings_is_told_a_less_sure_chance_than_who_does_not():
    """Ada uses ten each day, Bo nothing on one day and twenty on the next."""
    firm = np.array([[10.0] * 20, [0.0, 20.0] * 10])
    ample, scarce = (runway(firm, np.full(2, left), days_left=5, seed=1).chance for left in (70.0, 38.0))
    assert ample[0] < 0.02
    assert ample[1] > 0.1
    assert scarce[0] > 0.98
    assert scarce[1] < 0.9


def test_weeks_that_are_alike_make_days_off_no_swing():
    """Ada rests on the weekend, Bo on any two days of a fortnight's end: both use 50 a week on average."""
    ada = [10.0] * 5 + [0.0] * 2
    bo = [0.0] * 7 + [20.0] * 5 + [0.0] * 2
    firm = np.array([ada * 8, bo * 4])
    chances = runway(firm, np.full(2, 260.0), days_left=28, seed=1).chance
    assert chances[0] < 0.2
    assert chances[1] > chances[0] + 0.1


def test_a_working_day_to_come_is_like_working_days():
    """Ada works from Monday to Friday, ten a day; seven are left on Friday evening, and still on Sunday evening."""
    weeks, left = np.array([([10.0] * 5 + [0.0] * 2) * 4]), np.array([7.0])
    friday, sunday = (runway(one, left, days_left=2, seed=1).chance[0] for one in (weeks[:, :-2], weeks))
    assert friday < 0.55
    assert sunday > 0.8
    any_day = Habit(weekday_share=0.0)
    friday, sunday = (runway(one, left, days_left=2, seed=1, habit=any_day).chance[0] for one in (weeks[:, :-2], weeks))
    assert friday > 0.8
    assert sunday < 0.75


def test_what_lasts_has_no_date():
    found = runway(STEADY, np.array([1000.0]), days_left=5, seed=1)
    assert (found.chance.tolist(), found.dry_days.tolist()) == ([0.0], [[0, 0, 0]])


def test_an_overdrawn_wallet_is_dry_and_an_unused_one_never():
    found = runway(np.array([[1.0] * 9, [0.0] * 9]), np.array([-1.0, 0.0]), days_left=3, seed=1)
    assert (found.chance.tolist(), found.dry_days.tolist()) == ([1.0, 0.0], [[1, 1, 1], [0, 0, 0]])


def test_a_newcomers_unknown_days_are_no_days_without_use():
    newcomer, budget = np.array([[np.nan] * 15 + [10.0] * 5]), np.array([32.0])
    told = runway(newcomer, budget, days_left=5, seed=1).by_day
    assert told == pytest.approx(runway(np.full((1, 5), 10.0), budget, days_left=5, seed=1).by_day)
    assert told[0, 4] > 0.9
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
