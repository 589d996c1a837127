"""What the meters of pictures, sound and reranking share: counts of every meter, and answers that are read loosely and once."""

from abc import abstractmethod
from typing import Any

import msgspec

from tokenroll.model.limits import UNIT_COUNT_MAX
from tokenroll.model.usage import METERS
from tokenroll.upstream import usage as counts
from tokenroll.upstream.dialect import CallMeter
from tokenroll.upstream.openai import read_answer
from tokenroll.upstream.shapes import MediaAnswer, decode_media_answer
from tokenroll.upstream.sse import EventMeter
from tokenroll.upstream.usage import WholeMeter, closing, count_of, object_of


def empty_counts() -> list[int | None]:
    """Places for every meter."""
    return [None] * len(METERS)


def split_tokens(
    meter: CallMeter, usage: dict[str, Any], total: str, parts: str, into: dict[str, int], rest: int
) -> None:
    """A total of tokens and its named parts as disjoint counts: each part at its own meter, what no part names at `rest`.

    Parts that exceed their total contradict it: then the total is charged whole, and the meter is degraded.
    """
    whole = count_of(usage.get(total), meter, total)
    if whole is None:
        return
    details = object_of(usage.get(parts))
    found = {index: count_of(details.get(name), meter, name) for name, index in into.items()}
    known = sum(count or 0 for count in found.values())
    if known > whole:
        meter.degraded = f"{total} and its details contradict each other"
        found, known = {}, 0
    mine = meter.counts
    for index, count in found.items():
        mine[index] = count
    left = whole - known
    if left or rest not in found:
        mine[rest] = (mine[rest] or 0) + left


def units_of(value: Any, meter: CallMeter, name: str) -> int | None:
    """A reported count of units: like a count of tokens, but a part of one is charged as a whole one."""
    if type(value) is float and 0 <= value <= UNIT_COUNT_MAX:
        return -int(-value // 1)
    return count_of(value, meter, name)


class MediaMeter(WholeMeter):
    """A meter of an answer that is one JSON object, or no JSON at all: then what it cost is estimated."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self.counts = empty_counts()

    def _on_body(self, body: bytes) -> None:
        try:
            answer = decode_media_answer(body)
        except (msgspec.MsgspecError, RecursionError):
            return
        self.complete = True
        read_answer(self, answer.model, None, answer.error)
        self._on_answer(answer)

    def _on_tail(self, tail: bytes) -> None:
        """The end of an answer too long to keep. Its usage stands there, where providers put it, and is believed."""
        usage = object_of(closing(tail, "usage"))
        if usage:
            self.complete = True
            self._on_usage(usage)

    def _on_answer(self, answer: MediaAnswer) -> None:
        """A whole answer; its usage is what most of them say."""
        if answer.usage is not None:
            self._on_usage(object_of(answer.usage))

    def _seen(self) -> None:
        """The provider's final word was read."""
        self.saw_usage = True
        self.counts[counts.REQUEST] = 1


class UsageStreamMeter(EventMeter):
    """A meter of events of which the last ones say what was used; nothing is withheld.

    An event with a picture is longer than what is kept of it: then its usage is read where providers put it, at its end.
    """

    __slots__ = ("_partial",)

    def __init__(self) -> None:
        super().__init__(withhold=False)
        self.counts = empty_counts()
        self._partial = False
        """Whether some usage was incomplete."""

    def _frame_of(self, name: bytes, payload: bytes) -> int:  # noqa: ARG002 - events are not told apart by their frames
        return 0

    def _is_plain(self, data: bytes) -> bool:  # noqa: ARG002 - there are few events, so every one is read
        return False

    def _on_usage(self, usage: dict[str, Any]) -> None:
        self._add(usage)

    def _on_event(self, name: bytes, payload: bytes) -> bool:  # noqa: ARG002 - the data says what it is
        try:
            said = decode_media_answer(payload)
        except (msgspec.MsgspecError, RecursionError):
            return False
        error = said.error if said.error is not None else payload if said.type == "error" else None
        read_answer(self, said.model, None, error)
        self.output_events += error is None
        if said.usage is not None:
            self._add(object_of(said.usage))
        return False

    def _add(self, usage: dict[str, Any]) -> None:
        """One more report; each stands for its own part of the answer, so they add up."""
        before = list(self.counts)
        self.counts = empty_counts()
        known = self._read(usage)
        self.counts = [
            (one or 0) + (other or 0) if one is not None or other is not None else None
            for one, other in zip(before, self.counts, strict=True)
        ]
        self._partial = self._partial or not known
        self.complete = True
        if not self._partial:
            self.saw_usage = True
            self.counts[counts.REQUEST] = 1

    @abstractmethod
    def _read(self, usage: dict[str, Any]) -> bool:
        """A usage object into `counts`, which are empty; whether it says all."""
