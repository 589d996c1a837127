"""`POST /v1/traces`: OTLP over HTTP in JSON, as exporters of spans send it. Calls of models among the spans become usage events.

Answers are OTLP's: 200 with what was rejected, 503 for what is to be sent again. An admin key is needed, because a span says whose
call it was, and nobody may say that of others.
"""

import json
import logging
import zlib
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tokenroll.api.application import admitted, problem
from tokenroll.app import Reader
from tokenroll.model.limits import SPANS_BODY_BYTES_MAX, SPANS_DRAIN_SECONDS
from tokenroll.services.span_intake import SpanIntake, SpoolError, Taken
from tokenroll.store.lake_libraries import LakeLibraryError

_log = logging.getLogger(__name__)
PATH: Final = "/v1/traces"
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
_GZIP_WINDOW: Final = 31
HOW_TO_SEND: Final = (
    "Spans are taken as JSON: set OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/json where the exporter knows it, "
    "else send them through a collector whose otlphttp exporter has `encoding: json`."
)


def traces_route(reader: Reader, intake: SpanIntake) -> Route:
    """The route, of every method, so that each is answered in this door's words."""

    def judge(request: Request) -> None:
        with reader.reports() as reports:
            admitted(reader, reports, request, admin=True)

    async def answer(request: Request) -> Response:
        if request.method != "POST":
            raise HTTPException(405, "Spans are sent with POST.", {"allow": "POST"})
        await run_in_threadpool(judge, request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise HTTPException(415, HOW_TO_SEND)
        body = await _body(request)
        try:
            return _told(await run_in_threadpool(intake.take, body))
        except LakeLibraryError as error:
            raise HTTPException(501, f"{error}") from error
        except SpoolError as error:
            raise HTTPException(503, f"{error}", {"retry-after": str(SPANS_DRAIN_SECONDS)}) from error
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, f"This is no OTLP in JSON: {error}") from error

    return Route(PATH, _in_our_words(answer), methods=_METHODS)


def _in_our_words(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Problems as problem+json here too, where the application around would tell them to people."""

    async def handle(request: Request) -> Response:
        try:
            return await answer(request)
        except HTTPException as error:
            return await problem(request, error)
        except Exception as error:  # noqa: BLE001 - a door: logged, and told in this door's words
            _log.exception("spans could not be taken")
            return await problem(request, error)

    return handle


def _told(taken: Taken) -> Response:
    """Nothing where all is well; 64-bit integers are texts in OTLP's JSON."""
    if not taken.rejected_count:
        return JSONResponse({})
    told = {"rejectedSpans": str(taken.rejected_count), "errorMessage": f"the first of them: {taken.reason}"}
    return Response(json.dumps({"partialSuccess": told}), media_type="application/json")


async def _body(request: Request) -> bytes:
    """The body, unpacked, bounded either way."""
    packed = request.headers.get("content-encoding", "identity").strip().lower()
    if packed not in {"identity", "gzip"}:
        raise HTTPException(415, f"A body may be packed with gzip, not {packed[:40]}.", {"accept-encoding": "gzip"})
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > SPANS_BODY_BYTES_MAX:
            raise _too_large()
    return bytes(body) if packed == "identity" else await run_in_threadpool(_unpacked, bytes(body))


def _unpacked(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    try:
        unpacked = unpacker.decompress(body, SPANS_BODY_BYTES_MAX + 1)
    except zlib.error as error:
        raise HTTPException(400, f"The body is no gzip: {error}") from error
    if len(unpacked) > SPANS_BODY_BYTES_MAX:
        raise _too_large()
    if not unpacker.eof or unpacker.unused_data:
        raise HTTPException(400, "The body is not one whole gzip stream.")
    return unpacked


def _too_large() -> HTTPException:
    return HTTPException(413, f"Spans are taken up to {SPANS_BODY_BYTES_MAX} bytes at a time: send fewer at once.")
