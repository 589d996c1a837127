"""What the worker answers itself: models, one's own wallet and calls, health and metrics. Nothing here moves money."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote

from tokenroll.gateway import unserved
from tokenroll.gateway.answers import ANTHROPIC, ENDPOINTS, error_answer, json_answer, text_answer
from tokenroll.gateway.heads import RequestHead
from tokenroll.gateway.routing import ways
from tokenroll.services.hot import Deployment, HotKey
from tokenroll.services.hot_prices import HotCard
from tokenroll.upstream.dialect import Dialect, ErrorAnswer

if TYPE_CHECKING:
    from tokenroll.gateway.worker import Gateway

CALL_PATHS: Final = frozenset(ENDPOINTS)
_GREETINGS: Final = frozenset({b"/", b"/api/hello"})
"""What clients ask for before their first call, to see whether anybody is there."""
_OPEN_PATHS: Final = frozenset({b"/healthz", b"/metrics", *_GREETINGS})
WALLET_PATH: Final = b"/me/wallet"
_KEYED_PATHS: Final = frozenset({b"/v1/models", WALLET_PATH})
_KEYED_PREFIXES: Final = (b"/v1/models/", b"/me/calls/")
_GREETING: Final = (
    "This is a tokenroll gateway. Calls go to /v1/…, in the words of OpenAI and Anthropic, with a key that "
    "`tokenroll key create` makes; /me/wallet says what is left, /healthz whether calls are admitted.\n"
)
_THIS_ALONE: Final = b"?worker=this"
"""Asks /metrics for what the worker counts that answers, where several share a port."""
_PAGE_MAX: Final = 1000
"""Models of one page: Anthropic's own largest."""


def authenticate(
    gateway: "Gateway", head: RequestHead, dialect: Dialect | None, *, calls: bool = True
) -> HotKey | ErrorAnswer:
    """The key behind a request, or its refusal. A client may send its key as either dialect does; its own way is read first."""
    bearer = _bearer(head.authorization)
    if dialect is not None and dialect.family == ANTHROPIC.family:
        bearer = head.api_key or bearer
    elif not bearer:
        bearer = head.api_key
    bearer = bearer or head.other_key
    head.bearer = bearer
    if not bearer:
        return error_answer(
            dialect, 401, "missing_api_key",
            "No key was given; send yours as `Authorization: Bearer …` or `x-api-key: …`.", headers=b"www-authenticate: Bearer\r\n",
        )  # fmt: skip
    now = gateway.clock()
    key = gateway.spending.key_for(bearer, now)
    if key is None:
        why, message = gateway.spending.why_no_key(bearer, now)
        lines = b"www-authenticate: Bearer\r\nx-tokenroll-denied: %b\r\n" % why.encode()
        return error_answer(dialect, 401, "invalid_api_key", message, headers=lines)
    if calls and not key.calls_models:
        return error_answer(
            dialect,
            403,
            f"{key.scope}_key",
            f"A key with scope {key.scope} cannot call models; use one with scope inference.",
        )
    return key


def _bearer(authorization: bytes) -> bytes:
    if authorization.startswith(b"Bearer "):
        return authorization[7:].strip()
    scheme, _, value = authorization.partition(b" ")
    return value.strip() if scheme.lower() == b"bearer" else b""


def refusal(gateway: "Gateway", head: RequestHead, dialect: Dialect | None) -> ErrorAnswer | None:
    """What the head alone decides about a request that is no call: unknown path, wrong method."""
    del gateway
    path = head.path
    if path not in _OPEN_PATHS and path not in _KEYED_PATHS and not path.startswith(_KEYED_PREFIXES):
        name = path.decode("ascii")
        message = f"There is no {name} here.{unserved.no_websocket(head)}"
        return error_answer(dialect, 404, "not_found", message)
    if head.method not in {b"GET", b"HEAD"}:
        return error_answer(
            dialect, 405, "method_not_allowed", "This is read with GET.", headers=b"allow: GET, HEAD\r\n"
        )
    return None


