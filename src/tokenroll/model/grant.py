"""Grant: an immutable award to one wallet."""

from dataclasses import dataclass, field
from enum import StrEnum

from tokenroll.model.amount import amount_nanos_checked
from tokenroll.model.checks import id_checked
from tokenroll.model.classification import Classification
from tokenroll.model.instant import Instant
from tokenroll.model.vesting import Period, Vesting


class GrantKind(StrEnum):
    """Why it was awarded."""

    SIGNING_BONUS = "signing_bonus"
    STIPEND = "stipend"
    PERFORMANCE_BONUS = "performance_bonus"
    SPOT_BONUS = "spot_bonus"
    TOP_UP = "top_up"
    ADJUSTMENT = "adjustment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """An award. `effective_at` is when vesting starts; `recorded_at` when the ledger learned of it.

    Amount, vesting, lifetime and classification never change; corrections are new grants or reversals (law 8). Of each tranche up to
    `rollover_max_nanos` outlive its lifetime by one more, if they are left.
    """

    id: int
    public_id: str
    wallet_id: int
    plan_id: int
    kind: GrantKind
    classification: Classification
    amount_nanos: int
    effective_at: Instant
    recorded_at: Instant
    vesting: Vesting = field(default_factory=Vesting)
    lot_lifetime: Period | None = None
    rollover_max_nanos: int = 0
    priority: int = 100

    def __post_init__(self) -> None:
        id_checked(self.id, "grant id")
        id_checked(self.wallet_id, "wallet id")
        id_checked(self.plan_id, "plan id")
        if amount_nanos_checked(self.amount_nanos, "grant amount") == 0:
            message = "a grant of nothing is not a grant"
            raise ValueError(message)
        amount_nanos_checked(self.rollover_max_nanos, "rollover")
        if not 0 <= self.priority <= 255:
            message = f"priority lies between 0 (drawn first) and 255, not {self.priority}"
            raise ValueError(message)
