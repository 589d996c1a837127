"""A plan becomes pay from a day on: what that changes is told first, and what was granted before stays what it was."""

import pytest

from tests.firm import CREDIT, DAY, FEBRUARY, JANUARY, Firm
from tokenroll.services import reclassifying

TO_PAY = {"name": "tools", "to": "compensation", "from_on": "2026-03-01"}


@pytest.fixture
def firm():
    one = Firm()
    for name in ("Ada", "Bo", "Cleo"):
        one.hire(name)
    one.do(
        "plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=90 * CREDIT,
        vesting={"kind": "periodic", "period": "1m", "occurrences": 3},
    )  # fmt: skip
    one.do("plan.create", name="other", kind="stipend", classification="tool", amount_nanos=7 * CREDIT)
    one.do("grant.create", to="Ada", plan="tools")
    one.do("grant.create", to="Ada", plan="other")
    one.now = FEBRUARY + DAY
    one.call("Ada", one.lot_ids("Ada")[0], 10 * CREDIT)
    one.do("grant.create", to="Bo", plan="tools")
    return one


def test_its_effect_is_told(firm):
    effect = firm.ask("plan.reclassify", dry_run=True, **TO_PAY).result
    # on 1 March: two of Ada's three parts have vested and 10 are spent; Bo's first comes on 2 March
    assert effect["wallets"] == [
        {"name": "Bo", "vested_left_nanos": 0, "unvested_nanos": 90 * CREDIT, "keeps": "tool"},
        {"name": "Ada", "vested_left_nanos": 50 * CREDIT, "unvested_nanos": 30 * CREDIT, "keeps": "tool"},
    ]
    assert (effect["wallet_count"], effect["vested_left_nanos"], effect["unvested_nanos"]) == (
        2, 50 * CREDIT, 120 * CREDIT,
    )  # fmt: skip
    assert effect["granted_in_a_year_nanos"] == 180 * CREDIT
    assert effect["changes"] == [
        {"what": "the grant", "was": "working allowance (working tool)", "becomes": "stipend (pay)"},
        {"what": "the paper", "was": "Allowance statement", "becomes": "Pay slip"},
        {"what": "becoming spendable", "was": "unlocks", "becomes": "vests"},
        {"what": "not yet spendable", "was": "still locked", "becomes": "not yet vested"},
        {
            "what": "tax",
            "was": "not taxed while the conditions of a working tool hold",
            "becomes": "wages or a benefit in kind: payroll values, withholds and reports it",
        },
        {
            "what": "books",
            "was": "expense when it is used; no liability at the grant",
            "becomes": "a liability that accrues as it vests, measured at the contracted cost",
        },
        {"what": "pay equity", "was": "not pay, and outside of pay gap figures", "becomes": "pay in kind, within pay gap figures"},
        {
            "what": "clawback and expiry",
            "was": "control of a budget, free to change",
            "becomes": "bound by the law of wages: used credits are never taken back",
        },
    ]  # fmt: skip
    assert [one["version"] for one in firm.reports.plans() if one["name"] == "tools"] == [1]


def test_what_was_granted_before_stays_what_it_was(firm):
    made = firm.do("plan.reclassify", **TO_PAY)
    assert (made["version"], made["was"], made["becomes"]) == (2, "tool", "compensation")
    february = firm.do("grant.create", to="Cleo", plan="tools")
    assert february["classification"] == "tool"
    firm.now = JANUARY + 60 * DAY  # 2 March
    march = firm.do("grant.create", to="Cleo", plan="tools")
    assert march["classification"] == "compensation"
    assert march["words"] == "stipend (pay)"
    assert {one["classification"] for one in firm.reports.grants("Ada")} == {"tool"}
    assert sorted(one["classification"] for one in firm.reports.grants("Cleo")) == ["compensation", "tool"]


def test_the_same_id_gives_the_same_answer(firm):
    first = firm.ask("plan.reclassify", command_id="r1", **TO_PAY).result
    assert firm.ask("plan.reclassify", command_id="r1", **TO_PAY).result == first


def test_the_largest_are_named_and_the_sums_are_over_all(firm, monkeypatch):
    monkeypatch.setattr(reclassifying, "RECLASSIFIED_WALLETS_SHOWN_MAX", 1)
    effect = firm.ask("plan.reclassify", dry_run=True, **TO_PAY).result
    assert ([one["name"] for one in effect["wallets"]], effect["wallet_count"]) == (["Bo"], 2)
    assert effect["unvested_nanos"] == 120 * CREDIT


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "none"}, "there is no plan 'none': `tokenroll plan list` shows them"),
        ({"to": "tool"}, "plan tools is tool already since version 1"),
        ({"to": "perk"}, "a plan is reclassified to one of tool, compensation, not 'perk'"),
        ({"from_on": "soon"}, "a reclassification begins on a date such as 2027-01-01, not 'soon'"),
        (
            {"from_on": "2026-02-02"},
            "2026-02-02 has begun already, and what was granted since keeps its classification: choose a day after 2026-02-02",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_words(firm, changes, told):
    assert firm.ask("plan.reclassify", **TO_PAY | changes).problem == told


def test_a_later_version_is_not_overtaken(firm):
    later = 1_780_272_000_000_000  # 2026-06-01T00:00:00Z
    firm.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=CREDIT, effective_at=later)
    told = firm.ask("plan.reclassify", **TO_PAY).problem
    assert told == "version 2 of plan tools holds from 2026-06-01 on: choose a later day"


def test_pay_does_not_become_a_tool_while_it_has_marks_of_pay(firm):
    firm.do("plan.create", name="bonus", kind="spot_bonus", classification="compensation", amount_nanos=CREDIT)
    told = firm.ask("plan.reclassify", name="bonus", to="tool", from_on="2026-03-01").problem
    assert "so it is pay and no working tool (rule: bonus kinds" in told
