"""The JSON door: what one may know of oneself with an inference key, and of the company with an admin key. Reads only.

Writes go by commands to the ledger (`tokenroll NOUN VERB`); their JSON door comes with the approvals work. Money is a decimal
string with its unit, times are RFC 3339, errors are problem+json (DESIGN §10).
"""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from tokenroll.api.lake_questions import lake_answers, own_runway
from tokenroll.api.openapi import document
from tokenroll.app import Reader
from tokenroll.model.api_key import KeyScope
from tokenroll.model.limits import LIVE_AGE_SECONDS_MAX
from tokenroll.services.history import CALLS_SHOWN_MAX, DaySums
from tokenroll.services.live_metrics import PROMETHEUS_TYPE, prometheus_text
from tokenroll.services.live_usage import LiveUsage, NotCountedYetError
from tokenroll.services.refusal import Refused
from tokenroll.services.reporting import Reports, Visitor
from tokenroll.services.wire import to_wire

Answer: TypeAlias = Callable[[Request, Reports, Visitor], Any]
_STATUS: Final = {"not_found": 404}
_CALLS_DEFAULT: Final = 20
ALERTS_SHOWN_MAX: Final = 200


class Branch(Mount):
    """An application at an address and at all below it, also those with a line break in them.

    The framework's own leaves these to whoever comes next, who would answer programs with a page for people.
    """

    def __init__(self, path: str, app: ASGIApp) -> None:
        super().__init__(path, app)
        self.path_regex = re.compile(self.path_regex.pattern, re.DOTALL)


def create_api(reader: Reader, live: LiveUsage | None = None) -> Starlette:
    """The application to be mounted at `/api`. `live` is what this process counts already, where it does."""
    door = _Door(reader)
    live = live or LiveUsage(reader.reports, reader.settings.live_usage_path)
    mine: dict[str, Answer] = {
        "/me/wallet": lambda _request, reports, visitor: reports.wallet(visitor.member_id),
        "/me/grants": lambda _request, reports, visitor: reports.grants(visitor.member_id),
        "/me/calls": _calls,
        "/me/calls/{call}": lambda request, reports, visitor: reports.call(
            request.path_params["call"], of=visitor.member_id
        ),
        "/me/runway": own_runway,
        "/me/payslips/{cycle}": lambda request, reports, visitor: reports.payslip(
            visitor.member_id, request.path_params["cycle"]
        ),
    }
    company: dict[str, Answer] = {
        "/departments": lambda _request, reports, _visitor: reports.departments(),
        "/departments/{name}": lambda request, reports, _visitor: reports.department(request.path_params["name"]),
        "/members": lambda request, reports, _visitor: reports.members(request.query_params.get("department")),
        "/members/{name}": _member,
        "/plans": lambda _request, reports, _visitor: reports.plans(),
        "/plans/{name}": lambda request, reports, _visitor: reports.plan(request.path_params["name"]),
        "/grants": lambda request, reports, _visitor: reports.grants(request.query_params.get("to")),
        "/proposals": lambda _request, reports, _visitor: reports.proposals(),
        "/proposals/{name}": lambda request, reports, _visitor: reports.proposal(request.path_params["name"]),
        "/offers": lambda _request, reports, _visitor: reports.offers(),
        "/offers/{name}": lambda request, reports, _visitor: reports.offer(request.path_params["name"]),
        "/wallets": lambda _request, reports, _visitor: reports.wallets(),
        "/wallets/{name}": lambda request, reports, _visitor: reports.wallet(request.path_params["name"]),
        "/openings": lambda _request, reports, _visitor: reports.openings(),
        "/pools": lambda _request, reports, _visitor: reports.pools(),
        "/alerts": lambda _request, reports, _visitor: reports.alerts(ALERTS_SHOWN_MAX),
        "/limits": lambda _request, reports, _visitor: reports.limits(),
        "/limits/{name}": lambda request, reports, _visitor: reports.limit(request.path_params["name"]),
        "/ratecards": lambda _request, reports, _visitor: reports.rate_cards(),
        "/ratecards/{model:path}": lambda request, reports, _visitor: reports.rate_card(request.path_params["model"]),
        "/paycalendars": lambda _request, reports, _visitor: reports.pay_calendars(),
        "/payruns": lambda _request, reports, _visitor: reports.pay_runs(),
        "/payruns/{cycle}": lambda request, reports, _visitor: reports.pay_run(request.path_params["cycle"]),
        **lake_answers(reader),
    }
    return Starlette(
        routes=[
            Route("/openapi.json", lambda _request: JSONResponse(document())),
            Route("/metrics", door.measuring(live)),
            *(Route(path, door.answering(answer, admin=False)) for path, answer in mine.items()),
            *(Route(path, door.answering(answer, admin=True)) for path, answer in company.items()),
        ],
        exception_handlers={HTTPException: problem, Refused: problem, Exception: problem},
    )


