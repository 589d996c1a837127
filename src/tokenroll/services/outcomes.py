"""Outcomes: what work produced and whether it still stands, from a CSV that any tracker can write and from webhooks.

What is told is an event: the outcome's name, when, and what happened. An outcome is accepted if the newest thing that happened to it is
that it was accepted: a change that was merged and reverted later is not. An event may also name a session whose spend is the outcome's.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tokenroll.model.checks import name_checked
from tokenroll.model.instant import INSTANT_MAX, Instant
from tokenroll.model.limits import ENTERED_AT_MIN, OUTCOME_ROWS_MAX
from tokenroll.services.importers.figures import instant_of_text
from tokenroll.services.importers.intake import Intake, SourceError

ACCEPTED: Final = frozenset({"accepted", "merged", "closed", "resolved", "done", "passed", "shipped"})
REFUSED: Final = frozenset({"rejected", "reverted", "undone", "reopened", "abandoned", "failed", "cancelled", "open"})
COLUMNS: Final = ("outcome", "at", "event")
SESSION_COLUMN: Final = "session"


class OutcomeEvent(NamedTuple):
    """Something that happened to an outcome, in a word of ACCEPTED or REFUSED; `session` is one that worked at it, where it is told."""

    outcome: str
    at: Instant
    event: str
    session: str = ""

    @property
    def is_accepted(self) -> bool:
        """Whether it was for the better."""
        return self.event in ACCEPTED


class Standing(NamedTuple):
    """What outcomes came to: whether each is accepted now and since when that stands, and which outcome a session worked at."""

    accepted: dict[str, bool]
    outcome_of_session: dict[str, str]
    decided_at: dict[str, Instant]


def outcome_event(outcome: str, at: str, event: str, session: str = "") -> OutcomeEvent:
    """An event as texts tell it. Raises ValueError that says what of it cannot be."""
    told = event.strip().lower()
    if told not in ACCEPTED | REFUSED:
        message = f"event is {told[:40]!r}; known are {', '.join(sorted(ACCEPTED | REFUSED))}"
        raise ValueError(message)
    name = name_checked(outcome.strip(), "outcome")
    where = session.strip()
    instant = instant_of_text(at)
    if not ENTERED_AT_MIN <= instant <= INSTANT_MAX:
        message = f"its time {at[:40]!r} is not of these years"
        raise ValueError(message)
    return OutcomeEvent(name, instant, told, name_checked(where, SESSION_COLUMN) if where else "")


def standing(events: Iterable[OutcomeEvent]) -> Standing:
    """What outcomes came to, by the newest that happened to each; of the same instant, a refusal counts.

    A session belongs to the outcome that named it last.
    """
    newest: dict[str, OutcomeEvent] = {}
    sessions: dict[str, OutcomeEvent] = {}
    for event in events:
        before = newest.get(event.outcome)
        if before is None or (event.at, not event.is_accepted) > (before.at, not before.is_accepted):
            newest[event.outcome] = event
        if event.session:
            named = sessions.get(event.session)
            if named is None or (event.at, event.outcome) > (named.at, named.outcome):
                sessions[event.session] = event
    return Standing(
        {name: event.is_accepted for name, event in sorted(newest.items())},
        {session: event.outcome for session, event in sorted(sessions.items())},
        {name: event.at for name, event in sorted(newest.items())},
    )


def outcome_rows(path: Path, intake: Intake) -> Iterator[OutcomeEvent]:
    """The events of a CSV with the columns `outcome`, `at`, `event` and, where there is one, `session`. Raises SourceError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield from _events(path, csv.DictReader(stream), intake)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} cannot be read: {error}") from error


def _events(path: Path, rows: "csv.DictReader[str]", intake: Intake) -> Iterator[OutcomeEvent]:
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
    return outcome_event(*((row.get(name) or "") for name in (*COLUMNS, SESSION_COLUMN)))
