"""Published prices (the `genai-prices` package) as rate cards of ours: dated, explicit, exact.

What the package leaves fuzzy is decided here, once, at import (decision 0041): names are listed and never matched by pattern, a
price that depends on the time of day is the dearest of the day, and what a text call could be charged for but no meter of ours
counts keeps its model out. List, net and internal prices start equal: 1 credit buys 1 USD of list-price compute (DESIGN §2).
"""

import importlib.metadata
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from importlib import resources
from typing import Any, Final, NamedTuple

from genai_prices import types
from genai_prices.data import providers as published

from tokenroll.engine.rating import pinned
from tokenroll.model.amount import ATTOS_PER_CREDIT
from tokenroll.model.instant import Instant, instant_from_datetime
from tokenroll.model.limits import (
    NAME_CHARACTERS_MAX,
    OVERHEAD_TOKENS_PER_MESSAGE,
    OVERHEAD_TOKENS_PER_REQUEST_WITH_TOOLS,
    OVERHEAD_TOKENS_PER_TOOL,
    RATE_ATTOS_MAX,
)
from tokenroll.model.rate_card import RateCard, RateTable, RateTier
from tokenroll.model.usage import UNIT_METERS, Meter

MILLION: Final = 10**6
THOUSAND: Final = 10**3
SECONDS_PER_HOUR: Final = 3_600
SECONDS_PER_MINUTE: Final = 60
COLUMNS: Final[Mapping[str, tuple[Meter, int]]] = {
    "input_mtok": (Meter.INPUT, MILLION),
    "cache_read_mtok": (Meter.CACHE_READ, MILLION),
    "cache_write_mtok": (Meter.CACHE_WRITE_5M, MILLION),
    "cache_write_5m_mtok": (Meter.CACHE_WRITE_5M, MILLION),
    "cache_write_1h_mtok": (Meter.CACHE_WRITE_1H, MILLION),
    "input_audio_mtok": (Meter.INPUT_AUDIO, MILLION),
    "input_image_mtok": (Meter.INPUT_IMAGE, MILLION),
    "output_mtok": (Meter.OUTPUT, MILLION),
    "output_reasoning_mtok": (Meter.REASONING, MILLION),
    "output_audio_mtok": (Meter.OUTPUT_AUDIO, MILLION),
    "output_image_mtok": (Meter.OUTPUT_IMAGE, MILLION),
    "requests_kcount": (Meter.REQUEST, THOUSAND),
    "web_searches_kcount": (Meter.WEB_SEARCH, THOUSAND),
    "storage_searches_kcount": (Meter.FILE_SEARCH, THOUSAND),
    "input_mchars": (Meter.CHARACTER, MILLION),
    "input_audio_hours": (Meter.AUDIO_SECOND, SECONDS_PER_HOUR),
}
"""The package's price keys, the meter each is about, and how many units one listed price pays for."""
UNITS: Final[Mapping[Meter, int]] = {
    **dict.fromkeys(Meter, MILLION),
    Meter.REQUEST: THOUSAND, Meter.WEB_SEARCH: THOUSAND, Meter.WEB_FETCH: 1, Meter.FILE_SEARCH: THOUSAND, Meter.CODE_SECOND: 1,
    Meter.SEARCH_UNIT: THOUSAND, Meter.IMAGE: 1, Meter.AUDIO_SECOND: SECONDS_PER_MINUTE,
}  # fmt: skip
"""How many units one price pays for where people write it: a million tokens or characters, a minute of sound, one picture."""
UNMETERED_IN_TEXT: Final = frozenset({"output_citation_mtok", "input_text_messages_kcount"})
"""Charged for ordinary calls, but not counted here: their models are left out rather than undercharged."""
SEARCHES_UNASKED: Final = (
    "searches the web at every call, for a fee that is not among its published prices and that no answer counts; "
    "give it a card of your own with a price for `request`, and with `overhead_tokens_per_message` for what it reads there: "
    "`tokenroll ratecard set --file`"
)
TIER_VARIANTS: Final[Mapping[str, tuple[str, str]]] = {
    "batch": ("processing", "batch"),
    "flex": ("service_tier", "flex"),
    "priority": ("service_tier", "priority"),
}
"""Our service tiers and the request context under which the package lists their prices."""
UNNUMBERED: Final = "ratecard_" + "0" * 32
"""A prepared card has no identity yet; the unit of work that stores it gives it one."""
PLACEHOLDER_ID: Final = 1
TESTING_MODEL: Final = "model"
LONG_LIVED_CACHE: Final = "claude"
"""Models with this in their name sell a cache of one hour, wherever they are sold."""


