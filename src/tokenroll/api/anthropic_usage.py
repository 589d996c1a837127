"""Anthropic's usage and cost reports, from our ledger: `/v1/organizations/usage_report/messages` and `…/cost_report`.

A workspace is a department, an account a person, a service account a member that is one. Told are the calls at Anthropic's endpoints; all
others are in OpenAI's report (`openai_usage.py`). Costs are charges, a credit as a US dollar, in cents as Anthropic writes them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.routing import Route

from tokenroll.api.usage_pages import BUCKET_COUNTS, WIDTHS_SECONDS, Asked, Page, Rows, answering, paged
from tokenroll.app import Reader
from tokenroll.model.instant import INSTANT_MAX, MICROS_PER_SECOND, Instant, instant_from_text, text_from_instant
from tokenroll.model.usage import METER_INDEX, METERS, OUTPUT_METERS, Meter
from tokenroll.services.reporting import Reports
from tokenroll.services.usage_reports import Dimension, Group, UsageBucket, UsageQuestion
from tokenroll.store.usage_rollups import UsageSum
from tokenroll.upstream.dialect import Dialect, RequestRefused

PREFIX: Final = "/v1/organizations"
_COMMON: Final = ("starting_at", "ending_at", "bucket_width", "limit", "page", "group_by")
GROUPS: Final[Mapping[str, Dimension | None]] = {
    "account_id": Dimension.PERSON, "service_account_id": Dimension.SERVICE, "api_key_id": Dimension.KEY,
    "workspace_id": Dimension.DEPARTMENT, "model": Dimension.MODEL, "service_tier": Dimension.SERVICE_TIER,
    "context_window": Dimension.CONTEXT_WINDOW, "inference_geo": None, "speed": None,
}  # fmt: skip
"""None: nobody told the ledger, so it is null."""
FILTERS: Final[Mapping[str, Dimension | None]] = {
    "account_ids": Dimension.PERSON, "service_account_ids": Dimension.SERVICE, "api_key_ids": Dimension.KEY,
    "workspace_ids": Dimension.DEPARTMENT, "models": Dimension.MODEL, "service_tiers": Dimension.SERVICE_TIER,
    "context_window": Dimension.CONTEXT_WINDOW, "inference_geos": None, "speeds": None,
}  # fmt: skip
COST_GROUPS: Final[Mapping[str, Dimension | None]] = {"workspace_id": Dimension.DEPARTMENT, "inference_geo": None}
_DESCRIBED: Final = (Dimension.MODEL, Dimension.SERVICE_TIER, Dimension.CONTEXT_WINDOW)
_FRESH_INPUT: Final = (Meter.INPUT, Meter.INPUT_AUDIO, Meter.INPUT_IMAGE)
_TOKEN_TYPES: Final[tuple[tuple[str, str, tuple[Meter, ...]], ...]] = (
    ("uncached_input_tokens", "input tokens", _FRESH_INPUT),
    ("cache_read_input_tokens", "cache read", (Meter.CACHE_READ,)),
    ("cache_creation.ephemeral_5m_input_tokens", "cache write of 5 minutes", (Meter.CACHE_WRITE_5M,)),
    ("cache_creation.ephemeral_1h_input_tokens", "cache write of 1 hour", (Meter.CACHE_WRITE_1H,)),
    ("output_tokens", "output tokens", OUTPUT_METERS),
)
_TOKEN_METERS: Final = frozenset(METER_INDEX[meter] for _, _, meters in _TOKEN_TYPES for meter in meters)
_COST_TYPES: Final = {Meter.WEB_SEARCH: "web_search", Meter.CODE_SECOND: "code_execution"}
_CENT_NANOS: Final = 10_000_000
_DAY_MICROS: Final = 86_400 * MICROS_PER_SECOND
_CLAUDE_CODE: Final = (
    "usage_report/claude_code is not served: it tells sessions, lines of code, commits and pull requests, which no call says. "
    f"What Claude Code consumed through here is in {PREFIX}/usage_report/messages, grouped by account_id or api_key_id."
)


def usage_routes(reader: Reader, dialects: Iterable[Dialect], error: Dialect) -> list[Route]:
    """All addresses under PREFIX. `dialects` are the endpoints of every family, `error` one whose words problems are told in."""
    indexes = frozenset(one.index for one in dialects if one.family == "anthropic")
    return [
        answering(
            reader,
            error,
            f"{PREFIX}/usage_report/messages",
            lambda request, reports: _messages(request, reports, indexes),
        ),
        answering(reader, error, f"{PREFIX}/cost_report", lambda request, reports: _costs(request, reports, indexes)),
        answering(reader, error, f"{PREFIX}/{{rest:path}}", _nothing),
    ]


def _nothing(request: Request, _reports: Reports) -> tuple[dict[str, Any], int]:
    message = (
        f"There is no {request.url.path} here: {PREFIX}/usage_report/messages and {PREFIX}/cost_report are served."
    )
    if request.path_params["rest"] == "usage_report/claude_code":
        message = _CLAUDE_CODE
    raise RequestRefused(404, "not_found", message)


def _messages(request: Request, reports: Reports, dialects: frozenset[int]) -> tuple[dict[str, Any], int]:
    asked = Asked(request, (*_COMMON, *FILTERS))
    width = asked.width()
    words = asked.choices("group_by", GROUPS)

    def rows_of(bucket: UsageBucket) -> Rows:
        return [{**_figures(one), **_named(GROUPS, words, group)} for group, one in bucket.groups]

    question = _question(asked, reports, width, dialects, tuple(one for word in words if (one := GROUPS[word])))
    count = asked.bucket_count(*BUCKET_COUNTS[width])
    return _answer(paged(reports, question, cursor=asked.one("page"), bucket_count=count, rows_of=rows_of))


def _figures(one: UsageSum) -> dict[str, Any]:
    return {
        "uncached_input_tokens": one.count(*_FRESH_INPUT),
        "cache_read_input_tokens": one.count(Meter.CACHE_READ),
        "cache_creation": {
            "ephemeral_1h_input_tokens": one.count(Meter.CACHE_WRITE_1H),
            "ephemeral_5m_input_tokens": one.count(Meter.CACHE_WRITE_5M),
        },
        "output_tokens": one.count(*OUTPUT_METERS),
        "server_tool_use": {"web_search_requests": one.count(Meter.WEB_SEARCH)},
    }


def _costs(request: Request, reports: Reports, dialects: frozenset[int]) -> tuple[dict[str, Any], int]:
    asked = Asked(request, _COMMON)
    width = asked.width(("1d",))
    words = asked.choices("group_by", (*COST_GROUPS, "description"))
    described = "description" in words
    words = [one for one in words if one != "description"]

    def rows_of(bucket: UsageBucket) -> Rows:
        rows = []
        for group, one in bucket.groups:
            named = _named(COST_GROUPS, words, group)
            rows += _described(one, named, group) if described else [_cost(one.charge_nanos, named)]
        return rows

    dimensions = tuple(one for word in words if (one := COST_GROUPS[word]))
    question = _question(asked, reports, width, dialects, (*dimensions, *(_DESCRIBED if described else ())))
    count = asked.bucket_count(*BUCKET_COUNTS[width])
    return _answer(paged(reports, question, cursor=asked.one("page"), bucket_count=count, rows_of=rows_of))


def _described(one: UsageSum, named: dict[str, Any], group: Group) -> Rows:
    """A row for each kind of token and tool that cost something."""
    model, tier, window = group[-3:]
    about = {"model": model, "service_tier": tier, "context_window": window}
    rows = []
    for token_type, words, meters in _TOKEN_TYPES:
        nanos = sum(one.parts[place][2] for meter in meters if (place := METER_INDEX[meter]) in one.parts)
        if nanos:
            kind = {"cost_type": "tokens", "token_type": token_type, "description": f"{model} usage, {words}"}
            rows.append(_cost(nanos, {**named, **about, **kind}))
    for place, _, _, nanos in one.flat():
        meter = METERS[place]
        if nanos and place not in _TOKEN_METERS:
            kind = {
                "cost_type": _COST_TYPES.get(meter, meter.value),
                "description": f"{model} usage, {meter.replace('_', ' ')}",
            }
            rows.append(_cost(nanos, {**named, **about, **kind}))
    if one.unexplained_nanos:
        kind = {"cost_type": "tokens", "description": f"{model} usage, other"}
        rows.append(_cost(one.unexplained_nanos, {**named, **about, **kind}))
    return rows


def _cost(nanos: int, named: dict[str, Any]) -> dict[str, Any]:
    empty = dict.fromkeys(("description", "cost_type", "token_type", "model", "service_tier", "context_window"))
    return {"currency": "USD", "amount": cents(nanos), **empty, **named}


def cents(nanos: int) -> str:
    """The exact decimal of nanos in cents: `123.45` is 1.2345 dollars."""
    whole, rest = divmod(nanos, _CENT_NANOS)
    return f"{whole}.{rest:07d}".rstrip("0").rstrip(".")


def _question(
    asked: Asked, reports: Reports, width: str, dialects: frozenset[int], group_by: tuple[Dimension, ...]
) -> UsageQuestion:
    ending = asked.one("ending_at")
    only, dialects = asked.picked(FILTERS, dialects)
    return UsageQuestion(
        from_at=_instant("starting_at", asked.required("starting_at")),
        until=reports.now + 1 if ending is None else _instant("ending_at", ending),
        width_seconds=WIDTHS_SECONDS[width], dialects=dialects, only=only, group_by=group_by,
    )  # fmt: skip


def _instant(name: str, text: str) -> Instant:
    try:
        at = instant_from_text(text)
    except ValueError as error:
        message = f"{name} is an RFC 3339 time with a zone such as 2026-01-31T00:00:00Z, not {text[:40]!r}."
        raise RequestRefused(400, "invalid_value", message, name) from error
    if not 0 <= at <= INSTANT_MAX - _DAY_MICROS:  # the end of its bucket must be a date that can be written
        raise RequestRefused(400, "invalid_value", f"{name} is not between 1970 and 9999.", name)
    return at


def _named(groups: Mapping[str, Dimension | None], words: list[str], group: Group) -> dict[str, Any]:
    """Every dimension that a row has: its value where it is grouped by, else null."""
    found: dict[str, Any] = dict.fromkeys(groups)
    found.update(zip((word for word in words if groups[word]), group, strict=False))
    return found


def _answer(page: Page) -> tuple[dict[str, Any], int]:
    data = [
        {"starting_at": text_from_instant(start_at), "ending_at": text_from_instant(until), "results": rows}
        for start_at, until, rows in page.buckets
    ]
    return {"data": data, "has_more": page.next_page is not None, "next_page": page.next_page}, page.through_seq
