"""Requests for top-ups: who may approve them, up to how much, and what becomes of those that nobody answers."""

import pytest

from tests.firm import CREDIT, DAY, FEBRUARY, JANUARY, Firm
from tokenroll.services.commands import COMMANDS
from tokenroll.services.ledger import Ledger
from tokenroll.services.scim_documents import ENTERPRISE


@pytest.fixture
def firm() -> Firm:
    """Ada and Dev work in Engineering below the Company; Bo approves 50 at once and 80 a month for Engineering, Cleo 500 for all."""
    firm = Firm()
    firm.do("department.create", name="Company")
    firm.do("department.create", name="Engineering", parent="Company")
    for name in ("Ada", "Bo", "Cleo", "Dev"):
        firm.do("member.create", name=name, department="Engineering", zone="UTC")
    firm.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=10 * CREDIT, lifetime="1m")
    for name in ("Ada", "Bo", "Cleo"):
        firm.do("grant.create", to=name, plan="tools")
    firm.do(
        "approver.set", member="Bo", department="Engineering", once_nanos_max=50 * CREDIT, monthly_nanos_max=80 * CREDIT
    )
    firm.do("approver.set", member="Cleo", once_nanos_max=500 * CREDIT)
    return firm


def asked(firm: Firm, nanos: int = 40 * CREDIT, member: str = "Ada") -> str:
    return firm.do("request.create", member=member, amount_nanos=nanos, reason="the migration")["request"]


def test_a_request_names_who_can_approve_it_and_an_approval_is_a_grant(firm):
    told = firm.do("request.create", member="Ada", amount_nanos=40 * CREDIT, reason="the migration")
    assert told["approvers"] == ["Bo", "Cleo"]
    assert told["expires_at"] == JANUARY + 7 * DAY
    granted = firm.do("request.approve", request=told["request"], by="Bo")
    assert (granted["amount_nanos"], granted["approved_by"], granted["on_the_limit_of"]) == (40 * CREDIT, "Bo", "Bo")
    assert granted["reason"] == f"the migration ({told['request']}, approved by Bo)"
    assert firm.reports.wallet("Ada")["left_nanos"] == 50 * CREDIT
    assert firm.reports.requests() == []
    (row,) = firm.reports.requests(everything=True)
    assert (row["state"], row["decided_by"], row["approved_nanos"]) == ("approved", "Bo", 40 * CREDIT)
    firm.verified()


def test_some_of_it_may_be_approved_and_no_more_than_was_asked(firm):
    request = asked(firm)
    assert (
        "asked for 40.00 credits"
        in firm.ask("request.approve", request=request, by="Bo", amount_nanos=41 * CREDIT).problem
    )
    assert firm.do("request.approve", request=request, by="Bo", amount_nanos=30 * CREDIT)["amount_nanos"] == 30 * CREDIT


def test_a_limit_bounds_one_approval_and_a_month_of_them(firm):
    refused = firm.ask("request.approve", request=asked(firm, 60 * CREDIT), by="Bo")
    assert "Bo may approve 50.00 credits more for Ada, not 60.00. Who can: Cleo." in refused.problem
    firm.do("request.approve", request=asked(firm, 50 * CREDIT), by="Bo")
    refused = firm.ask("request.approve", request=asked(firm, 40 * CREDIT), by="Bo")
    assert "Bo may approve 30.00 credits more for Ada" in refused.problem
    firm.now = FEBRUARY
    firm.do("request.approve", request=asked(firm, 40 * CREDIT), by="Bo")


def test_a_rule_that_is_set_again_does_not_forget_the_month(firm):
    firm.do("request.approve", request=asked(firm, 50 * CREDIT), by="Bo")
    firm.do(
        "approver.set", member="Bo", department="Engineering", once_nanos_max=50 * CREDIT, monthly_nanos_max=60 * CREDIT
    )
    assert "Bo may approve 10.00 credits more" in firm.ask("request.approve", request=asked(firm), by="Bo").problem


