"""Questions to the usage lake as ibis expressions: one meaning on DuckDB, Polars, ClickHouse and Spark.

A question groups events by dimensions and adds measures up. Its expression is of one table, of events or of their sums, and says
nothing of where that table is. Sums are integers: int64 where the manifest proves that it holds them, else decimals of 38 digits,
because engines differ in what they do when int64 does not.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Final

from tokenroll.model.instant import HOUR_MICROS, Instant, datetime_from_instant
from tokenroll.model.limits import USAGE_ANSWER_ROWS_MAX, USAGE_CONDITIONS_MAX
from tokenroll.model.usage import METERS
from tokenroll.store.lake import LakeView
from tokenroll.store.lake_files import INT64_MAX, int64_holds, lake_engine, show_rows, table_of
from tokenroll.store.lake_libraries import arrow, arrow_compute, ibis
from tokenroll.store.lake_manifest import LakeFile
from tokenroll.store.lake_rollups import compiled
from tokenroll.store.lake_schema import COSTS, COUNTS, DAILY, DAY_MICROS, ROLLUP, SUM_KEYS, USAGE

_PLAIN: Final = (
    "member", "department", "cost_centre", "project", "model", "provider", "key", "purpose", "source", "billing", "status",
    "service_tier", "currency",
)  # fmt: skip
_ONLY_IN_EVENTS: Final = ("session", "outcome")
_KEY_OF: Final = MappingProxyType({"tag": "tags_text", "hour": "hour_at", "week": "day", "month": "day"})
"""Which column of sums a dimension needs, where it is none itself."""
OF_ONE_PERSON: Final = frozenset({"member", "key", "session"})
"""Dimensions that tell one person apart."""
TIMES: Final = ("hour", "day", "week", "month")
"""A week is told by its Monday, a month by its first day, an hour by its beginning; all in UTC."""
TAG: Final = "tag"
"""An event with several tags counts under each, and one without any under the empty one."""
DIMENSIONS: Final = (*_PLAIN, *_ONLY_IN_EVENTS, TAG, *TIMES)
CALLS: Final = "calls"
MEASURES: Final[Mapping[str, str]] = MappingProxyType(
    {
        CALLS: "call_count",
        **{meter.value: column for meter, column in zip(METERS, COUNTS, strict=True)},
        "model_tokens": "model_tokens",
        "list": "list_cost_nanos",
        "net": "net_cost_nanos",
        "billed": "billed_cost_nanos",
        "charge": "charge_nanos",
    }
)
"""By the names that questions use: the column that is added, and its name in the answer."""
OPERATORS: Final = ("!=", "=", "~")
"""Is not, is, contains whatever the case."""


class QuestionError(ValueError):
    """A question that cannot be asked; the message says what can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What events a question is about. Several that say `=` of one dimension mean any of the values, all others must hold together."""

    dimension: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """One question. `order` names dimensions and measures of it, `-` before one for the largest first; then the dimensions decide."""

    by: tuple[str, ...] = ()
    measures: tuple[str, ...] = (CALLS, "model_tokens", "list")
    where: tuple[Condition, ...] = ()
    from_at: Instant | None = None
    until: Instant | None = None
    order: tuple[str, ...] = ()
    limit: int | None = None

    def __post_init__(self) -> None:
        _known(self.by, DIMENSIONS, "dimension")
        _known(self.measures, MEASURES, "measure")
        _known([one.removeprefix("-") for one in self.order], (*self.by, *self.measures), "column to order by")
        _known(
            [one.dimension for one in self.where],
            [one for one in DIMENSIONS if one not in TIMES],
            "dimension of a condition",
        )
        if not self.measures:
            raise QuestionError(f"a question has a measure: {', '.join(MEASURES)}")
        if len(self.where) > USAGE_CONDITIONS_MAX:
            raise QuestionError(f"at most {USAGE_CONDITIONS_MAX} conditions, not {len(self.where)}")
        if self.limit is not None and not 1 <= self.limit <= USAGE_ANSWER_ROWS_MAX:
            raise QuestionError(f"a limit is 1 to {USAGE_ANSWER_ROWS_MAX} rows, not {self.limit}")
        if self.from_at is not None and self.until is not None and self.from_at >= self.until:
            raise QuestionError("the period ends before it begins: its end is exclusive")

    def known_to(self, kind: str) -> bool:
        """Whether rows of this kind hold everything that this asks for: its dimensions, and its period to the hour or day."""
        if kind == USAGE:
            return True
        needed = {_KEY_OF.get(name, name) for name in (*self.by, *(one.dimension for one in self.where))}
        grain = HOUR_MICROS if kind == ROLLUP else DAY_MICROS
        return needed <= set(SUM_KEYS[kind]) and all(at is None or at % grain == 0 for at in (self.from_at, self.until))


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageAnswer:
    """The answer as an Arrow table: a column for each dimension and measure. `currency` is that of its costs, if they have one."""

    table: Any
    kind: str
    """Of which rows it is: events, or their sums by hour or day."""
    currency: str

    def rows(self, start: int = 0, count: int | None = None) -> list[dict[str, Any]]:
        """Rows as dictionaries: texts, whole numbers, dates as ISO text and hours as instants under `hour_at`."""
        found: list[dict[str, Any]] = self.table.slice(start, count).to_pylist()
        return [{name: _plain_value(value) for name, value in row.items()} for row in found]


def _plain_value(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, date) else int(value)


def _known(names: Iterable[str], known: Iterable[str], what: str) -> None:
    found = list(names)
    known = list(known)
    for name in found:
        if name not in known:
            raise QuestionError(f"there is no {what} {name!r}: there are {', '.join(known) or 'none'}")
    if len(set(found)) < len(found) and what != "dimension of a condition":
        raise QuestionError(f"a {what} stands twice in {', '.join(found)}")


def condition_from_text(text: str) -> Condition:
    """The condition that `member=Ada`, `member!=Ada` or `model~sonnet` says. Raises QuestionError."""
    places = [(text.find(one), one) for one in OPERATORS if one in text]
    if not places:
        raise QuestionError(
            f"{text!r} is no condition: write member=Ada, member!=Ada, or model~sonnet for a part of it"
        )
    at, operator = min(places, key=lambda place: (place[0], OPERATORS.index(place[1])))
    return Condition(dimension=text[:at].strip(), operator=operator, value=text[at + len(operator) :].strip())


def expression(query: UsageQuery, rows: Any, *, kind: str, fits: bool) -> Any:
    """The question as an expression over a table of this kind of rows. `fits`: int64 holds every sum of it."""
    is_rollup = kind != USAGE
    kept = kept_by(query, rows, kind)
    if TAG in query.by:
        kept = kept.mutate(tag=_tags(kept, is_rollup=is_rollup).unnest())
    groups = {_column_of(name): _dimension(kept, name) for name in query.by}
    sums = {MEASURES[name]: _sum(kept, name, is_rollup=is_rollup, fits=fits) for name in query.measures}
    summed = kept.group_by(**groups).aggregate(**sums) if groups else kept.aggregate(**sums)
    if groups:
        summed = summed.order_by(_order(query))
    limit = query.limit or USAGE_ANSWER_ROWS_MAX + 1
    return summed.limit(limit) if groups else summed


def _column_of(name: str) -> str:
    return "hour_at" if name == "hour" else MEASURES.get(name, name)


def _order(query: UsageQuery) -> list[Any]:
    order = []
    for one in query.order:
        name = one.removeprefix("-")
        column = ibis()._[_column_of(name)]
        order.append(column.desc() if one.startswith("-") else column.asc())
    named = {one.removeprefix("-") for one in query.order}
    return order + [ibis()._[_column_of(name)].asc() for name in query.by if name not in named]


def _dimension(rows: Any, name: str) -> Any:
    match name:
        case "hour":
            return rows.hour_at
        case "week":
            return rows.day.truncate("W")
        case "month":
            return rows.day.truncate("M")
        case _:
            return rows[name]


def _tags(rows: Any, *, is_rollup: bool) -> Any:
    """A list of each row's tags that is never empty, because a row without any counts, too."""
    if is_rollup:
        return rows.tags_text.split(",")
    return ibis().ifelse(rows.tags.length() == 0, ibis().array([""]), rows.tags)


