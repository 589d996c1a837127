"""A pay run measured: seconds, CPU seconds, peak memory and microseconds per wallet, at growing numbers of wallets.

Every wallet has three lots, granted in three months, and a hundred roll-up rows of the month that is closed: days, two models and
two projects. The run is the ledger's own command `payrun.close`: every slip is computed, checked and stored, all in one
transaction that is on stable storage when the clock stops. Each size is a ledger of its own in processes of their own, so that
memory is its own, too; sizes take turns, because the machine is not ours alone. Then one wallet with 10,000 lots
is shown, as the command line and `/me` ask for it.

The ledger is filled by rows, not by calls: a hundred million calls would take the day. Roll-ups are held against settlements by
`tests/property/test_it_rolls_up.py` and by `tokenroll journal verify`. `--wheel` measures what is installed for load, as `make bench`
does.

usage: python -m bench.payrun [--wallets 10000,100000,1000000] [--rounds 2] [--lots 10000] [--folder DIR] [--json FILE] [--wheel]
"""

import argparse
import json
import multiprocessing
import os
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from bench.subjects import installed_wheel
from tokenroll.app import random_bits
from tokenroll.services.commands import COMMANDS
from tokenroll.services.ledger import Ledger
from tokenroll.services.protocol import Command
from tokenroll.services.reporting import Reports
from tokenroll.store.database import connect_writer, open_reader, open_writer, raw_connection

NOVEMBER, DECEMBER, JANUARY = 1_761_955_200_000_000, 1_764_547_200_000_000, 1_767_225_600_000_000
MAY = 1_777_593_600_000_000
CLOSING_AT = 1_769_990_400_000_000  # 2026-02-02T00:00Z
FIRST_DAY = 739_617  # 2026-01-01, counted from the year 1
CYCLE = 202601
LOTS = 3
CLOSINGS_PER_ROUND_MAX = 30
LOOKS = 40
ROLLUPS = 100
GRANT_NANOS = 200_000_000_000
WALL_SECONDS_MAX, BYTES_MAX, FLAT_PERCENT, SHOWN_MILLISECONDS_MAX = 60.0, 2 * 1024**3, 15.0, 50.0

_PLAN = """INSERT INTO plans(id, public_id, name, version, kind, classification, amount_nanos, effective_at, vesting_kind,
    vesting_months, cliff_months, priority, enforcement, cap_policy, output_cap_tokens, overage_nanos_max, recorded_at)
    VALUES (1, 'plan_1', 'tools', 1, 'stipend', 'tool', 0, 0, 'immediate', 0, 0, 100, 'enforce', 'deny', 16384, 0, 0)"""
_NUMBERS = "WITH RECURSIVE w(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM w WHERE i < :count)"
_GRANT_COLUMNS = (
    "id, public_id, wallet_id, plan_id, kind, classification, amount_nanos, effective_at, recorded_at, vesting_kind, "
    "vesting_months, cliff_months, lifetime_count, lifetime_unit, priority, vesting_terms"
)
_LOT_COLUMNS = "id, grant_id, wallet_id, classification, priority, amount_nanos, effective_at, expires_at"
_ROLLUPS = f"""INSERT INTO spend_rollups
    {_NUMBERS}, k(j) AS (SELECT 0 UNION ALL SELECT j + 1 FROM k WHERE j < {ROLLUPS - 1})
    SELECT {CYCLE}, i, i + (j / 34) * :count, j % 34 / 17 + 1, {FIRST_DAY} + j % 17, 12345678 + j * 1000 + i % 1000, 7, 0
    FROM w CROSS JOIN k"""
_SPENT = f"""INSERT INTO lot_values(lot_id, spent_nanos)
    {_NUMBERS} SELECT i + :month * :count, :rows * (12345678 + i % 1000) + 1000 * :numbers FROM w"""
"""What the roll-ups of a lot add up to; the run would refuse every slip if it were anything else."""


def fill(path: Path, count: int) -> None:
    """A company of so many wallets. Lots of one month have neighbouring ids, as the month's grants would."""
    connection = open_writer(path)
    connection.commit()
    raw = raw_connection(connection)
    for pragma in ("journal_mode=DELETE", "journal_mode=OFF", "synchronous=OFF"):  # a fill that fails is begun again
        raw.execute(f"PRAGMA {pragma}").fetchall()
    named = {"count": count}
    raw.execute("BEGIN")
    raw.execute("INSERT INTO settings VALUES ('zone', 'UTC', 0)")
    raw.execute(_PLAN)
    raw.execute(
        f"INSERT INTO wallets {_NUMBERS} SELECT i, 'wallet_' || i, 'member', i, 'Ada ' || i, 'UTC', 0 FROM w", named
    )
    raw.execute(f"INSERT INTO wallet_values {_NUMBERS} SELECT i, 0, 700, 0, 0 FROM w", named)
    for month, at in enumerate((NOVEMBER, DECEMBER, JANUARY)):
        given = {**named, "at": at, "month": month, "until": MAY}
        raw.execute(
            f"INSERT INTO grants ({_GRANT_COLUMNS}) {_NUMBERS} SELECT i + :month * :count, 'grant_' || (i + :month * :count), i, 1, 'stipend', "
            f"'tool', {GRANT_NANOS}, :at, :at, 'immediate', 0, 0, 6, 'month', 100, NULL FROM w",
            {key: given[key] for key in ("count", "month", "at")},
        )
        raw.execute(
            f"INSERT INTO lots ({_LOT_COLUMNS}) {_NUMBERS} SELECT i + :month * :count, i + :month * :count, i, 'tool', 100, {GRANT_NANOS}, :at, "
            ":until FROM w",
            {key: given[key] for key in ("count", "month", "at", "until")},
        )
    for month, numbers in enumerate((range(34), range(34, 68), range(68, 100))):
        raw.execute(_SPENT, {"count": count, "month": month, "rows": len(numbers), "numbers": sum(numbers)})
    raw.execute("INSERT INTO spend_labels VALUES (1, 'gpt-5-mini', 'checkout', 0), (2, 'claude-opus-5-5', '', 0)")
    raw.execute(_ROLLUPS, {"count": count})
    raw.execute("COMMIT")
    connection.close()


