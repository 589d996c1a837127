"""How fast usage from elsewhere comes into the lake: large tables as CSV and as Parquet, and logs of Claude Code.

Tables are made up, the same on every run: calls in the order of their time, of 5,000 people on 30 days. Each measurement is a process of
its own. Reading and pricing is one thread, appending to the lake another; CPU-seconds stand beside the rows per second, for a machine
that others use, too. Memory is the peak of the process, at two sizes of the table.

usage: python -m bench.imports [--rows 4000000] [--lines 400000] [--quick] [--json FILE]
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from tokenroll.services.importers.bulk_tables import bulk_tables, slices_ahead
from tokenroll.services.importers.claude_code import claude_code_events
from tokenroll.services.importers.column_maps import ColumnMap
from tokenroll.services.importers.intake import Intake
from tokenroll.services.list_prices import ListPrices, published_list_prices
from tokenroll.store.lake import open_lake

FIRST_AT = 1_767_571_200_000_000
DAYS_MICROS = 30 * 86_400_000_000
MEMBERS = 5_000
PROJECTS = 200
MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-20250514", "claude-opus-4-20250514", "gemini-2.5-pro")
PART_ROWS = 500_000
PROCESSES = 2
PLAIN = ColumnMap(
    columns={
        "time": "time", "model": "model", "member": "member", "key": "key", "project": "project", "input_tokens": "input_tokens",
        "output_tokens": "output_tokens", "cache_read_tokens": "cached_tokens", "billed_cost": "cost",
    },
    source="bench", input_includes_cached=True,
)  # fmt: skip
LITELLM_NAMES = {
    "time": "startTime", "member": "user", "key": "api_key", "input_tokens": "prompt_tokens", "output_tokens": "completion_tokens",
    "cached_tokens": "cache_read_input_tokens", "cost": "spend", "project": "team_id",
}  # fmt: skip
KINDS = ("csv", "parquet", "litellm.csv")


def texts(form: str, numbers: Any, many: int) -> Any:
    """Texts by number."""
    return pa.array([form.format(one) for one in range(many)]).take(pa.array(numbers))


def part(start: int, rows: int, every: int) -> pa.Table:
    """Some rows of a table of so many."""
    chance = np.random.default_rng(start)
    at = FIRST_AT + np.arange(start, start + rows, dtype=np.int64) * (DAYS_MICROS // every // 1_000 * 1_000)
    member, model = chance.integers(0, MEMBERS, rows), chance.integers(0, len(MODELS), rows)
    into, out = chance.integers(200, 60_000, rows), chance.integers(20, 4_000, rows)
    nanos = np.stack([(into * 3_000 + out * 15_000) * (model + 1), np.zeros(rows, np.int64)], axis=1)
    return pa.table(
        {
            "time": pa.array(at).cast(pa.timestamp("us", "UTC")),
            "model": pa.array(MODELS).take(pa.array(model)),
            "member": texts("member-{:05}@example.com", member, MEMBERS),
            "key": texts("key-{:05}", member, MEMBERS),
            "project": texts("project-{:03}", member % PROJECTS, PROJECTS),
            "input_tokens": pa.array(into),
            "output_tokens": pa.array(out),
            "cached_tokens": pa.array(into * chance.integers(0, 10, rows) // 10),
            "cost": pa.Array.from_buffers(pa.decimal128(38, 9), rows, [None, pa.py_buffer(nanos)]),
        }
    )


def as_text(table: pa.Table, start: int, kind: str) -> pa.Table:
    """The same as a table in text has it; LiteLLM's has an id and other names."""
    at = pc.strftime(table["time"].cast(pa.timestamp("ms")), "%Y-%m-%dT%H:%M:%SZ")
    table = table.set_column(0, "time", at).set_column(8, "cost", table["cost"].cast(pa.string()))
    if kind != "litellm.csv":
        return table
    ids = pa.array(np.arange(start, start + table.num_rows)).cast(pa.string())
    table = table.add_column(0, "request_id", pc.binary_join_element_wise("chatcmpl", ids, "-"))
    return table.rename_columns([LITELLM_NAMES.get(name, name) for name in table.column_names])


def make_table(path: Path, kind: str, rows: int) -> None:
    """A table of so many rows, written in parts."""
    writer: Any = None
    for start in range(0, rows, PART_ROWS):
        table = part(start, min(PART_ROWS, rows - start), rows)
        if kind == "parquet":
            writer = writer or pq.ParquetWriter(path, table.schema)
        else:
            table = as_text(table, start, kind)
            writer = writer or pa_csv.CSVWriter(
                path, table.schema, write_options=pa_csv.WriteOptions(quoting_style="none")
            )
        writer.write_table(table)
    writer.close()


