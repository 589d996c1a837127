from typing import Any

import pytest

from tokenroll.model.department import Department


def research(**changes: Any) -> Department:
    facts: dict[str, Any] = {
        "id": 2,
        "public_id": "department_00000000000000000000000000000002",
        "name": "Research",
        "cost_centre": "4200",
        "parent_id": 1,
    }
    return Department(**facts | changes)


def test_it_stands_in_a_tree():
    assert research().parent_id == 1
    assert research(parent_id=None).parent_id is None


def test_it_is_not_its_own_parent():
    with pytest.raises(ValueError, match="Research cannot be its own parent"):
        research(parent_id=2)


@pytest.mark.parametrize("changes", [{"id": 0}, {"name": ""}, {"cost_centre": ""}])
def test_it_is_valid_at_birth(changes):
    with pytest.raises(ValueError, match="must be"):
        research(**changes)