class _Door:
    """Who asks, and what they may."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._day_sums: dict[int, DaySums] = {}

    def answering(self, answer: Answer, *, admin: bool) -> Callable[[Request], Response]:
        """The answer as JSON, for whoever may have it."""

        def handle(request: Request) -> Response:
            with self._reader.reports(self._day_sums) as reports:
                visitor = admitted(self._reader, reports, request, admin=admin)
                return JSONResponse(to_wire(answer(request, reports, visitor)))

        return handle

    def measuring(self, live: LiveUsage) -> Callable[[Request], Response]:
        """Live sums as Prometheus reads them, for an admin key."""

        def handle(request: Request) -> Response:
            with self._reader.reports() as reports:
                admitted(self._reader, reports, request, admin=True)
            try:
                text = prometheus_text(live.figures())
            except NotCountedYetError as error:
                raise HTTPException(503, f"{error}", {"retry-after": str(LIVE_AGE_SECONDS_MAX)}) from error
            return PlainTextResponse(text, media_type=PROMETHEUS_TYPE, headers={"cache-control": "no-store"})

        return handle


def admitted(reader: Reader, reports: Reports, request: Request, *, admin: bool) -> Visitor:
    """Whose key a request shows. Raises HTTPException for none, and for one that is not an admin's where that is asked."""
    visitor = reader.visitor(reports, bearer(request))
    if visitor is None:
        raise HTTPException(401, "Send a live key as `Authorization: Bearer …`.", {"www-authenticate": "Bearer"})
    if admin and visitor.scope != KeyScope.ADMIN:
        raise HTTPException(403, "This asks about others: it needs a key made with `--scope admin`.")
    return visitor


def _member(request: Request, reports: Reports, _visitor: Visitor) -> Any:
    name, on = request.path_params["name"], request.query_params.get("on")
    return reports.member(name) if on is None else reports.member_on(name, on)


def _calls(request: Request, reports: Reports, visitor: Visitor) -> Any:
    limit, before = (_number(request, name) for name in ("limit", "before"))
    found = reports.calls(visitor.member_id, limit=min(limit or _CALLS_DEFAULT, CALLS_SHOWN_MAX), head=before)
    ended = [one for one in found if "previous_seq" in one]
    return {"calls": found, "before": ended[-1]["previous_seq"] if ended else 0}


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise HTTPException(400, f"{name} must be a whole number, not {text!r}")
    return int(text)


def bearer(request: Request) -> str:
    """The key that a request shows, empty for none."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")


async def problem(_request: Request, error: Exception) -> Response:
    """An error as problem+json; one that nobody foresaw says nothing of its inside."""
    status, detail, headers = 500, "Something went wrong here; nothing was changed.", None
    kind = "internal"
    if isinstance(error, HTTPException):
        status, detail, headers, kind = error.status_code, str(error.detail), error.headers, "http"
    elif isinstance(error, Refused):
        status, detail, kind = _STATUS.get(error.kind, 400), error.message, error.kind
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": kind, "detail": detail}
    return JSONResponse(body, status, dict(headers or {}), media_type="application/problem+json")
