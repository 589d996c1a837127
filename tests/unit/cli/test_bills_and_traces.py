"""Files that people name by mistake or get in pieces: nothing is sent of them, and the sentence says which line and why."""

import gzip
import json

import pytest

from tests.made_home import home_of
from tokenroll.cli import main
from tokenroll.services.replay_proof import Proof
from tokenroll.services.replaying import ReplaySummary

LINE = {
    "call_id": "call_00000000000000000000000000000001", "attempt": 1, "request_id": "req-1", "provider": "anthropic",
    "model": "sonnet", "service_tier": "standard", "at": 1_767_225_600_000_000, "usage": {"input": 10, "output": 5},
    "status": "complete", "cost_nanos": 105_000,
}  # fmt: skip
WHOLE = gzip.compress(json.dumps(LINE).encode())


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, capsys):
    home_of(tmp_path, monkeypatch, ("init",))
    capsys.readouterr()


@pytest.fixture
def nothing_sent(monkeypatch):
    monkeypatch.setattr("tokenroll.cli.reconcile.execute", lambda *_, **__: pytest.fail("sent to the ledger"))


def told(capsys, *arguments):
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ('"cost_nanos": 1e30', "cost_nanos is 1e+30; it must be a whole number from 0 to 1000000000000000000"),
        ('"cost_nanos": 99999999999999999999999', "cost_nanos is 99999999999999999999999; it must be a whole number from 0 to 1000000000000000000"),
        ('"cost_nanos": -1', "cost_nanos is -1; it must be a whole number from 0 to 1000000000000000000"),
        ('"cost_nanos": Infinity', "cost_nanos is inf; it must be a whole number from 0 to 1000000000000000000"),
        ('"usage": {"input": 1e30}', "usage.input is 1e+30; it must be a whole number from 0 to 1000000000000"),
        ('"attempt": true', "attempt is True; it must be a whole number from 0 to 2147483647"),
        ('"usage": {"smoke": 1}', "usage has 'smoke', which is no meter; known: input, "),
        ('"usage": [1]', "usage is [1]; it must be an object of counts"),
        ('"request_id": 7', "request_id is 7; it must be a text"),
        ('"model": "\\ud800"', "model is no text that can be written as UTF-8"),
    ],
)  # fmt: skip
def test_it_refuses_a_bill_whole_for_one_value_that_no_row_can_hold(nothing_sent, tmp_path, capsys, changes, says):
    line = json.dumps(LINE)
    (tmp_path / "bill").write_text(f"{line}\n{line[:-1]}, {changes}}}\n")
    said = told(capsys, "reconcile", "--bill", str(tmp_path / "bill"))
    assert said.startswith(
        f"tokenroll: {tmp_path}/bill has 1 line that is no bill row, so nothing was changed: line 2: {says}"
    )


def test_it_refuses_a_bill_whose_sum_no_row_can_hold(nothing_sent, tmp_path, capsys):
    rows = [{**LINE, "request_id": name, "cost_nanos": 6 * 10**17} for name in ("a", "b")]
    (tmp_path / "bill").write_text("\n".join(map(json.dumps, rows)))
    said = told(capsys, "reconcile", "--bill", str(tmp_path / "bill"))
    assert said == (
        f"tokenroll: the rows of {tmp_path}/bill cost more than 1000000000000000000 nanos together, so nothing was changed\n"
    )


def test_it_says_which_field_is_missing(nothing_sent, tmp_path, capsys):
    lines = ["{}", "[]", "{", json.dumps({**LINE, "usage": {}}).replace("request_id", "id")]
    (tmp_path / "bill").write_text("\n".join(lines))
    said = told(capsys, "reconcile", "--bill", str(tmp_path / "bill"))
    assert "has 4 lines that are no bill rows, so nothing was changed: line 1: call_id is missing; " in said
    assert "; line 2: not a JSON object; line 3: not JSON: " in said
    assert said.endswith("; line 4: request_id is missing\n")


def test_it_says_which_line_is_not_utf8(nothing_sent, tmp_path, capsys):
    (tmp_path / "bill").write_bytes(json.dumps(LINE).encode() + b"\n\xff\xfe\x80\n")
    assert told(capsys, "reconcile", "--bill", str(tmp_path / "bill")).endswith(
        ": line 2: not UTF-8 text; a bill is JSON lines in UTF-8, so convert it or name the right file\n"
    )


