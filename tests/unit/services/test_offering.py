"""Offers: promised to Ada before she is a member, accepted in time, granted when she is hired, each step once."""

import pytest

from tests.firm import CREDIT, DAY, FEBRUARY, JANUARY, Firm
from tokenroll.services.refusal import Refused

MAY = 1_777_593_600_000_000  # 2026-05-01T00:00:00Z
OFFER = {"candidate": "Ada L", "plan": "sign-on", "lapses_on": "2026-02-01"}


@pytest.fixture
def firm():
    one = Firm()
    one.do("department.create", name="Engineering")
    one.do("department.create", name="Sales")
    one.do(
        "plan.create", name="sign-on", kind="signing_bonus", classification="compensation", amount_nanos=48 * CREDIT,
        vesting={"kind": "periodic", "period": "1m", "occurrences": 2}, terms={"eligibility": {"departments": ["Engineering"]}},
    )  # fmt: skip
    return one


def made(firm, **changes):
    return firm.do("offer.create", **OFFER | changes)


def state(firm):
    return firm.reports.offer("Ada L")["state"]


def hire(firm, department="Engineering", hired_on="2026-02-01"):
    firm.do("member.create", name="Ada", department=department, hired_on=hired_on, zone="Europe/Berlin")


def test_from_a_promise_to_a_grant(firm):
    offer = made(firm, waiting="3m", starts_on="2026-02-01", currency="EUR", base_pay_cost_nanos=120_000 * CREDIT)
    assert (offer["state"], offer["amount_nanos"], offer["classification"]) == ("offered", 48 * CREDIT, "compensation")
    assert offer["total_package"] == (
        "Base pay, a year 120 000.00 EUR; Signing bonus (pay) 48.00 credits; Total package 120 000.00 EUR and 48.00 credits"
    )
    firm.now = JANUARY + 30 * DAY
    assert firm.do("offer.accept", offer="Ada L")["state"] == "accepted"
    firm.now = FEBRUARY + DAY
    hire(firm)
    granted = firm.do("offer.grant", offer=offer["offer"], to="Ada")
    # hired on 1 February in Berlin, three months later, and a month for the first part
    assert granted["effective_at"] == MAY - 2 * 3_600_000_000
    assert [(lot["amount_nanos"], lot["effective_at"]) for lot in granted["lots"]] == [
        (24 * CREDIT, MAY + 31 * DAY - 2 * 3_600_000_000), (24 * CREDIT, MAY + 61 * DAY - 2 * 3_600_000_000),
    ]  # fmt: skip
    assert state(firm) == "granted"
    (grant,) = firm.reports.grants("Ada")
    assert (grant["grant"], grant["amount_nanos"], grant["words"]) == (
        granted["grant"],
        48 * CREDIT,
        "signing bonus (pay)",
    )


def test_a_step_that_was_made_is_not_made_twice(firm):
    made(firm)
    first = firm.do("offer.accept", offer="Ada L")
    firm.now += DAY
    assert firm.do("offer.accept", offer="Ada L")["accepted_at"] == first["accepted_at"]
    hire(firm)
    granted = firm.do("offer.grant", offer="Ada L", to="Ada")["grant"]
    assert firm.do("offer.grant", offer="Ada L", to="Ada")["grant"] == granted
    assert len(firm.reports.grants("Ada")) == 1
    firm.do("member.create", name="Bo", department="Engineering", hired_on="2026-01-01")
    assert firm.ask("offer.grant", offer="Ada L", to="Bo").problem.startswith(
        "the offer to Ada L cannot be granted: it has become a grant"
    )


def test_the_same_id_gives_the_same_answer(firm):
    first = firm.ask("offer.create", command_id="o1", **OFFER).result
    assert firm.ask("offer.create", command_id="o1", **OFFER).result == first
    assert len(firm.reports.offers()) == 1


def test_it_lapses_by_its_date_and_may_be_given_more_time(firm):
    made(firm)
    firm.now = FEBRUARY - 1
    assert state(firm) == "offered"
    firm.now = FEBRUARY
    assert state(firm) == "lapsed"
    told = firm.ask("offer.accept", offer="Ada L").problem
    assert told.startswith(
        "the offer to Ada L cannot be accepted: it lapsed on 2026-02-01: `tokenroll offer extend offer_"
    )
    assert firm.do("offer.extend", offer="Ada L", lapses_on="2026-02-15")["state"] == "offered"
    assert firm.do("offer.accept", offer="Ada L")["state"] == "accepted"


def test_the_day_of_lapse_begins_in_the_companys_zone(firm):
    firm.do("company.set", name="Acme", zone="America/New_York")
    made(firm)
    firm.now = FEBRUARY
    assert state(firm) == "offered"
    firm.now = FEBRUARY + 5 * 3_600_000_000
    assert state(firm) == "lapsed"


