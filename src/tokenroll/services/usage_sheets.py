"""An answer of the usage lake as a workbook: one sheet with its rows, one that says what the columns are.

A spreadsheet keeps fifteen digits of a number. An amount or a count with no more is a number that can be added up; one with more is a
text, so that no digit is lost, and the workbook says in which columns there are such.
"""

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

from tokenroll.model.amount import NANOS_PER_CREDIT, text_from_nanos
from tokenroll.model.instant import datetime_from_instant
from tokenroll.model.limits import ANSWER_SHEET_ROWS_MAX
from tokenroll.services.usage_answers import header_of, slices, unit_of
from tokenroll.store.lake_queries import TIMES, UsageAnswer

_DIGITS_MAX: Final = 15
_WIDTH_MIN, _WIDTH_MAX = 10, 60
_AMOUNT, _COUNT, _DATE, _TIME, _TEXT, _HEAD = "amount", "count", "date", "time", "text", "head"
_FORMATS: Final[Mapping[str, Mapping[str, Any]]] = {
    _AMOUNT: {"num_format": "#,##0.000000000"},
    _COUNT: {"num_format": "#,##0"},
    _DATE: {"num_format": "yyyy-mm-dd", "align": "left"},
    _TIME: {"num_format": "yyyy-mm-dd hh:mm", "align": "left"},
    _TEXT: {"num_format": "@"},
    _HEAD: {"bold": True, "num_format": "@", "bottom": 1},
}
_WIDTHS: Final = {_AMOUNT: 20, _COUNT: 16, _DATE: 12, _TIME: 17, _TEXT: _WIDTH_MIN}
_SAYS: Final = {
    _AMOUNT: "an amount, exact to the billionth",
    _COUNT: "a count",
    _DATE: "a day in UTC; of a week its Monday, of a month its first",
    _TIME: "the beginning of an hour in UTC",
    _TEXT: "a name",
}


class SheetError(Exception):
    """An answer that cannot be a workbook; the message says what can be had in its place."""


def write_xlsx(answer: UsageAnswer, path: Path) -> list[str]:
    """The workbook as a file. Answers the headers of columns that have numbers of more than fifteen digits. Raises SheetError."""
    try:
        from xlsxwriter import Workbook  # noqa: PLC0415 - an extra: only spreadsheets need it
    except ImportError as error:
        raise SheetError("a workbook needs the extra `sheets`: install tokenroll[sheets], or use CSV") from error
    if answer.table.num_rows > ANSWER_SHEET_ROWS_MAX:
        raise SheetError(
            f"{answer.table.num_rows} rows are more than the {ANSWER_SHEET_ROWS_MAX} of a worksheet: use CSV or Parquet"
        )
    kinds = {column: _kind_of(answer, column) for column in answer.table.column_names}
    # rows go to the file as they come, so that a million of them need no memory
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with Workbook(str(path), options) as book:
        formats = {name: book.add_format(dict(told)) for name, told in _FORMATS.items()}
        sheet = book.add_worksheet("usage")
        sheet.freeze_panes(1, 0)
        for place, (column, width) in enumerate(_widths(answer, kinds).items()):
            sheet.set_column(place, place, width, formats[kinds[column]])
            sheet.write_string(0, place, _header(answer, column), formats[_HEAD])
        if answer.table.num_rows:
            sheet.autofilter(0, 0, answer.table.num_rows, len(kinds) - 1)
        as_text = _write_rows(sheet, answer, kinds, formats)
        _write_notes(book.add_worksheet("columns"), answer, kinds, as_text, formats)
    return [_header(answer, column) for column in as_text]


def _write_rows(
    sheet: Any, answer: UsageAnswer, kinds: Mapping[str, str], formats: Mapping[str, Any]
) -> Mapping[str, int]:
    """How many cells of which columns are texts because their numbers are too long."""
    writers: dict[str, Callable[..., Any]] = {_DATE: sheet.write_datetime, _TIME: sheet.write_datetime}
    as_text: dict[str, int] = {}
    number = 0
    for rows in slices(answer):
        for row in rows:
            number += 1
            for place, (column, kind) in enumerate(kinds.items()):
                value = row[column]
                if value is None or value == "":
                    continue
                cell = _cell(kind, value)
                if isinstance(cell, str):
                    sheet.write_string(number, place, cell, formats[_TEXT])
                    if kind in {_AMOUNT, _COUNT}:
                        as_text[column] = as_text.get(column, 0) + 1
                else:
                    writers.get(kind, sheet.write_number)(number, place, cell, formats[kind])
    return as_text


def _write_notes(
    sheet: Any, answer: UsageAnswer, kinds: Mapping[str, str], as_text: Mapping[str, int], formats: Mapping[str, Any]
) -> None:
    sheet.set_column(0, 1, 28)
    sheet.set_column(2, 2, 60)
    for place, name in enumerate(("column", "unit", "what stands in it")):
        sheet.write_string(0, place, name, formats[_HEAD])
    for number, (column, kind) in enumerate(kinds.items(), 1):
        says = _SAYS[kind]
        if column in as_text:
            says += f"; {as_text[column]} have more than {_DIGITS_MAX} digits and are texts, which a spreadsheet does not add up"
        for place, text in enumerate((_header(answer, column), unit_of(answer, column), says)):
            sheet.write_string(number, place, text, formats[_TEXT])


def _kind_of(answer: UsageAnswer, column: str) -> str:
    if column.endswith("_nanos"):
        return _AMOUNT
    if column.endswith("_at"):
        return _TIME
    if column in TIMES:
        return _DATE
    kind = str(answer.table.schema.field(column).type)
    return _TEXT if "string" in kind else _COUNT


def _header(answer: UsageAnswer, column: str) -> str:
    return f"{header_of(answer, column)}_utc" if column.endswith("_at") else header_of(answer, column)


def _widths(answer: UsageAnswer, kinds: Mapping[str, str]) -> dict[str, int]:
    """By the header and the first rows; names are as long as they are, within bounds."""
    widths = {column: max(_WIDTHS[kind], len(_header(answer, column)) + 4) for column, kind in kinds.items()}
    for row in answer.rows(0, 1_000):
        for column, kind in kinds.items():
            if kind == _TEXT:
                widths[column] = max(widths[column], len(row[column] or "") + 2)
    return {column: min(width, _WIDTH_MAX) for column, width in widths.items()}


def _cell(kind: str, value: Any) -> Any:
    """What is written: a text stays one, also where it begins as a formula does."""
    if kind == _DATE:
        return date.fromisoformat(value)
    if kind == _TIME:
        return datetime_from_instant(value).replace(tzinfo=None)
    if kind == _TEXT:
        return str(value)
    text = text_from_nanos(value, 0) if kind == _AMOUNT else str(value)
    if len(text.lstrip("-").replace(".", "").strip("0")) > _DIGITS_MAX:
        return text
    return value / NANOS_PER_CREDIT if kind == _AMOUNT else value
