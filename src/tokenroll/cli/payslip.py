"""`tokenroll payslip`: one person's paper of one cycle."""

from typing import Annotated, Any

import typer

from tokenroll.books.payslip import classification_notes, slip_dates, slip_lines, slip_notes, slip_parts
from tokenroll.cli.console import Json, credits_column, credits_text, day, noun_app, reports, say, show, table, when

app = noun_app("One person's paper: opening + movements = closing.")


@app.command("list")
def list_slips(
    cycle: Annotated[str, typer.Argument(help="The cycle, such as 2026-01 or 2026-W07.")], *, as_json: Json = False
) -> None:
    """List the slips of a cycle."""
    from tokenroll.cli.payrun import slip_table

    with reports() as books:
        rows = books.pay_run(cycle)["slips"]
    show(rows, as_json=as_json, human=lambda: slip_table(rows))


@app.command("show")
def show_slip(
    who: Annotated[str, typer.Argument(help="Member (name or id), pool name, or wallet id.")],
    cycle: Annotated[str, typer.Argument(help="The cycle, such as 2026-01 or 2026-W07.")],
    *,
    calls: Annotated[int, typer.Option(help="How many of its calls to list.")] = 0,
    run: Annotated[
        str, typer.Option(help="The slip of this run, also of one that was reversed or off-cycle.", metavar="ID")
    ] = "",
    as_json: Json = False,
) -> None:
    """Show one slip; --calls lists the calls behind it, each of which `tokenroll call show` proves.

    To print it or save it as a PDF, its owner opens /me/payslips/CYCLE on the pages of `tokenroll serve` and prints from the browser.
    """
    with reports() as books:
        slip = books.payslip_of_run(who, run) if run else books.payslip(who, cycle)
        listed = books.calls_of_cycle(who, cycle, limit=calls) if calls else []
    show({**slip, "calls": listed}, as_json=as_json, human=lambda: print_slip(slip, listed))


def print_slip(slip: dict[str, Any], listed: list[dict[str, Any]]) -> None:
    """The paper on standard output, and some of the calls behind it."""
    zone = slip["zone"]
    state = "preview, not closed"
    if "closed_at" in slip:
        state = f"{'told off-cycle' if slip['run_kind'] == 'off-cycle' else 'closed'} {when(slip['closed_at'])}"
    say(f"{slip['paper']} - {slip['name']} - {slip['cycle']}")
    say(
        f"{day(slip['start_at'], zone)} to before {day(slip['end_until'], zone)}, {zone}; {_calls(slip['call_count'])}; {state}",
        "",
    )
    lines = slip_lines(slip)
    texts = credits_column([line.nanos for line in lines])
    width = max(len(line.text) for line in lines)
    amount_width = max(map(len, texts))
    rule = "  " + "-" * (width + amount_width + 2)
    for index, (line, text) in enumerate(zip(lines, texts, strict=True)):
        if index == len(lines) - 1:
            say(rule)
        say(f"  {line.text:<{width}}  {text:>{amount_width}}{' credits' if index in {0, len(lines) - 1} else ''}")
    notes = slip_notes(slip)
    if notes:
        say(
            "",
            *(
                f"  {line.text}: {text}"
                for line, text in zip(notes, credits_column([one.nanos for one in notes]), strict=True)
            ),
        )
    _print_parts(slip)
    say("", *(f"  {one}" for one in classification_notes(slip["classifications"])))
    if listed:
        columns = {
            "admitted_at": "when",
            "model": "model",
            "outcome": "outcome",
            "charge_nanos": "credits",
            "call": "call",
        }
        table(columns, listed, empty="")


def _print_parts(slip: dict[str, Any]) -> None:
    """What was spent on what, and what comes next."""
    for text, lines in slip_parts(slip):
        texts = credits_column([line.nanos for line in lines])
        width, amount_width = max(len(line.text) for line in lines), max(map(len, texts))
        say("", f"  {text}:")
        say(*(f"    {line.text:<{width}}  {one:>{amount_width}}" for line, one in zip(lines, texts, strict=True)))
    coming = slip_dates(slip)
    if coming:
        say("", *(f"  {text}: {credits_text(nanos)} on {day(at, slip['zone'])}" for text, at, nanos in coming))


def _calls(count: int) -> str:
    return f"{count} call{'' if count == 1 else 's'}"
