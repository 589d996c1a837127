from dataclasses import FrozenInstanceError
from datetime import date
from typing import Any

import pytest

from tokenroll.model.member import Member, MemberKind


def ada(**changes: Any) -> Member:
    facts: dict[str, Any] = {
        "id": 1,
        "public_id": "member_00000000000000000000000000000001",
        "name": "Ada",
        "kind": MemberKind.PERSON,
        "department_id": 1,
        "zone": "Europe/Berlin",
        "hired_on": date(2026, 1, 15),
    }
    return Member(**facts | changes)


def test_it_is_a_person():
    assert ada().kind is MemberKind.PERSON
    assert ada().left_on is None


def test_it_may_be_the_nightly_agent():
    nightly = ada(id=5, name="Nightly", kind=MemberKind.SERVICE, hired_on=None)
    assert nightly.kind == "service"


def test_it_may_leave_on_its_first_day_but_not_before():
    assert ada(left_on=date(2026, 1, 15)).left_on == date(2026, 1, 15)
    with pytest.raises(ValueError, match="Ada cannot leave on 2026-01-14 before being hired on 2026-01-15"):
        ada(left_on=date(2026, 1, 14))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": 0}, "member id"),
        ({"department_id": -1}, "department id"),
        ({"name": ""}, "name"),
        ({"zone": ""}, "zone"),
    ],
)
def test_it_is_valid_at_birth(changes, words):
    with pytest.raises(ValueError, match=words):
        ada(**changes)


def test_it_never_changes():
    with pytest.raises(FrozenInstanceError):
        ada().name = "Eve"  # type: ignore[misc]
