"""Whether a deployment is passed over: after failures, and while it says that it has nothing left. Counted per worker, in ticks.

A deployment is only ever passed over where another one can serve: with no other, a call goes there all the same, because a guess
of ours must not refuse what the provider might answer.
"""

from collections.abc import Callable
from typing import Final

from tokenroll.gateway.heads import ResponseHead
from tokenroll.model.instant import Instant
from tokenroll.model.limits import (
    CIRCUIT_FAILURES_MAX,
    CIRCUIT_OPEN_SECONDS,
    CIRCUIT_OPEN_SECONDS_MAX,
    CIRCUIT_PROBE_SECONDS,
    REST_SECONDS_MAX,
)
from tokenroll.upstream.resting import exhausted_millis, retry_after_millis, says_retry

_ACCOUNT: Final = frozenset({401, 402, 429})
"""The company's key, its bill or its rate at this provider: another deployment has its own."""


def is_own_failure(status: int) -> bool:
    """Whether an answer of this status is the deployment's failure and not the client's."""
    return status >= 500 or status in _ACCOUNT or status == 408


def may_try_elsewhere(response: ResponseHead) -> bool:
    """Whether the same request may be answered better by another deployment.

    What is the account's matter is another's at another deployment. Of everything else the provider's own `x-should-retry` decides,
    where it says so.
    """
    status = response.status
    if status in _ACCOUNT:
        return True
    told = says_retry(response.forward)
    return is_own_failure(status) if told is None else told


class Health:
    """One deployment's failures, as this worker met them. Times are ticks of the wheel.

    A failure adds one and a good answer takes one away, so that both five failures in a row and a lasting share of more than half open
    the circuit. An open one is passed over for a while; then one call at a time tries it: a good answer closes it, a
    failure doubles the time.
    """

    __slots__ = (
        "_first_open_ticks",
        "_open_ticks",
        "_open_ticks_max",
        "_probe_ticks",
        "_ticks",
        "failure_count",
        "has_others",
        "is_open",
        "is_watched",
        "openings_count",
        "rests_count",
        "resumes_at",
        "score",
    )  # fmt: skip

    def __init__(self, ticks: Callable[[float], int]) -> None:
        self._ticks = ticks
        self._first_open_ticks = self._open_ticks = ticks(CIRCUIT_OPEN_SECONDS)
        self._open_ticks_max = ticks(CIRCUIT_OPEN_SECONDS_MAX)
        self._probe_ticks = ticks(CIRCUIT_PROBE_SECONDS)
        self.score = 0
        self.is_open = False
        self.resumes_at = 0
        """It is passed over before this tick."""
        self.has_others = False
        """Whether another deployment serves some model of it: only then do rate headers of good answers matter."""
        self.is_watched = False
        """Whether good answers have to be told here: the one look that a healthy deployment without others costs a call."""
        self.failure_count = 0
        self.openings_count = 0
        self.rests_count = 0

    def expect_others(self) -> None:
        """Another deployment can serve in its place."""
        self.has_others = self.is_watched = True

    def may_take(self, now: int) -> bool:
        """Whether a call may go there now. When an open circuit's time is over, the call that asks is the one that tries it."""
        if self.resumes_at > now:
            return False
        if self.is_open:  # others pass it over until this one has ended, or does not
            self.resumes_at = now + self._probe_ticks
        return True

    def failed(self, now: int) -> None:
        """An attempt failed by the deployment's fault: not reached, not answered in time, cut, or an error of its own."""
        self.failure_count += 1
        self.is_watched = True
        if self.is_open:
            if now + self._probe_ticks >= self.resumes_at:  # not one of those that were under way when it opened
                self._open_ticks = min(2 * self._open_ticks, self._open_ticks_max)
                self.resumes_at = now + self._open_ticks
            return
        self.score += 1
        if self.score >= CIRCUIT_FAILURES_MAX:
            self.is_open = True
            self.openings_count += 1
            self._open_ticks = self._first_open_ticks
            self.resumes_at = now + self._open_ticks

    def heed(self, response: ResponseHead, now: int, clock_now: Instant) -> None:
        """What an answer's head says of the deployment. A rate limit with a time is a rest, not a failure."""
        status = response.status
        if is_own_failure(status):
            millis = retry_after_millis(response.forward, clock_now)
            if not millis and status == 429:
                millis = exhausted_millis(response.forward, clock_now)
            if millis:
                self._rest(millis, now)
            if not millis or status != 429:
                self.failed(now)
            return
        if self.is_open:
            self.is_open = False
            self.score = self.resumes_at = 0
        elif self.score:
            self.score -= 1
        self.is_watched = self.has_others or self.score > 0
        if self.has_others and response.tells_pace and (millis := exhausted_millis(response.forward, clock_now)):
            self._rest(millis, now)

    def _rest(self, millis: int, now: int) -> None:
        """Left alone for so long; at most an hour, because a far reset is looked at again."""
        self.rests_count += 1
        self.is_watched = True
        self.resumes_at = max(self.resumes_at, now + self._ticks(min(millis, REST_SECONDS_MAX * 1000) / 1000))
