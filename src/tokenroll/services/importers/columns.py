"""Tables of usage (CSV and the like) as usage events, by the names of their columns.

A row without an id is named by its table's origin and its own line, so that a table which grew since is the same table still.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from tokenroll.model.instant import Instant
from tokenroll.model.limits import TAGS_MAX
from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import UsageEvent
from tokenroll.services.importers.anthropic_reports import LONG_CONTEXT, LONG_TOKENS
from tokenroll.services.importers.column_maps import (
    COSTS,
    COUNTS,
    LITELLM,
    MEANS,
    TEXTS,
    TIMES,
    ColumnMap,
    column_map_from_toml,
    guessed_map,
)
from tokenroll.services.importers.figures import (
    Seen,
    count_of,
    decimal_of,
    fresh_input,
    ident_of,
    instant_of_number,
    instant_of_text,
    key_of,
    name_of,
    nanos_of,
)
from tokenroll.services.importers.intake import Intake, SourceError
from tokenroll.services.importers.tables import separator_of, table_of
from tokenroll.services.list_prices import ListPrices

__all__ = ["ColumnMap", "column_events", "column_map_from_toml", "guessed_map", "is_table"]

_Cells: TypeAlias = Sequence[str]
INSIDE_INPUT: Final = (
    "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "input_audio_tokens", "input_image_tokens",
)  # fmt: skip
INSIDE_OUTPUT: Final = ("reasoning_tokens", "output_audio_tokens", "output_image_tokens")
CONTEXT: Final = ("input_tokens", *INSIDE_INPUT)
PLAIN: Final = (
    "department", "cost_centre", "project", "session", "finish", "deployment", "outcome", "purpose", "call_id",
)  # fmt: skip
"""Texts that become the event's own field of that name as they stand."""
_FAILED: Final = frozenset({"failure", "failed", "error", "fail", "false"})
_FINE: Final = frozenset({"", "success", "ok", "succeeded", "completed", "true", "200"})
CACHE_HIT: Final = "cache-hit"
"""The tag of an answer that no provider gave."""
TIERS: Final = {"default": "standard", "auto": "standard", "": "standard"}
WORTH: Final = {cost: f"{cost}_nanos" for cost in COSTS}


def is_table(head: bytes) -> bool:
    """Whether a file's first bytes are a header whose columns say when, and how much or at what cost."""
    first = head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0].decode("utf-8", "replace").strip("\r")
    return guessed_map([cell.strip().strip('"') for cell in first.split(separator_of(first))]) is not None


def column_events(
    path: Path,
    member: str,
    prices: ListPrices,
    intake: Intake,
    *,
    column_map: ColumnMap | None = None,
    model: str = "",
    starts_at: Instant | None = None,
) -> Iterator[UsageEvent]:
    """The rows of one table, read by the mapping, or by the one that its header suggests.

    `model` is that of rows which name none, `starts_at` what the times of a recorded trace count from. Raises SourceError if there is
    no such mapping, or a column of it is not there.
    """
    table = table_of(path, member, intake)
    if not table.header:
        return
    reader = row_reader(path, table.header, member, prices, column_map=column_map, model=model, starts_at=starts_at)
    seen = Seen()
    for line, cells in table.rows:
        try:
            event = reader.event(partial(table.name, line), cells)
        except (ValueError, OverflowError) as error:
            intake.is_bad(str(path), line, str(error))
            continue
        if event is None:
            intake.is_other("rows without usage")
        elif reader.is_named and seen.has(event.event_id):
            intake.repeat_count += 1
        else:
            yield event


def row_reader(
    path: Path,
    header: Sequence[str],
    member: str,
    prices: ListPrices,
    *,
    column_map: ColumnMap | None = None,
    model: str = "",
    starts_at: Instant | None = None,
) -> "RowReader":
    """What reads the rows below this header. Raises SourceError as `column_events` does."""
    chosen = column_map or guessed_map(header)
    if chosen is None:
        raise SourceError(
            f"{path}: its columns ({', '.join(header)[:400]}) do not say which of them is the time and which are the counts: "
            "name them in a mapping file"
        )
    lacking = [f"{column!r} ({name})" for name, column in chosen.columns.items() if column not in header]
    if lacking:
        raise SourceError(f"{path} has no column {', '.join(lacking)}; its columns are {', '.join(header)[:400]}")
    return RowReader(chosen, header, member, prices, model, chosen.starts_at if starts_at is None else starts_at)


