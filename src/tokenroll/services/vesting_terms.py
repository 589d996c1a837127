"""Vesting as people and rows say it: terms in JSON, read strictly and written in one spelling.

A ledger keeps its rows for ever, so the terms of its first revision (`monthly`, in columns of their own) are still read.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

import msgspec
from sqlalchemy import Row

from tokenroll.model.amount import text_from_nanos
from tokenroll.model.vesting import AllocationType, DatedShare, EventShare, Period, PeriodUnit, Vesting, VestingKind
from tokenroll.services.refusal import Refused

_PERIOD: Final = re.compile(r"(\d{1,5})([dm])")
_UNITS: Final = {"d": PeriodUnit.DAY, "m": PeriodUnit.MONTH}
_FIRST_REVISION_KIND: Final = "monthly"


def period_from_text(text: str, what: str) -> Period:
    """`90d` or `12m`. Raises Refused, which says `what` it was to be."""
    match = _PERIOD.fullmatch(text)
    if match is None:
        message = f"a {what} is a number of days or months such as 90d or 12m, not {text!r}"
        raise Refused("argument", message)
    return Period(count=int(match[1]), unit=_UNITS[match[2]])


def period_text(period: Period) -> str:
    """`90d`, `12m`."""
    return f"{period.count}{period.unit.value[0]}"


def vesting_from_terms(terms: Mapping[str, Any] | None) -> Vesting:
    """The schedule that terms describe; none is immediate. Raises Refused for what is no term or has no such value."""
    if not terms:
        return Vesting()
    unknown = terms.keys() - _READ.keys()
    if unknown:
        message = f"vesting has no {', '.join(sorted(unknown))}; its terms are {', '.join(_READ)}"
        raise Refused("argument", message)
    given = {name: read(terms[name]) for name, read in _READ.items() if terms.get(name) is not None}
    if given.get("kind") is VestingKind.PERIODIC:
        given.setdefault("period", Period(count=1, unit=PeriodUnit.MONTH))
    return Vesting(**given)


def terms_from_vesting(vesting: Vesting) -> dict[str, Any]:
    """The terms that make this schedule again; what is as usual is left out."""
    usual = Vesting()
    terms: dict[str, Any] = {"kind": vesting.kind.value}
    if vesting.period is not None:
        terms["period"] = period_text(vesting.period)
    for name in ("occurrences", "cliff_occurrences", "day_of_month", "allocation", "unit_nanos"):
        value = getattr(vesting, name)
        if value != getattr(usual, name):
            terms[name] = value
    if vesting.shares:
        terms["shares"] = [{"on": share.on.isoformat(), "weight": share.weight} for share in vesting.shares]
    if vesting.events:
        terms["events"] = [{"event": share.event, "weight": share.weight} for share in vesting.events]
    return terms


def vesting_from_row(row: Row[Any]) -> Vesting:
    """The schedule of a plan's or grant's row."""
    if row.vesting_kind == _FIRST_REVISION_KIND:
        month = Period(count=1, unit=PeriodUnit.MONTH)
        return Vesting(
            kind=VestingKind.PERIODIC,
            period=month,
            occurrences=row.vesting_months,
            cliff_occurrences=row.cliff_months,
        )
    return vesting_from_terms(msgspec.json.decode(row.vesting_terms) if row.vesting_terms else None)


def columns_of(vesting: Vesting) -> dict[str, Any]:
    """Its columns in a plan's or grant's row."""
    immediate = vesting == Vesting()
    return {
        "vesting_kind": vesting.kind.value,
        "vesting_months": 0,
        "cliff_months": 0,
        "vesting_terms": None if immediate else msgspec.json.encode(terms_from_vesting(vesting)).decode(),
    }


def schedule_text(vesting: Vesting, lifetime: Period | None) -> str:
    """One line for people: when it becomes spendable and how long each part lives."""
    parts = ["at once"]
    if vesting.period is not None:
        monthly = vesting.period == Period(count=1, unit=PeriodUnit.MONTH)
        parts = [
            f"over {vesting.occurrences} months" if monthly else f"{vesting.occurrences} × {_counted(vesting.period)}"
        ]
        if vesting.cliff_occurrences:
            parts.append(f"nothing before {'month' if monthly else 'number'} {vesting.cliff_occurrences}")
        if vesting.day_of_month:
            or_last = " or the month's last" if vesting.day_of_month > 28 else ""
            parts.append(f"on day {vesting.day_of_month}{or_last}")
    elif vesting.shares:
        total = sum(share.weight for share in vesting.shares)
        parts = ["; ".join(f"{share.weight}/{total} on {share.on}" for share in vesting.shares)]
    elif vesting.events:
        total = sum(share.weight for share in vesting.events)
        parts = ["; ".join(f"{share.weight}/{total} when {share.event!r} has happened" for share in vesting.events)]
    if vesting.unit_nanos != 1:
        parts.append(f"in parts of {text_from_nanos(vesting.unit_nanos, 0)}")
    if vesting.allocation is not AllocationType.CUMULATIVE_ROUND_DOWN:
        parts.append(vesting.allocation.value.replace("_", " "))
    if lifetime is not None:
        parts.append(f"each part lives {_counted(lifetime)}")
    return ", ".join(parts)


def _counted(period: Period) -> str:
    return f"{period.count} {period.unit.value}{'s' if period.count > 1 else ''}"


def _shares(value: Any) -> tuple[DatedShare, ...]:
    shares = []
    for share in value if isinstance(value, list) else [value]:
        if not isinstance(share, Mapping) or not {"on"} <= share.keys() <= {"on", "weight"}:
            message = f'a share of vesting is {{"on": "2027-01-01", "weight": 1}}, not {share!r}'
            raise Refused("argument", message)
        try:
            on = date.fromisoformat(str(share["on"]))
        except ValueError as error:
            message = f"a share of vesting has a date such as 2027-01-01, not {share['on']!r}"
            raise Refused("argument", message) from error
        shares.append(DatedShare(on=on, weight=_whole("weight")(share.get("weight", 1))))
    return tuple(shares)


def _events(value: Any) -> tuple[EventShare, ...]:
    events = []
    for share in value if isinstance(value, list) else [value]:
        if not isinstance(share, Mapping) or not {"event"} <= share.keys() <= {"event", "weight"}:
            message = f'a share of vesting by events is {{"event": "version 2 shipped", "weight": 1}}, not {share!r}'
            raise Refused("argument", message)
        events.append(EventShare(event=str(share["event"]), weight=_whole("weight")(share.get("weight", 1))))
    return tuple(events)


def _whole(name: str) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int:
            message = f"{name} of vesting is a whole number, not {value!r}"
            raise Refused("argument", message)
        return value

    return read


def _one_of(values: type[VestingKind | AllocationType], name: str) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value not in [one.value for one in values]:
            message = f"{name} of vesting is one of {', '.join(values)}, not {value!r}"
            raise Refused("argument", message)
        return values(value)

    return read


_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "kind": _one_of(VestingKind, "kind"),
    "period": lambda value: period_from_text(str(value), "period"),
    "occurrences": _whole("occurrences"),
    "cliff_occurrences": _whole("cliff_occurrences"),
    "day_of_month": _whole("day_of_month"),
    "shares": _shares,
    "events": _events,
    "allocation": _one_of(AllocationType, "allocation"),
    "unit_nanos": _whole("unit_nanos"),
}
