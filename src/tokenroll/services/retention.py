"""Retention: tape segments are deleted once nothing needs them, and never before (DESIGN §7.1).

A segment may go when every record in it is folded, the fold is in the database file (checkpoint), no hold in it is open, and its
digest is in the ledger. The newest segment of the newest epoch stays: its worker writes it.
"""

import hashlib
from pathlib import Path

from sqlalchemy import select

from tokenroll.services.ledger import Ledger
from tokenroll.services.protocol import SegmentTerms
from tokenroll.services.recovery import epoch_paths, epochs_on_disk
from tokenroll.store import schema, tape
from tokenroll.store.database import checkpoint


def delete_folded_segments(ledger: Ledger, tape_directory: Path) -> int:
    """How many segments of all workers were recorded by digest and deleted."""
    deleted = 0
    for directory in sorted(tape_directory.glob("worker-*")):
        worker = int(directory.name.rsplit("-", 1)[1])
        epochs = epochs_on_disk(directory)
        for epoch in epochs:
            paths = epoch_paths(directory, epoch)
            candidates = paths[:-1] if epoch == epochs[-1] else paths
            deleted += _delete(ledger, worker, epoch, candidates)
    return deleted


def _delete(ledger: Ledger, worker: int, epoch: int, paths: list[Path]) -> int:
    folded = ledger.folded_sequence(worker, epoch)
    still_open = ledger.open_sequences(worker, epoch)
    recorded: list[Path] = []
    for path in paths:
        data = path.read_bytes()
        header = tape.read_header(data)
        last = header.first_sequence - 1
        for block in tape.read_blocks(data):
            last = block.last_sequence
        if last > folded or any(header.first_sequence <= one <= last for one in still_open):
            break  # later segments need this one's holds to be understood
        digest = hashlib.sha256(data).digest()
        _record(ledger, worker, SegmentTerms(epoch, header.segment, header.first_sequence, last, digest))
        recorded.append(path)
    if recorded:
        checkpoint(ledger.connection)
        for path in recorded:
            path.unlink()
    return len(recorded)


def deletable_segments(ledger: Ledger, worker: int, offered: list[SegmentTerms]) -> list[tuple[int, int]]:
    """Which segments of a worker on another machine nothing needs any more, by epoch and number; their digests are recorded.

    A segment that must stay keeps the later ones of its epoch: they need its holds to be understood.
    """
    found: list[tuple[int, int]] = []
    kept: set[int] = set()
    still_open = {epoch: ledger.open_sequences(worker, epoch) for epoch in {one.epoch for one in offered}}
    for one in sorted(offered, key=lambda each: (each.epoch, each.segment)):
        if (
            one.epoch in kept
            or one.last_sequence > ledger.folded_sequence(worker, one.epoch)
            or any(one.first_sequence <= sequence <= one.last_sequence for sequence in still_open[one.epoch])
        ):
            kept.add(one.epoch)
            continue
        _record(ledger, worker, one)
        found.append((one.epoch, one.segment))
    if found:
        checkpoint(ledger.connection)
    return found


def _record(ledger: Ledger, worker: int, segment: SegmentTerms) -> None:
    table = schema.tape_segments
    key = (table.c.worker == worker, table.c.epoch == segment.epoch, table.c.segment == segment.segment)
    with ledger.connection.begin():
        known = ledger.connection.scalar(select(table.c.digest).where(*key))
        if known is None:
            ledger.connection.execute(
                table.insert().values(
                    worker=worker, epoch=segment.epoch, segment=segment.segment,
                    first_sequence=segment.first_sequence, last_sequence=segment.last_sequence, digest=segment.digest,
                    recorded_at=ledger.now(),
                )
            )  # fmt: skip
