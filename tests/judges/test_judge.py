"""The judge itself: it finds a naive gateway guilty, acquits ours, and says why of one that it could not try."""

import asyncio
import json
import re

import pytest

from judge.__main__ import main
from judge.adapters import GATEWAYS
from judge.court import Books, Finding, dollars
from judge.gateway import CannotRunError
from judge.report import property_of, scorecard, table
from judge.running import Row, Trial, chosen, judged
from judge.trials import SCENARIOS

GUILTY = {
    "T1": "overspend",  # checks, calls, then debits
    "T5": "ignored budget fields",
    "T10": "free calls",  # what was at the provider when it was killed
    "T16": "overspend",
    "T17": "free calls",  # who leaves is not debited
    "T23": "free calls",  # written down every few seconds
    "T31": "free calls",  # no price, no debit
}


def broken(trial):
    return {row.number: sorted(row.finding.broken) for row in trial.rows if row.verdict != "kept"}


def test_it_finds_a_gateway_guilty_that_checks_then_calls_then_debits(tmp_path, capsys):
    found = tmp_path / "findings.json"
    assert (
        main(["--gateway", "naive", "--short", "--only", ",".join([*GUILTY, "T2", "T19"]), "--json", str(found)]) == 1
    )
    (trial,) = json.loads(found.read_text())
    rows = {row["number"]: row for row in trial["rows"]}
    assert {
        number: promise in rows[number]["finding"]["broken"] for number, promise in GUILTY.items()
    } == dict.fromkeys(GUILTY, True)
    # and it can acquit, and can say that there is nothing to try
    assert (rows["T19"]["verdict"], rows["T2"]["verdict"]) == ("kept", "not offered")
    printed = capsys.readouterr().out
    assert "| T1 spend above the budget is still served | 40 calls at once on a budget for 10 |" in printed
    assert "| the cap is never exceeded (T1, T2, T4, T16) | ✗ |" in printed


@pytest.mark.timeout(600)
def test_ours_keeps_what_it_promises_in_a_race_and_in_a_kill():
    trial = asyncio.run(judged(GATEWAYS["tokenroll"](), ["T1", "T10"], seed=7, scale=5))
    assert broken(trial) == {}, table(trial)
    race, kill = (row.finding.seen for row in trial.rows)
    assert race.startswith("10 of 40 served, 30 refused; billed ")
    # how many the provider had billed when the kill came is a matter of moments; all that the bill leaves room for is served
    assert re.match(r"(\d+) of \1 served; billed ", kill), kill


@pytest.mark.judge
@pytest.mark.timeout(5_400)
def test_ours_keeps_every_promise():
    trial = asyncio.run(judged(GATEWAYS["tokenroll"](), chosen(""), seed=1, scale=1))
    assert broken(trial) == {}, table(trial)


# ---- what it says ----------------------------------------------------------------------------------------------------------


def test_it_tries_all_that_the_reference_numbers_from_1_to_18():
    assert {f"T{number}" for number in range(1, 19)} <= set(SCENARIOS)
    assert chosen("t10, T2") == ["T2", "T10"]
    with pytest.raises(KeyError, match="T99"):
        chosen("T99")


def test_of_one_that_cannot_be_run_it_says_why_in_place_of_verdicts(monkeypatch):
    def prepare(_):
        raise CannotRunError("its database is a program that no package carries")

    monkeypatch.setattr(GATEWAYS["naive"], "prepare", prepare)
    trial = asyncio.run(judged(GATEWAYS["naive"](), ["T1", "T10"], seed=1, scale=1))
    assert table(trial).splitlines()[4:] == [
        "| all |  |  | its database is a program that no package carries | not run |"
    ]
    assert "| spending is never lost on SIGKILL (T23) | not tried |" in scorecard([trial])


def books(**changed):
    even = {
        "budget_nanos": 1_000, "billed_nanos": 300, "line_count": 3, "spent_nanos": 300, "open_nanos": 0, "left_nanos": 700,
        "row_count": 3, "forgiven_nanos": 0,
    }  # fmt: skip
    return Books(**{**even, **changed})


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({}, []),
        ({"billed_nanos": 1_001, "spent_nanos": 1_001, "left_nanos": -1}, ["overspend"]),
        ({"billed_nanos": 301}, ["free calls"]),
        ({"billed_nanos": 299}, ["phantom spend"]),
        ({"open_nanos": 1, "left_nanos": 699}, ["phantom spend"]),
        ({"row_count": 2}, ["lost rows"]),
        ({"row_count": None}, []),
        ({"left_nanos": 701}, ["left is not budget less spent"]),
        ({"billed_nanos": 302, "forgiven_nanos": 2}, []),
        ({"billed_nanos": 303, "forgiven_nanos": 2}, ["free calls"]),
    ],
)
def test_each_difference_between_the_books_has_its_name(changed, named):
    assert books(**changed).broken() == named


def test_a_false_denial_is_a_broken_promise():
    assert books().broken(false_denials=1) == ["false denials"]


def test_a_property_is_as_good_as_its_worst_scenario():
    assert property_of({"T1": "kept", "T2": "broken", "T4": "not offered"}) == "✗"
    assert property_of({"T1": "kept", "T4": "not offered"}) == "✓, T4 not offered"
    assert property_of({"T1": "kept", "T4": ""}) == "✓"
    assert property_of({"T4": "not offered"}) == "not offered"
    assert property_of({"T1": "", "T4": "error"}) == "error"
    assert property_of({"T1": ""}) == "not tried"


def test_amounts_are_told_to_the_nano():
    assert [dollars(nanos) for nanos in (0, 1, 1_500_000_000, -20)] == [
        "$0.00",
        "$0.000000001",
        "$1.50",
        "-$0.00000002",
    ]


def test_a_bar_in_what_was_seen_is_no_column():
    row = Row("T1", "a race", Finding("a|b", "c", "d\ne"), "kept")
    assert table(Trial("ours", "", 1, [row])).splitlines()[-1] == "| T1 a race | a/b | c | d e | kept |"
