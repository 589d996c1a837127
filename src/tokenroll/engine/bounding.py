"""Bounding: the most a call can cost, known before its first byte is sent.

No overspend rests on this (DESIGN §4 law 3, §6): a call is dispatched only with a hold of at least this much, and
settlement can never be dearer. So everything here rounds up and takes the dearest rate that could apply.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from tokenroll.engine.rating import UnpricedError, ceil_div, dearest, rate_attos, rates_for, round_half_even
from tokenroll.model.amount import ATTOS_PER_NANO
from tokenroll.model.limits import AMOUNT_NANOS_MAX, UNIT_COUNT_MAX
from tokenroll.model.rate_card import RateCard, RateTable
from tokenroll.model.usage import (
    INPUT_METERS,
    METER_INDEX,
    METERS,
    OUTPUT_METERS,
    TOKEN_METER_COUNT,
    UNIT_METERS,
    Meter,
    Usage,
)

TEXT_INPUT_METERS: Final = (Meter.INPUT, Meter.CACHE_READ, Meter.CACHE_WRITE_5M, Meter.CACHE_WRITE_1H)
"""The input meters of a call without audio and image parts."""
TEXT_OUTPUT_METERS: Final = (Meter.OUTPUT, Meter.REASONING)
"""The output meters of a call that asks for text."""
SPOKEN_OUTPUT_METERS: Final = (*TEXT_OUTPUT_METERS, Meter.OUTPUT_AUDIO)
"""Those of a call that asks for sound beside it: any token of its answer may be either."""
_MEDIA_METERS: Final = frozenset(UNIT_METERS) - {Meter.TRAINING}
"""Who sells these sells pictures, sound or ranks; a model of text may be trained, too."""
_MAY_FALL_BACK: Final = frozenset({"flex", "priority"})
"""Tiers that a request names and that a provider short of them answers at the standard one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSize:
    """What is known of a call before it is sent; every figure is an upper bound.

    `input_bytes` stands for input tokens: no tokenizer makes more tokens than bytes, and what providers add themselves is
    in the card's overheads. Where it does not (`fills_window`: files, sound, or what the provider has stored), the context window
    does, which no input exceeds; and so it is for each use of a tool of the provider's, which may read it all again. Images
    (`image_count`) have the card's own figure each, and their bytes are not among the others; a card without one has the window.
    `output_cap_tokens` holds per choice; the fee maxima are counts the call itself caps.
    """

    input_bytes: int
    message_count: int
    output_cap_tokens: int
    tool_count: int = 0
    has_tools: bool = False
    choice_count: int = 1
    fills_window: bool = False
    image_count: int = 0
    server_tool_uses_max: int = 0
    web_search_max: int = 0
    web_fetch_max: int = 0
    file_search_max: int = 0
    code_second_max: int = 0
    search_unit_max: int = 0
    image_max: int = 0
    character_max: int = 0
    audio_second_max: int = 0
    training_max: int = 0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not 0 <= getattr(self, name) <= UNIT_COUNT_MAX:
                raise ValueError(f"{name} must be 0 to {UNIT_COUNT_MAX}, not {getattr(self, name)!r}")
        if self.choice_count < 1:
            raise ValueError("a call has at least one choice")
        if self.tool_count and not self.has_tools:
            raise ValueError(f"a call with {self.tool_count} tools has tools")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundRates:
    """A card's dearest rates as plain integers, found once per card so that a call's bound is a few multiplications.

    Attos per token, request or unit of a fee; None where the fee has no price and so cannot be bounded.
    """

    model: str
    input_attos: int
    any_input_attos: int
    """The dearest of every kind of input: what a context may hold that is more than text."""
    output_attos: int
    request_attos: int
    web_search_attos: int | None
    web_fetch_attos: int | None
    file_search_attos: int | None
    code_second_attos: int | None
    overhead_tokens_per_message: int
    overhead_tokens_per_request_with_tools: int
    overhead_tokens_per_tool: int
    context_window_tokens: int | None
    image_tokens_max: int | None = None
    unit_attos: Mapping[Meter, int] = field(default_factory=dict)
    """The units in place of tokens that the card prices."""


