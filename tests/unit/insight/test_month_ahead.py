"""Ada's next month, from days that say what it will be and from days that do not."""

from datetime import date

import pytest

from tokenroll.insight.month_ahead import month_ahead

SUNDAY = date(2026, 3, 1)
WEEK = (4.0, 4.0, 4.0, 4.0, 4.0, 0.0, 0.0)


def test_a_week_that_always_was_will_be():
    ahead = month_ahead(WEEK * 12, SUNDAY)
    assert ahead is not None
    assert [day.on for day in ahead.days][:2] == [date(2026, 3, 2), date(2026, 3, 3)]
    assert [day.middle for day in ahead.days][:8] == pytest.approx([4, 4, 4, 4, 4, 0, 0, 4])
    # thirty days from a Monday have 22 working days
    assert ahead.expected == pytest.approx(88, rel=0.04)
    assert ahead.low_95 <= ahead.low_80 <= ahead.expected <= ahead.high_80 <= ahead.high_95
    assert ahead.accuracy is None, "who repeats last week is never wrong here, so there is no error to compare with"


def test_a_past_that_is_long_enough_tells_how_far_it_was_off():
    weeks = [amount * (1 + week % 2) for week in range(12) for amount in WEEK]
    ahead = month_ahead(weeks, SUNDAY)
    assert ahead is not None
    assert ahead.accuracy is not None
    assert ahead.accuracy.origins == 2
    # working days are 4 and 8 in turn: the median of both is one of them or between, so it is off by half of 12 in every two at most
    assert 0 < ahead.accuracy.wape <= 0.5
    assert ahead.low_95 < ahead.expected < ahead.high_95


def test_a_past_too_short_for_a_trial_says_so():
    ahead = month_ahead(WEEK * 3, SUNDAY)
    assert ahead is not None
    assert ahead.accuracy is None
    assert len(ahead.days) == 30


def test_three_weeks_are_the_least():
    assert month_ahead(WEEK * 2, SUNDAY) is None


def test_nothing_comes_of_nothing():
    ahead = month_ahead([0.0] * 60, SUNDAY)
    assert ahead is not None
    assert (ahead.expected, ahead.high_95, ahead.accuracy) == (0, 0, None)
