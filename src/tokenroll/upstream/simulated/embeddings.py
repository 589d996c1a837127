"""Answers of the embeddings endpoint. Errors and headers are those of chat."""

import base64
import struct
from typing import Final

from tokenroll.upstream.simulated.chat import LIMIT_HEADERS, REQUEST_ID_HEADER, error_body, error_event
from tokenroll.upstream.simulated.shapes import Answer, Event

__all__ = ["LIMIT_HEADERS", "REQUEST_ID_HEADER", "body", "error_body", "error_event", "events"]

DIMENSIONS: Final = 16
"""Of an embedding for which nobody asked otherwise."""


def body(answer: Answer) -> bytes:
    """A list of embeddings, one per text."""
    asked = answer.asked
    total = sum(answer.split)
    value = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _embedding(answer, index)}
            for index in range(len(asked.segments))
        ],
        "model": answer.model,
        "usage": {"prompt_tokens": total, "total_tokens": total},
    }
    if "missing-usage" in answer.faults:
        del value["usage"]
    return answer.encode(value)


def _embedding(answer: Answer, index: int) -> list[float] | str:
    """Numbers between -1 and 1 that follow from the request and the place."""
    bits = answer.number + index
    numbers = [
        ((bits * (place + 3) * 2_654_435_761) % 2_001 - 1_000) / 1_000
        for place in range(answer.asked.dimensions or DIMENSIONS)
    ]
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode() if answer.asked.base64 else numbers


def events(answer: Answer) -> list[Event]:
    """The whole answer as one event: nobody streams embeddings."""
    return [Event(b"data: " + body(answer) + answer.line_end * 2, 0)]
