"""Questions to the usage lake as ibis expressions: one meaning on DuckDB, Polars, ClickHouse and Spark.

A question groups events by dimensions and adds measures up. Its expression is of one table, of events or of their hourly sums, and says
nothing of where that table is. Sums are integers: int64 where the manifest proves that it holds them, else decimals of 38 digits,
because engines differ in what they do when int64 does not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Final

from tokenroll.model.instant import HOUR_MICROS, Instant
from tokenroll.model.limits import USAGE_ANSWER_ROWS_MAX, USAGE_CONDITIONS_MAX
from tokenroll.model.usage import METERS
from tokenroll.store.lake import LakeView
from tokenroll.store.lake_files import INT64_MAX, int64_holds, lake_engine, show_rows, table_of
from tokenroll.store.lake_libraries import arrow, arrow_compute, ibis
from tokenroll.store.lake_manifest import ROLLUP, USAGE, LakeFile
from tokenroll.store.lake_rollups import compiled
from tokenroll.store.lake_schema import COSTS, COUNTS

_PLAIN: Final = (
    "member", "department", "cost_centre", "project", "model", "provider", "key", "purpose", "source", "billing", "status",
    "service_tier", "currency",
)  # fmt: skip
_ONLY_IN_EVENTS: Final = ("session",)
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

    @property
    def rollups_know(self) -> bool:
        """Whether the hourly sums hold everything that this asks for."""
        asked = {*self.by, *(one.dimension for one in self.where)}
        on_the_hour = all(at is None or at % HOUR_MICROS == 0 for at in (self.from_at, self.until))
        return on_the_hour and not asked & set(_ONLY_IN_EVENTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageAnswer:
    """The answer as an Arrow table: a column for each dimension and measure. `currency` is that of its costs, if they have one."""

    table: Any
    from_rollups: bool
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


def expression(query: UsageQuery, rows: Any, *, is_rollup: bool, fits: bool) -> Any:
    """The question as an expression over a table of events, or of their hourly sums. `fits`: int64 holds every sum of it."""
    kept = _filtered(query, rows, is_rollup=is_rollup)
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


def _filtered(query: UsageQuery, rows: Any, *, is_rollup: bool) -> Any:
    at = rows.hour_at if is_rollup else rows.admitted_at
    wanted = []
    if query.from_at is not None:
        wanted.append(at >= query.from_at)
    if query.until is not None:
        wanted.append(at < query.until)
    equal: dict[str, list[str]] = {}
    for one in query.where:
        if one.operator == "=" and one.dimension != TAG:
            equal.setdefault(one.dimension, []).append(one.value)
        else:
            wanted.append(_holds(rows, one, is_rollup=is_rollup))
    wanted += [rows[dimension].isin(values) for dimension, values in equal.items()]
    return rows.filter(wanted) if wanted else rows


def _holds(rows: Any, one: Condition, *, is_rollup: bool) -> Any:
    if one.dimension != TAG:
        column = rows[one.dimension]
        return column != one.value if one.operator == "!=" else column.lower().contains(one.value.lower())
    if one.operator == "~":
        return (rows.tags_text if is_rollup else rows.tags.join(",")).lower().contains(one.value.lower())
    if is_rollup:
        has = ("," + rows.tags_text + ",").contains(f",{one.value},") if one.value else rows.tags_text == ""
    else:
        has = rows.tags.contains(one.value) if one.value else rows.tags.length() == 0
    return ~has if one.operator == "!=" else has


def answer(view: LakeView, query: UsageQuery, *, threads: int = 0, may_use_rollups: bool = True) -> UsageAnswer:
    """The answer, from the hourly sums if they know it and are complete, else from the events. Raises QuestionError."""
    events = _within(view.manifest.of_kind(USAGE), query)
    is_rollup = may_use_rollups and query.rollups_know and all(one.rolled for one in events)
    files = _within(view.manifest.of_kind(ROLLUP), query) if is_rollup else events
    currency = _currency_of(query, files)
    with lake_engine(view.directory, threads=threads) as engine:
        kind = ROLLUP if is_rollup else USAGE
        show_rows(engine, view.directory, files, kind)
        asked = expression(query, table_of(kind), is_rollup=is_rollup, fits=int64_holds(files))
        table = engine.sql(compiled(asked)).to_arrow_table()
    if table.num_rows > USAGE_ANSWER_ROWS_MAX:
        raise QuestionError(
            f"the answer has more than {USAGE_ANSWER_ROWS_MAX} rows: ask with fewer dimensions, a shorter period or --limit"
        )
    return UsageAnswer(table=_narrowed(table), from_rollups=is_rollup, currency=currency)


def _within(files: Iterable[LakeFile], query: UsageQuery) -> list[LakeFile]:
    first_at = query.from_at if query.from_at is not None else 0
    # the last hour of a roll-up goes on after its beginning, so a period within that hour is not cut off here
    return [
        one for one in files
        if one.admitted_last_at >= first_at - HOUR_MICROS and (query.until is None or one.admitted_from_at < query.until)
    ]  # fmt: skip


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
