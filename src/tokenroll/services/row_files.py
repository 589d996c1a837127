"""Files of rows, as spreadsheets and programs write them (CSV, JSON): read whole, with every mistake told by its line and field."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from tokenroll.model.amount import AmountError, amount_nanos_checked, nanos_from_text
from tokenroll.model.instant import Instant, instant_from_text
from tokenroll.model.limits import (
    ENTERED_DATE_MAX,
    NAME_CHARACTERS_MAX,
    PROBLEMS_SHOWN_MAX,
    ROW_FILE_BYTES_MAX,
    ROW_ID_CHARACTERS_MAX,
)

_BLANKS: Final = " \t\r\n"
_JSON_PLAIN: Final = (str, int, type(None))


class RowFileError(Exception):
    """A file that cannot be used: every problem in a line of its own, with file, line and field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """How a cell is read, whether it must say something, and what the command calls it where that is another name."""

    read: Callable[[str], Any] = str
    needed: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFormat:
    """What the rows of one kind of file may hold. `keeps_empty`: an empty cell is told as None, because it says "nothing"."""

    plural: str
    rows_max: int
    columns: Mapping[str, Column]
    error: type[RowFileError] = RowFileError
    key: str = "id"
    keeps_empty: bool = False
    also_called: Mapping[str, str] | None = None


