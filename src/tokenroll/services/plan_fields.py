"""The fields of a plan as people write them: one table for TOML files, spreadsheets, the command line and differences.

A field has a name with dots (`leaving.clawback.months`), a place among the arguments of `plan.create`, and a kind that reads
and writes it. TOML has types of its own; a cell of a spreadsheet is a text, in which a list is parted by semicolons.
"""

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from tokenroll.model.amount import AmountError, amount_nanos_checked, nanos_from_text, text_from_nanos
from tokenroll.model.classification import Classification
from tokenroll.model.enforcement import CapPolicy, Enforcement
from tokenroll.model.formula import FormulaKind
from tokenroll.model.grant import GrantKind
from tokenroll.model.instant import instant_from_datetime, instant_from_text, text_from_instant
from tokenroll.model.limits import (
    CLAWBACK_MONTHS_MAX,
    LEAVING_WINDOW_DAYS_MAX,
    LOOP_REQUESTS_MAX,
    LOOP_REQUESTS_MIN,
    OUTPUT_CAP_TOKENS_MAX,
    RATE_PER_DAY_MAX,
    RATE_PER_MINUTE_MAX,
    VESTING_WEIGHT_MAX,
)
from tokenroll.model.plan_terms import ClawbackBasis, ForfeitedBudget, Proration, TerminationReason
from tokenroll.model.tag import Purpose
from tokenroll.model.tax_facts import (
    Carryover,
    Catalogue,
    Convertible,
    CredentialForm,
    Denomination,
    Entitlement,
    PersonalShare,
    Recipient,
    StatedReason,
    Supplier,
    UseScope,
)
from tokenroll.model.vesting import AllocationType, VestingKind


class Kind(ABC):
    """How values of a field are read and written. Reading raises ValueError with what could stand there.

    `meaning` says what may stand in a cell; `choices` are the only values there are, where they can be listed.
    """

    meaning: str = ""
    choices: tuple[str, ...] = ()

    @abstractmethod
    def read(self, value: Any) -> Any:
        """The argument that a value of TOML means."""

    @abstractmethod
    def read_cell(self, text: str) -> Any:
        """The argument that a cell means."""

    @abstractmethod
    def cell(self, value: Any) -> str:
        """The cell of an argument."""

    def toml(self, value: Any) -> str:
        """The TOML of an argument."""
        return quoted(self.cell(value))


class Text(Kind):
    """Any text that is not empty."""

    def __init__(self, meaning: str = "a text") -> None:
        self.meaning = meaning

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise ValueError(f"must be a text, not {value!r}")
        return value

    def read_cell(self, text: str) -> str:
        return self.read(text)

    def cell(self, value: Any) -> str:
        return str(value)


class Choice(Text):
    """One of the values of an enumeration."""

    def __init__(self, values: type[StrEnum]) -> None:
        super().__init__(f"one of {', '.join(values)}")
        self.choices = tuple(one.value for one in values)

    def read(self, value: Any) -> str:
        if value not in self.choices:
            raise ValueError(f"must be one of {', '.join(self.choices)}, not {value!r}")
        return str(value)


class Amount(Kind):
    """Credits as an exact decimal text, because a number with a point is not what it looks like."""

    meaning = "a decimal number with at most nine decimals, such as 80 or 0.5"

    def read(self, value: Any) -> int:
        if not isinstance(value, str):
            raise ValueError(  # noqa: TRY004 - a mistake in a file, told like every other
                f'must be a text such as "80" or "0.5", not {value!r}'
            )
        return self.read_cell(value)

    def read_cell(self, text: str) -> int:
        try:
            return amount_nanos_checked(nanos_from_text(text), "it")
        except AmountError as error:
            raise ValueError(f"is no amount: {error}") from error

    def cell(self, value: Any) -> str:
        return text_from_nanos(value, 0)


class Whole(Kind):
    """A whole number within bounds."""

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most
        self.meaning = f"a whole number from {least} to {most}"

    def read(self, value: Any) -> int:
        if type(value) is not int or not self._least <= value <= self._most:
            raise ValueError(f"must be a whole number from {self._least} to {self._most}, not {value!r}")
        return value

    def read_cell(self, text: str) -> int:
        return self.read(int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else text)

    def cell(self, value: Any) -> str:
        return str(value)

    def toml(self, value: Any) -> str:
        return str(value)


