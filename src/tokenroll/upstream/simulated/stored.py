"""What the simulated provider keeps and is asked about again: responses by id, also those that go on in the background.

Nothing here is billed but the end of a response in the background, once.
"""

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tokenroll.upstream.simulated import responses
from tokenroll.upstream.simulated.asked import Refusal, asked_of_responses, decoded
from tokenroll.upstream.simulated.bill import ABORTED, COMPLETE
from tokenroll.upstream.simulated.shapes import compact

if TYPE_CHECKING:
    from tokenroll.upstream.simulated.provider import Attempt, Provider

_KEPT_MAX: Final = 10_000


class Shelf:
    """Stored responses, the oldest forgotten first."""

    def __init__(self, provider: "Provider") -> None:
        self._provider = provider
        self._responses: dict[str, Attempt] = {}
        self._inputs: dict[str, list[dict[str, Any]]] = {}
        self._running: dict[str, tuple[Attempt, asyncio.TimerHandle]] = {}

    def keep(self, attempt: "Attempt", request: bytes) -> None:
        """A response that was answered, unless its client wants none kept."""
        body = decoded(request)
        if body.get("store") is False:
            return
        name = responses.unfinished(attempt.answer, "in_progress")["id"]
        self._put(name, attempt, body)

    def begin(self, attempt: "Attempt", request: bytes, background_ms: int) -> bytes:
        """A response that goes on in the background: what is answered now. Its end is billed when it comes."""
        answer = attempt.answer
        queued: dict[str, Any] = responses.unfinished(answer, "queued")
        self._put(queued["id"], attempt, decoded(request))
        self._provider.bill_open(attempt)
        timer = asyncio.get_running_loop().call_later(background_ms / 1_000, self._complete, queued["id"])
        self._running[queued["id"]] = (attempt, timer)
        return compact(queued)

    def _put(self, name: str, attempt: "Attempt", request: dict[str, Any]) -> None:
        given = request.get("input")
        items = [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else given or []
        self._responses[name] = attempt
        self._inputs[name] = [_stored_item(name, index, item) for index, item in enumerate(items)]
        while len(self._responses) > _KEPT_MAX:
            oldest = next(iter(self._responses))
            del self._responses[oldest], self._inputs[oldest]

    def _complete(self, name: str) -> None:
        attempt, _ = self._running.pop(name)
        attempt.generated = attempt.answer.output_tokens
        self._provider.bill_end(attempt, COMPLETE)

    def _cancel(self, name: str) -> None:
        """What was read is billed, and said so; nothing was written."""
        attempt, timer = self._running.pop(name)
        timer.cancel()
        attempt.generated = 0
        self._provider.bill_end(attempt, ABORTED)

    def _object(self, name: str) -> dict[str, Any]:
        """As it stands: under way, whole, or stopped after what was generated, which is billed."""
        attempt = self._responses[name]
        answer = attempt.answer
        if not attempt.closed:
            status = "queued" if name in self._running else "in_progress"
            return {**responses.unfinished(answer, status), "background": answer.asked.background}
        if attempt.generated < answer.output_tokens:
            value = responses.unfinished(answer, "cancelled")
            usage = responses.usage(answer, attempt.generated)
            return {**value, "background": answer.asked.background, "usage": usage}
        whole: dict[str, Any] = json.loads(responses.body(answer))
        return {**whole, "background": answer.asked.background}

    def lookup(self, method: bytes, path: str, body: bytes, query: bytes) -> bytes | None:
        """The answer to a request about responses, which may be a stream; None: it is about something else. Raises Refusal."""
        if path == "/responses/input_tokens" and method == b"POST":
            return compact({"object": "response.input_tokens", "input_tokens": asked_of_responses(body).input_tokens})
        place, _, rest = path.removeprefix("/").partition("/")
        name, _, verb = rest.partition("/")
        acts: dict[tuple[bytes, str], Callable[[str], dict[str, Any]]] = {
            (b"GET", ""): self._object, (b"DELETE", ""): self._delete, (b"POST", "cancel"): self._cancelled,
            (b"GET", "input_items"): self._listed,
        }  # fmt: skip
        act = acts.get((method, verb))
        if place != "responses" or act is None:
            return None
        if name not in self._responses:
            raise Refusal(
                404,
                "invalid_request_error",
                f"Response with id '{name}' not found.",
                "response_id",
                "response_not_found",
            )
        if method == b"GET" and not verb and b"stream=true" in query.split(b"&"):
            return b"".join(event.data for event in responses.events(self._responses[name].answer))
        return compact(act(name))

    def _delete(self, name: str) -> dict[str, Any]:
        if not self._responses[name].answer.name:
            del self._responses[name], self._inputs[name]
        return {"id": name, "object": "response", "deleted": True}

    def _cancelled(self, name: str) -> dict[str, Any]:
        if name in self._running:
            self._cancel(name)
        return self._object(name)

    def _listed(self, name: str) -> dict[str, Any]:
        data = self._inputs[name]
        ends = [data[0]["id"], data[-1]["id"]] if data else ["", ""]
        return {"object": "list", "data": data, "first_id": ends[0], "last_id": ends[1], "has_more": False}


def _stored_item(name: str, index: int, item: dict[str, Any]) -> dict[str, Any]:
    stored = {
        "id": f"msg_{name.removeprefix('resp_')[:24]}{index:08x}",
        "type": "message",
        "status": "completed",
        **item,
    }
    if isinstance(stored.get("content"), str):
        stored["content"] = [{"type": "input_text", "text": stored["content"]}]
    return stored
