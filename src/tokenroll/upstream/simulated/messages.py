"""Answers in the Anthropic messages dialect: bodies, events, errors, model lists, headers."""

from typing import Any, Final

from tokenroll.upstream.simulated.asked import Refusal
from tokenroll.upstream.simulated.shapes import Answer, Event, compact

FINISH: Final = {"stop": "end_turn", "length": "max_tokens", "tool": "tool_use"}
ERROR_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
    529: "overloaded_error",
}
REQUEST_ID_HEADER: Final = b"request-id"
VERSIONS: Final = frozenset({b"2023-01-01", b"2023-06-01", b"2026-10-21"})
LIMIT_HEADERS: Final = (
    b"anthropic-ratelimit-requests-limit: 4000\r\nanthropic-ratelimit-requests-remaining: 3999\r\n"
    b"anthropic-ratelimit-requests-reset: 2026-01-01T00:00:00Z\r\nanthropic-ratelimit-tokens-limit: 2000000\r\n"
    b"anthropic-ratelimit-tokens-remaining: 1999000\r\nanthropic-ratelimit-tokens-reset: 2026-01-01T00:00:00Z\r\n"
    b"anthropic-organization-id: 00000000-0000-4000-8000-000000000000\r\n"
)
LIMITED_HEADERS: Final = (
    b"retry-after: 1\r\nanthropic-ratelimit-requests-limit: 4000\r\nanthropic-ratelimit-requests-remaining: 0\r\n"
    b"anthropic-ratelimit-requests-reset: 2026-01-01T00:00:01Z\r\n"
)


def check_version(version: bytes | None) -> None:
    """Raises Refusal for a request of this dialect that does not say which of its versions it speaks."""
    if version is None:
        raise Refusal(400, "invalid_request_error", "anthropic-version: header is required")
    if version not in VERSIONS:
        said = version.decode("latin-1")
        raise Refusal(400, "invalid_request_error", f'anthropic-version: "{said}" is not a valid version')


def _cache_fields(answer: Answer) -> dict[str, Any]:
    split = answer.split
    return {
        "cache_creation_input_tokens": split.write_5m + split.write_1h,
        "cache_read_input_tokens": split.read,
    }


def usage(answer: Answer, output_tokens: int, *, late: bool = False) -> dict[str, Any]:
    """The usage object of a message: input is the uncached part only; `late` leaves the cache fields for message_delta."""
    if "zero-usage" in answer.faults:
        return {"input_tokens": 0, "output_tokens": 0}
    split = answer.split
    value: dict[str, Any] = {"input_tokens": split.fresh}
    if not late:
        value |= _cache_fields(answer)
        value["cache_creation"] = {
            "ephemeral_5m_input_tokens": split.write_5m,
            "ephemeral_1h_input_tokens": split.write_1h,
        }
    value["output_tokens"] = output_tokens
    if answer.web_searches:
        value["server_tool_use"] = {"web_search_requests": answer.web_searches, "web_fetch_requests": 0}
    value["service_tier"] = answer.service_tier
    return value


def _tell_passes(answer: Answer, counts: dict[str, Any]) -> None:
    """Each run of a model, the answer's own one last; beside them stand its own counts alone."""
    if answer.passes and "zero-usage" not in answer.faults:
        own = {name: counts[name] for name in ("input_tokens", *_cache_fields(answer), "output_tokens")}
        counts["iterations"] = [*(one.told() for one in answer.passes), {"type": "message", **own}]


def _content(answer: Answer) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if answer.thinking:
        signature = f"{answer.number:032x}"
        blocks.append({"type": "thinking", "thinking": answer.thinking.decode(), "signature": signature})
    choice = answer.choices[0]
    if choice.tool_name:
        arguments = answer_arguments(choice.arguments)
        blocks.append({"type": "tool_use", "id": _tool_id(answer), "name": choice.tool_name, "input": arguments})
    else:
        blocks.append({"type": "text", "text": choice.text.decode(), "citations": None})
    return blocks


def answer_arguments(arguments: bytes) -> Any:
    """The tool's input as an object: this dialect does not send it as text."""
    import msgspec  # noqa: PLC0415  used on this path only

    return msgspec.json.decode(arguments)


def _tool_id(answer: Answer) -> str:
    return f"toolu_{answer.number & (1 << 96) - 1:024x}"


