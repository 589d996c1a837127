"""Rate cards as use cases: import published prices, set a company's own. Cards are added, never changed (law 8).

A card that says what the current one says already is not added again, so importing twice does nothing. An import never touches
an internal price that the company set: list and net prices follow the market, what a credit buys is the company's decision.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final, Required, TypedDict

from sqlalchemy import select

from tokenroll.engine.rating import canonical_json, card_from_json, pinned, round_half_even
from tokenroll.model.instant import Instant
from tokenroll.model.limits import (
    OVERHEAD_TOKENS_PER_MESSAGE,
    OVERHEAD_TOKENS_PER_REQUEST_WITH_TOOLS,
    OVERHEAD_TOKENS_PER_TOOL,
)
from tokenroll.model.rate_card import RateCard, Rates, RateTable, RateTier
from tokenroll.model.usage import Meter
from tokenroll.services.finding import instant_given
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema
from tokenroll.upstream.prices import (
    PLACEHOLDER_ID,
    UNNUMBERED,
    ModelKey,
    Prepared,
    cards_for_testing,
    prepare,
    published_providers,
    rates_from_text,
    tables_from_text,
)

DEFAULT_PROVIDERS: Final = ("openai", "anthropic")
UNPUBLISHED: Final = (Meter.TRAINING,)
"""What no published price list has: whoever sets it sets what the provider asks for it, which an import leaves alone."""
TESTING: Final = "testing"
"""Asked for as a provider: the made-up model that client test suites call, at every default provider."""
_INSERT_ROWS: Final = 500
"""Cards per statement: SQLite's variables are limited."""


class _CardByHand(TypedDict, total=False):
    provider: Required[str]
    model: Required[str]
    aliases: list[str]
    currency: str
    prices: Required[dict[str, dict[str, str]]]
    net_prices: dict[str, dict[str, str]]
    internal_prices: dict[str, dict[str, str]]
    context_window_tokens: int
    output_tokens_max: int
    image_tokens_max: int
    source: str
    overhead_tokens_per_message: int
    overhead_tokens_per_request_with_tools: int
    overhead_tokens_per_tool: int


class _ImportCards(TypedDict, total=False):
    providers: list[str]
    models: list[str]
    effective_at: int


def import_cards(work: UnitOfWork, arguments: _ImportCards) -> dict[str, Any]:
    """`ratecard.import`: {providers?, models?, effective_at?} adds cards of published prices that differ from the current ones.

    Prices in force and prices already announced for later dates are taken. The first card of a model holds from the date that the
    publisher names (or always), so that no call is without one; a later card holds from now on, never from before.
    """
    providers = tuple(arguments.get("providers") or DEFAULT_PROVIDERS)
    models = frozenset(arguments.get("models") or ())
    effective_at = None if arguments.get("effective_at") is None else instant_given(arguments, "effective_at", work.now)
    prepared = _prepared(providers, work.now, models)
    chosen = [card for card in prepared.cards if not models or models & {card.model, *card.aliases}]
    if models and (missing := models - {name for card in chosen for name in (card.model, *card.aliases)}):
        for key, reason in sorted(prepared.skipped.items()):
            if key.model in missing:
                raise Refused("unknown_model", f"no card of {key.model} at {key.provider}: it {reason}")
        raise Refused(
            "unknown_model",
            f"no published price for {', '.join(sorted(missing))} at {', '.join(providers)}; "
            "look for the name with `tokenroll ratecard list`, or set your own prices with `tokenroll ratecard set --file`",
        )
    current = current_cards(work, providers if TESTING not in providers else None)
    added = list(_to_add(chosen, current, work.now, effective_at))
    _add(work, added)
    return {
        "added_count": len(added),
        "unchanged_count": len(chosen) - len(added),
        "skipped_count": len(prepared.skipped),
        "skipped": {f"{key.provider}/{key.model}": reason for key, reason in sorted(prepared.skipped.items())},
        "source": prepared.source,
    }