def compile_bound(
    card: RateCard,
    service_tiers: tuple[str, ...],
    input_meters: Iterable[Meter] = INPUT_METERS,
    *,
    has_output: bool = True,
    output_meters: Iterable[Meter] = TEXT_OUTPUT_METERS,
) -> BoundRates:
    """The dearest internal rates of a card over the service tiers that could answer and every context length.

    `input_meters` may leave out meters that the call provably cannot touch, such as audio in a call of text; `output_meters` has those
    of what it asks for, and a call for embeddings has no output. Raises UnpricedError if input, or the output that there is, has no
    price, or a tier is not sold.
    """
    return _bound_rates(
        card,
        service_tiers,
        input_attos=dearest(card.internal_prices, service_tiers, input_meters, card.model),
        output_attos=dearest(card.internal_prices, service_tiers, output_meters, card.model) if has_output else 0,
    )


def compile_media_bound(card: RateCard, service_tiers: tuple[str, ...]) -> BoundRates:
    """The same for a call of pictures or sound, or another that units may count: whatever has no price bounds nothing.

    What such a call is billed by, tokens or units, is what its card prices. Raises UnpricedError if it prices none of them.
    """
    prices = card.internal_prices
    units = {
        meter: attos
        for meter in UNIT_METERS
        if (attos := _dearest_of(prices, service_tiers, (meter,), card.model)) is not None
    }
    tokens = [_dearest_of(prices, service_tiers, meters, card.model) for meters in (INPUT_METERS, OUTPUT_METERS)]
    if not units and tokens == [None, None]:
        raise UnpricedError("model tokens or any unit", card.model)
    return _bound_rates(card, service_tiers, input_attos=tokens[0] or 0, output_attos=tokens[1] or 0, unit_attos=units)


def _dearest_of(
    prices: Mapping[str, RateTable], service_tiers: tuple[str, ...], meters: Iterable[Meter], model: str
) -> int | None:
    """The dearest of these meters' rates; None when none has one. Raises UnpricedError for a tier that is not sold."""
    try:
        return dearest(prices, service_tiers, meters, model)
    except UnpricedError:
        if any(tier not in prices for tier in service_tiers):
            raise
        return None


def _bound_rates(
    card: RateCard,
    service_tiers: tuple[str, ...],
    *,
    input_attos: int,
    output_attos: int,
    unit_attos: Mapping[Meter, int] = MappingProxyType({}),
) -> BoundRates:
    def fee(meter: Meter) -> int | None:
        return _dearest_of(card.internal_prices, service_tiers, (meter,), card.model)

    return BoundRates(
        model=card.model,
        input_attos=input_attos,
        any_input_attos=_dearest_of(card.internal_prices, service_tiers, INPUT_METERS, card.model) or 0,
        output_attos=output_attos,
        request_attos=dearest(card.internal_prices, service_tiers, (Meter.REQUEST,), card.model),
        web_search_attos=fee(Meter.WEB_SEARCH),
        web_fetch_attos=fee(Meter.WEB_FETCH),
        file_search_attos=fee(Meter.FILE_SEARCH),
        code_second_attos=fee(Meter.CODE_SECOND),
        overhead_tokens_per_message=card.overhead_tokens_per_message,
        overhead_tokens_per_request_with_tools=card.overhead_tokens_per_request_with_tools,
        overhead_tokens_per_tool=card.overhead_tokens_per_tool,
        context_window_tokens=card.context_window_tokens,
        image_tokens_max=card.image_tokens_max,
        unit_attos=unit_attos,
    )


def bound_nanos(card: RateCard, size: CallSize, service_tiers: tuple[str, ...]) -> int:
    """The most credits, in nanos and rounded up, that a call of that size can cost on that card.

    Raises UnpricedError where `compile_bound` does, and for a fee that the call allows but the card does not price.
    """
    return bound_nanos_at(compile_bound(card, service_tiers), size)


