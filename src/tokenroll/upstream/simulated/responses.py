"""Answers of the responses endpoint: bodies and events. Error bodies and headers are those of chat."""

from typing import Any, Final

from tokenroll.upstream.simulated.chat import LIMIT_HEADERS, REQUEST_ID_HEADER, TIER_WORDS, error_body
from tokenroll.upstream.simulated.shapes import Answer, Choice, Event

__all__ = ["LIMIT_HEADERS", "REQUEST_ID_HEADER", "body", "error_body", "error_event", "events", "unfinished"]

_PART: Final[dict[str, Any]] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}


def usage(answer: Answer, output_tokens: int | None = None) -> dict[str, Any] | None:
    """The usage object: cached and reasoning tokens are subsets of the two totals. `output_tokens`: of an answer that was stopped."""
    if "missing-usage" in answer.faults:
        return None
    split, zero = answer.split, "zero-usage" in answer.faults
    total, output = (0, 0) if zero else (sum(split), answer.output_tokens if output_tokens is None else output_tokens)
    details = {"cached_tokens": 0 if zero else split.read, "cache_write_tokens": 0 if zero else split.write_5m}
    return {
        "input_tokens": total,
        "input_tokens_details": details,
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0 if zero else min(answer.reasoning_tokens, output)},
        "total_tokens": total + output,
    }


def _object(answer: Answer, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    ended = status != "in_progress"
    return {
        "id": answer.name or f"resp_{answer.number:032x}",
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "max_output_tokens": answer.asked.cap or None,
        "model": answer.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": TIER_WORDS.get(answer.service_tier, answer.service_tier) if ended else "auto",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage(answer) if ended else None,
        "metadata": {},
    }


def _item(answer: Answer, choice: Choice, status: str) -> dict[str, Any]:
    """The one item of an answer, empty while it is in progress."""
    done = status == "completed"
    if choice.tool_name:
        return {
            "id": f"fc_{answer.number:032x}", "type": "function_call", "status": status, "name": choice.tool_name,
            "call_id": f"call_{answer.number & (1 << 96) - 1:024x}", "arguments": choice.arguments.decode() if done else "",
        }  # fmt: skip
    content = [{**_PART, "text": choice.text.decode()}] if done else []
    return {
        "id": f"msg_{answer.number:032x}", "type": "message", "status": status, "role": "assistant", "content": content,
    }  # fmt: skip


def _searches(answer: Answer) -> list[dict[str, Any]]:
    """The searches that came before the answer, each an item of its own."""
    return [
        {
            "id": f"ws_{answer.number + index & (1 << 128) - 1:032x}", "type": "web_search_call", "status": "completed",
            "action": {"type": "search", "query": "payroll"},
        }
        for index in range(answer.web_searches)
    ]  # fmt: skip


def _ended(answer: Answer) -> str:
    return "incomplete" if answer.choices[0].finish == "length" else "completed"


def body(answer: Answer) -> bytes:
    """A whole response."""
    output = [*_searches(answer), _item(answer, answer.choices[0], "completed")]
    return answer.encode(_object(answer, _ended(answer), output))


def unfinished(answer: Answer, status: str) -> dict[str, Any]:
    """A response in the background that has no answer, or not yet."""
    return {**_object(answer, "in_progress", []), "status": status, "background": True}


class _Events:
    """Writes the events of one stream, numbered."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.generated = answer.reasoning_tokens
        self.out: list[Event] = []

    def add(self, kind: str, **fields: Any) -> None:
        answer = self._answer
        data = answer.encode({"type": kind, "sequence_number": len(self.out), **fields})
        end = answer.line_end
        self.out.append(Event(b"event: " + kind.encode() + end + b"data: " + data + end * 2, self.generated))

    def add_pieces(self, kind: str, text: bytes, **fields: Any) -> None:
        for piece in self._answer.pieces(text):
            self.generated = min(self._answer.output_tokens, self.generated + -(-len(piece) // 4))
            self.add(kind, **fields, delta=piece.decode())


def events(answer: Answer) -> list[Event]:
    """A whole stream: created, the item with its text or arguments in parts, and the response that ends it, with its usage."""
    choice = answer.choices[0]
    stream = _Events(answer)
    for kind in ("response.created", "response.in_progress"):
        stream.add(kind, response=_object(answer, "in_progress", []))
    begun, done = _item(answer, choice, "in_progress"), _item(answer, choice, "completed")
    searches = _searches(answer)
    for index, search in enumerate(searches):
        stream.add("response.output_item.added", output_index=index, item={**search, "status": "in_progress"})
        stream.add("response.web_search_call.completed", output_index=index, item_id=search["id"])
        stream.add("response.output_item.done", output_index=index, item=search)
    place = len(searches)
    where = {"item_id": begun["id"], "output_index": place}
    stream.add("response.output_item.added", output_index=place, item=begun)
    if choice.tool_name:
        stream.add_pieces("response.function_call_arguments.delta", choice.arguments, **where)
        stream.add("response.function_call_arguments.done", **where, arguments=choice.arguments.decode())
    else:
        part = {**where, "content_index": 0}
        stream.add("response.content_part.added", **part, part=_PART)
        stream.add_pieces("response.output_text.delta", choice.text, **part, logprobs=[])
        stream.add("response.output_text.done", **part, text=choice.text.decode(), logprobs=[])
        stream.add("response.content_part.done", **part, part=done["content"][0])
    stream.add("response.output_item.done", output_index=place, item=done)
    stream.generated = answer.output_tokens
    stream.add(f"response.{_ended(answer)}", response=_object(answer, _ended(answer), [*searches, done]))
    return stream.out


def error_event(answer: Answer) -> bytes:
    """An error in the middle of a stream, as this endpoint says it."""
    error = {
        "type": "error", "code": "server_error", "param": None, "sequence_number": 0,
        "message": "The server had an error while processing your request. Sorry about that!",
    }  # fmt: skip
    return b"event: error" + answer.line_end + b"data: " + answer.encode(error) + answer.line_end * 2
