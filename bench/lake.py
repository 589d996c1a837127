"""The usage lake against DuckDB's own SQL over the same files, and its sums of a hundred million calls, by hour and by day.

Rows are made up, the same on every run, in a folder of their own that goes away. Each measurement is a process of its own, ours and
theirs in turn, so that one cannot warm up the other; seconds are the median of the best of each, memory is the peak of the process.

usage: python -m bench.lake [--rows 20000000] [--calls 100000000] [--rounds 5] [--quick] [--json FILE]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from tokenroll.model.instant import HOUR_MICROS, instant_from_datetime
from tokenroll.store.lake import open_lake, read_lake
from tokenroll.store.lake_files import seal
from tokenroll.store.lake_manifest import Disk, Manifest, write_manifest
from tokenroll.store.lake_queries import MEASURES, UsageQuery, answer
from tokenroll.store.lake_schema import DAILY, DAY_MICROS, ROLLUP, ROLLUP_KEYS, SUM_KEYS, SUMMED, USAGE, schema_of

FIRST_DAY = date(2026, 1, 1)
DAYS = 90
MEMBERS = 20_000
ACTIVE_MEMBERS = 5_750
"""On a day: 20,000 members on 90 days are some half a million pairs then, as people are not there every day."""
MODELS = ("sonnet", "opus", "haiku", "small")
WORKING_DAYS = 250
SUMMED_MEMBERS = 10_000
ROWS_A_MEMBER_DAY = 8
QUESTION = UsageQuery(by=("member", "day"), measures=("model_tokens", "list"))
SQL = """
    SELECT member, day, sum(model_tokens) AS model_tokens, sum(list_cost_nanos) AS list_cost_nanos
    FROM read_parquet(?) GROUP BY member, day ORDER BY member, day"""
MONTHS = UsageQuery(by=("department", "month"), measures=("model_tokens", "list"))


def words(form: str, numbers: Any, many: int) -> Any:
    """Texts by number."""
    return pa.DictionaryArray.from_arrays(
        pa.array(numbers, pa.int32()), pa.array([form.format(one) for one in range(many)])
    ).cast(pa.string())


def usage_of_day(number: int, rows: int) -> pa.Table:
    """One day's events."""
    chance = np.random.default_rng(number)
    there = chance.choice(MEMBERS, ACTIVE_MEMBERS, replace=False)
    member = there[chance.integers(0, ACTIVE_MEMBERS, rows)]
    model = chance.integers(0, len(MODELS), rows)
    start_at = (
        instant_from_datetime(datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC))
        + number * DAY_MICROS
    )
    at = start_at + 8 * HOUR_MICROS + chance.integers(0, 10 * HOUR_MICROS, rows)
    into, out = chance.integers(200, 60_000, rows), chance.integers(20, 4_000, rows)
    cost = into * 3_000 * (model + 1) + out * 15_000 * (model + 1)
    ids = pa.array(np.arange(rows) + number * 10_000_000).cast(pa.string())
    return pa.table(
        {
            "source": words("gateway", np.zeros(rows), 1), "event_id": ids, "admitted_at": pa.array(at),
            "provider": words("provider-{}", model % 2, 2), "requested_model": words("model-{}", model, len(MODELS)),
            "member": words("member-{:05}", member, MEMBERS), "department": words("department-{:03}", member % 200, 200),
            "cost_centre": words("cost-centre-{:02}", member % 40, 40), "key": words("key-{:05}", member, MEMBERS),
            "project": words("project-{:03}", member % 500, 500), "session": words("session-{:06}", member * 5 + model, MEMBERS * 6),
            "input_tokens": pa.array(into), "output_tokens": pa.array(out), "request_count": pa.array(np.ones(rows, np.int64)),
            "list_cost_nanos": pa.array(cost), "net_cost_nanos": pa.array(cost * 9 // 10), "charge_nanos": pa.array(cost),
        }
    )  # fmt: skip


def make_usage(directory: Path, rows: int) -> float:
    """A lake of so many events, day by day. Seconds of the appends."""
    spent = 0.0
    with open_lake(directory) as lake:
        for number in range(DAYS):
            table = usage_of_day(number, rows // DAYS)
            before = time.perf_counter()
            for start in range(0, table.num_rows, 500_000):
                lake.append(table.slice(start, 500_000), {"bench": number})
            spent += time.perf_counter() - before
    return spent


def make_rollups(directory: Path, calls: int) -> int:
    """The sums of so many calls of a year; how many hourly rows they are."""
    directory.mkdir(parents=True)
    files = []
    rows = SUMMED_MEMBERS * ROWS_A_MEMBER_DAY
    each = calls // (WORKING_DAYS * rows)
    schema = schema_of(ROLLUP)
    for number in range(WORKING_DAYS):
        chance = np.random.default_rng(number)
        day = FIRST_DAY + timedelta(days=number * 7 // 5)
        start_at = instant_from_datetime(datetime(day.year, day.month, day.day, tzinfo=UTC))
        hour = np.sort(chance.integers(8, 18, rows))
        member = chance.integers(0, SUMMED_MEMBERS, rows)
        model = chance.integers(0, len(MODELS), rows)
        tokens = chance.integers(1_000, 300_000, rows)
        columns: dict[str, Any] = {name: words("", np.zeros(rows), 1) for name in ROLLUP_KEYS}
        columns |= {
            "hour_at": pa.array(start_at + hour * HOUR_MICROS), "day": pa.array([day]).take(pa.array(np.zeros(rows, np.int64))),
            "member": words("member-{:05}", member, SUMMED_MEMBERS), "department": words("department-{:03}", member % 200, 200),
            "cost_centre": words("cost-centre-{:02}", member % 40, 40), "key": words("key-{:05}", member, SUMMED_MEMBERS),
            "model": words("model-{}", model, len(MODELS)), "currency": words("USD", np.zeros(rows), 1),
            "call_count": pa.array(np.full(rows, each)), "model_tokens": pa.array(tokens), "input_tokens": pa.array(tokens),
            "list_cost_nanos": pa.array(tokens * 4_000), "charge_nanos": pa.array(tokens * 4_000),
        }  # fmt: skip
        table = pa.table([columns.get(name, pa.nulls(rows, pa.int64())) for name in schema.names], schema=schema)
        summed = table.group_by(list(SUM_KEYS[DAILY])).aggregate([(name, "sum") for name in ("call_count", *SUMMED)])
        daily = summed.rename_columns([name.removesuffix("_sum") for name in summed.column_names])
        for kind, one in ((ROLLUP, table), (DAILY, daily)):
            made = seal(directory, Disk(), kind, day.isoformat(), [one], of=[str(number)])
            assert made is not None
            files.append(made)
    write_manifest(directory, Manifest(files=tuple(files)), Disk())
    return WORKING_DAYS * rows


def measure(what: str, directory: Path) -> dict[str, Any]:
    """One process's work, three times: the best seconds, the peak of its memory, and what it found."""
    seconds = []
    found: Any = None
    with read_lake(directory) as view:
        paths = [str(directory / one.path) for one in view.manifest.of_kind(USAGE)]
        for _ in range(3):
            before = time.perf_counter()
            if what == "sql":
                found = duckdb.connect().sql(SQL, params=[paths]).to_arrow_table()
            elif what == "ours":
                found = answer(view, QUESTION, kinds=(USAGE,)).table
            else:
                found = answer(view, MONTHS, kinds=(what,)).table
            seconds.append(time.perf_counter() - before)
    sums = [sum(int(value) for value in found.column(name).to_pylist()) for name in ("model_tokens", "list_cost_nanos")]
    return {"seconds": min(seconds), "peak_gb": peak_gb(), "groups": found.num_rows, "sums": sums}


def peak_gb() -> float:
    """This process's own peak: what `getrusage` tells begins with that of the process which started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 10**9


def in_own_process(what: str, directory: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.lake", "--measure", what, "--directory", str(directory)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(said))


def compare(directory: Path, rounds: int) -> dict[str, Any]:
    told: dict[str, list[dict[str, Any]]] = {"sql": [], "ours": []}
    for number in range(rounds):
        for what in ("sql", "ours") if number % 2 else ("ours", "sql"):
            told[what].append(in_own_process(what, directory))
    seconds = {what: statistics.median(one["seconds"] for one in runs) for what, runs in told.items()}
    return {
        "seconds": seconds, "ratio": seconds["ours"] / seconds["sql"], "groups": told["ours"][0]["groups"],
        "peak_gb": {what: max(one["peak_gb"] for one in runs) for what, runs in told.items()},
        "same_sums": all(one["sums"] == told["sql"][0]["sums"] for runs in told.values() for one in runs),
    }  # fmt: skip


def roll_up(directory: Path) -> dict[str, Any]:
    """The events rolled up, and every sum of both compared."""
    before = time.perf_counter()
    with open_lake(directory) as lake:
        lake.roll_up()
    seconds = time.perf_counter() - before
    query = UsageQuery(by=("department", "month"), measures=tuple(MEASURES))
    with read_lake(directory) as view:
        rows = sum(one.row_count for one in view.manifest.of_kind(ROLLUP))
        by_day, by_hour, raw = (answer(view, query, kinds=(kind,)) for kind in (DAILY, ROLLUP, USAGE))
    return {"seconds": seconds, "rows": rows, "equal_to_events": by_day.rows() == by_hour.rows() == raw.rows()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--calls", type=int, default=100_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the rows, once: does it work")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", default="")
    parser.add_argument("--directory", type=Path)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure, given.directory)))
        return
    if given.quick:
        given.rows, given.calls, given.rounds = given.rows // 100, given.calls // 100, 1
    with tempfile.TemporaryDirectory(prefix="tokenroll-lake-", dir=given.directory) as folder:
        usage, sums = Path(folder) / "usage", Path(folder) / "sums"
        append_seconds = make_usage(usage, given.rows)
        size = sum(one.stat().st_size for one in usage.rglob("*.parquet"))
        result: dict[str, Any] = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores", "rows": given.rows, "bytes_a_row": size / given.rows, "append_rows_a_second": given.rows / append_seconds,
            "member x day": compare(usage, given.rounds), "roll-up": roll_up(usage),
        }  # fmt: skip
        rows = make_rollups(sums, given.calls)
        for kind in (ROLLUP, DAILY):
            runs = [in_own_process(kind, sums) for _ in range(given.rounds)]
            result[f"department x month, {kind}"] = {
                "calls": given.calls, "hourly_rows": rows, "groups": runs[0]["groups"], "sums": runs[0]["sums"],
                "seconds": statistics.median(one["seconds"] for one in runs), "peak_gb": max(one["peak_gb"] for one in runs),
            }  # fmt: skip
    print(json.dumps(result, indent=2))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
