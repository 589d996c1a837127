"""A meter that cannot be right is told apart from a large call, a small one and a sum of many."""

from dataclasses import replace

from tokenroll.insight.broken_meters import meter_anomalies
from tokenroll.insight.usage_shares import PricedEvent
from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import UsageEvent

USD = 1_000_000_000


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


def test_a_currency_of_small_units_is_no_broken_meter():
    """A thousand model tokens cost a cent: twenty calls in dollars, three in yen, of which one is worth 150 times less."""
    dollars = [called(number, 1_000_000, 10 * USD) for number in range(20)]
    yen = [PricedEvent(replace(called(number, 1_000_000, 1500 * USD).event, currency="JPY"), {}) for number in range(3)]
    assert meter_anomalies([*dollars, *yen]) == ()


def test_exactly_twenty_times_is_off_and_a_nano_less_is_not():
    good = [called(number, 1000, USD) for number in range(9)]
    assert [one.times for one in meter_anomalies([*good, called(99, 1000, 20 * USD)])] == [20]
    assert meter_anomalies([*good, called(99, 1000, 20 * USD - 1)]) == ()


def test_a_price_row_that_is_wrong_for_every_call_is_seen_by_the_price_list():
    """All cost the same a token, so that none is off the others: 6 USD net where the list says 2, and a nano more."""
    told = [with_net(number, 6 * USD) for number in range(8)]
    assert meter_anomalies(told) == ()
    (found,) = meter_anomalies([*told, with_net(99, 6 * USD + 1)])
    assert (found.event_id, found.cost_nanos, found.usual_nanos, found.times) == ("call-99", 6 * USD + 1, 2 * USD, 3)


def with_net(number: int, net_nanos: int) -> PricedEvent:
    return PricedEvent(replace(called(number, 1_000_000, 2 * USD).event, net_cost_nanos=net_nanos), {})
