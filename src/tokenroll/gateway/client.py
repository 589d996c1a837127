"""The client's side of a connection: strict HTTP/1.1 in any number of reads, one request after the other, bounded in everything.

Whole requests go to a Call or are answered here. What is refused is answered in the words of the client's dialect and never reaches
a provider; the connection stays usable whenever it is known where the next request begins.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from tokenroll.gateway import forwarding, local, unserved
from tokenroll.gateway.answers import (
    dialect_of,
    dialect_of_bytes,
    error_answer,
    identified,
    refusal_id,
    status_line,
)
from tokenroll.gateway.call import Call
from tokenroll.gateway.chunks import ChunkDecoder, ChunkError
from tokenroll.gateway.decoding import DecodingError, decoder_for
from tokenroll.gateway.errand import Errand, ErrandKind, errands_at, why_refused
from tokenroll.gateway.exchange import Exchange
from tokenroll.gateway.heads import (
    CHUNKED,
    HEAD_END,
    HeadError,
    RequestHead,
    head_is_hopeless,
    judge_request_line,
    malformed_head,
)
from tokenroll.gateway.reading import ReadAhead
from tokenroll.gateway.resuming import Resumption
from tokenroll.gateway.twins import TwinCall
from tokenroll.model.limits import BODY_CHUNKS_MAX, LINGER_BYTES_MAX, PIPELINED_BYTES_MAX, RELAY_BUFFER_BYTES_MAX
from tokenroll.services.hot import HotKey
from tokenroll.upstream.dialect import Dialect, ErrorAnswer
from tokenroll.upstream.reading import FileBoundEndpoint

if TYPE_CHECKING:
    from tokenroll.gateway.worker import Gateway

HEAD, BODY, BUSY, LINGER, CLOSED = range(5)
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_EMPTY_LINE: Final = b"\r\n"
"""Of which one is read over before a request (RFC 9112 §2.2). More of them are no head: read over, they could go on for ever."""
_READ_BEFORE_REFUSAL_BYTES_MAX: Final = 64 * 1024
"""A refused request's body up to this size is read first, so that the connection can be used again."""

_SMALL_PIECE_BYTES: Final = 4 * 1024
"""Pieces below this size are put together: an object of their own would weigh as much as they do."""


