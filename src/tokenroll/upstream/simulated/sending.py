"""How an answer leaves: framing, pace, and every fault that happens on the wire."""

import asyncio
import gzip
import time
import zlib
from types import ModuleType
from typing import TYPE_CHECKING, Final, Protocol

import brotli
import zstandard

from tokenroll.upstream.simulated import (
    bedrock,
    chat,
    completions,
    embeddings,
    messages,
    moderations,
    pictures,
    rerank,
    responses,
    speech,
    transcripts,
)
from tokenroll.upstream.simulated.bill import COMPLETE, CUT
from tokenroll.upstream.simulated.shapes import Event

if TYPE_CHECKING:
    from tokenroll.upstream.simulated.provider import Attempt, Provider

REASONS: Final = {
    100: b"Continue", 103: b"Early Hints", 200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 404: b"Not Found",
    429: b"Too Many Requests", 500: b"Internal Server Error", 503: b"Service Unavailable", 529: b"Overloaded",
}  # fmt: skip
WORDS: Final[dict[str, ModuleType]] = {
    "chat": chat, "messages": messages, "responses": responses, "completions": completions, "embeddings": embeddings,
    "moderations": moderations, "rerank": rerank, "pictures": pictures, "speech": speech, "transcripts": transcripts,
}  # fmt: skip
"""By endpoint: how its answers, events and errors are worded."""
BODY_PIECE_BYTES: Final = 7
ENCODINGS: Final = ("gzip", "br", "zstd")


