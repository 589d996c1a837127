"""The provider's side: pooled connections, and answers read strictly in any number of reads."""

import asyncio
import ssl
from typing import TYPE_CHECKING, Final, cast

from tokenroll.gateway.chunks import ChunkDecoder, ChunkError
from tokenroll.gateway.deployment import Target
from tokenroll.gateway.framed import FramedAnswer
from tokenroll.gateway.heads import CHUNKED, HEAD_END, UNTIL_CLOSE, HeadError, ResponseHead
from tokenroll.gateway.health import Health
from tokenroll.model.limits import HEADER_BYTES_MAX, RELAY_BUFFER_BYTES_MAX
from tokenroll.store.tape import Finish
from tokenroll.upstream.aws_frames import frames_place

if TYPE_CHECKING:
    from tokenroll.gateway.exchange import AnswerReader
    from tokenroll.gateway.worker import Gateway

_IDLE, _HEAD, _CHUNKED, _LENGTH, _UNTIL_CLOSE = range(5)
_JOIN_BYTES_MAX: Final = 16 * 1024
"""Head and body up to this size go out as one buffer; larger bodies as they are, without being copied."""
_PLAIN: Final = frozenset({b"", b"identity"})
_INTERIM_HEADS_MAX: Final = 16
"""Interim (1xx) heads before the real one; more are a provider that will never answer."""