MEDIA_OUTPUT: Final[Mapping[str, Meter]] = {"gpt-image": Meter.OUTPUT_IMAGE, "-tts": Meter.OUTPUT_AUDIO}
"""By what stands in a model's name: what it puts out is pictures or sound, so a price of output that says no more is theirs."""


class ModelKey(NamedTuple):
    """One model at one provider."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The outcome of reading published prices: cards without identity, and every model that got none with its reason."""

    cards: tuple[RateCard, ...]
    skipped: Mapping[ModelKey, str]
    source: str


def attos_per_unit(price: Decimal | str, units: int) -> int:
    """A price in currency for `units` units as whole attos for one, rounded half to even, once."""
    return round(Fraction(price) * ATTOS_PER_CREDIT / units)


@cache
def source_name() -> str:
    """Where cards come from, with the version that pins the data; looked up once, because that reads the package's own page."""
    return f"genai-prices {importlib.metadata.version('genai-prices')}"


def published_providers() -> tuple[str, ...]:
    """Every provider whose prices are known."""
    return tuple(sorted(provider.id for provider in published))


def prepare(
    providers: Iterable[str] | None = None, as_of: Instant | None = None, models: frozenset[str] = frozenset()
) -> Prepared:
    """Cards of every model of `providers` (default: all), one per span of dates with its own prices.

    With `as_of` only the span that holds then and later ones, with `models` only those, by any of their names. Sorted by provider, model and date, so that two imports of the
    same data agree byte by byte. Raises KeyError naming a provider that is not known.
    """
    wanted = set(published_providers() if providers is None else providers)
    if unknown := wanted - set(published_providers()):
        raise KeyError(", ".join(sorted(unknown)))
    cards: list[RateCard] = []
    skipped: dict[ModelKey, str] = {}
    for provider in sorted(published, key=lambda one: one.id):
        if provider.id not in wanted:
            continue
        searching = _searching(provider.id)
        skipped |= {ModelKey(provider.id, name): SEARCHES_UNASKED for name in searching if not models or name in models}
        names = _names(provider)
        for model in sorted(provider.models, key=lambda one: one.id):
            if model.id in searching or (models and models.isdisjoint((model.id, *names[model.id]))):
                continue
            try:
                cards += _cards(provider.id, model, names[model.id], as_of)
            except _Unusable as reason:
                skipped[ModelKey(provider.id, model.id)] = str(reason)
        cards += [
            card
            for card in _free_cards(provider.id)
            if not models or not models.isdisjoint((card.model, *card.aliases))
        ]
    return Prepared(cards=tuple(cards), skipped=skipped, source=source_name())


def _searching(provider: str) -> frozenset[str]:
    """The models of a provider that cost a fee for a search at every call, by each name that a price is published under."""
    return frozenset(output_data("searching").get(provider, ()))


def _free_cards(provider: str) -> Iterator[RateCard]:
    """Cards of models that a provider says are free, so that their calls are held, recorded and seen like any other."""
    tables = dict.fromkeys(("standard", "batch"), RateTable(base={Meter.INPUT: 0}))
    for model, said in sorted(output_data("free").get(provider, {}).items()):
        yield _card(
            provider, model, tuple(said["aliases"]), 0, tables, said["context_window_tokens"], time_of_day_dearest=False
        )


