"""Sums beside sums: which reading of what is left over is the only one. A model token in costs 3,000 nanos, one out 15,000."""

from typing import Any

import pytest

from tests.cast import make_card
from tokenroll.books.provider_reports import ALL, OurAttempt, Ours, Part, Told, Why, line_of, report_counts
from tokenroll.engine.rating import pinned
from tokenroll.model.rate_card import RateTable
from tokenroll.model.usage import METER_INDEX, METERS, Meter

PART = Part("2026-01-05", "openai", "sonnet", ALL, None)
CARD = pinned(make_card())
COUNTED = frozenset(METER_INDEX[one] for one in (Meter.INPUT, Meter.CACHE_READ, Meter.OUTPUT))


def counts(tokens_in: int, tokens_out: int, cached: int = 0) -> list[int]:
    found = [0] * len(METERS)
    found[METER_INDEX[Meter.INPUT]], found[METER_INDEX[Meter.OUTPUT]], found[METER_INDEX[Meter.CACHE_READ]] = (
        tokens_in,
        tokens_out,
        cached,
    )
    return found


def told(tokens_in: int, tokens_out: int, calls: int | None = None, **changes: Any) -> Told:
    facts: dict[str, Any] = {
        "part": PART, "tiers": {"standard": counts(tokens_in, tokens_out)}, "meters": COUNTED, "request_count": calls, "cost_nanos": None,
        "currency": "USD", "row_count": 0, "step_nanos": 1,
    }  # fmt: skip
    return Told(**facts | changes)


def attempt(tokens_in: int, tokens_out: int, **changes: Any) -> OurAttempt:
    made = OurAttempt(
        "call_1",
        1,
        1,
        0,
        "standard",
        counts(tokens_in, tokens_out),
        tokens_in * 3_000 + tokens_out * 15_000,
        10**9,
        CARD,
        1,
    )
    return made._replace(**changes)


def ours(tokens_in: int = 0, tokens_out: int = 0, calls: int = 0, **named: Any) -> Ours:
    """So many settled calls; those of `estimated` are among them."""
    tiers = {"standard": counts(tokens_in, tokens_out)} if calls else {}
    return Ours(
        tiers=tiers, currencies={"USD"}, attempt_count=calls, request_count=calls,
        cost_nanos=tokens_in * 3_000 + tokens_out * 15_000, **named,
    )  # fmt: skip


def whys(one: Told, mine: Ours) -> list[str]:
    return [why.value for why in line_of(one, mine, PART, CARD).why]


def test_the_one_that_is_checked_is_the_one_that_the_report_counts_more():
    """No evidence is needed where the report counts requests, and nothing was under way at midnight."""
    line = line_of(told(1_500, 120, 3), ours(1_000, 100, 2, checked=[attempt(0, 0)]), PART, CARD)
    (true_up,) = line.true_ups
    (proven,) = true_up.proven
    assert (list(proven.counts), proven.nanos, line.difference_cost_nanos) == (counts(500, 20), 1_800_000, 1_800_000)


@pytest.mark.parametrize(
    ("report", "mine"),
    [
        (told(1_500, 120, 4), ours(1_000, 100, 2, checked=[attempt(0, 0)])),  # two calls more than are known
        (told(1_500, 120, 2), ours(1_000, 100, 2, checked=[attempt(0, 0)])),  # none more, and tokens all the same
        (told(1_500, 120, 3), ours(1_000, 100, 2, checked=[attempt(0, 0)], leaving=[attempt(5, 5)])),
        (told(1_500, 120, 3), ours(1_000, 100, 2, checked=[attempt(0, 0)], trued_up_count=1)),
        (told(1_500, 120, 3), ours(1_000, 100, 2, checked=[attempt(0, 0)], estimated=[attempt(1_000, 100)])),
        (told(1_500, 120, 3), ours(1_000, 100, 2, checked=[attempt(0, 0)], under_way_count=1)),
        (told(1_500, 90, 3), ours(1_000, 100, 2, checked=[attempt(0, 0)])),
        (told(10**13, 120, 3), ours(1_000, 100, 2, checked=[attempt(0, 0)])),  # more than any call can use
    ],
)
def test_it_proposes_nothing_of_what_is_checked_where_two_readings_fit(report, mine):
    line = line_of(report, mine, PART, CARD)
    assert line.true_ups == ()
    assert Why.UNDECIDED in line.why


@pytest.mark.parametrize(("calls", "is_proposed"), [(2, True), (1, True), (None, True), (0, False), (3, False)])
def test_an_estimated_call_is_on_the_report_or_is_not_and_nobody_elses_is(calls, is_proposed):
    """Two calls, one of them estimated. A third one on the report is somebody's without us; none at all means that ours are missing."""
    line = line_of(told(1_000, 140, calls), ours(1_000, 100, 2, estimated=[attempt(500, 50)]), PART, CARD)
    assert bool(line.true_ups) is is_proposed
    assert line.difference_cost_nanos == 600_000


def test_estimates_at_different_prices_are_left_alone():
    dearer = pinned(make_card(RateTable(base={**CARD.net_prices["standard"].base, Meter.OUTPUT: 20_000 * 10**9})))
    mixed = [attempt(500, 50), attempt(500, 50, card=dearer)]
    assert whys(told(1_000, 140, 2), ours(1_000, 100, 2, estimated=mixed)) == ["estimated", "undecided"]


def test_a_report_that_does_not_tell_tiers_apart_is_read_in_our_only_one():
    mine = ours(1_000, 100, 1)
    mine.tiers = {"flex": counts(1_000, 100)}
    assert whys(told(1_000, 100, 1), mine) == ["agrees"]


def test_midnight_moves_whole_calls_with_their_requests():
    mine = ours(1_000, 100, 2, leaving=[attempt(400, 40), attempt(500, 7)], arriving=[attempt(60, 6)])
    assert whys(told(660, 66, 2), mine) == ["midnight"]  # one left, one came
    assert whys(told(660, 66, 1), mine) == ["less_told"]
    assert whys(told(661, 66, 2), mine) == ["less_told"]


def test_what_the_report_does_not_count_is_not_compared():
    mine = ours(1_000, 100, 1)
    mine.tiers["standard"][METER_INDEX[Meter.WEB_SEARCH]] = 3
    assert whys(told(1_000, 100, 1), mine) == ["agrees"]


def test_reasoning_is_output_as_reports_have_it():
    found = [0] * len(METERS)
    found[METER_INDEX[Meter.OUTPUT]], found[METER_INDEX[Meter.REASONING]], found[METER_INDEX[Meter.REQUEST]] = 7, 30, 1
    assert report_counts(found) == counts(0, 37)


@pytest.mark.parametrize(
    ("cost", "why"),
    [(4_500_000, "agrees"), (4_500_002, "rounding"), (4_600_000, "more_told"), (4_400_000, "less_told")],
)
def test_an_invoice_without_counts_tells_money_alone(cost, why):
    bare = told(0, 0, None, tiers={}, meters=frozenset(), cost_nanos=cost, row_count=1)
    assert whys(bare, ours(1_000, 100, 1)) == [why]


def test_the_same_true_up_has_the_same_id_and_another_has_another():
    def ids(report: Told) -> list[str]:
        return [
            one.id for one in line_of(report, ours(1_000, 100, 1, estimated=[attempt(1_000, 100)]), PART, CARD).true_ups
        ]

    assert ids(told(1_000, 140, 1)) == ids(told(1_000, 140, 1)) != ids(told(1_000, 141, 1))
