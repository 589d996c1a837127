"""Allocating: an amount cut into tranches of whole units.

The seven ways and their vectors are those of OCF's allocation types (reference: credits, §6: 18 units over 4 tranches).
"""

from collections.abc import Sequence
from itertools import accumulate

from tokenroll.model.vesting import AllocationType


def allocate(amount_nanos: int, weights: Sequence[int], allocation: AllocationType, unit_nanos: int) -> list[int]:
    """The nanos of each tranche, in order; they sum to the amount exactly.

    `weights` are the tranches' parts of the whole. What is less than a unit goes to the last tranche.
    """
    if allocation is AllocationType.FRACTIONAL:
        return _cumulative(amount_nanos, weights, half_up=False)
    units, rest_nanos = divmod(amount_nanos, unit_nanos)
    if allocation is AllocationType.CUMULATIVE_ROUND_DOWN:
        shares = _cumulative(units, weights, half_up=False)
    elif allocation is AllocationType.CUMULATIVE_ROUNDING:
        shares = _cumulative(units, weights, half_up=True)
    else:
        shares = _equal(units, len(weights), allocation)
    tranches = [share * unit_nanos for share in shares]
    tranches[-1] += rest_nanos
    return tranches


def _cumulative(amount: int, weights: Sequence[int], *, half_up: bool) -> list[int]:
    """Differences of the rounded sums so far: rounding never adds up to more than one unit."""
    total = sum(weights)
    sums = [(2 * amount * earned + half_up * total) // (2 * total) for earned in accumulate(weights)]
    return [later - earlier for earlier, later in zip([0, *sums], sums, strict=False)]


def _equal(units: int, count: int, allocation: AllocationType) -> list[int]:
    base, extra = divmod(units, count)
    shares = [base] * count
    if allocation is AllocationType.FRONT_LOADED_TO_SINGLE_TRANCHE:
        shares[0] += extra
    elif allocation is AllocationType.BACK_LOADED_TO_SINGLE_TRANCHE:
        shares[-1] += extra
    else:
        first = 0 if allocation is AllocationType.FRONT_LOADED else count - extra
        for place in range(first, first + extra):
            shares[place] += 1
    return shares
