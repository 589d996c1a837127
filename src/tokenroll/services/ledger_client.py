"""The doors' way to the ledger: its socket if it is served, else the ledger itself under the home's lock (DESIGN §5)."""

import logging
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tokenroll.ledger_place import LedgerPlace
from tokenroll.services.clock import Clock
from tokenroll.services.ledger import Handler, Ledger, RandomBits
from tokenroll.services.ledger_home import LedgerBusyError, open_ledger
from tokenroll.services.protocol import Command, FrameReader, KeysUsed, Message, Reply, Status, StatusReply, encode
from tokenroll.services.restoring import CopyTooOldError, learn_lives

_log = logging.getLogger(__name__)

ANSWER_SECONDS_MAX: Final = 60
"""A command waits behind a fold of at most a second or two; a minute without an answer is a fault to be told."""
SLOW_SECONDS: Final = 3.0
"""After so long it is said that an answer is waited for."""
_BUSY_SECONDS_MAX: Final = 5
_RETRY_SECONDS: Final = 0.02
_RECEIVE_BYTES: Final = 256 * 1024


class LedgerUnreachableError(Exception):
    """The ledger is served but does not answer, or cannot be opened. The command may have been done: ask again with the same id."""


class LedgerClient:
    """Synchronous, one command at a time; a context manager. Not for event loops.

    A ledger that it opens itself may be an older copy: what the tapes beside it know is taken in first, as whoever serves it does, for
    after a few commands it would be as far as the lost one was, and nobody could tell. `may_open` False is for processes that never write the database: they wait for a ledger that is served.
    """

    def __init__(
        self,
        *,
        socket_path: Path,
        ledger_place: LedgerPlace,
        lock_path: Path,
        clock: Clock,
        commands: Mapping[str, Handler],
        random_bits: RandomBits,
        tape_directory: Path,
        may_open: bool = True,
    ) -> None:
        self._may_open = may_open
        self._tape_directory = tape_directory
        self._socket_path = socket_path
        self._own: dict[str, Any] = {
            "ledger_place": ledger_place, "lock_path": lock_path, "clock": clock, "commands": commands,
            "random_bits": random_bits,
        }  # fmt: skip
        self._socket: socket.socket | None = None
        self._reader = FrameReader()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def execute(self, command: Command) -> Reply:
        """The answer to a write; the same id may be sent again. Raises LedgerUnreachableError or LedgerBusyError."""
        answer = self._ask(command)
        assert isinstance(answer, Reply)
        return answer

    def status(self) -> StatusReply:
        """What the ledger knows of itself. Raises as `execute`."""
        answer = self._ask(Status())
        assert isinstance(answer, StatusReply)
        return answer

    def tell(self, message: KeysUsed) -> bool:
        """A message that has no answer, to a ledger that is served; whether there is one."""
        if not self._connected() or self._socket is None:
            return False
        self._socket.sendall(encode(message))
        return True

    def close(self) -> None:
        """The connection given back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, message: Command | Status) -> Message:
        """Served or not may change between two looks (a server starting or ending), so both ways are tried for a while."""
        deadline = time.monotonic() + _BUSY_SECONDS_MAX
        while True:
            if self._connected():
                return self._over_socket(message)
            if not self._may_open:
                if time.monotonic() > deadline:
                    raise LedgerUnreachableError(
                        f"the ledger is not served at {self._socket_path}; nothing was asked of it"
                    )
                time.sleep(_RETRY_SECONDS)
                continue
            try:
                with open_ledger(**self._own) as ledger:
                    return self._executed(ledger, message) if isinstance(message, Command) else ledger.status()
            except LedgerBusyError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_SECONDS)

    def _executed(self, ledger: Ledger, command: Command) -> Reply:
        try:
            for told in learn_lives(ledger, self._tape_directory):
                _log.warning("%s", told)
        except CopyTooOldError as error:
            raise LedgerUnreachableError(str(error)) from error
        return ledger.execute(command)

    def _connected(self) -> bool:
        if self._socket is not None:
            return True
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(ANSWER_SECONDS_MAX)
        try:
            client.connect(str(self._socket_path))
        except (FileNotFoundError, ConnectionRefusedError):
            client.close()
            return False
        self._socket = client
        self._reader = FrameReader()
        return True

    def _over_socket(self, message: Command | Status) -> Message:
        assert self._socket is not None
        try:
            self._socket.settimeout(ANSWER_SECONDS_MAX)
            self._socket.sendall(encode(message))
            self._wait_for_word()
            while True:
                data = self._socket.recv(_RECEIVE_BYTES)
                if not data:
                    raise ConnectionResetError("the ledger closed the connection")
                for answer in self._reader.feed(data):
                    return answer
        except OSError as error:
            self.close()
            raise LedgerUnreachableError(
                f"the ledger at {self._socket_path} did not answer ({error}); if this was a write, repeat it with the same id"
            ) from error

    def _wait_for_word(self) -> None:
        """Whoever stands before a terminal is told why nothing happens."""
        assert self._socket is not None
        self._socket.settimeout(SLOW_SECONDS)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            _log.warning("the ledger has not answered for %g s; it is given %d s", SLOW_SECONDS, ANSWER_SECONDS_MAX)
        self._socket.settimeout(ANSWER_SECONDS_MAX - SLOW_SECONDS)
