"""Messages as Amazon Bedrock serves them: the model in the path, the version in the body, events in binary frames, errors of its own."""

import base64
import json
import re
import zlib
from typing import Any, Final
from urllib.parse import unquote

from tokenroll.upstream.simulated.asked import Asked, Refusal, asked_of_messages, decoded
from tokenroll.upstream.simulated.shapes import compact

_PATH: Final = re.compile(r"/model/([^/]+)/(invoke|invoke-with-response-stream)")
_VERSION: Final = "bedrock-2023-05-31"
REQUEST_ID_HEADER: Final = b"x-amzn-requestid"
LIMIT_HEADERS: Final = b""
LIMITED_HEADERS: Final = b"x-amzn-errortype: ThrottlingException\r\n"
STREAM_KIND: Final = b"application/vnd.amazon.eventstream"
_PADDING: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
"""Payloads are padded, so that their sizes do not tell what was said."""
_EXCEPTIONS: Final = {"overloaded_error": "serviceUnavailableException"}
_JSON: Final = (":content-type", "application/json")


def is_here(path: bytes) -> bool:
    """Whether it is asked for as at Bedrock."""
    return path.startswith(b"/model/")


def understand(path: bytes, raw: bytes) -> tuple[Asked, bytes]:
    """What is asked for, and the same request as it would be at Anthropic. Raises Refusal."""
    match = _PATH.fullmatch(unquote(path.decode("latin-1")))
    if match is None:
        raise Refusal(404, "not_found_error", "UnknownOperationException")
    body = decoded(raw)
    if body.pop("anthropic_version", None) != _VERSION:
        raise Refusal(400, "invalid_request_error", "anthropic_version: Field required")
    for name in ("model", "stream"):
        if name in body:
            raise Refusal(400, "invalid_request_error", f"{name}: Extra inputs are not permitted")
    plain = compact({**body, "model": match[1], "stream": match[2] != "invoke"})
    asked = asked_of_messages(plain)
    asked.at_bedrock = True
    return asked, plain


def error_body(refusal: Refusal, request_id: str) -> bytes:  # noqa: ARG001  one signature for all dialects
    """An error answer."""
    return compact({"message": refusal.message})


def framed(event: bytes, received_ns: int, now_ns: int) -> bytes:
    """One server-sent event of Anthropic's as a frame; an error as an exception."""
    data = b"\n".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))
    try:
        value: Any = json.loads(data)
    except ValueError:
        value = {}
    if value.get("type") == "error":
        kind = _EXCEPTIONS.get(value["error"]["type"], "internalServerException")
        headers = [(":exception-type", kind), _JSON, (":message-type", "exception")]
        return _frame(headers, compact({"message": value["error"]["message"]}))
    if value.get("type") == "message_stop":
        value["amazon-bedrock-invocationMetrics"] = _metrics((now_ns - received_ns) // 1_000_000)
        data = compact(value)
    payload = {"bytes": base64.b64encode(data).decode(), "p": _PADDING[: 1 + zlib.adler32(data) % len(_PADDING)]}
    return _frame([(":event-type", "chunk"), _JSON, (":message-type", "event")], compact(payload))


def _metrics(latency_ms: int) -> dict[str, int]:
    """What Bedrock adds to the last event. Its counts are no bill: here they are never what was used, so that nobody charges by them."""
    return {
        "inputTokenCount": 1_000_003,
        "outputTokenCount": 1_000_033,
        "invocationLatency": latency_ms,
        "firstByteLatency": latency_ms,
    }


def _frame(headers: list[tuple[str, str]], payload: bytes) -> bytes:
    raw = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + len(value).to_bytes(2, "big") + value.encode()
        for name, value in headers
    )
    sizes = (16 + len(raw) + len(payload)).to_bytes(4, "big") + len(raw).to_bytes(4, "big")
    start = sizes + zlib.crc32(sizes).to_bytes(4, "big") + raw + payload
    return start + zlib.crc32(start).to_bytes(4, "big")
