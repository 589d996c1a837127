from typing import Any

import pytest

from tokenroll.model.wallet import HolderKind, Wallet, WalletBalance


def adas(**changes: Any) -> Wallet:
    facts: dict[str, Any] = {
        "id": 1,
        "public_id": "wallet_00000000000000000000000000000001",
        "holder_kind": HolderKind.MEMBER,
        "holder_id": 1,
        "name": "Ada",
        "zone": "Europe/Berlin",
    }
    return Wallet(**facts | changes)


def test_it_belongs_to_a_holder():
    assert adas().holder_id == 1


def test_the_companys_holder_is_number_zero():
    assert adas(holder_kind=HolderKind.COMPANY, holder_id=0).holder_id == 0


@pytest.mark.parametrize(
    "changes",
    [{"holder_id": 0}, {"holder_kind": HolderKind.COMPANY}, {"holder_kind": HolderKind.COMPANY, "holder_id": 7}],
)
def test_zero_is_the_companys_alone(changes):
    with pytest.raises(ValueError, match="holder id 0 is the company's"):
        adas(**changes)


@pytest.mark.parametrize("changes", [{"id": 0}, {"name": ""}, {"zone": ""}])
def test_it_is_valid_at_birth(changes):
    with pytest.raises(ValueError, match="must be"):
        adas(**changes)


def test_its_amounts_conserve():
    balance = WalletBalance(
        granted_nanos=100,
        overage_nanos=5,
        unvested_nanos=40,
        available_nanos=20,
        held_nanos=15,
        suspense_nanos=10,
        spent_nanos=12,
        breakage_nanos=8,
    )
    assert (balance.sources_nanos, balance.uses_nanos) == (105, 105)
    assert (balance.posted_nanos, balance.pending_nanos) == (12, 25)


def test_a_wrong_number_is_never_shown():
    with pytest.raises(AssertionError, match="conservation broken: sources 100 are not uses 99"):
        WalletBalance(granted_nanos=100, available_nanos=99)
