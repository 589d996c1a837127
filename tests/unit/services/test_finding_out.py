"""What a provider tells of an attempt in suspense settles it, once, at the prices of its hold."""

import pytest

from tests.ledger_kit import (
    ADA_LOT,
    BO,
    BO_LOT,
    IN_NANOS,
    Command,
    Kit,
    Report,
    dispatched_record,
    hold_record,
    lapse_record,
    pack_block,
)
from tokenroll.model.identifier import HoldKey
from tokenroll.model.usage import METER_INDEX, METERS, Meter
from tokenroll.services.protocol import CarriedChange
from tokenroll.store.attempt_record import hold_number
from tokenroll.store.verify import verify

HELD = 10_000_000
NOTHING = {"was_found": False, "charge_nanos": 0, "returned_nanos": 0}


@pytest.fixture
def one():
    """One call of Ada's, in suspense."""
    kit = Kit()
    records = [hold_record(1, (ADA_LOT, HELD)), dispatched_record(1), lapse_record(1)]
    kit.ledger.report(Report(worker=0, epoch=1, blocks=pack_block(1, records)))
    kit.ledger.take_deltas()
    return kit


def told(meter=Meter.INPUT, count=1_000):
    counts = [count if index == METER_INDEX[meter] else None for index in range(len(METERS))]
    return {
        "hold": hold_number(HoldKey(0, 1, 1)),
        "usages": [counts],
        "service_tier": "standard",
        "dialect": 15,
        "is_doubtful": False,
    }


def sound(one):
    one.connection.rollback()
    verified = verify(one.connection, one.now)
    one.connection.rollback()
    return verified.differences


def test_it_settles_once_however_often_it_is_told(one):
    charge = 1_000 * IN_NANOS
    first = one.do("suspense.find", "enquiry-1", **told())
    assert first == {
        "was_found": True,
        "charge_nanos": charge,
        "returned_nanos": HELD - charge,
        "delivery": first["delivery"],
    }
    again = one.do("suspense.find", "enquiry-1", **told())
    assert again["charge_nanos"] == charge  # the first answer once more
    other = one.do("suspense.find", "another", **told(count=9_000))
    assert {name: other[name] for name in NOTHING} == NOTHING
    assert one.lot(ADA_LOT) == (0, 0, charge)
    assert sound(one) == []


def test_what_its_card_has_no_price_for_stays_in_suspense(one):
    reply = one.ledger.execute(Command(id="enquiry-1", name="suspense.find", arguments=told(Meter.TRAINING, 780)))
    assert reply.result is None
    assert "something in it has no price" in str(reply.problem)
    assert one.lot(ADA_LOT) == (0, HELD, 0)
    assert sound(one) == []


def test_what_the_company_may_have_to_pay_counts_until_it_is_known():
    """Bo's own lot pays 0.002 of a call and the company 0.008 at most: it comes to 0.003 in all. Of another to 0.012, above its hold."""
    kit = Kit()
    calls = [
        [hold_record(at, (BO_LOT, 2_000_000), (0, 8_000_000), wallet=BO), dispatched_record(at), lapse_record(at)]
        for at in (1, 4)
    ]
    kit.ledger.report(Report(worker=0, epoch=1, blocks=pack_block(1, [*calls[0], *calls[1]])))
    assert kit.rows("SELECT * FROM overage_uses") == [(BO, 0, 16_000_000)]
    kit.ledger.take_deltas()
    kit.do("suspense.find", "first", **told())
    assert kit.rows("SELECT * FROM overage_uses") == [(BO, 0, 9_000_000)]
    kit.do("suspense.find", "second", **told(count=4_000) | {"hold": hold_number(HoldKey(0, 1, 4))})
    assert kit.rows("SELECT * FROM overage_uses") == [(BO, 0, 11_000_000)]
    assert [delta.carried for delta in kit.ledger.take_deltas()] == [
        [CarriedChange(BO, 0, -7_000_000)],
        [CarriedChange(BO, 0, 2_000_000)],
    ]
    assert sound(kit) == []
