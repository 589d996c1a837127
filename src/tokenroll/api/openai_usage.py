"""OpenAI's usage and costs, from our ledger: `/v1/organization/usage/…` and `/v1/organization/costs`, as its tools ask for them.

A project is a department, a user a member. Told are the calls at every endpoint but Anthropic's, whose report tells the others
(`anthropic_usage.py`): the two add up to the ledger. Costs are charges: what wallets and pools were charged, a credit as a US dollar.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from tokenroll.api.usage_pages import (
    BUCKET_COUNTS,
    WIDTHS_SECONDS,
    Asked,
    Page,
    Rows,
    answering,
    instant_of_seconds,
    paged,
)
from tokenroll.app import Reader
from tokenroll.model.amount import text_from_nanos
from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.usage import INPUT_METERS, METERS, OUTPUT_METERS, TOKEN_METER_COUNT, Meter
from tokenroll.services.reporting import Reports
from tokenroll.services.usage_reports import Dimension, Group, UsageBucket, UsageQuestion
from tokenroll.store.usage_rollups import UsageSum
from tokenroll.upstream.dialect import Dialect, RequestRefused
from tokenroll.upstream.openai_endpoint import TIER_WORDS

PREFIX: Final = "/v1/organization"
COSTS_BUCKETS_MAX: Final = 180
_COMMON: Final = ("start_time", "end_time", "bucket_width", "limit", "page", "group_by")
_IDS: Final[Mapping[str, Dimension | None]] = {
    "project_id": Dimension.DEPARTMENT, "user_id": Dimension.MEMBER, "api_key_id": Dimension.KEY, "model": Dimension.MODEL,
}  # fmt: skip
_FILTERS: Final[Mapping[str, Dimension | None]] = {
    "project_ids": Dimension.DEPARTMENT, "user_ids": Dimension.MEMBER, "api_key_ids": Dimension.KEY, "models": Dimension.MODEL,
}  # fmt: skip
_SOURCE: Final = "api_source"
_COST_IDS: Final[Mapping[str, Dimension | None]] = {
    **{name: _IDS[name] for name in ("project_id", "user_id", "api_key_id")}, _SOURCE: None,
}  # fmt: skip
COST_GROUPS: Final = (*_COST_IDS, "line_item")
_COST_PICKS: Final = ("project_ids", "api_key_ids")
COST_FILTERS: Final = (*_COST_PICKS, "line_items")
_WORK: Final = (
    (b"/v1/embeddings", "embeddings"), (b"/v1/moderations", "moderations"), (b"/v1/images/", "images"),
    (b"/v1/audio/speech", "audio_speeches"), (b"/v1/audio/", "audio_transcriptions"), (b"/v1/rerank", "ranks"), (b"/v2/rerank", "ranks"),
    (b"/v1/fine_tuning/", "training"),
)  # fmt: skip
"""What is asked for at which paths; all else makes text. Of ranks and of training OpenAI has no report: only costs tell them."""
_TEXT: Final = "completions"


class Kind(NamedTuple):
    """One usage report: its rows' name, what they count, and what calls can be grouped by and picked out by.

    A dimension that is None is one that no call here has: grouped by, it is null; picked out by, nothing is left.
    `works`: whose endpoints count.
    """

    object_name: str
    figures: Callable[[UsageSum], dict[str, int]]
    works: tuple[str, ...]
    groups: Mapping[str, Dimension | None] = _IDS
    filters: Mapping[str, Dimension | None] = _FILTERS


_UNITS: Final = {
    Meter.IMAGE: "images", Meter.CHARACTER: "characters", Meter.AUDIO_SECOND: "duration_seconds",
    Meter.CODE_SECOND: "duration_seconds", Meter.TRAINING: "tokens",
}  # fmt: skip
"""Of what is not counted in tokens, as far as OpenAI has a word for it."""


def _completions(one: UsageSum) -> dict[str, int]:
    whole = one.count(*INPUT_METERS)
    cached, written = one.count(Meter.CACHE_READ), one.count(Meter.CACHE_WRITE_5M, Meter.CACHE_WRITE_1H)
    return {
        "input_tokens": whole,
        "input_cached_tokens": cached,
        "input_cache_write_tokens": written,
        "input_uncached_tokens": whole - cached - written,
        "input_text_tokens": one.count(Meter.INPUT),
        "input_audio_tokens": one.count(Meter.INPUT_AUDIO),
        "input_image_tokens": one.count(Meter.INPUT_IMAGE),
        "output_tokens": one.count(*OUTPUT_METERS),
        "output_text_tokens": one.count(Meter.OUTPUT, Meter.REASONING),
        "output_audio_tokens": one.count(Meter.OUTPUT_AUDIO),
        "output_image_tokens": one.count(Meter.OUTPUT_IMAGE),
        "num_model_requests": one.call_count,
    }


def _inputs(one: UsageSum) -> dict[str, int]:
    return {"input_tokens": one.count(*INPUT_METERS), "num_model_requests": one.call_count}


def _web_searches(one: UsageSum) -> dict[str, int]:
    return {
        "num_model_requests": one.calls_with(Meter.WEB_SEARCH),
        "num_requests": one.count(Meter.WEB_SEARCH),
    }


_BATCHED: Final = {**_IDS, _SOURCE: None, "batch": Dimension.BATCH, "service_tier": Dimension.SERVICE_TIER}
_PROJECTS: Final = ({"project_id": Dimension.DEPARTMENT}, {"project_ids": Dimension.DEPARTMENT})
KINDS: Final[Mapping[str, Kind]] = {
    "completions": Kind("completions", _completions, (_TEXT,), _BATCHED, {**_FILTERS, "batch": Dimension.BATCH}),
    "embeddings": Kind("embeddings", _inputs, ("embeddings",)),
    "moderations": Kind("moderations", _inputs, ("moderations",)),
    "web_search_calls": Kind(
        "web_searches", _web_searches, (_TEXT,), {**_IDS, _SOURCE: None, "context_level": None}, {**_FILTERS, "context_levels": None}
    ),
    "file_search_calls": Kind(
        "file_searches", lambda one: {"num_requests": one.count(Meter.FILE_SEARCH)}, (_TEXT,),
        {**{name: _IDS[name] for name in ("project_id", "user_id", "api_key_id")}, "vector_store_id": None},
        {**{name: _FILTERS[name] for name in ("project_ids", "user_ids", "api_key_ids")}, "vector_store_ids": None},
    ),
    "images": Kind(
        "images", lambda one: {"images": one.count(Meter.IMAGE), "num_model_requests": one.call_count}, ("images",), {**_IDS, "size": None, "source": None},
        {**_FILTERS, "sizes": None, "sources": None},
    ),
    "audio_speeches": Kind(
        "audio_speeches", lambda one: {"characters": one.count(Meter.CHARACTER), "num_model_requests": one.call_count},
        ("audio_speeches",),
    ),
    "audio_transcriptions": Kind(
        "audio_transcriptions", lambda one: {"seconds": one.count(Meter.AUDIO_SECOND), "num_model_requests": one.call_count},
        ("audio_transcriptions",),
    ),
    "decisions": Kind(
        "decisions", _completions, (), _BATCHED, {**_FILTERS, "batch": Dimension.BATCH}
    ),
    "vector_stores": Kind("vector_stores", lambda _: {}, (), *_PROJECTS),
    "code_interpreter_sessions": Kind("code_interpreter_sessions", lambda _: {}, (), *_PROJECTS),
}  # fmt: skip
"""By the last part of the path. Those without works have no calls here: their buckets are empty, as they are for a company at OpenAI that
does no such work."""


def usage_routes(reader: Reader, dialects: Iterable[Dialect], error: Dialect) -> list[Route]:
    """All addresses under PREFIX. `dialects` are the endpoints of every family, `error` one whose words problems are told in."""
    ours = [one for one in dialects if one.family != "anthropic"]
    by_work: dict[str, set[int]] = {}
    for one in ours:
        by_work.setdefault(_work(one), set()).add(one.index)
    every = frozenset(one.index for one in ours)

    def usage(kind: Kind) -> Callable[[Request, Reports], tuple[dict[str, Any], int]]:
        indexes = frozenset[int]().union(*(by_work.get(work, set()) for work in kind.works))
        return lambda request, reports: _usage(request, reports, kind, indexes)

    return [
        *(answering(reader, error, f"{PREFIX}/usage/{name}", usage(kind)) for name, kind in KINDS.items()),
        answering(reader, error, f"{PREFIX}/costs", lambda request, reports: _costs(request, reports, every)),
        answering(reader, error, f"{PREFIX}/{{rest:path}}", _nothing),
    ]


def _work(dialect: Dialect) -> str:
    return next((work for start, work in _WORK if dialect.path.startswith(start)), _TEXT)


def _nothing(request: Request, _reports: Reports) -> tuple[dict[str, Any], int]:
    message = f"There is no {request.url.path} here: {PREFIX}/costs and {PREFIX}/usage/NAME are served, NAME one of {', '.join(KINDS)}."
    raise RequestRefused(404, "not_found", message)


def _usage(request: Request, reports: Reports, kind: Kind, dialects: frozenset[int]) -> tuple[dict[str, Any], int]:
    asked = Asked(request, (*_COMMON, *kind.filters))
    width = asked.width()
    words = asked.choices("group_by", kind.groups)
    if asked.one("batch") not in {None, "true", "false"}:
        raise RequestRefused(400, "invalid_value", "batch is true or false.", "batch")

    def rows_of(bucket: UsageBucket) -> Rows:
        rows = []
        for group, one in bucket.groups:
            figures = kind.figures(one)
            if any(figures.values()):
                named = _named(kind.groups, words, group)
                rows.append({"object": f"organization.usage.{kind.object_name}.result", **figures, **named})
        return rows

    question = _question(asked, reports, width, dialects, kind.groups, words, kind.filters)
    count = asked.bucket_count(*BUCKET_COUNTS[width])
    return _answer(paged(reports, question, cursor=asked.one("page"), bucket_count=count, rows_of=rows_of))


def _costs(request: Request, reports: Reports, dialects: frozenset[int]) -> tuple[dict[str, Any], int]:
    filters = {name: _FILTERS[name] for name in _COST_PICKS}
    asked = Asked(request, (*_COMMON, *COST_FILTERS))
    width = asked.width(("1d",))
    words = asked.choices("group_by", COST_GROUPS)
    by_item, items = "line_item" in words, frozenset(asked.many("line_items"))
    words = [one for one in words if one != "line_item"]

    def rows_of(bucket: UsageBucket) -> Rows:
        if not by_item and not items:
            return [_cost(one.charge_nanos, _named(_COST_IDS, words, group)) for group, one in bucket.groups]
        rows = []
        sums: dict[Group, int] = {}
        for (*group, model), one in bucket.groups:
            for name, nanos, units, unit in _line_items(model or "no model", one):
                if by_item and (not items or name in items):
                    rows.append(_cost(nanos, _named(_COST_IDS, words, (*group,)) | {"line_item": name}, units, unit))
                elif name in items:
                    sums[(*group,)] = sums.get((*group,), 0) + nanos
        return rows + [_cost(nanos, _named(_COST_IDS, words, group)) for group, nanos in sums.items()]

    inside = [*words, "model"] if by_item or items else words
    question = _question(asked, reports, width, dialects, {**_COST_IDS, **_IDS}, inside, filters)
    count = asked.bucket_count(BUCKET_COUNTS[width][0], COSTS_BUCKETS_MAX)
    return _answer(paged(reports, question, cursor=asked.one("page"), bucket_count=count, rows_of=rows_of))


def _line_items(model: str, one: UsageSum) -> Iterator[tuple[str, int, int | None, str | None]]:
    """What a model's calls cost, part by part: name, nanos, how much of what."""
    for place, _, units, nanos in one.flat():
        if nanos or METERS[place] is not Meter.REQUEST:
            is_tokens = place < TOKEN_METER_COUNT
            name, unit = (
                (f"{METERS[place]}_tokens", "tokens") if is_tokens else (METERS[place], _UNITS.get(METERS[place]))
            )
            yield f"{model}, {name}", nanos, units, unit
    if one.unexplained_nanos:
        yield f"{model}, other", one.unexplained_nanos, None, None


