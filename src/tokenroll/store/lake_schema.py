"""The lake's kinds of rows: usage events as columns, version 1, and their sums by hour and by day.

Every field of a UsageEvent and every count of its Usage is a column of its own name. Four more follow from them, so that every engine
groups by plain columns and none has to repeat our arithmetic: `day`, `hour_at`, `model`, `model_tokens`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import MISSING, fields
from typing import Any, Final

from tokenroll.model.instant import HOUR_MICROS, INSTANT_MAX
from tokenroll.model.limits import AMOUNT_NANOS_MAX, NAME_CHARACTERS_MAX, TAGS_MAX, UNIT_COUNT_MAX
from tokenroll.model.usage import TOKEN_METER_COUNT, Usage
from tokenroll.model.usage_event import USAGE_EVENT_VERSION, UsageEvent
from tokenroll.store.lake_libraries import arrow, arrow_compute

USAGE: Final = "usage"
ROLLUP: Final = "rollup"
DAILY: Final = "daily"
KINDS: Final = (USAGE, ROLLUP, DAILY)
"""Events; their sums by hour, who, what and how; the same by day without members, keys and tags, for questions of a company."""
VERSION: Final = USAGE_EVENT_VERSION
"""Of all kinds of files; it stands in their paths and in their metadata."""
VERSION_KEY: Final = b"tokenroll_usage_version"
DAY_MICROS: Final = 24 * HOUR_MICROS

COUNTS: Final = tuple(one.name for one in fields(Usage))
"""Columns of meters, in the order of METERS."""
COSTS: Final = ("list_cost_nanos", "net_cost_nanos", "billed_cost_nanos")
"""Columns of money in `currency`."""
AMOUNTS: Final = (*COSTS, "charge_nanos")
SUMMED: Final = (*COUNTS, "model_tokens", *AMOUNTS)
"""Columns that are added; each sum is null where nobody told any of its parts."""
ROLLUP_KEYS: Final = (
    "hour_at", "day", "member", "department", "cost_centre", "project", "model", "provider", "key", "tags_text", "purpose", "source",
    "billing", "status", "service_tier", "currency",
)  # fmt: skip
"""What roll-ups tell apart. `tags_text` is a call's tags as one text, apart by commas."""
SUM_KEYS: Final = {
    ROLLUP: ROLLUP_KEYS,
    DAILY: tuple(name for name in ROLLUP_KEYS if name not in {"hour_at", "member", "key", "tags_text"}),
}
DERIVED: Final = ("day", "hour_at", "model", "model_tokens")

_INTEGERS: Final = frozenset(
    {"admitted_at", "attempt", "first_byte_at", "ended_at", "hold_max_nanos", *AMOUNTS, *COUNTS}
)
_LISTS: Final = frozenset({"tags", "hashes"})
_EVENT_FIELDS: Final = tuple(one for one in fields(UsageEvent) if one.name != "usage")
_DEFAULTS: Final = {one.name: one.default for one in _EVENT_FIELDS if one.default is not MISSING}
_NEVER_NULL: Final = frozenset({"admitted_at", "attempt"})
COLUMNS: Final = (*(one.name for one in _EVENT_FIELDS), *COUNTS)
"""What a source tells: the columns of an Arrow batch that is appended. Those with a default may be left out."""
ORDER: Final = ("admitted_at", "source", "event_id")
"""How rows lie in a file."""


class LakeRowsError(ValueError):
    """Rows that are no usage events of version 1; the message names the column and why."""


def usage_schema() -> Any:
    """The columns of a usage file."""
    pa = arrow()
    kinds = {**dict.fromkeys(_INTEGERS, pa.int64()), **dict.fromkeys(_LISTS, pa.list_(pa.string()))}
    columns = [(name, kinds.get(name, pa.string())) for name in COLUMNS]
    columns += [("day", pa.date32()), ("hour_at", pa.int64()), ("model", pa.string()), ("model_tokens", pa.int64())]
    return pa.schema(columns, metadata={VERSION_KEY: str(VERSION).encode()})


def schema_of(kind: str) -> Any:
    """The columns of a file of this kind."""
    if kind == USAGE:
        return usage_schema()
    pa = arrow()
    kinds = {"hour_at": pa.int64(), "day": pa.date32()}
    columns = [(name, kinds.get(name, pa.string())) for name in SUM_KEYS[kind]]
    columns += [("call_count", pa.int64()), *((name, pa.int64()) for name in SUMMED)]
    return pa.schema(columns, metadata={VERSION_KEY: str(VERSION).encode()})


def rows_of_events(events: Sequence[UsageEvent]) -> Any:
    """The rows of events, whole and checked, as an Arrow table."""
    pa = arrow()
    columns: dict[str, Any] = {one.name: [getattr(event, one.name) for event in events] for one in _EVENT_FIELDS}
    for name in COUNTS:
        columns[name] = [getattr(event.usage, name) for event in events]
    schema = usage_schema()
    return checked_rows(pa.table({name: pa.array(values, schema.field(name).type) for name, values in columns.items()}))


