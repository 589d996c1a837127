"""Laws 1 and 3: integers agree with fractions, and no call within its size costs more than its bound."""

import json
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st

from tests.cast import make_card
from tokenroll.engine import bounding, rating
from tokenroll.model.rate_card import RateCard, RateTable, RateTier
from tokenroll.model.usage import INPUT_METERS, METERS, Meter, Usage

TEXT_INPUT = (Meter.INPUT, Meter.CACHE_READ, Meter.CACHE_WRITE_5M, Meter.CACHE_WRITE_1H)
ATTOS = st.integers(0, 10**14) | st.sampled_from([0, 1, 5 * 10**8, 10**9, 3 * 10**12, 10**21])
COUNTS = st.integers(0, 300_000) | st.sampled_from([0, 1, 199_999, 200_000, 200_001, 10**12])


@st.composite
def tables(draw: st.DrawFn) -> RateTable:
    """All meters priced, and up to two long-context tiers that override some of them."""
    base = {meter: draw(ATTOS) for meter in METERS}
    starts = sorted(draw(st.sets(st.integers(0, 300_000) | st.just(200_000), max_size=2)))
    partial = st.dictionaries(st.sampled_from(METERS), ATTOS, max_size=6)
    return RateTable(
        base=base, tiers=tuple(RateTier(input_tokens_above=start, rates=draw(partial)) for start in starts)
    )


USAGES = st.builds(Usage.from_counts, st.tuples(*(st.none() | COUNTS for _ in METERS)))


def exact_nanos(table: RateTable, usage: Usage) -> Fraction:
    """The price as a fraction, from the words of the rule alone."""
    counts = dict(zip(METERS, (Fraction(count or 0) for count in usage.counts), strict=True))
    context = sum((count for meter, count in counts.items() if meter in INPUT_METERS), Fraction(0))
    rates = dict(table.base)
    for tier in table.tiers:
        if context > tier.input_tokens_above:
            rates.update(tier.rates)
    return sum((counts[meter] * rates[meter] for meter in METERS), Fraction(0)) / 10**9


@st.composite
def priced_usages(draw: st.DrawFn) -> tuple[RateTable, Usage]:
    """Usage, and a table whose first long-context tier starts at or right beside its input."""
    usage = draw(USAGES)
    context = sum(usage.counts[number] or 0 for number in range(6))
    start = max(0, context + draw(st.integers(-1, 1)))
    tier = RateTier(input_tokens_above=start, rates={meter: draw(ATTOS) for meter in METERS})
    return RateTable(base=draw(tables()).base, tiers=(tier,)), usage


@given(case=priced_usages() | st.tuples(tables(), USAGES))
def test_a_charge_is_the_fraction_rounded_once_half_even(case):
    table, usage = case
    assert rating.charge_nanos({"standard": table}, "standard", usage) == round(exact_nanos(table, usage))


@given(halves=st.integers(), half=st.integers(1, 10**9), beside=st.integers(-1, 1))
def test_rounding_is_what_fractions_say(halves, half, beside):
    numerator, denominator = halves * half + beside, 2 * half
    exact = Fraction(numerator, denominator)
    assert rating.round_half_even(numerator, denominator) == round(exact)
    assert rating.ceil_div(numerator, denominator) == -((-exact).__floor__())


@st.composite
def text_tables(draw: st.DrawFn) -> RateTable:
    """A model of text as it is sold: some meters have no rate of their own, long contexts may be dearer."""
    rates = st.integers(1, 10**4) | st.integers(1, 10**14)
    base = {Meter.INPUT: draw(rates), Meter.OUTPUT: draw(rates), Meter.WEB_SEARCH: draw(rates)}
    for meter in (Meter.REQUEST, Meter.CACHE_READ, Meter.CACHE_WRITE_5M, Meter.CACHE_WRITE_1H, Meter.REASONING):
        if draw(st.booleans()) or meter is Meter.CACHE_WRITE_1H:
            base[meter] = draw(rates)
    if not draw(st.booleans()):
        return RateTable(base=base)
    times = draw(st.integers(2, 5))
    tier = RateTier(input_tokens_above=draw(st.integers(0, 200)), rates={m: attos * times for m, attos in base.items()})
    return RateTable(base=base, tiers=(tier,))


