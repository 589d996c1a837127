"""Answers in the OpenAI chat dialect: bodies, chunks, errors, model lists, headers."""

import base64
from collections.abc import Mapping
from typing import Any, Final

from tokenroll.upstream.simulated.asked import Refusal
from tokenroll.upstream.simulated.shapes import Answer, Choice, Event, compact, spoken_tokens

FINISH: Final = {"stop": "stop", "length": "length", "tool": "tool_calls"}
TIER_WORDS: Final = {"standard": "default"}
SOUND_KEPT_SECONDS: Final = 3_600
REQUEST_ID_HEADER: Final = b"x-request-id"
LIMIT_HEADERS: Final = (
    b"x-ratelimit-limit-requests: 10000\r\nx-ratelimit-limit-tokens: 2000000\r\n"
    b"x-ratelimit-remaining-requests: 9999\r\nx-ratelimit-remaining-tokens: 1999000\r\n"
    b"x-ratelimit-reset-requests: 6ms\r\nx-ratelimit-reset-tokens: 30ms\r\n"
    b"openai-organization: org-simulated\r\nopenai-version: 2020-10-01\r\nopenai-processing-ms: 1\r\n"
)
LIMITED_HEADERS: Final = (
    b"retry-after: 1\r\nretry-after-ms: 547\r\n"
    b"x-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 547ms\r\n"
)


def usage(answer: Answer) -> dict[str, Any]:
    """The usage object: cached and reasoning tokens are subsets of the two totals."""
    split = answer.split
    if "zero-usage" in answer.faults:
        return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    total = sum(split)
    details = {"cached_tokens": split.read, "audio_tokens": 0}
    if split.write_5m:
        details["cache_write_tokens"] = split.write_5m
    return {
        "prompt_tokens": total,
        "completion_tokens": answer.output_tokens,
        "total_tokens": total + answer.output_tokens,
        "prompt_tokens_details": details,
        "completion_tokens_details": {
            "reasoning_tokens": answer.reasoning_tokens,
            "audio_tokens": spoken_tokens(answer, answer.output_tokens - answer.reasoning_tokens),
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _head(answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer.number:032x}",
        "object": kind,
        "created": answer.created,
        "model": answer.model,
        "service_tier": TIER_WORDS.get(answer.service_tier, answer.service_tier),
        "system_fingerprint": "fp_simulated",
    }


def _finish(answer: Answer, choice: Choice) -> str:
    return "function_call" if choice.finish == "tool" and answer.asked.legacy_functions else FINISH[choice.finish]


def _message(answer: Answer, choice: Choice, index: int) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": choice.text.decode() if not choice.tool_name else None,
        "refusal": None,
        "annotations": [],
    }
    if answer.asked.speaks and not choice.tool_name:
        sound = base64.b64encode(answer.sound(choice.text)).decode()
        said = {"data": sound, "transcript": message["content"]}
        message |= {"content": None, "audio": {"id": _audio_id(answer, index), **said, "expires_at": _expiry(answer)}}
    if choice.tool_name:
        function = {"name": choice.tool_name, "arguments": choice.arguments.decode()}
        if answer.asked.legacy_functions:
            message["function_call"] = function
        else:
            message["tool_calls"] = [{"id": _call_id(answer, index), "type": "function", "function": function}]
    return message


def _call_id(answer: Answer, index: int) -> str:
    return f"call_{answer.number + index & (1 << 96) - 1:024x}"


def _audio_id(answer: Answer, index: int) -> str:
    return f"audio_{answer.number + index & (1 << 96) - 1:024x}"


def _expiry(answer: Answer) -> int:
    return answer.created + SOUND_KEPT_SECONDS


def body(answer: Answer) -> bytes:
    """A whole chat completion."""
    value = _head(answer, "chat.completion")
    value["choices"] = [
        {
            "index": index,
            "message": _message(answer, choice, index),
            "logprobs": None,
            "finish_reason": _finish(answer, choice),
        }
        for index, choice in enumerate(answer.choices)
    ]
    if "missing-usage" not in answer.faults:
        value["usage"] = usage(answer)
    return answer.encode(value)


