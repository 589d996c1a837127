"""`tokenroll member`: people and service accounts."""

from typing import Annotated

import typer

from tokenroll.cli.console import (
    CommandId,
    DryRun,
    Json,
    execute,
    facts,
    note,
    noun_app,
    recalled_text,
    reports,
    say,
    show,
    table,
    written,
)
from tokenroll.model.plan_terms import TerminationReason

app = noun_app("People and service accounts that may hold a wallet.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="The person's or the service's name.")],
    *,
    department: Annotated[str, typer.Option(help="Name or id of the department that bears the cost.")],
    zone: Annotated[
        str | None, typer.Option(help="IANA time zone of their days and cycles; default the company's.")
    ] = None,
    service: Annotated[bool, typer.Option("--service", help="A service account, not a person.")] = False,
    hired_on: Annotated[str | None, typer.Option(help="First day, such as 2026-01-15.")] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Create a member and their wallet."""
    arguments = {
        "name": name,
        "department": department,
        "zone": zone,
        "kind": "service" if service else "person",
        "hired_on": hired_on,
    }
    with reports() as books:
        lookalikes = books.lookalikes(name)
    result = execute("member.create", arguments, command_id=command_id, dry_run=dry_run)
    for one in lookalikes:
        note(
            f"tokenroll: {result['name']!r} looks like the member {one!r}, who is somebody else: `tokenroll member show '{one}'`"
        )
    written(f"created member {result['name']}", result, as_json=as_json, dry_run=dry_run)


@app.command()
def leave(
    member: Annotated[str, typer.Argument(help="Name or id.")],
    *,
    on: Annotated[str, typer.Option("--on", help="Last day, such as 2026-03-31; it may be one to come.")],
    reason: Annotated[
        TerminationReason, typer.Option(help="Why: plans may keep vested credits for a while by it.")
    ] = TerminationReason.VOLUNTARY_OTHER,
    revoke_keys: Annotated[
        bool, typer.Option("--revoke-keys", help="Stop their keys now, whatever the last day and the plans say.")
    ] = False,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Record a member's last day. Unvested credits are forfeited, vested ones and keys end with it or with their plan's window."""
    arguments = {"member": member, "left_on": on, "reason": reason.value, "revoke_keys": revoke_keys or None}
    result = execute("member.leave", arguments, command_id=command_id, dry_run=dry_run)

    def human() -> None:
        say(f"{'would record' if dry_run else 'recorded'} that {result['name']} leaves on {on}")
        facts({key: value for key, value in result.items() if key != "name"})
        columns = {
            "plan_name": "plan",
            "forfeited_nanos": "forfeited, credits",
            "clawed_back_nanos": "taken back, credits",
            "kept_nanos": "kept, credits",
            "kept_until": "until",
            "grant": "grant",
        }
        table(columns, result["grants"], empty="no grants to end")
        if "recalled" in result:
            say(recalled_text(result, dry_run=dry_run))

    show({**result, "dry_run": dry_run}, as_json=as_json, human=human)


@app.command()
def absence(
    member: Annotated[str, typer.Argument(help="Name or id.")],
    *,
    from_on: Annotated[str, typer.Option("--from", help="First day away, such as 2026-03-01.")],
    back_on: Annotated[str, typer.Option("--back", help="First day back, such as 2026-06-01.")],
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Record a leave of absence. What would vest from then on vests by so many days later; a stipend waits only where its plan says so."""
    arguments = {"member": member, "from_on": from_on, "back_on": back_on}
    result = execute("member.absence", arguments, command_id=command_id, dry_run=dry_run)

    def human() -> None:
        say(f"{'would record' if dry_run else 'recorded'} that {result['name']} is away from {from_on} until {back_on}")
        facts({key: value for key, value in result.items() if key != "name"})
        columns = {
            "plan_name": "plan",
            "later_nanos": "later, credits",
            "unpaid_nanos": "not paid, credits",
            "grant": "grant",
        }
        table(columns, result["grants"], empty="no grant waits for it")
        if "recalled" in result:
            say(recalled_text(result, dry_run=dry_run))

    show({**result, "dry_run": dry_run}, as_json=as_json, human=human)


@app.command("list")
def list_members(
    *,
    department: Annotated[str | None, typer.Option(help="Only this department's.")] = None,
    as_json: Json = False,
) -> None:
    """List members with what is left and what they spent this cycle."""
    with reports() as books:
        rows = books.members(department)
    columns = {
        "name": "member",
        "department_name": "department",
        "kind": "kind",
        "left_nanos": "left, credits",
        "in_use_nanos": "in use, credits",
        "spent_this_cycle_nanos": "spent this cycle, credits",
        "member": "id",
    }
    empty = "no members yet: `tokenroll member create NAME --department …`"
    show(rows, as_json=as_json, human=lambda: table(columns, rows, empty=empty))


@app.command("show")
def show_member(member: Annotated[str, typer.Argument(help="Name or id.")], *, as_json: Json = False) -> None:
    """Show one member with their wallet and keys."""
    with reports() as books:
        found = books.member(member)

    def human() -> None:
        facts(found)
        columns = {"name": "key", "shown_prefix": "starts with", "scope": "scope", "state": "state", "key": "id"}
        table(columns, found["keys"], empty="no keys yet: `tokenroll key create --member …`")

    show(found, as_json=as_json, human=human)
