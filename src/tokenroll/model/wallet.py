"""Wallet: a holder's lots and holds. Never a bare "balance": available, pending and posted are three numbers."""

from dataclasses import dataclass
from enum import StrEnum

from tokenroll.model.checks import id_checked, name_checked


class HolderKind(StrEnum):
    """Whose wallet it is. A department's or the company's wallet is a pool."""

    MEMBER = "member"
    DEPARTMENT = "department"
    COMPANY = "company"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """The account of one holder. Its amounts are sums over its lots and are never stored without them.

    `holder_id` is the member or department, 0 for the company. `zone` decides where its pay cycles begin.
    """

    id: int
    public_id: str
    holder_kind: HolderKind
    holder_id: int
    name: str
    zone: str

    def __post_init__(self) -> None:
        id_checked(self.id, "wallet id")
        name_checked(self.name, "wallet name")
        name_checked(self.zone, "time zone")
        if (self.holder_kind is HolderKind.COMPANY) != (self.holder_id == 0):
            message = f"wallet {self.name}: holder id 0 is the company's and only the company's"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletBalance:
    """One wallet's amounts at one instant; conservation holds at birth (DESIGN §4 law 2).

    `granted + transferred_in + overage = unvested + available + leased + held + suspense + spent + breakage + forfeited +
    clawed_back + voided + transferred_out`, else AssertionError: a wrong number must never be shown.
    """

    granted_nanos: int = 0
    transferred_in_nanos: int = 0
    overage_nanos: int = 0
    unvested_nanos: int = 0
    available_nanos: int = 0
    leased_nanos: int = 0
    held_nanos: int = 0
    suspense_nanos: int = 0
    spent_nanos: int = 0
    breakage_nanos: int = 0
    forfeited_nanos: int = 0
    clawed_back_nanos: int = 0
    voided_nanos: int = 0
    transferred_out_nanos: int = 0

    def __post_init__(self) -> None:
        if self.sources_nanos != self.uses_nanos:
            message = f"conservation broken: sources {self.sources_nanos} are not uses {self.uses_nanos} in {self!r}"
            raise AssertionError(message)

    @property
    def sources_nanos(self) -> int:
        """What came in."""
        return self.granted_nanos + self.transferred_in_nanos + self.overage_nanos

    @property
    def uses_nanos(self) -> int:
        """Where all of it is now."""
        return (
            self.unvested_nanos
            + self.available_nanos
            + self.leased_nanos
            + self.held_nanos
            + self.suspense_nanos
            + self.spent_nanos
            + self.breakage_nanos
            + self.forfeited_nanos
            + self.clawed_back_nanos
            + self.voided_nanos
            + self.transferred_out_nanos
        )

    @property
    def posted_nanos(self) -> int:
        """People see: spent."""
        return self.spent_nanos

    @property
    def pending_nanos(self) -> int:
        """People see: in use now (held), and being checked (suspense)."""
        return self.held_nanos + self.suspense_nanos