def run(path: Path, first: int, count: int) -> list[dict[str, Any]]:
    """So many closings, each kept on stable storage; the cycle is opened again before each but the very first of a ledger."""
    found = []
    for number in range(first, first + count):
        connection = connect_writer(path)
        ledger = Ledger(connection, lambda: CLOSING_AT, COMMANDS, random_bits)
        if number:
            ledger.execute(Command(f"reopen-{number}", "payrun.reopen", {"cycle": "2026-01", "reason": "once more"}))
        started, cpu = time.perf_counter(), _cpu_seconds()
        reply = ledger.execute(Command(f"close-{number}", "payrun.close", {"cycle": "2026-01"}))
        wall, cpu = time.perf_counter() - started, _cpu_seconds() - cpu
        if reply.result is None:
            raise SystemExit(reply.problem)
        found.append({"wall_seconds": wall, "cpu_seconds": cpu, "slip_count": reply.result["slip_count"]})
        sums = reply.result
        moved = sums["opening_nanos"] + sums["vested_nanos"] - sums["spent_nanos"] - sums["breakage_nanos"]
        if moved != sums["closing_nanos"]:
            raise SystemExit(f"the run does not add up: {sums}")
        connection.close()
    return found


def _cpu_seconds() -> float:
    """Of this process, and of those that it started and that ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _resident_bytes(process: int, *, children: bool = True) -> int:
    """Of a process and of all that it started; what they share counts in each, so never less than it is."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        started = [*map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())] if children else []
    except OSError:  # it has ended
        return 0
    return pages * resource.getpagesize() + sum(map(_resident_bytes, started))


