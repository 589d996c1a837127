"""`tokenroll cost` on a lake of two months: why March cost more, what does not fit, what a change costs, what if."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.lake_kit import DAY, HOUR, event
from tests.made_home import home_of
from tokenroll.cli import main
from tokenroll.model.usage import Usage
from tokenroll.services.outcome_log import OutcomeLog
from tokenroll.services.outcomes import outcome_event
from tokenroll.store.lake import open_lake

FEBRUARY = 1_769_904_000_000_000  # 2026-02-01T00:00:00Z
MARCH = FEBRUARY + 28 * DAY
USD = 10**9


def used(number: int, at: int, member: str, model: str, tokens: int, cost_nanos: int, **more: Any) -> Any:
    facts = {"provider": "anthropic"} | more
    return event(
        number, at, member=member, requested_model=model, usage=Usage(input_tokens=tokens, output_tokens=0),
        list_cost_nanos=cost_nanos, **facts,
    )  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    home_of(tmp_path, monkeypatch, ("init", "--name", "Acme", "--zone", "UTC"))
    with open_lake(tmp_path / "home" / "lake") as lake:
        lake.append(
            [
                used(1, FEBRUARY, "Ada", "small", 100, 100 * USD),
                used(2, FEBRUARY, "Bo", "large", 100, 900 * USD),
                used(3, MARCH, "Ada", "small", 100, 100 * USD, outcome="pr-1"),
                used(4, MARCH + HOUR, "Bo", "large", 300, 2400 * USD, outcome="pr-2", tags=("draft",)),
            ],
            {"claude-code": 4},
        )
    capsys.readouterr()
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["cost", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_month_is_explained_by_volume_mix_and_price(home: Path, capsys: pytest.CaptureFixture[str]):
    found = answer(capsys, "explain", "--month", "2026-03")
    # 200 more at 5 is volume; at old prices March is 2,800, of which 2,000 are the old mix; 300 are 1 cheaper
    assert found["steps"] == {"volume": "1000.00", "mix": "800.00", "price": "-300.00", "new": "0.00", "gone": "0.00"}
    assert (found["before"], found["after"], found["unit"]) == ("1000.00", "2500.00", "USD")
    assert [(one["name"], one["change"]) for one in found["movers"]] == [("Bo", "1500.00"), ("Ada", "0.00")]


def test_the_explanation_is_drawn(home: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["cost", "explain", "--month", "2026-03", "--image", str(home / "why.svg")]) == 0
    drawn = (home / "why.svg").read_text()
    for says in ("2026-02", "+1,000.00", "+800.00", "\u2212300.00", "2,500.00"):
        assert says in drawn or says.replace("\u2212", "-") in drawn, says
    assert "volume" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "begins"), [("why.pdf", b"%PDF"), ("why.png", b"\x89PNG")])
def test_the_explanation_is_drawn_for_paper_and_screens(home: Path, name: str, begins: bytes):
    assert main(["cost", "explain", "--month", "2026-03", "--image", str(home / name)]) == 0
    assert (home / name).read_bytes().startswith(begins)


def test_what_an_outcome_costs_counts_failures_and_what_nobody_named(home: Path, capsys: pytest.CaptureFixture[str]):
    log = home / "outcomes.csv"
    log.write_text("outcome,at,event\npr-1,2026-03-02T00:00:00Z,merged\npr-2,2026-03-02T00:00:00Z,abandoned\n")
    found = answer(capsys, "outcomes", str(log), "--month", "2026-03")
    assert (found["accepted_count"], found["outcome_count"]) == (1, 2)
    assert (found["spend"], found["spent_on_failures"], found["per_accepted"]) == ("2500.00", "2400.00", "2500.00")
    assert found["unattributed"] == "0.00"
    # February had no tags: 1,000 more that led nowhere anybody named
    assert answer(capsys, "outcomes", str(log))["per_accepted_with_unattributed"] == "3500.00"


def test_of_a_month_outcomes_count_that_it_worked_at_or_decided(home: Path, capsys: pytest.CaptureFixture[str]):
    log = home / "outcomes.csv"
    log.write_text(
        "outcome,at,event\npr-1,2026-04-02T00:00:00Z,merged\nby-hand,2026-03-31T00:00:00Z,merged\n"
        "earlier,2026-02-28T23:59:59Z,merged\nlater,2026-04-01T00:00:00Z,merged\n"
    )
    found = answer(capsys, "outcomes", str(log), "--month", "2026-03")
    # pr-1 was worked at in March, by-hand merged then without any spend; pr-2 is in no log
    assert (found["outcome_count"], found["accepted_count"], found["per_accepted"]) == (2, 2, "50.00")


def test_a_session_is_the_outcomes_that_named_it_and_trackers_tell_without_a_file(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["cost", "outcomes", "--json"]) == 1
    assert "`[outcomes]` in config.toml" in capsys.readouterr().err
    with open_lake(home / "home" / "lake") as lake:
        lake.append([used(30, MARCH, "Ada", "small", 100, 50 * USD, session="s-7")], {"codex": 1})
        lake.append([used(31, MARCH, "Ada", "small", 100, 7 * USD, session="s-7", outcome="pr-9")], {"codex": 2})
    OutcomeLog(home / "home" / "outcomes.jsonl").append(
        [
            outcome_event("pr-1", "2026-03-02T00:00:00Z", "merged", "s-7"),
            outcome_event("pr-2", "2026-03-02T00:00:00Z", "merged"),
        ]
    )
    found = answer(capsys, "outcomes", "--month", "2026-03")
    # pr-1 100 and its session's 50, pr-2 2,400; what of the session is another outcome's stays that one's
    assert (found["spend"], found["accepted_count"], found["unattributed"]) == ("2550.00", 2, "7.00")
    log = home / "outcomes.csv"
    log.write_text("outcome,at,event\npr-2,2026-03-05T00:00:00Z,reverted\n")
    found = answer(capsys, "outcomes", str(log), "--month", "2026-03")
    assert (found["accepted_count"], found["spent_on_failures"]) == (1, "2400.00")


def test_a_meter_that_cannot_be_right_is_told(home: Path, capsys: pytest.CaptureFixture[str]):
    with open_lake(home / "home" / "lake") as lake:
        good = [used(10 + n, MARCH + n * HOUR, "Dev", "haiku", 1000, 1_000_000) for n in range(9)]
        lake.append(
            [*good, used(99, MARCH, "Dev", "haiku", 1000, 1_000_000, billed_cost_nanos=1000 * USD)], {"litellm": 1}
        )
    (found,) = answer(capsys, "anomalies")["meters"]
    assert (found["event_id"], found["cost"], found["usual"]) == ("msg-99", "1000.00", "0.001")


def test_another_model_and_a_discount(home: Path, capsys: pytest.CaptureFixture[str]):
    with open_lake(home / "home" / "lake") as lake:
        lake.append([used(20, MARCH, "Cleo", "claude-sonnet-4-5", 1_000_000, 3 * USD)], {"csv": 1})
    # all of it to a model at 1 USD a million, and a tenth less
    found = answer(
        capsys, "what-if", "--month", "2026-03", "--switch", "claude-sonnet-4-5=claude-haiku-4-5", "--discount", "10%"
    )
    assert found["models"] == [{"model": "claude-sonnet-4-5", "now": "3.00", "then": "0.90", "saved": "2.10"}]
    assert found["unpriced_models"] == ["large", "small"]


def test_what_of_the_invoice_went_through_the_gateway(home: Path, capsys: pytest.CaptureFixture[str]):
    with open_lake(home / "home" / "lake") as lake:
        lake.append(
            [
                used(30, MARCH, "Ada", "m", 10, 30 * USD, source="gateway", net_cost_nanos=30 * USD),
                used(31, MARCH, "", "", 0, 0, source="anthropic-costs", billed_cost_nanos=40 * USD),
                used(32, MARCH, "", "m", 10, 0, source="anthropic-usage", key="apikey_ours"),
                used(33, MARCH, "", "m", 4, 0, source="anthropic-usage", key="apikey_of_nobody"),
            ],
            {"anthropic": 1},
        )
    found = answer(capsys, "share", "--month", "2026-03", "--our-key", "apikey_ours", "--no-seal")
    assert found["providers"] == [
        {
            "provider": "anthropic",
            "through_gateway": "30.00",
            "billed": "40.00",
            "share_permille": 750,
            "billed_by": "anthropic-costs",
            "other_reports": [],
        }
    ]
    assert [(one["key"], one["model_tokens"], one["is_ours"]) for one in found["keys"]] == [
        ("apikey_of_nobody", 4, False),
        ("apikey_ours", 10, True),
    ]


def test_the_same_provider_meets_its_invoice_however_it_is_spelled(home: Path, capsys: pytest.CaptureFixture[str]):
    """Azure bills as Microsoft: 40 in FOCUS. OpenAI's own report says 20 and FOCUS 21 of the same invoice."""
    with open_lake(home / "home" / "lake") as lake:
        lake.append(
            [
                used(40, MARCH, "Ada", "m", 10, 0, source="gateway", net_cost_nanos=30 * USD, provider="azure"),
                used(41, MARCH, "", "", 0, 0, source="focus", billed_cost_nanos=40 * USD, provider="microsoft"),
                used(42, MARCH, "Bo", "m", 10, 0, source="gateway", net_cost_nanos=10 * USD, provider="openai"),
                used(43, MARCH, "", "", 0, 0, source="openai-costs", billed_cost_nanos=20 * USD, provider="openai"),
                used(44, MARCH, "", "", 0, 0, source="focus", billed_cost_nanos=21 * USD, provider="openai, llc"),
            ],
            {"focus": 1},
        )

    def told(*more: str) -> list[tuple[Any, ...]]:
        found = answer(capsys, "share", "--month", "2026-03", "--no-seal", *more)["providers"]
        return [(one["provider"], one["share_permille"], one["billed_by"], one["other_reports"]) for one in found]

    assert told() == [
        ("azure", 750, "focus", []),
        ("openai", 500, "openai-costs", [{"source": "focus", "billed": "21.00"}]),
    ]
    assert told("--report", "focus")[1] == ("openai", 476, "focus", [{"source": "openai-costs", "billed": "20.00"}])
    assert main(["cost", "share", "--month", "2026-03", "--no-seal"]) == 0
    assert "focus bills 21.00 USD of openai, too: the same invoice" in capsys.readouterr().err