class _SetCard(TypedDict, total=False):
    card: _CardByHand
    model: str
    provider: str
    multiply: str
    prices: dict[str, str]
    image_tokens_max: int
    effective_at: int


def set_card(work: UnitOfWork, arguments: _SetCard) -> dict[str, Any]:
    """`ratecard.set`: adds a card with the company's own prices, from now or `effective_at` on.

    {model, provider?, multiply}: internal prices are list prices times a decimal: a subsidy below 1, a surcharge above.
    {model, provider?, prices: {meter: credits per million}}: internal prices of the standard tier as given, in all tiers and
    lengths of context. What nobody publishes a price of (training) gets it in every column, at the standard tier alone.
    {model, provider?, image_tokens_max}: how many model tokens one image costs at most, also beside prices.
    {card: {...}}: a whole card, for a model that nobody publishes prices of.
    """
    effective_at = instant_given(arguments, "effective_at", work.now)
    if effective_at < work.now:
        raise Refused(
            "backdated", "prices change from now on: calls keep the card they were admitted under. Leave the date out."
        )
    beside = [name for name in ("model", "provider", "multiply", "prices", "image_tokens_max") if arguments.get(name)]
    if "card" in arguments and beside:
        raise Refused("argument", f"a whole card says everything itself: leave out {beside[0]}, or the card")
    if "card" in arguments:
        card = _card_from_hand(arguments["card"], effective_at)
    else:
        card = _repriced(_found(work, arguments), arguments, effective_at)
    (stored,) = _add(work, [card])
    return {
        "id": stored.public_id,
        "provider": stored.provider,
        "model": stored.model,
        "effective_at": stored.effective_at,
        "digest": stored.digest,
    }


def current_cards(work: UnitOfWork, providers: Iterable[str] | None = None) -> dict[ModelKey, list[RateCard]]:
    """Every stored card by model, in the order in which they take over from each other."""
    table = schema.rate_cards
    query = select(table).order_by(table.c.effective_at, table.c.recorded_at, table.c.id)
    if providers is not None:
        query = query.where(table.c.provider.in_(list(providers)))
    found: dict[ModelKey, list[RateCard]] = {}
    for row in work.connection.execute(query):
        card = card_from_json(row.canonical_json, card_id=row.id, public_id=row.public_id, recorded_at=row.recorded_at)
        found.setdefault(ModelKey(card.provider, card.model), []).append(card)
    return found


def _prepared(providers: Sequence[str], now: Instant, models: frozenset[str]) -> Prepared:
    wanted = [name for name in providers if name != TESTING]
    if unknown := set(wanted) - set(published_providers()):
        known = ", ".join(published_providers())
        raise Refused(
            "unknown_provider", f"no published prices of {', '.join(sorted(unknown))}; known: {known}, {TESTING}"
        )
    prepared = prepare(wanted, now, models)
    if TESTING in providers:
        prepared = replace(prepared, cards=(*prepared.cards, *cards_for_testing(DEFAULT_PROVIDERS)))
    return prepared


def _says(card: RateCard) -> bytes:
    """What a card says apart from when it starts and which version of the data said so."""
    return canonical_json(replace(card, effective_at=0, source=""))


def _to_add(
    chosen: Sequence[RateCard],
    current: Mapping[ModelKey, Sequence[RateCard]],
    now: Instant,
    effective_at: Instant | None,
) -> Iterable[RateCard]:
    for card in chosen:
        stored = current.get(ModelKey(card.provider, card.model), ())
        starts_at = card.effective_at
        if card.effective_at <= now:
            # The span that holds now. It may start in the past only where no card held before.
            starts_at = effective_at if effective_at is not None else now if stored else card.effective_at
        before = [one for one in stored if one.effective_at <= max(starts_at, card.effective_at)]
        new = card
        if before:
            latest = before[-1]
            new = _with_unpublished(card, latest)
            if latest.internal_prices != latest.list_prices:
                new = replace(new, internal_prices=latest.internal_prices)
            image_tokens_max = max(latest.image_tokens_max or 0, card.image_tokens_max or 0) or None
            new = replace(new, image_tokens_max=image_tokens_max)  # a bound stays one: the larger of ours and theirs
            if _says(latest) == _says(new):
                continue
        yield pinned(replace(new, effective_at=starts_at))


