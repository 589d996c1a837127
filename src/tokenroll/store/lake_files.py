"""How a file of the lake is written: a stream of rows that becomes Parquet and, in passing, the facts that its manifest says of it."""

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

from tokenroll.model.limits import LAKE_MEMORY_BYTES, LAKE_ROW_GROUP_ROWS, LAKE_THREADS_MAX
from tokenroll.store.lake_libraries import arrow, arrow_compute, arrow_parquet, duckdb, ibis
from tokenroll.store.lake_manifest import Disk, LakeFile, file_digest
from tokenroll.store.lake_schema import DAY_MICROS, ROLLUP, SUMMED, USAGE, VERSION, schema_of

INT64_MAX: Final = 2**63 - 1
_FIRST_DAY: Final = date(1970, 1, 1)
_NAME_CHARACTERS: Final = 32
_GLOB: Final = re.compile(r"([*?\[])")
"""What DuckDB takes for a pattern in a path, and means itself in brackets."""
_OF_ONE_CALL: Final = ("event_id", "call_id")
"""Texts that no two rows share. Dictionaries of them, and of numbers, make files a quarter larger and take a fifth longer."""
_SPILL: Final = "spill"
"""Where the engine puts what does not fit into its memory."""


@contextlib.contextmanager
def lake_engine(directory: Path, *, threads: int = 0, memory_bytes: int = LAKE_MEMORY_BYTES) -> Iterator[Any]:
    """DuckDB, bounded in threads and memory, for as long as the block runs. Raises LakeLibraryError.

    It runs what ibis compiles. It is not opened through ibis, which loads every engine's dialect before the first question.
    """
    config = {
        "threads": threads or min(os.cpu_count() or 1, LAKE_THREADS_MAX),
        "memory_limit": f"{memory_bytes // 1024}KiB",
        "temp_directory": str(directory / _SPILL),
        "preserve_insertion_order": False,
    }
    engine = duckdb().connect(":memory:", config=config)
    try:
        yield engine
    finally:
        engine.close()


def table_of(kind: str) -> Any:
    """Rows of this kind as the table that expressions are of: an engine's own table of that name is asked."""
    return ibis().table(ibis().Schema.from_pyarrow(schema_of(kind)), name=kind)


def show_rows(engine: Any, directory: Path, files: Iterable[LakeFile], kind: str = USAGE) -> None:
    """From now on the engine's table of events, or of their sums, has the rows of these files."""
    paths = [_GLOB.sub(r"[\1]", str(directory / one.path)) for one in files]
    if paths:
        engine.read_parquet(paths).create_view(kind, replace=True)
    else:
        engine.from_arrow(schema_of(kind).empty_table()).create_view(kind, replace=True)


def tables_of(engine: Any, statement: str) -> Iterator[Any]:
    """The answer of a compiled expression, one table of some rows after the other. Sums of int64 arrive as decimals."""
    pa = arrow()
    for batch in engine.sql(statement).to_arrow_reader(LAKE_ROW_GROUP_ROWS):
        yield pa.Table.from_batches([batch])


def count_of(engine: Any, statement: str) -> int:
    """The one number that a compiled expression answers."""
    (row,) = engine.sql(statement).fetchall()
    return int(row[0] or 0)


@dataclass(slots=True)
class _Facts:
    """What is known of rows that went by."""

    time_column: str
    row_count: int = 0
    first_at: int = 0
    last_at: int = 0
    sources: set[str] = field(default_factory=set)
    currencies: set[str] = field(default_factory=set)
    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SUMMED, 0))

    def add(self, table: Any) -> None:
        pc = arrow_compute()
        at = pc.min_max(table.column(self.time_column)).as_py()
        if self.time_column == "day":
            at = {end: (day - _FIRST_DAY).days * DAY_MICROS for end, day in at.items()}
        self.first_at = min(self.first_at, at["min"]) if self.row_count else at["min"]
        self.last_at = max(self.last_at, at["max"])
        self.row_count += table.num_rows
        self.sources.update(pc.unique(table.column("source")).to_pylist())
        self.currencies.update(pc.unique(table.column("currency")).to_pylist())
        for name in SUMMED:
            self.sums[name] += _magnitude(table.column(name))


def _magnitude(column: Any) -> int:
    """The exact sum of absolute values, which may be wider than int64."""
    pa, pc = arrow(), arrow_compute()
    if column.null_count == len(column):
        return 0
    ends = pc.min_max(column).as_py()
    sizes = pc.abs(column) if ends["min"] < 0 else column
    if max(-ends["min"], ends["max"]) * len(column) <= INT64_MAX:
        return int(pc.sum(sizes).as_py())
    return int(pc.sum(sizes.cast(pa.decimal128(38, 0))).as_py())


@dataclass(frozen=True, slots=True)
class Half:
    """A file that is written, and neither durable nor under its own name yet."""

    path: Path
    kind: str
    day: str
    facts: _Facts


def write_half(directory: Path, kind: str, day: str, tables: Iterable[Any]) -> Half:
    """These rows of one day, written; days can be written side by side."""
    schema = schema_of(kind)
    folder = directory / kind / f"v{VERSION}" / f"day={day}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    half = folder / "half"
    facts = _Facts({USAGE: "admitted_at", ROLLUP: "hour_at"}.get(kind, "day"))
    coded = [one.name for one in schema if one.type == arrow().string() and one.name not in _OF_ONE_CALL]
    with arrow_parquet().ParquetWriter(half, schema, compression="zstd", use_dictionary=coded) as writer:
        for table in tables:
            rows = table.select(schema.names).cast(schema)
            if rows.num_rows:
                facts.add(rows)
                writer.write_table(rows, row_group_size=LAKE_ROW_GROUP_ROWS)
    return Half(half, kind, day, facts)


def seal(
    directory: Path, disk: Disk, kind: str, day: str, tables: Iterable[Any], *, of: Iterable[str] = ()
) -> LakeFile | None:
    """One file of these rows of one day, durable and under its own name, which no manifest names yet; None for no rows."""
    return seal_half(directory, disk, write_half(directory, kind, day, tables), of=of)


def seal_half(directory: Path, disk: Disk, written: Half, *, of: Iterable[str] = ()) -> LakeFile | None:
    """A written file as `seal` leaves it.

    A usage file is named after its bytes, so rows that are written twice are one file. A roll-up is named after the usage files that it
    is `of`, because two of them may well have the same sums.
    """
    half, kind, facts = written.path, written.kind, written.facts
    if not facts.row_count:
        disk.remove(half)
        return None
    disk.sync(half)
    digest = file_digest(half)
    folder = half.parent
    name = digest if kind == USAGE else hashlib.sha256("\n".join(sorted(of)).encode()).hexdigest()
    path = folder / f"{name[:_NAME_CHARACTERS]}.parquet"
    disk.rename(half, path)
    for one in (folder, folder.parent, folder.parent.parent, directory):
        disk.sync(one)
    return LakeFile(
        path=str(path.relative_to(directory)), kind=kind, day=written.day, digest=digest, row_count=facts.row_count,
        admitted_from_at=facts.first_at, admitted_last_at=facts.last_at, sources=tuple(sorted(facts.sources)),
        currencies=tuple(sorted(facts.currencies)), widest=str(max(facts.sums.values())), rolled=kind != USAGE,
    )  # fmt: skip


def int64_holds(files: Iterable[LakeFile]) -> bool:
    """Whether every sum of every column over any rows of these files fits in int64, which is proven and not hoped."""
    return sum(int(one.widest) for one in files) <= INT64_MAX


Tell = Callable[[str], None]
"""Says to whoever waits what is being done."""
