"""A company, its teams and its members at once: Ada and Bo are team 0, Cleo is team 1."""

import numpy as np
import pytest

from tokenroll.insight.outlook import Past, outlook, tried_out, under_factors

NOT_YET = np.nan


def past(rows, depth=3, **changes):
    return Past(rows=np.asarray(rows, np.float64), group_of=(0, 0, 1), depth=depth, **changes)


def bursts(days=70):
    random = np.random.default_rng(5)
    return random.poisson(40, (3, days)) * (np.arange(days) % 7 < 5)


@pytest.mark.parametrize(("depth", "series"), [(1, 1), (2, 2), (3, 3)])
def test_each_depth_adds_up_to_the_same_company(depth, series):
    found = outlook(past(bursts(), depth), 14)
    assert found.lowest.counts.shape == (series, 14)
    assert np.array_equal(found.lowest.counts.sum(0), found.company.counts[0])
    assert np.array_equal(found.company.counts, outlook(past(bursts(), 1), 14).company.counts)
    assert len(found.methods) == depth


def test_who_is_still_to_come_was_nobody_at_an_earlier_origin():
    """Bo joins on day 40 of 50: seen from day 30 there is Ada alone; seen from day 43 he is new, and expected at what she uses."""
    rows = np.full((3, 50), 4.0)
    rows[1, :40] = NOT_YET
    rows[1, 40:] = 1.0
    known = past(rows)
    assert outlook(known, 1, known=30).lowest.totals == [4, 0, 4]
    assert outlook(known, 1, known=40).lowest.totals == [4, 0, 4]
    assert outlook(known, 30, known=43).lowest.totals[1] > 30


def test_models_borrow_nothing_from_each_other():
    rows = np.full((3, 50), 4.0)
    rows[1, :47] = NOT_YET
    borrowed = outlook(past(rows), 7).lowest.totals[1]
    assert borrowed == 28
    assert outlook(past(rows, is_people=False), 7).lowest.totals[1] < borrowed


def test_factors_of_rows_move_the_company_by_as_much():
    found = outlook(past(np.full((3, 70), 10.0), 2), 2)
    moved = under_factors(found, np.array([[1.0, 2.0], [1.0, 1.0]]))
    assert moved.lowest.counts.tolist() == [[20, 40], [10, 10]]
    assert moved.company.counts.tolist() == [[30, 50]]
    assert float(moved.company.forecast.band(80).total_upper[0]) == pytest.approx(80)


def test_what_never_moved_cannot_be_tried():
    assert tried_out(past(np.zeros((3, 70))), 7) is None
    assert tried_out(past(bursts(20)), 30) is not None  # a week ahead in place of a month
    assert tried_out(past(bursts(14)), 30) is None
