"""Trying a plan on a month that was: Ada works a lot, Bo a little, Cleo not at all."""

import pytest

from tests.firm import CREDIT, DAY, FEBRUARY, HOUR, JANUARY, Firm
from tokenroll.services.refusal import Refused


@pytest.fixture
def firm():
    one = Firm()
    for name in ("Ada", "Bo", "Cleo"):
        one.hire(name)
    one.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT, lifetime="1m")
    for name in ("Ada", "Bo"):
        one.do("grant.create", to=name, plan="tools")
    for name, day, credits_ in (("Ada", 1, 30), ("Ada", 10, 30), ("Bo", 3, 5), ("Ada", 20, 30)):
        one.now = JANUARY + day * DAY
        one.call(name, one.lot_ids(name)[0], credits_ * CREDIT, bound=credits_ * CREDIT)
    one.do(
        "plan.create", name="lean", kind="stipend", classification="tool", amount_nanos=50 * CREDIT,
        vesting={"kind": "dated", "shares": [{"on": "2026-01-01"}, {"on": "2026-01-16"}]},
    )  # fmt: skip
    one.now = FEBRUARY + 3 * HOUR
    return one


def credits_of(row, *names):
    return tuple(row[f"{name}_nanos"] // CREDIT for name in names)


def test_last_month_under_a_leaner_plan(firm):
    trial = firm.reports.plan_trial("lean")
    assert (trial["cycle"], trial["source"], trial["version"]) == ("2026-01", "ledger", 1)
    ada, bo, cleo = trial["people"]
    assert [one["name"] for one in trial["people"]] == ["Ada", "Bo", "Cleo"]
    # 25 on the 1st do not pay 30; 50 from the 16th pay the 30 of the 20th
    assert credits_of(ada, "used", "granted", "had", "paid", "missing", "unused") == (90, 50, 100, 30, 60, 20)
    assert (ada["stopped_count"], ada["first_stopped_at"]) == (2, JANUARY + DAY)
    assert credits_of(bo, "used", "granted", "had", "paid", "missing", "unused") == (5, 50, 100, 5, 0, 45)
    assert credits_of(cleo, "used", "granted", "had", "paid", "unused") == (0, 50, 0, 0, 50)
    sums = trial["sums"]
    assert (sums["people_count"], sums["starved_count"]) == (3, 1)
    assert (sums["gaining_count"], sums["losing_count"]) == (1, 2)
    assert credits_of(sums, "used", "granted", "had", "paid", "missing", "unused") == (95, 150, 200, 35, 60, 115)


def test_another_amount_in_place_of_the_plans(firm):
    trial = firm.reports.plan_trial("tools", "2026-01", amount_nanos=90 * CREDIT)
    assert [credits_of(one, "granted", "paid", "missing") for one in trial["people"]] == [
        (90, 90, 0), (90, 5, 0), (90, 0, 0),
    ]  # fmt: skip


def test_trying_changes_nothing(firm):
    before = firm.connection.exec_driver_sql("SELECT max(ledger_seq) FROM facts").scalar()
    firm.reports.plan_trial("lean")
    assert firm.connection.exec_driver_sql("SELECT max(ledger_seq) FROM facts").scalar() == before


LOG = """\
credits,member,at
7.5,Nightly,2026-01-09T02:00:00Z
60,Nightly,2026-01-08T02:00:00+01:00
1,Ada,2026-02-01T00:00:00Z
"""


def test_a_log_from_elsewhere_is_tried_in_the_order_of_time(firm, tmp_path):
    log = tmp_path / "log.csv"
    log.write_text(LOG)
    trial = firm.reports.plan_trial("tools", "2026-01", amount_nanos=62 * CREDIT, log=log)
    assert trial["source"] == "log"
    nightly, ada = trial["people"]
    assert (nightly["name"], nightly["paid_nanos"], nightly["missing_nanos"]) == ("Nightly", 60 * CREDIT, 7_500_000_000)
    assert nightly["first_stopped_at"] == JANUARY + 8 * DAY + 2 * HOUR
    assert (ada["name"], ada["used_nanos"]) == ("Ada", 0)  # her call is of February


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("member,at\n", "line 1: a log has the columns member, at, credits; credits is missing"),
        ("member,at,credits\nAda,soon,1\n", "line 2, at: 'soon' is no instant such as 2026-01-31T09:00:00Z"),
        ("member,at,credits\nAda,2026-01-01T00:00:00,1\n", "line 2, at: '2026-01-01T00:00:00' is no instant"),
        ("member,at,credits\nAda,2026-01-01T00:00:00Z,1\nBo,2026-01-01T00:00:00Z,much\n", "line 3, credits:"),
        ("member,at,credits\nAda,2026-01-01T00:00:00Z,-1\n", "line 2, credits: -1 is negative"),
        ("member,at,credits\n ,2026-01-01T00:00:00Z,1\n", "line 2, member: is empty"),
        ("member,at,credits\nAda\n", "line 2, at: None is no instant"),
        ("member,at,credits\n", "holds no calls"),
        ("", "line 1: a log has the columns"),
    ],
)
def test_a_log_with_a_row_that_cannot_be_read_is_refused_by_its_line(firm, tmp_path, text, told):
    log = tmp_path / "log.csv"
    log.write_text(text)
    with pytest.raises(Refused) as refused:
        firm.reports.plan_trial("tools", "2026-01", log=log)
    assert refused.value.kind == "log"
    assert told in refused.value.message


