"""`tokenroll reconcile`: what is being checked, settled from a provider's bill; what the bill says otherwise, listed."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tokenroll.cli.console import CommandId, DryRun, Json, execute, facts, say, show, table
from tokenroll.cli.program import Failure

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

ROWS_PER_PART: Final = 10_000
"""Rows sent at once: a few megabytes of a message that may have sixteen."""
_BAD_SHOWN: Final = 10


@app.command()
def reconcile(
    *,
    bill: Annotated[
        Path | None, typer.Option(help="A provider's bill: one JSON object per line and attempt, gzip or not.")
    ] = None,
    through: Annotated[
        str | None,
        typer.Option(help="Also let the evidence decide what was admitted up to this month, such as 2026-01."),
    ] = None,
    book: Annotated[
        bool, typer.Option("--book", help="Book the differences as the company's provider variance.")
    ] = False,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Settle calls that are being checked, and compare every settled one with the bill.

    Without a bill, the evidence decides what has been checked for 72 hours. Exit code 1 when bill and ledger differ.
    """
    found: dict[str, Any] = {}
    if bill is not None:
        found = _sum_of(_parts(bill), book=book, command_id=command_id, dry_run=dry_run)
    if bill is None or through is not None:
        arguments = {"through_cycle": _month(through)} if through else {}
        decide_id = f"{command_id}-decide" if command_id else ""
        found |= execute("suspense.decide", arguments, command_id=decide_id, dry_run=dry_run)

    def human() -> None:
        say("would be reconciled:" if dry_run else "reconciled:")
        facts({key: value for key, value in found.items() if key not in {"delivery", "dry_run"}})
        columns = {
            "kind": "what differs",
            "call": "call",
            "bill_cost_nanos": "bill, USD",
            "ledger_cost_nanos": "ledger, USD",
            "request_id": "provider's id",
        }
        if bill is not None:
            table(columns, found["differences"], empty="no difference: bill and ledger agree to the nano")

    show(found, as_json=as_json, human=human)
    if found.get("difference_count"):
        raise typer.Exit(1)


def _sum_of(parts: Iterator[list[dict[str, Any]]], *, book: bool, command_id: str, dry_run: bool) -> dict[str, Any]:
    """The answers to all parts as one: counts and amounts added up, differences one after another."""
    total: dict[str, Any] = {"differences": []}
    for number, rows in enumerate(parts):
        part_id = f"{command_id}-{number}" if command_id else ""
        answer = execute("reconcile", {"rows": rows, "book": book}, command_id=part_id, dry_run=dry_run)
        for key, value in answer.items():
            if isinstance(value, list):
                total.setdefault(key, []).extend(value)
            elif isinstance(value, int) and not isinstance(value, bool) and key != "suspense_count":
                total[key] = total.get(key, 0) + value
            else:
                total[key] = value
    return total


def _parts(path: Path) -> Iterator[list[dict[str, Any]]]:
    """The bill's rows in parts; of several lines of one request the last counts. Raises Failure naming unreadable lines."""
    last: dict[str, dict[str, Any]] = {}
    bad: list[str] = []
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            last[str(row["request_id"])] = row
        except (ValueError, KeyError, TypeError) as error:
            bad.append(f"line {number}: {error}")
    if bad:
        shown = "; ".join(bad[:_BAD_SHOWN])
        message = f"{path} has {len(bad)} lines that are no bill rows, so nothing was changed: {shown}"
        raise Failure(message, kind="bill")
    rows = list(last.values())
    for start in range(0, max(len(rows), 1), ROWS_PER_PART):
        yield rows[start : start + ROWS_PER_PART]


def _lines(path: Path) -> Iterator[str]:
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rt", encoding="utf-8") as packed:
                yield from packed
        else:
            with path.open(encoding="utf-8") as plain:
                yield from plain
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise Failure(message, kind="bill") from error


def _month(text: str) -> int:
    year, _, month = text.partition("-")
    if not (year.isdigit() and month.isdigit() and 1 <= int(month) <= 12):
        message = f"--through is a month such as 2026-01, not {text!r}"
        raise Failure(message, kind="usage", code=2)
    return int(year) * 100 + int(month)
