"""The OpenAPI document of our own HTTP interface, served at `/api/openapi.json`: what is asked where, by whom, and what is answered.

Addresses and parameters are taken from what answers them where that is a table; the shapes of answers are data beside this module
(`openapi_shapes.json`). That it is true is judged from outside: every route must stand here, and a fuzzer holds answers against it.
"""

import functools
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from importlib.resources import files
from typing import Any, Final

from tokenroll.api import anthropic_usage, openai_usage
from tokenroll.api.usage_pages import BUCKET_COUNTS, VALUES_MAX
from tokenroll.model.instant import INSTANT_MAX, MICROS_PER_SECOND
from tokenroll.model.limits import (
    FORECAST_DAYS_AHEAD_MAX,
    NAME_CHARACTERS_MAX,
    OUTCOME_EVENTS_TOLD_MAX,
    USAGE_TOLD_ROWS_MAX,
)
from tokenroll.services.cost_answers import COST_REPORTS, MONEY
from tokenroll.services.history import CALLS_SHOWN_MAX
from tokenroll.services.outcomes import ACCEPTED, REFUSED
from tokenroll.store.lake_queries import DIMENSIONS, MEASURES

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
SCIM: Final = "application/scim+json"
_Schema = dict[str, Any]

MINE: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "/api/me/wallet": ("What is left, and about how many days of usual work that is.", "Wallet", ()),
    "/api/me/grants": ("Grants of one's own.", "Grants", ()),
    "/api/me/calls": ("Calls of one's own, newest first.", "Calls", ("limit", "before")),
    "/api/me/calls/{call}": ("One call, its arithmetic and its place in the chain.", "Call", ()),
    "/api/me/runway": (
        "How long one's wallet lasts: chances, what was left so far, and the cone of what may be.",
        "BurnDown",
        (),
    ),
    "/api/me/payslips/{cycle}": ("The paper of one pay cycle.", "PaySlip", ()),
}
"""Any live key: what is asked, its shape, and its parameters."""
COMPANY: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "/api/departments": ("All departments.", "Departments", ()),
    "/api/departments/{name}": ("One department.", "Department", ()),
    "/api/members": ("All members, or those of a department.", "Members", ("department",)),
    "/api/members/{name}": ("One member, today or on a day.", "Member", ("on",)),
    "/api/plans": ("All plans.", "Plans", ()),
    "/api/plans/{name}": ("One plan and its versions.", "Plan", ()),
    "/api/grants": ("All grants, or those of one wallet.", "Grants", ("to",)),
    "/api/proposals": ("Awards that are proposed.", "Proposals", ()),
    "/api/proposals/{name}": ("One proposal.", "Proposal", ()),
    "/api/offers": ("Grants that are promised to candidates.", "Offers", ()),
    "/api/offers/{name}": ("One offer.", "Offer", ()),
    "/api/wallets": ("All wallets.", "Wallets", ()),
    "/api/wallets/{name}": ("One wallet.", "Wallet", ()),
    "/api/openings": ("What was brought in from another system.", "Openings", ()),
    "/api/pools": ("All pools.", "Pools", ()),
    "/api/alerts": ("What was told lately.", "Alerts", ()),
    "/api/limits": ("All limits and how far they are used.", "Limits", ()),
    "/api/limits/{name}": ("One limit, window by window.", "Limit", ()),
    "/api/ratecards": ("The rate cards that hold now.", "RateCards", ()),
    "/api/ratecards/{model}": ("The rate card of one model.", "RateCard", ()),
    "/api/paycalendars": ("All pay calendars.", "PayCalendars", ()),
    "/api/payruns": ("All pay runs.", "PayRuns", ()),
    "/api/payruns/{cycle}": ("One pay run with its slips.", "PayRun", ()),
    "/api/runways": ("Which wallets run dry before their cycle ends, how likely and when.", "Runways", ("wallet",)),
}
"""Admin keys."""
LAKE: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "/api/usage": ("Counts and costs of usage by any dimensions, exact.", "UsageAnswer", ("by", "measure", "where", "from", "until", "order", "rows")),
    "/api/forecasts": ("What comes next, with its bands and how far the same way was off.", "Forecast", ("whom", "amount", "days", "from", "hourly", "where")),
    "/api/costs/explain": ("Why a month cost more or less than another, and who moved most.", "CostChange", ("month", "against", "mover", "where", "cost")),
    "/api/costs/anomalies": ("Days that do not fit, and calls whose meter cannot be right (W12).", "CostAnomalies", ("where", "cost")),
    "/api/costs/share": ("How much of each provider's invoice went through the gateway.", "CostShare", ("month", "our_key", "report", "where")),
}  # fmt: skip
"""Admin keys, asked of the usage lake."""
_NAME: Final = r"^[A-Za-z0-9][^/]*$"
_IN_PATH: Final[Mapping[str, str]] = {"cycle": r"^20[0-9]{2}-(0[1-9]|1[0-2])$"}
"""What a part of an address looks like, by its name; all others are names or ids."""
_QUERY: Final[Mapping[str, tuple[str, _Schema]]] = {
    "limit": (
        f"At most so many; {CALLS_SHOWN_MAX} are the most.",
        {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
    ),
    "before": ("The `before` of the last page.", {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}),
    "department": ("Only members of it, by name or id.", {"type": "string", "minLength": 1}),
    "to": ("Only those of this member or pool, by name or id.", {"type": "string", "minLength": 1}),
    "on": ("As it was on that day.", {"type": "string", "format": "date"}),
    "wallet": ("Only this one: a member, a pool, or the wallet's id.", {"type": "string", "minLength": 1}),
}
_TEXT: Final[_Schema] = {"type": "string"}
_MONTH: Final[_Schema] = {"type": "string", "pattern": r"^20[0-9]{2}-(0[1-9]|1[0-2])$"}
_TIME: Final[_Schema] = {
    "type": "string",
    "pattern": r"^2[0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])(T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z)?$",
}
_LAKE_QUERY: Final[Mapping[str, tuple[str, str, _Schema]]] = {
    "by": ("by", f"Dimensions, apart by commas, none for one sum: {', '.join(DIMENSIONS)}.", _TEXT),
    "measure": ("measure", f"What is added up, apart by commas: {', '.join(MEASURES)}.", _TEXT),
    "from": ("from", "From this day (UTC) or time on.", _TIME),
    "until": ("until", "Until this day or time, which no longer counts.", _TIME),
    "order": ("order", "Columns to order by, apart by commas, `-` before one for the largest first.", _TEXT),
    "rows": ("limit", "Only so many rows.", {"type": "integer", "minimum": 1, "maximum": USAGE_TOLD_ROWS_MAX}),
    "whom": ("by", "Whom rows are of.", {"type": "string", "enum": ["company", "team", "member", "model"]}),
    "amount": ("measure", "What is forecast.", {"type": "string", "enum": ["list", "net", "charge", "model_tokens"]}),
    "days": ("days", "So many days ahead.", {"type": "integer", "minimum": 1, "maximum": FORECAST_DAYS_AHEAD_MAX}),
    "hourly": ("hourly", "By the hour in place of by the day.", {"type": "string", "enum": ["false", "true"]}),
    "month": ("month", "The month, in UTC.", _MONTH),
    "against": ("against", "The month to compare it with; the one before unless told.", _MONTH),
    "mover": ("by", "Whose changes are listed.", _TEXT),
    "report": (
        "report",
        "Which cost report is the invoice where several tell of one provider; else the provider's own.",
        {"type": "string", "enum": list(COST_REPORTS)},
    ),
    "cost": ("cost", "Which cost.", {"type": "string", "enum": list(MONEY)}),
}
"""By what it is called here: the parameter's name, what it says, its shape."""
_SEVERAL: Final[Mapping[str, str]] = {
    "where": "Which usage, such as `member=Ada`, `status!=ok`, `model~sonnet`; may come several times.",
    "our_key": "The id of a key that the gateway calls with; may come several times.",
}


@functools.cache
def document() -> dict[str, Any]:
    """The whole document. It is built when it is first asked for."""
    shapes = json.loads(files("tokenroll.api").joinpath("openapi_shapes.json").read_text())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tokenroll",
            "version": version("tokenroll"),
            "description": "What one may know of oneself, of the company, and how an identity provider feeds people in. "
            "Money is a decimal string with its unit, times are RFC 3339 in UTC.",
        },
        "security": [{"bearer": []}, {"key": []}],
        "paths": {
            **_own_paths(), **_lake_paths(), **_traces_path(), **_outcome_paths(), **_usage_paths(), **_scim_paths()
        },
        "components": {
            "schemas": shapes,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }  # fmt: skip


