"""Recalling: parts of leased lots asked back, given by their worker, and booked for what they were asked for (DESIGN §5).

Three steps, because a worker is sole author of what it holds: a command asks (`ask`), the worker gives by a LEASE record on its tape,
and the fold of that record books (`book`). Where nobody has a lease, the ledger gives by itself (`collect`).
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, case, func, select, update

from tokenroll.engine.posting import moved_postings, taken_postings, unvest_postings
from tokenroll.model.entry import Account, Entry, EntryKind, Posting
from tokenroll.model.grant import GrantKind
from tokenroll.model.hold import Slice
from tokenroll.model.instant import Instant
from tokenroll.model.lot import Lot
from tokenroll.model.recall import Recall, RecallMode, RecallPurpose
from tokenroll.model.vesting import Vesting
from tokenroll.services import granting
from tokenroll.services.charge_booking import book_slices, charge_named
from tokenroll.services.holdings import lot_from_row
from tokenroll.services.planning import plan_from_row
from tokenroll.services.protocol import RecallTerms
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema
from tokenroll.store.fold import Give
from tokenroll.store.halt import FoldHalt
from tokenroll.store.statements import insert_into

_TAKEN: Final = {
    RecallPurpose.FORFEITURE: (EntryKind.FORFEIT, Account.FORFEITED, "forfeited_nanos"),
    RecallPurpose.CLAWBACK: (EntryKind.CLAW_BACK, Account.CLAWED_BACK, "clawed_back_nanos"),
    RecallPurpose.VOID: (EntryKind.VOID, Account.VOIDED, "voided_nanos"),
    RecallPurpose.TRANSFER: (EntryKind.TRANSFER, Account.TRANSFERRED_OUT, "transferred_out_nanos"),
    RecallPurpose.RESCHEDULE: (EntryKind.RESCHEDULE, Account.TRANSFERRED_OUT, "transferred_out_nanos"),
}
_MOVED: Final = frozenset({RecallPurpose.TRANSFER, RecallPurpose.RESCHEDULE})
_IDS_PER_QUERY: Final = 500


class Part(NamedTuple):
    """So much of one lot."""

    wallet_id: int
    lot_id: int
    nanos: int


class Destination(NamedTuple):
    """Where recalled nanos go on: to another wallet (a transfer's, or the pool of a forfeiture), or to other dates."""

    wallet_id: int | None = None
    effective_at: Instant | None = None
    expires_at: Instant | None = None


NOWHERE: Final = Destination()


def ask(
    work: UnitOfWork,
    purpose: RecallPurpose,
    mode: RecallMode,
    parts: Sequence[Part],
    *,
    reference: str,
    reason: str = "",
    to: Destination = NOWHERE,
    command_id: str = "",
) -> int:
    """Asks for these parts as one group, nothing for none; how many nanos were asked for. `reference` is what its entries name.

    `command_id`: whose answer waits for it, where that is not the present command.
    """
    asked_nanos = group_id = 0
    for part in parts:
        if not part.nanos:
            continue
        recall_id = work.new_id("recalls")
        group_id = group_id or recall_id
        recall = Recall(
            id=recall_id,
            group_id=group_id,
            purpose=purpose,
            mode=mode,
            wallet_id=part.wallet_id,
            lot_id=part.lot_id,
            wanted_nanos=part.nanos,
        )
        work.connection.execute(
            schema.recalls.insert().values(
                id=recall.id, group_id=recall.group_id, purpose=purpose.value, mode=mode.value, wallet_id=recall.wallet_id,
                lot_id=recall.lot_id, wanted_nanos=recall.wanted_nanos, command_id=command_id or work.command_id, reason=reason,
                reference=reference, target_wallet_id=to.wallet_id, new_effective_at=to.effective_at,
                new_expires_at=to.expires_at, recorded_at=work.now,
            )
        )  # fmt: skip
        asked_nanos += part.nanos
        work.recall(RecallTerms(recall.id, group_id, recall.wallet_id, recall.lot_id, recall.wanted_nanos, mode.value))
    return asked_nanos


def open_recalls(connection: Connection) -> list[RecallTerms]:
    """What is still to be given, as workers are asked for it."""
    recalls = schema.recalls.c
    rows = connection.execute(select(schema.recalls).where(recalls.ended_at.is_(None)).order_by(recalls.id))
    return [
        RecallTerms(row.id, row.group_id, row.wallet_id, row.lot_id, row.wanted_nanos - row.given_nanos, row.mode)
        for row in rows
    ]


def owed_of_lots(
    connection: Connection, lot_ids: Iterable[int], purpose: RecallPurpose | None = None
) -> dict[int, int]:
    """By lot: what open recalls (of one purpose) still want of it. Nobody may promise it to anyone else."""
    recalls = schema.recalls.c
    wanted = func.sum(recalls.wanted_nanos - recalls.given_nanos)
    query = select(recalls.lot_id, wanted).where(recalls.ended_at.is_(None)).group_by(recalls.lot_id)
    if purpose is not None:
        query = query.where(recalls.purpose == purpose.value)
    known = set(lot_ids)
    return {row[0]: int(row[1]) for row in connection.execute(query) if row[0] in known}


def owed(connection: Connection) -> dict[int, int]:
    """The same of every lot."""
    recalls = schema.recalls.c
    query = select(recalls.lot_id, func.sum(recalls.wanted_nanos - recalls.given_nanos))
    return {
        row[0]: int(row[1])
        for row in connection.execute(query.where(recalls.ended_at.is_(None)).group_by(recalls.lot_id))
    }


def note_answers(connection: Connection, recall_ids: Iterable[int], worker: int) -> None:
    """A worker with a sized lease returned what it had of these recalls' lots."""
    table = schema.recall_answers
    for recall_id in sorted(recall_ids):
        statement = insert_into(connection, table).values(recall_id=recall_id, worker=worker)
        connection.execute(statement.on_conflict_do_nothing())


def _here(work: UnitOfWork, terms: list[RecallTerms]) -> list[RecallTerms]:
    """Those whose lots the ledger can decide about: every worker that has something of them has answered.

    The parts of a group together: all of it or nothing may be wanted.
    """
    answers = schema.recall_answers.c
    rows = work.connection.execute(select(answers.recall_id, answers.worker)).all() if work.is_lent else []
    answered = {(row.recall_id, row.worker) for row in rows}
    away = {one.group_id for one in terms for worker in work.lent_to(one.lot_id) if (one.id, worker) not in answered}
    return [one for one in terms if one.group_id not in away]


def outcome(connection: Connection, command_id: str) -> dict[str, Any] | None:
    """What became of a command's recalls so far; None for a command that asked for nothing.

    `asked`: not answered yet; `owed`: what is in use now may still bring something; `done`: nothing more will come.
    """
    recalls, values = schema.recalls.c, schema.lot_values.c
    busy = recalls.ended_at.is_(None) & (values.held_nanos + values.suspense_nanos > 0)
    query = (
        select(
            func.count(),
            func.coalesce(func.sum(recalls.wanted_nanos), 0),
            func.coalesce(func.sum(recalls.given_nanos), 0),
            func.count(recalls.answered_at),
            func.coalesce(func.sum(case((busy, 1), else_=0)), 0),
        )
        .join(schema.lot_values, values.lot_id == recalls.lot_id)
        .where(recalls.command_id == command_id)
    )
    count, wanted_nanos, given_nanos, answered_count, busy_count = connection.execute(query).one()
    if not count:
        return None
    state = "asked" if answered_count < count else "owed" if busy_count else "done"
    return {"state": state, "asked_nanos": int(wanted_nanos), "given_nanos": int(given_nanos)}


def end_spent(connection: Connection, now: Instant) -> None:
    """Answered recalls of lots that nothing is held of any more end: what they still want was used."""
    recalls, values = schema.recalls, schema.lot_values.c
    idle = select(values.lot_id).where(values.held_nanos + values.suspense_nanos == 0)
    where = recalls.c.ended_at.is_(None) & recalls.c.answered_at.is_not(None) & recalls.c.lot_id.in_(idle)
    connection.execute(update(recalls).where(where).values(ended_at=now))


def collect(work: UnitOfWork) -> set[str]:
    """Gives what is asked for as far as it is there, and answers as `book` does.

    Only while nobody has a lease of the lots, or whoever had has answered: what is left, the ledger knows then.
    """
    terms = _here(work, open_recalls(work.connection))
    if not terms:
        return set()
    lots = _lots(work.connection, {one.lot_id for one in terms if one.mode == RecallMode.WHOLE})
    over = {lot.id for lot in lots.values() if lot.expires_at is not None and lot.expires_at <= work.now}
    short = {
        one.group_id
        for one in terms
        if one.mode == RecallMode.WHOLE and (one.lot_id in over or work.left_nanos(one.lot_id) < one.wanted_nanos)
    }
    gives = []
    for one in terms:
        left_nanos = 0 if one.group_id in short else work.left_nanos(one.lot_id)
        nanos = min(left_nanos, one.wanted_nanos)
        work.take(one.lot_id, nanos)
        gives.append(Give(one.id, one.lot_id, nanos, work.now))
    charges = book(work, gives)
    end_spent(work.connection, work.now)
    still = {one.id: one for one in open_recalls(work.connection)} if work.is_lent else {}
    work.recalls_answered({one.id for one in terms}, still)
    return charges


def book(work: UnitOfWork, gives: Sequence[Give]) -> set[str]:
    """Entries, values and new lots of what was given; it has left the lots in the mirror already.

    Answers which charges of usage were answered and not given all of what they are. Raises FoldHalt for a give that nobody asked for, or of more than was asked.
    """
    rows = _rows(work.connection, {one.recall_id for one in gives})
    groups: dict[int, list[tuple[Row[Any], Give]]] = {}
    given: dict[int, int] = {}
    for one in gives:
        row = rows.get(one.recall_id)
        if row is None or row.lot_id != one.lot_id:
            raise FoldHalt(
                "recall", f"{one.nanos} of lot {one.lot_id} were given to recall {one.recall_id}, which is not so"
            )
        given[row.id] = given.get(row.id, row.given_nanos) + one.nanos
        if given[row.id] > row.wanted_nanos or (one.nanos and row.ended_at is not None):
            raise FoldHalt(
                "recall", f"recall {row.id} wants {row.wanted_nanos} of lot {row.lot_id}, not {given[row.id]}"
            )
        groups.setdefault(row.group_id, []).append((row, one))
    for recall_id, nanos in given.items():
        row = rows[recall_id]
        done = row.mode != RecallMode.OWED or nanos == row.wanted_nanos
        work.connection.execute(
            update(schema.recalls)
            .where(schema.recalls.c.id == recall_id)
            .values(
                given_nanos=nanos,
                answered_at=row.answered_at or work.now,
                ended_at=row.ended_at or (work.now if done else None),
            )
        )
    charges: set[str] = set()
    for parts in groups.values():
        if parts[0][0].purpose == RecallPurpose.CHARGE:
            if not _book_charge(work, parts):
                charges.add(parts[0][0].reference)
        elif taken := _summed(work, parts):
            _book_group(work, taken)
    return charges


def _book_charge(work: UnitOfWork, parts: list[tuple[Row[Any], Give]]) -> bool:
    """Whether that is all of the charge, as it mostly is."""
    slices = [Slice(one.lot_id, one.nanos) for _, one in parts if one.nanos]
    charge = charge_named(work.connection, parts[0][0].reference)
    return book_slices(work, charge, slices) == int(charge.charged_nanos)


def _summed(work: UnitOfWork, parts: list[tuple[Row[Any], Give]]) -> list[tuple[Row[Any], Give]]:
    """What one recall is booked for at one instant as one give; nothing for nothing.

    That is when it was given, or now if that cycle is closed where the wallet is.
    """
    sums: dict[tuple[int, Instant], tuple[Row[Any], Give]] = {}
    for row, one in parts:
        at = work.booked_at(row.wallet_id, one.at)
        known = sums.get((row.id, at))
        nanos = one.nanos + (known[1].nanos if known else 0)
        sums[row.id, at] = (row, one._replace(nanos=nanos, at=at))
    return [(row, one) for row, one in sums.values() if one.nanos]


def _book_group(work: UnitOfWork, parts: list[tuple[Row[Any], Give]]) -> None:
    """One entry for all parts of a group that are booked at one instant, and what follows from their purpose."""
    lots = _lots(work.connection, {row.lot_id for row, _ in parts})
    first = parts[0][0]
    for at in sorted({one.at for _, one in parts}):
        _book_at(work, at, [(row, one, lots[row.lot_id]) for row, one in parts if one.at == at])
    if first.purpose == RecallPurpose.FORFEITURE and first.target_wallet_id is not None:
        _return_to_pool(work, first, sum(one.nanos for _, one in parts), lots[first.lot_id])


def _book_at(work: UnitOfWork, at: Instant, parts: list[tuple[Row[Any], Give, Lot]]) -> None:
    """Entries, values and new lots of what is booked at one instant."""
    first = parts[0][0]
    purpose = RecallPurpose(first.purpose)
    kind, account, column = _TAKEN[purpose]
    values = schema.lot_values
    postings: list[Posting] = []
    added: list[Lot] = []
    for row, one, lot in parts:
        if purpose in _MOVED:
            added.append(_moved_lot(work, row, lot, one))
            postings += moved_postings(lot, added[-1], at)
        else:
            postings += taken_postings(lot, one.nanos, at, account)
        work.connection.execute(
            update(values).where(values.c.lot_id == lot.id).values({column: values.c[column] + one.nanos})
        )
    seq = _append(work, kind, at, postings, first.reference)
    for row, one, lot in parts:
        work.connection.execute(
            schema.recall_gives.insert().values(ledger_seq=seq, recall_id=row.id, given_at=at, nanos=one.nanos)
        )
        if at < lot.effective_at:
            _append(work, EntryKind.VEST, lot.effective_at, unvest_postings(lot, one.nanos), first.reference)
    for lot in added:
        legs = unvest_postings(lot, -lot.amount_nanos)
        _append(work, EntryKind.VEST, max(lot.effective_at, at), legs, first.reference)
    for wallet_id in sorted({lot.wallet_id for lot in added}):
        work.lots_added(wallet_id, [lot for lot in added if lot.wallet_id == wallet_id], at)


def _append(work: UnitOfWork, kind: EntryKind, at: Instant, postings: Sequence[Posting], reference: str) -> int:
    return work.append(
        Entry(
            public_id=work.public_id("entry"),
            kind=kind,
            effective_at=at,
            recorded_at=work.now,
            postings=tuple(postings),
            reference=reference,
        )
    )


def _moved_lot(work: UnitOfWork, row: Row[Any], lot: Lot, one: Give) -> Lot:
    """The lot that the nanos are in from now on: same grant, same classification, other wallet or other dates."""
    rescheduled = row.purpose == RecallPurpose.RESCHEDULE
    return Lot(
        id=work.new_id("lots"),
        grant_id=lot.grant_id,
        wallet_id=row.target_wallet_id or lot.wallet_id,
        classification=lot.classification,
        priority=lot.priority,
        amount_nanos=one.nanos,
        effective_at=row.new_effective_at if rescheduled else lot.effective_at,
        expires_at=row.new_expires_at if rescheduled else lot.expires_at,
        origin_lot_id=lot.id,
    )


def _return_to_pool(work: UnitOfWork, row: Row[Any], nanos: int, lot: Lot) -> None:
    """A new grant to the pool of what was forfeited: the budget goes on, the member's grant does not."""
    connection = work.connection
    pool = connection.execute(select(schema.wallets).where(schema.wallets.c.id == row.target_wallet_id)).one()
    grants, plans = schema.grants.c, schema.plans
    query = select(plans).join(schema.grants, grants.plan_id == plans.c.id).where(grants.id == lot.grant_id)
    plan = plan_from_row(connection.execute(query).one())
    granting.award(
        work, pool, plan, kind=GrantKind.ADJUSTMENT, amount_nanos=nanos, effective_at=work.now, vesting=Vesting(),
        lifetime=plan.lot_lifetime, reason=f"forfeited of {row.reference}",
    )  # fmt: skip


def _rows(connection: Connection, recall_ids: set[int]) -> dict[int, Row[Any]]:
    table = schema.recalls
    return {
        row.id: row
        for part in _parts(recall_ids)
        for row in connection.execute(select(table).where(table.c.id.in_(part)))
    }


def _lots(connection: Connection, lot_ids: set[int]) -> dict[int, Lot]:
    table = schema.lots
    return {
        row.id: lot_from_row(row)
        for part in _parts(lot_ids)
        for row in connection.execute(select(table).where(table.c.id.in_(part)))
    }


def _parts(ids: set[int]) -> list[list[int]]:
    ordered = sorted(ids)
    return [ordered[start : start + _IDS_PER_QUERY] for start in range(0, len(ordered), _IDS_PER_QUERY)]
