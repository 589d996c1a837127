"""Every way there is to a provider, as one table: what is asked where, in which words, and how its answer comes.

A suite that says "on every route" goes over this table; `test_it_fails_like_no_peer.py` holds it to the gateway's own list of endpoints,
so that a new endpoint is tried from its first day.
"""

import http.client
import io
import json
import socket
import struct
import threading
import wave
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

HELLO = "How much is left?"
TALK = [{"role": "user", "content": HELLO}]
BOUNDARY = "slip"
TEN = {"x-sim-output-tokens": "10"}


@dataclass(frozen=True)
class Route:
    """One way. `asked` is a JSON body, or with `file` the fields of a form that carries it."""

    path: str
    asked: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    file: tuple[str, bytes] | None = None
    streams: bool = False
    is_free: bool = False
    """Whether the rate card sells it for nothing: no wallet is too empty for it."""
    goes_on: bool = False
    """Whether it is answered with a receipt, and charged when its provider has been asked."""

    @cached_property
    def dialect(self) -> str:
        return "anthropic" if self.path.startswith("/v1/messages") else "openai"

    @cached_property
    def model(self) -> str:
        """The model that it asks for."""
        return self.asked["requests"][0]["params"]["model"] if "requests" in self.asked else self.asked["model"]

    def of(self, model: str) -> "Route":
        """The same way to another model."""
        if "requests" not in self.asked:
            asked = {**self.asked, "model": model}
        else:
            (one,) = self.asked["requests"]
            asked = {"requests": [{**one, "params": {**one["params"], "model": model}}]}
        return Route(self.path, asked, self.headers, self.file, self.streams, self.is_free, self.goes_on)

    def body(self) -> tuple[bytes, str]:
        """What is sent, and its content type."""
        if self.file is None:
            return json.dumps(self.asked).encode(), "application/json"
        parts = [(f'name="{name}"', str(value).encode()) for name, value in self.asked.items()]
        parts.append((f'name="{self.file[0]}"; filename="it"', self.file[1]))
        lines = b"".join(
            f"--{BOUNDARY}\r\ncontent-disposition: form-data; {named}\r\n\r\n".encode() + value + b"\r\n"
            for named, value in parts
        )
        return lines + f"--{BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}"

    def head_lines(self, key: str, **more: str) -> dict[str, str]:
        """All headers but the length."""
        named = {name.replace("_", "-"): value for name, value in more.items()}
        own = (
            {"x-api-key": key, "anthropic-version": "2023-06-01"}
            if self.dialect == "anthropic"
            else {"authorization": f"Bearer {key}"}
        )
        return {"content-type": self.body()[1], **own, **self.headers, **named}

    def raw(self, key: str, **more: str) -> bytes:
        """The whole request as bytes."""
        body = self.body()[0]
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.head_lines(key, **more).items())
        return f"POST {self.path} HTTP/1.1\r\nhost: gw\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def passed(self) -> bool:
        return self.status == 200

    @property
    def words(self) -> str:
        """The sentence of an error, in whichever dialect."""
        error = json.loads(self.body)["error"]
        return str(error["message"])

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["error"]["code"])


def recording(seconds: int) -> bytes:
    """A WAV of 8,000 samples a second, of 16 bits each."""
    data = io.BytesIO()
    with wave.open(data, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8_000)
        sound.writeframes(bytes(16_000 * seconds))
    return data.getvalue()


PNG = b"\x89PNG\r\n\x1a\n"
SMALL = {"size": "1024x1024", "quality": "low"}
CHAT = {"model": "gpt-4o-mini", "messages": TALK, "max_tokens": 300}
RESPONSE = {"model": "gpt-4o-mini", "input": HELLO, "max_output_tokens": 300}
PROMPT = {"model": "gpt-3.5-turbo-instruct", "prompt": HELLO, "max_tokens": 300}
PICTURE = {"model": "gpt-image-1.5", "prompt": HELLO, **SMALL}
MESSAGE = {"model": "claude-haiku-4-5", "messages": TALK, "max_tokens": 300}
RANKS = {"query": "allowance", "documents": ["a slip", "a plan"]}
BATCH = {"requests": [{"custom_id": "one", "params": {**MESSAGE, "metadata": {"sim_output_tokens": "10"}}}]}
STREAM = {"stream": True}

