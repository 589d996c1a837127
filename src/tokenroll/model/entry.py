"""Entry and Posting: a balanced record and one signed leg of it."""

from dataclasses import dataclass
from enum import StrEnum

from tokenroll.model.instant import Instant


class Account(StrEnum):
    """Where nanos can be. Wallet accounts are per lot; `company_*` and the counterparties stand outside wallets."""

    GRANTED = "granted"
    OPENING_EQUITY = "opening_equity"
    UNVESTED = "unvested"
    AVAILABLE = "available"
    LEASED = "leased"
    HELD = "held"
    SUSPENSE = "suspense"
    SPENT = "spent"
    BREAKAGE = "breakage"
    FORFEITED = "forfeited"
    CLAWED_BACK = "clawed_back"
    VOIDED = "voided"
    TRANSFERRED_IN = "transferred_in"
    TRANSFERRED_OUT = "transferred_out"
    OVERAGE = "overage"
    COMPANY_SPENT = "company_spent"
    COMPANY_OVERAGE = "company_overage"
    PROVIDER_VARIANCE = "provider_variance"


class EntryKind(StrEnum):
    """What happened."""

    GRANT = "grant"
    OPEN = "open"
    VEST = "vest"
    SETTLE = "settle"
    SUSPEND = "suspend"
    RESOLVE = "resolve"
    VARIANCE = "variance"
    CLOSE = "close"
    FORFEIT = "forfeit"
    CLAW_BACK = "claw_back"
    VOID = "void"
    TRANSFER = "transfer"
    RESCHEDULE = "reschedule"
    CHARGE = "charge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One signed leg: positive into the account, negative out of it. `lot_id` 0 is the company's."""

    account: Account
    wallet_id: int
    lot_id: int
    nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Postings that sum to zero, with when it is true and when it was written (law 2, law 8)."""

    public_id: str
    kind: EntryKind
    effective_at: Instant
    recorded_at: Instant
    postings: tuple[Posting, ...]
    reference: str = ""

    def __post_init__(self) -> None:
        total = sum(posting.nanos for posting in self.postings)
        if total != 0:
            message = f"entry {self.public_id} ({self.kind}) is out of balance by {total} nanos"
            raise AssertionError(message)
