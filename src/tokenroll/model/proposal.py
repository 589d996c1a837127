"""Proposal: a batch of awards that one administrator proposes and another one approves."""

from dataclasses import dataclass
from enum import StrEnum

from tokenroll.model.amount import amount_nanos_checked
from tokenroll.model.checks import id_checked
from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.limits import AWARDS_PER_FILE_MAX, PROPOSAL_DAYS_MAX

_LIFE = PROPOSAL_DAYS_MAX * 86_400 * MICROS_PER_SECOND


class ProposalState(StrEnum):
    """`proposed` until somebody decides, or until it is too old."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"
    LAPSED = "lapsed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """So many awards of so many credits together, as they were when they were proposed. Nobody approves their own.

    `decided_by` and `decided_at` say who approved or rejected it, and when.
    """

    id: int
    public_id: str
    award_count: int
    amount_nanos: int
    budget_nanos: int | None
    proposed_by: int
    proposed_at: Instant
    decided_by: int | None = None
    decided_at: Instant | None = None
    is_approved: bool = False

    def __post_init__(self) -> None:
        id_checked(self.id, "proposal id")
        id_checked(self.proposed_by, "member id")
        if not 1 <= self.award_count <= AWARDS_PER_FILE_MAX:
            message = f"a proposal has 1 to {AWARDS_PER_FILE_MAX} awards, not {self.award_count}"
            raise ValueError(message)
        amount_nanos_checked(self.amount_nanos, "what a proposal is together")
        if self.budget_nanos is not None and self.amount_nanos > amount_nanos_checked(self.budget_nanos, "its budget"):
            message = "a proposal is not above its own budget"
            raise ValueError(message)
        if (self.decided_by is None) != (self.decided_at is None) or (self.is_approved and self.decided_by is None):
            message = "who decides and when are known together"
            raise ValueError(message)
        if self.is_approved and self.decided_by == self.proposed_by:
            message = "a proposal is approved by another one than who proposed it"
            raise ValueError(message)

    @property
    def lapses_at(self) -> Instant:
        """From when on nobody can approve it: plans and people have moved on."""
        return self.proposed_at + _LIFE

    def state_at(self, at: Instant) -> ProposalState:
        """What has become of it by an instant."""
        if self.decided_by is not None:
            return ProposalState.APPROVED if self.is_approved else ProposalState.REJECTED
        return ProposalState.LAPSED if at >= self.lapses_at else ProposalState.PROPOSED
