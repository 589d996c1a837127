"""What is made of events inside the lake, as expressions: a day in one order, each identity once, and its sums by hour and day.

The sums are exact and additive, by who, what and how. A row is int64 like every row of ours. A sum that is wider is several rows: eight amounts of the largest size that a row may have fit
in one, so where int64 might not hold a sum, no more than eight events go into a row. Adding rows up is exact either way.
"""

from functools import cache
from typing import Any, Final, NamedTuple

from tokenroll.store.lake_files import table_of
from tokenroll.store.lake_libraries import ibis
from tokenroll.store.lake_schema import COLUMNS, ORDER, SUM_KEYS, SUMMED, USAGE

PART_EVENTS: Final = 8
CHOSEN: Final = "chosen"
"""The engine's table of chosen ids."""


def rollup_of(usage: Any, kind: str, *, fits: bool) -> Any:
    """The sums of usage rows, in the order of their keys, as an expression. `fits`: int64 holds every sum of these rows."""
    tagged = usage.mutate(tags_text=usage.tags.join(","))
    names = list(SUM_KEYS[kind])
    if not fits:
        place = ibis().row_number().over(group_by=names, order_by=[tagged.admitted_at, tagged.event_id])
        tagged = tagged.mutate(part=place // PART_EVENTS)
        names.append("part")
    sums = {name: tagged[name].sum() for name in SUMMED}
    summed = tagged.group_by(names).aggregate(call_count=tagged.count(), **sums)
    return summed.order_by(names).select([*SUM_KEYS[kind], "call_count", *SUMMED])


_IDENTITY: Final = ("source", "event_id")
_TOTAL_ORDER: Final = (*ORDER, *(name for name in COLUMNS if name not in ORDER))
"""In which no two different rows are equal, so that a merged file is a function of its rows."""


def in_order(usage: Any) -> Any:
    """The same events as they lie in a merged file."""
    return usage.order_by(_TOTAL_ORDER)


def told_twice(usage: Any) -> Any:
    """How many identities stand in more than one row."""
    counted = usage.group_by(_IDENTITY).aggregate(row_count=usage.count())
    return counted.filter(counted.row_count > 1).count()


def told_once(usage: Any) -> Any:
    """Of each identity the fullest telling: the most model tokens, then the largest costs.

    A log counts along, and a cost report of a day that is not over is downloaded again when it has grown.
    """
    costs = [
        ibis().coalesce(usage[name].abs(), -1).desc()
        for name in ("billed_cost_nanos", "net_cost_nanos", "list_cost_nanos")
    ]
    order = [usage.model_tokens.desc(), *costs, *(usage[name] for name in _TOTAL_ORDER)]
    placed = usage.mutate(place=ibis().row_number().over(group_by=_IDENTITY, order_by=order))
    return placed.filter(placed.place == 0).drop("place")


class Chosen(NamedTuple):
    """Events of one source: all, those whose ids begin so, or those whose ids the engine's table `chosen` has."""

    source: str
    begins: str = ""
    by_table: bool = False

    def of(self, usage: Any) -> Any:
        """Whether an event is one of them, as an expression."""
        is_chosen = usage.source == self.source
        if self.by_table:
            idents = ibis().table({"event_id": "string"}, name=CHOSEN)
            is_chosen &= usage.event_id.isin(idents.event_id)
        return is_chosen & usage.event_id.startswith(self.begins) if self.begins else is_chosen

    def count_statement(self) -> str:
        """How many there are, each once however often it is told."""
        usage = table_of(USAGE)
        return compiled(usage.filter(self.of(usage)).event_id.nunique().as_table())

    def others_statement(self, *, once: bool) -> str:
        """All other events, as a merged file has them."""
        usage = _merged(once=once)
        return compiled(in_order(usage.filter(~self.of(usage))))


@cache
def rollup_statement(kind: str, *, fits: bool) -> str:
    """`rollup_of` all events, compiled once for all days."""
    return compiled(rollup_of(table_of(USAGE), kind, fits=fits))


@cache
def merge_statement(*, once: bool) -> str:
    """All events as a merged file has them."""
    return compiled(in_order(_merged(once=once)))


def over_count_statement(purposes: list[str], *, once: bool) -> str:
    """How many events are of one of these purposes."""
    usage = _merged(once=once)
    return compiled(usage.filter(usage.purpose.isin(purposes)).count().as_table())


def kept_statement(purposes: list[str], *, once: bool) -> str:
    """All events of other purposes, as a merged file has them."""
    usage = _merged(once=once)
    return compiled(in_order(usage.filter(~usage.purpose.isin(purposes))))


def _merged(*, once: bool) -> Any:
    """The events that a merged file has: a day that is one file is never merged again, so no event may be told twice in it."""
    usage = table_of(USAGE)
    return told_once(usage) if once else usage


@cache
def told_twice_statement() -> str:
    """`told_twice` of all events."""
    return compiled(told_twice(table_of(USAGE)).as_table())


def compiled(expression: Any) -> str:
    """An expression in DuckDB's SQL."""
    return str(ibis().to_sql(expression, dialect="duckdb"))
