"""Settlements folded per second: tape bytes to durable rows of settlements, lots, wallets and chain, on one core.

Every attempt is a HOLD, a share of a DISPATCHED and a SETTLE with four counts, of a wallet drawn evenly from all of them, which is
the worst case for a page cache. Reports hold `--batch` attempts; attempts overlap by `--open` calls, so that a part of each
report's holds stays open. The time is the wall clock of `Fold` and commit, without making the tape's bytes.
With `--postgresql` the rows go to an empty database of that URL; the wall clock has both processes' work in it, and where the server
is on this machine, so has `cpu_seconds_of_both`.

usage: python bench/micro/fold.py [--wallets 1000000] [--batch 65536] [--reports 12] [--open 512] [--postgresql URL]
"""

import argparse
import cProfile
import json
import os
import pstats
import random
import struct
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from sqlalchemy import Connection

from tokenroll.ledger_place import ledger_url
from tokenroll.store import tape
from tokenroll.store.cycles import CycleBook
from tokenroll.store.database import checkpoint, open_writer, raw_connection
from tokenroll.store.fold import Fold
from tokenroll.store.hold_changes import HoldChanges
from tokenroll.store.journal import Journal
from tokenroll.store.mirror import Mirror
from tokenroll.store.tape import RecordType

AT = 1_767_600_000_000_000  # 2026-01-05T08:00Z
GRANT_NANOS = 10**15
HOLD_NANOS = 40_000_000
CHARGE_NANOS = 12_345_678
FLUSH = 64


def fill(connection: Connection, wallets: int) -> None:
    """A company of so many wallets with one lot each."""
    if connection.dialect.name == "postgresql":
        fill_postgresql(connection, wallets)
        return
    raw = raw_connection(connection)
    raw.execute("BEGIN")
    plan = (
        1,
        "p",
        "Plan",
        1,
        "stipend",
        "tool",
        0,
        0,
        "immediate",
        0,
        0,
        None,
        None,
        100,
        "enforce",
        "deny",
        1,
        0,
        0,
        None,
        None,
    )
    raw.execute(f"INSERT INTO plans VALUES ({','.join('?' * len(plan))})", plan)
    ids = range(1, wallets + 1)
    raw.executemany("INSERT INTO wallets VALUES (?,?,'member',?,'Ada','UTC',0)", ((i, f"w{i}", i) for i in ids))
    raw.executemany("INSERT INTO wallet_values VALUES (?,0,0,0,0)", ((i,) for i in ids))
    grants = ((i, f"g{i}", i, GRANT_NANOS) for i in ids)
    raw.executemany(
        "INSERT INTO grants VALUES (?,?,?,1,'stipend','tool',?,0,0,'immediate',0,0,NULL,NULL,100,NULL,NULL)", grants
    )
    raw.executemany(
        "INSERT INTO lots VALUES (?,?,?,'tool',100,?,0,NULL,NULL,NULL)", ((i, i, i, GRANT_NANOS) for i in ids)
    )
    raw.executemany("INSERT INTO lot_values(lot_id, spent_nanos) VALUES (?,0)", ((i,) for i in ids))
    raw.execute("COMMIT")


def fill_postgresql(connection: Connection, wallets: int) -> None:
    """The same company, made by the server itself."""
    ids = f"FROM generate_series(1, {wallets}) i"
    for statement in (
        "INSERT INTO plans VALUES (1,'p','Plan',1,'stipend','tool',0,0,'immediate',0,0,NULL,NULL,100,'enforce','deny',1,0,0,NULL,NULL)",
        f"INSERT INTO wallets SELECT i, 'w' || i, 'member', i, 'Ada', 'UTC', 0 {ids}",
        f"INSERT INTO wallet_values SELECT i, 0, 0, 0, 0 {ids}",
        f"INSERT INTO grants SELECT i, 'g' || i, i, 1, 'stipend', 'tool', {GRANT_NANOS}, 0, 0, 'immediate', 0, 0, NULL, NULL, 100, NULL, NULL {ids}",
        f"INSERT INTO lots SELECT i, i, i, 'tool', 100, {GRANT_NANOS}, 0, NULL, NULL, NULL {ids}",
        f"INSERT INTO lot_values(lot_id, spent_nanos) SELECT i, 0 {ids}",
    ):
        connection.exec_driver_sql(statement)
    connection.commit()
    connection.exec_driver_sql("ANALYZE")
    connection.commit()


def hold(sequence: int, wallet: int) -> bytes:
    return tape.SHORT_HOLD.pack(
        RecordType.SHORT_HOLD, 0, tape.SHORT_HOLD.size, wallet, wallet, 1, AT + sequence, 1, 2, 0, 0, 512, 900, 3, 0, wallet, HOLD_NANOS,
    )  # fmt: skip


