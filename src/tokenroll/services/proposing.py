"""Proposals: a batch of awards is proposed, seen with what it is and what its budget is, and approved by another administrator.

What is granted is what was proposed: a batch whose amounts or plans have changed meanwhile is refused and proposed again.
"""

from collections.abc import Mapping
from typing import Any, Final, Required, TypedDict

import msgspec
from sqlalchemy import Connection, Row, or_, select

from tokenroll.model.amount import text_from_nanos
from tokenroll.model.api_key import KeyScope
from tokenroll.model.instant import Instant
from tokenroll.model.limits import NOTE_CHARACTERS_MAX
from tokenroll.model.proposal import Proposal, ProposalState
from tokenroll.services.award_files import AwardRow, ImportAwards, import_awards, rehearse_awards
from tokenroll.services.finding import find_member, required
from tokenroll.services.refusal import Refused
from tokenroll.services.row_files import shortened
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema

APPROVAL_SETTING: Final = "awards_need_approval"
_COMPARED = ("amount_nanos", "plan", "classification")
"""What of an award must be the same when it is approved as when it was proposed."""


# ---- commands -----------------------------------------------------------------------------------------------------------


class _CreateProposal(TypedDict, total=False):
    by: Required[str]
    rows: Required[list[AwardRow]]
    budget_nanos: int
    note: str


def create_proposal(work: UnitOfWork, arguments: _CreateProposal) -> dict[str, Any]:
    """The rows of a spreadsheet as a proposal; nothing is granted. Raises Refused for rows that could not be, or above the budget."""
    by = _administrator(work.connection, required(arguments, "by"), work.now)
    rows = required(arguments, "rows")
    found = rehearse_awards(work.connection, rows, arguments.get("budget_nanos"), work.now)
    if not found["new_count"]:
        message = "every award of it was granted before: there is nothing to approve"
        raise Refused("nothing_new", message)
    proposal = Proposal(
        id=work.new_id("proposals"),
        public_id=work.public_id("proposal"),
        award_count=found["new_count"],
        amount_nanos=found["new_nanos"],
        budget_nanos=arguments.get("budget_nanos"),
        proposed_by=by.id,
        proposed_at=work.now,
    )
    work.connection.execute(
        schema.proposals.insert().values(
            id=proposal.id,
            public_id=proposal.public_id,
            award_count=proposal.award_count,
            amount_nanos=proposal.amount_nanos,
            budget_nanos=proposal.budget_nanos,
            note=_note(arguments, "note"),
            rows_json=msgspec.json.encode(rows).decode(),
            awards_json=msgspec.json.encode(found["awards"]).decode(),
            proposed_by=by.id,
            proposed_at=work.now,
            reason="",
        )
    )
    return proposal_told(work.connection, proposal.public_id, work.now)


class _ApproveProposal(TypedDict):
    proposal: str
    by: str


def approve_proposal(work: UnitOfWork, arguments: _ApproveProposal) -> dict[str, Any]:
    """All of its awards granted, each under its own id. Approving it again changes nothing.

    Raises Refused for who proposed it, for one that is decided or too old, and for one whose awards are others by now.
    """
    row = find_proposal(work.connection, required(arguments, "proposal"))
    by = _administrator(work.connection, required(arguments, "by"), work.now)
    state = proposal_from_row(row).state_at(work.now)
    if state is not ProposalState.APPROVED:
        if by.id == row.proposed_by:
            message = f"{by.name} proposed it: somebody else with an admin key approves it"
            raise Refused("same_person", message)
        _refuse_decided(row, state, "approved")
        _refuse_changed(work.connection, row, work.now)
        import_awards(work, {"rows": msgspec.json.decode(row.rows_json), "budget_nanos": row.budget_nanos})
        _decide(work, row, by, decision="approved", reason="")
    return proposal_told(work.connection, row.public_id, work.now)


class _RejectProposal(TypedDict, total=False):
    proposal: Required[str]
    by: Required[str]
    reason: str


