"""No figure of fewer than five people, also by taking others from the whole."""

import pytest

from tokenroll.insight.small_groups import told_together


@pytest.mark.parametrize(
    ("people", "together"),
    [
        ({"Engineering": 9, "Legal": 5}, set()),
        ({"Engineering": 9, "Legal": 3, "Finance": 2}, {"Legal", "Finance"}),
        ({"Engineering": 9, "Legal": 6, "Finance": 2}, {"Legal", "Finance"}),
        ({"Engineering": 3, "Legal": 1}, {"Engineering", "Legal"}),
        ({"Engineering": 9, "Finance": 1, "nobody named": 0}, {"Engineering", "Finance"}),
    ],
)
def test_small_groups_go_together_until_they_are_enough(people, together):
    assert told_together(people) == together
