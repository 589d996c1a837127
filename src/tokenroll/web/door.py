"""What every page needs: who asks, templates, and the cookie of a session."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from tokenroll import __version__
from tokenroll.app import Reader
from tokenroll.books import arithmetic, words
from tokenroll.model.instant import HOUR_MICROS, Instant
from tokenroll.services.entering import use_way_in
from tokenroll.services.history import DaySums
from tokenroll.services.reporting import Reports, Visitor
from tokenroll.services.sessions import SESSION_SECONDS, key_of_session, session_for
from tokenroll.services.team_reports import manages
from tokenroll.services.visits import Visits
from tokenroll.web import showing

DAY_MICROS: Final = 24 * HOUR_MICROS
COOKIE: Final = "tokenroll_session"
Page: TypeAlias = Callable[[Request, Reports, Visitor], Response]


class Door:
    """Shared by all pages of one home."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.pepper = reader.settings.pepper()
        self.visits = Visits()
        self.day_sums: dict[int, DaySums] = {}
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(
            exact=showing.exact,
            decimals_of=showing.decimals_of,
            moment=showing.moment,
            day=showing.day,
            hour=showing.hour,
            machine_time=showing.machine_time,
            grouped=showing.grouped,
            words=words,
            bound_steps=arithmetic.bound_steps,
            charge_steps=arithmetic.charge_steps,
            state_text=arithmetic.state_text,
            version=__version__,
            company=reader.settings.company.name,
        )

    def page(self, request: Request, template: str, *, status: int = 200, **facts: Any) -> HTMLResponse:
        """The template with its facts; `visitor` is None on pages that anybody may see."""
        known = {
            "visitor": None,
            "path": request.url.path,
            "manages": getattr(request.state, "manages", False),
            **facts,
        }
        return HTMLResponse(self._templates.get_template(template).render(known), status_code=status)

    def for_visitor(self, page: Page, *, json: bool = False) -> Callable[[Request], Response]:
        """A page that only someone with a live key sees; others are sent to the login, programs are told 401."""

        def handle(request: Request) -> Response:
            with self.reader.reports(self.day_sums) as reports:
                visitor = self.visitor(request, reports)
                if visitor is None:
                    if json:
                        raise HTTPException(401, "Log in first.")
                    return RedirectResponse("/login", status_code=303)
                if not json:
                    request.state.manages = manages(reports.connection, visitor.member_id)
                return page(request, reports, visitor)

        return handle

    @staticmethod
    def today_at(now: Instant) -> Instant:
        """The beginning of the day in UTC: what a question of the lake is of, so that its answer is kept for a day."""
        return now // DAY_MICROS * DAY_MICROS

    def visitor(self, request: Request, reports: Reports) -> Visitor | None:
        """Whose session the request carries; the key behind it must still live."""
        key_id = key_of_session(self.pepper, request.cookies.get(COOKIE, ""), reports.now)
        return None if key_id is None else reports.visitor_with_key(key_id)

    def enter(self, request: Request, secret: str) -> Response | None:
        """The way to /me with a new session for a live key; None for any other text."""
        with self.reader.reports() as reports:
            visitor = self.reader.visitor(reports, secret)
            return None if visitor is None else self._to_wallet(request, visitor, reports.now)

    def enter_once(self, request: Request, ticket: str) -> Response | None:
        """The way to /me for whoever has a one-time way in and is the first to use it."""
        with self.reader.reports() as reports:
            key_id = use_way_in(self.reader.settings.run_directory, ticket, reports.now)
            visitor = None if key_id is None else reports.visitor_with_key(key_id)
            return None if visitor is None else self._to_wallet(request, visitor, reports.now)

    def _to_wallet(self, request: Request, visitor: Visitor, now: Instant) -> Response:
        answer = RedirectResponse("/me", status_code=303)
        answer.set_cookie(
            COOKIE,
            session_for(self.pepper, visitor.key_id, now),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    def from_this_site(self, request: Request) -> bool:
        """Whether a form was sent by a page of ours: the browser names the origin, and a foreign one is refused."""
        origin = request.headers.get("origin")
        return origin is None or urlsplit(origin).netloc == request.headers.get("host")
