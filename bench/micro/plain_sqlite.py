"""The fold's peer: the same engine with the least that any ledger writes, a journal row and its wallet's sum, and nothing checked.

Batches of 1,024 rows over 10,000 wallets, each batch one transaction with one sync; no lots, no chain, no tape, no transitions. It
says how fast this machine is at this hour, so that the fold's figure can be read as a ratio.

usage: python bench/micro/plain_sqlite.py [--seconds 3]
"""

import argparse
import json
import os
import random
import sqlite3
import tempfile
import time
from pathlib import Path

BATCH, WALLETS = 1024, 10_000
Row = tuple[int, int, int, int, int, int, int, str, str]


def opened(path: Path) -> sqlite3.Connection:
    """A database of its own, synced at every commit like the ledger's."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-65536", "wal_autocheckpoint=4000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(
        "CREATE TABLE entries(id INTEGER PRIMARY KEY, wallet INT NOT NULL, at INT NOT NULL, input INT, cached INT, output INT, "
        "charge INT NOT NULL, key TEXT, model TEXT) STRICT"
    )
    connection.execute("CREATE TABLE wallets(id INTEGER PRIMARY KEY, spent INT NOT NULL) STRICT")
    connection.executemany("INSERT INTO wallets VALUES (?, 0)", ((one,) for one in range(WALLETS)))
    return connection


def settle(connection: sqlite3.Connection, rows: list[Row]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO entries VALUES (?,?,?,?,?,?,?,?,?)", rows)
    sums: dict[int, int] = {}
    for row in rows:
        sums[row[1]] = sums.get(row[1], 0) + row[6]
    connection.executemany("UPDATE wallets SET spent = spent + ?2 WHERE id = ?1", list(sums.items()))
    connection.execute("COMMIT")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rng = random.Random(7)
    with tempfile.TemporaryDirectory() as folder:
        connection = opened(Path(folder) / "plain.db")
        number, spent = 0, 0.0
        while spent < options.seconds:
            rows = []
            for _ in range(BATCH):
                number += 1
                rows.append(
                    (number, rng.randrange(WALLETS), 1_760_000_000_000_000, 213, 128, 58, 57_150, "key_1", "model")
                )
            begun = time.perf_counter()
            settle(connection, rows)
            spent += time.perf_counter() - begun
    print(json.dumps({"settlements": number, "settlements_per_second": round(number / spent)}))


if __name__ == "__main__":
    main()