class _Unusable(Exception):  # noqa: N818  a reason, told to whoever imports
    """Why a model gets no card."""


# ---- names -----------------------------------------------------------------------------------------------------------


def _names(provider: types.Provider) -> dict[str, tuple[str, ...]]:
    """The aliases of each model, by id. A name means one model: ids first, then what the patterns spell out, then our list.

    No alias leads to the prices of a model that does not search what one would cost that does.
    """
    taken = {model.id for model in provider.models} | _searching(provider.id)
    aliases: dict[str, list[str]] = {model.id: [] for model in provider.models}
    spelled = [(name, model) for model in provider.models for name in _spelled(model.match)]
    listed = [(name, provider.find_model(name)) for name in output_data("aliases").get(provider.id, ())]
    for name, model in [*spelled, *listed]:
        if model is not None and name not in taken and _usable_name(name) and provider.find_model(name) is model:
            taken.add(name)
            aliases[model.id].append(name)
    return {model_id: tuple(sorted(names)) for model_id, names in aliases.items()}


def _usable_name(name: str) -> bool:
    return 2 < len(name) <= NAME_CHARACTERS_MAX and name.isprintable() and name[-1].isalnum()


def _spelled(clause: Any) -> Iterator[str]:
    """The texts that a pattern spells out. Each is checked against the package's own lookup before it becomes a name."""
    match clause:
        case types.ClauseOr(or_=clauses):
            for one in clauses:
                yield from _spelled(one)
        case (
            types.ClauseEquals(equals=text)
            | types.ClauseStartsWith(starts_with=text)
            | types.ClauseContains(contains=text)
            | types.ClauseEndsWith(ends_with=text)
        ):
            yield text.lower()
        case _:
            return


# ---- prices ----------------------------------------------------------------------------------------------------------


def _cards(
    provider: str, model: types.ModelInfo, aliases: tuple[str, ...], as_of: Instant | None
) -> Iterator[RateCard]:
    starts = [None, *sorted(_start_dates(model))]
    effective = [0 if start is None else _midnight(start) for start in starts]
    for index, start in enumerate(starts):
        if as_of is not None and index + 1 < len(starts) and effective[index + 1] <= as_of:
            continue
        moments = list(_moments(model, start, starts))
        tables = {"standard": _table([model.get_prices(moment) for moment in moments], model.id)}
        for tier, context in TIER_VARIANTS.items():
            if _is_sold(model, context, moments[0]):
                prices = [model.get_prices(moment, dict([context])) for moment in moments]
                tables[tier] = _table(prices, model.id)
        yield _card(
            provider,
            model.id,
            aliases,
            effective[index],
            tables,
            model.context_window,
            time_of_day_dearest=len(moments) > 1,
        )


def _card(
    provider: str,
    model: str,
    aliases: tuple[str, ...],
    effective_at: Instant,
    tables: Mapping[str, RateTable],
    context_window_tokens: int | None,
    *,
    time_of_day_dearest: bool,
) -> RateCard:
    """A card at published prices: list, net and internal ones are the same."""
    return pinned(
        RateCard(
            id=PLACEHOLDER_ID,
            public_id=UNNUMBERED,
            provider=provider,
            model=model,
            aliases=aliases,
            effective_at=effective_at,
            recorded_at=0,
            currency="USD",
            list_prices=tables,
            net_prices=tables,
            internal_prices=tables,
            context_window_tokens=context_window_tokens,
            output_tokens_max=output_data("maxima").get(provider, {}).get(model),
            source=source_name(),
            digest="",
            overhead_tokens_per_message=OVERHEAD_TOKENS_PER_MESSAGE,
            overhead_tokens_per_request_with_tools=OVERHEAD_TOKENS_PER_REQUEST_WITH_TOOLS,
            overhead_tokens_per_tool=OVERHEAD_TOKENS_PER_TOOL,
            time_of_day_dearest=time_of_day_dearest,
            image_tokens_max=output_data("image_tokens").get(provider, {}).get(model),
        )
    )


