from dataclasses import FrozenInstanceError
from datetime import date
from typing import Any

import pytest

from tokenroll.model.member import EmploymentType, Member, MemberChange, MemberField, MemberKind


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
        ({"employee_id": ""}, "employee id"),
        ({"level": "L\n4"}, "level"),
        ({"location": "x" * 201}, "location"),
        ({"manager_id": 0}, "manager id"),
        ({"manager_id": 1}, "Ada cannot be their own manager"),
        ({"working_time_millionths": 0}, "working time lies above 0"),
        ({"working_time_millionths": 1_000_001}, "at most at 1, which is full time"),
    ],
)
def test_it_is_valid_at_birth(changes, words):
    with pytest.raises(ValueError, match=words):
        ada(**changes)


def test_it_never_changes():
    with pytest.raises(FrozenInstanceError):
        ada().name = "Eve"  # type: ignore[misc]


def test_it_knows_what_plans_ask_for():
    known = ada(level="L4", location="Berlin", employment_type=EmploymentType.EMPLOYEE, manager_id=2, employee_id="17")
    assert (known.level, known.employment_type, known.working_time_millionths) == ("L4", "employee", 1_000_000)


def test_a_change_changes_something():
    facts: dict[str, Any] = {"field": MemberField.LEVEL, "effective_on": date(2026, 7, 1), "recorded_at": 0}
    assert MemberChange(was="L4", becomes="L5", **facts).field == "level"
    with pytest.raises(ValueError, match="level is 'L4' already, so nothing changes"):
        MemberChange(was="L4", becomes="L4", **facts)
