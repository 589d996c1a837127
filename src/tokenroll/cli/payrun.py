"""`tokenroll payrun`: the closing of a pay cycle."""

import csv
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tokenroll.cli.console import CommandId, DryRun, Json, execute, facts, noun_app, reports, say, show, table, written
from tokenroll.cli.program import Failure

app = noun_app("Pay cycles: their calendar, their closing, and what opens one again.")

Cycle = Annotated[str, typer.Argument(help="The cycle, such as 2026-01 or 2026-W07, or a day in it.")]
SLIPS_SHOWN: Final = 100
_SUMS_ALWAYS: Final = frozenset({"opening_nanos", "vested_nanos", "spent_nanos", "closing_nanos", "call_count"})
SLIP_COLUMNS = {
    "name": "wallet",
    "opening_nanos": "opening, credits",
    "vested_nanos": "became spendable",
    "spent_nanos": "spent",
    "adjustments_nanos": "adjustments",
    "breakage_nanos": "expired unused",
    "moved_nanos": "moved or taken back",
    "closing_nanos": "closing",
    "call_count": "calls",
}


def slip_table(slips: list[dict[str, Any]]) -> None:
    """Slips as rows that add up: what a leaving or a transfer did has one column, where there is any."""
    rows = [
        {
            **slip,
            "moved_nanos": slip["transferred_in_nanos"] - slip["transferred_out_nanos"]
            - slip["forfeited_nanos"] - slip["clawed_back_nanos"] - slip["voided_nanos"],
        }
        for slip in slips
    ]  # fmt: skip
    shown = {key: title for key, title in SLIP_COLUMNS.items() if key != "moved_nanos" or any(row[key] for row in rows)}
    table(shown, rows, empty="no wallets yet")


@app.command()
def preview(
    cycle: Cycle,
    *,
    limit: Annotated[int, typer.Option(help="How many slips to list; the sums are of all.", min=0)] = SLIPS_SHOWN,
    as_json: Json = False,
) -> None:
    """Show the slips of a cycle as they stand now; also before the cycle has ended."""
    found = _rehearsed(cycle, limit)

    def human() -> None:
        slip_table(found["slips"])
        if len(found["slips"]) < found["slip_count"]:
            say(f"the first {len(found['slips'])} of {found['slip_count']} slips by name; --limit shows more", "")
        facts({name: value for name, value in found["sums"].items() if value or name in _SUMS_ALWAYS})

    show(found, as_json=as_json, human=human)


@app.command()
def run(cycle: Cycle, *, as_json: Json = False) -> None:
    """Rehearse the closing: every slip is computed and checked, and what stands in the way is named. Changes nothing."""
    found = _rehearsed(cycle, 0 if not as_json else SLIPS_SHOWN)

    def human() -> None:
        say(
            f"{cycle}: {found['slip_count']} slip{'' if found['slip_count'] == 1 else 's'}, opening + movements = closing for each"
        )
        facts({name: value for name, value in found["sums"].items() if value or name in _SUMS_ALWAYS})
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


