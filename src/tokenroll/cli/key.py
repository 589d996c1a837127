"""`tokenroll key`: secrets with which clients spend a wallet."""

import contextlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tokenroll.cli.console import (
    CommandId,
    DryRun,
    Json,
    amount_option,
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
    when,
    written,
)
from tokenroll.cli.program import Failure, OutputError, must_be_seen
from tokenroll.model.api_key import KeyScope
from tokenroll.model.instant import Instant
from tokenroll.model.limit import WindowKind
from tokenroll.model.limits import KEY_SECRET_CHARACTERS_MIN
from tokenroll.model.tag import Purpose
from tokenroll.services.keys import (
    KEY_CHARACTERS_MAX,
    KEY_PREFIX,
    RANDOM_BYTES,
    is_well_formed,
    key_hash,
    new_key,
    shown_prefix,
)

app = noun_app("Secrets that spend a wallet; shown once, kept only as a keyed hash.")

_DURATION: Final = re.compile(r"(\d{1,6})([smhd])")
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_Key = Annotated[
    str,
    typer.Argument(help="Id of the key (key_…), its name, or its first characters as `tokenroll key list` shows them."),
]
_Models = Annotated[
    list[str] | None, typer.Option("--model", help="Only for this model, or this family (`claude-*`); may be repeated.")
]
_Tags = Annotated[
    str | None, typer.Option(help="Tags of its calls that say nothing else, such as `project=atlas,draft`.")
]
_Purpose = Annotated[Purpose | None, typer.Option(help="What its calls are for when they do not say it themselves.")]
_Budget = Annotated[str | None, typer.Option(help="At most so many credits a window: makes a limit of this key.")]
_Window = Annotated[WindowKind | None, typer.Option(help="The window of the budget; default cycle.")]
_SecretFile = Annotated[
    Path | None, typer.Option(help="Register the key in this file (`-`: standard input) instead of a new one.")
]


