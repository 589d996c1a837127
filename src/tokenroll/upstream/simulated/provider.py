"""The simulated provider behind its sockets: models, cache, bill, faults, withheld answers, counters."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tokenroll.upstream.simulated import answering, chat, messages
from tokenroll.upstream.simulated.asked import (
    Asked,
    Refusal,
    asked_of_chat,
    asked_of_completions,
    asked_of_embeddings,
    asked_of_messages,
    asked_of_responses,
)
from tokenroll.upstream.simulated.asked_media import (
    asked_of_edits,
    asked_of_moderations,
    asked_of_pictures,
    asked_of_recording,
    asked_of_rerank,
    asked_of_speech,
)
from tokenroll.upstream.simulated.batches import BatchDesk
from tokenroll.upstream.simulated.bill import ABORTED, COMPLETE, CUT, OPEN, Bill, Line, totals
from tokenroll.upstream.simulated.faults import Schedule, UnknownFault, parse_faults
from tokenroll.upstream.simulated.file_batches import FileBatchDesk
from tokenroll.upstream.simulated.files import FileDesk
from tokenroll.upstream.simulated.prices import PricedModel, PriceTable
from tokenroll.upstream.simulated.prompt_cache import PromptCache
from tokenroll.upstream.simulated.shapes import Answer
from tokenroll.upstream.simulated.stored import Shelf
from tokenroll.upstream.simulated.training import TrainingDesk

ASKED: Final[Mapping[bytes, Callable[[bytes], Asked]]] = {
    b"/chat/completions": asked_of_chat, b"/messages": asked_of_messages, b"/responses": asked_of_responses,
    b"/completions": asked_of_completions, b"/embeddings": asked_of_embeddings,
    b"/images/generations": asked_of_pictures, b"/audio/speech": asked_of_speech,
    b"/moderations": asked_of_moderations, b"/rerank": asked_of_rerank, b"/v2/rerank": asked_of_rerank,
}  # fmt: skip
"""By path, which may stand behind `/v1`: who reads the request."""
FORMS: Final[Mapping[bytes, Callable[[bytes, bytes], Asked]]] = {
    b"/images/edits": asked_of_edits, b"/audio/transcriptions": asked_of_recording, b"/audio/translations": asked_of_recording,
}  # fmt: skip
"""The same for requests that may be forms: they are read by their content type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """How a simulated provider behaves; the defaults are the quick, faultless one."""

    seed: int = 1
    bill_path: Path | None = None
    prices_path: Path | None = None
    """Another price table than its own, so that a test can plant a bill that disagrees."""
    faults: str = ""
    """A schedule: `fault:rate;fault:rate`."""
    first_byte_ms: int = 0
    interval_us: int = 0
    """Pause between two events of a stream; 0 sends all of it at once."""
    chunk_tokens: int = 8
    api_key: str = ""
    """When set, any other key is refused with 401."""
    time_scale: int = 1
    """How much faster than the wall the cache's clock runs, so that a replay at 60 × speed expires like the original."""


@dataclass(slots=True)
class Attempt:
    """One billable request being answered."""

    call_id: str
    attempt: int
    answer: Answer
    model: PricedModel
    received_at: int
    received_ns: int
    generated: int = 0
    closed: bool = False
    refused: bool = False
    """Whether its stream says an error and nothing before it that costs: then it is billed nothing, as an error answer is."""


