"""What was spent on personal calls stands on the slip, rolled up or not: it is what a tax on an allowance asks for."""

import pytest

from tests.firm import CREDIT, DAY, FEBRUARY, Firm
from tokenroll.books.payslip import slip_notes
from tokenroll.store.tape import HOLD_PERSONAL


@pytest.fixture
def firm():
    one = Firm()
    one.hire("Ada")
    one.do("plan.create", name="stipend", kind="stipend", classification="tool", amount_nanos=10 * CREDIT)
    one.do("grant.create", to="Ada", plan="stipend", amount_nanos=10 * CREDIT)
    (lot,) = one.lot_ids("Ada")
    one.call("Ada", lot, 3 * CREDIT)
    one.call("Ada", lot, CREDIT, flags=HOLD_PERSONAL)
    one.now += DAY
    one.call("Ada", lot, CREDIT // 2, flags=HOLD_PERSONAL)
    return one


@pytest.mark.parametrize("rolled_up", [False, True])
def test_a_slip_says_how_much_of_what_was_spent_was_personal(firm, rolled_up):
    if rolled_up:
        assert firm.ledger.roll_up() == 3
    slip = firm.reports.payslip("Ada", "2026-01")
    assert (slip["spent_nanos"], slip["personal_nanos"]) == (4_500_000_000, 1_500_000_000)
    assert ("of spent, personal", 1_500_000_000) in slip_notes(slip)
    assert slip["spent_by_model"] == [{"model": "gpt-5-mini", "spent_nanos": 4_500_000_000}]
    firm.verified()


def test_a_closed_cycle_keeps_it_and_sums_it(firm):
    firm.now = FEBRUARY + DAY
    firm.do("payrun.close", cycle="2026-01")
    assert firm.reports.payslip("Ada", "2026-01")["personal_nanos"] == 1_500_000_000
    assert firm.reports.pay_run("2026-01")["sums"]["personal_nanos"] == 1_500_000_000
    assert firm.reports.payslip("Ada", "2026-02")["personal_nanos"] == 0
    firm.verified()


def test_a_label_that_was_changed_by_hand_is_found(firm):
    firm.ledger.roll_up()
    firm.connection.rollback()
    with firm.connection.begin():
        firm.connection.exec_driver_sql("UPDATE spend_labels SET is_personal = 2 WHERE is_personal = 0")
    with pytest.raises(AssertionError, match="rolled up"):
        firm.verified()
