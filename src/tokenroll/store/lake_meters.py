"""Calls in the lake whose cost their model tokens cannot explain: a wrong price row or a broken counter, which nobody spent."""

from typing import Any, Final, NamedTuple

from tokenroll.model.instant import Instant
from tokenroll.store.lake import LakeView
from tokenroll.store.lake_files import lake_engine, show_rows, table_of
from tokenroll.store.lake_libraries import ibis
from tokenroll.store.lake_queries import UsageQuery, kept_by, within
from tokenroll.store.lake_rollups import compiled
from tokenroll.store.lake_schema import USAGE

SUM_SOURCES: Final = (
    "focus",
    "openai-usage",
    "openai-costs",
    "anthropic-usage",
    "anthropic-costs",
    "anthropic-claude-code",
)
"""Whose rows are sums of many calls, of one meter each or of one day: they are no calls that could be judged by others."""


class BrokenMeter(NamedTuple):
    """A call that cost what its model tokens cannot explain (W12), and what they cost elsewhere; `amount` is its part of a measure."""

    admitted_at: Instant
    member: str
    model: str
    source: str
    event_id: str
    cost_nanos: int
    usual_nanos: int
    amount: int | None


def broken_meters(
    view: LakeView, query: UsageQuery, *, times_max: int, least_nanos: int, measure: str
) -> list[BrokenMeter]:
    """The calls of a question's period and conditions that cost at least `least_nanos` and `times_max` times their model's median.

    The median is that of what a model token cost, so that long calls are not suspicious; `measure` is the column of `amount`. Lakes
    without any large call, which most are, are looked through once and nothing is sorted. Dearest first.
    """
    files = within(view.manifest.of_kind(USAGE), query)
    if not files:
        return []
    usage = kept_by(query, table_of(USAGE), USAGE)
    told = usage.mutate(cost=ibis().coalesce(usage.billed_cost_nanos, usage.list_cost_nanos))
    is_call = (ibis().coalesce(told.request_count, 1) <= 1) & ~told.source.isin(SUM_SOURCES)
    told = told.filter(told.cost.notnull(), told.model_tokens > 0, is_call)
    large = told.filter(told.cost >= least_nanos)
    with lake_engine(view.directory) as engine:
        show_rows(engine, view.directory, files, USAGE)
        models = [row[0] for row in engine.sql(compiled(large.select("model").distinct())).fetchall()]
        if not models:
            return []
        price = told.filter(told.model.isin(models))
        usual = price.group_by("model").aggregate(usual=(price.cost / price.model_tokens).median())
        both = large.join(usual, "model")
        both = both.mutate(expected=ibis().greatest((both.usual * both.model_tokens).round(), 1).cast("int64"))
        found = both.filter(both.cost >= times_max * both.expected)
        columns = {"cost_nanos": found.cost, "usual_nanos": found.expected, "amount": found[measure]}
        told_of = found.select("admitted_at", "member", "model", "source", "event_id", **columns)
        rows: list[Any] = engine.sql(compiled(told_of)).fetchall()
    meters = (BrokenMeter(*row) for row in rows)
    return sorted(meters, key=lambda one: (-one.cost_nanos, one.source, one.event_id))
