"""Amazon's event streams, turned into the events that Anthropic's clients read.

Bedrock sends each event of a message in a binary frame: total length, length of the headers, checksum of both; headers; a payload;
checksum of all that. The payload is JSON around the event, which is encoded in base64. What comes out is the same stream that
Anthropic itself would send: meters and clients know no other. The event's own JSON goes on as it stands.
"""

import json
import re
import struct
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

from tokenroll.model.limits import FRAME_BYTES_MAX, FRAME_HEADERS_BYTES_MAX
from tokenroll.upstream.shapes import decode_frame_event, decode_frame_kind, decode_frame_problem

FRAMES_TYPE: Final = b"application/vnd.amazon.eventstream"
"""The content type of such a stream."""
EVENTS_LINE: Final = b"content-type: text/event-stream; charset=utf-8"
"""What a client is told in its place."""
_PRELUDE: Final = struct.Struct(">III")
_FRAME_BYTES_MIN: Final = 16
"""A frame without headers and payload: its lengths and both checksums."""
_CHECKSUM_BYTES: Final = 4
_PLAIN_VALUE_BYTES: Final = (0, 0, 1, 2, 4, 8)
"""Of the kinds 0 to 5 of a header's value: true, false, and whole numbers."""
_BYTES_KIND: Final = 6
_TEXT_KIND: Final = 7
_LATER_VALUE_BYTES: Final = (8, 16)
"""Of the kinds 8 and 9: an instant and a UUID."""
_EVENT_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ERROR_TYPES: Final = {
    "throttlingException": "rate_limit_error",
    "serviceUnavailableException": "overloaded_error",
    "modelTimeoutException": "timeout_error",
    "validationException": "invalid_request_error",
    "internalServerException": "api_error",
    "modelStreamErrorException": "api_error",
}
"""Bedrock's exceptions in the words of Anthropic's clients, who try again by them."""


class _FrameError(Exception):
    """A frame that must not be believed."""


def frames_place(lines: Sequence[bytes]) -> int:
    """Which of these header lines says that such a stream follows; -1: none."""
    for place, line in enumerate(lines):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-type" and value.strip().lower().startswith(FRAMES_TYPE):
            return place
    return -1


class EventFrames:
    """One answer's frames, read in any number of reads. Both checksums of each must be right, and its lengths within limits."""

    __slots__ = ("_buffer", "problem")

    def __init__(self) -> None:
        self._buffer = bytearray()
        """The unfinished frame."""
        self.problem = ""
        """Why nothing more is read; empty while all is well."""

    @property
    def is_whole(self) -> bool:
        """Whether the answer may end here: nothing of a frame is missing."""
        return not self.problem and not self._buffer

    def feed(self, data: bytes) -> bytes:
        """The events of the frames that `data` completes, up to the first that is wrong."""
        if self.problem:
            return b""
        buffer = self._buffer
        buffer += data
        size = len(buffer)
        start = 0
        events: list[bytes] = []
        try:
            while size - start >= _PRELUDE.size:
                stop = start + _frame_bytes(buffer, start)
                if stop > size:
                    break
                events.append(_event(bytes(buffer[start:stop])))
                start = stop
        except _FrameError as error:
            self.problem = str(error)
            start = size
        del buffer[:start]
        return events[0] if len(events) == 1 else b"".join(events)


def _frame_bytes(buffer: bytearray, start: int) -> int:
    """How long the frame is that begins there, once its own checksum of that is right."""
    total, headers, checksum = _PRELUDE.unpack_from(buffer, start)
    if zlib.crc32(buffer[start : start + 8]) != checksum:
        raise _FrameError("the lengths of a frame are not what their checksum says")
    if not _FRAME_BYTES_MIN <= total <= FRAME_BYTES_MAX:
        raise _FrameError(f"a frame of {total} bytes is none of {_FRAME_BYTES_MIN} to {FRAME_BYTES_MAX}")
    if headers > min(total - _FRAME_BYTES_MIN, FRAME_HEADERS_BYTES_MAX):
        raise _FrameError(f"a frame of {total} bytes has no headers of {headers}")
    return int(total)


def _event(frame: bytes) -> bytes:
    """What one whole frame says, as an event; nothing for kinds of events that are not Anthropic's."""
    size = len(frame) - _CHECKSUM_BYTES
    if zlib.crc32(memoryview(frame)[:size]) != int.from_bytes(frame[size:], "big"):
        raise _FrameError("a frame is not what its checksum says")
    headers_end = _PRELUDE.size + int.from_bytes(frame[4:8], "big")
    texts = _texts(frame, headers_end)
    payload = frame[headers_end:size]
    kind = texts.get(":message-type", "")
    if kind == "event":
        return _anthropic_event(payload) if texts.get(":event-type") == "chunk" else b""
    if kind == "exception":
        return _error_event(texts.get(":exception-type", ""), payload, "")
    if kind == "error":
        return _error_event(texts.get(":error-code", ""), payload, texts.get(":error-message", ""))
    raise _FrameError("a frame says neither an event nor an error")


def _texts(frame: bytes, end: int) -> dict[str, str]:
    """The headers that are texts; those of other kinds are read over."""
    texts: dict[str, str] = {}
    at = _PRELUDE.size
    while at < end:
        name_end = at + 1 + frame[at]
        if name_end == at + 1 or name_end >= end:
            raise _FrameError("a header of a frame has no name or no value")
        kind = frame[name_end]
        start = name_end + 1
        if kind in (_BYTES_KIND, _TEXT_KIND):
            stop = start + 2 + int.from_bytes(frame[start : start + 2], "big")
            start += 2
        elif kind < len(_PLAIN_VALUE_BYTES):
            stop = start + _PLAIN_VALUE_BYTES[kind]
        elif kind - _TEXT_KIND - 1 < len(_LATER_VALUE_BYTES):
            stop = start + _LATER_VALUE_BYTES[kind - _TEXT_KIND - 1]
        else:
            raise _FrameError(f"a header of a frame has a value of the kind {kind}")
        if max(start, stop) > end:
            raise _FrameError("a header of a frame is longer than all of them")
        if kind == _TEXT_KIND:
            name = frame[at + 1 : name_end].decode("utf-8", "replace")
            if name in texts:
                raise _FrameError("a header of a frame is given twice")
            texts[name] = frame[start:stop].decode("utf-8", "replace")
        at = stop
    return texts


def _anthropic_event(payload: bytes) -> bytes:
    """The event inside a payload. Line ends may stand between JSON's parts, where a blank says the same and ends no event."""
    try:
        event: bytes = decode_frame_event(payload).event
        name: str = decode_frame_kind(event).type
    except (msgspec.MsgspecError, RecursionError):
        raise _FrameError("a frame holds no event") from None
    if _EVENT_NAME.fullmatch(name) is None:
        raise _FrameError("a frame holds an event without a name")
    if b"\n" in event or b"\r" in event:
        event = event.replace(b"\n", b" ").replace(b"\r", b" ")
    return b"event: %b\ndata: %b\n\n" % (name.encode("ascii"), event)


def _error_event(kind: str, payload: bytes, message: str) -> bytes:
    """Why the provider ended the answer, as Anthropic says it in a stream."""
    try:
        said = decode_frame_problem(payload).message or message
    except (msgspec.MsgspecError, RecursionError):
        said = message
    error = {"type": _ERROR_TYPES.get(kind, "api_error"), "message": said or kind or "The provider ended its answer."}
    return b"event: error\ndata: %b\n\n" % json.dumps({"type": "error", "error": error}).encode()
