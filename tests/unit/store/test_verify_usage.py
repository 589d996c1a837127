"""Usage roll-ups changed behind the ledger's back: each is found and named."""

import pytest

from tests.firm import CREDIT, DAY, HOUR, JANUARY, Firm
from tests.tampering import change
from tokenroll.store.verify import verify

ANOTHER_DAY = """INSERT INTO usage_rollups
    SELECT 86400, start_at + 86400000000, label_id, 1, 1, parts FROM usage_rollups WHERE grain_seconds = 86400"""


@pytest.fixture
def firm():
    """Two calls of Ada's on the second of January, two hours apart."""
    one = Firm()
    one.do("ratecard.import", providers=["openai"], models=["gpt-5-mini"])
    one.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT)
    one.hire("Ada")
    one.do("grant.create", to="Ada", plan="tools")
    lot = one.lot_ids("Ada")[0]
    one.now = JANUARY + DAY + 30_000_000
    one.call("Ada", lot, 7 * CREDIT)
    one.now += 2 * HOUR
    one.call("Ada", lot, 5 * CREDIT)
    one.ledger.roll_up_usage()
    one.connection.rollback()
    return one


def differences(firm):
    found = verify(firm.connection, firm.now)
    firm.connection.rollback()
    return [(one.kind, one.message) for one in found.differences if one.kind != "charge"]


def test_a_call_is_in_its_minute_its_hour_and_its_day(firm):
    query = "SELECT grain_seconds, start_at, call_count, charge_nanos FROM usage_rollups"
    start = JANUARY + DAY
    assert [tuple(row) for row in firm.connection.exec_driver_sql(query)] == [
        (60, start, 1, 7 * CREDIT),
        (60, start + 2 * HOUR, 1, 5 * CREDIT),
        (3_600, start, 1, 7 * CREDIT),
        (3_600, start + 2 * HOUR, 1, 5 * CREDIT),
        (86_400, start, 2, 12 * CREDIT),
    ]
    assert differences(firm) == []
    assert verify(firm.connection, firm.now).counts["usage rollups"] == 5


@pytest.mark.parametrize(
    ("statement", "first"),
    [
        ("UPDATE usage_rollups SET charge_nanos = charge_nanos + 1", "key 1, gpt-5-mini on 2026-01-02 is rolled up to"),
        (
            "UPDATE usage_rollups SET charge_nanos = charge_nanos + 1 WHERE grain_seconds = 3600",
            "label 1 in the 3600 s from 2026-01-02T00:00:00Z is rolled up to",
        ),
        (
            "DELETE FROM usage_rollups WHERE grain_seconds = 86400",
            "label 1 in the 86400 s from 2026-01-02T00:00:00Z is rolled up to None",
        ),
        ("DELETE FROM usage_rollups", "key 1, gpt-5-mini on 2026-01-02 is not rolled up"),
        ("DELETE FROM usage_rollups WHERE grain_seconds = 60", "key 1, gpt-5-mini on 2026-01-02 is not rolled up"),
        ("UPDATE usage_rollups SET parts = ?", "key 1, gpt-5-mini on 2026-01-02 is rolled up to"),
        ("UPDATE usage_labels SET model = 'gpt-nowhere'", "key 1, gpt-nowhere on 2026-01-02 is rolled up to"),
        ("DELETE FROM usage_labels", "an unknown label on 2026-01-02 is rolled up to"),
        # a minute that lost what another gained leaves the day right
        (
            "UPDATE usage_rollups SET start_at = start_at + 60000000 WHERE grain_seconds = 60",
            "key 1, gpt-5-mini on 2026-01-02 is rolled up to",
        ),
        (
            ANOTHER_DAY,
            "1 sums of 86400 s have no parts of 3600 s",
        ),
    ],
)
def test_a_changed_sum_is_found(firm, statement, first):
    change(firm.connection, statement, *([b"\xff"] if "?" in statement else []))
    firm.connection.commit()
    kind, message = differences(firm)[0]
    assert (kind, message[: len(first)]) == ("usage rollup", first)


def test_a_call_that_is_told_twice_by_a_crash_is_summed_once(firm):
    assert firm.ledger.roll_up_usage() == 0
    firm.ledger._reload()
    assert firm.ledger.roll_up_usage() == 0
    assert differences(firm) == []
