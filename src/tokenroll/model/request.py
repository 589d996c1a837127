"""Request: what a member asks for beyond their allowance, until somebody decides or its time is over."""

from dataclasses import dataclass
from enum import StrEnum

from tokenroll.model.amount import amount_nanos_checked
from tokenroll.model.checks import id_checked
from tokenroll.model.instant import Instant
from tokenroll.model.limits import REASON_CHARACTERS_MAX


class Decision(StrEnum):
    """How a request ended. One that nobody decides lapses by its date; no job does that."""

    APPROVED = "approved"
    DECLINED = "declined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A top-up that a member asks for, with the reason that its approver reads; open until `expires_at` (exclusive)."""

    id: int
    public_id: str
    member_id: int
    amount_nanos: int
    reason: str
    requested_at: Instant
    expires_at: Instant
    decision: Decision | None = None

    def __post_init__(self) -> None:
        id_checked(self.id, "request id")
        id_checked(self.member_id, "member id")
        if amount_nanos_checked(self.amount_nanos, "requested amount") == 0:
            message = "a request for nothing needs no answer: ask for an amount"
            raise ValueError(message)
        if not self.reason.strip() or len(self.reason) > REASON_CHARACTERS_MAX or not self.reason.isprintable():
            message = f"a request says why, in 1 to {REASON_CHARACTERS_MAX} printable characters on one line"
            raise ValueError(message)
        if self.expires_at <= self.requested_at:
            message = "a request would lapse before it is asked"
            raise ValueError(message)

    def state(self, at: Instant) -> str:
        """`open`, `approved`, `declined` or `lapsed`."""
        if self.decision is not None:
            return self.decision.value
        return "open" if at < self.expires_at else "lapsed"
