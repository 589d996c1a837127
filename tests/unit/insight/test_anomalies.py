"""A wild day is told, a busy one is not."""

from datetime import date, timedelta

from tokenroll.insight.anomalies import SpendDay, unusual_days

MONDAY = date(2026, 1, 5)
USD = 1_000_000_000


def spent(*amounts: int) -> list[SpendDay]:
    return [SpendDay(MONDAY + timedelta(days=n), nanos * USD) for n, nanos in enumerate(amounts)]


def test_a_day_far_above_its_usual_is_told_with_its_usual():
    found = unusual_days(spent(10, 12, 11, 9, 10, 11, 10, 12, 9, 10, 11, 95))
    # the middle of the eleven days before is 10; a quarter of it is wider than their own width
    assert [(one.on, one.nanos, one.usual_nanos, one.widths) for one in found] == [
        (date(2026, 1, 16), 95 * USD, 10 * USD, 34.0)
    ]


def test_a_wild_day_does_not_make_the_next_ones_look_wild():
    assert [one.on.day for one in unusual_days(spent(10, 12, 11, 9, 10, 11, 10, 12, 9, 10, 11, 95, 10, 20, 11))] == [16]


def test_weekends_are_compared_with_weekends():
    week = (40, 41, 42, 40, 43, 2, 1)
    assert unusual_days(spent(*week * 6)) == ()
    busy_sunday = [*week * 5, *week[:6], 38]
    assert [one.usual_nanos for one in unusual_days(spent(*busy_sunday))] == [1 * USD]


def test_few_days_and_small_amounts_are_no_news():
    assert unusual_days(spent(1, 1, 1, 1, 1, 1, 1, 1, 1, 500)) == ()
    still = [SpendDay(MONDAY + timedelta(days=n), 1000) for n in range(20)]
    assert unusual_days([*still, SpendDay(MONDAY + timedelta(days=20), USD // 2)]) == ()
