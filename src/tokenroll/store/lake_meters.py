"""Calls in the lake whose cost their model tokens cannot explain, found by the engine's sums and judged by the one rule of `insight`."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple, TypeAlias

from tokenroll.insight.broken_meters import (
    CALL_REQUESTS_MAX,
    LIST_TIMES_MAX,
    METER_LEAST_NANOS,
    METER_TIMES_MAX,
    SUM_SOURCES,
    expected_nanos,
    usual_nanos,
)
from tokenroll.model.instant import Instant
from tokenroll.store.lake import LakeView
from tokenroll.store.lake_decisions import MeterDecision, verdicts
from tokenroll.store.lake_files import lake_engine, show_rows, table_of
from tokenroll.store.lake_libraries import arrow, ibis
from tokenroll.store.lake_queries import UsageQuery, kept_by
from tokenroll.store.lake_rollups import compiled
from tokenroll.store.lake_schema import COUNTS, USAGE

_NAMED: Final = "decided"
_KEYS: Final = ("source", "event_id")
_ALIKE: Final = ("model", "currency")
_Decided: TypeAlias = Mapping[tuple[str, str], MeterDecision]
_NEARLY: Final = METER_TIMES_MAX - 1
"""The engine finds with a margin what the rule then judges in whole numbers."""
_TOLD: Final = (
    "admitted_at", "source", "event_id", "provider", "model", "currency", "member", "department", "outcome", "session", "model_tokens",
    "list_cost_nanos", "net_cost_nanos", "billed_cost_nanos", "charge_nanos",
)  # fmt: skip

_USUAL: Final = len(_TOLD) + 1
"""The place of the usual price in a row that the engine tells; before it is the cost, after it are the counts."""


class MeterCall(NamedTuple):
    """A call that the rule finds or that somebody decided about: what it cost, and what its model tokens cost elsewhere."""

    admitted_at: Instant
    source: str
    event_id: str
    provider: str
    model: str
    currency: str
    member: str
    department: str
    outcome: str
    session: str
    model_tokens: int
    list_cost_nanos: int | None
    net_cost_nanos: int | None
    billed_cost_nanos: int | None
    charge_nanos: int | None
    cost_nanos: int
    """What it is judged by: billed, else net, else list."""
    usual_nanos: int
    counts: tuple[int | None, ...] = ()
    """Of its meters, in the order of METERS."""


def meter_calls(view: LakeView, query: UsageQuery) -> list[MeterCall]:
    """The calls of a question's period and conditions whose meter cannot be right, and those that were decided about. Dearest first.

    What is usual comes from the whole lake, so that a call is judged alike whatever is asked. Lakes without any large call, which most
    are, are looked through once and nothing is sorted.
    """
    files = view.manifest.of_kind(USAGE)
    decided = verdicts(view.decisions)
    if not files:
        return []
    usage = table_of(USAGE)
    cost = ibis().coalesce(usage.billed_cost_nanos, usage.net_cost_nanos, usage.list_cost_nanos)
    is_call = (ibis().coalesce(usage.request_count, 1) <= CALL_REQUESTS_MAX) & ~usage.source.isin(SUM_SOURCES)
    calls = usage.filter(cost.notnull(), usage.model_tokens > 0, is_call).mutate(cost=cost)
    with lake_engine(view.directory) as engine:
        show_rows(engine, view.directory, files, USAGE)
        large, known = calls.filter(calls.cost >= METER_LEAST_NANOS), None
        if decided:
            named = _shown_keys(engine, decided)
            large, known = large.anti_join(named, _KEYS), calls.semi_join(named, _KEYS)
        sought = large if known is None else large.union(known)
        models = [row[0] for row in engine.sql(compiled(sought.select("model").distinct())).fetchall()]
        if not models:
            return []
        price = calls.filter(calls.model.isin(models))
        quotient = price.cost.cast("float64") / price.model_tokens.cast("float64")
        usual = price.group_by(_ALIKE).aggregate(usual=_lower_middle()(quotient, 0.5))
        found = large.join(usual, _ALIKE)
        is_beyond_list = found.cost > LIST_TIMES_MAX * found.list_cost_nanos.cast("float64")
        found = found.filter(
            (found.cost >= _NEARLY * found.usual * found.model_tokens) | is_beyond_list.fill_null(False)
        )
        if known is not None:
            found = found.union(known.join(usual, _ALIKE))
        asked = kept_by(query, found, USAGE).select(*_TOLD, "cost", "usual", *COUNTS)
        rows: list[Any] = engine.sql(compiled(asked)).fetchall()
    return _judged(rows, decided)


def _shown_keys(engine: Any, decided: _Decided) -> Any:
    """The identities that were decided about, as a table: they may be too small or too usual to be found again."""
    keys = sorted(decided)
    named = arrow().table({"source": [key[0] for key in keys], "event_id": [key[1] for key in keys]})
    engine.from_arrow(named).create_view(_NAMED, replace=True)
    return ibis().table(ibis().Schema.from_pyarrow(named.schema), name=_NAMED)


def _judged(rows: list[Any], decided: _Decided) -> list[MeterCall]:
    tokens = _TOLD.index("model_tokens")
    listed = _TOLD.index("list_cost_nanos")
    found = []
    for row in rows:
        usual = usual_nanos(row[_USUAL], row[tokens])
        expected = expected_nanos(row[_USUAL - 1], usual, row[listed])
        one = MeterCall._make((*row[:_USUAL], usual if expected is None else expected, row[_USUAL + 1 :]))
        if expected is not None or (one.source, one.event_id) in decided:
            found.append(one)
    return sorted(found, key=lambda one: (-one.cost_nanos, one.source, one.event_id))


@cache
def _lower_middle() -> Any:
    """The lower middle of a group, which is one of its values: the same in every engine, where means of two are not."""

    def quantile_disc(values: float, part: float) -> float: ...  # type: ignore[empty-body]

    return ibis().udf.agg.builtin(quantile_disc)
