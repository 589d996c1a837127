import json

import pytest

from tests.firm import CREDIT, DAY, FEBRUARY, HOUR, JANUARY, MARCH, Firm


@pytest.fixture
def firm():
    one = Firm()
    one.hire("Ada")
    one.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT, lifetime="1m")
    one.do("grant.create", to="Ada", plan="tools")
    return one


def amounts(slip, *names):
    return tuple(slip[f"{name}_nanos"] // CREDIT for name in names)


MOVEMENTS = ("opening", "vested", "spent", "adjustments", "breakage", "closing")


def test_it_adds_up_a_month_with_a_call(firm):
    (lot,) = firm.lot_ids("Ada")
    firm.now = JANUARY + 3 * DAY
    firm.call("Ada", lot, 7 * CREDIT)
    firm.now = JANUARY + 20 * DAY
    slip = firm.reports.payslip("Ada", "2026-01")
    assert amounts(slip, *MOVEMENTS) == (0, 100, 7, 0, 0, 93)
    assert slip["call_count"] == 1
    assert slip["paper"] == "Allowance statement"


def test_it_joins_slips_without_a_gap_and_lets_the_rest_expire(firm):
    (lot,) = firm.lot_ids("Ada")
    firm.now = JANUARY + 3 * DAY
    firm.call("Ada", lot, 7 * CREDIT)
    firm.now = FEBRUARY + HOUR
    closed = firm.do("payrun.close", cycle="2026-01")
    assert (closed["slip_count"], closed["closing_nanos"]) == (1, 0)
    # the lot lives one month from 1 January, so it broke as January ended
    assert amounts(firm.reports.payslip("Ada", "2026-01"), *MOVEMENTS) == (0, 100, 7, 0, 93, 0)
    assert amounts(firm.reports.payslip("Ada", "2026-02"), *MOVEMENTS) == (0, 0, 0, 0, 0, 0)


def test_it_books_a_late_call_as_an_adjustment_of_the_next_cycle(firm):
    firm.do("plan.create", name="lasting", kind="stipend", classification="tool", amount_nanos=50 * CREDIT)
    firm.do("grant.create", to="Ada", plan="lasting")
    lot = firm.lot_ids("Ada")[1]
    firm.now = FEBRUARY - HOUR
    late = firm.hold("Ada", (lot, 10 * CREDIT))
    firm.now = FEBRUARY + HOUR
    firm.do("payrun.close", cycle="2026-01")
    firm.settle(late, 4 * CREDIT)
    january, february = (firm.reports.payslip("Ada", cycle) for cycle in ("2026-01", "2026-02"))
    assert january["closing_nanos"] == february["opening_nanos"] == 50 * CREDIT
    assert amounts(february, *MOVEMENTS) == (50, 0, 0, 4, 0, 46)


def test_it_returns_the_rest_of_an_expired_lots_call_as_expired(firm):
    (lot,) = firm.lot_ids("Ada")
    firm.now = FEBRUARY - HOUR
    late = firm.hold("Ada", (lot, 10 * CREDIT))
    firm.now = FEBRUARY + HOUR
    firm.do("payrun.close", cycle="2026-01")
    firm.settle(late, 4 * CREDIT)
    assert amounts(firm.reports.payslip("Ada", "2026-01"), *MOVEMENTS) == (0, 100, 0, 0, 90, 10)
    assert amounts(firm.reports.payslip("Ada", "2026-02"), *MOVEMENTS) == (10, 0, 0, 4, 6, 0)


def test_it_tells_a_backdated_grant_in_the_cycle_that_knows_it(firm):
    firm.now = FEBRUARY + HOUR
    firm.do("payrun.close", cycle="2026-01")
    firm.do(
        "plan.create",
        name="old",
        kind="spot_bonus",
        classification="compensation",
        amount_nanos=5 * CREDIT,
        effective_at=JANUARY,
    )
    firm.do("grant.create", to="Ada", plan="old", effective_at=JANUARY + DAY)
    slip = firm.reports.payslip("Ada", "2026-02")
    assert amounts(slip, "granted", *MOVEMENTS) == (5, 0, 5, 0, 0, 0, 5)
    assert slip["paper"] == "Pay slip and allowance statement"


def test_it_draws_a_pool_into_the_pools_own_slip(firm):
    firm.do("pool.create", name="Engineering pool", department="Engineering")
    firm.do("plan.create", name="lasting", kind="stipend", classification="tool", amount_nanos=50 * CREDIT)
    firm.do("grant.create", to="Engineering pool", plan="lasting")
    own, pool = firm.lot_ids("Ada")[0], firm.lot_ids("Engineering pool")[0]
    sequence = firm.hold("Ada", (own, 3 * CREDIT), (pool, 4 * CREDIT))
    firm.settle(sequence, 5 * CREDIT)
    assert amounts(firm.reports.payslip("Ada", "2026-01"), *MOVEMENTS) == (0, 100, 3, 0, 0, 97)
    assert amounts(firm.reports.payslip("Engineering pool", "2026-01"), *MOVEMENTS) == (0, 50, 2, 0, 0, 48)


def test_it_refuses_to_close_what_has_not_ended_or_is_being_checked(firm):
    assert firm.ask("payrun.close", cycle="2026-01").problem.startswith(
        "2026-01 has not ended in every zone yet: it ends at 2026-02-01T00:00:00Z, at midnight in "
    )
    (lot,) = firm.lot_ids("Ada")
    firm.lapse(firm.hold("Ada", (lot, CREDIT)))
    firm.now = FEBRUARY + HOUR
    refusal = firm.ask("payrun.close", cycle="2026-01")
    assert refusal.problem_kind == "not_closable"
    assert refusal.problem.startswith("1 call of it is still being checked")


def test_it_lets_the_evidence_decide_before_a_cycle_closes(firm):
    firm.do("ratecard.import", providers=["openai"], models=["gpt-5-mini"])
    (lot,) = firm.lot_ids("Ada")
    firm.lapse(firm.hold("Ada", (lot, CREDIT)))
    firm.now = FEBRUARY + HOUR
    decided = firm.do("suspense.decide", through="2026-01")
    assert (decided["decided_count"], decided["charged_nanos"], decided["returned_nanos"]) == (1, 0, CREDIT)
    assert firm.do("payrun.close", cycle="2026-01")["suspense_nanos"] == 0


def test_it_closes_a_cycle_once(firm):
    firm.now = MARCH
    firm.do("payrun.close", cycle="2026-01")
    assert (
        firm.ask("payrun.close", cycle="2026-01").problem
        == "2026-01 is closed already: the newest closed cycle is 2026-01"
    )
    assert [run["cycle"] for run in firm.reports.pay_runs()] == ["2026-01"]


def test_it_keeps_a_dry_run_from_closing(firm):
    firm.now = MARCH
    assert firm.ask("payrun.close", cycle="2026-01", dry_run=True).result["slip_count"] == 1
    assert firm.reports.pay_runs() == []


def test_it_stores_what_the_next_slip_opens_with(firm):
    firm.now = MARCH
    firm.do("payrun.close", cycle="2026-01")
    firm.connection.rollback()
    (values,) = firm.connection.exec_driver_sql("SELECT values_json FROM pay_slips").one()
    assert json.loads(values)["lots"] == {"1": {}}


@pytest.mark.parametrize("text", ["2026", "2026-13", "2026-00", "26-01", "January", "2026-1x"])
def test_it_refuses_a_cycle_that_is_no_month(firm, text):
    assert firm.ask("payrun.close", cycle=text).problem == f"a cycle is a month such as 2026-01, not {text!r}"
