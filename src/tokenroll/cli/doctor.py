"""`tokenroll doctor`: whether a client's calls work, by making one."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from tokenroll.cli.console import Json, note, say, show
from tokenroll.cli.program import Failure
from tokenroll.settings import CLIENT_KEY_VARIABLE, client_key_from_environment

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_KEY_BYTES_MAX: Final = 4_096
"""Far above every key: a larger file is not one."""


@app.command()
def doctor_command(
    *,
    client: Annotated[
        str, typer.Option(help="The client whose call is made: claude-code, codex, openai or anthropic.")
    ],
    url: Annotated[
        str | None, typer.Option(help="Where the gateway is reached; default where this home's gateway listens.")
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            help=f"The file that holds the key, - for standard input; default: the variable {CLIENT_KEY_VARIABLE}."
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="The model to ask for; default one that the client uses.")] = "",
    as_json: Json = False,
) -> None:
    """Make one real call as a client would, and say what broke and what to do. The call costs what it costs: a greeting."""
    from tokenroll.cli.client import own_url
    from tokenroll.services.client_checking import CHECKED_CLIENTS, check_client

    if client not in CHECKED_CLIENTS:
        message = f"there is no client {client!r}; known: {', '.join(CHECKED_CLIENTS)}"
        raise Failure(message, kind="usage", code=2)
    address = (url or own_url()).rstrip("/").removesuffix("/v1")
    if not address.startswith(("http://", "https://")):
        message = f"--url must begin with http:// or https://, not {address!r}"
        raise Failure(message, kind="usage", code=2)
    found = check_client(client, address, _key(key_file), model)

    def human() -> None:
        if found.broken:
            say(f"broken  {found.broken}", f"next    {found.next_step}")
        else:
            cost = f"{found.cost} credits" if found.cost else "see `tokenroll call show`"
            say(f"works   {client} with {found.model} at {found.url}: {found.call}, cost {cost}")
        note(*(f"        {one}" for one in found.notes))

    show({**asdict(found), "works": not found.broken}, as_json=as_json, human=human)
    if found.broken:
        raise typer.Exit(1)


def _key(key_file: Path | None) -> str:
    """The key, never from the command line: that is seen by everybody on the machine. Raises Failure."""
    if key_file is None:
        key = client_key_from_environment()
        where = f"the variable {CLIENT_KEY_VARIABLE}"
    elif str(key_file) == "-":
        key, where = sys.stdin.read(_KEY_BYTES_MAX), "standard input"
    else:
        with key_file.open(encoding="utf-8", errors="replace") as file:
            key = file.read(_KEY_BYTES_MAX)
        where = str(key_file)
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable():
        message = f"there is no key in {where}; make one with `tokenroll key create --member NAME` and give it with --key-file or {CLIENT_KEY_VARIABLE}"
        raise Failure(message, kind="usage", code=2)
    return key