def test_nobody_decides_on_their_own_request_nor_on_one_of_another_department(firm):
    firm.do("department.create", name="Sales", parent="Company")
    firm.do("member.create", name="Eve", department="Sales")
    firm.do("grant.create", to="Eve", plan="tools")
    own = firm.ask("request.approve", request=asked(firm, member="Bo"), by="Bo")
    assert own.problem_kind == "own_request"
    other = firm.ask("request.approve", request=asked(firm, member="Eve"), by="Bo")
    assert "Bo does not approve for Eve. Who can: Cleo." in other.problem
    assert "Dev does not approve for Ada" in firm.ask("request.decline", request=asked(firm), by="Dev").problem


def test_a_stand_in_approves_within_the_same_limits_and_dates(firm):
    request = asked(firm)
    firm.do("approver.delegate", member="Bo", to="Dev", from_on="2026-01-05", back_on="2026-01-20")
    assert "Dev does not approve for Ada" in firm.ask("request.approve", request=request, by="Dev").problem
    firm.now = JANUARY + 4 * DAY
    assert firm.reports.requests()[0]["approvers"] == ["Bo", "Cleo", "Dev"]
    granted = firm.do("request.approve", request=request, by="Dev")
    assert (granted["approved_by"], granted["on_the_limit_of"]) == ("Dev", "Bo")
    assert (
        "Dev may approve 40.00 credits more"
        in firm.ask("request.approve", request=asked(firm, 45 * CREDIT), by="Dev").problem
    )
    assert firm.reports.approvers()[0]["stand_ins"] == ["Dev"]
    firm.now = JANUARY + 19 * DAY
    assert "Dev does not approve" in firm.ask("request.approve", request=asked(firm), by="Dev").problem


def test_who_asks_does_not_come_back_through_who_stands_in_for_them(firm):
    firm.do("approver.delegate", member="Cleo", to="Dev", from_on="2026-01-01", back_on="2026-02-01")
    request = asked(firm, member="Cleo")
    assert (
        "Dev does not approve for Cleo. Who can: Bo." in firm.ask("request.approve", request=request, by="Dev").problem
    )


def test_a_request_lapses_by_its_date_and_is_decided_once(firm):
    late, declined = asked(firm), asked(firm)
    firm.do("request.decline", request=declined, by="Bo")
    assert "is not open any more: it was declined" in firm.ask("request.approve", request=declined, by="Bo").problem
    firm.now = JANUARY + 7 * DAY
    assert "it lapsed at 2026-01-08T00:00:00Z" in firm.ask("request.approve", request=late, by="Bo").problem
    assert firm.reports.wallet("Ada")["left_nanos"] == 10 * CREDIT


def test_an_approval_told_twice_grants_once(firm):
    request = asked(firm)
    first = firm.ask("request.approve", command_id="a", request=request, by="Bo")
    again = firm.ask("request.approve", command_id="a", request=request, by="Bo")
    assert first.result["grant"] == again.result["grant"]
    assert firm.reports.wallet("Ada")["left_nanos"] == 50 * CREDIT


def test_what_nobody_can_approve_is_refused_when_it_is_asked(firm):
    problem = firm.ask("request.create", member="Ada", amount_nanos=501 * CREDIT, reason="x").problem
    assert "Nobody can approve 501.00 credits for Ada: 500.00 at most at the moment." in problem
    firm.do("approver.remove", member="Cleo")
    firm.do("approver.remove", member="Bo", department="Engineering")
    problem = firm.ask("request.create", member="Ada", amount_nanos=CREDIT, reason="x").problem
    assert "Nobody approves for Ada: `tokenroll approver set" in problem
    assert "Bo does not approve for everybody" in firm.ask("approver.remove", member="Bo").problem


def test_denials_are_told_who_can_approve_a_top_up(firm):
    """Ada has no manager: who may approve is what the company said, and nobody else."""
    assert firm.reports.settings()["approver"] == "Cleo\nBo (for Engineering)"
    firm.do("approver.remove", member="Cleo")
    assert firm.reports.settings()["approver"] == "Bo (for Engineering)"
    firm.do("member.leave", member="Bo", left_on="2026-01-01")
    assert firm.reports.settings()["approver"] == ""


