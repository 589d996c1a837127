"""What the lake's events cost in credits: each once, by what was known when it was used, and what is left out by its reason."""

from pathlib import Path

import pytest

from tests.firm import JANUARY, Firm
from tests.lake_kit import DAY, HOUR, MONDAY, event
from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import Billing
from tokenroll.services.lake_charging import (
    AHEAD,
    BROKEN,
    FORMER_NAME,
    TOO_MUCH,
    ChargeRates,
    DayKey,
    costs_of,
    members_by_name,
)
from tokenroll.services.meter_quarantine import Deciding, decide
from tokenroll.store.lake import open_lake, read_lake
from tokenroll.store.lake_decisions import Verdict

NOW = MONDAY + 10 * DAY
OWN = {"provider": "anthropic", "model": "sonnet", "prices": {"standard": {"input": "3", "output": "15"}}}
"""3,000 nanos a model token in and 15,000 out: 600,000 for an event of the kit."""


@pytest.fixture
def firm() -> Firm:
    firm = Firm(JANUARY)
    for name in ("Ada", "Bo"):
        firm.hire(name)
    firm.do("pool.create", name="Engineering pool", department="Engineering")
    return firm


def costs(firm, directory: Path, *batches, sources=("claude-code",), seats=False):
    with open_lake(directory) as lake:
        for batch in batches:
            lake.append(list(batch), {})
    firm.connection.rollback()
    with read_lake(directory) as view:
        found = costs_of(
            view, sources, ChargeRates(firm.connection), members_by_name(firm.connection), now=NOW, seats=seats
        )
    names = members_by_name(firm.connection).names
    totals = {
        (key.source, names[key.member], key.day, key.model): (one.nanos, one.used_at) for key, one in found.rows()
    }
    left = {key: (one.event_count, sorted(one.models)) for key, one in found.left_out.items()}
    return totals, left


def member_id(firm, name):
    return firm.reports.member(name)["member"]


def charged_to(firm, totals):
    """Nanos by the day of January and the member's name today."""
    return {(int(day[-2:]), name): nanos for (_, name, day, _), (nanos, _) in totals.items()}


def test_events_are_added_up_by_source_member_day_and_model(firm, tmp_path):
    events = [
        event(1), event(2, MONDAY + HOUR), event(3, MONDAY + DAY), event(4, member="Bo"),
        event(5, requested_model="opus", list_cost_nanos=7), event(6, source="codex"),
    ]  # fmt: skip
    totals, left = costs(firm, tmp_path / "lake", events)
    assert totals == {
        ("claude-code", "Ada", "2026-01-05", "sonnet"): (2_000, MONDAY + HOUR),
        ("claude-code", "Ada", "2026-01-05", "opus"): (7, MONDAY),
        ("claude-code", "Ada", "2026-01-06", "sonnet"): (1_000, MONDAY + DAY),
        ("claude-code", "Bo", "2026-01-05", "sonnet"): (1_000, MONDAY),
    }
    assert left == {}


def test_an_event_that_was_told_again_and_longer_counts_once_and_whole(firm, tmp_path):
    longer = event(1, usage=Usage(input_tokens=200, output_tokens=20), list_cost_nanos=1_500)
    totals, _ = costs(firm, tmp_path / "lake", [event(1)], [longer], [event(1), event(2)])
    assert totals == {("claude-code", "Ada", "2026-01-05", "sonnet"): (2_500, MONDAY)}


def test_a_member_is_known_by_name_and_id_and_a_pool_is_none(firm, tmp_path):
    ada = member_id(firm, "Ada")
    events = [
        event(1),
        event(2, member=ada),
        event(3, member="Engineering pool"),
        event(4, member=""),
        event(5, member="Zoe"),
    ]
    totals, left = costs(firm, tmp_path / "lake", events)
    assert totals == {("claude-code", "Ada", "2026-01-05", "sonnet"): (2_000, MONDAY)}
    assert left == {
        ("claude-code", name, "of nobody who is a member"): (1, ["sonnet"]) for name in ("", "Engineering pool", "Zoe")
    }


def test_a_name_that_is_another_members_by_now_is_of_who_had_it_when_it_was_used(firm, tmp_path):
    firm.now = MONDAY + 2 * DAY + 12 * HOUR
    firm.do("member.change", member="Ada", name="Ada Smith")
    lake_path = tmp_path / "lake"
    events = [event(1), event(2, MONDAY + 2 * DAY), event(3, MONDAY + 3 * DAY), event(4, MONDAY + 5 * DAY)]
    totals, left = costs(firm, lake_path, events)
    assert charged_to(firm, totals) == {(5, "Ada Smith"): 1_000, (7, "Ada Smith"): 1_000}
    assert left == {("claude-code", "Ada", FORMER_NAME): (2, ["sonnet"])}

    firm.now = MONDAY + 4 * DAY
    firm.hire("Ada")
    totals, left = costs(firm, lake_path, [event(5, member="Ada Smith"), event(6, member=member_id(firm, "Ada"))])
    assert charged_to(firm, totals) == {
        (5, "Ada Smith"): 2_000, (7, "Ada Smith"): 1_000, (10, "Ada"): 1_000, (5, "Ada"): 1_000,
    }  # fmt: skip
    assert left == {("claude-code", "Ada", FORMER_NAME): (1, ["sonnet"])}


def test_a_name_that_was_changed_as_of_an_earlier_day_ended_with_that_day(firm, tmp_path):
    firm.now = MONDAY + 6 * DAY
    firm.do("member.change", member="Ada", name="Ada Smith", on="2026-01-06")
    firm.hire("Ada")
    totals, left = costs(firm, tmp_path / "lake", [event(number, MONDAY + number * DAY) for number in range(8)])
    assert charged_to(firm, totals) == {
        (5, "Ada Smith"): 1_000, (6, "Ada Smith"): 1_000, (11, "Ada"): 1_000, (12, "Ada"): 1_000,
    }  # fmt: skip
    assert left == {("claude-code", "Ada", FORMER_NAME): (4, ["sonnet"])}


