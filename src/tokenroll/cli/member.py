"""`tokenroll member`: people and service accounts."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tokenroll.cli.console import (
    NOTHING,
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
from tokenroll.cli.program import Failure
from tokenroll.model.member import EmploymentType
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


@app.command()
def change(
    member: Annotated[str, typer.Argument(help="Name or id.")],
    *,
    on: Annotated[str | None, typer.Option("--on", help="From which day on, not after today; default today.")] = None,
    name: Annotated[str | None, typer.Option(help="Another name; the wallet gets it too.")] = None,
    department: Annotated[str | None, typer.Option(help="Name or id; their keys spend its pool from now on.")] = None,
    level: Annotated[str | None, typer.Option(help="Such as L4; `--level ''` takes it away.")] = None,
    location: Annotated[str | None, typer.Option(help="Where they work, such as Berlin.")] = None,
    employment_type: Annotated[
        str | None, typer.Option(help=f"One of {', '.join(EmploymentType)}.", metavar="TYPE")
    ] = None,
    manager: Annotated[str | None, typer.Option(help="Name or id of the member above them.")] = None,
    part_time: Annotated[str | None, typer.Option(help="Part of full time: 0.8, 80% or 4/5.")] = None,
    zone: Annotated[str | None, typer.Option(help="IANA time zone; their wallet keeps the one of its cycles.")] = None,
    employee_id: Annotated[str | None, typer.Option(help="The id by which the people system knows them.")] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Change what is known of a member, each field with its day."""
    arguments = {
        "member": member,
        "on": on,
        "name": name,
        "department": department,
        "level": level,
        "location": location,
        "employment_type": employment_type,
        "manager": manager,
        "part_time": part_time,
        "zone": zone,
        "employee_id": employee_id,
    }
    result = execute("member.change", arguments, command_id=command_id, dry_run=dry_run)

    def human() -> None:
        say(f"{'would change' if dry_run else 'changed'} {result['name']} as of {result['effective_on']}")
        say(*(f"  {_change_text(one)}" for one in result["changes"]))

    show({**result, "dry_run": dry_run}, as_json=as_json, human=human)


@app.command()
def suspend(
    member: Annotated[str, typer.Argument(help="Name or id.")],
    *,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Stop a member's keys now and give them no new ones; what they have stays theirs."""
    result = execute("member.suspend", {"member": member}, command_id=command_id, dry_run=dry_run)
    written(f"recorded that {result['name']} is suspended", result, as_json=as_json, dry_run=dry_run)


@app.command()
def resume(
    member: Annotated[str, typer.Argument(help="Name or id.")],
    *,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Take a suspension back: new keys may be made, the revoked ones stay revoked."""
    result = execute("member.resume", {"member": member}, command_id=command_id, dry_run=dry_run)
    written(f"recorded that {result['name']} is back", result, as_json=as_json, dry_run=dry_run)


@app.command("import")
def import_members(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV or JSON with id, name, department and, if wanted, kind, level, location, employment_type, zone, "
            "hired_on, left_on, manager, part_time.",
            dir_okay=False,
        ),
    ],
    *,
    create_departments: Annotated[
        bool, typer.Option("--create-departments", help="Make departments that are not there yet.")
    ] = False,
    leavers: Annotated[
        str,
        typer.Option(
            help="What becomes of members of an earlier file that this one does not name: keep, suspend or leave.",
            metavar="POLICY",
        ),
    ] = "keep",
    leavers_max: Annotated[
        int | None,
        typer.Option(min=0, help="How many may be suspended or leave; default a fifth, and five in any case."),
    ] = None,
    effective_on: Annotated[
        str | None, typer.Option("--on", help="From which day on changes hold, not after today; default today.")
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Import people from another system by its ids, all or none. --dry-run shows what is new, changed, leaving and the same."""
    from tokenroll.services.member_files import LeaverPolicy, MemberFileError, read_members

    if leavers not in [one.value for one in LeaverPolicy]:
        message = f"--leavers must be one of {', '.join(LeaverPolicy)}, not {leavers!r}"
        raise Failure(message, kind="usage", code=2)
    try:
        rows = read_members(file)
    except MemberFileError as error:
        raise Failure(str(error), kind="member_file", code=2) from error
    arguments = {
        "rows": rows,
        "create_departments": create_departments,
        "leavers": leavers,
        "leavers_max": leavers_max,
        "effective_on": effective_on,
    }
    result = execute("member.import", arguments, command_id=command_id, dry_run=dry_run)

    def human() -> None:
        columns = {"state": "state", "id": "id", "name": "member", "change": "change"}
        rows = [
            {**one, "change": "; ".join(_change_text(change, one["state"]) for change in one["changes"]) or None}
            for one in result["members"]
        ]
        table(columns, rows, empty="every member is as the file says")
        for name in result["created_departments"]:
            say(f"{'would create' if dry_run else 'created'} department {name}")
        say(
            f"{'it would be' if dry_run else 'done'}, as of {result['effective_on']}: "
            f"{result['new_count']} new, {result['changed_count']} changed, {result['leaving_count']} leaving, "
            f"{result['same_count']} the same, {result['absent_count']} not in the file (policy: {result['leavers']})"
        )

    show({**result, "dry_run": dry_run}, as_json=as_json, human=human)


def _change_text(change: dict[str, Any], state: str = "changed") -> str:
    field = change["field"].removesuffix("_millionths").replace("_", " ")
    becomes = change["becomes"] or NOTHING
    return f"{field}: {becomes}" if state == "new" else f"{field}: {change['was'] or NOTHING} → {becomes}"


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
        "state": "state",
        "left_nanos": "left, credits",
        "in_use_nanos": "in use, credits",
        "spent_this_cycle_nanos": "spent this cycle, credits",
        "member": "id",
    }
    empty = "no members yet: `tokenroll member create NAME --department …`"
    show(rows, as_json=as_json, human=lambda: table(columns, rows, empty=empty))


@app.command("show")
def show_member(
    member: Annotated[str, typer.Argument(help="Name or id.")],
    *,
    on: Annotated[str | None, typer.Option("--on", help="What was known of them on this day, without amounts.")] = None,
    as_json: Json = False,
) -> None:
    """Show one member with their wallet, keys and changes."""
    if on is not None:
        with reports() as books:
            then = books.member_on(member, on)
        show(then, as_json=as_json, human=lambda: facts(then))
        return
    with reports() as books:
        found = books.member(member)

    def human() -> None:
        facts(found)
        columns = {"name": "key", "shown_prefix": "starts with", "scope": "scope", "state": "state", "key": "id"}
        table(columns, found["keys"], empty="no keys yet: `tokenroll key create --member …`")
        if found["changes"]:
            columns = {"effective_on": "from", "field": "what", "was": "was", "becomes": "is"}
            table(columns, found["changes"], empty="")

    show(found, as_json=as_json, human=human)