@pytest.mark.parametrize("damaged", [b"\x1f\x8b\x08bad", WHOLE[:-9], b"{}"])
def test_it_says_that_a_packed_bill_is_not_whole(nothing_sent, tmp_path, capsys, damaged):
    (tmp_path / "bill.gz").write_bytes(damaged)
    said = told(capsys, "reconcile", "--bill", str(tmp_path / "bill.gz"))
    assert said.startswith(f"tokenroll: {tmp_path}/bill.gz is not whole gzip (")
    assert said.endswith("), so nothing was changed: fetch the bill again\n")


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_bill_without_rows_agrees_with_nothing(nothing_sent, tmp_path, capsys, text):
    (tmp_path / "bill").write_text(text)
    assert told(capsys, "reconcile", "--bill", str(tmp_path / "bill")) == (
        f"tokenroll: {tmp_path}/bill has no rows, so it says nothing of the 0 settled attempts in the ledger, "
        "and nothing was changed: ask the provider for the bill of this time\n"
    )


def test_it_counts_settled_attempts_that_the_bill_does_not_name(monkeypatch, tmp_path, capsys):
    answer = {"differences": [], "difference_count": 0, "resolved_count": 2, "settled_on_bill_count": 5}
    monkeypatch.setattr("tokenroll.cli.reconcile.execute", lambda *_, **__: answer)
    monkeypatch.setattr("tokenroll.cli.reconcile._settled_count", lambda: 8)
    (tmp_path / "bill").write_text(json.dumps(LINE))
    assert main(["reconcile", "--bill", str(tmp_path / "bill")]) == 0
    assert (
        "no difference: bill and ledger agree to the nano; 3 settled attempts are not on this bill\n"
        in capsys.readouterr().out
    )
    assert main(["reconcile", "--bill", str(tmp_path / "bill"), "--json", "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["settled_not_on_bill_count"] == 5


def test_a_bill_goes_through_packed_or_not_with_what_else_stands_on_its_lines(tmp_path, capsys):
    (tmp_path / "bill").write_bytes(gzip.compress(json.dumps({**LINE, "note": 10**30}).encode()))
    assert main(["reconcile", "--bill", str(tmp_path / "bill"), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [one["kind"] for one in found["differences"]] == ["unknown"]
    assert (found["settled_on_bill_count"], found["settled_not_on_bill_count"]) == (0, 0)


@pytest.mark.parametrize(
    ("text", "trace_format", "counts"),
    [
        ("", "azure", "0 rows read, 0 bad, 0 of other kinds. Is --format right?"),
        ("x\n{\n", "mooncake", "2 rows read, 2 bad, 0 of other kinds. Is --format right?; not JSON: first in lines [1, 2]"),
        ('{"event": "launched"}\n', "aider", "1 rows read, 0 bad, 1 of other kinds (launched). Is --format right?"),
    ],
)  # fmt: skip
def test_a_replay_of_nothing_proves_nothing(tmp_path, capsys, text, trace_format, counts):
    (tmp_path / "trace").write_text(text)
    line = ["replay", str(tmp_path / "trace"), "--format", trace_format, "--model", "m"]
    says = f"nothing was replayed: {tmp_path}/trace has no call that --format {trace_format} can read: {counts}"
    assert told(capsys, *line) == f"tokenroll: {says}\n"
    assert main([*line, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["problem"] == {"kind": "nothing_replayed", "detail": says}


def test_it_replays_no_part_of_a_packed_trace_that_is_not_whole(tmp_path, capsys):
    (tmp_path / "bad.gz").write_bytes(b"\x1f\x8b\x08bad")
    said = told(capsys, "replay", str(tmp_path / "bad.gz"), "--format", "azure", "--model", "m")
    assert said.startswith(f"tokenroll: {tmp_path}/bad.gz is not whole gzip (")


@pytest.mark.parametrize(("calls", "good"), [(0, False), (1, True)])
def test_a_replay_is_good_only_with_a_call(calls, good):
    summary = ReplaySummary(
        trace="t", rows={}, calls=calls, served=calls, denied={}, failed={}, members=1, elapsed_seconds=1.0, speed=1.0,
        late_p99_ms=0.0, durability="synced", fold_lag_ms=0.0, added_latency_ms={}, proof=Proof(),
    )  # fmt: skip
    assert summary.good is good


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Invoice 2026-01\n\nDear customer,\nplease pay 12.50 USD.\n", "line 1: not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("[\n  1,\n  2\n]\n", "line 1: not JSON: Expecting value: line 2 column 1 (char 2)"),
        ("7\n8\n", "line 1: not a JSON object"),
    ],
)  # fmt: skip
def test_what_is_no_bill_at_all_is_one_sentence(nothing_sent, tmp_path, capsys, text, first):
    (tmp_path / "bill").write_text(text)
    count = sum(bool(line.strip()) for line in text.splitlines())
    assert told(capsys, "reconcile", "--bill", str(tmp_path / "bill")) == (
        f"tokenroll: {tmp_path}/bill is no bill, so nothing was changed: a bill has a line of JSON for each request, as docs/reconcile.md "
        f"says, and none of these {count} is one ({first}). A provider's usage or cost report is compared without --bill: "
        f"tokenroll reconcile {tmp_path}/bill\n"
    )
