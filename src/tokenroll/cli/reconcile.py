"""`tokenroll reconcile`: the ledger beside a provider's reports or bill; what is being checked settled, what differs listed."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tokenroll.cli.console import CommandId, DryRun, Json, execute, facts, reports, say, show, table
from tokenroll.cli.program import Failure
from tokenroll.model.limits import AMOUNT_NANOS_MAX

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

ROWS_PER_PART: Final = 10_000
"""Rows sent at once: a few megabytes of a message that may have sixteen."""
_BAD_SHOWN: Final = 10


@app.command()
def reconcile(
    report_files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[REPORT]...", help="A provider's usage and cost reports, as `usage import` reads them."
        ),
    ] = None,
    *,
    bill: Annotated[
        Path | None, typer.Option(help="A provider's bill: one JSON object per line and attempt, gzip or not.")
    ] = None,
    through: Annotated[
        str | None,
        typer.Option(help="Also let the evidence decide what was admitted up to this cycle, such as 2026-01."),
    ] = None,
    book: Annotated[
        bool, typer.Option("--book", help="Book the differences as the company's provider variance.")
    ] = False,
    true_up: Annotated[
        list[str] | None,
        typer.Option(help="Book this true-up of the reports, by its id; `all` books every one.", metavar="ID"),
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option("--map", help="What a report's columns mean, as `usage import` has it.")
    ] = None,
    output_format: Annotated[
        str, typer.Option("--format", help="Of the comparison with reports: table, csv or json.")
    ] = "table",
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Compare the ledger with a provider's reports, or settle what is being checked by a bill that names calls.

    With REPORT files: by UTC day, model and key, what differs and why, and true-ups of what is estimated or being checked; nothing
    is changed but by --true-up. With --bill: calls that are being checked are settled by it, and every settled one is compared. With
    neither, the evidence decides what has been checked for 72 hours. Exit code 1 when something differs.
    """
    if report_files:
        if bill is not None or through is not None or book:
            message = (
                "REPORT files are compared by themselves: --bill, --through and --book are for a bill that names calls"
            )
            raise Failure(message, kind="usage", code=2)
        from tokenroll.cli.reconcile_reports import reconcile_reports

        kind = "json" if as_json else output_format
        reconcile_reports(report_files, mapping, kind, true_up or [], command_id=command_id, dry_run=dry_run)
        return
    if true_up or mapping is not None or output_format != "table":
        message = "--true-up, --map and --format are for REPORT files: name them"
        raise Failure(message, kind="usage", code=2)
    _by_bill(bill, through, book=book, as_json=as_json, dry_run=dry_run, command_id=command_id)


def _by_bill(
    bill: Path | None, through: str | None, *, book: bool, as_json: bool, dry_run: bool, command_id: str
) -> None:
    """What is being checked is settled by a bill that names calls, or by age; what the bill says otherwise is listed."""
    found: dict[str, Any] = {}
    if bill is not None:
        found = _sum_of(_parts(bill), book=book, command_id=command_id, dry_run=dry_run)
        # what a dry run would settle from the bill is not settled yet
        named = found["settled_on_bill_count"] - (found["resolved_count"] if dry_run else 0)
        found["settled_not_on_bill_count"] = max(0, _settled_count() - named)
    if bill is None or through is not None:
        arguments = {"through": through} if through else {}
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
            missing = found["settled_not_on_bill_count"]
            more = f"; {missing} settled attempts are not on this bill" if missing else ""
            table(columns, found["differences"], empty=f"no difference: bill and ledger agree to the nano{more}")
            _say_estimates(found["differences"], booked=book)

    show(found, as_json=as_json, human=human)
    if found.get("difference_count"):
        raise typer.Exit(1)


def _say_estimates(differences: list[dict[str, Any]], *, booked: bool) -> None:
    """What differs because it was estimated, and what to do: the answer said no usage, so the bill is the first to know it."""
    from tokenroll.services.reconciling import ESTIMATE

    count = sum(one["kind"] == ESTIMATE for one in differences)
    if count:
        book = "it is booked once" if booked else "`--book` books it"
        say(
            f"{count} of these {'was' if count == 1 else 'were'} estimated, because the provider's answer did not say what it used: "
            f"the wallet keeps its charge, and the difference is the company's provider variance ({book})"
        )


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
    from tokenroll.services.reconciling import bill_row_problem, bill_row_sent

    last: dict[str, dict[str, Any]] = {}
    bad: list[str] = []
    is_like_a_bill = False
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        row, problem = _read(line)
        is_like_a_bill = is_like_a_bill or isinstance(row, dict)
        problem = problem or bill_row_problem(row)
        if problem:
            bad.append(f"line {number}: {problem}")
        else:
            last[row["request_id"]] = bill_row_sent(row)
    if bad and not last and not is_like_a_bill:
        message = (
            f"{path} is no bill, so nothing was changed: a bill has a line of JSON for each request, as docs/reconcile.md says, and none of "
            f"these {len(bad)} is one ({bad[0]:.200}). A provider's usage or cost report is compared without --bill: tokenroll reconcile {path}"
        )
        raise Failure(message, kind="bill")
    if bad:
        shown = "; ".join(bad[:_BAD_SHOWN])
        lines = "1 line that is no bill row" if len(bad) == 1 else f"{len(bad)} lines that are no bill rows"
        raise Failure(f"{path} has {lines}, so nothing was changed: {shown}", kind="bill")
    rows = list(last.values())
    if not rows:
        message = (
            f"{path} has no rows, so it says nothing of the {_settled_count()} settled attempts in the ledger, "
            "and nothing was changed: ask the provider for the bill of this time"
        )
        raise Failure(message, kind="bill")
    if sum(row["cost_nanos"] for row in rows) > AMOUNT_NANOS_MAX:
        message = f"the rows of {path} cost more than {AMOUNT_NANOS_MAX} nanos together, so nothing was changed"
        raise Failure(message, kind="bill")
    for start in range(0, len(rows), ROWS_PER_PART):
        yield rows[start : start + ROWS_PER_PART]


def _read(line: bytes) -> tuple[Any, str]:
    """What a line says, or why it says nothing."""
    try:
        return json.loads(line.decode("utf-8")), ""
    except UnicodeDecodeError:
        return None, "not UTF-8 text; a bill is JSON lines in UTF-8, so convert it or name the right file"
    except (ValueError, RecursionError) as error:
        return None, f"not JSON: {error}"


def _settled_count() -> int:
    from tokenroll.services.reconciling import settled_count

    with reports() as books:
        return settled_count(books.connection)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b" or path.suffix == ".gz"
            plain.seek(0)
            if packed:
                with gzip.open(plain, "rb") as unpacked:
                    yield from unpacked
            else:
                yield from plain
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        message = f"{path} is not whole gzip ({error}), so nothing was changed: fetch the bill again"
        raise Failure(message, kind="bill") from error
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise Failure(message, kind="bill") from error
