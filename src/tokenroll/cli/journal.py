"""`tokenroll journal`: the books verified from empty, and as text for other programs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tokenroll.cli.console import note, noun_app, reports, say

app = noun_app("All entries in order: verify them from empty, export them as text.")


class TextFormat(StrEnum):
    """Whose language an export is in."""

    BEANCOUNT = "beancount"
    HLEDGER = "hledger"


@app.command()
def export(
    *,
    text_format: Annotated[TextFormat, typer.Option("--format", help="Whose language.")] = TextFormat.BEANCOUNT,
    output: Annotated[Path | None, typer.Option(help="File to write; default standard output.")] = None,
) -> None:
    """Export grants, vesting, settlements by day, breakage and balances, ready for `bean-check` or `hledger check`."""
    from tokenroll.books.beancount import beancount_text
    from tokenroll.books.hledger import hledger_text
    from tokenroll.services.exporting import journal_of

    with reports() as books:
        title = books.settings().get("company_name", "Company")
        journal = journal_of(books.connection, books.now, title)
    text = beancount_text(journal) if text_format is TextFormat.BEANCOUNT else hledger_text(journal)
    if output is None:
        say(text.rstrip("\n"))
        return
    output.write_text(text, encoding="utf-8")
    note(f"{len(journal.movements)} movements and {len(journal.assertions)} balances written to {output}")
