"""Large tables (CSV and Parquet) as slices of the lake's rows, by the same mapping and with the same result as row by row.

A table of a hundred million calls is read column by column, a slice at a time: memory stays flat, and each slice is one append whose
mark says how many rows of the file are gone through, from which the next import goes on.
"""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

from tokenroll.model.instant import Instant
from tokenroll.model.limits import IMPORT_SLICE_ROWS, IMPORT_SLICE_ROWS_MAX
from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import Billing, UsageEvent
from tokenroll.services.importers.bulk_cells import Cells, TableCells, joined
from tokenroll.services.importers.bulk_rows import BulkReader
from tokenroll.services.importers.columns import ColumnMap, RowReader, row_reader
from tokenroll.services.importers.intake import Intake
from tokenroll.services.importers.parquet_tables import ParquetTable, is_parquet
from tokenroll.services.importers.tables import text_lines
from tokenroll.services.list_prices import ListPrices
from tokenroll.store.lake_schema import COUNTS

_EVENT_ROWS: Final = 20_000
_Part = TypeVar("_Part")


@dataclass(frozen=True, slots=True)
class BulkSlice:
    """Rows for one append, and how many rows of the table are gone through with them, bad ones included."""

    rows: Any
    row_count_through: int


def bulk_tables(
    path: Path,
    member: str,
    prices: ListPrices,
    intake: Intake,
    *,
    column_map: ColumnMap | None = None,
    model: str = "",
    starts_at: Instant | None = None,
    skip_rows: int = 0,
    slice_rows: int = IMPORT_SLICE_ROWS,
) -> Generator[BulkSlice, None, None]:
    """The rows of one table in slices of so many, behind the first `skip_rows`, which are in already and are not counted again.

    Rows, counts and bad rows are those of `column_events`. Ids that repeat are known again from all rows before, skipped ones, too.
    Raises SourceError as `column_events` does, and LakeLibraryError.
    """
    if not 1 <= slice_rows <= IMPORT_SLICE_ROWS_MAX:
        raise ValueError(f"a slice has 1 to {IMPORT_SLICE_ROWS_MAX} rows, not {slice_rows}")
    with ExitStack() as resources:
        table = ParquetTable(path, member, resources) if is_parquet(path) else TableCells(path, member, resources)
        if not table.header:
            _without_header(table.pieces(()), path, intake, skip_rows)
            return
        reader = row_reader(path, table.header, member, prices, column_map=column_map, model=model, starts_at=starts_at)
        lines = table if isinstance(table, ParquetTable) else text_lines(path)
        origin = cache(lambda: intake.origins.of(path, table.begin, lines, intake.notes))
        bulk = BulkReader(reader, str(path), origin)
        through = 0
        slices = _slices(table.pieces(_places(reader)), skip_rows, slice_rows)
        for cells in resources.enter_context(ahead(slices)):
            through += cells.row_count
            if through > skip_rows:
                rows = bulk.rows(cells, intake)
                intake.event_count += rows.num_rows
                yield BulkSlice(rows, through)
            elif reader.is_named:
                bulk.rows(cells, Intake())


def bulk_events(
    path: Path,
    member: str,
    prices: ListPrices,
    intake: Intake,
    *,
    column_map: ColumnMap | None = None,
    model: str = "",
    starts_at: Instant | None = None,
) -> Iterator[UsageEvent]:
    """The same rows as events, for whoever has no lake; who takes them counts them."""
    slices = bulk_tables(
        path, member, prices, intake, column_map=column_map, model=model, starts_at=starts_at, slice_rows=_EVENT_ROWS
    )
    for one in slices:
        intake.event_count -= one.rows.num_rows
        for row in one.rows.to_pylist():
            usage = Usage(**{name: row.pop(name) for name in COUNTS if name in row})
            told = {**row, "usage": usage, "billing": Billing(row["billing"]), "tags": tuple(row["tags"])}
            yield UsageEvent(**told)


def slices_ahead(slices: Iterator[BulkSlice]) -> Iterator[BulkSlice]:
    """The same slices, each read on a thread of its own while the one before is written: two at most are in memory."""
    with ahead(slices) as found:
        yield from found


@contextmanager
def ahead(parts: Iterator[_Part]) -> Iterator[Iterator[_Part]]:
    """The same parts within the block, each made on a thread of its own while the one before is gone through."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:

        def found() -> Iterator[_Part]:
            making = pool.submit(next, parts, None)
            while (part := making.result()) is not None:
                making = pool.submit(next, parts, None)
                yield part

        yield found()


def _without_header(pieces: Iterator[Cells], path: Path, intake: Intake, skip_rows: int) -> None:
    """Rows below a header that names no column: none of them can be read."""
    for line, reason in [bad for piece in pieces for bad in piece.bad][skip_rows:]:
        intake.row_count += 1
        intake.is_bad(str(path), line, reason)


def _places(reader: RowReader) -> list[int]:
    return sorted(set(reader.places.values()))


def _slices(pieces: Iterator[Cells], skip_rows: int, slice_rows: int) -> Iterator[Cells]:
    """Pieces as slices of one size; one of them ends with the last row that is skipped."""
    waiting: list[Cells] = []
    count = 0
    through = 0
    for piece in pieces:
        waiting.append(piece)
        count += piece.row_count
        size = _size(through, skip_rows, slice_rows)
        if count < size:
            continue
        rest = joined(waiting)
        while rest.row_count >= size:
            part, rest = rest.cut(size)
            through += size
            yield part
            size = _size(through, skip_rows, slice_rows)
        waiting, count = [rest], rest.row_count
    if count:
        yield joined(waiting)


def _size(through: int, skip_rows: int, slice_rows: int) -> int:
    return min(slice_rows, skip_rows - through) if through < skip_rows else slice_rows