def _ref(shape: str) -> _Schema:
    return {"$ref": f"#/components/schemas/{shape}"}


def _answer(says: str, shape: str, kind: str = JSON, **headers: str) -> dict[str, Any]:
    told = {"headers": {name: {"schema": {"type": "string"}, "description": why} for name, why in headers.items()}}
    return {"description": says, "content": {kind: {"schema": _ref(shape)}}, **(told if headers else {})}


def _problems(shape: str, kind: str, *statuses: int) -> dict[str, Any]:
    says = {
        400: "What was asked cannot be.", 401: "No live key was shown.", 403: "The key is not for this.",
        404: "There is no such thing.", 405: "Not by this method.", 409: "Somebody else has that name, or changes it now.",
        412: "It is another version now.", 413: "The body is too large.", 501: "Not offered.", 503: "No ledger is served.",
    }  # fmt: skip
    return {str(status): _answer(says[status], shape, kind) for status in statuses}


def _in_path(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": _IN_PATH.get(name, _NAME)},
        }
        for name in names
    ]


def _own_paths() -> dict[str, Any]:
    paths: dict[str, Any] = {"/api/openapi.json": {"get": {
        "operationId": "openapi", "summary": "This document.", "security": [],
        "responses": {"200": {"description": "This document.", "content": {JSON: {"schema": {"type": "object"}}}}, **_problems("Problem", PROBLEM, 405)},
    }}}  # fmt: skip
    text = {"schema": {"type": "string"}}
    paths["/api/metrics"] = {"get": {
        "operationId": "metrics", "summary": "What calls amount to since the ledger began, as Prometheus reads it.", "tags": ["live usage"],
        "responses": {
            "200": {"description": "Counters by department, model and provider.", "content": {"text/plain": text}},
            **_problems("Problem", PROBLEM, 401, 403, 405),
            "503": _answer("The ledger is still being counted.", "Problem", PROBLEM, **{"retry-after": "Seconds."}),
        },
    }}  # fmt: skip
    for path, (summary, shape, names) in {**MINE, **COMPANY}.items():
        query = [
            {"name": name, "in": "query", "description": _QUERY[name][0], "schema": _QUERY[name][1]} for name in names
        ]
        statuses = (400, 401, *((403,) if path in COMPANY else ()), 404, 405)
        paths[path] = {"get": {
            "operationId": path.removeprefix("/api/").replace("/", "_").replace("{", "").replace("}", ""),
            "summary": summary, "tags": ["me" if path in MINE else "company"], "parameters": [*_in_path(path), *query],
            "responses": {"200": _answer(summary, shape), **_problems("Problem", PROBLEM, *statuses)},
        }}  # fmt: skip
    return paths