def head(status: int, lines: bytes) -> bytes:
    """A response head; `lines` end in CR LF."""
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, REASONS.get(status, b"Answer"), lines)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class _Compressor:
    """A body or a stream in one of the encodings; every piece can be decoded as soon as it comes."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        if encoding == "gzip":
            self._gzip = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        elif encoding == "br":
            self._brotli = brotli.Compressor()
        else:
            self._zstd = zstandard.ZstdCompressor().compressobj()

    def piece(self, data: bytes) -> bytes:
        if self._encoding == "gzip":
            return self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        if self._encoding == "br":
            out: bytes = self._brotli.process(data) + self._brotli.flush()
            return out
        return self._zstd.compress(data) + self._zstd.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def end(self) -> bytes:
        if self._encoding == "gzip":
            return self._gzip.flush(zlib.Z_FINISH)
        if self._encoding == "br":
            out: bytes = self._brotli.finish()
            return out
        return self._zstd.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)


def compressed(encoding: str, data: bytes) -> bytes:
    """A whole body in an encoding."""
    if encoding == "gzip":
        return gzip.compress(data, mtime=0)
    compressor = _Compressor(encoding)
    return compressor.piece(data) + compressor.end()


class Owner(Protocol):
    """The connection that an answer leaves on."""

    provider: "Provider"
    transport: asyncio.Transport

    def finished(self, *, keep_alive: bool) -> None:
        """Called once, when nothing more will be written."""


class Sender:
    """One answer on its way out: at once when nothing slows it, else by timers."""

    def __init__(self, owner: Owner, attempt: "Attempt", *, keep_alive: bool) -> None:
        self._owner = owner
        self._attempt = attempt
        self._answer = attempt.answer
        self._faults = attempt.answer.faults
        self._keep_alive = keep_alive
        self._dialect = WORDS[attempt.answer.asked.endpoint]
        self._at_bedrock = attempt.answer.asked.at_bedrock
        self._events: list[Event] = []
        self._at = 0
        self._stop_at = -1
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = self._paused = False
        encoding = next((name for name in ENCODINGS if name in self._faults), "")
        self._compressor = _Compressor(encoding) if encoding else None
        self._encoding = encoding

    # ---- control by the connection --------------------------------------------------------------------------

    def stop(self) -> None:
        """The connection is gone: nothing more is generated."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def pause(self) -> None:
        """The client does not read: generation waits, as at a provider with a bounded buffer."""
        self._paused = True

    def resume(self) -> None:
        """The client reads again."""
        self._paused = False
        if self._events and self._timer is None and not self._stopped:
            self._step()

    def begin(self) -> None:
        """Start to answer, after the first-byte delay if there is one."""
        if self._stopped:
            return
        delay = int(self._faults["slow-first-byte"] or 1_000) if "slow-first-byte" in self._faults else 0
        delay = delay or self._owner.provider.options.first_byte_ms
        if delay:
            if not self._answer.asked.stream:
                # A body is generated as a whole whether or not somebody waits for it.
                self._attempt.generated = self._answer.output_tokens
            self._owner.provider.bill_open(self._attempt)
            self._timer = asyncio.get_running_loop().call_later(delay / 1_000, self._start)
        else:
            self._start()

    def _start(self) -> None:
        self._timer = None
        if "drop" in self._faults:
            self._owner.provider.bill_end(self._attempt, CUT)
            self._finish(keep_alive=False)
        elif self._answer.asked.stream:
            self._stream()
        else:
            self._whole()

    # ---- whole bodies -----------------------------------------------------------------------------------------

    def _whole(self) -> None:
        faults, provider = self._faults, self._owner.provider
        body = self._dialect.body(self._answer)
        if "malformed-json" in faults:
            body = body[: len(body) * 2 // 3] + b"\x00}"
        if self._encoding:
            body = compressed(self._encoding, body)
        self._attempt.generated = self._answer.output_tokens
        provider.bill_end(self._attempt, CUT if "cut" in faults else COMPLETE)
        length = len(body) + (64 if "length-long" in faults else -16 if "length-short" in faults else 0)
        framing = b"connection: close\r\n" if "no-length" in faults else b"content-length: %d\r\n" % length
        top = self._head(self._answer.asked.kind, framing)
        if "cut" in faults:
            self._write(top + body[: len(body) // 2])
            self._finish(keep_alive=False)
            return
        if faults and self._in_pieces(top, body):
            return
        self._write(top + body)
        self._finish(keep_alive=self._keeps())

    def _keeps(self) -> bool:
        closing = {"no-length", "length-long", "length-short", "close-after"}
        return self._keep_alive and closing.isdisjoint(self._faults)

    def _in_pieces(self, top: bytes, body: bytes) -> bool:
        """Whether the answer now leaves byte by byte, because a fault asks for it."""
        if "split-head" not in self._faults and "split-body" not in self._faults:
            return False
        pieces = [top[at : at + 1] for at in range(len(top))] if "split-head" in self._faults else [top]
        if "split-body" in self._faults:
            pieces += [body[at : at + BODY_PIECE_BYTES] for at in range(0, len(body), BODY_PIECE_BYTES)]
        else:
            pieces.append(body)
        self._drip(pieces, 0)
        return True

    def _drip(self, pieces: list[bytes], at: int) -> None:
        """One piece per turn of the loop and a little time, so that each is a read of its own at the other end."""
        if self._stopped:
            return
        self._write(pieces[at])
        if at + 1 < len(pieces):
            self._timer = asyncio.get_running_loop().call_later(0.0002, self._drip, pieces, at + 1)
        else:
            self._finish(keep_alive=self._keeps())

    # ---- streams ------------------------------------------------------------------------------------------------

    def _stream(self) -> None:
        faults, provider = self._faults, self._owner.provider
        events = self._dialect.events(self._answer)
        if "comments" in faults:
            events = [
                Event(b": keep-alive" + self._answer.line_end * 2 + one.data, one.output_tokens) for one in events
            ]
        if "malformed-json" in faults:
            middle = len(events) // 2
            events[middle] = Event(b'data: {"id": "chatcmpl-' + self._answer.line_end * 2, events[middle].output_tokens)
        if "error-event" in faults:
            at = self._place("error-event", events)
            reached = events[at - 1].output_tokens if at else 0
            events = [*events[:at], Event(self._dialect.error_event(self._answer), reached)]
            # a response that was created and then fails before any output is how a full provider refuses a stream (gateways.md §6.2)
            self._attempt.refused = not at or (self._dialect is responses and not reached)
        if "cut" in faults or "stall" in faults:
            self._stop_at = self._place("cut" if "cut" in faults else "stall", events)
        self._events = events
        framing = b"connection: close\r\n" if "no-length" in faults else b"transfer-encoding: chunked\r\n"
        kind = bedrock.STREAM_KIND if self._at_bedrock else b"text/event-stream; charset=utf-8"
        top = self._head(kind, framing + b"cache-control: no-cache\r\n")
        interval = self._answer.asked.sizes.get("interval_us", provider.options.interval_us)
        if interval or self._stop_at >= 0 or "split-head" in faults or "split-body" in faults:
            provider.bill_open(self._attempt)
            self._interval = interval / 1_000_000
            self._write(top)
            self._step()
            return
        self._attempt.generated = events[-1].output_tokens
        provider.bill_end(self._attempt, CUT if "error-event" in faults else COMPLETE)
        self._write(top + b"".join([self._framed(event.data) for event in events]) + self._tail())
        self._finish(keep_alive=self._keeps())

    def _place(self, fault: str, events: list[Event]) -> int:
        return min(int(self._faults[fault] or len(events) // 2), len(events))

    def _framed(self, data: bytes) -> bytes:
        if self._at_bedrock:
            data = bedrock.framed(data, self._attempt.received_ns, time.monotonic_ns())
        if self._compressor is not None:
            data = self._compressor.piece(data)
        return data if "no-length" in self._faults else chunk(data)

    def _tail(self) -> bytes:
        rest = self._compressor.end() if self._compressor is not None else b""
        if "no-length" in self._faults:
            return rest
        return (chunk(rest) if rest else b"") + b"0\r\n\r\n"

    def _step(self) -> None:
        """Send the next event, or all that may leave without a pause; then wait for the timer or the reader."""
        self._timer = None
        loop = asyncio.get_running_loop()
        while not self._stopped and not self._paused:
            if self._at == self._stop_at:
                if "cut" in self._faults:
                    self._owner.provider.bill_end(self._attempt, CUT)
                    self._finish(keep_alive=False)
                return
            if self._at == len(self._events):
                self._owner.provider.bill_end(self._attempt, CUT if "error-event" in self._faults else COMPLETE)
                self._write(self._tail())
                self._finish(keep_alive=self._keeps())
                return
            event = self._events[self._at]
            self._at += 1
            self._attempt.generated = event.output_tokens
            self._write(self._framed(event.data))
            if self._interval:
                self._timer = loop.call_later(self._interval, self._step)
                return

    # ---- bytes ----------------------------------------------------------------------------------------------------

    def _head(self, kind: bytes, framing: bytes) -> bytes:
        faults, request_id = self._faults, self._answer.request_id.encode()
        encoding = b"content-encoding: %b\r\n" % self._encoding.encode() if self._encoding else b""
        words: ModuleType = bedrock if self._at_bedrock else self._dialect
        stamps = b"x-sim-stamps: %d,%d\r\n" % (self._attempt.received_ns, time.monotonic_ns())
        lines = b"content-type: %b\r\n%b%b%b: %b\r\n%b" % (
            kind, framing, encoding, words.REQUEST_ID_HEADER, request_id, words.LIMIT_HEADERS + stamps,
        )  # fmt: skip
        top = head(200, lines)
        if "early-hints" in faults:
            top = head(103, b"link: </style.css>; rel=preload\r\n") + top
        if "continue" in faults:
            top = head(100, b"") + top
        return top

    def _write(self, data: bytes) -> None:
        self._owner.transport.write(data)

    def _finish(self, *, keep_alive: bool) -> None:
        self._stopped = True
        self._owner.finished(keep_alive=keep_alive)
