"""`POST /v1/traces`: OTLP over HTTP in JSON, as exporters of spans send it. Calls of models among the spans become usage events.

Answers are OTLP's: 200 with what was rejected, 503 for what is to be sent again. An admin key is needed, because a span says whose
call it was, and nobody may say that of others.
"""

import json
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tokenroll.api.application import admitted
from tokenroll.api.receiving import Taking, body_of
from tokenroll.app import Reader
from tokenroll.model.limits import SPANS_BODY_BYTES_MAX, SPANS_DRAIN_SECONDS
from tokenroll.services.span_intake import SpanIntake, SpoolError, Taken
from tokenroll.store.lake_libraries import LakeLibraryError

PATH: Final = "/v1/traces"
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
        body = await body_of(request, SPANS_BODY_BYTES_MAX, "Spans")
        try:
            return _told(await run_in_threadpool(intake.take, body))
        except LakeLibraryError as error:
            raise HTTPException(501, f"{error}") from error
        except SpoolError as error:
            raise HTTPException(503, f"{error}", {"retry-after": str(SPANS_DRAIN_SECONDS)}) from error
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, f"This is no OTLP in JSON: {error}") from error

    return Route(PATH, Taking(answer, "spans"))


def _told(taken: Taken) -> Response:
    """Nothing where all is well; 64-bit integers are texts in OTLP's JSON."""
    if not taken.rejected_count:
        return JSONResponse({})
    told = {"rejectedSpans": str(taken.rejected_count), "errorMessage": f"the first of them: {taken.reason}"}
    return Response(json.dumps({"partialSuccess": told}), media_type="application/json")
