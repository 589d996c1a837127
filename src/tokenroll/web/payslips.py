"""`/me/payslips/{cycle}`: the paper, to read and to print."""

from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from tokenroll.books.payslip import classification_notes, slip_dates, slip_lines, slip_notes, slip_parts
from tokenroll.services.reporting import Reports, Visitor
from tokenroll.web.door import Door

CALLS_PER_PAPER: Final = 200
"""Calls listed on one paper; the page says so when there were more."""


def payslip(door: Door) -> Callable[[Request], Response]:
    """One's own slip of one cycle: the stored one when it is closed, else as it stands now."""

    def page(request: Request, reports: Reports, visitor: Visitor) -> Response:
        cycle = request.path_params["cycle"]
        slip = reports.payslip(visitor.member_id, cycle)
        return door.page(
            request,
            "payslip.html",
            visitor=visitor,
            slip=slip,
            lines=slip_lines(slip),
            notes=slip_notes(slip),
            parts=slip_parts(slip),
            coming=slip_dates(slip),
            reasons=classification_notes(slip["classifications"]),
            calls=reports.calls_of_cycle(visitor.member_id, cycle, limit=CALLS_PER_PAPER),
            calls_max=CALLS_PER_PAPER,
        )

    return door.for_visitor(page)
