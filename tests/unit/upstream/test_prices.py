"""Published prices become cards whose every digit a person can check against a price page."""

import hashlib

import pytest

from tokenroll.engine.rating import canonical_json, card_from_json, charge_nanos
from tokenroll.model.instant import instant_from_text
from tokenroll.model.rate_card import RateCard
from tokenroll.model.usage import Meter, Usage
from tokenroll.upstream.prices import (
    ModelKey,
    attos_per_unit,
    cards_for_testing,
    prepare,
    published_providers,
    rates_from_text,
)
from tokenroll.upstream.simulated.prices import PriceTable

NOVEMBER = instant_from_text("2026-11-20T00:00:00Z")
USD_PER_MILLION = 10**12
"""One USD for a million tokens is 10**18 / 10**6 attos for one."""
USD_PER_THOUSAND = 10**15


@pytest.fixture(scope="module")
def cards() -> dict[ModelKey, RateCard]:
    """The cards that hold in November 2026; where another is announced for later, the first one."""
    found: dict[ModelKey, RateCard] = {}
    for card in prepare(as_of=NOVEMBER).cards:
        if card.effective_at <= NOVEMBER:
            found[ModelKey(card.provider, card.model)] = card
    return found


# provider, model, tier, input above, meter -> USD per million as the price page says it
GOLDEN = [
    ("openai", "gpt-4o-mini", "standard", 0, Meter.INPUT, 150_000_000_000),  # 0.15
    ("openai", "gpt-4o-mini", "standard", 0, Meter.CACHE_READ, 75_000_000_000),  # 0.075
    ("openai", "gpt-4o-mini", "standard", 0, Meter.OUTPUT, 600_000_000_000),  # 0.60
    ("openai", "gpt-4o-mini", "batch", 0, Meter.INPUT, 75_000_000_000),
    ("openai", "gpt-4o-mini", "batch", 0, Meter.OUTPUT, 300_000_000_000),
    ("openai", "gpt-4o-mini", "priority", 0, Meter.INPUT, 250_000_000_000),
    ("openai", "gpt-4o-mini", "priority", 0, Meter.OUTPUT, 1_000_000_000_000),
    ("openai", "gpt-4o", "standard", 0, Meter.INPUT, 2_500_000_000_000),
    ("openai", "gpt-4o", "standard", 0, Meter.WEB_SEARCH, 10_000_000_000_000_000),  # 10 USD a thousand
    ("openai", "gpt-5", "flex", 0, Meter.CACHE_READ, 62_500_000_000),  # 0.0625
    ("openai", "gpt-5", "priority", 0, Meter.OUTPUT, 20_000_000_000_000),
    ("openai", "gpt-5.4", "standard", 272_001, Meter.OUTPUT, 22_500_000_000_000),
    ("openai", "gpt-5.4", "priority", 272_001, Meter.INPUT, 5_000_000_000_000),  # a flat override: no long-context price
    ("openai", "gpt-6-astra", "standard", 0, Meter.INPUT, 10_000_000_000_000),
    ("openai", "gpt-6-astra", "standard", 272_000, Meter.INPUT, 10_000_000_000_000),  # not yet above
    ("openai", "gpt-6-astra", "standard", 272_001, Meter.INPUT, 20_000_000_000_000),
    ("openai", "gpt-6-astra", "standard", 0, Meter.CACHE_WRITE_5M, 12_500_000_000_000),
    ("openai", "o3-mini", "standard", 0, Meter.OUTPUT, 4_400_000_000_000),
    ("anthropic", "claude-opus-5-5", "standard", 0, Meter.INPUT, 4_000_000_000_000),
    ("anthropic", "claude-opus-5-5", "standard", 0, Meter.CACHE_READ, 200_000_000_000),
    ("anthropic", "claude-opus-5-5", "standard", 0, Meter.CACHE_WRITE_1H, 8_000_000_000_000),
    ("anthropic", "claude-opus-5-5", "standard", 0, Meter.OUTPUT, 20_000_000_000_000),
    ("anthropic", "claude-opus-5-5", "batch", 0, Meter.OUTPUT, 10_000_000_000_000),
    ("anthropic", "claude-sonnet-5-5", "standard", 0, Meter.CACHE_WRITE_5M, 2_500_000_000_000),
    ("anthropic", "claude-haiku-5-5", "standard", 100_000, Meter.INPUT, 100_000_000_000),
    ("anthropic", "claude-haiku-5-5", "standard", 100_001, Meter.INPUT, 500_000_000_000),
    ("anthropic", "claude-haiku-5-5", "standard", 100_001, Meter.CACHE_WRITE_1H, 1_000_000_000_000),
    ("anthropic", "claude-sonnet-4-5", "standard", 200_001, Meter.OUTPUT, 22_500_000_000_000),
    ("anthropic", "claude-haiku-4-5", "standard", 0, Meter.CACHE_WRITE_1H, 2_000_000_000_000),
    ("google", "gemini-2.5-pro", "standard", 200_000, Meter.INPUT, 1_250_000_000_000),
    ("google", "gemini-2.5-pro", "standard", 200_001, Meter.INPUT, 2_500_000_000_000),
    ("google", "gemini-2.5-pro", "standard", 200_001, Meter.OUTPUT, 15_000_000_000_000),
    ("google", "gemini-2.5-pro", "batch", 200_001, Meter.OUTPUT, 7_500_000_000_000),
    # 0.27 by day and 0.135 by night: the dearest of the day
    ("deepseek", "deepseek-chat", "standard", 0, Meter.INPUT, 270_000_000_000),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "model", "tier", "input_tokens", "meter", "attos"), GOLDEN)
