"""The dialect of Anthropic's messages."""

import json
from typing import Any, Final

import msgspec

from tokenroll.model.instant import Instant
from tokenroll.model.limits import (
    NAME_CHARACTERS_MAX,
    OUTPUT_CAP_TOKENS_MAX,
    PASSES_MAX,
    SEARCHES_DEFAULT,
    SERVER_TOOL_USES_MAX,
)
from tokenroll.model.usage import TALK_METER_COUNT
from tokenroll.upstream import usage as counts
from tokenroll.upstream.dialect import (
    JSON_HEADER,
    Buffers,
    CallMeter,
    Denial,
    Dialect,
    ErrorAnswer,
    Pass,
    denial_headers,
    pace_sentence,
    retry_headers,
)
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.fields import by_plain_name, check_fields
from tokenroll.upstream.heads import (
    PartKinds,
    bound_parts,
    cap_tokens,
    check_messages,
    edited,
    items,
    not_bounded,
    option,
    raw_value,
    read_head,
    read_json,
    refuse,
    refuse_doubled,
    refuse_doubles,
    session_tag,
    spans,
    text,
    user_text,
    whole_number,
)
from tokenroll.upstream.pace import Pace, anthropic_lines
from tokenroll.upstream.shapes import NOTHING, Part, decode_message, decode_message_event, decode_raws
from tokenroll.upstream.sse import EventMeter
from tokenroll.upstream.usage import WholeMeter, count_of, object_of

ANTHROPIC_VERSION: Final = b"2023-06-01"
"""What is said where no client names a version, without which the provider answers nothing: the one that refuses least of what was ever written for it."""
LONG_BETA: Final = b"context-1m"
"""How the betas begin that let a model read more than its card may know of, at prices of their own."""
LONG_CONTEXT_TOKENS: Final = 1_000_000
_NAMES: Final = msgspec.json.Decoder(list[str])
_MEDIA: Final = frozenset({b'"image"', b'"document"'})
_IMAGES: Final = frozenset({b'"image"'})
_NESTED_PARTS: Final = PartKinds(
    text=frozenset({b'"text"', b'"search_result"', b'"tool_reference"', b'"web_search_result"'}),
    media=_MEDIA,
    images=_IMAGES,
)
"""What may stand in the content of a part, whatever that part calls itself."""
_TEXT_PARTS: Final = PartKinds(text=frozenset({b'"text"'}), media=_MEDIA, images=_IMAGES)
"""What may stand in the content of those."""
_PARTS: Final = PartKinds(
    text=frozenset({
        b'"text"', b'"thinking"', b'"redacted_thinking"', b'"tool_use"', b'"tool_result"', b'"server_tool_use"',
        b'"web_search_tool_result"', b'"search_result"', b'"mcp_tool_use"', b'"mcp_tool_result"', b'"tool_reference"',
    }),
    media=_MEDIA,
    images=_IMAGES,
)  # fmt: skip
_CLIENT_TOOL_TOKENS: Final = {"bash_": 1_024, "text_editor_": 2_048, "memory_": 2_048, "computer_": 4_096}
"""Tools that run at the client but whose description the provider adds: at least twice what it documents for each."""
_SEARCH: Final = "web_search_"
_FREE: Final = frozenset({
    "temperature", "top_p", "top_k", "stop_sequences", "tool_choice", "cache_control", "output_config", "output_format",
})  # fmt: skip
_FIRST: Final = frozenset({"model", "messages", "system", "max_tokens", "stream"})
_OPTIONS: Final = frozenset(
    {"tools", "thinking", "service_tier", "metadata", "speed", "context_management", "anthropic_beta", "billing_policy"}
)
_READ: Final = by_plain_name(_FIRST | _OPTIONS)
_PLAIN: Final = _FIRST | _FREE
"""Fields that simple requests have; without any other nothing more is looked at."""
_KNOWN: Final = _PLAIN | _OPTIONS
_OWN_PASSES: Final = frozenset({"message", "compaction"})
"""Kinds of passes that the asked model itself runs, unless they name another."""
_OWN_BILLS: Final = ({"type": "billing_policy"}, {"type": "billing_policy", "bill_to": "self"})
"""What says of a bill what is so anyway."""
_PLAIN_PLACES: Final = frozenset({"", "global", "not_available"})
"""Where an answer may have been made at the prices of the rate card."""
_REQUEST_TIERS: Final = {"": "", "auto": "", "standard_only": "standard"}
_TIER_WORDS: Final = {"standard": "standard_only", "priority": "auto"}
_ANSWER_TIERS: Final = {"standard": "standard", "priority": "priority", "batch": "batch"}
_LEAST_DELTA_BYTES: Final = len(
    b'data:{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}\n\n'
)
_EVENT_LINE_BYTES: Final = len(b"event:content_block_delta\n")
"""What a content delta's event weighs at least beside its text, and the line of its name where events are named."""


