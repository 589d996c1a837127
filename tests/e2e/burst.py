"""Many calls at once without a client library: a connection each, so that nothing but the gateway decides who is served first."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple


class Answered(NamedTuple):
    """How one call ended for its client. `status` 0: the connection broke before the head was whole; `whole`: the body came to its end."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool


class Burst:
    """Calls under way. `answers` grow as they end; `pieces` counts the chunks of each that have come, `connected` the connections."""

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self.answers: dict[int, Answered] = {}
        self.pieces = [0] * len(requests)
        self.connected = 0
        self._tasks = [asyncio.create_task(self._one(port, number, request)) for number, request in enumerate(requests)]

    def leave(self, number: int) -> None:
        """That client leaves now, if it is still there."""
        self._tasks[number].cancel()

    async def _one(self, port: int, number: int, request: bytes) -> None:
        status, headers, body, whole = 0, {}, bytearray(), False
        writer = None
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            self.connected += 1
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(head[0].split()[1])
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            async for data in _body(reader, headers):
                self.pieces[number] += 1
                body += data
            whole = True
        if writer is not None:
            if not whole:
                writer.transport.abort()
            writer.close()
        self.answers[number] = Answered(status, headers, bytes(body), whole)

    async def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Waits for a condition that other threads and tasks bring about."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - the condition is in another thread
                await asyncio.sleep(0.01)

    async def finish(self) -> list[Answered]:
        """All answers, in the order of the requests."""
        await asyncio.gather(*self._tasks)
        return [self.answers[number] for number in range(len(self._tasks))]


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]):
    if "chunked" not in headers.get("transfer-encoding", ""):
        yield await reader.readexactly(int(headers.get("content-length", "0")))
        return
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)


def run(work: Callable[[], Awaitable[list[Answered]]]) -> list[Answered]:
    """The answers of a story told as a coroutine."""

    async def story() -> list[Answered]:
        return await work()

    return asyncio.run(story())


def body_of(size: int, **fields: object) -> bytes:
    """A request body of exactly `size` bytes; its one message is made as long as that needs."""
    call = {**fields, "messages": [{"role": "user", "content": ""}]}
    empty = json.dumps(call, separators=(",", ":"))
    call["messages"] = [{"role": "user", "content": "x" * (size - len(empty))}]
    return json.dumps(call, separators=(",", ":")).encode()