class Flag(Kind):
    """True or false; in a cell, yes or no."""

    meaning = "yes or no"
    choices = ("yes", "no")

    def read(self, value: Any) -> bool:
        if type(value) is not bool:
            raise ValueError(f"must be true or false, not {value!r}")
        return value

    def read_cell(self, text: str) -> bool:
        known = {"yes": True, "true": True, "no": False, "false": False}
        if text.lower() not in known:
            raise ValueError(f"must be yes or no, not {text!r}")
        return known[text.lower()]

    def cell(self, value: Any) -> str:
        return "yes" if value else "no"

    def toml(self, value: Any) -> str:
        return "true" if value else "false"


class Moment(Kind):
    """An instant with its zone."""

    meaning = "an instant with its zone, such as 2027-01-01T00:00:00Z; nothing: when the file is applied"

    def read(self, value: Any) -> int:
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise ValueError(f"must be an instant with its zone such as 2026-07-01T00:00:00Z, not {value!s}")
        return instant_from_datetime(value)

    def read_cell(self, text: str) -> int:
        try:
            return instant_from_text(text)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"must be an instant with its zone such as 2026-07-01T00:00:00Z, not {text}") from error

    def cell(self, value: Any) -> str:
        return text_from_instant(value)

    def toml(self, value: Any) -> str:
        return text_from_instant(value)


class Day(Kind):
    """A date."""

    meaning = "a date, such as 2027-01-01"

    def read(self, value: Any) -> str:
        if type(value) is not date:
            raise ValueError(f"must be a date such as 2026-07-01, not {value!s}")
        return value.isoformat()

    def read_cell(self, text: str) -> str:
        try:
            return date.fromisoformat(text).isoformat()
        except ValueError as error:
            raise ValueError(f"must be a date such as 2026-07-01, not {text!r}") from error

    def cell(self, value: Any) -> str:
        return str(value)

    def toml(self, value: Any) -> str:
        return str(value)


class Names(Kind):
    """A list of names; in a cell, parted by semicolons."""

    meaning = "names parted by semicolons, such as Engineering; Research"

    def read(self, value: Any) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(one, str) and one and one == one.strip() for one in value):
            raise ValueError(
                f'must be a list of texts without blanks around them such as ["Engineering"], not {value!r}'
            )
        return list(value)

    def read_cell(self, text: str) -> list[str]:
        return _parts(text)

    def cell(self, value: Any) -> str:
        return _joined(value)

    def toml(self, value: Any) -> str:
        return f"[{', '.join(quoted(one) for one in value)}]"


class Pairs(Kind):
    """A table of names and values, kept as a list of records; in a cell, `name=value` parted by semicolons."""

    def __init__(self, name: Kind, value: Kind, keys: tuple[str, str], example: str) -> None:
        self._name, self._value, self._keys, self._example = name, value, keys, example
        self._cell_example = example.replace(" ", "").replace('"', "")
        self.meaning = f"pairs parted by semicolons, such as {self._cell_example}"

    def read(self, value: Any) -> list[dict[str, Any]]:
        if not isinstance(value, dict) or not value:
            raise ValueError(f"must be a table such as {{ {self._example} }}, not {value!r}")
        return [self._record(self._name.read(name), self._value.read(one)) for name, one in value.items()]

    def read_cell(self, text: str) -> list[dict[str, Any]]:
        found: dict[Any, dict[str, Any]] = {}
        for part in _parts(text):
            name, equals, one = part.rpartition("=")
            if not equals:
                raise ValueError(f"must be pairs such as {self._cell_example}, not {part!r}")
            key = self._name.read_cell(name.strip())
            if key in found:
                raise ValueError(f"names {name.strip()} twice")
            found[key] = self._record(key, self._value.read_cell(one.strip().strip('"')))
        return list(found.values())

    def _record(self, name: Any, value: Any) -> dict[str, Any]:
        return dict(zip(self._keys, (name, value), strict=True))

    def cell(self, value: Any) -> str:
        return _joined(f"{self._name.cell(name)}={self._value.cell(one)}" for name, one in self._pairs(value))

    def toml(self, value: Any) -> str:
        inner = ", ".join(
            f"{key_text(self._name.cell(name))} = {self._value.toml(one)}" for name, one in self._pairs(value)
        )
        return f"{{ {inner} }}"

    def _pairs(self, value: Iterable[Mapping[str, Any]]) -> list[tuple[Any, Any]]:
        return [(one[self._keys[0]], one[self._keys[1]]) for one in value]


