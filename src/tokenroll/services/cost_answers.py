"""Why costs changed, what does not fit, what an outcome costs, what would be otherwise: asked of the usage lake, answered by `insight`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple

from tokenroll.engine.rating import UnpricedError, charge_attos
from tokenroll.insight.anomalies import SpendDay, UnusualDay, unusual_days
from tokenroll.insight.changes import Amounts, Change, Mover, change_of, movers
from tokenroll.insight.metered_share import KeyUse, ProviderShare, key_uses, provider_shares
from tokenroll.insight.unit_economics import UnitCost, joined, unit_cost
from tokenroll.insight.what_if import Answer, ModelUse, Scenario, what_if
from tokenroll.model.instant import Instant, datetime_from_instant, instant_from_datetime
from tokenroll.model.rate_card import Rates
from tokenroll.model.usage import METERS
from tokenroll.model.usage_event import GATEWAY
from tokenroll.services.list_prices import ListPrices
from tokenroll.services.meter_quarantine import LeftOut, amount_of, left_out, quarantined
from tokenroll.services.outcomes import Standing
from tokenroll.store.lake import LakeView
from tokenroll.store.lake_meters import MeterCall
from tokenroll.store.lake_queries import MEASURES, TIMES, Condition, QuestionError, UsageAnswer, UsageQuery, answer
from tokenroll.store.lake_schema import COSTS, COUNTS

MONEY: Final = ("list", "net", "billed", "charge")
"""The four costs; a question about change asks of one of them."""
COST_REPORTS: Final = ("openai-costs", "anthropic-costs", "focus")
"""Sources that say what a provider bills in all."""
USAGE_REPORTS: Final = ("openai-usage", "anthropic-usage")
"""Sources that say which of a provider's keys used how much."""

_MONTH_CHARACTERS: Final = len("2026-11")


class Period(NamedTuple):
    """From an instant until another, exclusive; None leaves an end open."""

    from_at: Instant | None
    until: Instant | None

    def has(self, at: Instant) -> bool:
        """Whether an instant is in it."""
        return (self.from_at is None or self.from_at <= at) and (self.until is None or at < self.until)


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


def odd_days(
    view: LakeView, *, money: str, where: Sequence[Condition] = ()
) -> tuple[tuple[UnusualDay, ...], LeftOut, str]:
    """Days with far more of one cost than the days before them make likely, what is quarantined from them, and the currency.

    Days without usage count as nothing spent.
    """
    column = _money(money)
    asked = UsageQuery(by=("day",), measures=(money,), order=("day",), where=tuple(where))
    found = answer(view, asked)
    spent = {date.fromisoformat(row["day"]): row[column] or 0 for row in found.rows()}
    without = quarantined(view, asked)
    for call in without:
        spent[datetime_from_instant(call.admitted_at).date()] -= amount_of(call, money)
    told = left_out(without, money, found.currency)
    if not spent:
        return (), told, found.currency
    first, last = min(spent), max(spent)
    span = range(first.toordinal(), last.toordinal() + 1)
    days = unusual_days([SpendDay(on, spent.get(on, 0)) for on in map(date.fromordinal, span)])
    return days, told, found.currency


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What an accepted outcome costs, in which currency, and what is quarantined from it."""

    cost: UnitCost
    currency: str
    left_out: LeftOut


def outcome_cost(
    view: LakeView, told: Standing, *, money: str, period: Period | None = None, where: Sequence[Condition] = ()
) -> Outcomes:
    """What an accepted outcome costs: spend joined to outcomes by its tag, else by its session; the rest of all spend is unattributed.

    Of a period those outcomes count that it spent on, or in which it was decided what became of them.
    """
    column = _money(money)
    span = period or Period(None, None)
    asked = UsageQuery(
        by=("outcome", "session") if told.outcome_of_session else ("outcome",), measures=(money,), from_at=span.from_at,
        until=span.until, where=tuple(where),
    )  # fmt: skip
    found = answer(view, asked)
    spend: dict[str, int] = {}

    def add(outcome: str, session: str, nanos: int) -> None:
        name = outcome or told.outcome_of_session.get(session, "")
        spend[name] = spend.get(name, 0) + nanos

    for row in found.rows():
        add(row["outcome"] or "", row.get("session") or "", row[column] or 0)
    without = quarantined(view, asked)
    for call in without:
        add(call.outcome, call.session, -amount_of(call, money))
    nameless = spend.pop("", 0)
    accepted = {name: ok for name, ok in told.accepted.items() if name in spend or span.has(told.decided_at[name])}
    outcomes, elsewhere = joined(spend, accepted)
    return Outcomes(
        cost=unit_cost(outcomes, unattributed_nanos=elsewhere + nameless),
        currency=found.currency,
        left_out=left_out(without, money, found.currency),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WouldCost:
    """Each model's usage now and under a scenario, models without a price, the currency, and what is quarantined from both sides."""

    answers: tuple[Answer, ...]
    unpriced: tuple[str, ...]
    currency: str
    left_out: LeftOut


