"""Prorating: the part of a cycle's amount for the days of it that somebody was employed, and for the part of full time they work.

Parts are differences of a running total that is rounded down, so the parts of a cycle always sum to the whole, however it
is cut: who changes plans in mid-month gets one month, to the nano.
"""

from datetime import date

from tokenroll.model.member import FULL_TIME_MILLIONTHS


def part_time(amount_nanos: int, working_time_millionths: int) -> int:
    """The amount for a part of full time, rounded down. Raises ValueError for a part that is none."""
    if not 0 < working_time_millionths <= FULL_TIME_MILLIONTHS:
        raise ValueError("working time lies above 0 and at most at 1, which is full time, such as 0.5")
    return amount_nanos * working_time_millionths // FULL_TIME_MILLIONTHS


def prorate(amount_nanos: int, begin_day: int, end_day: int, day_count: int) -> int:
    """The part of days `begin_day` until `end_day` (exclusive, counted from 0) of a cycle of `day_count` days."""
    if not 0 <= begin_day <= end_day <= day_count or day_count == 0:
        raise ValueError(f"days {begin_day} until {end_day} do not lie in a cycle of {day_count} days")
    return amount_nanos * end_day // day_count - amount_nanos * begin_day // day_count


def days_employed(first: date, until: date, hired_on: date | None, left_on: date | None) -> tuple[int, int]:
    """The days of a cycle, from `first` until `until`, on which somebody was employed, as `prorate` counts them.

    `left_on` is the last day and counts. Unknown days of hire and leaving cut nothing; who was never there has no days.
    """
    day_count = (until - first).days
    begin = 0 if hired_on is None else min(day_count, max(0, (hired_on - first).days))
    end = day_count if left_on is None else min(day_count, (left_on - first).days + 1)
    return begin, max(begin, end)