def test_it_prices_as_the_page_says(cards, provider, model, tier, input_tokens, meter, attos):
    table = cards[ModelKey(provider, model)].list_prices[tier]
    rates = table.base
    for step in table.tiers:
        if input_tokens > step.input_tokens_above:
            rates = step.rates
    assert rates[meter] == attos


def test_it_charges_a_long_call_wholly_at_the_long_rates(cards):
    astra = cards[ModelKey("openai", "gpt-6-astra")]
    # 272,001 x 20 USD + 1,000 x 75 USD a million = 5.440020 + 0.075 USD
    usage = Usage(input_tokens=272_001, output_tokens=1_000)
    assert charge_nanos(astra.list_prices, "standard", usage) == 5_515_020_000
    # one token less: 272,000 x 10 + 1,000 x 50 = 2.72 + 0.05
    usage = Usage(input_tokens=272_000, output_tokens=1_000)
    assert charge_nanos(astra.list_prices, "standard", usage) == 2_770_000_000


def test_it_reads_every_provider_and_says_what_it_left_out():
    prepared = prepare()
    models = {(card.provider, card.model) for card in prepared.cards}
    assert len(published_providers()) == 47
    assert (
        len(models) + len(prepared.skipped) == 2_330 + 3
    )  # a free one, and two that search under another model's name
    assert prepared.skipped[ModelKey("perplexity", "sonar-deep-research")] == (
        "charges for output_citation_mtok, which no meter counts"
    )
    assert all(reason for reason in prepared.skipped.values())


def test_it_leaves_out_who_searches_at_every_call_for_a_fee_that_nobody_publishes():
    prepared = prepare()
    names = {(card.provider, name) for card in prepared.cards for name in (card.model, *card.aliases)}
    for provider, model in (
        ("openai", "gpt-4o-search-preview"),
        ("openai", "gpt-4o-mini-search-preview"),  # published as another name of gpt-4o-mini, which does not search
        ("openai", "gpt-4o-mini-search-preview-2025-03-11"),
        ("openai", "gpt-5-search-api"),
        ("openrouter", "openai/gpt-4o-search-preview"),
        ("openrouter", "openai/o3-deep-research"),
        ("openrouter", "perplexity/sonar"),
        ("perplexity", "sonar-pro-search"),
    ):
        assert (provider, model) not in names
        assert "`tokenroll ratecard set --file`" in prepared.skipped[ModelKey(provider, model)]
    assert ("openai", "gpt-4o-search-preview-2025-03-11") not in names


