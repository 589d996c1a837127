"""Moving: transfers and gifts between members, and unvested credits brought forward. A moved lot keeps its grant and classification."""

from typing import Any, Required, TypedDict
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, select

from tokenroll.engine.calendar import period_step
from tokenroll.engine.moving import accelerated_parts, transfer_parts
from tokenroll.engine.vesting import awaited_parts
from tokenroll.model.amount import amount_nanos_checked, text_from_nanos
from tokenroll.model.classification import Classification
from tokenroll.model.limits import SLICES_MAX
from tokenroll.model.lot import Lot, LotState
from tokenroll.model.recall import RecallMode, RecallPurpose
from tokenroll.model.wallet import HolderKind
from tokenroll.services import recalling
from tokenroll.services.finding import find_grant, find_wallet, required
from tokenroll.services.holdings import states_by_wallet, states_of_grant
from tokenroll.services.planning import grant_from_row, plan_of_grant
from tokenroll.services.recalling import Destination, Part
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema

_Transfer = TypedDict(
    "_Transfer", {"from": Required[str], "to": Required[str], "amount_nanos": Required[int], "note": str}, total=False
)


def transfer(work: UnitOfWork, arguments: _Transfer) -> dict[str, Any]:
    """Spendable credits from one member to another: all of the amount or nothing, out of grants whose plan allows it.

    They stay what they are: the same grant, classification and expiry, in another wallet. Raises Refused for what may not move.
    """
    connection = work.connection
    giver = _member_wallet(connection, required(arguments, "from"))
    taker = _member_wallet(connection, required(arguments, "to"))
    nanos = amount_nanos_checked(required(arguments, "amount_nanos"), "amount")
    if nanos == 0:
        message = "a transfer of nothing is no transfer: give an amount"
        raise Refused("argument", message)
    if giver.id == taker.id:
        message = f"{giver.name} has it already: a transfer goes to somebody else"
        raise Refused("same_wallet", message)
    states = _transferable(connection, giver)
    owed = recalling.owed_of_lots(connection, [state.lot.id for state in states])
    parts, missing_nanos = transfer_parts([one for one in states if not owed.get(one.lot.id)], nanos, work.now)
    if missing_nanos:
        can = text_from_nanos(nanos - missing_nanos, 2)
        message = (
            f"{giver.name} can pass on {can} credits, not {text_from_nanos(nanos, 2)}: only vested, unused credits of "
            "compensation plans that are transferable can be passed on"
        )
        raise Refused("not_enough", message)
    if len(parts) > SLICES_MAX:
        message = f"a transfer takes from {SLICES_MAX} lots at most, and this one needs {len(parts)}: make it in parts"
        raise Refused("too_many_lots", message)
    asked_nanos = recalling.ask(
        work, RecallPurpose.TRANSFER, RecallMode.WHOLE, [Part(giver.id, *part) for part in parts],
        reference=f"transfer {work.command_id}", reason=str(arguments.get("note") or ""), to=Destination(taker.id),
    )  # fmt: skip
    lots = {state.lot.id: state.lot for state in states}
    return {
        "from_name": giver.name,
        "to_name": taker.name,
        "transferred_nanos": asked_nanos,
        "note": arguments.get("note") or "",
        "lots": [
            {"amount_nanos": taken, "effective_at": lots[lot_id].effective_at, "expires_at": lots[lot_id].expires_at}
            for lot_id, taken in parts
        ],
    }


class _Accelerate(TypedDict, total=False):
    grant: Required[str]
    reason: Required[str]
    amount_nanos: int


def accelerate(work: UnitOfWork, arguments: _Accelerate) -> dict[str, Any]:
    """Unvested credits of a grant vest now, those that would be next first; all of them unless an amount is given."""
    reason = str(required(arguments, "reason"))
    row = find_grant(work.connection, required(arguments, "grant"))
    states = [one for one in states_of_grant(work.connection, row.id) if one.lot.wallet_id == row.wallet_id]
    owed = recalling.owed_of_lots(work.connection, [state.lot.id for state in states])
    waiting = [state for state in states if not owed.get(state.lot.id)]
    nanos = arguments.get("amount_nanos")
    wanted_nanos = None if nanos is None else amount_nanos_checked(nanos, "amount")
    if wanted_nanos == 0:
        raise Refused("argument", "0 credits cannot vest earlier: leave out the amount for all of them")
    parts, missing_nanos = accelerated_parts(waiting, wanted_nanos, work.now)
    if missing_nanos or not parts:
        there = sum(nanos for _, nanos in parts)
        message = (
            f"of grant {row.public_id} {text_from_nanos(there, 2)} credits have not vested: more cannot vest earlier"
        )
        raise Refused("not_enough", message)
    lots = {state.lot.id: state.lot for state in waiting}
    asked_nanos = sum(
        recalling.ask(
            work, RecallPurpose.RESCHEDULE, RecallMode.LEFT, [Part(row.wallet_id, *part)], reference=row.public_id,
            reason=reason, to=Destination(effective_at=work.now, expires_at=_lasting_from(work, row, lots[part.lot_id])),
        )
        for part in parts
    )  # fmt: skip
    return {"grant": row.public_id, "reason": reason, "accelerated_nanos": asked_nanos}


