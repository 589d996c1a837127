"""Server-sent events as they pass: found whatever the reads, line ends and spacing, relayed unchanged, kept only while unfinished.

Most reads hold whole events that say nothing about usage; a dialect's `_is_plain` recognises them with a few byte searches, and
they pass as the very same object. Once such an event was met, the next one that differs from it in its text only is known by its
two ends, for a third of those searches. All else goes through `_take`, which is exact and not fast.
"""

import re
from abc import abstractmethod
from typing import Any, Final

from tokenroll.model.limits import METER_BEGINNING_BYTES, METER_EVENT_BYTES_MAX, METER_TAIL_BYTES
from tokenroll.upstream.dialect import BYTES_PER_TOKEN_ESTIMATE, CallMeter
from tokenroll.upstream.usage import closing

_BLANK_LINE: Final = re.compile(rb"\n\r?\n")
_OVERLAP: Final = 2
"""Bytes before new data that a blank line may begin in: the longest is three bytes."""
_LESSONS_MAX: Final = 8
"""How often a stream's event is learnt as the pattern of the next ones; a stream that frames every event anew has none."""
_BACKSLASH: Final = 0x5C


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


def end_payload(end: bytes) -> bytes:
    """The data in the end of an event whose beginning is gone: its first line is the rest of one."""
    lines = end.splitlines()
    return b"\n".join([*lines[:1], *(line[5:] for line in lines[1:] if line.startswith(b"data:"))])


class EventMeter(CallMeter):
    """A meter of a stream of events. Subclasses say what an event means and whether to withhold it."""

    __slots__ = (
        "_before_text", "_beginning", "_behind_bytes", "_behind_text", "_cut", "_dropped_bytes", "_frame_bytes", "_lessons_left",
        "_prelude_bytes", "_started", "_tail", "_text_at", "_text_mark", "_withhold",
    )  # fmt: skip

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
        """Events before any output, and those that only repeat."""
        self._frame_bytes = 0
        """What each event with output weighs at least beside its text."""
        self._text_mark = b"\0"
        """What stands before the text in an event with output, its opening quote included; the dialect's to say."""
        self._before_text = b""
        self._behind_text = b""
        """The two ends of the last plain event that came alone, around its text."""
        self._text_at = self._behind_bytes = 0
        self._lessons_left = _LESSONS_MAX

    def feed(self, data: bytes) -> bytes:
        size = len(data)
        self.delivered_output_bytes += size
        if self._tail or not self._started:
            return self._take(data)
        text_end = size - self._behind_bytes
        if (  # its first quote behind the known beginning opens the known end: so the rest is one string, and one event
            data.find(b'"', self._text_at) == text_end
            and data.startswith(self._before_text)
            and data.endswith(self._behind_text)
            and data.find(b"\n", self._text_at) == size - 2
            and data[text_end - 1] != _BACKSLASH
        ):
            self.output_events += 1
            return data
        if data[-2:] == b"\n\n":
            events_before = self.output_events
            if self._is_plain(data):
                if self._lessons_left and self.output_events == events_before + 1:
                    self._learn(data)
                return data
        return self._take(data)

    def _learn(self, data: bytes) -> None:
        """A plain event with one output that came alone becomes the pattern of those that differ from it in their text only."""
        self._lessons_left -= 1
        start = data.find(self._text_mark) + len(self._text_mark)
        stop = data.find(b'"', start)
        is_one_event = data.find(b"\n", start) == len(data) - 2
        if start > len(self._text_mark) and stop > 0 and is_one_event and data[stop - 1] != _BACKSLASH:
            self._before_text = data[:start]
            self._behind_text = data[stop:]
            self._text_at = start
            self._behind_bytes = len(data) - stop

    def finish(self) -> bytes:
        rest = bytes(self._tail)
        withheld = False
        if rest:
            self._tail.clear()
            if self._cut:
                self._on_end(rest, self._dropped_bytes + len(rest))
            else:
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
                self._on_end(event, self._dropped_bytes + len(event))
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
            if too_long:
                self._drop(len(tail) - METER_TAIL_BYTES)
            self._cut = True
        if not self._withhold:
            return data
        if not anything_withheld and not kept_before and not tail:
            return data
        return b"".join(passed)

    def _drop(self, count: int) -> None:
        """Forgets the first bytes of what is kept of an event that is too long; of the event's beginning a little stays."""
        if not self._cut:
            self._beginning = bytes(self._tail[:METER_BEGINNING_BYTES])
            self._dropped_bytes = 0
        self._dropped_bytes += count
        del self._tail[:count]

    def _on_end(self, end: bytes, event_bytes: int) -> None:  # noqa: ARG002 - a dialect may count the event's bytes
        """The end of such an event, all of which weighs `event_bytes`."""
        usage = closing(end_payload(end), "usage")
        if isinstance(usage, dict):
            self._on_usage(usage)

    @abstractmethod
    def _on_usage(self, usage: dict[str, Any]) -> None:
        """A usage object that such an event ends with."""

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