def measure(counts: Sequence[int], rounds: int, folder: str | None) -> list[dict[str, Any]]:
    """Every size on a ledger of its own, its runs in processes of their own, in turn: a slow minute of the machine is everybody's.

    A size is run as often in each round as the largest one lasts, at most. The shortest closing counts, and the mean CPU of all.
    """
    with tempfile.TemporaryDirectory(dir=folder) as home:
        paths = {count: Path(home) / f"{count}.db" for count in counts}
        for count, path in paths.items():
            _apart(fill, path, count)
        runs: dict[int, list[dict[str, Any]]] = {count: [] for count in counts}
        peak_bytes = dict.fromkeys(counts, 0)
        for _ in range(rounds):
            for count, path in paths.items():
                closings = max(1, min(max(counts) // count // 2, CLOSINGS_PER_ROUND_MAX))
                found, peak = _apart(run, path, len(runs[count]), closings)
                runs[count] += found
                peak_bytes[count] = max(peak_bytes[count], peak)
        return [_measured(count, runs[count], peak_bytes[count], paths[count].stat().st_size) for count in counts]


def _measured(count: int, runs: list[dict[str, Any]], peak_bytes: int, database_bytes: int) -> dict[str, Any]:
    wall = min(one["wall_seconds"] for one in runs)
    cpu = sum(one["cpu_seconds"] for one in runs) / len(runs)
    return {
        "wallets": count, "closings": len(runs), "slip_count": runs[0]["slip_count"], "wall_seconds": wall, "cpu_seconds": cpu,
        "wall_micros_per_wallet": wall / count * 1e6, "cpu_micros_per_wallet": cpu / count * 1e6, "peak_bytes": peak_bytes,
        "database_bytes": database_bytes,
    }  # fmt: skip


def _apart(work: Callable[..., Any], *arguments: object) -> tuple[Any, int]:
    """What `work` gives in a process of its own, and the most memory that this and all it started held at a time."""
    peak_bytes = 0
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = pool.submit(work, *arguments)
        while not running.done():
            peak_bytes = max(peak_bytes, _resident_bytes(os.getpid()) - _resident_bytes(os.getpid(), children=False))
            time.sleep(0.1)
        return running.result(), peak_bytes


def shown(lots: int, folder: str | None) -> dict[str, Any]:
    """The best of `LOOKS` looks at one wallet of so many lots, from a connection of its own, in milliseconds."""
    with tempfile.TemporaryDirectory(dir=folder) as home:
        path = Path(home) / "ledger.db"
        fill(path, 1)
        raw = sqlite3.connect(path)
        count = (lots - LOTS + 9) // 10  # ten lots a grant
        raw.executemany(
            f"INSERT INTO grants ({_GRANT_COLUMNS}) VALUES (?,?,1,1,'stipend','tool',?,?,?,'immediate',0,0,6,'month',100,NULL)",
            ((100 + i, f"grant_{100 + i}", 10 * GRANT_NANOS, JANUARY, JANUARY) for i in range(count)),
        )
        rows = [(100 + i, 100 + i // 10, GRANT_NANOS, JANUARY + i, MAY + i) for i in range(lots - LOTS)]
        raw.executemany(f"INSERT INTO lots ({_LOT_COLUMNS}) VALUES (?,?,1,'tool',100,?,?,?)", rows)
        raw.executemany("INSERT INTO lot_values(lot_id, spent_nanos) VALUES (?,0)", ((row[0],) for row in rows))
        raw.commit()
        raw.close()
        engine = open_reader(path)
        best: dict[str, float] = {}
        asked: dict[str, Callable[[Reports], object]] = {
            "wallet show": lambda reports: reports.wallet("wallet_1"),
            "/me": lambda reports: (reports.wallet("wallet_1"), reports.grants("wallet_1", limit=100)),
            "payslip show": lambda reports: reports.payslip("wallet_1", "2026-01"),
        }
        for name, ask in asked.items():
            for _ in range(LOOKS):
                time.sleep(0.05)  # a busy moment of the machine lasts longer than a look
                with engine.connect() as connection:
                    started = time.perf_counter()
                    ask(Reports(connection, CLOSING_AT))
                    milliseconds = (time.perf_counter() - started) * 1e3
                best[name] = min(best.get(name, milliseconds), milliseconds)
        engine.dispose()
        return {"lots": lots, "milliseconds": best}


def verdicts(curve: list[dict[str, Any]], wallet: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """What is demanded, what was found, and whether that is enough."""
    last = curve[-1]
    costs = [one["cpu_micros_per_wallet"] for one in curve]
    middle = (max(costs) + min(costs)) / 2
    spread = (max(costs) - middle) / middle * 100
    slowest = max(wallet["milliseconds"][name] for name in ("wallet show", "/me"))
    return [
        (
            f"{last['wallets']:,} wallets <= 60 s",
            f"{last['wall_seconds']:.1f} s",
            last["wall_seconds"] <= WALL_SECONDS_MAX,
        ),
        ("<= 2 GiB", f"{last['peak_bytes'] / 1024**3:.2f} GiB", last["peak_bytes"] <= BYTES_MAX),
        ("CPU per wallet flat, +- 15 %", f"+- {spread:.1f} %", spread <= FLAT_PERCENT),
        (f"a wallet of {wallet['lots']:,} lots <= 50 ms", f"{slowest:.1f} ms", slowest <= SHOWN_MILLISECONDS_MAX),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wallets", default="10000,100000,1000000")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--lots", type=int, default=10_000)
    parser.add_argument("--folder", default=None)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--wheel", action="store_true", help="what `make wheel` makes, not the source")
    options = parser.parse_args()
    if options.wheel and os.environ.get("PYTHONPATH") != str(installed_wheel()):
        environment = {**os.environ, "PYTHONPATH": str(installed_wheel())}
        os.execve(sys.executable, [sys.executable, "-m", "bench.payrun", *sys.argv[1:]], environment)
    curve = measure([int(one) for one in options.wallets.split(",")], options.rounds, options.folder)
    print(
        f"{'wallets':>10}  {'wall, s':>8}  {'CPU, s':>8}  {'wall us/wallet':>14}  {'CPU us/wallet':>13}  {'peak MiB':>8}  {'db MiB':>8}"
    )
    for one in curve:
        bar = "#" * round(one["cpu_micros_per_wallet"] / 2)
        print(
            f"{one['wallets']:>10,}  {one['wall_seconds']:>8.2f}  {one['cpu_seconds']:>8.2f}  {one['wall_micros_per_wallet']:>14.1f}  "
            f"{one['cpu_micros_per_wallet']:>13.1f}  {one['peak_bytes'] / 1024**2:>8.0f}  {one['database_bytes'] / 1024**2:>8.0f}  {bar}",
        )
    wallet = shown(options.lots, options.folder)
    for name, milliseconds in wallet["milliseconds"].items():
        print(f"one wallet of {wallet['lots']:,} lots, {name}: {milliseconds:.1f} ms")
    found = verdicts(curve, wallet)
    for demand, figure, holds in found:
        print(f"{'holds' if holds else 'MISSED':>6}  {demand}: {figure}")
    if options.json is not None:
        said = {"at": time.time(), "cores": os.cpu_count(), "curve": curve, "wallet": wallet, "verdicts": found}
        options.json.write_text(json.dumps(said, indent=1))


if __name__ == "__main__":
    main()