class _VestEvent(TypedDict):
    grant: str
    event: str


def vest_event(work: UnitOfWork, arguments: _VestEvent) -> dict[str, Any]:
    """An event that a grant waited for has happened: its tranche vests now. Raises Refused for another event, and for one long past."""
    row = find_grant(work.connection, required(arguments, "grant"))
    event = str(required(arguments, "event"))
    grant = grant_from_row(row)
    awaited = [name for name, _ in awaited_parts(grant)] if grant.vesting.events else []
    if event not in awaited:
        known = ", ".join(repr(name) for name in awaited) or "no event"
        message = f"grant {row.public_id} does not wait for {event!r}; it waits for {known}"
        raise Refused("no_event", message)
    states = [one for one in states_of_grant(work.connection, row.id) if one.lot.origin_lot_id is None]
    state = states[awaited.index(event)]
    nanos = state.remainder_nanos - recalling.owed_of_lots(work.connection, [state.lot.id]).get(state.lot.id, 0)
    if not nanos:
        message = f"what grant {row.public_id} gives for {event!r} has vested or was taken back: it cannot vest again"
        raise Refused("vested", message)
    expires_at = _lasting_from(work, row, state.lot)
    asked_nanos = recalling.ask(
        work, RecallPurpose.RESCHEDULE, RecallMode.LEFT, [Part(row.wallet_id, state.lot.id, nanos)],
        reference=row.public_id, reason=event, to=Destination(effective_at=work.now, expires_at=expires_at),
    )  # fmt: skip
    return {"grant": row.public_id, "event": event, "vested_nanos": asked_nanos, "expires_at": expires_at}


def _lasting_from(work: UnitOfWork, row: Row[Any], lot: Lot) -> int | None:
    """When a tranche of this grant expires that becomes spendable now: it lives as long as it would have; None for ever."""
    lifetime = grant_from_row(row).lot_lifetime
    if lifetime is None:
        return lot.expires_at  # what was opened with the value of an award made elsewhere ends when that does
    zone = ZoneInfo(
        str(work.connection.scalar(select(schema.wallets.c.zone).where(schema.wallets.c.id == row.wallet_id)))
    )
    first = _as_granted(work.connection, lot)
    rolls_over = first.expires_at != period_step(first.effective_at, 1, lifetime, zone)
    return period_step(work.now, 2 if rolls_over else 1, lifetime, zone)


def _as_granted(connection: Connection, lot: Lot) -> Row[Any]:
    """The row of the lot that this one's credits were first granted in, whose dates no absence has moved."""
    lots = schema.lots
    row = connection.execute(select(lots).where(lots.c.id == lot.id)).one()
    while row.origin_lot_id is not None:
        row = connection.execute(select(lots).where(lots.c.id == row.origin_lot_id)).one()
    return row


def _member_wallet(connection: Connection, reference: str) -> Row[Any]:
    """The wallet of a member who has not left. Raises Refused."""
    row = find_wallet(connection, reference)
    if row.holder_kind != HolderKind.MEMBER.value:
        message = (
            f"{row.name} is a pool: credits are passed on between members; `tokenroll grant create` gives to a pool"
        )
        raise Refused("pool", message)
    members = schema.members.c
    left_on = connection.scalar(select(members.left_on).where(members.id == row.holder_id))
    if left_on is not None:
        message = f"{row.name} leaves or left on {left_on}: nothing is passed on to or from them"
        raise Refused("left", message)
    return row


def _transferable(connection: Connection, wallet: Row[Any]) -> list[LotState]:
    """The lots of a wallet that may be passed on: pay, under a plan version that says so."""
    grants = schema.grants
    states = states_by_wallet(connection, [wallet.id]).get(wallet.id, [])
    allowed: dict[int, bool] = {}
    for grant_id in {state.lot.grant_id for state in states}:
        row = connection.execute(select(grants).where(grants.c.id == grant_id)).one()
        pays = row.classification == Classification.COMPENSATION.value
        allowed[grant_id] = pays and plan_of_grant(connection, row).terms.transferable
    return [state for state in states if allowed[state.lot.grant_id]]
