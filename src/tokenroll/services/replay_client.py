"""A small HTTP/1.1 client for thousands of calls a second: kept-alive connections, one call on each at a time, timed to the byte."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import httptools

ERROR_BODY_BYTES_MAX: Final = 16_384
"""Bytes of an error answer that are kept to read its code from; answers of good calls are counted and dropped."""
KEPT_HEADERS: Final = frozenset({b"x-tokenroll-call-id", b"x-tokenroll-denied", b"x-sim-stamps"})


class Exchange:
    """One request and what came back. Times are monotonic nanoseconds; 0 means that it did not happen."""

    __slots__ = ("answer_bytes", "done_ns", "due_ns", "error_body", "failure", "first_byte_ns", "headers", "request", "sent_ns", "status", "tag")  # fmt: skip

    def __init__(self, request: bytes, tag: Any, due_ns: int) -> None:
        self.request = request
        self.tag = tag
        self.due_ns = due_ns
        self.sent_ns = self.first_byte_ns = self.done_ns = 0
        self.status = self.answer_bytes = 0
        self.headers: dict[bytes, bytes] = {}
        self.error_body = b""
        self.failure = ""

    @property
    def provider_ns(self) -> int:
        """How long the simulated provider had the call before its first answer byte; -1 when it did not say."""
        received, _, answered = self.headers.get(b"x-sim-stamps", b"").partition(b",")
        return int(answered) - int(received) if received.isdigit() and answered.isdigit() else -1

    @property
    def way_ns(self) -> int:
        """Time to the first answer byte that was spent on the way and not at the provider; -1 when it is not known."""
        if self.provider_ns < 0 or not self.first_byte_ns:
            return -1
        return self.first_byte_ns - self.sent_ns - self.provider_ns

    @property
    def reason(self) -> str:
        """Why the call was not served: our own code, else the error's, else the status or the failure."""
        denied = self.headers.get(b"x-tokenroll-denied")
        if denied:
            return denied.decode("latin-1")
        if self.failure:
            return self.failure
        try:
            error = json.loads(self.error_body)["error"]
            code = error.get("code") or error.get("type")
        except (ValueError, KeyError, TypeError, AttributeError):
            code = None
        return str(code or f"http_{self.status}")


class _Connection(asyncio.Protocol):
    """One connection of a pool."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._exchange: Exchange | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def send(self, exchange: Exchange) -> None:
        """Begin the next call."""
        self._exchange = exchange
        self._parser = httptools.HttpResponseParser(self)
        exchange.sent_ns = time.monotonic_ns()
        assert self._transport is not None
        self._transport.write(exchange.request)
        exchange.request = b""

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self.close()
            return
        if not exchange.first_byte_ns:
            exchange.first_byte_ns = time.monotonic_ns()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("not_http")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._exchange is not None and name.lower() in KEPT_HEADERS:
            self._exchange.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._exchange is not None:
            self._exchange.status = self._parser.get_status_code()

    def on_body(self, part: bytes) -> None:
        exchange = self._exchange
        if exchange is not None:
            exchange.answer_bytes += len(part)
            if exchange.status >= 400 and len(exchange.error_body) < ERROR_BODY_BYTES_MAX:
                exchange.error_body += part

    def on_message_complete(self) -> None:
        exchange = self._exchange
        if exchange is None or exchange.status < 200:
            return
        self._exchange = None
        exchange.done_ns = time.monotonic_ns()
        keeps = self._parser.should_keep_alive()
        if not keeps:
            self.close()
        self._pool.finished(exchange, self if keeps else None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  part of the protocol
        self._fail("connection_lost")
        self._pool.lost(self)

    def _fail(self, reason: str) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.failure = reason
            exchange.done_ns = time.monotonic_ns()
            self.close()
            self._pool.finished(exchange, None)

    def close(self) -> None:
        """Give the connection up."""
        if self._transport is not None:
            self._transport.close()


class Pool:
    """At most `connections` calls at once to one address; others wait their turn."""

    def __init__(self, host: str, port: int, connections: int, on_done: Callable[[Exchange], None]) -> None:
        self._address = (host, port)
        self._most = connections
        self._on_done = on_done
        self._idle: deque[_Connection] = deque()
        self._all: set[_Connection] = set()
        self._dialling: set[asyncio.Task[None]] = set()
        self.waiting: deque[Exchange] = deque()
        self.active = 0

    def submit(self, exchange: Exchange) -> None:
        """Send the call now if a connection is free or may be made, else when one is."""
        if self.active >= self._most:
            self.waiting.append(exchange)
            return
        self.active += 1
        self._go(exchange)

    def _go(self, exchange: Exchange) -> None:
        if self._idle:
            self._idle.pop().send(exchange)
        else:
            task = asyncio.get_running_loop().create_task(self._dial(exchange))
            self._dialling.add(task)
            task.add_done_callback(self._dialling.discard)

    async def _dial(self, exchange: Exchange) -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self), *self._address
            )
        except OSError:
            exchange.failure = "connection_refused"
            exchange.done_ns = time.monotonic_ns()
            self.finished(exchange, None)
            return
        self._all.add(connection)
        connection.send(exchange)

    def finished(self, exchange: Exchange, connection: _Connection | None) -> None:
        """A call has ended; its connection, if it lives, takes the next one."""
        if connection is not None:
            self._idle.append(connection)
        if self.waiting:
            self._go(self.waiting.popleft())
        else:
            self.active -= 1
        self._on_done(exchange)

    def lost(self, connection: _Connection) -> None:
        """A connection is gone."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self._all):
            connection.close()
