"""`tokenroll key`: secrets with which clients spend a wallet."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tokenroll.cli.console import (
    CommandId,
    DryRun,
    Json,
    execute,
    facts,
    instant_option,
    note,
    noun_app,
    reports,
    say,
    settings_with_ledger,
    show,
    table,
    written,
)
from tokenroll.cli.program import Failure, OutputError, must_be_seen
from tokenroll.model.api_key import KeyScope
from tokenroll.model.instant import Instant
from tokenroll.services.keys import KEY_CHARACTERS_MAX, RANDOM_BYTES, key_hash, new_key, shown_prefix

app = noun_app("Secrets that spend a wallet; shown once, kept only as a keyed hash.")


@app.command()
def create(
    member: Annotated[str, typer.Option(help="Whose wallet it spends (name or id).")],
    *,
    name: Annotated[str, typer.Option(help="What it is for.")] = "default",
    scope: Annotated[
        KeyScope, typer.Option(help="Only inference keys call models; provision is for an identity provider.")
    ] = KeyScope.INFERENCE,
    expires_at: Annotated[str | None, typer.Option(help="When it stops working, RFC 3339; default never.")] = None,
    secret_file: Annotated[
        Path | None, typer.Option(help="Register the key in this file (`-`: standard input) instead of a new one.")
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Create a key. It is shown now and never again."""
    settings = settings_with_ledger()
    secret = new_key(os.urandom(RANDOM_BYTES)) if secret_file is None else _secret_from(secret_file)
    arguments = {
        "member": member,
        "name": name,
        "scope": scope.value,
        "secret_hash": key_hash(settings.pepper(), secret.encode()).hex(),
        "shown_prefix": shown_prefix(secret),
        "expires_at": _expiry(expires_at),
    }
    result = execute("key.create", arguments, command_id=command_id, dry_run=dry_run)
    shown = {**result, "dry_run": dry_run}
    if secret_file is None and not dry_run:
        shown["secret"] = secret

    def human() -> None:
        say(f"{'would create' if dry_run else 'created'} key {result['name']} for {result['member_name']}")
        facts(result)
        if "secret" in shown:
            say("", f"  {secret}", "")
            note("This is the only time the key is shown. `tokenroll client show claude-code` says where it goes.")

    try:
        with must_be_seen() if "secret" in shown else contextlib.nullcontext():
            show(shown, as_json=as_json, human=human)
    except OutputError as error:
        if "secret" in shown:
            raise Failure(_unseen(str(result["key"]), error.why), kind="output") from error
        raise


def _unseen(key: str, why: str) -> str:
    """What becomes of a key whose secret nobody saw: it is revoked, because it would live and could not be used or missed."""
    told = f"key {key} was made, but its secret could not be shown ({why})"
    try:
        execute("key.revoke", {"key": key}, command_id="", dry_run=False)
    except Failure as error:
        return f"{told}, nor could it be revoked ({error}): run `tokenroll key revoke {key}`"
    return f"{told}, so it was revoked again: make another one"


@app.command("list")
def list_keys(
    *, member: Annotated[str | None, typer.Option(help="Only this member's.")] = None, as_json: Json = False
) -> None:
    """List keys; secrets are not kept and cannot be shown."""
    with reports() as books:
        rows = books.keys(member)
    columns = {
        "name": "key",
        "member_name": "member",
        "shown_prefix": "starts with",
        "scope": "scope",
        "state": "state",
        "created_at": "created",
        "key": "id",
    }
    show(
        rows,
        as_json=as_json,
        human=lambda: table(columns, rows, empty="no keys yet: `tokenroll key create --member …`"),
    )


@app.command()
def revoke(
    key: Annotated[
        str,
        typer.Argument(
            help="Id of the key (key_…), its name, or its first characters as `tokenroll key list` shows them."
        ),
    ],
    *,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Revoke a key: running gateways refuse it within a second; calls under way are finished and settled."""
    result = execute("key.revoke", {"key": _key_meant(key)}, command_id=command_id, dry_run=dry_run)
    written(f"revoked key {key}", result, as_json=as_json, dry_run=dry_run)


def _secret_from(path: Path) -> str:
    text = (sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")).strip("\r\n")
    if not text or len(text) > KEY_CHARACTERS_MAX or not text.isascii() or not text.isprintable():
        message = f"a key is 1 to {KEY_CHARACTERS_MAX} printable ASCII characters on one line"
        raise Failure(message, kind="usage", code=2)
    return text


def _key_meant(said: str) -> str:
    """The id of the key that is named by its id, its name or the characters it is listed with. Raises Failure when none or several are."""
    with reports() as books:
        known = books.keys()
    exact = [row for row in known if said in {row["key"], row["name"], row["shown_prefix"]}]
    start = said.removesuffix("…")
    found = exact or [row for row in known if start and row["shown_prefix"].startswith(start)]
    live = [row for row in found if row["state"] != "revoked"] or found
    if len(live) == 1:
        return str(live[0]["key"])
    hint = "the ids of keys begin with key_, and `tokenroll key list` shows them"
    if not live:
        raise Failure(f"there is no key {said!r}: {hint}", kind="not_found")
    raise Failure(f"{said!r} names {len(live)} keys: use the id; {hint}", kind="ambiguous")


def _expiry(text: str | None) -> Instant | None:
    """When the key stops working. Raises Failure for a time that is over: such a key would never work."""
    at = instant_option(text, "--expires-at")
    if at is None:
        return None
    with reports() as books:
        over = at <= books.now
    if over:
        message = f"--expires-at: {text} is over, so the key would never work: name a time to come, or leave it out"
        raise Failure(message, kind="expired")
    return at
