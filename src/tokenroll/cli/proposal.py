"""`tokenroll proposal`: batches of awards that another administrator approves."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tokenroll.cli.console import (
    CommandId,
    DryRun,
    Json,
    amount_option,
    credits_text,
    execute,
    facts,
    noun_app,
    reports,
    say,
    show,
    table,
    written,
)
from tokenroll.cli.program import Failure

app = noun_app("Batches of awards: one administrator proposes, another one approves, then all are granted.")


class Answer(StrEnum):
    """Yes or no."""

    YES = "yes"
    NO = "no"


_Proposal = Annotated[str, typer.Argument(help="Id of the proposal.")]
_By = Annotated[str, typer.Option(help="Who does it: a member with a live admin key.")]


@app.command()
def create(
    file: Annotated[Path, typer.Argument(help="CSV of awards, as for `grant import`.", dir_okay=False)],
    *,
    by: _By,
    budget: Annotated[str | None, typer.Option(help="Credits that the new awards may be together.")] = None,
    note: Annotated[str, typer.Option(help="What it is for, in a line.")] = "",
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Propose the awards of a spreadsheet. Nothing is granted before another administrator approves it."""
    from tokenroll.services.award_files import AwardFileError, read_awards

    try:
        rows = read_awards(file)
    except AwardFileError as error:
        raise Failure(str(error), kind="award_file", code=2) from error
    arguments = {"rows": rows, "budget_nanos": amount_option(budget, "--budget"), "by": by, "note": note}
    _do("proposal.create", arguments, "proposed", as_json=as_json, dry_run=dry_run, command_id=command_id)


@app.command()
def approve(
    proposal: _Proposal, *, by: _By, as_json: Json = False, dry_run: DryRun = False, command_id: CommandId = ""
) -> None:
    """Approve what another one proposed: all of its awards are granted, each under its own id."""
    arguments = {"proposal": proposal, "by": by}
    _do("proposal.approve", arguments, "approved and granted", as_json=as_json, dry_run=dry_run, command_id=command_id)


@app.command()
def reject(
    proposal: _Proposal,
    *,
    by: _By,
    reason: Annotated[str, typer.Option(help="Why, in a line.")] = "",
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Reject a proposal, or take back one's own."""
    arguments = {"proposal": proposal, "by": by, "reason": reason}
    _do("proposal.reject", arguments, "rejected", as_json=as_json, dry_run=dry_run, command_id=command_id)


@app.command()
def require(
    answer: Annotated[Answer, typer.Argument(help="Whether `grant import` needs a second administrator.")],
    *,
    by: _By,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Say whether spreadsheets of awards need approval from now on. Single grants and top-ups do not."""
    arguments = {"is_required": answer is Answer.YES, "by": by}
    result = execute("proposal.require", arguments, command_id=command_id, dry_run=dry_run)
    written(
        f"set that approval is {'' if answer is Answer.YES else 'not '}required",
        result,
        as_json=as_json,
        dry_run=dry_run,
    )


@app.command("list")
def list_proposals(*, as_json: Json = False) -> None:
    """List proposals, newest first, with who proposed and who decided."""
    with reports() as books:
        rows = books.proposals()
    columns = {
        "state": "state",
        "note": "for",
        "award_count": "awards",
        "amount_nanos": "credits",
        "budget_nanos": "budget",
        "proposed_by": "proposed by",
        "decided_by": "decided by",
        "lapses_at": "lapses",
        "proposal": "id",
    }
    empty = "no proposals yet: `tokenroll proposal create FILE --by WHO`"
    show(rows, as_json=as_json, human=lambda: table(columns, rows, empty=empty))


@app.command("show")
def show_proposal(proposal: _Proposal, *, as_json: Json = False) -> None:
    """Show a proposal with its awards and its budget."""
    with reports() as books:
        found = books.proposal(proposal)
    show(found, as_json=as_json, human=lambda: _tell(found))


def _do(name: str, arguments: dict[str, Any], done: str, *, as_json: bool, dry_run: bool, command_id: str) -> None:
    result = execute(name, arguments, command_id=command_id, dry_run=dry_run)

    def human() -> None:
        _tell(result)
        count = result["award_count"]
        say(
            f"{'would be ' if dry_run else ''}{done}: {count} award{'' if count == 1 else 's'} of "
            f"{credits_text(result['amount_nanos'])} credits"
        )

    show({**result, "dry_run": dry_run}, as_json=as_json, human=human)


def _tell(found: dict[str, Any]) -> None:
    columns = {
        "id": "award",
        "to": "to",
        "plan_name": "plan",
        "classification": "as",
        "amount_nanos": "credits",
        "how": "how",
        "state": "was",
        "grant": "grant",
    }
    table(columns, found["awards"], empty="no awards")
    facts(found)
    say(*(f"  changed since: {one}" for one in found["changes"]))
