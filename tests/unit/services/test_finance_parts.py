"""Finance's page: January cost 60 and February 90, and why; a broken meter is counted; an accepted outcome has a price."""

from datetime import UTC, datetime

import pytest

from tests.lake_kit import event
from tokenroll.services.finance_parts import finance_parts
from tokenroll.services.lake_home import LakeHome
from tokenroll.services.meter_quarantine import Deciding, decide
from tokenroll.services.outcome_log import OutcomeLog
from tokenroll.services.outcomes import OutcomeEvent
from tokenroll.store.lake import open_lake, read_lake
from tokenroll.store.lake_decisions import Verdict

USD = 1_000_000_000


def at(month, day):
    return int(datetime(2026, month, day, 12, tzinfo=UTC).timestamp()) * 10**6


def told(tmp_path, **changes):
    facts = {"month": "2026-02", "now": at(3, 1), "outcomes": ""} | changes
    with read_lake(tmp_path / "lake") as view:
        found = finance_parts(LakeHome(tmp_path / "lake", tmp_path / "none").with_view(view), facts)
    return {one["name"]: one for one in found["parts"]}


def decide_on(directory, verdict):
    """Cleo decides of all calls of the story's source and model that wait."""
    asked = Deciding(
        id="decision-1", verdict=verdict, source="claude-code", model="sonnet", event_ids=(), by="Cleo", reason="The invoice says so."
    )  # fmt: skip
    with open_lake(directory) as one:
        decide(one, asked, at(3, 1))


@pytest.fixture
def lake(tmp_path):
    """Six calls of Ada's in January at 10 each; nine in February, three of them Bo's and two of these in Sales, by another model."""
    events = [event(day, at(1, day), list_cost_nanos=10 * USD) for day in range(1, 7)]
    events += [event(100 + day, at(2, day), list_cost_nanos=10 * USD) for day in range(1, 7)]
    events += [
        event(
            200 + day, at(2, day), member="Bo", department="Sales" if day > 1 else "Engineering", requested_model="opus",
            list_cost_nanos=10 * USD, outcome="change-1" if day == 1 else "change-2",
        )
        for day in range(1, 4)
    ]  # fmt: skip
    with open_lake(tmp_path / "lake") as one:
        one.append(events, {"story": 1})
        one.roll_up()
    return tmp_path


def test_spend_is_stacked_by_month_and_adds_up(lake):
    part = told(lake)["spend"]
    assert part["title"] == "February 2026 cost 90.00 USD at list; Engineering spent most of all"
    assert [text for text, _ in part["tables"][0]["columns"]] == ["Department", "Jan 2026", "Feb 2026", "in all"]
    assert part["tables"][0]["rows"] == [
        ["Engineering", "60.00", "70.00", "130.00"],
        ["Sales", "0.00", "20.00", "20.00"],
        ["all", "60.00", "90.00", "150.00"],
    ]
    assert part["svg"].count("<svg ") == 2


def test_the_change_is_taken_apart_and_names_who_moved_most(lake):
    part = told(lake)["change"]
    assert part["title"] == "February 2026 cost 30.00 USD more than January 2026, most of it by new models"
    steps = {row[0]: row[2] for row in part["tables"][0]["rows"]}
    assert steps == {
        "before": "60.00", "volume": "0.00", "mix": "0.00", "price": "0.00", "new": "30.00", "gone": "0.00", "after": "90.00",
    }  # fmt: skip
    assert part["tables"][1]["rows"][0] == ["Bo", "0.00", "30.00", "30.00"]
    assert told(lake, month="2026-01")["change"]["title"].startswith(
        "January 2026 cost 60.00 USD more than December 2025"
    )
    less = told(lake, month="2026-03")["change"]
    assert less["title"] == "March 2026 cost 90.00 USD less than February 2026, most of it by models that are gone"
    assert ["gone", "models that are used no more", "−90.00"] in less["tables"][0]["rows"]


