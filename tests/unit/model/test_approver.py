"""An approver's limits: each approval, a month of them, and for whom."""

from typing import Any

import pytest

from tokenroll.model.approver import Approver, Delegation

FACTS: dict[str, Any] = {"id": 1, "member_id": 2, "department_id": 7, "once_nanos_max": 50, "monthly_nanos_max": 200}


def test_a_month_bounds_what_one_approval_may_be():
    approver = Approver(**FACTS)
    assert [approver.left_nanos(approved) for approved in (0, 150, 170, 200, 230)] == [50, 50, 30, 0, 0]
    assert Approver(**FACTS | {"monthly_nanos_max": None}).left_nanos(10**18) == 50


def test_it_is_for_its_department_and_those_below_or_for_everybody():
    assert Approver(**FACTS).covers(frozenset({9, 7}))
    assert not Approver(**FACTS).covers(frozenset({9}))
    assert Approver(**FACTS | {"department_id": None}).covers(frozenset())


def test_who_may_approve_nothing_is_no_approver():
    with pytest.raises(ValueError, match="is no approver"):
        Approver(**FACTS | {"once_nanos_max": 0})


@pytest.mark.parametrize(
    ("to", "expires_at", "says"), [(2, 9, "nobody delegates to themselves"), (3, 5, "would end before")]
)
def test_a_delegation_is_to_somebody_else_for_some_time(to, expires_at, says):
    with pytest.raises(ValueError, match=says):
        Delegation(id=1, from_member_id=2, to_member_id=to, effective_at=5, expires_at=expires_at)