def test_denials_are_told_of_four_approvers_at_most(firm):
    for name in ("Ada", "Bo", "Dev"):
        firm.do("approver.set", member=name, once_nanos_max=CREDIT)
    assert firm.reports.settings()["approver"] == "Cleo\nAda\nBo\nDev\nanother approver"


def told(firm: Firm) -> str:
    """What denials say of approvers."""
    return str(firm.reports.settings()["approver"])


def known(firm: Firm, name: str) -> str:
    """A member as an identity provider knows them, by their number."""
    firm.do("member.change", member=name, employee_id=f"of {name}")
    user = {"userName": f"{name}@firm.example", "displayName": name, ENTERPRISE: {"employeeNumber": f"of {name}"}}
    return str(firm.do("user.put", user=user)["user"])


def test_denials_are_told_the_names_of_today_whoever_changed_them(firm):
    firm.do("member.change", member="Cleo", name="Cleo Byron")
    assert told(firm) == "Cleo Byron\nBo (for Engineering)"
    firm.do("user.put", user_id=known(firm, "Bo"), user={"userName": "Bo@firm.example", "displayName": "Bo Hale"})
    assert told(firm) == "Cleo Byron\nBo Hale (for Engineering)"
    firm.do(
        "group.put", group_id=firm.reports.department("Engineering")["department"], group={"displayName": "Research"}
    )
    assert told(firm) == "Cleo Byron\nBo Hale (for Research)"


def test_denials_name_nobody_whom_the_identity_provider_has_deactivated(firm):
    cleo = known(firm, "Cleo")
    firm.do("user.put", user_id=cleo, user={"userName": "Cleo@firm.example", "displayName": "Cleo", "active": False})
    assert told(firm) == "Bo (for Engineering)"
    firm.do("user.put", user_id=cleo, user={"userName": "Cleo@firm.example", "displayName": "Cleo", "active": True})
    assert told(firm) == "Cleo\nBo (for Engineering)"
    firm.do("user.remove", user_id=cleo)
    assert told(firm) == "Bo (for Engineering)"


def test_a_file_of_people_that_renames_an_approver_renames_them_in_denials(firm):
    firm.do("member.import", rows=[{"line": 2, "id": "E1", "name": "Cleo", "department": "Engineering"}])
    firm.do("member.import", rows=[{"line": 2, "id": "E1", "name": "Cleo Byron", "department": "Engineering"}])
    assert told(firm) == "Cleo Byron\nBo (for Engineering)"


def test_a_ledger_of_an_earlier_release_tells_anew_once_when_it_is_opened(firm):
    firm.connection.rollback()
    with firm.connection.begin():
        firm.connection.exec_driver_sql("UPDATE settings SET value = 'Cleo or Bo' WHERE name = 'approver'")
    opened = [Ledger(firm.connection, lambda: firm.now, COMMANDS, lambda bits: 1) for _ in range(2)]
    assert told(firm) == "Cleo\nBo (for Engineering)"
    assert [[one.settings for one in ledger.take_deltas()] for ledger in opened] == [
        [{"approver": "Cleo\nBo (for Engineering)"}],
        [],
    ]
    firm.verified()


def test_who_has_left_neither_asks_nor_approves(firm):
    request = asked(firm)
    firm.do("member.leave", member="Bo", left_on="2026-01-01")
    assert "Bo leaves or left on 2026-01-01" in firm.ask("request.approve", request=request, by="Bo").problem


def test_who_was_never_granted_anything_asks_for_no_more(firm):
    firm.hire("Eve")
    said = firm.ask("request.create", member="Eve", amount_nanos=CREDIT, reason="a start").problem
    assert said.startswith("Eve was never granted anything, so nothing says what more would be")


def test_two_wallets_never_share_a_name(firm):
    firm.do("pool.create", name="Shared", department="Engineering")
    assert firm.ask("pool.create", name="Shared").problem == "there is a wallet 'Shared' already: choose another name"