def test_what_was_promised_is_granted_whatever_the_plan_says_by_then(firm):
    made(firm)
    firm.do("offer.accept", offer="Ada L")
    firm.do("plan.create", name="sign-on", kind="stipend", classification="tool", amount_nanos=CREDIT)
    hire(firm)
    firm.do("offer.grant", offer="Ada L", to="Ada")
    (grant,) = firm.reports.grants("Ada")
    assert (grant["amount_nanos"], grant["kind"], grant["classification"]) == (
        48 * CREDIT,
        "signing_bonus",
        "compensation",
    )


def test_who_may_have_the_plan_is_asked_when_it_is_granted(firm):
    made(firm)
    firm.do("offer.accept", offer="Ada L")
    hire(firm, department="Sales")
    assert "Ada is in Sales, and it is for Engineering" in firm.ask("offer.grant", offer="Ada L", to="Ada").problem
    assert state(firm) == "accepted"


def test_who_has_the_candidates_name_is_the_member_unless_another_is_named(firm):
    made(firm)
    firm.do("offer.accept", offer="Ada L")
    assert "there is no member 'Ada L'" in firm.ask("offer.grant", offer="Ada L").problem
    firm.do("member.create", name="Ada L", department="Engineering", hired_on="2026-02-01")
    firm.do("offer.grant", offer="Ada L")
    assert len(firm.reports.grants("Ada L")) == 1


def test_the_day_of_hire_must_be_known(firm):
    made(firm)
    firm.do("offer.accept", offer="Ada L")
    hire(firm, hired_on=None)
    told = firm.ask("offer.grant", offer="Ada L", to="Ada").problem
    assert told.startswith("nothing says when Ada was hired, and the grant begins then")


def test_a_percent_of_the_base_pay_that_is_offered(firm):
    firm.do(
        "plan.create", name="share", kind="signing_bonus", classification="compensation", amount_nanos=CREDIT,
        terms={"formula": {"kind": "percent_of_base", "percent_nanos": 5 * CREDIT}},
    )  # fmt: skip
    offer = made(firm, plan="share", currency="USD", base_pay_cost_nanos=120_000 * CREDIT)
    assert offer["amount_nanos"] == 6_000 * CREDIT
    assert "so the base pay must be given" in firm.ask("offer.create", **OFFER | {"plan": "share"}).problem


@pytest.mark.parametrize(
    ("steps", "wanted", "told"),
    [
        (["decline"], "accept", "cannot be accepted: it was declined: make a new one"),
        (["withdraw"], "accept", "cannot be accepted: it was withdrawn: make a new one"),
        (["accept"], "decline", "cannot be declined: it was accepted: `tokenroll offer withdraw"),
        (["accept"], "extend", "cannot be extended: it was accepted"),
        (["accept", "withdraw"], "grant", "cannot be granted: it was withdrawn: make a new one"),
        ([], "grant", "cannot be granted: it was not accepted yet: `tokenroll offer accept offer_"),
    ],
)
def test_a_step_that_cannot_be_is_refused_with_the_one_that_can(firm, steps, wanted, told):
    made(firm)
    hire(firm)
    for step in steps:
        firm.do(f"offer.{step}", offer="Ada L")
    more = {"extend": {"lapses_on": "2026-03-01"}, "grant": {"to": "Ada"}}.get(wanted, {})
    assert told in firm.ask(f"offer.{wanted}", offer="Ada L", **more).problem


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"lapses_on": "2026-01-01"}, "an offer lapses on a day to come, such as 2026-01-31, not on 2026-01-01"),
        ({"lapses_on": "soon"}, "lapses on: 'soon' is not a date such as 2027-01-31"),
        ({"waiting": "1y"}, "a waiting period is a number of days or months such as 90d or 12m, not '1y'"),
        ({"amount_nanos": 0}, "an offer of nothing is not an offer"),
        ({"bonus_cost_nanos": 1}, "the lines of a package need their currency, such as EUR"),
        ({"currency": "euro"}, "a currency is three capital letters such as EUR, not 'euro'"),
        ({"plan": "none"}, "there is no plan 'none'"),
        ({"candidate": " "}, "the candidate is missing"),
    ],
)
def test_what_cannot_be_offered_is_refused_in_words(firm, changes, told):
    assert told in firm.ask("offer.create", **OFFER | changes).problem


def test_an_offer_is_found_by_its_id_where_a_name_has_two(firm):
    first = made(firm)
    made(firm)
    assert firm.reports.offer(first["offer"])["offer"] == first["offer"]
    with pytest.raises(Refused, match="Ada L was made 2 offers: use the id"):
        firm.reports.offer("Ada L")
    with pytest.raises(Refused, match="there is no offer 'Bo'"):
        firm.reports.offer("Bo")


def test_a_dry_run_promises_nothing(firm):
    assert firm.ask("offer.create", dry_run=True, **OFFER).result["state"] == "offered"
    assert firm.reports.offers() == []
