"""What usage costs at published prices, whoever served it: the rate card of a model by any of the names that logs give it.

Logs spell a model as their provider, their cloud or their proxy does (`us.anthropic.claude-sonnet-4-20250514-v1:0`). A name is looked
up as it stands first, then without what such places put around it; what is then unknown has no price, and is told, never guessed.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from tokenroll.engine.rating import UnpricedError, charge_attos, charge_nanos, rates_at, rates_for, round_half_even
from tokenroll.model.amount import ATTOS_PER_NANO
from tokenroll.model.instant import Instant
from tokenroll.model.rate_card import RateCard, Rates
from tokenroll.model.usage import Meter, Usage
from tokenroll.model.usage_event import UsageEvent
from tokenroll.upstream.prices import prepare

MAKERS: Final = ("anthropic", "openai", "google", "mistral", "deepseek", "x-ai", "cohere", "groq", "openrouter")
"""Where a model is looked up first if nobody says who served it: at who makes it, then at who sells it."""
_AROUND: Final = (
    re.compile(r"^(?:[a-z0-9_.-]+/)+"),  # anthropic/, openrouter/openai/
    re.compile(r"^(?:(?:us|eu|apac|jp|au|global)\.)?(?:anthropic|meta|mistral|amazon|cohere|deepseek|openai)\."),
    re.compile(r"[-@:]v\d+(?::\d+)?$"),
    re.compile(r"(?:-latest|:thinking)$"),
    re.compile(r"[-@](?:20\d{6}|20\d\d-\d\d-\d\d)$"),
)


class ListCost(NamedTuple):
    """Nanos of USD, None where no published price covers the usage; and which rate card priced it."""

    nanos: int | None
    rate_card_digest: str


UNPRICED: Final = ListCost(None, "")


class ListPrices:
    """Rate cards by name and date. Asking is a lookup; each name's way through `_AROUND` is walked once."""

    def __init__(self, cards: Iterable[RateCard]) -> None:
        self._named: dict[str, dict[str, list[RateCard]]] = {}
        for card in sorted(cards, key=attrgetter("effective_at")):
            for name in {card.model, *card.aliases}:
                self._named.setdefault(name.lower(), {}).setdefault(card.provider, []).append(card)
        self._found: dict[tuple[str, str], Sequence[RateCard]] = {}

    def card(self, provider: str, model: str, at: Instant) -> RateCard | None:
        """The card of a model then; the first one there is for what was used before it; None for an unknown name."""
        spans = self.cards(provider, model)
        found = spans[0] if spans else None
        for card in spans[1:]:
            if card.effective_at > at:
                break
            found = card
        return found

    def cards(self, provider: str, model: str) -> Sequence[RateCard]:
        """All cards of a model, each for the time from its day to the next one's; the first is for all that was before, too."""
        asked = (provider, model)
        spans = self._found.get(asked)
        if spans is None:
            spans = self._found[asked] = self._spans(provider, model)
        return spans

    def cost(
        self, provider: str, model: str, at: Instant, tier: str, usage: Usage, *, context_tokens: int | None = None
    ) -> ListCost:
        """What usage costs at list, and the digest of the card that says so; `UNPRICED` if there is no price for all of it.

        Usage of many calls at once says how long each one's input was (`context_tokens`): their sum is no context's length.
        """
        card = self.card(provider, model, at)
        if card is None:
            return UNPRICED
        try:
            if context_tokens is not None:
                rates = rates_for(card.list_prices[sold_tier(card, tier)], context_tokens)
                attos = charge_attos(rates, usage.counts, model)
                return ListCost(round_half_even(attos, ATTOS_PER_NANO), card.digest)
            return ListCost(charge_nanos(card.list_prices, sold_tier(card, tier), usage, model), card.digest)
        except UnpricedError:
            return UNPRICED

    def rates(self, event: UsageEvent) -> Rates:
        """The list rates of a call that has a list cost."""
        card = self.card(event.provider, event.model, event.admitted_at)
        if card is None:
            return {}
        return rates_at(card.list_prices[sold_tier(card, event.service_tier)], event.usage.counts)

    def base_rates(self, provider: str, model: str, at: Instant) -> Rates | None:
        """A model's rates for short calls, for asking what another model would have cost."""
        card = self.card(provider, model, at)
        return card.list_prices["standard"].base if card and Meter.INPUT in card.list_prices["standard"].base else None

    def _spans(self, provider: str, model: str) -> Sequence[RateCard]:
        for name in _spellings(model.lower()):
            sellers = self._named.get(name)
            if not sellers:
                continue
            for seller in (provider, *MAKERS, *sorted(sellers)):
                if seller in sellers:
                    return sellers[seller]
        return ()


def published_list_prices() -> ListPrices:
    """All published prices; reading them takes half a second."""
    return ListPrices(prepare().cards)


def sold_tier(card: RateCard, tier: str) -> str:
    """The tier if the card prices it, else standard: a log may name a tier that has no price of its own."""
    return tier if tier in card.list_prices else "standard"


def _spellings(model: str) -> Iterator[str]:
    yield model
    for around in _AROUND:
        shorter = around.sub("", model)
        if shorter != model and shorter:
            model = shorter
            yield model
