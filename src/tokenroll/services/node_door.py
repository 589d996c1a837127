"""The ledger's door for gateways on other machines: the protocol of the Unix socket over TLS, and no more rights than a certificate gives.

A node speaks for the workers that its certificate names, in the messages of a worker. It cannot give a command or ask for anybody
else's standing: those are for who may use the ledger's own socket.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Coroutine
from typing import Any, Final

from tokenroll.model.instant import MICROS_PER_SECOND
from tokenroll.model.limits import (
    MESSAGE_BYTES_MAX,
    NODE_HANDSHAKE_SECONDS_MAX,
    NODE_HANDSHAKES_MAX,
    NODE_HELLO_BYTES_MAX,
    NODE_SEGMENTS_TOLD_MAX,
    NODE_SILENCE_SECONDS_MAX,
    NODE_UNREAD_BYTES_MAX,
)
from tokenroll.services.clock import Clock
from tokenroll.services.ledger_server import LedgerConnection, LedgerServer
from tokenroll.services.node_line import LineError, Peer, handshake_problem, ledger_context, peer_of
from tokenroll.services.protocol import (
    NOT_NAMED,
    Alive,
    Deletable,
    FrameReader,
    Hello,
    KeysUsed,
    Message,
    Refusal,
    Segments,
    WorkerMessage,
    encode,
)
from tokenroll.services.retention import deletable_segments
from tokenroll.settings import NodesSettings

ROUNDS_OF_SILENCE_MAX: Final = 4
"""Looks at a connection without a word since the last one, until it is ended. Looks, not seconds: a ledger that was busy itself for
a minute has looked once, and finds what was sent meanwhile before it looks again."""
ACCEPT_PAUSE_SECONDS: Final = 0.2
"""After the kernel would give no connection (no descriptors are left)."""
_BACKLOG: Final = 256

_log = logging.getLogger(__name__)


class NodeDoor:
    """Listens for nodes, on the ledger's loop."""

    def __init__(self, server: LedgerServer, settings: NodesSettings, clock: Clock) -> None:
        self._server = server
        self._settings = settings
        self._clock = clock
        self._listening: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(NODE_HANDSHAKES_MAX)

    def start(self, listening: socket.socket) -> None:
        """Takes connections from a socket that listens."""
        listening.setblocking(False)
        self._listening = listening
        self._begin(self._accept(listening))
        self._begin(self._look())

    async def close(self) -> None:
        """No new connections; the open ones are the server's to end."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listening is not None:
            self._listening.close()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._room.acquire()
            try:
                plain, address = await loop.sock_accept(listening)
            except OSError as error:
                self._room.release()
                _log.warning("no node can connect: %s", error.strerror)
                await asyncio.sleep(ACCEPT_PAUSE_SECONDS)
                continue
            self._begin(self._admit(plain, f"{address[0]}:{address[1]}"))

    async def _admit(self, plain: socket.socket, address: str) -> None:
        """Both certificates checked; who has none of ours has heard nothing of the protocol by then."""
        loop = asyncio.get_running_loop()
        try:
            context = ledger_context(self._settings.files)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            spare = plain.dup()
        except (LineError, OSError) as error:
            plain.close()
            self._room.release()
            _log.error("no node can connect: %s", error)
            return
        try:
            await loop.connect_accepted_socket(
                lambda: NodeConnection(self._server, self._settings.refused, address, self._clock),
                plain,
                ssl=context,
                ssl_handshake_timeout=NODE_HANDSHAKE_SECONDS_MAX,
            )
        except (OSError, TimeoutError) as error:
            with contextlib.suppress(OSError):
                spare.send(context.alert)
            _log.warning("a connection from %s was refused: %s", address, handshake_problem(error))
        finally:
            spare.close()
            self._room.release()

    async def _look(self) -> None:
        """Who is silent, slow or out of date is looked for now and then."""
        while True:
            await asyncio.sleep(NODE_SILENCE_SECONDS_MAX / ROUNDS_OF_SILENCE_MAX)
            for connection in tuple(self._server.connections):
                if isinstance(connection, NodeConnection):
                    connection.look()


class NodeConnection(LedgerConnection):
    """One node's connection."""

    def __init__(self, server: LedgerServer, refused: tuple[str, ...], address: str, clock: Clock) -> None:
        super().__init__(server)
        self._reader = FrameReader(NODE_HELLO_BYTES_MAX)
        self._refused = refused
        self._address = address
        self._clock = clock
        self._silent_rounds = 0
        self._boot_id = b""
        self._peer: Peer | None = None
        self._hello_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._hello_timer = asyncio.get_running_loop().call_later(NODE_HANDSHAKE_SECONDS_MAX, self._no_hello)
        try:
            peer = peer_of(transport.get_extra_info("peercert"))
        except LineError as error:
            self._refuse(f"{error}; make one with `tokenroll node certificate`")
            return
        if peer.name in self._refused:
            self._refuse(f"the certificate of {peer.name} is refused by [nodes] of the ledger's config.toml")
            return
        self._peer = peer

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        if self._hello_timer is not None:
            self._hello_timer.cancel()
        if self.worker >= 0:
            _log.warning("%s (worker %d) is gone%s", self._name, self.worker, f": {error}" if error else "")

    def data_received(self, data: bytes) -> None:
        self._silent_rounds = 0
        if self._peer is not None:  # else what it says is not even read
            super().data_received(data)

    def look(self) -> None:
        """Ends the connection of a peer that is silent, does not read, or whose certificate is over."""
        transport, peer = self._transport, self._peer
        if transport is None or peer is None:
            return
        self._silent_rounds += 1
        if self._silent_rounds > ROUNDS_OF_SILENCE_MAX:
            self._abort(f"it was silent for {NODE_SILENCE_SECONDS_MAX} s")
        elif transport.get_write_buffer_size() > NODE_UNREAD_BYTES_MAX:
            self._abort("it does not read what it is told")
        elif self._clock() > peer.expires_at * MICROS_PER_SECOND:
            self._abort("its certificate has expired")

    @property
    def _name(self) -> str:
        return f"node {self._peer.name} at {self._address}" if self._peer else f"the peer at {self._address}"

    def _abort(self, why: str) -> None:
        _log.warning("%s is cut off: %s", self._name, why)
        if self._transport is not None:
            self._transport.abort()

    def _no_hello(self) -> None:
        if self.worker < 0:
            self._abort(f"it said no HELLO within {NODE_HANDSHAKE_SECONDS_MAX} s")

    def _refuse(self, why: str, kind: str = "worker") -> None:
        _log.warning("%s is refused: %s", self._name, why)
        self.write(encode(Refusal(kind, why)))
        self.end()

    def _handle(self, message: Message) -> None:
        peer = self._peer
        if peer is None or self._transport is None or self._transport.is_closing():
            return
        if isinstance(message, Alive):
            if self.worker >= 0:
                self._server.watch.heard(self.worker)
            self.write(encode(message))
        elif isinstance(message, KeysUsed) and self.worker >= 0:
            super()._handle(message)
        elif not isinstance(message, WorkerMessage):
            self._refuse(f"a {type(message).__name__} is not for a node to say")
        elif message.worker not in peer.workers:
            own = ", ".join(map(str, sorted(peer.workers)))
            why = f"the certificate of {peer.name} speaks for worker {own}, not for worker {message.worker}"
            self._refuse(why, kind=NOT_NAMED if isinstance(message, Hello) else "worker")
        elif isinstance(message, Hello):
            self._greet(message)
        elif message.worker != self.worker:
            self._refuse(f"a {type(message).__name__} of worker {message.worker} came before its HELLO")
        elif isinstance(message, Segments):
            offered = message.segments[:NODE_SEGMENTS_TOLD_MAX]
            self.write(encode(Deletable(deletable_segments(self._server.ledger, message.worker, offered))))
        else:
            super()._handle(message)

    def _greet(self, message: Hello) -> None:
        """A HELLO. One worker is one process on one machine: a copied home waits for as long as the other one answers.

        One that is started anew need not wait: the kernel has ended the line of the process that died. The same life may come on a
        new line at any time, for the one before may be broken and look whole from here.
        """
        for other in self._server.connections:
            if (
                isinstance(other, NodeConnection)
                and other is not self
                and other.worker == message.worker
                and other.answers
                and not (message.epoch and other.runs_on(message.boot_id))
            ):
                self._refuse(other.occupied(message), kind="other_machine")
                return
        self._boot_id = message.boot_id
        super()._handle(message)
        if self.worker == message.worker:
            self._reader.bytes_max = MESSAGE_BYTES_MAX
            if self._peer is not None:
                self._server.watch.spoken_for(message.worker, self._peer.name)
            _log.warning("%s speaks for worker %d", self._name, message.worker)

    def runs_on(self, boot_id: bytes) -> bool:
        """Whether the peer's kernel is that one."""
        return self._boot_id == boot_id

    def occupied(self, message: Hello) -> str:
        """What is told to another process that speaks for this peer's worker."""
        where = "in another process of this machine" if self.runs_on(message.boot_id) else "on another machine"
        return f"worker {message.worker} works {where}, at {self._address}: give this one a certificate of its own"

    @property
    def answers(self) -> bool:
        """Whether the peer was heard of not long ago."""
        closing = self._transport is None or self._transport.is_closing()
        return not closing and self._silent_rounds < ROUNDS_OF_SILENCE_MAX / 2
