"""`tokenroll usage`: what an administrator asks of the lake, in which form, and what they are told when it cannot be."""

import csv
import io
import json
import sys
import zipfile
from datetime import date, datetime
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import python_calamine

from tests.lake_kit import DAY, HOUR, MONDAY, event
from tests.made_home import home_of
from tokenroll.cli import main
from tokenroll.services import usage_sheets
from tokenroll.store import lake_libraries
from tokenroll.store.lake import open_lake


@pytest.fixture
def home(tmp_path, monkeypatch, capsys):
    """A new home whose lake has what Ada's and Bo's tools told."""
    home_of(tmp_path, monkeypatch, ("init", "--name", "Acme", "--zone", "UTC"))
    with open_lake(tmp_path / "home" / "lake") as lake:
        lake.append(
            [event(1), event(2, MONDAY + DAY), event(3, member="=Bo", purpose="personal", list_cost_nanos=None)],
            {"claude-code": 3},
        )
    capsys.readouterr()
    return tmp_path


def said(capsys, *arguments, code=0):
    assert main(["usage", *arguments]) == code
    return capsys.readouterr()


def test_a_question_is_answered_as_a_table(home, capsys):
    shown = said(capsys, "query", "--by", "member", "--measure", "calls,input,list").out.split("\n")
    assert [line.split() for line in shown if line.strip()][2:] == [
        ["=Bo", "1", "100", "-"],
        ["Ada", "2", "200", "0.000002"],
    ]


def test_the_same_as_csv_json_and_parquet(home, capsys):
    question = ("query", "--by", "member", "--measure", "calls,list", "--order=-calls")
    lines = list(csv.reader(io.StringIO(said(capsys, *question, "--format", "csv").out)))
    assert lines == [["member", "call_count", "list_cost_usd"], ["Ada", "2", "0.000002000"], ["'=Bo", "1", ""]]
    told = json.loads(said(capsys, *question, "--json").out)
    assert told == {
        "answered_from": "rollup",
        "rows": [
            {"member": "Ada", "call_count": 2, "list_cost": {"amount": "0.000002000", "unit": "USD"}},
            {"member": "=Bo", "call_count": 1, "list_cost": None},
        ],
    }
    assert "2 rows in" in said(capsys, *question, "--format", "parquet", "--output", str(home / "answer.parquet")).err
    table = pq.read_table(home / "answer.parquet")
    assert table.to_pylist() == [
        {"member": "Ada", "call_count": 2, "list_cost_nanos": 2_000},
        {"member": "=Bo", "call_count": 1, "list_cost_nanos": None},
    ]
    assert table.schema.metadata[b"currency"] == b"USD"
    said(capsys, *question, "--format", "csv", "--output", str(home / "answer.csv"))
    assert (home / "answer.csv").read_text().startswith("member,call_count,list_cost_usd\nAda,2,")


def test_the_same_as_a_workbook_that_an_outside_reader_reads(home, capsys):
    book = home / "answer.xlsx"
    question = (
        "query",
        "--by",
        "member,day",
        "--measure",
        "calls,list,input",
        "--format",
        "xlsx",
        "--output",
        str(book),
    )
    assert "3 rows in" in said(capsys, *question).err
    sheets = python_calamine.CalamineWorkbook.from_path(book)
    assert sheets.sheet_names == ["usage", "columns"]
    assert sheets.get_sheet_by_name("usage").to_python() == [
        ["member", "day", "call_count", "list_cost_usd", "input_tokens"],
        ["=Bo", date(2026, 1, 5), 1.0, "", 100.0],
        ["Ada", date(2026, 1, 5), 1.0, 0.000001, 100.0],
        ["Ada", date(2026, 1, 6), 1.0, 0.000001, 100.0],
    ]
    assert ["list_cost_usd", "USD", "an amount, exact to the billionth"] in sheets.get_sheet_by_name(
        "columns"
    ).to_python()
    with zipfile.ZipFile(book) as packed:
        sheet, styles = (packed.read(f"xl/{name}.xml").decode() for name in ("worksheets/sheet1", "styles"))
    assert 'state="frozen"' in sheet
    assert "<f>" not in sheet, "a name that begins as a formula is none"
    assert "#,##0.000000000" in styles


