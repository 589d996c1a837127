"""What else goes on while latency is measured: a company imports usage, table after table, into the same home."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from bench.imports import part
from bench.interpreter import environment_of, interpreter
from bench.machine import DIR, LOAD_CORE
from bench.subjects import installed_wheel

TABLES, ROWS = 8, 500_000


def tables() -> list[Path]:
    """Tables of calls, each of other ones, made at the first call."""
    folder = DIR / "tables"
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.parquet" for number in range(TABLES)]
    for number, path in enumerate(paths):
        if not path.is_file():
            pq.write_table(part(number * ROWS, ROWS, TABLES * ROWS), path)
    return paths


@contextlib.contextmanager
def importing(home: Path) -> Iterator[list[int]]:
    """While it is open, tables are imported into the home one after the other; filled with the rows of each that is in."""
    rows: list[int] = []
    over = threading.Event()
    running: list[subprocess.Popen[bytes]] = []
    environment = {**environment_of(installed_wheel()), "TOKENROLL_HOME": str(home)}
    program = ["taskset", "-c", str(LOAD_CORE), interpreter(), "-m", "tokenroll", "usage", "import"]

    def work(paths: list[Path]) -> None:
        for path in paths:
            if over.is_set():
                return
            with (DIR / "import.log").open("ab") as log:
                command = [*program, str(path)]
                # a session of its own, as cron gives it
                running[:] = [
                    subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
                ]
            if running[0].wait() == 0:
                rows.append(ROWS)

    worker = threading.Thread(target=work, args=(tables(),), daemon=True)
    worker.start()
    try:
        yield rows
    finally:
        over.set()
        for process in running:
            process.terminate()
        worker.join()
