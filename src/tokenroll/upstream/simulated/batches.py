"""Message batches of the simulated provider: answered with a receipt, done some time later, billed once at the batch rates."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from tokenroll.upstream.simulated import answering, messages
from tokenroll.upstream.simulated.asked import Refusal, asked_of_messages, decoded
from tokenroll.upstream.simulated.bill import ABORTED, COMPLETE, OPEN, Line
from tokenroll.upstream.simulated.files import NAME_HEADER
from tokenroll.upstream.simulated.shapes import compact

if TYPE_CHECKING:
    from tokenroll.upstream.simulated.provider import Attempt, Provider

_PLACE = "/messages/batches"
_CREATED_AT = "2026-01-01T00:00:00Z"
_EXPIRES_AT = "2026-01-02T00:00:00Z"


class _Batch:
    """One batch: its attempts by custom id, or why one of them is refused."""

    def __init__(self, name: str, client_request_id: str) -> None:
        self.name = name
        self.client_request_id = client_request_id
        self.attempts: list[tuple[str, Attempt | Refusal]] = []
        self.is_ended = self.is_canceled = self.is_named = False

    def object(self) -> dict[str, Any]:
        """As the provider tells it."""
        errored = sum(isinstance(one, Refusal) for _, one in self.attempts)
        rest = len(self.attempts) - errored
        done = "canceled" if self.is_canceled else "succeeded"
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        counts |= {done: rest, "errored": errored} if self.is_ended else {"processing": len(self.attempts)}
        return {
            "id": self.name, "type": "message_batch", "processing_status": "ended" if self.is_ended else "in_progress",
            "request_counts": counts, "created_at": _CREATED_AT, "expires_at": _EXPIRES_AT, "archived_at": None,
            "ended_at": _CREATED_AT if self.is_ended else None, "cancel_initiated_at": _CREATED_AT if self.is_canceled else None,
            "results_url": f"https://api.anthropic.com/v1{_PLACE}/{self.name}/results" if self.is_ended else None,
        }  # fmt: skip

    def results(self) -> bytes:
        """A line for each request, in no order that anybody promised: here the last comes first."""
        lines = []
        for custom_id, one in reversed(self.attempts):
            if isinstance(one, Refusal):
                error = {"type": messages.ERROR_TYPES.get(one.status, "api_error"), "message": one.message}
                result: dict[str, Any] = {
                    "type": "errored",
                    "error": {"type": "error", "error": error, "request_id": None},
                }
            elif self.is_canceled:
                result = {"type": "canceled"}
            else:
                result = {"type": "succeeded", "message": json.loads(messages.body(one.answer))}
            lines.append(compact({"custom_id": custom_id, "result": result}) + b"\n")
        return b"".join(lines)


class BatchDesk:
    """All batches of a provider."""

    def __init__(self, provider: "Provider") -> None:
        self._provider = provider
        self._batches: dict[str, _Batch] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def answer(self, method: bytes, path: str, body: bytes, headers: dict[bytes, bytes]) -> bytes | None:
        """The answer to a request about batches; None: it is about something else. Raises Refusal."""
        if not path.startswith(_PLACE):
            return None
        if path == _PLACE and method == b"POST":
            return self._create(body, headers)
        if path == _PLACE and method == b"GET":
            data = [one.object() for one in reversed(self._batches.values())]
            ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
            return compact({"data": data, "first_id": ends[0], "last_id": ends[1], "has_more": False})
        name, _, verb = path.removeprefix(_PLACE + "/").partition("/")
        acts: dict[tuple[bytes, str], Callable[[_Batch], bytes]] = {
            (b"GET", ""): lambda one: compact(one.object()), (b"GET", "results"): self._results,
            (b"POST", "cancel"): self._cancel, (b"DELETE", ""): self._delete,
        }  # fmt: skip
        act, batch = acts.get((method, verb)), self._batches.get(name)
        if act is None or batch is None:
            raise Refusal(404, "not_found_error", f"Message Batch {name} not found.")
        return act(batch)

    def _create(self, body: bytes, headers: dict[bytes, bytes]) -> bytes:
        provider = self._provider
        provider.faults_given(headers.get(b"x-sim-fault", b"").decode("latin-1"), "anthropic")
        requests = decoded(body).get("requests")
        if not isinstance(requests, list) or not requests:
            raise Refusal(400, "invalid_request_error", "requests: Field required")
        number = answering.digest_of(provider.options.seed, body, len(self._batches)).hex()[:24]
        named = headers.get(NAME_HEADER, b"").decode()
        batch = _Batch(named or f"msgbatch_{number}", headers.get(b"x-client-request-id", b"").decode("latin-1"))
        batch.is_named = bool(named)
        for one in requests:
            params = msgspec.json.encode(one["params"])
            try:
                attempt = provider.begin(
                    asked_of_messages(params), params, batch.client_request_id, "", time.monotonic_ns()
                )
                attempt.answer.service_tier = "batch"
                attempt.answer.passes = []
                batch.attempts.append((str(one["custom_id"]), attempt))
            except Refusal as refusal:
                batch.attempts.append((str(one["custom_id"]), refusal))
        self._batches[batch.name] = batch
        self._bill(batch, OPEN)
        pause = int(headers.get(b"x-sim-background-ms", b"0")) / 1_000
        self._timers[batch.name] = asyncio.get_running_loop().call_later(pause, self._end, batch, COMPLETE)
        return compact(batch.object())

    def _end(self, batch: _Batch, status: str) -> None:
        batch.is_ended = True
        for _, one in batch.attempts:
            if not isinstance(one, Refusal):
                one.generated = 0 if batch.is_canceled else one.answer.output_tokens
                one.closed = True
                self._provider.counters["open"] -= 1
        self._bill(batch, status)

    def _bill(self, batch: _Batch, status: str) -> None:
        """One line for the whole batch: what each of its messages used and cost, summed. A canceled message costs nothing."""
        attempts = [one for _, one in batch.attempts if not isinstance(one, Refusal)]
        if not attempts:
            return
        usage: dict[str, int] = {}
        cost = 0
        for one in attempts if not batch.is_canceled else ():
            used = answering.usage_billed(one.answer, one.generated)
            cost += one.model.cost_nanos(used, "batch")
            for kind, count in used.items():
                usage[kind] = usage.get(kind, 0) + count
        first = attempts[0]
        self._provider.bill.write(
            Line(
                call_id=first.call_id, attempt=first.attempt, request_id=batch.name, provider=first.model.vendor,
                model=first.answer.model, service_tier="batch", at=first.received_at, usage=usage, status=status, cost_nanos=cost,
            )
        )  # fmt: skip

    def _results(self, batch: _Batch) -> bytes:
        if not batch.is_ended:
            raise Refusal(404, "not_found_error", f"Message Batch {batch.name} has no available results.")
        return batch.results()

    def _cancel(self, batch: _Batch) -> bytes:
        if not batch.is_ended:
            self._timers.pop(batch.name).cancel()
            batch.is_canceled = True
            self._end(batch, ABORTED)
        return compact(batch.object())

    def _delete(self, batch: _Batch) -> bytes:
        if not batch.is_ended:
            raise Refusal(400, "invalid_request_error", "Message Batch is still processing.")
        if not batch.is_named:
            del self._batches[batch.name]
        return compact({"id": batch.name, "type": "message_batch_deleted"})