class _Reported:
    """The counts as the provider words them; the last non-null report wins per field, snapshots are never added."""

    __slots__ = ("created", "created_1h", "created_5m", "fetches", "input", "output", "read", "searches", "thinking")

    def __init__(self) -> None:
        self.input: int | None = None
        self.read: int | None = None
        self.created: int | None = None
        self.created_5m: int | None = None
        self.created_1h: int | None = None
        self.output: int | None = None
        self.thinking: int | None = None
        self.searches: int | None = None
        self.fetches: int | None = None

    def merge(self, usage: dict[str, Any], meter: CallMeter) -> None:
        """One usage object over what was reported before."""
        split = object_of(usage.get("cache_creation"))
        tools = object_of(usage.get("server_tool_use"))
        details = object_of(usage.get("output_tokens_details"))
        for field, value in (
            ("input", usage.get("input_tokens")),
            ("read", usage.get("cache_read_input_tokens")),
            ("created", usage.get("cache_creation_input_tokens")),
            ("created_5m", split.get("ephemeral_5m_input_tokens")),
            ("created_1h", split.get("ephemeral_1h_input_tokens")),
            ("output", usage.get("output_tokens")),
            ("thinking", details.get("thinking_tokens")),
            ("searches", tools.get("web_search_requests")),
            ("fetches", tools.get("web_fetch_requests")),
        ):
            count = count_of(value, meter, field)
            if count is not None:
                setattr(self, field, count)

    def write(self, meter: CallMeter, mine: list[int | None]) -> None:
        """The disjoint counts into `mine`. `input_tokens` is already without what was cached."""
        mine[counts.INPUT] = self.input
        mine[counts.CACHE_READ] = self.read
        mine[counts.CACHE_WRITE_5M] = self.created_5m
        mine[counts.CACHE_WRITE_1H] = self.created_1h
        split = (self.created_5m or 0) + (self.created_1h or 0)
        if self.created is not None and self.created_5m is None and self.created_1h is None:
            mine[counts.CACHE_WRITE_5M] = self.created  # the default life when none is named
        elif self.created is not None and self.created > split:
            mine[counts.CACHE_WRITE_5M] = (self.created_5m or 0) + self.created - split
        elif self.created is not None and self.created < split:
            meter.degraded = "cache_creation is more than cache_creation_input_tokens"
        output, thinking = self.output, self.thinking
        if output is not None and thinking is not None and thinking > output:
            meter.degraded = "thinking_tokens are more than output_tokens"
            thinking = None
        mine[counts.OUTPUT] = output if output is None or thinking is None else output - thinking
        mine[counts.REASONING] = thinking
        mine[counts.WEB_SEARCH] = self.searches
        mine[counts.WEB_FETCH] = self.fetches


def read_usage(meter: CallMeter, reported: _Reported, usage: dict[str, Any]) -> None:
    """Counts of one `usage` object merged over the earlier ones.

    Several sampling passes (`iterations`) are all billed, and the top-level counts leave some of them out, so their sum stands; each
    is priced on its own (reference: gateways, T30). What changes a price and is in no rate card is priced as if it did not, and marked:
    the bill decides.
    """
    passes = usage.get("iterations")
    if type(passes) is list and passes and not _is_one_message(passes):
        if len(passes) > PASSES_MAX or not all(isinstance(one, dict) for one in passes):
            meter.degraded = "iterations are too many or no objects"
        else:
            usage = {**usage, **_summed(passes)}
            meter.passes = [_pass(one, meter) for one in passes]
    reported.merge(usage, meter)
    reported.write(meter, meter.counts)
    tier = usage.get("service_tier")
    if isinstance(tier, str):
        meter.service_tier = _ANSWER_TIERS.get(tier, meter.service_tier)
    doubt = _doubt(usage)
    if doubt:
        meter.degraded = doubt
        if meter.passes is None:
            meter.passes = [
                Pass("", False, meter.counts)
            ]  # the counts stand, whatever more of them comes: only their price does not


