"""One amount taken apart: every nano is in one part."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenroll.engine.sharing import shared_out


@pytest.mark.parametrize(
    ("nanos", "weights", "parts"),
    [
        (10, [1, 1], [5, 5]),
        (10, [1, 1, 1], [4, 3, 3]),  # what is over goes to the first of the largest
        (10, [1, 2, 2], [2, 4, 4]),
        (11, [1, 2, 2], [2, 5, 4]),
        (7, [0, 3, 0], [0, 7, 0]),
        (0, [1, 2], [0, 0]),
        (7, [0, 0], [0, 0]),  # nobody to share with
        (7, [], []),
    ],
)
def test_it_shares_in_proportion(nanos, weights, parts):
    assert shared_out(nanos, weights) == parts


@given(st.integers(0, 10**18), st.lists(st.integers(0, 10**24), min_size=1, max_size=20))
def test_no_nano_is_lost_and_nobody_is_off_by_more_than_the_others_rounding(nanos, weights):
    parts = shared_out(nanos, weights)
    if sum(weights):
        assert sum(parts) == nanos
        for part, weight in zip(parts, weights, strict=True):
            assert -1 < part - nanos * weight // sum(weights) < len(weights)
