"""A ledger that was restored from an older copy, beside tapes that know of later lives (`docs/faults.md`).

It would give a life's number a second time, and two lives would be on one tape. So what the tapes know is taken in before anybody
spends: every later life gets its place, and its worker then reports it from the first record that the copy does not have. Where the
tape in between is gone, calls that were paid for would be in no book: then the ledger does not start.
"""

from pathlib import Path

from tokenroll.services.ledger import Ledger
from tokenroll.services.recovery import epoch_paths, epochs_on_disk
from tokenroll.store import tape


class CopyTooOldError(Exception):
    """The tape between this copy of the ledger and now is gone; the message says which, and what to do."""


def learn_lives(ledger: Ledger, tape_directory: Path) -> list[str]:
    """What is to be told of workers whose tapes are younger than this ledger; empty when none is. Raises CopyTooOldError."""
    told = []
    for directory in sorted(tape_directory.glob("worker-*")):
        worker = int(directory.name.rsplit("-", 1)[1])
        known = ledger.epoch_of(worker)
        _refuse_holes(ledger, worker, known, directory)
        later = [epoch for epoch in epochs_on_disk(directory) if epoch > known]
        for epoch in later:
            ledger.learn_life(worker, epoch, _header(directory, epoch).boot_id)
        if later:
            # a life that still goes on holds what the copy does not know of: its number is over, so it ends and reports
            ledger.learn_life(worker, later[-1] + 1, bytes(16))
            told.append(
                f"the tape of worker {worker} goes on to life {later[-1]}, and the ledger knows {known}: it is an older copy. "
                "What the tape has is booked before anybody spends; what was granted since the copy is not there"
            )
    return told


def _refuse_holes(ledger: Ledger, worker: int, known: int, directory: Path) -> None:
    """Every record that the ledger does not have is on the tape: from the life that it knows on, and in each from its first one."""
    epochs = epochs_on_disk(directory)
    newest = max(epochs, default=0)
    needed = [] if newest <= known else list(range(known, newest + 1))
    if not known or ledger.has_resigned(worker):
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
        return tape.SegmentHeader(0, epoch, 1, bytes(16), 1, 0)
