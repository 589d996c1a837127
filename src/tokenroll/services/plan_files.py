"""Plans as a file that people review: read with every mistake named by its line, compared with the ledger, applied as a whole.

    [plans."Engineer stipend"]
    kind = "stipend"
    classification = "tool"
    amount = "80"
    lifetime = "1m"

    [plans."Engineer stipend".vesting]      # none: all at once
    kind = "periodic"
    occurrences = 12

Amounts are texts, because a number with a point is not what it looks like.
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, cast

from sqlalchemy import Connection, select

from tokenroll.model.amount import AmountError, amount_nanos_checked, nanos_from_text, text_from_nanos
from tokenroll.model.classification import Classification
from tokenroll.model.enforcement import CapPolicy, Enforcement
from tokenroll.model.grant import GrantKind
from tokenroll.model.instant import Instant, instant_from_datetime, text_from_instant
from tokenroll.model.limits import OUTPUT_CAP_TOKENS_MAX, PLAN_FILE_BYTES_MAX, PLANS_PER_FILE_MAX
from tokenroll.model.plan import Plan
from tokenroll.model.vesting import AllocationType, VestingKind
from tokenroll.services.finding import required
from tokenroll.services.planning import create_plan, newest_version, plan_given
from tokenroll.services.unit_of_work import Refused, UnitOfWork
from tokenroll.services.vesting_terms import period_text, schedule_text
from tokenroll.settings import line_of
from tokenroll.store import schema


class PlanFileError(Exception):
    """A file that cannot be used: every problem in a line of its own, with file, line and field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanEntry:
    """One plan of a file: what `plan.create` is told, and the line on which it begins."""

    name: str
    line: int
    arguments: Mapping[str, Any]


def read_plans(path: Path) -> list[PlanEntry]:
    """The plans of a file. Raises PlanFileError with every mistake in it, not only the first."""
    try:
        if path.stat().st_size > PLAN_FILE_BYTES_MAX:
            raise PlanFileError(f"{path} is larger than {PLAN_FILE_BYTES_MAX} bytes")
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise PlanFileError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except tomllib.TOMLDecodeError as error:
        raise PlanFileError(f"{path} is not TOML: {error}") from error
    reader = _Reader(path, text)
    entries = reader.entries(document)
    if reader.problems:
        raise PlanFileError("\n".join(reader.problems))
    return entries