def _is_one_message(passes: list[Any]) -> bool:
    """Whether the one pass there was is the message itself: then the counts beside it say the same."""
    return len(passes) == 1 and object_of(passes[0]).get("type") == "message"


def _pass(usage: dict[str, Any], meter: CallMeter) -> Pass:
    reported = _Reported()
    reported.merge(usage, meter)
    mine: list[int | None] = [None] * TALK_METER_COUNT
    reported.write(meter, mine)
    model = usage.get("model")
    name = model[:NAME_CHARACTERS_MAX] if isinstance(model, str) else ""
    return Pass(name, usage.get("type") not in _OWN_PASSES, mine)


def _doubt(usage: dict[str, Any]) -> str:
    """Why the counts may cost something else than rate cards say; "" nearly always."""
    speed, place = usage.get("speed"), usage.get("inference_geo")
    if speed is not None and speed != "standard":
        return f"the answer's speed is {str(speed)[:40]}"
    if place is not None and place not in _PLAIN_PLACES:
        return f"the answer was made in {str(place)[:40]}"
    if object_of(object_of(usage.get("fallback_credit")).get("status")).get("type") == "redeemed":
        return "a fallback credit was redeemed"
    return ""


def _summed(passes: list[dict[str, Any]]) -> dict[str, Any]:
    sums: dict[str, Any] = {}
    for field in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens"):
        values = [one.get(field) for one in passes]
        known = [value for value in values if type(value) is int and value >= 0]
        if known:
            sums[field] = sum(known)
    split: dict[str, int] = {}
    for one in passes:
        for field, value in object_of(one.get("cache_creation")).items():
            if type(value) is int and value >= 0:
                split[field] = split.get(field, 0) + value
    if split:
        sums["cache_creation"] = split
    return sums


def _read_error(meter: CallMeter, error: Any) -> None:
    if error:
        meter.saw_error = True
        meter.error_code = str(object_of(error).get("type") or "error")


def _has_all(meter: CallMeter) -> bool:
    return meter.counts[counts.INPUT] is not None and meter.counts[counts.OUTPUT] is not None


class WholeMessageMeter(WholeMeter):
    """Usage of a message that is not streamed."""

    __slots__ = ()

    def _on_body(self, body: bytes) -> None:
        try:
            message = decode_message(body)
        except (msgspec.MsgspecError, RecursionError):
            return
        self.complete = True
        self.answered_model = (message.model or "")[:NAME_CHARACTERS_MAX]
        _read_error(self, message.error)
        if message.usage is not None:
            self._on_usage(message.usage)

    def _on_usage(self, usage: dict[str, Any]) -> None:
        read_usage(self, _Reported(), usage)
        self.saw_usage = _has_all(self)
        if self.saw_usage:
            self.counts[counts.REQUEST] = 1