def _lake_paths() -> dict[str, Any]:
    """Questions to the usage lake, which an install without the extra does not offer and a busy one answers later."""
    paths: dict[str, Any] = {}
    for path, (summary, shape, names) in LAKE.items():
        told = [_lake_parameter(name) for name in names]
        paths[path] = {"get": {
            "operationId": path.removeprefix("/api/").replace("/", "_"), "summary": summary, "tags": ["usage lake"], "parameters": told,
            "responses": {
                "200": _answer(summary, shape), **_problems("Problem", PROBLEM, 400, 401, 403, 405, 501),
                "503": _answer("Too many ask, or it takes too long.", "Problem", PROBLEM, **{"retry-after": "Seconds."}),
            },
        }}  # fmt: skip
    return paths


def _lake_parameter(name: str) -> dict[str, Any]:
    if name in _SEVERAL:
        several = {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": VALUES_MAX}
        return {
            "name": name,
            "in": "query",
            "description": _SEVERAL[name],
            "style": "form",
            "explode": True,
            "schema": several,
        }
    parameter, says, schema = _LAKE_QUERY[name]
    return {"name": parameter, "in": "query", "description": says, "required": name == "month", "schema": schema}


def _traces_path() -> dict[str, Any]:
    """The address is the one that exporters of spans know; `traces.py` answers there."""
    spans: _Schema = {"type": "object", "properties": {"resourceSpans": {"type": "array", "items": {"type": "object"}}}}
    partial: _Schema = {
        "type": "object",
        "properties": {"rejectedSpans": {"type": "string"}, "errorMessage": {"type": "string"}},
    }
    taken: _Schema = {"type": "object", "properties": {"partialSuccess": partial}, "additionalProperties": False}
    retry = {"retry-after": "Seconds."}
    return {"/v1/traces": {"post": {
        "operationId": "traces", "summary": "Spans of programs, of which calls of models become usage (OTLP/HTTP in JSON, packed with gzip or not).",
        "tags": ["live usage"], "requestBody": {"required": True, "content": {JSON: {"schema": spans}}},
        "responses": {
            "200": {"description": "Taken, but for those that it says.", "content": {JSON: {"schema": taken}}},
            **_problems("Problem", PROBLEM, 400, 401, 403, 405, 413, 501),
            "415": _answer("Not as JSON; the answer says how to send it so.", "Problem", PROBLEM),
            "503": _answer("Not now; send it again.", "Problem", PROBLEM, **retry),
        },
    }}}  # fmt: skip


def _outcome_paths() -> dict[str, Any]:
    """What became of work (`outcomes.py`): ours with a key, trackers' own with their signature where a secret is configured."""
    word: _Schema = {"type": "string", "enum": sorted(ACCEPTED | REFUSED)}
    text: _Schema = {"type": "string", "minLength": 1, "maxLength": NAME_CHARACTERS_MAX}
    event: _Schema = {
        "type": "object", "required": ["outcome", "at", "event"], "additionalProperties": False,
        "properties": {
            "outcome": text, "at": {"type": "string", "format": "date-time"}, "event": word,
            "session": {"type": "string", "maxLength": NAME_CHARACTERS_MAX},
        },
    }  # fmt: skip
    several: _Schema = {
        "type": "object", "required": ["events"], "additionalProperties": False,
        "properties": {"events": {"type": "array", "items": event, "minItems": 1, "maxItems": OUTCOME_EVENTS_TOLD_MAX}},
    }  # fmt: skip
    taken: _Schema = {
        "type": "object", "required": ["taken"], "additionalProperties": False,
        "properties": {"taken": {"type": "integer", "minimum": 0}},
    }  # fmt: skip
    responses = {
        "200": {"description": "On disk; how many events.", "content": {JSON: {"schema": taken}}},
        **_problems("Problem", PROBLEM, 400, 401, 403, 405, 413),
        "415": _answer("Not as JSON.", "Problem", PROBLEM),
        "503": _answer("Not now; send it again.", "Problem", PROBLEM, **{"retry-after": "Seconds."}),
    }
    return {"/api/outcomes": {"post": {
        "operationId": "outcomes", "summary": "What became of pieces of work, all of them or none.", "tags": ["outcomes"],
        "requestBody": {"required": True, "content": {JSON: {"schema": {"oneOf": [event, several]}}}}, "responses": responses,
    }}}  # fmt: skip


# ---- usage and costs -------------------------------------------------------------------------------------------------------


def _values(name: str, allowed: Iterable[str] | None = None) -> dict[str, Any]:
    """A parameter that may come several times."""
    item: _Schema = {"type": "string"} if allowed is None else {"type": "string", "enum": sorted(allowed)}
    schema = {"type": "array", "items": item, "maxItems": VALUES_MAX}
    return {"name": name, "in": "query", "style": "form", "explode": True, "schema": schema}


def _one(name: str, schema: _Schema, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": schema}


def _usage(path: str, summary: str, shape: str, error: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    answer = _answer(
        summary, shape, JSON, **{"x-tokenroll-ledger-seq": "The last row of the journal that the report holds."}
    )
    return {path: {"get": {
        "operationId": path.removeprefix("/v1/").replace("/", "_"), "summary": summary, "tags": ["usage and costs"], "parameters": parameters,
        "responses": {"200": answer, **_problems(error, JSON, 400, 401, 403, 405)},
    }}}  # fmt: skip


def _usage_paths() -> dict[str, Any]:
    second, least = (
        {"type": "integer", "minimum": 0, "maximum": INSTANT_MAX // MICROS_PER_SECOND},
        {"type": "integer", "minimum": 0},
    )
    instant = {"type": "string", "format": "date-time", "pattern": r"^(19[7-9]|[2-9]\d\d)\d-"}  # from 1970 on
    text = {"type": "string"}
    widths = {"type": "string", "enum": sorted(BUCKET_COUNTS)}
    day = {"type": "string", "enum": ["1d"]}
    most = min(most for _, most in BUCKET_COUNTS.values())
    count = {**least, "maximum": most}
    ours = [_one("start_time", second, required=True), _one("end_time", second), _one("page", text)]
    theirs = [_one("starting_at", instant, required=True), _one("ending_at", instant), _one("page", text)]
    paths: dict[str, Any] = {}
    for name, kind in openai_usage.KINDS.items():
        filters = [
            _one("batch", {"type": "string", "enum": ["false", "true"]}) if one == "batch" else _values(one)
            for one in kind.filters
        ]
        paths |= _usage(
            f"{openai_usage.PREFIX}/usage/{name}", f"Usage: {name.replace('_', ' ')}, in buckets of time.", "OpenAIUsage", "OpenAIError",
            [*ours, _one("bucket_width", widths), _one("limit", count), _values("group_by", kind.groups), *filters],
        )  # fmt: skip
    paths |= _usage(
        f"{openai_usage.PREFIX}/costs", "Costs by day.", "OpenAICosts", "OpenAIError",
        [*ours, _one("bucket_width", day), _one("limit", {**least, "maximum": openai_usage.COSTS_BUCKETS_MAX}),
         _values("group_by", openai_usage.COST_GROUPS), *map(_values, openai_usage.COST_FILTERS)],
    )  # fmt: skip
    paths |= _usage(
        f"{anthropic_usage.PREFIX}/usage_report/messages", "Usage of messages, in buckets of time.", "AnthropicUsage", "AnthropicError",
        [*theirs, _one("bucket_width", widths), _one("limit", count), _values("group_by", anthropic_usage.GROUPS),
         *map(_values, anthropic_usage.FILTERS)],
    )  # fmt: skip
    paths |= _usage(
        f"{anthropic_usage.PREFIX}/cost_report", "Costs of messages by day.", "AnthropicCosts", "AnthropicError",
        [*theirs, _one("bucket_width", day), _one("limit", count), _values("group_by", (*anthropic_usage.COST_GROUPS, "description"))],
    )  # fmt: skip
    return paths


# ---- people ----------------------------------------------------------------------------------------------------------------


def _scim(
    summary: str, answers: dict[str, Any], *, body: str = "", parameters: Iterable[dict[str, Any]] = (), **more: Any
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "summary": summary,
        "tags": ["people"],
        "parameters": list(parameters),
        "responses": answers,
        **more,
    }
    if body:
        found["requestBody"] = {"required": True, "content": {SCIM: {"schema": _ref(body)}}}
    return found


def _scim_paths() -> dict[str, Any]:
    whole = {"type": "integer", "minimum": -(10**8) + 1, "maximum": 10**9 - 1}
    chosen = [_one(name, {"type": "string"}) for name in ("attributes", "excludedAttributes")]
    page = [_one("filter", {"type": "string"}), _one("startIndex", whole), _one("count", whole), *chosen]
    version_header = [{"name": "If-Match", "in": "header", "schema": {"type": "string"}}]

    def problems(*statuses: int) -> dict[str, Any]:
        return _problems("ScimError", SCIM, *sorted({401, 403, 405, *statuses}))

    def answered(shape: str, says: str, status: int = 200) -> dict[str, Any]:
        return {str(status): _answer(says, shape, SCIM)}

    paths: dict[str, Any] = {}
    for path, shape, says in (
        ("/ServiceProviderConfig", "ScimDocument", "What is offered."), ("/ResourceTypes", "ScimList", "Users and groups."),
        ("/ResourceTypes/{name}", "ScimDocument", "One of them."), ("/Schemas", "ScimList", "Every attribute that is known."),
        ("/Schemas/{name}", "ScimDocument", "One schema."),
    ):  # fmt: skip
        paths[path] = {"get": _scim(says, {**answered(shape, says), **problems(400, 404)}, parameters=_in_path(path))}
    search = _scim(
        "Users and groups by a filter.", {**answered("ScimList", "A page."), **problems(400, 413)}, body="ScimSearch"
    )
    paths["/.search"] = {"post": search}
    for place, shape in (("/Users", "ScimUser"), ("/Groups", "ScimGroup")):
        noun = shape.removeprefix("Scim").lower()
        written = problems(400, 404, 409, 412, 413, 503)
        one = _in_path("/{id}")
        told = answered(shape, f"The {noun}.")
        paths[place] = {
            "get": _scim(
                f"All {noun}s, or those of a filter.",
                {**answered("ScimList", "A page."), **problems(400)},
                parameters=page,
            ),
            "post": _scim(
                f"A new {noun}.", {**answered(shape, f"The {noun}.", 201), **written}, body=shape, parameters=chosen
            ),
        }
        paths[f"{place}/.search"] = {
            "post": _scim(
                f"{noun.title()}s by a filter.",
                {**answered("ScimList", "A page."), **problems(400, 413)},
                body="ScimSearch",
            )
        }
        unchanged = {"304": {"description": "It is the version of If-None-Match."}}
        asking = [{"name": "If-None-Match", "in": "header", "schema": {"type": "string"}}]
        paths[f"{place}/{{id}}"] = {
            "get": _scim(f"One {noun}.", {**told, **unchanged, **problems(400, 404)}, parameters=[*one, *chosen, *asking]),
            "put": _scim(f"The {noun} as this says.", {**told, **written}, body=shape, parameters=[*one, *chosen, *version_header]),
            "patch": _scim(f"The {noun} changed in part.", {**told, **written}, body="ScimPatch", parameters=[*one, *chosen, *version_header]),
            "delete": _scim(f"The {noun} gone for the provider.", {"204": {"description": "Done."}, **written}, parameters=[*one, *version_header]),
        }  # fmt: skip
    return {f"/scim/v2{path}": operations for path, operations in paths.items()}
