"""What charges of usage around the gateway took, as entries, values and roll-ups (decision 0119). Who takes it is `charging`."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select
from sqlalchemy.dialects.sqlite import insert

from tokenroll.engine.posting import settlement_postings
from tokenroll.model.entry import Entry, EntryKind
from tokenroll.model.hold import COMPANY_LOT_ID, Slice
from tokenroll.model.instant import Instant
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema
from tokenroll.store.rollups import add_charged, sums_of


class LotDates(NamedTuple):
    """When a lot came to the ledger's knowledge, and when it came out of another wallet; None for one granted to its own."""

    known_at: Instant
    received_at: Instant | None


def lot_dates(connection: Connection, wallet_ids: Iterable[int]) -> dict[int, LotDates]:
    """Of every lot of these wallets."""
    lots, grants = schema.lots, schema.grants
    origins = lots.alias("origins")
    query = (
        select(
            lots.c.id, lots.c.wallet_id, lots.c.moved_at, grants.c.recorded_at, origins.c.wallet_id.label("origin_id")
        )
        .join(grants, grants.c.id == lots.c.grant_id)
        .outerjoin(origins, origins.c.id == lots.c.origin_lot_id)
        .where(lots.c.wallet_id.in_(list(wallet_ids)))
    )
    return {
        row.id: LotDates(
            row.recorded_at if row.moved_at is None else row.moved_at,
            row.moved_at if row.origin_id is not None and row.origin_id != row.wallet_id else None,
        )
        for row in connection.execute(query)
    }


def charge_named(connection: Connection, public_id: str) -> Row[Any]:
    """The charge that entries and recalls refer to."""
    return connection.execute(select(schema.usage_charges).where(schema.usage_charges.c.public_id == public_id)).one()


def book_slices(work: UnitOfWork, charge: Row[Any], slices: Sequence[Slice]) -> None:
    """What lots gave to a charge, or the company carries of it, is spent: as the usage was, or now if that cycle is closed.

    What lots gave has left them in the mirror already.
    """
    owners = _owners(work.connection, slices)
    dates = lot_dates(work.connection, set(owners.values()))
    by_instant: dict[Instant, list[Slice]] = {}
    for one in slices:
        known_at = dates[one.lot_id].known_at if one.lot_id != COMPANY_LOT_ID else 0
        at = work.booked_at(owners.get(one.lot_id, charge.wallet_id), max(charge.used_at, known_at))
        by_instant.setdefault(at, []).append(one)
    for at in sorted(by_instant):
        _book_at(work, charge, by_instant[at], owners, at)


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
        spent = insert(values).values(lot_id=lot_id, spent_nanos=nanos)
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


def _owners(connection: Connection, slices: Sequence[Slice]) -> dict[int, int]:
    lots = schema.lots.c
    query = select(lots.id, lots.wallet_id).where(lots.id.in_([one.lot_id for one in slices]))
    return dict(connection.execute(query).all())
