"""What a request to the simulated provider asks for, taken from both dialects into one shape."""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from tokenroll.upstream.simulated.prompt_cache import Segment
from tokenroll.upstream.simulated.script import Script, script_of

OVERHEAD_PER_MESSAGE: Final = 16
OVERHEAD_WITH_TOOLS: Final = 512
OVERHEAD_PER_TOOL: Final = 32
"""Tokens that the provider adds around what the client sent: a bound that forgets them is too small, and then tests fail."""
MEDIA_TOKENS: Final = {
    "image_url": 1_500, "input_image": 1_500, "image": 1_500, "file": 3_000, "input_file": 3_000, "document": 3_000, "input_audio": 500,
}  # fmt: skip
"""What an image, a document and a sound cost, whatever they weigh: a bound by their bytes is too small for a link to one."""
BYTES_PER_TOKEN: Final = 4
DEFAULT_MODEL: Final = "gpt-4o-mini"
"""Of a response that names none: its specification requires no model, because a stored prompt may name it."""
MARKS_MAX: Final = 4
"""Marks for the prompt cache that one request may have."""
SIZE_NAMES: Final = (
    "input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "chunk_tokens",
    "picture_bytes",
    "interval_us",
    "web_searches",
    "background_ms",
)
"""Sizes that a client may set: header `x-sim-output-tokens`, or `sim_output_tokens` in the body's `metadata`."""


