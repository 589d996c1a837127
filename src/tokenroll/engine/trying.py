"""Trying: calls that were made, made once more under allowances that were not there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tokenroll.engine.burning import Allowance, Burned, burn_down, take
from tokenroll.model.instant import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What would have become of one wallet's calls. A call is stopped when what is left does not pay it whole."""

    granted_nanos: int
    used_nanos: int
    paid_nanos: int
    stopped_count: int
    first_stopped_at: Instant | None
    left_nanos: int

    @property
    def missing_nanos(self) -> int:
        """What the stopped calls cost when they were made."""
        return self.used_nanos - self.paid_nanos


def try_calls(
    allowances: Sequence[Allowance], calls: Iterable[tuple[Instant, int]], begin: Instant, until: Instant
) -> Trial:
    """Calls of `begin` until `until`, as instants and nanos in the order of time. A stopped call takes nothing; a smaller one may still fit.

    What a call cost stands for what would be held for it, which is more: so the first stop may come a call too late, never too early.
    """
    state = Burned(at=begin, left_nanos={one.id: one.amount_nanos for one in allowances if one.is_active(begin)})
    used = stopped = 0
    first_stopped_at: Instant | None = None
    for at, nanos in calls:
        used += nanos
        if at > state.at:
            state, _ = burn_down(state, allowances, _nothing, at)
        after, missing = take(state, allowances, nanos)
        if not missing:
            state = after
            continue
        stopped += 1
        if first_stopped_at is None:
            first_stopped_at = at
    if until > state.at:
        state, _ = burn_down(state, allowances, _nothing, until)
    return Trial(
        granted_nanos=sum(one.amount_nanos for one in allowances),
        used_nanos=used,
        paid_nanos=state.used_nanos,
        stopped_count=stopped,
        first_stopped_at=first_stopped_at,
        left_nanos=state.sum_nanos,
    )


def _nothing(_begin: Instant, _until: Instant) -> int:
    return 0
