"""The log of outcomes: what work produced and whether it still stands, from a CSV that any tracker can write.

One row an event: the outcome's name, when, and what happened. An outcome is accepted if the newest thing that happened to it is that it
was accepted: a change that was merged and reverted later is not.
"""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tokenroll.model.checks import name_checked
from tokenroll.model.instant import Instant
from tokenroll.model.limits import OUTCOME_ROWS_MAX
from tokenroll.services.importers.figures import instant_of_text
from tokenroll.services.importers.intake import Intake, SourceError

ACCEPTED: Final = frozenset({"accepted", "merged", "closed", "resolved", "done", "passed", "shipped"})
REFUSED: Final = frozenset({"rejected", "reverted", "undone", "reopened", "abandoned", "failed", "cancelled", "open"})
COLUMNS: Final = ("outcome", "at", "event")


class OutcomeEvent(NamedTuple):
    """Something that happened to an outcome."""

    outcome: str
    at: Instant
    is_accepted: bool


def read_outcomes(path: Path, intake: Intake) -> dict[str, bool]:
    """Each outcome of a CSV with the columns `outcome`, `at` and `event`, and whether it stands accepted. Raises SourceError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return standing(_events(path, csv.DictReader(stream), intake))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} cannot be read: {error}") from error


def standing(events: Iterable[OutcomeEvent]) -> dict[str, bool]:
    """Whether each outcome is accepted, by the newest that happened to it; of the same instant, a refusal counts."""
    newest: dict[str, OutcomeEvent] = {}
    for event in events:
        before = newest.get(event.outcome)
        if before is None or (event.at, not event.is_accepted) > (before.at, not before.is_accepted):
            newest[event.outcome] = event
    return {name: event.is_accepted for name, event in sorted(newest.items())}


def _events(path: Path, rows: "csv.DictReader[str]", intake: Intake) -> Iterable[OutcomeEvent]:
    lacking = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if lacking:
        raise SourceError(f"{path} has no column {', '.join(lacking)}; it needs {', '.join(COLUMNS)}")
    for row in rows:
        intake.row_count += 1
        if intake.row_count > OUTCOME_ROWS_MAX:
            raise SourceError(f"{path} has more than {OUTCOME_ROWS_MAX} rows: split it by year")
        try:
            yield _event(row)
        except ValueError as error:
            intake.is_bad(str(path), rows.line_num, str(error))


def _event(row: Mapping[str, str | None]) -> OutcomeEvent:
    told = (row["event"] or "").strip().lower()
    if told not in ACCEPTED | REFUSED:
        message = f"event is {told!r}; known are {', '.join(sorted(ACCEPTED | REFUSED))}"
        raise ValueError(message)
    name = name_checked((row["outcome"] or "").strip(), "outcome")
    return OutcomeEvent(name, instant_of_text(row["at"] or ""), told in ACCEPTED)
