"""Why costs changed, what does not fit, what an outcome costs, what would be otherwise: asked of the usage lake, answered by `insight`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple

from tokenroll.engine.rating import UnpricedError, charge_attos
from tokenroll.insight.anomalies import METER_LEAST_NANOS, METER_TIMES_MAX, SpendDay, UnusualDay, unusual_days
from tokenroll.insight.changes import Amounts, Change, Mover, change_of, movers
from tokenroll.insight.metered_share import KeyUse, ProviderShare, key_uses, provider_shares
from tokenroll.insight.unit_economics import UnitCost, joined, unit_cost
from tokenroll.insight.what_if import Answer, ModelUse, Scenario, what_if
from tokenroll.model.instant import Instant, instant_from_datetime
from tokenroll.model.rate_card import Rates
from tokenroll.model.usage import METERS
from tokenroll.model.usage_event import GATEWAY
from tokenroll.services.list_prices import ListPrices
from tokenroll.services.outcomes import Standing
from tokenroll.store.lake import LakeView
from tokenroll.store.lake_meters import BrokenMeter, broken_meters
from tokenroll.store.lake_queries import MEASURES, TIMES, Condition, QuestionError, UsageQuery, answer
from tokenroll.store.lake_schema import COSTS, COUNTS

MONEY: Final = ("list", "net", "billed", "charge")
"""The four costs; a question about change asks of one of them."""
COST_REPORTS: Final = ("openai-costs", "anthropic-costs", "focus")
"""Sources that say what a provider bills in all."""
USAGE_REPORTS: Final = ("openai-usage", "anthropic-usage")
"""Sources that say which of a provider's keys used how much."""


class Period(NamedTuple):
    """From an instant until another, exclusive; None leaves an end open."""

    from_at: Instant | None
    until: Instant | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A change taken apart by models, and the parts of it by any dimension."""

    change: Change
    movers: tuple[Mover, ...]
    currency: str


def explained(
    view: LakeView, before: Period, after: Period, *, by: str, money: str, where: Sequence[Condition] = ()
) -> Explained:
    """The change of one cost between two periods. Prices are those of a model token of each model. Raises QuestionError."""
    column = _money(money)
    if by in TIMES:
        raise QuestionError(f"a change between two months has no {by}: ask by who or what it was")
    asked: dict[Period, dict[tuple[str, ...], tuple[list[dict[str, Any]], str]]] = {}
    for period in (before, after):
        asked[period] = {}
        for names in (("model", "provider"), (by,)):
            query = UsageQuery(
                by=names,
                measures=("model_tokens", money),
                where=tuple(where),
                from_at=period.from_at,
                until=period.until,
            )
            found = answer(view, query)
            asked[period][names] = (found.rows(), found.currency)
    models = ("model", "provider")

    def parts(period: Period) -> dict[str, Amounts]:
        return {
            f"{row['provider']}\n{row['model']}": Amounts(units=row["model_tokens"] or 0, cost_nanos=row[column] or 0)
            for row in asked[period][models][0]
        }

    def sums(period: Period) -> dict[str, int]:
        return {str(row[by] if row[by] is not None else ""): row[column] or 0 for row in asked[period][(by,)][0]}

    return Explained(
        change=change_of(parts(before), parts(after)),
        movers=movers(sums(before), sums(after)),
        currency=asked[after][models][1] or asked[before][models][1],
    )


def odd_days(view: LakeView, *, money: str) -> tuple[UnusualDay, ...]:
    """Days with far more of one cost than the days before them make likely; days without usage count as nothing spent."""
    column = _money(money)
    rows = answer(view, UsageQuery(by=("day",), measures=(money,), order=("day",))).rows()
    spent = {date.fromisoformat(row["day"]): row[column] or 0 for row in rows}
    if not spent:
        return ()
    first, last = min(spent), max(spent)
    span = range(first.toordinal(), last.toordinal() + 1)
    return unusual_days([SpendDay(on, spent.get(on, 0)) for on in map(date.fromordinal, span)])


def odd_meters(view: LakeView) -> list[BrokenMeter]:
    """All calls of the lake whose meter cannot be right, dearest first: nobody spent what they cost."""
    return broken_meters(
        view,
        UsageQuery(),
        times_max=METER_TIMES_MAX,
        least_nanos=METER_LEAST_NANOS,
        measure=MEASURES["list"],
    )


def outcome_cost(view: LakeView, told: Standing, *, money: str, period: Period | None = None) -> UnitCost:
    """What an accepted outcome costs: spend joined to outcomes by its tag, else by its session; the rest of all spend is unattributed."""
    column = _money(money)
    span = period or Period(None, None)
    asked = UsageQuery(by=("outcome",), measures=(money,), from_at=span.from_at, until=span.until)
    spend = {str(row["outcome"]): row[column] or 0 for row in answer(view, asked).rows() if row["outcome"]}
    if told.outcome_of_session:
        untagged = UsageQuery(
            by=("session",),
            measures=(money,),
            where=(Condition(dimension="outcome", operator="=", value=""),),
            from_at=span.from_at,
            until=span.until,
        )
        for row in answer(view, untagged).rows():
            outcome = told.outcome_of_session.get(str(row["session"]))
            if outcome is not None:
                spend[outcome] = spend.get(outcome, 0) + (row[column] or 0)
    whole = answer(view, UsageQuery(measures=(money,), from_at=span.from_at, until=span.until)).rows()
    total = (whole[0][column] or 0) if whole else 0
    outcomes, elsewhere = joined(spend, told.accepted)
    return unit_cost(outcomes, unattributed_nanos=elsewhere + total - sum(spend.values()))


def would_cost(
    view: LakeView, scenario: Scenario, prices: ListPrices, period: Period, at: Instant
) -> tuple[tuple[Answer, ...], tuple[str, ...]]:
    """The list cost of a period's usage by model, now and under a scenario; and the models that have no price to ask about."""
    meters = {column: name for name, column in MEASURES.items() if column in COUNTS}
    query = UsageQuery(
        by=("provider", "model"), measures=(*meters.values(), "list"), from_at=period.from_at, until=period.until
    )
    uses, unpriced = [], []
    for row in answer(view, query).rows():
        rates = prices.base_rates(row["provider"], row["model"], at)
        cost = row["list_cost_nanos"]
        if rates is None or cost is None:
            unpriced.append(row["model"])
            continue
        counts = tuple(row.get(column) for column in COUNTS)
        try:
            charge_attos(rates, counts, row["model"])
        except UnpricedError:
            unpriced.append(row["model"])
            continue
        uses.append(ModelUse(model=row["model"], counts=counts[: len(METERS)], cost_nanos=cost, rates=rates))
    _check_models(scenario, {use.model for use in uses})
    return what_if(uses, scenario, _rates_of(scenario, prices, at)), tuple(sorted(set(unpriced)))


