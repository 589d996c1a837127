"""The lease book: which parts of lots and limits each worker has, moved by rows of the journal (DESIGN §5).

A worker alone has a lease of everything, which moves nothing (decision 0022). One of several has a sized lease: what it may hold
left the ledger's own part of a lot when it was lent, so that no other can hold it. A limit is lent as a share of its cap, whatever the
cap is by then. Shares and nanos go back as they came: by a row.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, delete, func, select

from tokenroll.model.instant import Instant
from tokenroll.model.limits import SHARE_WHOLE
from tokenroll.store import schema
from tokenroll.store.database import raw_connection
from tokenroll.store.journal import Journal
from tokenroll.store.mirror import Mirror
from tokenroll.store.tape import LIMIT, LOT

LEASE_NONE: Final = 0
LEASE_WHOLE: Final = 1
LEASE_SIZED: Final = 2
LEASE_AWAY: Final = 3
LEASE_EARLY: Final = 4
"""What a worker has, as `workers.lease` says it. Of one that is away, what it was lent is in suspense until it is back or given up. An
early one is whole, and what the worker's earlier lives wrote is still on its way."""
RECLAIMED: Final = -1
RESTORED: Final = -2
GIVEN_UP: Final = -3
"""Numbers of moves that answer no want: what became of the lease of a node that was away."""
_PART: Final = struct.Struct("<bqq")
_HEAD: Final = struct.Struct("<cqqqq")
_MOVE: Final = "INSERT INTO lease_moves(ledger_seq, worker, epoch, number, record) VALUES (?,?,?,?,?)"
_SHARE: Final = """
    INSERT INTO limit_shares(worker, limit_id, share) VALUES (?,?,?)
    ON CONFLICT(worker, limit_id) DO UPDATE SET share = excluded.share"""


class LeasePart(NamedTuple):
    """So many nanos of a LOT, or so much of a LIMIT; below zero: back from the worker."""

    kind: int
    id: int
    amount: int


def move_leaf(ledger_seq: int, worker: int, epoch: int, number: int, record: bytes) -> bytes:
    """What the chain binds of a move: all of it."""
    return _HEAD.pack(b"L", ledger_seq, worker, epoch, number) + record


def pack_parts(parts: Iterable[LeasePart]) -> bytes:
    """The `record` of a move."""
    return b"".join(_PART.pack(*one) for one in parts)


def parts_of(record: bytes) -> list[LeasePart]:
    """Raises struct.error for what is no record of a move."""
    return [LeasePart(*one) for one in _PART.iter_unpack(record)]


def makes_sized(record: bytes) -> bool:
    """Whether from a move on its life is one that spends what it was lent. A life that has everything only returns what its last one had.

    A move of nothing is of one with unknown loans. Raises struct.error for what is no record of a move.
    """
    return not record or any(one.amount > 0 for one in parts_of(record))