class UpstreamConnection:
    """One connection to a provider: idle in its pool, or carrying one attempt."""

    __slots__ = (
        "_buffer", "_chunks", "_interim", "_keep", "_left", "_paused", "_state", "call", "closed", "deadline", "gateway", "got_bytes", "pool",
        "reused", "transport",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, pool: "Pool") -> None:
        self.pool = pool
        self.gateway = pool.gateway
        self.call: AnswerReader | None = None
        self.closed = False
        self.deadline = 0
        self.reused = False
        """Whether it has answered before: only then may a silent close mean that it was stale."""
        self.got_bytes = False
        self._state = _IDLE
        self._buffer = b""
        self._chunks = ChunkDecoder()
        self._left = 0
        self._keep = True
        self._interim = 0
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's transports are full ones
        self.transport.set_write_buffer_limits(high=RELAY_BUFFER_BYTES_MAX)
        self.gateway.metrics.upstream_connections += 1
        self.gateway.wheel.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.closed = True
        self.gateway.metrics.upstream_connections -= 1
        self.pool.forget(self)
        call, self.call = self.call, None
        if call is not None:
            call.upstream_lost(Finish.UPSTREAM_CUT, "The provider closed the connection before its answer was whole.")

    def eof_received(self) -> bool:
        """The provider sends no more: the end of an answer without a length, else the connection is of no more use."""
        if self._state == _UNTIL_CLOSE and self.call is not None:
            self._complete()
        self.closed = True
        return False

    def pause_writing(self) -> None:
        """A request larger than what the kernel takes at once: it is whole in memory, and bounded, before it is sent."""

    def resume_writing(self) -> None:
        """The provider has taken what it had not."""

    def pause_reading(self) -> None:
        """The client reads slower than the provider writes."""
        self._paused = True
        self.transport.pause_reading()
        self.deadline = 0

    def resume_reading(self) -> None:
        """The client has caught up, or nobody reads any more but us."""
        self._paused = False
        self.transport.resume_reading()

    def deadline_passed(self) -> None:
        """Unused for too long, or an answer that does not come."""
        self.deadline = 0
        call, self.call = self.call, None
        self.abort()
        if call is not None:
            call.upstream_lost(Finish.TIMED_OUT, "The provider did not answer in time.")

    def abort(self) -> None:
        """The connection ends now, whatever is under way."""
        self.closed = True
        self.call = None
        self.transport.abort()

    # ---- one attempt ------------------------------------------------------------------------------------

    def send(self, call: "AnswerReader", head: bytes, buffers: list[bytes | memoryview], body_bytes: int) -> None:
        """The attempt's bytes go out; the answer goes to `call`.

        Who sends flushes the outbox before the loop reads again: `_free` may then tell a taken request by an empty write buffer.
        """
        self.call = call
        self.got_bytes = False
        self._state = _HEAD
        self._keep = True
        self._interim = 0
        self.deadline = self.gateway.wheel.now + self.pool.first_byte_ticks
        transport = self.transport
        if body_bytes <= _JOIN_BYTES_MAX:
            whole = head + buffers[0] if len(buffers) == 1 else b"".join((head, *buffers))
            self.gateway.outbox.write(transport, whole)
        else:
            transport.writelines([head, *buffers])

    def data_received(self, data: bytes) -> None:
        call = self.call
        if call is None:  # nobody asked: an answer to nothing must not become the answer to the next call
            self.abort()
            return
        self.got_bytes = True
        state = self._state
        if state == _HEAD:  # in however many pieces it comes, it has the time of a first byte
            self._read_head(call, data)
            return
        self.deadline = self.gateway.wheel.now + self.pool.idle_ticks
        if state == _CHUNKED:
            self._read_chunked(call, data)
        elif state == _LENGTH:
            self._read_length(call, data)
        else:
            call.on_data(data, data)

    def _read_head(self, call: "AnswerReader", data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        while True:
            end = data.find(HEAD_END)
            if end < 0:
                if len(data) > HEADER_BYTES_MAX or b"\0" in data or (b"\n" in data and b"\r\n" not in data):
                    self.broken(call, "The provider's response head is malformed or too long.")
                else:
                    self._buffer = data
                return
            try:
                head = self.gateway.response_reader.read(data[:end])
            except HeadError as error:
                self.broken(call, error.message)
                return
            end += 4
            if head.status >= 200:
                break
            self._interim += 1
            if head.status == 101 or self._interim > _INTERIM_HEADS_MAX:
                self.broken(call, "The provider sent interim answers only.")
                return
            self.deadline = self.gateway.wheel.now + self.pool.idle_ticks
            data = data[end:]
        if self.pool.has_frames and head.status == 200 and frames_place(head.forward) >= 0:
            if head.content_encoding not in _PLAIN:
                self.broken(call, "The provider's answer is compressed, which nobody asked for.")
                return
            call = self.call = FramedAnswer(self, call)
        length = head.content_length
        if head.status == 200 and length == len(data) - end and call.takes_whole(head):
            self._keep = head.keep_alive
            self._complete_whole(call, head, data[end:])
            return
        self._keep = head.keep_alive
        self._begin_body(call, head, data[end:])

    def _complete_whole(self, call: "AnswerReader", head: ResponseHead, body: bytes) -> None:
        """The short way for what nearly every answer without a stream is: all of it in one read."""
        self.call = None
        self._free()
        call.on_whole(head, body)

    def _begin_body(self, call: "AnswerReader", head: ResponseHead, rest: bytes) -> None:
        length = head.content_length
        self.deadline = self.gateway.wheel.now + self.pool.idle_ticks
        call.on_head(head)
        if length == CHUNKED:
            self._state = _CHUNKED
            self._chunks = ChunkDecoder()
            if rest:
                self._read_chunked(call, rest)
        elif length == UNTIL_CLOSE:
            self._state = _UNTIL_CLOSE
            self._keep = False
            if rest:
                call.on_data(rest, rest)
        elif length == 0:
            self._keep = self._keep and not rest
            self._complete()
        else:
            self._state = _LENGTH
            self._left = length
            if rest:
                self._read_length(call, rest)

    def _read_length(self, call: "AnswerReader", data: bytes) -> None:
        left = self._left - len(data)
        if left < 0:  # bytes behind the answer are nobody's
            data = data[: self._left]
            self._keep = False
        self._left = left
        call.on_data(data, data)
        if left <= 0 and self.call is call:
            self._complete()

    def _read_chunked(self, call: "AnswerReader", data: bytes) -> None:
        chunks = self._chunks
        one = chunks.one_chunk(data)
        if one is not None:
            call.on_data(data, one, one_chunk=True)
            return
        try:
            end = chunks.feed(data)
        except ChunkError as error:
            self.broken(call, f"The provider's answer is malformed: {error}.")
            return
        pieces = chunks.pieces
        payload = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if not chunks.done:
            call.on_data(data if chunks.coding_end == end else data[: chunks.coding_end], payload)
            return
        if end != len(data):
            self._keep = False
        if end == len(data) and chunks.coding_end == end - 2:
            call.on_data(data, payload)
        else:
            call.on_data(data[: chunks.coding_end] + b"\r\n", payload)
        if self.call is call:
            self._complete()

    def _complete(self) -> None:
        """The answer is whole: the connection goes back to its pool before the call ends, so that the next call finds it."""
        call, self.call = self.call, None
        self._free()
        if call is not None:
            call.on_end()

    def _free(self) -> None:
        """Back to the pool, or closed when it cannot be used again: the provider says so, or it has not taken our request yet."""
        self._state = _IDLE
        transport = self.transport
        if self._keep and not self.closed and not transport.get_write_buffer_size() and not transport.is_closing():
            gateway = self.gateway
            self.reused = True
            if self._paused:  # for the sake of a client that is not this connection's any more
                self.resume_reading()
            self.deadline = gateway.wheel.now + gateway.ticks.pooled_idle
            self.pool.idle.append(self)
        else:
            self.closed = True
            transport.close()

    def broken(self, call: "AnswerReader", message: str) -> None:
        """The answer cannot be read on: the connection ends, and the call that waited for it."""
        self.abort()
        call.upstream_lost(Finish.UPSTREAM_CUT, message)


class Pool:
    """The connections to one target, and its health. The most recently used one is used next, so that the others can go when load falls."""

    __slots__ = (
        "answer_ticks",
        "evidence_ticks",
        "first_byte_ticks",
        "gateway",
        "has_frames",
        "health",
        "idle",
        "idle_ticks",
        "target",
    )

    def __init__(self, gateway: "Gateway", target: Target) -> None:
        self.gateway = gateway
        self.target = target
        ticks = gateway.wheel.ticks
        self.health = Health(ticks)
        self.has_frames = target.flavour.has_frames
        self.first_byte_ticks = ticks(target.deployment.first_byte_seconds)
        self.answer_ticks = ticks(target.deployment.answer_seconds)
        self.idle_ticks = min(ticks(target.deployment.idle_seconds), self.answer_ticks)
        self.evidence_ticks = min(gateway.ticks.evidence, self.answer_ticks)
        """Until an answer is looked at again: no later than when it has to be whole."""
        self.idle: list[UpstreamConnection] = []

    def take(self) -> UpstreamConnection | None:
        """An idle connection that has not been seen closed, or None."""
        idle = self.idle
        while idle:
            connection = idle.pop()
            if not connection.closed:
                return connection
        return None

    def is_warm(self, count: int) -> bool:
        """Whether the next `count` connections were used a moment ago, when providers do not close them: no end of them waits unread."""
        ticks, idle = self.gateway.ticks, self.idle
        return len(idle) >= count and idle[-count].deadline + ticks.warm >= self.gateway.wheel.now + ticks.pooled_idle

    def give(self, connection: UpstreamConnection) -> None:
        """The connection is free again, for as long as one that has answered."""
        connection.deadline = self.gateway.wheel.now + self.gateway.ticks.pooled_idle
        self.idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """The connection is gone."""
        if connection in self.idle:
            self.idle.remove(connection)

    async def dial(self) -> UpstreamConnection:
        """A new connection, its TLS verified. Raises OSError (which covers timeouts and failed verification)."""
        gateway = self.gateway
        metrics = gateway.metrics
        if metrics.upstream_connections >= gateway.edge.upstream_connections:
            raise OSError(f"this worker already has {metrics.upstream_connections} provider connections")
        target = self.target
        if target.problem:
            self.health.failed(gateway.wheel.now)
            raise OSError(target.problem)
        metrics.upstream_dials += 1
        try:
            async with asyncio.timeout(target.deployment.connect_seconds):
                _, protocol = await gateway.loop.create_connection(
                    lambda: cast("asyncio.Protocol", UpstreamConnection(self)),  # by its methods, as in worker.py
                    target.host,
                    target.port,
                    ssl=target.tls,
                    server_hostname=target.host if target.tls is not None else None,
                )
        except TimeoutError as error:
            metrics.upstream_dial_failures += 1
            self.health.failed(gateway.wheel.now)
            raise OSError(f"no connection within {target.deployment.connect_seconds:g} seconds") from error
        except (OSError, ssl.CertificateError) as error:
            metrics.upstream_dial_failures += 1
            self.health.failed(gateway.wheel.now)
            raise OSError(str(error) or type(error).__name__) from error
        return cast("UpstreamConnection", protocol)
