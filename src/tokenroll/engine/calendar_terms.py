"""Pay calendars as text: how a row keeps the terms of one, and how a worker is told all of them."""

import json
from collections.abc import Sequence
from datetime import date
from typing import Final

from tokenroll.model.pay_cycle import CustomCycle, PayCalendar, PayCycleKind, YearEnd

CALENDARS_SETTING: Final = "pay_calendars"
"""All calendars as one text, for workers, who tell clients when their cycle ends."""


def calendar_text(calendar: PayCalendar) -> str:
    """A calendar's terms without its date and kind, which have columns of their own."""
    terms = {
        "weeks": list(calendar.weeks),
        "year_end_month": calendar.year_end_month,
        "year_end_weekday": calendar.year_end_weekday,
        "year_end": calendar.year_end.value,
        "custom": [[one.name, one.starts_on.isoformat()] for one in calendar.custom],
        "custom_until": None if calendar.custom_until is None else calendar.custom_until.isoformat(),
    }
    return json.dumps(terms, sort_keys=True)


def calendar_from_text(effective_on: str, kind: str, text: str) -> PayCalendar:
    """The calendar of a row. Raises ValueError."""
    terms = json.loads(text)
    until = terms["custom_until"]
    return PayCalendar(
        effective_on=date.fromisoformat(effective_on),
        kind=PayCycleKind(kind),
        weeks=tuple(terms["weeks"]),
        year_end_month=terms["year_end_month"],
        year_end_weekday=terms["year_end_weekday"],
        year_end=YearEnd(terms["year_end"]),
        custom=tuple(CustomCycle(name, date.fromisoformat(starts_on)) for name, starts_on in terms["custom"]),
        custom_until=None if until is None else date.fromisoformat(until),
    )


def calendars_text(calendars: Sequence[PayCalendar]) -> str:
    """All calendars, as the setting that workers obey."""
    return json.dumps([[one.effective_on.isoformat(), one.kind.value, calendar_text(one)] for one in calendars])


def calendars_from_text(text: str) -> tuple[PayCalendar, ...]:
    """The calendars of the setting; none of an empty text."""
    return tuple(calendar_from_text(*one) for one in json.loads(text or "[]"))
