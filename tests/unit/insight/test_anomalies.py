"""A wild day is told, a busy one is not; a broken meter is told apart from both."""

from dataclasses import replace
from datetime import date, timedelta

from tokenroll.insight.anomalies import SpendDay, meter_anomalies, unusual_days
from tokenroll.insight.usage_shares import PricedEvent
from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import UsageEvent

MONDAY = date(2026, 1, 5)
USD = 1_000_000_000


def spent(*amounts: int) -> list[SpendDay]:
    return [SpendDay(MONDAY + timedelta(days=n), nanos * USD) for n, nanos in enumerate(amounts)]


def test_a_day_far_above_its_usual_is_told_with_its_usual():
    found = unusual_days(spent(10, 12, 11, 9, 10, 11, 10, 12, 9, 10, 11, 95))
    # the middle of the eleven days before is 10; a quarter of it is wider than their own width
    assert [(one.on, one.nanos, one.usual_nanos, one.widths) for one in found] == [
        (date(2026, 1, 16), 95 * USD, 10 * USD, 34.0)
    ]


def test_a_wild_day_does_not_make_the_next_ones_look_wild():
    assert [one.on.day for one in unusual_days(spent(10, 12, 11, 9, 10, 11, 10, 12, 9, 10, 11, 95, 10, 20, 11))] == [16]


def test_weekends_are_compared_with_weekends():
    week = (40, 41, 42, 40, 43, 2, 1)
    assert unusual_days(spent(*week * 6)) == ()
    busy_sunday = [*week * 5, *week[:6], 38]
    assert [one.usual_nanos for one in unusual_days(spent(*busy_sunday))] == [1 * USD]


def test_few_days_and_small_amounts_are_no_news():
    assert unusual_days(spent(1, 1, 1, 1, 1, 1, 1, 1, 1, 500)) == ()
    still = [SpendDay(MONDAY + timedelta(days=n), 1000) for n in range(20)]
    assert unusual_days([*still, SpendDay(MONDAY + timedelta(days=20), USD // 2)]) == ()


def called(number: int, tokens: int, cost_nanos: int, *, billed_nanos: int | None = None) -> PricedEvent:
    event = UsageEvent(
        source="litellm",
        event_id=f"call-{number}",
        admitted_at=number,
        provider="openai",
        requested_model="gpt",
        usage=Usage(input_tokens=tokens, output_tokens=0),
        list_cost_nanos=cost_nanos,
        billed_cost_nanos=billed_nanos,
    )
    return PricedEvent(event, {})


def test_a_price_entered_per_token_in_place_of_per_million_is_a_broken_meter():
    good = [called(number, 1000, 2_000_000) for number in range(20)]
    wrong = called(99, 1000, 2_000_000, billed_nanos=2000 * USD)
    (found,) = meter_anomalies([*good, wrong])
    assert (found.event_id, found.cost_nanos, found.usual_nanos, found.times) == (
        "call-99",
        2000 * USD,
        2_000_000,
        1_000_000,
    )


def test_a_large_call_is_no_broken_meter_and_a_small_one_is_no_matter():
    good = [called(number, 1000, 2_000_000) for number in range(20)]
    large = called(98, 10_000_000, 20 * USD)
    small = called(99, 10, 40_000_000)
    assert meter_anomalies([*good, large, small]) == ()


def test_rows_that_are_sums_are_no_calls():
    cheap = [called(number, 100_000_000, 10 * USD) for number in range(3)]
    reads = [PricedEvent(replace(one.event, source="focus"), {}) for one in cheap]
    output = PricedEvent(replace(called(9, 2_000_000, 30 * USD).event, source="focus"), {})
    assert meter_anomalies([*reads, output]) == ()
