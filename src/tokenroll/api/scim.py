"""SCIM 2.0 (RFC 7644) under `/scim/v2`: the door through which an identity provider feeds members and departments.

Reads come from a snapshot; every write is a command to the ledger that is served, made for the version that was read, so that two
requests at once cannot undo each other. What is so already is answered without a command.
"""

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tokenroll.api.application import bearer
from tokenroll.app import Reader, ledger_door
from tokenroll.model.api_key import KeyScope
from tokenroll.model.limits import SCIM_BODY_BYTES_MAX, SCIM_PAGE_MAX
from tokenroll.services.ledger_client import LedgerUnreachableError
from tokenroll.services.protocol import Command
from tokenroll.services.provisioning import OWN, UNIQUENESS, VERSION
from tokenroll.services.scim_documents import (
    GROUPS,
    LIST,
    USERS,
    Document,
    Kind,
    ScimError,
    provider_config,
    resource_types,
    schemas,
    spelled,
)
from tokenroll.services.scim_patches import patched
from tokenroll.services.scim_resources import Directory, version_of, without_nothing

MEDIA_TYPE: Final = "application/scim+json"
PLACE: Final = "/scim/v2"
TRIES_MAX: Final = 5
"""How often a change is made again upon what somebody else changed meanwhile, before the asker is told to."""
_STATUS: Final[Mapping[str, tuple[int, str]]] = {
    "not_found": (404, ""), UNIQUENESS: (409, UNIQUENESS), "taken": (409, UNIQUENESS), VERSION: (412, ""),
    "mutability": (400, "mutability"), "storage": (503, ""), "internal": (500, ""),
}  # fmt: skip


class Asked(NamedTuple):
    """One request, its body read."""

    request: Request
    body: Any
    base: str


def create_scim(reader: Reader) -> Starlette:
    """The application to be mounted at `/scim/v2`."""
    door = _Door(reader)
    routes = [
        Route("/ServiceProviderConfig", door.answering(lambda one: _plain(provider_config(one.base, SCIM_PAGE_MAX)))),
        Route("/ResourceTypes", door.answering(lambda one: _plain(_list(resource_types(one.base))))),
        Route("/ResourceTypes/{name}", door.answering(lambda one: _plain(_named(resource_types(one.base), one)))),
        Route("/Schemas", door.answering(lambda one: _plain(_list(schemas(one.base))))),
        Route("/Schemas/{name}", door.answering(lambda one: _plain(_named(schemas(one.base), one)))),
        Route("/Me", ByMethod(door, dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), _not_here))),
        Route("/Bulk", ByMethod(door, {"POST": _not_here})),
    ]
    resources = [_Resource(reader, kind) for kind in (USERS, GROUPS)]
    routes.append(Route("/.search", ByMethod(door, {"POST": lambda one: _search_all(resources, one)})))
    for kind, resource in zip((USERS, GROUPS), resources, strict=True):
        one = {"GET": resource.read, "PUT": resource.replace, "PATCH": resource.patch, "DELETE": resource.remove}
        routes += [
            Route(kind.place, ByMethod(door, {"GET": resource.listed, "POST": resource.create})),
            Route(f"{kind.place}/.search", ByMethod(door, {"POST": resource.searched})),
            Route(f"{kind.place}/{{id}}", ByMethod(door, one)),
        ]
    return Starlette(
        routes=routes, exception_handlers={ScimError: _problem, HTTPException: _problem, Exception: _problem}
    )


