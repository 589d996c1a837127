import pytest

from tests.cast import make_card
from tokenroll.model.rate_card import RateTable, RateTier
from tokenroll.model.usage import Meter


def test_it_sells_a_standard_tier():
    assert list(make_card().internal_prices) == ["standard"]


def test_it_cannot_be_changed_through_its_prices():
    prices = {"standard": RateTable(base={Meter.INPUT: 1})}
    card = make_card(internal_prices=prices)
    prices["batch"] = RateTable(base={})
    assert list(card.internal_prices) == ["standard"]
    with pytest.raises(TypeError, match="does not support item assignment"):
        card.internal_prices["batch"] = RateTable(base={})  # type: ignore[index]


def test_it_needs_a_standard_internal_price():
    with pytest.raises(ValueError, match="rate card of sonnet has no standard internal price"):
        make_card(internal_prices={"batch": RateTable(base={})})


@pytest.mark.parametrize("attos", [-1, 10**21 + 1, 1.5, True])
def test_its_rates_are_integers_below_the_limit(attos):
    with pytest.raises(ValueError, match="rate of input must be"):
        RateTable(base={Meter.INPUT: attos})
    with pytest.raises(ValueError, match="rate of output must be"):
        RateTable(base={}, tiers=(RateTier(input_tokens_above=0, rates={Meter.OUTPUT: attos}),))


@pytest.mark.parametrize("starts", [(200, 100), (100, 100), (-1,)])
def test_its_long_context_tiers_ascend(starts):
    with pytest.raises(ValueError, match="must ascend"):
        RateTable(base={}, tiers=tuple(RateTier(input_tokens_above=start, rates={}) for start in starts))


@pytest.mark.parametrize("changes", [{"id": 0}, {"provider": ""}, {"model": ""}])
def test_it_is_valid_at_birth(changes):
    with pytest.raises(ValueError, match="must be"):
        make_card(**changes)