def _midnight(day: date) -> Instant:
    return instant_from_datetime(datetime.combine(day, time(), UTC))


def _constraints(model: types.ModelInfo) -> list[Any]:
    conditional = model.prices if isinstance(model.prices, list) else []
    return [one.constraint for one in [*conditional, *(model.price_variants or ())] if one.constraint is not None]


def _start_dates(model: types.ModelInfo) -> set[date]:
    return {one.start_date for one in _constraints(model) if isinstance(one, types.StartDateConstraint)}


def _moments(model: types.ModelInfo, start: date | None, starts: list[date | None]) -> Iterator[datetime]:
    """Moments of one day in the span, such that every price of the day is met at one of them."""
    dates = [one for one in starts if one is not None]
    day = start or (dates[0] - timedelta(days=1) if dates else date(2020, 1, 1))
    times = {time(tzinfo=UTC)}
    for constraint in _constraints(model):
        if isinstance(constraint, types.TimeOfDateConstraint):
            times |= {constraint.start_time, constraint.end_time}
    for moment in sorted(one.replace(tzinfo=one.tzinfo or UTC) for one in times):
        yield datetime.combine(day, moment)


def _is_sold(model: types.ModelInfo, context: tuple[str, str], moment: datetime) -> bool:
    return any(
        variant.when == dict([context]) and (variant.constraint is None or variant.constraint.active(moment))
        for variant in model.price_variants or ()
    )


def _table(prices: list[types.ModelPrice], model: str) -> RateTable:
    """The dearest of several prices, short and long context. Raises _Unusable."""
    starts = sorted({tier.start for price in prices for value in _values(price).values() for tier in _tiers(value)})

    def dearest_at(input_tokens: int) -> dict[Meter, int]:
        rates = _dearest([_rates(price, input_tokens) for price in prices])
        for name, meter in MEDIA_OUTPUT.items():
            if name in model and Meter.OUTPUT in rates:
                rates.setdefault(meter, rates[Meter.OUTPUT])
        return _with_cache_writes(rates, long_lived=LONG_LIVED_CACHE in model)

    base = dearest_at(0)
    if base.keys().isdisjoint((Meter.INPUT, Meter.OUTPUT, *UNIT_METERS)):
        columns = sorted({column for price in prices for column in _values(price)})
        raise _Unusable(f"no price for tokens, characters or seconds of audio, only {', '.join(columns) or 'nothing'}")
    tiers = tuple(RateTier(input_tokens_above=start, rates=dearest_at(start + 1)) for start in starts)
    return RateTable(base=base, tiers=tiers)


def _dearest(several: list[dict[Meter, int]]) -> dict[Meter, int]:
    return {
        meter: max(rates[meter] for rates in several if meter in rates)
        for meter in Meter
        if any(meter in rates for rates in several)
    }


def _values(price: types.ModelPrice) -> dict[str, Decimal | types.TieredPrices]:
    return {column: value for column, value in vars(price).items() if value is not None}


def _tiers(value: Decimal | types.TieredPrices) -> list[types.Tier]:
    return value.tiers if isinstance(value, types.TieredPrices) else []


def _rates(price: types.ModelPrice, input_tokens: int) -> dict[Meter, int]:
    """The rates of a whole call with that much input: a tier applies strictly above its start, to every token of the call."""
    rates: dict[Meter, int] = {}
    for column, value in _values(price).items():
        if column in UNMETERED_IN_TEXT:
            raise _Unusable(f"charges for {column}, which no meter counts")
        if column in COLUMNS:
            meter, units = COLUMNS[column]
            listed = value.base if isinstance(value, types.TieredPrices) else value
            for tier in _tiers(value):
                if input_tokens > tier.start:
                    listed = tier.price
            rates[meter] = attos_per_unit(listed, units)
    return rates


