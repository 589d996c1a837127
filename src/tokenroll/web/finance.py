"""`/finance`: what the company spends and why it changed, what comes, what is not metered; for whoever administers the home."""

from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tokenroll.model.api_key import KeyScope
from tokenroll.model.instant import datetime_from_instant
from tokenroll.services.cost_answers import month_before, period_of_month
from tokenroll.services.reporting import Reports, Visitor
from tokenroll.web.door import Door
from tokenroll.web.pictures import lake_parts


def finance(door: Door) -> Callable[[Request], Response]:
    """One month explained (`?month=2026-11`), by default the last that is over."""

    def page(request: Request, reports: Reports, visitor: Visitor) -> Response:
        if visitor.scope != KeyScope.ADMIN:
            raise HTTPException(
                403, "This page tells of the whole company: log in with a key made with `--scope admin`."
            )
        running = f"{datetime_from_instant(reports.now):%Y-%m}"
        month = request.query_params.get("month", "") or month_before(running)
        try:
            period_of_month(month)
        except ValueError as error:
            raise HTTPException(400, f"{month!r:.40} is no month such as {running}.") from error
        outcomes = door.reader.settings.outcomes_path
        has_outcomes = outcomes.is_file()
        facts = {
            "month": month,
            "now": door.today_at(reports.now),
            "outcomes": str(outcomes) if has_outcomes else "",
            "outcomes_changed_at": outcomes.stat().st_mtime_ns if has_outcomes else 0,
        }
        return door.page(
            request, "finance.html", visitor=visitor, month=month, before=month_before(month), running=running,
            after=_after(month) if month < running else "", has_outcomes=has_outcomes, lake=lake_parts(door.reader.lake, "finance", facts),
        )  # fmt: skip

    return door.for_visitor(page)


def _after(month: str) -> str:
    _, until = period_of_month(month)
    assert until is not None
    return f"{datetime_from_instant(until):%Y-%m}"
