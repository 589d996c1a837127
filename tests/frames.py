"""A writer of Amazon's frames that knows nothing of the reader in the product: for providers of tests. Its own judge is in tests/unit/upstream/test_aws_frames.py."""

import base64
import binascii
import json
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\ntransfer-encoding: chunked\r\n\r\n"
START = '{"type":"message_start","message":{"id":"m","model":"toy","usage":{"input_tokens":10,"output_tokens":1}}}'
TEXT = '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}'
DELTA = '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}'
STOP = (
    '{"type":"message_stop","amazon-bedrock-invocationMetrics":'
    '{"inputTokenCount":999,"outputTokenCount":888,"invocationLatency":700,"firstByteLatency":60}}'
)
"""Ten tokens in and five out, which cost 70,000 nanos with the toy card; what Bedrock adds says something else."""


def sse(event: str) -> bytes:
    """The event as Anthropic itself sends it."""
    return f"event: {json.loads(event)['type']}\ndata: {event}\n\n".encode()


STREAM = sse(START) + sse(TEXT) + sse(DELTA) + sse(STOP)


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def header(name: str, value: str) -> bytes:
    raw = value.encode()
    return number(len(name), 1) + name.encode() + b"\x07" + number(len(raw), 2) + raw


def frame(headers: bytes, payload: bytes) -> bytes:
    lengths = number(16 + len(headers) + len(payload), 4) + number(len(headers), 4)
    rest = lengths + number(binascii.crc32(lengths), 4) + headers + payload
    return rest + number(binascii.crc32(rest), 4)


def event_headers(kind: str = "chunk") -> bytes:
    return header(":event-type", kind) + header(":content-type", "application/json") + header(":message-type", "event")


def event_frame(event: str) -> bytes:
    """One of Anthropic's events as Bedrock sends it."""
    payload: dict[str, Any] = {"bytes": base64.b64encode(event.encode()).decode(), "p": "abcdefghij"[: len(event) % 10]}
    return frame(event_headers(), json.dumps(payload, separators=(",", ":")).encode())


def exception_frame(kind: str, message: str) -> bytes:
    """How Bedrock ends a stream that fails."""
    headers = (
        header(":exception-type", kind)
        + header(":content-type", "application/json")
        + header(":message-type", "exception")
    )
    return frame(headers, json.dumps({"message": message}).encode())


FRAMES = event_frame(START) + event_frame(TEXT) + event_frame(DELTA) + event_frame(STOP)
