"""An import is taken back exactly: its events are out of files and sums, other ones stay, and it may be imported anew."""

import json
from datetime import date
from pathlib import Path

import pytest

from tests.lake_kit import MONDAY, FailingDisk, Stopped, agrees, event, sums, told
from tokenroll.model.usage_event import GATEWAY
from tokenroll.services.forgetting import ForgettingError, forget, of_file, of_source
from tokenroll.services.importers.attribution import Attribution
from tokenroll.services.importers.detecting import usage_files
from tokenroll.services.importers.intake import Intake, SourceError
from tokenroll.services.lake_importing import KNOWN_FILES, Reading, import_files
from tokenroll.services.list_prices import ListPrices, published_list_prices
from tokenroll.store.lake import LakeView, open_lake
from tokenroll.store.lake_verify import verify_lake

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n2026-01-05 08:00:00,1000,50\n2026-01-06 08:00:00,2000,0\n"


@pytest.fixture(scope="module")
def prices() -> ListPrices:
    return published_list_prices()


def taken(home: Path, prices: ListPrices, *paths: Path, model: str = "") -> Intake:
    intake = Intake()
    with open_lake(home) as lake:
        import_files(lake, usage_files(paths), Reading(prices, Attribution(), model=model), intake)
        lake.compact(2)
        lake.roll_up()
    return intake


def forgotten(home: Path, prices: ListPrices, path: Path, disk: FailingDisk | None = None) -> dict[str, int]:
    with open_lake(home, disk) as lake:
        found = of_file(lake, usage_files([path])[0], Reading(prices, Attribution()))
        forget(lake, found, path.name, MONDAY)
    return found.days


def call(number: int) -> str:
    usage = {"input_tokens": 1000, "output_tokens": 50}
    message = {"id": f"msg-{number}", "model": "claude-haiku-4-5", "usage": usage}
    return (
        json.dumps({"timestamp": "2026-01-05T09:00:00Z", "sessionId": "s", "requestId": "r", "message": message}) + "\n"
    )


def test_a_trace_that_was_imported_without_its_model_is_imported_anew(tmp_path: Path, prices: ListPrices):
    trace = tmp_path / "azure.csv"
    trace.write_text(AZURE)
    other = tmp_path / "other.csv"
    other.write_text(AZURE.replace("2000,0", "7,0"))
    taken(tmp_path / "lake", prices, trace, other)
    assert sums(tmp_path / "lake", "usage") == (4, 4_107, 0)
    assert taken(tmp_path / "lake", prices, trace, model="gpt-4o-mini").other == {KNOWN_FILES: 1}
    assert forgotten(tmp_path / "lake", prices, trace) == {"2026-01-05": 1, "2026-01-06": 1}
    assert sums(tmp_path / "lake", "usage") == (2, 1_057, 0)
    assert agrees(tmp_path / "lake")
    assert taken(tmp_path / "lake", prices, trace, model="gpt-4o-mini").event_count == 2
    # 1,000 and 2,000 in at 150 nanos, 50 out at 600
    assert sums(tmp_path / "lake", "usage") == (4, 4_107, 3_000 * 150 + 50 * 600)
    assert agrees(tmp_path / "lake")
    assert verify_lake(LakeView(tmp_path / "lake")) == []
    (note,) = LakeView(tmp_path / "lake").manifest.history
    assert (note.at, note.what, note.source, note.event_count) == (MONDAY, "azure.csv", "azure-trace", 2)


def test_a_call_that_another_log_tells_too_is_back_after_the_next_import(tmp_path: Path, prices: ListPrices):
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    first.write_text(call(1) + call(2))
    second.write_text(call(2) + call(3))
    taken(tmp_path / "lake", prices, first, second)
    assert forgotten(tmp_path / "lake", prices, first) == {"2026-01-05": 2}
    assert sums(tmp_path / "lake", "usage")[0] == 1
    taken(tmp_path / "lake", prices, second)
    assert sums(tmp_path / "lake", "usage")[0] == 2
    assert agrees(tmp_path / "lake")


