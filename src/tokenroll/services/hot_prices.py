"""Rate cards as the hot path reads them: integers in tuples, compiled once per card and tier from the engine's own functions."""

from collections.abc import Iterable
from math import gcd
from typing import Final

from tokenroll.engine.bounding import (
    SPOKEN_OUTPUT_METERS,
    TEXT_INPUT_METERS,
    BoundRates,
    answering_tiers,
    compile_bound,
    compile_media_bound,
)
from tokenroll.engine.rating import UnpricedError, card_from_json, rate_attos, rates_for
from tokenroll.model.amount import ATTOS_PER_NANO
from tokenroll.model.instant import Instant
from tokenroll.model.rate_card import RateCard, RateTable
from tokenroll.model.usage import INPUT_METERS, METER_INDEX, METERS, OUTPUT_METERS, Meter
from tokenroll.services.hot import NEVER
from tokenroll.services.protocol import CardTerms

_TOKEN_METERS: Final = frozenset((*INPUT_METERS, *OUTPUT_METERS))
INPUT_INDEXES: Final = tuple(METER_INDEX[meter] for meter in INPUT_METERS)

Steps = tuple[tuple[int, tuple[int | None, ...]], ...]
"""Long-context steps: `(input tokens above, attos per unit by meter)`, ascending, the base first with -1."""


def _steps(table: RateTable) -> Steps:
    starts = [-1, *(tier.input_tokens_above for tier in table.tiers)]
    return tuple((start, tuple(rate_attos(rates_for(table, start + 1), meter) for meter in METERS)) for start in starts)


