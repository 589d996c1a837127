"""Real processes, really killed: what they had told the kernel or the ledger is there afterwards, once."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.test_it_recovers_at_every_boundary import recover
from tests.empty_ledger import sqlite_connection
from tests.ledger_kit import (
    ADA_LOT,
    BOOT,
    START,
    Kit,
    Report,
    begin_life,
    dispatched_record,
    hold_record,
    image,
    new_ledger,
    pack_block,
    settle_record,
)
from tokenroll.store.attempt_record import hold_key
from tokenroll.store.database import open_writer, raw_connection
from tokenroll.store.tape import worker_directory
from tokenroll.store.verify import verify

ROOT = Path(__file__).resolve().parents[2]


def child(*arguments):
    command = [sys.executable, "-m", "tests.crash.child", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def kill_after_lines(process, lines):
    """The last line that was seen before SIGKILL."""
    seen = ""
    for _ in range(lines):
        seen = process.stdout.readline()
    process.kill()
    seen = process.stdout.read().strip().rsplit("\n", 1)[-1] or seen
    process.stdout.close()
    process.wait()
    return int(seen)


@pytest.mark.parametrize("calls", [3, 40])
def test_it_knows_every_call_of_a_killed_worker(tmp_path, calls):
    told = kill_after_lines(child("worker", tmp_path), calls)
    one = Kit()
    recover(one, worker_directory(tmp_path, 0), BOOT)
    known = {
        hold_key(key).sequence
        for (key,) in one.rows("SELECT hold_key FROM holds UNION SELECT hold_key FROM settlements")
    }
    suspended = {hold_key(key).sequence for (key,) in one.rows("SELECT hold_key FROM holds WHERE state = 'suspense'")}
    assert told in known
    assert {sequence for sequence in known if sequence % 2 == 0 and sequence <= told} <= suspended
    one.connection.rollback()
    assert verify(one.connection, one.now).differences == []


def test_it_folds_to_the_same_chain_however_often_its_ledger_is_killed(tmp_path):
    blocks = [
        pack_block(first, [hold_record(first, (ADA_LOT, 1_000)), dispatched_record(first), settle_record(first, 0, 0)])
        for first in range(1, 1_800, 3)
    ]
    report = tmp_path / "report"
    report.write_bytes(b"".join(blocks))
    begun = tmp_path / "begun.db"
    connection = open_writer(begun)
    connection.rollback()
    sqlite_connection(image()).backup(sqlite_connection(connection))
    ledger = new_ledger(connection, lambda: START)
    begin_life(ledger)
    raw_connection(connection).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    killed = tmp_path / "killed.db"
    shutil.copy(begun, killed)
    for block in blocks:
        ledger.report(Report(worker=0, epoch=1, blocks=block))
    for lines in (1, 20, 100):
        acknowledged = kill_after_lines(child("ledger", killed, report), lines)
        again = new_ledger(open_writer(killed), lambda: START)
        assert again.folded_sequence(0, 1) >= acknowledged, "an acknowledged fold was lost"
        again.connection.close()
        again.connection.engine.dispose()
    finished = child("ledger", killed, report)
    assert finished.stdout.read().strip().endswith("1800")
    finished.stdout.close()
    assert finished.wait() == 0
    again = new_ledger(open_writer(killed), lambda: START)
    assert again.status().values["head"] == ledger.status().values["head"]
    again.connection.rollback()
    assert verify(again.connection, START).differences == []
    for one in (again, ledger):
        one.connection.close()
        one.connection.engine.dispose()
