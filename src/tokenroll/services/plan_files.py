"""Plans as a file that people review: read with every mistake named by its line, compared with the ledger, applied as a whole.

    [plans."Engineer stipend"]
    kind = "stipend"
    classification = "tool"
    amount = "80"
    lifetime = "1m"

    [plans."Engineer stipend".vesting]      # none: all at once
    kind = "periodic"
    occurrences = 12

The fields are those of services/plan_fields.py. Amounts are texts, because a number with a point is not what it looks like.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from sqlalchemy import Connection, select

from tokenroll.engine.classifying import cautions
from tokenroll.model.instant import text_from_instant
from tokenroll.model.limits import PLAN_FILE_BYTES_MAX, PLANS_PER_FILE_MAX
from tokenroll.model.plan import Plan
from tokenroll.services.plan_fields import FIELDS, NEEDED, TABLES, key_text, names_below
from tokenroll.services.plan_references import unknown_references
from tokenroll.services.planning import CreatePlan, arguments_of, create_plan, newest_version, plan_given
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.services.vesting_terms import schedule_text
from tokenroll.settings_table import line_of
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
        arguments: dict[str, Any] = {"name": name}
        self._read(where, "", table, arguments)
        for key in NEEDED:
            if isinstance(table, dict) and key not in table:
                self._problem(where, key, "is missing")
        if len(self.problems) == before:
            for problem in problems_of(arguments):
                self._problem(("plans",), name, problem)
        return PlanEntry(name=name, line=line_of(self._text, ("plans",), name), arguments=arguments)

    def _read(self, where: tuple[str, ...], prefix: str, table: Any, arguments: dict[str, Any]) -> None:
        if not isinstance(table, dict):
            self._problem(where[:-1], where[-1], "must be a table")
            return
        for key, value in table.items():
            name = f"{prefix}{key}"
            field = FIELDS.get(name)
            if field is not None:
                try:
                    field.put_into(arguments, field.kind.read(value))
                except ValueError as error:
                    self._problem(where, key, str(error))
            elif name in TABLES:
                self._read((*where, key), f"{name}.", value, arguments)
            else:
                self._problem(where, key, f"is not known here; known are {', '.join(names_below(prefix[:-1]))}")

    def _problem(self, where: tuple[str, ...], key: str, what: str) -> None:
        line = line_of(self._text, where, key)
        self.problems.append(f"{self._path}{f':{line}' if line else ''}: {'.'.join((*where, key))} {what}")


def problems_of(arguments: Mapping[str, Any]) -> list[str]:
    """Why no plan can be as these arguments say; each field for itself is right already."""
    try:
        _plan_of(arguments)
    except Refused as error:
        return error.message.split("\n")
    except ValueError as error:
        return [str(error)]
    return []


def cautions_of(arguments: Mapping[str, Any]) -> list[str]:
    """What is allowed in a plan and still needs somebody's eye."""
    return list(cautions(_plan_of(arguments)))


def toml_from_plans(plans: Iterable[Mapping[str, Any]]) -> str:
    """A file that `read_plans` reads as these arguments, for people to edit."""
    blocks: list[str] = []
    for arguments in plans:
        tables: dict[str, list[str]] = {"": []}
        for field in FIELDS.values():
            value = field.found_in(arguments)
            if value is None:
                continue
            table, _, key = field.name.rpartition(".")
            tables.setdefault(table, []).append(f"{key} = {field.kind.toml(value)}")
        start = f"plans.{key_text(str(arguments['name']))}"
        blocks.extend(
            "\n".join([f"[{'.'.join(filter(None, (start, table)))}]", *lines, ""]) for table, lines in tables.items()
        )
    return "\n".join(blocks)


# ---- against the ledger ---------------------------------------------------------------------------------------------------


def differences(connection: Connection, entries: Iterable[PlanEntry]) -> list[dict[str, Any]]:
    """What applying the file would do: each plan is `new`, `changed` field by field, or the `same`; others stay as they are.

    `problems` are names in it that nothing in the ledger has, for which it would be refused.
    """
    found = []
    named = set()
    for entry in entries:
        named.add(entry.name)
        newest = newest_version(connection, entry.name)
        changes = [] if newest is None else _changes(newest, entry.arguments)
        state = "new" if newest is None else "changed" if changes else "same"
        problems = unknown_references(connection, _plan_of(entry.arguments)) if state != "same" else []
        found.append({"name": entry.name, "state": state, "line": entry.line, "changes": changes, "problems": problems})
    others = connection.scalars(select(schema.plans.c.name).distinct().order_by(schema.plans.c.name))
    rest = [name for name in others if name not in named]
    return found + [
        {"name": name, "state": "only in the ledger", "line": None, "changes": [], "problems": []} for name in rest
    ]


class _ApplyPlans(TypedDict):
    plans: list[CreatePlan]


def apply_plans(work: UnitOfWork, arguments: _ApplyPlans) -> dict[str, Any]:
    """New plans and new versions of changed ones, all or none; a plan that the file says as the ledger has it is left alone."""
    created, unchanged = [], []
    problems: list[str] = []
    for given in arguments["plans"]:
        name = str(given.get("name", "")).strip()
        newest = newest_version(work.connection, name)
        try:
            if newest is not None and not _changes(newest, given):
                unchanged.append(newest.name)
            else:
                created.append(create_plan(work, given))
        except (Refused, ValueError) as error:
            problems.extend(one if one.startswith("plan ") else f"plan {name}: {one}" for one in str(error).split("\n"))
    if problems:
        raise Refused("plans", "\n".join(problems))
    return {"created": created, "unchanged": unchanged}


def _plan_of(arguments: Mapping[str, Any]) -> Plan:
    """The plan as the file says it, before the ledger gives it an id, a version and, where it says none, a date."""
    return plan_given(arguments, id_=1, public_id="plan", version=1, now=0)


def _changes(newest: Plan, given: Mapping[str, Any]) -> list[dict[str, str]]:
    """Field by field; a date that the file does not say is not compared."""
    was, becomes = told_fields(newest), told_fields(_plan_of(given))
    if given.get("effective_at") is None:
        del becomes["effective_at"]
        del was["effective_at"]
    return [
        {"field": field, "was": was.get(field, "-"), "becomes": becomes.get(field, "-")}
        for field in dict.fromkeys([*becomes, *was])
        if was.get(field) != becomes.get(field)
    ]


def told_fields(plan: Plan) -> dict[str, str]:
    """Every field as a person writes it; two plans that are told alike are alike. What is as usual is told of the first fields only."""
    arguments = arguments_of(plan)
    usual = {
        "lifetime": "for ever",
        "priority": str(plan.priority),
        "enforcement": plan.enforcement.value,
        "cap_policy": plan.cap_policy.value,
        "output_cap_tokens": str(plan.output_cap_tokens),
        "overage": "0",
    }
    told = {}
    for field in FIELDS.values():
        value = field.found_in(arguments)
        if field.name.startswith("vesting."):
            told["vesting"] = schedule_text(plan.vesting, None)
        elif value is not None:
            told[field.name] = field.kind.cell(value)
        elif field.name in usual:
            told[field.name] = usual[field.name]
    told["effective_at"] = text_from_instant(plan.effective_at)
    return told


def told_terms(plan: Plan) -> dict[str, str]:
    """The plan's terms that are not as usual, by the names that files give them."""
    arguments = {"terms": arguments_of(plan).get("terms", {})}
    found = {field.name: field.found_in(arguments) for field in FIELDS.values()}
    return {name: FIELDS[name].kind.cell(value) for name, value in found.items() if value is not None}
