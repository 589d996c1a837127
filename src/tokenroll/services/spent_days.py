"""What was taken of wallets' lots day by day, in each wallet's own zone: the roll-ups, and what was settled since."""

from collections.abc import Collection
from typing import Final, TypeAlias

from sqlalchemy import Connection, func, select

from tokenroll.store import schema
from tokenroll.store.cycles import CycleBook
from tokenroll.store.rollups import rolled_through, sums_of

_NAMED_MAX: Final = 500
"""Of more wallets all are read: a statement with thousands of names is no faster."""

LotDays: TypeAlias = dict[tuple[int, int], int]
"""Nanos by lot (COMPANY_LOT_ID: what the company carried) and day, which counts from 1 January of the year 1."""


def spent_by_lot_and_day(connection: Connection, book: CycleBook, wallet_ids: Collection[int]) -> dict[int, LotDays]:
    """By wallet; one without spending is left out. Nanos are told to the wallet whose lot they came from."""
    wanted = set(wallet_ids)
    sums = schema.spend_rollups.c
    query = select(sums.wallet_id, sums.lot_id, sums.day, func.sum(sums.nanos).label("nanos")).group_by(
        sums.wallet_id, sums.lot_id, sums.day
    )
    if len(wanted) <= _NAMED_MAX:
        query = query.where(sums.wallet_id.in_(sorted(wanted)))
    found: dict[int, LotDays] = {}
    for row in connection.execute(query):
        if row.nanos and row.wallet_id in wanted:
            found.setdefault(row.wallet_id, {})[row.lot_id, row.day] = int(row.nanos)
    settlements = schema.settlements.c
    unrolled = select(
        settlements.hold_key, settlements.wallet_id, settlements.cycle, settlements.outcome, settlements.record
    ).where(settlements.ledger_seq > rolled_through(connection))
    since = sums_of(connection, book)
    for number, wallet_id, cycle, outcome, record in connection.execute(unrolled):
        since.add_row(number, wallet_id, cycle, outcome, record)
    for key, (nanos, _) in since.sums.items():
        if nanos and key.wallet_id in wanted:
            days = found.setdefault(key.wallet_id, {})
            days[key.lot_id, key.day] = days.get((key.lot_id, key.day), 0) + nanos
    return found
