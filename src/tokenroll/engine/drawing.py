"""Drawing: which lots a hold takes, and how a charge consumes what was held.

One order everywhere (DESIGN §2, Draw order): priority, earliest expiry with none last, earliest effective, id. What would
be lost first is used first, and two readers of the same lots always choose alike.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tokenroll.model.hold import COMPANY_LOT_ID, Slice
from tokenroll.model.instant import INSTANT_MAX, Instant
from tokenroll.model.limits import SLICES_MAX
from tokenroll.model.lot import Lot, LotState

DRAWN_SLICES_MAX: Final = SLICES_MAX - 1
"""One place of a hold is kept for the company's slice, so that a settlement above a full hold still has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Slices in draw order, and what the lots could not carry."""

    slices: tuple[Slice, ...]
    missing_nanos: int


def draw_rank(lot: Lot) -> tuple[int, int, int, int]:
    """The sort key of the draw order; smaller is drawn first."""
    expires_at = INSTANT_MAX + 1 if lot.expires_at is None else lot.expires_at
    return lot.priority, expires_at, lot.effective_at, lot.id


def eligible(lot: Lot, at: Instant) -> bool:
    """Whether a hold admitted at `at` may take from the lot: effective inclusive, expiry exclusive."""
    return lot.effective_at <= at and (lot.expires_at is None or at < lot.expires_at)


def draw(states: Iterable[LotState], need_nanos: int, at: Instant, *, slices_max: int = DRAWN_SLICES_MAX) -> Drawing:
    """Slices of eligible lots in draw order that sum to `need_nanos`, or to all there is with the rest missing.

    It takes nothing away: the caller holds the slices or refuses. A need that would take more than `slices_max` lots is
    missing its rest, because a hold with more slices cannot be written (DESIGN §4 law 11). Raises ValueError for a
    negative need.
    """
    if need_nanos < 0:
        raise ValueError(f"nobody can need {need_nanos} nanos")
    usable = [state for state in states if eligible(state.lot, at) and state.remainder_nanos > 0]
    usable.sort(key=lambda state: draw_rank(state.lot))
    slices: list[Slice] = []
    missing_nanos = need_nanos
    for state in usable[:slices_max]:
        if missing_nanos == 0:
            break
        taken_nanos = min(state.remainder_nanos, missing_nanos)
        slices.append(Slice(state.lot.id, taken_nanos))
        missing_nanos -= taken_nanos
    return Drawing(slices=tuple(slices), missing_nanos=missing_nanos)


def split(slices: Sequence[Slice], charge_nanos: int) -> tuple[tuple[Slice, ...], tuple[Slice, ...]]:
    """What a charge consumes of held slices, taken in their order, and the tail that returns to the same lots.

    A charge above the hold is the company's: its excess is the last consumed slice, of COMPANY_LOT_ID, joined to the
    one that the hold already had, if any (DESIGN §5, §2 Overage). Raises ValueError for a negative charge.
    """
    if charge_nanos < 0:
        raise ValueError(f"a charge cannot be {charge_nanos} nanos")
    consumed: list[Slice] = []
    returned: list[Slice] = []
    left_nanos = charge_nanos
    for one in slices:
        taken_nanos = min(one.nanos, left_nanos)
        left_nanos -= taken_nanos
        if taken_nanos > 0:
            consumed.append(Slice(one.lot_id, taken_nanos))
        if taken_nanos < one.nanos:
            returned.append(Slice(one.lot_id, one.nanos - taken_nanos))
    if left_nanos > 0:
        if consumed and consumed[-1].lot_id == COMPANY_LOT_ID:
            left_nanos += consumed.pop().nanos
        consumed.append(Slice(COMPANY_LOT_ID, left_nanos))
    return tuple(consumed), tuple(returned)