def test_whose_name_says_that_it_searches_has_a_price_for_it():
    """Data of a later version may bring more of them: each has a fee among its prices, or stands in our list."""
    searchers = {
        (card.provider, card.model): card.list_prices["standard"].base
        for card in prepare().cards
        for name in (card.model, *card.aliases)
        if any(word in name for word in ("-search", "sonar", "-online", ":online", "deep-research"))
    }
    searchers.pop(("openrouter", "relace/relace-search"))  # it searches the code that it is given
    assert set(searchers) == {
        ("openai", "o3-deep-research"), ("openai", "o4-mini-deep-research"), ("perplexity", "perplexity/sonar"),
        ("perplexity", "sonar"), ("perplexity", "sonar-pro"), ("perplexity", "sonar-reasoning"), ("perplexity", "sonar-reasoning-pro"),
    }  # fmt: skip
    # the dearest of Perplexity's three sizes: 12 USD for a thousand requests
    assert searchers["perplexity", "sonar"][Meter.REQUEST] == 12 * USD_PER_THOUSAND
    assert all(not rates.keys().isdisjoint((Meter.REQUEST, Meter.WEB_SEARCH)) for rates in searchers.values())


def test_it_is_the_same_every_time():
    def summary() -> str:
        return hashlib.sha256(
            "".join(card.digest for card in prepare(["openai", "anthropic"]).cards).encode()
        ).hexdigest()

    assert summary() == summary()


def test_it_dates_a_card_by_the_day_its_prices_start():
    history = [card for card in prepare(["anthropic"]).cards if card.model == "claude-opus-4-6"]
    starts = [card.effective_at for card in history]
    assert starts[:2] == [0, instant_from_text("2026-03-13T00:00:00Z")]
    # before: 10 USD above 200,000 tokens; after: 5 USD at any length
    before, after = (card.list_prices["standard"] for card in history[:2])
    assert before.tiers[0].input_tokens_above == 200_000
    assert before.tiers[0].rates[Meter.INPUT] == 10 * USD_PER_MILLION
    assert after.base[Meter.INPUT] == 5 * USD_PER_MILLION
    assert after.tiers == ()


def test_it_leaves_out_spans_that_are_over():
    assert [
        card.effective_at for card in prepare(["anthropic"], NOVEMBER).cards if card.model == "claude-opus-4-6"
    ] == [instant_from_text("2026-10-14T00:00:00Z")]


def test_it_marks_a_price_that_depends_on_the_hour(cards):
    assert cards[ModelKey("deepseek", "deepseek-chat")].time_of_day_dearest
    assert not cards[ModelKey("openai", "gpt-4o-mini")].time_of_day_dearest


def test_it_spells_names_out_and_never_matches_by_pattern(cards):
    haiku = cards[ModelKey("anthropic", "claude-haiku-4-5")]
    assert "claude-haiku-4-5-20251001" in haiku.aliases
    assert "claude-4.5-haiku" in haiku.aliases
    assert "claude-haiku-4-5-of-tomorrow" not in haiku.aliases
    for provider in ("openai", "anthropic", "openrouter", "google"):
        names = [
            name for key, card in cards.items() if key.provider == provider for name in (card.model, *card.aliases)
        ]
        assert len(names) == len(set(names))


def test_it_knows_the_output_maximum_or_says_that_it_does_not(cards):
    assert cards[ModelKey("openai", "gpt-4o-mini")].output_tokens_max == 16_384
    assert cards[ModelKey("openai", "gpt-4o-mini")].context_window_tokens == 128_000
    assert cards[ModelKey("google", "gemini-2.5-pro")].context_window_tokens is None
    assert cards[ModelKey("google", "gemini-2.5-pro")].output_tokens_max == 65_536
    assert cards[ModelKey("groq", "llama-3.1-8b-instant")].output_tokens_max is None


