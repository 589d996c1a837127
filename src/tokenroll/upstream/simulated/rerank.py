"""Answers with ranks, as servers of OpenAI's API give them, and as Cohere does for models that are sold by the search."""

from typing import Any

from tokenroll.upstream.simulated.chat import LIMIT_HEADERS, REQUEST_ID_HEADER, error_body, error_event
from tokenroll.upstream.simulated.shapes import Answer, Event

__all__ = ["LIMIT_HEADERS", "REQUEST_ID_HEADER", "body", "error_body", "error_event", "events"]


def body(answer: Answer) -> bytes:
    """The documents from the last one on, each less relevant than the one before."""
    asked = answer.asked
    last = len(asked.body["documents"]) - 1
    results = [
        {"index": last - place, "relevance_score": 1 / (place + 1)} for place in range(min(asked.choices, last + 1))
    ]
    value: dict[str, Any] = {"id": f"rerank-{answer.number:032x}", "results": results}
    if "missing-usage" not in answer.faults:
        if "search_unit" in answer.billed:
            value["meta"] = {"billed_units": {"search_units": answer.billed["search_unit"]}}
        else:
            value |= {"model": answer.model, "usage": {"total_tokens": answer.billed["input"]}}
    return answer.encode(value)


def events(answer: Answer) -> list[Event]:
    """The whole answer as one event: nobody streams ranks."""
    return [Event(b"data: " + body(answer) + answer.line_end * 2, 0)]