class LeaseBook:
    """Sized leases as the rows have them: lots in the mirror, shares here."""

    def __init__(self, connection: Connection, journal: Journal, mirror: Mirror) -> None:
        self._connection = connection
        self._journal = journal
        self._mirror = mirror
        self.shares: dict[int, dict[int, int]] = {}
        """By worker and limit."""

    def load(self) -> None:
        """The shares of the rows; the mirror reads its own."""
        self.shares = {}
        for worker, limit_id, share in self._connection.execute(select(schema.limit_shares)):
            self.shares.setdefault(worker, {})[limit_id] = share

    def unshared(self, limit_id: int) -> int:
        """What of a limit nobody has a share of."""
        return SHARE_WHOLE - sum(one.get(limit_id, 0) for one in self.shares.values())

    def move(self, worker: int, epoch: int, number: int, parts: Sequence[LeasePart]) -> None:
        """Parts to a worker or back, in the mirror, the values and the journal."""
        for kind, row_id, amount in parts:
            if kind == LOT:
                self._mirror.lend(worker, row_id, amount)
        self._mirror.write_leases(self._connection, worker, {one.id for one in parts if one.kind == LOT})
        self.note(worker, epoch, number, parts)

    def note(self, worker: int, epoch: int, number: int, parts: Sequence[LeasePart]) -> None:
        """The same for nanos that a fold has moved already: the journal's row, and the shares."""
        record, seq = pack_parts(parts), self._journal.next_seq
        self._journal.take(move_leaf(seq, worker, epoch, number, record))
        raw_connection(self._connection).executemany(_MOVE, [(seq, worker, epoch, number, record)])
        shares = self.shares.setdefault(worker, {})
        changed = {}
        for kind, row_id, amount in parts:
            if kind == LIMIT:
                changed[row_id] = shares[row_id] = shares.get(row_id, 0) + amount
        if changed:
            rows = [(worker, row_id, share) for row_id, share in sorted(changed.items())]
            raw_connection(self._connection).executemany(_SHARE, rows)

    def end(self, worker: int, epoch: int) -> None:
        """Everything that a life with all its records folded has left goes back."""
        parts = [LeasePart(LOT, lot, -nanos) for lot, nanos in self._mirror.leases_of(worker)]
        parts += [LeasePart(LIMIT, row_id, -share) for row_id, share in self.shares.get(worker, {}).items() if share]
        if parts:
            self.move(worker, epoch, 0, parts)
        for table in (schema.lot_leases, schema.limit_shares, schema.limit_uses):
            self._connection.execute(delete(table).where(table.c.worker == worker))
        self.shares.pop(worker, None)
        self._mirror.leased.pop(worker, None)

    def reclaim(self, worker: int, epoch: int) -> list[LeasePart]:
        """What a worker has of lots comes back, for it is away. Its shares of limits stay its own."""
        parts = [LeasePart(LOT, lot, nanos) for lot, nanos in self._mirror.leases_of(worker)]
        self.move(worker, epoch, RECLAIMED, [one._replace(amount=-one.amount) for one in parts])
        self._connection.execute(delete(schema.lot_leases).where(schema.lot_leases.c.worker == worker))
        self._mirror.leased.pop(worker, None)
        return parts

    def restore(self, worker: int, epoch: int) -> list[LeasePart]:
        """It is back, and has what it had."""
        parts = self.reclaimed(worker, epoch)
        self._mirror.begin_lease(worker)
        self.move(worker, epoch, RESTORED, parts)
        return parts

    def give_up(self, worker: int, epoch: int) -> list[LeasePart]:
        """Nobody waits for it any more: its shares are free, and what was reclaimed is no more its own."""
        parts = self.reclaimed(worker, epoch)
        shares = self.shares.get(worker, {}).items()
        self.note(worker, epoch, GIVEN_UP, [LeasePart(LIMIT, row_id, -share) for row_id, share in shares if share])
        for table in (schema.limit_shares, schema.limit_uses):
            self._connection.execute(delete(table).where(table.c.worker == worker))
        self.shares.pop(worker, None)
        return parts

    def reclaimed(self, worker: int, epoch: int) -> list[LeasePart]:
        """What of a worker's lease is in suspense, because it is away."""
        last = _last_of_away(self._connection, worker, epoch)
        return [] if last is None or last.number != RECLAIMED else [
            one._replace(amount=-one.amount) for one in parts_of(last.record)
        ]  # fmt: skip

    def free(self, worker: int, epoch: int, limit_ids: Iterable[int]) -> None:
        """What a worker that is away has of these limits is its own no more."""
        shares = self.shares.get(worker, {})
        self.note(worker, epoch, 0, [LeasePart(LIMIT, row_id, -shares[row_id]) for row_id in limit_ids])

    def has_freed(self, worker: int, epoch: int) -> bool:
        """Whether shares of one that is away were freed: what its life may count of limits is not what it was told then."""
        moves, last = schema.lease_moves.c, _last_of_away(self._connection, worker, epoch)
        query = select(func.max(moves.ledger_seq)).where(moves.worker == worker, moves.epoch == epoch)
        return last is not None and (self._connection.scalar(query) or 0) > last.ledger_seq

    def capped(self, worker: int, parts: Iterable[LeasePart]) -> list[LeasePart]:
        """Parts that come back, of limits no more than the worker has here: of a life that is over some may have been freed before it told."""
        lefts = dict(self.shares.get(worker, {}))
        found = []
        for one in parts:
            amount = one.amount if one.kind == LOT else -min(-one.amount, max(0, lefts.get(one.id, 0)))
            if one.kind == LIMIT:
                lefts[one.id] = lefts.get(one.id, 0) + amount
            if amount:
                found.append(one._replace(amount=amount))
        return found

    def reclaimed_at(self, worker: int, epoch: int) -> Instant:
        """Since when it is so."""
        last = _last_of_away(self._connection, worker, epoch)
        return _closed_at(self._connection, last.ledger_seq if last else 0)

    def given_up_to(self, worker: int) -> int:
        """The newest life of a worker that was given up, 0 for none: nobody waits for its tape any more, nor for those before it.

        An earlier life may have written what the given-up one was still to tell. It was lent in the same lease, which others may hold.
        """
        moves = schema.lease_moves.c
        query = select(func.max(moves.epoch)).where(moves.worker == worker, moves.number == GIVEN_UP)
        return self._connection.scalar(query) or 0

    def is_sized(self, worker: int, epoch: int) -> bool:
        """Whether the journal says of a life that it spends what it was lent: it was lent something, or it has a move of nothing."""
        moves = schema.lease_moves.c
        records = self._connection.scalars(
            select(moves.record).where(moves.worker == worker, moves.epoch == epoch).order_by(moves.ledger_seq)
        )
        return any(makes_sized(record) for record in records)

    def lent(self, worker: int, epoch: int, number: int) -> tuple[int, list[LeasePart] | None]:
        """By which row of the journal a want of that number was met, and what was lent; 0 and None when it was not."""
        moves = schema.lease_moves.c
        query = select(moves.ledger_seq, moves.record).where(
            moves.worker == worker, moves.epoch == epoch, moves.number == number
        )
        row = self._connection.execute(query).one_or_none()
        return (0, None) if row is None else (row.ledger_seq, parts_of(row.record))


class Away(NamedTuple):
    """What of a lot is in suspense, because the node is away to which it was lent; and since when."""

    lot: int
    nanos: int
    since: Instant


def in_suspense(connection: Connection) -> list[Away]:
    """By lot and node: what no hold tells of it."""
    workers = schema.workers.c
    found = []
    for worker, epoch in connection.execute(select(workers.worker, workers.epoch).where(workers.lease == LEASE_AWAY)):
        last = _last_of_away(connection, worker, epoch)
        if last is not None and last.number == RECLAIMED:
            since = _closed_at(connection, last.ledger_seq)
            found += [Away(one.id, -one.amount, since) for one in parts_of(last.record) if one.kind == LOT]
    return found


def _last_of_away(connection: Connection, worker: int, epoch: int) -> Any:
    moves = schema.lease_moves.c
    query = select(schema.lease_moves).where(moves.worker == worker, moves.epoch == epoch, moves.number < 0)
    return connection.execute(query.order_by(moves.ledger_seq.desc()).limit(1)).one_or_none()


def _closed_at(connection: Connection, ledger_seq: int) -> Instant:
    batches = schema.batches.c
    query = select(batches.closed_at).where(batches.last_seq >= ledger_seq).order_by(batches.last_seq).limit(1)
    return connection.scalar(query) or 0
