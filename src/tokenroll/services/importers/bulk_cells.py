"""Large tables in text as columns of cells: block by block, each by Arrow's reader where a line is a row, else by Python's own.

Both must agree on every cell. So a block is given to Arrow only if it proves plain: as many rows as lines, no line too long for a
cell, no character that the two take for different things. What is not plain is split row by row and goes on as columns all the same.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from tokenroll.model.limits import IMPORT_BLOCK_BYTES, IMPORT_LINE_BYTES_MAX
from tokenroll.services.importers.intake import TORN, Intake, lines_in, not_whole, opened
from tokenroll.services.importers.tables import TextLines, header_of, origin_of, rows_of
from tokenroll.store.lake_libraries import arrow, arrow_csv

_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Cells:
    """Rows of a table as chunked Arrow columns by their places, with the line of each, and the lines that are no rows of it, with the reason."""

    columns: dict[int, Any]
    lines: Any
    bad: tuple[tuple[int, str], ...] = ()

    @property
    def row_count(self) -> int:
        """Rows gone through, bad ones included."""
        return len(self.lines) + len(self.bad)

    def combined(self) -> "Cells":
        """The same with each column in one piece of memory."""
        return Cells({place: _array(column) for place, column in self.columns.items()}, self.lines, self.bad)

    def cut(self, count: int) -> "tuple[Cells, Cells]":
        """The first so many rows, and the rest."""
        if not self.bad:
            return self._part(0, count, ()), self._part(count, len(self.lines), ())
        wrong = [line for line, _ in self.bad]
        every = np.sort(np.concatenate([self.lines, np.array(wrong, np.int64)]), kind="stable")
        if count >= len(every):
            return self, self._part(len(self.lines), len(self.lines), ())
        place = int(np.searchsorted(self.lines, every[count]))
        number = count - place
        return self._part(0, place, self.bad[:number]), self._part(place, len(self.lines), self.bad[number:])

    def _part(self, start: int, end: int, bad: tuple[tuple[int, str], ...]) -> "Cells":
        columns = {place: column.slice(start, end - start) for place, column in self.columns.items()}
        return Cells(columns, self.lines[start:end], bad)


def _array(column: Any) -> Any:
    pa = arrow()
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def joined(parts: Sequence[Cells]) -> Cells:
    """All rows of these in one."""
    if len(parts) == 1:
        return parts[0]
    columns = {
        place: arrow().chunked_array([chunk for part in parts for chunk in part.columns[place].chunks], column.type)
        for place, column in parts[0].columns.items()
    }
    return Cells(
        columns, np.concatenate([part.lines for part in parts]), tuple(bad for part in parts for bad in part.bad)
    )


class _Noted(Intake):
    """Bad rows as they are found, all of them: who counts them comes later."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, str]] = []

    def is_bad(self, file: str, line: int, reason: str) -> None:
        del file
        self.found.append((line, reason))

    def taken(self) -> tuple[tuple[int, str], ...]:
        """What was found since the last time, by line."""
        found, self.found = self.found, []
        return tuple(sorted(found))


