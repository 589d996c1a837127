"""`tokenroll approver`: who may approve top-ups, for whom, and up to how much."""

from typing import Annotated

import typer

from tokenroll.cli.console import (
    CommandId,
    DryRun,
    Json,
    amount_option,
    execute,
    noun_app,
    reports,
    show,
    table,
    written,
)

app = noun_app("Who may approve top-ups: set, remove, delegate, list.")
_Department = Annotated[str | None, typer.Option(help="For whom, with the departments below it; default everybody.")]


@app.command("set")
def set_approver(
    member: Annotated[str, typer.Argument(help="Who may approve: name or id.")],
    *,
    limit: Annotated[str, typer.Option(help="Credits of one approval, at most.")],
    monthly_limit: Annotated[str | None, typer.Option(help="Credits of a month's approvals, at most.")] = None,
    department: _Department = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Let a member approve top-ups up to a limit. Set again, it replaces what they had for the same department."""
    arguments = {
        "member": member,
        "department": department,
        "once_nanos_max": amount_option(limit, "--limit"),
        "monthly_nanos_max": amount_option(monthly_limit, "--monthly-limit"),
    }
    result = execute("approver.set", arguments, command_id=command_id, dry_run=dry_run)
    written(f"set approver {result['member_name']}", result, as_json=as_json, dry_run=dry_run)


@app.command()
def remove(
    member: Annotated[str, typer.Argument(help="Name or id.")],
    *,
    department: _Department = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """End what a member may approve for a department, or for everybody."""
    arguments = {"member": member, "department": department}
    result = execute("approver.remove", arguments, command_id=command_id, dry_run=dry_run)
    written(f"removed approver {result['member_name']}", result, as_json=as_json, dry_run=dry_run)


@app.command()
def delegate(
    member: Annotated[str, typer.Argument(help="The approver: name or id.")],
    to: Annotated[str, typer.Argument(help="Who stands in: name or id.")],
    *,
    from_on: Annotated[str, typer.Option("--from", help="First day, such as 2026-08-01.")],
    back_on: Annotated[str, typer.Option("--back", help="First day on which the approver is back.")],
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Let another member approve for a while, within the approver's own limits."""
    arguments = {"member": member, "to": to, "from_on": from_on, "back_on": back_on}
    result = execute("approver.delegate", arguments, command_id=command_id, dry_run=dry_run)
    written(
        f"set {result['to_name']} to stand in for {result['member_name']}", result, as_json=as_json, dry_run=dry_run
    )


@app.command("list")
def list_approvers(*, as_json: Json = False) -> None:
    """List who may approve for whom, and what is left of this month."""
    with reports() as books:
        rows = books.approvers()
    columns = {
        "member_name": "approver",
        "serves": "for",
        "once_max_nanos": "at once, credits",
        "monthly_max_nanos": "a month, credits",
        "approved_this_month_nanos": "approved this month, credits",
        "stood_in_by": "stood in by",
    }
    told = [{**row, "stood_in_by": ", ".join(row["stand_ins"]) or None} for row in rows]
    empty = "nobody approves top-ups yet: `tokenroll approver set NAME --limit CREDITS`"
    show(rows, as_json=as_json, human=lambda: table(columns, told, empty=empty))