def _sum(rows: Any, name: str, *, is_rollup: bool, fits: bool) -> Any:
    if name == CALLS and not is_rollup:
        return rows.count()
    column = rows[MEASURES[name]]
    total = column.sum() if fits else column.cast("decimal(38, 0)").sum().cast("decimal(38, 0)")
    return total.fill_null(0) if name == CALLS else total


def kept_by(query: UsageQuery, rows: Any, kind: str) -> Any:
    """The rows of this kind that a question is about."""
    at = {USAGE: "admitted_at", ROLLUP: "hour_at"}.get(kind, "day")
    wanted = []
    if query.from_at is not None:
        wanted.append(rows[at] >= _end_of_period(query.from_at, kind))
    if query.until is not None:
        wanted.append(rows[at] < _end_of_period(query.until, kind))
    equal: dict[str, list[str]] = {}
    for one in query.where:
        if one.operator == "=" and one.dimension != TAG:
            equal.setdefault(one.dimension, []).append(one.value)
        else:
            wanted.append(_holds(rows, one, is_rollup=kind != USAGE))
    wanted += [rows[dimension].isin(values) for dimension, values in equal.items()]
    return rows.filter(wanted) if wanted else rows


def _end_of_period(at: Instant, kind: str) -> Any:
    return datetime_from_instant(at).date() if kind == DAILY else at


