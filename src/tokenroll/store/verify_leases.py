"""Verifying sized leases: what each worker has left of lots and limits, computed again from moves, holds and settlements."""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Connection, select

from tokenroll.model.entry import Account, Entry
from tokenroll.model.hold import COMPANY_LOT_ID, Slice
from tokenroll.model.limits import SHARE_WHOLE
from tokenroll.store import schema
from tokenroll.store.attempt_record import hold_key
from tokenroll.store.lease_book import RECLAIMED, RESTORED, LeasePart, makes_sized, move_leaf, parts_of
from tokenroll.store.tape import LOT

_LEASE: Final = "lease "


def lease_reference(worker: int, epoch: int) -> str:
    """What an entry refers to that took a lease to suspense, or out of it."""
    return f"{_LEASE}{worker}/{epoch}"


class LeaseReplay:
    """The moves in the order of the ledger, and what holds of lives with a sized lease took of it."""

    def __init__(self, differs: Callable[[str, str], None]) -> None:
        self._differs = differs
        self._sized: set[tuple[int, int]] = set()
        self._lots: dict[tuple[int, int], int] = {}
        self._shares: dict[tuple[int, int], int] = {}
        self._reclaimed: dict[str, dict[int, int]] = {}
        """By life of a node that is away: what was taken back of each lot, as the moves say it."""
        self._suspended: dict[str, dict[int, int]] = {}
        """The same as the entries say it."""

    def entry(self, entry: Entry) -> bool:
        """Whether an entry took a lease to suspense, or out of it."""
        if not entry.reference.startswith(_LEASE):
            return False
        sums = self._suspended.setdefault(entry.reference, {})
        for leg in entry.postings:
            if leg.account is Account.SUSPENSE:
                sums[leg.lot_id] = sums.get(leg.lot_id, 0) + leg.nanos
        return True

    def leaves(self, rows: Iterable[Any]) -> Iterator[tuple[int, bytes]]:
        """Each row's leaf, the row replayed on the way."""
        for row in rows:
            parts = []
            try:
                parts = parts_of(row.record)
                if makes_sized(row.record):
                    self._sized.add((row.worker, row.epoch))
            except struct.error as error:
                self._differs("lease", f"move {row.ledger_seq} of leases cannot be read: {error}")
            if row.number < 0:
                self._away(row, parts)
            for kind, row_id, amount in parts:
                sums, key = self._lots if kind == LOT else self._shares, (row.worker, row_id)
                sums[key] = sums.get(key, 0) + amount
            yield row.ledger_seq, move_leaf(row.ledger_seq, row.worker, row.epoch, row.number, row.record)

    def _away(self, row: Any, parts: Iterable[LeasePart]) -> None:
        reference = lease_reference(row.worker, row.epoch)
        taken = {one.id: -one.amount for one in parts if one.kind == LOT}
        before = self._reclaimed.pop(reference, {})
        if row.number == RECLAIMED:
            self._reclaimed[reference] = taken
        elif row.number == RESTORED and before != {lot: -nanos for lot, nanos in taken.items()}:
            self._differs("lease", f"move {row.ledger_seq} restores another {reference} than was reclaimed")

    def took(self, number: int, slices: Iterable[Slice]) -> None:
        """A hold of that key has these for itself, or for good."""
        key = hold_key(number)
        if (key.worker, key.epoch) in self._sized:
            for lot, nanos in slices:
                if lot != COMPANY_LOT_ID:
                    self._lots[key.worker, lot] = self._lots.get((key.worker, lot), 0) - nanos

    def check(self, connection: Connection, left_of: Mapping[int, int]) -> int:
        """How many rows agree with it; `left_of` is what nobody has taken of each lot, whoever may hold of it."""
        leases, shares = schema.lot_leases, schema.limit_shares
        stored = {(row.worker, row.lot_id): row.left_nanos for row in connection.execute(select(leases))}
        self._compare("lot", stored, self._lots)
        parts = {(row.worker, row.limit_id): row.share for row in connection.execute(select(shares))}
        self._compare("limit", parts, self._shares)
        lent: dict[int, int] = {}
        for (_, lot), left in stored.items():
            lent[lot] = lent.get(lot, 0) + left
        for lot, nanos in lent.items():
            if nanos > left_of.get(lot, 0):
                self._differs("lease", f"workers may hold {nanos} of lot {lot}, which has {left_of.get(lot, 0)} left")
        given: dict[int, int] = {}
        for (_, limit_id), share in parts.items():
            given[limit_id] = given.get(limit_id, 0) + share
        for limit_id, share in given.items():
            if share > SHARE_WHOLE:
                self._differs("lease", f"workers have {share} of the {SHARE_WHOLE} parts of limit {limit_id}")
        for reference in self._suspended.keys() | self._reclaimed.keys():
            said = {lot: nanos for lot, nanos in self._suspended.get(reference, {}).items() if nanos}
            if said != self._reclaimed.get(reference, {}):
                self._differs("lease", f"the entries have {said} of {reference} in suspense; its moves say otherwise")
        return len(stored) + len(parts) + len(self._reclaimed)

    def _compare(self, what: str, stored: dict[tuple[int, int], int], replayed: dict[tuple[int, int], int]) -> None:
        for key in stored.keys() | replayed.keys():
            said, left = stored.get(key, 0), replayed.get(key, 0)
            if said != left or left < 0:
                self._differs("lease", f"worker {key[0]} has {said} left of {what} {key[1]}; the journal gives {left}")
