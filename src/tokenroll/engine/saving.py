"""Saving: what a provider's prompt cache made of a call's price. A difference that was charged, never one that might have been."""

from collections.abc import Sequence
from typing import Final

from tokenroll.engine.rating import rate_attos
from tokenroll.model.rate_card import Rates
from tokenroll.model.usage import METER_INDEX, Meter

_WRITES: Final = (Meter.CACHE_WRITE_5M, Meter.CACHE_WRITE_1H)


def cache_effect(rates: Rates, counts: Sequence[int | None]) -> tuple[int, int]:
    """`(saved, lost)` in attos: what was read cost so much less than plain input, and what was written so much more.

    `rates` are those of the call's own context length, `counts` in the order of METERS. A card that prices no plain input says nothing.
    """
    plain = rate_attos(rates, Meter.INPUT)
    if plain is None:
        return 0, 0
    saved = lost = 0
    for meter in (Meter.CACHE_READ, *_WRITES):
        count = counts[METER_INDEX[meter]]
        rate = rate_attos(rates, meter)
        if not count or rate is None:
            continue
        saved += max(0, plain - rate) * count
        lost += max(0, rate - plain) * count
    return saved, lost


def input_cost(rates: Rates, counts: Sequence[int | None]) -> tuple[int, int]:
    """`(attos, tokens)` of a call's text input, however it was cached."""
    attos = tokens = 0
    for meter in (Meter.INPUT, Meter.CACHE_READ, *_WRITES):
        count = counts[METER_INDEX[meter]] or 0
        attos += count * (rate_attos(rates, meter) or 0)
        tokens += count
    return attos, tokens
