"""Batches of the simulated provider whose requests stand in a file: a receipt at once, some time later an output file and an error file.

They are billed once at the batch rates. A cancelled one has done the first half of its requests, and is billed those.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tokenroll.upstream.simulated import answering, chat
from tokenroll.upstream.simulated.asked import Refusal, decoded
from tokenroll.upstream.simulated.bill import ABORTED, COMPLETE, OPEN, Line
from tokenroll.upstream.simulated.files import NAME_HEADER
from tokenroll.upstream.simulated.sending import WORDS
from tokenroll.upstream.simulated.shapes import compact

if TYPE_CHECKING:
    from tokenroll.upstream.simulated.provider import Attempt, Provider

_PLACE: Final = "/batches"
_WINDOW_SECONDS: Final = 86_400
_WAITED: Final = frozenset({"validating", "in_progress", "finalizing"})


class _Batch:
    """One batch: its attempts by custom id, or why one of them is refused."""

    def __init__(self, name: str, client_request_id: str, asked: dict[str, Any]) -> None:
        self.name = name
        self.client_request_id = client_request_id
        self.asked = asked
        self.attempts: list[tuple[str, Attempt | Refusal]] = []
        self.status = "validating"
        self.faults: dict[str, str] = {}
        self.created_at = int(time.time())
        self.ended_at: int | None = None
        self.files: dict[str, str] = {}
        self.usage: dict[str, Any] | None = None
        self.counts = {"total": 0, "completed": 0, "failed": 0}
        self.errors: list[dict[str, Any]] = []

    def object(self) -> dict[str, Any]:
        """As the provider tells it."""
        value = {
            "id": self.name, "object": "batch", "endpoint": self.asked["endpoint"], "input_file_id": self.asked["input_file_id"],
            "completion_window": self.asked.get("completion_window", "24h"), "status": self.status, "created_at": self.created_at,
            "expires_at": self.created_at + _WINDOW_SECONDS, "metadata": self.asked.get("metadata"), "request_counts": self.counts,
            "output_file_id": self.files.get("output"), "error_file_id": self.files.get("error"), "usage": self.usage,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
        }  # fmt: skip
        if self.ended_at is not None:
            value[f"{self.status}_at"] = self.ended_at
        return value


class FileBatchDesk:
    """All batches of a provider whose requests stand in files."""

    def __init__(self, provider: "Provider") -> None:
        self._provider = provider
        self._batches: dict[str, _Batch] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def answer(self, method: bytes, path: str, body: bytes, headers: dict[bytes, bytes]) -> bytes | None:
        """The answer to a request about batches; None: it is about something else. Raises Refusal."""
        if path == _PLACE and method == b"POST":
            return self._create(body, headers)
        if path == _PLACE and method == b"GET":
            data = [one.object() for one in reversed(self._batches.values())]
            ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
            return compact({"object": "list", "data": data, **ends, "has_more": False})
        if not path.startswith(_PLACE + "/"):
            return None
        name, _, verb = path.removeprefix(_PLACE + "/").partition("/")
        acts: dict[tuple[bytes, str], Callable[[_Batch], None]] = {
            (b"GET", ""): lambda _: None, (b"POST", "cancel"): self._cancel,
        }  # fmt: skip
        act, batch = acts.get((method, verb)), self._batches.get(name)
        if act is None or batch is None:
            raise Refusal(404, "invalid_request_error", f"No batch found with id '{name}'.")
        act(batch)
        return compact(batch.object())

    def _create(self, body: bytes, headers: dict[bytes, bytes]) -> bytes:
        provider = self._provider
        asked = decoded(body)
        for name in ("input_file_id", "endpoint", "completion_window"):
            if not isinstance(asked.get(name), str):
                raise Refusal(400, "invalid_request_error", f"Missing required parameter: '{name}'.", name)
        data = provider.files.get(asked["input_file_id"]).data
        number = answering.digest_of(provider.options.seed, body, len(self._batches)).hex()[:24]
        name = headers.get(NAME_HEADER, b"").decode() or f"batch_{number}"
        batch = _Batch(name, headers.get(b"x-client-request-id", b"").decode("latin-1"), asked)
        batch.faults = provider.faults_given(headers.get(b"x-sim-fault", b"").decode("latin-1"), "openai")
        self._batches[batch.name] = batch
        pause = int(headers.get(b"x-sim-background-ms", b"0")) / 1_000
        try:
            lines = [decoded(line) for line in data.splitlines() if line.strip()]
        except Refusal as refusal:
            batch.errors = [{"code": "invalid_json_line", "message": refusal.message, "param": None, "line": None}]
            self._timers[batch.name] = asyncio.get_running_loop().call_later(pause, self._fail, batch)
            return compact(batch.object())
        for line in lines:
            batch.attempts.append((str(line.get("custom_id")), self._begun(batch, line)))
        batch.counts["total"] = len(lines)
        batch.status = "in_progress"
        self._bill(batch, len(batch.attempts), OPEN)
        self._timers[batch.name] = asyncio.get_running_loop().call_later(pause, self._complete, batch)
        return compact(batch.object())

    def _begun(self, batch: _Batch, line: dict[str, Any]) -> "Attempt | Refusal":
        """One request, understood, or why it is refused."""
        provider = self._provider
        params = msgspec.json.encode(line.get("body"))
        try:
            asked = provider.understand(batch.asked["endpoint"].encode(), params)
            attempt = provider.begin(asked, params, batch.client_request_id, "", time.monotonic_ns())
        except Refusal as refusal:
            return refusal
        attempt.answer.service_tier = "batch" if "batch" in attempt.model.tiers else "standard"
        return attempt

    def _fail(self, batch: _Batch) -> None:
        batch.status, batch.ended_at = "failed", int(time.time())

    def _complete(self, batch: _Batch) -> None:
        self._end(batch, len(batch.attempts), "completed")
        self._bill(batch, len(batch.attempts), COMPLETE)

    def _cancel(self, batch: _Batch) -> None:
        if batch.status in _WAITED:
            self._timers.pop(batch.name).cancel()
            done = len(batch.attempts) // 2
            self._end(batch, done, "cancelled")
            self._bill(batch, done, ABORTED)

    def _end(self, batch: _Batch, done: int, status: str) -> None:
        """The first `done` requests are answered, and the files written."""
        batch.status, batch.ended_at = status, int(time.time())
        lines: dict[str, list[bytes]] = {"output": [], "error": []}
        used = {"input_tokens": 0, "output_tokens": int("odd-sum" in batch.faults)}
        for index, (custom_id, one) in enumerate(batch.attempts):
            if not isinstance(one, Refusal):
                one.generated = one.answer.output_tokens if index < done else 0
                one.closed = True
                self._provider.counters["open"] -= 1
            if index >= done:
                continue
            is_error = isinstance(one, Refusal)
            body = (
                chat.error_body(one, "")
                if isinstance(one, Refusal)
                else WORDS[one.answer.asked.endpoint].body(one.answer)
            )
            status_code = one.status if isinstance(one, Refusal) else 200
            answer = {"status_code": status_code, "request_id": f"req_{index}", "body": json.loads(body)}
            line = {"id": f"batch_req_{index}", "custom_id": custom_id, "response": answer, "error": None}
            lines["error" if is_error else "output"].append(compact(line) + b"\n")
            batch.counts["failed" if is_error else "completed"] += 1
            usage = answer["body"].get("usage") or {}
            used["input_tokens"] += usage.get("prompt_tokens", usage.get("input_tokens", 0))
            used["output_tokens"] += usage.get("completion_tokens", usage.get("output_tokens", 0))
        for kind, written in lines.items():
            if written:  # the last answer comes first: nobody promised an order
                file = self._provider.files.put(
                    f"{batch.name}_{kind}.jsonl", "batch_output", b"".join(reversed(written))
                )
                batch.files[kind] = file.name
        batch.usage = {
            **used, "total_tokens": sum(used.values()), "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        }  # fmt: skip

    def _bill(self, batch: _Batch, done: int, status: str) -> None:
        """One line for the whole batch: what each answered request used and cost, summed."""
        attempts = [one for _, one in batch.attempts if not isinstance(one, Refusal)]
        if not attempts:
            return
        usage: dict[str, int] = {}
        cost = 0
        for _, one in batch.attempts[:done] if status != OPEN else ():
            if isinstance(one, Refusal):
                continue
            billed = answering.usage_billed(one.answer, one.generated)
            cost += one.model.cost_nanos(billed, one.answer.service_tier)
            for kind, count in billed.items():
                usage[kind] = usage.get(kind, 0) + count
        first = attempts[0]
        self._provider.bill.write(
            Line(
                call_id=first.call_id, attempt=first.attempt, request_id=batch.name, provider=first.model.vendor,
                model=first.answer.model, service_tier=first.answer.service_tier, at=first.received_at, usage=usage, status=status,
                cost_nanos=cost,
            )
        )  # fmt: skip
