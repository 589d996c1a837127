"""Forecasts from the lake, worked out by hand where every day is like the last: Ada and Bo in Engineering, Cleo in Design."""

from datetime import date

import numpy as np
import pytest

from tests.lake_kit import DAY, HOUR, MONDAY, event
from tokenroll.insight.outlook import Method
from tokenroll.services import forecasting
from tokenroll.services.forecast_texts import backtest_text, forecast_json, headline, rows_of
from tokenroll.services.forecasting import (
    ForecastError,
    ForecastQuestion,
    Headcount,
    Level,
    Measure,
    PriceChange,
    Rollout,
    ScenarioError,
    forecast_usage,
)
from tokenroll.store.lake import open_lake, read_lake
from tokenroll.store.lake_manifest import Disk
from tokenroll.store.lake_queries import Condition

USD = 10**9
TEAMS = {"Ada": "Engineering", "Bo": "Engineering", "Cleo": "Design"}
STEADY = {"Ada": 3, "Bo": 1, "Cleo": 2}
DAYS = 56
AFTER = MONDAY + DAYS * DAY  # Monday, 2 March 2026


def used(amounts, days=DAYS, **changes):
    """One call a day of each, at noon, of so many USD: a number, or what a day's number makes of it."""
    found = []
    for place, (name, amount) in enumerate(amounts.items()):
        for day in range(days):
            usd = amount(day) if callable(amount) else amount
            if usd is not None:
                at = MONDAY + day * DAY + DAY // 2
                facts = {"member": name, "department": TEAMS[name], "list_cost_nanos": usd * USD, **changes}
                found.append(event(1_000 * place + day, at, **facts))
    return found


def burst(seed):
    days = np.random.default_rng(seed).poisson(3, DAYS)
    return lambda day: int(days[day]) * (day % 7 < 5)


class QuickDisk(Disk):
    """One that may forget: no test here is about its power failing."""

    def sync(self, path):
        pass


def made(directory, events, *, summed=False):
    """A lake of these events."""
    with open_lake(directory, QuickDisk()) as found:
        found.append(events, {"claude-code": len(events)})
        if summed:
            found.roll_up()
    return directory


@pytest.fixture
def lake(tmp_path):
    return lambda events: made(tmp_path / "lake", events)


@pytest.fixture(scope="module")
def steady(tmp_path_factory):
    return made(tmp_path_factory.mktemp("steady") / "lake", used(STEADY), summed=True)


@pytest.fixture(scope="module")
def bursty(tmp_path_factory):
    events = used({name: burst(seed) for seed, name in enumerate(TEAMS)})
    return made(tmp_path_factory.mktemp("bursty") / "lake", events)


def asked(directory, **changes):
    with read_lake(directory) as view:
        return forecast_usage(view, ForecastQuestion(**{"first_at": AFTER, "horizon": 30} | changes))


def told(found):
    return {row["name"]: row["expected"] for row in rows_of(found)}


def test_days_that_are_all_alike_go_on_as_they_were(steady):
    for by, rows in (
        (Level.MEMBER, {"Ada": 90.0, "Bo": 30.0, "Cleo": 60.0}),
        (Level.TEAM, {"Engineering": 120.0, "Design": 60.0}),
        (Level.MODEL, {"sonnet": 180.0}),
    ):
        found = asked(steady, by=by)
        assert told(found) == rows
        assert found.outlook.company.totals == [180 * USD]
        band = found.outlook.company.forecast.band(95)
        assert (band.total_lower[0] / USD, band.total_upper[0] / USD) == pytest.approx((180, 180))
    assert told(asked(steady))["2026-03-02"] == 6.0


def test_tokens_are_apart_from_costs_and_nobody_calls_them_money(steady):
    found = asked(steady, measure=Measure.MODEL_TOKENS, by=Level.MEMBER)
    assert told(found) == {"Ada": 3600.0, "Bo": 3600.0, "Cleo": 3600.0}  # 120 a call
    said = headline(found)
    assert "10 800 model tokens of model tokens is expected" in said
    assert "no amount of the ledger" in said


def test_rows_add_up_to_the_company_to_the_nano_in_each_period(bursty):
    company = asked(bursty).outlook.company.counts
    for by in (Level.TEAM, Level.MEMBER, Level.MODEL):
        found = asked(bursty, by=by)
        assert np.array_equal(found.outlook.lowest.counts.sum(0), found.outlook.company.counts[0])
        assert np.array_equal(found.outlook.company.counts, company)
        assert found.outlook.company.counts.sum() > 100 * USD


def test_what_a_forecast_says_of_itself_is_what_its_backtest_found(bursty):
    found = asked(bursty, by=Level.MEMBER, horizon=14)
    with read_lake(bursty) as view:
        _, again = forecasting.backtest_usage(view, found.question)
    assert again is not None
    assert again == found.tested
    assert (again.accuracy.series, again.accuracy.origins, again.periods) == (3, 3, 14)
    assert 0 < again.accuracy.mase < again.accuracy.naive_mase
    assert f"MASE {again.accuracy.mase:.2f} ({again.accuracy.naive_mase:.2f})" in backtest_text(found.question, again)
    assert forecast_json(found)["backtest"]["ratio_to_naive"] < 1