def _with_unpublished(card: RateCard, latest: RateCard) -> RateCard:
    """A published card with the prices of an earlier one that nobody publishes."""

    def kept(prices: Mapping[str, RateTable], before: Mapping[str, RateTable]) -> Mapping[str, RateTable]:
        return {tier: _added(table, _unpublished(before.get(tier))) for tier, table in prices.items()}

    return replace(
        card, list_prices=kept(card.list_prices, latest.list_prices), net_prices=kept(card.net_prices, latest.net_prices),
        internal_prices=kept(card.internal_prices, latest.internal_prices),
    )  # fmt: skip


def _unpublished(table: RateTable | None) -> dict[Meter, int]:
    rates: Rates = {} if table is None else table.base
    return {meter: rates[meter] for meter in UNPUBLISHED if meter in rates}


def _at_standard(prices: Mapping[str, RateTable], rates: Rates) -> dict[str, RateTable]:
    return {**prices, "standard": _added(prices["standard"], rates)}


def _added(table: RateTable, rates: Rates) -> RateTable:
    """A table with more rates, whatever the length of context; the same when there are none."""
    if not rates:
        return table
    tiers = tuple(replace(tier, rates={**tier.rates, **rates}) for tier in table.tiers)
    return RateTable(base={**table.base, **rates}, tiers=tiers)


def _add(work: UnitOfWork, cards: Sequence[RateCard]) -> list[RateCard]:
    """The cards with their identity, stored, chained and sent to the workers. One that is stored already is refused."""
    stored = [
        replace(card, id=work.new_id("rate_cards"), public_id=work.public_id("ratecard"), recorded_at=work.now)
        for card in cards
    ]
    rows = [
        {
            "id": card.id, "public_id": card.public_id, "provider": card.provider, "model": card.model,
            "effective_at": card.effective_at, "recorded_at": card.recorded_at, "currency": card.currency,
            "source": card.source, "digest": card.digest, "canonical_json": canonical_json(card),
        }
        for card in stored
    ]  # fmt: skip
    digests = [row["digest"] for row in rows]
    known = set()
    for start in range(0, len(digests), _INSERT_ROWS):
        some = digests[start : start + _INSERT_ROWS]
        known |= set(
            work.connection.scalars(select(schema.rate_cards.c.digest).where(schema.rate_cards.c.digest.in_(some)))
        )
    if known or len(set(digests)) < len(digests):
        raise Refused(
            "same_card", "a card that says exactly this from the same instant on is there already; nothing was added"
        )
    for start in range(0, len(rows), _INSERT_ROWS):
        work.connection.execute(schema.rate_cards.insert(), rows[start : start + _INSERT_ROWS])
    work.cards_added(card.id for card in stored)
    return stored


def _found(work: UnitOfWork, arguments: Mapping[str, Any]) -> RateCard:
    """The card that holds now for the model (or alias) that is asked about. Raises Refused."""
    name, provider = arguments.get("model"), arguments.get("provider")
    if not name:
        raise Refused("invalid", "name the model with --model, or give a whole card with --file")
    matches = [
        [card for card in cards if card.effective_at <= work.now][-1]
        for key, cards in current_cards(work, [provider] if provider else None).items()
        if any(name in {card.model, *card.aliases} for card in cards) and cards[0].effective_at <= work.now
    ]
    if not matches:
        raise Refused(
            "unknown_model", f"no rate card for {name!r}: import one with `tokenroll ratecard import --model {name}`"
        )
    if len(matches) > 1:
        sellers = ", ".join(sorted(card.provider for card in matches))
        raise Refused("ambiguous_model", f"{name!r} is sold by {sellers}: say which with --provider")
    return matches[0]


