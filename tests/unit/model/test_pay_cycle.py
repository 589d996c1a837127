from typing import Any

import pytest

from tokenroll.model.pay_cycle import PayCycle, PayCycleKind, PaySlip


def slip(**changes: Any) -> PaySlip:
    """Ada's January: 20 carried in, 100 vested, 70 spent, 5 of December's calls, 15 lapsed, 30 carried on."""
    facts: dict[str, Any] = {
        "wallet_id": 1,
        "cycle_name": "2026-01",
        "opening_nanos": 20,
        "granted_nanos": 100,
        "vested_nanos": 100,
        "spent_nanos": 70,
        "adjustments_nanos": 5,
        "breakage_nanos": 15,
        "forfeited_nanos": 0,
        "clawed_back_nanos": 0,
        "closing_nanos": 30,
        "suspense_nanos": 0,
        "company_carried_nanos": 0,
        "call_count": 3,
        "next_vest_at": None,
        "next_vest_nanos": 0,
        "next_expiry_at": None,
        "next_expiry_nanos": 0,
    }
    return PaySlip(**facts | changes)


def test_a_slip_adds_up():
    assert slip().closing_nanos == 30


@pytest.mark.parametrize(
    "name",
    ["opening_nanos", "vested_nanos", "spent_nanos", "adjustments_nanos", "breakage_nanos", "forfeited_nanos",
     "clawed_back_nanos", "closing_nanos"],
)  # fmt: skip
def test_a_slip_that_does_not_add_up_is_never_printed(name):
    with pytest.raises(AssertionError, match="pay slip of wallet 1 for 2026-01: opening \\+ movements"):
        slip(**{name: 99})


def test_what_is_granted_is_not_yet_spendable():
    assert slip(granted_nanos=1_200).closing_nanos == 30


def test_a_cycle_ends_after_it_starts():
    with pytest.raises(ValueError, match="pay cycle 2026-01 ends before it starts"):
        PayCycle(kind=PayCycleKind.MONTHLY, name="2026-01", zone="UTC", start_at=5, end_until=5)