def bound_nanos_at(bound_rates: BoundRates, size: CallSize) -> int:
    """The same from compiled rates. Raises UnpricedError for an allowed fee without a price, ValueError where no context window is known."""
    output_attos = size.choice_count * size.output_cap_tokens * bound_rates.output_attos
    return ceil_div(_fixed_attos(bound_rates, size) + output_attos, ATTOS_PER_NANO)


def input_tokens_max(bound_rates: BoundRates, size: CallSize) -> int:
    """The most input tokens that a provider can count for the call: its bytes, its images and the card's overheads, or as many contexts as it may read.

    Raises ValueError where the card names no context window and nothing else bounds the call.
    """
    return sum(_input_parts(bound_rates, size))


def _input_parts(bound_rates: BoundRates, size: CallSize) -> tuple[int, int]:
    """Input tokens that are of text, and those that may be of any kind. Images never ask for more than the window would."""
    tokens = size.input_bytes + size.message_count * bound_rates.overhead_tokens_per_message
    if size.has_tools:
        tokens += bound_rates.overhead_tokens_per_request_with_tools
        tokens += size.tool_count * bound_rates.overhead_tokens_per_tool
    window, each = bound_rates.context_window_tokens, bound_rates.image_tokens_max
    images = size.image_count * (each or 0)
    fills = size.fills_window
    if size.image_count and not fills:
        fills = each is None or (window is not None and tokens + images > max(tokens, window))
    if not fills and not size.server_tool_uses_max:
        return tokens, images
    if window is None:
        raise ValueError(f"the rate card of {bound_rates.model} names no context window")
    whole = max(tokens if fills else tokens + images, window) * (size.server_tool_uses_max + 1)
    return (0, whole) if fills or images else (whole, 0)


