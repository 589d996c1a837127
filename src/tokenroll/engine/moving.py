"""Moving: which parts of which lots a transfer takes, and which unvested ones an acceleration brings forward."""

from collections.abc import Iterable

from tokenroll.engine.drawing import draw_rank, eligible
from tokenroll.engine.ending import LotPart
from tokenroll.model.instant import Instant
from tokenroll.model.lot import LotState


def transfer_parts(states: Iterable[LotState], nanos: int, at: Instant) -> tuple[tuple[LotPart, ...], int]:
    """Spendable parts in draw order that sum to `nanos`, and what is missing: who gives, gives what would be used next."""
    usable = [state for state in states if eligible(state.lot, at) and state.remainder_nanos]
    usable.sort(key=lambda state: draw_rank(state.lot))
    parts = []
    for state in usable:
        taken = min(state.remainder_nanos, nanos)
        nanos -= taken
        if taken:
            parts.append(LotPart(state.lot.id, taken))
    return tuple(parts), nanos


def accelerated_parts(states: Iterable[LotState], nanos: int | None, at: Instant) -> tuple[tuple[LotPart, ...], int]:
    """Unvested parts up to `nanos` (None: all), those that would vest next first, and what is missing."""
    waiting = [state for state in states if at < state.lot.effective_at and state.remainder_nanos]
    waiting.sort(key=lambda state: (state.lot.effective_at, state.lot.id))
    left = sum(state.remainder_nanos for state in waiting) if nanos is None else nanos
    parts = []
    for state in waiting:
        taken = min(state.remainder_nanos, left)
        left -= taken
        if taken:
            parts.append(LotPart(state.lot.id, taken))
    return tuple(parts), left
