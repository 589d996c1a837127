from typing import Any

import pytest

from tests.cast import SONNET_RATES, make_card
from tokenroll.engine.bounding import (
    TEXT_INPUT_METERS,
    CallSize,
    affordable_output_tokens,
    bound_nanos,
    bound_nanos_at,
    compile_bound,
    input_tokens_max,
)
from tokenroll.engine.rating import UnpricedError
from tokenroll.model.rate_card import RateTable, RateTier
from tokenroll.model.usage import Meter

STANDARD = ("standard",)
TWO_CHOICES = CallSize(
    input_bytes=1_000, message_count=2, tool_count=3, has_tools=True, output_cap_tokens=100, choice_count=2
)


def test_every_byte_is_a_token_and_every_overhead_counts():
    # 1,000 + 2 x 16 + 512 + 3 x 32
    assert input_tokens_max(compile_bound(make_card(), STANDARD), TWO_CHOICES) == 1_640


def test_a_call_without_tools_has_no_tools_overhead():
    plain = CallSize(input_bytes=1_000, message_count=2, output_cap_tokens=100)
    assert input_tokens_max(compile_bound(make_card(), STANDARD), plain) == 1_032


def test_it_takes_the_dearest_rates():
    # input as one-hour cache writes: 1,640 x 6,000; output: 2 x 100 x 15,000
    assert bound_nanos(make_card(), TWO_CHOICES, STANDARD) == 12_840_000


def test_allowed_searches_are_in_it():
    size = CallSize(input_bytes=0, message_count=0, output_cap_tokens=0, web_search_max=5)
    assert bound_nanos(make_card(), size, STANDARD) == 50_000_000


def test_a_request_fee_is_in_it():
    card = make_card(RateTable(base={**SONNET_RATES, Meter.REQUEST: 5 * 10**15}))
    assert bound_nanos(card, CallSize(input_bytes=0, message_count=0, output_cap_tokens=0), STANDARD) == 5_000_000


def test_it_rounds_up():
    card = make_card(RateTable(base={Meter.INPUT: 1, Meter.OUTPUT: 1}))
    assert bound_nanos(card, CallSize(input_bytes=1, message_count=0, output_cap_tokens=0), STANDARD) == 1
    assert bound_nanos(card, CallSize(input_bytes=0, message_count=0, output_cap_tokens=0), STANDARD) == 0


def test_a_long_context_is_in_it():
    table = RateTable(
        base=SONNET_RATES,
        tiers=(
            RateTier(input_tokens_above=200_000, rates={Meter.CACHE_WRITE_1H: 12 * 10**12, Meter.OUTPUT: 225 * 10**11}),
        ),
    )
    assert bound_nanos(make_card(table), TWO_CHOICES, STANDARD) == 24_180_000


def test_every_service_tier_that_may_answer_is_in_it():
    prices = {
        "standard": RateTable(base={Meter.INPUT: 10**12, Meter.OUTPUT: 10**12}),
        "priority": RateTable(base={Meter.INPUT: 10**12, Meter.OUTPUT: 2 * 10**12}),
    }
    size = CallSize(input_bytes=10, message_count=0, output_cap_tokens=10)
    card = make_card(internal_prices=prices)
    assert bound_nanos(card, size, STANDARD) == 20_000
    assert bound_nanos(card, size, ("standard", "priority")) == 30_000


def test_credits_are_bounded_by_internal_prices():
    card = make_card(internal_prices={"standard": RateTable(base={Meter.INPUT: 0, Meter.OUTPUT: 0})})
    assert bound_nanos(card, TWO_CHOICES, STANDARD) == 0


def test_a_call_of_text_may_leave_audio_out():
    card = make_card(RateTable(base={**SONNET_RATES, Meter.INPUT_AUDIO: 100 * 10**12}))
    assert compile_bound(card, STANDARD).input_attos == 100_000_000_000_000
    assert compile_bound(card, STANDARD, TEXT_INPUT_METERS).input_attos == 6_000_000_000_000


def test_reasoning_that_is_dearer_than_output_is_in_it():
    card = make_card(RateTable(base={Meter.INPUT: 0, Meter.OUTPUT: 10**12, Meter.REASONING: 4 * 10**12}))
    assert bound_nanos(card, CallSize(input_bytes=0, message_count=0, output_cap_tokens=10), STANDARD) == 40_000


@pytest.mark.parametrize("fee", ["web_fetch_max", "file_search_max", "code_second_max"])
def test_a_fee_without_a_price_cannot_be_bounded(fee):
    allowed: dict[str, Any] = {fee: 1}
    size = CallSize(input_bytes=0, message_count=0, output_cap_tokens=0, **allowed)
    with pytest.raises(UnpricedError, match=f"sonnet has no price for {fee.removesuffix('_max')}"):
        bound_nanos(make_card(), size, STANDARD)


@pytest.mark.parametrize("base", [{Meter.OUTPUT: 1}, {Meter.INPUT: 1}])
def test_a_card_without_a_price_cannot_be_bounded(base):
    with pytest.raises(UnpricedError, match="has no price for"):
        compile_bound(make_card(RateTable(base=base)), STANDARD)


@pytest.mark.parametrize(
    ("budget_nanos", "tokens"), [(12_840_000, 100), (12_839_999, 99), (9_840_000, 0), (9_839_999, 0), (0, 0), (-5, 0)]
)
def test_what_a_budget_affords_fits_it(budget_nanos, tokens):
    # input 9,840,000 nanos, then 30,000 for a token in each of two choices
    assert affordable_output_tokens(compile_bound(make_card(), STANDARD), TWO_CHOICES, budget_nanos) == tokens


def test_free_output_is_limited_by_what_can_be_counted():
    free = compile_bound(make_card(RateTable(base={Meter.INPUT: 0, Meter.OUTPUT: 0})), STANDARD)
    assert affordable_output_tokens(free, TWO_CHOICES, 0) == 1_000_000_000_000


def test_compiled_and_plain_bounds_are_one():
    assert bound_nanos_at(compile_bound(make_card(), STANDARD), TWO_CHOICES) == 12_840_000


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input_bytes": -1}, "input_bytes must be 0 to"),
        ({"output_cap_tokens": 10**12 + 1}, "output_cap_tokens must be 0 to"),
        ({"choice_count": 0}, "at least one choice"),
        ({"tool_count": 2}, "a call with 2 tools has tools"),
    ],
)
def test_a_size_is_valid_at_birth(changes, words):
    with pytest.raises(ValueError, match=words):
        CallSize(**{"input_bytes": 0, "message_count": 0, "output_cap_tokens": 0} | changes)
