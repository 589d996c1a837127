"""What a team lends to who has no past."""

import numpy as np
import pytest

from tokenroll.insight.newcomers import with_borrowed_past

UNKNOWN = np.nan


def test_a_newcomer_has_the_teams_use_per_head_until_the_own_days_come():
    history = np.array([[2.0, 4, 6], [4.0, 8, 0], [UNKNOWN, UNKNOWN, 9], [100.0, 100, 100]])
    found = with_borrowed_past(history, [0, 0, 0, 1], enough_periods=3)
    assert found.tolist() == [[2, 4, 6], [4, 8, 0], [3, 6, 9], [100, 100, 100]]
    assert np.isnan(history[2, 0])


def test_a_team_of_newcomers_borrows_from_the_company_and_a_company_of_them_has_nothing():
    history = np.array([[2.0, 4], [UNKNOWN, UNKNOWN]])
    assert with_borrowed_past(history, [0, 1], enough_periods=2).tolist() == [[2, 4], [2, 4]]
    assert with_borrowed_past(history[1:], [0], enough_periods=2).tolist() == [[0, 0]]


def test_who_is_known_for_long_keeps_the_gaps():
    found = with_borrowed_past(np.array([[UNKNOWN, 4.0, 6], [1.0, 1, 1]]), [0, 0], enough_periods=2)
    assert np.isnan(found[0, 0])


def test_each_series_has_a_team():
    with pytest.raises(ValueError, match="2 series"):
        with_borrowed_past(np.ones((2, 2)), [0], enough_periods=1)
