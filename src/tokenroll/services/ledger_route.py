"""A worker's way to its ledger: the Unix socket of its own machine, or a line of TLS to another one."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from tokenroll.model.limits import NODE_HANDSHAKE_SECONDS_MAX, NODE_SILENCE_SECONDS_MAX
from tokenroll.services.node_line import LEDGER_NAME, LineError, handshake_problem, node_context
from tokenroll.settings import LineFiles
from tokenroll.settings_table import Listen

RETRY_SECONDS: Final = 0.2
BACK_OFF_SECONDS_MAX: Final = 5.0
"""Between two attempts to reach a ledger on another machine that does not answer: its nodes come back within so much of it."""
_ALERTS: Final = {
    "TLSV1_ALERT_UNKNOWN_CA": "it is of another authority than the ledger's",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "there is none",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it has expired",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it is not one that the ledger takes",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it is damaged",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it is not for a node",
}
"""What a ledger says of our certificate; TLS 1.3 tells it only after a client's side of the handshake is done."""

Factory = Callable[[], asyncio.Protocol]


class LedgerRoute(Protocol):
    """How a link comes to a connection, and how long it waits before the next one."""

    quiet_rounds_max: int
    """Looks without a word, RETRY_SECONDS apart, before the peer is asked for one; 0: never, for the kernel knows who lives."""

    async def connect(self, factory: Factory) -> bool:
        """Whether a connection was made; why not, whoever runs the process is told."""

    def lost(self, error: Exception | None) -> None:
        """A connection is gone."""

    def works(self) -> None:
        """The ledger has answered: the way is good."""

    def refused(self, text: str) -> None:
        """The ledger has said why it does not go on with us."""

    @property
    def pause_seconds(self) -> float:
        """How long to wait before the next attempt."""


class SocketRoute:
    """The Unix socket of this machine."""

    quiet_rounds_max = 0
    pause_seconds = RETRY_SECONDS

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    async def connect(self, factory: Factory) -> bool:
        """See LedgerRoute."""
        try:
            await asyncio.get_running_loop().create_unix_connection(factory, self._path)
        except OSError:
            return False
        return True

    def lost(self, error: Exception | None) -> None:
        """See LedgerRoute."""

    def works(self) -> None:
        """See LedgerRoute."""

    def refused(self, text: str) -> None:
        """See LedgerRoute."""


class TlsRoute:
    """A ledger on another machine. `tell` is given a sentence when something changes, not with each attempt."""

    quiet_rounds_max = round(NODE_SILENCE_SECONDS_MAX / 4 / RETRY_SECONDS)

    def __init__(self, address: Listen, files: LineFiles, tell: Callable[[str], None], *, worker: int) -> None:
        self._address = address
        self._files = files
        self._tell = tell
        self._told = ""
        self._failures = 0
        self._share = worker % 8 / 16
        """Nodes that lost one ledger at one moment do not all come back in one."""

    async def connect(self, factory: Factory) -> bool:
        """See LedgerRoute."""
        try:
            async with asyncio.timeout(NODE_HANDSHAKE_SECONDS_MAX):
                await asyncio.get_running_loop().create_connection(
                    factory,
                    self._address.host,
                    self._address.port,
                    ssl=node_context(self._files),
                    server_hostname=LEDGER_NAME,
                    ssl_handshake_timeout=NODE_HANDSHAKE_SECONDS_MAX,
                )
        except LineError as error:
            self._failed(str(error))
        except (OSError, TimeoutError) as error:
            self._failed(handshake_problem(error))
        else:
            return True
        return False

    def lost(self, error: Exception | None) -> None:
        """See LedgerRoute."""
        if isinstance(error, ssl.SSLError) and error.reason in _ALERTS:
            self._failed(
                f"it does not take this node's certificate: {_ALERTS[error.reason]} ({self._files.certificate_file})"
            )
        else:
            self._failed(f"the connection ended{f' ({handshake_problem(error)})' if error else ''}")

    def works(self) -> None:
        """See LedgerRoute."""
        self._failures = 0
        if self._told:
            self._told = ""
            self._tell(f"the ledger at {self._address} answers again")

    def refused(self, text: str) -> None:
        """See LedgerRoute."""
        self._failed(text)

    @property
    def pause_seconds(self) -> float:
        """See LedgerRoute."""
        return float(min(RETRY_SECONDS * 2 ** min(self._failures, 8), BACK_OFF_SECONDS_MAX)) * (1 + self._share)

    def _failed(self, why: str) -> None:
        self._failures += 1
        if why != self._told and not (self._told and why.startswith("the connection ended")):
            self._told = why
            self._tell(f"waiting for the ledger at {self._address}: {why}")
