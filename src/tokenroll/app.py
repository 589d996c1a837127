"""The parts wired together: the one place where a service meets its store, its clock and its transport."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property

from tokenroll.model.instant import HOUR_MICROS
from tokenroll.services.clock import Clock, VirtualClock, system_clock
from tokenroll.services.commands import COMMANDS
from tokenroll.services.history import DaySums
from tokenroll.services.keys import key_hash
from tokenroll.services.lake_desk import LakeDesk
from tokenroll.services.ledger_client import LedgerClient
from tokenroll.services.protocol import KeysUsed
from tokenroll.services.reporting import Reports, Visitor
from tokenroll.settings import Settings
from tokenroll.store.database import open_reader


def clock_of(settings: Settings) -> Clock:
    """The machine's clock, or the moving one of a home that `demo` made. Raises SettingsError for a clock anywhere else."""
    path = settings.clock_path
    return system_clock if path is None else VirtualClock(path)


class Reader:
    """A home's ledger for questions only: any number of threads, each question one snapshot. Raises SchemaError without a ledger."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = clock_of(settings)
        self._used_in: dict[int, int] = {}
        """By key: the hour in which its last use was told."""
        self._engine = open_reader(settings.ledger_place)
        self.lake = LakeDesk(settings.lake_directory, settings.ledger_place)
        """Questions to the usage lake, and pictures: answered by processes of their own, which the first question starts."""

    @contextmanager
    def reports(self, day_sums: dict[int, DaySums] | None = None) -> Iterator[Reports]:
        """Questions over one snapshot, as of the home's clock now."""
        with self._engine.connect() as connection:
            yield Reports(connection, self.clock(), day_sums)

    @cached_property
    def _pepper(self) -> bytes:
        return self.settings.pepper()

    def visitor(self, reports: Reports, secret: str) -> Visitor | None:
        """Whose live key this is, None for any other text. That it was used, the ledger is told once an hour, if it is served."""
        visitor = reports.visitor_with_secret(key_hash(self._pepper, secret.encode())) if secret else None
        hour = reports.now // HOUR_MICROS
        if visitor is not None and self._used_in.get(visitor.key_number) != hour:
            used = KeysUsed(used_at=hour * HOUR_MICROS, key_ids=[visitor.key_number])
            with suppress(OSError), ledger_door(self.settings, may_open=False) as door:
                if door.tell(used):
                    self._used_in[visitor.key_number] = hour
        return visitor

    def close(self) -> None:
        """Every connection closed, and whoever answers aside ended."""
        self.lake.close()
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


def ledger_door(settings: Settings, *, may_open: bool = True) -> LedgerClient:
    """Whoever may write this home's ledger now: the one that is served, else this process under the home's lock.

    The web role never opens it (`may_open` False): it asks the one that is served, or says that there is none.
    """
    return LedgerClient(
        socket_path=settings.socket_path,
        ledger_place=settings.ledger_place,
        lock_path=settings.lock_path,
        clock=clock_of(settings),
        commands=COMMANDS,
        random_bits=random_bits,
        tape_directory=settings.tape_directory,
        may_open=may_open,
    )


def random_bits(count: int) -> int:
    """So many bits that nobody can guess."""
    return secrets.randbits(count)