class _Door:
    """Who asks, and with what."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def answering(self, answer: Callable[[Asked], Response]) -> Callable[[Request], Awaitable[Response]]:
        """The answer, for whoever has a key for it; made beside the event loop, because it may wait for the ledger."""

        async def handle(request: Request) -> Response:
            await run_in_threadpool(self._admit, request)
            body = await _body(request)
            base = f"{str(request.base_url).rstrip('/')}{PLACE}"
            return await run_in_threadpool(answer, Asked(request, body, base))

        return handle

    def _admit(self, request: Request) -> None:
        secret = bearer(request)
        with self._reader.reports() as reports:
            visitor = self._reader.visitor(reports, secret)
        if visitor is None:
            raise ScimError(401, "", "Send a live key as `Authorization: Bearer …`.")
        if visitor.scope not in {KeyScope.ADMIN, KeyScope.PROVISION}:
            raise ScimError(403, "", "This changes others: it needs a key made with `--scope provision`.")


class ByMethod:
    """What is answered at one address, by the method it is asked with; to any other it says which there are."""

    def __init__(self, door: _Door, answers: Mapping[str, Callable[[Asked], Response]]) -> None:
        self._answers = {name: door.answering(answer) for name, answer in answers.items()}
        if "GET" in answers:
            self._answers["HEAD"] = self._answers["GET"]
        self.methods = frozenset(self._answers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        answer = self._answers.get(request.method)
        if answer is None:
            raise HTTPException(405, headers={"allow": ", ".join(sorted(self.methods))})
        response = await answer(request)
        await response(scope, receive, send)


class _Resource:
    """Everything that is asked of one kind of resource."""

    def __init__(self, reader: Reader, kind: Kind) -> None:
        self._reader = reader
        self._kind = kind
        self._noun = kind.name.casefold()

    def listed(self, asked: Asked) -> Response:
        return self._page(asked, asked.request.query_params)

    def searched(self, asked: Asked) -> Response:
        return self._page(asked, _search_of(asked))

    def read(self, asked: Asked) -> Response:
        found = self._find(asked)
        if found["meta"]["version"] in _tags(asked.request, "if-none-match"):
            return Response(status_code=304, headers={"etag": found["meta"]["version"]})
        return self._told(asked, found)

    def create(self, asked: Asked) -> Response:
        given = spelled(self._kind, asked.body)
        done = self._execute(f"{self._noun}.put", {self._noun: given})
        return self._told(asked, self._find(asked, done[self._noun]), status=201)

    def replace(self, asked: Asked) -> Response:
        given = spelled(self._kind, asked.body)
        return self._change(asked, lambda current: _overlaid(self._kind, current, given))

    def patch(self, asked: Asked) -> Response:
        return self._change(asked, lambda current: patched(self._kind, current, asked.body))

    def remove(self, asked: Asked) -> Response:
        def command(current: Document) -> None:
            arguments = {f"{self._noun}_id": current["id"], VERSION: version_of(current)}
            self._execute(f"{self._noun}.remove", arguments)

        self._upon_current(asked, command)
        return Response(status_code=204)

    # ---- steps ----------------------------------------------------------------------------------------------------

    def _change(self, asked: Asked, becoming: Callable[[Document], Document]) -> Response:
        def command(current: Document) -> None:
            wanted = becoming(current)
            if not _alike(current, wanted):
                arguments = {f"{self._noun}_id": current["id"], self._noun: wanted, VERSION: version_of(current)}
                self._execute(f"{self._noun}.put", arguments)

        self._upon_current(asked, command)
        return self._told(asked, self._find(asked))

    def _upon_current(self, asked: Asked, command: Callable[[Document], None]) -> None:
        """The command made for what is there now, and made again when that changed meanwhile."""
        wanted = _tags(asked.request, "if-match")
        for _ in range(TRIES_MAX):
            current = self._find(asked)
            if wanted and "*" not in wanted and current["meta"]["version"] not in wanted:
                raise ScimError(412, "", f"the {self._kind.name} is no longer the version of If-Match: read it again")
            try:
                command(current)
            except ScimError as error:
                if error.status == 412:
                    continue
                raise
            return
        raise ScimError(409, "", f"the {self._kind.name} is being changed by others: try again")

    def _find(self, asked: Asked, public_id: str = "") -> Document:
        with self._reader.reports() as reports:
            directory = Directory(reports.connection, reports.now, asked.base)
            return directory.find(self._kind, public_id or asked.request.path_params["id"])

    def _execute(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        command = Command(id=f"scim-{secrets.token_hex(12)}", name=name, arguments=arguments)
        try:
            with ledger_door(self._reader.settings, may_open=False) as door:
                reply = door.execute(command)
        except LedgerUnreachableError as error:
            raise ScimError(503, "", f"{error}") from error
        if reply.result is None:
            status, kind = _STATUS.get(reply.problem_kind, (400, "invalidValue"))
            raise ScimError(status, kind, reply.problem)
        return reply.result

    def _page(self, asked: Asked, told: Mapping[str, str]) -> Response:
        return _page_of([(self, one) for one in self.found(asked, told)], told)

    def found(self, asked: Asked, told: Mapping[str, str]) -> list[Document]:
        """Everything that a filter lets through."""
        with self._reader.reports() as reports:
            return Directory(reports.connection, reports.now, asked.base).listed(self._kind, told.get("filter", ""))

    def _told(self, asked: Asked, found: Document, *, status: int = 200) -> Response:
        headers = {"etag": found["meta"]["version"], "location": found["meta"]["location"]}
        return _plain(self.chosen(found, asked.request.query_params), status=status, headers=headers)

    def chosen(self, found: Document, told: Mapping[str, str]) -> Document:
        """The attributes that were asked for; the id and the schemas always come."""
        wanted, unwanted = _names(told, "attributes"), _names(told, "excludedAttributes")
        if wanted:
            return _only(self._kind, found, wanted)
        return _without(self._kind, found, unwanted) if unwanted else found


def _search_of(asked: Asked) -> dict[str, str]:
    """The questions of a search's body, as a query would ask them."""
    body = asked.body if isinstance(asked.body, dict) else {}
    return {
        name: ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in body.items()
        if value is not None
    }


def _search_all(resources: list[_Resource], asked: Asked) -> Response:
    """Users and groups alike; a filter by what only one kind has asks for that kind."""
    told = _search_of(asked)
    found: list[tuple[_Resource, Document]] = []
    refused: list[ScimError] = []
    for resource in resources:
        try:
            found += [(resource, one) for one in resource.found(asked, told)]
        except ScimError as error:
            refused.append(error)
    if len(refused) == len(resources):
        raise refused[0]
    return _page_of(found, told)


