"""FOCUS from the ledger: what each wallet used of each meter a day, at which price, from which grant, as lines of one billing month.

A call was rounded once, and its meters share that: each has its exact cost rounded down, and what is left of the call's nanos goes to
those that lost most, so no meter is a nano away from its own price and the sum is the ledger's. What a call cost beyond its prices, or
below, is a charge of its own, by list, at our prices and in credits apart: each column of a month is the ledger's. A call that drew on
several lots is told under the first of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select

from tokenroll.books.focus_lines import AccountCharge, Billing, CreditCharge, Line, UsageLine, WalletType
from tokenroll.books.focus_schema import ChargeCategory
from tokenroll.engine.rating import card_from_json, rate_attos, rates_for, round_half_even
from tokenroll.model.amount import ATTOS_PER_NANO
from tokenroll.model.hold import COMPANY_LOT_ID
from tokenroll.model.instant import DAY_MICROS, Instant
from tokenroll.model.member import MemberKind
from tokenroll.model.rate_card import RateCard, RateTable
from tokenroll.model.usage import INPUT_METERS, METER_INDEX, METERS, Meter
from tokenroll.model.usage_event import UsageEvent
from tokenroll.model.wallet import HolderKind
from tokenroll.services.cost_answers import month_of
from tokenroll.services.lake_feeding import SettlementEvents
from tokenroll.services.people import COMPANY_NAME_SETTING
from tokenroll.store import schema
from tokenroll.store.attempt_record import AttemptRecord, Outcome, PassRecord, parse_record

CREDITS: Final = "Credits"
PRICE_DIFFERENCE: Final = "Difference between the ledger and the price book"
"""An estimate that met a meter without a price, or that was no more than its hold."""
SELLERS: Final[Mapping[str, tuple[str, str]]] = {
    "openai": ("OpenAI", "OpenAI API"), "anthropic": ("Anthropic", "Claude API"), "google": ("Google", "Gemini API"),
    "mistral": ("Mistral AI", "Mistral API"), "deepseek": ("DeepSeek", "DeepSeek API"), "x-ai": ("xAI", "xAI API"),
    "aws": ("Amazon Web Services", "Amazon Bedrock"), "azure": ("Microsoft", "Azure OpenAI Service"),
}  # fmt: skip
"""Who issues the invoice, and what the service is called there; others by the name that their cards have."""
_INPUTS: Final = tuple(METER_INDEX[meter] for meter in INPUT_METERS)


class _Price(NamedTuple):
    """One price of one meter, as the card of a pass has it."""

    card_id: int
    tier: str
    above: int
    meter: Meter
    list_attos: int
    net_attos: int
    credit_attos: int


class _Line(NamedTuple):
    """What a line is told apart by."""

    wallet_id: int
    day_at: Instant
    price: _Price
    lot_id: int
    tags: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Sums:
    units: int = 0
    calls: int = 0
    list_nanos: int = 0
    net_nanos: int = 0
    credit_nanos: int = 0


class _BesideKey(NamedTuple):
    """What charges beside the prices are told apart by."""

    wallet_id: int
    day_at: Instant
    provider: str
    currency: str
    is_in_credits: bool


@dataclass(slots=True)
class _Beside:
    """What no price explains of the list cost, of the net one, and of the charge to the wallet."""

    list_nanos: int = 0
    net_nanos: int = 0
    credit_nanos: int = 0


class _Funding(NamedTuple):
    grant_id: str
    policy_version: str


class _Wallet(NamedTuple):
    public_id: str
    kind: WalletType


def focus_lines(connection: Connection, month: date) -> Iterator[Line]:
    """The lines of a calendar month in UTC, by wallet, day, model and meter; amounts are the ledger's."""
    from_at, until = month_of(month)
    table = schema.settlements
    query = (
        select(table)
        .where(table.c.admitted_at >= from_at, table.c.admitted_at < until, table.c.outcome != Outcome.RELEASED)
        .order_by(table.c.ledger_seq)
    )
    facts = _Facts(connection)
    events = SettlementEvents(connection)
    lines: dict[_Line, _Sums] = {}
    beside: dict[_BesideKey, _Beside] = {}
    for row in connection.execute(query):
        attempt = parse_record(row.record)
        if attempt.settle is not None:
            _add(facts, lines, beside, row.wallet_id, attempt, events.event(row))
    for key in sorted(lines, key=_order):
        yield facts.line(key, lines[key], from_at, until)
    for place in sorted(beside):
        if beside[place] != _Beside():
            yield facts.charge(place, beside[place], from_at, until)