def test_a_day_whose_grown_log_was_not_merged_yet_counts_once_after_another_import_is_taken_back(
    tmp_path: Path, prices: ListPrices
):
    log, trace = tmp_path / "log.jsonl", tmp_path / "azure.csv"
    trace.write_text(AZURE)
    for lines in (call(1), call(1) + call(2)):  # each import is killed before it merges what it brought
        log.write_text(lines)
        with open_lake(tmp_path / "lake") as lake:
            import_files(lake, usage_files([log]), Reading(prices, Attribution()), Intake())
    taken_twice = sums(tmp_path / "lake", "usage")[0]
    with open_lake(tmp_path / "lake") as lake:
        import_files(lake, usage_files([trace]), Reading(prices, Attribution()), Intake())
        assert len(lake.manifest.of_kind("usage")) == 4
    assert taken_twice == 3
    assert forgotten(tmp_path / "lake", prices, trace) == {"2026-01-05": 1, "2026-01-06": 1}
    assert sums(tmp_path / "lake", "usage")[:2] == (2, 2_100)
    assert agrees(tmp_path / "lake")
    assert verify_lake(LakeView(tmp_path / "lake")) == []


def test_of_what_is_told_twice_each_event_is_taken_back_once(tmp_path: Path, prices: ListPrices):
    log = tmp_path / "log.jsonl"
    for lines in (call(1), call(1) + call(2)):
        log.write_text(lines)
        with open_lake(tmp_path / "lake") as lake:
            import_files(lake, usage_files([log]), Reading(prices, Attribution()), Intake())
    assert forgotten(tmp_path / "lake", prices, log) == {"2026-01-05": 2}
    assert told(tmp_path / "lake") == []


def test_a_whole_source_goes_and_others_stay(tmp_path: Path, prices: ListPrices):
    trace, log = tmp_path / "azure.csv", tmp_path / "log.jsonl"
    trace.write_text(AZURE)
    log.write_text(call(1))
    taken(tmp_path / "lake", prices, trace, log)
    with open_lake(tmp_path / "lake") as lake:
        found = of_source(lake, "azure-trace")
        forget(lake, found, "azure-trace", MONDAY)
    assert found.event_count == 2
    assert sums(tmp_path / "lake", "usage")[0] == 1
    again = taken(tmp_path / "lake", prices, trace, log)
    assert (again.event_count, again.other) == (2, {KNOWN_FILES: 1})


def test_killed_anywhere_all_of_it_is_there_or_none(tmp_path: Path, prices: ListPrices):
    trace = tmp_path / "azure.csv"
    trace.write_text(AZURE)
    steps, ended = 0, False
    while not ended:
        home = tmp_path / f"lake-{steps}"
        taken(home, prices, trace)
        try:
            forgotten(home, prices, trace, FailingDisk(steps))
            ended = True
        except Stopped:
            count, again = sums(home, "usage")[0], taken(home, prices, trace).event_count
            assert (count, again) in {(2, 0), (0, 2)}, steps
            assert sums(home, "usage")[0] == 2
            assert agrees(home)
        steps += 1
    assert steps > 3
    assert told(home) == []


def test_what_retention_removed_stays_away_when_it_is_imported_anew(tmp_path: Path, prices: ListPrices):
    trace = tmp_path / "azure.csv"
    trace.write_text(AZURE)
    taken(tmp_path / "lake", prices, trace)
    with open_lake(tmp_path / "lake") as lake:
        assert lake.retain({"": 30}, date(2026, 2, 5)) == 1
    assert forgotten(tmp_path / "lake", prices, trace) == {"2026-01-06": 1}
    taken(tmp_path / "lake", prices, trace)
    assert sums(tmp_path / "lake", "usage")[:2] == (1, 2_000)


def test_what_is_not_in_and_what_the_ledger_told_is_refused(tmp_path: Path, prices: ListPrices):
    trace = tmp_path / "azure.csv"
    trace.write_text(AZURE)
    with open_lake(tmp_path / "lake") as lake:
        lake.append([event(1, source=GATEWAY)], {GATEWAY: 1})
        with pytest.raises(ForgettingError, match="is the ledger's own"):
            of_source(lake, GATEWAY)
        with pytest.raises(ForgettingError, match="neither a file nor a source that is in; sources are none"):
            of_source(lake, "azure")
        with pytest.raises(ForgettingError, match=r"nothing that .*azure\.csv tells is in"):
            of_file(lake, usage_files([trace])[0], Reading(prices, Attribution()))
        trace.write_text("buy milk\n")
        with pytest.raises(SourceError, match="of no known kind"):
            of_file(lake, usage_files([trace])[0], Reading(prices, Attribution()))