def _page_of(found: list[tuple[_Resource, Document]], told: Mapping[str, str]) -> Response:
    start = max(1, _number(told, "startIndex", 1))
    count = min(max(0, _number(told, "count", SCIM_PAGE_MAX)), SCIM_PAGE_MAX)
    page = [resource.chosen(one, told) for resource, one in found[start - 1 : start - 1 + count]]
    return _plain(_list(page, total=len(found), start=start))


# ---- documents -----------------------------------------------------------------------------------------------------------------


def _overlaid(kind: Kind, current: Document, given: Document) -> Document:
    """What PUT asks for: what is the provider's own as it says, all else as it says where it does (decision 0044)."""
    own = set(OWN) if kind is USERS else set()
    kept = {name: value for name, value in current.items() if name not in own}
    for name, value in given.items():
        if name in kind.schemas and isinstance(kept.get(name), dict):
            kept[name] = {**kept[name], **value}
        else:
            kept[name] = value
    return kept


def _alike(current: Document, wanted: Document) -> bool:
    """Whether two documents say the same: neither the order of members nor what is told beside their ids counts."""

    def plain(document: Document) -> Any:
        said = {name: value for name, value in document.items() if name != "members" and value != []}
        return without_nothing(said), {one.get("value") for one in document.get("members") or ()}

    return bool(plain(current) == plain(wanted))


def _names(told: Mapping[str, str], which: str) -> list[str]:
    return [name.strip() for name in told.get(which, "").split(",") if name.strip()]


def _only(kind: Kind, found: Document, names: list[str]) -> Document:
    chosen: Document = {name: found[name] for name in ("schemas", "id") if name in found}
    for name in names:
        schema, attribute, part = _place(kind, name)
        source = found if schema == kind.core else found.get(schema, {})
        if attribute and attribute in source:
            target = chosen if schema == kind.core else chosen.setdefault(schema, {})
            value = source[attribute]
            if part and isinstance(value, dict):
                target[attribute] = {**target.get(attribute, {}), **({part: value[part]} if part in value else {})}
            else:
                target[attribute] = value
    return chosen


def _without(kind: Kind, found: Document, names: list[str]) -> Document:
    left = {name: dict(value) if isinstance(value, dict) else value for name, value in found.items()}
    for name in names:
        schema, attribute, part = _place(kind, name)
        source = left if schema == kind.core else left.get(schema, {})
        if part and isinstance(source.get(attribute), dict):
            source[attribute].pop(part, None)
        elif attribute not in {"id", "schemas"}:
            source.pop(attribute, None)
    return left


def _place(kind: Kind, name: str) -> tuple[str, str, str]:
    """Schema, attribute and part of a name; an unknown one names nothing."""
    known = kind.find(name)
    if known is not None:
        return known[0], known[1].name, ""
    whole, _, part = name.rpartition(".")
    known = kind.find(whole) if whole else None
    return (known[0], known[1].name, part) if known is not None else (kind.core, "", "")


def _list(found: list[Document], *, total: int | None = None, start: int = 1) -> Document:
    return {
        "schemas": [LIST],
        "totalResults": len(found) if total is None else total,
        "startIndex": start,
        "itemsPerPage": len(found),
        "Resources": found,
    }


def _named(found: list[Document], asked: Asked) -> Document:
    name = asked.request.path_params["name"]
    for one in found:
        if one["id"].casefold() == name.casefold():
            return one
    raise ScimError(404, "", f"there is no {name!r}; there are {', '.join(one['id'] for one in found)}")


def _not_here(_asked: Asked) -> Response:
    raise ScimError(501, "", "This is not offered; /ServiceProviderConfig says what is.")


# ---- the wire --------------------------------------------------------------------------------------------------------------------


async def _body(request: Request) -> Any:
    """The JSON of a request, None without one. Raises ScimError for too much of it, or for what is none."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > SCIM_BODY_BYTES_MAX:
            raise ScimError(413, "tooMany", f"a request has at most {SCIM_BODY_BYTES_MAX} bytes")
    if not data:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ScimError(400, "invalidSyntax", f"the body is not JSON: {error}") from error


def _tags(request: Request, header: str) -> set[str]:
    return {tag.strip() for tag in request.headers.get(header, "").split(",") if tag.strip()}


def _number(told: Mapping[str, str], name: str, default: int) -> int:
    if name not in told:
        return default
    text = str(told[name]).strip()
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) < 10):
        raise ScimError(400, "invalidValue", f"{name} is a whole number, not {text[:20]!r}")
    return int(text)


def _plain(found: Document, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(found, status, dict(headers or {}), media_type=MEDIA_TYPE)


async def _problem(_request: Request, error: Exception) -> Response:
    headers: dict[str, str] = {}
    if isinstance(error, HTTPException):
        headers.update(error.headers or {})
        error = ScimError(error.status_code, "", str(error.detail))
    if not isinstance(error, ScimError):
        error = ScimError(500, "", "Something went wrong here; nothing was changed.")
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.status == 503:
        headers["retry-after"] = "5"
    return _plain(error.document(), status=error.status, headers=headers)
