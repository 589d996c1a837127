"""Charging: what usage that went around the gateway costs in credits, how much of it is new, and which lots pay it.

A source tells a day's usage again and again, longer each time, so what is charged is how far the total has grown above the highest
that was charged. A lot pays what it could have paid when the usage was: eligibility is fixed then (DESIGN §5), as at admission.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from tokenroll.engine.drawing import draw_rank, eligible
from tokenroll.engine.rating import UnpricedError, charge_nanos
from tokenroll.model.hold import Slice
from tokenroll.model.instant import Instant
from tokenroll.model.lot import LotState
from tokenroll.model.rate_card import RateCard
from tokenroll.model.usage import INPUT_METERS, METER_INDEX, Usage
from tokenroll.model.usage_event import GATEWAY, Billing

CREDIT_CURRENCY: Final = "USD"
"""One credit buys one of it at list prices, where the company has set no price of its own."""
_INPUT_INDEXES: Final = tuple(METER_INDEX[meter] for meter in INPUT_METERS)


class Uncharged(StrEnum):
    """Why usage is not charged, in the words that people read."""

    GATEWAY = "went through the gateway"
    SEAT = "of a seat, not billed by use"
    CURRENCY = "in another currency than the price list"
    PRICE = "without a price"


class Told(NamedTuple):
    """What a source says of one event, as far as its charge depends on it."""

    source: str
    billing: str
    currency: str
    service_tier: str
    usage: Usage
    list_cost_nanos: int | None
    is_sum: bool
    """Whether it stands for many calls, so that its input is no context's length."""


def credits_of(told: Told, card: RateCard | None, *, seats: bool = False) -> int | Uncharged:
    """The nanos of credits that an event cost, or why it is not charged.

    On the company's own card if it had one of the model then, as a call through the gateway is rated; else what it cost at list.
    """
    if told.source == GATEWAY:
        return Uncharged.GATEWAY
    if told.billing == Billing.SEAT and not seats:
        return Uncharged.SEAT
    if told.currency != CREDIT_CURRENCY:
        return Uncharged.CURRENCY
    if card is not None and any(told.usage.counts):
        priced = _on_card(told, card)
        if priced is not None:
            return priced
    elif told.list_cost_nanos is not None and told.list_cost_nanos >= 0:
        # nothing is the list price of counts that nobody told: what it cost is not known
        is_told = told.list_cost_nanos > 0 or any(count is not None for count in told.usage.counts)
        return told.list_cost_nanos if is_told else Uncharged.PRICE
    return Uncharged.PRICE


def _on_card(told: Told, card: RateCard) -> int | None:
    tier = told.service_tier if told.service_tier in card.internal_prices else "standard"
    table = card.internal_prices.get(tier)
    if table is None:
        return None
    counts = told.usage.counts
    length = sum(counts[index] or 0 for index in _INPUT_INDEXES)
    if told.is_sum and table.tiers and length > table.tiers[0].input_tokens_above:
        # which of its calls were long, nobody told; what they cost at list was told by who knew
        return told.list_cost_nanos if table == card.list_prices.get(tier) else None
    try:
        return charge_nanos(card.internal_prices, tier, told.usage, card.model)
    except UnpricedError:
        return None


def grown_nanos(total_nanos: int, charged_before_nanos: int) -> int:
    """What of a total is new. A total that shrank gives nothing back and takes nothing: whether to refund is a person's decision."""
    return max(0, total_nanos - charged_before_nanos)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeLot:
    """A lot that may pay, with what of it nobody holds and nothing else was promised."""

    state: LotState
    left_nanos: int
    booked_at: Instant
    """When the charge would be booked: as the usage was, or once the lot was known, or now if that cycle is closed."""
    received_at: Instant | None = None
    """When it came from another wallet; None for one that was granted to this."""

    def pays(self, used_at: Instant) -> bool:
        """Whether it could be spent when the usage was, and still can when that is booked: what a closed cycle lost stays lost."""
        lot = self.state.lot
        was_here = self.received_at is None or self.received_at <= used_at
        return was_here and self.left_nanos > 0 and eligible(lot, used_at) and eligible(lot, self.booked_at)


def charge_slices(
    groups: Sequence[Iterable[ChargeLot]], need_nanos: int, used_at: Instant
) -> tuple[tuple[Slice, ...], int]:
    """What each lot pays of a charge, group by group and each in draw order; and what none can pay."""
    slices: list[Slice] = []
    missing_nanos = need_nanos
    for group in groups:
        for one in sorted((one for one in group if one.pays(used_at)), key=lambda one: draw_rank(one.state.lot)):
            if not missing_nanos:
                break
            taken_nanos = min(one.left_nanos, missing_nanos)
            slices.append(Slice(one.state.lot.id, taken_nanos))
            missing_nanos -= taken_nanos
    return tuple(slices), missing_nanos
