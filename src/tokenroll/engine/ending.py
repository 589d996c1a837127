"""Ending: what a void, a leaver's forfeiture and a clawback want of a grant's lots. What was used is never touched (DESIGN §5).

Pure decisions over lots' states: how much of which lot. Who holds a lot at the moment decides how much of it comes at once.
"""

from collections.abc import Iterable, Mapping
from datetime import tzinfo
from typing import NamedTuple

from tokenroll.engine.calendar import month_step
from tokenroll.engine.drawing import draw_rank
from tokenroll.model.grant import Grant
from tokenroll.model.instant import Instant
from tokenroll.model.lot import LotState
from tokenroll.model.plan_terms import Clawback, ClawbackBasis


class LotPart(NamedTuple):
    """So much of one lot."""

    lot_id: int
    nanos: int


def is_expired(state: LotState, at: Instant) -> bool:
    """Whether the lot's time is over: its remainder is breakage and nobody's to take."""
    return state.lot.expires_at is not None and state.lot.expires_at <= at


def unvested_parts(states: Iterable[LotState], at: Instant) -> tuple[LotPart, ...]:
    """What is forfeited: all that is not spent of every lot that has not vested at `at`.

    Also what is held of it: a last day that is recorded late may be before a tranche that calls draw on by now.
    """
    return tuple(
        LotPart(state.lot.id, _unused_nanos(state))
        for state in states
        if at < state.lot.effective_at and _unused_nanos(state)
    )


def unused_parts(states: Iterable[LotState], at: Instant) -> tuple[LotPart, ...]:
    """What a void wants: all that is not spent of lots that have not expired, also what is held or being checked at the moment."""
    return tuple(
        LotPart(state.lot.id, _unused_nanos(state))
        for state in states
        if not is_expired(state, at) and _unused_nanos(state)
    )


def months_completed(start: Instant, at: Instant, zone: tzinfo, months_max: int) -> int:
    """How many whole months from `start` are over at `at`, counted by dates in `zone`, at most `months_max`."""
    completed = 0
    while completed < months_max and month_step(start, completed + 1, zone) <= at:
        completed += 1
    return completed


def clawback_nanos(grant: Grant, vested_nanos: int, terms: Clawback, at: Instant, zone: tzinfo) -> int:
    """How much of what has vested a clawback may want at `at`: all of it, or the part of the months not stayed, rounded down.

    Nothing from `terms.months` months after the grant on. What is not there any more because it was used is not wanted either:
    that is for whoever takes it to see (`clawback_parts`).
    """
    stayed = months_completed(grant.effective_at, at, zone, terms.months)
    if stayed >= terms.months:
        return 0
    if terms.basis is ClawbackBasis.FULL:
        return vested_nanos
    return vested_nanos * (terms.months - stayed) // terms.months


def clawback_parts(
    vested: Iterable[LotState], at: Instant, nanos: int, owed: Mapping[int, int] | None = None
) -> tuple[LotPart, ...]:
    """Unused parts of vested lots up to `nanos`: what is free first, then what is held or being checked; drawn-last lots first.

    So the member keeps what would be drawn first, and calls under way are not the first to be short of their tail. What is `owed` of
    a lot to others already is not there to take. Vested is what the day that counts says, not `at`, when it is taken: what vests
    between a leaving's recording and its last day is taken alike, however early it is recorded.
    """
    promised = dict(owed or {})
    usable = [state for state in vested if not is_expired(state, at)]
    usable.sort(key=lambda state: draw_rank(state.lot), reverse=True)
    wanted: dict[int, int] = {}
    for free in (True, False):
        for state in usable:
            there = state.remainder_nanos if free else state.held_nanos + state.suspense_nanos
            elsewhere = min(there, promised.get(state.lot.id, 0))
            promised[state.lot.id] = promised.get(state.lot.id, 0) - elsewhere
            taken = min(there - elsewhere, nanos)
            nanos -= taken
            if taken:
                wanted[state.lot.id] = wanted.get(state.lot.id, 0) + taken
    return tuple(LotPart(lot_id, taken) for lot_id, taken in wanted.items())


def _unused_nanos(state: LotState) -> int:
    return state.remainder_nanos + state.held_nanos + state.suspense_nanos
