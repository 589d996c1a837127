"""Answers with pictures, whole and streamed. Errors and headers are those of chat."""

import base64
from typing import Any, Final

from tokenroll.upstream.simulated.chat import LIMIT_HEADERS, REQUEST_ID_HEADER, error_body, error_event
from tokenroll.upstream.simulated.shapes import Answer, Event

__all__ = ["LIMIT_HEADERS", "REQUEST_ID_HEADER", "body", "error_body", "error_event", "events"]

PICTURE_BYTES: Final = 64
"""Of a picture for which nobody asked otherwise (`x-sim-picture-bytes`)."""


def _picture(answer: Answer, index: int) -> str:
    seed = (answer.number + index).to_bytes(17, "big")
    size = answer.asked.sizes.get("picture_bytes", PICTURE_BYTES)
    return base64.b64encode((b"\x89PNG\r\n\x1a\n" + seed * (size // 17 + 1))[:size]).decode()


def _usage(answer: Answer) -> dict[str, Any] | None:
    """What is billed in tokens; pictures sold by the piece have no usage."""
    billed = answer.billed
    if "output_image" not in billed or "missing-usage" in answer.faults:
        return None
    text, pictures, out = billed.get("input", 0), billed.get("input_image", 0), billed["output_image"]
    return {
        "input_tokens": text + pictures, "output_tokens": out, "total_tokens": text + pictures + out,
        "input_tokens_details": {"text_tokens": text, "image_tokens": pictures},
    }  # fmt: skip


def _look(answer: Answer) -> dict[str, Any]:
    asked = answer.asked.body
    return {"size": asked["size"], "quality": asked["quality"], "background": "opaque", "output_format": "png"}


def body(answer: Answer) -> bytes:
    """All pictures, and behind them what they cost."""
    data = [{"b64_json": _picture(answer, index)} for index in range(answer.asked.choices)]
    usage = _usage(answer)
    value = {"created": answer.created, "data": data, **_look(answer), **({"usage": usage} if usage else {})}
    return answer.encode(value)


def events(answer: Answer) -> list[Event]:
    """Each picture's unfinished states, and the finished one with its share of the cost."""
    asked = answer.asked
    kind = "image_edit" if asked.body["edit"] else "image_generation"
    usage = _usage(answer)
    out = []
    for index in range(asked.choices):
        said = {"b64_json": _picture(answer, index), "created_at": answer.created, **_look(answer)}
        out += [
            _event(answer, {"type": f"{kind}.partial_image", **said, "partial_image_index": place})
            for place in range(asked.body["partial_images"])
        ]
        done: dict[str, Any] = {"type": f"{kind}.completed", **said}
        if usage is not None:
            done["usage"] = usage if asked.choices == 1 else _share(usage, asked.choices, first=index == 0)
        out.append(_event(answer, done))
    return out


def _share(usage: dict[str, Any], pictures: int, *, first: bool) -> dict[str, Any]:
    """The usage of one of several pictures: the input is read once, for the first."""
    read, out = usage["input_tokens"] if first else 0, usage["output_tokens"] // pictures
    details = usage["input_tokens_details"] if first else dict.fromkeys(usage["input_tokens_details"], 0)
    return {"input_tokens": read, "output_tokens": out, "total_tokens": read + out, "input_tokens_details": details}


def _event(answer: Answer, value: dict[str, Any]) -> Event:
    kind = value["type"].encode()
    return Event(b"event: " + kind + answer.line_end + b"data: " + answer.encode(value) + answer.line_end * 2, 0)
