"""A trace's call as the bytes of an HTTP request: the prompt made up, its size and shared prefixes true.

No trace holds text, so a prompt is filler: four bytes for each token it stands for (fewer would make the byte bound a lie), and
equal blocks have equal text, so that a prompt cache finds the prefixes that the trace recorded.
"""

import json
from typing import Any, Final

from tokenroll.services.traces import TraceCall

BYTES_PER_TOKEN: Final = 4
CAPS: Final = (64, 256, 1_024, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072)
"""A client asks for the smallest of these that holds its answer: bounds are then as loose as real clients' round caps."""
CHAT_PATH: Final = "/v1/chat/completions"
MESSAGES_PATH: Final = "/v1/messages"


def speaks_messages(model: str) -> bool:
    """Whether a client of this model speaks the Anthropic dialect."""
    return model.startswith("claude")


def cap_of(output_tokens: int) -> int:
    """The output cap that a client of an answer this long asks for."""
    return next((cap for cap in CAPS if cap >= output_tokens), output_tokens)


def prompt_parts(call: TraceCall) -> list[str]:
    """The prompt as parts: one per recorded block, then what is left; together four bytes for each input token."""
    parts = []
    left = call.input_tokens
    for block in call.blocks:
        tokens = min(left, call.block_tokens)
        if tokens <= 0:
            break
        parts.append(_filler(f"b{block & 0xFFFFFFFFFF:010x} ", tokens))
        left -= tokens
    if left > 0:
        parts.append(_filler(f"r{call.line:010x} ", left))
    return parts


def _filler(unit: str, tokens: int) -> str:
    size = tokens * BYTES_PER_TOKEN
    return (unit * (size // len(unit) + 1))[:size]


def body_of(call: TraceCall, *, stream: bool, salt: str = "") -> bytes:
    """The JSON body. `salt` makes the prompt one that no cache has seen, without changing its size by more than itself."""
    parts = prompt_parts(call)
    if salt:
        parts.insert(0, salt)
    body: dict[str, Any] = {"model": call.model}
    if speaks_messages(call.model):
        content: list[dict[str, Any]] = [{"type": "text", "text": part} for part in parts]
        if call.blocks:
            # The client marks the end of what it will send again, as agents do.
            content[min(len(call.blocks), len(content)) - 1]["cache_control"] = {"type": "ephemeral"}
        body["max_tokens"] = cap_of(call.output_tokens)
        body["messages"] = [{"role": "user", "content": content}]
    else:
        body["max_completion_tokens"] = cap_of(call.output_tokens)
        body["messages"] = [{"role": "user", "content": "".join(parts)}]
    if stream:
        body["stream"] = True
    return json.dumps(body, separators=(",", ":")).encode()


def request_of(call: TraceCall, body: bytes, *, host: str, key: str, more: str = "") -> bytes:
    """The whole request; the simulated provider is told the sizes that the trace recorded."""
    messages = speaks_messages(call.model)
    credential = f"x-api-key: {key}\r\nanthropic-version: 2023-06-01" if messages else f"authorization: Bearer {key}"
    head = (
        f"POST {MESSAGES_PATH if messages else CHAT_PATH} HTTP/1.1\r\nhost: {host}\r\n{credential}\r\n"
        f"content-type: application/json\r\nx-sim-input-tokens: {call.input_tokens}\r\n"
        f"x-sim-output-tokens: {call.output_tokens}\r\n{more}content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
