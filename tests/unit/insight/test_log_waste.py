"""What looks wasted in Ada's logs, worked by hand on a model that costs 1 USD a million in, 5 out, 0.1 read, 1.25 and 2 written."""

from typing import Any

import pytest

from tokenroll.insight.log_waste import log_waste
from tokenroll.insight.usage_shares import PricedEvent
from tokenroll.model.amount import ATTOS_PER_CREDIT
from tokenroll.model.rate_card import Rates
from tokenroll.model.usage import Meter, Usage
from tokenroll.model.usage_event import UsageEvent

MILLION = 1_000_000
NINE_O_CLOCK = 1_767_949_200_000_000
MINUTE = 60_000_000


def attos(usd_per_million: str) -> int:
    whole, _, part = usd_per_million.partition(".")
    return int(whole + part.ljust(2, "0")) * ATTOS_PER_CREDIT // 100 // MILLION


RATES: Rates = {
    Meter.INPUT: attos("1"),
    Meter.OUTPUT: attos("5"),
    Meter.CACHE_READ: attos("0.10"),
    Meter.CACHE_WRITE_5M: attos("1.25"),
    Meter.CACHE_WRITE_1H: attos("2"),
}
SMALL: Rates = {Meter.INPUT: attos("0.20"), Meter.OUTPUT: attos("1")}


def call(number: int, minute: int, usage: Usage, cost_nanos: int, **changes: Any) -> PricedEvent:
    facts: dict[str, Any] = {
        "source": "claude-code",
        "event_id": f"msg-{number}",
        "admitted_at": NINE_O_CLOCK + minute * MINUTE,
        "provider": "anthropic",
        "requested_model": "model",
        "session": "monday",
        "finish": "end_turn",
        "usage": usage,
        "list_cost_nanos": cost_nanos,
    }
    return PricedEvent(UsageEvent(**{**facts, **changes}), RATES)


def told(*calls: PricedEvent, small: Rates | None = None) -> list[tuple[str, str, int, int]]:
    waste = log_waste(calls, {"anthropic": small} if small else {})
    return [(one.rule.id, one.rule.title, one.call_count, one.avoidable_nanos) for one in waste.findings]


def test_a_call_that_brought_nothing_is_lost_whole():
    # 8,000 in at 1 USD a million
    nothing = call(1, 0, Usage(input_tokens=8000, output_tokens=0), 8_000_000)
    assert told(nothing) == [("W9", "paid for, and nothing came out", 1, 8_000_000)]


@pytest.mark.parametrize("finish", ["tool_use", "tool_calls", "function_call"])
def test_a_call_of_a_tool_brought_something(finish: str):
    assert told(call(1, 0, Usage(input_tokens=8000, output_tokens=0), 8_000_000, finish=finish)) == []


def test_what_nobody_counted_is_not_nothing():
    assert told(call(1, 0, Usage(input_tokens=8000, output_tokens=None), 8_000_000)) == []


def test_a_cache_that_is_written_and_never_read_is_dearer_than_none():
    # 10,000 written: 0.25 USD a million above plain input
    alone = call(1, 0, Usage(input_tokens=10, cache_write_5m_tokens=10_000, output_tokens=100), 13_010_000)
    assert told(alone) == [("W5", "caching that cost more than it saved", 1, 2_500_000)]


def test_a_pause_makes_the_cache_cold_and_its_context_is_written_again():
    first = call(1, 0, Usage(input_tokens=10, cache_write_5m_tokens=10_000, output_tokens=100), 13_010_000)
    warm = call(2, 1, Usage(input_tokens=10, cache_read_tokens=10_000, output_tokens=100), 1_510_000)
    cold = call(3, 7, Usage(input_tokens=10, cache_write_5m_tokens=10_100, output_tokens=100), 13_135_000)
    # of what is written 10,000 had been in the cache: 1.25 - 0.10 USD a million more than reading them
    assert told(first, warm, cold) == [("W5", "context written into the cache again after a pause", 1, 11_500_000)]


def test_an_hours_cache_is_warm_for_an_hour():
    first = call(1, 0, Usage(cache_read_tokens=100_000, cache_write_1h_tokens=10_000, output_tokens=100), 30_500_000)
    later = call(2, 30, Usage(cache_read_tokens=110_000, cache_write_1h_tokens=10_000, output_tokens=100), 31_500_000)
    again = call(3, 70, Usage(cache_read_tokens=100_000, cache_write_1h_tokens=20_000, output_tokens=100), 50_500_000)
    # 120,000 were cached, 100,000 were read: 20,000 written at 2 in place of 0.10
    assert told(first, later, again) == [
        ("W5", "context written into the cache again although it was warm", 1, 38_000_000)
    ]


def test_a_context_that_was_compacted_was_not_lost():
    first = call(1, 0, Usage(cache_write_5m_tokens=100_000, output_tokens=10), 125_050_000)
    read = call(2, 1, Usage(cache_read_tokens=100_000, output_tokens=10), 10_050_000)
    compact = call(3, 2, Usage(cache_write_5m_tokens=20_000, output_tokens=10), 25_050_000)
    assert told(first, read, compact) == []


def test_context_above_the_policy_is_told_at_what_reading_it_costs():
    # 30,000 above 120,000, at 0.10 USD a million
    large = call(1, 0, Usage(input_tokens=1, cache_read_tokens=149_999, output_tokens=10), 15_050_900)
    assert told(large) == [("W6", "context above 120 000 model tokens sent again", 1, 3_000_000)]


def test_a_short_question_is_a_candidate_for_a_smaller_model():
    # 1,000 in at 0.80 less, 100 out at 4 less
    short = call(1, 0, Usage(input_tokens=1000, output_tokens=100), 1_500_000)
    assert told(short, small=SMALL) == [("W7", "short questions to a premium model", 1, 1_200_000)]
    assert (
        told(
            short._replace(
                event=call(1, 0, Usage(input_tokens=1000, output_tokens=100), 1_500_000, finish="tool_use").event
            ),
            small=SMALL,
        )
        == []
    )
    assert told(short, small=RATES) == []


def test_no_call_wastes_more_than_it_cost():
    # nothing came out of it, and its context is above the policy: the first rule takes all there is
    both = call(1, 0, Usage(input_tokens=150_000, output_tokens=0), 150_000_000)
    assert told(both) == [("W9", "paid for, and nothing came out", 1, 150_000_000)]


def test_hard_and_soft_are_apart_and_the_value_of_caching_is_told():
    waste = log_waste(
        [
            call(1, 0, Usage(input_tokens=10, cache_write_5m_tokens=10_000, output_tokens=100), 13_010_000),
            call(2, 1, Usage(input_tokens=10, cache_read_tokens=10_000, output_tokens=0), 1_010_000),
            call(3, 2, Usage(cache_read_tokens=140_000, output_tokens=1), 14_005_000),
        ],
        {},
    )
    # saved: 150,000 read at 0.90 less; premium: 10,000 at 0.25 more
    assert (waste.cache.saved_nanos, waste.cache.premium_nanos, waste.cache.net_nanos) == (
        135_000_000,
        2_500_000,
        132_500_000,
    )
    assert (waste.hard_nanos, waste.soft_nanos) == (1_010_000, 2_000_000)