def _question(
    asked: Asked,
    reports: Reports,
    width: str,
    dialects: frozenset[int],
    groups: Mapping[str, Dimension | None],
    words: list[str],
    filters: Mapping[str, Dimension | None],
) -> UsageQuestion:
    start_at = instant_of_seconds("start_time", asked.number("start_time", asked.required("start_time")))
    end = asked.one("end_time")
    until = reports.now + 1 if end is None else instant_of_seconds("end_time", asked.number("end_time", end))
    if end is not None and until < start_at:
        raise RequestRefused(
            400, "invalid_value", "end_time is not before start_time, or left out for now.", "end_time"
        )
    only, dialects = asked.picked(filters, dialects)
    return UsageQuestion(
        from_at=start_at, until=until, width_seconds=WIDTHS_SECONDS[width], dialects=dialects, only=only,
        group_by=tuple(dimension for word in words if (dimension := groups[word]) is not None),
    )  # fmt: skip


def _named(groups: Mapping[str, Dimension | None], words: list[str], group: Group) -> dict[str, Any]:
    """Every dimension that a row has: its value where it is grouped by, else null."""
    values = iter(group)
    found: dict[str, Any] = dict.fromkeys(groups)
    for word in words:
        dimension = groups[word]
        if dimension is None:
            found[word] = (
                "unlabeled" if word == _SOURCE else None
            )  # OpenAI's word for a call that no agent is known to have made
            continue
        value = next(values)
        if dimension is Dimension.BATCH:
            found[word] = value == "true"
        elif dimension is Dimension.SERVICE_TIER:
            found[word] = TIER_WORDS.get(value or "", value)
        else:
            found[word] = value
    return found


def _cost(nanos: int, named: dict[str, Any], units: int | None = None, unit: str | None = None) -> dict[str, Any]:
    amount = {"value": msgspec.Raw(text_from_nanos(nanos, 0).encode()), "currency": "usd"}
    return {
        "object": "organization.costs.result", "amount": amount, "line_item": None, **named, "quantity": units, "quantity_unit": unit,
    }  # fmt: skip


def _answer(page: Page) -> tuple[dict[str, Any], int]:
    data = [
        {"object": "bucket", "start_time": _seconds(start_at), "end_time": _seconds(until), "results": rows}
        for start_at, until, rows in page.buckets
    ]
    body = {"object": "page", "data": data, "has_more": page.next_page is not None, "next_page": page.next_page}
    return body, page.through_seq


def _seconds(at: Instant) -> int:
    return at // MICROS_PER_SECOND
