"""Meters that cannot be right (W12): the one rule, for events in hand and for the usage lake.

A wrong price row or a broken counter makes an amount that nobody spent, and a single one can exceed a year. Such calls are quarantined:
they stay in every sum of money, and out of every forecast and score, until somebody confirms that they are as they should be. A call is judged
by its price in the price list, where its source told another cost, and by what a model token of its model cost in the middle, in its
currency: so long calls are not suspicious, and a price row that is wrong for all calls of a model is found, too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median_low
from typing import Final

from tokenroll.insight.usage_shares import PricedEvent
from tokenroll.model.usage import model_tokens
from tokenroll.model.usage_event import UsageEvent

METER_TIMES_MAX: Final = 20
"""A call that costs so many times what its tokens cost in the middle, and which is itself large, has a meter that is wrong."""
LIST_TIMES_MAX: Final = 3
"""A large call that costs more than so many times its list price (reference: analytics, W12)."""
METER_LEAST_NANOS: Final = 5_000_000_000
"""Five units of currency: a call below it moves no forecast."""
SUM_SOURCES: Final = (
    "focus",
    "openai-usage",
    "openai-costs",
    "anthropic-usage",
    "anthropic-costs",
    "anthropic-claude-code",
)
"""Whose rows are sums of many calls, of one meter each or of one day: they are no calls that could be judged by others."""
CALL_REQUESTS_MAX: Final = 1
"""A row of more requests is a sum, too."""
SEEN_WITH: Final = "tokenroll cost meters"
"""The command that lists what is quarantined and says how to decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterAnomaly:
    """A call whose cost cannot be right, and what its tokens cost by the price list or elsewhere."""

    source: str
    event_id: str
    model: str
    currency: str
    cost_nanos: int
    usual_nanos: int
    list_cost_nanos: int
    """What sums of list cost have of it."""

    @property
    def times(self) -> int:
        """By which factor it is off."""
        return times_of(self.cost_nanos, self.usual_nanos)


def token_price(cost_nanos: int, token_count: int) -> float:
    """Nanos of a model token of one call, as an IEEE double: the same to the bit in every engine."""
    return float(cost_nanos) / float(token_count)


def usual_nanos(usual_price: float, token_count: int) -> int:
    """What so many tokens cost at the usual price of one: the lower middle of what a token of its model cost."""
    return max(1, round(usual_price * token_count))


def expected_nanos(cost_nanos: int, usual: int, listed: int | None) -> int | None:
    """What a call should have cost whose cost is so far off that its meter must be wrong; None for any other.

    `usual` is what its tokens cost elsewhere, `listed` what they cost by the price list.
    """
    if cost_nanos < METER_LEAST_NANOS:
        return None
    if listed is not None and cost_nanos > LIST_TIMES_MAX * listed:
        return max(1, listed)
    return usual if cost_nanos >= METER_TIMES_MAX * usual else None


def times_of(cost_nanos: int, expected_nanos: int) -> int:
    """How many times what was to be expected, rounded down."""
    return cost_nanos // expected_nanos


def judged_cost(event: UsageEvent) -> int | None:
    """What a call is judged by: what is billed, else what is net, else what is listed. None for what is no call, or cannot be judged."""
    if (event.usage.request_count or 1) > CALL_REQUESTS_MAX or event.source in SUM_SOURCES:
        return None
    costs = (event.billed_cost_nanos, event.net_cost_nanos, event.list_cost_nanos)
    return next((cost for cost in costs if cost is not None), None)


def meter_anomalies(priced: Iterable[PricedEvent]) -> tuple[MeterAnomaly, ...]:
    """Calls with a cost that their tokens cannot explain, dearest first."""
    by_model: dict[tuple[str, str], list[tuple[int, int, UsageEvent]]] = {}
    for event, _ in priced:
        cost, tokens = judged_cost(event), model_tokens(event.usage.counts)
        if cost is not None and tokens:
            by_model.setdefault((event.model, event.currency), []).append((cost, tokens, event))
    found = []
    for (model, currency), rows in by_model.items():
        usual = median_low(token_price(cost, tokens) for cost, tokens, _ in rows)
        for cost, tokens, event in rows:
            expected = expected_nanos(cost, usual_nanos(usual, tokens), event.list_cost_nanos)
            if expected is not None:
                found.append(
                    MeterAnomaly(
                        source=event.source,
                        event_id=event.event_id,
                        model=model,
                        currency=currency,
                        cost_nanos=cost,
                        usual_nanos=expected,
                        list_cost_nanos=event.list_cost_nanos or 0,
                    )
                )
    return tuple(sorted(found, key=lambda one: (-one.cost_nanos, one.source, one.event_id)))
