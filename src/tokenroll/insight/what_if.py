"""What the same usage would have cost at other prices, with another model, or under a negotiated discount.

Counts stay as they were: nobody works more because a price falls, and another model may need other counts for the same work. Both are
said beside the answer; the answer itself is exact.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tokenroll.engine.rating import charge_attos, round_half_even
from tokenroll.model.amount import ATTOS_PER_NANO
from tokenroll.model.rate_card import Rates
from tokenroll.model.usage import Meter


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUse:
    """What was used of one model: counts in the order of METERS, what it cost, and its rates now."""

    model: str
    counts: tuple[int | None, ...]
    cost_nanos: int
    rates: Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What would be otherwise. Prices are factors by model and meter, switches name another model, a discount is taken off the end.

    `switches` maps a model to another and the part of its usage that goes there; `discounts` maps a model, or the empty name for all, to
    the part of its cost that is not charged.
    """

    price_factors: Mapping[tuple[str, Meter], Fraction]
    switches: Mapping[str, tuple[str, Fraction]]
    discounts: Mapping[str, Fraction]

    def __post_init__(self) -> None:
        parts = [*(part for _, part in self.switches.values()), *self.discounts.values()]
        if any(not 0 <= part <= 1 for part in parts):
            message = "a part that is switched or not charged lies between 0 and 1"
            raise ValueError(message)
        if any(factor < 0 for factor in self.price_factors.values()):
            message = "a factor of a price is not negative"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one model's usage costs now and then, in nanos."""

    model: str
    now_nanos: int
    then_nanos: int


def what_if(uses: Sequence[ModelUse], scenario: Scenario, rates_of: Mapping[str, Rates]) -> tuple[Answer, ...]:
    """The cost of each model's usage under a scenario; `rates_of` are the rates of models that usage is switched to.

    Raises KeyError for a switch to a model without rates, UnpricedError where its rates do not cover what was used.
    """
    return tuple(_answer(use, scenario, rates_of) for use in uses)


def saved(answers: Iterable[Answer]) -> int:
    """Nanos less in all; below zero it costs more."""
    return sum(one.now_nanos - one.then_nanos for one in answers)


def _answer(use: ModelUse, scenario: Scenario, rates_of: Mapping[str, Rates]) -> Answer:
    now_attos = charge_attos(use.rates, use.counts, use.model)
    then = Fraction(charge_attos(_scaled(use.model, use.rates, scenario), use.counts, use.model))
    switch = scenario.switches.get(use.model)
    if switch is not None:
        other, part = switch
        elsewhere = charge_attos(_scaled(other, rates_of[other], scenario), use.counts, other)
        then = then * (1 - part) + elsewhere * part
    then *= 1 - scenario.discounts.get(use.model, scenario.discounts.get("", Fraction()))
    # long contexts and service tiers cost otherwise than the rates of a short call: what was paid is scaled by what rates say
    if now_attos:
        then = then * use.cost_nanos / now_attos
        return Answer(model=use.model, now_nanos=use.cost_nanos, then_nanos=round(then))
    return Answer(model=use.model, now_nanos=use.cost_nanos, then_nanos=round_half_even(int(then), ATTOS_PER_NANO))


def _scaled(model: str, rates: Rates, scenario: Scenario) -> Rates:
    factors = scenario.price_factors
    if not any(name == model for name, _ in factors):
        return rates
    return {meter: round(attos * factors.get((model, meter), Fraction(1))) for meter, attos in rates.items()}
