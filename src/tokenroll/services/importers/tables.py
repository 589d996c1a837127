"""Tables in text (CSV, TSV, semicolons; packed or not) as a header and rows of cells, streamed.

Rows come as lists in the order of their columns; who reads them looks a column's place up once.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from tokenroll.services.importers.figures import digest_of
from tokenroll.services.importers.intake import TORN, Intake, SourceError, lines_of, opened
from tokenroll.services.importers.origins import TextPrefixes, blocks_of

_SEPARATORS: Final = ",;\t|"
_WIDE: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its header, its rows by line, and what rows without a name are named after, which is found out when it is asked for."""

    header: tuple[str, ...]
    rows: Iterator[tuple[int, list[str]]]
    origin: Callable[[], str]

    def name(self, line: int) -> str:
        """What a row is called that has no name."""
        return f"{self.origin()}:{line}"


class TextLines:
    """A file's lines as text, with the number of the last one."""

    def __init__(self, lines: Iterator[tuple[int, bytes]], number: int = 0) -> None:
        self._lines = lines
        self.number = number

    def __iter__(self) -> "TextLines":
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
    """The table of a file of text; an empty file has no columns. Raises SourceError for UTF-16."""
    lines = TextLines(lines_of(path, intake))
    header, separator = header_of(path, lines)
    rows = rows_of(path, lines, separator, len(header), intake)
    second = next(rows, None)
    begin = origin_of(member, header, second[1] if second else ())
    return Table(
        header, _again(second, rows), cache(lambda: intake.origins.of(path, begin, text_lines(path), intake.notes))
    )


def origin_of(member: str, header: Sequence[str], first: Sequence[str]) -> str:
    """What a table's rows are named after if no other begins so."""
    return digest_of(member, *header, *first)


def text_lines(path: Path) -> TextPrefixes:
    """A file of text as lines, by which it is known again."""

    def blocks() -> Iterator[bytes]:
        with opened(path) as stream:
            yield from blocks_of(stream, TORN)

    return TextPrefixes(blocks)


def header_of(path: Path, lines: TextLines) -> tuple[tuple[str, ...], str]:
    """The columns of a file and what stands between them. Raises SourceError for UTF-16."""
    try:
        first = next(lines, "")
    except SourceError as error:
        raise SourceError(f"{path} cannot be read: {error}") from error
    separator = separator_of(first)
    reader = csv.reader(_joined(first, lines), delimiter=separator)
    try:
        return tuple(cell.strip() for cell in next(reader, [])), separator
    except csv.Error:
        return (), separator


def _joined(first: str, lines: TextLines) -> Iterator[str]:
    yield first
    yield from lines


def _again(
    first: tuple[int, list[str]] | None, rows: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    if first is not None:
        yield first
    yield from rows


def rows_of(
    path: Path, lines: TextLines, separator: str, width: int, intake: Intake
) -> Iterator[tuple[int, list[str]]]:
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
