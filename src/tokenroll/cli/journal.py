"""`tokenroll journal`: the books verified from empty, and as text for other programs."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tokenroll.cli.console import Json, note, noun_app, reports, say, settings_with_ledger, show
from tokenroll.cli.program import Failure

app = noun_app("All entries in order: verify them from empty, export them as text.")


class TextFormat(StrEnum):
    """Whose language an export is in."""

    BEANCOUNT = "beancount"
    HLEDGER = "hledger"


@app.command()
def verify(*, as_json: Json = False) -> None:
    """Compute every value, the chain and conservation again from empty, and compare. Exit code 1 on any difference."""
    from tokenroll.store.verify import verify as verified_of

    with reports() as books, _progress(quiet=as_json) as progress:
        verified = verified_of(books.connection, books.now, progress)
    found = {
        "holds": verified.holds,
        "counts": dict(sorted(verified.counts.items())),
        "head": verified.head_hash.hex(),
        "difference_count": verified.difference_count,
        "differences": [{"kind": one.kind, "message": one.message} for one in verified.differences],
    }

    def human() -> None:
        width = max((len(name) for name in verified.counts), default=0)
        say(
            *(
                f"  {name.replace('_', ' '):<{width}}  {count:>12,}".replace(",", " ")
                for name, count in sorted(verified.counts.items())
            )
        )
        say(f"  {'head':<{width}}  {verified.head_hash.hex()}")
        say(*(f"  {one.kind}: {one.message}" for one in verified.differences))
        say(
            "✓ every value, the chain and conservation hold"
            if verified.holds
            else f"✗ {verified.difference_count} differences"
        )

    show(found, as_json=as_json, human=human)
    if not verified.holds:
        raise typer.Exit(1)


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on standard error of a terminal; nothing for a program."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    with Progress(
        TextColumn("verifying"), BarColumn(), MofNCompleteColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("rows", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


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
        journal = journal_of(books.connection, books.now, settings_with_ledger().company.name)
    text = beancount_text(journal) if text_format is TextFormat.BEANCOUNT else hledger_text(journal)
    if output is None:
        say(text.rstrip("\n"))
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"{output} cannot be written: {error.strerror}; what is there of it is not whole"
        raise Failure(message, kind="file") from error
    note(f"{len(journal.movements)} movements and {len(journal.assertions)} balances written to {output}")