def test_a_workbook_loses_no_digit(home, capsys):
    """Fifteen digits are a number; with one more a spreadsheet would round, so it is a text, and people are told."""
    with open_lake(home / "home" / "lake") as lake:
        lake.append(
            [
                event(4, MONDAY + 7 * HOUR, project="Di", list_cost_nanos=123_456_123_456_789),
                event(5, project="Ed", list_cost_nanos=1_234_567_123_456_789),
                event(6, project="Fay", list_cost_nanos=10**18),
            ],
            {"claude-code": 6},
        )
    book = home / "answer.xlsx"
    question = ("query", "--by", "project,hour", "--measure", "list", "--format", "xlsx", "--output", str(book))
    assert "list_cost_usd: numbers of more than 15 digits stand there as texts" in said(capsys, *question).err
    sheets = python_calamine.CalamineWorkbook.from_path(book)
    head, *rows = sheets.get_sheet_by_name("usage").to_python()
    assert head == ["project", "hour_utc", "list_cost_usd"]
    found = {row[0]: row[2] for row in rows}
    assert (found["Di"], found["Ed"], found["Fay"]) == (123456.123456789, "1234567.123456789", 1e9)
    assert {row[1] for row in rows if row[0] == "Di"} == {datetime(2026, 1, 5, 7)}
    assert any(
        "; 1 have more than 15 digits" in str(cell)
        for row in sheets.get_sheet_by_name("columns").to_python()
        for cell in row
    )


def test_a_workbook_needs_its_extra_and_has_an_end(home, capsys, monkeypatch):
    question = ("query", "--by", "member", "--format", "xlsx", "--output", str(home / "answer.xlsx"))
    monkeypatch.setattr(usage_sheets, "ANSWER_SHEET_ROWS_MAX", 1)
    assert "2 rows are more than the 1 of a worksheet: use CSV or Parquet" in said(capsys, *question, code=1).err
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    assert "install tokenroll[sheets], or use CSV" in said(capsys, *question, code=1).err


def test_periods_are_days_or_instants(home, capsys):
    for until in ("2026-01-06", "2026-01-06T00:00:00Z"):
        told = json.loads(
            said(capsys, "query", "--from", "2026-01-05", "--until", until, "--measure", "calls", "--json").out
        )
        assert told["rows"] == [{"call_count": 2}]
    hours = json.loads(said(capsys, "query", "--by", "hour", "--measure", "calls", "--json").out)["rows"]
    assert hours[0] == {"hour_at": "2026-01-05T00:00:00Z", "call_count": 2}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--by", "colour"), "there is no dimension 'colour': there are member, department, cost_centre"),
        (("--measure", "joy"), "there is no measure 'joy': there are calls, input"),
        (("--where", "Ada"), "'Ada' is no condition"),
        (("--format", "xml"), "--format is table, csv, json, parquet, xlsx, not 'xml'"),
        (("--format", "parquet"), "is written into a file: name it with --output"),
        (("--format", "xlsx"), "--format xlsx is written into a file: name it with --output"),
        (("--from", "soon"), "--from: 'soon' is not an RFC 3339 time"),
    ],
)
def test_a_question_that_cannot_be_asked_is_wrong_usage(home, capsys, arguments, says):
    assert says in said(capsys, "query", *arguments, code=2).err


def test_seal_verify_and_retain(home, capsys):
    assert json.loads(said(capsys, "seal", "--dry-run", "--json").out) == {"waiting_count": 0, "dry_run": True}
    sealed = json.loads(said(capsys, "seal", "--json").out)
    assert (sealed["event_count"], sealed["summed_file_count"], sealed["file_count"]) == (0, 2, 6)
    assert "sealed" in said(capsys, "seal").out
    assert "6 files with 3 events are as they were written" in said(capsys, "verify").out
    assert "would remove 1 events" in said(capsys, "retain", "--keep", "personal=30", "--dry-run").out
    assert (
        json.loads(said(capsys, "retain", "--keep", "personal=30", "--keep", "none=1", "--json").out)["removed_count"]
        == 1
    )
    assert json.loads(said(capsys, "query", "--no-seal", "--measure", "calls", "--json").out)["rows"] == [
        {"call_count": 2}
    ]
    assert "such as personal=90" in said(capsys, "retain", "--keep", "personal", code=2).err


def test_what_was_changed_is_named_and_the_exit_code_says_so(home, capsys):
    said(capsys, "seal")
    path = next((home / "home" / "lake").rglob("*.parquet"))
    path.unlink()
    found = said(capsys, "verify", "--json", code=1)
    assert "is gone" in json.loads(found.out)["differences"][0]
    assert "put the files back from your backup" in said(capsys, "verify", code=1).out


def test_a_lake_that_is_being_written_answers_from_what_is_sealed(home, capsys):
    with open_lake(home / "home" / "lake"):
        told = said(capsys, "query", "--measure", "calls", "--json")
        assert json.loads(told.out)["rows"] == [{"call_count": 3}]
        assert "the answer is of what is sealed so far" in told.err
        assert "another process is writing the usage lake" in said(capsys, "seal", code=1).err


