"""What was charged of usage around the gateway, and who paid it: lots of the member or of a pool, or the company."""

from bisect import bisect_left
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Select, func, select

from tokenroll.model.hold import COMPANY_LOT_ID
from tokenroll.model.instant import Instant
from tokenroll.store import schema


def charged_nanos(connection: Connection, wallet_id: int) -> int:
    """What a wallet's lots ever paid of it."""
    parts = schema.usage_charge_parts.c
    charges = schema.usage_charges.c
    query = (
        select(func.sum(parts.nanos))
        .join(schema.usage_charges, charges.id == parts.charge_id)
        .where(charges.wallet_id == wallet_id, parts.wallet_id == wallet_id, parts.lot_id != COMPANY_LOT_ID)
    )
    return connection.scalar(query) or 0


def carried_nanos(connection: Connection, wallet_id: int) -> int:
    """What the company carried of it for a wallet."""
    parts = schema.usage_charge_parts.c
    query = select(func.sum(parts.nanos)).where(parts.wallet_id == wallet_id, parts.lot_id == COMPANY_LOT_ID)
    return connection.scalar(query) or 0


def seq_before(connection: Connection, at: Instant) -> int:
    """The newest row of the journal that was written before an instant, 0 for none: nothing booked since then stands before it."""
    batches = schema.batches.c
    newest = connection.scalar(select(func.max(batches.number))) or 0

    def closed_at(number: int) -> Instant:
        return int(connection.execute(select(batches.closed_at).where(batches.number == number)).scalar_one())

    before = bisect_left(range(1, newest + 1), at, key=closed_at)
    return connection.scalar(select(batches.last_seq).where(batches.number == before)) or 0


def booked_parts(after_seq: int, since: Instant) -> Select[Any]:
    """Of rows after that one, what was paid of charges and booked since then: row, wallet whose usage it was, when booked, nanos."""
    parts, charges, entries = schema.usage_charge_parts.c, schema.usage_charges.c, schema.entries.c
    return (
        select(parts.ledger_seq, charges.wallet_id, entries.effective_at, parts.nanos)
        .select_from(schema.usage_charge_parts)
        .join(schema.usage_charges, charges.id == parts.charge_id)
        .join(schema.entries, entries.ledger_seq == parts.ledger_seq)
        .where(parts.ledger_seq > after_seq, entries.effective_at >= since)
    )


def booked_since(connection: Connection, since: Instant) -> list[tuple[int, Instant, int]]:
    """By wallet whose usage it was: what was paid of charges since then, whoever paid, and when that was booked."""
    rows = connection.execute(booked_parts(seq_before(connection, since), since))
    return [(wallet_id, at, nanos) for _seq, wallet_id, at, nanos in rows]


def charged_before(connection: Connection, sources: Sequence[str]) -> dict[tuple[str, str, str, str], int]:
    """The highest total that was charged, by source, member's id, day and model."""
    charges, members = schema.usage_charges.c, schema.members.c
    query = (
        select(charges.source, members.public_id, charges.day, charges.model, func.max(charges.total_nanos))
        .join(schema.members, members.id == charges.member_id)
        .where(charges.source.in_(sources))
        .group_by(charges.source, members.public_id, charges.day, charges.model)
    )
    return {(source, member, day, model): nanos for source, member, day, model, nanos in connection.execute(query)}


def charged_days(connection: Connection, source: str, days: Collection[str]) -> list[str]:
    """Of these days those on which something of a source was charged."""
    charges = schema.usage_charges.c
    query = select(charges.day).where(charges.source == source).distinct().order_by(charges.day)
    return [day for day in connection.scalars(query) if day in days]


def charges_told(connection: Connection, wallet_id: int | None, limit: int) -> list[dict[str, Any]]:
    """The newest charges of one wallet or of all: how much, and who paid; what neither lots nor company paid is still asked for."""
    charges, members = schema.usage_charges, schema.members
    query = select(charges, members.c.name).join(members, members.c.id == charges.c.member_id)
    if wallet_id is not None:
        query = query.where(charges.c.wallet_id == wallet_id)
    rows = connection.execute(query.order_by(charges.c.id.desc()).limit(limit)).all()
    parts = schema.usage_charge_parts.c
    is_company = parts.lot_id == COMPANY_LOT_ID
    told = []
    for row in rows:
        sums = select(is_company, func.sum(parts.nanos)).where(parts.charge_id == row.id).group_by(is_company)
        paid = {bool(carried): int(nanos) for carried, nanos in connection.execute(sums)}
        by_lots, by_company = paid.get(False, 0), paid.get(True, 0)
        told.append(
            {
                "charge": row.public_id,
                "name": row.name,
                "source": row.source,
                "day": row.day,
                "model": row.model,
                "total_nanos": row.total_nanos,
                "charged_nanos": row.charged_nanos,
                "paid_nanos": by_lots,
                "carried_nanos": by_company,
                "asked_nanos": row.charged_nanos - by_lots - by_company,
                "recorded_at": row.recorded_at,
            }
        )
    return told
