"""Which column of a table says what: known exports by their header, others by a mapping file or by what columns are usually called."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tokenroll.model.amount import NANOS_PER_CREDIT
from tokenroll.model.checks import name_checked
from tokenroll.model.instant import Instant, instant_from_text
from tokenroll.model.usage_event import GATEWAY, Billing

TIME_UNITS: Final = ("rfc3339", "seconds", "milliseconds", "microseconds", "date")
TIMES: Final = ("time", "ended_time")
TEXTS: Final = (
    "event_id", "model", "requested_model", "provider", "member", "member_scope", "department", "cost_centre", "key", "project", "session", "status",
    "finish", "service_tier", "deployment", "outcome", "purpose", "call_id", "currency", "context_window", "cache_hit",
)  # fmt: skip
"""`member_scope` is what a member's name is unique within, where it is not unique by itself: the two are told as `scope/member`. A
`context_window` above 200,000 tokens (`> 200k`, `200k-1M`) is said so by providers whose prices ask for it; a `cache_hit` that is true, an answer
that no provider gave, costs nothing at list."""
COUNTS: Final = (
    "input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "input_audio_tokens", "input_image_tokens",
    "output_tokens", "reasoning_tokens", "output_audio_tokens", "output_image_tokens", "request_count", "web_search_count",
    "image_count", "character_count", "audio_second_count",
)  # fmt: skip
MEANS: Final = ("input_mean_tokens", "output_mean_tokens")
"""Model tokens of an average call of a row that stands for `request_count` of them."""
COSTS: Final = ("billed_cost", "net_cost", "list_cost")
FIELDS: Final = (*TIMES, *TEXTS, *COUNTS, *MEANS, *COSTS)
LITELLM: Final = "litellm"
COST_UNIT_MAX: Final = NANOS_PER_CREDIT


class ColumnMapError(ValueError):
    """A mapping that says nothing that can be done; the message names the key, and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMap:
    """How a table's columns are read as usage events: our field to their column's name, and what its figures mean.

    A cost column counts so many `cost_unit` to one unit of its currency: 1 for dollars, 100 for cents. Times that are numbers count
    from `starts_at`, the epoch unless it is told. A time without a zone is refused unless `zone` is told.
    Where rows are sums of many calls, no row's input is one context's length, which some prices ask for.
    """

    columns: Mapping[str, str]
    source: str = "csv"
    time_unit: str = "rfc3339"
    zone: tzinfo | None = None
    starts_at: Instant = 0
    cost_unit: int = 1
    currency: str = "USD"
    provider: str = ""
    billing: Billing = Billing.METERED
    input_includes_cached: bool = False
    output_includes_reasoning: bool = False
    zero_is_failed: bool = False
    rows_are_sums: bool = False
    tags: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for name in self.columns:
            if name not in FIELDS:
                raise ColumnMapError(f"columns.{name}: there is no such field; known are {', '.join(FIELDS)}")
        if self.source == GATEWAY:
            raise ColumnMapError(f"source is {GATEWAY!r}: that is our own; name the place that the table comes from")
        if "time" not in self.columns:
            raise ColumnMapError("columns.time is missing: every row must say when it was")
        if not {*COUNTS, *MEANS, *COSTS} & set(self.columns):
            raise ColumnMapError(
                f"columns: none says what was used or what it cost; name one of {', '.join((*COUNTS, *COSTS))}"
            )
        if set(MEANS) & set(self.columns) and "request_count" not in self.columns:
            raise ColumnMapError(
                "columns.request_count is missing: a mean says nothing without the number of its calls"
            )
        if self.time_unit not in TIME_UNITS:
            raise ColumnMapError(f"time_unit is {self.time_unit!r}; allowed are {', '.join(TIME_UNITS)}")
        if not 1 <= self.cost_unit <= COST_UNIT_MAX:
            raise ColumnMapError(
                f"cost_unit is {self.cost_unit}; allowed is 1 (currency), 100 (cents) and up to {COST_UNIT_MAX}"
            )


# ---- mapping files ------------------------------------------------------------------------------------------------------