def checked_rows(given: Any) -> Any:
    """The same rows of a RecordBatch or Table with every column of the lake. Raises LakeRowsError."""
    pa = arrow()
    table = pa.Table.from_batches([given]) if isinstance(given, pa.RecordBatch) else given
    names = set(table.column_names)
    _refuse(sorted(names - set(COLUMNS)), "no column of a usage event is called")
    _refuse([name for name in COLUMNS if name not in names | set(_DEFAULTS) | set(COUNTS)], "rows lack the column")
    schema = usage_schema()
    columns = {}
    untold: dict[tuple[Any, Any], Any] = {}
    for name in COLUMNS:
        kind = schema.field(name).type
        if name in names:
            columns[name] = _cast(table.column(name), name, kind)
        else:
            value = _DEFAULTS.get(name)
            if (kind, value) not in untold:
                untold[kind, value] = _untold(kind, [] if name in _LISTS else value, table.num_rows)
            columns[name] = untold[kind, value]
    _check_texts(columns)
    _check_numbers(columns)
    _check_tags(columns["tags"])
    return pa.table([*columns.values(), *_derived(columns)], schema=schema)


def _untold(kind: Any, value: object, rows: int) -> Any:
    """A column that the source left out: its default in each row."""
    pa = arrow()
    return same_lists(value, rows) if isinstance(value, list) else pa.repeat(pa.scalar(value, kind), rows)


def same_lists(texts: Sequence[str], rows: int) -> Any:
    """A column with these texts in each row, put together from its parts: Arrow is ten times as slow to repeat a list."""
    pa = arrow()
    each = len(texts)
    ends = (
        pa.arange(0, rows * each + 1, each).cast(pa.int32()) if each else pa.repeat(pa.scalar(0, pa.int32()), rows + 1)
    )
    return pa.ListArray.from_arrays(ends, pa.array(list(texts) * rows, pa.string()))


def _refuse(names: Iterable[str], why: str) -> None:
    for name in names:
        raise LakeRowsError(f"{why} {name}")


def _cast(column: Any, name: str, kind: Any) -> Any:
    pa, pc = arrow(), arrow_compute()
    try:
        column = column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise LakeRowsError(f"{name} cannot be read as {kind}: {error}") from error
    if name in _LISTS:
        return pc.if_else(pc.is_valid(column), column, pa.scalar([], kind)) if column.null_count else column
    if name in _NEVER_NULL or name not in _INTEGERS:
        default = _DEFAULTS.get(name, "")
        if column.null_count and name in _NEVER_NULL:
            raise LakeRowsError(f"{name} must be told")
        return pc.fill_null(column, default) if column.null_count else column
    return column


def _check_texts(columns: dict[str, Any]) -> None:
    pc = arrow_compute()
    for name in ("source", "event_id"):
        lengths = pc.min_max(pc.utf8_length(columns[name])).as_py()
        if lengths["min"] is not None and not 1 <= lengths["min"] <= lengths["max"] <= NAME_CHARACTERS_MAX:
            raise LakeRowsError(f"{name} must have 1 to {NAME_CHARACTERS_MAX} characters")


def _check_numbers(columns: dict[str, Any]) -> None:
    bounds = dict.fromkeys(COUNTS, (0, UNIT_COUNT_MAX))
    bounds |= dict.fromkeys(AMOUNTS, (-AMOUNT_NANOS_MAX, AMOUNT_NANOS_MAX))
    bounds["admitted_at"] = (0, INSTANT_MAX)
    pc = arrow_compute()
    for name, (low, high) in bounds.items():
        found = pc.min_max(columns[name]).as_py()
        if found["min"] is not None and not low <= found["min"] <= found["max"] <= high:
            raise LakeRowsError(f"{name} must lie between {low} and {high}, not {found['min']} to {found['max']}")


def _check_tags(tags: Any) -> None:
    pc = arrow_compute()
    most = pc.max(pc.list_value_length(tags)).as_py() or 0
    if most > TAGS_MAX:
        raise LakeRowsError(f"at most {TAGS_MAX} tags, not {most}")
    flat = pc.list_flatten(tags)
    if flat.null_count or pc.any(pc.or_(pc.match_substring(flat, ","), pc.equal(flat, ""))).as_py():
        raise LakeRowsError("a tag is a text without a comma, and not empty")


def _derived(columns: dict[str, Any]) -> list[Any]:
    pa, pc = arrow(), arrow_compute()
    admitted = columns["admitted_at"]
    day = pc.divide(admitted, pa.scalar(DAY_MICROS, pa.int64())).cast(pa.int32()).cast(pa.date32())
    hour = pa.scalar(HOUR_MICROS, pa.int64())
    hour_at = pc.multiply(pc.divide(admitted, hour), hour)
    answered, resolved = columns["answered_model"], columns["resolved_model"]
    asked = pc.if_else(pc.not_equal(resolved, ""), resolved, columns["requested_model"])
    model = pc.if_else(pc.not_equal(answered, ""), answered, asked)
    tokens = pc.fill_null(columns[COUNTS[0]], 0)
    for name in COUNTS[1:TOKEN_METER_COUNT]:
        tokens = pc.add(tokens, pc.fill_null(columns[name], 0))
    return [day, hour_at, model, tokens]
