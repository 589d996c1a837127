"""What providers keep under a name and can be asked about: where to ask, and what the answer says of the usage behind it.

Nothing here does I/O: `Asking` is a conversation whose next question is a path, and whose answers are fed to it as bytes.
"""

import json
from abc import ABC, abstractmethod
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw

from tokenroll.model.usage import METERS
from tokenroll.upstream import message_batches
from tokenroll.upstream.dialect import CallMeter, Dialect
from tokenroll.upstream.message_batches import MessageBatches
from tokenroll.upstream.responses import STORED_NAME, Responses
from tokenroll.upstream.usage import object_of


class Finding(NamedTuple):
    """What became of an attempt: the usage of each of its requests, in the order of METERS, as the provider reports it.

    `usages` empty: it ended and nothing was used.
    """

    usages: tuple[tuple[int | None, ...], ...]
    service_tier: str
    answered_model: str
    dialect_index: int


class Asking(ABC):
    """One attempt's conversation. `path` is what to ask next; after the last answer `finding` is set, or `is_over` without one."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.finding: Finding | None = None
        self.is_over = False
        """Whether nothing more is to be learnt by asking now: it is not done yet, or never will be told."""

    @abstractmethod
    def feed(self, line: bytes) -> None:
        """One line of the answer; a JSON document may come as one line or as many."""

    @abstractmethod
    def end(self) -> None:
        """The answer is whole."""


class _Document(Asking):
    """A conversation of JSON documents."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._lines: list[bytes] = []

    def feed(self, line: bytes) -> None:
        self._lines.append(line)

    def end(self) -> None:
        whole = b"".join(self._lines)
        self._lines = []
        try:
            said = object_of(json.loads(whole))
        except (ValueError, RecursionError):
            self.is_over = True
            return
        self._read(said, whole)

    @abstractmethod
    def _read(self, said: dict[str, Any], whole: bytes) -> None:
        """The whole document."""


def usage_finding(dialect: Dialect, meters: list[CallMeter], service_tier: str) -> Finding | None:
    """What meters of a dialect read, as one finding; `service_tier` whatever the answers name. None: some of it cannot be believed."""
    if not all(one.saw_usage and not one.degraded for one in meters):
        return None
    named = next((one.service_tier for one in meters if one.service_tier), "")
    return Finding(
        tuple((*one.counts, *[None] * (len(METERS) - len(one.counts))) for one in meters),
        service_tier or named,
        next((one.answered_model for one in meters if one.answered_model), ""),
        dialect.index,
    )


class _StoredResponse(_Document):
    """A response that goes on in the background, or whose stream was cut."""

    _NOTHING_USED: Final = frozenset({"failed"})

    def _read(self, said: dict[str, Any], whole: bytes) -> None:
        self.is_over = True
        dialect = Responses()
        meter = dialect.meter(stream=False, withhold_usage=False)
        meter.feed(whole)
        meter.finish()
        if meter.saw_usage:
            self.finding = usage_finding(dialect, [meter], "")
        elif said.get("status") in self._NOTHING_USED:
            self.finding = Finding((), "", meter.answered_model, dialect.index)


class _Result(msgspec.Struct):
    """What became of one message of a batch."""

    type: str
    message: Raw = Raw()


class _ResultLine(msgspec.Struct):
    """One line of a batch's results."""

    result: _Result


class _StoredMessageBatch(_Document):
    """A batch of messages: first whether it has ended, then line by line what each of its messages used."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._is_reading_results = False
        self._meters: list[CallMeter] = []
        self._dialect = MessageBatches()
        self._is_sound = True

    def feed(self, line: bytes) -> None:
        if not self._is_reading_results:
            super().feed(line)
        elif line.strip():
            self._read_result(line)

    def end(self) -> None:
        if not self._is_reading_results:
            super().end()
            return
        self.is_over = True
        if self._is_sound:
            self.finding = usage_finding(self._dialect, self._meters, "batch")

    def _read(self, said: dict[str, Any], whole: bytes) -> None:
        del whole
        if said.get("processing_status") != "ended":
            self.is_over = True
            return
        self._is_reading_results = True
        self.path += "/results"

    def _read_result(self, line: bytes) -> None:
        try:
            result = decode_result(line).result
        except (msgspec.MsgspecError, RecursionError):
            self._is_sound = False
            return
        if result.type in _COSTS_NOTHING:
            return
        meter = self._dialect.result_meter()
        meter.feed(bytes(result.message))
        meter.finish()
        if result.type != "succeeded" or meter.passes:
            self._is_sound = False
        self._meters.append(meter)


decode_result = msgspec.json.Decoder(_ResultLine).decode
_COSTS_NOTHING: Final = frozenset({"errored", "canceled", "expired"})
_KINDS: Final = (
    (STORED_NAME, "/v1/responses/", _StoredResponse),
    (message_batches.STORED_NAME, "/v1/messages/batches/", _StoredMessageBatch),
)


def asking_about(stored_name: str) -> Asking | None:
    """A conversation about what is kept under that name; None when no provider can be asked by it."""
    for pattern, place, kind in _KINDS:
        if pattern.fullmatch(stored_name):
            return kind(place + stored_name)
    return None
