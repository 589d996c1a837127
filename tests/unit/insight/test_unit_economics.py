"""What a merged change costs Bo's team, failures included."""

import pytest

from tokenroll.insight import unit_economics
from tokenroll.insight.unit_economics import OutcomeSpend, joined, unit_cost


def outcome(name: str, spend_nanos: int, *, accepted: bool = True) -> OutcomeSpend:
    return OutcomeSpend(outcome=name, is_accepted=accepted, spend_nanos=spend_nanos)


def test_failures_are_part_of_what_success_costs():
    found = unit_cost([outcome("a", 100), outcome("b", 300), outcome("c", 200, accepted=False)], unattributed_nanos=60)
    assert (found.accepted_count, found.outcome_count) == (2, 3)
    assert found.per_accepted_nanos == 300
    assert found.whole_nanos == 330
    assert (found.failed_nanos, found.failed_permille) == (200, 333)
    assert (found.low_nanos, found.high_nanos) == (None, None), "two outcomes are too few for an interval"


def test_nothing_accepted_has_no_unit_cost():
    found = unit_cost([outcome("a", 100, accepted=False)])
    assert (found.per_accepted_nanos, found.whole_nanos, found.failed_permille) == (None, None, 1000)
    assert unit_cost([]).per_accepted_nanos is None


def test_equal_outcomes_leave_nothing_to_chance():
    found = unit_cost([outcome(str(number), 70) for number in range(8)])
    assert (found.low_nanos, found.per_accepted_nanos, found.high_nanos) == (70, 70, 70)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """200 teams of 40 outcomes that cost 50 or 150 and fail one time in four: the truth is 100 / 0.75 for each."""
    import random

    chance = random.Random(7)
    truth = 100 / 0.75
    held = 0
    for team in range(200):
        found = unit_cost(
            [outcome(str(n), chance.choice((50, 150)), accepted=chance.random() < 0.75) for n in range(40)], seed=team
        )
        assert found.low_nanos is not None
        assert found.high_nanos is not None
        held += found.low_nanos <= truth <= found.high_nanos
    assert held == pytest.approx(190, abs=10)


def test_spend_of_a_name_that_no_log_has_is_told_apart():
    outcomes, elsewhere = joined({"pr-1": 100, "pr-9": 40}, {"pr-1": True, "pr-2": False})
    assert outcomes == (outcome("pr-1", 100), outcome("pr-2", 0, accepted=False))
    assert elsewhere == 40


def test_a_few_outcomes_have_the_interval_that_they_always_had():
    found = unit_cost([outcome(str(n), 10 * n, accepted=n % 4 != 0) for n in range(40)])
    assert (found.low_nanos, found.per_accepted_nanos, found.high_nanos) == (203, 260, 338)


def test_many_outcomes_are_drawn_from_in_bounded_time_and_the_width_is_that_of_the_law(monkeypatch):
    """A hundred thousand outcomes of 50 or 150, one in four failed: the standard error of the cost is known in closed form.

    Of outcomes with spend s and acceptance a, spend over acceptance R = 100 / 0.75 has the variance of (s - R a) over n 0.75 squared:
    2,500 + R² · 0.1875 = 5,833, so that its error is 76.38 / (0.75 · 316.2) = 0.322 and the interval 1.26 wide.
    """
    import random

    monkeypatch.setattr(unit_economics, "DRAWN_MAX", 500)
    chance = random.Random(11)
    many = [outcome(str(n), chance.choice((50, 150)) * 10**6, accepted=chance.random() < 0.75) for n in range(100_000)]
    found = unit_cost(many)
    assert found.low_nanos is not None
    assert found.high_nanos is not None
    assert (found.high_nanos - found.low_nanos) / 10**6 == pytest.approx(1.262, rel=0.1)
    assert found.per_accepted_nanos is not None
    assert found.low_nanos < found.per_accepted_nanos < found.high_nanos
    assert unit_cost(many) == found
