"""Tables in text (CSV, TSV, semicolons; packed or not) as a header and rows of cells, streamed.

Rows come as lists in the order of their columns; who reads them looks a column's place up once.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tokenroll.services.importers.figures import digest_of
from tokenroll.services.importers.intake import Intake, SourceError, lines_of

_SEPARATORS: Final = ",;\t|"
_WIDE: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its header, its rows by line, and a name for rows that have none.

    `origin` is made of the header, the first row and whose the file is: the same for a log that grew, or was moved.
    """

    header: tuple[str, ...]
    rows: Iterator[tuple[int, list[str]]]
    origin: str


class _Lines:
    """A file's lines as text, with the number of the last one."""

    def __init__(self, path: Path, intake: Intake) -> None:
        self._lines = lines_of(path, intake)
        self.number = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        if self.number == 1:
            if line.startswith(_WIDE):
                raise SourceError("it is UTF-16; save it as CSV in UTF-8")
            line = line.removeprefix(b"\xef\xbb\xbf")
        return line.decode("utf-8", "replace")


def separator_of(header: str) -> str:
    """What stands between the columns of a header: the one of comma, semicolon, tab and bar that is there most often."""
    return max(_SEPARATORS, key=header.count)


def table_of(path: Path, member: str, intake: Intake) -> Table:
    """The table of a file; an empty file has no columns. Raises SourceError for UTF-16."""
    lines = _Lines(path, intake)
    try:
        first = next(lines, "")
    except SourceError as error:
        raise SourceError(f"{path} cannot be read: {error}") from error
    separator = separator_of(first)
    header = _header(first, separator, lines)
    rows = _rows(path, lines, separator, len(header), intake)
    second = next(rows, None)
    origin = digest_of(member, *header, *(second[1] if second else ()))
    return Table(header, _again(second, rows), origin)


def _header(first: str, separator: str, lines: _Lines) -> tuple[str, ...]:
    reader = csv.reader(_joined(first, lines), delimiter=separator)
    try:
        return tuple(cell.strip() for cell in next(reader, []))
    except csv.Error:
        return ()


def _joined(first: str, lines: _Lines) -> Iterator[str]:
    yield first
    yield from lines


def _again(
    first: tuple[int, list[str]] | None, rows: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    if first is not None:
        yield first
    yield from rows


def _rows(path: Path, lines: _Lines, separator: str, width: int, intake: Intake) -> Iterator[tuple[int, list[str]]]:
    """Rows as wide as the header; the line of a row is its first one."""
    reader = csv.reader(lines, delimiter=separator)
    line = lines.number + 1
    while True:
        try:
            for cells in reader:
                if not cells:
                    line = lines.number + 1
                    continue
                intake.row_count += 1
                if len(cells) == width:
                    yield line, cells
                else:
                    intake.is_bad(str(path), line, f"{len(cells)} columns where the header has {width}")
                line = lines.number + 1
            return
        except csv.Error as error:
            intake.row_count += 1
            intake.is_bad(str(path), line, f"no row of a table: {error}")
            line = lines.number + 1