def _add(
    facts: "_Facts",
    lines: dict[_Line, _Sums],
    beside: dict[_BesideKey, _Beside],
    wallet_id: int,
    attempt: AttemptRecord,
    event: UsageEvent,
) -> None:
    settle = attempt.settle
    if settle is None:
        return
    passes = settle.passes or (PassRecord(attempt.hold.rate_card_id, settle.service_tier, settle.counts),)
    used: dict[_Price, int] = {}  # passes at one price are one line's, so that a call is rounded there once
    is_in_credits = False
    for one in passes:
        card = facts.card(one.rate_card_id)
        is_in_credits = is_in_credits or _is_in_credits(card)
        for price, count in _prices(card, one):
            used[price] = used.get(price, 0) + count
    day_at = attempt.hold.admitted_at // DAY_MICROS * DAY_MICROS
    lots = [lot_id for lot_id, _ in attempt.consumed]
    tags = tuple(
        (name, value)
        for name, value in (("cost_center", event.cost_centre), ("project", event.project))
        if value and value.isprintable()
    )
    list_parts, list_over = _parted([price.list_attos * count for price, count in used.items()], settle.list_cost_nanos)
    net_parts, net_over = _parted([price.net_attos * count for price, count in used.items()], settle.net_cost_nanos)
    credit_parts, credit_over = _parted(
        [price.credit_attos * count for price, count in used.items()], settle.charge_nanos
    )
    for place, (price, count) in enumerate(used.items()):
        sums = lines.setdefault(_Line(wallet_id, day_at, price, lots[0] if lots else COMPANY_LOT_ID, tags), _Sums())
        sums.units += count
        sums.calls += 1
        sums.list_nanos += list_parts[place]
        sums.net_nanos += net_parts[place]
        sums.credit_nanos += credit_parts[place]
    key = _BesideKey(wallet_id, day_at, event.provider, event.currency, is_in_credits)
    over = beside.setdefault(key, _Beside())
    over.list_nanos += list_over
    over.net_nanos += net_over
    over.credit_nanos += credit_over if is_in_credits else 0


def _is_in_credits(card: RateCard) -> bool:
    """Whether a credit buys something else than a unit of money at list."""
    return card.internal_prices != card.list_prices


def _prices(card: RateCard, one: PassRecord) -> Iterator[tuple[_Price, int]]:
    """Each meter that was used, with its price in this pass."""
    counts = one.counts
    input_tokens = sum(counts[place] or 0 for place in _INPUTS)
    for meter, count in zip(METERS, counts, strict=False):
        if not count:
            continue
        attos, above = [], 0
        for table in _tables(card, one.service_tier):
            attos.append(rate_attos(rates_for(table, input_tokens), meter) or 0)
            above = max(above, _tier_start(table, input_tokens))
        if any(attos):
            yield _Price(one.rate_card_id, one.service_tier, above, meter, *attos), count


def _tables(card: RateCard, service_tier: str) -> tuple[RateTable, RateTable, RateTable]:
    """List, net and internal prices of a tier, each as settlements take it: what a card does not list costs as it is charged."""
    internal = card.internal_prices.get(service_tier, card.internal_prices["standard"])
    listed = card.list_prices.get(service_tier, internal)
    return listed, card.net_prices.get(service_tier, listed), internal


def _tier_start(table: RateTable, input_tokens: int) -> int:
    return max((tier.input_tokens_above for tier in table.tiers if input_tokens > tier.input_tokens_above), default=0)


