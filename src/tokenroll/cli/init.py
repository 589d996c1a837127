"""`tokenroll init`: a home with a configuration, a secret and an empty ledger."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tokenroll.cli.console import CommandId, DryRun, Json, execute, exit_code, refuse_node, say, show
from tokenroll.cli.program import Failure
from tokenroll.ledger_place import LedgerUrlError, ledger_url
from tokenroll.settings import CONFIG_NAME, SECRET_NAME, Settings, load_settings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_CONFIG = """\
# tokenroll: every setting with its default; a key that is not known is an error. See docs/config.md.
{ledger}
[company]
name = "{name}"
zone = "{zone}"            # IANA zone in which the company's own months begin

[gateway]
listen = "127.0.0.1:8787"
workers = 1                  # processes, up to 16: each is busy with one core
durability = "synced"        # synced: a hold survives power loss; written: only the death of a process
observe = false              # true: refuse nobody, record every would-be denial

[web]
listen = "127.0.0.1:8788"

# One table per way to reach a provider. Keys never stand here: name a variable or a file that holds one.
#
# [deployments.anthropic]
# dialect = "anthropic"                      # or "openai"
# base_url = "https://api.anthropic.com"
# api_key_env = "ANTHROPIC_API_KEY"          # or api_key_file = "/path/to/key"
# aliases = {{ fast = "claude-haiku-4-5" }}    # what clients may say = what the provider is asked for
#
# [deployments.openai]
# dialect = "openai"
# base_url = "https://api.openai.com/v1"
# api_key_env = "OPENAI_API_KEY"
"""


@app.command()
def init(
    *,
    name: Annotated[str, typer.Option(help="What the company is called.")] = "Company",
    zone: Annotated[str, typer.Option(help="IANA time zone of the company.")] = "UTC",
    ledger: Annotated[
        str, typer.Option(help="postgresql://user@host/database instead of a file; see docs/postgresql.md.")
    ] = "",
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Make a home. Refuses to touch one that has a ledger."""
    settings = _with_ledger(load_settings(), ledger)
    refuse_node(settings)
    if settings.secret_lost:
        raise Failure(settings.secret_lost, kind="settings")
    if _knows_its_company(settings):
        raise Failure(_taken(settings), kind="taken")
    name = name.strip()
    _refuse_unprintable(name)
    _refuse_unknown(zone)
    result = {
        "home": str(settings.home),
        "ledger": str(settings.ledger_place),
        "company": name,
        "zone": zone,
        "dry_run": dry_run,
    }
    if not dry_run:
        with _alone(settings), _whole_or_nothing(settings):
            make_home(settings, name, zone)
            execute("company.set", {"name": name, "zone": zone}, command_id=command_id or "init", dry_run=False)

    def human() -> None:
        say(f"{'would make' if dry_run else 'made'} {settings.home} for {name} ({zone})")
        if settings.ledger is not None:
            say(f"ledger: {settings.ledger}")
        say("next: tokenroll ratecard import")
        say("      tokenroll department create Engineering")
        say("      tokenroll member create 'Ada Lovelace' --department Engineering")
        say("      tokenroll plan create tools --kind stipend --classification tool --amount 100 --lifetime 3m")
        say("      tokenroll grant create 'Ada Lovelace' --plan tools")
        say("      tokenroll key create --member 'Ada Lovelace'")
        say("      tokenroll serve --observe")

    show(result, as_json=as_json, human=human)


def _refuse_unknown(zone: str) -> None:
    """Raises Failure for a zone that is none, before it is written into a configuration that no command could read."""
    from tokenroll.services.people import zone_checked
    from tokenroll.services.refusal import Refused

    try:
        zone_checked(zone)
    except Refused as refused:
        raise Failure(refused.message, kind=refused.kind, code=exit_code(refused.kind)) from refused


