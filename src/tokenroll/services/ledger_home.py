"""Opening a home's ledger for writing: under the home's lock, so that there is one author at a time (DESIGN §5)."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tokenroll.ledger_place import LedgerPlace
from tokenroll.services.clock import Clock
from tokenroll.services.ledger import Handler, Ledger, RandomBits
from tokenroll.store.database import LedgerTakenError, close, open_writer


class LedgerBusyError(Exception):
    """Another process writes this ledger; the message says how to reach it."""


@contextmanager
def held_lock(lock_path: Path) -> Iterator[None]:
    """The lock that says who may write, for as long as the block runs. Raises LedgerBusyError at once when it is taken.

    The kernel lets go of it when its holder dies, so no stale lock is ever removed by hand.
    """
    lock_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            raise LedgerBusyError(
                f"another process{f' (pid {holder})' if holder else ''} holds {lock_path}: it is writing the ledger; try again, or use its socket"
            ) from error
        with suppress(OSError):  # a full disk; the number is only told to people, the lock itself is the kernel's
            os.pwrite(descriptor, f"{os.getpid():<20}".encode("ascii"), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def open_ledger(
    *,
    ledger_place: LedgerPlace,
    lock_path: Path,
    clock: Clock,
    commands: Mapping[str, Handler],
    random_bits: RandomBits,
) -> Iterator[Ledger]:
    """The ledger of a home, its schema up to date. Raises LedgerBusyError, and LedgerLostError for a server that does not answer.

    The home's lock keeps a second process from its tapes; of a PostgreSQL that many homes may name, the connection holds one more.
    """
    with held_lock(lock_path):
        try:
            connection = open_writer(ledger_place)
        except LedgerTakenError as error:
            raise LedgerBusyError(str(error)) from error
        try:
            yield Ledger(connection, clock, commands, random_bits)
        finally:
            close(connection)
