"""What a pay run stored, and what it was made of, changed behind the ledger's back: each is found and named."""

import pytest

from tests.firm import CREDIT, DAY, FEBRUARY, HOUR, JANUARY, Firm
from tests.tampering import change as write
from tests.tampering import forbid_changes, permit_changes
from tokenroll.store.verify import verify


@pytest.fixture
def firm():
    """Ada and Bo with a stipend, a call of Ada's in January, January closed, and a late call booked to February."""
    one = Firm()
    one.do("ratecard.import", providers=["openai"], models=["gpt-5-mini"])
    one.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT)
    for name in ("Ada", "Bo"):
        one.hire(name)
        one.do("grant.create", to=name, plan="tools")
    lot = one.lot_ids("Ada")[0]
    one.now = JANUARY + DAY
    one.call("Ada", lot, 7 * CREDIT)
    one.now = FEBRUARY - HOUR
    late = one.hold("Ada", (lot, 2 * CREDIT))
    one.now = FEBRUARY + HOUR
    one.do("payrun.close", cycle="2026-01")
    one.settle(late, CREDIT)
    one.ledger.roll_up()
    one.connection.rollback()
    return one


def differences(firm):
    """What verification finds, without the charges, which the firm's calls make up."""
    found = verify(firm.connection, firm.now)
    firm.connection.rollback()
    return [one for one in found.differences if one.kind != "charge"]


def change(firm, statement):
    permit_changes(firm.connection)
    write(firm.connection, statement)
    firm.connection.commit()
    forbid_changes(firm.connection)


def test_it_finds_nothing_in_an_honest_ledger(firm):
    assert differences(firm) == []
    found = verify(firm.connection, firm.now)
    assert (found.counts["rollups"], found.counts["slips"]) == (2, 2)


def test_it_rolls_a_late_call_up_as_such(firm):
    rows = firm.connection.exec_driver_sql("SELECT cycle, nanos, call_count, late FROM spend_rollups").all()
    assert [tuple(row) for row in rows] == [(202601, 7 * CREDIT, 1, 0), (202602, CREDIT, 1, 1)]


@pytest.mark.parametrize(
    ("statement", "kinds"),
    [
        ("UPDATE spend_rollups SET nanos = nanos + 1 WHERE cycle = 202601", ["rollup"]),
        ("UPDATE spend_rollups SET call_count = 2 WHERE cycle = 202601", ["rollup"]),
        ("UPDATE spend_rollups SET late = 0 WHERE cycle = 202602", ["rollup", "rollup"]),
        ("UPDATE spend_labels SET project = 'moonshot'", ["rollup"] * 4),
        ("DELETE FROM spend_rollups WHERE cycle = 202601", ["rollup"]),
        ("UPDATE pay_slips SET values_json = replace(values_json, '7', '6') WHERE wallet_id = 1", ["slip", "slips"]),
        ("UPDATE pay_slips SET digest = x'00' WHERE wallet_id = 1", ["slip"]),
        ("DELETE FROM pay_slips WHERE wallet_id = 2", ["slips"]),
        ("UPDATE pay_runs SET slip_count = 3", ["fact", "slips"]),
        ("UPDATE pay_runs SET slips_root = x'00'", ["fact", "slips"]),
        ("UPDATE pay_runs SET closed_at = closed_at + 1", ["fact"]),
    ],
)
def test_it_finds_what_was_changed(firm, statement, kinds):
    change(firm, statement)
    assert [one.kind for one in differences(firm)] == kinds


def test_it_names_the_slip_that_was_changed(firm):
    change(firm, "UPDATE pay_slips SET values_json = replace(values_json, '7', '6') WHERE wallet_id = 1")
    slip, slips = differences(firm)
    (public_id,) = firm.connection.exec_driver_sql("SELECT public_id FROM pay_slips WHERE wallet_id = 1").one()
    assert slip.message == f"pay slip {public_id} of wallet 1 is not as its run stored it"
    assert "its 2 slips have root" in slips.message
