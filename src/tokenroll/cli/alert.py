"""`tokenroll alert`: thresholds that wallets and limits have passed, and who was told."""

from typing import Annotated, Any, Final

import typer

from tokenroll.cli.console import CommandId, DryRun, Json, execute, noun_app, reports, show, table, written
from tokenroll.cli.program import Failure
from tokenroll.settings import load_settings

app = noun_app("Thresholds that wallets and limits passed, and who was told of it.")

ALERTS_SHOWN_MAX: Final = 1_000
"""Alerts of one listing: more than anybody reads."""


@app.command("list")
def list_alerts(
    *,
    count: Annotated[int, typer.Option(min=1, max=ALERTS_SHOWN_MAX, help="How many, the newest first.")] = 20,
    dead: Annotated[bool, typer.Option("--dead", help="Only those of which a message was given up.")] = False,
    as_json: Json = False,
) -> None:
    """List alerts and what became of their messages."""
    with reports() as books:
        rows = books.alerts(count, dead_only=dead)
    columns = {
        "recorded_at": "when", "subject": "of", "name": "name", "kind": "what", "threshold_percent": "%", "used_text": "used",
        "destination": "told", "state": "state", "attempt_count": "tries", "last_error": "trouble", "message": "message id",
    }  # fmt: skip
    empty = "no alerts yet: `tokenroll alert destinations` shows who would be told"
    show(rows, as_json=as_json, human=lambda: table(columns, _lines(rows), empty=empty))


@app.command()
def destinations(*, as_json: Json = False) -> None:
    """List who is told, as the table `alerts` in config.toml says."""
    alerts = load_settings().alerts
    rows = [
        {"destination": one.name, "by": "mail" if one.email else "webhook", "to": one.email or one.url}
        for one in alerts.destinations
    ]
    found = {"thresholds_percent": list(alerts.thresholds), "destinations": rows}
    columns = {"destination": "destination", "by": "by", "to": "to"}
    empty = "nobody is told: [alerts.destinations.NAME] in config.toml names who"
    show(found, as_json=as_json, human=lambda: table(columns, rows, empty=empty))


@app.command("test")
def send_test(
    destination: Annotated[str, typer.Argument(help="A destination of config.toml.")],
    *,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Send a test message; `tokenroll alert list` shows whether it arrived."""
    known = [one.name for one in load_settings().alerts.destinations]
    if destination not in known:
        message = f"there is no destination {destination!r}; config.toml names {', '.join(known) or 'none'}"
        raise Failure(message, kind="not_found")
    result = execute("alert.test", {"destination": destination}, command_id=command_id, dry_run=dry_run)
    written(f"created a test message to {destination}", result, as_json=as_json, dry_run=dry_run)


@app.command()
def retry(
    message: Annotated[str | None, typer.Argument(help="A message that was given up; default all of them.")] = None,
    *,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Try messages that were given up from the beginning."""
    result = execute("alert.retry", {"message": message}, command_id=command_id, dry_run=dry_run)
    written(f"set {result['message_count']} messages to be tried again", result, as_json=as_json, dry_run=dry_run)


def _lines(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line for each message, and one for an alert that nobody was told of."""
    lines = []
    for row in rows:
        used = f"{row['used']['amount']} of {row['of']['amount']} {row['of']['unit']}"
        for one in row["messages"] or [{"destination": "nobody", "state": "-", "attempt_count": 0, "message": "-"}]:
            lines.append({**row, "used_text": used if row["kind"] != "test" else "-", **one})  # noqa: PERF401 - read in its order
    return lines
