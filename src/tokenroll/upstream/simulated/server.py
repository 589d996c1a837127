"""The simulated provider's HTTP/1.1: one protocol object per connection, no task per call.

Requests of one connection are answered in their order; everything about faults on the wire lives here and in `sending`.
"""

import asyncio
import ssl
import time
from collections import deque
from types import ModuleType
from typing import Any, Final

import httptools

from tokenroll.upstream.simulated import bedrock, chat, messages
from tokenroll.upstream.simulated.asked import SIZE_NAMES, Asked, Refusal, asked_of_messages
from tokenroll.upstream.simulated.bill import ABORTED
from tokenroll.upstream.simulated.files import NAME_HEADER
from tokenroll.upstream.simulated.provider import ASKED, FORMS, Attempt, Provider
from tokenroll.upstream.simulated.sending import Sender, head
from tokenroll.upstream.simulated.shapes import compact

BODY_BYTES_MAX: Final = 64 * 1024 * 1024
_EVENTS: Final = b"text/event-stream; charset=utf-8"
_SIZE_HEADERS: Final = {f"x-sim-{name.replace('_', '-')}".encode(): name for name in SIZE_NAMES}


class Request:
    """One received request."""

    __slots__ = ("body", "headers", "keep_alive", "method", "path", "query", "received_ns")

    def __init__(
        self, method: bytes, url: bytes, headers: dict[bytes, bytes], body: bytes, *, keep_alive: bool
    ) -> None:
        self.method, self.headers, self.body, self.keep_alive = method, headers, body, keep_alive
        self.path, _, self.query = url.partition(b"?")
        self.received_ns = time.monotonic_ns()