class Provider:
    """Everything that connections share. Used from one event loop only."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        self.prices = PriceTable.load(options.prices_path)
        self.bill = Bill(options.bill_path)
        started = time.monotonic_ns()
        scale = options.time_scale
        self.cache = PromptCache(lambda: (time.monotonic_ns() - started) // 1_000 * scale)
        self.schedule = Schedule(options.faults, options.seed)
        self._occurrences: dict[bytes, int] = {}
        self.held: deque[Callable[[], None]] = deque()
        self.holding = False
        self.counters = {
            "requests": 0,
            "refused": 0,
            "completed": 0,
            "aborted": 0,
            "cut": 0,
            "connections": 0,
            "open": 0,
        }
        self.shelf = Shelf(self)
        self.files = FileDesk(options.seed)
        self.batches = BatchDesk(self)
        self.file_batches = FileBatchDesk(self)
        self.training = TrainingDesk(self)
        self.transports: set[asyncio.Transport] = set()

    # ---- one request ------------------------------------------------------------------------------------

    def understand(self, path: bytes, body: bytes, content_type: bytes = b"") -> Asked:
        """The request at any endpoint. Raises Refusal."""
        short = path.removeprefix(b"/v1")
        form = FORMS.get(short)
        return ASKED[short](body) if form is None else form(body, content_type)

    def begin(self, asked: Asked, body: bytes, client_request_id: str, header_faults: str, received_ns: int) -> Attempt:
        """Decide the whole answer. Raises Refusal for what is not sold, for unknown faults, and for error faults."""
        digest = self._digest(body)
        faults = self.faults_given(header_faults or asked.faults or self.schedule.fault(digest), asked.dialect)
        name = (faults["model"] or "gpt-4o") if "model" in faults else asked.model
        model = self.prices.models.get(name)
        if model is None:
            raise chat.unknown_model(name) if asked.dialect == "openai" else messages.unknown_model(name)
        asked.sizes.setdefault("chunk_tokens", self.options.chunk_tokens)
        split = answering.split_input(asked, model, self.cache)
        try:
            answer = answering.compose(asked, model, split, digest, faults)
        except UnknownFault as error:
            raise Refusal(400, "invalid_request_error", str(error)) from None
        for one in answer.passes:
            if one.model and one.model not in self.prices.models:
                raise messages.unknown_model(one.model)
        call_id, _, number = client_request_id.rpartition("/")
        if not number.isdigit():
            call_id, number = client_request_id, "1"
        self.counters["open"] += 1
        return Attempt(call_id, int(number), answer, model, time.time_ns() // 1_000, received_ns)

    @staticmethod
    def faults_given(text: str, dialect: str) -> dict[str, str]:
        """The faults that a request is to meet. Raises Refusal for an unknown one, and for one that is an error answer."""
        try:
            faults = parse_faults(text)
        except UnknownFault as error:
            raise Refusal(400, "invalid_request_error", str(error)) from None
        for status in (429, 500, 503, 529):
            if str(status) in faults:
                raise fault_refusal(dialect, status)
        return faults

    def _digest(self, body: bytes) -> bytes:
        plain = answering.digest_of(self.options.seed, body, 0)
        count = self._occurrences.get(plain, 0)
        self._occurrences[plain] = count + 1
        return answering.digest_of(self.options.seed, body, count) if count else plain

    # ---- the bill -----------------------------------------------------------------------------------------

    def bill_open(self, attempt: Attempt) -> None:
        """The line of an attempt whose end is not known yet, with what it has generated so far."""
        self._write(attempt, OPEN)

    def bill_end(self, attempt: Attempt, status: str) -> None:
        """The final line of an attempt; later ends of the same attempt change nothing."""
        if not attempt.closed:
            attempt.closed = True
            self.counters["open"] -= 1
            self.counters[{COMPLETE: "completed", ABORTED: "aborted", CUT: "cut"}[status]] += 1
            self._write(attempt, status)

    def _write(self, attempt: Attempt, status: str) -> None:
        answer = attempt.answer
        usage = answering.usage_billed(answer, attempt.generated)
        if attempt.refused:
            usage = dict.fromkeys(usage, 0)
        cost = attempt.model.exact_nanos(usage, answer.service_tier)
        for one in answer.passes:
            model = self.prices.models[one.model] if one.model else attempt.model
            cost += model.exact_nanos(one.usage, answer.service_tier)
            usage = {**usage, **{kind: usage.get(kind, 0) + count for kind, count in one.usage.items()}}
        self.bill.write(
            Line(
                call_id=attempt.call_id,
                attempt=attempt.attempt,
                request_id=answer.request_id,
                provider=attempt.model.vendor,
                model=answer.model,
                service_tier=answer.service_tier,
                at=attempt.received_at,
                usage=usage,
                status=status,
                cost_nanos=round(cost),
            )
        )

    # ---- control ------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Withhold every answer from now on."""
        self.holding = True

    def abort_connections(self) -> None:
        """Reset every open connection."""
        for transport in list(self.transports):
            transport.abort()

    def release(self, count: int | None = None) -> int:
        """Let withheld answers go, the oldest first; all of them, and later ones too, when no count is given."""
        if count is None:
            self.holding = False
        released = 0
        while self.held and (count is None or released < count):
            self.held.popleft()()
            released += 1
        return released

    def state(self) -> dict[str, Any]:
        """Counters and the bill's totals."""
        return {"holding": self.holding, "held": len(self.held), **self.counters, "bill": totals(self.bill.lines())}

    def control(self, method: bytes, path: bytes, body: bytes) -> tuple[int, bytes]:
        """The answer of `/-/…`. JSON in, JSON out; the bill is JSON lines."""
        try:
            arguments = json.loads(body) if body else {}
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            return 400, b'{"error": "the body must be a JSON object"}'
        if method == b"GET":
            if path == b"/-/bill":
                return 200, self.bill.text()
            if path == b"/-/state":
                return 200, json.dumps(self.state()).encode()
        elif method == b"POST":
            return self._command(path, arguments)
        return (
            404,
            b'{"error": "control paths: GET /-/bill, /-/state; POST /-/hold, /-/release, /-/faults, /-/reset"}',
        )

    def _command(self, path: bytes, arguments: dict[str, Any]) -> tuple[int, bytes]:
        if path == b"/-/hold":
            self.hold()
            return 200, b'{"holding": true}'
        if path == b"/-/release":
            count = arguments.get("count")
            return 200, json.dumps({"released": self.release(None if count is None else int(count))}).encode()
        if path == b"/-/faults":
            try:
                self.schedule = Schedule(str(arguments.get("faults", "")), self.options.seed)
            except ValueError as error:
                return 400, json.dumps({"error": str(error)}).encode()
            return 200, b"{}"
        if path == b"/-/reset":
            self.bill.clear()
            self.cache.clear()
            self._occurrences.clear()
            return 200, b"{}"
        return 404, b'{"error": "no such control path"}'


def fault_refusal(dialect: str, status: int) -> Refusal:
    """An error fault in the dialect's words."""
    return chat.fault_refusal(status) if dialect == "openai" else messages.fault_refusal(status)