class StreamMessageMeter(EventMeter):
    """Usage of a streamed message: input from `message_start`, output from the last `message_delta`. Nothing is withheld."""

    __slots__ = ("_delta_seen", "_reported")

    def __init__(self) -> None:
        super().__init__(withhold=False)
        self._reported = _Reported()
        self._delta_seen = False
        self._text_mark = b'"text":"'

    def _is_plain(self, data: bytes) -> bool:
        # message_start, message_delta and message_stop are the only events with counts or an end; `error` is the only failure
        if data.find(b"message_") >= 0 or data.find(b'"error"') >= 0:
            return False
        self.output_events += data.count(b'"content_block_delta"')
        return True

    def _frame_of(self, name: bytes, payload: bytes) -> int:  # noqa: ARG002 - all are framed alike
        return _LEAST_DELTA_BYTES + (_EVENT_LINE_BYTES if name else 0)

    def _on_event(self, name: bytes, payload: bytes) -> bool:
        try:
            event = decode_message_event(payload)
        except (msgspec.MsgspecError, RecursionError):
            return False
        kind = event.type or name.decode("ascii", "replace")
        if kind == "content_block_delta":
            self.output_events += 1
        elif kind == "message_start" and event.message is not None:
            self.answered_model = (event.message.model or "")[:NAME_CHARACTERS_MAX]
            self._merge(event.message.usage)
        elif kind == "message_delta":
            self._merge(event.usage)
            self._delta_seen = self._delta_seen or event.usage is not None
            if event.delta is not None and event.delta.stop_reason:
                self._final()
        elif kind == "message_stop":
            self.complete = True
            self._final()
        elif kind == "error":
            _read_error(self, event.error or True)
            if not self.output_events and self.counts[counts.OUTPUT]:
                # nothing of what passed is text, and the output in `message_start` was a placeholder
                self._prelude_bytes = self.delivered_output_bytes
                self.counts[counts.OUTPUT] = 0
        return False

    def has_begun(self) -> bool:
        """See CallMeter. `message_start` says what was read, and that is billed: the provider may still fail before any output."""
        return self.output_events > 0 or self.counts[counts.INPUT] is not None

    def _on_usage(self, usage: dict[str, Any]) -> None:
        self._merge(usage)

    def _merge(self, usage: dict[str, Any] | None) -> None:
        if usage is not None:
            read_usage(self, self._reported, usage)

    def _final(self) -> None:
        """The output in `message_start` is a placeholder: only a `message_delta` makes the counts final."""
        if self._delta_seen and _has_all(self):
            self.saw_usage = True
            self.counts[counts.REQUEST] = 1


_DENIAL_STATUS: Final = {
    "unknown_model": 404, "tier_not_sold": 400, "not_priced": 400, "call_not_bounded": 400, "call_repeated": 409, "no_access": 403, "not_for_model": 403,
    "too_many_tags": 400, "not_ready": 503,
}  # fmt: skip
_ERROR_TYPES: Final = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 405: "invalid_request_error", 408: "timeout_error", 409: "conflict_error",
    413: "request_too_large", 415: "invalid_request_error", 429: "rate_limit_error", 500: "api_error", 502: "api_error",
    503: "api_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip


class Messages(Dialect):
    """The dialect of `POST /v1/messages`; see Dialect for what each method promises."""

    index = 1
    family = "anthropic"
    name = "messages"
    path = b"/v1/messages"
    version_line = b"anthropic-version: %b\r\n" % ANTHROPIC_VERSION

    def with_betas(self, betas: bytes) -> Dialect:
        """See Dialect. Most betas cost nothing, or say in the body what they ask for, and are bounded or refused there."""
        return LONG_MESSAGES if LONG_BETA in betas else self

    def facts(self, body: bytes) -> Facts:
        """See Dialect. Tools that run at the provider are refused, but for searches: nothing bounds them beforehand."""
        facts = Facts()
        head = read_head(body, facts)
        get = head.get
        facts.cap_field = "max_tokens"
        cap = get("max_tokens")
        if cap is None:
            refuse("missing_required_parameter", "max_tokens: Field required", "max_tokens")
        facts.output_cap_tokens = cap_tokens(cap, "max_tokens")
        facts.message_count = check_messages(get("messages"), _PARTS, facts, _check_nested)
        system = get("system")
        if system is not None:
            facts.message_count += 1
            if type(system) is not str:
                _check_system(items(system, "system"))
        if not _PLAIN.issuperset(head):
            if not _KNOWN.issuperset(head):
                check_fields(head, _READ)
            _tools(body, head, facts)
            _options(body, head, facts)
        return facts

    def rewrite(
        self,
        body: bytes,
        facts: Facts,
        *,
        model: str,
        output_cap_tokens: int,
        inject_usage: bool,  # noqa: ARG002 - part of the protocol
        service_tier: str | None,
        searches: int | None = None,
    ) -> Buffers:
        """See Dialect. Streams of this dialect always carry usage, so nothing is injected."""
        values: dict[str, bytes] = {}
        if model != facts.model:
            values["model"] = json.dumps(model).encode()
        if output_cap_tokens:
            values[facts.cap_field] = b"%d" % output_cap_tokens
        if service_tier is not None:
            values["service_tier"] = json.dumps(_TIER_WORDS.get(service_tier, "auto")).encode()
        if searches is not None:
            values["tools"] = _with_searches(body, searches)
        return edited(body, values, facts.fields) if values else [body]

    def upstream_headers(self, api_key: str) -> bytes:
        """See Dialect."""
        return b"x-api-key: %s\r\n" % api_key.encode("ascii")

    def meter(self, stream: bool, withhold_usage: bool) -> CallMeter:  # noqa: ARG002 - part of the protocol
        """See Dialect."""
        return StreamMessageMeter() if stream else WholeMessageMeter()

    def pace_lines(self, paces: list[Pace], now: Instant) -> bytes:  # noqa: ARG002 - part of the protocol
        """See Dialect."""
        return anthropic_lines(paces)

    def denial(self, denial: Denial, wallet_status: int = 402) -> ErrorAnswer:
        """See Dialect. Never a bare 429: clients of this dialect would try again for ever. A rate limit's says when, or not to.

        A spent wallet or limit is 402 `billing_error`, which is clear to people, or 400 `invalid_request_error`, which is what the
        provider itself says for a spend limit (reference: gateways, 6.5).
        """
        status = 429 if denial.is_pace else _DENIAL_STATUS.get(denial.code, wallet_status)
        headers = JSON_HEADER + denial_headers(denial, should_retry=denial.retry_after_millis > 0 or status == 503)
        opening = "This request would exceed the rate limit of"
        sentence = pace_sentence(denial, opening, opening) + denial.sentence()
        return ErrorAnswer(status, headers + anthropic_lines(denial.paces), _error_body(status, denial.code, sentence))

    def error(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        should_retry: bool | None = None,
        retry_after_seconds: int = 0,
    ) -> ErrorAnswer:
        """See Dialect."""
        named = f"{param}: {message}" if param and not message.startswith(param) and param not in message else message
        return ErrorAnswer(
            status,
            JSON_HEADER + retry_headers(should_retry, retry_after_seconds * 1000),
            _error_body(status, code, named),
        )


