"""Usage that went around the gateway is in the lake once, wherever its import was stopped, and never beside the gateway's own row."""

import itertools
import json
import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.lake_kit import DAY, HOUR, MONDAY, FailingDisk, Stopped, agrees, event, told
from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import GATEWAY
from tokenroll.services.importers.attribution import Attribution, attribution_from_toml
from tokenroll.services.importers.columns import column_map_from_toml
from tokenroll.services.importers.detecting import usage_files
from tokenroll.services.importers.intake import Intake
from tokenroll.services.lake_importing import KNOWN_FILES, OVERLAPS, Reading, fullness, import_files
from tokenroll.services.list_prices import ListPrices, published_list_prices
from tokenroll.store.lake import LakeView, open_lake
from tokenroll.store.lake_manifest import file_digest
from tokenroll.store.lake_verify import verify_lake


@pytest.fixture(scope="module")
def prices() -> ListPrices:
    return published_list_prices()


def line(number: int, hour: int = 0, *, tokens: int = 1000) -> str:
    return json.dumps(
        {
            "timestamp": f"2026-01-05T{hour:02}:00:30.000Z",
            "sessionId": "monday",
            "requestId": f"req-{number}",
            "message": {
                "id": f"msg-{number}",
                "model": "claude-haiku-4-5",
                "usage": {"input_tokens": tokens, "output_tokens": 50},
            },
        }
    )


def log(folder: Path, who: str, *lines: str) -> Path:
    path = folder / who / ".claude/projects/atlas/monday.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{one}\n" for one in lines))
    return path


def taken(
    logs: Path, home: Path, prices: ListPrices, attribution: Attribution | None = None, disk: Any = None
) -> Intake:
    intake = Intake()
    with open_lake(home, disk) as lake:
        import_files(lake, usage_files([logs]), Reading(prices, attribution or Attribution()), intake)
        lake.compact(2)
        lake.roll_up()
    return intake


def ids(home: Path) -> list[str]:
    return sorted(text for row in told(home) for text in row if isinstance(text, str) and text.startswith("msg-"))


def test_it_is_there_once_however_often_it_is_imported(tmp_path: Path, prices: ListPrices):
    log(tmp_path / "logs", "ada", line(1), line(2, 1))
    log(tmp_path / "logs", "bo", line(3))
    assert taken(tmp_path / "logs", tmp_path / "lake", prices).event_count == 3
    again = taken(tmp_path / "logs", tmp_path / "lake", prices)
    assert (again.event_count, again.other) == (0, {KNOWN_FILES: 2})
    assert ids(tmp_path / "lake") == ["msg-1:req-1", "msg-2:req-2", "msg-3:req-3"]
    assert agrees(tmp_path / "lake")


def test_a_session_that_was_resumed_in_another_file_counts_once(tmp_path: Path, prices: ListPrices):
    path = log(tmp_path / "logs", "ada", line(1), line(2, tokens=900))
    (path.parent / "resumed.jsonl").write_text(f"{line(1)}\n{line(2)}\n{line(3)}\n")
    intake = taken(tmp_path / "logs", tmp_path / "lake", prices)
    assert ids(tmp_path / "lake") == ["msg-1:req-1", "msg-2:req-2", "msg-3:req-3"]
    assert intake.repeat_count == 2
    assert _model_tokens(tmp_path / "lake") == 3150, "the fuller telling of the second stays"
    assert verify_lake(LakeView(tmp_path / "lake")) == []


def test_a_table_that_gave_nothing_is_read_again_with_its_mapping(tmp_path: Path, prices: ListPrices):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "calls.csv").write_text("When,Which,In\n2026-01-05T00:00:00Z,claude-haiku-4-5,1000\n")
    first = taken(tmp_path / "logs", tmp_path / "lake", prices)
    assert first.unknown_files == [str(tmp_path / "logs" / "calls.csv")]
    told_map = column_map_from_toml('[columns]\ntime = "When"\nmodel = "Which"\ninput_tokens = "In"\n')
    intake = Intake()
    with open_lake(tmp_path / "lake") as lake:
        files = usage_files([tmp_path / "logs"])
        assert import_files(lake, files, Reading(prices, Attribution(), told_map), intake) == 1
    assert (intake.bad_count, intake.other) == (0, {})