ROUTES: dict[str, Route] = {
    "chat": Route("/v1/chat/completions", CHAT, TEN),
    "chat, streamed": Route("/v1/chat/completions", CHAT | STREAM, TEN, streams=True),
    "responses": Route("/v1/responses", RESPONSE, TEN),
    "responses, streamed": Route("/v1/responses", RESPONSE | STREAM, TEN, streams=True),
    "responses, in the background": Route("/v1/responses", RESPONSE | {"background": True}, TEN, goes_on=True),
    "completions": Route("/v1/completions", PROMPT, TEN),
    "completions, streamed": Route("/v1/completions", PROMPT | STREAM, TEN, streams=True),
    "embeddings": Route("/v1/embeddings", {"model": "text-embedding-3-small", "input": HELLO}),
    "moderations": Route("/v1/moderations", {"model": "omni-moderation-latest", "input": HELLO}, is_free=True),
    "ranks": Route("/v1/rerank", {"model": "reranker", **RANKS}),
    "ranks by the search": Route("/v2/rerank", {"model": "rerank-v3.5", **RANKS}),
    "pictures": Route("/v1/images/generations", PICTURE),
    "pictures, streamed": Route("/v1/images/generations", PICTURE | STREAM, streams=True),
    "pictures of pictures": Route("/v1/images/edits", PICTURE, file=("image", PNG)),
    "speech": Route("/v1/audio/speech", {"model": "tts-1", "voice": "alloy", "input": HELLO}),
    "speech, streamed": Route(
        "/v1/audio/speech",
        {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": HELLO, "stream_format": "sse"},
        streams=True,
    ),
    "transcripts": Route("/v1/audio/transcriptions", {"model": "whisper-1"}, file=("file", recording(1))),
    "transcripts, streamed": Route(
        "/v1/audio/transcriptions", {"model": "gpt-4o-transcribe", "stream": "true"}, file=("file", recording(1)), streams=True
    ),
    "translations": Route("/v1/audio/translations", {"model": "whisper-1"}, file=("file", recording(1))),
    "messages": Route("/v1/messages", MESSAGE, TEN),
    "messages, streamed": Route("/v1/messages", MESSAGE | STREAM, TEN, streams=True),
    "batches": Route("/v1/messages/batches", BATCH, goes_on=True),
}  # fmt: skip
"""Every way that costs something, by name."""
ERRANDS: dict[str, Route] = {
    "counting a message": Route("/v1/messages/count_tokens", {"model": "claude-haiku-4-5", "messages": TALK}),
    "counting a response": Route("/v1/responses/input_tokens", {"model": "gpt-4o-mini", "input": HELLO}),
}
"""Ways that reach a provider and are free there."""


def asked(port: int, route: Route, key: str, **more: str) -> Answer:
    """One call from beginning to end."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", route.path, route.body()[0], route.head_lines(key, **more))
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, headers, answer.read())
    finally:
        connection.close()


class AtOnce:
    """Calls under way, a thread each; `answers` has what came back, None for a connection that broke."""

    def __init__(self, port: int, calls: Sequence[tuple[Route, str]], **more: str) -> None:
        self.answers: list[Answer | None] = [None] * len(calls)
        self._threads = [
            threading.Thread(target=self._one, args=(place, port, route, key, more))
            for place, (route, key) in enumerate(calls)
        ]
        for thread in self._threads:
            thread.start()

    def _one(self, place: int, port: int, route: Route, key: str, more: dict[str, str]) -> None:
        try:
            self.answers[place] = asked(port, route, key, **more)
        except (OSError, http.client.HTTPException):
            return

    @property
    def answered(self) -> int:
        """How many have come back by now."""
        return sum(not thread.is_alive() for thread in self._threads)

    def finish(self) -> list[Answer | None]:
        for thread in self._threads:
            thread.join(60)
        return self.answers


def sent(port: int, request: bytes) -> socket.socket:
    """A connection on which one request has been sent."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(request)
    return connection


def gone(connection: socket.socket) -> None:
    """The client has gone, as a process that was killed: no half-closed connection that still waits for its answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
