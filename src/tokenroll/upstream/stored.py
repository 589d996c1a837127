"""What providers keep under a name and can be asked about: where to ask, and what the answer says of the usage behind it.

Nothing here does I/O: `Asking` is a conversation whose next question is a path, and whose answers are fed to it as bytes.
"""

import json
from abc import ABC, abstractmethod
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw

from tokenroll.model.limits import UNIT_COUNT_MAX
from tokenroll.model.usage import INPUT_METERS, METERS, TOKEN_METER_COUNT
from tokenroll.upstream import file_batches, fine_tuning, message_batches
from tokenroll.upstream.dialect import CallMeter, Dialect
from tokenroll.upstream.file_batches import LINE_DIALECTS, FileBatches
from tokenroll.upstream.fine_tuning import FineTuningJobs
from tokenroll.upstream.message_batches import MessageBatches
from tokenroll.upstream.moderations import Moderations
from tokenroll.upstream.reading import FILE_NAME
from tokenroll.upstream.responses import STORED_NAME, Responses
from tokenroll.upstream.usage import REQUEST, TRAINING, object_of


class Finding(NamedTuple):
    """What became of an attempt: the usage of each of its requests, in the order of METERS, as the provider reports it.

    `usages` empty: it ended and nothing was used.
    """

    usages: tuple[tuple[int | None, ...], ...]
    service_tier: str
    answered_model: str
    dialect_index: int
    is_doubtful: bool = False
    """Whether the provider's own words about it do not agree: it is settled by the closer ones, and a bill may say otherwise."""


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


class _Batch(_Document):
    """A batch: first whether it has ended, then line by line what each of its answers used."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._reads_lines = False
        self._meters: list[CallMeter] = []
        self._is_sound = True
        """Whether every line so far can be believed."""

    def feed(self, line: bytes) -> None:
        if not self._reads_lines:
            super().feed(line)
        elif line.strip():
            self._read_line(line)

    def end(self) -> None:
        if not self._reads_lines:
            super().end()
            return
        self.is_over = True
        if self._is_sound:
            self.finding = self._found()

    @abstractmethod
    def _read_line(self, line: bytes) -> None:
        """One line of its results, which has more than blanks."""

    @abstractmethod
    def _found(self) -> Finding | None:
        """What all lines come to."""


class _StoredMessageBatch(_Batch):
    """A batch of messages."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._dialect = MessageBatches()

    def _found(self) -> Finding | None:
        return usage_finding(self._dialect, self._meters, "batch")

    def _read(self, said: dict[str, Any], whole: bytes) -> None:
        del whole
        if said.get("processing_status") != "ended":
            self.is_over = True
            return
        self._reads_lines = True
        self.path += "/results"

    def _read_line(self, line: bytes) -> None:
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


class _Told(msgspec.Struct):
    """What an answer says beside its content, which may be large and is not needed."""

    model: Raw = Raw()
    service_tier: Raw = Raw()
    usage: Raw = Raw()

    def body(self) -> bytes:
        """The same answer without content."""
        given = [(name, bytes(getattr(self, name))) for name in self.__struct_fields__]
        return b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), raw) for name, raw in given if raw)


class _BatchAnswer(msgspec.Struct):
    """How one request of a batch was answered."""

    status_code: int
    body: _Told


class _OutputLine(msgspec.Struct):
    """One line of a batch's output file."""

    response: _BatchAnswer | None = None


class _StoredBatch(_Batch):
    """A batch whose requests stand in a file: what its output file says of each answer.

    What is in the file of errors, and an answer that is an error, costs nothing.
    """

    _ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._line_dialect: Dialect = LINE_DIALECTS["/v1/chat/completions"]
        self._said: dict[str, Any] = {}

    def _found(self) -> Finding | None:
        found = usage_finding(FileBatches(), self._meters, "batch")
        return None if found is None else found._replace(is_doubtful=not self._agrees())

    def _read(self, said: dict[str, Any], whole: bytes) -> None:
        del whole
        self._said = said
        dialect, output = LINE_DIALECTS.get(str(said.get("endpoint"))), said.get("output_file_id")
        if said.get("status") not in self._ENDED or dialect is None:
            self.is_over = True
        elif output:
            if isinstance(output, str) and FILE_NAME.fullmatch(output):
                self._reads_lines = True
                self._line_dialect = dialect
                self.path = f"/v1/files/{output}/content"
            else:
                self.is_over = True
        else:
            self.is_over = True
            if not object_of(said.get("request_counts")).get("completed"):
                self.finding = Finding((), "batch", "", FileBatches().index)

    def _read_line(self, line: bytes) -> None:
        try:
            answer = decode_output(line).response
        except (msgspec.MsgspecError, RecursionError):
            self._is_sound = False
            return
        if answer is None or not 200 <= answer.status_code < 300:
            return
        meter = self._line_dialect.meter(stream=False, withhold_usage=False)
        meter.feed(answer.body.body())
        meter.finish()
        if not meter.saw_usage and self._line_dialect.name == Moderations().name:
            meter.counts[REQUEST] = 1  # who charges for verdicts says what was read
            meter.saw_usage = True
        self._meters.append(meter)

    def _agrees(self) -> bool:
        """Whether the lines come to what the batch itself says that it used, where it does."""
        usage = object_of(self._said.get("usage"))
        completed = object_of(self._said.get("request_counts")).get("completed")
        said = [usage.get("input_tokens"), usage.get("output_tokens"), completed]
        counted = [
            sum(sum(count or 0 for count in one.counts[: len(INPUT_METERS)]) for one in self._meters),
            sum(sum(count or 0 for count in one.counts[len(INPUT_METERS) : TOKEN_METER_COUNT]) for one in self._meters),
            len(self._meters),
        ]
        return all(one is None or one == other for one, other in zip(said, counted, strict=True))


decode_output = msgspec.json.Decoder(_OutputLine).decode


class _StoredJob(_Document):
    """A fine-tuning job: what it trained, once it has ended in any way."""

    _ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})

    def _read(self, said: dict[str, Any], whole: bytes) -> None:
        del whole
        self.is_over = True
        status, trained = said.get("status"), said.get("trained_tokens")
        if status not in self._ENDED:
            return
        if type(trained) is int and 0 <= trained <= UNIT_COUNT_MAX:
            counts: list[int | None] = [None] * len(METERS)
            counts[TRAINING], counts[REQUEST] = trained, 1
            self.finding = Finding((tuple(counts),), "standard", "", FineTuningJobs().index)
        elif trained is None and status != "succeeded":
            self.finding = Finding((), "standard", "", FineTuningJobs().index)


decode_result = msgspec.json.Decoder(_ResultLine).decode
_COSTS_NOTHING: Final = frozenset({"errored", "canceled", "expired"})
_KINDS: Final = (
    (STORED_NAME, "/v1/responses/", _StoredResponse),
    (message_batches.STORED_NAME, "/v1/messages/batches/", _StoredMessageBatch),
    (file_batches.STORED_NAME, "/v1/batches/", _StoredBatch),
    (fine_tuning.STORED_NAME, "/v1/fine_tuning/jobs/", _StoredJob),
)


def asking_about(stored_name: str) -> Asking | None:
    """A conversation about what is kept under that name; None when no provider can be asked by it."""
    for pattern, place, kind in _KINDS:
        if pattern.fullmatch(stored_name):
            return kind(place + stored_name)
    return None