def test_times_that_cannot_be_are_named_and_left_out(tmp_path: Path, prices: ListPrices):
    later = line(2).replace("2026-01-05", "2999-01-05")
    log(tmp_path / "logs", "ada", line(1), later, line(3).replace("2026-01-05", "1970-01-05"))
    intake = Intake()
    with open_lake(tmp_path / "lake") as lake:
        import_files(lake, usage_files([tmp_path / "logs"]), Reading(prices, Attribution(), now=MONDAY), intake)
    assert ids(tmp_path / "lake") == ["msg-1:req-1"]
    assert [bad.reason for bad in intake.bad_rows] == [
        "msg-2:req-2: it will be at 2999-01-05, which is ahead of this machine's clock",
        "msg-3:req-3: it was at 1970-01-05: a recording with a clock of its own needs --starts-at",
    ]


def test_a_recording_that_needed_a_beginning_is_read_again_with_it(tmp_path: Path, prices: ListPrices):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "calls.csv").write_text("time,model,input_tokens\n7,claude-haiku-4-5,1000\n")
    seconds = column_map_from_toml(
        'time_unit = "seconds"\n[columns]\ntime = "time"\nmodel = "model"\ninput_tokens = "input_tokens"\n'
    )
    for starts_at, count in ((0, 0), (MONDAY, 1), (MONDAY, 0)):
        with open_lake(tmp_path / "lake") as lake:
            reading = Reading(prices, Attribution(), seconds, starts_at=starts_at)
            intake = Intake()
            assert import_files(lake, usage_files([tmp_path / "logs"]), reading, intake) == count
            assert intake.bad_count == (0 if starts_at else 1)


def test_a_folder_whose_name_is_half_a_character_is_read(tmp_path: Path, prices: ListPrices):
    folder = tmp_path / "logs" / os.fsdecode(b"bad\xff") / ".claude/projects/p"
    folder.mkdir(parents=True)
    (folder / "s.jsonl").write_text(line(1) + "\n")
    assert taken(tmp_path / "logs", tmp_path / "lake", prices).bad_count == 0
    assert ids(tmp_path / "lake") == ["msg-1:req-1"]


def test_a_model_that_would_colour_a_terminal_is_a_bad_row(tmp_path: Path, prices: ListPrices):
    log(tmp_path / "logs", "ada", line(1).replace("claude-haiku-4-5", "claude-\\u001b[31mred"), line(2))
    intake = taken(tmp_path / "logs", tmp_path / "lake", prices)
    assert ids(tmp_path / "lake") == ["msg-2:req-2"]
    assert "printable" in intake.bad_rows[0].reason


def test_a_log_that_grew_brings_what_is_new(tmp_path: Path, prices: ListPrices):
    log(tmp_path / "logs", "ada", line(1), line(2, 1))
    taken(tmp_path / "logs", tmp_path / "lake", prices)
    log(tmp_path / "logs", "ada", line(1), line(2, 1, tokens=1001), line(3, 2))
    taken(tmp_path / "logs", tmp_path / "lake", prices)
    assert ids(tmp_path / "lake") == ["msg-1:req-1", "msg-2:req-2", "msg-3:req-3"]
    # 1,000 + 1,001 + 1,000 in and 50 out of each: of the call that is told twice the fuller telling stays
    assert _model_tokens(tmp_path / "lake") == 3151
    assert agrees(tmp_path / "lake")


