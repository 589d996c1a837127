"""What wallets hold, read from the ledger's values: lots with where their nanos are, and what that means for people."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, case, select

from tokenroll.engine.balance import balance_at
from tokenroll.model.classification import Classification
from tokenroll.model.instant import Instant
from tokenroll.model.lot import Lot, LotState
from tokenroll.model.vesting import AWAITED_AT
from tokenroll.model.wallet import WalletBalance
from tokenroll.store import schema
from tokenroll.store.database import raw_connection

_LOT_ROWS: Final = """
    SELECT l.classification, l.amount_nanos, l.effective_at, l.expires_at, v.held_nanos, v.suspense_nanos, v.spent_nanos,
        v.forfeited_nanos, v.clawed_back_nanos, v.voided_nanos, v.transferred_out_nanos,
        l.origin_lot_id IS NOT NULL, (SELECT o.wallet_id FROM lots o WHERE o.id = l.origin_lot_id)
    FROM lots l JOIN lot_values v ON v.lot_id = l.id WHERE l.wallet_id = ?"""


def lot_from_row(row: Row[Any]) -> Lot:
    """The noun of a row of `lots`."""
    return Lot(
        id=row.id,
        grant_id=row.grant_id,
        wallet_id=row.wallet_id,
        classification=Classification(row.classification),
        priority=row.priority,
        amount_nanos=row.amount_nanos,
        effective_at=row.effective_at,
        expires_at=row.expires_at,
        origin_lot_id=row.origin_lot_id,
    )


def states_by_wallet(connection: Connection, wallet_ids: Sequence[int] | None = None) -> dict[int, list[LotState]]:
    """The lots of these wallets (default: of all) with their values, in order of their ids."""
    lots, values = schema.lots, schema.lot_values
    query: Select[Any] = select(lots, values).join(values, values.c.lot_id == lots.c.id).order_by(lots.c.id)
    if wallet_ids is not None:
        query = query.where(lots.c.wallet_id.in_(wallet_ids))
    found: dict[int, list[LotState]] = {}
    for row in connection.execute(query):
        found.setdefault(row.wallet_id, []).append(_state(row))
    return found


def unspent_of(connection: Connection, wallet_ids: Sequence[int], at: Instant) -> dict[int, int]:
    """By wallet, in nanos, what `amounts_for_people` tells as left, in use and being checked, in one sum; a property test holds it against them."""
    lots, values = schema.lots.c, schema.lot_values.c
    gone = values.spent_nanos + values.forfeited_nanos + values.clawed_back_nanos + values.voided_nanos
    usable = (lots.effective_at <= at) & (lots.expires_at.is_(None) | (lots.expires_at > at))
    whole = lots.amount_nanos - gone - values.transferred_out_nanos
    query = (
        select(lots.wallet_id, case((usable, whole), else_=values.held_nanos + values.suspense_nanos))
        .join_from(schema.lots, schema.lot_values, values.lot_id == lots.id)
        .where(lots.wallet_id.in_(wallet_ids))
    )
    found: dict[int, int] = {}
    for wallet_id, nanos in connection.execute(query):
        found[wallet_id] = found.get(wallet_id, 0) + nanos
    return found


def states_of_grant(connection: Connection, grant_id: int) -> list[LotState]:
    """The lots of one grant in order of their ids, also those that were moved, in whoever's wallet they are."""
    lots, values = schema.lots, schema.lot_values
    query = select(lots, values).join(values, values.c.lot_id == lots.c.id)
    return [_state(row) for row in connection.execute(query.where(lots.c.grant_id == grant_id).order_by(lots.c.id))]


def _state(row: Row[Any]) -> LotState:
    return LotState(
        lot=lot_from_row(row),
        held_nanos=row.held_nanos,
        suspense_nanos=row.suspense_nanos,
        spent_nanos=row.spent_nanos,
        forfeited_nanos=row.forfeited_nanos,
        clawed_back_nanos=row.clawed_back_nanos,
        voided_nanos=row.voided_nanos,
        transferred_out_nanos=row.transferred_out_nanos,
    )