class Shares(Kind):
    """Dates of vesting with their parts; in a cell, `2027-01-01=1; 2028-01-01=3`."""

    meaning = "dates with their parts, such as 2027-01-01=1; 2028-01-01=3"

    def read(self, value: Any) -> list[dict[str, Any]]:
        shares = value if isinstance(value, list) else [value]
        for share in shares:
            if not isinstance(share, dict) or type(share.get("on")) is not date or not share.keys() <= {"on", "weight"}:
                raise ValueError("must be a list of dates with their parts, such as [{ on = 2027-01-01, weight = 1 }]")
        return [{**share, "on": share["on"].isoformat()} for share in shares]

    def read_cell(self, text: str) -> list[dict[str, Any]]:
        shares = []
        for part in _parts(text):
            on, _, weight = part.partition("=")
            if weight and not weight.isdecimal():
                raise ValueError(f"must be dates with their parts such as 2027-01-01=1, not {part!r}")
            shares.append({"on": Day().read_cell(on.strip()), "weight": int(weight or 1)})
        return shares

    def cell(self, value: Any) -> str:
        return _joined(f"{one['on']}={one.get('weight', 1)}" for one in value)

    def toml(self, value: Any) -> str:
        shares = [f"{{ on = {one['on']}, weight = {one.get('weight', 1)} }}" for one in value]
        return f"[{', '.join(shares)}]"


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name with dots in files, the place of its value among the arguments, and how it is read."""

    name: str
    place: tuple[str, ...]
    kind: Kind

    def found_in(self, arguments: Mapping[str, Any]) -> Any:
        """Its value among the arguments, or None."""
        value: Any = arguments
        for part in self.place:
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def put_into(self, arguments: dict[str, Any], value: Any) -> None:
        """The value at its place, with the tables around it."""
        for part in self.place[:-1]:
            arguments = arguments.setdefault(part, {})
        arguments[self.place[-1]] = value


def _of(name: str, kind: Kind, *place: str) -> Field:
    return Field(name, place or tuple(name.split(".")), kind)


def _term(name: str, kind: Kind, *place: str) -> Field:
    return Field(name, ("terms", *(place or name.split("."))), kind)


_LEVELS: Final = Pairs(Text(), Amount(), ("level", "amount_nanos"), 'L4 = "40"')
_EVENTS: Final = Pairs(Text(), Whole(1, VESTING_WEIGHT_MAX), ("event", "weight"), '"version 2 shipped" = 1')
_WINDOWS: Final = Pairs(
    Choice(TerminationReason), Whole(0, LEAVING_WINDOW_DAYS_MAX), ("reason", "days"), "involuntary_death = 90"
)
NEEDED: Final = ("kind", "classification", "amount")
FIELDS: Final[Mapping[str, Field]] = {
    one.name: one
    for one in (
        _of("kind", Choice(GrantKind)),
        _of("classification", Choice(Classification)),
        _of("amount", Amount(), "amount_nanos"),
        _of("effective_at", Moment()),
        _of("lifetime", Text("how long each part lives, such as 90d or 12m; nothing: for ever")),
        _of("priority", Whole(0, 255)),
        _of("enforcement", Choice(Enforcement)),
        _of("cap_policy", Choice(CapPolicy)),
        _of("output_cap_tokens", Whole(1, OUTPUT_CAP_TOKENS_MAX)),
        _of("overage", Amount(), "overage_nanos_max"),
        _term("proration", Choice(Proration)),
        _term("transferable", Flag()),
        _term("purpose", Choice(Purpose)),
        _of("vesting.kind", Choice(VestingKind)),
        _of("vesting.period", Text("a number of days or months, such as 14d or 3m")),
        _of("vesting.occurrences", Whole(0, 2**31)),
        _of("vesting.cliff_occurrences", Whole(0, 2**31)),
        _of("vesting.day_of_month", Whole(0, 31)),
        _of("vesting.shares", Shares()),
        _of("vesting.events", _EVENTS),
        _of("vesting.allocation", Choice(AllocationType)),
        _of("vesting.unit", Amount(), "vesting", "unit_nanos"),
        _term("formula.kind", Choice(FormulaKind)),
        _term("formula.percent", Amount(), "formula", "percent_nanos"),
        _term("formula.levels", _LEVELS),
        _term("eligibility.departments", Names()),
        _term("eligibility.levels", Names()),
        _term("eligibility.locations", Names()),
        _term("eligibility.employment_types", Names()),
        _term("eligibility.hired_from", Day()),
        _term("eligibility.hired_until", Day()),
        _term("rollover.min", Amount(), "rollover", "min_nanos"),
        _term("rollover.max", Amount(), "rollover", "max_nanos"),
        _term("access.models", Names()),
        _term("access.service_tiers", Names()),
        _term("access.calls_per_minute_max", Whole(1, RATE_PER_MINUTE_MAX)),
        _term("access.tokens_per_minute_max", Whole(1, RATE_PER_MINUTE_MAX)),
        _term("access.input_tokens_per_minute_max", Whole(1, RATE_PER_MINUTE_MAX)),
        _term("access.output_tokens_per_minute_max", Whole(1, RATE_PER_MINUTE_MAX)),
        _term("access.calls_per_day_max", Whole(1, RATE_PER_DAY_MAX)),
        _term("access.tokens_per_day_max", Whole(1, RATE_PER_DAY_MAX)),
        _term("access.input_tokens_per_day_max", Whole(1, RATE_PER_DAY_MAX)),
        _term("access.output_tokens_per_day_max", Whole(1, RATE_PER_DAY_MAX)),
        _term("floor.model", Text()),
        _term("floor.pool", Text()),
        _term("thrift.cache_marking", Flag()),
        _term("thrift.cache_key", Flag()),
        _term("thrift.coalesce", Flag()),
        _term("thrift.break_loops", Whole(LOOP_REQUESTS_MIN, LOOP_REQUESTS_MAX)),
        _term("thrift.cap_hints", Flag()),
        _term("leaving.windows", _WINDOWS),
        _term("leaving.forfeited", Choice(ForfeitedBudget)),
        _term("leaving.clawback.basis", Choice(ClawbackBasis)),
        _term("leaving.clawback.months", Whole(1, CLAWBACK_MONTHS_MAX)),
        _term("leave_of_absence.pauses_vesting", Flag()),
        _term("leave_of_absence.pauses_stipend", Flag()),
        _term("wording.title", Text()),
        _term("wording.why", Text()),
        _term("tax.use_scope", Choice(UseScope)),
        _term("tax.convertible", Choice(Convertible)),
        _term("tax.denomination", Choice(Denomination)),
        _term("tax.catalogue", Choice(Catalogue)),
        _term("tax.salary_sacrifice", Flag()),
        _term("tax.entitlement", Choice(Entitlement)),
        _term("tax.stated_reason", Choice(StatedReason)),
        _term("tax.supplier", Choice(Supplier)),
        _term("tax.recipient", Choice(Recipient)),
        _term("tax.company_device", Flag()),
        _term("tax.carryover", Choice(Carryover)),
        _term("tax.credential_form", Choice(CredentialForm)),
        _term("tax.personal_share", Choice(PersonalShare)),
    )
}
TABLES: Final = frozenset(
    ".".join(name.split(".")[:count]) for name in FIELDS for count in range(1, name.count(".") + 1)
)
"""Names of tables: `vesting`, `leaving`, `leaving.clawback` …"""


def names_below(table: str) -> list[str]:
    """What may stand in a table (empty: in the plan's own): its fields, and the tables in it."""
    start = f"{table}." if table else ""
    return list(dict.fromkeys(name[len(start) :].split(".")[0] for name in FIELDS if name.startswith(start)))


def quoted(text: str) -> str:
    """A TOML basic string."""
    escapes = {'"': '\\"', "\\": "\\\\"}
    inner = "".join(
        escapes.get(one) or (f"\\u{ord(one):04x}" if ord(one) < 32 or ord(one) == 127 else one) for one in text
    )
    return f'"{inner}"'


def key_text(name: str) -> str:
    """A TOML key: bare where it may be, else quoted."""
    bare = name.replace("-", "").replace("_", "")
    return name if bare.isascii() and bare.isalnum() else quoted(name)


def _parts(text: str) -> list[str]:
    """What stands between semicolons, without the blanks around; a part that holds one is within double quotes."""
    try:
        rows = list(csv.reader([text], delimiter=";", skipinitialspace=True))
    except csv.Error as error:  # such as a line break inside the cell
        raise ValueError(f"must be parts with semicolons between them, not {text!r}") from error
    return [part.strip() for row in rows for part in row if part.strip()]


def _joined(parts: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=";", lineterminator="").writerow(list(parts))
    return line.getvalue()
