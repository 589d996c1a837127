"""How often an agent was answered the same, one after the other, and when that is a row."""

from tokenroll.model.limits import LOOP_AGENTS_REMEMBERED_MAX
from tokenroll.services.loops import Loops

SECOND = 1_000_000
ADA, BO = (1, ""), (2, "")


def answered(loops, *requests, agent=ADA, at=0):
    """Each began a second after the one before was answered, and took a tenth of one."""
    for place, request in enumerate(requests):
        begun = at + place * SECOND
        loops.answered(agent, request, begun, begun + SECOND // 10)


def test_the_third_answer_in_a_row_makes_the_fourth_wait_for_the_rest_of_a_minute():
    loops = Loops()
    answered(loops, b"a", b"a")
    assert loops.wait_seconds(ADA, b"a", (), 3, 2 * SECOND) == 0
    answered(loops, b"a", at=2 * SECOND)
    assert loops.wait_seconds(ADA, b"a", (), 3, 3 * SECOND) == 60  # answered at 2.1: until 62.1
    assert loops.wait_seconds(ADA, b"a", (), 3, 62 * SECOND) == 1
    assert loops.wait_seconds(ADA, b"a", (), 3, 62 * SECOND + SECOND // 10) == 0


def test_something_else_in_between_begins_a_new_row():
    loops = Loops()
    answered(loops, b"a", b"a", b"b", b"a")
    assert loops.wait_seconds(ADA, b"a", (), 3, 4 * SECOND) == 0
    assert loops.wait_seconds(ADA, b"b", (), 3, 4 * SECOND) == 0


def test_a_pause_of_a_minute_begins_a_new_row():
    loops = Loops()
    answered(loops, b"a", b"a")
    answered(loops, b"a", at=62 * SECOND)
    assert loops.wait_seconds(ADA, b"a", (), 3, 63 * SECOND) == 0
    answered(loops, b"a", b"a", at=64 * SECOND)
    assert loops.wait_seconds(ADA, b"a", (), 3, 66 * SECOND) > 0


def test_what_began_before_the_last_answer_ran_side_by_side():
    loops = Loops()
    for _ in range(10):
        loops.answered(ADA, b"a", 0, SECOND)
    assert loops.wait_seconds(ADA, b"a", (), 3, 2 * SECOND) == 0


def test_what_may_be_asked_as_often_as_anybody_likes_is_in_no_row():
    loops = Loops()
    answered(loops, b"", b"", b"", b"")
    assert loops.wait_seconds(ADA, b"", (), 3, 4 * SECOND) == 0


def test_turns_that_repeat_wait_for_an_agent_that_was_answered_within_a_minute():
    loops = Loops()
    turns = (b"t",) * 3
    assert loops.wait_seconds(ADA, b"x", turns, 3, 0) == 0
    answered(loops, b"x")
    assert loops.wait_seconds(ADA, b"y", turns, 3, SECOND) == 60
    assert loops.wait_seconds(ADA, b"y", turns[:2], 3, SECOND) == 0
    assert loops.wait_seconds(BO, b"y", turns, 3, SECOND) == 0


def test_only_so_many_agents_are_remembered_and_the_longest_silent_one_is_forgotten():
    loops = Loops()
    answered(loops, b"a", b"a", b"a", agent=ADA)
    answered(loops, b"a", b"a", b"a", agent=BO)
    answered(loops, b"a", agent=ADA, at=3 * SECOND)
    for number in range(LOOP_AGENTS_REMEMBERED_MAX - 1):
        answered(loops, b"c", agent=(number + 10, ""), at=4 * SECOND)
    assert loops.wait_seconds(BO, b"a", (), 3, 5 * SECOND) == 0
    assert loops.wait_seconds(ADA, b"a", (), 3, 5 * SECOND) > 0