def test_stopped_anywhere_and_run_again_it_is_the_same_lake(
    tmp_path: Path, prices: ListPrices, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tokenroll.services.lake_importing.IMPORT_SLICE_EVENTS", 2)
    log(tmp_path / "logs", "ada", *(line(number, number) for number in range(5)))
    log(tmp_path / "logs", "bo", *(line(number, number) for number in range(5, 8)))
    taken(tmp_path / "logs", tmp_path / "whole", prices)
    whole = told(tmp_path / "whole")
    assert len(whole) == 8
    for steps in itertools.count():
        home = tmp_path / f"stopped-{steps}"
        try:
            taken(tmp_path / "logs", home, prices, disk=FailingDisk(steps))
        except Stopped:
            taken(tmp_path / "logs", home, prices)
            assert told(home) == whole, steps
        else:
            break
    assert steps > 10


def test_a_call_through_the_gateway_is_not_counted_again(tmp_path: Path, prices: ListPrices):
    through = event(
        1, MONDAY, source=GATEWAY, ended_at=MONDAY + 29_000_000, usage=Usage(input_tokens=1000, output_tokens=50)
    )
    other = event(2, MONDAY + HOUR, source=GATEWAY, usage=Usage(input_tokens=1000, output_tokens=51))
    with open_lake(tmp_path / "lake") as lake:
        lake.append([through, other], {GATEWAY: 2})
    # the first is the gateway's; the second has the same counts but only one such call went through; the third has other counts
    log(tmp_path / "logs", "ada", line(1), line(2), line(3, 1))
    intake = taken(tmp_path / "logs", tmp_path / "lake", prices)
    assert intake.other == {OVERLAPS: 1}
    assert ids(tmp_path / "lake") == ["msg-1", "msg-2", "msg-2:req-2", "msg-3:req-3"]


def test_a_table_is_taken_in_column_by_column_with_the_same_care(tmp_path: Path, prices: ListPrices):
    through = event(
        1, MONDAY, source=GATEWAY, ended_at=MONDAY + 29_000_000, usage=Usage(input_tokens=1000, output_tokens=50)
    )
    with open_lake(tmp_path / "lake") as lake:
        lake.append([through], {GATEWAY: 1})
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "calls.csv").write_text(
        "time,id,user,model,input_tokens,output_tokens,cost\n"
        "2026-01-05T00:00:30Z,msg-a,ada,claude-haiku-4-5,1000,50,0.00125\n"
        "2026-01-05T00:00:30Z,msg-b,ada,claude-haiku-4-5,1000,60,0.0013\n"
        "2026-01-05T00:00:30Z,msg-c,ada,claude-haiku-4-5,many,60,0.0013\n"
        "2026-01-05T00:00:30Z,msg-b,ada,claude-haiku-4-5,1000,60,0.0013\n"
    )
    rules = attribution_from_toml('[[rule]]\nwhen = { member = "ada" }\nset = { member = "Ada Lovelace" }\n')
    intake = taken(tmp_path / "logs", tmp_path / "lake", prices, rules)
    assert (intake.row_count, intake.repeat_count, intake.bad_rows[0].line, intake.other) == (4, 1, 4, {OVERLAPS: 1})
    assert ids(tmp_path / "lake") == ["msg-1", "msg-b"]
    assert any("Ada Lovelace" in row for row in told(tmp_path / "lake"))
    assert taken(tmp_path / "logs", tmp_path / "lake", prices, rules).other == {KNOWN_FILES: 1}


def test_a_call_through_the_gateway_that_two_logs_tell_is_the_gateways_twice(tmp_path: Path, prices: ListPrices):
    through = event(
        1, MONDAY, source=GATEWAY, ended_at=MONDAY + 29_000_000, usage=Usage(input_tokens=1000, output_tokens=50)
    )
    with open_lake(tmp_path / "lake") as lake:
        lake.append([through], {GATEWAY: 1})
    path = log(tmp_path / "logs", "ada", line(1))
    (path.parent / "resumed.jsonl").write_text(f"{line(1)}\n{line(2, 1)}\n")
    assert taken(tmp_path / "logs", tmp_path / "lake", prices).other == {OVERLAPS: 2}
    assert ids(tmp_path / "lake") == ["msg-1", "msg-2:req-2"]


def through_gateway(home: Path) -> None:
    """The first call of `line` went through the gateway, which says so."""
    used = Usage(input_tokens=1000, output_tokens=50)
    with open_lake(home) as lake:
        lake.append([event(1, source=GATEWAY, ended_at=MONDAY + 29_000_000, usage=used)], {GATEWAY: 1})


