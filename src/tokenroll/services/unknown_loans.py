"""Unknown loans: what workers were lent by a ledger that is lost, of which an older copy in its place knows nothing (decision 0148).

Beside the tapes stands the number of the newest loan. A ledger that has not come so far is an older copy: lives of before it may have
spent what it never lent. Their calls are booked from what nobody has of the same lots, for by the lost ledger's books nobody else had it.
Money is never made by it: where a lot has no more, the fold halts as ever.
"""

import contextlib
import json
import os
import struct
from pathlib import Path
from typing import Final

from tokenroll.model.hold import COMPANY_LOT_ID
from tokenroll.services.protocol import Report
from tokenroll.store import tape
from tokenroll.store.attempt_record import hold_key, parse_record
from tokenroll.store.lease_book import LeaseBook, LeasePart
from tokenroll.store.mirror import Mirror
from tokenroll.store.tape import LOT, RecordType, TapeError

NEWEST_LOAN: Final = "newest-loan"
LIVES: Final = "lent-by-a-lost-ledger.json"
_DIGITS: Final = 20


class UnknownLoans:
    """Which lives may have been lent what this ledger does not know, and which workers have still to tell of them."""

    def __init__(self, tape_directory: Path | None = None) -> None:
        """Without a directory nothing is remembered, and no life has unknown loans."""
        self._directory = tape_directory
        self.lives: dict[int, int] = {}
        """By worker: the newest such life, and all before it."""
        self.untold: set[int] = set()
        """Workers beside this ledger whose tapes are not told: nobody is lent anything before they are, or cannot be."""
        self._noted: set[tuple[int, int]] = set()
        """Lives of which the journal has a move, be it of nothing: from there its readers know that they spend what they were lent."""
        self._newest = 0
        if tape_directory is not None:
            self._newest = self.newest_loan()
            with contextlib.suppress(FileNotFoundError):
                read = json.loads((tape_directory / LIVES).read_bytes())
                self.lives = {int(worker): life for worker, life in read.items()}

    def newest_loan(self) -> int:
        """The number of the newest row by which this ledger, or the one before it, lent something; 0 for none."""
        try:
            return int((self._path() / NEWEST_LOAN).read_bytes())
        except (FileNotFoundError, ValueError):  # a torn one is no evidence
            return 0

    def remember(self, lives: dict[int, int]) -> None:
        """This ledger is an older copy: that stays known when it has come further, for as long as those lives are not told."""
        self.lives |= lives
        partial = self._path() / f"{LIVES}.partial"
        with partial.open("w", encoding="ascii") as file:
            json.dump({str(worker): life for worker, life in sorted(self.lives.items())}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path() / LIVES)

    def lent(self, ledger_seq: int) -> None:
        """That row, if there is one, lends something, and whom to is about to hear of it. After a power loss an earlier one may stand there: no evidence then."""
        if ledger_seq > self._newest:
            self.begin_at(ledger_seq)

    def begin_at(self, ledger_seq: int) -> None:
        """No later row has lent anything: this ledger goes on from there, also if the one that is lost was further."""
        if self._directory is not None:
            self._newest = ledger_seq
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            mark = os.open(self._directory / NEWEST_LOAN, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(mark, b"%0*d\n" % (_DIGITS, ledger_seq), 0)
            finally:
                os.close(mark)

    def has(self, worker: int, epoch: int) -> bool:
        """Whether that life may have been lent more than is known here."""
        return epoch <= self.lives.get(worker, 0)

    def lend(self, report: Report, folded: int, book: LeaseBook, mirror: Mirror) -> list[LeasePart]:
        """What a report of such a life may take of its lots beyond what it has, moved to it from what nobody has. How much that was."""
        if not self.has(report.worker, report.epoch) or report.worker not in mirror.leased:
            return []
        leased = dict(mirror.leases_of(report.worker))
        parts = []
        for lot, nanos in taken(report.blocks, folded).items():
            lacks = min(mirror.left(lot), nanos - leased.get(lot, 0)) if mirror.owner(lot) else 0
            if lacks > 0:
                parts.append(LeasePart(LOT, lot, lacks))
        at = (report.worker, report.epoch)
        if at not in self._noted and not book.is_sized(*at):
            book.note(*at, 0, _held(mirror, *at))
        if parts:
            book.move(*at, 0, parts)
        return parts

    def take_back(self, report: Report, lent: list[LeasePart], book: LeaseBook, mirror: Mirror) -> None:
        """What the report did not need of it after all; the last word of its transaction."""
        if self.has(report.worker, report.epoch):
            self._noted.add((report.worker, report.epoch))
        leased = dict(mirror.leases_of(report.worker)) if lent else {}
        parts = [LeasePart(LOT, one.id, -min(one.amount, leased[one.id])) for one in lent if leased.get(one.id)]
        if parts:
            book.move(report.worker, report.epoch, 0, parts)

    def _path(self) -> Path:
        assert self._directory is not None
        return self._directory


def _held(mirror: Mirror, worker: int, epoch: int) -> list[LeasePart]:
    """What open calls of a life hold that had everything when they began: it was the life's own, and no lease had it."""
    found = []
    for hold in mirror.holds.values():
        key = hold_key(hold.key)
        if (key.worker, key.epoch) == (worker, epoch):
            found += [LeasePart(LOT, lot, nanos) for lot, nanos in hold.slices if lot != COMPANY_LOT_ID]
    return found


def taken(blocks: bytes, folded: int) -> dict[int, int]:
    """By lot: what the records behind `folded` take at most, as if nothing came back between them. Of damaged ones the fold tells."""
    found: dict[int, int] = {}
    with contextlib.suppress(TapeError, struct.error):
        for block in tape.split_blocks(blocks):
            if block.last_sequence > folded:
                _add(found, block.payload)
    return found


def _add(found: dict[int, int], payload: bytes) -> None:
    for kind, offset, length in tape.iter_records(payload):
        record = payload[offset : offset + length]
        takes: list[tuple[int, int]] = []
        if kind in tape.HOLDS:
            takes = list(parse_record(record).hold.slices)
        elif kind == RecordType.LEASE:
            takes = [(lot, nanos) for _, lot, nanos in tape.GIVE.iter_unpack(record[tape.LEASE.size :])]
        elif kind == RecordType.RETURN:
            returned = tape.RETURNED.iter_unpack(record[tape.RETURN.size :])
            takes = [(lot, nanos) for what, lot, nanos in returned if what == LOT]
        for lot, nanos in takes:
            if lot != COMPANY_LOT_ID:
                found[lot] = found.get(lot, 0) + nanos
