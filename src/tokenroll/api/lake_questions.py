"""Questions to the usage lake over HTTP, for an admin key: the same words and the same JSON as `tokenroll usage`, `forecast` and `cost`.

Their answers are made aside (`services/lake_desk.py`), so that no question keeps this process from the others'.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

from tokenroll.api.usage_pages import VALUES_MAX
from tokenroll.app import Reader
from tokenroll.model.instant import HOUR_MICROS
from tokenroll.services.burn_downs import burn_down_json, wallet_burn_down
from tokenroll.services.lake_desk import BUSY, LIBRARY, QUESTION, LakeDeskError
from tokenroll.services.lake_questions import MEASURES_DEFAULT
from tokenroll.services.reporting import Reports, Visitor
from tokenroll.services.wallet_runways import members_only, runways_json, wallet_runways

_STATUS: Final[Mapping[str, int]] = {QUESTION: 400, LIBRARY: 501, BUSY: 503}
_RETRY_SECONDS: Final = 5
_DAYS_DIGITS_MAX: Final = 9

Answer = Callable[[Request, Reports, Visitor], Any]


def lake_answers(reader: Reader) -> dict[str, Answer]:
    """What may be asked below `/api`, by address."""

    def asking(kind: str, facts_of: Callable[[Request, Reports], dict[str, Any]]) -> Answer:
        def answer(request: Request, reports: Reports, _visitor: Visitor) -> Any:
            facts = facts_of(request, reports)
            with _problems():
                return reader.lake.ask(kind, facts)

        return answer

    def runways(request: Request, reports: Reports, _visitor: Visitor) -> Any:
        wallet = request.query_params.get("wallet")
        with _problems():
            quarantined = reader.lake.quarantined()
        rows = members_only(reports.wallets()) if wallet is None else [reports.wallet(wallet)]
        return runways_json(wallet_runways(reports.connection, reports.now, rows, quarantined))

    return {
        "/usage": asking("usage", _usage),
        "/forecasts": asking("forecast", _forecast),
        "/runways": runways,
        "/costs/explain": asking("explain", _explain),
        "/costs/anomalies": asking("anomalies", _anomalies),
        "/costs/share": asking("share", _share),
    }


def own_runway(_request: Request, reports: Reports, visitor: Visitor) -> Any:
    """One's own runway, what was left so far, and the cone of what may be."""
    row = reports.wallet(visitor.member_id)
    return burn_down_json(wallet_burn_down(reports.connection, reports.now, row))


@contextmanager
def _problems() -> Iterator[None]:
    """No answer of the lake, as what HTTP says of it."""
    try:
        yield
    except LakeDeskError as error:
        headers = {"retry-after": str(_RETRY_SECONDS)} if error.kind == BUSY else None
        raise HTTPException(_STATUS.get(error.kind, 500), str(error), headers) from error


def _usage(request: Request, _reports: Reports) -> dict[str, Any]:
    return {
        "by": _text(request, "by"),
        "measure": _text(request, "measure", MEASURES_DEFAULT),
        "where": _several(request, "where"),
        "from": request.query_params.get("from"),
        "until": request.query_params.get("until"),
        "order": _text(request, "order"),
        "limit": _count(request, "limit"),
    }


def _forecast(request: Request, reports: Reports) -> dict[str, Any]:
    hourly = _text(request, "hourly", "false")
    if hourly not in {"true", "false"}:
        raise HTTPException(400, f"hourly is true or false, not {hourly!r:.40}")
    return {
        "by": _text(request, "by", "company"),
        "measure": _text(request, "measure", "list"),
        "days": _count(request, "days"),
        "from": request.query_params.get("from"),
        "hourly": hourly == "true",
        "where": _several(request, "where"),
        "now": reports.now // HOUR_MICROS * HOUR_MICROS,
    }


def _explain(request: Request, _reports: Reports) -> dict[str, Any]:
    return {
        "month": _needed(request, "month"),
        "against": _text(request, "against"),
        "by": _text(request, "by", "member"),
        "where": _several(request, "where"),
        "cost": _text(request, "cost", "list"),
    }


def _anomalies(request: Request, _reports: Reports) -> dict[str, Any]:
    return {"cost": _text(request, "cost", "list"), "where": _several(request, "where")}


def _share(request: Request, _reports: Reports) -> dict[str, Any]:
    return {
        "month": _needed(request, "month"),
        "our_key": _several(request, "our_key"),
        "report": _text(request, "report"),
        "where": _several(request, "where"),
    }


def _text(request: Request, name: str, default: str = "") -> str:
    return request.query_params.get(name, default)


def _several(request: Request, name: str) -> list[str]:
    found = request.query_params.getlist(name)
    if len(found) > VALUES_MAX or not all(found):
        raise HTTPException(400, f"{name} may come {VALUES_MAX} times at most, and never empty")
    return found


def _needed(request: Request, name: str) -> str:
    text = request.query_params.get(name)
    if text is None:
        raise HTTPException(400, f"{name} is missing, such as {name}=2026-11")
    return text


def _count(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _DAYS_DIGITS_MAX and int(text)):
        raise HTTPException(400, f"{name} must be a whole number from 1 on, not {text!r:.40}")
    return int(text)
