"""The command's options, and the order of its scenes."""

from pathlib import Path
from typing import Annotated, Final

import typer

from tokenroll.cli.program import Failure

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

SCENES: Final = (
    "company",
    "grants",
    "month",
    "race",
    "refusal",
    "crash",
    "closing",
    "books",
    "verify",
)
"""Modules of this package, in the order in which they play."""


@app.command()
def demo(
    *,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the engineer's page.")] = False,
    leave: Annotated[bool, typer.Option("--exit", help="End after the last scene instead of serving on.")] = False,
    port: Annotated[int, typer.Option(help="Port of the gateway; 0 lets the system choose.")] = 0,
    home: Annotated[Path | None, typer.Option(help="Make the home here and keep it; it must not exist yet.")] = None,
) -> None:
    """A made-up company's month in a minute: no key, no network, every sum checked."""
    del no_browser, leave, port, home
    raise Failure("the scenes are being put on stage")