def test_a_lake_of_two_currencies_is_asked_by_one_and_told_in_it(home: Path, capsys: pytest.CaptureFixture[str]):
    with open_lake(home / "home" / "lake") as lake:
        lake.append(
            [
                used(50, MARCH, "Cleo", "claude-sonnet-4-5", 1_000_000, 4 * USD, currency="EUR", outcome="pr-7"),
                used(51, MARCH, "", "", 0, 0, source="anthropic-costs", billed_cost_nanos=5 * USD, currency="EUR"),
            ],
            {"csv": 1},
        )
    log = home / "outcomes.csv"
    log.write_text("outcome,at,event\npr-7,2026-03-02T00:00:00Z,merged\n")
    euro = ("--where", "currency=EUR")
    assert main(["cost", "outcomes", str(log)]) == 2
    assert "ask by currency, or where currency=EUR" in capsys.readouterr().err
    found = answer(capsys, "outcomes", str(log), *euro)
    assert (found["per_accepted"], found["unit"]) == ("4.00", "EUR")
    half = ("--switch", "claude-sonnet-4-5=claude-haiku-4-5:50%")
    found = answer(capsys, "what-if", "--month", "2026-03", *half, *euro)
    assert (found["saved"], found["unit"]) == ("1.333333333", "EUR"), "haiku costs a third, and half of it goes there"
    assert answer(capsys, "share", "--month", "2026-03", *euro)["unit"] == "EUR"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["explain", "--month", "March"], "--month"),
        (["explain", "--month", "2026-03", "--cost", "hope"], "a cost is one of list, net, billed, charge"),
        (["explain", "--month", "2026-03", "--by", "mood"], "there is no dimension 'mood'"),
        (["explain", "--month", "2026-03", "--by", "hour"], "no hour"),
        (["share", "--month", "2026-03", "--where", "source=focus"], "name the cost report"),
        (["share", "--month", "2026-03", "--report", "mine"], "a cost report is one of openai-costs"),
        (["anomalies", "--where", "mood"], "is no condition"),
        (["what-if", "--month", "2026-03", "--price", "small=2"], "MODEL:METER=FACTOR"),
        (["what-if", "--month", "2026-03", "--switch", "small"], "MODEL=OTHER"),
        (["what-if", "--month", "2026-03", "--switch", "small=nobody"], "no small with a published price was used"),
        (["what-if", "--month", "2026-03", "--discount", "150%"], "between 0 and 1"),
        (["what-if", "--month", "2026-03", "--price", "nope:output=1"], "no nope with a published price was used"),
        (["what-if", "--month", "2026-03", "--discount", "nope=10%"], "no nope with a published price was used"),
    ],
)
def test_what_cannot_be_asked_says_why(arguments: list[str], says: str, home: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["cost", *arguments]) == 2
    assert says in capsys.readouterr().err
