"""The log of outcomes: what was merged and stands, what was undone, and what nobody can read."""

from pathlib import Path

import pytest

from tokenroll.services.importers.intake import Intake, SourceError
from tokenroll.services.outcomes import OutcomeEvent, outcome_rows, standing


def written(folder: Path, *lines: str) -> Path:
    path = folder / "outcomes.csv"
    path.write_text("\n".join(("outcome,at,event", *lines)) + "\n")
    return path


def read_outcomes(path: Path, intake: Intake) -> dict[str, bool]:
    return standing(outcome_rows(path, intake)).accepted


def test_what_was_reverted_later_is_not_accepted(tmp_path: Path):
    log = written(
        tmp_path,
        "pr-2,2026-03-02T10:00:00Z,reverted",
        "pr-1,2026-03-01T10:00:00Z,merged",
        "pr-2,2026-03-01T10:00:00Z,merged",
        "ticket-9,2026-03-01T10:00:00Z,Closed",
        "ticket-9,2026-03-03T10:00:00Z,reopened",
        "ticket-9,2026-03-04T10:00:00Z,closed",
    )
    assert read_outcomes(log, Intake()) == {"pr-1": True, "pr-2": False, "ticket-9": True}


def test_of_one_instant_the_refusal_counts():
    merged, reverted = OutcomeEvent("a", 5, "merged"), OutcomeEvent("a", 5, "reverted")
    assert standing([reverted, merged]).accepted == {"a": False}
    assert standing([merged, reverted]).accepted == {"a": False}


def test_a_session_belongs_to_the_outcome_that_named_it_last(tmp_path: Path):
    path = tmp_path / "outcomes.csv"
    path.write_text(
        "outcome,at,event,session\n"
        "pr-1,2026-03-01T10:00:00Z,merged,s-7\n"
        "pr-2,2026-03-02T10:00:00Z,merged,s-7\n"
        "pr-2,2026-03-01T09:00:00Z,open,s-8\n"
    )
    told = standing(outcome_rows(path, Intake()))
    assert told.accepted == {"pr-1": True, "pr-2": True}
    assert told.outcome_of_session == {"s-7": "pr-2", "s-8": "pr-2"}


def test_a_row_that_nobody_can_read_is_named_and_the_others_count(tmp_path: Path):
    intake = Intake()
    log = written(
        tmp_path,
        "pr-1,2026-03-01T10:00:00Z,merged",
        "pr-2,2026-03-01T10:00:00Z,admired",
        ",2026-03-01T10:00:00Z,merged",
        "pr-4,yesterday,merged",
    )
    assert read_outcomes(log, intake) == {"pr-1": True}
    assert [bad.line for bad in intake.bad_rows] == [3, 4, 5]
    assert "'admired'" in intake.bad_rows[0].reason


def test_a_table_without_its_columns_says_which(tmp_path: Path):
    path = tmp_path / "outcomes.csv"
    path.write_text("name,when\nx,y\n")
    with pytest.raises(SourceError, match="no column outcome, at, event"):
        read_outcomes(path, Intake())


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path):
    with pytest.raises(SourceError, match="cannot be read"):
        read_outcomes(tmp_path / "nowhere.csv", Intake())
