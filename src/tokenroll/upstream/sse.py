"""Server-sent events as they pass: found whatever the reads, line ends and spacing, relayed unchanged, kept only while unfinished.

Most reads hold whole events that say nothing about usage; a dialect's `_is_plain` recognises them with a few byte searches, and
they pass as the very same object. Once such an event was met, the next one that differs from it in its text only is known by its
two ends. All else goes through `_take`, which is exact and not fast.
"""

import re
from abc import abstractmethod
from typing import Final

from tokenroll.model.limits import METER_EVENT_BYTES_MAX, METER_TAIL_BYTES
from tokenroll.upstream.dialect import BYTES_PER_TOKEN_ESTIMATE, CallMeter

_BLANK_LINE: Final = re.compile(rb"\n\r?\n")
_OVERLAP: Final = 2
"""Bytes before new data that a blank line may begin in: the longest is three bytes."""
_PATTERNS_MAX: Final = 8
"""How often a stream's event is taken as the pattern of the next ones; a stream whose every event is framed anew has none."""


def event_payload(event: bytes) -> tuple[bytes, bytes]:
    """`(name, data)` of one event: comments and other fields dropped, several data lines joined by a line feed."""
    name = b""
    data: list[bytes] = []
    for line in event.splitlines():
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif line.startswith(b"event:"):
            name = line[6:].strip()
    return name, b"\n".join(data)


class EventMeter(CallMeter):
    """A meter of a stream of events. Subclasses say what an event means and whether to withhold it."""

    __slots__ = (
        "_before_text", "_behind_text", "_cut", "_frame_bytes", "_pattern_bytes", "_pattern_events", "_patterns_left", "_prelude_bytes",
        "_started", "_tail", "_withhold",
    )  # fmt: skip
    _text_mark: bytes = b""
    """What stands before the text in an event with output, its opening quote included."""

    def __init__(self, withhold: bool) -> None:
        super().__init__()
        self._withhold = withhold
        self._started = False
        """Whether the first event was read that shows how those with output are framed; it also names the model."""
        self._tail = bytearray()
        """The unfinished event. When withholding, these bytes have not been passed on yet."""
        self._cut = False
        """Whether the unfinished event is too long to keep: its beginning is gone, and its bytes were passed on."""
        self._prelude_bytes = 0
        """Events before any output."""
        self._frame_bytes = 0
        """What each event with output weighs at least beside its text."""
        self._before_text = b""
        self._behind_text = b""
        """The two ends of the last plain event that came alone, around its text."""
        self._pattern_bytes = 0
        self._pattern_events = 0
        self._patterns_left = _PATTERNS_MAX

    def feed(self, data: bytes) -> bytes:
        self.delivered_output_bytes += len(data)
        if self._tail or not self._started:
            return self._take(data)
        before = self._before_text
        if before and data.startswith(before) and data.endswith(self._behind_text) and len(data) >= self._pattern_bytes:
            text = data[len(before) : -len(self._behind_text)]
            if b'"' not in text and b"\\" not in text:  # so it is one string, and all around it was plain before
                self.output_events += self._pattern_events
                return data
        if data[-2:] == b"\n\n":
            events_before = self.output_events
            if self._is_plain(data):
                if self._patterns_left:
                    self._learn(data, self.output_events - events_before)
                return data
        return self._take(data)

    def _learn(self, data: bytes, events: int) -> None:
        """A plain event that came alone becomes the pattern of those that differ from it in their text only."""
        self._patterns_left -= 1
        start = data.find(self._text_mark)
        if start < 0 or data.find(b"\n\n") != len(data) - 2:
            return
        start += len(self._text_mark)
        stop = data.find(b'"', start)
        if data.find(b"\\", start, stop) < 0:
            self._before_text = data[:start]
            self._behind_text = data[stop:]
            self._pattern_bytes = len(data) - stop + start
            self._pattern_events = events

    def finish(self) -> bytes:
        rest = bytes(self._tail)
        withheld = False
        if rest:
            self._tail.clear()
            withheld = self._on_bytes(rest)
        return rest if self._withhold and not self._cut and not withheld else b""

    def output_tokens_seen(self) -> int:
        """Never below the delivered text at four bytes to a token: only what surely is no text is taken off (law 5)."""
        if not self._started:
            return self.output_events
        text_bytes = self.delivered_output_bytes - self._prelude_bytes - self.output_events * self._frame_bytes
        return max(self.output_events, text_bytes // BYTES_PER_TOKEN_ESTIMATE)

    def _take(self, data: bytes) -> bytes:
        """The exact way: whole events are read one by one; what is unfinished is kept."""
        tail = self._tail
        kept_before = len(tail)
        tail += data
        start = 0
        search_from = max(0, kept_before - _OVERLAP)
        passed: list[bytes] = []
        anything_withheld = False
        while (match := _BLANK_LINE.search(tail, search_from)) is not None:
            end = match.end()
            event = bytes(tail[start:end])
            if self._cut:  # its bytes went out as they came; only those of this read are new
                self._cut = False
                self._on_bytes(event)
                passed.append(event[max(0, kept_before - start) :])
            elif self._on_bytes(event):
                anything_withheld = True
            else:
                passed.append(event)
            start = search_from = end
        del tail[:start]
        unsent = max(0, kept_before - start) if self._cut else 0
        too_long = len(tail) > METER_EVENT_BYTES_MAX or (self._cut and len(tail) > 2 * METER_TAIL_BYTES)
        if self._cut or too_long:
            passed.append(bytes(tail[unsent:]))
            self._cut = True
            if too_long:
                del tail[:-METER_TAIL_BYTES]
        if not self._withhold:
            return data
        if not anything_withheld and not kept_before and not tail:
            return data
        return b"".join(passed)

    def _on_bytes(self, event: bytes) -> bool:
        """One whole event as received; True: withhold it."""
        name, payload = event_payload(event)
        if not payload:
            return False
        if self._started:
            return self._on_event(name, payload) and self._withhold
        self._frame_bytes = self._frame_of(name, payload)
        self._started = self._frame_bytes > 0
        withhold = self._on_event(name, payload) and self._withhold
        if not self.output_events:
            self._prelude_bytes += len(event)
        return withhold

    @abstractmethod
    def _frame_of(self, name: bytes, payload: bytes) -> int:
        """What every event with output weighs beside its text if all are framed like this one, rather too little; 0: it does not show."""

    @abstractmethod
    def _is_plain(self, data: bytes) -> bool:
        """Whether whole events say nothing that changes counts. Counts them as output when so. Must never be wrong about True."""

    @abstractmethod
    def _on_event(self, name: bytes, payload: bytes) -> bool:
        """One event's data; True: it exists only because we asked for usage."""
