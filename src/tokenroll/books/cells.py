"""Cells of tables that spreadsheets open: every CSV that we write gets its texts from here.

A spreadsheet takes a text for a formula by its first character, and names come from outside.
"""

import re
from typing import Final

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def neutral(text: str) -> str:
    """The text as no spreadsheet takes it for a formula: with an apostrophe before it where it begins as one. A number stays one.

    A text that begins with an apostrophe gets another one, so that whoever takes the first one off has what was written.
    """
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text