@app.command()
def reopen(
    cycle: Cycle,
    *,
    reason: Annotated[str, typer.Option(help="Why; it stands in the books for good.")],
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Open the newest closed cycle again: a reversal is recorded, its slips are superseded and stay, and it can be closed again.

    Late calls that were booked to the next cycle meanwhile stay there.
    """
    result = execute("payrun.reopen", {"cycle": cycle, "reason": reason}, command_id=command_id, dry_run=dry_run)
    written(f"reopened {result['cycle']}", result, as_json=as_json, dry_run=dry_run)


@app.command("off-cycle")
def off_cycle(
    to: Annotated[list[str], typer.Argument(help="Members, pools or wallets whose slips are made now.")],
    *,
    cycle: Annotated[str | None, typer.Option(help="The cycle; default the one that runs.")] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Make slips of the running cycle for some people, up to now: stored and chained, and nothing is closed by them.

    For a leaver's last paper, or one that cannot wait. The cycle's regular slip tells all of it again.
    """
    arguments = {"to": to, "cycle": cycle}
    result = execute("payrun.off_cycle", arguments, command_id=command_id, dry_run=dry_run)
    written(f"recorded off-cycle slips of {result['cycle']}", result, as_json=as_json, dry_run=dry_run)


@app.command()
def calendar(
    kind: Annotated[
        str | None,
        typer.Argument(help="monthly, semi-monthly, bi-weekly, weekly, 4-4-5 or custom; none lists what is set."),
    ] = None,
    *,
    effective_on: Annotated[
        str | None, typer.Option(help="The first day of its first cycle, such as 2026-03-02.")
    ] = None,
    weeks: Annotated[str | None, typer.Option(help="Of a quarter: 4-4-5, 4-5-4 or 5-4-4.")] = None,
    year_end_month: Annotated[
        int | None, typer.Option(help="The month in which a year of weeks ends.", min=1, max=12)
    ] = None,
    year_end_weekday: Annotated[
        str | None, typer.Option(help="The weekday on which it ends, such as saturday.")
    ] = None,
    year_end: Annotated[
        str | None,
        typer.Option(help="last: on the month's last such weekday; nearest: on the one nearest to the month's end."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            help="Of a custom calendar: a CSV with the columns name and starts_on; the last row is named `end`."
        ),
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Set which cycles there are from a day to come on. The cycle that runs then ends the day before."""
    if kind is None:
        with reports() as books:
            rows = books.pay_calendars()
        columns = {"kind": "calendar", "effective_on": "from", "recorded_at": "set", "calendar": "id"}
        show(
            rows,
            as_json=as_json,
            human=lambda: table(columns, rows, empty="calendar months; nothing else was ever set"),
        )
        return
    if (kind == "custom") != (file is not None):
        raise Failure("a custom calendar, and no other, is given by --file", kind="usage", code=2)
    listed, until = _custom(file) if file is not None else (None, None)
    if effective_on is None and listed is None:
        raise Failure("--effective-on says from which day the calendar holds", kind="usage", code=2)
    arguments = {
        "kind": kind, "effective_on": effective_on or (listed[0][1] if listed else None), "weeks": weeks,
        "year_end_month": year_end_month, "year_end_weekday": year_end_weekday, "year_end": year_end, "custom": listed,
        "custom_until": until,
    }  # fmt: skip
    result = execute("payrun.calendar", arguments, command_id=command_id, dry_run=dry_run)
    written(f"set a {kind} pay calendar", result, as_json=as_json, dry_run=dry_run)


@app.command("pay-days")
def pay_days(
    move: Annotated[str, typer.Argument(help="previous, next or stay: where a pay day goes that is no working day.")],
    *,
    days_after: Annotated[int, typer.Option(help="Days from a cycle's last day to its pay day.", min=0)] = 0,
    country: Annotated[
        str, typer.Option(help="Whose public holidays count, such as DE; needs tokenroll\\[calendar].")
    ] = "",
    subdivision: Annotated[str, typer.Option(help="A part of the country with holidays of its own, such as BE.")] = "",
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Set on which day a cycle is paid; `payrun dates` shows it. The cycle itself does not move."""
    arguments = {"move": move, "days_after": days_after, "country": country, "subdivision": subdivision}
    result = execute("payrun.pay_days", arguments, command_id=command_id, dry_run=dry_run)
    written("set the pay days", result, as_json=as_json, dry_run=dry_run)


@app.command()
def dates(
    day: Annotated[str | None, typer.Option("--from", help="A day; default today in UTC.")] = None,
    *,
    count: Annotated[int, typer.Option(help="How many cycles.", min=1, max=1000)] = 12,
    as_json: Json = False,
) -> None:
    """List the cycles from a day on: name, first and last day, and the pay day if there is a rule for it."""
    with reports() as books:
        rows = books.cycle_dates(day, count)
    columns = {
        "cycle": "cycle",
        "starts_on": "from",
        "ends_on": "to",
        "days_count": "days",
        "paid_on": "paid on",
        "state": "state",
    }
    show(rows, as_json=as_json, human=lambda: table(columns, rows, empty=""))


@app.command("list")
def list_runs(*, as_json: Json = False) -> None:
    """List the runs, newest first: what closed a cycle, what was reversed and why, and what was told off-cycle."""
    with reports() as books:
        rows = books.pay_runs()
    columns = {
        "cycle": "cycle",
        "kind": "kind",
        "state": "state",
        "slip_count": "slips",
        "closed_at": "run",
        "reversed_at": "reversed",
        "reason": "why",
        "payrun": "id",
    }
    show(
        rows,
        as_json=as_json,
        human=lambda: table(columns, rows, empty="nothing closed yet: `tokenroll payrun run 2026-01`"),
    )


def _rehearsed(cycle: str, limit: int) -> dict[str, Any]:
    with reports() as books:
        try:
            return books.pay_run(cycle, limit)
        except AssertionError as error:
            message = f"a slip does not add up, so none is shown: {error}; run `tokenroll journal verify`"
            raise Failure(message, kind="conservation") from error


def _custom(path: Path) -> tuple[list[list[str]], str]:
    """Name and first day of each cycle, and the day on which the last one ends. Raises Failure with the line."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path} cannot be read: {error}", kind="file") from error
    rows = list(csv.reader(text.splitlines()))
    if not rows or [one.strip() for one in rows[0]] != ["name", "starts_on"]:
        raise Failure(f"{path} line 1: the columns are name,starts_on", kind="file")
    found: list[list[str]] = []
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        cells = [one.strip() for one in row]
        if len(cells) != 2 or not cells[0]:
            raise Failure(
                f"{path} line {number}: a cycle has a name and a first day, such as Spring,2026-03-02", kind="file"
            )
        try:
            starts_on = date.fromisoformat(cells[1])
        except ValueError as error:
            message = f"{path} line {number}: starts_on is a date such as 2026-03-02, not {cells[1]!r}"
            raise Failure(message, kind="file") from error
        if found and starts_on <= date.fromisoformat(found[-1][1]):
            raise Failure(
                f"{path} line {number}: {starts_on} does not come after {found[-1][1]}, the row before", kind="file"
            )
        found.append([cells[0], starts_on.isoformat()])
    if len(found) < 2 or found[-1][0] != "end":
        raise Failure(f"{path}: the last row is `end,DATE`, the day after the last cycle", kind="file")
    return found[:-1], found[-1][1]