def affordable_output_tokens(bound_rates: BoundRates, size: CallSize, budget_nanos: int) -> int:
    """The largest output cap per choice with which the call's bound still fits the budget; 0 if nothing fits.

    The size's own cap is ignored. Output that costs nothing is capped by UNIT_COUNT_MAX alone. Raises UnpricedError as
    `bound_nanos_at` does.
    """
    left_attos = budget_nanos * ATTOS_PER_NANO - _fixed_attos(bound_rates, size)
    if left_attos < 0:
        return 0
    per_token_attos = size.choice_count * bound_rates.output_attos
    return UNIT_COUNT_MAX if per_token_attos == 0 else min(left_attos // per_token_attos, UNIT_COUNT_MAX)


def card_bound(
    card: RateCard, service_tiers: tuple[str, ...], input_meters: Iterable[Meter] = INPUT_METERS
) -> BoundRates:
    """The dearest rates of whatever the card sells, when nobody says which kind of call it was."""
    sold = {meter for table in card.internal_prices.values() for meter in table.base}
    if sold.isdisjoint(TEXT_INPUT_METERS) or not sold.isdisjoint(_MEDIA_METERS):
        return compile_media_bound(card, service_tiers)
    has_output = not sold.isdisjoint(TEXT_OUTPUT_METERS)  # else it sells embeddings
    return compile_bound(card, service_tiers, input_meters, has_output=has_output)


def answering_tiers(service_tier: str) -> tuple[str, ...]:
    """The tiers that may answer a call at that tier: a request for flex or priority may be answered, and billed, at the standard one."""
    return (service_tier, "standard") if service_tier in _MAY_FALL_BACK else (service_tier,)


def passes_costs(
    card: RateCard, service_tier: str, usage: Usage, passes: Sequence[tuple[RateCard, str, Usage]]
) -> tuple[int, int, int, bool]:
    """Charge, list and net cost in nanos of an attempt in which models ran several times, and whether all of it had a price.

    Each pass's model tokens are priced at its own card, tier and context length (reference: gateways, T30); what is no token
    (searches, the fee per request) at the attempt's own card, by its `usage`. Rounded once. What has no price stands in as in
    `evidence_costs`, and raises what that raises.
    """
    charge = listed = net = 0
    priced = True
    parts = [(card, service_tier, (None,) * TOKEN_METER_COUNT + usage.counts[TOKEN_METER_COUNT:])]
    rest = (None,) * (len(METERS) - TOKEN_METER_COUNT)
    parts += [(of, tier, one.counts[:TOKEN_METER_COUNT] + rest) for of, tier, one in passes]
    for of, tier, counts in parts:
        attos, is_priced = _priced_attos(of, tier, counts)
        charge, listed, net = charge + attos[0], listed + attos[1], net + attos[2]
        priced = priced and is_priced
    return _rounded_nanos(charge), _rounded_nanos(listed), _rounded_nanos(net), priced


def evidence_costs(card: RateCard, service_tier: str, usage: Usage) -> tuple[int, int, int]:
    """Charge, list and net cost in nanos of an estimate, whose counts may meet meters that the card does not price.

    What was used is never free: such a count is charged at the dearest rate of the bound. Where the three prices differ, list
    and net leave it out. Raises UnpricedError only where `compile_bound` does.
    """
    (charge, listed, net), _ = _priced_attos(card, service_tier, usage.counts)
    return _rounded_nanos(charge), _rounded_nanos(listed), _rounded_nanos(net)


def _priced_attos(card: RateCard, service_tier: str, counts: Sequence[int | None]) -> tuple[tuple[int, int, int], bool]:
    """Charge, list and net cost in attos, and whether every count had a price of its own."""
    bound = card_bound(card, answering_tiers(service_tier), TEXT_INPUT_METERS)
    internal = card.internal_prices[service_tier]
    charge, priced = _stood_in_attos(internal, counts, max(bound.input_attos, bound.output_attos))
    listed = card.list_prices.get(service_tier, internal)
    net = card.net_prices.get(service_tier, listed)
    if internal == listed == net:
        return (charge, charge, charge), priced
    return (charge, _stood_in_attos(listed, counts, 0)[0], _stood_in_attos(net, counts, 0)[0]), priced


def _stood_in_attos(table: RateTable, counts: Sequence[int | None], stand_in_attos: int) -> tuple[int, bool]:
    rates: Mapping[Meter, int] = rates_for(table, sum(counts[METER_INDEX[meter]] or 0 for meter in INPUT_METERS))
    attos = 0
    priced = True
    for meter, count in zip(METERS, counts, strict=True):
        if count:
            rate = rate_attos(rates, meter)
            if rate is None:
                priced = False
                rate = stand_in_attos
            attos += count * rate
    return attos, priced


def _rounded_nanos(attos: int) -> int:
    return min(round_half_even(attos, ATTOS_PER_NANO), AMOUNT_NANOS_MAX)


def _fixed_attos(bound_rates: BoundRates, size: CallSize) -> int:
    """All but the output: input, the request's fee and the tools' fees."""
    text_tokens, any_tokens = _input_parts(bound_rates, size)
    attos = text_tokens * bound_rates.input_attos + any_tokens * bound_rates.any_input_attos + bound_rates.request_attos
    for meter, count, rate in (
        (Meter.WEB_SEARCH, size.web_search_max, bound_rates.web_search_attos),
        (Meter.WEB_FETCH, size.web_fetch_max, bound_rates.web_fetch_attos),
        (Meter.FILE_SEARCH, size.file_search_max, bound_rates.file_search_attos),
        (Meter.CODE_SECOND, size.code_second_max, bound_rates.code_second_attos),
    ):
        if count:
            if rate is None:
                raise UnpricedError(meter, bound_rates.model)
            attos += count * rate
    for meter, count in (
        (Meter.SEARCH_UNIT, size.search_unit_max),
        (Meter.IMAGE, size.image_max),
        (Meter.CHARACTER, size.character_max),
        (Meter.AUDIO_SECOND, size.audio_second_max),
        (Meter.TRAINING, size.training_max),
    ):
        attos += count * bound_rates.unit_attos.get(meter, 0)
    return attos
