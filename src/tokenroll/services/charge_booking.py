"""What charges of usage around the gateway took, as entries, values and roll-ups (decision 0119). Who takes it is `charging`."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, select

from tokenroll.engine.drawing import eligible
from tokenroll.engine.posting import settlement_postings
from tokenroll.model.entry import Entry, EntryKind
from tokenroll.model.hold import COMPANY_LOT_ID, Slice
from tokenroll.model.instant import Instant
from tokenroll.model.lot import Lot
from tokenroll.services.holdings import lot_from_row
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema
from tokenroll.store.rollups import add_charged, sums_of
from tokenroll.store.statements import insert_into


class LotDates(NamedTuple):
    """When a lot came to the ledger's knowledge, and when it came out of another wallet; None for one granted to its own."""

    known_at: Instant
    received_at: Instant | None


def lot_dates(connection: Connection, wallet_ids: Iterable[int]) -> dict[int, LotDates]:
    """Of every lot of these wallets."""
    lots, grants = schema.lots, schema.grants
    own = lots.c.wallet_id.in_(list(wallet_ids))
    query = select(lots.c.id, lots.c.moved_at, grants.c.recorded_at).join(grants, grants.c.id == lots.c.grant_id)
    received = _received(connection, own)
    return {
        row.id: LotDates(row.recorded_at if row.moved_at is None else row.moved_at, received.get(row.id))
        for row in connection.execute(query.where(own))
    }


def _received(connection: Connection, own: ColumnElement[bool]) -> dict[int, Instant | None]:
    """By lot: when it, or the lot of the same wallet that it was rescheduled out of, came from another wallet."""
    lots, origins = schema.lots, schema.lots.alias("origins")
    first = select(lots.c.id, lots.c.wallet_id, lots.c.moved_at, lots.c.origin_lot_id)
    chain = first.where(own, lots.c.origin_lot_id.is_not(None)).cte("chain", recursive=True)
    further = select(chain.c.id, chain.c.wallet_id, origins.c.moved_at, origins.c.origin_lot_id)
    chain = chain.union_all(
        further.join(origins, origins.c.id == chain.c.origin_lot_id).where(
            origins.c.wallet_id == chain.c.wallet_id, origins.c.origin_lot_id.is_not(None)
        )
    )
    query = select(chain.c.id, chain.c.moved_at).join(lots, lots.c.id == chain.c.origin_lot_id)
    return dict(connection.execute(query.where(lots.c.wallet_id != chain.c.wallet_id)).all())


def charge_named(connection: Connection, public_id: str) -> Row[Any]:
    """The charge that entries and recalls refer to."""
    return connection.execute(select(schema.usage_charges).where(schema.usage_charges.c.public_id == public_id)).one()


def book_slices(work: UnitOfWork, charge: Row[Any], slices: Sequence[Slice]) -> int:
    """What lots gave to a charge, or the company carries of it, is spent: as the usage was, or now if that cycle is closed. How much.

    What lots gave has left them in the mirror already. A lot that expired before it is booked pays nothing: its cycle was closed after
    it was asked and told it as expired, so what it gave goes back to it.
    """
    lots = _lots(work.connection, slices)
    dates = lot_dates(work.connection, {lot.wallet_id for lot in lots.values()})
    by_instant: dict[Instant, list[Slice]] = {}
    booked_nanos = 0
    for one in slices:
        lot = lots.get(one.lot_id)
        if lot is None:
            at = work.booked_at(charge.wallet_id, charge.used_at)
        else:
            at = work.booked_at(lot.wallet_id, max(charge.used_at, dates[lot.id].known_at))
            if not eligible(lot, at):
                work.lot_returned(lot, one.nanos)
                continue
        by_instant.setdefault(at, []).append(one)
        booked_nanos += one.nanos
    owners = {lot.id: lot.wallet_id for lot in lots.values()}
    for at in sorted(by_instant):
        _book_at(work, charge, by_instant[at], owners, at)
    return booked_nanos


def _book_at(work: UnitOfWork, charge: Row[Any], slices: Sequence[Slice], owners: dict[int, int], at: Instant) -> None:
    connection, values = work.connection, schema.lot_values
    entry = Entry(
        public_id=work.public_id("entry"), kind=EntryKind.CHARGE, effective_at=at, recorded_at=work.now,
        postings=settlement_postings(charge.wallet_id, slices, owners), reference=charge.public_id,
    )  # fmt: skip
    seq = work.append(entry)
    sums = sums_of(connection, work.cycles)
    for lot_id, nanos in slices:
        owner = owners.get(lot_id, charge.wallet_id)
        connection.execute(
            schema.usage_charge_parts.insert().values(
                ledger_seq=seq, lot_id=lot_id, charge_id=charge.id, wallet_id=owner, nanos=nanos
            )
        )
        spent = insert_into(connection, values).values(lot_id=lot_id, spent_nanos=nanos)
        connection.execute(
            spent.on_conflict_do_update(
                index_elements=["lot_id"], set_={"spent_nanos": values.c.spent_nanos + spent.excluded.spent_nanos}
            )
        )
        sums.add_charged(owner, lot_id, charge.model, nanos, used_at=charge.used_at, booked_at=at)
        if lot_id == COMPANY_LOT_ID:
            work.wallet_changed(owner)  # what it carries counts against the plan's overage
        else:
            work.spent_elsewhere(owner, nanos)
    add_charged(connection, sums)


def _lots(connection: Connection, slices: Sequence[Slice]) -> dict[int, Lot]:
    """Those that are somebody's: not the company's."""
    ids = [one.lot_id for one in slices if one.lot_id != COMPANY_LOT_ID]
    return {
        row.id: lot_from_row(row) for row in connection.execute(select(schema.lots).where(schema.lots.c.id.in_(ids)))
    }
