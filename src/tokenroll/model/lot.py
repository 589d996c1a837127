"""Lot: the unspent part of one vested tranche."""

from dataclasses import dataclass

from tokenroll.model.amount import amount_nanos_checked
from tokenroll.model.checks import id_checked
from tokenroll.model.classification import Classification
from tokenroll.model.instant import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """One tranche of a grant: spendable from `effective_at` (inclusive) until `expires_at` (exclusive; None: never).

    `origin_lot_id` is the lot that its nanos were moved out of, by a transfer or to other dates; None for one that was granted so.
    A moved lot keeps its grant and classification, also in another wallet.
    """

    id: int
    grant_id: int
    wallet_id: int
    classification: Classification
    priority: int
    amount_nanos: int
    effective_at: Instant
    expires_at: Instant | None = None
    origin_lot_id: int | None = None

    def __post_init__(self) -> None:
        id_checked(self.id, "lot id")
        id_checked(self.grant_id, "grant id")
        id_checked(self.wallet_id, "wallet id")
        amount_nanos_checked(self.amount_nanos, "lot amount")
        if self.origin_lot_id is not None:
            id_checked(self.origin_lot_id, "origin lot id")
        if self.expires_at is not None and self.expires_at <= self.effective_at:
            message = (
                f"lot {self.id} would expire at {self.expires_at}, not after it takes effect at {self.effective_at}"
            )
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class LotState:
    """A lot and where its nanos are. What is not held, in suspense, spent or taken back is its remainder.

    The remainder is unvested, available or breakage by the date alone (law 9): no job moves it.
    """

    lot: Lot
    held_nanos: int = 0
    suspense_nanos: int = 0
    spent_nanos: int = 0
    forfeited_nanos: int = 0
    clawed_back_nanos: int = 0
    voided_nanos: int = 0
    transferred_out_nanos: int = 0

    def __post_init__(self) -> None:
        for name in ("held", "suspense", "spent", "forfeited", "clawed_back", "voided", "transferred_out"):
            if getattr(self, f"{name}_nanos") < 0:
                message = f"lot {self.lot.id}: {name} is negative"
                raise AssertionError(message)
        if self.remainder_nanos < 0:
            message = f"lot {self.lot.id} is overdrawn by {-self.remainder_nanos} nanos"
            raise AssertionError(message)

    @property
    def remainder_nanos(self) -> int:
        """What nobody has taken yet."""
        return (
            self.lot.amount_nanos
            - self.held_nanos
            - self.suspense_nanos
            - self.spent_nanos
            - self.forfeited_nanos
            - self.clawed_back_nanos
            - self.voided_nanos
            - self.transferred_out_nanos
        )
