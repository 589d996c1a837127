"""Paydays: the date on which a cycle is paid, moved off the days on which nobody works. The cycle itself does not move."""

from collections.abc import Callable
from datetime import date, timedelta

from tokenroll.model.limits import PAY_DAY_MOVES_MAX
from tokenroll.model.pay_cycle import CycleDays, PayDayMove, PayDayRule

_DAY = timedelta(days=1)


def pay_day(days: CycleDays, rule: PayDayRule, is_working: Callable[[date], bool]) -> date:
    """So many days after the cycle's last one, or the nearest working day before or after that.

    Raises ValueError where PAY_DAY_MOVES_MAX days in a row are no working days: such a calendar is broken.
    """
    day = days.until_on - _DAY + timedelta(days=rule.days_after)
    if rule.move is PayDayMove.STAY:
        return day
    step = -_DAY if rule.move is PayDayMove.PREVIOUS else _DAY
    for moves in range(PAY_DAY_MOVES_MAX):
        if is_working(day + moves * step):
            return day + moves * step
    raise ValueError(f"there is no working day within {PAY_DAY_MOVES_MAX} days of {day}")


def is_weekday(day: date) -> bool:
    """Monday to Friday: what working days are where no country is named."""
    return day.weekday() < 5
