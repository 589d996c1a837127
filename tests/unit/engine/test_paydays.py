from datetime import date

import pytest

from tokenroll.engine import cycling
from tokenroll.engine.paydays import is_weekday, pay_day
from tokenroll.model.pay_cycle import PayDayMove, PayDayRule

JANUARY = cycling.cycle_on((), date(2026, 1, 31))  # the 31st is a Saturday


@pytest.mark.parametrize(("move", "day"), [("previous", "2026-01-30"), ("next", "2026-02-02"), ("stay", "2026-01-31")])
def test_a_pay_day_moves_off_the_weekend(move, day):
    assert f"{pay_day(JANUARY, PayDayRule(move=PayDayMove(move)), is_weekday)}" == day


def test_days_after_the_last_one_are_counted_before_it_moves():
    rule = PayDayRule(move=PayDayMove.PREVIOUS, days_after=8)
    assert pay_day(JANUARY, rule, is_weekday) == date(2026, 2, 6)


def test_a_calendar_without_working_days_is_broken():
    with pytest.raises(ValueError, match="no working day within 31 days of 2026-01-31"):
        pay_day(JANUARY, PayDayRule(move=PayDayMove.NEXT), lambda _day: False)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [({"days_after": 63}, "0 to 62 days"), ({"days_after": -1}, "0 to 62"), ({"subdivision": "BE"}, "name both")],
)
def test_a_rule_is_valid_at_birth(fields, problem):
    with pytest.raises(ValueError, match=problem):
        PayDayRule(move=PayDayMove.NEXT, **fields)
