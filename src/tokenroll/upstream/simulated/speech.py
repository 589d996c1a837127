"""Spoken answers: bytes that stand for sound, whole or in events. Errors and headers are those of chat."""

import base64
from typing import Final

from tokenroll.upstream.simulated.chat import LIMIT_HEADERS, REQUEST_ID_HEADER, error_body, error_event
from tokenroll.upstream.simulated.shapes import Answer, Event

__all__ = ["LIMIT_HEADERS", "REQUEST_ID_HEADER", "body", "error_body", "error_event", "events"]

BYTES_PER_CHARACTER: Final = 1_000
"""A sixteenth of a second at 128 kbit/s."""
EVENTS: Final = 3


def body(answer: Answer) -> bytes:
    """Sound, as long as the text."""
    spoken = str(answer.asked.body.get("input", ""))
    return (b"\xff\xfb" + answer.number.to_bytes(16, "big")) * (len(spoken) * BYTES_PER_CHARACTER // 18 + 1)


def events(answer: Answer) -> list[Event]:
    """The same in some events, and what it cost in the last one."""
    sound = body(answer)
    step = -(-len(sound) // EVENTS)
    out = [
        {"type": "speech.audio.delta", "audio": base64.b64encode(sound[at : at + step]).decode()}
        for at in range(0, len(sound), step)
    ]
    read, made = answer.billed.get("input", 0), answer.billed.get("output_audio", 0)
    usage = {"input_tokens": read, "output_tokens": made, "total_tokens": read + made}
    done = {"type": "speech.audio.done", **({} if "missing-usage" in answer.faults else {"usage": usage})}
    return [Event(b"data: " + answer.encode(one) + answer.line_end * 2, 0) for one in [*out, done]]