def test_who_got_a_name_back_had_it_all_the_while(firm, tmp_path):
    firm.now = MONDAY + 2 * DAY
    firm.do("member.change", member="Ada", name="Aba", on="2026-01-05")
    firm.now = MONDAY + 4 * DAY
    firm.do("member.change", member="Aba", name="Ada")
    totals, left = costs(firm, tmp_path / "lake", [event(number, MONDAY + number * DAY) for number in range(6)])
    assert charged_to(firm, totals) == {(day, "Ada"): 1_000 for day in range(5, 11)}
    assert left == {}


def test_usage_from_before_anybody_had_the_name_is_of_the_first_who_had(firm, tmp_path):
    totals, left = costs(firm, tmp_path / "lake", [event(1, JANUARY - 3 * DAY)])
    assert (charged_to(firm, totals), left) == ({(29, "Ada"): 1_000}, {})


def test_what_is_not_charged_is_counted_by_its_reason(firm, tmp_path):
    events = [
        event(1, billing=Billing.SEAT), event(2, currency="EUR"), event(3, list_cost_nanos=None, requested_model="own"),
        event(4, NOW + 1), event(5, source="gateway"),
    ]  # fmt: skip
    totals, left = costs(firm, tmp_path / "lake", events, sources=("claude-code", "gateway"))
    assert totals == {}
    assert left == {
        ("claude-code", "Ada", "of a seat, not billed by use"): (1, ["sonnet"]),
        ("claude-code", "Ada", "in another currency than the price list"): (1, ["sonnet"]),
        ("claude-code", "Ada", "without a price"): (1, ["own"]),
        ("claude-code", "Ada", AHEAD): (1, ["sonnet"]),
        ("gateway", "Ada", "went through the gateway"): (1, ["sonnet"]),
    }
    totals, _ = costs(firm, tmp_path / "lake", seats=True)
    assert totals == {("claude-code", "Ada", "2026-01-05", "sonnet"): (1_000, MONDAY)}


def test_a_call_of_a_broken_meter_is_charged_once_somebody_confirmed_it(firm, tmp_path):
    usual = [event(number) for number in range(1, 10)]
    wrong = event(99, list_cost_nanos=1_000 * 10**9)
    lake_path = tmp_path / "lake"
    totals, left = costs(firm, lake_path, [*usual, wrong])
    assert totals == {("claude-code", "Ada", "2026-01-05", "sonnet"): (9_000, MONDAY)}
    assert left == {("claude-code", "Ada", BROKEN): (1, ["sonnet"])}
    with open_lake(lake_path) as lake:
        why = {"by": "Cleo", "reason": "it was one very long run"}
        decide(
            lake,
            Deciding(id="1", verdict=Verdict.CONFIRMED, source="claude-code", model="sonnet", event_ids=(), **why),
            NOW,
        )
    totals, left = costs(firm, lake_path)
    assert totals == {("claude-code", "Ada", "2026-01-05", "sonnet"): (1_000_000_009_000, MONDAY)}
    assert left == {}


def test_a_later_import_can_show_that_an_event_which_counted_was_of_a_broken_meter(firm, tmp_path):
    lake_path = tmp_path / "lake"
    totals, _ = costs(firm, lake_path, [event(99, list_cost_nanos=1_000 * 10**9)])
    assert charged_to(firm, totals) == {(5, "Ada"): 1_000 * 10**9}
    totals, left = costs(firm, lake_path, [event(number) for number in range(1, 10)])
    assert charged_to(firm, totals) == {(5, "Ada"): 9_000}
    assert left == {("claude-code", "Ada", BROKEN): (1, ["sonnet"])}


def test_a_card_counts_from_when_it_holds_and_is_on_record(firm, tmp_path):
    firm.now = MONDAY + DAY
    firm.do("ratecard.set", card=OWN)
    firm.now = MONDAY + 3 * DAY
    firm.do("ratecard.set", provider="anthropic", model="sonnet", multiply="0.5")
    events = [event(number, MONDAY + number * DAY) for number in range(5)]
    totals, _ = costs(firm, tmp_path / "lake", events)
    assert [nanos for nanos, _ in totals.values()] == [1_000, 600_000, 600_000, 300_000, 300_000]


def test_a_day_that_costs_more_than_a_row_may_hold_is_left_out(firm, tmp_path):
    events = [event(1, list_cost_nanos=10**18), event(2, list_cost_nanos=10**18)]
    totals, left = costs(firm, tmp_path / "lake", events)
    assert totals == {}
    ada = member_id(firm, "Ada")
    assert left == {("claude-code", ada, TOO_MUCH): (1, ["sonnet"])}


def test_the_rows_of_a_member_stand_together_in_the_order_of_days(firm, tmp_path):
    events = [event(1, MONDAY + DAY), event(2, member="Bo"), event(3)]
    with open_lake(tmp_path / "lake") as lake:
        lake.append(events, {})
    with read_lake(tmp_path / "lake") as view:
        members = members_by_name(firm.connection)
        found = costs_of(view, ["claude-code"], ChargeRates(firm.connection), members, now=NOW)
    ada, bo = member_id(firm, "Ada"), member_id(firm, "Bo")
    assert [key for key, _ in found.rows()] == [
        DayKey("claude-code", ada, "2026-01-05", "sonnet"), DayKey("claude-code", ada, "2026-01-06", "sonnet"),
        DayKey("claude-code", bo, "2026-01-05", "sonnet"),
    ]  # fmt: skip