def append_table(path: Path, kind: str) -> Intake:
    """A table in a lake of its own beside it."""
    prices, intake = prices_read_once(), Intake()
    column_map = None if kind == "litellm.csv" else PLAIN
    with open_lake(path.with_suffix(".lake")) as lake:
        for one in slices_ahead(bulk_tables(path, "", prices, intake, column_map=column_map)):
            lake.append(one.rows, {"bench": one.row_count_through})
    return intake


def read_table(path: Path) -> dict[str, Any]:
    """One table, read, priced and appended to a lake beside it, after a small one; figures of this process."""
    kind = next(kind for kind in reversed(KINDS) if path.name.endswith(kind))
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / f"small.{kind}"
        make_table(small, kind, 1_000)
        append_table(small, kind)
    began, spent = time.perf_counter(), time.process_time()
    intake = append_table(path, kind)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - spent
    if intake.event_count != intake.row_count:
        raise SystemExit(f"{path}: {intake.summary()}")
    return {
        "rows": intake.event_count,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds, 2),
        "rows_per_second": round(intake.event_count / seconds),
        "rows_per_cpu_second": round(intake.event_count / cpu_seconds),
        "peak_mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def make_log(path: Path, lines: int) -> None:
    """A session of Claude Code with so many answers."""
    with path.open("w", encoding="utf-8") as stream:
        for number in range(lines):
            usage = {"input_tokens": 4, "cache_read_input_tokens": 20_000 + number, "output_tokens": 300}
            line = {
                "parentUuid": f"{number:032x}", "type": "assistant", "timestamp": "2026-01-05T08:00:00.000Z", "sessionId": path.stem,
                "requestId": f"req_{number:024}", "cwd": "/srv/app", "message": {
                    "id": f"msg_{number:024}", "role": "assistant", "model": "claude-sonnet-4-20250514", "usage": usage,
                    "content": [{"type": "text", "text": "A line of an answer. " * 40}],
                },
            }  # fmt: skip
            stream.write(json.dumps(line) + "\n")


def read_log(path: Path) -> tuple[int, float]:
    """How many events there are in one log, and the CPU-seconds that it took."""
    prices, spent = prices_read_once(), time.process_time()
    return sum(1 for _ in claude_code_events(path, "", prices, Intake())), time.process_time() - spent


@cache
def prices_read_once() -> ListPrices:
    """The published prices, which a process reads once, whatever it imports."""
    return published_list_prices()


def logs(folder: Path, lines: int) -> dict[str, Any]:
    """Logs on two processes, once they are started and have read the prices."""
    paths = [folder / f"{number}.jsonl" for number in range(PROCESSES)]
    for path in paths:
        make_log(path, lines // PROCESSES)
    small = folder / "small.jsonl"
    make_log(small, 100)
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        pool.map(read_log, [small] * 4 * PROCESSES, chunksize=1)
        began = time.perf_counter()
        done = pool.map(read_log, paths, chunksize=1)
        seconds = time.perf_counter() - began
    count, cpu_seconds = (sum(figures) for figures in zip(*done, strict=True))
    return {
        "lines": count,
        "seconds": round(seconds, 2),
        "lines_per_second": round(count / seconds),
        "lines_per_cpu_second": round(count / cpu_seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.imports", description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--lines", type=int, default=400_000)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the rows and lines: does it work")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.read:
        print(json.dumps(read_table(asked.read)))
        return
    if asked.quick:
        asked.rows, asked.lines = asked.rows // 100, asked.lines // 100
    found: dict[str, Any] = {"python": platform.python_version(), "pyarrow": pa.__version__, "cores": os.cpu_count()}
    found["load"] = round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory() as folder:
        found["claude-code"] = logs(Path(folder), asked.lines)
        for kind in KINDS:
            found[kind] = []
            for rows in (asked.rows // 4, asked.rows):
                path = Path(folder) / f"{rows}.{kind}"
                make_table(path, kind, rows)
                command = [sys.executable, "-m", "bench.imports", "--read", str(path)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
                found[kind].append({"bytes": path.stat().st_size, **json.loads(done.stdout)})
                path.unlink()
    print(json.dumps(found, indent=2))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
