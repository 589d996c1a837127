"""Rate cards as people read them: what holds now, and every rate of one card."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, select

from tokenroll.engine.rating import card_from_json
from tokenroll.model.amount import ATTOS_PER_NANO, text_from_nanos
from tokenroll.model.instant import Instant
from tokenroll.model.rate_card import RateCard, Rates, RateTable
from tokenroll.model.usage import UNIT_METERS, Meter
from tokenroll.services.refusal import Refused
from tokenroll.store import schema
from tokenroll.upstream.prices import UNITS

_UNIT_TEXTS: Final[Mapping[Meter, str]] = {
    Meter.REQUEST: "thousand requests",
    Meter.WEB_SEARCH: "thousand searches",
    Meter.WEB_FETCH: "page fetched",
    Meter.FILE_SEARCH: "thousand searches of files",
    Meter.CODE_SECOND: "second of code",
    Meter.SEARCH_UNIT: "thousand searches of a reranker",
    Meter.IMAGE: "picture",
    Meter.CHARACTER: "million characters spoken",
    Meter.AUDIO_SECOND: "minute of sound",
    Meter.TRAINING: "million model tokens trained",
}


def per_million_nanos(attos: int) -> int:
    """Nanos for a million units at a rate in attos per unit, rounded down for people; charges use the attos."""
    return attos * 10**6 // 10**9


def listed_nanos(meter: Meter, attos: int) -> int:
    """Nanos for as many units as a price is usually given for, rounded down for people."""
    return attos * UNITS[meter] // ATTOS_PER_NANO


def unit_text(meter: Meter) -> str:
    """What a price of that meter is given for, in words."""
    return _UNIT_TEXTS.get(meter, "million model tokens")


def cards_now(connection: Connection, now: Instant) -> list[RateCard]:
    """The cards that hold at `now`, one per provider and model, by name."""
    table = schema.rate_cards
    order = (table.c.effective_at, table.c.recorded_at, table.c.id)
    rows = connection.execute(select(table).where(table.c.effective_at <= now).order_by(*order))
    holding = {(row.model, row.provider): row for row in rows}
    return [
        card_from_json(row.canonical_json, card_id=row.id, public_id=row.public_id, recorded_at=row.recorded_at)
        for _, row in sorted(holding.items())
    ]


def listed(card: RateCard) -> dict[str, Any]:
    """One line of the list: standard internal prices per million."""
    base = card.internal_prices["standard"].base
    return {
        "ratecard": card.public_id,
        "model": card.model,
        "provider": card.provider,
        "input_per_million_nanos": _shown(base, Meter.INPUT),
        "output_per_million_nanos": _shown(base, Meter.OUTPUT),
        "units": ", ".join(
            f"{text_from_nanos(listed_nanos(meter, base[meter]), 2)} per {unit_text(meter)}"
            for meter in UNIT_METERS
            if meter in base
        ),
        "effective_at": card.effective_at,
        "digest": card.digest,
        "digest_short": card.digest[:12],
    }


def card_for(connection: Connection, reference: str, now: Instant) -> dict[str, Any]:
    """The card that holds now for a model, alias or id, with every rate. Raises Refused when there is none or several."""
    cards = cards_now(connection, now)
    found = [
        card
        for card in cards
        if reference in {card.model, card.public_id, f"{card.provider}/{card.model}", *card.aliases}
    ]
    if not found:
        message = f"there is no rate card for {reference!r}, so calls for it are refused: `tokenroll ratecard import --model {reference}`"
        raise Refused("not_found", message)
    if len(found) > 1:
        names = ", ".join(f"{card.provider}/{card.model}" for card in found)
        message = f"{reference!r} is sold by several: say one of {names}"
        raise Refused("ambiguous", message)
    card = found[0]
    return {
        **listed(card),
        "aliases": list(card.aliases),
        "currency": card.currency,
        "context_window_tokens": card.context_window_tokens,
        "output_tokens_max": card.output_tokens_max,
        "image_tokens_max": card.image_tokens_max,
        "source": card.source,
        "rates": [
            *_rates("internal", card.internal_prices),
            *_rates("list", card.list_prices),
            *_rates("net", card.net_prices),
        ],
    }


def _rates(price: str, tables: Mapping[str, RateTable]) -> list[dict[str, Any]]:
    rows = []
    for tier, prices in tables.items():
        for above, rates in ((0, prices.base), *((one.input_tokens_above, one.rates) for one in prices.tiers)):
            rows += [
                {
                    "price": price,
                    "tier": tier,
                    "above": above,
                    "meter": meter.value,
                    "per_million": text_from_nanos(per_million_nanos(attos), 2),
                    "amount": text_from_nanos(listed_nanos(meter, attos), 2),
                    "unit": unit_text(meter),
                    "attos_per_unit": attos,
                }
                for meter, attos in rates.items()
            ]
    return rows


def _shown(rates: Rates, meter: Meter) -> int | None:
    attos = rates.get(meter)
    return None if attos is None else per_million_nanos(attos)