class _Blocks:
    """A file's bytes: whole lines in blocks, or line by line from where the last block ended."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream: Any = stream
        self._ready = io.BytesIO()
        self._torn: Exception | None = None
        self.is_ended = False

    def block(self) -> bytearray:
        """The next lines, as many as fit; of a line that is longer, what fits. Nothing at the end, and at a tear."""
        whole = self._filled()
        if self.is_ended and self._torn is None:
            return whole
        end = whole.rfind(b"\n") + 1
        if self._torn is None and not end:
            return whole
        self._ready = io.BytesIO(b"" if self._torn else whole[end:])
        del whole[end:]
        return whole

    def _filled(self) -> bytearray:
        """What is ready and what is read behind it, in one piece of memory into which the file is read."""
        ready = self._ready.read()
        self._ready = io.BytesIO()
        size = len(ready)
        whole = bytearray(max(size, IMPORT_BLOCK_BYTES))
        whole[:size] = ready
        with memoryview(whole) as place:
            while size < len(whole) and not self.is_ended:
                count = 0
                try:
                    count = self._stream.readinto1(place[size:])
                except TORN as error:
                    self._torn = error
                self.is_ended = not count
                size += count
        del whole[size:]
        return whole

    def put_back(self, block: bytearray) -> int:
        """What was taken is there again; how far from the end of all that is ready its own end is."""
        rest = self._ready.read()
        self._ready = io.BytesIO(block + rest)
        return len(rest)

    @property
    def ready_byte_count(self) -> int:
        """Bytes that are read and not taken."""
        return len(self._ready.getbuffer()) - self._ready.tell()

    @property
    def torn(self) -> Exception | None:
        """Why the rest cannot be read; asking forgets it, as it is to be told once."""
        error, self._torn = self._torn, None
        return error

    def readline(self, limit: int, /) -> bytes:
        line = self._ready.readline(limit)
        if line.endswith(b"\n") or len(line) == limit:
            return line
        if error := self.torn:
            raise error
        if self.is_ended:
            return line
        try:
            more: bytes = self._stream.readline(limit - len(line))
        except TORN:
            self.is_ended = True
            raise
        return line + more


class TableCells:
    """A table in text, opened: its header, what its unnamed rows are named after, and its rows in pieces."""

    def __init__(self, path: Path, member: str, resources: ExitStack) -> None:
        self._path = path
        self._blocks = _Blocks(resources.enter_context(opened(path)))
        self._noted = _Noted()
        self._number = 0
        lines = self._lines()
        self.header, self._separator = header_of(path, lines)
        rows = rows_of(path, lines, self._separator, len(self.header), self._noted)
        first = next(rows, None)
        self._number = lines.number
        self._first = [first] if first else []
        self.begin = origin_of(member, self.header, first[1] if first else ())

    def _lines(self) -> TextLines:
        return TextLines(lines_in(self._blocks, self._path, self._noted, self._number), self._number)

    def pieces(self, places: Sequence[int]) -> Iterator[Cells]:
        """All rows, with the columns at these places."""
        yield self._cells(self._first, places)
        while block := self._blocks.block():
            plain = self._plain(block, places)
            if plain is not None:
                yield plain
            else:
                yield self._split(block, places)
        if error := self._blocks.torn:
            yield self._cells([], places, ((self._number + 1, not_whole(error)),))

    def _cells(
        self, rows: Sequence[tuple[int, Sequence[str]]], places: Sequence[int], bad: tuple[tuple[int, str], ...] = ()
    ) -> Cells:
        pa = arrow()
        columns = {place: pa.chunked_array([[cells[place] for _, cells in rows]], pa.string()) for place in places}
        return Cells(columns, np.array([line for line, _ in rows], np.int64), (*self._noted.taken(), *bad))

    def _split(self, block: bytearray, places: Sequence[int]) -> Cells:
        """Row by row, until all of the block is read and no row is begun."""
        behind = self._blocks.put_back(block)
        lines = self._lines()
        rows = []
        for row in rows_of(self._path, lines, self._separator, len(self.header), self._noted):
            rows.append(row)
            if self._blocks.ready_byte_count <= behind:
                break
        self._number = lines.number
        return self._cells(rows, places)

    def _plain(self, block: bytearray, places: Sequence[int]) -> Cells | None:
        if not self._is_plain(block):
            return None
        count = block.count(b"\n") + (not block.endswith(b"\n"))
        pa, reader = arrow(), arrow_csv()
        is_quoted = b'"' in block
        names = [str(place) for place in range(len(self.header))]
        wanted = [names[place] for place in places]
        try:
            table = reader.read_csv(
                pa.BufferReader(block),
                reader.ReadOptions(column_names=names, block_size=len(block) + 1 if is_quoted else 1024 * 1024),
                reader.ParseOptions(delimiter=self._separator, newlines_in_values=is_quoted),
                reader.ConvertOptions(
                    include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=False
                ),
            )
        except pa.ArrowInvalid:
            return None
        if table.num_rows != count:
            return None
        first = self._number + 1
        self._number += count
        columns = {place: table.column(str(place)) for place in places}
        return Cells(columns, np.arange(first, first + count, dtype=np.int64))

    def _is_plain(self, block: bytearray) -> bool:
        """Whether both readers take its bytes for the same, as far as bytes tell; and no quoted cell goes on behind it."""
        if not block.endswith(b"\n") and not self._blocks.is_ended:
            return False
        if len(self.header) < 2 or block.startswith(_MARK) or b"\0" in block:
            return False
        if _may_be_long(block, min(csv.field_size_limit(), IMPORT_LINE_BYTES_MAX)):
            return False
        if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
            return False
        if b'"' not in block:
            return True
        last = block[block.rfind(b"\n", 0, -1) + 1 :].decode("utf-8", "replace")
        return len(list(csv.reader([last, "next"], delimiter=self._separator))) == 2


def _may_be_long(block: bytearray, limit: int) -> bool:
    """Whether a line may have so many bytes: not if each stretch of half of them has an end of a line."""
    size = max(limit // 2, 1)
    return any(block.find(b"\n", start, start + size) < 0 for start in range(0, len(block) - size + 1, size))