def answer(gateway: "Gateway", head: RequestHead, dialect: Dialect | None) -> ErrorAnswer:
    """The answer to a request that `refusal` let pass."""
    path = head.path
    gateway.metrics.requests[_route_name(path)] += 1
    if path == b"/healthz":
        return _health(gateway)
    if path in _GREETINGS:
        return text_answer(_GREETING, b"text/plain; charset=utf-8")
    if path == b"/metrics":
        return text_answer(gateway.own_page() if head.query == _THIS_ALONE else gateway.metrics_page())
    if gateway.not_ready:
        return error_answer(dialect, 503, "not_ready", gateway.not_ready, retry_after_seconds=1)
    key = authenticate(gateway, head, dialect, calls=False)
    if isinstance(key, ErrorAnswer):
        return key
    if path == WALLET_PATH:
        return json_answer(gateway.spending.wallet_view(key, gateway.clock()))
    if path.startswith(b"/me/calls/"):
        call_id = unquote(path[len(b"/me/calls/") :].decode("ascii"))
        view = gateway.spending.call_view(key, call_id)
        if view is None:
            return error_answer(
                None, 404, "call_not_found",
                f"This gateway does not remember a call {call_id} of your wallet; older calls are on your page, or `tokenroll call show`.",
            )  # fmt: skip
        return json_answer(view)
    return _models(gateway, path, head.query, dialect, key)


def _route_name(path: bytes) -> str:
    for prefix in _KEYED_PREFIXES:
        if path.startswith(prefix):
            return prefix.decode("ascii") + "*"
    return path.decode("ascii")


def _health(gateway: "Gateway") -> ErrorAnswer:
    reason = gateway.not_ready or ("The gateway is stopping." if gateway.stopping else "")
    sized = gateway.spending.sized
    if not reason and sized is not None and sized.has_nothing_to_spend:
        reason = "The lease of this node is over, because its ledger does not answer."
    state: dict[str, Any] = {
        "status": "not_admitting" if reason else "ok",
        "durability": gateway.settings.durability,
        "deployments": gateway.deployments_state(),
    }
    if reason:
        state["reason"] = reason
    return json_answer(state, 503 if reason else 200)


def _served_models(gateway: "Gateway", dialect: Dialect, key: HotKey) -> Iterator[str]:
    now = gateway.clock()
    prices = gateway.spending.prices
    for name in dict.fromkeys([*gateway.spending.model_names(now), *gateway.routes.alias_names]):
        route = gateway.routes.find(dialect, name)
        # a way for all models leads there too, so the price must be this way's provider's own
        if route is not None and any(
            _may_call(key, prices.card_for(one.hot.provider, one.hot.model or name, now), one.hot)
            for one in ways(route)
        ):
            yield name


def _may_call(key: HotKey, card: HotCard | None, deployment: Deployment) -> bool:
    """Whether a deployment's model has a price, and is one that this key and its plan are for."""
    if card is None or key.shut_to(card.card.model, card.card.aliases):
        return False
    return key.wallet.is_open or not key.wallet.shut_to(card.card.model, card.card.aliases, deployment.service_tier)


def _models(gateway: "Gateway", path: bytes, query: bytes, dialect: Dialect | None, key: HotKey) -> ErrorAnswer:
    """Only models that have a price and a way, and that this key may call: what is listed can be called."""
    assert dialect is not None
    shape = _anthropic_model if dialect is ANTHROPIC else _openai_model
    names = list(_served_models(gateway, dialect, key))
    if path != b"/v1/models":
        name = unquote(path[len(b"/v1/models/") :].decode("ascii"))
        if name not in names:
            return error_answer(dialect, 404, "model_not_found", f"The model {name!r} is not served here.")
        return json_answer(shape(name))
    if dialect is ANTHROPIC:
        return json_answer(_page(names, query))
    return json_answer({"object": "list", "data": [shape(name) for name in names]})


def _page(names: list[str], query: bytes) -> dict[str, Any]:
    """One page as Anthropic's clients ask for it with `limit`, `after_id` and `before_id`; what is no such thing is not heeded."""
    asked = dict(parse_qsl(query.removeprefix(b"?").decode("ascii")))
    limit = min(int(asked["limit"]), _PAGE_MAX) if asked.get("limit", "").isdecimal() else _PAGE_MAX
    start, end = 0, len(names)
    if asked.get("after_id") in names:
        start = names.index(asked["after_id"]) + 1
    if asked.get("before_id") in names:
        end = names.index(asked["before_id"])
        start = max(start, end - limit)
    shown = names[start:end][: max(limit, 1)]
    before = "before_id" in asked
    return {
        "data": [_anthropic_model(name) for name in shown],
        "has_more": bool(shown) and (shown[0] != names[0] if before else shown[-1] != names[-1]),
        "first_id": shown[0] if shown else None,
        "last_id": shown[-1] if shown else None,
    }


def _openai_model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "tokenroll"}


def _anthropic_model(name: str) -> dict[str, Any]:
    """With every field that the official client insists on; the epoch means that the release date is not known."""
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
    }
