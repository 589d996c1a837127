"""Plans as a spreadsheet, out and in: a row a plan, a column a field, every mistake named by its sheet and cell.

Columns are the fields of services/plan_fields.py after the plan's name. An empty cell says nothing. Cells are texts, so that no
spreadsheet turns a date or an amount into something else; what one would take for a formula is written with an apostrophe before
it, which is taken off again on reading.
"""

import csv
import io
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from string import ascii_letters
from typing import Any, Final
from xml.parsers import expat

from tokenroll.books.cells import neutral
from tokenroll.model.checks import name_checked
from tokenroll.model.limits import (
    PLAN_FILE_BYTES_MAX,
    PLANS_PER_FILE_MAX,
    PROBLEMS_SHOWN_MAX,
    SHEET_COLUMNS_MAX,
    SHEET_ROWS_MAX,
    SHEET_UNPACKED_BYTES_MAX,
)
from tokenroll.services.plan_fields import FIELDS, NEEDED
from tokenroll.services.plan_files import PlanEntry, PlanFileError, problems_of

SHEET: Final = "plans"
NAME: Final = "name"
COLUMNS: Final = (NAME, *FIELDS)


# ---- out ------------------------------------------------------------------------------------------------------------------


def csv_from_plans(plans: Iterable[Mapping[str, Any]]) -> bytes:
    """The rows as CSV in UTF-8 with its mark, which spreadsheets need to read names right."""
    text = io.StringIO()
    csv.writer(text).writerows([COLUMNS, *_rows(plans)])
    return text.getvalue().encode("utf-8-sig")