def test_the_metered_share_is_of_what_was_billed(lake):
    assert told(lake)["share"]["title"].startswith("What share of the invoices is metered is not known")
    with open_lake(lake / "lake") as one:
        one.append(
            [
                event(301, at(2, 9), source="gateway", net_cost_nanos=30 * USD, list_cost_nanos=None),
                event(302, at(2, 9), source="anthropic-costs", billed_cost_nanos=40 * USD, list_cost_nanos=None),
            ],
            {"story": 2},
        )
    part = told(lake)["share"]
    assert part["title"] == "75.0 % of what providers billed for February 2026 went through the gateway"
    assert part["tables"][0]["rows"] == [["anthropic", "30.00", "40.00", "anthropic-costs", "75.0 %"]]
    assert part["says"] == []
    with open_lake(lake / "lake") as one:
        bill = event(303, at(2, 9), source="focus", billed_cost_nanos=41 * USD, list_cost_nanos=None)
        one.append([bill], {"story": 3})
    assert told(lake)["share"]["says"] == [
        "focus bills 41.00 USD of anthropic, too: the same invoice, so it is not added."
    ]


def test_a_broken_meter_is_counted_and_shown(lake):
    assert told(lake)["odd"]["title"] == "No call is in quarantine (W12): every meter can be right"
    with open_lake(lake / "lake") as one:
        one.append([event(401, at(2, 10), member="Cleo", list_cost_nanos=5_000 * USD)], {"story": 2})
    part = told(lake)["odd"]
    assert part["title"] == "1 call is in quarantine (W12), 1 not decided: its meter cannot be right"
    assert part["tables"][0]["rows"][0][:7] == ["2026-02-10", "Cleo", "sonnet", "5 000.00", "10.00", "USD", "waiting"]
    assert part["says"][2].startswith("1 call with 5000.00 USD of list cost left out")
    assert part["says"][3] == "6 days are far above those before.", "those of 1 to 6 February, after weeks of nothing"
    decide_on(lake / "lake", Verdict.CONFIRMED)
    part = told(lake)["odd"]
    assert part["title"] == "No call is in quarantine (W12): every meter can be right or was confirmed"
    assert part["tables"][0]["rows"][0][6] == "confirmed"
    assert part["says"][2] == "7 days are far above those before."


def test_an_accepted_outcome_carries_the_failures(lake):
    log = lake / "outcomes.jsonl"
    OutcomeLog(log).append(
        [OutcomeEvent("change-1", at(2, 8), "merged"), OutcomeEvent("change-2", at(2, 8), "abandoned")]
    )
    part = told(lake, outcomes=str(log))["outcomes"]
    assert part["title"] == "An accepted outcome costs 30.00 USD at list, failures included"
    # change-1 and change-2 are Bo's three calls
    assert part["says"] == ["66.7 % of what was spent on outcomes went to those that failed."]
    assert part["tables"][0]["rows"][4] == ["spend that names none, USD", "120.00"]
    log.write_text("nothing\n")
    assert "outcomes.jsonl:1 is damaged" in told(lake, outcomes=str(log))["outcomes"]["says"][0]


def test_an_empty_lake_says_so_part_by_part(tmp_path):
    parts = told(tmp_path)
    assert parts["spend"]["says"] == ["The usage lake knows nothing of the 12 months to 2026-02."]
    assert parts["change"]["says"] == ["Nothing was used in 2026-01 or in 2026-02."]
    assert parts["forecast"]["title"] == "What comes next cannot be said yet"
    assert all(one["svg"] == "" for one in parts.values())


def test_two_currencies_are_not_added(lake):
    with open_lake(lake / "lake") as one:
        one.append([event(501, at(2, 11), currency="EUR", list_cost_nanos=USD)], {"story": 2})
    assert told(lake)["spend"]["says"] == ["These costs are in EUR, USD: ask by currency, or where currency=EUR."]
