"""Slips of wallets whose credits were taken, passed on or put on other dates: each line in the cycle in which it happened."""

from typing import Any

import pytest

from tests.firm import CREDIT, DAY, FEBRUARY, JANUARY, MARCH, Firm

LINES = (
    "opening", "vested", "spent", "breakage", "forfeited", "clawed_back", "voided", "transferred_in", "transferred_out", "closing",
)  # fmt: skip


@pytest.fixture
def firm() -> Firm:
    """Ada has 60 transferable credits with a clawback of a year; Bo has a credit a month for twelve months from January on."""
    firm = Firm()
    for name in ("Ada", "Bo"):
        firm.hire(name)
    terms = {"transferable": True, "leaving": {"clawback": {"basis": "full", "months": 12}}}
    firm.do(
        "plan.create",
        name="once",
        kind="signing_bonus",
        classification="compensation",
        amount_nanos=60 * CREDIT,
        terms=terms,
    )
    yearly = {"kind": "periodic", "period": "1m", "occurrences": 12}
    firm.do(
        "plan.create", name="year", kind="performance_bonus", classification="compensation", amount_nanos=12 * CREDIT,
        vesting=yearly,
    )  # fmt: skip
    firm.once = firm.do("grant.create", to="Ada", plan="once")["grant"]  # type: ignore[attr-defined]
    firm.year = firm.do("grant.create", to="Bo", plan="year")["grant"]  # type: ignore[attr-defined]
    return firm


def slip(firm: Firm, name: str, cycle: str) -> dict[str, Any]:
    """The lines that are not nothing, in credits."""
    found = firm.reports.payslip(name, cycle)
    return {line: found[f"{line}_nanos"] / CREDIT for line in LINES if found[f"{line}_nanos"]}


def test_a_transfer_is_out_of_one_slip_and_into_the_other(firm):
    firm.now = JANUARY + 5 * DAY
    firm.do("wallet.transfer", **{"from": "Ada", "to": "Bo", "amount_nanos": 20 * CREDIT})
    firm.now = FEBRUARY + DAY
    assert slip(firm, "Ada", "2026-01") == {"vested": 60, "transferred_out": 20, "closing": 40}
    assert slip(firm, "Bo", "2026-01") == {"transferred_in": 20, "closing": 20}
    firm.do("payrun.close", cycle="2026-01")
    assert slip(firm, "Bo", "2026-02") == {"opening": 20, "vested": 1, "closing": 21}
    firm.verified()


def test_what_is_taken_after_a_cycle_ended_is_not_on_its_slip_whenever_it_is_closed(firm):
    firm.now = FEBRUARY + 2 * DAY
    firm.do("grant.clawback", grant=firm.once, reason="left")
    assert slip(firm, "Ada", "2026-01") == {"vested": 60, "closing": 60}
    firm.do("payrun.close", cycle="2026-01")
    assert slip(firm, "Ada", "2026-02") == {"opening": 60, "clawed_back": 60}
    firm.now = MARCH
    firm.do("payrun.close", cycle="2026-02")
    assert slip(firm, "Ada", "2026-02") == {"opening": 60, "clawed_back": 60}
    firm.verified()


def test_what_was_given_in_a_cycle_that_is_closed_meanwhile_is_booked_in_the_open_one(firm):
    """The worker gave on 31 January; its report came after January was closed."""
    firm.gives = False
    firm.now = FEBRUARY - 1
    firm.do("grant.void", grant=firm.once, reason="an error")
    firm.now = FEBRUARY + DAY
    firm.do("payrun.close", cycle="2026-01")
    firm.answer_recalls(given_at=FEBRUARY - 1)
    assert slip(firm, "Ada", "2026-01") == {"vested": 60, "closing": 60}
    assert slip(firm, "Ada", "2026-02") == {"opening": 60, "voided": 60}
    firm.verified()