def reject_proposal(work: UnitOfWork, arguments: _RejectProposal) -> dict[str, Any]:
    """It will not be granted. Who proposed it may take it back so."""
    row = find_proposal(work.connection, required(arguments, "proposal"))
    by = _administrator(work.connection, required(arguments, "by"), work.now)
    state = proposal_from_row(row).state_at(work.now)
    if state is not ProposalState.REJECTED:
        _refuse_decided(row, state, "rejected")
        _decide(work, row, by, decision="rejected", reason=_note(arguments, "reason"))
    return proposal_told(work.connection, row.public_id, work.now)


class _RequireApproval(TypedDict):
    by: str
    is_required: bool


def require_approval(work: UnitOfWork, arguments: _RequireApproval) -> dict[str, Any]:
    """Whether spreadsheets of awards need a second administrator from now on. Single grants and top-ups do not."""
    by = _administrator(work.connection, required(arguments, "by"), work.now)
    is_required = arguments["is_required"]
    work.setting_changed(APPROVAL_SETTING, "yes" if is_required else "no")
    return {"is_required": is_required, "by": by.name}


def import_unless_approval_is_required(work: UnitOfWork, arguments: ImportAwards) -> dict[str, Any]:
    """`award_files.import_awards` for who need not ask another one. Raises Refused where the company decided otherwise."""
    settings = schema.settings.c
    if work.connection.scalar(select(settings.value).where(settings.name == APPROVAL_SETTING)) == "yes":
        message = (
            "awards of a spreadsheet need another administrator's approval here: "
            "`tokenroll proposal create FILE --by WHO` proposes them"
        )
        raise Refused("approval", message)
    return import_awards(work, arguments)


def _decide(work: UnitOfWork, row: Row[Any], by: Row[Any], *, decision: str, reason: str) -> None:
    proposals = schema.proposals
    values = {"decided_by": by.id, "decided_at": work.now, "decision": decision, "reason": reason}
    work.connection.execute(proposals.update().where(proposals.c.id == row.id).values(**values))


def _administrator(connection: Connection, reference: str, now: Instant) -> Row[Any]:
    """The member, who has a live admin key. Raises Refused."""
    member = find_member(connection, reference)
    keys = schema.api_keys
    live = select(keys.c.id).where(
        (keys.c.member_id == member.id)
        & (keys.c.scope == KeyScope.ADMIN.value)
        & keys.c.revoked_at.is_(None)
        & or_(keys.c.expires_at.is_(None), keys.c.expires_at > now)
    )
    if connection.execute(live).first() is None:
        message = (
            f"{member.name} has no live admin key, and only administrators propose and decide: "
            f"`tokenroll key create --member '{member.name}' --scope admin`"
        )
        raise Refused("no_administrator", message)
    return member


def _note(arguments: Mapping[str, Any], name: str) -> str:
    text = str(arguments.get(name) or "").strip()
    if len(text) > NOTE_CHARACTERS_MAX or not text.isprintable():
        message = f"a {name} has at most {NOTE_CHARACTERS_MAX} printable characters on one line"
        raise Refused("argument", message)
    return text


def _refuse_decided(row: Row[Any], state: ProposalState, wanted: str) -> None:
    if state is ProposalState.LAPSED:
        message = f"proposal {row.public_id} is too old to be {wanted}: propose it again"
        raise Refused("lapsed", message)
    if state is not ProposalState.PROPOSED:
        message = f"proposal {row.public_id} is {state} already, so it cannot be {wanted}"
        raise Refused("decided", message)


def _refuse_changed(connection: Connection, row: Row[Any], now: Instant) -> None:
    """Raises Refused with every award that would be another one than was proposed."""
    changes = _changes(connection, row, now)
    if changes:
        head = "what would be granted is not what was proposed, so it must be proposed again:"
        raise Refused("changed", "\n".join([head, *shortened(changes)]))


