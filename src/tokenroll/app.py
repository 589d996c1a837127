"""The parts wired together: the one place where a service meets its store, its clock and its transport."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from tokenroll.services.clock import Clock, VirtualClock, system_clock
from tokenroll.services.commands import COMMANDS
from tokenroll.services.history import DaySums
from tokenroll.services.ledger import Ledger
from tokenroll.services.protocol import Command, Reply
from tokenroll.services.reporting import Reports
from tokenroll.settings import Settings
from tokenroll.store.database import open_reader, open_writer


def clock_of(settings: Settings) -> Clock:
    """The machine's clock, or the moving one of a home that `demo` made. Raises SettingsError for a clock anywhere else."""
    path = settings.clock_path
    return system_clock if path is None else VirtualClock(path)


class Reader:
    """A home's ledger for questions only: any number of threads, each question one snapshot. Raises SchemaError without a ledger."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = clock_of(settings)
        self._engine = open_reader(settings.database_path)

    @contextmanager
    def reports(self, day_sums: dict[int, DaySums] | None = None) -> Iterator[Reports]:
        """Questions over one snapshot, as of the home's clock now."""
        with self._engine.connect() as connection:
            yield Reports(connection, self.clock(), day_sums)

    def close(self) -> None:
        """Every connection closed."""
        self._engine.dispose()


@contextmanager
def open_reports(settings: Settings) -> Iterator[Reports]:
    """One set of questions over one snapshot."""
    reader = Reader(settings)
    try:
        with reader.reports() as reports:
            yield reports
    finally:
        reader.close()


class LocalLedger:
    """The ledger opened by this process itself, under the home's lock: for commands while nothing is served."""

    def __init__(self, settings: Settings) -> None:
        settings.run_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(settings.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._connection = open_writer(settings.database_path)
        except BaseException:
            os.close(self._lock)
            raise
        self._ledger = Ledger(self._connection, clock_of(settings), COMMANDS, random_bits)

    def execute(self, command: Command) -> Reply:
        """The ledger's answer to one write."""
        return self._ledger.execute(command)

    def close(self) -> None:
        """The database closed, then the lock given back."""
        self._connection.close()
        self._connection.engine.dispose()
        os.close(self._lock)


@contextmanager
def ledger_door(settings: Settings) -> Iterator[LocalLedger]:
    """Whoever may write this home's ledger now: the one that is served, else this process under the lock."""
    door = LocalLedger(settings)
    try:
        yield door
    finally:
        door.close()


def random_bits(count: int) -> int:
    """So many bits that nobody can guess."""
    return secrets.randbits(count)