class _Chunks:
    """Writes chunks of one stream: everything but the choice is the same in all of them."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        head = answer.encode(_head(answer, "chat.completion.chunk"))
        self._open = b"data: " + head[:-1] + (b', "choices": ' if answer.encode is not compact else b',"choices":')
        null = b', "usage": null' if answer.encode is not compact else b',"usage":null'
        asks = answer.asked.include_usage and "missing-usage" not in answer.faults
        self._close = (null if asks else b"") + b"}" + answer.line_end * 2

    def chunk(self, index: int, delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._open + self._answer.encode([choice]) + self._close

    def last(self) -> bytes:
        """The extra chunk without choices that carries the usage."""
        answer = self._answer
        key = b', "usage": ' if answer.encode is not compact else b',"usage":'
        return self._open + b"[]" + key + answer.encode(usage(answer)) + b"}" + answer.line_end * 2


def events(answer: Answer) -> list[Event]:
    """A whole stream: role, parts of every choice in turn, finish reasons, usage when asked for, `[DONE]`."""
    chunks = _Chunks(answer)
    generated = answer.reasoning_tokens
    out: list[Event] = []
    for index, choice in enumerate(answer.choices):
        if choice.tool_name:
            opening, pieces = _tool_opening(answer, choice, index), answer.pieces(choice.arguments)
        elif answer.asked.speaks:
            opening = {"role": "assistant", "audio": {"id": _audio_id(answer, index)}, "refusal": None}
            pieces = answer.pieces(choice.text)
        else:
            opening, pieces = {"role": "assistant", "content": "", "refusal": None}, answer.pieces(choice.text)
        out.append(Event(chunks.chunk(index, opening), generated))
        for piece in pieces:
            generated = min(answer.output_tokens, generated + -(-len(piece) // 4))
            out.append(Event(chunks.chunk(index, _delta(answer, choice, piece)), generated))
        out.append(Event(chunks.chunk(index, {}, _finish(answer, choice)), generated))
    if answer.asked.include_usage and "missing-usage" not in answer.faults:
        out.append(Event(chunks.last(), answer.output_tokens))
    out.append(Event(b"data: [DONE]" + answer.line_end * 2, answer.output_tokens))
    return out


def _tool_opening(answer: Answer, choice: Choice, index: int) -> dict[str, Any]:
    function = {"name": choice.tool_name, "arguments": ""}
    if answer.asked.legacy_functions:
        return {"role": "assistant", "content": None, "function_call": function}
    call = {"index": 0, "id": _call_id(answer, index), "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None}


def _delta(answer: Answer, choice: Choice, piece: bytes) -> dict[str, Any]:
    if not choice.tool_name and answer.asked.speaks:  # the words and the sound of a piece, in one event
        return {"audio": {"transcript": piece.decode(), "data": base64.b64encode(answer.sound(piece)).decode()}}
    if not choice.tool_name:
        return {"content": piece.decode()}
    function = {"arguments": piece.decode()}
    return (
        {"function_call": function}
        if answer.asked.legacy_functions
        else {"tool_calls": [{"index": 0, "function": function}]}
    )


def error_event(answer: Answer) -> bytes:
    """An error in the middle of a stream, as the SDK expects it: data with an `error` member."""
    error = {
        "message": "The server had an error while processing your request. Sorry about that!",
        "type": "server_error",
        "param": None,
        "code": None,
    }
    return b"data: " + answer.encode({"error": error}) + answer.line_end * 2


def error_body(refusal: Refusal, request_id: str) -> bytes:  # noqa: ARG001  one signature for both dialects
    """An error answer: all four members are always there."""
    return compact(
        {"error": {"message": refusal.message, "type": refusal.kind, "param": refusal.param, "code": refusal.code}}
    )


def fault_refusal(status: int) -> Refusal:
    """What this provider answers when it is limited, broken or overloaded."""
    if status == 429:
        text = (
            "Rate limit reached for simulated in organization org-simulated on requests per min (RPM): Limit 10000, Used 10000, "
            "Requested 1. Please try again in 547ms."
        )
        return Refusal(429, "requests", text, None, "rate_limit_exceeded")
    if status in {503, 529}:
        return Refusal(status, "server_error", "The engine is currently overloaded, please try again later")
    return Refusal(status, "server_error", "The server had an error while processing your request. Sorry about that!")


def unknown_model(model: str) -> Refusal:
    """The model is not sold here."""
    text = f"The model `{model}` does not exist or you do not have access to it."
    return Refusal(404, "invalid_request_error", text, None, "model_not_found")


def model_object(name: str, vendor: str) -> dict[str, Any]:
    """One entry of the model list."""
    return {"id": name, "object": "model", "created": 1_760_000_000, "owned_by": vendor}


def model_list(models: list[dict[str, Any]]) -> dict[str, Any]:
    """The model list."""
    return {"object": "list", "data": models}
