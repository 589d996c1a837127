"""A plan's rules asked of people: who may have it, and how much it is for them."""

import pytest

from tests.firm import CREDIT, DAY, JANUARY, Firm

LEVELS = {"kind": "per_level", "levels": [{"level": "L4", "amount_nanos": 40 * CREDIT}]}
PERCENT = {"kind": "percent_of_base", "percent_nanos": 12_500_000_000}


@pytest.fixture
def firm():
    firm = Firm()
    firm.do("department.create", name="Engineering")
    firm.do("department.create", name="Platform", parent="Engineering")
    firm.do("department.create", name="Sales")
    firm.do("member.create", name="Ada", department="Platform", hired_on="2026-01-15")
    firm.do("member.create", name="Bo", department="Sales", hired_on="2025-06-01")
    return firm


def plan(firm, name="tools", **terms):
    firm.do(
        "plan.create", name=name, kind="stipend", classification="tool", amount_nanos=310 * CREDIT, terms=terms
    )  # fmt: skip


def granted(firm, to, name="tools", **given):
    made = firm.do("grant.create", to=to, plan=name, **given)
    return made["amount_nanos"], made.get("how")


def refused(firm, to, name="tools", **given):
    return firm.ask("grant.create", to=to, plan=name, **given).problem


def test_a_department_stands_for_all_below_it(firm):
    plan(firm, eligibility={"departments": ["Engineering"]})
    assert granted(firm, "Ada") == (310 * CREDIT, None)
    assert refused(firm, "Bo") == (
        "Bo may not have plan tools: Bo is in Sales, and it is for Engineering; choose another plan, or change the "
        "eligibility of this one (`tokenroll plan show 'tools'`)"
    )


def test_the_day_of_hire_decides(firm):
    plan(firm, eligibility={"hired_from": "2026-01-01"})
    assert granted(firm, "Ada") == (310 * CREDIT, None)
    assert "Bo was hired on 2025-06-01, before 2026-01-01" in refused(firm, "Bo")


def test_a_pool_is_not_asked(firm):
    plan(firm, eligibility={"departments": ["Engineering"]}, proration="by_day")
    firm.do("pool.create", name="Sales pool", department="Sales")
    assert granted(firm, "Sales pool") == (310 * CREDIT, None)


def test_a_percent_of_base_pay(firm):
    plan(firm, formula=PERCENT)
    assert granted(firm, "Ada", base_pay_nanos=64_000_500_000_000) == (8_000_062_500_000, "12.5 % of 64000.5")
    assert "so the base pay must be given with the grant" in refused(firm, "Ada")


def test_an_amount_by_level(firm):
    plan(firm, formula=LEVELS)
    assert granted(firm, "Ada", level="L4") == (40 * CREDIT, "level L4")
    assert "none is known: it is one of L4" in refused(firm, "Ada")


def test_an_amount_by_outcome(firm):
    plan(firm, formula={"kind": "per_outcome"})
    assert granted(firm, "Ada", score_nanos=1_500_000_000) == (465 * CREDIT, "310 × 1.5")


def test_an_amount_given_takes_the_place_of_a_formula_and_of_proration(firm):
    plan(firm, formula=PERCENT, proration="by_day")
    assert granted(firm, "Ada", amount_nanos=7 * CREDIT) == (7 * CREDIT, None)
    told = refused(firm, "Ada", amount_nanos=7 * CREDIT, base_pay_nanos=CREDIT)
    assert told == "an amount is given outright, so base pay would change nothing: leave one of them out"


def test_a_joiner_gets_the_days_of_the_month_and_a_leaver_too(firm):
    plan(firm, proration="by_day")
    assert granted(firm, "Ada") == (170 * CREDIT, "17 of 31 days")  # from the 15th
    assert granted(firm, "Bo") == (310 * CREDIT, None)
    firm.do("member.leave", member="Bo", left_on="2026-01-10")
    assert granted(firm, "Bo") == (100 * CREDIT, "10 of 31 days")
    firm.now = JANUARY + 31 * DAY
    assert refused(firm, "Bo") == "Bo is not employed on any day of 2026-02, so there is nothing to grant"
    assert granted(firm, "Ada") == (310 * CREDIT, None)


def test_a_part_of_full_time(firm):
    plan(firm, proration="by_day")
    assert granted(firm, "Ada", working_time_millionths=600_000) == (102 * CREDIT, "0.6 of full time, 17 of 31 days")
    assert "working time lies above 0" in refused(firm, "Ada", working_time_millionths=0)


def test_what_a_plan_does_not_use_is_refused(firm):
    plan(firm)
    assert "does not prorate, so working time would change nothing" in refused(
        firm, "Ada", working_time_millionths=500_000
    )
    assert "uses no base pay: leave it out" in refused(firm, "Ada", base_pay_nanos=CREDIT)


def test_people_read_the_words_of_the_plan(firm):
    plan(firm, wording={"title": "Studio credits", "why": "For the models that your work needs."})
    made = firm.do("grant.create", to="Ada", plan="tools")
    assert (made["words"], made["why"]) == ("Studio credits (working tool)", "For the models that your work needs.")
    (listed,) = firm.reports.grants("Ada")
    assert listed["words"] == "Studio credits (working tool)"
    assert firm.reports.grant(made["grant"])["why"] == "For the models that your work needs."
    assert firm.reports.plan("tools")["terms"] == {
        "wording.title": "Studio credits", "wording.why": "For the models that your work needs.",
    }  # fmt: skip
