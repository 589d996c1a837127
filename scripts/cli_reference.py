"""Prints docs/cli.md: every noun, verb, argument and option as the program itself knows them.

    python scripts/cli_reference.py > docs/cli.md

A test compares the page with this, so a command cannot be added without its page.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import typer

from tokenroll.cli.program import NOUNS

HEAD = """\
# The command line

`tokenroll NOUN VERB` is the whole grammar. Every listing and every show takes `--json` (money is a decimal string with its unit, times
are RFC 3339); every write takes `--dry-run` (say what would happen, change nothing) and `--id` (your own id for the write: the same id
gives the first answer again, another body under it is refused).

Exit codes: **0** done · **1** refused or found wanting, with the next step on standard error · **2** wrong usage.

State lives in `TOKENROLL_HOME` (default `~/.tokenroll`); what stands in its `config.toml` is on [a page of its own](config.md). While
`tokenroll serve` runs, commands go to its ledger over a socket; else they open the ledger themselves under a lock.

This page is made by `scripts/cli_reference.py` from the program.
"""
SHARED = {"--json", "--dry-run", "--id", "--help"}


def main() -> None:
    print(reference())


def reference() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(line for noun in NOUNS for line in of_noun(noun))]).rstrip()


def of_noun(noun: str) -> Iterator[str]:
    app = importlib.import_module(f"tokenroll.cli.{noun}").app
    command: Any = typer.main.get_command(app)
    verbs = getattr(command, "commands", None)
    yield f"## {noun}"
    yield ""
    yield f"{NOUNS[noun][0].upper()}{NOUNS[noun][1:]}."
    yield ""
    for name, verb in sorted(verbs.items()) if verbs else [("", command)]:
        yield from of_verb(f"tokenroll {noun} {name}".rstrip(), verb)


def of_verb(title: str, command: Any) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    shared = [one for one in options if set(one.opts) & SHARED]
    names = " ".join(f"{{{one.name}}}" if one.required else f"[{one.name}]" for one in arguments)
    yield f"### `{title}{names and ' '}{names}`"
    yield ""
    yield words(command.help)
    yield ""
    rows = [(f"`{one.name}`", one) for one in arguments]
    rows += [(f"`{' / '.join([*one.opts, *one.secondary_opts])}`", one) for one in options if one not in shared]
    for shown, one in rows:
        default = "" if one.required or one.default in {None, "", False} else f" Default `{plain(one.default)}`."
        needed = " Required." if one.required and one.param_type_name == "option" else ""
        yield f"- {shown} {words(one.help)}{needed}{default}"
    common = [f"`{name}`" for one in shared for name in one.opts if name in SHARED and name != "--help"]
    if common:
        yield f"- also {', '.join(common)}"
    yield ""


def words(text: str | None) -> str:
    """Help on one line; a bracket of its own is escaped there, because the terminal takes others for colours."""
    return " ".join((text or "").split()).replace("\\[", "[")


def plain(value: object) -> str:
    return str(getattr(value, "value", value))


if __name__ == "__main__":
    main()