def test_what_vests_earlier_vests_then_and_is_no_transfer(firm):
    firm.now = JANUARY + 5 * DAY
    firm.do("grant.accelerate", grant=firm.year, amount_nanos=2 * CREDIT, reason="a milestone")
    firm.now = FEBRUARY + DAY
    assert slip(firm, "Bo", "2026-01") == {"vested": 2, "closing": 2}
    firm.do("payrun.close", cycle="2026-01")
    firm.now = MARCH + DAY
    # February's and March's credits came in January
    assert slip(firm, "Bo", "2026-02") == {"opening": 2, "closing": 2}
    assert slip(firm, "Bo", "2026-03") == {"opening": 2, "closing": 2}
    firm.verified()


def test_without_any_closed_cycle_the_lines_are_the_same(firm):
    firm.now = JANUARY + 5 * DAY
    firm.do("grant.accelerate", grant=firm.year, amount_nanos=2 * CREDIT, reason="a milestone")
    firm.now = MARCH + DAY
    assert slip(firm, "Bo", "2026-02") == {"opening": 2, "closing": 2}


def test_a_leave_of_absence_moves_what_vests_to_a_later_slip(firm):
    firm.now = JANUARY + 5 * DAY
    firm.do("member.absence", member="Bo", from_on="2026-02-01", back_on="2026-03-01")
    firm.now = MARCH + 2 * DAY
    # February's credit comes 28 days later, on 1 March, as March's does on 29 March
    assert slip(firm, "Bo", "2026-02") == {}
    assert slip(firm, "Bo", "2026-03") == {"vested": 1, "closing": 1}
    firm.verified()


def test_a_shortened_window_is_no_line_at_all(firm):
    firm.do(
        "plan.create", name="kept", kind="signing_bonus", classification="compensation", amount_nanos=8 * CREDIT,
        terms={"leaving": {"windows": [{"reason": "involuntary_other", "days": 30}]}},
    )  # fmt: skip
    firm.do("member.create", name="Cleo", department="Engineering", zone="UTC")
    firm.do("grant.create", to="Cleo", plan="kept")
    firm.now = JANUARY + 20 * DAY
    firm.do("member.leave", member="Cleo", left_on="2026-01-15", reason="involuntary_other")
    firm.now = FEBRUARY + DAY
    assert slip(firm, "Cleo", "2026-01") == {"vested": 8, "closing": 8}
    firm.do("payrun.close", cycle="2026-01")
    firm.now = MARCH
    assert slip(firm, "Cleo", "2026-02") == {"opening": 8, "breakage": 8}
    firm.verified()


def test_what_is_given_at_a_cycles_turn_is_booked_by_each_wallets_own_zone(firm):
    """Half an hour into February where Ada is, it is still January where Cleo is; and January is closed when the ledger hears of it."""
    firm.hire("Cleo", zone="America/New_York")
    firm.now = JANUARY + 5 * DAY
    firm.do("wallet.transfer", **{"from": "Ada", "to": "Cleo", "amount_nanos": 20 * CREDIT})
    firm.now = FEBRUARY - DAY
    firm.gives = False
    firm.do("grant.void", grant=firm.once, reason="an error")
    firm.now = FEBRUARY + DAY
    firm.do("payrun.close", cycle="2026-01")
    firm.answer_recalls(given_at=FEBRUARY + DAY // 48)
    given = firm.connection.exec_driver_sql(
        "SELECT wallet_id, given_at FROM recall_gives JOIN recalls ON recalls.id = recall_id WHERE purpose = 'void' ORDER BY 1"
    ).all()
    assert given == [(firm.wallet_id("Ada"), FEBRUARY + DAY // 48), (firm.wallet_id("Cleo"), FEBRUARY + DAY)]
    firm.now = MARCH
    assert slip(firm, "Ada", "2026-02") == {"opening": 40, "voided": 40}
    assert slip(firm, "Cleo", "2026-02") == {"opening": 20, "voided": 20}
    firm.verified()
