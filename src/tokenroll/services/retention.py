"""Retention: tape segments are deleted once nothing needs them, and never before (DESIGN §7.1).

A segment may go when every record in it is folded, the fold is in the database file (checkpoint), no hold in it is open, and its
digest is in the ledger. The newest segment of the newest epoch stays: its worker writes it.
"""

import hashlib
from pathlib import Path

from sqlalchemy import select

from tokenroll.services.ledger import Ledger
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
        _record(ledger, header, last, hashlib.sha256(data).digest())
        recorded.append(path)
    if recorded:
        checkpoint(ledger.connection)
        for path in recorded:
            path.unlink()
    return len(recorded)


def _record(ledger: Ledger, header: tape.SegmentHeader, last_sequence: int, digest: bytes) -> None:
    table = schema.tape_segments
    key = (table.c.worker == header.worker, table.c.epoch == header.epoch, table.c.segment == header.segment)
    with ledger.connection.begin():
        known = ledger.connection.scalar(select(table.c.digest).where(*key))
        if known is None:
            ledger.connection.execute(
                table.insert().values(
                    worker=header.worker, epoch=header.epoch, segment=header.segment,
                    first_sequence=header.first_sequence, last_sequence=last_sequence, digest=digest,
                    recorded_at=ledger.now(),
                )
            )  # fmt: skip
