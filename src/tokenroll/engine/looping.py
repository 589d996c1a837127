"""Looping: whether what an agent did last is one thing over and over.

Only an exact repetition counts, of what was done and of what came of it: whoever polls and hears something new, turns pages, or runs
the tests again after an edit does not loop.
"""

from collections.abc import Hashable, Iterable
from typing import Final

from tokenroll.model.limits import LOOP_CYCLE_TURNS_MAX

_CYCLES: Final = tuple(range(1, LOOP_CYCLE_TURNS_MAX + 1))


def is_loop(turns: Iterable[Hashable], times: int) -> bool:
    """Whether the newest turns are one cycle of one to LOOP_CYCLE_TURNS_MAX turns, `times` times over.

    `turns` come newest first, and no more of them are taken than the verdict needs: of an agent that does not loop a few.
    """
    seen: list[Hashable] = []
    cycles: list[int] = list(_CYCLES)
    for turn in turns:
        place = len(seen)
        seen.append(turn)
        cycles = [cycle for cycle in cycles if place < cycle or seen[place - cycle] == turn]
        if not cycles:
            return False
        if any(len(seen) >= cycle * times for cycle in cycles):
            return True
    return False