def test_days_that_are_too_even_or_too_few_are_not_called_accurate(steady):
    found = asked(steady)
    assert found.tested is None
    assert "cannot be said" in backtest_text(found.question, found.tested)


def test_a_short_past_is_tried_on_a_shorter_horizon(lake):
    found = asked(lake(used({"Ada": burst(1)}, days=24)), first_at=MONDAY + 24 * DAY)
    assert (found.tested.periods, found.question.horizon) == (7, 30)


def test_a_past_of_less_than_three_weeks_says_how_many_days_there_are(lake):
    directory = lake(used(STEADY, days=20))
    with pytest.raises(ForecastError, match="knows 20 days before 2026-01-25; a forecast needs 21"):
        asked(directory, first_at=MONDAY + 20 * DAY)
    assert told(asked(directory, first_at=MONDAY + 21 * DAY, by=Level.TEAM))  # the day without usage is one of zero


def test_an_empty_lake_and_one_without_the_measure_are_told_apart(tmp_path, steady):
    with pytest.raises(ForecastError, match="knows 0 days"):
        asked(tmp_path / "none")
    with pytest.raises(ForecastError, match="none of the 56 days before 2026-03-02 has any net cost"):
        asked(steady, measure=Measure.NET)


def test_sums_that_tell_no_cost_are_named(lake):
    found = asked(
        lake([*used({"Ada": 1}), *used({"Cleo": 1}, days=2, source="codex", member="Bo", list_cost_nanos=None)])
    )
    assert "2 sums of the past tell no list cost and count as nothing: the figures are too low" in found.notes


def test_who_is_new_is_expected_at_what_colleagues_use(lake):
    events = used({"Ada": 4}) + used({"Bo": lambda day: 4 if day >= DAYS - 3 else None})
    found = asked(lake(events), by=Level.MEMBER)
    assert told(found) == {"Ada": 120.0, "Bo": 120.0}


def test_who_moved_takes_their_past_along(lake):
    moved = event(9_000, AFTER - DAY, member="Bo", department="Design", list_cost_nanos=USD)
    bo = used({"Cleo": 1}, days=DAYS - 1, source="codex", member="Bo", department="Engineering")
    assert told(asked(lake([*used({"Ada": 3}), *bo, moved]), by=Level.TEAM)) == {"Engineering": 90.0, "Design": 30.0}


def hourly(people):
    """A dollar an hour of each of these people of teams, for two weeks; Ada uses a model of her own."""
    return [
        event(
            1_000 * place + hour, MONDAY + hour * HOUR, member=name, department=team, list_cost_nanos=USD,
            requested_model="opus" if name == "Ada" else "haiku",
        )
        for place, (name, team) in enumerate(people.items())
        for hour in range(14 * 24)
    ]  # fmt: skip


ENGINEERS = dict.fromkeys(("Ada", "Bo", "Eve", "Fay", "Gus"), "Engineering")
HOURS = {"first_at": MONDAY + 14 * DAY, "horizon": 48, "is_hourly": True}


def test_hours_have_their_own_pace(lake):
    found = asked(lake(hourly(ENGINEERS)), **HOURS)
    assert found.outlook.company.totals == [5 * 48 * USD]
    assert rows_of(found)[47]["name"] == "2026-01-20T23:00Z"


def test_hours_of_a_small_team_are_told_with_the_next_larger_one(lake):
    """Two of Design are too few; with the five of Engineering they are seven. Six of Legal are told apart."""
    legal = dict.fromkeys(("Hal", "Ida", "Jo", "Kim", "Lou", "Max"), "Legal")
    found = asked(lake(hourly({**ENGINEERS, "Cleo": "Design", "Dev": "Design", **legal})), by=Level.TEAM, **HOURS)
    assert found.usage.names == ("Legal", "small groups together")
    assert found.usage.together == ("Design", "Engineering")
    assert any("fewer than 5 people's hours would be told: Design, Engineering" in note for note in found.notes)


def test_hours_of_a_model_that_one_person_uses_are_not_told_alone(lake):
    found = asked(lake(hourly({**ENGINEERS, "Hal": "Engineering"})), by=Level.MODEL, **HOURS)
    assert found.usage.names == ("small groups together",)
    assert found.usage.together == ("haiku", "opus")


@pytest.mark.parametrize(
    ("people", "more", "says"),
    [
        (ENGINEERS, {"by": Level.MEMBER}, "the hours of one person are theirs alone"),
        (ENGINEERS, {"where": (Condition(dimension="member", operator="=", value="Ada"),)}, "ask without --where member="),
        (ENGINEERS, {"where": (Condition(dimension="member", operator="!=", value="Ada"),)}, "the hours of 4 people"),
        ({"Ada": "Engineering"}, {}, "the hours of 1 people would tell"),
    ],
)  # fmt: skip
def test_hours_of_few_people_are_withheld(lake, people, more, says):
    with pytest.raises(ForecastError, match=says):
        asked(lake(hourly(people)), **HOURS, **more)


