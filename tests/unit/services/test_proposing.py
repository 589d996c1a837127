"""Dev in HR proposes a quarter's awards, Cleo in finance approves: nothing is granted before, and nothing else after."""

import pytest

from tests.firm import CREDIT, DAY, JANUARY, Firm
from tokenroll.services.refusal import Refused

ROWS = [
    {"line": 2, "id": "Q1-1", "to": "Ada", "plan": "tools"},
    {"line": 3, "id": "Q1-2", "to": "Bo", "plan": "tools", "amount_nanos": 12 * CREDIT},
]


@pytest.fixture
def firm():
    one = Firm()
    for name in ("Ada", "Bo", "Cleo", "Dev"):
        one.hire(name)
    for number, name in enumerate(("Cleo", "Dev")):
        one.do(
            "key.create", member=name, scope="admin", name=f"{name}'s", secret_hash=f"{number:02x}" * 32, shown_prefix=f"tr-{name}"
        )  # fmt: skip
    one.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=40 * CREDIT)
    return one


def proposed(firm, **changes):
    return firm.do("proposal.create", **{"rows": ROWS, "by": "Dev"} | changes)["proposal"]


def granted(firm):
    return sorted((one["wallet_name"], one["amount_nanos"]) for one in firm.reports.grants())


def test_nothing_is_granted_before_another_one_approves(firm):
    proposal = proposed(firm, budget_nanos=60 * CREDIT, note="first quarter")
    found = firm.reports.proposal(proposal)
    assert (found["state"], found["award_count"], found["amount_nanos"], found["budget_left_nanos"]) == (
        "proposed", 2, 52 * CREDIT, 8 * CREDIT,
    )  # fmt: skip
    assert [(one["id"], one["to"], one["amount_nanos"], one["state"], one["grant"]) for one in found["awards"]] == [
        ("Q1-1", "Ada", 40 * CREDIT, "new", None), ("Q1-2", "Bo", 12 * CREDIT, "new", None),
    ]  # fmt: skip
    assert (found["changes"], granted(firm)) == ([], [])
    firm.now += DAY
    approved = firm.do("proposal.approve", proposal=proposal, by="Cleo")
    assert (approved["state"], approved["decided_by"], approved["decided_at"]) == ("approved", "Cleo", JANUARY + DAY)
    assert granted(firm) == [("Ada", 40 * CREDIT), ("Bo", 12 * CREDIT)]
    assert all(one["grant"].startswith("grant_") for one in approved["awards"])
    assert [one["note"] for one in firm.reports.proposals()] == ["first quarter"]


def test_nobody_approves_their_own(firm):
    told = firm.ask("proposal.approve", proposal=proposed(firm), by="Dev").problem
    assert told == "Dev proposed it: somebody else with an admin key approves it"
    assert granted(firm) == []


def test_only_administrators_propose_and_decide(firm):
    told = firm.ask("proposal.create", rows=ROWS, by="Ada").problem
    assert told == (
        "Ada has no live admin key, and only administrators propose and decide: `tokenroll key create --member 'Ada' --scope admin`"
    )
    proposal = proposed(firm)
    assert "Bo has no live admin key" in firm.ask("proposal.approve", proposal=proposal, by="Bo").problem
    firm.do("member.leave", member="Cleo", left_on="2026-01-31", revoke_keys=True)
    assert "Cleo has no live admin key" in firm.ask("proposal.approve", proposal=proposal, by="Cleo").problem


def test_approving_again_changes_nothing(firm):
    proposal = proposed(firm)
    first = firm.do("proposal.approve", proposal=proposal, by="Cleo")
    again = firm.do("proposal.approve", proposal=proposal, by="Cleo")
    assert again | {"delivery": ""} == first | {"delivery": ""}
    assert len(granted(firm)) == 2
    assert (
        "is approved already, so it cannot be rejected"
        in firm.ask("proposal.reject", proposal=proposal, by="Cleo").problem
    )


def test_one_may_take_back_ones_own_and_a_rejected_one_stays_so(firm):
    proposal = proposed(firm)
    rejected = firm.do("proposal.reject", proposal=proposal, by="Dev", reason="wrong quarter")
    assert (rejected["state"], rejected["decided_by"], rejected["reason"]) == ("rejected", "Dev", "wrong quarter")
    assert (
        "is rejected already, so it cannot be approved"
        in firm.ask("proposal.approve", proposal=proposal, by="Cleo").problem
    )


