"""When a wallet runs dry, where luck has little to say."""

import numpy as np
import pytest

from tokenroll.insight.runway import CONE, Habit, cone, runway

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


def test_a_cone_is_what_division_says_and_ends_at_nothing():
    """Of ten a day: 0.85 of all have a level, as many above one as below it; the others go on at ten."""
    found = cone(np.full(20, 10.0), 32.0, days_left=5, seed=1)
    assert found.shape == (5, 5)
    # the middle is of those at ten, with 0.425 on either side of them
    assert found[2].tolist() == [22.0, 12.0, 2.0, 0.0, 0.0]
    # the edges are in order, fall day by day, and none is below nothing
    assert (np.diff(found, axis=0) >= 0).all()
    assert (np.diff(found, axis=1) <= 0).all()
    assert found.min() == 0.0
    # levels spread by 0.0794, as above. A tenth of all are 11.76 % of them: 1.187 widths and more, 10.99 a day or 9.10;
    # a fortieth of all are 2.94 %: 1.889 widths and more, 11.62 a day or 8.61
    assert found[:, 0] == pytest.approx([32 - 11.62, 32 - 10.99, 22.0, 32 - 9.10, 32 - 8.61], abs=0.02)
    # no level changes within a scenario, so that two days are twice as far off
    assert found[:, 1] == pytest.approx([32 - 23.24, 32 - 21.98, 12.0, 32 - 18.20, 32 - 17.21], abs=0.03)


@pytest.mark.parametrize("left", [5.0, 9.0, 15.0])
def test_a_cone_agrees_with_the_chances(left):
    use = np.random.default_rng(3).exponential(size=30)
    chances = runway(use[None, :], np.array([left]), days_left=12, seed=4).by_day[0]
    edges = cone(use, left, days_left=12, seed=4)
    # an edge is at nothing on the days on which at least its part of the scenarios is dry, and on no other
    assert (edges == 0).tolist() == [[chance >= part for chance in chances] for part in CONE]
    assert 0 < (edges == 0).sum() < edges.size


def test_a_cone_follows_weekdays_as_the_chances_do():
    """Ten a day from Monday to Friday, seven are left on Friday evening: more than a tenth of all scenarios use nothing on the days off."""
    weeks = np.array(([10.0] * 5 + [0.0] * 2) * 4)
    friday = cone(weeks[:-2], 7.0, days_left=2, seed=1)
    assert friday[3].tolist() == [7.0, 7.0]
    any_day = cone(weeks[:-2], 7.0, days_left=2, seed=1, habit=Habit(weekday_share=0.0))
    assert any_day[3, 1] < 7.0


def test_no_day_left_has_no_cone():
    assert cone(np.full(20, 10.0), 32.0, days_left=0, seed=1).shape == (5, 0)
