"""Calls whose bytes do not bound them: the model's context window does, for each time that it may be read, and what units count (DESIGN §6).

They mean what `engine/bounding` means; a property test proves it. A call of text alone pays for one look at a flag.
"""

from typing import Final

from tokenroll.engine.bounding import answering_tiers
from tokenroll.model.enforcement import Enforcement
from tokenroll.model.limits import BATCH_OUTPUT_TOKENS_MAX, MEDIA_TOKENS_ESTIMATE, SEARCHES_SHARE
from tokenroll.model.usage import METERS, Meter
from tokenroll.services.hot import HotHold
from tokenroll.services.hot_prices import HotCard, HotRates
from tokenroll.services.limit_rules import CALLS, CREDITS
from tokenroll.store.tape import SERVICE_TIERS
from tokenroll.upstream.dialect import BYTES_PER_TOKEN_ESTIMATE, Denial
from tokenroll.upstream.facts import Batched, Facts

_BY_CARD: Final = "Whoever runs the gateway can set on its rate card (`tokenroll ratecard set --file`)"
_SOLD_BY_TOKENS: Final = ("/v1/embeddings", "/v1/moderations", "/v1/rerank")
_SOLD_BY_UNITS: Final = (
    (Meter.SEARCH_UNIT, "/v1/rerank"), (Meter.IMAGE, "/v1/images/generations"), (Meter.CHARACTER, "/v1/audio/speech"),
    (Meter.AUDIO_SECOND, "/v1/audio/transcriptions"),
)  # fmt: skip
"""Where models are called that have a price for input and none for output, and those that are sold by units."""
_TIER_INDEX: Final = {tier: index for index, tier in enumerate(SERVICE_TIERS)}
_BETA_ADVICE: Final = "Leave that beta out, or ask whoever runs the gateway for a rate card with them."
_IMAGE_WEIGHT_BYTES: Final = MEDIA_TOKENS_ESTIMATE * BYTES_PER_TOKEN_ESTIMATE
"""What stands for an image among a call's bytes, for evidence; a bound has the card's own figure in its place."""


def bound_beyond_bytes(hold: HotHold, facts: Facts, available: int, input_tokens: int) -> Denial | None:
    """Input, searches and units of such a call, written into its hold; or why nothing bounds it. `input_tokens` is what its text weighs.

    Each use of a tool may read a whole context again, and so may a call that goes on from what the provider has stored. Where its client
    named no limit of searches, `hold.searches` says how many it may make. Units are those that the card prices: a voice is sold by the
    character or by tokens, and whoever sells by one does not bill by the other.
    """
    rates = hold.rates
    if facts.has_audio or facts.speaks:
        silent = _sound_unpriced(hold, facts)
        if silent is not None:
            return silent
    card = hold.card.card
    window, fills, image_tokens = card.context_window_tokens, facts.fills_window, 0
    if facts.window_tokens > (window or 0):
        if len(rates.charge_steps) < 2:
            return _not_bounded(facts, _window_unknown(window, facts.window_tokens), _BETA_ADVICE)
        window = facts.window_tokens
    if facts.batched is not None:
        return _bound_batch(hold, facts, facts.batched, input_tokens, window)
    if facts.image_count and not fills:
        input_tokens -= facts.image_count * _IMAGE_WEIGHT_BYTES
        image_tokens = facts.image_count * (card.image_tokens_max or 0)
        if not image_tokens or (window is not None and input_tokens + image_tokens > max(input_tokens, window)):
            fills, image_tokens = True, 0
    token_grains = rates.any_input_grains if fills or image_tokens else rates.input_grains
    uses, searches = facts.server_tool_uses_max, facts.web_search_max
    if facts.search_is_open:
        context_tokens = max(input_tokens + image_tokens, window or 0)
        uses = searches = hold.searches = _searches_afforded(hold, facts, available, context_tokens, token_grains)
    if uses or fills:
        if window is None:
            if token_grains:
                return _not_bounded(
                    facts, "its rate card names no context window", f"{_BY_CARD} its `context_window_tokens`."
                )
            window = 0  # what it reads costs nothing
        input_tokens = max(input_tokens + image_tokens, window) * (uses + 1)
        grains = input_tokens * token_grains
    else:
        grains = input_tokens * rates.input_grains + image_tokens * rates.any_input_grains
        input_tokens += image_tokens
    if searches:
        if rates.web_search_grains is None:
            return _not_bounded(
                facts,
                "its rate card has no price for searches",
                f"Leave its searches out. {_BY_CARD} a price of `web_search`.",
            )
        grains += searches * rates.web_search_grains
    if not facts.is_text:
        units = rates.unit_grains
        priced = [(most, units[index]) for index, most, _ in facts.unit_maxima if index in units]
        if facts.trains and not priced:
            return _not_bounded(
                facts,
                "its rate card has no price for training",
                f"Whoever runs the gateway can set it: `tokenroll ratecard set --model {facts.model} --training CREDITS`, per million tokens.",
            )
        if not priced and not rates.has_token_price:
            names = " or ".join(f"{METERS[index].replace('_', ' ')}s" for index, _, _ in facts.unit_maxima)
            return _not_bounded(
                facts, f"its rate card has no price for model tokens or {names}", f"{_BY_CARD} a price of either."
            )
        grains += sum(most * unit_grains for most, unit_grains in priced)
    hold.input_tokens_max = input_tokens
    hold.beyond_grains = grains
    hold.unit_maxima = facts.unit_maxima
    return None