def test_it_gives_a_one_hour_cache_to_those_who_sell_one(cards):
    opus = cards[ModelKey("google", "claude-4-opus")].list_prices["standard"].base
    assert opus[Meter.CACHE_WRITE_1H] == 30 * USD_PER_MILLION  # not listed there: twice the input
    assert Meter.CACHE_WRITE_1H not in cards[ModelKey("openai", "gpt-6-astra")].list_prices["standard"].base


def test_it_rounds_a_rate_once_half_to_even():
    assert attos_per_unit("0.15", 10**6) == 150_000_000_000
    assert attos_per_unit("0.0000000000005", 10**6) == 0  # half an atto, to even
    assert attos_per_unit("0.0000000000015", 10**6) == 2
    assert attos_per_unit("10", 1_000) == 10 * USD_PER_THOUSAND


def test_it_names_what_is_not_a_price():
    with pytest.raises(ValueError, match="thoughts = '1' is not a price of a known meter"):
        rates_from_text({"thoughts": "1"})
    with pytest.raises(ValueError, match="input = 'cheap' is not a price"):
        rates_from_text({"input": "cheap"})


def test_it_refuses_a_provider_it_does_not_know():
    with pytest.raises(KeyError, match="acme"):
        prepare(["acme"])


def test_it_writes_and_reads_a_card_as_the_same_bytes(cards):
    card = cards[ModelKey("openai", "gpt-6-astra")]
    data = canonical_json(card)
    again = card_from_json(data, card_id=card.id, public_id=card.public_id, recorded_at=card.recorded_at)
    assert canonical_json(again) == data
    assert again.digest == card.digest == hashlib.sha256(data).hexdigest()


# What the simulated provider sells and no imported card does: Anthropic sells priority by contract, and of embeddings in batches
# the cards' source says nothing. Who calls them sets the price by hand, or is refused.
SOLD_BY_THE_SIMULATED_ALONE = {
    ("claude-opus-5-5", "priority"), ("text-embedding-3-small", "batch"), ("text-embedding-3-large", "batch"),
}  # fmt: skip


def test_the_simulated_providers_own_table_says_the_same_as_the_cards(cards):
    """Two tables, typed in apart; where they differ in a tier, a length or a price, either is wrong. (What training costs is in no published list.)"""
    testing = {ModelKey("testing", card.model): card for card in cards_for_testing(["testing"])}
    by_name = {
        (key.provider, name): card for key, card in {**cards, **testing}.items() for name in (card.model, *card.aliases)
    }
    table = PriceTable.load()
    compared = 0
    for name in table.names:
        model = table.models[name]
        if model.vendor == "ours":  # nobody publishes its price
            continue
        published = by_name[model.vendor, name].list_prices
        alone = {tier for of, tier in SOLD_BY_THE_SIMULATED_ALONE if of == name}
        assert (name, model.tiers.keys() - alone) == (name, published.keys())
        for tier, prices in published.items():
            assert said_by(prices.base, model.tiers[tier]) == in_attos(model.tiers[tier])
            long = {tier: model.long[tier]} if tier in model.long else {}
            assert (name, tier, [step.input_tokens_above for step in prices.tiers]) == (
                name, tier, [above for above, _ in long.values()],
            )  # fmt: skip
            for step, (_, rates) in zip(prices.tiers, long.values(), strict=True):
                assert said_by(step.rates, rates) == in_attos(rates)
            compared += 1 + len(long)
    assert compared == 94  # its tables but three of our own models, and the three above


def said_by(rates, kinds):
    """What a card says of the kinds of usage that the simulated provider counts."""
    return {kind: rates[Meter(kind)] for kind in kinds if kind != Meter.TRAINING}


def in_attos(rates):
    return {kind: rate * 10**9 for kind, rate in rates.items() if kind != Meter.TRAINING}
