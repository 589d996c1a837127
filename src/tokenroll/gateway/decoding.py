"""Compressed bodies, decoded in bounded steps: copies of answers for metering, and requests where a setting allows it."""

import contextlib
import zlib
from typing import Final, Protocol

import brotli
import zstandard

from tokenroll.model.limits import DECODED_BYTES_MAX, GZIP_MEMBERS_MAX

_STEP_BYTES: Final = 256 * 1024
"""No single step yields more: a few bytes that unfold into gigabytes are stopped before they are memory."""
_ZLIB_INPUT_STEP_BYTES: Final = 16 * 1024
"""zlib copies what a member, or a step, left unread: no more than so much at a time, however large the body."""
CODINGS: Final = frozenset({b"gzip", b"x-gzip", b"deflate", b"br", b"zstd"})


class DecodingError(Exception):
    """Bytes that are not what their coding says, that grow beyond the limit, or a coding we do not know."""


class Decoder(Protocol):
    """One body being decoded."""

    def feed(self, data: bytes) -> bytes:
        """What `data` adds to the decoded body. Raises DecodingError."""


class Identity:
    """No coding: the same bytes."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        """The same object."""
        return data


class _Bounded:
    """Counts what came out; beyond the limit it is no answer but a bomb."""

    __slots__ = ("_left",)

    def __init__(self, bytes_max: int) -> None:
        self._left = bytes_max

    def _take(self, parts: list[bytes], part: bytes) -> None:
        self._left -= len(part)
        if self._left < 0:
            raise DecodingError("the decoded body is above the limit")
        parts.append(part)


class _Zlib(_Bounded):
    """gzip and deflate; members that follow one another are one body, and are few. `deflate` may lack its zlib wrapper."""

    __slots__ = ("_deflate", "_machine", "_members_left", "_window")

    def __init__(self, *, deflate: bool, bytes_max: int) -> None:
        super().__init__(bytes_max)
        self._deflate = deflate
        self._window = 15 if deflate else 31
        self._machine = zlib.decompressobj(self._window)
        self._members_left = GZIP_MEMBERS_MAX

    def feed(self, data: bytes) -> bytes:
        """See Decoder."""
        parts: list[bytes] = []
        if self._deflate and data:
            self._deflate = False
            if data[0] & 0x0F != 8:  # raw deflate, as some servers send it
                self._machine = zlib.decompressobj(-15)
        at, size = 0, len(data)
        view = memoryview(data)
        try:
            while at < size:
                if self._machine.eof:
                    self._members_left -= 1
                    if not self._members_left:
                        raise DecodingError(f"a body has at most {GZIP_MEMBERS_MAX} members")
                    self._machine = zlib.decompressobj(self._window)
                step = view[at : at + _ZLIB_INPUT_STEP_BYTES]
                self._take(parts, self._machine.decompress(step, _STEP_BYTES))
                unread = self._machine.unused_data if self._machine.eof else self._machine.unconsumed_tail
                at += len(step) - len(unread)
        except zlib.error as error:
            raise DecodingError(f"the body is not what its coding says: {error}") from error
        return b"".join(parts)


class _Brotli(_Bounded):
    __slots__ = ("_machine",)

    def __init__(self, *, bytes_max: int) -> None:
        super().__init__(bytes_max)
        self._machine = brotli.Decompressor()

    def feed(self, data: bytes) -> bytes:
        """See Decoder."""
        parts: list[bytes] = []
        try:
            self._take(parts, self._machine.process(data, output_buffer_limit=_STEP_BYTES))
            while not self._machine.can_accept_more_data():
                self._take(parts, self._machine.process(b"", output_buffer_limit=_STEP_BYTES))
        except brotli.error as error:
            raise DecodingError(f"the body is not what its coding says: {error}") from error
        return b"".join(parts)


class _Zstandard(_Bounded):
    __slots__ = ("_machine",)

    _INPUT_STEP_BYTES: Final = 256
    """The binding has no bound on its output, so its input is fed in steps: one unfolds to 8 MiB at worst."""

    def __init__(self, *, bytes_max: int) -> None:
        super().__init__(bytes_max)
        self._machine = zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024).decompressobj()

    def feed(self, data: bytes) -> bytes:
        """See Decoder."""
        parts: list[bytes] = []
        try:
            for start in range(0, len(data), self._INPUT_STEP_BYTES):
                self._take(parts, self._machine.decompress(data[start : start + self._INPUT_STEP_BYTES]))
        except zstandard.ZstdError as error:
            raise DecodingError(f"the body is not what its coding says: {error}") from error
        return b"".join(parts)


def decoder_for(coding: bytes, bytes_max: int = DECODED_BYTES_MAX) -> Decoder:
    """A decoder for one content coding. Raises DecodingError for an unknown or a stacked one."""
    if coding in {b"", b"identity"}:
        return Identity()
    if coding in {b"gzip", b"x-gzip"}:
        return _Zlib(deflate=False, bytes_max=bytes_max)
    if coding == b"deflate":
        return _Zlib(deflate=True, bytes_max=bytes_max)
    if coding == b"br":
        return _Brotli(bytes_max=bytes_max)
    if coding == b"zstd":
        return _Zstandard(bytes_max=bytes_max)
    raise DecodingError(f"the coding {coding.decode('latin-1')} is not known")


class Copy:
    """A decoded copy of an answer that is relayed as it came. What cannot be decoded gives nothing: its usage stays unknown."""

    __slots__ = ("_decoder",)

    def __init__(self, coding: bytes) -> None:
        self._decoder: Decoder | None = None
        with contextlib.suppress(DecodingError):
            self._decoder = decoder_for(coding)

    def feed(self, data: bytes) -> bytes:
        """What `data` brings; after the first trouble nothing more."""
        if self._decoder is None:
            return b""
        try:
            return self._decoder.feed(data)
        except DecodingError:
            self._decoder = None
            return b""
