"""A call that asks for the long context by name: its rate card has one as large, or prices beyond its own, or it is refused."""

import pytest

from tests.cast import CREDIT, SONNET_RATES, make_card
from tests.desk import Desk, lot, make_facts, wallet
from tokenroll.model.rate_card import RateCard, RateTable, RateTier
from tokenroll.services.hot import HotHold
from tokenroll.upstream.dialect import Denial
from tokenroll.upstream.facts import Facts

TWICE = RateTable(
    base=SONNET_RATES,
    tiers=(RateTier(input_tokens_above=200_000, rates={meter: 2 * rate for meter, rate in SONNET_RATES.items()}),),
)
"""Sonnet's prices, and twice as much beyond 200,000 tokens of input: 12 credits for a million of input at most, 30 of output."""


def long_facts(*, fills_window: bool = False) -> Facts:
    facts = make_facts(fills_window=fills_window, window_tokens=1_000_000)
    facts.beyond_bytes = True
    return facts


def answered(folder, card: RateCard, facts: Facts) -> HotHold | Denial:
    return Desk(folder, wallet(lot(10, 100 * CREDIT)), cards=(card,)).admit(facts)


@pytest.mark.parametrize(
    ("window", "says"), [(200_000, "a context of 200000 model tokens"), (None, "no context window")]
)
def test_a_card_without_such_prices_refuses_it(tmp_path, window, says):
    denial = answered(tmp_path, make_card(context_window_tokens=window), long_facts())
    assert isinstance(denial, Denial)
    assert denial.code == "call_not_bounded"
    assert (
        f"names context-1m, a context of 1000000 model tokens, its rate card {says} and no prices beyond it"
        in denial.state
    )


def test_a_card_with_a_context_as_large_bounds_it_as_ever(tmp_path):
    """(1,000 + 16) × 6 + 100 × 15 millionths."""
    hold = answered(tmp_path, make_card(context_window_tokens=1_000_000), long_facts())
    assert isinstance(hold, HotHold)
    assert hold.bound_nanos == 7_596_000


def test_prices_beyond_the_cards_own_context_bound_it_by_them(tmp_path):
    """(1,000 + 16) × 12 + 100 × 30 millionths."""
    hold = answered(tmp_path, make_card(TWICE), long_facts())
    assert isinstance(hold, HotHold)
    assert hold.bound_nanos == 15_192_000


def test_what_may_fill_the_window_may_fill_the_long_one(tmp_path):
    """1,000,000 × 12 + 100 × 30 millionths, where without the beta it would be 200,000 × 12 + 100 × 30."""
    facts = make_facts(fills_window=True)
    usual = answered(tmp_path / "usual", make_card(TWICE), facts)
    hold = answered(tmp_path / "long", make_card(TWICE), long_facts(fills_window=True))
    assert isinstance(usual, HotHold)
    assert isinstance(hold, HotHold)
    assert usual.bound_nanos == 2_403_000_000
    assert hold.bound_nanos == 12_003_000_000
