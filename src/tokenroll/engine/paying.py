"""Paying: one wallet's pay slip for one cycle.

Opening and closing come from the lots' states, the movements from settlements and dates, and the slip refuses to be born
unless they meet. So a slip that exists is a check that was passed.

At a boundary the old cycle ends before the new one starts: a lot that expires at that instant broke in the old cycle, and one
that becomes effective then vests in the new.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from tokenroll.model.grant import Grant
from tokenroll.model.instant import Instant
from tokenroll.model.lot import Lot, LotState
from tokenroll.model.pay_cycle import PayCycle, PaySlip


class LotOrigin(IntEnum):
    """Where a lot came from, which decides the line that its vesting stands in."""

    GRANT = 0
    TRANSFER = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LotFacts:
    """One lot's part in a cycle.

    `opened` is its state as the cycle began (None: not known then), `closed` as it ended, without what later calls did.
    `spent_nanos` sums the settlements of this cycle's calls, `adjusted_nanos` those of earlier cycles' calls that were
    still open when their cycle was recorded (DESIGN §5). `rolls_over_at`: the end of the first of two lifetimes of a lot that may
    roll over; None for other lots.
    """

    opened: LotState | None
    closed: LotState
    spent_nanos: int = 0
    adjusted_nanos: int = 0
    origin: LotOrigin = LotOrigin.GRANT
    rolls_over_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleFacts:
    """All that one wallet's slip is made of. `grants` are all of the wallet's; the cycle picks its own."""

    wallet_id: int
    cycle: PayCycle
    lots: tuple[LotFacts, ...]
    grants: tuple[Grant, ...] = ()
    company_carried_nanos: int = 0
    call_count: int = 0


def pay_slip(facts: CycleFacts) -> PaySlip:
    """The slip of one wallet for one cycle, in nanos of spendable credits.

    Raises AssertionError if opening + movements is not closing: then a settlement, a lot or a date is wrong, and no paper
    may say otherwise. A grant is told in the cycle in which it is both known and effective.
    """
    start_at, end_until = facts.cycle.start_at, facts.cycle.end_until
    lots = facts.lots
    next_vest_at, next_vest_nanos = _next_vest(lots, end_until)
    next_expiry_at, next_expiry_nanos = _next_expiry(lots, end_until)
    known_grants = ((max(grant.effective_at, grant.recorded_at), grant.amount_nanos) for grant in facts.grants)
    return PaySlip(
        wallet_id=facts.wallet_id,
        cycle_name=facts.cycle.name,
        opening_nanos=sum(spendable_nanos(one.opened, start_at) for one in lots if one.opened is not None),
        granted_nanos=sum(nanos for at, nanos in known_grants if start_at <= at < end_until),
        vested_nanos=_came(lots, LotOrigin.GRANT, start_at, end_until),
        transferred_in_nanos=_came(lots, LotOrigin.TRANSFER, start_at, end_until),
        spent_nanos=sum(one.spent_nanos for one in lots),
        adjustments_nanos=sum(one.adjusted_nanos for one in lots),
        breakage_nanos=sum(_broken_nanos(one, start_at, end_until) for one in lots),
        forfeited_nanos=sum(_since(one, "forfeited_nanos", end_until) for one in lots),
        clawed_back_nanos=sum(_since(one, "clawed_back_nanos", end_until) for one in lots),
        voided_nanos=sum(_since(one, "voided_nanos", end_until) for one in lots),
        transferred_out_nanos=sum(_since(one, "transferred_out_nanos", end_until) for one in lots),
        closing_nanos=sum(spendable_nanos(one.closed, end_until) for one in lots),
        rolled_over_nanos=sum(
            spendable_nanos(one.closed, end_until)
            for one in lots
            if one.rolls_over_at is not None and one.rolls_over_at <= end_until
        ),
        suspense_nanos=sum(one.closed.suspense_nanos for one in lots),
        company_carried_nanos=facts.company_carried_nanos,
        call_count=facts.call_count,
        next_vest_at=next_vest_at,
        next_vest_nanos=next_vest_nanos,
        next_expiry_at=next_expiry_at,
        next_expiry_nanos=next_expiry_nanos,
    )


def spendable_nanos(state: LotState, boundary_at: Instant) -> int:
    """What a lot carries over a boundary between cycles: its remainder if vested and alive, and all that is held.

    Held slices and slices in suspense outlive their lot's expiry (DESIGN §5).
    """
    alive = _vested_by(state.lot, boundary_at) and not _expired_by(state.lot, boundary_at)
    return state.held_nanos + state.suspense_nanos + (state.remainder_nanos if alive else 0)


def _vested_by(lot: Lot, boundary_at: Instant) -> bool:
    return lot.effective_at < boundary_at


def _expired_by(lot: Lot, boundary_at: Instant) -> bool:
    return lot.expires_at is not None and lot.expires_at <= boundary_at


def _came(lots: Iterable[LotFacts], origin: LotOrigin, start_at: Instant, end_until: Instant) -> int:
    """What became spendable of the lots of one origin."""
    return sum(_vested_nanos(one, start_at, end_until) for one in lots if one.origin is origin)


def _vested_nanos(one: LotFacts, start_at: Instant, end_until: Instant) -> int:
    """What became spendable: the lot less what was taken from it while unvested, or all of a lot granted backdated."""
    if not _vested_by(one.closed.lot, end_until):
        return 0
    if one.opened is None:
        return one.closed.lot.amount_nanos
    return 0 if _vested_by(one.closed.lot, start_at) else one.opened.remainder_nanos


def _broken_nanos(one: LotFacts, start_at: Instant, end_until: Instant) -> int:
    """What lapsed unused: the remainder at expiry, and later what open calls returned to an expired lot."""
    if not _expired_by(one.closed.lot, end_until):
        return 0
    if one.opened is not None and _expired_by(one.closed.lot, start_at):
        return one.closed.remainder_nanos - one.opened.remainder_nanos
    return one.closed.remainder_nanos


def _since(one: LotFacts, name: str, end_until: Instant) -> int:
    """How much of a vested lot was taken in the cycle; what is taken from an unvested lot never was spendable."""
    if not _vested_by(one.closed.lot, end_until):
        return 0
    before: int = 0 if one.opened is None else getattr(one.opened, name)
    after: int = getattr(one.closed, name)
    return after - before


def _next_vest(lots: Iterable[LotFacts], end_until: Instant) -> tuple[Instant | None, int]:
    return _first(
        (one.closed.lot.effective_at, one.closed.remainder_nanos)
        for one in lots
        if not _vested_by(one.closed.lot, end_until)
    )


def _next_expiry(lots: Iterable[LotFacts], end_until: Instant) -> tuple[Instant | None, int]:
    return _first(
        (one.closed.lot.expires_at, one.closed.remainder_nanos)
        for one in lots
        if one.closed.lot.expires_at is not None
        and not _expired_by(one.closed.lot, end_until)
        and one.closed.lot.effective_at <= end_until
    )


def _first(dated: Iterable[tuple[Instant, int]]) -> tuple[Instant | None, int]:
    """The earliest instant that moves something, with all it moves; None if nothing is to come."""
    moving = [(at, nanos) for at, nanos in dated if nanos > 0]
    if not moving:
        return None, 0
    first_at = min(at for at, _ in moving)
    return first_at, sum(nanos for at, nanos in moving if at == first_at)


# ---- many slips -----------------------------------------------------------------------------------------------------------

StateRow: TypeAlias = Sequence[int]
"""A LotState without its lot: held, suspense, spent, forfeited, clawed back, voided, transferred out."""
NO_STATE: Final = (0, 0, 0, 0, 0, 0, 0)
LotRow: TypeAlias = tuple[int, Instant, Instant | None, int, StateRow | None, StateRow, int, int, Instant | None]
"""A LotFacts as a row: amount, effective at, expires at, origin, opened, closed, spent, adjusted, rolls over at."""
_RARE_LINES: Final = (
    "transferred_in_nanos", "adjustments_nanos", "forfeited_nanos", "clawed_back_nanos", "voided_nanos", "transferred_out_nanos",
    "rolled_over_nanos", "suspense_nanos",
)  # fmt: skip


def slip_amounts(start_at: Instant, end_until: Instant, lots: Iterable[LotRow]) -> dict[str, int]:
    """The amounts of `pay_slip` that lots decide, by name, of rows in place of nouns: a pay run makes a million of them.

    Only what is not nothing has an entry. A property test holds it against `pay_slip`. Raises AssertionError as that does,
    and for a state that no lot can have.
    """
    opening = vested = transferred_in = spent = adjusted = breakage = 0
    forfeited = clawed_back = voided = transferred_out = closing = rolled_over = suspense = 0
    vest_at: Instant | None = None
    expiry_at: Instant | None = None
    vest_nanos = expiry_nanos = 0
    for amount, effective_at, expires_at, origin, opened, closed, lot_spent, lot_adjusted, rolls_over_at in lots:
        held, checked, used, lost, taken, undone, sent = closed
        rest = amount - held - checked - used - lost - taken - undone - sent
        if rest < 0 or min(closed) < 0:
            raise AssertionError(f"a lot of {amount} nanos is overdrawn, or negative in {closed}")
        spent += lot_spent
        adjusted += lot_adjusted
        suspense += checked
        closing += held + checked
        if rolls_over_at is not None and rolls_over_at <= end_until:
            alive = effective_at < end_until and (expires_at is None or expires_at > end_until)
            rolled_over += held + checked + (rest if alive else 0)
        before = NO_STATE if opened is None else opened
        rest_before = amount if opened is None else amount - sum(opened)
        if effective_at < end_until:
            if lost or taken or undone or sent:
                forfeited += lost - before[3]
                clawed_back += taken - before[4]
                voided += undone - before[5]
                transferred_out += sent - before[6]
            if opened is None or effective_at >= start_at:
                if origin == 0:
                    vested += rest_before
                else:
                    transferred_in += rest_before
            if expires_at is None or expires_at > end_until:
                closing += rest
            elif opened is not None and expires_at <= start_at:
                breakage += rest - rest_before
            else:
                breakage += rest
        elif rest and (vest_at is None or effective_at <= vest_at):
            vest_nanos = rest + (vest_nanos if vest_at == effective_at else 0)
            vest_at = effective_at
        if opened is not None:
            opening += before[0] + before[1]
            if effective_at < start_at and (expires_at is None or expires_at > start_at):
                opening += rest_before
        if expires_at is None or not rest or not expires_at > end_until >= effective_at:
            continue
        if expiry_at is None or expires_at <= expiry_at:
            expiry_nanos = rest + (expiry_nanos if expiry_at == expires_at else 0)
            expiry_at = expires_at
    moved = opening + vested + transferred_in - spent - adjusted - breakage
    moved -= forfeited + clawed_back + voided + transferred_out
    if moved != closing:
        raise AssertionError(f"opening + movements = {moved}, but closing is {closing}")
    rare = (transferred_in, adjusted, forfeited, clawed_back, voided, transferred_out, rolled_over, suspense)
    found = _lines(opening, vested, spent, breakage, closing, rare)
    if vest_at is not None:
        found["next_vest_at"], found["next_vest_nanos"] = vest_at, vest_nanos
    if expiry_at is not None:
        found["next_expiry_at"], found["next_expiry_nanos"] = expiry_at, expiry_nanos
    return found


def _lines(opening: int, vested: int, spent: int, breakage: int, closing: int, rare: tuple[int, ...]) -> dict[str, int]:
    """Those that are not nothing, by name; what nearly every slip has first, because most have nothing else."""
    found: dict[str, int] = {}
    if opening:
        found["opening_nanos"] = opening
    if vested:
        found["vested_nanos"] = vested
    if spent:
        found["spent_nanos"] = spent
    if breakage:
        found["breakage_nanos"] = breakage
    if closing:
        found["closing_nanos"] = closing
    if any(rare):
        found.update((line, nanos) for line, nanos in zip(_RARE_LINES, rare, strict=True) if nanos)
    return found
