"""A process to be killed: `ledger DATABASE REPORT` folds a report in parts, `worker FOLDER` writes calls until it dies."""

import sys
from pathlib import Path

from tests.ledger_kit import ADA_LOT, BOOT, START, dispatched_record, hold_record, new_ledger, settle_record
from tokenroll.services.protocol import Report
from tokenroll.store.database import open_writer
from tokenroll.store.tape import TapeWriter, split_blocks, worker_directory


def ledger(database: Path, report: Path) -> None:
    one = new_ledger(open_writer(database), lambda: START)
    for block in split_blocks(report.read_bytes()):
        one.report(Report(worker=0, epoch=1, blocks=block.raw))
        print(block.last_sequence, flush=True)


def worker(folder: Path) -> None:
    """Each call in blocks of its own; what a line on standard output names was handed to the kernel before."""
    tape = TapeWriter(worker_directory(folder, 0), worker=0, epoch=1, boot_id=BOOT, created_at=START)
    while True:
        opened = tape.next_sequence
        tape.append(hold_record(opened, (ADA_LOT, 1_000)))
        tape.write(tape.take_block(), START)
        tape.append(dispatched_record(opened))
        tape.write(tape.take_block(), START)
        print(opened, flush=True)
        if opened % 2:
            tape.append(settle_record(opened, 0, 0))
            tape.write(tape.take_block(), START)


if __name__ == "__main__":
    if sys.argv[1] == "ledger":
        ledger(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        worker(Path(sys.argv[2]))