def read_rows(path: Path, known: RowFormat) -> list[dict[str, Any]]:
    """The rows of a CSV, or of a JSON list of objects for a path that ends in `.json`; each with its `line`.

    Raises the format's error with every mistake in the file, not only the first.
    """
    try:
        if path.stat().st_size > ROW_FILE_BYTES_MAX:
            raise known.error(f"{path} is larger than {ROW_FILE_BYTES_MAX} bytes; import it in parts")
        if path.suffix.lower() in {".xlsx", ".xls", ".ods", ".numbers"}:
            raise known.error(f"{path} is a workbook; save the sheet as CSV (UTF-8) and give that file")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise known.error(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    reader = _Reader(path, known)
    return reader.rows(_json_rows if path.suffix.lower() == ".json" else _csv_rows, text)


def shortened(problems: list[str]) -> list[str]:
    """The first mistakes, and how many more there are."""
    more = len(problems) - PROBLEMS_SHOWN_MAX
    return problems if more <= 0 else [*problems[:PROBLEMS_SHOWN_MAX], f"and {more} more"]


# ---- cells ------------------------------------------------------------------------------------------------------------------


def id_cell(text: str) -> str:
    """An id of another system."""
    if len(text) > ROW_ID_CHARACTERS_MAX:
        raise ValueError(f"has {len(text)} characters; an id has at most {ROW_ID_CHARACTERS_MAX}")
    return text


def name_cell(text: str) -> str:
    """A name, a level, a place."""
    if len(text) > NAME_CHARACTERS_MAX or not text.isprintable():
        raise ValueError(f"must be at most {NAME_CHARACTERS_MAX} printable characters, not {text[:40]!r}")
    return text


def amount_cell(text: str) -> int:
    """Credits, as nanos; nothing is not an amount of nothing."""
    nanos = amount_or_nothing_cell(text)
    if nanos == 0:
        raise ValueError("is 0, and an award of nothing is none")
    return nanos


def amount_or_nothing_cell(text: str) -> int:
    """Credits, as nanos; 0 is one."""
    try:
        return amount_nanos_checked(nanos_from_text(text), "it")
    except AmountError as error:
        raise ValueError(f"is no amount: {error}") from error


def instant_cell(text: str) -> Instant:
    """An instant that says its zone."""
    try:
        return instant_from_text(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no instant with its zone such as 2026-07-01T00:00:00Z") from error


def date_cell(text: str) -> str:
    """A date, as it will be kept."""
    try:
        found = date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no date such as 2026-01-31") from error
    if found > ENTERED_DATE_MAX:
        raise ValueError(f"{found} is too late: dates end with {ENTERED_DATE_MAX}; leave the cell of an open end empty")
    return found.isoformat()


def choice_cell(values: type[StrEnum]) -> Callable[[str], str]:
    """One of the words of a list, in any case and with blanks or dashes for its underscores."""

    def read(text: str) -> str:
        word = "_".join(text.casefold().replace("-", " ").replace("_", " ").split())
        if word not in [one.value for one in values]:
            raise ValueError(f"must be one of {', '.join(values)}, not {text!r}")
        return word

    return read


# ---- files ------------------------------------------------------------------------------------------------------------------

_Raw = tuple[int, Mapping[str, str], str]
"""Line, cells by column, and what is wrong with the row as a whole."""


class _Reader:
    """Reads one file and keeps its problems."""

    def __init__(self, path: Path, known: RowFormat) -> None:
        self._path = path
        self.known = known
        self._problems: list[str] = []
        self._lines: dict[str, int] = {}

    def rows(self, parse: "Callable[[_Reader, str], Iterator[_Raw]]", text: str) -> list[dict[str, Any]]:
        known, rows = self.known, list[dict[str, Any]]()
        for line, cells, wrong in parse(self, text):
            if len(rows) == known.rows_max:
                most = f"a file holds at most {known.rows_max} {known.plural}"
                self.problem(line, known.key, f"is one too many; {most}")
                break
            rows.append(self._row(line, cells, wrong))
        if not rows and not self._problems:
            self.problem(1, known.key, f"has no {known.plural} below it")
        if self._problems:
            raise known.error("\n".join(shortened(self._problems)))
        return rows

    def column(self, name: str) -> str:
        """The column that is meant by a name of a file: blanks around it do not count, some have a second name."""
        plain = name.strip()
        return (self.known.also_called or {}).get(plain, plain)

    def check_columns(self, names: list[str]) -> None:
        """Which are missing, unknown or there twice."""
        all_of_them = ", ".join(self.known.columns)
        for name, column in self.known.columns.items():
            if column.needed and name not in names:
                self.problem(1, name, f"is missing; a file of {self.known.plural} has the columns {all_of_them}")
        for place, name in enumerate(names):
            if name not in self.known.columns:
                self.problem(1, name, f"is not known here; known are {all_of_them}")
            elif name in names[:place]:
                self.problem(1, name, "is there twice")

    def problem(self, line: int, column: str, what: str) -> None:
        self._problems.append(f"{self._path}, line {line}, {column}: {what}")

    def broken(self, what: str) -> RowFileError:
        """The file as a whole is not what its name says."""
        return self.known.error(f"{self._path} {what}")

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found wrong so far."""
        return not self._problems

    def _row(self, line: int, cells: Mapping[str, str], wrong: str) -> dict[str, Any]:
        known = self.known
        if wrong:
            self.problem(line, known.key, wrong)
        found: dict[str, Any] = {"line": line}
        for name, column in known.columns.items():
            text = cells.get(name, "").strip()
            if not text:
                if column.needed:
                    self.problem(line, name, "is empty")
                elif known.keeps_empty and name in cells:
                    found[column.name or name] = None
                continue
            try:
                found[column.name or name] = column.read(text)
            except ValueError as error:
                self.problem(line, name, str(error))
        key = known.columns[known.key].name or known.key
        earlier = self._lines.setdefault(str(found.get(key)), line)
        if earlier != line and key in found:
            self.problem(line, known.key, f"{found[key]!r} is already that of line {earlier}")
        return found


def _csv_rows(reader: _Reader, text: str) -> Iterator[_Raw]:
    head, _, _ = text.partition("\n")
    delimiter = ";" if head.count(";") > head.count(",") else ","
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = [reader.column(name) for name in next(lines, [])]
        reader.check_columns(names)
        for cells in lines if reader.is_sound else ():
            if cells:
                more = len(cells) > len(names)
                wrong = "begins a row with more cells than there are columns" if more else ""
                yield lines.line_num, dict(zip(names, cells, strict=False)), wrong
    except csv.Error as error:
        raise reader.broken(f"cannot be read: {error}") from error


def _json_rows(reader: _Reader, text: str) -> Iterator[_Raw]:
    """Object by object, so that each is known by the line on which it begins. Numbers stay the texts they are."""
    decoder = json.JSONDecoder(parse_float=str, parse_constant=str, object_pairs_hook=_Pairs)
    at = _after_blanks(text, 0)
    if text[at : at + 1] != "[":
        raise reader.broken('must be a JSON list of objects such as [{"id": "17", "name": "Ada"}]')
    at = _after_blanks(text, at + 1)
    line, counted = 1, 0
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        try:
            found, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise reader.broken(f"is not JSON: {error}") from error
        yield line, *_cells(reader, line, found)
        at = _after_blanks(text, at)
        if text[at : at + 1] == ",":
            at = _after_blanks(text, at + 1)
        elif text[at : at + 1] != "]":
            raise reader.broken(f"is not JSON: a comma or the end of the list is missing at line {line}")
    if text[at + 1 :].strip():
        raise reader.broken("is not JSON: something follows the end of the list")


class _Pairs(list[tuple[str, Any]]):
    """The names and values of an object, each as often as it was written."""


def _cells(reader: _Reader, line: int, found: Any) -> tuple[dict[str, str], str]:
    if not isinstance(found, _Pairs):
        return {}, f'must begin an object such as {{"id": "17"}}, not {found!r:.40}'
    cells: dict[str, str] = {}
    for told, value in found:
        name = reader.column(told)
        if name in cells:
            reader.problem(line, name, "is there twice")
        elif name not in reader.known.columns:
            reader.problem(line, name, f"is not known here; known are {', '.join(reader.known.columns)}")
        elif isinstance(value, bool) or not isinstance(value, _JSON_PLAIN):
            reader.problem(line, name, "must be a text, a number or null")
        else:
            cells[name] = "" if value is None else str(value)
    return cells, ""


def _after_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANKS:
        at += 1
    return at