def xlsx_from_plans(plans: Iterable[Mapping[str, Any]]) -> bytes:
    """The rows as a workbook: lists of choices in the cells that have some, and a second sheet that explains every column."""
    from xlsxwriter import Workbook  # noqa: PLC0415 - an extra: only spreadsheets need it

    content = io.BytesIO()
    # a fixed date: the same plans are the same file
    with Workbook(content, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as book:
        book.set_properties({"title": "Plans", "created": datetime(2026, 1, 1)})  # noqa: DTZ001 - the library takes a local time
        head, text = book.add_format({"bold": True, "num_format": "@"}), book.add_format({"num_format": "@"})
        sheet = book.add_worksheet(SHEET)
        sheet.freeze_panes(1, 1)
        for column, name in enumerate(COLUMNS):
            sheet.set_column(column, column, max(12, len(name) + 2), text)
            sheet.write_string(0, column, name, head)
            choices = FIELDS[name].kind.choices if name in FIELDS else ()
            if choices:
                sheet.data_validation(
                    1, column, PLANS_PER_FILE_MAX, column, {"validate": "list", "source": list(choices)}
                )
        for number, row in enumerate(_rows(plans), 1):
            for column, cell in enumerate(row):
                if cell:
                    sheet.write_string(number, column, cell, text)
        notes = book.add_worksheet("columns")
        notes.set_column(0, 0, 32)
        notes.set_column(1, 1, 100)
        notes.write_row(0, 0, ["column", "what may stand in it"], head)
        for number, name in enumerate(COLUMNS, 1):
            notes.write_string(number, 0, name)
            notes.write_string(number, 1, FIELDS[name].kind.meaning if name in FIELDS else "the plan's name; needed")
    return content.getvalue()


def _rows(plans: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    rows = []
    for arguments in plans:
        cells = [str(arguments[NAME])]
        for field in FIELDS.values():
            value = field.found_in(arguments)
            cells.append("" if value is None else field.kind.cell(value))
        rows.append([neutral(cell) for cell in cells])
    return rows


# ---- in -------------------------------------------------------------------------------------------------------------------


def read_plan_sheet(path: Path) -> list[PlanEntry]:
    """The plans of a CSV or xlsx file. Raises PlanFileError with every mistake in it, not only the first."""
    try:
        if path.stat().st_size > PLAN_FILE_BYTES_MAX:
            raise PlanFileError(f"{path} is larger than {PLAN_FILE_BYTES_MAX} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise PlanFileError(f"{path} cannot be read: {error.strerror or error}") from error
    if path.suffix.lower() == ".csv":
        reader = _Reader(str(path))
        rows = _rows_of_csv(path, content)
    else:
        reader = _Reader(f"{path}, sheet {SHEET}")
        rows = _rows_of_workbook(path, content)
    entries = reader.entries(rows)
    if reader.problems:
        more = len(reader.problems) - PROBLEMS_SHOWN_MAX
        shown = reader.problems[:PROBLEMS_SHOWN_MAX]
        raise PlanFileError("\n".join(shown if more <= 0 else [*shown, f"and {more} more"]))
    return entries


def _rows_of_csv(path: Path, content: bytes) -> list[list[str]]:
    try:
        text = content.decode("utf-8-sig")
        first_line = text.partition("\n")[0]
        # where a comma parts the decimals, spreadsheets part cells by semicolons
        delimiter = ";" if first_line.count(";") > first_line.count(",") else ","
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise PlanFileError(f"{path} cannot be read as CSV in UTF-8: {error}") from error


def _rows_of_workbook(path: Path, content: bytes) -> list[list[str]]:
    try:
        from python_calamine import CalamineError, CalamineWorkbook  # noqa: PLC0415 - an extra, as above
    except ImportError as error:
        raise PlanFileError(f"{path} needs the extra `sheets`: install tokenroll[sheets], or use CSV") from error
    _check_workbook(path, content)
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(content))
        if SHEET not in book.sheet_names:
            raise PlanFileError(f"{path} has no sheet {SHEET!r}; it has {', '.join(book.sheet_names)}")
        rows = book.get_sheet_by_name(SHEET).to_python(skip_empty_area=False)
    except CalamineError as error:
        raise PlanFileError(f"{path} cannot be read as a workbook: {str(error) or 'it ends too early'}") from error
    return [[_text(cell) for cell in row] for row in rows]


def _check_workbook(path: Path, content: bytes) -> None:
    """Raises PlanFileError for what is no workbook, or would fill the memory when it is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
            if sum(one.file_size for one in parts) > SHEET_UNPACKED_BYTES_MAX:
                raise PlanFileError(f"{path} is larger than {SHEET_UNPACKED_BYTES_MAX} bytes when unpacked")
            # reads every part within the size that it names: one that is larger than it says is found here
            if (broken := archive.testzip()) is not None:
                raise PlanFileError(
                    f"{path} cannot be read as a workbook: its part {broken} is not what its archive says"
                )
            for part in parts:
                if part.filename.endswith((".xml", ".rels")):
                    _PartCheck(path, part.filename).read(archive.read(part))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, RuntimeError, EOFError, ValueError) as error:
        raise PlanFileError(f"{path} cannot be read as a workbook: {str(error) or 'it ends too early'}") from error


class _PartCheck:
    """Reads one part of a workbook for cells that are far away: a single one makes a table of everything before it.

    A sheet is any part that the workbook points to, so every part is read, and what it points to has to be one of them.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._row = self._column = 0

    def read(self, content: bytes) -> None:
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        try:
            parser.Parse(content, True)
        except (expat.ExpatError, LookupError) as error:
            raise PlanFileError(f"{self._path} cannot be read as a workbook: its part {self._name}: {error}") from error

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        element = name.rpartition(":")[2]
        at = attributes.get("r", "")
        if element == "row":
            self._row = (
                int(at) if at.isascii() and at.isdecimal() and len(at) < 10 else self._row + 1 + 10**9 * bool(at)
            )
            self._column = 0
        elif element == "c":
            digits = at.lstrip(ascii_letters)
            letters = at[: len(at) - len(digits)]
            self._column = column_number(letters) if letters else self._column + 1
            if digits:
                self._row = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else 10**9
        elif element == "Relationship" and self._name == "xl/_rels/workbook.xml.rels":
            target = attributes.get("Target", "")
            if not target.endswith(".xml"):
                raise PlanFileError(
                    f"{self._path} points to {target!r}, and only .xml parts are read: save it as .xlsx without macros"
                )
            return
        else:
            return
        if self._row > SHEET_ROWS_MAX or self._column > SHEET_COLUMNS_MAX:
            raise PlanFileError(
                f"{self._path}, cell {at or self._row}: a sheet has at most {SHEET_ROWS_MAX} rows and {SHEET_COLUMNS_MAX} columns"
            )


def _text(cell: Any) -> str:
    """What a person sees in a cell that a spreadsheet made a number, a date or a truth of."""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    if isinstance(cell, datetime):
        is_day = (cell.hour, cell.minute, cell.second, cell.microsecond) == (0, 0, 0, 0)
        return cell.date().isoformat() if is_day else cell.isoformat()
    return cell.isoformat() if isinstance(cell, date) else str(cell)


class _Reader:
    """Reads the rows of one sheet and keeps its problems."""

    def __init__(self, place: str) -> None:
        self._place = place
        self.problems: list[str] = []

    def entries(self, rows: Sequence[Sequence[str]]) -> list[PlanEntry]:
        heads = [cell.strip() for cell in rows[0]] if rows else []
        while heads and not heads[-1]:
            heads.pop()
        self._check_heads(heads)
        if self.problems:
            return []
        entries: list[PlanEntry] = []
        known: dict[str, int] = {}
        for number, row in enumerate(rows[1:], 2):
            if not any(cell.strip() for cell in row):
                continue
            if len(entries) == PLANS_PER_FILE_MAX:
                self._problem(number, 0, NAME, f"is one too many; a file holds at most {PLANS_PER_FILE_MAX} plans")
                break
            entry = self._entry(number, heads, row)
            entries.append(entry)
            earlier = known.setdefault(entry.name, number)
            if earlier != number:
                self._problem(number, heads.index(NAME), NAME, f"{entry.name!r} is already that of row {earlier}")
        if not entries:
            self._problem(2, 0, NAME, "has no plans: a row below the first is a plan")
        return entries

    def _check_heads(self, heads: Sequence[str]) -> None:
        for column, head in enumerate(heads):
            if head not in COLUMNS:
                self._problem(1, column, head or "empty", f"is not known here; known are {', '.join(COLUMNS)}")
            elif heads.index(head) != column:
                self._problem(1, column, head, f"is already the head of column {column_letters(heads.index(head))}")
        for name in (NAME, *NEEDED):
            if name not in heads:
                self._problem(1, len(heads), name, "is missing among the heads of the columns")

    def _entry(self, number: int, heads: Sequence[str], row: Sequence[str]) -> PlanEntry:
        before = len(self.problems)
        arguments: dict[str, Any] = {NAME: ""}
        for column, cell in enumerate(row):
            text = cell.strip().removeprefix("'")
            if column >= len(heads):
                if text:
                    self._problem(number, column, text, "stands outside the columns that have a head")
                continue
            head = heads[column]
            if not text:
                if head in {NAME, *NEEDED}:
                    self._problem(number, column, head, "is empty")
                continue
            try:
                if head == NAME:
                    arguments[NAME] = name_checked(text, "it")
                else:
                    FIELDS[head].put_into(arguments, FIELDS[head].kind.read_cell(text))
            except ValueError as error:
                self._problem(number, column, head, str(error))
        if len(self.problems) == before:
            for problem in problems_of(arguments):
                self._problem(number, heads.index(NAME), str(arguments[NAME]), problem)
        return PlanEntry(name=str(arguments[NAME]), line=number, arguments=arguments)

    def _problem(self, number: int, column: int, what: str, why: str) -> None:
        self.problems.append(f"{self._place}, cell {column_letters(column)}{number}: {what} {why}")


def column_letters(column: int) -> str:
    """A column as spreadsheets name it: 0 is A, 26 is AA."""
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def column_number(letters: str) -> int:
    """The place of a column that spreadsheets name so: A is 1, AA is 27; of a name without end, a number beyond every limit."""
    number = 0
    for letter in letters.upper()[:8]:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
