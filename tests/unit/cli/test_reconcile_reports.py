"""`tokenroll reconcile REPORT…` at the terminal: what Cleo reads, what she books, and what she is told when a file is another."""

import csv
import io
import json

import pytest

from tests.made_home import home_of
from tokenroll.cli import main


@pytest.fixture
def home(tmp_path, monkeypatch, capsys):
    home_of(tmp_path, monkeypatch, ("init",))
    capsys.readouterr()
    return tmp_path


def page(*results):
    data = [{"object": "bucket", "start_time": 1_767_225_600, "end_time": 1_767_312_000, "results": list(results)}]
    return json.dumps({"object": "page", "data": data, "has_more": False, "next_page": None})


def completions(**told):
    return {
        "object": "organization.usage.completions.result", "input_tokens": 1_000, "input_cached_tokens": 0, "output_tokens": 50,
        "num_model_requests": 1, "api_key_id": None, "model": "gpt-5-mini", "batch": False, **told,
    }  # fmt: skip


def ended(capsys, code, *arguments):
    assert main(["reconcile", *map(str, arguments)]) == code
    return capsys.readouterr()


def test_what_went_around_us_is_a_line_with_its_reason(home, capsys):
    report = home / "usage.json"
    report.write_text(
        page(completions(), completions(model="gpt-4o-mini", num_model_requests=0, input_tokens=0, output_tokens=0))
    )
    said = ended(capsys, 1, report).out
    assert "not through us: nothing of this went through us: somebody used the provider without the gateway" in said
    assert "1 of 2 lines agree, or are explained" in said
    rows = list(csv.DictReader(io.StringIO(ended(capsys, 1, report, "--format", "csv").out)))
    assert [
        (row["day"], row["model"], row["provider_input_tokens"], row["ledger_input_tokens"], row["why"]) for row in rows
    ] == [
        ("2026-01-01", "gpt-4o-mini", "0", "0", "agrees"),
        ("2026-01-01", "gpt-5-mini", "1000", "0", "not_ours"),
    ]
    as_json = json.loads(ended(capsys, 1, report, "--format", "json").out)
    assert as_json == json.loads(ended(capsys, 1, report, "--json").out)
    assert (as_json["line_count"], as_json["sound_count"], as_json["true_ups"], as_json["days_not_judged"]) == (
        2,
        1,
        [],
        [],
    )


def test_a_folder_without_a_report_does_not_look_as_if_all_agreed(home, capsys):
    """A job that fetched nothing is found out by its exit code."""
    (home / "reports").mkdir()
    assert "nothing is compared" in ended(capsys, 1, home / "reports").out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("usage.json", "--bill", "usage.json"), 2, "REPORT files are compared by themselves"),
        (("--true-up", "all"), 2, "--true-up, --map and --format are for REPORT files"),
        (("usage.json", "--format", "pdf"), 2, "--format is table, csv, json, not 'pdf'"),
        (("usage.json", "--true-up", "trueup_0"), 1, "trueup_0 is not proposed by these reports as the ledger is now"),
        (("session.jsonl",), 1, "is no report of a provider"),
        (("broken.json",), 1, "1 rows of"),
        (("nowhere.json",), 1, "there is no"),
    ],
)
def test_it_says_what_to_do_instead(home, capsys, monkeypatch, arguments, code, says):
    monkeypatch.chdir(home)
    (home / "usage.json").write_text(page(completions()))
    (home / "session.jsonl").write_text('{"type":"session_meta","payload":{"id":"1","cwd":"/","cli_version":"1"}}\n')
    (home / "broken.json").write_text(page(completions(), completions(input_tokens=-5)))
    said = ended(capsys, code, *arguments)
    assert says in said.err
    assert said.out == ""


def test_nothing_is_left_to_book_where_nothing_is_proposed(home, capsys):
    (home / "usage.json").write_text(page(completions()))
    assert ended(capsys, 0, home / "usage.json", "--true-up", "all").out == "nothing is left to book\n"
