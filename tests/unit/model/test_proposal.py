from typing import Any

import pytest

from tests.cast import CREDIT, DAY, T0
from tokenroll.model.proposal import Proposal, ProposalState


def make_proposal(**changes) -> Proposal:
    facts: dict[str, Any] = {
        "id": 1, "public_id": "proposal", "award_count": 3, "amount_nanos": 40 * CREDIT, "budget_nanos": None, "proposed_by": 4,
        "proposed_at": T0,
    }  # fmt: skip
    return Proposal(**facts | changes)


@pytest.mark.parametrize(
    ("changes", "before", "after"),
    [
        ({}, ProposalState.PROPOSED, ProposalState.LAPSED),
        ({"decided_by": 4, "decided_at": T0}, ProposalState.REJECTED, ProposalState.REJECTED),
        ({"decided_by": 3, "decided_at": T0, "is_approved": True}, ProposalState.APPROVED, ProposalState.APPROVED),
    ],
)
def test_its_state_is_read_from_dates(changes, before, after):
    proposal = make_proposal(**changes)
    assert (proposal.state_at(T0 + 30 * DAY - 1), proposal.state_at(T0 + 30 * DAY)) == (before, after)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": 0}, "proposal id"),
        ({"proposed_by": 0}, "member id"),
        ({"award_count": 0}, "1 to 5000 awards, not 0"),
        ({"amount_nanos": -1}, "what a proposal is together"),
        ({"budget_nanos": 39 * CREDIT}, "not above its own budget"),
        ({"decided_by": 3}, "known together"),
        ({"decided_at": T0}, "known together"),
        ({"is_approved": True}, "known together"),
        ({"is_approved": True, "decided_by": 4, "decided_at": T0}, "by another one than who proposed it"),
    ],
)
def test_it_is_valid_at_birth(changes, words):
    with pytest.raises(ValueError, match=words):
        make_proposal(**changes)
