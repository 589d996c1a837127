"""Hold: credits set aside before an attempt, an upper bound of its cost, as slices of lots."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from tokenroll.model.amount import amount_nanos_checked
from tokenroll.model.identifier import HoldKey
from tokenroll.model.instant import Instant
from tokenroll.model.limits import SLICES_MAX

COMPANY_LOT_ID: Final = 0
"""The slice of nobody's lot: what the company carries (overage, observe). It never touches a wallet."""


class Slice(NamedTuple):
    """A part of one lot. The worker chose it in draw order; the fold only applies it (DESIGN §5)."""

    lot_id: int
    nanos: int


class HoldState(StrEnum):
    """`settled` and `released` are final; `suspense` waits for evidence, a bill or its maximum age."""

    HELD = "held"
    DISPATCHED = "dispatched"
    SUSPENSE = "suspense"
    SETTLED = "settled"
    RELEASED = "released"


class ReleaseReason(StrEnum):
    """Why a hold ended without a charge: only what law 5 allows. Of a dispatched one only the provider's error is a reason, or that nothing was sent."""

    NOT_SENT = "not_sent"
    PROVIDER_ERROR = "provider_error"
    NEVER_DISPATCHED = "never_dispatched"
    COALESCED = "coalesced"
    """It got the answer of a call that asked the same and was under way."""
    LOOP_BROKEN = "loop_broken"
    """It would have been one more of the same in a row, and its plan breaks loops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One attempt's reservation. Slices are in draw order and sum to `bound_nanos`."""

    key: HoldKey
    call_number: int
    attempt: int
    wallet_id: int
    api_key_id: int
    rate_card_id: int
    bound_nanos: int
    slices: tuple[Slice, ...]
    admitted_at: Instant

    def __post_init__(self) -> None:
        amount_nanos_checked(self.bound_nanos, "hold")
        if len(self.slices) > SLICES_MAX:
            message = f"a hold has at most {SLICES_MAX} slices, not {len(self.slices)}"
            raise ValueError(message)
        if any(one.nanos <= 0 for one in self.slices) or sum(one.nanos for one in self.slices) != self.bound_nanos:
            message = f"slices {self.slices} are not positive parts of {self.bound_nanos}"
            raise ValueError(message)