def test_holidays_are_like_days_on_which_nobody_works(lake):
    """Bo rests at weekends; Friday, 6 March, is a holiday and then like one of them."""
    events = used({"Bo": lambda day: 2 if day % 7 < 5 else 0})
    closed = {date(2026, 3, 6)}
    found = asked(lake(events), is_working_day=lambda day: day.weekday() < 5 and day not in closed)
    rows = told(found)
    assert (rows["2026-03-05"], rows["2026-03-06"], rows["2026-03-07"], rows["2026-03-09"]) == (2.0, 0.0, 0.0, 2.0)


# ---- scenarios ----------------------------------------------------------------------------------------------------------


def test_a_price_moves_costs_from_its_day_on(steady):
    change = (PriceChange(date(2026, 3, 17), 1.5),)  # 15 days at 6, 15 at 9
    assert asked(steady, changes=change).outlook.company.totals == [225 * USD]
    found = asked(steady, by=Level.MEMBER, changes=change)
    assert told(found) == {"Ada": 112.5, "Bo": 37.5, "Cleo": 75.0}
    band = found.outlook.company.forecast.band(80)
    assert float(band.total_upper[0]) == pytest.approx(225 * USD)
    with pytest.raises(ScenarioError, match="moves costs and no model tokens"):
        asked(steady, measure=Measure.MODEL_TOKENS, changes=change)


def test_more_heads_use_more_in_their_team_alone(steady):
    found = asked(steady, by=Level.TEAM, changes=(Headcount(date(2026, 3, 2), "Engineering", 2, 3),))
    assert told(found) == {"Engineering": 180.0, "Design": 60.0}
    assert found.outlook.company.totals == [240 * USD]
    whole = asked(steady, changes=(Headcount(date(2026, 3, 2), "", 3, 6),))
    assert whole.outlook.company.totals == [360 * USD]


@pytest.mark.parametrize(
    ("by", "change", "says"),
    [
        (Level.MEMBER, Headcount(date(2026, 3, 10), "", 3, 4), "still to be hired has no name"),
        (Level.COMPANY, Headcount(date(2026, 3, 10), "Design", 1, 2), "asked with --by team"),
        (Level.TEAM, Headcount(date(2026, 3, 10), "Sales", 1, 2), "there is no team 'Sales'"),
        (Level.TEAM, PriceChange(date(2026, 5, 1), 2.0), "2026-05-01 is not in what is forecast: 2026-03-02 to 2026-03-31"),
    ],
)  # fmt: skip
def test_scenarios_that_do_not_fit_say_why(steady, by, change, says):
    with pytest.raises(ScenarioError, match=says):
        asked(steady, by=by, changes=(change,))


def test_a_rollout_grows_in_a_straight_line(steady):
    """Four days to double 6 a day: 7.5, 9, 10.5, 12, and 12 from then on."""
    found = asked(steady, horizon=6, changes=(Rollout(date(2026, 3, 2), date(2026, 3, 5), 2.0),))
    assert [row["expected"] for row in rows_of(found)] == [7.5, 9.0, 10.5, 12.0, 12.0, 12.0]


# ---- methods, and what to know ------------------------------------------------------------------------------------------


def test_trees_with_too_little_to_learn_from_leave_it_to_the_light_method(steady):
    found = asked(steady, by=Level.TEAM, method=Method.BOOSTED, horizon=7)
    assert told(found) == {"Engineering": 28.0, "Design": 14.0}
    assert "too few series and days to learn trees from: company, teams by the light method" in found.notes


def test_without_the_extra_one_is_told_what_to_install(steady, monkeypatch):
    monkeypatch.setattr(forecasting, "find_spec", lambda _name: None)
    with pytest.raises(ForecastError, match=r"install `tokenroll\[forecast\]`, or ask with --method light"):
        asked(steady, method=Method.BOOSTED)


def test_a_lake_that_ended_long_ago_says_that_its_silence_counts(steady):
    found = asked(steady, first_at=AFTER + 10 * DAY)
    assert any("the 10 days since count as zero; --from 2026-03-01" in one for one in found.notes)


@pytest.mark.parametrize("by", [Level.MEMBER, Level.MODEL, Level.COMPANY])
def test_a_call_that_nobody_can_have_spent_is_left_out(lake, by):
    """Ada's 120 model tokens cost 3 USD a day; one call of as many told 900."""
    wrong = event(9_000, AFTER - DAY, source="codex", member="Ada", list_cost_nanos=900 * USD)
    large = event(9_001, AFTER - DAY, source="codex", member="Bo", list_cost_nanos=30 * USD, requested_model="opus")
    found = asked(lake([*used({"Ada": 3}), wrong, large]), by=by, horizon=7)
    assert (found.usage.left_out.call_count, found.usage.left_out.amount) == (1, 900 * USD)
    assert np.nansum(found.usage.past.actual) == (3 * DAYS + 30) * USD
    assert (
        "1 call with 900.00 USD of list cost left out, since its meter cannot be right (W12), until somebody confirms it: `tokenroll cost meters`"
        in found.notes
    )
