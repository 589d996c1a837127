"""Answers of the usage lake as people and programs take them away: rows of a table, CSV, JSON or Parquet.

Amounts leave as exact decimal texts beside their unit, but for Parquet, which holds the whole numbers of nanos themselves.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO

from tokenroll.books.cells import neutral
from tokenroll.model.amount import text_from_nanos
from tokenroll.model.instant import text_from_instant
from tokenroll.services.wire import CREDITS, to_wire
from tokenroll.store.lake_libraries import arrow_parquet
from tokenroll.store.lake_queries import UsageAnswer

_ROWS_AT_A_TIME: Final = 50_000


def slices(answer: UsageAnswer) -> Iterator[list[dict[str, Any]]]:
    """All rows, some at a time."""
    for start in range(0, answer.table.num_rows, _ROWS_AT_A_TIME):
        yield answer.rows(start, _ROWS_AT_A_TIME)


def unit_of(answer: UsageAnswer, column: str) -> str:
    """What the amounts of a column are in; empty for no amount, and where each row says its currency itself."""
    if column.endswith("_cost_nanos"):
        return answer.currency
    return CREDITS if column.endswith("_nanos") else ""


def header_of(answer: UsageAnswer, column: str) -> str:
    """A column's name for people, its unit behind it: `list_cost_usd`, `charge_credits`, `input_tokens`."""
    name = column.removesuffix("_nanos").removesuffix("_at")
    unit = unit_of(answer, column)
    return f"{name}_{unit.lower()}" if unit else name


def write_csv(answer: UsageAnswer, file: TextIO) -> None:
    """A header and a line for each row; what nobody told is an empty cell."""
    columns = answer.table.column_names
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([header_of(answer, column) for column in columns])
    for rows in slices(answer):
        writer.writerows([_cell(column, row[column]) for column in columns] for row in rows)


def _cell(column: str, value: Any) -> str:
    if value is None:
        return ""
    if column.endswith("_nanos"):
        return text_from_nanos(value)
    if column.endswith("_at"):
        return text_from_instant(value)
    return neutral(str(value))


def write_json(answer: UsageAnswer, file: TextIO) -> None:
    """One object: where the answer is from, and its rows as every door of ours shows them."""
    file.write(f'{{\n  "answered_from": {json.dumps(answer.kind)},\n  "rows": [')
    separator = "\n"
    for rows in slices(answer):
        for row in rows:
            told = to_wire({"currency": answer.currency or "USD", **row})
            if "currency" not in row:
                del told["currency"]
            file.write(f"{separator}    {json.dumps(told, ensure_ascii=False)}")
            separator = ",\n"
    file.write("\n  ]\n}\n" if answer.table.num_rows else "]\n}\n")


def write_parquet(answer: UsageAnswer, path: Path) -> None:
    """The table as it is: whole numbers, `_nanos` of credits or of the currency that its metadata names."""
    table = answer.table.replace_schema_metadata({"currency": answer.currency}) if answer.currency else answer.table
    arrow_parquet().write_table(table, path, compression="zstd")