def test_it_lapses_by_its_date(firm):
    proposal = proposed(firm)
    firm.now += 30 * DAY
    assert firm.reports.proposal(proposal)["state"] == "lapsed"
    told = firm.ask("proposal.approve", proposal=proposal, by="Cleo").problem
    assert told == f"proposal {proposal} is too old to be approved: propose it again"


def test_what_is_granted_is_what_was_proposed(firm):
    proposal = proposed(firm)
    firm.now += DAY
    firm.do("plan.create", name="tools", kind="stipend", classification="compensation", amount_nanos=45 * CREDIT)
    changes = [
        "Q1-1: was 40.00 credits (tool, tools version 1) and would be 45.00 credits (compensation, tools version 2) by now",
        "Q1-2: was 12.00 credits (tool, tools version 1) and would be 12.00 credits (compensation, tools version 2) by now",
    ]
    assert firm.reports.proposal(proposal)["changes"] == changes
    told = firm.ask("proposal.approve", proposal=proposal, by="Cleo").problem
    assert told.splitlines() == [
        "what would be granted is not what was proposed, so it must be proposed again:", *changes,
    ]  # fmt: skip
    assert granted(firm) == []


def test_an_award_that_was_granted_meanwhile_is_not_granted_again(firm):
    proposal = proposed(firm)
    firm.do("grant.import", rows=ROWS[:1])
    told = firm.ask("proposal.approve", proposal=proposal, by="Cleo").problem
    assert told.splitlines()[1:] == ["Q1-1: was new and is known by now"]
    again = proposed(firm)
    firm.do("proposal.approve", proposal=again, by="Cleo")
    assert granted(firm) == [("Ada", 40 * CREDIT), ("Bo", 12 * CREDIT)]


def test_what_cannot_be_granted_or_is_above_its_budget_is_not_proposed(firm):
    bad = [*ROWS, {"line": 4, "id": "Q1-3", "to": "Nobody", "plan": "tools"}]
    assert "line 4, Q1-3: there is no wallet 'Nobody'" in firm.ask("proposal.create", rows=bad, by="Dev").problem
    told = firm.ask("proposal.create", rows=ROWS, by="Dev", budget_nanos=50 * CREDIT).problem
    assert told.startswith("the new awards are 52.00 credits, 2.00 above the budget of 50.00")
    firm.do("grant.import", rows=ROWS)
    assert "every award of it was granted before" in firm.ask("proposal.create", rows=ROWS, by="Dev").problem


def test_a_note_is_a_line(firm):
    told = firm.ask("proposal.create", rows=ROWS, by="Dev", note="two\nlines").problem
    assert told == "a note has at most 300 printable characters on one line"
    assert firm.reports.proposals() == []


def test_the_same_id_gives_the_same_answer(firm):
    first = firm.ask("proposal.create", command_id="p1", rows=ROWS, by="Dev").result
    assert firm.ask("proposal.create", command_id="p1", rows=ROWS, by="Dev").result == first
    assert len(firm.reports.proposals()) == 1
    with pytest.raises(Refused, match="there is no proposal 'none'"):
        firm.reports.proposal("none")


def test_a_company_may_require_it(firm):
    assert firm.do("proposal.require", is_required=True, by="Cleo")["by"] == "Cleo"
    assert firm.ask("grant.import", rows=ROWS).problem == (
        "awards of a spreadsheet need another administrator's approval here: `tokenroll proposal create FILE --by WHO` proposes them"
    )
    firm.do("proposal.approve", proposal=proposed(firm), by="Cleo")
    assert len(granted(firm)) == 2
    assert "Ada has no live admin key" in firm.ask("proposal.require", is_required=False, by="Ada").problem
    assert (
        "is_required must be true or false, not a text"
        in firm.ask("proposal.require", is_required="no", by="Cleo").problem
    )
    firm.do("proposal.require", is_required=False, by="Dev")
    assert firm.do("grant.import", rows=ROWS)["known_count"] == 2
