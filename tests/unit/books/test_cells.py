"""What a spreadsheet would take for a formula has an apostrophe before it in every CSV that we write; numbers stay numbers."""

import ast
import csv
from pathlib import Path

import pytest

import tokenroll
from tests.focus_story import story_rows
from tokenroll.books.cells import neutral
from tokenroll.books.focus import focus_csv

CELLS = [
    ("=1+1", "'=1+1"),
    ("+49", "'+49"),
    ("-1+1", "'-1+1"),
    ("-", "'-"),
    ("@SUM(A1)", "'@SUM(A1)"),
    ("\tx", "'\tx"),
    ("'quoted", "''quoted"),
    ("-1", "-1"),
    ("-0.000000001", "-0.000000001"),
    ("a=b", "a=b"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "cell"), CELLS)
def test_no_cell_is_a_formula(text: str, cell: str):
    assert neutral(text) == cell


@pytest.mark.parametrize(("text", "cell"), CELLS)
def test_no_cell_of_a_month_in_focus_is_a_formula(text: str, cell: str):
    row = {**story_rows()[0], "ChargeDescription": text, "BilledCost": "-1.5"}
    (told,) = csv.DictReader(focus_csv([row]))
    assert (told["ChargeDescription"], told["BilledCost"]) == (cell, "-1.5")


def test_whoever_writes_a_table_knows_of_it():
    """A module that calls a csv writer or joins cells itself has them from `neutral`, or writes none that come from outside."""
    writers = set()
    for path in Path(tokenroll.__file__).parent.rglob("*.py"):
        text = path.read_text()
        if "csv.writer(" in text or "csv.DictWriter(" in text or "def focus_csv" in text:
            names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
            writers.add((path.name, "neutral" in names))
    # plan_fields writes parts of one cell, which plan_sheets guards; the demo's table has words of its own
    assert writers == {
        ("focus.py", True), ("plan_sheets.py", True), ("usage_answers.py", True), ("report_answers.py", True),
        ("plan_fields.py", False), ("worth.py", False),
    }  # fmt: skip