def _knows_its_company(settings: Settings) -> bool:
    """Whether there is a ledger that was told whose it is; one that was not is what an `init` that was killed has left."""
    from sqlalchemy.exc import DBAPIError

    from tokenroll.app import open_reports
    from tokenroll.services.people import COMPANY_NAME_SETTING
    from tokenroll.store.database import SchemaError, is_empty

    if not settings.has_ledger if settings.ledger is None else is_empty(settings.ledger):
        return False
    try:
        with open_reports(settings) as books:
            return COMPANY_NAME_SETTING in books.settings()
    except (SchemaError, DBAPIError):  # of an earlier release, or damaged: not a new one
        return True


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """No other `init` makes this home meanwhile: one that failed would take away what the other has made. Raises Failure for the second."""
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(settings.home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if _knows_its_company(settings):
            raise Failure(
                f"{settings.home} was made by another `init` at this moment: nothing was changed", kind="taken"
            )
        yield
    finally:
        os.close(folder)


@contextlib.contextmanager
def _whole_or_nothing(settings: Settings) -> Iterator[None]:
    """A home that could not be made (a full disk, a zone that is none) leaves no file behind, so that `init` can be asked again."""
    from tokenroll.store.database import log_of, remove

    database = settings.database_path
    made = [one for one in (settings.config_path, settings.home / SECRET_NAME) if not one.exists()]
    # a log alone is of a ledger that is lost; what a server holds is its own, there whole or not at all
    is_new = settings.ledger is None and not database.exists() and not log_of(database).exists()
    try:
        yield
    except BaseException:
        if is_new:
            remove(database)
        for path in made:
            path.unlink(missing_ok=True)
        raise


def _with_ledger(settings: Settings, text: str) -> Settings:
    """The settings with the ledger that the command line names. Raises Failure for a text that is none, and for another than the file's."""
    if not text:
        return settings
    try:
        url = ledger_url(text)
    except LedgerUrlError as error:
        raise Failure(f"--ledger {error}", kind="usage", code=2) from error
    if url.has_password:
        message = (
            "--ledger must hold no password, for others see command lines: name a file or a variable with "
            "ledger_password_file or ledger_password_env in config.toml, or use libpq's own .pgpass"
        )
        raise Failure(message, kind="usage", code=2)
    if settings.config_path.exists() and (settings.ledger is None or str(settings.ledger) != str(url)):
        message = f'{settings.config_path} is there already: write ledger = "{url}" above its first table, and run `tokenroll init` without --ledger'
        raise Failure(message, kind="taken")
    return settings if settings.config_path.exists() else replace(settings, ledger=url)


def _taken(settings: Settings) -> str:
    what = f"{settings.home} has a ledger already: nothing was changed; another home is made with TOKENROLL_HOME=/path"
    if settings.ledger is not None and not (settings.home / SECRET_NAME).exists():
        what = (
            f"{settings.ledger} holds the ledger of another home, and only with its secret do keys work: copy the file "
            f"{SECRET_NAME} from there to {settings.home}, or name an empty database"
        )
    return what


def make_home(settings: Settings, name: str, zone: str) -> None:
    """Folders, configuration and secret, readable by their owner alone; the ledger is made when it is first opened."""
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in (settings.tape_directory, settings.run_directory):
        folder.mkdir(mode=0o700, exist_ok=True)
    _write_new(settings.home / SECRET_NAME, secrets.token_bytes(32))
    if not settings.config_path.exists():
        _write_new(settings.home / CONFIG_NAME, _config(settings, name, zone).encode())


def _config(settings: Settings, name: str, zone: str) -> str:
    ledger = f'\nledger = "{settings.ledger}"\n' if settings.ledger else ""
    return _CONFIG.format(name=name, zone=zone, ledger=ledger)


def _write_new(path: Path, data: bytes) -> None:
    """A file that is there whole or not at all: half a secret, left by somebody who was killed, would never be made again."""
    if path.exists():
        return
    half = path.with_name(f"{path.name}.new")
    half.unlink(missing_ok=True)
    try:
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        half.replace(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise


def _refuse_unprintable(name: str) -> None:
    if not name.isprintable() or '"' in name or "\\" in name or not name:
        message = "a company's name is printable, without quotation marks and backslashes"
        raise Failure(message, kind="usage", code=2)