def test_a_log_that_is_no_text_is_refused(firm, tmp_path):
    log = tmp_path / "log.csv"
    log.write_bytes(b"\xff\xfe\x00member")
    with pytest.raises(Refused, match="cannot be read"):
        firm.reports.plan_trial("tools", "2026-01", log=log)


@pytest.mark.parametrize(("plan", "cycle"), [("nobody's", "2026-01"), ("tools", "2026-13"), ("tools", "January")])
def test_a_plan_or_a_month_that_is_none_is_refused(firm, plan, cycle):
    with pytest.raises(Refused):
        firm.reports.plan_trial(plan, cycle)


def test_who_may_not_have_it_gets_nothing_and_is_told_why(firm):
    firm.do("department.create", name="Sales")
    firm.do("member.create", name="Dev", department="Sales")
    firm.do(
        "plan.create", name="engineers", kind="stipend", classification="tool", amount_nanos=50 * CREDIT,
        terms={"eligibility": {"departments": ["Sales"]}},
    )  # fmt: skip
    trial = firm.reports.plan_trial("engineers", "2026-01")
    ada = trial["people"][0]
    assert credits_of(ada, "used", "granted", "missing") == (90, 0, 90)
    assert (ada["stopped_count"], ada["change"]) == (3, "loses")
    assert ada["why"] == "Ada is in Engineering, and it is for Sales"
    dev = trial["people"][-1]
    assert (dev["name"], dev["granted_nanos"], dev["change"], dev["why"]) == ("Dev", 50 * CREDIT, "gains", None)


def test_a_joiner_gets_the_part_that_the_plan_says(firm):
    firm.do("member.create", name="Eve", department="Engineering", hired_on="2026-01-22")
    firm.do(
        "plan.create", name="by-day", kind="stipend", classification="tool", amount_nanos=31 * CREDIT,
        terms={"proration": "by_day"},
    )  # fmt: skip
    found = {one["name"]: one for one in firm.reports.plan_trial("by-day", "2026-01")["people"]}
    assert (found["Eve"]["granted_nanos"], found["Eve"]["why"]) == (10 * CREDIT, "10 of 31 days")
    assert found["Bo"]["granted_nanos"] == 31 * CREDIT


def test_amounts_by_level_are_nothing_where_no_level_is_known_and_scores_must_be_replaced_by_an_amount(firm):
    levels = [{"level": "L4", "amount_nanos": CREDIT}]
    for name, formula in (("levels", {"kind": "per_level", "levels": levels}), ("scores", {"kind": "per_outcome"})):
        firm.do(
            "plan.create", name=name, kind="stipend", classification="tool", amount_nanos=CREDIT, terms={"formula": formula}
        )  # fmt: skip
    (ada, *_others) = firm.reports.plan_trial("levels", "2026-01")["people"]
    assert (ada["granted_nanos"], "none is known: it is one of L4" in ada["why"]) == (0, True)
    with pytest.raises(Refused, match="a trial knows neither base pay nor scores; try it with --amount"):
        firm.reports.plan_trial("scores", "2026-01")
    assert firm.reports.plan_trial("scores", "2026-01", amount_nanos=CREDIT)["sums"]["granted_nanos"] == 3 * CREDIT