class Connection(asyncio.Protocol):
    """One client connection."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set before any data comes
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._size = 0
        self._waiting: deque[Request] = deque()
        self._sender: Sender | None = None
        self._attempt: Attempt | None = None
        self._busy = False

    # ---- receiving ----------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.provider.transports.add(transport)
        self.provider.counters["connections"] += 1

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.transport.close()
        except httptools.HttpParserError:
            self.transport.write(head(400, b"content-length: 0\r\nconnection: close\r\n"))
            self.transport.close()

    def on_message_begin(self) -> None:
        self._url, self._headers, self._parts, self._size = b"", {}, [], 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > BODY_BYTES_MAX:
            self.transport.abort()
            return
        self._parts.append(part)

    def on_message_complete(self) -> None:
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        keep_alive = self._parser.should_keep_alive()
        self._waiting.append(Request(self._parser.get_method(), self._url, self._headers, body, keep_alive=keep_alive))
        if not self._busy:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  part of the protocol
        self.provider.transports.discard(self.transport)
        self._waiting.clear()
        if self._sender is not None:
            self._sender.stop()
        if self._attempt is not None:
            self.provider.bill_end(self._attempt, ABORTED)
            self._attempt = None

    def pause_writing(self) -> None:
        if self._sender is not None:
            self._sender.pause()

    def resume_writing(self) -> None:
        if self._sender is not None:
            self._sender.resume()

    # ---- answering ----------------------------------------------------------------------------------------

    def _next(self) -> None:
        while self._waiting and not self._busy and not self.transport.is_closing():
            request = self._waiting.popleft()
            self._busy = True
            self._answer(request)

    def _done(self, *, keep_alive: bool) -> None:
        self._busy = False
        self._sender = None
        self._attempt = None
        if not keep_alive:
            self.transport.close()

    def finished(self, *, keep_alive: bool) -> None:
        """The sender has written the last byte of its answer."""
        self._done(keep_alive=keep_alive)
        self._next()

    def _plain(
        self, request: Request, status: int, body: bytes, more: bytes = b"", kind: bytes = b"application/json"
    ) -> None:
        lines = b"content-type: %b\r\ncontent-length: %d\r\n%b" % (kind, len(body), more)
        self.transport.write(head(status, lines) + (b"" if request.method == b"HEAD" else body))
        self._done(keep_alive=request.keep_alive)

    def _answer(self, request: Request) -> None:
        path = request.path
        if path.startswith(b"/-/"):
            status, body = self.provider.control(request.method, path, request.body)
            self._plain(request, status, body)
            return
        self.provider.counters["requests"] += 1
        version = request.headers.get(b"anthropic-version")
        of_messages = path == b"/v1/messages" or path.startswith(b"/v1/messages/")
        at_bedrock = bedrock.is_here(path)
        dialect = bedrock if at_bedrock else messages if of_messages or version is not None else chat
        try:
            self._authorised(request)
            if of_messages:
                messages.check_version(version)
            if at_bedrock and request.method == b"POST":
                asked, request.body = bedrock.understand(path, request.body)
                self._call(request, asked)
            elif (
                path.removeprefix(b"/v1") in ASKED or path.removeprefix(b"/v1") in FORMS
            ) and request.method == b"POST":
                content_type = request.headers.get(b"content-type", b"")
                self._call(request, self.provider.understand(path, request.body, content_type))
            elif self.provider.holding and request.path.endswith(b"/content"):
                answer = self._lookup(request, dialect)
                self.provider.held.append(lambda: self._late(request, answer))
            else:
                answer = self._lookup(request, dialect)
                is_stream = answer.startswith(b"event: ")
                self._plain(request, 200, answer, kind=_EVENTS if is_stream else b"application/json")
        except Refusal as refusal:
            self._refuse(request, refusal, dialect)

    def _late(self, request: Request, answer: bytes) -> None:
        """An answer that was withheld, to whoever is still there."""
        if not self.transport.is_closing():
            self._plain(request, 200, answer)
            self._next()

    def _refuse(self, request: Request, refusal: Refusal, dialect: ModuleType) -> None:
        self.provider.counters["refused"] += 1
        request_id = f"req_{time.monotonic_ns():024x}"
        limits = dialect.LIMITED_HEADERS if refusal.status == 429 else b""
        more = dialect.REQUEST_ID_HEADER + b": " + request_id.encode() + b"\r\n" + limits
        self._plain(request, refusal.status, dialect.error_body(refusal, request_id), more)

    def _authorised(self, request: Request) -> None:
        expected = self.provider.options.api_key
        if expected:
            given = request.headers.get(b"x-api-key") or request.headers.get(b"authorization", b"").removeprefix(
                b"Bearer "
            )
            if given != expected.encode():
                raise Refusal(401, "invalid_request_error", "Incorrect API key provided.", None, "invalid_api_key")

    def _lookup(self, request: Request, dialect: ModuleType) -> bytes:
        """What is asked without being billed: models, token counts, life signs. Raises Refusal."""
        prices = self.provider.prices
        path = request.path
        if path == b"/v1/messages/count_tokens" and request.method == b"POST":
            return compact({"input_tokens": asked_of_messages(request.body, counting=True).input_tokens})
        place = path.decode("latin-1").removeprefix("/v1")
        stored = self.provider.shelf.lookup(request.method, place, request.body, request.query)
        for desk in (self.provider.batches, self.provider.file_batches, self.provider.training, self.provider.files):
            if stored is None:
                stored = desk.answer(request.method, place, request.body, request.headers)
        if stored is not None:
            return stored
        if request.method in {b"GET", b"HEAD"}:
            if path in {b"/v1/models", b"/models"}:
                objects = [dialect.model_object(name, prices.models[name].vendor) for name in prices.names]
                return compact(dialect.model_list(objects))
            if path.startswith(b"/v1/models/"):
                name = path.removeprefix(b"/v1/models/").decode("utf-8", "replace")
                if name not in prices.models:
                    raise dialect.unknown_model(name)
                return compact(dialect.model_object(name, prices.models[name].vendor))
            if path in {b"/", b"/healthz"}:
                return b'{"status": "ok"}'
        raise Refusal(404, "invalid_request_error", f"Unknown request URL: {request.method.decode()} {path.decode()}.")

    def _call(self, request: Request, asked: Asked) -> None:
        provider, headers = self.provider, request.headers
        _sizes_from_headers(asked, headers)
        client_request_id = headers.get(b"x-client-request-id", b"").decode("latin-1")
        faults = headers.get(b"x-sim-fault", b"").decode("latin-1")
        attempt = provider.begin(asked, request.body, client_request_id, faults, request.received_ns)
        if asked.endpoint == "responses":
            attempt.answer.name = headers.get(NAME_HEADER, b"").decode()
        if asked.background and not asked.stream:
            answer = provider.shelf.begin(attempt, request.body, asked.sizes.get("background_ms", 0))
            request_id = attempt.answer.request_id.encode()
            self._plain(
                request, 200, answer, chat.REQUEST_ID_HEADER + b": " + request_id + b"\r\n" + chat.LIMIT_HEADERS
            )
            return
        if asked.endpoint == "responses":
            provider.shelf.keep(attempt, request.body)
        self._attempt = attempt
        self._sender = Sender(self, attempt, keep_alive=request.keep_alive)
        if provider.holding or "hold" in attempt.answer.faults:
            provider.bill_open(attempt)
            provider.held.append(self._sender.begin)
        else:
            self._sender.begin()


def _sizes_from_headers(asked: Asked, headers: dict[bytes, bytes]) -> None:
    for header, name in _SIZE_HEADERS.items():
        value = headers.get(header)
        if value is not None:
            if not value.isdigit():
                raise Refusal(400, "invalid_request_error", f"{header.decode()} must be a count")
            asked.sizes[name] = int(value)
    asked.worst_tokenizer = headers.get(b"x-sim-tokenizer") == b"worst"


async def serve(
    provider: Provider, host: str, port: int, context: ssl.SSLContext | None = None
) -> tuple[asyncio.Server, int]:
    """A listening server and the port it got."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(provider), host, port, backlog=8192, ssl=context)
    return server, server.sockets[0].getsockname()[1]