@st.composite
def calls(draw: st.DrawFn) -> tuple[RateCard, bounding.CallSize, tuple[str, ...], str, Usage]:
    """A card, a call's size, the tiers that may answer, the one that did, and usage within the size."""
    prices: Mapping[str, RateTable] = {"standard": draw(text_tables()), "priority": draw(text_tables())}
    may_answer = draw(st.sampled_from([("standard",), ("priority",), ("standard", "priority")]))
    tool_count = draw(st.integers(0, 3))
    size = bounding.CallSize(
        input_bytes=draw(st.integers(0, 1_000) | COUNTS),
        message_count=draw(st.integers(0, 50)),
        output_cap_tokens=draw(st.integers(0, 1_000) | st.integers(0, 70_000)),
        tool_count=tool_count,
        has_tools=tool_count > 0 or draw(st.booleans()),
        choice_count=draw(st.integers(1, 4)),
        web_search_max=draw(st.integers(0, 5)),
    )
    tokens_in = size.input_bytes + 16 * size.message_count + (512 + 32 * tool_count if size.has_tools else 0)
    tokens_out = size.choice_count * size.output_cap_tokens
    usage: dict[Meter, int] = {Meter.REQUEST: 1, Meter.WEB_SEARCH: draw(st.integers(0, size.web_search_max))}
    for left, meters in ((tokens_in, TEXT_INPUT), (tokens_out, (Meter.OUTPUT, Meter.REASONING))):
        tokens = left
        for meter in draw(st.permutations(meters)):
            usage[meter] = draw(st.just(tokens) | st.integers(0, tokens))
            tokens -= usage[meter]
    assume(max(usage.values()) <= 10**12)
    reported = Usage.from_counts(tuple(usage.get(meter) for meter in METERS))
    return make_card(internal_prices=prices), size, may_answer, draw(st.sampled_from(may_answer)), reported


@given(call=calls())
def test_no_call_within_its_size_costs_more_than_its_bound(call):
    card, size, may_answer, answered, usage = call
    table = card.internal_prices[answered]
    every_rate = {meter: rating.rate_attos(table.base, meter) or 0 for meter in METERS}
    tiers = tuple(
        replace(tier, rates={m: rating.rate_attos(tier.rates, m) or 0 for m in METERS}) for tier in table.tiers
    )
    bound = bounding.bound_nanos(card, size, may_answer)
    assert exact_nanos(RateTable(base=every_rate, tiers=tiers), usage) <= bound
    assert rating.charge_nanos(card.internal_prices, answered, usage) <= bound


@given(call=calls(), budget=st.integers(-1, 10**18))
def test_the_affordable_cap_is_the_largest_that_fits(call, budget):
    card, size, may_answer, _, _ = call
    compiled = bounding.compile_bound(card, may_answer)
    cap = bounding.affordable_output_tokens(compiled, size, budget)

    def bound(tokens):
        resized = {name: getattr(size, name) for name in size.__slots__} | {"output_cap_tokens": tokens}
        return bounding.bound_nanos_at(compiled, bounding.CallSize(**resized))

    assert cap == 0 or bound(cap) <= budget
    assert cap == 10**12 or bound(cap + 1) > budget


@given(table=tables(), tokens=st.integers(0, 400_000))
def test_the_dearest_rate_is_never_exceeded(table, tokens):
    rates = rating.rates_for(table, tokens)
    for meter in METERS:
        assert rates[meter] <= rating.dearest({"standard": table}, ("standard",), (meter,))


@given(table=tables() | text_tables(), aliases=st.sets(st.text(min_size=1, max_size=5), max_size=3))
def test_a_card_is_read_back_as_it_was_written(table, aliases):
    card = rating.pinned(make_card(table, aliases=tuple(sorted(aliases))))
    written = rating.canonical_json(card)
    assert rating.card_from_json(written, card_id=1, public_id=card.public_id, recorded_at=card.recorded_at) == card
    assert json.loads(written)["source"] == "test"
