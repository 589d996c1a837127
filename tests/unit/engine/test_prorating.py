from datetime import date

import pytest

from tests.cast import CREDIT
from tokenroll.engine.prorating import days_employed, part_time, prorate

NOVEMBER, DECEMBER = date(2026, 11, 1), date(2026, 12, 1)


@pytest.mark.parametrize(
    ("hired_on", "left_on", "days"),
    [
        (None, None, (0, 30)),
        (date(2025, 1, 1), None, (0, 30)),
        (date(2026, 11, 15), None, (14, 30)),  # the 15th counts: 16 days
        (None, date(2026, 11, 15), (0, 15)),  # and is a last day too
        (date(2026, 11, 10), date(2026, 11, 10), (9, 10)),
        (date(2026, 12, 1), None, (30, 30)),
        (None, date(2026, 10, 31), (0, 0)),
        (None, date(2025, 1, 1), (0, 0)),
    ],
)
def test_days_of_employment_are_counted(hired_on, left_on, days):
    assert days_employed(NOVEMBER, DECEMBER, hired_on, left_on) == days


@pytest.mark.parametrize(
    ("begin", "end", "nanos"),
    [
        (0, 30, 100 * CREDIT),
        (14, 30, 53_333_333_334),  # 100 - 46.666666666
        (0, 14, 46_666_666_666),
        (9, 10, 3_333_333_333),
        (30, 30, 0),
    ],
)
def test_a_part_of_a_month(begin, end, nanos):
    assert prorate(100 * CREDIT, begin, end, 30) == nanos


@pytest.mark.parametrize(("begin", "end", "count"), [(-1, 5, 30), (5, 4, 30), (0, 31, 30), (0, 0, 0)])
def test_days_lie_in_the_cycle(begin, end, count):
    with pytest.raises(ValueError, match=f"in a cycle of {count} days"):
        prorate(CREDIT, begin, end, count)


def test_a_part_of_full_time():
    assert part_time(100 * CREDIT, 600_000) == 60 * CREDIT
    assert part_time(1, 999_999) == 0
    assert part_time(CREDIT, 1_000_000) == CREDIT
    for none in (0, -1, 1_000_001):
        with pytest.raises(ValueError, match="working time lies above 0 and at most at 1"):
            part_time(CREDIT, none)
