"""Seeking: one deployment after the other is asked for something that costs nothing, until one has it."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Final

from tokenroll.gateway.exchange import Exchange
from tokenroll.gateway.heads import RequestHead
from tokenroll.services.hot import HotKey
from tokenroll.store.tape import Finish

if TYPE_CHECKING:
    from tokenroll.gateway.client import ClientConnection
    from tokenroll.gateway.deployment import Target
    from tokenroll.gateway.upstream import Pool, UpstreamConnection

_ATTEMPTS_MAX: Final = 2
"""What costs nothing costs nothing twice, so a connection that was closed while idle costs one more; a file is stored twice at worst."""
NOT_HERE: Final = frozenset({401, 403, 404})
"""Answers of a provider that does not have what was asked for; another one of the same dialect may."""


class Seeking(Exchange):
    """See the module. A client that leaves ends it."""

    __slots__ = ("_attempt", "_body", "_client", "_head", "_key", "_pool", "_targets")

    _pool: "Pool"

    def __init__(self, client: "ClientConnection", head: RequestHead, key: HotKey, body: bytes) -> None:
        self.gateway = client.gateway
        self._client: ClientConnection | None = client
        self._head = head
        self._key = key
        self._body = body
        self._targets: list[Target] = []
        """Who is asked next."""
        self._attempt = 1
        self._upstream = None

    @abstractmethod
    def _send(self, upstream: "UpstreamConnection") -> None:
        """The question goes out."""

    @abstractmethod
    def _refuse(self, status: int, code: str, message: str, retry_after_seconds: int = 0) -> None:
        """An error of ours, which ends it."""

    def _ask(self) -> None:
        """The next deployment in order."""
        pool = self._pool = self.gateway.pools[self._targets.pop(0)]
        upstream = pool.take()
        if upstream is not None:
            self._send(upstream)
        else:
            self.gateway.dial(self, pool)

    def dialled(self, upstream: "UpstreamConnection | None", error: str) -> None:
        """See Exchange."""
        if self._client is None:
            if upstream is not None and not upstream.closed:
                upstream.pool.give(upstream)
        elif upstream is None or upstream.closed:
            self._refuse(502, "provider_unreachable", f"The provider cannot be reached: {error}.")
        else:
            self._send(upstream)
            self.gateway.outbox.flush()  # nothing may be read of this connection before our request is on it

    def client_gone(self) -> None:
        """See Exchange. What is free need not be read to its end."""
        self._client = None
        self._abort()

    def _abort(self) -> None:
        """The answer is of no more use."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None and not upstream.closed:
            upstream.abort()

    def _asks_again(self, upstream: "UpstreamConnection | None", finish: Finish) -> bool:
        """Whether a connection that was lost was stale: then a new one is dialled."""
        stale = upstream is not None and upstream.reused and not upstream.got_bytes and finish is Finish.UPSTREAM_CUT
        if not stale or self._attempt >= _ATTEMPTS_MAX:
            return False
        self._attempt += 1
        self.gateway.dial(self, self._pool)
        return True
