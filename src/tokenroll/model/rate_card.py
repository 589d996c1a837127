"""RateCard: dated, append-only prices of one model at one provider, pinned by digest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tokenroll.model.checks import id_checked, name_checked
from tokenroll.model.instant import Instant
from tokenroll.model.limits import RATE_ATTOS_MAX, UNIT_COUNT_MAX
from tokenroll.model.usage import Meter

Rates = Mapping[Meter, int]
"""Atto-credits (or atto-currency) per unit, by meter. A meter that is absent has no price and cannot be charged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateTier:
    """Rates that replace the base ones for the whole call once its input exceeds `input_tokens_above` (strictly)."""

    input_tokens_above: int
    rates: Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class RateTable:
    """The rates of one service tier: a base and long-context tiers, ascending. Tiers override, they do not add."""

    base: Rates
    tiers: tuple[RateTier, ...] = ()

    def __post_init__(self) -> None:
        for rates in (self.base, *(tier.rates for tier in self.tiers)):
            for meter, attos in rates.items():
                if type(attos) is not int or not 0 <= attos <= RATE_ATTOS_MAX:
                    message = f"rate of {meter} must be 0 to {RATE_ATTOS_MAX} attos, not {attos!r}"
                    raise ValueError(message)
        starts = [tier.input_tokens_above for tier in self.tiers]
        if starts != sorted(set(starts)) or (starts and starts[0] < 0):
            message = f"long-context tiers must ascend, not {starts}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCard:
    """What one model costs from `effective_at` on, until a later card for the same model takes over.

    `list_prices` and `net_prices` are money (USD nanos per unit in attos); `internal_prices` are credits. Each maps a service
    tier (`standard`, `batch`, `flex`, `priority`) to its table; a tier that is absent is not sold. Internal prices are where a
    company subsidises or surcharges a model. `image_tokens_max` is how many model tokens one image in a call costs at most; a card
    that names none has calls with images bounded by the context window. `digest` is sha256 over the canonical JSON of all else
    (engine/rating).
    """

    id: int
    public_id: str
    provider: str
    model: str
    aliases: tuple[str, ...]
    effective_at: Instant
    recorded_at: Instant
    currency: str
    list_prices: Mapping[str, RateTable]
    net_prices: Mapping[str, RateTable]
    internal_prices: Mapping[str, RateTable]
    context_window_tokens: int | None
    output_tokens_max: int | None
    source: str
    digest: str
    overhead_tokens_per_message: int
    overhead_tokens_per_request_with_tools: int
    overhead_tokens_per_tool: int
    time_of_day_dearest: bool = field(default=False)
    image_tokens_max: int | None = field(default=None)

    def __post_init__(self) -> None:
        id_checked(self.id, "rate card id")
        name_checked(self.provider, "provider")
        name_checked(self.model, "model")
        if "standard" not in self.internal_prices:
            message = f"rate card of {self.model} has no standard internal price"
            raise ValueError(message)
        most = self.image_tokens_max
        if most is not None and (type(most) is not int or not 1 <= most <= UNIT_COUNT_MAX):
            message = f"image_tokens_max must be 1 to {UNIT_COUNT_MAX} model tokens, not {most!r}"
            raise ValueError(message)
        for name in ("list_prices", "net_prices", "internal_prices"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
