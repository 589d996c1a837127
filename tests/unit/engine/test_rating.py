import pytest

from tests.cast import SONNET_RATES, make_card
from tokenroll.engine.rating import (
    UnpricedError,
    canonical_json,
    card_digest,
    card_from_json,
    ceil_div,
    charge_attos,
    charge_nanos,
    dearest,
    pinned,
    rates_for,
    round_half_even,
)
from tokenroll.model.rate_card import RateTable, RateTier
from tokenroll.model.usage import INPUT_METERS, Meter, Usage

STANDARD = {"standard": RateTable(base=SONNET_RATES)}
LONG = {
    "standard": RateTable(
        base=SONNET_RATES,
        tiers=(
            RateTier(
                input_tokens_above=200_000,
                rates={Meter.INPUT: 6 * 10**12, Meter.CACHE_READ: 6 * 10**11, Meter.OUTPUT: 225 * 10**11},
            ),
        ),
    )
}


@pytest.mark.parametrize(
    ("numerator", "rounded"),
    [(4, 0), (5, 0), (6, 1), (14, 1), (15, 2), (25, 2), (26, 3), (35, 4), (-5, 0), (-15, -2), (-16, -2), (-25, -2)],
)
def test_halves_go_to_the_even_neighbour(numerator, rounded):
    assert round_half_even(numerator, 10) == rounded


