from dataclasses import FrozenInstanceError

import pytest

from tests.cast import CREDIT, make_grant, monthly
from tokenroll.model.classification import Classification
from tokenroll.model.grant import GrantKind
from tokenroll.model.vesting import Period, PeriodUnit


def test_ada_signs_and_is_paid_over_a_year():
    bonus = make_grant(
        kind=GrantKind.SIGNING_BONUS,
        classification=Classification.COMPENSATION,
        amount_nanos=1_200 * CREDIT,
        vesting=monthly(12, 3),
    )
    assert bonus.kind == "signing_bonus"
    assert bonus.amount_nanos == 1_200_000_000_000
    assert bonus.lot_lifetime is None


def test_ada_gets_a_stipend_that_lasts_a_month():
    stipend = make_grant(lot_lifetime=Period(count=1, unit=PeriodUnit.MONTH))
    assert stipend.lot_lifetime is not None
    assert stipend.lot_lifetime.count == 1


def test_it_never_changes():
    with pytest.raises(FrozenInstanceError):
        make_grant().amount_nanos = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"amount_nanos": 0}, "a grant of nothing"),
        ({"amount_nanos": -1}, "grant amount"),
        ({"amount_nanos": 10**18 + 1}, "grant amount"),
        ({"id": 0}, "grant id"),
        ({"wallet_id": 0}, "wallet id"),
        ({"plan_id": 0}, "plan id"),
        ({"priority": 256}, "priority"),
        ({"priority": -1}, "priority"),
    ],
)
def test_it_is_valid_at_birth(changes, words):
    with pytest.raises(ValueError, match=words):
        make_grant(**changes)
