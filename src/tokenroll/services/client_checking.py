"""One real call as a client would make it, and what to do where it fails: what `tokenroll doctor` says.

Each client's request has the path, the headers and the shape of body that the client itself sends; its text is a greeting. The call is
metered like any other.
"""

import http.client
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from tokenroll.model.amount import nanos_from_text, text_from_nanos
from tokenroll.model.limits import CLIENT_CHECK_ANSWER_BYTES_MAX, CLIENT_CHECK_SECONDS_MAX
from tokenroll.upstream.dialect import CARD_ELSEWHERE

_HELLO: Final = "Say hello."
_FUNCTION: Final[Mapping[str, Any]] = MappingProxyType(
    {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
)
_ANTHROPIC_HEADERS: Final = MappingProxyType({"anthropic-version": "2023-06-01"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedClient:
    """How one client calls."""

    model: str
    """The model that is asked for where nobody names one."""
    path: str
    key_header: str
    """`authorization` for a bearer token, or the header that holds the key itself."""
    headers: Mapping[str, str]
    body: Callable[[str], dict[str, Any]]
    """The request for a model."""
    ending: bytes = b""
    """What a whole stream ends with; empty: it is not streamed."""
    greeting: str = ""
    """What it asks for before its first call."""


def _claude_code(model: str) -> dict[str, Any]:
    ephemeral = {"cache_control": {"type": "ephemeral"}}
    return {
        "model": model,
        "messages": [{"role": "user", "content": [{"type": "text", "text": _HELLO, **ephemeral}]}],
        "system": [{"type": "text", "text": "You are a coding agent.", **ephemeral}],
        "tools": [{"name": "Bash", "description": "Runs a command.", "input_schema": dict(_FUNCTION)}],
        "tool_choice": {"type": "none"},
        "metadata": {"user_id": '{"device_id":"","account_uuid":"","session_id":""}'},
        "max_tokens": 64_000,
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "thinking": {"type": "adaptive"},
        "stream": True,
    }


def _codex(model: str) -> dict[str, Any]:
    return {
        "model": model,
        "instructions": "You are a coding agent.",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": _HELLO}]}],
        "tools": [
            {"type": "function", "name": "exec_command", "description": "Runs a command.", "parameters": dict(_FUNCTION)},
            {"type": "web_search", "external_web_access": False},
        ],
        "tool_choice": "none",
        "parallel_tool_calls": True,
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
    }  # fmt: skip


def _openai(model: str) -> dict[str, Any]:
    return {"model": model, "max_completion_tokens": 256, "messages": [{"role": "user", "content": _HELLO}]}


def _anthropic(model: str) -> dict[str, Any]:
    return {"model": model, "max_tokens": 256, "messages": [{"role": "user", "content": _HELLO}]}


CHECKED_CLIENTS: Final[Mapping[str, CheckedClient]] = MappingProxyType({
    "claude-code": CheckedClient(
        model="claude-sonnet-5-5", path="/v1/messages?beta=true", key_header="authorization", greeting="/api/hello",
        headers={
            **_ANTHROPIC_HEADERS, "x-app": "cli", "anthropic-dangerous-direct-browser-access": "true",
            "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27",
        },
        body=_claude_code, ending=b'"type":"message_stop"',
    ),
    "codex": CheckedClient(
        model="gpt-6-sol", path="/v1/responses", key_header="authorization",
        headers={"originator": "codex_exec", "accept": "text/event-stream"}, body=_codex, ending=b'"type":"response.completed"',
    ),
    "openai": CheckedClient(
        model="gpt-5-mini", path="/v1/chat/completions", key_header="authorization", headers={"x-stainless-lang": "python"}, body=_openai,
    ),
    "anthropic": CheckedClient(
        model="claude-haiku-4-5", path="/v1/messages", key_header="x-api-key",
        headers={**_ANTHROPIC_HEADERS, "x-stainless-lang": "python"}, body=_anthropic,
    ),
})  # fmt: skip


@dataclass(slots=True, kw_only=True)
class ClientCheck:
    """What became of the call."""

    client: str
    url: str
    model: str
    broken: str = ""
    """What broke, as a sentence; empty: nothing did."""
    next_step: str = ""
    """What to do then."""
    status: int = 0
    call: str = ""
    cost: str = ""
    """What it cost, in credits; empty where nobody says."""
    notes: list[str] = field(default_factory=list)
    """What the gateway changed about the request, in its own headers."""


class _Answer:
    """One whole answer; Raises OSError or HTTPException."""

    def __init__(self, url: str, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=CLIENT_CHECK_SECONDS_MAX)
        try:
            connection.request(method, parts.path.rstrip("/") + path, body, dict(headers))
            answer = connection.getresponse()
            self.status = answer.status
            self.headers = {name.lower(): value for name, value in answer.getheaders()}
            self.body = answer.read(CLIENT_CHECK_ANSWER_BYTES_MAX)
        finally:
            connection.close()

    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def sentence(self) -> str:
        """What an error says, in either dialect or as problem+json."""
        said = self.json()
        error = said.get("error", said) if isinstance(said, dict) else {}
        told = (error.get("message") or error.get("detail")) if isinstance(error, dict) else None
        return str(told or f"it answered {self.status}")


def check_client(name: str, url: str, key: str, model: str = "") -> ClientCheck:
    """One call as the client of that name would make it. `url` is where the gateway is, without `/v1`."""
    client = CHECKED_CLIENTS[name]
    check = ClientCheck(client=name, url=url, model=model or client.model)
    bearer = {"authorization": f"Bearer {key}"}
    secret = bearer if client.key_header == "authorization" else {client.key_header: key}
    body = json.dumps(client.body(check.model)).encode()
    try:
        if client.greeting:
            _Answer(url, "HEAD", client.greeting, {}, None)
        headers = {"content-type": "application/json", **client.headers, **secret}
        answer = _Answer(url, "POST", client.path, headers, body)
        check.status = answer.status
        _judge(check, client, answer)
        if check.call:
            check.cost = _cost(_Answer(url, "GET", f"/me/calls/{check.call}", bearer, None).json())
    except (OSError, http.client.HTTPException) as error:
        check.broken = f"nobody answers at {url}: {str(error) or type(error).__name__}."
        check.next_step = "Start the gateway with `tokenroll serve`, or name its address with --url; where a proxy stands between, ask for it there."
    return check


def _cost(known: Any) -> str:
    """What all attempts of a call cost; empty where the gateway does not know it any more."""
    attempts = known.get("attempts", []) if isinstance(known, dict) else []
    costs = [nanos_from_text(str(one["cost"])) for one in attempts if isinstance(one, dict) and one.get("cost")]
    return text_from_nanos(sum(costs)) if costs else ""


def _judge(check: ClientCheck, client: CheckedClient, answer: _Answer) -> None:
    check.call = answer.headers.get("x-tokenroll-call-id", "")
    told = (
        "x-tokenroll-output-cap",
        "x-tokenroll-searches",
        "x-tokenroll-warning",
        "x-tokenroll-model",
        "x-tokenroll-limit",
    )
    check.notes = [f"{name}: {answer.headers[name]}" for name in told if name in answer.headers]
    if answer.status == 200 and not check.call:
        check.broken = f"what answers at {check.url} is no tokenroll gateway, so the call was not metered."
        check.next_step = "Point the client at the gateway: `tokenroll client show` prints its base URL."
    elif answer.status == 200 and client.ending and client.ending not in answer.body.replace(b'": "', b'":"'):
        check.broken = "the stream ended before its last event."
        check.next_step = "Look at the deployment's provider, and at whatever stands between: it must not buffer or cut event streams."
    elif answer.status != 200:
        check.broken = answer.sentence
        check.next_step = _next_step(check, answer)


def _next_step(check: ClientCheck, answer: _Answer) -> str:
    """What helps against an error, by who made it: the gateway before anything was sent, or the provider behind it."""
    if check.call:
        if answer.status in {401, 403}:
            return "The provider refuses the company's key: look at api_key_env or api_key_file of the deployment in config.toml."
        return f"The gateway passed the call on, and the provider refused it with {answer.status}; a refused call costs nothing. Try another --model."
    denied = answer.headers.get("x-tokenroll-denied", "")
    known = {
        "wallet_empty": "Grant credits (`tokenroll grant create`), ask for a top-up (`tokenroll request create`), or let the plan lower caps (cap policy clamp).",
        "limit_reached": "Wait until the limit turns, or raise it: `tokenroll limit list`.",
        "no_access": "Name a model that the plan gives access to with --model, or change the plan's access.",
        "not_for_model": "Name a model that this key is for with --model, or change what it is for: `tokenroll key change`.",
        "unknown_model": "Import its prices with `tokenroll ratecard import`, set them with `tokenroll ratecard set --file` where no published list has them, or name a model that has a card with --model.",
    }  # fmt: skip
    if denied == "unknown_model" and CARD_ELSEWHERE in answer.sentence:
        return "The model is not served in this client's dialect: check a client of the other one with --client, or name a model of this one with --model."
    if denied in known:
        return known[denied]
    by_status = {
        401: "Make a key with `tokenroll key create --member NAME`, and give it with --key-file or TOKENROLL_KEY.",
        403: "Use a key with scope inference: `tokenroll key create --member NAME`.",
        404: "Add a deployment that serves the model to config.toml, or name one that is served with --model: `GET /v1/models` lists them.",
        502: "The gateway does not reach its provider: look at base_url of the deployment in config.toml.",
        503: "The gateway does not admit calls now: GET /healthz says why; look whether its ledger runs.",
        504: "The provider does not answer in time; try again.",
    }  # fmt: skip
    return by_status.get(answer.status, "Read what it says, and try again.")
