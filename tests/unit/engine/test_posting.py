import pytest

from tests.cast import DAY, POOL_WALLET, T0, make_grant, make_lot
from tokenroll.engine.posting import (
    grant_entries,
    resolve_postings,
    settlement_postings,
    suspend_postings,
    variance_postings,
)
from tokenroll.model.hold import Slice

ADA = 1


def legs(postings):
    return [(one.account.value, one.wallet_id, one.lot_id, one.nanos) for one in postings]


def test_a_grant_is_booked_with_its_vesting_in_advance():
    lots = (make_lot(id=1, amount_nanos=40), make_lot(id=2, amount_nanos=60, effective_at=T0 + DAY))
    granted, first, second = grant_entries(make_grant(amount_nanos=100), lots, ("entry_a", "entry_b", "entry_c"))
    assert (granted.kind, granted.public_id, granted.effective_at) == ("grant", "entry_a", T0)
    assert legs(granted.postings) == [
        ("granted", 1, 1, -40),
        ("unvested", 1, 1, 40),
        ("granted", 1, 2, -60),
        ("unvested", 1, 2, 60),
    ]
    assert (first.kind, first.effective_at, second.effective_at) == ("vest", T0, T0 + DAY)
    assert legs(second.postings) == [("unvested", 1, 2, -60), ("available", 1, 2, 60)]
    assert second.recorded_at == T0
    assert second.reference == "grant_00000000000000000000000000000001"


def test_an_opening_value_comes_out_of_equity_and_vests_like_a_grant():
    opened, vested = grant_entries(
        make_grant(amount_nanos=40), (make_lot(id=1, amount_nanos=40),), ("entry_a", "entry_b"), opens=True
    )
    assert (opened.kind, vested.kind) == ("open", "vest")
    assert legs(opened.postings) == [("opening_equity", 1, 1, -40), ("unvested", 1, 1, 40)]
    assert legs(vested.postings) == [("unvested", 1, 1, -40), ("available", 1, 1, 40)]


def test_every_entry_of_a_grant_needs_an_id():
    with pytest.raises(ValueError, match="takes 2 entry ids, not 1"):
        grant_entries(make_grant(), (make_lot(),), ("entry_a",))


def test_a_settlement_spends_what_was_available():
    assert legs(settlement_postings(ADA, (Slice(1, 60), Slice(2, 5)))) == [
        ("available", 1, 1, -60),
        ("spent", 1, 1, 60),
        ("available", 1, 2, -5),
        ("spent", 1, 2, 5),
    ]


def test_the_pools_slice_is_booked_on_the_pool():
    assert legs(settlement_postings(ADA, (Slice(1, 60), Slice(7, 5)), {7: POOL_WALLET})) == [
        ("available", 1, 1, -60),
        ("spent", 1, 1, 60),
        ("available", 9, 7, -5),
        ("spent", 9, 7, 5),
    ]


def test_the_companys_slice_touches_no_account_of_the_wallet():
    assert legs(settlement_postings(ADA, (Slice(0, 3),))) == [("company_overage", 1, 0, -3), ("company_spent", 1, 0, 3)]


def test_suspense_sets_the_hold_apart():
    assert legs(suspend_postings(ADA, (Slice(1, 60), Slice(0, 3)))) == [
        ("available", 1, 1, -60),
        ("suspense", 1, 1, 60),
    ]


def test_resolving_spends_a_part_and_returns_the_tail():
    held = (Slice(1, 60), Slice(7, 40))
    assert legs(resolve_postings(ADA, held, (Slice(1, 60), Slice(7, 15)), {7: POOL_WALLET})) == [
        ("suspense", 1, 1, -60),
        ("spent", 1, 1, 60),
        ("suspense", 9, 7, -15),
        ("spent", 9, 7, 15),
        ("suspense", 9, 7, -25),
        ("available", 9, 7, 25),
    ]


def test_resolving_to_nothing_returns_all():
    assert legs(resolve_postings(ADA, (Slice(1, 60),), ())) == [("suspense", 1, 1, -60), ("available", 1, 1, 60)]


def test_resolving_above_the_hold_is_the_companys():
    assert legs(resolve_postings(ADA, (Slice(1, 60),), (Slice(1, 60), Slice(0, 2))))[2:] == [
        ("company_overage", 1, 0, -2),
        ("company_spent", 1, 0, 2),
    ]


def test_resolving_out_of_order_is_refused():
    with pytest.raises(ValueError, match="is not consumed from"):
        resolve_postings(ADA, (Slice(1, 60), Slice(2, 40)), (Slice(2, 10),))


def test_a_late_proof_is_the_companys():
    assert legs(variance_postings(ADA, 4)) == [("company_overage", 1, 0, -4), ("provider_variance", 1, 0, 4)]
    assert legs(variance_postings(ADA, -4)) == [("company_overage", 1, 0, 4), ("provider_variance", 1, 0, -4)]
    assert variance_postings(ADA, 0) == ()
