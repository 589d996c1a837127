"""Chunked transfer coding, read strictly and in any number of pieces.

The parser of heads is llhttp. The coding of bodies is read here, because a relay must know the exact byte where a message
ends: bytes behind it must neither be relayed as part of it nor be lost, and llhttp's binding does not tell the offset.
"""

import re
from typing import Final

from tokenroll.model.limits import CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX

_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,15}")
_EXTENSION: Final = re.compile(rb"(?:;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")
_PARTIAL_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{0,15}(?:;[\t\x20-\x7e\x80-\xff]*)?\r?")

_SIZE_LINE, _DATA, _DATA_END, _TRAILERS, _DONE = range(5)
LAST_CHUNK: Final = b"0\r\n\r\n"


_SHORT_LINE_BYTES: Final = 10
_USUAL_LINE_BYTES: Final = 3
_KNOWN_SIZES: Final[dict[bytes, int]] = {}
"""Size lines that were read before; the events of a stream differ in length by a few hundred bytes."""
_KNOWN_SIZES_MAX: Final = 4096


class ChunkError(Exception):
    """Bytes that are not chunked coding: nothing behind them can be trusted, so the connection ends."""


class ChunkDecoder:
    """One body. `pieces` are its payload as found so far (the owner takes and clears them)."""

    __slots__ = ("_left", "_line", "_line_bytes", "_state", "_trailer_bytes", "coding_end", "done", "pieces")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.done = False
        self.coding_end = 0
        """Within the last `feed`: where the last-chunk line ended and trailers begin, else where the feed ended."""
        self._state = _SIZE_LINE
        self._left = 0
        self._line = b""
        self._line_bytes = _USUAL_LINE_BYTES
        """Of the last chunk's size line."""
        self._trailer_bytes = 0

    def one_chunk(self, data: bytes) -> bytes | None:
        """The payload when `data` is exactly one chunk after whole ones, as events come; else None, and nothing was read."""
        stop = self._line_bytes
        if data[stop : stop + 2] != b"\r\n":
            stop = data.find(b"\r\n", 0, _SHORT_LINE_BYTES)
            if stop <= 0:
                return None
            self._line_bytes = stop
        if self._state != _SIZE_LINE or self._line:
            return None
        size = _KNOWN_SIZES.get(data[:stop])
        if size is None or stop + 4 + size != len(data) or data[-2:] != b"\r\n":
            return None
        return data[stop + 2 : -2]

    def feed(self, data: bytes, start: int = 0) -> int:
        """The offset behind the last byte that belongs to this body. Raises ChunkError."""
        position = start
        end = len(data)
        state = self._state
        if state != _TRAILERS:
            self.coding_end = end
        else:
            self.coding_end = start
        while position < end:
            if state == _SIZE_LINE:
                stop = data.find(b"\r\n", position)
                if stop < 0 or self._line:
                    position, size = self._broken_size_line(data, position)
                    if size < 0:
                        break
                else:
                    size = _size(data[position:stop])
                    position = stop + 2
                if size == 0:
                    state = _TRAILERS
                    self.coding_end = position
                    continue
                stop = position + size
                if stop + 2 <= end:
                    if data[stop : stop + 2] != b"\r\n":
                        raise ChunkError("a chunk does not end where its size says")
                    self.pieces.append(data[position:stop])
                    position = stop + 2
                    continue
                self._left = size
                state = _DATA
            elif state == _DATA:
                stop = min(end, position + self._left)
                self.pieces.append(data[position:stop])
                self._left -= stop - position
                position = stop
                if not self._left:
                    state = _DATA_END
                    self._left = 2
            elif state == _DATA_END:
                if data[position] != (13 if self._left == 2 else 10):
                    raise ChunkError("a chunk does not end where its size says")
                position += 1
                self._left -= 1
                if not self._left:
                    state = _SIZE_LINE
            else:
                position = self._trailer_line(data, position)
                if self.done:
                    state = _DONE
                    break
        self._state = state
        return position

    def _broken_size_line(self, data: bytes, position: int) -> tuple[int, int]:
        """A size line that is not within one read: where reading goes on and the size, or -1 while the line is not whole."""
        line = self._line + data[position : position + CHUNK_LINE_BYTES_MAX + 2]
        stop = line.find(b"\r\n")
        if stop < 0:
            if len(line) > CHUNK_LINE_BYTES_MAX or _PARTIAL_SIZE.fullmatch(line) is None:
                raise ChunkError("a chunk size is not a hexadecimal number")
            self._line = line
            return len(data), -1
        consumed = stop + 2 - len(self._line)
        self._line = b""
        return position + consumed, _size(line[:stop])

    def _trailer_line(self, data: bytes, position: int) -> int:
        """One trailer line read and dropped; sets `done` at the empty one. Gives the offset behind what was read."""
        line = self._line + data[position:]
        stop = line.find(b"\r\n")
        if stop < 0:
            self._trailer_bytes += len(data) - position
            if self._trailer_bytes > TRAILER_BYTES_MAX or b"\n" in line or b"\0" in line:
                raise ChunkError("trailers are malformed or too long")
            self._line = line
            return len(data)
        consumed = stop + 2 - len(self._line)
        self._line = b""
        self._trailer_bytes += consumed
        if stop == 0:
            self.done = True
        elif self._trailer_bytes > TRAILER_BYTES_MAX or _TRAILER.fullmatch(line, 0, stop) is None:
            raise ChunkError("trailers are malformed or too long")
        return position + consumed


def _size(line: bytes) -> int:
    """The size that a whole size line names; extensions are read over."""
    match = _SIZE.match(line)
    if match is None or len(line) > CHUNK_LINE_BYTES_MAX or _EXTENSION.fullmatch(line, match.end()) is None:
        raise ChunkError("a chunk size is not a hexadecimal number")
    size = int(match.group(), 16)
    if size and len(line) < _SHORT_LINE_BYTES - 2 and len(_KNOWN_SIZES) < _KNOWN_SIZES_MAX:
        _KNOWN_SIZES[line] = size
    return size


def chunk(payload: bytes) -> bytes:
    """`payload` as one chunk. Empty payload gives no chunk, because a chunk of size zero would end the body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b""