class ClientConnection:
    """One client. See the module."""

    __slots__ = (
        "_body_bytes", "_buffer", "_chunk_count", "_chunks", "_dialect", "_errand", "_half_closed", "_head", "_key", "_length", "_lingered", "_looping",
        "_parts", "_reading_paused", "_refusal", "_reserved", "call", "closed", "deadline", "gateway", "state", "transport",
        "writing_paused",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, gateway: "Gateway") -> None:
        self.gateway = gateway
        self.state = HEAD
        self.deadline = 0
        self.closed = False
        self.call: Exchange | None = None
        self.writing_paused = False
        self._buffer = bytearray()
        """Bytes received and not yet used: the beginning of a head, or requests sent ahead."""
        self._head: RequestHead | None = None
        self._dialect: Dialect | None = None
        self._key: HotKey | None = None
        self._errand: tuple[ErrandKind, HotKey] | None = None
        self._length = 0
        self._parts: list[bytes | bytearray] = []
        self._body_bytes = 0
        self._chunk_count = 0
        self._chunks: ChunkDecoder | None = None
        self._refusal: ErrorAnswer | None = None
        self._reserved = 0
        self._half_closed = False
        self._reading_paused = False
        self._looping = False
        self._lingered = 0

    # ---- the connection ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        gateway = self.gateway
        self.transport = transport  # type: ignore[assignment]  # uvloop's transports are full ones
        metrics = gateway.metrics
        metrics.client_connections_total += 1
        metrics.client_connections += 1
        gateway.clients.add(self)
        self.deadline = gateway.wheel.now + gateway.ticks.head
        gateway.wheel.add(self)
        self.transport.set_write_buffer_limits(high=RELAY_BUFFER_BYTES_MAX)
        if metrics.client_connections > gateway.edge.connections:
            metrics.refused_connections += 1
            self._refuse(
                error_answer(
                    None, 503, "too_many_connections", "Too many connections; try again.", retry_after_seconds=1
                )
            )

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.closed = True
        self.state = CLOSED
        gateway = self.gateway
        gateway.metrics.client_connections -= 1
        gateway.clients.discard(self)
        gateway.body_bytes -= self._reserved
        self._reserved = 0
        call, self.call = self.call, None
        if call is not None:
            call.client_gone()
        gateway.connection_ended()

    def eof_received(self) -> bool:
        """The client sends no more. A call under way is still answered: half-closing is allowed, and leaving shows when we write."""
        self._half_closed = True
        if self.state == BUSY and (
            self.call is None or not self.call.is_waiting
        ):  # without a call: a report is on its way
            return True
        if self.state == BODY or (self.state == HEAD and self._has_begun()):
            self._refuse(
                error_answer(self._dialect_now(), 400, "malformed_request", "The request ended before it was whole.")
            )
        self.gateway.outbox.close(self.transport)
        return True

    def pause_writing(self) -> None:
        self.writing_paused = True
        self.deadline = self.gateway.wheel.now + self.gateway.ticks.client_stall
        if self.call is not None:
            self.call.pause_upstream()
        elif self.state == HEAD:
            self._pause_reading()

    def resume_writing(self) -> None:
        self.writing_paused = False
        self.deadline = 0 if self.state == BUSY else self.gateway.wheel.now + self.gateway.ticks.idle
        if self.call is not None:
            self.call.resume_upstream()
        elif self.state == HEAD and (self._buffer or self._reading_paused):
            self._resume()

    def deadline_passed(self) -> None:
        """Too slow: told so where a request has begun, closed silently where none has, cut where answers are not read."""
        if self.writing_paused:
            self.transport.abort()
        elif self.state == HEAD and not self._has_begun():
            self.gateway.outbox.close(self.transport)
        elif self.state in {HEAD, BODY}:
            self._refuse(
                error_answer(self._dialect_now(), 408, "request_timeout", "The request did not arrive in time.")
            )
        else:
            self.transport.abort()
        self.deadline = 0 if self.state != LINGER else self.deadline

    def close_when_idle(self, *, new_too: bool) -> None:
        """The worker is stopping: an idle connection goes now, a busy one after its answer; a new one may have its first call under way."""
        if self.state == HEAD and not self._has_begun() and (new_too or self._head is not None):
            self.gateway.outbox.close(self.transport)

    # ---- reading ----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        state = self.state
        if state == HEAD:
            if self._buffer:
                self._more_head(data)
            elif self._head is None or not self._repeated_call(self._head, data):
                self._read_requests(data)
        elif state == BODY:
            rest = self._read_body(data)
            if rest:
                self._read_requests(rest)
        elif state == BUSY:
            self._buffer += data
            if len(self._buffer) > PIPELINED_BYTES_MAX:
                self._pause_reading()
        else:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES_MAX:
                self.transport.abort()

    def _repeated_call(self, head: RequestHead, data: bytes) -> bool:
        """The short way for what nearly every read is: one more call with the head of the last one, its body whole or begun.

        False, and nothing done, for anything else. It decides nothing by itself that the long way would decide otherwise.
        """
        gateway = self.gateway
        if not head.is_plain_call or gateway.not_ready:
            return False
        end = head.repeated(data)
        length = head.content_length
        have = len(data) - end
        if not end or have > length or not 0 < length <= gateway.edge.body_bytes:
            return False
        now = gateway.clock()
        key = gateway.spending.key_for(head.bearer, now)
        if key is None or not key.calls_models:
            return False
        self._key = key
        if have == length:
            self.state = BUSY
            self.deadline = 0
            thrift = key.thrift
            body = data[end:]
            call = Call(self, head, key, body, now) if thrift is None else TwinCall(self, head, key, body, now, thrift)
            self.call = call
            call.start()
        else:
            self._length = length
            self._begin_body(head, length, data[end:], None)
        return True

    def _pause_reading(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()

    def _more_head(self, data: bytes) -> None:
        """A head that comes in several reads; only what is new is looked at."""
        buffer = self._buffer
        before = len(buffer)
        has_begun = self._has_begun()
        buffer += data
        if buffer.find(HEAD_END, max(0, before - 3)) >= 0:
            whole = bytes(buffer)
            buffer.clear()
            self._read_requests(whole)
        elif has_begun:
            self._judge_partial_head(before)
        else:
            self._begin_partial_head()

    def _has_begun(self) -> bool:
        """Whether what is kept is more than an empty line: a head, for which its client has so much time and no more."""
        return len(self._buffer) > 2 or not _EMPTY_LINE.startswith(self._buffer)

    def _judge_partial_head(self, before: int) -> None:
        """What can be said of a head of which `before` bytes were judged already: nothing until its first line is whole."""
        buffer = self._buffer
        data = bytes(buffer)
        try:
            if data[0] < 0x20 and data[0] not in b"\r\n":
                raise malformed_head()  # not even text: a TLS greeting, for instance
            line_end = data.find(b"\n", 2 if data.startswith(b"\r\n") else 0)
            if line_end >= 0:
                if line_end >= before:
                    judge_request_line(data.removeprefix(b"\r\n"))
                    before = 0
                if head_is_hopeless(data[max(0, before - 1) :]):
                    raise malformed_head()
            if len(data) > self.gateway.edge.header_bytes:
                raise _head_too_large(self.gateway.edge.header_bytes)
        except HeadError as error:
            self._refuse_bytes(data, error)

    def _resume(self) -> None:
        """Goes on with what was sent ahead."""
        if self.state != HEAD or self.writing_paused:
            return
        if self._reading_paused:
            self._reading_paused = False
            self.transport.resume_reading()
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            self._read_requests(data)

    def _read_requests(self, data: bytes) -> None:
        """Requests one after the other, as far as `data` and the answers go."""
        self._looping = True
        while data:
            data = self._read_request(data)
            if (
                self.state == HEAD
                and self._buffer
                and not data
                and not self.writing_paused
                and self._buffer.find(HEAD_END) >= 0
            ):
                data = bytes(self._buffer)
                self._buffer.clear()
        self._looping = False

    def _read_request(self, data: bytes) -> bytes:
        """One request out of `data`; gives what follows it when it is already answered, else keeps that and gives nothing."""
        end = data.find(HEAD_END)
        if end < 0:
            self._buffer += data
            self._begin_partial_head()
            return b""
        if data.startswith(_EMPTY_LINE):
            if end == 0:  # a second one
                self._refuse_bytes(data, malformed_head())
                return b""
            data = data[2:]
            end -= 2
        end += 4
        gateway = self.gateway
        head_bytes = data[:end]
        if end > gateway.edge.header_bytes:
            self._refuse_bytes(head_bytes, _head_too_large(gateway.edge.header_bytes))
            return b""
        try:
            head = gateway.request_reader.read(head_bytes)
        except HeadError as error:
            self._refuse_bytes(head_bytes, error)
            return b""
        self._head = head
        self._dialect = head.dialect = dialect_of(head)
        length = head.content_length
        self._length = length
        refusal = self._judge(head, length)
        have = len(data) - end
        if length == 0:
            return self._whole(b"", data[end:], refusal)
        if 0 < length <= have:
            stop = end + length
            return self._whole(data[end:stop], data[stop:] if length < have else b"", refusal)
        return self._begin_body(head, length, data[end:], refusal)

    def _begin_partial_head(self) -> None:
        """What is kept may be the beginning of a head, and its time runs from now on. An empty line alone gets nobody more time."""
        if self._has_begun():
            self.deadline = self.gateway.wheel.now + self.gateway.ticks.head
            self._judge_partial_head(0)

    def _begin_body(self, head: RequestHead, length: int, data: bytes, refusal: ErrorAnswer | None) -> bytes:
        """The body is not whole yet, or chunked: refuse now, or receive it. Gives what follows it, as `_read_request` does."""
        gateway = self.gateway
        if refusal is not None and (not 0 < length <= _READ_BEFORE_REFUSAL_BYTES_MAX or head.expects_continue):
            self._refuse(refusal)
            return b""
        if refusal is None:
            self._reserved = length if length > 0 else RELAY_BUFFER_BYTES_MAX
            if gateway.body_bytes + self._reserved > gateway.edge.bodies_bytes:
                self._reserved = 0
                self._refuse(
                    error_answer(
                        self._dialect, 503, "overloaded", "Too many large requests at once.", retry_after_seconds=1
                    )
                )
                return b""
            gateway.body_bytes += self._reserved
        self.state = BODY
        self._refusal = refusal
        self._chunks = ChunkDecoder() if length == CHUNKED else None
        self._body_bytes = self._chunk_count = 0
        self._parts = []
        self.deadline = gateway.wheel.now + gateway.ticks.body
        if head.expects_continue and not data:
            self._write_now(_CONTINUE)
        return self._read_body(data) if data else b""

    def _read_body(self, data: bytes) -> bytes:
        """More of a body. Gives what follows it when it is whole and answered.

        Whoever calls goes on with that: were it read from here, requests sent ahead would nest.
        """
        if self._chunks is not None:
            return self._read_chunked(self._chunks, data)
        have = self._body_bytes + len(data)
        if have < self._length:
            self._keep_piece(data)
            self._body_bytes = have
            return b""
        rest = b""
        if have > self._length:
            cut = self._length - self._body_bytes
            data, rest = data[:cut], data[cut:]
        self._keep_piece(data)
        return self._body_whole(rest)

    def _keep_piece(self, piece: bytes) -> None:
        """A piece of a body. Small ones are put together, so that a body in crumbs weighs what its bytes weigh."""
        parts = self._parts
        if len(piece) >= _SMALL_PIECE_BYTES or not parts:
            parts.append(piece)
        elif type(parts[-1]) is bytearray:
            parts[-1] += piece
        else:
            parts.append(bytearray(piece))

    def _read_chunked(self, chunks: ChunkDecoder, data: bytes) -> bytes:
        try:
            end = chunks.feed(data)
        except ChunkError as error:
            self._refuse(
                error_answer(self._dialect_now(), 400, "malformed_request", f"The request body is malformed: {error}.")
            )
            return b""
        pieces = chunks.pieces
        if pieces:
            self._chunk_count += len(pieces)
            piece = b"".join(pieces)
            pieces.clear()
            self._body_bytes += len(piece)
            self._keep_piece(piece)
        gateway = self.gateway
        if self._body_bytes > gateway.edge.body_bytes:
            self._refuse(_body_too_large(self._dialect_now(), gateway.edge.body_bytes))
            return b""
        if self._chunk_count > BODY_CHUNKS_MAX:
            message = f"A request body has at most {BODY_CHUNKS_MAX} chunks."
            self._refuse(error_answer(self._dialect_now(), 413, "too_many_chunks", message))
            return b""
        if self._body_bytes > self._reserved and self._refusal is None:
            gateway.body_bytes += self._body_bytes - self._reserved
            self._reserved = self._body_bytes
            if gateway.body_bytes > gateway.edge.bodies_bytes:
                self._refuse(
                    error_answer(
                        self._dialect, 503, "overloaded", "Too many large requests at once.", retry_after_seconds=1
                    )
                )
                return b""
        if not chunks.done:
            return b""
        self._chunks = None
        return self._body_whole(data[end:])

    def _body_whole(self, rest: bytes) -> bytes:
        """The body is whole. Gives `rest` when the next request may be read now."""
        parts, self._parts = self._parts, []
        refusal, self._refusal = self._refusal, None
        self.state = HEAD
        return self._whole(b"".join(parts), rest, refusal)

    # ---- acting on a whole request ----------------------------------------------------------------------

    def _judge(self, head: RequestHead, length: int) -> ErrorAnswer | None:
        """What can be refused by the head alone, before any body is received."""
        gateway = self.gateway
        if length > gateway.edge.body_bytes:
            return _body_too_large(self._dialect, gateway.edge.body_bytes)
        self._errand = None
        if head.path not in local.CALL_PATHS:
            self._key = None
            if head.path.startswith(forwarding.PREFIXES):
                return None
            refused = unserved.refusal(head, self._dialect)
            if refused is not None:
                return refused
            errands = errands_at(head.path)
            return self._judge_errand(head, errands) if errands else local.refusal(gateway, head, self._dialect)
        if head.method != b"POST":
            refused = unserved.refusal(head, self._dialect)
            if refused is not None:
                return refused
            message = "Calls are made with POST." + why_refused(head.method, head.path)
            return error_answer(self._dialect, 405, "method_not_allowed", message, headers=b"allow: POST\r\n")
        if gateway.not_ready:
            return error_answer(self._dialect, 503, "not_ready", gateway.not_ready, retry_after_seconds=1)
        key = local.authenticate(gateway, head, self._dialect)
        if isinstance(key, ErrorAnswer):
            return key
        self._key = key
        if self._dialect is not None and not head.anthropic:
            head.forward += self._dialect.version_line
        if head.content_encoding and not gateway.settings.decode_request_bodies:
            return error_answer(
                self._dialect,
                415,
                "encoded_body",
                "Encoded request bodies are not taken here; send the JSON as it is.",
                headers=b"accept-encoding: identity\r\n",
            )
        head.is_plain_call = not (
            head.content_encoding or head.expects_continue or self._dialect is None or self._dialect.reads_file
        )
        return None

    def _judge_errand(self, head: RequestHead, errands: list[ErrandKind]) -> ErrorAnswer | None:
        """The same for a free request, whose path is one of `errands`."""
        gateway = self.gateway
        self._dialect = dialect = errands[0].dialect
        kind = next((one for one in errands if one.method == head.method), None)
        if kind is None:
            methods = b", ".join(one.method for one in errands)
            return error_answer(
                dialect,
                405,
                "method_not_allowed",
                f"This takes {methods.decode()}.{why_refused(head.method, head.path)}",
                headers=b"allow: %b\r\n" % methods,
            )
        if gateway.not_ready:
            return error_answer(dialect, 503, "not_ready", gateway.not_ready, retry_after_seconds=1)
        key = local.authenticate(gateway, head, dialect)
        if isinstance(key, ErrorAnswer):
            return key
        if head.content_encoding:
            return error_answer(dialect, 415, "encoded_body", "Send this request's body as it is, without an encoding.")
        self._errand = kind, key
        if not head.anthropic:
            head.forward += dialect.version_line
        return None

    def _whole(self, body: bytes, rest: bytes, refusal: ErrorAnswer | None) -> bytes:
        """A request is whole: answer it or start its call. Gives `rest` when the next request may be read now."""
        head = self._head
        assert head is not None
        gateway = self.gateway
        if refusal is None and head.content_encoding and self._key is not None:
            try:
                body = decoder_for(head.content_encoding, gateway.edge.body_bytes).feed(body)
            except DecodingError as error:
                refusal = error_answer(
                    self._dialect, 415, "encoded_body", f"The request body cannot be decoded: {error}."
                )
        if refusal is not None:
            self.answer(refusal)
        elif self._key is not None and self._dialect is not None:
            self.state = BUSY
            self.deadline = 0
            if self._dialect.reads_file:
                self._read_ahead(head, self._key, body)
            else:
                self._call(head, self._key, body)
        elif self._errand is not None:
            self.state = BUSY
            self.deadline = 0
            kind, key = self._errand
            errand = (Resumption if kind.resumes else Errand)(self, head, kind, key, body)
            self.call = errand
            errand.start()
        else:
            self._answer_here(head)
        if not rest:
            return b""
        if self.state == HEAD and not self.writing_paused:
            return rest
        if self.state in {HEAD, BUSY}:
            self._buffer += rest
            if len(self._buffer) > PIPELINED_BYTES_MAX or self.writing_paused:
                self._pause_reading()
        else:
            self._lingered += len(rest)
        return b""

    def _call(self, head: RequestHead, key: HotKey, body: bytes) -> None:
        """A call that says itself what it asks for."""
        now = self.gateway.clock()
        thrift = key.thrift
        call = Call(self, head, key, body, now) if thrift is None else TwinCall(self, head, key, body, now, thrift)
        self.call = call
        call.start()

    def _read_ahead(self, head: RequestHead, key: HotKey, body: bytes) -> None:
        """A call that a file bounds, which is read first."""
        dialect = self._dialect
        assert isinstance(dialect, FileBoundEndpoint)
        ahead = ReadAhead(self, head, dialect, key, body)
        self.call = ahead
        ahead.start()

    def _answer_here(self, head: RequestHead) -> None:
        """A request that is no call."""
        gateway = self.gateway
        elsewhere = gateway.told_elsewhere(head.path)
        if elsewhere is None:
            self.answer(local.answer(gateway, head, self._dialect))
            return
        self.state = BUSY
        self.deadline = 0
        refused = elsewhere.begin(self, head)
        if refused is not None:
            self.answer(refused)

    # ---- answering --------------------------------------------------------------------------------------

    @property
    def will_keep_alive(self) -> bool:
        """Whether the connection is used again after the present answer."""
        head = self._head
        return head is not None and head.keep_alive and not self._half_closed and not self.gateway.stopping

    @property
    def is_http10(self) -> bool:
        """Whether the client cannot read chunked answers."""
        return self._head is not None and self._head.http10

    def connection_line(self) -> bytes:
        """The header line that says what becomes of the connection, where the version's default does not say it."""
        head = self._head
        if head is not None and head.keep_alive and not self._half_closed and not self.gateway.stopping:
            return b"connection: keep-alive\r\n" if head.http10 else b""
        return b"connection: close\r\n"

    def answer(self, answer: ErrorAnswer, call_id: bytes = b"") -> None:
        """A whole answer of ours to the present request; an error has the id of the call that it ends, or one of its own."""
        if answer.status >= 400:
            answer = identified(answer, call_id or refusal_id(self.gateway.clock()))
        body = b"" if self._head is not None and self._head.method == b"HEAD" else answer.body
        self._write_now(
            b"%b%b%bcontent-length: %d\r\n\r\n%b"
            % (status_line(answer.status), answer.headers, self.connection_line(), len(answer.body), body)
        )
        self.finished()

    def _write_now(self, data: bytes) -> None:
        """What is no answer of a provider goes out at once, so that it is felt when a client does not read."""
        self.gateway.outbox.flush()
        self.transport.write(data)

    def finished(self) -> None:
        """The present request is answered: on to the next one, or the end."""
        self.call = None
        if self._reserved:
            self.gateway.body_bytes -= self._reserved
            self._reserved = 0
        if self.closed:
            return
        if not self.will_keep_alive:
            self._close()
            return
        self.state = HEAD
        self.deadline = self.gateway.wheel.now + (
            self.gateway.ticks.client_stall if self.writing_paused else self.gateway.ticks.idle
        )
        if self.writing_paused:  # who does not read is not asked for more
            self._pause_reading()
        if (self._buffer or self._reading_paused) and not self._looping:
            self.gateway.loop.call_soon(self._resume)

    def cut(self) -> None:
        """The answer under way cannot be finished truthfully: the client must see it end early."""
        self.call = None
        if not self.closed:
            self.gateway.outbox.flush()
            self.transport.abort() if self.is_http10 else self.transport.close()

    def _close(self) -> None:
        """After the last answer. Unread bytes would turn closing into a reset that destroys the answer, so they are read first."""
        if self._buffer or self._half_closed or self._reading_paused:
            self._linger()
        else:
            self.state = LINGER
            self.gateway.outbox.close(self.transport)

    def _linger(self) -> None:
        self.state = LINGER
        self._buffer.clear()
        if self._reading_paused:
            self._reading_paused = False
            self.transport.resume_reading()
        self.deadline = self.gateway.wheel.now + self.gateway.ticks.linger
        self.gateway.outbox.flush()
        if self._half_closed:
            self.transport.close()
        elif self.transport.can_write_eof():
            self.transport.write_eof()

    def _refuse_bytes(self, data: bytes, error: HeadError) -> None:
        self._refuse(error_answer(dialect_of_bytes(data), error.status, error.code, error.message))

    def _refuse(self, answer: ErrorAnswer) -> None:
        """Answer and end the connection, because where the next request begins cannot be known."""
        gateway = self.gateway
        gateway.metrics.requests["refused"] += 1
        answer = identified(answer, refusal_id(gateway.clock()))
        gateway.body_bytes -= self._reserved
        self._reserved = 0
        self._parts = []
        self._write_now(
            b"%b%bconnection: close\r\ncontent-length: %d\r\n\r\n%b"
            % (status_line(answer.status), answer.headers, len(answer.body), answer.body)
        )
        self._linger()

    def _dialect_now(self) -> Dialect | None:
        """The dialect of what is being received: known after the head, guessed before."""
        return dialect_of_bytes(bytes(self._buffer)) if self.state == HEAD else self._dialect


def _head_too_large(bytes_max: int) -> HeadError:
    return HeadError(431, "head_too_large", f"A request head has at most {bytes_max} bytes.")


def _body_too_large(dialect: Dialect | None, bytes_max: int) -> ErrorAnswer:
    return error_answer(dialect, 413, "request_too_large", f"A request body has at most {bytes_max} bytes.")
