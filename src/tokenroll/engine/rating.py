"""Rating: what usage costs on a rate card.

A price is one integer dot product of counts and atto rates, rounded once, half-even, to nanos (DESIGN §4 law 1). What has
no rate is refused, never free (law 3).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from tokenroll.model.amount import ATTOS_PER_NANO
from tokenroll.model.instant import Instant
from tokenroll.model.rate_card import RateCard, Rates, RateTable, RateTier
from tokenroll.model.usage import INPUT_METERS, METER_INDEX, METERS, Meter, Usage

_FALLBACKS: Final[Mapping[Meter, Meter]] = {
    Meter.REASONING: Meter.OUTPUT,  # providers that do not list it bill it as output
    Meter.CACHE_READ: Meter.INPUT,  # no discount listed, no discount given
    Meter.INPUT_IMAGE: Meter.INPUT,  # providers that do not list images bill their tokens as any input
    Meter.CACHE_WRITE_5M: Meter.CACHE_WRITE_1H,  # the longer life is never cheaper; the reverse would undercharge
}
_INPUT_INDEXES: Final = tuple(METER_INDEX[meter] for meter in INPUT_METERS)


class UnpricedError(ValueError):
    """Something was used, or could be, that the rate card has no price for; it names the meter and the model."""

    def __init__(self, what: str, model: str = "") -> None:
        self.what = what
        self.model = model
        super().__init__(f"the rate card{' of ' + model if model else ''} has no price for {what}")


def round_half_even(numerator: int, denominator: int) -> int:
    """`numerator ÷ denominator` to the nearest integer, exact halves to the even one; the denominator is positive."""
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    return quotient + 1 if twice > denominator or (twice == denominator and quotient % 2) else quotient


def ceil_div(numerator: int, denominator: int) -> int:
    """`numerator ÷ denominator` rounded up; the denominator is positive."""
    return -(-numerator // denominator)


def rates_for(table: RateTable, input_tokens: int) -> Rates:
    """The rates of a whole call with that many input tokens in all.

    A long-context tier applies strictly above its start and to every token of the call. Tiers override meter by meter in
    ascending order, so that meters may have starts of their own.
    """
    rates = table.base
    for tier in table.tiers:
        if input_tokens <= tier.input_tokens_above:
            break
        rates = {**rates, **tier.rates}
    return rates


def rates_at(table: RateTable, counts: Sequence[int | None]) -> Rates:
    """The rates of a call with these counts, in the order of METERS: all of its input makes its length."""
    return rates_for(table, sum(counts[index] or 0 for index in _INPUT_INDEXES))


def rate_attos(rates: Rates, meter: Meter) -> int | None:
    """The attos per unit of a meter, by its own rate or the one that stands in for it; None if there is no price.

    Reasoning is output, an image or a cache read without a rate of its own is input, and a 5-minute cache write may be taken at the
    1-hour rate, never the other way round. A request fee that is not listed does not exist: every call is a request.
    """
    attos = rates.get(meter)
    if attos is None and meter in _FALLBACKS:
        attos = rates.get(_FALLBACKS[meter])
    if attos is None and meter is Meter.REQUEST:
        return 0
    return attos


def charge_attos(rates: Rates, counts: Sequence[int | None], model: str = "") -> int:
    """The dot product of rates and counts (in the order of METERS), in attos and not rounded.

    Counts of zero or None need no rate. Raises UnpricedError for any other count without one.
    """
    attos = 0
    for meter, count in zip(METERS, counts, strict=True):
        if not count:
            continue
        rate = rate_attos(rates, meter)
        if rate is None:
            raise UnpricedError(f"{meter} ({count} units)", model)
        attos += rate * count
    return attos


def meter_costs(card: RateCard, service_tier: str, counts: Sequence[int | None]) -> list[int]:
    """What each count costs on the card's internal prices, in attos and in the order of METERS; a count without a rate costs nothing.

    For taking a charge apart, never for making one: a service tier that is not sold gives no costs at all. Counts may end early.
    """
    table = card.internal_prices.get(service_tier)
    if table is None:
        return [0] * len(counts)
    rates = rates_for(table, sum(counts[index] or 0 for index in _INPUT_INDEXES))
    return [
        count * (rate_attos(rates, meter) or 0) if count else 0 for meter, count in zip(METERS, counts, strict=True)
    ]


def charge_nanos(prices: Mapping[str, RateTable], service_tier: str, usage: Usage, model: str = "") -> int:
    """What `usage` costs in nanos on `prices` (list, net or internal) at the tier that answered.

    Rounded once, half-even. The fee per request is charged only if `request_count` says so: dialects set it to 1.
    Raises UnpricedError for a service tier that is not sold or a count without a rate.
    """
    table = _table(prices, service_tier, model)
    return round_half_even(charge_attos(rates_at(table, usage.counts), usage.counts, model), ATTOS_PER_NANO)


def dearest(
    prices: Mapping[str, RateTable], service_tiers: Iterable[str], meters: Iterable[Meter], model: str = ""
) -> int:
    """The highest rate in attos that any of `meters` can meet in any of `service_tiers`, short or long context.

    Meters without a rate are passed over: using them is refused, so they cannot cost. Raises UnpricedError if none has a
    rate, or for a service tier that is not sold.
    """
    wanted = tuple(meters)
    found = [
        attos
        for service_tier in service_tiers
        for rates in _every_rates(_table(prices, service_tier, model))
        for meter in wanted
        if (attos := rate_attos(rates, meter)) is not None
    ]
    if not found:
        raise UnpricedError(", ".join(wanted) or "nothing", model)
    return max(found)


def card_digest(card: RateCard) -> str:
    """sha256, in hex, of the canonical JSON of what a card says: all but its ids, `recorded_at` and the digest itself.

    The same prices read twice have the same digest, so importing again adds nothing; one changed rate changes it.
    """
    return hashlib.sha256(canonical_json(card)).hexdigest()


def canonical_json(card: RateCard) -> bytes:
    """What a card says in one spelling: the bytes that its digest covers, that rows keep and that workers are sent."""
    said = {
        "provider": card.provider,
        "model": card.model,
        "aliases": sorted(card.aliases),
        "effective_at": card.effective_at,
        "currency": card.currency,
        "list_prices": _said(card.list_prices),
        "net_prices": _said(card.net_prices),
        "internal_prices": _said(card.internal_prices),
        "context_window_tokens": card.context_window_tokens,
        "output_tokens_max": card.output_tokens_max,
        "source": card.source,
        "overhead_tokens_per_message": card.overhead_tokens_per_message,
        "overhead_tokens_per_request_with_tools": card.overhead_tokens_per_request_with_tools,
        "overhead_tokens_per_tool": card.overhead_tokens_per_tool,
        "time_of_day_dearest": card.time_of_day_dearest,
    }
    if card.image_tokens_max is not None:  # cards of before said nothing of it, and keep their digests
        said["image_tokens_max"] = card.image_tokens_max
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def card_from_json(data: bytes, *, card_id: int, public_id: str, recorded_at: Instant) -> RateCard:
    """The card that `canonical_json` wrote, with its digest computed from the bytes. Raises ValueError for other bytes."""
    said: dict[str, Any] = json.loads(data)
    try:
        said |= {name: _tables(said[name]) for name in ("list_prices", "net_prices", "internal_prices")}
        said["aliases"] = tuple(said["aliases"])
        card = RateCard(
            id=card_id,
            public_id=public_id,
            recorded_at=recorded_at,
            digest=hashlib.sha256(data).hexdigest(),
            **said,
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not the canonical JSON of a rate card: {error}") from error
    if canonical_json(card) != data:  # another spelling of the same card would have another digest
        raise ValueError(f"not the canonical JSON of the rate card of {card.model}")
    return card


def pinned(card: RateCard) -> RateCard:
    """The same card with its digest filled in."""
    return replace(card, digest=card_digest(card))


def _table(prices: Mapping[str, RateTable], service_tier: str, model: str) -> RateTable:
    table = prices.get(service_tier)
    if table is None:
        raise UnpricedError(f"service tier {service_tier}", model)
    return table


def _every_rates(table: RateTable) -> Iterator[Rates]:
    yield table.base
    for tier in table.tiers:
        yield rates_for(table, tier.input_tokens_above + 1)


def _said(prices: Mapping[str, RateTable]) -> dict[str, object]:
    return {
        service_tier: {
            "base": _named(table.base),
            "tiers": [[tier.input_tokens_above, _named(tier.rates)] for tier in table.tiers],
        }
        for service_tier, table in prices.items()
    }


def _named(rates: Rates) -> dict[str, int]:
    return {meter.value: attos for meter, attos in rates.items()}


def _tables(said: Mapping[str, Any]) -> dict[str, RateTable]:
    return {
        service_tier: RateTable(
            base=_rates(table["base"]),
            tiers=tuple(RateTier(input_tokens_above=above, rates=_rates(rates)) for above, rates in table["tiers"]),
        )
        for service_tier, table in said.items()
    }


def _rates(said: Mapping[str, int]) -> dict[Meter, int]:
    return {Meter(name): attos for name, attos in said.items()}
