"""Transcripts and translations in every form that they may be asked for. Errors and headers are those of chat."""

from typing import Any, Final

from tokenroll.upstream.simulated.chat import LIMIT_HEADERS, REQUEST_ID_HEADER, error_body, error_event
from tokenroll.upstream.simulated.shapes import Answer, Event

__all__ = ["LIMIT_HEADERS", "REQUEST_ID_HEADER", "body", "error_body", "error_event", "events"]

WORDS: Final = ("pay ", "day ", "is ", "near ")


def _text(answer: Answer) -> str:
    """A word for each second."""
    return "".join(WORDS[place % len(WORDS)] for place in range(answer.asked.body["seconds"])).strip()


def _usage(answer: Answer) -> dict[str, Any]:
    billed = answer.billed
    if "audio_second" in billed:
        return {"type": "duration", "seconds": billed["audio_second"]}
    text, sound, out = billed["input"], billed["input_audio"], billed["output"]
    return {
        "type": "tokens", "input_tokens": text + sound, "output_tokens": out, "total_tokens": text + sound + out,
        "input_token_details": {"text_tokens": text, "audio_tokens": sound},
    }  # fmt: skip


def body(answer: Answer) -> bytes:
    """A whole transcript; plain text and subtitles say nothing of their cost."""
    asked, text = answer.asked.body, _text(answer)
    wanted = asked.get("response_format", "json")
    if wanted == "text":
        return text.encode() + b"\n"
    if wanted in {"srt", "vtt"}:
        point = "," if wanted == "srt" else "."
        head = "1\n" if wanted == "srt" else "WEBVTT\n\n"
        return f"{head}00:00:00{point}000 --> 00:00:{asked['seconds'] % 60:02d}{point}000\n{text}\n\n".encode()
    value: dict[str, Any] = {"text": text}
    if wanted == "verbose_json":
        value = {
            "task": "transcribe",
            "language": "english",
            "duration": float(asked["seconds"]),
            **value,
            "segments": [],
        }
    if "missing-usage" not in answer.faults:
        value["usage"] = _usage(answer)
    return answer.encode(value)


def events(answer: Answer) -> list[Event]:
    """A word in each event, and all of them with their cost in the last one."""
    text = _text(answer)
    out: list[dict[str, Any]] = [{"type": "transcript.text.delta", "delta": word + " "} for word in text.split()]
    done: dict[str, Any] = {"type": "transcript.text.done", "text": text}
    if "missing-usage" not in answer.faults:
        done["usage"] = _usage(answer)
    return [Event(b"data: " + answer.encode(one) + answer.line_end * 2, 0) for one in [*out, done]]