def _changes(connection: Connection, row: Row[Any], now: Instant) -> list[str]:
    """How its awards would be others by now, one sentence each; none while they are as they were proposed."""
    try:
        found = rehearse_awards(connection, msgspec.json.decode(row.rows_json), None, now)
    except Refused as refused:
        return refused.message.split("\n")
    proposed = {one["id"]: one for one in msgspec.json.decode(row.awards_json)}
    changes = []
    for award in found["awards"]:
        before = proposed[award["id"]]
        if award["state"] != before["state"]:
            changes.append(f"{award['id']}: was {before['state']} and is {award['state']} by now")
        elif any(award.get(name) != before.get(name) for name in _COMPARED):
            changes.append(f"{award['id']}: was {_said(before)} and would be {_said(award)} by now")
    return changes


def _said(award: Mapping[str, Any]) -> str:
    nanos = text_from_nanos(award["amount_nanos"], 2)
    return f"{nanos} credits ({award['classification']}, {award['plan_name']} version {award['version']})"


# ---- questions ----------------------------------------------------------------------------------------------------------


def proposals_told(connection: Connection, now: Instant) -> list[dict[str, Any]]:
    """All proposals, newest first, without their awards."""
    proposals = schema.proposals
    names = _names(connection)
    rows = connection.execute(select(proposals).order_by(proposals.c.id.desc())).all()
    return [_head(row, names, now) for row in rows]


def proposal_told(connection: Connection, reference: str, now: Instant) -> dict[str, Any]:
    """One proposal with its awards, each as it was proposed and with the grant that it became. Raises Refused.

    `changes` says of one that waits what would be granted otherwise by now, and is why it could not be approved.
    """
    row = find_proposal(connection, reference)
    awards, grants = schema.awards, schema.grants
    proposed: list[dict[str, Any]] = msgspec.json.decode(row.awards_json)
    query = select(awards.c.id, grants.c.public_id).join(grants, grants.c.id == awards.c.grant_id)
    known = dict(connection.execute(query.where(awards.c.id.in_([one["id"] for one in proposed]))).all())
    head = _head(row, _names(connection), now)
    return {
        **head,
        "changes": _changes(connection, row, now) if head["state"] == ProposalState.PROPOSED else [],
        "awards": [{**one, "grant": known.get(one["id"])} for one in proposed],
    }


def find_proposal(connection: Connection, reference: str) -> Row[Any]:
    """The proposal with this id. Raises Refused."""
    proposals = schema.proposals
    row = connection.execute(select(proposals).where(proposals.c.public_id == reference)).one_or_none()
    if row is None:
        message = f"there is no proposal {reference!r}: `tokenroll proposal list` shows them"
        raise Refused("not_found", message)
    return row


def proposal_from_row(row: Row[Any]) -> Proposal:
    """The noun of a row."""
    return Proposal(
        id=row.id,
        public_id=row.public_id,
        award_count=row.award_count,
        amount_nanos=row.amount_nanos,
        budget_nanos=row.budget_nanos,
        proposed_by=row.proposed_by,
        proposed_at=row.proposed_at,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        is_approved=row.decision == "approved",
    )


def _head(row: Row[Any], names: Mapping[int, str], now: Instant) -> dict[str, Any]:
    proposal = proposal_from_row(row)
    return {
        "proposal": proposal.public_id,
        "state": proposal.state_at(now).value,
        "note": row.note,
        "award_count": proposal.award_count,
        "amount_nanos": proposal.amount_nanos,
        "budget_nanos": proposal.budget_nanos,
        "budget_left_nanos": None if proposal.budget_nanos is None else proposal.budget_nanos - proposal.amount_nanos,
        "proposed_by": names[proposal.proposed_by],
        "proposed_at": proposal.proposed_at,
        "lapses_at": proposal.lapses_at,
        "decided_by": None if proposal.decided_by is None else names[proposal.decided_by],
        "decided_at": proposal.decided_at,
        "reason": row.reason,
    }


def _names(connection: Connection) -> dict[int, str]:
    members = schema.members
    return dict(connection.execute(select(members.c.id, members.c.name)).all())
