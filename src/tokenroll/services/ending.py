"""Ending: voids, forfeitures, clawbacks, and what becomes of a leaver's grants. What was used stays used (DESIGN §5).

Every one of them only asks (services/recalling.py): a running gateway gives what it does not hold, and what it holds as it returns.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta, tzinfo
from typing import Any, NamedTuple, Required, TypedDict
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, select

from tokenroll.engine.calendar import day_start
from tokenroll.engine.ending import LotPart, clawback_nanos, clawback_parts, unused_parts, unvested_parts
from tokenroll.model.instant import Instant
from tokenroll.model.lot import LotState
from tokenroll.model.plan import Plan
from tokenroll.model.plan_terms import ForfeitedBudget, TerminationReason
from tokenroll.model.recall import RecallMode, RecallPurpose
from tokenroll.services import leasing, recalling
from tokenroll.services.finding import find_grant, instant_given, required
from tokenroll.services.holdings import states_of_grant
from tokenroll.services.planning import grant_from_row, plan_of_grant
from tokenroll.services.recalling import Destination, Part
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema


class Leaving(NamedTuple):
    """Whose last day it is, in which zone, and why they leave."""

    left_on: date
    zone: tzinfo
    reason: TerminationReason

    def until(self, window_days: int = 0) -> Instant:
        """The end of the last day, or of so many days after it."""
        return day_start(self.left_on + timedelta(days=1 + window_days), self.zone)


class _VoidGrant(TypedDict):
    grant: str
    reason: str


def void_grant(work: UnitOfWork, arguments: _VoidGrant) -> dict[str, Any]:
    """A grant made in error: all of it that was not used, wherever it went; what is in use follows as it returns.

    Voiding again asks for nothing more and is no error.
    """
    reason = _reason(arguments)
    row = find_grant(work.connection, required(arguments, "grant"))
    states = states_of_grant(work.connection, row.id)
    parts = _unasked(work.connection, states, unused_parts(states, work.now))
    asked_nanos = recalling.ask(
        work, RecallPurpose.VOID, RecallMode.OWED, parts, reference=row.public_id, reason=reason
    )
    used_nanos = sum(state.spent_nanos for state in states)
    return {**_told(work.connection, row), "reason": reason, "voided_nanos": asked_nanos, "used_nanos": used_nanos}


def forfeit_grant(work: UnitOfWork, arguments: _VoidGrant) -> dict[str, Any]:
    """What of a grant has not vested is lost, such as when its condition can no longer be met."""
    reason = _reason(arguments)
    row = find_grant(work.connection, required(arguments, "grant"))
    states = states_of_grant(work.connection, row.id)
    plan = plan_of_grant(work.connection, row)
    asked_nanos = _forfeit(work, row, plan, states, unvested_parts(states, work.now), reason)
    return {**_told(work.connection, row), "reason": reason, "forfeited_nanos": asked_nanos}


class _ClawBackGrant(TypedDict, total=False):
    grant: Required[str]
    reason: Required[str]
    effective_at: int


def claw_back_grant(work: UnitOfWork, arguments: _ClawBackGrant) -> dict[str, Any]:
    """Vested credits taken back under the grant's own plan; never used ones. What is in use follows as it returns.

    `effective_at` is the day that counts, such as the last one of employment. Raises Refused for a plan without a clawback, or
    after its last day.
    """
    reason = _reason(arguments)
    row = find_grant(work.connection, required(arguments, "grant"))
    at = instant_given(arguments, "effective_at", work.now)
    plan = plan_of_grant(work.connection, row)
    if plan.terms.leaving.clawback is None:
        message = f"plan {plan.name} version {plan.version} has no clawback, and what it granted keeps its terms: nothing is taken back"
        raise Refused("no_clawback", message)
    own = [one for one in states_of_grant(work.connection, row.id) if one.lot.wallet_id == row.wallet_id]
    vested = [one for one in own if one.lot.effective_at <= at]
    asked_nanos = _claw_back(work, row, plan, vested, at, reason)
    return {**_told(work.connection, row), "reason": reason, "clawed_back_nanos": asked_nanos}


def end_grants(work: UnitOfWork, wallet_id: int, leaving: Leaving) -> list[dict[str, Any]]:
    """What the last day does to each grant a leaver has lots of, also by gift. By dates: what vests up to that day still vests.

    Unvested is forfeited, vested clawed back as far as the plan says, and the rest stays spendable until the plan's window ends.
    """
    grants, lots = schema.grants, schema.lots.c
    there = select(lots.grant_id).where(lots.wallet_id == wallet_id)
    rows = work.connection.execute(select(grants).where(grants.c.id.in_(there)).order_by(grants.c.id)).all()
    return [_end_grant(work, row, wallet_id, leaving) for row in rows]


def _end_grant(work: UnitOfWork, row: Row[Any], wallet_id: int, leaving: Leaving) -> dict[str, Any]:
    plan = plan_of_grant(work.connection, row)
    states = [state for state in states_of_grant(work.connection, row.id) if state.lot.wallet_id == wallet_id]
    last = leaving.until() - 1
    window_until = leaving.until(plan.terms.leaving.window_days(leaving.reason))
    reason = f"left: {leaving.reason.value}"
    forfeited_nanos = _forfeit(work, row, plan, states, unvested_parts(states, last), reason)
    vested = [state for state in states if state.lot.effective_at <= last]
    clawed_back_nanos = kept_nanos = 0
    if plan.terms.leaving.clawback is not None:
        clawed_back_nanos = _claw_back(work, row, plan, vested, leaving.until(), reason)
    if window_until <= work.now:
        forfeited_nanos += _forfeit(work, row, plan, vested, unused_parts(vested, work.now), reason)
    else:
        kept_nanos = _shorten(work, row, vested, window_until, reason)
    return {
        **_told(work.connection, row),
        "wallet_name": _wallet(work.connection, wallet_id).name,
        "plan_name": plan.name,
        "forfeited_nanos": forfeited_nanos,
        "clawed_back_nanos": clawed_back_nanos,
        "kept_nanos": kept_nanos,
        "kept_until": window_until if kept_nanos else None,
    }


def _forfeit(
    work: UnitOfWork, row: Row[Any], plan: Plan, states: Sequence[LotState], parts: Sequence[LotPart], reason: str
) -> int:
    pool_id = None
    if plan.terms.leaving.forfeited is ForfeitedBudget.RETURN_TO_POOL:
        pool_id = leasing.pool_of_wallet(work.connection, states[0].lot.wallet_id if states else row.wallet_id) or None
    return recalling.ask(
        work, RecallPurpose.FORFEITURE, RecallMode.OWED, _unasked(work.connection, states, parts),
        reference=row.public_id, reason=reason, to=Destination(wallet_id=pool_id),
    )  # fmt: skip


def _claw_back(
    work: UnitOfWork, row: Row[Any], plan: Plan, vested: Sequence[LotState], stayed_until: Instant, reason: str
) -> int:
    """Of lots of one wallet. What was clawed back of them before, or is still to come, is part of what is wanted, not beside it."""
    terms = plan.terms.leaving.clawback
    assert terms is not None
    zone = ZoneInfo(_wallet(work.connection, row.wallet_id).zone)
    lot_ids = [state.lot.id for state in vested]
    wanted_nanos = clawback_nanos(
        grant_from_row(row),
        sum(state.lot.amount_nanos - _gone_nanos(state) for state in vested),
        terms,
        stayed_until,
        zone,
    )
    wanted_nanos -= sum(state.clawed_back_nanos for state in vested)
    wanted_nanos -= sum(recalling.owed_of_lots(work.connection, lot_ids, RecallPurpose.CLAWBACK).values())
    owed = recalling.owed_of_lots(work.connection, lot_ids)
    wallet_of = {state.lot.id: state.lot.wallet_id for state in vested}
    parts = [
        Part(wallet_of[lot_id], lot_id, nanos)
        for lot_id, nanos in clawback_parts(vested, work.now, max(0, wanted_nanos), owed)
    ]
    return recalling.ask(work, RecallPurpose.CLAWBACK, RecallMode.OWED, parts, reference=row.public_id, reason=reason)


def _shorten(work: UnitOfWork, row: Row[Any], states: Sequence[LotState], until: Instant, reason: str) -> int:
    """Lots that would outlive the window end with it. How much of the grant stays spendable until then."""
    kept_nanos = 0
    for state in states:
        lot = state.lot
        parts = _unasked(work.connection, [state], unused_parts([state], work.now))
        kept_nanos += sum(part.nanos for part in parts)
        if (lot.expires_at is None or lot.expires_at > until) and lot.effective_at < until:
            recalling.ask(
                work, RecallPurpose.RESCHEDULE, RecallMode.OWED, parts, reference=row.public_id, reason=reason,
                to=Destination(effective_at=lot.effective_at, expires_at=until),
            )  # fmt: skip
    return kept_nanos


def _unasked(connection: Connection, states: Sequence[LotState], parts: Sequence[LotPart]) -> list[Part]:
    """The parts without what open recalls want of the same lots already."""
    lots = {state.lot.id: state.lot for state in states}
    owed = recalling.owed_of_lots(connection, [lot_id for lot_id, _ in parts])
    return [Part(lots[lot_id].wallet_id, lot_id, nanos - min(nanos, owed.get(lot_id, 0))) for lot_id, nanos in parts]


def _gone_nanos(state: LotState) -> int:
    """What left the grant for good before: it did not vest for this member."""
    return state.voided_nanos + state.transferred_out_nanos + state.forfeited_nanos


def _told(connection: Connection, row: Row[Any]) -> dict[str, Any]:
    return {"grant": row.public_id, "wallet_name": _wallet(connection, row.wallet_id).name}


def _wallet(connection: Connection, wallet_id: int) -> Row[Any]:
    return connection.execute(select(schema.wallets).where(schema.wallets.c.id == wallet_id)).one()


def _reason(arguments: Mapping[str, Any]) -> str:
    return str(required(arguments, "reason"))
