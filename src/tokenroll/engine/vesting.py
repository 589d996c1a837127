"""Vesting: a grant cut into the lots that become spendable on their dates.

All lots of a grant are made at once, with their dates in them; no job ever "runs vesting" (DESIGN §4 law 9).
"""

from collections.abc import Iterator
from datetime import tzinfo

from tokenroll.engine.calendar import month_step, period_step
from tokenroll.model.grant import Grant
from tokenroll.model.instant import Instant
from tokenroll.model.lot import Lot
from tokenroll.model.vesting import VestingKind


def vest(grant: Grant, zone: tzinfo, first_lot_id: int) -> tuple[Lot, ...]:
    """The tranches of a grant as lots with ids `first_lot_id`, `first_lot_id + 1`, … in order of their dates.

    Amounts are differences of the cumulative share rounded down, so they sum to the grant exactly; a tranche of
    nothing is left out. The lifetime of a lot counts from its own `effective_at`, because unvested pay cannot expire.
    """
    lots: list[Lot] = []
    before_nanos = 0
    for effective_at, cumulative_nanos in _schedule(grant, zone):
        amount_nanos = cumulative_nanos - before_nanos
        before_nanos = cumulative_nanos
        if amount_nanos == 0:
            continue
        lifetime = grant.lot_lifetime
        lots.append(
            Lot(
                id=first_lot_id + len(lots),
                grant_id=grant.id,
                wallet_id=grant.wallet_id,
                classification=grant.classification,
                priority=grant.priority,
                amount_nanos=amount_nanos,
                effective_at=effective_at,
                expires_at=None if lifetime is None else period_step(effective_at, 1, lifetime, zone),
            )
        )
    return tuple(lots)


def _schedule(grant: Grant, zone: tzinfo) -> Iterator[tuple[Instant, int]]:
    """Dates with the nanos vested up to each, ascending; what accrues during the cliff is in its first date."""
    vesting = grant.vesting
    if vesting.kind is VestingKind.IMMEDIATE:
        yield grant.effective_at, grant.amount_nanos
        return
    for month in range(max(vesting.cliff_months, 1), vesting.months + 1):
        yield month_step(grant.effective_at, month, zone), grant.amount_nanos * month // vesting.months
