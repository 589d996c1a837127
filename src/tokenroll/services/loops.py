"""Which agents ask the same over and over, so that the next time they can be refused (docs/thrift.md).

An agent is a key, or one session of it where its calls name one. Of each this remembers one keyed hash, two numbers and an instant,
in memory alone. False alarms are what it is built against: only what was answered well counts, so that trying again after a failure
never does; what runs side by side is no row; and whoever pauses for a minute begins a new one.
"""

from collections.abc import Hashable, Iterable
from typing import Final

from tokenroll.engine.looping import is_loop
from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.limits import LOOP_AGENTS_REMEMBERED_MAX, LOOP_PAUSE_SECONDS

_PAUSE_MICROS: Final = LOOP_PAUSE_SECONDS * MICROS_PER_SECOND
Agent = tuple[int, str]
"""A key's number, and the session that its call names, "" for none."""


class _Last:
    """An agent's last answered request."""

    __slots__ = ("answered_at", "count", "request")

    def __init__(self, request: bytes, answered_at: Instant) -> None:
        self.request = request
        self.count = 1
        """How often it was answered, one after the other."""
        self.answered_at = answered_at


class Loops:
    """What one worker remembers of its agents, the longest silent one first."""

    __slots__ = ("_agents",)

    def __init__(self) -> None:
        self._agents: dict[Agent, _Last] = {}

    def wait_seconds(self, agent: Agent, request: bytes, turns: Iterable[Hashable], times: int, now: Instant) -> int:
        """How long the agent must pause before it may ask this; 0: it may now.

        It may not when it has been answered this very `request` `times` times in a row, or when its last `turns` are one cycle so many
        times over. A `request` of b"" is one that may be asked as often as anybody likes.
        """
        last = self._agents.get(agent)
        if last is None:
            return 0
        left = last.answered_at + _PAUSE_MICROS - now
        if left <= 0:
            return 0
        if (request and last.request == request and last.count >= times) or is_loop(turns, times):
            return int(-(-left // MICROS_PER_SECOND))
        return 0

    def answered(self, agent: Agent, request: bytes, started_at: Instant, now: Instant) -> None:
        """A request of the agent's, begun at `started_at`, was answered well and its client was there to read it."""
        agents = self._agents
        last = agents.pop(agent, None)
        if last is None:
            if not request:  # nothing to remember: it may be asked as often as anybody likes, and ends no row
                return
            if len(agents) >= LOOP_AGENTS_REMEMBERED_MAX:
                del agents[next(iter(agents))]
            agents[agent] = _Last(request, now)
            return
        agents[agent] = last
        if last.request != request or started_at - last.answered_at >= _PAUSE_MICROS:
            last.request = request
            last.count = 1
        elif started_at >= last.answered_at:  # else they ran side by side
            last.count += 1
        last.answered_at = now