def _with_cache_writes(rates: dict[Meter, int], *, long_lived: bool) -> dict[Meter, int]:
    """The same with a rate for filling the cache, because usage may report it whether or not it is priced apart.

    Where no write is listed it is input. `long_lived`: the model's clients may ask for the one-hour cache; where its price is not
    listed it is twice the input, the only rule that a provider has published, and never cheaper than the short life.
    """
    if Meter.INPUT not in rates:
        return rates
    short = rates.setdefault(Meter.CACHE_WRITE_5M, rates[Meter.INPUT])
    if long_lived:
        rates.setdefault(Meter.CACHE_WRITE_1H, max(short, 2 * rates[Meter.INPUT]))
    return rates


# ---- what the package does not know --------------------------------------------------------------------------------------


@cache
def output_data(part: str) -> dict[str, Any]:
    """What published prices do not say, by provider.

    `maxima`: most output tokens of a model; `image_tokens`: most that one image costs; `aliases`: dated names; `free`: models that cost
    nothing; `searching`: models that search at every call, for a fee.
    """
    text = resources.files("tokenroll.upstream").joinpath("data/output_maxima.toml").read_text()
    found: dict[str, Any] = tomllib.loads(text)[part]
    return found


# ---- cards by hand ---------------------------------------------------------------------------------------------------------


def tables_from_text(tables: Mapping[str, Mapping[str, str]]) -> dict[str, RateTable]:
    """Rate tables from prices as people write them: per million model tokens, and by UNITS of anything else.

    `{"standard": {"input": "0.15", "output": "0.60", "web_search": "10"}}`. Raises ValueError naming what is not a price.
    """
    return {tier: RateTable(base=rates_from_text(prices)) for tier, prices in tables.items()}


def rates_from_text(prices: Mapping[str, str]) -> dict[Meter, int]:
    """Rates of one table from such texts. Raises ValueError."""
    rates = {}
    for name, price in prices.items():
        try:
            meter = Meter(name)
            attos = attos_per_unit(price, UNITS[meter])
        except (ValueError, ZeroDivisionError) as error:
            raise ValueError(f"{name} = {price!r} is not a price of a known meter ({', '.join(Meter)})") from error
        if not 0 <= attos <= RATE_ATTOS_MAX:
            most = RATE_ATTOS_MAX * UNITS[meter] // ATTOS_PER_CREDIT
            raise ValueError(f"{name} = {price!r} must lie between 0 and {most} for {UNITS[meter]} of it")
        rates[meter] = attos
    return rates


def cards_for_testing(providers: Iterable[str] = ("openai", "anthropic")) -> tuple[RateCard, ...]:
    """A made-up model named `model` at each provider, which the providers' own client test suites call.

    Its prices are the simulated provider's. Never imported unless asked for by name.
    """
    tables = tables_from_text(
        {
            "standard": {
                "input": "1", "cache_read": "0.1", "cache_write_5m": "1.25", "cache_write_1h": "2", "output": "5", "web_search": "10",
            },
            "flex": {
                "input": "0.5", "cache_read": "0.05", "cache_write_5m": "0.625", "cache_write_1h": "1", "output": "2.5", "web_search": "10",
            },
            "priority": {
                "input": "2", "cache_read": "0.2", "cache_write_5m": "2.5", "cache_write_1h": "4", "output": "10", "web_search": "10",
            },
        }
    )  # fmt: skip
    return tuple(
        pinned(
            RateCard(
                id=PLACEHOLDER_ID,
                public_id=UNNUMBERED,
                provider=provider,
                model=TESTING_MODEL,
                aliases=(),
                effective_at=0,
                recorded_at=0,
                currency="USD",
                list_prices=tables,
                net_prices=tables,
                internal_prices=tables,
                context_window_tokens=200_000,
                output_tokens_max=8_192,
                source="testing",
                digest="",
                overhead_tokens_per_message=OVERHEAD_TOKENS_PER_MESSAGE,
                overhead_tokens_per_request_with_tools=OVERHEAD_TOKENS_PER_REQUEST_WITH_TOOLS,
                overhead_tokens_per_tool=OVERHEAD_TOKENS_PER_TOOL,
            )
        )
        for provider in providers
    )