def _repriced(card: RateCard, arguments: Mapping[str, Any], effective_at: Instant) -> RateCard:
    multiply, prices = arguments.get("multiply"), arguments.get("prices")
    if "image_tokens_max" in arguments:
        card = replace(card, image_tokens_max=arguments["image_tokens_max"])
        if multiply is None and not prices:
            return pinned(replace(card, effective_at=effective_at, source="image tokens: set by hand"))
    if (multiply is None) == (not prices):
        raise Refused("invalid", "give either --multiply or prices such as --input and --output, and not both")
    if multiply is not None:
        try:
            factor = Fraction(multiply)
        except (ValueError, ZeroDivisionError):
            raise Refused("invalid", f"{multiply!r} is not a decimal number such as 0.5") from None
        if factor < 0:
            raise Refused("invalid", "an internal price cannot be negative")
        internal = {tier: _multiplied(table, factor) for tier, table in card.list_prices.items()}
        source = f"internal prices: list prices × {multiply}"
    else:
        given = rates_from_text(dict(prices or {}))
        unpublished = {meter: given[meter] for meter in UNPUBLISHED if meter in given}
        card = replace(
            card,
            list_prices=_at_standard(card.list_prices, unpublished),
            net_prices=_at_standard(card.net_prices, unpublished),
        )
        if len(unpublished) == len(given):
            internal = _at_standard(card.internal_prices, unpublished)
        else:
            internal = dict.fromkeys(card.list_prices, RateTable(base={**card.list_prices["standard"].base, **given}))
        source = "internal prices: set by hand"
    return pinned(replace(card, internal_prices=internal, effective_at=effective_at, source=source))


def _multiplied(table: RateTable, factor: Fraction) -> RateTable:
    def times(rates: Mapping[Any, int]) -> dict[Any, int]:
        return {meter: round_half_even(attos * factor.numerator, factor.denominator) for meter, attos in rates.items()}

    tiers = tuple(RateTier(input_tokens_above=tier.input_tokens_above, rates=times(tier.rates)) for tier in table.tiers)
    return RateTable(base=times(table.base), tiers=tiers)


def _card_from_hand(given: Mapping[str, Any], effective_at: Instant) -> RateCard:
    """A card from `{"provider", "model", "prices": {tier: {meter: USD per million}}, …}`. Raises Refused naming what is missing."""
    try:
        listed = tables_from_text(given["prices"])
        return pinned(
            RateCard(
                id=PLACEHOLDER_ID,
                public_id=UNNUMBERED,
                provider=given["provider"],
                model=given["model"],
                aliases=tuple(given.get("aliases", ())),
                effective_at=effective_at,
                recorded_at=0,
                currency=given.get("currency", "USD"),
                list_prices=listed,
                net_prices=tables_from_text(given["net_prices"]) if "net_prices" in given else listed,
                internal_prices=tables_from_text(given["internal_prices"]) if "internal_prices" in given else listed,
                context_window_tokens=given.get("context_window_tokens"),
                output_tokens_max=given.get("output_tokens_max"),
                image_tokens_max=given.get("image_tokens_max"),
                source=given.get("source", "set by hand"),
                digest="",
                overhead_tokens_per_message=given.get("overhead_tokens_per_message", OVERHEAD_TOKENS_PER_MESSAGE),
                overhead_tokens_per_request_with_tools=given.get(
                    "overhead_tokens_per_request_with_tools", OVERHEAD_TOKENS_PER_REQUEST_WITH_TOOLS
                ),
                overhead_tokens_per_tool=given.get("overhead_tokens_per_tool", OVERHEAD_TOKENS_PER_TOOL),
            )
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise Refused(
            "invalid",
            f"not a rate card ({error!r}): it needs provider, model and prices, such as "
            '{"provider": "ours", "model": "small", "prices": {"standard": {"input": "0.15", "output": "0.60"}}}',
        ) from error
