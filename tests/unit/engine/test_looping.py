"""When what an agent did is one thing over and over: exact repetitions alone, and no more is looked at than that takes."""

import pytest

from tokenroll.engine.looping import is_loop


@pytest.mark.parametrize(
    ("turns", "times", "expected"),
    [
        ("aaa", 3, True),
        ("aa", 3, False),
        ("aaab", 3, True),
        ("aabaa", 3, False),
        ("baaa", 3, False),
        ("ababab", 3, True),
        ("ababa", 3, False),
        ("abcabcabc", 3, True),
        ("abcabcab", 3, False),
        ("abcdabcdabcd", 3, False),
        ("aaaaa", 5, True),
        ("aaaa", 5, False),
        ("abababab", 4, True),
        ("", 3, False),
    ],
    ids=str,
)
def test_a_loop_is_a_cycle_of_up_to_three_turns_so_many_times_over_newest_first(turns, times, expected):
    assert is_loop(turns, times) is expected


def test_of_an_agent_that_does_not_loop_four_turns_are_looked_at():
    turns = iter("abcdefgh")
    assert is_loop(turns, 3) is False
    assert next(turns) == "e"