def _check_models(scenario: Scenario, used: Collection[str]) -> None:
    """What a scenario names was used, so that a slip of the finger is no answer of nothing."""
    named = {*scenario.switches, *scenario.discounts, *(model for model, _ in scenario.price_factors)} - {""}
    others = {other for other, _ in scenario.switches.values()}
    for model in sorted(named - others):
        if model not in used:
            raise QuestionError(
                f"no {model} with a published price was used then: used were {', '.join(sorted(used)) or 'none'}"
            )


def metered_share(
    view: LakeView, period: Period, ours: Collection[str]
) -> tuple[tuple[ProviderShare, ...], tuple[KeyUse, ...]]:
    """What of each provider's cost report went through the gateway, and the keys of its usage reports. Raises QuestionError."""

    def sums(money: str, *where: Condition) -> dict[str, int]:
        query = UsageQuery(by=("provider",), measures=(money,), where=where, from_at=period.from_at, until=period.until)
        column = _money(money)
        return {row["provider"]: row[column] for row in answer(view, query).rows() if row[column] is not None}

    through = sums("net", _source(GATEWAY))
    billed = sums("billed", *map(_source, COST_REPORTS))
    reported = UsageQuery(
        by=("provider", "key"),
        measures=("model_tokens",),
        where=tuple(map(_source, USAGE_REPORTS)),
        from_at=period.from_at,
        until=period.until,
    )
    keys = [(row["provider"], row["key"], row["model_tokens"] or 0) for row in answer(view, reported).rows()]
    return provider_shares(through, billed), key_uses(keys, ours)


def _source(name: str) -> Condition:
    return Condition(dimension="source", operator="=", value=name)


def month_of(month: date) -> tuple[Instant, Instant]:
    """The first instant of a calendar month in UTC and of the one after it."""
    first = datetime(month.year, month.month, 1, tzinfo=UTC)
    after = datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)
    return instant_from_datetime(first), instant_from_datetime(after)


def _rates_of(scenario: Scenario, prices: ListPrices, at: Instant) -> dict[str, Rates]:
    found = {}
    for other, _ in scenario.switches.values():
        rates = prices.base_rates("", other, at)
        if rates is None:
            raise QuestionError(f"there is no published price for {other}: name a model as its provider does")
        found[other] = rates
    return found


def _money(name: str) -> str:
    if name not in MONEY:
        raise QuestionError(f"a cost is one of {', '.join(MONEY)}, not {name!r}")
    column: Any = MEASURES[name]
    assert column in {*COSTS, "charge_nanos"}
    return str(column)
