"""What trackers told is kept: whole lines or none, once or often, by several processes, and never without an end."""

import os
import threading
from pathlib import Path

import pytest

from tokenroll.services import outcome_log
from tokenroll.services.outcome_log import OutcomeLog, OutcomeLogError
from tokenroll.services.outcomes import OutcomeEvent, outcome_event, standing

MERGED = outcome_event("acme/app#12", "2026-03-02T10:00:00Z", "merged", "s-7")
REVERTED = outcome_event("acme/app#12", "2026-03-03T10:00:00Z", "reverted")


def test_what_was_told_is_there_for_the_next_process(tmp_path: Path):
    path = tmp_path / "home" / "outcomes.jsonl"
    assert list(OutcomeLog(path).events()) == []
    OutcomeLog(path).append([MERGED])
    OutcomeLog(path).append([REVERTED, MERGED])
    assert list(OutcomeLog(path).events()) == [MERGED, REVERTED, MERGED]
    told = standing(OutcomeLog(path).events())
    assert (told.accepted, told.outcome_of_session) == ({"acme/app#12": False}, {"s-7": "acme/app#12"})
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_line_that_a_dead_process_left_half_is_no_event_and_is_written_over(tmp_path: Path):
    path = tmp_path / "outcomes.jsonl"
    log = OutcomeLog(path)
    log.append([MERGED])
    with path.open("ab") as stream:
        stream.write(b'{"outcome": "acme/app#13", "at": "2026-03-0')
    assert list(log.events()) == [MERGED]
    log.append([REVERTED])
    assert list(log.events()) == [MERGED, REVERTED]


def test_a_full_disk_keeps_what_was_there_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log = OutcomeLog(tmp_path / "outcomes.jsonl")
    log.append([MERGED])

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OutcomeLogError, match="No space left on device"):
            log.append([REVERTED])
    assert list(log.events()) == [MERGED]


def test_several_who_write_at_once_lose_nothing(tmp_path: Path):
    path = tmp_path / "outcomes.jsonl"

    def told(worker: int) -> None:
        for number in range(25):
            OutcomeLog(path).append([OutcomeEvent(f"pr-{worker}-{number}", MERGED.at + number, "merged")])

    threads = [threading.Thread(target=told, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(event.outcome for event in OutcomeLog(path).events()) == sorted(
        f"pr-{worker}-{number}" for worker in range(4) for number in range(25)
    )


def test_a_log_grown_long_keeps_what_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "outcomes.jsonl"
    log = OutcomeLog(path)
    for number in range(50):
        log.append([OutcomeEvent("pr-1", MERGED.at + number, "merged" if number % 2 else "reopened", "s-1")])
    log.append([OutcomeEvent("pr-2", MERGED.at + 7, "abandoned", "s-2")])
    before = standing(log.events())
    monkeypatch.setattr(outcome_log, "OUTCOME_LOG_BYTES_MAX", path.stat().st_size + 10)
    log.append([OutcomeEvent("pr-3", MERGED.at + 8, "merged")])
    assert len(list(log.events())) == 3
    after = standing(log.events())
    assert after.accepted == {**before.accepted, "pr-3": True}
    assert after.outcome_of_session == before.outcome_of_session == {"s-1": "pr-1", "s-2": "pr-2"}
    monkeypatch.setattr(outcome_log, "OUTCOME_LOG_BYTES_MAX", 300)
    with pytest.raises(OutcomeLogError, match="keep it aside"):
        log.append([OutcomeEvent("pr-4", MERGED.at + 9, "merged")])


def test_a_damaged_line_is_named(tmp_path: Path):
    path = tmp_path / "outcomes.jsonl"
    OutcomeLog(path).append([MERGED])
    with path.open("ab") as stream:
        stream.write(b"gibberish\n")
    with pytest.raises(OutcomeLogError, match=r"outcomes\.jsonl:2 is damaged"):
        list(OutcomeLog(path).events())
