"""The wheel: deadlines are never kept early, and at most a few ticks late."""

import asyncio
from collections.abc import Callable
from typing import cast

from tokenroll.gateway.wheel import Timed, Wheel


class Thing:
    def __init__(self, deadline: int) -> None:
        self.deadline = deadline
        self.closed = False
        self.passed: list[int] = []
        self.deadline_passed: Callable[[], None] = lambda: None


class HandCrankedLoop:
    """Timers that never fire by themselves: the tests turn the wheel."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> "HandCrankedLoop":
        del seconds, callback
        return self


class Harness:
    def __init__(self) -> None:
        self.wheel = Wheel(cast("asyncio.AbstractEventLoop", HandCrankedLoop()), 1.0)

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.wheel._tick()


def add(harness: Harness, deadline: int, then: int = 0) -> Thing:
    thing = Thing(deadline)

    def passed() -> None:
        thing.passed.append(harness.wheel.now)
        thing.deadline = then

    thing.deadline_passed = passed
    harness.wheel.add(cast("Timed", thing))
    return thing


def test_deadlines_are_kept_on_their_tick_near_and_far():
    harness = Harness()
    near, far = add(harness, 4), add(harness, 100)
    harness.ticks(120)
    assert near.passed == [4]
    assert far.passed == [100]


def test_a_deadline_that_is_moved_is_kept_at_its_new_place():
    harness = Harness()
    thing = add(harness, 5)
    harness.ticks(3)
    thing.deadline = 50
    harness.ticks(40)
    assert not thing.passed
    harness.ticks(10)
    assert thing.passed == [50]


def test_a_deadline_that_comes_nearer_is_at_most_seven_ticks_late():
    harness = Harness()
    thing = add(harness, 200)
    harness.ticks(20)
    thing.deadline = harness.wheel.now + 1
    harness.ticks(10)
    assert len(thing.passed) == 1
    assert thing.passed[0] - 22 <= 7


def test_no_deadline_and_closed_things_are_left_alone():
    harness = Harness()
    never, closed = add(harness, 0), add(harness, 5)
    closed.closed = True
    harness.ticks(50)
    assert not never.passed
    assert not closed.passed
    assert sum(map(len, harness.wheel._slots)) == 1


def test_seconds_become_ticks_that_surely_cover_them():
    wheel = Harness().wheel
    assert (wheel.ticks(20), wheel.ticks(0.5), wheel.ticks(1.2)) == (21, 2, 3)