class LongMessages(Messages):
    """The same for a head that asks for the long context, which some models are dearer with."""

    def facts(self, body: bytes) -> Facts:
        """See Dialect."""
        facts = super().facts(body)
        ask_for_window(facts)
        return facts


LONG_MESSAGES: Final = LongMessages()


def _betas(said: bytes, facts: Facts) -> None:
    """Betas in the body, where some clouds have them instead of the head."""
    try:
        named = _NAMES.decode(said)
    except (msgspec.MsgspecError, RecursionError):
        refuse("invalid_type", "anthropic_beta: must be an array of strings", "anthropic_beta")
    if any(LONG_BETA in one.lower().encode() for one in named):
        ask_for_window(facts)


def ask_for_window(facts: Facts) -> None:
    """The request may read the long context: its rate card decides whether it may be sent."""
    facts.window_tokens = LONG_CONTEXT_TOKENS
    facts.beyond_bytes = True


def _check_system(blocks: list[Any]) -> None:
    for place, block in enumerate(blocks):
        if raw_value(block.type) != "text":
            not_bounded(f"system[{place}]", f"a system block of type {str(raw_value(block.type))[:80]!r}")


def _check_nested(part: Part, facts: Facts, param: str) -> None:
    """Content inside a part: what a tool or a search gave holds parts of its own, and so may what hides as something else."""
    if memoryview(part.content)[0] != 0x5B:
        return
    bound_parts(part.content, _NESTED_PARTS, facts, f"{param}.content", _TEXT_PARTS)


