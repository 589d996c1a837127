"""A pay run of many wallets: processes of their own make the slips, and all or nothing is stored."""

import sys

import pytest

from tests.firm import CREDIT, DAY, FEBRUARY, JANUARY, Firm
from tests.tampering import change
from tokenroll.services import paying, slip_rows

PEOPLE = ("Ada", "Bo", "Cleo", "Dev")


@pytest.fixture
def firm(tmp_path, monkeypatch):
    """Four people with 10 credits each, of which each has used one more than the one before; every wallet is a range of its own."""
    monkeypatch.setattr(paying, "_RANGES_ASIDE_MIN", 2)
    monkeypatch.setattr(slip_rows, "WALLETS_PER_READ", 1)
    firm = Firm(path=tmp_path / "ledger.db")
    firm.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=10 * CREDIT)
    for used, name in enumerate(PEOPLE):
        firm.hire(name)
        firm.do("grant.create", to=name, plan="tools")
        if used:
            firm.now = JANUARY + used * DAY
            firm.call(name, firm.lot_ids(name)[0], used * CREDIT)
    firm.now = FEBRUARY + DAY
    return firm


def test_they_make_the_slips_that_the_ledger_would_make(firm):
    before = [firm.reports.payslip(name, "2026-01") for name in PEOPLE]
    told = firm.do("payrun.close", cycle="2026-01")
    assert (told["slip_count"], told["spent_nanos"], told["closing_nanos"]) == (4, 6 * CREDIT, 34 * CREDIT)
    for expected, name in zip(before, PEOPLE, strict=True):
        stored = firm.reports.payslip(name, "2026-01")
        assert {field: stored[field] for field in expected} == expected
    firm.verified()


def test_a_slip_that_does_not_add_up_stores_none(firm):
    lot = firm.lot_ids("Cleo")[0]
    change(firm.connection, "UPDATE lot_values SET spent_nanos = spent_nanos + 1 WHERE lot_id = ?", lot)
    firm.connection.commit()
    with pytest.raises(AssertionError, match=r"pay slip of wallet \d+ for 2026-01: opening \+ movements = "):
        firm.do("payrun.close", cycle="2026-01")
    assert firm.reports.pay_runs() == []


def test_a_process_that_dies_stores_none_and_the_run_can_be_tried_again(firm, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/bin/false")
        problem = firm.ask("payrun.close", cycle="2026-01").problem
    assert "a process that makes slips died: it ended with exit status 1. Nothing was stored; try again" in problem
    assert firm.reports.pay_runs() == []
    assert firm.do("payrun.close", cycle="2026-01")["slip_count"] == 4
