"""`/me`: one number, what it is made of, and every call behind it."""

from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from tokenroll.books import words
from tokenroll.services.burn_downs import burn_down_picture, burn_down_rows, sentences, wallet_burn_down
from tokenroll.services.page_parts import table
from tokenroll.services.refusal import Refused
from tokenroll.services.reporting import Reports, Visitor
from tokenroll.web import showing
from tokenroll.web.door import COOKIE, Door
from tokenroll.web.pictures import picture_part

CALLS_PER_PAGE: Final = 20
GRANTS_PER_PAGE: Final = 100
"""Grants on the page, the newest; it says so when there were more."""
BAR_WIDTH: Final = 1000
_FORM_BYTES_MAX: Final = 4096


def landing(door: Door) -> Callable[[Request], Response]:
    """`/`: what this is, and the way in."""

    def handle(request: Request) -> Response:
        with door.reader.reports() as reports:
            visitor = door.visitor(request, reports)
        return door.page(request, "landing.html", visitor=visitor)

    return handle


def login(door: Door) -> Callable[[Request], Awaitable[Response]]:
    """`/login`: a key is posted once and exchanged for a session; few tries per address."""

    async def handle(request: Request) -> Response:
        if request.method == "GET":
            return door.page(request, "login.html", problem="")
        if not door.from_this_site(request):
            raise HTTPException(403, "The form came from another site.")
        if int(request.headers.get("content-length") or _FORM_BYTES_MAX + 1) > _FORM_BYTES_MAX:
            raise HTTPException(413, "A key is short; this was not one.")
        address = request.client.host if request.client else ""
        if not door.visits.allow(address, door.reader.clock()):
            return door.page(
                request, "login.html", status=429, problem="Too many tries from here. Wait a minute, then try again."
            )
        fields = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=2)
        answer = door.enter(request, fields.get("key", [""])[0].strip())
        if answer is not None:
            door.visits.forgive(address)
            return answer
        problem = "This key is not known here, or it was revoked or has expired. Ask whoever made it for a new one."
        return door.page(request, "login.html", status=401, problem=problem)

    return handle


def enter(door: Door) -> Callable[[Request], Response]:
    """`/enter/{ticket}`: a one-time way in that a program on this machine made; few tries per address."""

    def handle(request: Request) -> Response:
        address = request.client.host if request.client else ""
        allowed = door.visits.allow(address, door.reader.clock())
        answer = door.enter_once(request, request.path_params["ticket"]) if allowed else None
        if answer is not None:
            door.visits.forgive(address)
            return answer
        problem = "This way in was used already, or is over. Log in with your key."
        return door.page(request, "login.html", status=401, problem=problem)

    return handle


def logout(door: Door) -> Callable[[Request], Response]:
    """`/logout`: the session's cookie is taken back."""

    def handle(request: Request) -> Response:
        if not door.from_this_site(request):
            raise HTTPException(403, "The form came from another site.")
        answer = RedirectResponse("/", status_code=303)
        answer.delete_cookie(COOKIE)
        return answer

    return handle


def wallet(door: Door) -> Callable[[Request], Response]:
    """`/me`: the wallet, its grants, its calls page by page, its papers."""

    def page(request: Request, reports: Reports, visitor: Visitor) -> Response:
        found = reports.wallet(visitor.member_id)
        before = showing.number(request.query_params.get("before"))
        calls = reports.calls(visitor.member_id, limit=CALLS_PER_PAGE, head=before)
        ended = [one for one in calls if "previous_seq" in one]
        return door.page(
            request,
            "me.html",
            visitor=visitor,
            wallet=found,
            grants=reports.grants(visitor.member_id, limit=GRANTS_PER_PAGE),
            grants_max=GRANTS_PER_PAGE,
            calls=calls,
            older=ended[-1]["previous_seq"] if ended else 0,
            first_page=before is None,
            cycles=[found["cycle"], *(run["cycle"] for run in reports.pay_runs() if run["state"] == "closed")],
            burn_down=_burn_down(door, reports, found) if before is None else None,
            **live_facts(found),
        )

    return door.for_visitor(page)


def _burn_down(door: Door, reports: Reports, found: dict[str, Any]) -> dict[str, Any]:
    """How long the wallet lasts: in words, as a picture where there is something to see, and as numbers."""
    known = wallet_burn_down(reports.connection, reports.now, found)
    title, *more = sentences(known)
    picture, tables = None, []
    if known.ahead:
        picture = burn_down_picture(known, title)
        columns = [("Day, at its beginning", False), ("Left, credits", True), ("80 % of what may come", True)]
        tables.append(table("What was left, and the middle of what may be left", columns, burn_down_rows(known)))
        more.append(
            "Today counts as a day to come; what becomes spendable later is not counted. No call is refused because of it."
        )
    return picture_part(door.reader.lake, picture, "burn-down", title.rstrip("."), says=more, tables=tables)


def wallet_json(door: Door) -> Callable[[Request], Response]:
    """`/me/wallet.json`: the page's own figures as it writes them, so that script and server cannot differ."""

    def page(_request: Request, reports: Reports, visitor: Visitor) -> Response:
        return JSONResponse(live_facts(reports.wallet(visitor.member_id)))

    return door.for_visitor(page, json=True)


def call(door: Door) -> Callable[[Request], Response]:
    """`/me/calls/{id}`: one call of one's own with its arithmetic and its proof; another's does not exist."""

    def page(request: Request, reports: Reports, visitor: Visitor) -> Response:
        try:
            story = reports.call(request.path_params["call"], of=visitor.member_id)
        except Refused as refused:
            raise HTTPException(
                404, "There is no call of yours at this address. Your calls are listed below your wallet."
            ) from refused
        return door.page(request, "call.html", visitor=visitor, story=story, zone=visitor.zone)

    return door.for_visitor(page)


def live_facts(found: dict[str, Any]) -> dict[str, Any]:
    """The texts that change while a page is looked at, and the bar that shows them."""
    whole, decimals = showing.rounded_down(found["left_nanos"])
    days = found["usual_work"]["days"]
    texts = {
        "left": whole,
        "left-decimals": f".{decimals}",
        "left-exact": f"{showing.exact(found['left_nanos'])} credits",
        "about": "" if days is None else f"{words.about_days(days, '≈')} of your usual work",
        "spent": showing.exact(found["spent_nanos"]),
        "used": showing.exact(found["in_use_nanos"]),
        "checked": showing.exact(found["being_checked_nanos"]),
        "cycle": showing.exact(found["spent_this_cycle_nanos"]),
        "calls": showing.grouped(found["call_count"]),
        "as-of": showing.moment(found["as_of_at"], found["zone"]),
    }
    return {"texts": texts, "bar": bar(found)}


def bar(found: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Start and width of each part of what was ever spendable, in BAR_WIDTH-ths; a part that is not nothing is seen."""
    parts = {
        "spent": found["spent_nanos"] + found["expired_nanos"],
        "used": found["in_use_nanos"],
        "checked": found["being_checked_nanos"],
        "rest": found["left_nanos"],
    }
    whole = sum(parts.values())
    drawn: dict[str, tuple[int, int]] = {}
    start = 0
    for name, nanos in parts.items():
        width = 0 if whole == 0 or nanos == 0 else max(3, nanos * BAR_WIDTH // whole)
        if name == "rest" and nanos:
            width = BAR_WIDTH - start
        drawn[name] = (start, max(0, min(width, BAR_WIDTH - start)))
        start += width
    return drawn