def _tools(body: bytes, head: dict[str, Any], facts: Facts) -> None:
    """Client tools are bounded by their bytes; searches by `max_uses`, which admission names where the client does not."""
    tools = head.get("tools")
    if tools is None:
        return
    listed = items(tools, "tools")
    facts.tool_count = len(listed)
    facts.has_tools = bool(listed)
    if any(tool.type is not NOTHING or tool.max_uses is not NOTHING for tool in listed):
        refuse_doubles(body, "tools")
    for index, tool in enumerate(listed):
        kind = raw_value(tool.type)
        if kind is None or kind == "custom":
            continue
        if not isinstance(kind, str):
            refuse("invalid_type", f"tools[{index}].type: must be a string", f"tools[{index}].type")
        extra = next((tokens for prefix, tokens in _CLIENT_TOOL_TOKENS.items() if kind.startswith(prefix)), 0)
        if extra:
            facts.extra_input_tokens += extra
            continue
        if not kind.startswith(_SEARCH):
            not_bounded(f"tools[{index}].type", f"a tool of type {kind!r}")
        uses = raw_value(tool.max_uses)
        if uses is None:
            if facts.web_search_max or _must_search(body, head):
                not_bounded(f"tools[{index}].max_uses", "searching the web without a limit of uses")
            facts.search_is_open = True
            facts.web_search_max = SEARCHES_DEFAULT
            continue
        if facts.search_is_open:
            not_bounded(f"tools[{index}]", "searching the web in two ways")
        facts.web_search_max += whole_number(uses, f"tools[{index}].max_uses", 1, SERVER_TOOL_USES_MAX)
    facts.server_tool_uses_max = facts.web_search_max
    facts.beyond_bytes = facts.beyond_bytes or facts.web_search_max > 0


def _must_search(body: bytes, head: dict[str, Any]) -> bool:
    """Whether the model is told to search in any case: then the tool cannot be left out. The provider gives it its name."""
    if "tool_choice" not in head:
        return False
    start, end = spans(body)["tool_choice"]
    return object_of(read_json(body[start:end])).get("name") == "web_search"


def _with_searches(body: bytes, searches: int) -> bytes:
    """The tools with that many uses of the search that names none, or without it; every other tool as it came."""
    start, end = spans(body)["tools"]
    tools: list[bytes] = []
    for raw in decode_raws(body[start:end]):
        tool = json.loads(bytes(raw))
        if not str(tool.get("type")).startswith(_SEARCH) or tool.get("max_uses") is not None:
            tools.append(bytes(raw))
        elif searches:
            tools.append(json.dumps({**tool, "max_uses": searches}).encode())
    return b"[" + b",".join(tools) + b"]"


def _options(body: bytes, head: dict[str, Any], facts: Facts) -> None:
    get = head.get
    if get("thinking") is not None:
        budget = raw_value(option(get("thinking"), "thinking").budget_tokens)
        if budget is not None:
            refuse_doubled(body, "thinking", b"budget_tokens")
            facts.thinking_budget_tokens = whole_number(budget, "thinking.budget_tokens", 1, OUTPUT_CAP_TOKENS_MAX)
            if facts.thinking_budget_tokens >= facts.output_cap_tokens:
                refuse("invalid_value", "max_tokens: must be greater than thinking.budget_tokens", "max_tokens")
    tier = text(get("service_tier"), "service_tier")
    if tier not in _REQUEST_TIERS:
        refuse("invalid_value", f"service_tier: must be 'auto' or 'standard_only', not {tier!r}", "service_tier")
    facts.service_tier = _REQUEST_TIERS[tier]
    if get("metadata") is not None:
        facts.user = user_text(raw_value(option(get("metadata"), "metadata").user_id), "metadata.user_id")
        if "session_" in facts.user:
            facts.tags = session_tag(facts.user)
    if get("speed") not in (None, "standard"):
        not_bounded("speed", f"the speed {get('speed')!r}")
    if get("context_management") is not None:
        refuse_doubled(body, "context_management", b'"edits"')
        _check_edits(raw_value(option(get("context_management"), "context_management").edits))
    if get("anthropic_beta") is not None:
        start, end = spans(body)["anthropic_beta"]
        _betas(body[start:end], facts)
    if get("billing_policy") is not None:
        start, end = spans(body)["billing_policy"]
        if raw_value(msgspec.Raw(body[start:end])) not in _OWN_BILLS:
            not_bounded("billing_policy", "a bill to somebody else")


def _check_edits(edits: Any) -> None:
    """Edits that clear content only make a call cheaper; those that summarise it run the model once more."""
    for index, edit in enumerate(edits if isinstance(edits, list) else []):
        kind = str(object_of(edit).get("type"))
        if not kind.startswith("clear_"):
            not_bounded(f"context_management.edits[{index}]", f"an edit of type {kind!r}")


def _error_body(status: int, code: str, message: str) -> bytes:
    kind = _ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return json.dumps(
        {"type": "error", "error": {"type": kind, "message": message, "code": code}}, ensure_ascii=False
    ).encode()