def _parted(exact_attos: list[int], nanos: int) -> tuple[list[int], int]:
    """A call's nanos among its meters, each within one of its exact cost; and what no price explains."""
    parts = [attos // ATTOS_PER_NANO for attos in exact_attos]
    left = nanos - sum(parts)
    if not 0 <= left <= len(parts):
        exact = round_half_even(sum(exact_attos), ATTOS_PER_NANO)
        return _parted(exact_attos, exact)[0], nanos - exact
    losers = sorted(range(len(parts)), key=lambda place: (-(exact_attos[place] % ATTOS_PER_NANO), place))
    for place in losers[:left]:
        parts[place] += 1
    return parts, 0


class _Facts:
    """What lines are told with: cards, wallets, lots and the company, each read once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._cards: dict[int, RateCard] = {}
        self._wallets: dict[int, _Wallet] = {}
        self._lots: dict[int, _Funding] = {}
        self._billings: dict[tuple[str, str], Billing] = {}
        named = select(schema.settings.c.value).where(schema.settings.c.name == COMPANY_NAME_SETTING)
        self._company = str(connection.scalar(named) or "Company")

    def card(self, card_id: int) -> RateCard:
        known = self._cards.get(card_id)
        if known is None:
            cards = schema.rate_cards
            row = self._connection.execute(select(cards).where(cards.c.id == card_id)).one()
            known = self._cards[card_id] = card_from_json(
                row.canonical_json, card_id=card_id, public_id=row.public_id, recorded_at=row.recorded_at
            )
        return known

    def wallet(self, wallet_id: int) -> _Wallet:
        known = self._wallets.get(wallet_id)
        if known is None:
            wallets, members = schema.wallets, schema.members
            row = self._connection.execute(select(wallets).where(wallets.c.id == wallet_id)).one()
            kind = WalletType.POOL
            if row.holder_kind == HolderKind.MEMBER.value:
                holder = self._connection.scalar(select(members.c.kind).where(members.c.id == row.holder_id))
                kind = WalletType.SERVICE if holder == MemberKind.SERVICE.value else WalletType.EMPLOYEE
            known = self._wallets[wallet_id] = _Wallet(row.public_id, kind)
        return known

    def funding(self, lot_id: int) -> _Funding | None:
        if lot_id == COMPANY_LOT_ID:
            return None
        known = self._lots.get(lot_id)
        if known is None:
            lots, grants, plans = schema.lots, schema.grants, schema.plans
            query = (
                select(grants.c.public_id, plans.c.name, plans.c.version)
                .select_from(
                    lots.join(grants, grants.c.id == lots.c.grant_id).join(plans, plans.c.id == grants.c.plan_id)
                )
                .where(lots.c.id == lot_id)
            )
            row = self._connection.execute(query).one()
            known = self._lots[lot_id] = _Funding(row.public_id, f"{row.name} v{row.version}")
        return known

    def billing(self, provider: str, currency: str, from_at: Instant, until: Instant) -> Billing:
        known = self._billings.get((provider, currency))
        if known is None:
            issuer, service = SELLERS.get(provider, (provider.title(), f"{provider} API"))
            known = self._billings[provider, currency] = Billing(
                account_id=provider,
                account_name=f"{self._company} at {issuer}",
                invoice_issuer=issuer,
                provider=issuer,
                publisher=issuer,
                service=service,
                currency=currency,
                period_start_at=from_at,
                period_until=until,
            )
        return known

    def line(self, key: _Line, sums: _Sums, from_at: Instant, until: Instant) -> UsageLine:
        price, wallet = key.price, self.wallet(key.wallet_id)
        card = self.card(price.card_id)
        funding = self.funding(key.lot_id)
        return UsageLine(
            billing=self.billing(card.provider, card.currency, from_at, until),
            wallet_id=wallet.public_id, wallet_type=wallet.kind, start_at=key.day_at, until=key.day_at + DAY_MICROS,
            model=card.model, meter=price.meter, count=sums.units, call_count=sums.calls,
            service_tier=price.tier, input_tokens_above=price.above,
            list_price_attos=price.list_attos, contracted_price_attos=price.net_attos, list_cost_nanos=sums.list_nanos,
            contracted_cost_nanos=sums.net_nanos, effective_cost_nanos=sums.net_nanos, billed_cost_nanos=sums.net_nanos,
            grant_id=funding.grant_id if funding else None, policy_version=funding.policy_version if funding else None,
            funding_lot_id=lot_identifier(key.lot_id) if funding else None,
            price_book_version=card.source, price_book_digest=card.digest,
            credit_charge=CreditCharge(nanos=sums.credit_nanos, price_attos=price.credit_attos, currency=CREDITS)
            if _is_in_credits(card) else None,
            tags=dict(key.tags),
        )  # fmt: skip

    def charge(self, key: _BesideKey, beside: _Beside, from_at: Instant, until: Instant) -> AccountCharge:
        wallet = self.wallet(key.wallet_id)
        return AccountCharge(
            billing=self.billing(key.provider, key.currency, from_at, until), category=ChargeCategory.ADJUSTMENT,
            description=PRICE_DIFFERENCE, start_at=key.day_at, until=key.day_at + DAY_MICROS,
            list_cost_nanos=beside.list_nanos, contracted_cost_nanos=beside.net_nanos,
            effective_cost_nanos=beside.net_nanos, billed_cost_nanos=beside.net_nanos,
            wallet_id=wallet.public_id, wallet_type=wallet.kind,
            credit_charge=CreditCharge(nanos=beside.credit_nanos, price_attos=0, currency=CREDITS) if key.is_in_credits else None,
        )  # fmt: skip


def lot_identifier(lot_id: int) -> str:
    """A lot's number, which is all that the ledger knows it by, in the form of the other identifiers."""
    return f"lot_{lot_id:032x}"


def _order(key: _Line) -> tuple[Any, ...]:
    price = key.price
    return (
        key.day_at, key.wallet_id, price.card_id, price.tier, price.above,
        METER_INDEX[price.meter], key.lot_id, key.tags,
    )  # fmt: skip
