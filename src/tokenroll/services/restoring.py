"""A ledger that was restored from an older copy, beside tapes that know of later lives (`docs/faults.md`).

It would give a life's number a second time, and two lives would be on one tape. So what the tapes know is taken in before anybody
spends: every later life gets its place, and its worker then reports it from the first record that the copy does not have. Where the
tape in between is gone, calls that were paid for would be in no book: then the ledger does not start.
"""

from pathlib import Path
from typing import Final, NamedTuple

from tokenroll.model.limits import NODE_WORKER_MIN
from tokenroll.services.ledger import Ledger
from tokenroll.services.recovery import epoch_paths, epochs_on_disk
from tokenroll.services.unknown_loans import UnknownLoans
from tokenroll.store import tape

_NO_BOOT: Final = bytes(16)


class CopyTooOldError(Exception):
    """The tape between this copy of the ledger and now is gone; the message says which, and what to do."""


class _Tapes(NamedTuple):
    """Of one worker beside this ledger: the life that the ledger knows, those of its tape that it does not, and the newest of all."""

    worker: int
    directory: Path
    known: int
    later: list[int]
    newest: int
    is_untold: bool
    """Whether its tape may have what the ledger lacks."""


def learn_lives(ledger: Ledger, tape_directory: Path) -> list[str]:
    """What is to be told of a ledger that is younger than the tapes; empty when it is not. Raises CopyTooOldError."""
    loans = UnknownLoans(tape_directory)
    newest_loan, last_seq = loans.newest_loan(), ledger.last_seq
    is_older = newest_loan > last_seq
    found = [_tapes(ledger, directory) for directory in sorted(tape_directory.glob("worker-*"))]
    told = []
    if is_older:  # remembered before anything is written: the next start finds this ledger further than the newest loan
        nodes = {one: ledger.epoch_of(one) for one in {*ledger.lessees, *ledger.away()} if one >= NODE_WORKER_MIN}
        loans.remember(nodes | {one.worker: one.newest for one in found if one.is_untold})
        told.append(
            f"the ledger is at row {last_seq}, and row {newest_loan} has lent something: it is an older copy. Nobody is lent anything before "
            "each worker here has told its tape; what its calls took is booked from what their lots have left"
        )
    for one in found:
        for epoch in one.later:
            ledger.learn_life(one.worker, epoch, _header(one.directory, epoch).boot_id)
        # remembered and not begun anew: the ledger that found it out ended before it came to this worker
        is_lent = is_older or (one.is_untold and loans.has(one.worker, one.newest))
        if one.later or (is_lent and one.is_untold):
            # a life that still goes on holds what the copy does not know of: its number is over, so it ends and reports
            ledger.learn_life(one.worker, one.newest + 1, _NO_BOOT, is_lent=is_lent)
        if one.later:
            told.append(
                f"the tape of worker {one.worker} goes on to life {one.newest}, and the ledger knows {one.known}: it is an older copy. "
                "What the tape has is booked before anybody spends; what was granted since the copy is not there"
            )
    if is_older:
        loans.begin_at(ledger.last_seq)
    loans.untold = {one.worker for one in found if _is_to_tell(ledger, loans, one.worker)}
    ledger.loans = loans
    return told


def _tapes(ledger: Ledger, directory: Path) -> _Tapes:
    worker = int(directory.name.rsplit("-", 1)[1])
    known, epochs = ledger.epoch_of(worker), epochs_on_disk(directory)
    _refuse_holes(ledger, worker, known, directory)
    later = [epoch for epoch in epochs if epoch > known]
    newest = max(later, default=known)
    return _Tapes(
        worker, directory, known, later, newest, bool(later) or (known in epochs and not _has_resigned(ledger, worker))
    )


def _has_resigned(ledger: Ledger, worker: int) -> bool:
    """Whether that worker's present life ended in order: then all of its tape is in the ledger."""
    known = ledger.known(worker)
    return known is not None and known.resigned


def _is_to_tell(ledger: Ledger, loans: UnknownLoans, worker: int) -> bool:
    known = ledger.known(worker)
    return known is not None and loans.has(worker, known.closed_epoch) and worker in loans.lives


def _refuse_holes(ledger: Ledger, worker: int, known: int, directory: Path) -> None:
    """Every record that the ledger does not have is on the tape: from the life that it knows on, and in each from its first one."""
    epochs = epochs_on_disk(directory)
    newest = max(epochs, default=0)
    needed = [] if newest <= known else list(range(known, newest + 1))
    if not known or _has_resigned(ledger, worker):
        needed = needed[1:]
    gone = [epoch for epoch in needed if epoch not in epochs]
    torn = [
        epoch for epoch in epochs
        if epoch >= known and _header(directory, epoch).first_sequence > ledger.folded_sequence(worker, epoch) + 1
    ]  # fmt: skip
    if gone or torn:
        message = (
            f"the ledger is an older copy: it knows life {known} of worker {worker}, {directory} goes on to life {newest}, and the tape of "
            f"life {(gone + torn)[0]} that lies between was deleted when another ledger had folded it. Calls of it would be in no book. "
            "Put a newer copy in its place, or the tape from your backup beside it; docs/faults.md says what to do without either"
        )
        raise CopyTooOldError(message)


def _header(directory: Path, epoch: int) -> tape.SegmentHeader:
    """Of that life's oldest segment. A torn one held nothing, so it begins where a life begins."""
    data = epoch_paths(directory, epoch)[0].read_bytes()[: tape.SEGMENT_HEADER_BYTES]
    try:
        return tape.read_header(data)
    except tape.TapeError:
        return tape.SegmentHeader(0, epoch, 1, _NO_BOOT, 1, 0)
