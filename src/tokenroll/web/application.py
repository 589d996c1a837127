"""The pages as one application: routes, the head every answer carries, and what a person sees when something is wrong."""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokenroll.app import Reader
from tokenroll.services.refusal import Refused
from tokenroll.services.reporting import Visitor
from tokenroll.web import finance, keys, me, payslips, team
from tokenroll.web.door import Door

HERE: Final = Path(__file__).parent
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = (
    (b"content-security-policy", _POLICY.encode("ascii")),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"interest-cohort=()"),
)
_STATUS: Final = {"not_found": 404, "ambiguous": 400, "argument": 400}


class Heads:
    """Every answer carries the same protective head; pages about a person are not kept by any cache."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application's answer with the head's lines added."""

        async def send_with_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                lines = [*message["headers"], *HEADERS]
                if not scope["path"].startswith("/static/"):
                    lines.append((b"cache-control", b"no-store"))
                message = {**message, "headers": lines}
            await send(message)

        await self.app(scope, receive, send_with_head if scope["type"] == "http" else send)


def create_application(reader: Reader, extra_routes: Sequence[BaseRoute] = ()) -> Starlette:
    """The pages of one home. `extra_routes` is where the caller adds the JSON door."""
    door = Door(reader)

    async def problem(request: Request, error: Exception) -> Response:
        status, detail = _told(error)
        page = door.page(
            request,
            "error.html",
            status=status,
            title=HTTPStatus(status).phrase,
            detail=detail,
            visitor=_visitor(request),
        )
        if isinstance(error, HTTPException):  # such as what else is allowed
            page.headers.update(error.headers or {})
        return page

    def _visitor(request: Request) -> Visitor | None:
        """Who is logged in, so that nobody is told to log in twice; a problem of that very question hides them."""
        try:
            with reader.reports() as reports:
                return door.visitor(request, reports)
        except Exception:  # noqa: BLE001 - an error page must not fail for the reason that it tells
            return None

    def health(_request: Request) -> Response:
        with reader.reports() as reports:
            reports.settings()
        return Response("ok\n", media_type="text/plain")

    routes: list[BaseRoute] = [
        Route("/", me.landing(door)),
        Route("/login", me.login(door), methods=["GET", "POST"]),
        Route("/enter/{ticket}", me.enter(door)),
        Route("/logout", me.logout(door), methods=["POST"]),
        Route("/me", me.wallet(door)),
        Route("/me/wallet.json", me.wallet_json(door)),
        Route("/me/calls/{call}", me.call(door)),
        Route("/me/keys", keys.keys(door)),
        Route("/me/keys/{key}", keys.key(door)),
        Route("/me/payslips/{cycle}", payslips.payslip(door)),
        Route("/team", team.team(door)),
        Route("/finance", finance.finance(door)),
        Route("/healthz", health),
        *extra_routes,
        Mount("/static", StaticFiles(directory=HERE / "static"), name="static"),
    ]
    handlers: dict[type[Exception] | int, Callable[[Request, Exception], Awaitable[Response]]] = {
        HTTPException: problem,
        Refused: problem,
        Exception: problem,
    }
    return Starlette(routes=routes, middleware=[Middleware(Heads)], exception_handlers=handlers)


def _told(error: Exception) -> tuple[int, str]:
    """Status and sentence; an unforeseen error says nothing of its inside."""
    if isinstance(error, HTTPException):
        plain = error.status_code == HTTPStatus.NOT_FOUND and error.detail == HTTPStatus.NOT_FOUND.phrase
        return error.status_code, "There is no page at this address." if plain else str(error.detail)
    if isinstance(error, Refused):
        return _STATUS.get(error.kind, 400), error.message
    return (
        500,
        "Something went wrong here; nothing was changed. Try again, or ask the platform team to look at this role's output.",
    )
