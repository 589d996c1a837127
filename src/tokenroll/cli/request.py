"""`tokenroll request`: top-ups that members ask for, and the answers."""

from typing import Annotated, Any

import typer

from tokenroll.cli.console import (
    CommandId,
    DryRun,
    Json,
    amount_option,
    execute,
    facts,
    noun_app,
    reports,
    say,
    show,
    table,
)

app = noun_app("Top-ups that members ask for: asked, approved or declined by who may, lapsed by their date.")
_By = Annotated[str, typer.Option(help="Who decides: a member who may approve for whoever asks.")]


@app.command()
def create(
    member: Annotated[str, typer.Argument(help="Who asks: name or id.")],
    *,
    amount: Annotated[str, typer.Option(help="Credits.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever approves.")],
    days: Annotated[int | None, typer.Option(min=1, help="How long it stays open; default 7.")] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Ask for a top-up. The answer names who can approve it."""
    arguments = {"member": member, "amount_nanos": amount_option(amount), "reason": reason, "days": days}
    result = execute("request.create", arguments, command_id=command_id, dry_run=dry_run)

    def human() -> None:
        say("would ask:" if dry_run else "asked:")
        facts(result)
        say(f"who can approve it: {', '.join(result['approvers'])}")
        if not dry_run:
            say(f"next: `tokenroll request approve {result['request']} --by '{result['approvers'][0]}'`")

    show({**result, "dry_run": dry_run}, as_json=as_json, human=human)


@app.command()
def approve(
    request: Annotated[str, typer.Argument(help="Id of the request.")],
    *,
    by: _By,
    amount: Annotated[str | None, typer.Option(help="Credits, if not all that was asked for.")] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Approve a request: its top-up is granted at once, and running gateways know within a second."""
    arguments = {"request": request, "by": by, "amount_nanos": amount_option(amount)}
    _decided("request.approve", arguments, as_json=as_json, dry_run=dry_run, command_id=command_id)


@app.command()
def decline(
    request: Annotated[str, typer.Argument(help="Id of the request.")],
    *,
    by: _By,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Decline a request: it ends without a grant."""
    _decided("request.decline", {"request": request, "by": by}, as_json=as_json, dry_run=dry_run, command_id=command_id)


@app.command("list")
def list_requests(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were answered or have lapsed.")] = False,
    as_json: Json = False,
) -> None:
    """List requests that wait for an answer, newest first."""
    with reports() as books:
        rows = books.requests(everything=everything)
    columns = {
        "member_name": "who asks",
        "amount_nanos": "credits",
        "reason": "why",
        "state": "state",
        "expires_at": "open until",
        "can_approve": "who can approve",
        "request": "id",
    }
    told = [{**row, "can_approve": ", ".join(row["approvers"]) or row["decided_by"] or "nobody"} for row in rows]
    show(rows, as_json=as_json, human=lambda: table(columns, told, empty="no request waits for an answer"))


def _decided(name: str, arguments: dict[str, Any], *, as_json: bool, dry_run: bool, command_id: str) -> None:
    result = execute(name, arguments, command_id=command_id, dry_run=dry_run)
    verb = "approve" if name == "request.approve" else "decline"

    def human() -> None:
        say(f"would {verb}:" if dry_run else f"{verb}d:")
        facts(result)

    show({**result, "dry_run": dry_run}, as_json=as_json, human=human)