class RowReader:
    """A mapping with the places of its columns, which are looked up once."""

    def __init__(
        self, told: ColumnMap, header: Sequence[str], member: str, prices: ListPrices, model: str, starts_at: Instant
    ) -> None:
        places = {name: header.index(column) for name, column in told.columns.items()}
        self.places = places
        self.told = told
        self.member = member
        self.prices = prices
        self.model = model
        self.starts_at = starts_at
        self._texts: dict[str, int] = {name: places[name] for name in TEXTS if name in places}
        self._plain = [(name, places[name]) for name in PLAIN if name in places]
        self._counts = [(name, places[name]) for name in COUNTS if name in places]
        self._means = [(name.replace("_mean", ""), places[name]) for name in MEANS if name in places]
        self._costs = [(WORTH[name], places[name]) for name in COSTS if name in places]
        self._time, self._ended = (places.get(name, -1) for name in TIMES)
        self._instant = self._instant_reader(starts_at)
        self.is_named = "event_id" in self._texts
        self.is_listed = "list_cost" not in places and bool(self._counts or self._means)

    def _instant_reader(self, starts_at: Instant) -> Callable[[str], Instant]:
        unit, zone = self.told.time_unit, self.told.zone
        if unit in {"rfc3339", "date"}:
            zone = zone or (UTC if unit == "date" else None)
            return lambda text: instant_of_text(text, zone)
        return lambda text: instant_of_number(text, unit, starts_at)

    def _text(self, name: str, cells: _Cells) -> str:
        place = self._texts.get(name)
        return "" if place is None else name_of(cells[place])

    def key(self, cell: str) -> str:
        """The name or hash of a key that stands in a cell; LiteLLM's is a hash already."""
        return key_of(cell, hashes_stay=self.told.source == LITELLM)

    def _whose(self, cells: _Cells) -> str:
        member, scope = self._text("member", cells), self._text("member_scope", cells)
        return f"{scope}/{member}" if scope and member else member or self.member

    def event(self, unnamed: Callable[[], str], cells: _Cells) -> UsageEvent | None:
        """The row's call or calls; None for one that names none and says nothing, as exports have for a day without any.

        `unnamed` is asked for the name of a row that has none.
        """
        told, text = self.told, self._text
        at = self._instant(cells[self._time])
        used = self._used(cells)
        requested, answered = text("requested_model", cells), text("model", cells) or self.model
        provider = text("provider", cells) or told.provider
        tier = text("service_tier", cells)
        tier = TIERS.get(tier, tier)
        costs: dict[str, int | None] = {name: _nanos(cells[place], told.cost_unit) for name, place in self._costs}
        ident = ident_of(cells[self._texts["event_id"]]) if self.is_named else ""
        if not ident and not any(count is not None for count in (*used.counts, *costs.values())):
            return None
        plain: dict[str, Any] = {name: name_of(cells[place]) for name, place in self._plain}
        digest = ""
        is_hit = text("cache_hit", cells).lower() == "true"
        if is_hit and self.is_listed:
            costs["list_cost_nanos"] = 0
        elif self.is_listed:
            listed = self.prices.cost(
                provider,
                answered or requested,
                at,
                tier,
                used,
                context_tokens=self._context_tokens(used, text("context_window", cells)),
            )
            costs["list_cost_nanos"], digest = listed
        is_empty = told.zero_is_failed and not used.input_tokens and not used.output_tokens
        return UsageEvent(
            source=told.source,
            event_id=ident or unnamed(),
            admitted_at=at,
            ended_at=self._instant(cells[self._ended]) if self._ended >= 0 and cells[self._ended] else None,
            provider=provider,
            requested_model=requested or answered,
            answered_model=answered,
            usage=used,
            rate_card_digest=digest,
            billing=told.billing,
            currency=text("currency", cells).upper() or told.currency,
            service_tier=tier,
            member=self._whose(cells),
            key=self.key(cells[self._texts["key"]]) if "key" in self._texts else "",
            status="failed" if is_empty else status_of(text("status", cells)),
            tags=(CACHE_HIT, *told.tags)[:TAGS_MAX] if is_hit else told.tags,
            list_cost_nanos=costs.get("list_cost_nanos"),
            net_cost_nanos=costs.get("net_cost_nanos"),
            billed_cost_nanos=costs.get("billed_cost_nanos"),
            **plain,
        )

    def _context_tokens(self, used: Usage, window: str) -> int | None:
        """How long the input of an average call of a row is that stands for many; None for a call's own row."""
        if is_long(window):
            return LONG_TOKENS
        calls = used.request_count
        if not calls:
            return 0 if self.told.rows_are_sums or calls == 0 else None
        return sum(getattr(used, one) or 0 for one in CONTEXT) // calls

    def _used(self, cells: _Cells) -> Usage:
        counts: dict[str, int | None] = {name: count_of(cells[place]) for name, place in self._counts}
        for name, place in self._means:
            calls = counts.get("request_count") or 0
            mean = cells[place]
            counts[name] = int((decimal_of(mean) * calls).to_integral_value()) if mean else None
        if self.told.input_includes_cached and "input_tokens" in counts:
            counts["input_tokens"] = fresh_input(counts["input_tokens"], *(counts.get(one) for one in INSIDE_INPUT))
        if self.told.output_includes_reasoning and "output_tokens" in counts:
            counts["output_tokens"] = fresh_input(counts["output_tokens"], *(counts.get(one) for one in INSIDE_OUTPUT))
        return Usage(**counts)


def _nanos(text: str, cost_unit: int) -> int | None:
    return nanos_of(decimal_of(text), cost_unit) if text.strip() else None


def status_of(told: str) -> str:
    """A call's status: `ok`, `failed`, or what else the source calls it."""
    lower = told.lower()
    return "ok" if lower in _FINE else "failed" if lower in _FAILED else lower


def is_long(window: str) -> bool:
    """Whether a `context_window` is said to be one whose prices are those of long contexts."""
    return window.startswith(">") or window == LONG_CONTEXT