def _message(answer: Answer, content: list[dict[str, Any]], stop: str | None, counts: dict[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = {
        "id": f"msg_{answer.number & (1 << 96) - 1:024x}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
    }
    if "missing-usage" not in answer.faults:
        value["usage"] = counts
    return value


def body(answer: Answer) -> bytes:
    """A whole message."""
    counts = usage(answer, answer.output_tokens)
    if answer.reasoning_tokens and "zero-usage" not in answer.faults:
        counts["output_tokens_details"] = {"thinking_tokens": answer.reasoning_tokens}
    _tell_passes(answer, counts)
    return answer.encode(_message(answer, _content(answer), FINISH[answer.choices[0].finish], counts))


def _event(answer: Answer, value: dict[str, Any]) -> bytes:
    end = answer.line_end
    name: str = value["type"]
    return b"event: " + name.encode() + end + b"data: " + answer.encode(value) + end * 2


def _block(answer: Answer, index: int, opening: dict[str, Any], deltas: list[dict[str, Any]]) -> list[bytes]:
    out = [_event(answer, {"type": "content_block_start", "index": index, "content_block": opening})]
    out += [_event(answer, {"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas]
    out.append(_event(answer, {"type": "content_block_stop", "index": index}))
    return out


def events(answer: Answer) -> list[Event]:
    """A whole stream: message_start, ping, blocks, cumulative message_delta, message_stop."""
    late = "cache-late" in answer.faults
    start = _message(answer, [], None, usage(answer, 1, late=late))
    out = [Event(_event(answer, {"type": "message_start", "message": start}), 0)]
    out.append(Event(_event(answer, {"type": "ping"}), 0))
    generated = 0
    for index, (opening, deltas, sizes) in enumerate(_blocks(answer)):
        steps = [0, *sizes, 0]
        for data, tokens in zip(_block(answer, index, opening, deltas), steps, strict=True):
            generated = min(answer.output_tokens, generated + tokens)
            out.append(Event(data, generated))
    if "two-deltas" in answer.faults:
        out.append(Event(_delta(answer, None, answer.output_tokens // 2), generated))
    out.append(Event(_delta(answer, FINISH[answer.choices[0].finish], answer.output_tokens), answer.output_tokens))
    out.append(Event(_event(answer, {"type": "message_stop"}), answer.output_tokens))
    return out


_Block = tuple[dict[str, Any], list[dict[str, Any]], list[int]]


def _blocks(answer: Answer) -> list[_Block]:
    """Each block's opening, its deltas, and the tokens that each delta stands for."""
    blocks: list[_Block] = []
    if answer.thinking:
        pieces = answer.pieces(answer.thinking)
        deltas: list[dict[str, Any]] = [{"type": "thinking_delta", "thinking": piece.decode()} for piece in pieces]
        deltas.append({"type": "signature_delta", "signature": f"{answer.number:032x}"})
        sizes = [-(-len(piece) // 4) for piece in pieces]
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, deltas, [*sizes, 0]))
    choice = answer.choices[0]
    opening: dict[str, Any]
    if choice.tool_name:
        pieces = answer.pieces(choice.arguments)
        opening = {"type": "tool_use", "id": _tool_id(answer), "name": choice.tool_name, "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": piece.decode()} for piece in pieces]
    else:
        pieces = answer.pieces(choice.text)
        opening = {"type": "text", "text": "", "citations": None}
        deltas = [{"type": "text_delta", "text": piece.decode()} for piece in pieces]
    blocks.append((opening, deltas, [-(-len(piece) // 4) for piece in pieces]))
    return blocks


def _delta(answer: Answer, stop: str | None, output_tokens: int) -> bytes:
    counts: dict[str, Any] = {"output_tokens": output_tokens}
    if "zero-usage" in answer.faults:
        counts = {"output_tokens": 0}
    else:
        counts = {"input_tokens": answer.split.fresh, **_cache_fields(answer), **counts}
        if answer.reasoning_tokens:
            counts["output_tokens_details"] = {"thinking_tokens": answer.reasoning_tokens}
        if answer.web_searches:
            counts["server_tool_use"] = {"web_search_requests": answer.web_searches, "web_fetch_requests": 0}
        if stop is not None:
            _tell_passes(answer, counts)
    value: dict[str, Any] = {"type": "message_delta"}
    value["delta"] = {"stop_reason": stop, "stop_sequence": None}
    if "missing-usage" not in answer.faults:
        value["usage"] = counts
    return _event(answer, value)


def error_event(answer: Answer) -> bytes:
    """An error in the middle of a stream."""
    error = {"type": "overloaded_error", "message": "Overloaded"}
    return _event(answer, {"type": "error", "error": error, "request_id": answer.request_id})


def error_body(refusal: Refusal, request_id: str) -> bytes:
    """An error answer."""
    kind = ERROR_TYPES.get(refusal.status, "api_error")
    return compact({"type": "error", "error": {"type": kind, "message": refusal.message}, "request_id": request_id})


def fault_refusal(status: int) -> Refusal:
    """What this provider answers when it is limited, broken or overloaded."""
    texts = {
        429: "This request would exceed your organization's rate limit of 4000 requests per minute.",
        529: "Overloaded",
    }
    return Refusal(status, ERROR_TYPES.get(status, "api_error"), texts.get(status, "Internal server error"))


def unknown_model(model: str) -> Refusal:
    """The model is not sold here."""
    return Refusal(404, "not_found_error", f"model: {model}")


def model_object(name: str, vendor: str) -> dict[str, Any]:  # noqa: ARG001  one signature for both dialects
    """One entry of the model list."""
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "2025-10-09T00:00:00Z",
        "lifecycle": "active",
    }


def model_list(models: list[dict[str, Any]]) -> dict[str, Any]:
    """The model list."""
    return {"data": models, "has_more": False, "first_id": models[0]["id"], "last_id": models[-1]["id"]}
