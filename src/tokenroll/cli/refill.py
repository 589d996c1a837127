"""`tokenroll refill`: standing top-ups that come when little is left."""

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
from tokenroll.cli.program import Failure

app = noun_app("Standing top-ups of a wallet: approved once, bounded, come when little is left.")


@app.command()
def create(
    to: Annotated[str, typer.Argument(help="Member: name or id.")],
    *,
    below: Annotated[str, typer.Option(help="It comes when fewer credits than this are left.")],
    amount: Annotated[str, typer.Option(help="Credits that come each time.")],
    most: Annotated[str, typer.Option(help="Credits that may come in one pay cycle, at most.")],
    last_day: Annotated[str, typer.Option("--until", help="Last day on which it may come, such as 2026-12-31.")],
    by: Annotated[str, typer.Option(help="Who approves it: a member who may approve the most of a cycle at once.")],
    cool_off_minutes: Annotated[int, typer.Option(min=0, help="Minutes between two.")] = 60,
    hours: Annotated[
        str | None, typer.Option(help="Hours of their zone in which it may come, such as 20:00-06:00; default all.")
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Let a wallet be topped up when it runs low, for instance at night. Stops at the cycle's most and on the last day."""
    from_time, dash, until_time = (hours or "").partition("-")
    if hours is not None and not dash:
        message = f"--hours: {hours!r} is not a span such as 20:00-06:00"
        raise Failure(message, kind="usage", code=2)
    arguments = {
        "to": to,
        "below_nanos": amount_option(below, "--below"),
        "amount_nanos": amount_option(amount),
        "cycle_nanos_max": amount_option(most, "--most"),
        "cool_off_seconds": cool_off_minutes * 60,
        "from_time": from_time.strip() or None,
        "until_time": until_time.strip() or None,
        "last_on": last_day,
        "by": by,
    }
    result = execute("refill.create", arguments, command_id=command_id, dry_run=dry_run)
    written(f"created refill of {result['wallet_name']}", result, as_json=as_json, dry_run=dry_run)


@app.command()
def remove(
    refill: Annotated[str, typer.Argument(help="Id of the refill.")],
    *,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """End a refill; what it brought stays."""
    result = execute("refill.remove", {"refill": refill}, command_id=command_id, dry_run=dry_run)
    written(f"removed refill {result['refill']}", result, as_json=as_json, dry_run=dry_run)


@app.command("list")
def list_refills(*, as_json: Json = False) -> None:
    """List refills that may come, and what each brought in this cycle."""
    with reports() as books:
        rows = books.refills()
    columns = {
        "wallet_name": "wallet",
        "below_nanos": "below, credits",
        "amount_nanos": "comes, credits",
        "cycle_max_nanos": "most a cycle, credits",
        "this_cycle_nanos": "this cycle, credits",
        "hours": "hours",
        "expires_at": "until",
        "approved_by": "approved by",
        "refill": "id",
    }
    show(
        rows, as_json=as_json, human=lambda: table(columns, rows, empty="no refills: `tokenroll refill create NAME …`")
    )
