"""Answers that the gateway itself gives: refusals in the shape of the client's dialect, problem+json elsewhere, JSON and text."""

import json
import re
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from tokenroll.gateway.heads import RequestHead
from tokenroll.model.identifier import identifier
from tokenroll.model.instant import Instant
from tokenroll.upstream.anthropic import Messages
from tokenroll.upstream.audio import Speech, Transcriptions, Translations
from tokenroll.upstream.completions import Completions
from tokenroll.upstream.dialect import Dialect, ErrorAnswer
from tokenroll.upstream.embeddings import Embeddings
from tokenroll.upstream.file_batches import FileBatches
from tokenroll.upstream.fine_tuning import FineTuningJobs
from tokenroll.upstream.images import ImageEdits, ImageGenerations
from tokenroll.upstream.message_batches import MessageBatches
from tokenroll.upstream.moderations import Moderations
from tokenroll.upstream.openai import ChatCompletions
from tokenroll.upstream.rerank import Rerank, RerankV2
from tokenroll.upstream.responses import Responses

OPENAI: Final[Dialect] = ChatCompletions()
ANTHROPIC: Final[Dialect] = Messages()
FAMILIES: Final[Mapping[str, tuple[Dialect, ...]]] = {
    "openai": (
        OPENAI,
        Responses(),
        Completions(),
        Embeddings(),
        Moderations(),
        Rerank(),
        RerankV2(),
        ImageGenerations(),
        ImageEdits(),
        Speech(),
        Transcriptions(),
        Translations(),
        FileBatches(),
        FineTuningJobs(),
    ),
    "anthropic": (ANTHROPIC, MessageBatches()),
}
"""All endpoints that calls are made at, by what a deployment names as its dialect."""
ENDPOINTS: Final[Mapping[bytes, Dialect]] = {one.path: one for family in FAMILIES.values() for one in family}
DIALECTS: Final = tuple(sorted(ENDPOINTS.values(), key=lambda one: one.index))
"""The same by their numbers, which are gapless."""

_CONTENT_TYPES: Final = re.compile(rb"^content-type:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)

_HAS_ID: Final = re.compile(rb"^(?:x-request-id|request-id|x-tokenroll-call-id):", re.IGNORECASE | re.MULTILINE)
_OPENAIS_ERROR: Final = re.compile(rb'\{"error": ?\{')
_ANTHROPICS_ERROR: Final = re.compile(rb'\{"type": ?"error", ?"error": ?\{')

STATUS_LINES: Final = {
    status: b"HTTP/1.1 %d %b\r\n"
    % (status, HTTPStatus(status).phrase.encode() if status in set(HTTPStatus) else b"Status")
    for status in range(100, 600)
}
"""The first line of an answer. The phrase means nothing to programs."""


def status_line(status: int) -> bytes:
    """The first line for any three-digit status."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d Status\r\n" % status


def dialect_of(head: RequestHead) -> Dialect | None:
    """In whose words a request is answered: by path, else by the headers that only one dialect has; None: in our own."""
    path = head.path
    found = ENDPOINTS.get(path)
    if found is not None:
        if head.betas:
            return found.with_betas(head.betas)
        return found.read_as(_CONTENT_TYPES.findall(head.forward)) if found.takes_forms else found
    if (head.anthropic or head.betas) and path.startswith(b"/v1/"):
        return ANTHROPIC
    return OPENAI if path.startswith(b"/v1/") else None


def dialect_of_bytes(data: bytes) -> Dialect | None:
    """The same for a head that could not be read: what its first line looks like."""
    line = data.removeprefix(b"\r\n").partition(b"\n")[0]
    if b"/v1/messages" in line:
        return ANTHROPIC
    return OPENAI if b"/v1/" in line else None


def error_answer(
    dialect: Dialect | None, status: int, code: str, message: str, *, retry_after_seconds: int = 0, headers: bytes = b""
) -> ErrorAnswer:
    """An error for a reader of `dialect`, or problem+json (RFC 9457) for a reader of ours. `headers` are lines to add."""
    if dialect is not None:
        answer = dialect.error(status, code, message, retry_after_seconds=retry_after_seconds)
        return ErrorAnswer(answer.status, answer.headers + headers, answer.body)
    body = json.dumps(
        {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": message}
    )
    retry = b"retry-after: %d\r\n" % retry_after_seconds if retry_after_seconds else b""
    return ErrorAnswer(status, b"content-type: application/problem+json\r\n" + retry + headers, body.encode())


def refusal_id(now: Instant) -> bytes:
    """A fresh id for what is refused and is no call: it says when that was, and is written nowhere else."""
    return identifier("refusal", now // 1000, secrets.randbits(80)).encode()


def identified(answer: ErrorAnswer, request_id: bytes) -> ErrorAnswer:
    """An error of ours with an id that a person can quote, where the clients of its dialect look for one.

    Its body shows whose words it is in. One that has an id, as a provider's own that was kept for a call has, stays as it is.
    """
    headers, body = answer.headers, answer.body
    if _HAS_ID.search(headers) is not None:
        return answer
    if _OPENAIS_ERROR.match(body) is not None:
        return ErrorAnswer(answer.status, b"%bx-request-id: %b\r\n" % (headers, request_id), body)
    if _ANTHROPICS_ERROR.match(body) is not None and body.endswith(b"}"):
        named = b'%b, "request_id": "%b"}' % (body[:-1], request_id)
        return ErrorAnswer(answer.status, b"%brequest-id: %b\r\n" % (headers, request_id), named)
    return answer


def json_answer(value: dict[str, Any], status: int = 200) -> ErrorAnswer:
    """A JSON answer of ours; never stored by anything between, because it is about money."""
    return ErrorAnswer(
        status,
        b"content-type: application/json\r\ncache-control: no-store\r\n",
        json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(),
    )


def text_answer(text: str, content_type: bytes = b"text/plain; version=0.0.4; charset=utf-8") -> ErrorAnswer:
    """A text answer of ours."""
    return ErrorAnswer(200, b"content-type: %b\r\ncache-control: no-store\r\n" % content_type, text.encode())
