"""Classification: `tool` or `compensation`, the one attribute that decides tax, books, equity, clawback and wording.

Four departments setting it apart from one another is how companies owe tax they did not know of
(reference: books, §0). It is frozen on the grant and on its lots.
"""

from enum import StrEnum


class Classification(StrEnum):
    """What an allowance is in law: a working tool of the company, or pay of the person."""

    TOOL = "tool"
    COMPENSATION = "compensation"
