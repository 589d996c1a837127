"""Reclaiming: what a node was lent that stays away, until it is back or given up (DESIGN §5; reference: credits, §4).

The money is not free by then: the node may have spent of it before its deadline, and nobody was told. It is in suspense, by an entry,
where finance sees it and nobody can hold it. A node that is back gets it again and reports what became of it, to the nano. One that is
given up told nothing: what calls of it were known to hold is found out like any dead worker's, all else returns to its lots, and what a
bill proves beyond that is the company's (law 4).
"""

from collections.abc import Iterable
from typing import Any, TypedDict

from sqlalchemy import Connection, select, update

from tokenroll.engine.posting import resolve_postings, suspend_postings
from tokenroll.model.amount import text_from_nanos
from tokenroll.model.entry import Entry, EntryKind, Posting
from tokenroll.model.hold import Slice
from tokenroll.model.identifier import identifier
from tokenroll.model.instant import Instant
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema
from tokenroll.store.attempt_record import LapseRecord, hold_key, pack_lapse
from tokenroll.store.fold_batch import FoldBatch
from tokenroll.store.hold_changes import HoldChanges
from tokenroll.store.lease_book import LEASE_AWAY, LEASE_NONE, LEASE_SIZED, LeaseBook, LeasePart
from tokenroll.store.mirror import Mirror, OpenHold
from tokenroll.store.tape import LOT, Finish
from tokenroll.store.verify_leases import lease_reference


def lapse_earlier(changes: HoldChanges, worker: int, epoch: int, now: Instant) -> None:
    """What lives before that one left open without a word goes to suspense."""
    for hold in left_open(changes.mirror, worker, epoch):
        lapse = LapseRecord(at=now, answer_bytes=0, finish=int(Finish.WORKER_DIED), status=0)
        changes.suspend(hold, pack_lapse(hold_key(hold.key).sequence, lapse), now, now)


def left_open(mirror: Mirror, worker: int, epoch: int) -> list[OpenHold]:
    """What lives before that one hold and nobody asks about yet, oldest first."""
    keys = ((hold_key(number), hold) for number, hold in sorted(mirror.holds.items()))
    return [hold for key, hold in keys if key.worker == worker and key.epoch < epoch and hold.lapsed_at is None]


def reclaim(connection: Connection, changes: HoldChanges, book: LeaseBook, at: tuple[int, int], now: Instant) -> int:
    """A node's life is away: what it was lent of lots goes to suspense. How much that is."""
    worker, epoch = at
    changes.batch = FoldBatch()
    slices = _slices(book.reclaim(worker, epoch))
    for lot, nanos in slices:
        changes.mirror.take(lot, nanos)
        changes.batch.move(lot, suspense=nanos)
    postings = suspend_postings(0, slices, _owners(changes, slices))
    _append(changes, EntryKind.SUSPEND, postings, at, now)
    changes.batch.write(connection, changes.mirror, now)
    note_worker(connection, worker, lease=LEASE_AWAY, ready_at=None)
    return sum(one.nanos for one in slices)


def restore(
    connection: Connection, changes: HoldChanges, book: LeaseBook, at: tuple[int, int], now: Instant, *, same_life: bool
) -> None:
    """It is back: all of it is its own again, as if it had not been away."""
    worker, epoch = at
    changes.batch = FoldBatch()
    _out_of_suspense(changes, _slices(book.reclaimed(worker, epoch)), at, now)
    book.restore(worker, epoch)
    changes.batch.write(connection, changes.mirror, now)
    note_worker(connection, worker, lease=LEASE_SIZED, ready_at=now if same_life else None)


class GiveUp(TypedDict):
    """Whose lease nobody waits for any more."""

    worker: int


def give_up(work: UnitOfWork, arguments: GiveUp) -> dict[str, Any]:
    """A node that will not come back: its lease returns to the lots, and what its calls are known to hold is found out."""
    worker, changes, book = arguments["worker"], work.changes, work.leases
    row = work.connection.execute(select(schema.workers).where(schema.workers.c.worker == worker)).one_or_none()
    if row is None or row.lease != LEASE_AWAY:
        has = "has no lease" if row is None or row.lease == LEASE_NONE else "has a lease that still counts"
        raise Refused(
            "not_away",
            f"worker {worker} {has}: only one that is away is given up, and `tokenroll node list` says which are",
        )
    before = len(work.holds_in_suspense())
    lapse_earlier(changes, worker, row.epoch + 1, work.now)
    slices = _slices(book.give_up(worker, row.epoch))
    _out_of_suspense(changes, slices, (worker, row.epoch), work.now)
    # the next number, so that the life that is given up is over wherever it still goes on
    note_worker(work.connection, worker, lease=LEASE_NONE, ready_at=None, epoch=row.epoch + 1, boot_id=bytes(16))
    work.connection.execute(schema.tapes.insert().values(worker=worker, epoch=row.epoch + 1, folded_sequence=0))
    return {
        "worker": worker,
        "returned": text_from_nanos(sum(one.nanos for one in slices)),
        "calls_being_checked": len(work.holds_in_suspense()) - before,
    }


def _out_of_suspense(changes: HoldChanges, slices: tuple[Slice, ...], at: tuple[int, int], now: Instant) -> None:
    for lot, nanos in slices:
        changes.mirror.take(lot, -nanos)
        changes.batch.move(lot, suspense=-nanos)
    _append(changes, EntryKind.RESOLVE, resolve_postings(0, slices, (), _owners(changes, slices)), at, now)


def _append(
    changes: HoldChanges, kind: EntryKind, postings: tuple[Posting, ...], at: tuple[int, int], now: Instant
) -> None:
    if postings:
        number = at[0] << 48 | at[1] << 16 | (kind is EntryKind.RESOLVE)
        changes.journal.append_entry(
            Entry(
                public_id=identifier("entry", now // 1000, number << 8 | 0x4C), kind=kind, effective_at=now, recorded_at=now,
                postings=postings, reference=lease_reference(*at),
            )
        )  # fmt: skip


def _slices(parts: Iterable[LeasePart]) -> tuple[Slice, ...]:
    return tuple(Slice(one.id, one.amount) for one in parts if one.kind == LOT)


def _owners(changes: HoldChanges, slices: Iterable[Slice]) -> dict[int, int]:
    return {lot: changes.mirror.owner(lot) for lot, _ in slices}


def note_worker(connection: Connection, worker: int, **values: Any) -> None:
    """What a worker's row says from now on."""
    table = schema.workers
    connection.execute(update(table).where(table.c.worker == worker).values(values))