def _holds(rows: Any, one: Condition, *, is_rollup: bool) -> Any:
    if one.dimension != TAG:
        column = rows[one.dimension]
        return column != one.value if one.operator == "!=" else _has_part(column, one.value)
    if one.operator == "~":
        return _has_part(rows.tags_text if is_rollup else rows.tags.join(","), one.value)
    if is_rollup:
        has = ("," + rows.tags_text + ",").contains(f",{one.value},") if one.value else rows.tags_text == ""
    else:
        has = rows.tags.contains(one.value) if one.value else rows.tags.length() == 0
    return ~has if one.operator == "!=" else has


def _has_part(column: Any, part: str) -> Any:
    """Whether a text has this part, whatever the case of its letters: ClickHouse's `lower` knows those of ASCII alone.

    Every text has the empty part, which engines do not agree on where it is a pattern.
    """
    if not part:
        return ibis().literal(value=True)
    return column.re_search(f"(?i){re.escape(part)}")


def answer(
    view: LakeView, query: UsageQuery, *, threads: int = 0, kinds: Sequence[str] = (DAILY, ROLLUP, USAGE)
) -> UsageAnswer:
    """The answer, from the first of these kinds of rows that knows it: sums if they are complete, else events. Raises QuestionError."""
    events = within(view.manifest.of_kind(USAGE), query)
    is_summed = all(one.rolled for one in events)
    kind = next(one for one in (*kinds, USAGE) if one == USAGE or (is_summed and query.known_to(one)))
    files = events if kind == USAGE else within(view.manifest.of_kind(kind), query)
    currency = _currency_of(query, files)
    with lake_engine(view.directory, threads=threads) as engine:
        show_rows(engine, view.directory, files, kind)
        asked = expression(query, table_of(kind), kind=kind, fits=int64_holds(files))
        table = engine.sql(compiled(asked)).to_arrow_table()
    if table.num_rows > USAGE_ANSWER_ROWS_MAX:
        raise QuestionError(
            f"the answer has more than {USAGE_ANSWER_ROWS_MAX} rows: ask with fewer dimensions, a shorter period or --limit"
        )
    return UsageAnswer(table=_narrowed(table), kind=kind, currency=currency)


def within(files: Iterable[LakeFile], query: UsageQuery) -> list[LakeFile]:
    """Files that have anything of the period: of sums their hours and days are told by their beginnings, as periods are that they know."""
    from_at, until = query.from_at, query.until
    return [
        one
        for one in files
        if (from_at is None or one.admitted_last_at >= from_at) and (until is None or one.admitted_from_at < until)
    ]


def _currency_of(query: UsageQuery, files: Iterable[LakeFile]) -> str:
    """What the costs are in; empty where rows say it themselves. Raises QuestionError for a sum of several currencies."""
    found = {currency for one in files for currency in one.currencies}
    named = {one.value for one in query.where if (one.dimension, one.operator) == ("currency", "=")}
    found = found & named if named else found
    asks_costs = any(MEASURES[name] in COSTS for name in query.measures)
    if len(found) > 1 and asks_costs and "currency" not in query.by:
        told = ", ".join(sorted(found))
        raise QuestionError(f"these costs are in {told}: ask by currency, or where currency={min(found)}")
    return found.pop() if len(found) == 1 else ""


def _narrowed(table: Any) -> Any:
    """The same table with dates for weeks and months, and int64 for sums that fit, so that files of answers are read by everything."""
    pa, pc = arrow(), arrow_compute()
    for index, field in enumerate(table.schema):
        column = table.column(index)
        if pa.types.is_timestamp(field.type):
            table = table.set_column(index, field.name, column.cast(pa.date32()))
        elif pa.types.is_decimal(field.type):
            whole = column.cast(pa.decimal128(38, 0))
            ends = pc.min_max(whole).as_py()
            is_wide = ends["max"] is not None and max(abs(ends["min"]), abs(ends["max"])) > INT64_MAX
            table = table.set_column(index, field.name, whole if is_wide else whole.cast(pa.int64()))
    return table
