"""PayCycle: the calendar rule of pay; PayRun: one run of it; PaySlip: one member's paper."""

from dataclasses import dataclass
from enum import StrEnum

from tokenroll.model.instant import Instant


class PayCycleKind(StrEnum):
    """How long a cycle is. Weekly, semi-monthly and 4-4-5 calendars join it with the grants work."""

    MONTHLY = "monthly"


@dataclass(frozen=True, slots=True, kw_only=True)
class PayCycle:
    """One span `[start_at, end_until)` in one zone; `name` is what people call it, such as `2026-01`."""

    kind: PayCycleKind
    name: str
    zone: str
    start_at: Instant
    end_until: Instant

    def __post_init__(self) -> None:
        if self.end_until <= self.start_at:
            message = f"pay cycle {self.name} ends before it starts"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaySlip:
    """One wallet's movements in one cycle. Opening + movements = closing, to the nano, else AssertionError.

    All amounts are of spendable credits (available, held or in suspense). `granted` is told beside them because a grant is not
    yet spendable: what becomes so is `vested`.
    """

    wallet_id: int
    cycle_name: str
    opening_nanos: int
    granted_nanos: int
    vested_nanos: int
    spent_nanos: int
    adjustments_nanos: int
    breakage_nanos: int
    forfeited_nanos: int
    clawed_back_nanos: int
    closing_nanos: int
    suspense_nanos: int
    company_carried_nanos: int
    call_count: int
    next_vest_at: Instant | None
    next_vest_nanos: int
    next_expiry_at: Instant | None
    next_expiry_nanos: int

    def __post_init__(self) -> None:
        closing = (
            self.opening_nanos
            + self.vested_nanos
            - self.spent_nanos
            - self.adjustments_nanos
            - self.breakage_nanos
            - self.forfeited_nanos
            - self.clawed_back_nanos
        )
        if closing != self.closing_nanos:
            message = (
                f"pay slip of wallet {self.wallet_id} for {self.cycle_name}: "
                f"opening + movements = {closing}, but closing is {self.closing_nanos}"
            )
            raise AssertionError(message)
