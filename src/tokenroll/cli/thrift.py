"""`tokenroll thrift`: what the gateway's own thrift saved and lost."""

from typing import Annotated

import typer

from tokenroll.cli.console import Json, noun_app, reports, say, show, table

app = noun_app("What the gateway did by itself so that the same work costs less, and what that came to.")


@app.command("report")
def report(
    *,
    cycle: Annotated[
        str | None, typer.Option(help="A pay cycle, such as 2026-01, or a day in it; default the running one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show by plan and mechanism: calls touched, credits saved and lost, and how that is known."""
    with reports() as books:
        found = books.thrift(cycle)
    columns = {
        "plan": "plan", "mechanism": "mechanism", "call_count": "calls", "unknown_count": "not known of",
        "saved_nanos": "credits saved", "lost_nanos": "lost", "net_nanos": "net",
    }  # fmt: skip
    empty = "nothing in this cycle: `thrift.…` among the terms of a plan switches it on (docs/thrift.md)"

    def human() -> None:
        table(columns, found["effects"], empty=empty)
        hows = {one["mechanism"]: one["how"] for one in found["effects"]}
        say(*(f"{mechanism}: {how}." for mechanism, how in hows.items()))

    show(found, as_json=as_json, human=human)
