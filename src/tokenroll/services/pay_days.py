"""Pay days: the rule that a company set, and the public holidays that it moves off."""

import json
from collections.abc import Callable
from datetime import date
from typing import Any, Final, Required, TypedDict

from sqlalchemy import Connection, select

from tokenroll.engine.paydays import is_weekday
from tokenroll.model.pay_cycle import PayDayMove, PayDayRule
from tokenroll.services.finding import required
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema

PAY_DAYS_SETTING: Final = "pay_days"
_INSTALL: Final = (
    "install `tokenroll[calendar]` (the package `holidays`) to move pay days off a country's public holidays"
)


class _SetPayDays(TypedDict, total=False):
    move: Required[str]
    days_after: int
    country: str
    subdivision: str


def set_pay_days(work: UnitOfWork, arguments: _SetPayDays) -> dict[str, Any]:
    """On which day a cycle is paid from now on. `move`, `days_after`, `country`, `subdivision`. Raises Refused."""
    move = required(arguments, "move")
    if move not in set(PayDayMove):
        raise Refused(
            "argument", f"a pay day that is no working day moves to the {', '.join(PayDayMove)}, not {move!r}"
        )
    rule = PayDayRule(
        move=PayDayMove(move),
        days_after=int(arguments.get("days_after") or 0),
        country=str(arguments.get("country") or "").upper(),
        subdivision=str(arguments.get("subdivision") or ""),
    )
    working_days(rule)
    said = {
        "move": rule.move.value,
        "days_after": rule.days_after,
        "country": rule.country,
        "subdivision": rule.subdivision,
    }
    work.setting_changed(PAY_DAYS_SETTING, json.dumps(said, sort_keys=True))
    return said


def pay_day_rule(connection: Connection) -> PayDayRule | None:
    """The rule that holds; None until one was set."""
    settings = schema.settings.c
    text = connection.scalar(select(settings.value).where(settings.name == PAY_DAYS_SETTING))
    if not text:
        return None
    said = json.loads(text)
    return PayDayRule(**{**said, "move": PayDayMove(said["move"])})


def working_days(rule: PayDayRule) -> Callable[[date], bool]:
    """Which days are working days where the company pays. Raises Refused for a country that nobody knows holidays of."""
    if not rule.country:
        return is_weekday
    try:
        import holidays  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise Refused("not_installed", _INSTALL) from error
    try:
        calendar = holidays.country_holidays(rule.country, subdiv=rule.subdivision or None)
    except NotImplementedError as error:
        where = f"{rule.country} {rule.subdivision}".strip()
        message = f"there are no public holidays of {where}: a country is two letters such as DE, a subdivision its code such as BE"
        raise Refused("argument", message) from error
    return calendar.is_working_day