@app.command()
def create(
    member: Annotated[str, typer.Option(help="Whose wallet it spends (name or id).")],
    *,
    name: Annotated[str, typer.Option(help="What it is for.")] = "default",
    scope: Annotated[
        KeyScope,
        typer.Option(
            help="Only inference keys call models; read sees its own wallet; provision is for an identity provider."
        ),
    ] = KeyScope.INFERENCE,
    expires_at: Annotated[str | None, typer.Option(help="When it stops working, RFC 3339; default never.")] = None,
    models: _Models = None,
    tags: _Tags = None,
    purpose: _Purpose = None,
    budget: _Budget = None,
    budget_window: _Window = None,
    secret_file: _SecretFile = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Create a key. It is shown now and never again."""
    secret, said = _secret(secret_file)
    arguments = {
        "member": member, "name": name, "scope": scope.value, **said, "expires_at": _expiry(expires_at), "models": models,
        "tags": tags, "purpose": purpose and purpose.value, "budget_nanos": amount_option(budget, "--budget"),
        "budget_window": _rolls_not(budget_window),
    }  # fmt: skip
    result = execute("key.create", arguments, command_id=command_id, dry_run=dry_run)
    what = f"key {result['name']} for {result['member_name']}"
    shown_now = secret if secret_file is None and not dry_run else ""
    _show_once(
        result, f"{'would create' if dry_run else 'created'} {what}", shown_now, as_json=as_json, dry_run=dry_run
    )


@app.command()
def change(
    key: _Key,
    *,
    models: _Models = None,
    all_models: Annotated[bool, typer.Option("--all-models", help="For whatever its wallet may call again.")] = False,
    tags: _Tags = None,
    purpose: _Purpose = None,
    budget: _Budget = None,
    budget_window: _Window = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Change what a key is for. What is not named stays; `--tags ''` takes its tags away."""
    if all_models and models:
        raise Failure("give --model or --all-models, not both", kind="usage", code=2)
    arguments = {
        "key": _key_meant(key), "models": [] if all_models else models, "tags": tags, "purpose": purpose and purpose.value,
        "budget_nanos": amount_option(budget, "--budget"), "budget_window": _rolls_not(budget_window),
    }  # fmt: skip
    result = execute("key.change", arguments, command_id=command_id, dry_run=dry_run)
    written(f"changed key {result['name']}", result, as_json=as_json, dry_run=dry_run)


@app.command()
def rotate(
    key: _Key,
    *,
    overlap: Annotated[
        str, typer.Option(help="How long the old secret still works: 30m, 24h, 7d; 0s ends it now.")
    ] = "24h",
    secret_file: _SecretFile = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Give a key a new secret, shown now and never again. Its name, limits, tags and history stay."""
    secret, said = _secret(secret_file)
    arguments = {"key": _key_meant(key), "overlap_seconds": _seconds(overlap), **said}
    result = execute("key.rotate", arguments, command_id=command_id, dry_run=dry_run)
    old = f"the old secret ({result['former_prefix']}…) works until {when(result['former_works_until'])}"
    what = f"{'would rotate' if dry_run else 'rotated'} key {result['name']}; {old}"
    shown_now = secret if secret_file is None and not dry_run else ""
    _show_once(result, what, shown_now, as_json=as_json, dry_run=dry_run, rotated=True)


def _secret(secret_file: Path | None) -> tuple[str, dict[str, str]]:
    """A secret, new or from a file, and what the ledger is told of it."""
    settings = settings_with_ledger()
    secret = new_key(os.urandom(RANDOM_BYTES)) if secret_file is None else _secret_from(secret_file)
    digest = key_hash(settings.pepper(), secret.encode()).hex()
    return secret, {"secret_hash": digest, "shown_prefix": shown_prefix(secret)}


def _show_once(
    result: Mapping[str, Any], what: str, secret: str, *, as_json: bool, dry_run: bool, rotated: bool = False
) -> None:
    """What was done, and the secret if one was made; a key whose secret nobody saw is revoked again, a rotated one can be rotated."""
    shown = {**result, "dry_run": dry_run, **({"secret": secret} if secret else {})}

    def human() -> None:
        say(what)
        facts(result)
        if secret:
            say("", f"  {secret}", "")
            note("This is the only time the key is shown. `tokenroll client show claude-code` says where it goes.")

    try:
        with must_be_seen() if secret else contextlib.nullcontext():
            show(shown, as_json=as_json, human=human)
    except OutputError as error:
        if not secret:
            raise
        if rotated:
            told = (
                f"key {result['key']} was rotated, but its secret could not be shown ({error.why}): rotate it once more"
            )
            raise Failure(told, kind="output") from error
        raise Failure(_unseen(str(result["key"]), error.why), kind="output") from error


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
    *,
    member: Annotated[str | None, typer.Option(help="Only this member's.")] = None,
    unused_days: Annotated[
        int | None, typer.Option(min=1, max=3_650, help="Only live ones that nobody used for so many days.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List keys; secrets are not kept and cannot be shown."""
    with reports() as books:
        rows = books.keys(member, unused_days)
    columns = {
        "name": "key",
        "member_name": "member",
        "shown_prefix": "starts with",
        "scope": "scope",
        "state": "state",
        "created_at": "created",
        "used_at": "last used",
        "key": "id",
    }
    empty = "no keys yet: `tokenroll key create --member …`" if unused_days is None else "no key is unused for so long"
    show(rows, as_json=as_json, human=lambda: table(columns, rows, empty=empty))


@app.command("show")
def show_key(key: _Key, *, as_json: Json = False) -> None:
    """Show a key: what it is for, when it was used last, the secrets it had before and its limits."""
    with reports() as books:
        found = books.key(_key_among(books.keys(), key))

    def human() -> None:
        facts(
            {
                **found,
                "models": ", ".join(found["models"]) or "all of its wallet's",
                "limits": ", ".join(found["limits"]) or None,
            }
        )
        for one in found["former_secrets"]:
            works = "works until" if one["works"] else "worked until"
            say(
                f"  former secret {one['shown_prefix']}…  replaced {when(one['replaced_at'])}, {works} {when(one['works_until'])}"
            )

    show(found, as_json=as_json, human=human)


@app.command()
def revoke(
    key: _Key,
    *,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Revoke a key: running gateways refuse it within a second; calls under way are finished and settled."""
    result = execute("key.revoke", {"key": _key_meant(key)}, command_id=command_id, dry_run=dry_run)
    written(f"revoked key {key}", result, as_json=as_json, dry_run=dry_run)


def _secret_from(path: Path) -> str:
    data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    text = data.decode("latin-1").strip("\r\n")
    if len(text) > KEY_CHARACTERS_MAX or not text.isascii() or not text.isprintable() or _too_short(text):
        found = f"{len(text)} characters" if text.isascii() and text.isprintable() else "others"
        message = (
            f"--secret-file: a key is one line of {KEY_SECRET_CHARACTERS_MIN} to {KEY_CHARACTERS_MAX} printable ASCII characters, "
            f"of which at least {KEY_SECRET_CHARACTERS_MIN} are no blanks, and this file has {found}: whoever guesses it spends the "
            "wallet, so bring a longer one, or leave --secret-file out for a new key"
        )
        raise Failure(message, kind="usage", code=2)
    if text.startswith(KEY_PREFIX) and not is_well_formed(text):
        message = (
            f"this key begins with {KEY_PREFIX} as ours do, and is mistyped: its last characters do not fit the others"
        )
        raise Failure(message, kind="usage", code=2)
    return text


def _too_short(secret: str) -> bool:
    return len(secret) - secret.count(" ") < KEY_SECRET_CHARACTERS_MIN


def _key_meant(said: str) -> str:
    """The id of the key that is named by its id, its name or the characters it is listed with. Raises Failure when none or several are."""
    with reports() as books:
        known = books.keys()
    return _key_among(known, said)


def _key_among(known: list[dict[str, Any]], said: str) -> str:
    """The same of keys that were listed; a secret that was replaced is named by its first characters, too."""
    exact = [row for row in known if said in {row["key"], row["name"], *_prefixes(row)}]
    start = said.removesuffix("…")
    found = exact or [row for row in known if start and any(one.startswith(start) for one in _prefixes(row))]
    live = [row for row in found if row["state"] != "revoked"] or found
    if len(live) == 1:
        return str(live[0]["key"])
    hint = "the ids of keys begin with key_, and `tokenroll key list` shows them"
    if not live:
        raise Failure(f"there is no key {said!r}: {hint}", kind="not_found")
    raise Failure(f"{said!r} names {len(live)} keys: use the id; {hint}", kind="ambiguous")


def _prefixes(row: Mapping[str, Any]) -> list[str]:
    return [row["shown_prefix"], *(one["shown_prefix"] for one in row["former_secrets"])]


def _seconds(text: str) -> int:
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        message = f"--overlap: {text!r} is not a time such as 30m, 24h or 7d (0s: the old secret ends now)"
        raise Failure(message, kind="usage", code=2)
    return int(match[1]) * _UNIT_SECONDS[match[2]]


def _rolls_not(window: WindowKind | None) -> str | None:
    if window is WindowKind.ROLLING:
        message = "--budget-window: a rolling window needs its length; `tokenroll limit create --key … --window rolling` makes one"
        raise Failure(message, kind="usage", code=2)
    return window and window.value


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
