"""How long an attempt may be in suspense before the evidence decides: three days, and a week for a model that is being trained."""

import pytest

from tests.ledger_kit import ADA, ADA_LOT, DAY, START, hold_record
from tokenroll.model.hold import Slice
from tokenroll.model.usage import METER_INDEX, METERS, Meter
from tokenroll.services.ageing import is_due
from tokenroll.store import tape
from tokenroll.store.mirror import OpenHold
from tokenroll.store.tape import RecordType, pack_counts

HELD = 1_000


def evidence(meter: Meter) -> bytes:
    counts = pack_counts([5 if index == METER_INDEX[meter] else None for index in range(len(METERS))])
    head = (RecordType.EVIDENCE, tape.WIDE_COUNTS, tape.EVIDENCE.size + len(counts), 1, START, 100, 2, 0, 200)
    return tape.EVIDENCE.pack(*head) + counts


def lapse(name: int = 0) -> bytes:
    tail = tape.LAPSE_NAME.pack(name) if name else b""
    return tape.LAPSE.pack(RecordType.LAPSE, 0, tape.LAPSE.size + len(tail), 1, START, 0, 6, 0, 0) + tail


def suspended(*records: bytes, lapsed_at: int | None = START) -> OpenHold:
    record = hold_record(1, (ADA_LOT, HELD)) + b"".join(records)
    slices = (Slice(lot_id=ADA_LOT, nanos=HELD),)
    return OpenHold(
        key=1, wallet_id=ADA, api_key_id=7, admitted_at=START, slices=slices, record=record, lapsed_at=lapsed_at
    )


@pytest.mark.parametrize(
    ("records", "days"),
    [
        ((evidence(Meter.TRAINING), lapse(name=9)), 7),
        ((evidence(Meter.TRAINING), lapse()), 3),
        ((evidence(Meter.OUTPUT), lapse(name=9)), 3),
        ((lapse(name=9),), 3),
    ],
)
def test_only_a_job_that_can_be_asked_about_has_a_week(records, days):
    hold = suspended(*records)
    assert not is_due(hold, START + days * DAY - 1)
    assert is_due(hold, START + days * DAY)


def test_what_its_worker_still_has_is_never_due():
    assert not is_due(suspended(lapsed_at=None), START + 30 * DAY)
