"""Parquet files as tables: their columns as cells, their rows as texts, and by what they are known again."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from tokenroll.model.limits import IMPORT_SLICE_ROWS
from tokenroll.services.importers.bulk_cells import Cells
from tokenroll.services.importers.bulk_values import mask_of, text_of
from tokenroll.services.importers.intake import Intake, SourceError
from tokenroll.services.importers.origins import Digest
from tokenroll.services.importers.tables import Table, origin_of, table_of
from tokenroll.store.lake_libraries import LakeLibraryError, arrow, arrow_compute, arrow_parquet

MAGIC: Final = b"PAR1"
_PIECE_ROWS: Final = 65_536
_BUFFER_BYTES: Final = 1024 * 1024


def is_parquet(path: Path) -> bool:
    """Whether a file says of itself that it is Parquet."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error


class ParquetTable:
    """A Parquet file as a table: the line of a row is its number."""

    def __init__(self, path: Path, member: str, resources: ExitStack) -> None:
        try:
            pa = arrow()
        except LakeLibraryError as error:
            raise SourceError(f"{path} is Parquet: {error}") from error
        try:
            self._file = resources.enter_context(_opened(path))
            first = next(self._file.iter_batches(batch_size=1), None)
        except (OSError, pa.ArrowInvalid) as error:
            raise SourceError(f"{path} cannot be read: {error}") from error
        self._path = path
        self.header: Sequence[str] = tuple(self._file.schema_arrow.names)
        cells = [str(column[0].as_py()) for column in first.columns] if first is not None and first.num_rows else []
        self.begin = origin_of(member, self.header, cells)

    def pieces(self, places: Sequence[int]) -> Iterator[Cells]:
        """All rows, with the columns at these places. Raises SourceError for columns that are no cells, and for a torn file."""
        schema = self._file.schema_arrow
        for place in places:
            if not _is_of_cells(schema.types[place]):
                raise SourceError(
                    f"{self._path}: the column {self.header[place]!r} holds {schema.types[place]}, not cells"
                )
        start = 1
        for batch in self._batches(IMPORT_SLICE_ROWS, [self.header[place] for place in places]):
            columns = {place: _cells(batch.column(self.header[place])) for place in places}
            yield Cells(columns, np.arange(start, start + batch.num_rows, dtype=np.int64))
            start += batch.num_rows

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row by number, as texts; a map or another value of parts is JSON."""
        start = 1
        for batch in self._batches(_PIECE_ROWS, list(self.header)):
            columns = [_texts(column) for column in batch.columns]
            yield from enumerate(map(list, zip(*columns, strict=True)), start)
            start += batch.num_rows

    def digests(self, stops: Iterable[int]) -> Iterator[tuple[int, str]]:
        """As `origins.Lines` has them: a row is a line, and its digest one of its values, however the file is laid out."""
        digest, through = Digest(), 0
        waiting = iter(stops)
        stop = next(waiting, None)
        rest = None
        with _opened(self._path) as file:  # one of its own, since rows may be read meanwhile
            for batch in self._batches(_PIECE_ROWS, list(self.header), file):
                rest = batch if rest is None else arrow().concat_batches([rest, batch])
                while rest.num_rows and (size := _piece(through, stop)) <= rest.num_rows:
                    _add(digest, rest.slice(0, size))
                    rest, through = rest.slice(size), through + size
                    while stop is not None and stop <= through:
                        if stop == through:
                            yield stop, digest.text()
                        stop = next(waiting, None)
        if rest is not None and rest.num_rows:
            _add(digest, rest)
            through += rest.num_rows
        yield through, digest.text()

    @property
    def rest(self) -> bytes:
        """None: every row of a Parquet file is whole."""
        return b""

    def line(self, _number: int, /) -> tuple[bytes, bool]:
        """As `origins.Lines` has it: asked of lines of text alone."""
        return b"", False

    def _batches(self, size: int, names: Sequence[str], file: Any = None) -> Iterator[Any]:
        try:
            yield from (file or self._file).iter_batches(size, columns=names)
        except (OSError, arrow().ArrowInvalid) as error:
            raise SourceError(f"{self._path} cannot be read: {error}") from error


def _opened(path: Path) -> Any:
    """The file, read as it is gone through: Arrow's own way keeps all that it has read until the end."""
    return arrow_parquet().ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES)


def any_table_of(path: Path, member: str, intake: Intake) -> Table:
    """The table of a file, text or Parquet. Raises SourceError."""
    if not is_parquet(path):
        return table_of(path, member, intake)
    resources = ExitStack()
    table = ParquetTable(path, member, resources)

    def rows() -> Iterator[tuple[int, list[str]]]:
        with resources:
            for line, cells in table.rows():
                intake.row_count += 1
                yield line, cells

    origin = cache(lambda: intake.origins.of(path, table.begin, table, intake.notes))
    return Table(tuple(table.header), rows(), origin)


def parquet_header(path: Path) -> tuple[str, ...]:
    """The names of a file's columns. Raises SourceError."""
    with ExitStack() as resources:
        return tuple(ParquetTable(path, "", resources).header)


def _piece(through: int, stop: int | None) -> int:
    """How many rows are taken together: up to the next stop or the next whole number of pieces, wherever batches end."""
    whole = _PIECE_ROWS - through % _PIECE_ROWS
    return whole if stop is None or stop <= through else min(whole, stop - through)


def _add(digest: Digest, batch: Any) -> None:
    for column in batch.columns:
        for data in _bytes(column):
            digest.add(data)


def _bytes(column: Any) -> Iterator[Any]:
    """The values of a column as bytes that are the same wherever it was cut from."""
    pa, pc = arrow(), arrow_compute()
    kind = column.type
    yield str(kind).encode()
    width = kind.bit_width // 8 if pa.types.is_primitive(kind) or pa.types.is_decimal(kind) else 0
    if width:
        is_valid = mask_of(pc.is_valid(column))
        start = column.offset * width
        values = np.frombuffer(column.buffers()[1], np.uint8)[start : start + len(column) * width].reshape(-1, width)
        yield np.packbits(is_valid)
        yield np.where(is_valid[:, None], values, 0) if column.null_count else values
        return
    text = text_of(_cells(column).combine_chunks()) if _is_of_cells(kind) else pa.array(_texts(column), pa.string())
    ends = np.frombuffer(text.buffers()[1], np.int32)[text.offset : text.offset + len(text) + 1]
    yield np.diff(ends)
    yield np.frombuffer(text.buffers()[2] or b"", np.uint8)[ends[0] : ends[-1]]


def _texts(column: Any) -> list[str]:
    column = _cells(column).combine_chunks() if _is_of_cells(column.type) else column
    if _is_of_cells(column.type):
        return list(text_of(column).to_pylist())
    return ["" if value is None else msgspec.json.encode(_plain(value)).decode() for value in column.to_pylist()]


def _plain(value: Any) -> Any:
    """A map, which Arrow gives as pairs, as an object."""
    is_map = isinstance(value, list) and all(isinstance(one, tuple) and len(one) == 2 for one in value)
    return dict(value) if is_map else value


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
