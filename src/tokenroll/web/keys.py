"""`/me/keys`: one's keys, what each is for and how far its budget is used; `/me/keys/{id}`: one of them and its calls."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tokenroll.model.amount import nanos_from_text
from tokenroll.model.limit import LimitMeasure
from tokenroll.model.tag import PURPOSE, tag_value
from tokenroll.services.history import KEY_CALLS_WALKED_MAX
from tokenroll.services.refusal import Refused
from tokenroll.services.reporting import Reports, Visitor
from tokenroll.web import showing
from tokenroll.web.door import Door

KEYS_PER_PAGE: Final = 50
"""A person has a handful; a service account whose key is rotated by making another one has hundreds."""
CALLS_PER_PAGE: Final = 20


def keys(door: Door) -> Callable[[Request], Response]:
    """The visitor's own keys page by page, newest first."""

    def page(request: Request, reports: Reports, visitor: Visitor) -> Response:
        before = showing.number(request.query_params.get("before"))
        found, older = reports.keys_of(visitor.member_id, limit=KEYS_PER_PAGE, before=before)
        return door.page(
            request,
            "keys.html",
            visitor=visitor,
            zone=visitor.zone,
            keys=[shown(one) for one in found],
            older=older,
            first_page=before is None,
        )

    return door.for_visitor(page)


def key(door: Door) -> Callable[[Request], Response]:
    """One key of the visitor's own and the calls that came with it; another's does not exist."""

    def page(request: Request, reports: Reports, visitor: Visitor) -> Response:
        head = showing.number(request.query_params.get("before"))
        try:
            found = reports.key_of(visitor.member_id, request.path_params["key"])
        except Refused as refused:
            raise HTTPException(
                404, "There is no key of yours at this address. Yours are listed at My keys."
            ) from refused
        calls, older = reports.calls_of_key(visitor.member_id, found["key"], limit=CALLS_PER_PAGE, head=head)
        return door.page(
            request,
            "key.html",
            visitor=visitor,
            zone=visitor.zone,
            key=shown(found),
            calls=calls,
            older=older,
            walked_max=KEY_CALLS_WALKED_MAX,
            first_page=head is None,
        )

    return door.for_visitor(page)


def shown(told: Mapping[str, Any]) -> dict[str, Any]:
    """A key as a page shows it: its purpose apart from its other tags, and its budgets in words."""
    return {
        **told,
        "purpose": tag_value(told["tags"], PURPOSE),
        "labels": [tag for tag in told["tags"].split(",") if tag and not tag.startswith(f"{PURPOSE}=")],
        "budgets": [_budget(one) for one in told["budgets"]],
    }


def _budget(told: Mapping[str, Any]) -> dict[str, str]:
    is_credits = told["measure"] == LimitMeasure.CREDITS

    def text(amount: Mapping[str, str]) -> str:
        number = amount["amount"]
        return showing.exact(nanos_from_text(number)) if is_credits else showing.grouped(int(number))

    return {
        "used_text": text(told["used"]),
        "cap_text": f"{text(told['cap'])} {told['cap']['unit']}",
        "left_text": text(told["left"]),
        "window": told["window"] if told["window"].startswith("rolling") else f"this {told['window']}",
    }