class _Reader:
    """Reads one document and keeps its problems."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text
        self.problems: list[str] = []

    def entries(self, document: Mapping[str, Any]) -> list[PlanEntry]:
        for key in document:
            if key != "plans":
                self._problem((), key, "is not known here; a plan is a table [plans.NAME]")
        plans = document.get("plans", {})
        if not isinstance(plans, dict) or not plans:
            self._problem((), "plans", "has no plans: a plan is a table [plans.NAME]")
            return []
        if len(plans) > PLANS_PER_FILE_MAX:
            self._problem((), "plans", f"has {len(plans)} plans; a file holds at most {PLANS_PER_FILE_MAX}")
            return []
        return [self._entry(name, table) for name, table in plans.items()]

    def _entry(self, name: str, table: Any) -> PlanEntry:
        where = ("plans", name)
        before = len(self.problems)
        arguments = {"name": name, **self._fields(where, table, _PLAN_FIELDS)}
        for key in ("kind", "classification", "amount"):
            if isinstance(table, dict) and key not in table:
                self._problem(where, key, "is missing")
        if len(self.problems) == before:
            try:
                _plan_of(arguments)
            except Refused as error:
                self._problem(("plans",), name, error.message)
            except ValueError as error:
                self._problem(("plans",), name, str(error))
        return PlanEntry(name=name, line=line_of(self._text, ("plans",), name), arguments=arguments)

    def _fields(self, where: tuple[str, ...], table: Any, fields: Mapping[str, "_Field"]) -> dict[str, Any]:
        if not isinstance(table, dict):
            self._problem(where[:-1], where[-1], "must be a table")
            return {}
        found: dict[str, Any] = {}
        for key, value in table.items():
            field = fields.get(key)
            if field is None:
                self._problem(where, key, f"is not known here; known are {', '.join(fields)}")
            elif field.read is None:
                found[field.name] = self._fields((*where, key), value, _VESTING_FIELDS)
            else:
                try:
                    found[field.name] = field.read(value)
                except ValueError as error:
                    self._problem(where, key, str(error))
        return found

    def _problem(self, where: tuple[str, ...], key: str, what: str) -> None:
        line = line_of(self._text, where, key)
        self.problems.append(f"{self._path}{f':{line}' if line else ''}: {'.'.join((*where, key))} {what}")


@dataclass(frozen=True, slots=True)
class _Field:
    """How a key is read, and what `plan.create` calls it; without a reader it is the table of vesting."""

    name: str
    read: Callable[[Any], Any] | None


def _choice(values: type[StrEnum]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in [one.value for one in values]:
            raise ValueError(f"must be one of {', '.join(values)}, not {value!r}")
        return str(value)

    return read


def _amount(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - a mistake in a file, told like every other
            f'must be a text such as "80" or "0.5", not {value!r}'
        )
    try:
        return amount_nanos_checked(nanos_from_text(value), "it")
    except AmountError as error:
        raise ValueError(f"is no amount: {error}") from error


def _number(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}, not {value!r}")
        return value

    return read


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be a text, not {value!r}")
    return value


def _instant(value: Any) -> Instant:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(f"must be an instant with its zone such as 2026-07-01T00:00:00Z, not {value!s}")
    return instant_from_datetime(value)


def _shares(value: Any) -> list[dict[str, Any]]:
    shares = value if isinstance(value, list) else [value]
    for share in shares:
        if not isinstance(share, dict) or type(share.get("on")) is not date or not share.keys() <= {"on", "weight"}:
            raise ValueError("must be a list of dates with their parts, such as [{ on = 2027-01-01, weight = 1 }]")
    return [{**share, "on": share["on"].isoformat()} for share in shares]


_PLAN_FIELDS: Final[Mapping[str, _Field]] = {
    "kind": _Field("kind", _choice(GrantKind)),
    "classification": _Field("classification", _choice(Classification)),
    "amount": _Field("amount_nanos", _amount),
    "effective_at": _Field("effective_at", _instant),
    "vesting": _Field("vesting", None),
    "lifetime": _Field("lifetime", _text),
    "priority": _Field("priority", _number(0, 255)),
    "enforcement": _Field("enforcement", _choice(Enforcement)),
    "cap_policy": _Field("cap_policy", _choice(CapPolicy)),
    "output_cap_tokens": _Field("output_cap_tokens", _number(1, OUTPUT_CAP_TOKENS_MAX)),
    "overage": _Field("overage_nanos_max", _amount),
}
_VESTING_FIELDS: Final[Mapping[str, _Field]] = {
    "kind": _Field("kind", _choice(VestingKind)),
    "period": _Field("period", _text),
    "occurrences": _Field("occurrences", _number(0, 2**31)),
    "cliff_occurrences": _Field("cliff_occurrences", _number(0, 2**31)),
    "day_of_month": _Field("day_of_month", _number(0, 31)),
    "shares": _Field("shares", _shares),
    "allocation": _Field("allocation", _choice(AllocationType)),
    "unit": _Field("unit_nanos", _amount),
}


# ---- against the ledger ---------------------------------------------------------------------------------------------------


def differences(connection: Connection, entries: Iterable[PlanEntry]) -> list[dict[str, Any]]:
    """What applying the file would do: each plan is `new`, `changed` field by field, or the `same`; others stay as they are."""
    found = []
    named = set()
    for entry in entries:
        named.add(entry.name)
        newest = newest_version(connection, entry.name)
        changes = [] if newest is None else _changes(newest, entry.arguments)
        state = "new" if newest is None else "changed" if changes else "same"
        found.append({"name": entry.name, "state": state, "line": entry.line, "changes": changes})
    others = connection.scalars(select(schema.plans.c.name).distinct().order_by(schema.plans.c.name))
    rest = [name for name in others if name not in named]
    return found + [{"name": name, "state": "only in the ledger", "line": None, "changes": []} for name in rest]


def apply_plans(work: UnitOfWork, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """New plans and new versions of changed ones, all or none; a plan that the file says as the ledger has it is left alone."""
    created, unchanged = [], []
    for given in cast("list[Mapping[str, Any]]", required(arguments, "plans")):
        newest = newest_version(work.connection, str(given.get("name", "")).strip())
        if newest is not None and not _changes(newest, given):
            unchanged.append(newest.name)
        else:
            created.append(create_plan(work, given))
    return {"created": created, "unchanged": unchanged}


def _plan_of(arguments: Mapping[str, Any]) -> Plan:
    """The plan as the file says it, before the ledger gives it an id, a version and, where it says none, a date."""
    return plan_given(arguments, id_=1, public_id="plan", version=1, now=0)


def _changes(newest: Plan, given: Mapping[str, Any]) -> list[dict[str, str]]:
    """Field by field; a date that the file does not say is not compared."""
    was, becomes = _told(newest), _told(_plan_of(given))
    if given.get("effective_at") is None:
        del becomes["effective_at"]
    return [
        {"field": field, "was": was[field], "becomes": text} for field, text in becomes.items() if was[field] != text
    ]


def _told(plan: Plan) -> dict[str, str]:
    """Every field as a person writes it; two plans that are told alike are alike."""
    return {
        "kind": plan.kind.value,
        "classification": plan.classification.value,
        "amount": text_from_nanos(plan.amount_nanos, 0),
        "vesting": schedule_text(plan.vesting, None),
        "lifetime": "for ever" if plan.lot_lifetime is None else period_text(plan.lot_lifetime),
        "priority": str(plan.priority),
        "enforcement": plan.enforcement.value,
        "cap_policy": plan.cap_policy.value,
        "output_cap_tokens": str(plan.output_cap_tokens),
        "overage": text_from_nanos(plan.overage_nanos_max, 0),
        "effective_at": text_from_instant(plan.effective_at),
    }
