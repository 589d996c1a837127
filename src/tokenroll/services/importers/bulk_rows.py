"""The cells of many rows as rows of the lake, column by column, as a table's own reader makes events of them one by one.

Whatever does not fit, and whatever may be refused, is handed to that reader, which decides: so there is one rule of what a row says.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from tokenroll.model.checks import name_checked
from tokenroll.model.instant import INSTANT_MAX
from tokenroll.model.limits import TAGS_MAX
from tokenroll.model.usage_event import UsageEvent
from tokenroll.services.importers.anthropic_reports import LONG_TOKENS
from tokenroll.services.importers.bulk_cells import Cells
from tokenroll.services.importers.bulk_prices import ListCosts, list_costs
from tokenroll.services.importers.bulk_values import (
    Figures,
    counts,
    instant_text,
    instants,
    is_plain_text,
    mask_of,
    names,
    nanos,
    text_of,
)
from tokenroll.services.importers.column_maps import COSTS, COUNTS, MEANS, TIMES
from tokenroll.services.importers.columns import (
    CONTEXT,
    INSIDE_INPUT,
    INSIDE_OUTPUT,
    PLAIN,
    TIERS,
    WORTH,
    RowReader,
    is_long,
    status_of,
)
from tokenroll.services.importers.figures import Seen, ident_of, name_of
from tokenroll.services.importers.intake import Intake
from tokenroll.store.lake_libraries import arrow, arrow_compute
from tokenroll.store.lake_schema import COUNTS as USAGE_COUNTS
from tokenroll.store.lake_schema import rows_of_events, same_lists

_METERS: Final = {name: place for place, name in enumerate(USAGE_COUNTS)}


@dataclass(slots=True)
class _Told:
    """What columns say, and which rows cannot be taken from them."""

    columns: dict[str, Any]
    is_sound: Any
    is_silent: Any
    """Rows that name no call and say nothing of one."""


class BulkReader:
    """A row reader for many rows at once."""

    def __init__(self, reader: RowReader, path: str, origin: Callable[[], str]) -> None:
        self._reader = reader
        self._path = path
        self._origin = origin
        self._seen = Seen()
        self._is_bulk = not {*MEANS} & set(reader.places) and _is_sound(reader)

    def rows(self, cells: Cells, intake: Intake) -> Any:
        """The rows of the lake that these cells are; what else they are is counted."""
        cells = cells.combined()
        told = self._told(cells)
        events, refused = self._asked(cells, np.flatnonzero(~told.is_sound), told)
        bad = sorted([*cells.bad, *refused])
        intake.row_count += cells.row_count
        for line, reason in bad:
            intake.is_bad(self._path, line, reason)
        for _ in range(int(np.count_nonzero(told.is_silent))):
            intake.is_other("rows without usage")
        return self._once(self._together(told, events), intake)

    def _name(self, line: int) -> str:
        return f"{self._origin()}:{line}"

    def _unnamed(self, lines: Any) -> Any:
        pa, pc = arrow(), arrow_compute()
        return pc.binary_join_element_wise(self._origin(), pa.array(lines).cast(pa.string()), ":")

    # ---- rows that columns do not say -----------------------------------------------------------------------------------

    def _asked(self, cells: Cells, places: Any, told: _Told) -> tuple[dict[int, UsageEvent], list[tuple[int, str]]]:
        events: dict[int, UsageEvent] = {}
        refused: list[tuple[int, str]] = []
        if not len(places):
            return events, refused
        taken = arrow().array(places)
        width = max(self._reader.places.values()) + 1
        texts: list[Sequence[str]] = [[""] * len(places)] * width
        for place, column in cells.columns.items():
            texts[place] = self._texts(column.take(taken), place)
        for number, row in enumerate(zip(*texts, strict=True)):
            try:
                event = self._reader.event(partial(self._name, cells.lines[places[number]]), row)
            except (ValueError, OverflowError) as error:
                refused.append((int(cells.lines[places[number]]), str(error)))
                continue
            if event is None:
                told.is_silent[places[number]] = True
            else:
                events[int(places[number])] = event
        return events, refused

    def _texts(self, column: Any, place: int) -> Sequence[str]:
        pa, reader = arrow(), self._reader
        is_time = place in {reader.places.get(name) for name in TIMES}
        if is_time and (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
            found = instants(column, reader.told.time_unit, reader.told.zone, reader.starts_at)
            whole = text_of(column).to_pylist()
            return [
                instant_text(at, reader.told.time_unit, reader.starts_at)
                if is_read and 0 <= at <= INSTANT_MAX
                else whole[number]
                for number, (at, is_read) in enumerate(zip(found.values.tolist(), found.is_read.tolist(), strict=True))
            ]
        texts: list[str] = text_of(column).to_pylist()
        return texts

    def _together(self, told: _Told, events: Mapping[int, UsageEvent]) -> Any:
        pa, pc = arrow(), arrow_compute()
        is_kept = told.is_sound & ~told.is_silent
        table = pa.table(told.columns)
        if is_kept.all():
            return table
        table = table.filter(pa.array(is_kept))
        if not events:
            return table
        more = rows_of_events(list(events.values())).select(table.column_names)
        places = np.concatenate([np.flatnonzero(is_kept), np.fromiter(events, np.int64, len(events))])
        whole = pa.concat_tables([table, more.cast(table.schema)]).combine_chunks()
        return whole.take(pc.array_sort_indices(pa.array(places)))

    def _once(self, table: Any, intake: Intake) -> Any:
        if not self._reader.is_named:
            return table
        unseen = self._seen.unseen(table.column("event_id").to_pylist())
        repeat_count = unseen.count(False)
        intake.repeat_count += repeat_count
        return table.filter(arrow().array(unseen)) if repeat_count else table

    # ---- rows that columns say ------------------------------------------------------------------------------------------

    def _told(self, cells: Cells) -> _Told:
        rows = len(cells.lines)
        reader, told = self._reader, self._reader.told
        if not self._is_bulk:
            nothing = rows_of_events(()).select(self._names())
            empty = {name: arrow().nulls(rows, nothing.schema.field(name).type) for name in nothing.column_names}
            return _Told(empty, np.zeros(rows, bool), np.zeros(rows, bool))
        at = instants(self._column(cells, "time"), told.time_unit, told.zone, reader.starts_at)
        is_sound = at.is_read & (at.values >= 0) & (at.values <= INSTANT_MAX)
        used = self._used(cells)
        costs = {
            WORTH[name]: nanos(self._column(cells, name), told.cost_unit) for name in COSTS if name in reader.places
        }
        for figures in (*used.values(), *costs.values()):
            is_sound = is_sound & figures.is_read
        if "cache_hit" in reader.places:  # few are, and they have a tag and a cost of their own
            hits = self._text(cells, "cache_hit", "", str.lower)
            is_sound = is_sound & ~mask_of(arrow_compute().equal(hits, "true"))
        idents = self._idents(cells)
        is_silent = is_sound & self._is_silent(cells, used, costs, rows)
        columns: dict[str, Any] = {"source": self._same(told.source, rows), "event_id": idents}
        columns["admitted_at"] = arrow().array(at.values)
        columns |= self._names_of(cells, rows)
        is_sound = is_sound & self._end(cells, columns, is_silent)
        digests = self._same("", rows)
        if reader.is_listed:
            listed = self._listed(columns, at.values, used, cells)
            is_sound = is_sound & listed.is_fitting
            costs["list_cost_nanos"] = Figures(listed.nanos, listed.is_priced, listed.is_priced)
            digests = listed.digests()
        columns["rate_card_digest"] = digests
        columns |= {name: figures.column() for name, figures in (used | costs).items()}
        columns["status"] = self._status(cells, used, rows)
        columns["tags"] = same_lists(told.tags, rows)
        return _Told({name: columns[name] for name in self._names()}, is_sound, is_silent)

    def _names(self) -> list[str]:
        """The columns that a table of this mapping has."""
        places = self._reader.places
        listed = ["list_cost_nanos"] if self._reader.is_listed else []
        return [
            "source", "event_id", "admitted_at", "provider", "requested_model", "answered_model", "billing", "service_tier", "currency",
            "member", "key", "rate_card_digest", "status", "tags", *listed, *(name for name in PLAIN if name in places),
            *(["ended_at"] if "ended_time" in places else []), *(name for name in COUNTS if name in places),
            *(name.replace("_mean", "") for name in MEANS if name in places and name.replace("_mean", "") not in places),
            *(WORTH[name] for name in COSTS if name in places),
        ]  # fmt: skip

    def _column(self, cells: Cells, name: str) -> Any:
        return cells.columns[self._reader.places[name]]

    @staticmethod
    def _same(text: str, rows: int) -> Any:
        pa = arrow()
        return pa.repeat(pa.scalar(text, pa.string()), rows)

    def _text(self, cells: Cells, name: str, default: str, spelt: Any = str) -> Any:
        """A column of names, or what stands for it; the default for a row that tells none."""
        if name not in self._reader.places:
            return self._same(spelt(default), len(cells.lines))
        return names(self._column(cells, name), lambda text: spelt(name_of(text) or default))

    def _used(self, cells: Cells) -> dict[str, Figures]:
        told = self._reader.told
        used: dict[str, Figures] = {
            name: counts(self._column(cells, name)) for name in COUNTS if name in self._reader.places
        }
        for is_inside, whole, parts in (
            (told.input_includes_cached, "input_tokens", INSIDE_INPUT),
            (told.output_includes_reasoning, "output_tokens", INSIDE_OUTPUT),
        ):
            inside = [_sums(used[name]) for name in parts if name in used]
            if is_inside and whole in used and inside:
                values, less = used[whole].values, np.sum(inside, axis=0)
                used[whole] = used[whole]._replace(values=np.where(less <= values, values - less, values))
        return used

    def _idents(self, cells: Cells) -> Any:
        if not self._reader.is_named:
            return self._unnamed(cells.lines)
        pc = arrow_compute()
        idents = text_of(self._column(cells, "event_id"))
        if not is_plain_text(idents):
            idents = names(idents, ident_of)
        is_empty = pc.equal(idents, "")
        return pc.if_else(is_empty, self._unnamed(cells.lines), idents) if pc.any(is_empty).as_py() else idents

    def _is_silent(self, cells: Cells, used: Mapping[str, Figures], costs: Mapping[str, Figures], rows: int) -> Any:
        said = np.zeros(rows, bool)
        for figures in (*used.values(), *costs.values()):
            said |= figures.is_told
        if said.all() or not self._reader.is_named:
            return ~said
        idents = names(self._column(cells, "event_id"), ident_of)
        return ~said & mask_of(arrow_compute().equal(idents, ""))

    def _names_of(self, cells: Cells, rows: int) -> dict[str, Any]:
        pc = arrow_compute()
        reader, told = self._reader, self._reader.told
        answered = self._text(cells, "model", reader.model)
        asked = answered
        if "requested_model" in reader.places:
            asked = self._text(cells, "requested_model", "")
            asked = pc.if_else(pc.equal(asked, ""), answered, asked)
        found = {
            "answered_model": answered,
            "requested_model": asked,
            "provider": self._text(cells, "provider", told.provider),
            "service_tier": self._text(cells, "service_tier", "", lambda tier: TIERS.get(tier, tier)),
            "currency": self._currency(cells, rows),
            "billing": self._same(told.billing, rows),
            "member": self._member(cells),
            "key": names(self._column(cells, "key"), reader.key) if "key" in reader.places else self._same("", rows),
        }
        return found | {name: self._text(cells, name, "") for name in PLAIN if name in reader.places}

    def _currency(self, cells: Cells, rows: int) -> Any:
        told = self._reader.told
        if "currency" not in self._reader.places:
            return self._same(told.currency, rows)
        return names(self._column(cells, "currency"), lambda text: name_of(text).upper() or told.currency)

    def _member(self, cells: Cells) -> Any:
        pc = arrow_compute()
        own = self._text(cells, "member", self._reader.member)
        if not {"member", "member_scope"} <= set(self._reader.places):
            return own
        told, scope = self._text(cells, "member", ""), self._text(cells, "member_scope", "")
        both = pc.and_(pc.not_equal(told, ""), pc.not_equal(scope, ""))
        return pc.if_else(both, pc.binary_join_element_wise(scope, told, "/"), own)

    def _end(self, cells: Cells, columns: dict[str, Any], is_silent: Any) -> Any:
        rows, reader = len(cells.lines), self._reader
        if "ended_time" not in reader.places:
            return np.ones(rows, bool)
        column = self._column(cells, "ended_time")
        ended = instants(column, reader.told.time_unit, reader.told.zone, reader.starts_at)
        is_blank = mask_of(arrow_compute().equal(text_of(column), ""))
        columns["ended_at"] = Figures(ended.values, ended.is_told & ~is_blank, ended.is_read).column()
        return ended.is_read | is_blank | is_silent

    def _listed(self, columns: Mapping[str, Any], at: Any, used: Mapping[str, Figures], cells: Cells) -> ListCosts:
        pc = arrow_compute()
        context = np.zeros(len(at), np.int64)
        for name in CONTEXT:
            if name in used:
                context = context + _sums(used[name])
        calls = used.get("request_count")
        if calls is not None:
            count = np.where(calls.is_told, calls.values, 0)
            alone = context if not self._reader.told.rows_are_sums else np.zeros_like(context)
            none = np.where(calls.is_told, 0, alone)
            context = np.where(count > 0, context // np.maximum(count, 1), none)
        elif self._reader.told.rows_are_sums:
            context = np.zeros_like(context)
        if "context_window" in self._reader.places:
            windows = names(
                self._column(cells, "context_window"), lambda text: "long" if is_long(name_of(text)) else ""
            )
            context = np.where(mask_of(pc.equal(windows, "long")), LONG_TOKENS, context)
        model = pc.if_else(
            pc.equal(columns["answered_model"], ""), columns["requested_model"], columns["answered_model"]
        )
        counted = {_METERS[name]: _sums(figures) for name, figures in used.items()}
        return list_costs(
            self._reader.prices, columns["provider"], model, columns["service_tier"], at, counted, context
        )

    def _status(self, cells: Cells, used: Mapping[str, Figures], rows: int) -> Any:
        status = self._text(cells, "status", "", status_of)
        if not self._reader.told.zero_is_failed:
            return status
        tokens = np.zeros(rows, np.int64)
        for name in ("input_tokens", "output_tokens"):
            if name in used:
                tokens = tokens + _sums(used[name])
        return arrow_compute().if_else(arrow().array(tokens == 0), "failed", status)


def _sums(figures: Figures) -> Any:
    """Counts for adding: 0 where nobody told, and where a row's own reader has to be asked."""
    return np.where(figures.is_told & figures.is_read, figures.values, 0)


def _is_sound(reader: RowReader) -> bool:
    """Whether events of this mapping can be: a source may be told that is no name."""
    try:
        name_checked(reader.told.source, "source of usage")
    except ValueError:
        return False
    return len(reader.told.tags) <= TAGS_MAX
