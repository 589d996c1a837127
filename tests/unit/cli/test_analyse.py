"""`tokenroll analyse` on logs of Ada and Bo: answers, page, picture; and what is said when there is nothing to answer."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tokenroll.cli.program import run
from tokenroll.services.analysis_texts import usd_parts
from tokenroll.services.sample_logs import write_sample_logs

UNTIL = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample_logs(tmp_path_factory.mktemp("year"), until=UNTIL)


def analyse(*arguments: str) -> int:
    return run(["analyse", *arguments])


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert analyse(*arguments, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_year_is_answered_for(year: Path, capsys: pytest.CaptureFixture[str]):
    found = answer(capsys, str(year))
    # what the sample's seed makes: a change of these figures is a change of how usage is read or priced
    assert found["total"]["call_count"] == 15_720
    assert found["total"]["list_cost"] == "874.5733475"
    assert [(one["name"], one["list_cost"]) for one in found["by_source"]] == [
        ("claude-code", "853.765036"),
        ("codex", "20.8083115"),
    ]
    assert [one["rule"] for one in found["waste"]["findings"]] == ["W9", "W5", "W5", "W6"]
    assert found["intake"]["bad_count"] == 0
    assert found["month_ahead"]["list_cost"]["backtest"]["origin_count"] == 4


def test_every_way_to_sum_gives_the_same_sum(year: Path, capsys: pytest.CaptureFixture[str]):
    found = answer(capsys, str(year))
    whole = _nanos(found["total"]["list_cost"])
    for name in ("by_member", "by_model", "by_project", "by_source", "by_month", "days"):
        assert sum(_nanos(one["list_cost"]) for one in found[name]) == whole, name
    assert found["hours_of_week"] is None, "the hours of two people would tell each one's"
    bo = answer(capsys, str(year / "bo"))
    assert sum(_nanos(nanos) for row in bo["hours_of_week"] for nanos in row) == _nanos(bo["total"]["list_cost"])


def test_printed_parts_add_up_to_the_printed_total(year: Path, capsys: pytest.CaptureFixture[str]):
    """853.765036 and 20.8083115 would print as 853.77 and 20.81, which is a cent above 874.57."""
    assert usd_parts([853_765_036_000, 20_808_311_500]) == ["853.76", "20.81"]
    assert usd_parts([3_333_333_333] * 3) == ["3.34", "3.33", "3.33"]
    assert usd_parts([-5_000_000, 15_000_000]) == ["0.00", "0.01"]
    assert usd_parts([]) == []
    assert analyse(str(year)) == 0
    told = capsys.readouterr()
    assert "874.57 USD at list price" in told.out
    assert "Hours are withheld: of 2 people they would tell each one's habits" in told.err


def test_the_same_logs_twice_count_once(year: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    once = answer(capsys, str(year))
    copy = tmp_path / "copy"
    shutil.copytree(year / "bo", copy / "bo")
    twice = answer(capsys, str(year), str(year), str(copy))
    assert twice["total"] == once["total"]
    assert twice["intake"]["repeat_count"] == 2_008


def test_whose_logs_they_are_is_read_from_their_folders(year: Path, capsys: pytest.CaptureFixture[str]):
    found = answer(capsys, str(year))
    assert [(one["name"], one["call_count"]) for one in found["by_member"]] == [("ada", 13_712), ("bo", 2_008)]


def test_a_table_is_analysed_by_its_mapping(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "calls.csv").write_text("When,Who,Which,In,Out\n2026-02-03T08:00:00Z,Cleo,claude-haiku-4-5,1000,100\n")
    (tmp_path / "map.toml").write_text(
        'provider = "anthropic"\n[columns]\ntime = "When"\nmember = "Who"\nmodel = "Which"\ninput_tokens = "In"\noutput_tokens = "Out"\n'
    )
    found = answer(capsys, str(tmp_path / "calls.csv"), "--map", str(tmp_path / "map.toml"))
    # 1,000 at 1 and 100 at 5 USD a million
    assert (found["by_member"][0]["name"], found["total"]["list_cost"]) == ("Cleo", "0.0015")


def test_a_person_reads_sentences_and_tables(year: Path, capsys: pytest.CaptureFixture[str]):
    assert analyse(str(year)) == 0
    said = capsys.readouterr()
    assert "874.57 USD at list price, 2025-11-27 to 2026-11-26 (UTC)" in said.out
    assert "claude-opus-4-1-20250805" in said.out
    assert "The next 30 days: " in said.out
    assert "Tried on 4 months of this past" in said.out
    assert "valued at list price, not billed" in said.err


def test_the_page_is_one_file_that_asks_for_nothing(year: Path, tmp_path: Path):
    page = tmp_path / "analysis.html"
    assert analyse(str(year), "--page", str(page)) == 0
    text = page.read_text()
    assert "874.57" in text
    assert text.count("<svg") >= 3
    for asks in ("<script", "<link", 'src="', "@import", "url(http"):
        assert asks not in text, asks


@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("a.svg", b"<svg"), ("a.pdf", b"%PDF")])
def test_the_picture_is_written_as_its_name_asks(name: str, begins: bytes, year: Path, tmp_path: Path):
    assert analyse(str(year), "--image", str(tmp_path / name)) == 0
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_what_a_log_says_cannot_become_part_of_the_page(tmp_path: Path):
    line = {
        "timestamp": "2026-02-03T08:00:00.000Z",
        "sessionId": "s",
        "cwd": "/srv/<script>alert(1)</script>",
        "message": {"id": "m", "model": "<b>model</b>", "usage": {"input_tokens": 1, "output_tokens": 1}},
    }
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps(line) + "\n")
    page = tmp_path / "page.html"
    assert analyse(str(log), "--page", str(page)) == 0
    text = page.read_text()
    assert "<script>alert" not in text
    assert "<b>model" not in text
    assert "&lt;b&gt;model" in text


def test_it_writes_over_nothing_that_it_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    log = tmp_path / "log.jsonl"
    log.write_text('{"sessionId": "s"}\n')
    assert analyse(str(log), "--page", str(log)) == 2
    assert "one of the files that are read" in capsys.readouterr().err
    assert log.read_text() == '{"sessionId": "s"}\n'
    assert analyse(str(log), "--page", str(tmp_path / "a.svg"), "--image", str(tmp_path / "a.svg")) == 2
    assert analyse(str(log), "--page", str(tmp_path / "nowhere" / "a.html")) == 2


def test_a_clock_of_the_year_9999_spoils_no_report(year: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    line = {
        "timestamp": "9999-12-31T23:59:59Z",
        "sessionId": "s",
        "message": {"id": "m", "model": "claude-haiku-4-5", "usage": {"input_tokens": 1, "output_tokens": 1}},
    }
    (tmp_path / "log.jsonl").write_text(json.dumps(line) + "\n")
    found = answer(capsys, str(year), str(tmp_path))
    assert found["total"]["list_cost"] == "874.5733475"
    assert "ahead of this machine's clock" in found["intake"]["bad_rows"][0]["reason"]


def test_a_seat_of_ones_own_is_compared(year: Path, capsys: pytest.CaptureFixture[str]):
    found = answer(capsys, str(year), "--seat", "anthropic:Team=30", "--seat", "Everything=55.50")
    everything, team = found["seats"]
    assert (team["name"], team["month_price"], team["list_cost"]) == ("Team", "30.00", "853.765036")
    assert (everything["name"], everything["month_price"], everything["list_cost"]) == (
        "Everything",
        "55.50",
        "874.5733475",
    )


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["{tmp}/nowhere"], 1, "there is no"),
        (["{tmp}"], 1, "no usage in 0 files"),
        (["--sample", "--zone", "Mars"], 2, "--zone: 'Mars' is no time zone"),
        (["--sample", "--seat", "Team"], 2, "--seat: 'Team' is no NAME=USD"),
        (["--sample", "--seat", "Team=1.2.3"], 2, "--seat: 'Team=1.2.3' is no NAME=USD"),
        (["--sample", "--image", "{tmp}/a.gif"], 2, "must end in .svg, .png, .pdf"),
    ],
)
def test_what_cannot_be_answered_says_why(
    arguments: list[str], code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert analyse(*(one.format(tmp=tmp_path) for one in arguments)) == code
    assert says in capsys.readouterr().err


def test_without_logs_it_says_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert analyse() == 1
    assert "~/.claude/projects" in capsys.readouterr().err


def _nanos(text: str) -> int:
    whole, _, part = text.partition(".")
    return int(whole) * 10**9 + int(part.ljust(9, "0"))