def amounts_of(connection: Connection, wallet_id: int, at: Instant) -> tuple[dict[str, Any], list[str]]:
    """One wallet's `amounts_for_people`, and the classifications of its lots, from rows as they come.

    A wallet may have ten thousand lots and its owner looks at one number: nouns for each would cost six times the reading. A
    property test holds it against them. Raises AssertionError as they do.
    """
    granted = held = suspense = spent = forfeited = clawed_back = voided = transferred_out = 0
    unvested = usable = breakage = transferred_in = rescheduled = 0
    coming: tuple[dict[Instant, int], dict[Instant, int]] = ({}, {})
    kinds: set[str] = set()
    for row in raw_connection(connection).execute(_LOT_ROWS, (wallet_id,)):
        kind, amount, effective_at, expires_at, in_use, checked, used, lost, taken, undone, moved, came, origin = row
        rest, lowest = amount - used, used
        if in_use or checked or lost or taken or undone or moved:  # few are anything but used
            rest -= in_use + checked + lost + taken + undone + moved
            held += in_use
            suspense += checked
            forfeited += lost
            clawed_back += taken
            voided += undone
            transferred_out += moved
            lowest = min(row[4:11])
        if rest < 0 or lowest < 0:
            raise AssertionError(
                f"wallet {wallet_id}: a lot of {amount} nanos is overdrawn, or negative in {row[4:11]}"
            )
        kinds.add(kind)
        spent += used
        if came:
            transferred_in += amount
            rescheduled += amount if origin == wallet_id else 0
        else:
            granted += amount
        if at < effective_at:
            unvested += rest
            if rest and effective_at != AWAITED_AT:
                coming[0][effective_at] = coming[0].get(effective_at, 0) + rest
        elif expires_at is not None and at >= expires_at:
            breakage += rest
        else:
            usable += rest
            if rest and expires_at is not None:
                coming[1][expires_at] = coming[1].get(expires_at, 0) + rest
    balance = WalletBalance(
        granted_nanos=granted,
        transferred_in_nanos=transferred_in,
        held_nanos=held,
        suspense_nanos=suspense,
        spent_nanos=spent,
        forfeited_nanos=forfeited,
        clawed_back_nanos=clawed_back,
        voided_nanos=voided,
        transferred_out_nanos=transferred_out,
        unvested_nanos=unvested,
        available_nanos=usable,
        breakage_nanos=breakage,
    )
    return _for_people(balance, _first(coming[0]), _first(coming[1]), rescheduled), sorted(kinds)


def amounts_for_people(states: Iterable[LotState], at: Instant) -> dict[str, Any]:
    """A wallet's amounts at an instant, conservation checked: left, in use, being checked, spent, where more went, what comes next.

    What was only put on other dates within the wallet was neither received nor passed on.
    """
    known = list(states)
    balance = balance_at(known, at, leased=False)
    own = {state.lot.id for state in known}
    rescheduled_nanos = sum(state.lot.amount_nanos for state in known if state.lot.origin_lot_id in own)
    coming = _next(known, at, "effective_at"), _next(known, at, "expires_at")
    return _for_people(balance, *coming, rescheduled_nanos)


def _for_people(
    balance: WalletBalance,
    next_vest: tuple[Instant | None, int],
    next_expiry: tuple[Instant | None, int],
    rescheduled_nanos: int,
) -> dict[str, Any]:
    return {
        "left_nanos": balance.available_nanos,
        "in_use_nanos": balance.held_nanos,
        "being_checked_nanos": balance.suspense_nanos,
        "spent_nanos": balance.spent_nanos,
        "expired_nanos": balance.breakage_nanos,
        "unvested_nanos": balance.unvested_nanos,
        "granted_nanos": balance.granted_nanos,
        "received_nanos": balance.transferred_in_nanos - rescheduled_nanos,
        "passed_on_nanos": balance.transferred_out_nanos - rescheduled_nanos,
        "forfeited_nanos": balance.forfeited_nanos,
        "clawed_back_nanos": balance.clawed_back_nanos,
        "voided_nanos": balance.voided_nanos,
        "next_vest_at": next_vest[0],
        "next_vest_nanos": next_vest[1],
        "next_expiry_at": next_expiry[0],
        "next_expiry_nanos": next_expiry[1],
    }


def _next(states: list[LotState], at: Instant, name: str) -> tuple[Instant | None, int]:
    """The first instant after `at` at which a lot with something left vests or expires, and how much does. Events have no date."""
    coming: dict[Instant, int] = {}
    for state in states:
        moment: Instant | None = getattr(state.lot, name)
        if moment is None or moment <= at or state.remainder_nanos == 0 or state.lot.effective_at == AWAITED_AT:
            continue
        if name == "expires_at" and state.lot.effective_at > at:
            continue
        coming[moment] = coming.get(moment, 0) + state.remainder_nanos
    return _first(coming)


def _first(coming: Mapping[Instant, int]) -> tuple[Instant | None, int]:
    if not coming:
        return None, 0
    first = min(coming)
    return first, coming[first]