class Refusal(Exception):  # noqa: N818  a refusal is an answer, not an error of ours
    """A request that the provider does not serve; each dialect words it in its own shape."""

    def __init__(self, status: int, kind: str, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.param, self.code = status, kind, message, param, code


@dataclass(slots=True)
class Asked:
    """One request, understood."""

    endpoint: str
    """`chat`, `messages`, `responses`, `completions`, `embeddings`, `moderations`, `rerank`, `pictures`, `speech` or `transcripts`."""
    model: str
    stream: bool
    segments: list[Segment]
    input_tokens: int
    last_role: str
    cap: int
    """Most output tokens per choice; 0 when the client gave none."""
    choices: int = 1
    include_usage: bool = False
    service_tier: str = ""
    tools: list[dict[str, Any]] = field(default_factory=list)
    """Function tools as name and JSON schema, whatever the dialect calls them."""
    forced_tool: str = ""
    """A tool's name, `*` for any, `-` for none, empty when the model decides."""
    legacy_functions: bool = False
    schema: dict[str, Any] | None = None
    thinking_budget: int = 0
    reasons: bool = False
    speaks: bool = False
    """Whether the answer of a chat is wanted in sound."""
    sizes: dict[str, int] = field(default_factory=dict)
    searches_max: int | None = None
    """How often the request allows searching; None: it does not say."""
    script: Script | None = None
    """What its text tells us to do."""
    faults: str = ""
    worst_tokenizer: bool = False
    background: bool = False
    """Whether a response is answered at once and goes on without its client."""
    dimensions: int = 0
    base64: bool = False
    """How embeddings are wanted."""
    body: dict[str, Any] = field(default_factory=dict)
    """The whole request, at the endpoints whose answers repeat parts of it."""
    kind: bytes = b"application/json"
    """What its answer is, when it is not streamed."""
    at_bedrock: bool = False
    """Whether it is asked for, and answered, as at Bedrock."""
    used: dict[str, int] | None = None
    """What it uses by kind where that is known beforehand; None where it is read and written model tokens."""

    @property
    def dialect(self) -> str:
        """Whose errors, headers and cache it gets."""
        return "anthropic" if self.endpoint == "messages" else "openai"


def tokens(text: bytes) -> int:
    """The provider's own tokenizer."""
    return -(-len(text) // BYTES_PER_TOKEN)


def decoded(body: bytes) -> dict[str, Any]:
    """The body as an object. Raises Refusal."""
    try:
        value = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        raise Refusal(
            400,
            "invalid_request_error",
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly.)",
        ) from None
    if not isinstance(value, dict):
        raise Refusal(400, "invalid_request_error", "The body of the request must be a JSON object.")
    return value


def _mark(part: Any) -> str:
    control = part.get("cache_control") if isinstance(part, dict) else None
    if not isinstance(control, dict):
        return ""
    return "1h" if control.get("ttl") == "1h" else "5m"


def _content_segments(role: str, content: Any) -> list[Segment]:
    """One segment per part; the role opens the first one's text without counting as tokens."""
    opening = role.encode() + b"\0"
    if content is None:
        return [Segment(opening, 0, "")]
    if isinstance(content, str):
        text = content.encode()
        return [Segment(opening + text, tokens(text), "")]
    segments = []
    for part in content if isinstance(content, list) else [content]:
        text, count = _weight(part)
        segments.append(Segment(opening + text, count, _mark(part)))
        opening = b""
    return segments


def _unmarked(part: dict[str, Any]) -> dict[str, Any]:
    """A part as its prompt has it: a mark for the cache is no part of what is read."""
    return {name: value for name, value in part.items() if name != "cache_control"}


def _weight(part: Any) -> tuple[bytes, int]:
    """What names a part in the prompt cache, and its tokens: a text's bytes, or what such a thing costs."""
    if not isinstance(part, dict):
        text = msgspec.json.encode(part)
        return text, tokens(text)
    part = _unmarked(part)
    if part.get("type") in MEDIA_TOKENS:
        return hashlib.blake2b(msgspec.json.encode(part), digest_size=16).digest(), MEDIA_TOKENS[part["type"]]
    if isinstance(part.get("text"), str):
        text = part["text"].encode()
        return text, tokens(text)
    for field_name in ("content", "output"):
        inner = part.get(field_name)
        if isinstance(inner, list):  # a tool's result: its parts count for themselves
            weights = [_weight(one) for one in inner]
            rest = msgspec.json.encode({**part, field_name: None})
            return rest + b"".join(text for text, _ in weights), tokens(rest) + sum(count for _, count in weights)
    text = msgspec.json.encode(part)
    return text, tokens(text)


def _messages(body: dict[str, Any]) -> tuple[list[dict[str, Any]], list[Segment]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise Refusal(
            400,
            "invalid_request_error",
            "Missing required parameter: 'messages'.",
            "messages",
            "missing_required_parameter",
        )
    segments: list[Segment] = []
    for message in messages:
        segments += _content_segments(str(message.get("role", "")), message.get("content"))
        if isinstance(message.get("audio"), dict):  # what was said before, by its id
            segments.append(Segment(msgspec.json.encode(message["audio"]), MEDIA_TOKENS["input_audio"], ""))
        for call in _listed(message, "tool_calls"):
            text = msgspec.json.encode(call)
            segments.append(Segment(text, tokens(text), ""))
    return messages, segments


def model_of(body: dict[str, Any], default: str = "") -> str:
    """The model asked for, or the default where the endpoint has one. Raises Refusal."""
    model = body.get("model") or default
    if not isinstance(model, str) or not model:
        raise Refusal(400, "invalid_request_error", "you must provide a model parameter")
    return model


def count(body: dict[str, Any], name: str, least: int = 1) -> int:
    """A number from `least` on that may be left out: then it is 0. Raises Refusal."""
    value = body.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise Refusal(400, "invalid_request_error", f"Invalid value for '{name}': must be a positive integer.", name)
    return value


def _member(body: dict[str, Any], name: str) -> dict[str, Any]:
    """An object that may be left out. Raises Refusal for anything else in its place."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refusal(400, "invalid_request_error", f"Invalid type for '{name}': expected an object.", name)
    return value


def _listed(body: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of objects that may be left out. Raises Refusal."""
    value = body.get(name) or []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise Refusal(400, "invalid_request_error", f"Invalid type for '{name}': expected a list of objects.", name)
    return value


def _tool_segments(tools: list[Any]) -> list[Segment]:
    texts = [msgspec.json.encode(_unmarked(tool)) for tool in tools]
    return [Segment(text, tokens(text), _mark(tool)) for text, tool in zip(texts, tools, strict=True)]


def _sized(asked: Asked, body: dict[str, Any], message_count: int, tool_count: int) -> Asked:
    """The input count by the stated rule: one token per four bytes of each part, rounded up, and the overheads."""
    counted = sum(segment.tokens for segment in asked.segments)
    counted += OVERHEAD_PER_MESSAGE * message_count
    if tool_count:
        counted += OVERHEAD_WITH_TOOLS + OVERHEAD_PER_TOOL * tool_count
    asked.input_tokens = counted
    metadata = body.get("metadata")
    if isinstance(metadata, dict):
        for name in SIZE_NAMES:
            value = metadata.get(f"sim_{name}")
            if isinstance(value, str) and value.isdigit():
                asked.sizes[name] = int(value)
        asked.faults = str(metadata.get("sim_fault", ""))
    return asked


def asked_of_chat(raw: bytes) -> Asked:
    """What a chat completion request asks for. Raises Refusal."""
    body = decoded(raw)
    model = model_of(body)
    messages, segments = _messages(body)
    tools, functions = _listed(body, "tools"), _listed(body, "functions")
    options, shape = _member(body, "stream_options"), _member(body, "response_format")
    asked = Asked(
        endpoint="chat",
        model=model,
        stream=body.get("stream") is True,
        segments=_tool_segments(tools + functions) + segments,
        input_tokens=0,
        last_role=str(messages[-1].get("role", "")),
        cap=count(body, "max_completion_tokens", 0) or count(body, "max_tokens", 0),
        choices=count(body, "n") or 1,
        include_usage=options.get("include_usage") is True,
        service_tier=str(body.get("service_tier") or ""),
        tools=[
            {"name": str(one.get("name", "")), "schema": one.get("parameters") or {}}
            for one in [_member(tool, "function") for tool in tools if tool.get("type") == "function"] + functions
        ],
        forced_tool=_forced_in_chat(body.get("tool_choice", body.get("function_call"))),
        legacy_functions=bool(functions),
        schema=_member(shape, "json_schema").get("schema"),
        reasons=body.get("reasoning_effort") not in {None, "none"},
        speaks="audio" in (body.get("modalities") or ()),
        script=script_of(messages),
    )
    if asked.speaks and not body.get("audio"):
        text = "Missing required parameter: 'audio', which goes with the modality 'audio'."
        raise Refusal(400, "invalid_request_error", text, "audio", "missing_required_parameter")
    if shape.get("type") == "json_object":
        asked.schema = {"type": "object"}
    return _sized(asked, body, len(messages), len(tools) + len(functions))


def _forced_in_chat(choice: Any) -> str:
    if isinstance(choice, dict):
        named = choice.get("function") or choice
        return str(named.get("name") or "*") if isinstance(named, dict) else "*"
    return {"required": "*", "none": "-"}.get(str(choice), "")


def asked_of_responses(raw: bytes) -> Asked:
    """What a request for a response asks for. Raises Refusal."""
    body = decoded(raw)
    model = model_of(body, DEFAULT_MODEL)
    given = body.get("input") or []
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        raise Refusal(400, "invalid_request_error", "'input' is neither text nor a list of items.", "input")
    segments = _content_segments("system", body["instructions"]) if body.get("instructions") else []
    for item in items:
        if "content" in item:
            segments += _content_segments(str(item.get("role", "")), item["content"])
        else:
            segments.append(Segment(*_weight(item), ""))
    tools = _listed(body, "tools")
    shape = _member(_member(body, "text"), "format")
    last: dict[str, Any] = items[-1] if items else {}
    calls_max = None if body.get("max_tool_calls") is None else count(body, "max_tool_calls", 0)
    asked = Asked(
        endpoint="responses",
        model=model,
        stream=body.get("stream") is True,
        segments=_tool_segments(tools) + segments,
        input_tokens=0,
        last_role="tool" if str(last.get("type", "")).endswith("_output") else str(last.get("role", "")),
        cap=count(body, "max_output_tokens"),
        service_tier=str(body.get("service_tier") or ""),
        tools=[
            {"name": str(tool.get("name", "")), "schema": tool.get("parameters") or {}}
            for tool in tools
            if tool.get("type") == "function"
        ],
        forced_tool=_forced_in_chat(body.get("tool_choice")),
        schema=shape.get("schema") if shape.get("type") == "json_schema" else None,
        reasons=_member(body, "reasoning").get("effort") not in {None, "none"},
        include_usage=True,
        background=body.get("background") is True,
        searches_max=_searches_max(tools + [tool for item in items for tool in _listed(item, "tools")], calls_max),
        script=script_of(items),
    )
    return _sized(asked, body, len(items) + bool(body.get("instructions")), len(tools))


def _searches_max(tools: list[dict[str, Any]], limit: int | None) -> int | None:
    """How often a request with these tools may search: not at all without a search among them. None: it names no limit."""
    return limit if any(str(tool.get("type")).startswith("web_search") for tool in tools) else 0


def _texts(body: dict[str, Any], name: str) -> list[Segment]:
    """A text, token ids, or a list of either: one segment each. Raises Refusal."""
    value = body.get(name)
    listed = value if isinstance(value, list) and not all(isinstance(one, int) for one in value) else [value]
    segments = []
    for one in listed:
        if isinstance(one, str):
            segments.append(Segment(one.encode(), tokens(one.encode()), ""))
        elif isinstance(one, list) and all(isinstance(token, int) for token in one):
            segments.append(Segment(msgspec.json.encode(one), len(one), ""))
        else:
            raise Refusal(400, "invalid_request_error", f"'{name}' is neither text nor tokens.", name)
    return segments


def asked_of_completions(raw: bytes) -> Asked:
    """What a completion request asks for. Raises Refusal."""
    body = decoded(raw)
    model = model_of(body)
    segments = _texts(body, "prompt")
    asked = Asked(
        endpoint="completions",
        model=model,
        stream=body.get("stream") is True,
        segments=segments,
        input_tokens=0,
        last_role="user",
        cap=count(body, "max_tokens") or 16,
        choices=(count(body, "n") or 1) * len(segments),
        include_usage=_member(body, "stream_options").get("include_usage") is True,
    )
    return _sized(asked, body, len(segments), 0)


def asked_of_embeddings(raw: bytes) -> Asked:
    """What a request for embeddings asks for. Raises Refusal."""
    body = decoded(raw)
    model = model_of(body)
    segments = _texts(body, "input")
    asked = Asked(
        endpoint="embeddings",
        model=model,
        stream=False,
        segments=segments,
        input_tokens=0,
        last_role="user",
        cap=0,
        choices=0,
        dimensions=count(body, "dimensions"),
        base64=body.get("encoding_format") == "base64",
    )
    return _sized(asked, body, len(segments), 0)


def asked_of_messages(raw: bytes, *, counting: bool = False) -> Asked:
    """What an Anthropic messages request asks for; `counting` needs no output cap. Raises Refusal."""
    body = decoded(raw)
    model = model_of(body)
    messages, segments = _messages(body)
    tools = _listed(body, "tools")
    system = _content_segments("system", body["system"]) if body.get("system") else []
    cap = count(body, "max_tokens")
    if not cap and not counting:
        raise Refusal(400, "invalid_request_error", "max_tokens: Field required", "max_tokens")
    thinking, choice = _member(body, "thinking"), _member(body, "tool_choice")
    budget = count(thinking, "budget_tokens") if thinking.get("type") == "enabled" else 0
    if budget and cap and budget >= cap:
        raise Refusal(400, "invalid_request_error", "`max_tokens` must be greater than `thinking.budget_tokens`.")
    forced = {"any": "*", "none": "-", "tool": str(choice.get("name", "*"))}.get(str(choice.get("type")), "")
    last = messages[-1]
    answered = isinstance(last.get("content"), list) and any(
        isinstance(part, dict) and part.get("type") == "tool_result" for part in last["content"]
    )
    segments = _tool_segments(tools) + system + segments
    marks = sum(1 for segment in segments if segment.lifetime)
    if marks > MARKS_MAX:
        text = f"A maximum of {MARKS_MAX} blocks with cache_control may be provided. Found {marks}."
        raise Refusal(400, "invalid_request_error", text)
    asked = Asked(
        endpoint="messages",
        model=model,
        stream=body.get("stream") is True,
        segments=segments,
        input_tokens=0,
        last_role="tool" if answered else str(last.get("role", "")),
        cap=cap,
        service_tier=str(body.get("service_tier") or ""),
        tools=[
            {"name": str(tool.get("name", "")), "schema": tool["input_schema"]}
            for tool in tools
            if "input_schema" in tool
        ],
        forced_tool=forced,
        thinking_budget=budget,
        reasons=bool(budget) or thinking.get("type") == "adaptive",
        include_usage=True,
        searches_max=_searches_max(tools, sum(count(tool, "max_uses") for tool in tools) or None),
        script=script_of(messages),
    )
    return _sized(asked, body, len(messages) + bool(system), len(tools))
