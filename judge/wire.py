"""Calls as any client makes them, without a client library: each on a connection of its own, and each may leave when it likes."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Call:
    """What is sent. `leave_after`: the client is gone after so many pieces of the answer's body."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    method: str = "POST"
    leave_after: int | None = None

    def raw(self) -> bytes:
        """The whole request."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        head = f"{self.method} {self.path} HTTP/1.1\r\nhost: judged\r\ncontent-type: application/json\r\n{lines}"
        return f"{head}content-length: {len(self.body)}\r\n\r\n".encode() + self.body


@dataclass(frozen=True)
class Answer:
    """What came back. `status` is 0 where the connection broke before a head came, or the client left."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_whole: bool

    @property
    def is_served(self) -> bool:
        return self.status == 200 and self.is_whole

    @property
    def is_denied(self) -> bool:
        """Whether a gateway said no for want of money, in any of the ways that gateways do."""
        return self.status in {400, 402, 403, 429} and self.is_whole

    def json(self) -> Any:
        return json.loads(self.body)


class Calls:
    """Calls under way at the same time."""

    def __init__(self, base_url: str, calls: Sequence[Call]) -> None:
        address = urlsplit(base_url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        self.answers: dict[int, Answer] = {}
        self.pieces = [0] * len(calls)
        self._tasks = [asyncio.create_task(self._one(number, call)) for number, call in enumerate(calls)]

    def leave(self) -> None:
        """Every client that still waits is gone."""
        for task in self._tasks:
            task.cancel()

    async def finish(self, seconds: float = 90) -> list[Answer]:
        """All answers in the order of the calls; whoever has none by then is gone."""
        _, waiting = await asyncio.wait(self._tasks, timeout=seconds)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        nothing = Answer(0, {}, b"", is_whole=False)
        return [self.answers.get(number, nothing) for number in range(len(self._tasks))]

    async def _one(self, number: int, call: Call) -> None:
        status, headers, body, is_whole = 0, {}, bytearray(), False
        writer: asyncio.StreamWriter | None = None
        try:
            with contextlib.suppress(OSError, EOFError, ValueError, asyncio.LimitOverrunError):
                reader, writer = await asyncio.open_connection(self._host, self._port, limit=2**22)
                writer.write(call.raw())
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                status = int(head[0].split()[1])
                named = (line.partition(":") for line in head[1:] if line)
                headers = {name.strip().lower(): value.strip() for name, _, value in named}
                async for piece in body_pieces(reader, headers):
                    self.pieces[number] += 1
                    body += piece
                    if self.pieces[number] == call.leave_after:
                        return
                is_whole = True
        finally:
            self.answers[number] = Answer(status, headers, bytes(body), is_whole)
            if writer is not None:
                writer.transport.abort() if not is_whole else writer.close()


async def body_pieces(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
    """The body as it comes: by chunks, by length, or until the connection ends."""
    if "chunked" in headers.get("transfer-encoding", ""):
        while size := int(await reader.readuntil(b"\r\n"), 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
    elif "content-length" in headers:
        yield await reader.readexactly(int(headers["content-length"]))
    else:
        while piece := await reader.read(2**16):
            yield piece


async def ask(base_url: str, call: Call, seconds: float = 60) -> Answer:
    """One call alone."""
    (answer,) = await Calls(base_url, [call]).finish(seconds)
    return answer
