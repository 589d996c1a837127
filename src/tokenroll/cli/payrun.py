"""`tokenroll payrun`: the closing of a pay cycle."""

from typing import Annotated, Any

import typer

from tokenroll.cli.console import CommandId, DryRun, Json, execute, facts, noun_app, reports, say, show, table, written
from tokenroll.cli.program import Failure

app = noun_app("The closing of a month: preview it, rehearse it, close it.")

Cycle = Annotated[str, typer.Argument(help="The month, such as 2026-01.")]
SLIP_COLUMNS = {
    "name": "wallet",
    "opening_nanos": "opening, credits",
    "vested_nanos": "became spendable",
    "spent_nanos": "spent",
    "adjustments_nanos": "adjustments",
    "breakage_nanos": "expired unused",
    "closing_nanos": "closing",
    "call_count": "calls",
}


@app.command()
def preview(cycle: Cycle, *, as_json: Json = False) -> None:
    """Show every slip of a cycle as it stands now; also before the cycle has ended."""
    found = _rehearsed(cycle)

    def human() -> None:
        table(SLIP_COLUMNS, found["slips"], empty="no wallets yet")
        facts(found["sums"])

    show(found, as_json=as_json, human=human)


@app.command()
def run(cycle: Cycle, *, as_json: Json = False) -> None:
    """Rehearse the closing: every slip is computed and checked, and what stands in the way is named. Changes nothing."""
    found = _rehearsed(cycle)

    def human() -> None:
        say(
            f"{cycle}: {found['slip_count']} slip{'' if found['slip_count'] == 1 else 's'}, opening + movements = closing for each"
        )
        facts(found["sums"])
        say(*(f"  in the way: {one}" for one in found["obstacles"]))
        if not found["obstacles"]:
            say(f"nothing stands in the way: `tokenroll payrun close {cycle}`")

    show(found, as_json=as_json, human=human)
    if found["obstacles"]:
        raise typer.Exit(1)


@app.command()
def close(cycle: Cycle, *, as_json: Json = False, dry_run: DryRun = False, command_id: CommandId = "") -> None:
    """Close a cycle for good: its slips are stored and chained; late calls become adjustments of the next one.

    Calls of it that are still being checked are decided by their evidence first.
    """
    if not dry_run:
        with reports() as books:
            too_early = books.cycle_obstacles(cycle)
        # a closing that is refused anyway must not decide calls before their time
        if not too_early:
            first_id = f"{command_id}-suspense" if command_id else ""
            execute("suspense.decide", {"through": cycle}, command_id=first_id, dry_run=False)
    result = execute("payrun.close", {"cycle": cycle}, command_id=command_id, dry_run=dry_run)
    written(f"closed {cycle}", result, as_json=as_json, dry_run=dry_run)


@app.command("list")
def list_runs(*, as_json: Json = False) -> None:
    """List the closed cycles, newest first."""
    with reports() as books:
        rows = books.pay_runs()
    columns = {"cycle": "cycle", "slip_count": "slips", "closed_at": "closed", "payrun": "id"}
    show(
        rows,
        as_json=as_json,
        human=lambda: table(columns, rows, empty="nothing closed yet: `tokenroll payrun run 2026-01`"),
    )


def _rehearsed(cycle: str) -> dict[str, Any]:
    with reports() as books:
        try:
            return books.pay_run(cycle)
        except AssertionError as error:
            message = f"a slip does not add up, so none is shown: {error}; run `tokenroll journal verify`"
            raise Failure(message, kind="conservation") from error
