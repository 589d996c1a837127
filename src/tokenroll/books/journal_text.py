"""The journal as plain accounts: balanced movements by day, and what balances must be, for any program that reads text.

Wallets are named by number, so the text can be handed on without names; the names stand in one place, as metadata.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

COMMODITY: Final = "CREDIT"


class Leg(NamedTuple):
    """One signed part of a movement."""

    account: str
    nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """What happened on one day, balanced at birth."""

    on: date
    text: str
    legs: tuple[Leg, ...]
    reference: str = ""

    def __post_init__(self) -> None:
        total = sum(leg.nanos for leg in self.legs)
        if total != 0:
            message = f"{self.on} {self.text}: out of balance by {total} nanos"
            raise AssertionError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """What an account with its sub-accounts holds when the day `on` has ended."""

    on: date
    account: str
    nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAccount:
    """An account, from when it is used, and what people call it."""

    on: date
    account: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalText:
    """Everything a text needs, each part in its order."""

    title: str
    accounts: Sequence[OpenAccount]
    movements: Sequence[Movement]
    assertions: Sequence[Assertion]


def unvested(wallet_id: int) -> str:
    """Granted and not spendable yet."""
    return f"Assets:Wallets:W{wallet_id}:Unvested"


def spendable(wallet_id: int) -> str:
    """Available and in suspense together: what a pay slip opens and closes with."""
    return f"Assets:Wallets:W{wallet_id}:Spendable"


def available(wallet_id: int) -> str:
    """Spendable and not being checked; what a call in flight holds is still in here."""
    return f"{spendable(wallet_id)}:Available"


def suspense(wallet_id: int) -> str:
    """Being checked."""
    return f"{spendable(wallet_id)}:Suspense"


def granted(wallet_id: int) -> str:
    """Where grants come from."""
    return f"Equity:Granted:W{wallet_id}"


def opening(wallet_id: int) -> str:
    """Where the values come from with which a wallet was opened: awards that are in the books of another system."""
    return f"Equity:Opening:W{wallet_id}"


def spent(wallet_id: int) -> str:
    """What calls cost the wallet."""
    return f"Expenses:Spent:W{wallet_id}"


def breakage(wallet_id: int) -> str:
    """What expired unused."""
    return f"Expenses:Breakage:W{wallet_id}"


def forfeited(wallet_id: int) -> str:
    """What was lost on leaving."""
    return f"Expenses:Forfeited:W{wallet_id}"


def clawed_back(wallet_id: int) -> str:
    """What was taken back."""
    return f"Expenses:ClawedBack:W{wallet_id}"


def voided(wallet_id: int) -> str:
    """What should not have been granted."""
    return f"Equity:Voided:W{wallet_id}"


def transferred(wallet_id: int) -> str:
    """What came from other lots and went to them: over all wallets it is nothing."""
    return f"Equity:Transferred:W{wallet_id}"


COMPANY_OVERAGE: Final = "Equity:Company:Overage"
COMPANY_SPENT: Final = "Expenses:Company:Spent"
PROVIDER_VARIANCE: Final = "Expenses:Company:ProviderVariance"
