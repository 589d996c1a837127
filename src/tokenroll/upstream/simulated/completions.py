"""Answers of the completions endpoint: bodies and chunks. Errors and headers are those of chat."""

from typing import Any

from tokenroll.upstream.simulated.chat import (
    FINISH,
    LIMIT_HEADERS,
    REQUEST_ID_HEADER,
    error_body,
    error_event,
    usage,
)
from tokenroll.upstream.simulated.shapes import Answer, Event

__all__ = ["LIMIT_HEADERS", "REQUEST_ID_HEADER", "body", "error_body", "error_event", "events"]


def _head(answer: Answer) -> dict[str, Any]:
    return {
        "id": f"cmpl-{answer.number:032x}",
        "object": "text_completion",
        "created": answer.created,
        "model": answer.model,
        "system_fingerprint": "fp_simulated",
    }


def body(answer: Answer) -> bytes:
    """A whole completion."""
    value = _head(answer)
    value["choices"] = [
        {"text": choice.text.decode(), "index": index, "logprobs": None, "finish_reason": FINISH[choice.finish]}
        for index, choice in enumerate(answer.choices)
    ]
    if "missing-usage" not in answer.faults:
        value["usage"] = usage(answer)
    return answer.encode(value)


def events(answer: Answer) -> list[Event]:
    """A whole stream: the texts of every choice in turn, finish reasons, usage when asked for, `[DONE]`."""
    asks = answer.asked.include_usage and "missing-usage" not in answer.faults
    head = _head(answer)

    def event(choices: list[dict[str, Any]], generated: int, counted: dict[str, Any] | None = None) -> Event:
        value = {**head, "choices": choices, **({"usage": counted} if asks else {})}
        return Event(b"data: " + answer.encode(value) + answer.line_end * 2, generated)

    generated = 0
    out = []
    for index, choice in enumerate(answer.choices):
        for piece in answer.pieces(choice.text):
            generated = min(answer.output_tokens, generated + -(-len(piece) // 4))
            one = {"text": piece.decode(), "index": index, "logprobs": None, "finish_reason": None}
            out.append(event([one], generated))
        last = {"text": "", "index": index, "logprobs": None, "finish_reason": FINISH[choice.finish]}
        out.append(event([last], generated))
    if asks:
        out.append(event([], answer.output_tokens, usage(answer)))
    out.append(Event(b"data: [DONE]" + answer.line_end * 2, answer.output_tokens))
    return out
