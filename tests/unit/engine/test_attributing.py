from datetime import date

from tokenroll.engine.attributing import value_on
from tokenroll.model.member import MemberChange, MemberField


def change(was, becomes, on, field=MemberField.LEVEL):
    return MemberChange(field=field, was=was, becomes=becomes, effective_on=date.fromisoformat(on), recorded_at=0)


ADA = [
    change("L3", "L4", "2026-03-01"),
    change("Berlin", "Lisbon", "2026-04-01", MemberField.LOCATION),
    change("L4", "L5", "2026-07-01"),
    change("L5", "L4", "2026-07-01"),  # the same day, written later: that holds
]


def level(on, changes=None):
    return value_on(ADA if changes is None else changes, MemberField.LEVEL, date.fromisoformat(on), "L4")


def test_a_day_has_the_value_of_the_last_change_before_it():
    assert [level(on) for on in ("2026-02-28", "2026-03-01", "2026-06-30", "2026-07-01", "2027-01-01")] == [
        "L3", "L4", "L4", "L4", "L4",
    ]  # fmt: skip
    assert value_on(ADA, MemberField.LOCATION, date(2026, 3, 31), "Lisbon") == "Berlin"


def test_what_never_changed_was_always_so():
    assert level("2020-01-01", []) == "L4"
    assert value_on(ADA, MemberField.DEPARTMENT, date(2020, 1, 1), "department_1") == "department_1"


def test_a_change_that_is_written_late_holds_from_its_own_day():
    late = [change("L3", "L5", "2026-07-01"), change("L3", "L4", "2026-03-01")]
    assert [level(on, late) for on in ("2026-01-01", "2026-03-01", "2026-08-01")] == ["L3", "L4", "L5"]
