"""Answers in Amazon's frames: whoever reads them is told of the events inside, as if the provider had sent those."""

from typing import TYPE_CHECKING

from tokenroll.gateway.exchange import AnswerReader
from tokenroll.gateway.heads import UNTIL_CLOSE, ResponseHead
from tokenroll.store.tape import Finish
from tokenroll.upstream.aws_frames import EVENTS_LINE, EventFrames, frames_place

if TYPE_CHECKING:
    from tokenroll.gateway.upstream import UpstreamConnection


class FramedAnswer(AnswerReader):
    """Stands between a connection and the reader of its answer. No frame goes on before it is whole and its checksums are right."""

    __slots__ = ("_frames", "_reader", "_upstream")

    def __init__(self, upstream: "UpstreamConnection", reader: AnswerReader) -> None:
        self._upstream = upstream
        self._reader = reader
        self._frames = EventFrames()

    def on_head(self, response: ResponseHead) -> None:
        """See AnswerReader. The head is that of a stream of events, whose length nobody knows."""
        lines = response.forward
        lines[frames_place(lines)] = EVENTS_LINE
        response.event_stream = True
        response.content_length = UNTIL_CLOSE
        self._reader.on_head(response)

    def on_data(self, raw: bytes, payload: bytes, *, one_chunk: bool = False) -> None:
        """See AnswerReader. Also told of bytes that complete no frame: it has limits of time to keep."""
        del raw, one_chunk
        events = self._frames.feed(payload)
        self._reader.on_data(events, events)
        upstream = self._upstream
        if self._frames.problem and upstream.call is self:
            upstream.broken(self, f"The provider's answer is malformed: {self._frames.problem}.")

    def on_end(self) -> None:
        """See AnswerReader. An answer that ends inside a frame was cut."""
        if self._frames.is_whole:
            self._reader.on_end()
        else:
            self.upstream_lost(Finish.UPSTREAM_CUT, "The provider's answer ended inside a frame.")

    def upstream_lost(self, finish: Finish, message: str) -> None:
        """See AnswerReader."""
        self._reader.upstream_lost(finish, message)