def would_cost(
    view: LakeView, scenario: Scenario, prices: ListPrices, period: Period, at: Instant,
    *, where: Sequence[Condition] = (),
) -> WouldCost:  # fmt: skip
    """The list cost of a period's usage by model, now and under a scenario, in the currency that it is told in."""
    meters = {column: name for name, column in MEASURES.items() if column in COUNTS}
    query = UsageQuery(
        by=("provider", "model"), measures=(*meters.values(), "list"), from_at=period.from_at, until=period.until,
        where=tuple(where),
    )  # fmt: skip
    found = answer(view, query)
    without = quarantined(view, query)
    uses, unpriced = [], []
    for row in _rows_without(found.rows(), without):
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
    return WouldCost(
        answers=what_if(uses, scenario, _rates_of(scenario, prices, at)),
        unpriced=tuple(sorted(set(unpriced))),
        currency=found.currency,
        left_out=left_out(without, "list", found.currency),
    )


def _rows_without(rows: list[dict[str, Any]], without: Sequence[MeterCall]) -> list[dict[str, Any]]:
    """Sums by provider and model, less what is quarantined of them."""
    by_model = {(row["provider"], row["model"]): row for row in rows}
    for call in without:
        row = by_model[call.provider, call.model]
        amounts = dict(zip(COUNTS, call.counts, strict=True)) | {"list_cost_nanos": call.list_cost_nanos}
        for column, amount in amounts.items():
            if amount:
                row[column] -= amount
    return rows


def _check_models(scenario: Scenario, used: Collection[str]) -> None:
    """What a scenario names was used, so that a slip of the finger is no answer of nothing."""
    named = {*scenario.switches, *scenario.discounts, *(model for model, _ in scenario.price_factors)} - {""}
    others = {other for other, _ in scenario.switches.values()}
    for model in sorted(named - others):
        if model not in used:
            raise QuestionError(
                f"no {model} with a published price was used then: used were {', '.join(sorted(used)) or 'none'}"
            )


class Metered(NamedTuple):
    """Each provider's share, the keys of usage reports, and the currency of the amounts."""

    providers: tuple[ProviderShare, ...]
    keys: tuple[KeyUse, ...]
    currency: str


def metered_share(
    view: LakeView, period: Period, ours: Collection[str], *, report: str = "", where: Sequence[Condition] = ()
) -> Metered:
    """What of each provider's cost report went through the gateway, and the keys of its usage reports. Raises QuestionError.

    `report` is the one that is the invoice where several tell of one provider; else the provider's own comes before FOCUS.
    """
    if report and report not in COST_REPORTS:
        raise QuestionError(f"a cost report is one of {', '.join(COST_REPORTS)}, not {report!r}")
    if any(one.dimension == "source" for one in where):
        raise QuestionError("a share compares sources: name the cost report in place of a condition on source")

    def asked(by: tuple[str, ...], measure: str, *sources: str) -> UsageAnswer:
        conditions = (*where, *map(_source, sources))
        return answer(
            view,
            UsageQuery(by=by, measures=(measure,), where=conditions, from_at=period.from_at, until=period.until),
        )

    settled = asked(("provider",), "net", GATEWAY)
    billed = asked(("provider", "source"), "billed", *COST_REPORTS)
    reported = asked(("provider", "key"), "model_tokens", *USAGE_REPORTS)
    keys = [(row["provider"], row["key"], row["model_tokens"] or 0) for row in reported.rows()]
    shares = provider_shares(
        [(row["provider"], row["net_cost_nanos"]) for row in settled.rows() if row["net_cost_nanos"] is not None],
        [
            (row["provider"], row["source"], row["billed_cost_nanos"])
            for row in billed.rows()
            if row["billed_cost_nanos"] is not None
        ],
        (*((report,) if report else ()), *COST_REPORTS),
    )
    return Metered(shares, key_uses(keys, ours), settled.currency or billed.currency)


def _source(name: str) -> Condition:
    return Condition(dimension="source", operator="=", value=name)


def month_of(month: date) -> tuple[Instant, Instant]:
    """The first instant of a calendar month in UTC and of the one after it."""
    first = datetime(month.year, month.month, 1, tzinfo=UTC)
    after = datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)
    return instant_from_datetime(first), instant_from_datetime(after)


def period_of_month(text: str) -> Period:
    """The month that `2026-11` names. Raises ValueError."""
    if len(text) != _MONTH_CHARACTERS:
        raise ValueError(text)
    return Period(*month_of(date.fromisoformat(f"{text}-01")))


def month_before(month: str) -> str:
    """The month before one that is written so. Raises ValueError."""
    first = date.fromisoformat(f"{month}-01")
    return f"{first.year - (first.month == 1):04}-{(first.month - 2) % 12 + 1:02}"


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
