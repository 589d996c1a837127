"""What is handed to FOCUS: usage of one wallet and meter, blocks bought in advance, what of them expired, and other charges.

Each line is valid at birth, and none has a place for a name, a tax class or personal use (reference: books, §4.3).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeAlias

from tokenroll.books.focus_schema import TAG_KEYS, ChargeCategory
from tokenroll.model.amount import ATTOS_PER_NANO
from tokenroll.model.checks import name_checked
from tokenroll.model.identifier import identifier_checked
from tokenroll.model.instant import HOUR_MICROS, MICROS_PER_SECOND, Instant
from tokenroll.model.limits import RATE_ATTOS_MAX
from tokenroll.model.usage import Meter

DAY_MICROS_MAX: Final = 25 * HOUR_MICROS
"""The longest day of a time zone: the one on which clocks go back."""
_CURRENCY = re.compile(r"[A-Z]{3}")


class WalletType(StrEnum):
    """Whose wallet it is, as readers of SubAccountType see it."""

    EMPLOYEE = "Employee wallet"
    SERVICE = "Service wallet"
    POOL = "Pool wallet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Billing:
    """The account that is billed, by whom, for which billing period. Lines share it; `invoice_id` is None while none is issued."""

    account_id: str
    account_name: str
    invoice_issuer: str
    provider: str
    publisher: str
    service: str
    currency: str
    period_start_at: Instant
    period_until: Instant
    invoice_id: str | None = None
    account_type: str = "Provider account"

    def __post_init__(self) -> None:
        for name in (
            "account_id",
            "account_name",
            "account_type",
            "invoice_issuer",
            "provider",
            "publisher",
            "service",
        ):
            name_checked(getattr(self, name), name)
        if self.invoice_id is not None:
            name_checked(self.invoice_id, "invoice_id")
        if _CURRENCY.fullmatch(self.currency) is None:
            message = f"a billing currency is three capital letters of ISO 4217, not {self.currency!r}"
            raise ValueError(message)
        _period_checked(self.period_start_at, self.period_until, "a billing period")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepaidLot:
    """A block bought from a provider in advance: it pays for usage of `face_nanos` at contracted prices, and cost `paid_nanos`."""

    lot_id: str
    name: str
    face_nanos: int
    paid_nanos: int

    def __post_init__(self) -> None:
        name_checked(self.lot_id, "prepaid lot id")
        name_checked(self.name, "name of a prepaid lot")
        if self.face_nanos <= 0 or self.paid_nanos < 0:
            message = f"a prepaid lot has a face value and a price, not {self.face_nanos} and {self.paid_nanos} nanos"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditCharge:
    """What a wallet was charged in its own unit: `nanos` of it in all, at the internal price of `price_attos` for one unit.

    A charge without usage has no price: nought.
    """

    nanos: int
    price_attos: int
    currency: str

    def __post_init__(self) -> None:
        name_checked(self.currency, "pricing currency")
        _price_checked(self.price_attos, "internal price")


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageLine:
    """What one wallet used of one meter of one model at one price, in an hour or a day.

    Unit prices are attos per single unit, as rate cards have them; costs are the ledger's nanos, added up over `call_count` calls.
    Each call was rounded once, so a cost is within a nano per call of price times count (decision 0117); a correction may differ.
    Usage that a prepaid lot paid for names it and bills nothing; usage that is paid in part is two lines (DiscountHandling-A-004).
    Without a `credit_charge` a wallet is charged in the billing currency. What no grant paid for, such as an overage that the company
    bears, has no grant, no policy and no lot.
    """

    billing: Billing
    wallet_id: str
    start_at: Instant
    until: Instant
    model: str
    meter: Meter
    count: int
    call_count: int
    list_price_attos: int
    contracted_price_attos: int
    list_cost_nanos: int
    contracted_cost_nanos: int
    effective_cost_nanos: int
    billed_cost_nanos: int
    grant_id: str | None
    policy_version: str | None
    funding_lot_id: str | None
    price_book_version: str
    price_book_digest: str
    service_tier: str = "standard"
    input_tokens_above: int = 0
    wallet_type: WalletType = WalletType.EMPLOYEE
    credit_charge: CreditCharge | None = None
    prepaid_lot: PrepaidLot | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    is_correction: bool = False

    def __post_init__(self) -> None:
        identifier_checked(self.wallet_id, "wallet")
        if self.grant_id is not None:
            identifier_checked(self.grant_id, "grant")
        if self.funding_lot_id is not None:
            identifier_checked(self.funding_lot_id, "lot")
        for name in ("model", "service_tier", "price_book_version", "price_book_digest"):
            name_checked(getattr(self, name), name)
        if self.policy_version is not None:
            name_checked(self.policy_version, "policy_version")
        _period_checked(self.start_at, self.until, "a charge period")
        if self.until - self.start_at > DAY_MICROS_MAX:
            message = "usage is told by the hour or by the day"
            raise ValueError(message)
        _price_checked(self.list_price_attos, "list price")
        _price_checked(self.contracted_price_attos, "contracted price")
        object.__setattr__(self, "tags", _tags_checked(self.tags))
        if self.call_count < 0 or self.input_tokens_above < 0:
            message = "calls and context lengths are counted from nought"
            raise ValueError(message)
        if self.prepaid_lot is not None and self.billed_cost_nanos != 0:
            message = f"usage paid by the prepaid lot {self.prepaid_lot.lot_id} is billed again"
            raise ValueError(message)
        if not self.is_correction:
            self._check_figures()

    def _check_figures(self) -> None:
        if self.count <= 0 or self.call_count == 0:
            message = "a line without usage is no line, unless it is a correction"
            raise ValueError(message)
        for name in ("list", "contracted", "effective", "billed"):
            if getattr(self, f"{name}_cost_nanos") < 0:
                message = f"the {name} cost is negative, and the line is no correction"
                raise ValueError(message)
        if self.credit_charge is not None and self.credit_charge.nanos < 0:
            message = "the charge to the wallet is negative, and the line is no correction"
            raise ValueError(message)
        for name in ("list", "contracted"):
            exact_attos = getattr(self, f"{name}_price_attos") * self.count
            nanos = getattr(self, f"{name}_cost_nanos")
            if abs(nanos * ATTOS_PER_NANO - exact_attos) > self.call_count * ATTOS_PER_NANO:
                message = (
                    f"the {name} cost of {nanos} nanos is not {self.count} units at {getattr(self, f'{name}_price_attos')} "
                    f"attos, to a nano for each of {self.call_count} calls"
                )
                raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepaidPurchase:
    """A prepaid lot as it is bought; `start_at` and `until` are the term in which it can be used."""

    billing: Billing
    lot: PrepaidLot
    start_at: Instant
    until: Instant

    def __post_init__(self) -> None:
        _period_checked(self.start_at, self.until, "the term of a prepaid lot")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusedPrepaid:
    """What of a prepaid lot expired: `unused_nanos` of its face, and the share of its price that is expense without usage."""

    billing: Billing
    lot: PrepaidLot
    start_at: Instant
    until: Instant
    unused_nanos: int
    effective_cost_nanos: int

    def __post_init__(self) -> None:
        _period_checked(self.start_at, self.until, "a charge period")
        if not 0 < self.unused_nanos <= self.lot.face_nanos or self.effective_cost_nanos < 0:
            message = f"{self.unused_nanos} nanos cannot be left unused of {self.lot.face_nanos}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountCharge:
    """A charge without usage: a credit by the provider, a tax, or an adjustment such as the rounding of an invoice.

    Each cost is its own, because what is adjusted at our prices may not be at list; those of a credit are the billed one
    (ListCost-C-008, ContractedCost-C-008, EffectiveCost-C-010). Without a `credit_charge` a wallet is charged in the billing currency.
    """

    billing: Billing
    category: ChargeCategory
    description: str
    start_at: Instant
    until: Instant
    list_cost_nanos: int
    contracted_cost_nanos: int
    effective_cost_nanos: int
    billed_cost_nanos: int
    wallet_id: str | None = None
    wallet_type: WalletType = WalletType.EMPLOYEE
    credit_charge: CreditCharge | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    is_correction: bool = False

    def __post_init__(self) -> None:
        name_checked(self.description, "description of a charge")
        _period_checked(self.start_at, self.until, "a charge period")
        if self.wallet_id is not None:
            identifier_checked(self.wallet_id, "wallet")
        object.__setattr__(self, "tags", _tags_checked(self.tags))
        if self.category in {ChargeCategory.USAGE, ChargeCategory.PURCHASE}:
            message = f"a charge of the category {self.category} has a line of its own"
            raise ValueError(message)
        if self.category is ChargeCategory.CREDIT:
            self._check_credit()

    def _check_credit(self) -> None:
        if self.billed_cost_nanos > 0 and not self.is_correction:
            message = "a credit takes away from what is owed: its cost is not positive"
            raise ValueError(message)
        others = {self.list_cost_nanos, self.contracted_cost_nanos, self.effective_cost_nanos}
        if others != {self.billed_cost_nanos}:
            message = f"the costs of a credit are all what is billed, {self.billed_cost_nanos} nanos"
            raise ValueError(message)


Line: TypeAlias = UsageLine | PrepaidPurchase | UnusedPrepaid | AccountCharge


def _period_checked(start_at: Instant, until: Instant, what: str) -> None:
    """FOCUS writes seconds, and a period ends after it starts, exclusively (DateTimeFormat-A-005, ChargePeriodEnd-C-004)."""
    if start_at >= until:
        message = f"{what} ends after it starts"
        raise ValueError(message)
    if start_at % MICROS_PER_SECOND or until % MICROS_PER_SECOND:
        message = f"{what} has whole seconds"
        raise ValueError(message)


def _price_checked(attos: int, what: str) -> None:
    if not 0 <= attos <= RATE_ATTOS_MAX:
        message = f"a {what} is 0 to {RATE_ATTOS_MAX} attos, not {attos}"
        raise ValueError(message)


def _tags_checked(tags: Mapping[str, str]) -> Mapping[str, str]:
    for key, value in tags.items():
        if key not in TAG_KEYS:
            message = f"the tag {key[:40]!r} is not handed out; known: {', '.join(sorted(TAG_KEYS))}"
            raise ValueError(message)
        name_checked(value, f"tag {key}")
    return MappingProxyType(dict(tags))
