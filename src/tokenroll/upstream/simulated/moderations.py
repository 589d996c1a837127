"""Answers of the moderations endpoint. Errors and headers are those of chat."""

from typing import Final

from tokenroll.upstream.simulated.chat import LIMIT_HEADERS, REQUEST_ID_HEADER, error_body, error_event
from tokenroll.upstream.simulated.shapes import Answer, Event

__all__ = ["LIMIT_HEADERS", "REQUEST_ID_HEADER", "body", "error_body", "error_event", "events"]

CATEGORIES: Final = (
    "hate", "hate/threatening", "harassment", "harassment/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/intent", "self-harm/instructions", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip


def body(answer: Answer) -> bytes:
    """A verdict for each text: nothing is ever wrong with it."""
    verdict = {
        "flagged": False,
        "categories": dict.fromkeys(CATEGORIES, False),
        "category_scores": dict.fromkeys(CATEGORIES, 0.0001),
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
    }
    value = {"id": f"modr-{answer.number:032x}", "model": answer.model, "results": [verdict] * answer.asked.choices}
    return answer.encode(value)


def events(answer: Answer) -> list[Event]:
    """The whole answer as one event: nobody streams verdicts."""
    return [Event(b"data: " + body(answer) + answer.line_end * 2, 0)]
