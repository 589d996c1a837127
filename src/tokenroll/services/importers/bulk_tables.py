"""Large tables (CSV and Parquet) as slices of the lake's rows, by the same mapping and with the same result as row by row.

A table of a hundred million calls is read column by column, a slice at a time: memory stays flat, and each slice is one append whose
mark says how many rows of the file are gone through, from which the next import goes on.
"""

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tokenroll.model.instant import Instant
from tokenroll.model.limits import IMPORT_SLICE_ROWS, IMPORT_SLICE_ROWS_MAX
from tokenroll.services.importers.bulk_cells import Cells, TableCells, joined
from tokenroll.services.importers.bulk_rows import BulkReader
from tokenroll.services.importers.columns import ColumnMap, RowReader, row_reader
from tokenroll.services.importers.intake import Intake, SourceError
from tokenroll.services.importers.tables import origin_of
from tokenroll.services.list_prices import ListPrices
from tokenroll.store.lake_libraries import arrow, arrow_parquet

_MAGIC: Final = b"PAR1"


@dataclass(frozen=True, slots=True)
class BulkSlice:
    """Rows for one append, and how many rows of the table are gone through with them, bad ones included."""

    rows: Any
    row_count_through: int


def is_parquet(path: Path) -> bool:
    """Whether a file says of itself that it is Parquet."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error


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
        table = _Parquet(path, member, resources) if is_parquet(path) else TableCells(path, member, resources)
        if not table.header:
            _without_header(table.pieces(()), path, intake, skip_rows)
            return
        reader = row_reader(path, table.header, member, prices, column_map=column_map, model=model, starts_at=starts_at)
        bulk = BulkReader(reader, str(path), table.origin)
        through = 0
        for cells in _slices(table.pieces(_places(reader)), skip_rows, slice_rows):
            through += cells.row_count
            if through > skip_rows:
                rows = bulk.rows(cells, intake)
                intake.event_count += rows.num_rows
                yield BulkSlice(rows, through)
            elif reader.is_named:
                bulk.rows(cells, Intake())


def slices_ahead(slices: Iterator[BulkSlice]) -> Iterator[BulkSlice]:
    """The same slices, each read on a thread of its own while the one before is written: two at most are in memory."""
    with ThreadPoolExecutor(1, thread_name_prefix="slices-ahead") as pool:
        reading = pool.submit(next, slices, None)
        while (found := reading.result()) is not None:
            reading = pool.submit(next, slices, None)
            yield found


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


class _Parquet:
    """A Parquet file as a table: the line of a row is its number."""

    def __init__(self, path: Path, member: str, resources: ExitStack) -> None:
        pa = arrow()
        try:
            self._file = resources.enter_context(arrow_parquet().ParquetFile(path))
        except (OSError, pa.ArrowInvalid) as error:
            raise SourceError(f"{path} cannot be read: {error}") from error
        self._path = path
        self.header: Sequence[str] = tuple(self._file.schema_arrow.names)
        first = next(self._file.iter_batches(batch_size=1), None)
        cells = [str(column[0].as_py()) for column in first.columns] if first is not None and first.num_rows else []
        self.origin = origin_of(member, self.header, cells)

    def pieces(self, places: Sequence[int]) -> Iterator[Cells]:
        """All rows, with the columns at these places. Raises SourceError for columns that are no cells, and for a torn file."""
        pa = arrow()
        schema = self._file.schema_arrow
        for place in places:
            if not _is_of_cells(schema.types[place]):
                raise SourceError(
                    f"{self._path}: the column {self.header[place]!r} holds {schema.types[place]}, not cells"
                )
        start = 1
        try:
            for batch in self._file.iter_batches(IMPORT_SLICE_ROWS, columns=[self.header[place] for place in places]):
                columns = {place: _cells(batch.column(self.header[place])) for place in places}
                yield Cells(columns, np.arange(start, start + batch.num_rows, dtype=np.int64))
                start += batch.num_rows
        except (OSError, pa.ArrowInvalid) as error:
            raise SourceError(f"{self._path} cannot be read: {error}") from error


def _is_of_cells(kind: Any) -> bool:
    """Whether a column holds texts, numbers, truths or times, each of which a cell of a table in text could be."""
    types = arrow().types
    if types.is_dictionary(kind):
        return _is_of_cells(kind.value_type)
    return any(
        fits(kind)
        for fits in (
            types.is_string, types.is_large_string, types.is_binary, types.is_large_binary, types.is_integer, types.is_float32,
            types.is_float64, types.is_decimal, types.is_boolean, types.is_timestamp, types.is_date, types.is_null,
        )
    )  # fmt: skip


def _cells(column: Any) -> Any:
    pa = arrow()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    types = pa.types
    is_text = any(
        fits(column.type) for fits in (types.is_large_string, types.is_binary, types.is_large_binary, types.is_null)
    )
    return pa.chunked_array([column.cast(pa.string()) if is_text else column])