def settle(opened: int) -> bytes:
    counts = struct.pack("<4H", 213, 58, 128, 1)
    return tape.SHORT_SETTLE.pack(
        RecordType.SHORT_SETTLE, tape.SHORT_COUNTS, tape.SHORT_SETTLE.size + len(counts), opened, 900_000, 300_001, CHARGE_NANOS,
        CHARGE_NANOS, CHARGE_NANOS, 835, 1 | 1 << 2, 0, 0, 200, 1, 0, 1 << 0 | 1 << 1 | 1 << 6 | 1 << 10,
    ) + counts  # fmt: skip


def reports(wallets: int, batch: int, count: int, overlap: int) -> Iterator[bytes]:
    """So many reports of so many attempts each, of one life of a worker."""
    rng = random.Random(7)
    waiting: list[int] = []
    sequence, first = 1, 1
    for _ in range(count):
        blocks = []
        for _ in range(batch // FLUSH):
            opened = list(range(sequence, sequence + FLUSH))
            records = [hold(one, rng.randrange(1, wallets + 1)) for one in opened]
            head = tape.DISPATCHED_HEAD.pack(RecordType.DISPATCHED, 0, tape.DISPATCHED_HEAD.size + 8 * FLUSH, AT)
            records.append(head + struct.pack(f"<{FLUSH}Q", *opened))
            waiting += opened
            while len(waiting) > overlap:
                records.append(settle(waiting.pop(rng.randrange(min(len(waiting), FLUSH)))))
            sequence += len(records)
            blocks.append(tape.pack_block(first, records))
            first = sequence
        yield b"".join(blocks)


def backend_cpu(connection: Connection) -> float:
    """The CPU seconds of the server's process for this connection; 0 for SQLite, which has none, and for a server elsewhere."""
    if connection.dialect.name == "sqlite":
        return 0.0
    pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    connection.rollback()
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def settlements_bytes(connection: Connection) -> int:
    """What the database takes for settlements and their indexes; of SQLite all of it, of which nothing else grows in a fold."""
    if connection.dialect.name == "sqlite":
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        taken = pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one()
    else:
        taken = connection.exec_driver_sql("SELECT pg_total_relation_size('settlements')").scalar_one()
    connection.rollback()
    return int(taken)


def measure(connection: Connection, made: list[bytes]) -> dict[str, object]:
    """The reports folded one after another, each one transaction."""
    import_module("numpy")  # a fold loads it once in a life, at its first long report
    mirror, journal = Mirror(), Journal(connection)
    mirror.load(connection)
    connection.rollback()
    fold = Fold(connection, HoldChanges(journal, mirror, CycleBook()))
    sequence, seconds, cpu = 0, [], []
    backend_before, bytes_before = backend_cpu(connection), settlements_bytes(connection)
    for report in made:
        started, started_cpu = time.perf_counter(), time.process_time()
        with connection.begin():
            sequence = fold.apply(1, 1, report, sequence, AT)
            journal.close_batch(AT, (1, 1, None, sequence))
        seconds.append(time.perf_counter() - started)
        cpu.append(time.process_time() - started_cpu)
    settled = journal.next_seq - 1
    return {
        "settlements": settled,
        "settlements_per_second": round(settled / sum(seconds)),
        "settlements_per_cpu_second": round(settled / sum(cpu)),
        "settlements_per_cpu_second_of_both": round(settled / (sum(cpu) + backend_cpu(connection) - backend_before)),
        "sql_bytes_per_settlement": round((settlements_bytes(connection) - bytes_before) / settled, 1),
        "tape_bytes_per_settlement": round(sum(map(len, made)) / settled, 1),
        "best_batch_per_second": round(settled / len(seconds) / min(seconds)),
        "seconds_per_batch": [round(one, 3) for one in seconds],
        "head": journal.head_hash.hex(),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--wallets", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=65_536)
    parser.add_argument("--reports", type=int, default=12)
    parser.add_argument("--open", type=int, default=512)
    parser.add_argument("--folder", default=None)
    parser.add_argument("--postgresql", default=None, metavar="URL")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        place = ledger_url(options.postgresql) if options.postgresql else Path(folder) / "ledger.db"
        connection = open_writer(place)
        connection.rollback()
        fill(connection, options.wallets)
        checkpoint(connection)  # the making of the company is not the folds' to move out of the log; their own rows are
        made = list(reports(options.wallets, options.batch, options.reports, options.open))
        profiler = cProfile.Profile()
        result = profiler.runcall(measure, connection, made) if options.profile else measure(connection, made)
        if options.profile:
            pstats.Stats(profiler).sort_stats("tottime").print_stats(12)
        print(
            json.dumps(
                {
                    "database": connection.dialect.name,
                    "wallets": options.wallets,
                    "batch_attempts": options.batch,
                    **result,
                }
            )
        )


if __name__ == "__main__":
    main()