def test_an_odd_denominator_has_no_halves():
    assert [round_half_even(n, 3) for n in (0, 1, 2, 3, 4, 5)] == [0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize(("numerator", "rounded"), [(0, 0), (1, 1), (10, 1), (11, 2), (-9, 0), (-10, -1)])
def test_bounds_go_up(numerator, rounded):
    assert ceil_div(numerator, 10) == rounded


def test_a_call_costs_its_tokens_times_their_rates():
    assert charge_nanos(STANDARD, "standard", Usage(input_tokens=1_000, output_tokens=200)) == 6_000_000


def test_cached_reads_cost_a_tenth():
    usage = Usage(input_tokens=2_000, cache_read_tokens=8_000, output_tokens=500)
    # 2,000 x 3,000 + 8,000 x 300 + 500 x 15,000 nanos
    assert charge_nanos(STANDARD, "standard", usage) == 15_900_000


def test_cache_writes_cost_by_their_life():
    usage = Usage(cache_write_5m_tokens=1_000, cache_write_1h_tokens=1_000)
    assert charge_nanos(STANDARD, "standard", usage) == 9_750_000


def test_tools_cost_by_the_piece():
    assert charge_nanos(STANDARD, "standard", Usage(web_search_count=3)) == 30_000_000


@pytest.mark.parametrize(("tokens", "nanos"), [(1, 0), (3, 2), (5, 2), (7, 4)])
def test_it_rounds_once_and_to_even(tokens, nanos):
    half_a_nano = {"standard": RateTable(base={Meter.INPUT: 5 * 10**8})}
    assert charge_nanos(half_a_nano, "standard", Usage(input_tokens=tokens)) == nanos


def test_two_halves_make_a_whole_because_rounding_comes_last():
    halves = {"standard": RateTable(base={Meter.INPUT: 5 * 10**8, Meter.OUTPUT: 5 * 10**8})}
    assert charge_nanos(halves, "standard", Usage(input_tokens=1, output_tokens=1)) == 1


@pytest.mark.parametrize(
    ("usage", "nanos"),
    [
        (Usage(input_tokens=200_000, output_tokens=1_000), 615_000_000),
        (Usage(input_tokens=200_001, output_tokens=1_000), 1_222_506_000),
        (Usage(input_tokens=1, cache_read_tokens=200_000), 120_006_000),
        (Usage(input_tokens=1, cache_read_tokens=199_999), 60_002_700),
    ],
)
def test_a_long_context_prices_the_whole_call(usage, nanos):
    assert charge_nanos(LONG, "standard", usage) == nanos


def test_tiers_override_meter_by_meter_in_order():
    table = RateTable(
        base={Meter.INPUT: 1, Meter.OUTPUT: 10},
        tiers=(
            RateTier(input_tokens_above=100, rates={Meter.OUTPUT: 20}),
            RateTier(input_tokens_above=200, rates={Meter.INPUT: 2}),
        ),
    )
    assert rates_for(table, 100) == {Meter.INPUT: 1, Meter.OUTPUT: 10}
    assert rates_for(table, 101) == {Meter.INPUT: 1, Meter.OUTPUT: 20}
    assert rates_for(table, 201) == {Meter.INPUT: 2, Meter.OUTPUT: 20}


def test_reasoning_is_output_unless_it_has_a_rate():
    assert charge_nanos(STANDARD, "standard", Usage(reasoning_tokens=100)) == 1_500_000
    own = {"standard": RateTable(base={Meter.OUTPUT: 10**12, Meter.REASONING: 2 * 10**12})}
    assert charge_nanos(own, "standard", Usage(reasoning_tokens=100)) == 200_000


def test_a_cached_read_without_a_discount_is_input():
    assert (
        charge_nanos({"standard": RateTable(base={Meter.INPUT: 10**12})}, "standard", Usage(cache_read_tokens=7))
        == 7_000
    )


def test_a_short_write_may_cost_like_a_long_one_but_never_the_reverse():
    long_only = {"standard": RateTable(base={Meter.CACHE_WRITE_1H: 6 * 10**12})}
    assert charge_nanos(long_only, "standard", Usage(cache_write_5m_tokens=1)) == 6_000
    short_only = {"standard": RateTable(base={Meter.CACHE_WRITE_5M: 3 * 10**12})}
    with pytest.raises(UnpricedError, match="no price for cache_write_1h"):
        charge_nanos(short_only, "standard", Usage(cache_write_1h_tokens=1))


@pytest.mark.parametrize(
    ("usage", "words"),
    [
        (Usage(input_audio_tokens=5), r"rate card of sonnet has no price for input_audio \(5 units\)"),
        (Usage(output_image_tokens=1), "output_image"),
        (Usage(file_search_count=1), "file_search"),
    ],
)
def test_what_has_no_price_is_refused_by_name(usage, words):
    with pytest.raises(UnpricedError, match=words):
        charge_nanos(STANDARD, "standard", usage, "sonnet")


def test_a_service_tier_that_is_not_sold_has_no_price():
    with pytest.raises(UnpricedError, match="no price for service tier priority"):
        charge_nanos(STANDARD, "priority", Usage(input_tokens=1))


def test_counts_of_nothing_need_no_rate():
    assert charge_nanos(STANDARD, "standard", Usage(input_audio_tokens=0, output_image_tokens=None)) == 0


def test_a_request_fee_is_charged_where_there_is_one():
    assert charge_nanos(STANDARD, "standard", Usage(request_count=1)) == 0
    assert (
        charge_nanos({"standard": RateTable(base={Meter.REQUEST: 5 * 10**15})}, "standard", Usage(request_count=1))
        == 5_000_000
    )


def test_a_record_of_another_length_is_no_usage():
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        charge_attos(SONNET_RATES, (1, 2))


def test_the_dearest_rate_is_found_in_every_tier():
    assert dearest(STANDARD, ("standard",), INPUT_METERS) == 6_000_000_000_000
    assert dearest(STANDARD, ("standard",), (Meter.INPUT,)) == 3_000_000_000_000
    assert dearest(LONG, ("standard",), (Meter.OUTPUT,)) == 22_500_000_000_000
    two = {**STANDARD, "priority": RateTable(base={Meter.OUTPUT: 30 * 10**12})}
    assert dearest(two, ("standard",), (Meter.OUTPUT,)) == 15_000_000_000_000
    assert dearest(two, ("standard", "priority"), (Meter.OUTPUT,)) == 30_000_000_000_000


def test_the_dearest_of_nothing_priced_is_refused():
    with pytest.raises(UnpricedError, match="no price for input_audio, output_audio"):
        dearest(STANDARD, ("standard",), (Meter.INPUT_AUDIO, Meter.OUTPUT_AUDIO))
    with pytest.raises(UnpricedError, match="no price for service tier flex"):
        dearest(STANDARD, ("standard", "flex"), INPUT_METERS)


def test_a_digest_is_of_what_a_card_says_and_not_of_when_it_was_written():
    card = make_card(RateTable(base={Meter.INPUT: 3}))
    # sha256sum of the JSON text, taken outside this program
    assert card_digest(card) == "7ece2d3e55f4fc0b3ce64134f63de1feab17283eecbb2c214d9da958e3b3e091"
    assert card_digest(make_card(RateTable(base={Meter.INPUT: 3}), id=2, recorded_at=5)) == card_digest(card)
    assert card_digest(pinned(card)) == pinned(card).digest == card_digest(card)


@pytest.mark.parametrize(
    "changes",
    [{"model": "opus"}, {"effective_at": 1}, {"aliases": ("s",)}, {"overhead_tokens_per_tool": 33}, {"currency": "EUR"},
     {"time_of_day_dearest": True}, {"net_prices": {"standard": RateTable(base={Meter.INPUT: 2})}}],
)  # fmt: skip
def test_a_digest_changes_with_what_a_card_says(changes):
    table = RateTable(base={Meter.INPUT: 3})
    assert card_digest(make_card(table, **changes)) != card_digest(make_card(table))


def test_a_card_is_read_back_as_it_was_written():
    card = pinned(make_card(LONG["standard"], aliases=("s-1", "s-2")))
    assert (
        card_from_json(canonical_json(card), card_id=1, public_id=card.public_id, recorded_at=card.recorded_at) == card
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"model":', b'"mode":'),
        (b'"model":', b'"model": '),
        (b'"input"', b'"inputs"'),
        (b'"tiers":[]', b'"tiers":[[1]]'),
        (b'"tiers":[]', b'"tiers":7'),
        (b'{"aliases":[]', b'{"aliases":7'),
        (b'"currency"', b'"rate":1,"currency"'),
        (b"}", b""),
    ],
)
def test_bytes_that_are_not_a_card_in_its_one_spelling_are_refused(old, new):
    data = canonical_json(make_card(RateTable(base={Meter.INPUT: 3})))
    assert old in data
    with pytest.raises(ValueError, match=r"canonical JSON|Meter|delimiter|unpack"):
        card_from_json(data.replace(old, new), card_id=1, public_id="", recorded_at=0)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"7", b'"card"'])
def test_json_of_something_else_is_no_card(data):
    with pytest.raises(ValueError, match=r"canonical JSON|Expecting value"):
        card_from_json(data, card_id=1, public_id="", recorded_at=0)