def test_without_the_extra_a_person_is_told_what_to_install(home, capsys, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(lake_libraries, "importlib", SimpleNamespace(import_module=absent))
    assert "install `tokenroll[lake]`" in said(capsys, "query", code=1).err


def test_usage_from_elsewhere_is_imported_and_asked(home, tmp_path, capsys):
    folder = tmp_path / "ada/.claude/projects/atlas"
    folder.mkdir(parents=True)
    usage = {"input_tokens": 1000, "output_tokens": 100}
    told = {
        "timestamp": "2026-01-05T10:00:00Z",
        "sessionId": "s",
        "requestId": "r",
        "message": {"id": "m", "model": "claude-haiku-4-5", "usage": usage},
    }
    (folder / "s.jsonl").write_text(json.dumps(told) + "\n{broken\n")
    assert main(["usage", "import", str(tmp_path / "ada"), "--dry-run"]) == 0
    assert "would take 1 events" in capsys.readouterr().out
    assert main(["usage", "import", str(tmp_path / "ada")]) == 0
    assert "took 1 events out of 1 files and 2 rows" in capsys.readouterr().out
    assert main(["usage", "import", str(tmp_path / "ada"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["event_count"] == 0
    assert (
        main(
            [
                "usage",
                "query",
                "--by",
                "member,source",
                "--measure",
                "calls,list",
                "--where",
                "member=ada",
                "--format",
                "csv",
            ]
        )
        == 0
    )
    # 1,000 at 1 and 100 at 5 USD a million
    assert capsys.readouterr().out.splitlines()[1:] == ["ada,claude-code,1,0.001500000"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["{tmp}/nowhere"], 1, "there is no"),
        (["{tmp}", "--rules", "{tmp}/rules.toml"], 1, "cannot be read"),
        (["{tmp}", "--map", "{tmp}/map.toml"], 2, "map.toml"),
    ],
)
def test_an_import_that_cannot_begin_says_why(arguments, code, says, home, tmp_path, capsys):
    (tmp_path / "map.toml").write_text("when = 3\n")
    assert main(["usage", "import", *(one.format(tmp=tmp_path) for one in arguments)]) == code
    assert says in capsys.readouterr().err


def test_nobody_asks_for_the_hours_of_one_person(home, capsys):
    for by in ("member,hour", "hour,key", "session,hour"):
        assert "hours of one person" in said(capsys, "query", "--by", by, code=2).err
    for where in ("member=Ada", "member!=Ada", "key~k"):
        assert "hours of one person" in said(capsys, "query", "--by", "hour", "--where", where, code=2).err
    assert "department" in said(capsys, "query", "--by", "department,hour").out


@pytest.mark.parametrize("by", ["day,member", "member", "day"])
def test_an_answer_is_drawn(by, home, capsys):
    said(capsys, "query", "--by", by, "--measure", "list", "--image", str(home / "answer.svg"))
    drawn = (home / "answer.svg").read_text()
    assert "list cost" in drawn
    assert ("Ada" in drawn) == ("member" in by)


@pytest.mark.parametrize(("name", "begins"), [("answer.pdf", b"%PDF"), ("answer.png", b"\x89PNG")])
def test_an_answer_is_drawn_for_paper_and_screens(name, begins, home, capsys):
    said(capsys, "query", "--by", "day,member", "--measure", "list", "--image", str(home / name))
    assert (home / name).read_bytes().startswith(begins)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--by", "member,model", "--measure", "list", "--image", "{}/a.svg"), 2, "a picture is of a cost by day"),
        (("--by", "member", "--measure", "calls", "--image", "{}/a.svg"), 2, "a picture is of a cost by day"),
        (("--by", "member", "--measure", "list", "--image", "{}/a.gif"), 1, "svg, png, pdf"),
        (("--by", "member", "--where", "member=Zoe", "--image", "{}/a.svg"), 2, "nothing to draw"),
    ],
)
def test_what_cannot_be_drawn_says_why(arguments, code, says, home, capsys):
    assert says in said(capsys, "query", *(one.format(home) for one in arguments), code=code).err
    assert not (home / "a.svg").exists()


def test_an_import_is_taken_back_and_says_so(home, tmp_path, capsys):
    trace = tmp_path / "azure.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2026-01-05 08:00:00,1000,50\n")
    assert main(["usage", "import", str(trace)]) == 0
    assert main(["usage", "forget", str(trace), "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert told == {"source": "azure-trace", "event_count": 1, "days": {"2026-01-05": 1}, "dry_run": True}
    assert main(["usage", "forget", str(trace)]) == 0
    assert "forgot 1 events of azure-trace" in capsys.readouterr().out
    assert main(["usage", "forget", "azure-trace"]) == 1
    assert "is neither a file nor a source that is in" in capsys.readouterr().err
    assert main(["usage", "import", str(trace), "--model", "gpt-4o-mini"]) == 0
    assert "took 1 events" in capsys.readouterr().out
    assert main(["usage", "verify"]) == 0


def test_what_others_told_twice_is_not_taken_for_less_that_is_new(home, tmp_path, capsys):
    for number in range(2):
        with open_lake(home / "home" / "lake") as lake:
            lake.append([event(7), event(8), event(10 + number)], {"others": number})
    trace = tmp_path / "azure.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2026-01-05 08:00:00,1000,50\n")
    assert main(["usage", "import", str(trace)]) == 0
    assert "took 1 events" in capsys.readouterr().out
