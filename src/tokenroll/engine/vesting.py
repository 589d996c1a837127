"""Vesting: a grant cut into the lots that become spendable on their dates.

All lots of a grant are made at once, with their dates in them; no job ever "runs vesting" (DESIGN §4 law 9).
"""

from collections.abc import Iterator
from datetime import tzinfo

from tokenroll.engine.allocating import allocate
from tokenroll.engine.calendar import day_start, month_step, period_step
from tokenroll.model.grant import Grant
from tokenroll.model.instant import Instant
from tokenroll.model.lot import Lot
from tokenroll.model.vesting import VestingKind


def vest(grant: Grant, zone: tzinfo, first_lot_id: int) -> tuple[Lot, ...]:
    """The tranches of a grant as lots with ids `first_lot_id`, `first_lot_id + 1`, … in order of their dates.

    They sum to the grant exactly; a tranche of nothing is left out. The lifetime of a lot counts from its own `effective_at`,
    because unvested pay cannot expire. Raises ValueError where a date cannot be named.
    """
    lots: list[Lot] = []
    for effective_at, amount_nanos in _schedule(grant, zone):
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
    """Dates with the nanos that vest on each, ascending and distinct."""
    vesting = grant.vesting
    if vesting.kind is VestingKind.IMMEDIATE:
        yield grant.effective_at, grant.amount_nanos
    elif vesting.kind is VestingKind.PERIODIC:
        yield from _periodic(grant, zone)
    else:
        yield from _dated(grant, zone)


def _periodic(grant: Grant, zone: tzinfo) -> Iterator[tuple[Instant, int]]:
    """What accrues during the cliff comes with its last period."""
    vesting = grant.vesting
    assert vesting.period is not None
    amounts = allocate(grant.amount_nanos, [1] * vesting.occurrences, vesting.allocation, vesting.unit_nanos)
    accrued = max(vesting.cliff_occurrences, 1)
    for occurrence in range(accrued, vesting.occurrences + 1):
        nanos = sum(amounts[:accrued]) if occurrence == accrued else amounts[occurrence - 1]
        if vesting.day_of_month:
            months = occurrence * vesting.period.count
            yield month_step(grant.effective_at, months, zone, day=vesting.day_of_month), nanos
        else:
            yield period_step(grant.effective_at, occurrence, vesting.period, zone), nanos


def _dated(grant: Grant, zone: tzinfo) -> Iterator[tuple[Instant, int]]:
    """Dates that are over when the grant begins are due at its beginning."""
    vesting = grant.vesting
    weights = [share.weight for share in vesting.shares]
    amounts = allocate(grant.amount_nanos, weights, vesting.allocation, vesting.unit_nanos)
    due: dict[Instant, int] = {}
    for share, nanos in zip(vesting.shares, amounts, strict=True):
        at = max(day_start(share.on, zone), grant.effective_at)
        due[at] = due.get(at, 0) + nanos
    yield from due.items()
