"""Reading counts that providers report, without ever believing an impossible one.

Whatever is negative, absurd or contradicts itself is degraded evidence: it is charged by what still holds, marked `estimated`,
and proven later by the provider's bill; it is never a negative charge (reference: gateways, T24, T25).
"""

from abc import abstractmethod
from typing import Any, Final

import msgspec

from tokenroll.model.limits import CLOSING_NAMES_MAX, METER_BODY_BYTES_MAX, METER_TAIL_BYTES, UNIT_COUNT_MAX
from tokenroll.model.usage import METER_INDEX, Meter
from tokenroll.upstream.dialect import BYTES_PER_TOKEN_ESTIMATE, CallMeter

INPUT: Final = METER_INDEX[Meter.INPUT]
CACHE_READ: Final = METER_INDEX[Meter.CACHE_READ]
CACHE_WRITE_5M: Final = METER_INDEX[Meter.CACHE_WRITE_5M]
CACHE_WRITE_1H: Final = METER_INDEX[Meter.CACHE_WRITE_1H]
INPUT_AUDIO: Final = METER_INDEX[Meter.INPUT_AUDIO]
INPUT_IMAGE: Final = METER_INDEX[Meter.INPUT_IMAGE]
OUTPUT: Final = METER_INDEX[Meter.OUTPUT]
REASONING: Final = METER_INDEX[Meter.REASONING]
OUTPUT_AUDIO: Final = METER_INDEX[Meter.OUTPUT_AUDIO]
OUTPUT_IMAGE: Final = METER_INDEX[Meter.OUTPUT_IMAGE]
REQUEST: Final = METER_INDEX[Meter.REQUEST]
WEB_SEARCH: Final = METER_INDEX[Meter.WEB_SEARCH]
WEB_FETCH: Final = METER_INDEX[Meter.WEB_FETCH]
SEARCH_UNIT: Final = METER_INDEX[Meter.SEARCH_UNIT]
IMAGE: Final = METER_INDEX[Meter.IMAGE]
CHARACTER: Final = METER_INDEX[Meter.CHARACTER]
AUDIO_SECOND: Final = METER_INDEX[Meter.AUDIO_SECOND]
TRAINING: Final = METER_INDEX[Meter.TRAINING]

_WHOLE_FRAME_BYTES: Final = len(b'{"content":[{"type":"text","text":""}]}')
"""The least that a whole answer weighs beside its text, in any dialect; for estimates alone."""


def count_of(value: Any, meter: CallMeter, name: str) -> int | None:
    """A reported count: None for null and absent, and for an impossible one, which degrades the meter."""
    if value is None:
        return None
    if type(value) is int and 0 <= value <= UNIT_COUNT_MAX:
        return value
    meter.degraded = f"{name} is {str(value)[:40]}"
    return None


def object_of(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one: details that are missing say nothing."""
    return value if isinstance(value, dict) else {}


def closing(end: bytes, name: str, within: str = "") -> Any:
    """A field of the object that ends here, of which only the end is known, or of the last object `within` it; None: it does not say.

    The name may also stand in what a client sent and the answer repeats. So it counts only where all that follows closes exactly that object.
    """
    opening = b'{"%s":{' % within.encode() if within else b"{"
    quoted = b'"%s"' % name.encode()
    at = len(end)
    for _ in range(CLOSING_NAMES_MAX):
        at = end.rfind(quoted, 0, at)
        if at < 0:
            return None
        try:
            said = object_of(msgspec.json.decode(opening + end[at:]))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            continue
        return (object_of(said.get(within)) if within else said).get(name)
    return None


class WholeMeter(CallMeter):
    """A meter of an answer that is one JSON object: kept until its end, then read once. Nothing is withheld."""

    __slots__ = ("_cut", "_pieces", "_size")

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._size = 0
        self._cut = False

    def feed(self, data: bytes) -> bytes:
        self.delivered_output_bytes += len(data)
        self._pieces.append(data)
        self._size += len(data)
        if self._size > METER_BODY_BYTES_MAX:
            tail = b"".join(self._pieces)[-METER_TAIL_BYTES:]
            self._pieces = [tail]
            # leave room for the next pieces, so that each byte of a long answer is copied about once
            self._size = len(tail)
            self._cut = True
        return data

    def finish(self) -> bytes:
        if self._pieces:
            whole = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces = []
            if self._cut:
                self._on_tail(whole)
            else:
                self._on_body(whole)
        return b""

    def output_tokens_seen(self) -> int:
        return max(0, self.delivered_output_bytes - _WHOLE_FRAME_BYTES) // BYTES_PER_TOKEN_ESTIMATE

    def _on_tail(self, tail: bytes) -> None:
        """An answer too long to keep: the usage in its end is evidence, not the provider's plain word."""
        usage = object_of(closing(tail, "usage"))
        if not usage:
            return
        self._on_usage(usage)
        self.degraded = self.degraded or "the answer is too long to be read whole"

    @abstractmethod
    def _on_body(self, body: bytes) -> None:
        """A whole body."""

    @abstractmethod
    def _on_usage(self, usage: dict[str, Any]) -> None:
        """A usage object."""
