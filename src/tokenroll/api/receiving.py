"""What addresses that take something share: bodies, bounded and unpacked, and problems in this door's words."""

import logging
import zlib
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tokenroll.api.application import problem

_log = logging.getLogger(__name__)
_GZIP_WINDOW: Final = 31


class Taking:
    """An address that answers every method in this door's words, where the application around would tell problems to people."""

    def __init__(self, answer: Callable[[Request], Awaitable[Response]], what: str) -> None:
        self._answer = answer
        self._what = what
        """What is taken, for the log."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The answer, or its problem as problem+json."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except HTTPException as error:
            response = await problem(request, error)
        except Exception as error:  # noqa: BLE001 - a door: logged, and told in this door's words
            _log.exception("%s could not be taken", self._what)
            response = await problem(request, error)
        await response(scope, receive, send)


async def body_of(request: Request, bytes_max: int, what: str) -> bytes:
    """The body, unpacked, bounded either way. `what` stands in it, in words, with a capital."""
    packed = request.headers.get("content-encoding", "identity").strip().lower()
    if packed not in {"identity", "gzip"}:
        raise HTTPException(415, f"A body may be packed with gzip, not {packed[:40]}.", {"accept-encoding": "gzip"})
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise _too_large(bytes_max, what)
    return bytes(body) if packed == "identity" else await run_in_threadpool(_unpacked, bytes(body), bytes_max, what)


def _unpacked(body: bytes, bytes_max: int, what: str) -> bytes:
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    try:
        unpacked = unpacker.decompress(body, bytes_max + 1)
    except zlib.error as error:
        raise HTTPException(400, f"The body is no gzip: {error}") from error
    if len(unpacked) > bytes_max:
        raise _too_large(bytes_max, what)
    if not unpacker.eof or unpacker.unused_data:
        raise HTTPException(400, "The body is not one whole gzip stream.")
    return unpacked


def _too_large(bytes_max: int, what: str) -> HTTPException:
    return HTTPException(413, f"{what} are taken up to {bytes_max} bytes at a time: send fewer at once.")
