"""A worker and a ledger in one process, with the frames of the real protocol in between: for tests and the simulator."""

import asyncio
from collections import deque
from typing import Any

from tokenroll.services.ledger_server import LedgerConnection, LedgerServer
from tokenroll.services.protocol import FrameReader
from tokenroll.services.worker_link import WorkerCore


class Loopback(asyncio.Transport):
    """A worker and a ledger in one process: the same frames, handed over when `pump` is called, so that a test owns the order."""

    def __init__(self, server: LedgerServer, core: WorkerCore) -> None:
        super().__init__()
        self._core = core
        self._reader = FrameReader()
        self._to_ledger: deque[bytes] = deque()
        self._to_worker: deque[bytes] = deque()
        self._connection: LedgerConnection | None = LedgerConnection(server)
        self._connection.connection_made(self)
        core.connected(self._to_ledger.append)

    def write(self, data: Any) -> None:
        """The ledger's side writes here."""
        self._to_worker.append(bytes(data))

    def close(self) -> None:
        """Either side ends it: frames on the way are lost, as on a socket whose process died."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.connection_lost(None)
            self._core.lost()
        self._to_ledger.clear()
        self._to_worker.clear()

    def step(self) -> bool:
        """One frame handed over, whichever side's turn it is; False when there is none."""
        if self._connection is None:
            return False
        if self._to_ledger:
            self._connection.data_received(self._to_ledger.popleft())
            return True
        if self._to_worker:
            for message in self._reader.feed(self._to_worker.popleft()):
                self._core.received(message)
            return True
        return False

    def pump(self) -> None:
        """Frames handed over until both sides are silent."""
        while self.step():
            pass