class HotRates:
    """One card at one service tier: how it bounds and how it charges."""

    __slots__ = (
        "any_input_grains", "charge_steps", "grains_per_nano", "has_audio", "has_spoken_price", "has_token_price", "input_grains", "is_media", "is_spoken", "list_steps", "message_tokens", "net_steps", "one_price", "output_grains",
        "request_grains", "request_tools_tokens", "same_prices", "sells_units_alone", "tier", "tier_index", "tool_tokens", "unit_grains", "web_search_grains",
    )  # fmt: skip

    def __init__(
        self,
        card: RateCard,
        bound: BoundRates,
        tier: str,
        tier_index: int,
        *,
        is_media: bool = False,
        is_spoken: bool = False,
    ) -> None:
        self.is_media = is_media
        """Whether other meters than those of text may count: then a call may be billed by units."""
        self.tier = tier
        self.tier_index = tier_index
        self.has_token_price = any(meter in _TOKEN_METERS for meter in card.internal_prices[tier].base)
        """Whether the card prices model tokens at all, be it at nothing."""
        self.message_tokens = bound.overhead_tokens_per_message
        self.request_tools_tokens = bound.overhead_tokens_per_request_with_tools
        self.tool_tokens = bound.overhead_tokens_per_tool
        self.charge_steps = _steps(card.internal_prices[tier])
        self.list_steps = _steps(card.list_prices[tier]) if tier in card.list_prices else self.charge_steps
        self.net_steps = _steps(card.net_prices[tier]) if tier in card.net_prices else self.list_steps
        self.same_prices = self.charge_steps == self.list_steps == self.net_steps
        self.sells_units_alone = is_media and bool(bound.unit_attos) and not self.has_token_price
        """Whether what it sells is never counted in tokens: a provider that tells tokens alone, or none, has told nothing of it."""
        is_plain = self.same_prices and len(self.charge_steps) == 1 and not self.sells_units_alone
        one_price = self.charge_steps[0][1] if is_plain else None
        search = bound.web_search_attos
        grain = gcd(
            ATTOS_PER_NANO,
            *(bound.input_attos, bound.any_input_attos, bound.output_attos, bound.request_attos, search or 0),
            *(rate or 0 for rate in one_price or ()),
            *bound.unit_attos.values(),
        )
        self.grains_per_nano = ATTOS_PER_NANO // grain
        """A grain is the largest part of a nano in which every rate here is whole: products then mostly fit a machine word."""
        self.input_grains = bound.input_attos // grain
        self.any_input_grains = bound.any_input_attos // grain
        """The dearest of every kind of input, for calls whose context may hold more than text."""
        answering = [card.internal_prices[one].base for one in answering_tiers(tier)]
        self.has_audio = all(Meter.INPUT_AUDIO in rates for rates in answering)
        """Whether sound has a price: it is dearer than text, so nothing can stand in for it."""
        self.is_spoken = is_spoken
        """Whether these are for answers in sound, which must have a price, too."""
        self.has_spoken_price = is_spoken and all(Meter.OUTPUT_AUDIO in rates for rates in answering)
        self.output_grains = bound.output_attos // grain
        self.request_grains = bound.request_attos // grain
        self.web_search_grains = None if search is None else search // grain
        self.unit_grains = {METER_INDEX[meter]: attos // grain for meter, attos in bound.unit_attos.items()}
        """By place in METERS: the units in place of tokens that the card prices, for calls that may be billed by them."""
        self.one_price = None if one_price is None else tuple([rate and rate // grain for rate in one_price])
        """The rates by meter in grains, when they are all there is to know: one price, whatever the context length."""


class HotCard:
    """One rate card and its compiled tiers."""

    __slots__ = ("card", "digest", "effective_at", "id", "input_rates", "media_rates", "rates", "spoken_rates")

    def __init__(self, terms: CardTerms) -> None:
        self.card = card_from_json(terms.canonical_json, card_id=terms.id, public_id=f"card {terms.id}", recorded_at=0)
        self.id = terms.id
        self.digest = terms.digest
        self.effective_at: Instant = self.card.effective_at
        self.rates: dict[str, HotRates | None] = {}
        self.input_rates: dict[str, HotRates | None] = {}
        """For calls without output, such as those for embeddings."""
        self.media_rates: dict[str, HotRates | None] = {}
        """For calls of pictures and sound, and others that units may count."""
        self.spoken_rates: dict[str, HotRates | None] = {}
        """For calls of text that are answered in sound."""

    def at_tier(self, tier: str, tier_index: int) -> HotRates | None:
        """The compiled rates of a service tier; None: the card does not sell it."""
        if tier not in self.rates:
            try:
                bound = compile_bound(self.card, answering_tiers(tier), TEXT_INPUT_METERS)
                self.rates[tier] = HotRates(self.card, bound, tier, tier_index)
            except UnpricedError:
                self.rates[tier] = None
        return self.rates[tier]

    def input_at_tier(self, tier: str, tier_index: int) -> HotRates | None:
        """The same for a call without output: its model may have no price for any."""
        if tier not in self.input_rates:
            try:
                bound = compile_bound(self.card, answering_tiers(tier), TEXT_INPUT_METERS, has_output=False)
                self.input_rates[tier] = HotRates(self.card, bound, tier, tier_index)
            except UnpricedError:
                self.input_rates[tier] = None
        return self.input_rates[tier]

    def media_at_tier(self, tier: str, tier_index: int) -> HotRates | None:
        """The same for a call that other meters than those of text may count; None: the card prices none of them."""
        if tier not in self.media_rates:
            try:
                bound = compile_media_bound(self.card, answering_tiers(tier))
                self.media_rates[tier] = HotRates(self.card, bound, tier, tier_index, is_media=True)
            except UnpricedError:
                self.media_rates[tier] = None
        return self.media_rates[tier]

    def spoken_at_tier(self, tier: str, tier_index: int) -> HotRates | None:
        """The same for a call of text that is answered in sound: each token of its answer may be either, so the dearer bounds it."""
        if tier not in self.spoken_rates:
            try:
                tiers = answering_tiers(tier)
                bound = compile_bound(self.card, tiers, TEXT_INPUT_METERS, output_meters=SPOKEN_OUTPUT_METERS)
                self.spoken_rates[tier] = HotRates(self.card, bound, tier, tier_index, is_spoken=True)
            except UnpricedError:
                self.spoken_rates[tier] = None
        return self.spoken_rates[tier]


class Prices:
    """All cards by provider and name, dated and append-only (DESIGN §2, RateCard)."""

    __slots__ = ("_by_name", "_cards", "_current")

    def __init__(self) -> None:
        self._cards: dict[int, HotCard] = {}
        self._by_name: dict[tuple[str, str], list[HotCard]] = {}
        self._current: dict[tuple[str, str], tuple[HotCard, Instant]] = {}

    def read(self, terms: Iterable[CardTerms]) -> list[HotCard]:
        """Cards compiled for `add`, which then cannot fail; those that are known stay as they are. Raises ValueError, KeyError or TypeError for no card."""
        return [HotCard(one) for one in terms if one.id not in self._cards]

    def add(self, card: HotCard) -> None:
        """One card more."""
        if card.id in self._cards:
            return
        self._cards[card.id] = card
        provider = card.card.provider
        for name in {card.card.model, *card.card.aliases}:
            for key in ((provider, name), ("", name)):
                dated = self._by_name.setdefault(key, [])
                dated.append(card)
                dated.sort(key=lambda one: (one.effective_at, one.id))
        self._current.clear()

    def card_for(self, provider: str, model: str, now: Instant) -> HotCard | None:
        """The card that prices a model at a provider ("" if only one sells it); None: unknown, so refused and never free."""
        key = (provider, model)
        current = self._current.get(key)
        if current is not None and current[0].effective_at <= now < current[1]:
            return current[0]
        return self._find(key, now)

    def _find(self, key: tuple[str, str], now: Instant) -> HotCard | None:
        effective = [card for card in self._by_name.get(key, ()) if card.effective_at <= now]
        if not effective or (not key[0] and len({card.card.provider for card in effective}) > 1):
            return None
        card = effective[-1]
        later = [one.effective_at for one in self._by_name[key] if one.effective_at > now]
        self._current[key] = (card, min(later, default=NEVER))
        return card

    def knows(self, provider: str, model: str) -> bool:
        """Whether a model has a card at a provider, whatever its date."""
        return (provider, model) in self._by_name

    def names(self, now: Instant) -> list[str]:
        """Every model and alias that has a card now."""
        return sorted(
            {name for (provider, name), cards in self._by_name.items() if not provider and cards[0].effective_at <= now}
        )