def _sound_unpriced(hold: HotHold, facts: Facts) -> Denial | None:
    """Why a call with sound is refused: it is dearer than text, so no other price stands in for its own."""
    if facts.has_audio and not hold.rates.has_audio:
        return _not_bounded(
            facts, "its rate card has no price for sound", f"Leave the sound out. {_BY_CARD} a price of `input_audio`."
        )
    if facts.speaks and not hold.rates.has_spoken_price:
        return _not_bounded(
            facts,
            "its rate card has no price for an answer in sound",
            f"Ask for text. {_BY_CARD} a price of `output_audio`.",
        )
    return None


def _window_unknown(window: int | None, asked: int) -> str:
    """Why a beta that lets the model read more than its card knows of is refused: what is read there has prices of its own."""
    known = "no context window" if window is None else f"a context of {window} model tokens"
    return f"`anthropic-beta` names context-1m, a context of {asked} model tokens, its rate card {known} and no prices beyond it"


def _bound_batch(hold: HotHold, facts: Facts, batched: Batched, input_tokens: int, window: int | None) -> Denial | None:
    """The same for a batch, whose bytes and overheads are summed already: what each further request adds beyond them."""
    rates, card = hold.rates, hold.card.card
    if batched.tool_request_count:
        input_tokens += (batched.tool_request_count - 1) * rates.request_tools_tokens
    windows = batched.window_count
    if card.image_tokens_max is None:
        windows += batched.image_request_count
    else:
        input_tokens += facts.image_count * card.image_tokens_max
    if windows:
        if window is None:
            return _not_bounded(
                facts, "its rate card names no context window", f"{_BY_CARD} its `context_window_tokens`."
            )
        input_tokens += windows * window
    output_tokens = facts.output_cap_tokens
    if batched.uncapped_choice_count:
        longest = card.output_tokens_max or card.context_window_tokens
        if longest is None:
            return no_maximum(facts)
        output_tokens += batched.uncapped_choice_count * longest
        if output_tokens > BATCH_OUTPUT_TOKENS_MAX:
            return _not_bounded(
                facts,
                f"without output caps its requests may write {output_tokens} tokens",
                "Name an output cap in each.",
            )
    hold.output_tokens_max = output_tokens
    token_grains = rates.any_input_grains if facts.fills_window or facts.image_count else rates.input_grains
    hold.input_tokens_max = input_tokens
    hold.beyond_grains = input_tokens * token_grains + (batched.request_count - 1) * rates.request_grains
    return None


def _not_bounded(facts: Facts, why: str, advice: str) -> Denial:
    denial = Denial("call_not_bounded", model=facts.model, state=why)
    denial.advice = advice
    return denial


def no_maximum(facts: Facts) -> Denial:
    """Why a call is refused whose output nothing bounds: neither its client nor the rate card says how much it may be."""
    advice = f"{_BY_CARD} its `output_tokens_max`."
    return _not_bounded(
        facts, "its rate card names no maximum output", f"Name an output cap. {advice}" if facts.is_text else advice
    )


def not_sold(card: HotCard, tier: str, facts: Facts) -> Denial:
    """Why a card has no rates for such a call: it does not sell the service tier, or has no price for what the call would use."""
    prices = card.card.internal_prices
    if any(one not in prices for one in answering_tiers(tier)):
        return Denial("tier_not_sold", model=facts.model, state=tier)
    has_input = card.input_at_tier(tier, 0) is not None
    what = "anything that this endpoint sells" if not facts.is_text else "output" if has_input else "model tokens"
    denial = Denial("not_priced", model=facts.model, state=what)
    sold_at = _SOLD_BY_TOKENS if has_input else [way for meter, way in _SOLD_BY_UNITS if meter in prices[tier].base]
    if sold_at:
        ways = [*(f"{one}, " for one in sold_at[:-2]), " or ".join(sold_at[-2:])]
        denial.advice = f"As it is priced, it is called at {''.join(ways)}."
    return denial


def _searches_afforded(hold: HotHold, facts: Facts, available: int, context_tokens: int, token_grains: int) -> int:
    """How often a call may search whose client named no limit; 0: its search tool is left out, and the client is told.

    What a share of the wallet and of its limits affords, so that room for the answer and for parallel calls is left. Without
    enforcement the wallet does not shorten searches. A search that has no price, or that nothing bounds, cannot be made.
    """
    rates = hold.rates
    if rates.web_search_grains is None or hold.card.card.context_window_tokens is None:
        return 0
    most = facts.server_tool_uses_max
    context_grains = context_tokens * token_grains
    rooms = [available] if hold.key.wallet.enforcement == Enforcement.ENFORCE else []
    limited = hold.limited
    for limit in limited.limits if limited is not None else ():
        if limited is None or not limit.enforces or limit.measure == CALLS or not limit.id:
            continue
        if limit.measure == CREDITS:
            rooms.append(limited.room(limit))
        else:
            most = min(most, limited.room(limit) // SEARCHES_SHARE // context_tokens - 1)
    for room in rooms:
        budget_grains = room // SEARCHES_SHARE * rates.grains_per_nano - context_grains
        per_search_grains = context_grains + rates.web_search_grains
        most = min(most, budget_grains // per_search_grains) if per_search_grains else most
    return max(0, most)


def rates_of(card: HotCard, tier: str, facts: Facts) -> HotRates | None:
    """What a tier's first call finds; None when the card does not sell it, or no output where there would be some."""
    index = _TIER_INDEX.get(tier, 0)
    if not facts.is_text:
        return card.spoken_at_tier(tier, index) if facts.speaks else card.media_at_tier(tier, index)
    rates = card.at_tier(tier, index)
    return card.input_at_tier(tier, index) if rates is None and not facts.has_output else rates
