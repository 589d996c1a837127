"""`tokenroll cost meters`: two calls of Dev cost a thousand times what their tokens do, until Cleo has looked at the invoice."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.lake_kit import DAY, HOUR, event
from tests.made_home import home_of
from tokenroll.cli import main
from tokenroll.model.usage import Usage
from tokenroll.store.lake import open_lake

MARCH = 1_772_323_200_000_000  # 2026-03-01T00:00:00Z
USD = 10**9
CLEO = ("--by", "Cleo", "--reason", "The invoice says the same.")


def used(number: int, at: int, cost_nanos: int, **more: Any) -> Any:
    facts = {
        "source": "litellm",
        "member": "Dev",
        "requested_model": "haiku",
        "usage": Usage(input_tokens=1000, output_tokens=0),
    }
    return event(number, at, **(facts | more), list_cost_nanos=cost_nanos)  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """Forty days of one call of a dollar, and on the last one two of 1,000 and 500 dollars."""
    home_of(tmp_path, monkeypatch, ("init", "--name", "Acme", "--zone", "UTC"))
    with open_lake(tmp_path / "home" / "lake") as lake:
        good = [used(number, MARCH + number * DAY, USD, outcome="pr-1") for number in range(40)]
        wrong = [
            used(98, MARCH + 39 * DAY, 1000 * USD, outcome="pr-1"),
            used(99, MARCH + 39 * DAY + HOUR, 500 * USD),
        ]
        lake.append([*good, *wrong], {"litellm": 1})
    capsys.readouterr()
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def states(capsys: pytest.CaptureFixture[str]) -> list[tuple[Any, ...]]:
    lines = answer(capsys, "cost", "meters")["meters"]
    return [(one["state"], one["call_count"], one["list_cost"]) for one in lines]


def test_what_is_quarantined_is_listed_with_where_since_when_how_much_and_how_far_off(home, capsys):
    (line,) = answer(capsys, "cost", "meters")["meters"]
    assert (line["source"], line["model"], line["state"], line["currency"]) == ("litellm", "haiku", "waiting", "USD")
    assert (line["since_at"], line["call_count"], line["list_cost"]) == ("2026-04-09T00:00:00Z", 2, "1500.00")
    assert (line["times_least"], line["times_most"]) == (500, 1000)
    assert main(["cost", "meters"]) == 0
    shown = capsys.readouterr().out
    for says in ("litellm", "haiku", "2026-04-09", "1 500.00", "500 to 1 000", "waiting", "cost confirm-meter"):
        assert says in shown, says


def test_one_who_confirms_says_who_and_why_and_the_call_counts_again(home, capsys):
    log = home / "outcomes.csv"
    log.write_text("outcome,at,event\npr-1,2026-04-20T00:00:00Z,merged\n")
    before = answer(capsys, "cost", "outcomes", str(log))
    assert (before["spend"], before["unattributed"]) == ("40.00", "0.00")
    assert before["left_out"] == {
        "call_count": 2, "amount": "1500.00", "unit": "USD", "seen_with": "tokenroll cost meters",
    }  # fmt: skip
    decided = answer(capsys, "cost", "confirm-meter", "litellm", "haiku", "--call", "msg-98", *CLEO)
    assert (decided["call_count"], decided["list_cost"], decided["by"]) == (1, "1000.00", "Cleo")
    after = answer(capsys, "cost", "outcomes", str(log))
    assert (after["spend"], after["unattributed"]) == ("1040.00", "0.00")
    assert (after["left_out"]["call_count"], after["left_out"]["amount"]) == (1, "500.00")
    assert states(capsys) == [("waiting", 1, "500.00"), ("confirmed", 1, "1000.00")]
    (kept,) = answer(capsys, "cost", "meters")["decisions"]
    assert (kept["verdict"], kept["by"], kept["reason"], kept["event_ids"]) == (
        "confirmed", "Cleo", "The invoice says the same.", ["msg-98"],
    )  # fmt: skip
    assert kept["decided_at"].endswith("Z")


def test_a_rejected_call_stays_out_and_one_may_think_again(home, capsys):
    answer(capsys, "cost", "reject-meter", "litellm", "haiku", *CLEO)
    assert states(capsys) == [("rejected", 2, "1500.00")]
    assert answer(capsys, "cost", "anomalies")["left_out"]["amount"] == "1500.00"
    answer(capsys, "cost", "confirm-meter", "litellm", "haiku", "--call", "msg-99", *CLEO)
    assert states(capsys) == [("rejected", 1, "1000.00"), ("confirmed", 1, "500.00")]
    assert [one["verdict"] for one in answer(capsys, "cost", "meters")["decisions"]] == ["rejected", "confirmed"]


def test_a_rejected_call_stays_out_though_it_has_become_usual(home, capsys):
    """Sixty more calls of a thousand dollars come in: the rule finds none of them any more."""
    answer(capsys, "cost", "reject-meter", "litellm", "haiku", *CLEO)
    with open_lake(home / "home" / "lake") as lake:
        lake.append([used(200 + n, MARCH + n * HOUR, 1000 * USD) for n in range(60)], {"litellm": 2})
    assert states(capsys) == [("rejected", 2, "1500.00")]


def test_every_forecast_and_score_says_what_it_does_without(home, capsys):
    ahead = ("--from", "2026-04-10", "--days", "7")
    for arguments in (["forecast", "show", *ahead], ["forecast", "backtest", *ahead], ["cost", "anomalies"]):
        code = main(arguments)
        told = capsys.readouterr()
        if "backtest" in arguments:
            assert code == 1, "forty even days leave nothing to try"
            continue
        assert code == 0
        assert "2 calls with 1500.00 USD of list cost left out" in told.err, arguments
        assert "`tokenroll cost meters`" in told.err, arguments
    assert answer(capsys, "forecast", "show", *ahead)["total"]["expected"] == 7.0
    assert answer(capsys, "cost", "anomalies")["days"] == []
    answer(capsys, "cost", "confirm-meter", "litellm", "haiku", *CLEO)
    assert answer(capsys, "forecast", "show", *ahead)["total"]["expected"] > 7.0
    assert [one["on"] for one in answer(capsys, "cost", "anomalies")["days"]] == ["2026-04-09"]


def test_the_same_id_decides_once_and_a_dry_run_decides_nothing(home, capsys):
    once = ("cost", "confirm-meter", "litellm", "haiku", *CLEO, "--id", "cleo-1")
    assert answer(capsys, *once, "--dry-run")["call_count"] == 2
    assert states(capsys) == [("waiting", 2, "1500.00")]
    assert answer(capsys, *once) == answer(capsys, *once)
    assert len(answer(capsys, "cost", "meters")["decisions"]) == 1
    assert main(["cost", "reject-meter", "litellm", "haiku", *CLEO, "--id", "cleo-1"]) == 1
    assert "cleo-1 is the id of another decision" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["litellm", "opus", *CLEO], "nothing of litellm and opus is on the list"),
        (["litellm", "haiku", "--call", "msg-1", *CLEO], "msg-1 is no call of litellm and haiku on the list"),
        (["litellm", "haiku", "--by", " ", "--reason", "x"], "--by has 1 to"),
        (["litellm", "haiku", "--by", "Cleo", "--reason", ""], "--reason has 1 to"),
    ],
)
def test_what_cannot_be_decided_says_why(arguments, says, home, capsys):
    assert main(["cost", "confirm-meter", *arguments]) == 1
    assert says in capsys.readouterr().err
    assert states(capsys) == [("waiting", 2, "1500.00")]


def test_decisions_that_are_damaged_are_no_answer(home, capsys):
    answer(capsys, "cost", "confirm-meter", "litellm", "haiku", *CLEO)
    path = home / "home" / "lake" / "meter_decisions.json"
    path.write_text(path.read_text().replace("Cleo", "Dev"))
    assert main(["cost", "meters"]) == 1
    assert "meter_decisions.json is damaged: put it back from your backup" in capsys.readouterr().err
