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
from tokenroll.model.vesting import AWAITED_AT, VestingKind


def vest(grant: Grant, zone: tzinfo, first_lot_id: int) -> tuple[Lot, ...]:
    """The tranches of a grant as lots with ids `first_lot_id`, `first_lot_id + 1`, … in order of their dates.

    They sum to the grant exactly; a tranche of nothing is left out. The lifetime of a lot counts from its own `effective_at`,
    because unvested pay cannot expire. What may roll over of a tranche is a lot of its own that lives one lifetime longer: it is drawn
    after the other, so at the end of the first lifetime min(most, left) is left of both, by dates alone (decision 0027). Raises
    ValueError where a date cannot be named.
    """
    lots: list[Lot] = []
    for effective_at, amount_nanos in _schedule(grant, zone):
        rolling_nanos = min(grant.rollover_max_nanos, amount_nanos) if _rolls_over(grant) else 0
        for lifetimes, nanos in ((1, amount_nanos - rolling_nanos), (2, rolling_nanos)):
            if nanos:
                lots.append(
                    _lot(
                        grant,
                        first_lot_id + len(lots),
                        nanos,
                        effective_at,
                        _expiry(grant, effective_at, lifetimes, zone),
                    )
                )
    return tuple(lots)


def _rolls_over(grant: Grant) -> bool:
    """Only tranches with a date and an end: what waits for an event is one lot, so that the event names it."""
    return grant.lot_lifetime is not None and grant.vesting.kind is not VestingKind.EVENT


def _lot(grant: Grant, lot_id: int, nanos: int, effective_at: Instant, expires_at: Instant | None) -> Lot:
    return Lot(
        id=lot_id,
        grant_id=grant.id,
        wallet_id=grant.wallet_id,
        classification=grant.classification,
        priority=grant.priority,
        amount_nanos=nanos,
        effective_at=effective_at,
        expires_at=expires_at,
    )


def _expiry(grant: Grant, effective_at: Instant, lifetimes: int, zone: tzinfo) -> Instant | None:
    """The end of so many lifetimes of a tranche; None for a grant that lives for ever."""
    lifetime = grant.lot_lifetime
    return None if lifetime is None else period_step(effective_at, lifetimes, lifetime, zone)


def awaited_parts(grant: Grant) -> tuple[tuple[str, int], ...]:
    """The events that a grant waits for and what each is worth, in order: that of its first lots, those of nothing left out."""
    vesting = grant.vesting
    weights = [share.weight for share in vesting.events]
    amounts = allocate(grant.amount_nanos, weights, vesting.allocation, vesting.unit_nanos)
    return tuple((share.event, nanos) for share, nanos in zip(vesting.events, amounts, strict=True) if nanos)


def _schedule(grant: Grant, zone: tzinfo) -> Iterator[tuple[Instant, int]]:
    """Dates with the nanos that vest on each, ascending; distinct but for events, which all wait."""
    vesting = grant.vesting
    if vesting.kind is VestingKind.IMMEDIATE:
        yield grant.effective_at, grant.amount_nanos
    elif vesting.kind is VestingKind.PERIODIC:
        yield from _periodic(grant, zone)
    elif vesting.kind is VestingKind.EVENT:
        yield from ((AWAITED_AT, nanos) for _, nanos in awaited_parts(grant))
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