def column_map_from_toml(text: str) -> ColumnMap:
    """The mapping of a file. Raises ColumnMapError, which names the key and what is allowed."""
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ColumnMapError(f"the mapping is no TOML: {error}") from error
    known = {
        "columns": _columns, "source": _name, "time_unit": _choice(TIME_UNITS), "zone": _zone, "starts_at": _starts_at,
        "cost_unit": _whole, "currency": _name, "provider": _name, "billing": _billing, "input_includes_cached": _yes_or_no,
        "output_includes_reasoning": _yes_or_no, "zero_is_failed": _yes_or_no, "rows_are_sums": _yes_or_no,
    }  # fmt: skip
    for key in told:
        if key not in known:
            raise ColumnMapError(f"{key}: there is no such key; known are {', '.join(known)}")
    if "columns" not in told:
        raise ColumnMapError('[columns] is missing: it says which column is which field, such as time = "When"')
    return ColumnMap(**{key: known[key](key, value) for key, value in told.items()})


def _refused(key: str, value: object, allowed: str) -> ColumnMapError:
    return ColumnMapError(f"{key} is {value!r}; allowed is {allowed}")


def _columns(key: str, value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise _refused(key, value, 'a table of field = "column"')
    for name, column in value.items():
        if not isinstance(column, str) or not column:
            raise _refused(f"{key}.{name}", column, "the name of a column")
    return MappingProxyType(dict(value))


def _name(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _refused(key, value, "a text")
    try:
        return name_checked(value, key)
    except ValueError as error:
        raise ColumnMapError(str(error)) from error


def _choice(allowed: Sequence[str]) -> Any:
    def chosen(key: str, value: Any) -> str:
        if value not in allowed:
            raise _refused(key, value, f"one of {', '.join(allowed)}")
        return str(value)

    return chosen


def _billing(key: str, value: Any) -> Billing:
    return Billing(_choice([one.value for one in Billing])(key, value))


def _zone(key: str, value: Any) -> tzinfo:
    try:
        return ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise _refused(key, value, "a zone such as Europe/Berlin or UTC") from error


def _starts_at(key: str, value: Any) -> Instant:
    try:
        return instant_from_text(value.isoformat() if hasattr(value, "isoformat") else str(value))
    except ValueError as error:
        raise _refused(key, value, "a time with a zone such as 2026-01-31T00:00:00Z") from error


def _whole(key: str, value: Any) -> int:
    if type(value) is not int:
        raise _refused(key, value, "a whole number")
    return value


def _yes_or_no(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refused(key, value, "true or false")
    return value


# ---- known headers ------------------------------------------------------------------------------------------------------

_AZURE_TRACE: Final = ({"timestamp", "contexttokens", "generatedtokens"}, {
    "source": "azure-trace", "zone": UTC, "billing": Billing.OWNED,
}, {"time": "timestamp", "input_tokens": "contexttokens", "output_tokens": "generatedtokens"})  # fmt: skip
_BURSTGPT: Final = ({"timestamp", "model", "request_tokens", "response_tokens", "total_tokens", "log_type"}, {
    "source": "burstgpt", "time_unit": "seconds", "provider": "openai", "zero_is_failed": True,
}, {
    "time": "timestamp", "model": "model", "input_tokens": "request_tokens", "output_tokens": "response_tokens", "purpose": "log_type",
    "session": "session_id",
})  # fmt: skip
_SERVEGEN: Final = ({"t_s", "requests", "in_mean", "out_mean", "client"}, {
    "source": "servegen", "time_unit": "seconds", "billing": Billing.OWNED,
}, {
    "time": "t_s", "request_count": "requests", "input_mean_tokens": "in_mean", "output_mean_tokens": "out_mean", "member": "client", "member_scope": "model",
    "model": "model", "purpose": "category",
})  # fmt: skip
_LITELLM: Final = ({"request_id", "spend", "prompt_tokens", "completion_tokens", "starttime"}, {
    "source": LITELLM, "zone": UTC, "input_includes_cached": True, "output_includes_reasoning": True,
}, {
    "event_id": "request_id", "time": "starttime", "ended_time": "endtime", "model": "model", "requested_model": "model_group",
    "provider": "custom_llm_provider", "input_tokens": "prompt_tokens", "output_tokens": "completion_tokens", "net_cost": "spend",
    "member": "user", "department": "team_id", "key": "api_key", "session": "session_id", "status": "status", "deployment": "model_id",
    "cache_read_tokens": "cache_read_input_tokens", "cache_write_5m_tokens": "cache_creation_input_tokens", "cache_hit": "cache_hit",
})  # fmt: skip
_OPENAI_USAGE: Final = ({"start_time", "input_tokens", "output_tokens", "num_model_requests"}, {
    "source": "openai-usage", "time_unit": "seconds", "provider": "openai", "input_includes_cached": True,
}, {
    "time": "start_time", "ended_time": "end_time", "model": "model", "input_tokens": "input_tokens", "output_tokens": "output_tokens",
    "cache_read_tokens": "input_cached_tokens", "input_audio_tokens": "input_audio_tokens", "output_audio_tokens": "output_audio_tokens",
    "request_count": "num_model_requests", "member": "user_email|user_id", "project": "project_name|project_id", "key": "api_key_id", "service_tier": "service_tier",
})  # fmt: skip
_OPENAI_COSTS: Final = ({"start_time", "amount_value", "line_item"}, {
    "source": "openai-costs", "time_unit": "seconds", "provider": "openai",
}, {
    "time": "start_time", "ended_time": "end_time", "billed_cost": "amount_value", "currency": "amount_currency", "model": "line_item",
    "project": "project_name|project_id", "member": "user_email|user_id", "key": "api_key_id", "purpose": "line_item",
})  # fmt: skip
_ANTHROPIC_USAGE: Final = ({"usage_date_utc", "usage_input_tokens_no_cache", "usage_output_tokens"}, {
    "source": "anthropic-usage", "zone": UTC, "provider": "anthropic", "rows_are_sums": True,
}, {
    "time": "usage_date_utc", "model": "model_version", "input_tokens": "usage_input_tokens_no_cache",
    "cache_write_5m_tokens": "usage_input_tokens_cache_write_5m|usage_input_tokens_cache_write", "cache_write_1h_tokens": "usage_input_tokens_cache_write_1h",
    "cache_read_tokens": "usage_input_tokens_cache_read", "output_tokens": "usage_output_tokens",
    "web_search_count": "web_search_count", "project": "workspace", "key": "api_key", "service_tier": "usage_type",
    "context_window": "context_window",
})  # fmt: skip
_ANTHROPIC_COSTS: Final = ({"usage_date_utc", "cost_usd"}, {
    "source": "anthropic-costs", "zone": UTC, "provider": "anthropic",
}, {
    "time": "usage_date_utc", "model": "model", "billed_cost": "cost_usd", "list_cost": "list_price_usd", "project": "workspace",
    "key": "api_key", "purpose": "token_type",
})  # fmt: skip
_KNOWN: Final[tuple[tuple[set[str], dict[str, Any], dict[str, str]], ...]] = (
    _AZURE_TRACE, _BURSTGPT, _SERVEGEN, _LITELLM, _OPENAI_USAGE, _OPENAI_COSTS, _ANTHROPIC_USAGE, _ANTHROPIC_COSTS,
)  # fmt: skip
"""Columns that must be there, what the figures mean, and field by column; in the plain spelling that `_plain` makes,
the first of several that there is."""

_SYNONYMS: Final[Mapping[str, tuple[str, ...]]] = {
    "time": (
        "admitted_at", "time", "timestamp", "datetime", "date", "day", "created_at", "created", "started_at", "start_time_iso", "start_time", "starttime",
        "request_time", "occurred_at", "usage_date",
    ),
    "ended_time": ("ended_at", "end_time_iso", "end_time", "endtime", "finished_at"),
    "event_id": ("event_id", "request_id", "id", "generation_id", "trace_id"),
    "model": ("model", "model_name", "model_id", "answered_model", "model_version", "model_permaslug"),
    "requested_model": ("requested_model", "model_group"),
    "provider": ("provider", "provider_name", "vendor", "custom_llm_provider"),
    "member": ("member", "user", "user_email", "email", "user_id", "username", "employee", "user_name"),
    "department": ("department", "team", "team_name", "team_id", "group"),
    "cost_centre": ("cost_centre", "cost_center", "costcentre", "costcenter"),
    "key": ("key", "api_key_id", "api_key_name", "api_key", "key_name"),
    "project": ("project", "project_id", "project_name", "workspace", "workspace_id", "app", "application", "service", "app_name"),
    "session": ("session", "session_id", "conversation_id"),
    "status": ("status",),
    "finish": ("finish", "finish_reason", "stop_reason", "finish_reason_normalized"),
    "service_tier": ("service_tier",),
    "purpose": ("purpose",),
    "currency": ("currency",),
    "input_tokens": ("input_tokens", "prompt_tokens", "tokens_in", "tokens_prompt", "request_tokens", "context_tokens", "input"),
    "output_tokens": (
        "output_tokens", "completion_tokens", "tokens_out", "tokens_completion", "response_tokens", "generated_tokens", "output",
    ),
    "cache_read_tokens": (
        "cache_read_tokens", "cached_tokens", "cache_read_input_tokens", "input_cached_tokens", "cached_input_tokens", "tokens_cached",
    ),
    "cache_write_5m_tokens": (
        "cache_write_5m_tokens", "cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens",
    ),
    "cache_write_1h_tokens": ("cache_write_1h_tokens",),
    "reasoning_tokens": ("reasoning_tokens", "tokens_reasoning", "reasoning_output_tokens", "thinking_tokens"),
    "request_count": ("request_count", "requests", "num_model_requests", "calls", "call_count"),
    "billed_cost": ("billed_cost", "cost", "cost_usd", "total_cost", "cost_total", "amount_usd"),
    "net_cost": ("net_cost", "spend"),
    "list_cost": ("list_cost",),
}  # fmt: skip
_INSIDE: Final = frozenset(
    {"prompt_tokens", "input_cached_tokens", "cached_input_tokens", "cached_tokens", "tokens_cached"}
)
"""Columns spelt so are of those who count what came out of a cache as part of the input."""
_UNITS_BY_END: Final = (
    (("_ms", "_millis", "_milliseconds"), "milliseconds"), (("_us", "_micros", "_microseconds"), "microseconds"),
    (("_s", "_seconds", "_unix", "_epoch"), "seconds"),
)  # fmt: skip
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NO_WORD: Final = re.compile(r"[^a-z0-9]+")


def guessed_map(header: Sequence[str]) -> ColumnMap | None:
    """The mapping of a known export, or of columns that are called what such columns are called; None where that is not enough.

    Enough is a time and either model tokens or a cost.
    """
    found = _by_spelling(header, _plain)
    for needed, settings, fields in _KNOWN:
        if needed <= set(found):
            columns = {name: column for name, spelt in fields.items() if (column := _first(spelt.split("|"), found))}
            return ColumnMap(columns=MappingProxyType(columns), **settings)
    return _by_synonyms(_by_spelling(header, _worded))


def _by_synonyms(found: Mapping[str, str]) -> ColumnMap | None:
    unit = "rfc3339"
    for ends, one in _UNITS_BY_END:
        timed = [spelt for spelt in found if spelt.endswith(ends) and spelt[: spelt.rindex("_")] in _SYNONYMS["time"]]
        if timed:
            unit, found = one, {**found, "time": found[timed[0]]}
            break
    columns: dict[str, str] = {}
    for name, words in _SYNONYMS.items():
        column = _first(words, {word: one for word, one in found.items() if one not in columns.values()})
        if column:
            columns[name] = column
    is_counted = "input_tokens" in columns and "output_tokens" in columns
    if "time" not in columns or not (is_counted or {*COSTS} & set(columns)):
        return None
    inside = bool(_INSIDE & set(found))
    return ColumnMap(
        columns=MappingProxyType(columns),
        time_unit=unit,
        input_includes_cached=inside,
        output_includes_reasoning=inside,
    )


def _first(words: Iterable[str], found: Mapping[str, str]) -> str:
    """The column of the first of these words that there is; empty for none."""
    return next((found[word] for word in words if word in found), "")


def _by_spelling(header: Iterable[str], spell: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for column in header:
        found.setdefault(spell(column), column)
    return found


def _plain(column: str) -> str:
    return _NO_WORD.sub("_", column.strip().lower()).strip("_")


def _worded(column: str) -> str:
    return _plain(_CAMEL.sub("_", column.strip()))
