"""What Cleo's month would have cost otherwise; prices in attos for one model token, worked by hand."""

from fractions import Fraction

import pytest

from tokenroll.engine.rating import UnpricedError
from tokenroll.insight.what_if import Answer, ModelUse, Scenario, saved, what_if
from tokenroll.model.amount import ATTOS_PER_NANO
from tokenroll.model.usage import Meter, Usage

NANO = ATTOS_PER_NANO
LARGE = ModelUse(
    model="large",
    counts=Usage(input_tokens=100, output_tokens=10).counts,
    cost_nanos=100 * 3 + 10 * 15,
    rates={Meter.INPUT: 3 * NANO, Meter.OUTPUT: 15 * NANO},
)
SMALL_RATES = {Meter.INPUT: NANO, Meter.OUTPUT: 5 * NANO}


def scenario(**changes: object) -> Scenario:
    return Scenario(**{"price_factors": {}, "switches": {}, "discounts": {}, **changes})  # type: ignore[arg-type]


def test_nothing_otherwise_costs_the_same():
    assert what_if([LARGE], scenario(), {}) == (Answer(model="large", now_nanos=450, then_nanos=450),)


def test_a_price_of_output_that_doubles():
    answers = what_if([LARGE], scenario(price_factors={("large", Meter.OUTPUT): Fraction(2)}), {})
    assert answers[0].then_nanos == 100 * 3 + 10 * 30
    assert saved(answers) == -150


def test_half_of_it_goes_to_a_smaller_model():
    # small: 100 x 1 + 10 x 5 = 150; half of 450 and half of 150
    answers = what_if([LARGE], scenario(switches={"large": ("small", Fraction(1, 2))}), {"small": SMALL_RATES})
    assert answers[0].then_nanos == 300


def test_a_discount_is_taken_off_the_end_and_ones_own_goes_first():
    assert what_if([LARGE], scenario(discounts={"": Fraction(1, 10)}), {})[0].then_nanos == 405
    assert what_if([LARGE], scenario(discounts={"": Fraction(1, 10), "large": Fraction(1, 5)}), {})[0].then_nanos == 360


def test_what_was_paid_for_long_contexts_is_scaled_and_not_forgotten():
    long = ModelUse(model="large", counts=LARGE.counts, cost_nanos=900, rates=LARGE.rates)
    assert what_if([long], scenario(discounts={"": Fraction(1, 2)}), {})[0].then_nanos == 450


def test_a_switch_to_a_model_that_cannot_do_it_is_refused():
    with pytest.raises(UnpricedError, match="output"):
        what_if([LARGE], scenario(switches={"large": ("ears", Fraction(1))}), {"ears": {Meter.INPUT: NANO}})


def test_parts_and_factors_that_cannot_be():
    with pytest.raises(ValueError, match="between 0 and 1"):
        scenario(discounts={"": Fraction(3, 2)})
    with pytest.raises(ValueError, match="not negative"):
        scenario(price_factors={("large", Meter.INPUT): Fraction(-1)})