@pytest.mark.parametrize("slice_events", [1, 1_000])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_call_of_the_gateway_that_a_log_told_half_of_before_is_the_gateways_alone(
    slice_events: int, at_once: bool, tmp_path: Path, prices: ListPrices, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tokenroll.services.lake_importing.IMPORT_SLICE_EVENTS", slice_events)
    through_gateway(tmp_path / "lake")
    half = line(1).replace('"output_tokens": 50', '"output_tokens": 7')
    path = log(tmp_path / "logs", "ada", half, line(2, 1))
    if not at_once:
        taken(tmp_path / "logs", tmp_path / "lake", prices)
        assert ids(tmp_path / "lake") == ["msg-1", "msg-1:req-1", "msg-2:req-2"]
    (path.parent / "resumed.jsonl").write_text(f"{line(1)}\n{line(3, 2)}\n")
    assert taken(tmp_path / "logs", tmp_path / "lake", prices).other[OVERLAPS] == 1
    assert ids(tmp_path / "lake") == ["msg-1", "msg-2:req-2", "msg-3:req-3"]
    # 1,050 of the gateway's and of each of the other two
    assert _model_tokens(tmp_path / "lake") == 3_150
    assert agrees(tmp_path / "lake")
    assert verify_lake(LakeView(tmp_path / "lake")) == []


def test_stopped_anywhere_a_half_telling_of_the_gateways_call_does_not_stay(
    tmp_path: Path, prices: ListPrices, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tokenroll.services.lake_importing.IMPORT_SLICE_EVENTS", 1)
    path = log(tmp_path / "logs", "ada", line(1).replace('"output_tokens": 50', '"output_tokens": 7'))
    (path.parent / "resumed.jsonl").write_text(f"{line(1)}\n{line(2, 1)}\n")
    for steps in itertools.count(0, 3):
        home = tmp_path / f"stopped-{steps}"
        through_gateway(home)
        try:
            taken(tmp_path / "logs", home, prices, disk=FailingDisk(steps))
        except Stopped:
            taken(tmp_path / "logs", home, prices)
            assert ids(home) == ["msg-1", "msg-2:req-2"], steps
        else:
            break
    assert steps > 10


def test_a_table_that_told_half_of_a_gateways_call_before_gives_it_back(tmp_path: Path, prices: ListPrices):
    through_gateway(tmp_path / "lake")
    table = tmp_path / "calls.csv"
    for tokens in (7, 50):
        table.write_text(
            "time,id,user,model,input_tokens,output_tokens\n"
            f"2026-01-05T00:00:20Z,msg-a,ada,claude-haiku-4-5,1000,{tokens}\n"
            "2026-01-05T00:00:30Z,msg-b,ada,claude-haiku-4-5,1000,60\n"
        )
        taken(table, tmp_path / "lake", prices)
    assert ids(tmp_path / "lake") == ["msg-1", "msg-b"]
    assert agrees(tmp_path / "lake")


def test_a_call_at_midnight_is_found_on_the_other_day(tmp_path: Path, prices: ListPrices):
    after = MONDAY + 1_000_000
    with open_lake(tmp_path / "lake") as lake:
        lake.append([event(1, after, source=GATEWAY, usage=Usage(input_tokens=1000, output_tokens=50))], {GATEWAY: 1})
    log(tmp_path / "logs", "ada", line(1).replace("2026-01-05T00:00:30", "2026-01-04T23:59:58"))
    assert taken(tmp_path / "logs", tmp_path / "lake", prices).other == {OVERLAPS: 1}


def test_a_table_that_was_stopped_gives_the_gateway_its_call_once(tmp_path: Path, prices: ListPrices):
    through = event(
        1, MONDAY, source=GATEWAY, ended_at=MONDAY + 29_000_000, usage=Usage(input_tokens=1000, output_tokens=50)
    )
    (tmp_path / "logs").mkdir()
    table = tmp_path / "logs" / "calls.csv"
    table.write_text(
        "time,id,user,model,input_tokens,output_tokens\n"
        "2026-01-05T00:00:20Z,msg-a,ada,claude-haiku-4-5,1000,50\n"
        "2026-01-05T00:00:30Z,msg-b,ada,claude-haiku-4-5,1000,50\n"
    )
    with open_lake(tmp_path / "lake") as lake:
        lake.append([through], {GATEWAY: 1, f"file:{file_digest(table)}": 1})
    taken(tmp_path / "logs", tmp_path / "lake", prices)
    assert ids(tmp_path / "lake") == ["msg-1", "msg-b"], "the row before the mark was the gateway's call"


def test_a_cost_report_that_has_grown_replaces_the_one_of_noon(tmp_path: Path):
    def report(nanos: int) -> Any:
        return event(1, MONDAY, source="openai-costs", usage=Usage(), list_cost_nanos=None, billed_cost_nanos=nanos)

    with open_lake(tmp_path / "lake") as lake:
        lake.append([report(10)], {"a": 1})
        lake.append([report(50)], {"b": 1})
        lake.compact()
        lake.append([report(20)], {"c": 1})
        lake.compact()
    (row,) = told(tmp_path / "lake")
    assert 50 in row
    assert fullness(report(50)) > fullness(report(10)) > fullness(event(1, usage=Usage(), list_cost_nanos=None))


def test_what_retention_removed_does_not_come_back_with_a_log_that_grew(tmp_path: Path, prices: ListPrices):
    log(tmp_path / "logs", "ada", line(1))
    taken(tmp_path / "logs", tmp_path / "lake", prices)
    with open_lake(tmp_path / "lake") as lake:
        assert lake.retain({"": 30}, date(2026, 3, 1)) == 1
    log(tmp_path / "logs", "ada", line(1), line(2).replace("2026-01-05", "2026-02-20"))
    taken(tmp_path / "logs", tmp_path / "lake", prices)
    assert ids(tmp_path / "lake") == ["msg-2:req-2"]


def test_more_days_of_the_gateway_than_are_held_are_found_each_once(
    tmp_path: Path, prices: ListPrices, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tokenroll.store.lake_overlaps.LAKE_OVERLAPS_HELD_MAX", 2)
    through = [
        event(
            day,
            MONDAY + day * DAY,
            source=GATEWAY,
            ended_at=MONDAY + day * DAY + 29_000_000,
            usage=Usage(input_tokens=1000, output_tokens=50),
        )
        for day in range(9)
    ]
    with open_lake(tmp_path / "lake") as lake:
        lake.append(through, {GATEWAY: 9})
    days = [5 + day for day in range(9)]
    told_of = [line(day).replace("2026-01-05", f"2026-01-{day:02}") for day in days]
    # each day once more, with another id, after all the other days: only one such call a day went through
    more = [line(100 + day).replace("2026-01-05", f"2026-01-{day:02}") for day in days]
    log(tmp_path / "logs", "ada", *told_of, *more)
    assert taken(tmp_path / "logs", tmp_path / "lake", prices).other == {OVERLAPS: 9}
    assert len([one for one in ids(tmp_path / "lake") if one.startswith("msg-1") and ":" in one]) == 9


def test_small_calls_are_never_taken_for_each_other(tmp_path: Path, prices: ListPrices):
    with open_lake(tmp_path / "lake") as lake:
        lake.append([event(1, MONDAY, source=GATEWAY, usage=Usage(input_tokens=100, output_tokens=50))], {GATEWAY: 1})
    log(tmp_path / "logs", "ada", line(1, tokens=100))
    assert taken(tmp_path / "logs", tmp_path / "lake", prices).other == {}


def test_rules_say_whose_it_is(tmp_path: Path, prices: ListPrices):
    rules = attribution_from_toml(
        '[[rule]]\nwhen = { member = "ada" }\nset = { member = "Ada Lovelace", department = "Engineering", cost_centre = "E1" }\n'
    )
    log(tmp_path / "logs", "ada", line(1))
    log(tmp_path / "logs", "bo", line(2))
    taken(tmp_path / "logs", tmp_path / "lake", prices, rules)
    rows = {row for one in told(tmp_path / "lake") for row in one if isinstance(row, str)}
    assert {"Ada Lovelace", "Engineering", "E1", "bo"} <= rows
    assert "ada" not in rows


def test_a_bad_row_and_a_stranger_stop_nothing(tmp_path: Path, prices: ListPrices):
    path = log(
        tmp_path / "logs", "ada", line(1), line(2).replace('"output_tokens": 50', '"output_tokens": -50'), line(3)
    )
    (tmp_path / "logs" / "notes.txt").write_text("buy milk\n")
    intake = taken(tmp_path / "logs", tmp_path / "lake", prices)
    assert [(bad.file, bad.line) for bad in intake.bad_rows] == [(str(path), 2)]
    assert intake.other == {"files of no known kind": 1}
    assert ids(tmp_path / "lake") == ["msg-1:req-1", "msg-3:req-3"]


def _model_tokens(home: Path) -> int:
    from tests.lake_kit import sums

    return sums(home, "usage")[1]


def test_of_which_sources_a_file_is_stays_known_when_it_is_not_read_again(tmp_path, prices):
    logs = log(tmp_path / "logs", "ada", line(1))
    table = tmp_path / "proxy.csv"
    table.write_text("time,model,user,input_tokens,output_tokens\n2026-01-05T09:00:00Z,gpt-4o,ada,10,5\n")
    first = taken(logs, tmp_path / "lake", prices)
    assert (first.sources, first.other.get(KNOWN_FILES)) == ({"claude-code"}, None)
    again = taken(logs, tmp_path / "lake", prices)
    assert (again.sources, again.other[KNOWN_FILES]) == ({"claude-code"}, 1)
    assert taken(table, tmp_path / "lake", prices).sources == {"csv"}
    assert taken(table, tmp_path / "lake", prices).sources == {"csv"}
