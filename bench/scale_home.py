"""Homes of up to a million wallets, and tapes of calls that no ledger has folded: what `scale.py` starts and kills.

A home is made by the ledger's own services for ten thousand members (home.py), and more are copies of the first one's rows: a million
through commands would take the evening. Its journal therefore does not verify; nothing that is measured here reads it.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from bench.home import KEY_FORMAT, MEMBERS, prepared
from bench.machine import DIR
from bench.micro.fold import reports
from tokenroll.services.keys import key_hash
from tokenroll.settings import load_settings
from tokenroll.store import tape

ATTEMPTS_PER_REPORT = 32_768
OVERLAP = 512

_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)"
_COPIES = {
    "members": ("printf('member_%032x', i)", "'Member ' || i"),
    "wallets": ("printf('wallet_%032x', i)",),
    "grants": ("printf('grant_%032x', i)",),
}


def home_of(wallets: int) -> Path:
    """The home of so many members (no fewer than home.py makes), wallets, lots and keys that runs copy; made at the first call and kept in `$BENCH_DIR`."""
    if wallets < MEMBERS:
        raise SystemExit(f"a home has {MEMBERS} wallets at least, not {wallets}")
    home = DIR / f"scale-{wallets}-of-{MEMBERS}"
    if not (home / "made").exists():
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(prepared(), home)
        _multiply(home, wallets)
        (home / "made").touch()
    return home


def _multiply(home: Path, wallets: int) -> None:
    pepper = load_settings(home).pepper()
    raw = sqlite3.connect(home / "ledger.db", isolation_level=None)
    raw.execute("PRAGMA synchronous=OFF")
    raw.execute("BEGIN")
    if wallets > MEMBERS:
        _copy_rows(raw, wallets, pepper)
    raw.execute("COMMIT")
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()


def _copy_rows(raw: sqlite3.Connection, wallets: int, pepper: bytes) -> None:
    named = {"first": MEMBERS + 1, "last": wallets}
    told = {
        "members": {"id": "i", "public_id": "printf('member_%032x', i)", "name": "'Member ' || i"},
        "wallets": {
            "id": "i", "public_id": "printf('wallet_%032x', i)", "holder_id": "i", "name": "'Member ' || i",
        },
        "wallet_values": {"wallet_id": "i"},
        "grants": {"id": "i", "public_id": "printf('grant_%032x', i)", "wallet_id": "i"},
        "lots": {"id": "i", "grant_id": "i", "wallet_id": "i"},
        "lot_values": {"lot_id": "i"},
    }  # fmt: skip
    for table, changed in told.items():
        columns = [row[1] for row in raw.execute(f"PRAGMA table_info({table})")]
        key = "id" if "id" in columns else columns[0]
        chosen = ", ".join(changed.get(column, f"t.{column}") for column in columns)
        raw.execute(
            f"INSERT INTO {table} {_NUMBERS} SELECT {chosen} FROM n CROSS JOIN {table} t WHERE t.{key} = 1", named
        )
    first = raw.execute("SELECT * FROM api_keys WHERE id = 1").fetchone()
    columns = [row[1] for row in raw.execute("PRAGMA table_info(api_keys)")]
    places = {name: columns.index(name) for name in ("id", "public_id", "member_id", "secret_hash")}
    marks = ",".join("?" * len(columns))

    def rows() -> Iterator[list[object]]:
        for number in range(MEMBERS, wallets):
            row = list(first)
            row[places["id"]] = row[places["member_id"]] = number + 1
            row[places["public_id"]] = f"key_{number + 1:032x}"
            row[places["secret_hash"]] = key_hash(pepper, (KEY_FORMAT % number).encode())
            yield row

    raw.executemany(f"INSERT INTO api_keys VALUES ({marks})", rows())


def write_unfolded(home: Path, epoch: int, records: int, wallets: int) -> int:
    """A tape of worker 0 with so many records at least, as its life `epoch` would have left it; how many there are."""
    directory = tape.worker_directory(home / "tape", 0)
    for path in directory.glob(f"{epoch:08d}-*.tape"):
        path.unlink()
    writer = tape.TapeWriter(
        directory, worker=0, epoch=epoch, boot_id=tape.kernel_boot_id(), created_at=1_767_600_000_000_000
    )
    needed = -(-records // (2 * ATTEMPTS_PER_REPORT))
    last = 0
    for report in reports(wallets, ATTEMPTS_PER_REPORT, needed, OVERLAP):
        for block in tape.split_blocks(report):
            if last < records:
                writer.write(block.raw, 0)
                last = block.last_sequence
    writer.close()
    return last
