"""The dialect of OpenAI's chat completions, which most providers speak."""

import json
from typing import Any, Final

import msgspec

from tokenroll.model.limits import CHOICES_MAX
from tokenroll.upstream import usage as counts
from tokenroll.upstream.dialect import (
    JSON_HEADER,
    Buffers,
    CallMeter,
    Denial,
    ErrorAnswer,
    Facts,
    denial_headers,
    retry_headers,
)
from tokenroll.upstream.heads import (
    boolean,
    cap_tokens,
    check_parts,
    edited,
    is_given,
    items,
    model_name,
    not_bounded,
    option,
    raw_value,
    read_head,
    refuse,
    spans,
    text,
    whole_number,
    wrong_type,
)
from tokenroll.upstream.sse import EventMeter
from tokenroll.upstream.usage import WholeMeter, count_of, object_of

_PART_TYPES: Final = frozenset({b'"text"', b'"refusal"'})
_TOOL_TYPES: Final = frozenset({b'"function"', b'"custom"'})
_UNBOUNDED: Final = {
    "web_search_options": "searching the web on the provider's side",
    "prediction": "a predicted output, whose rejected tokens are billed",
    "audio": "audio output",
}
_UNBOUNDED_NAMES: Final = frozenset(_UNBOUNDED)
_REQUEST_TIERS: Final = {
    "": "", "auto": "", "default": "standard", "standard": "standard", "flex": "flex", "priority": "priority",
    "fast": "priority", "batch": "batch",
}  # fmt: skip
_ANSWER_TIERS: Final = {
    "default": "standard", "standard": "standard", "flex": "flex", "priority": "priority", "fast": "priority",
    "batch": "batch",
}  # fmt: skip
_TIER_WORDS: Final = {"standard": "default", "flex": "flex", "priority": "priority", "batch": "batch"}
_CAP_FIELDS: Final = ("max_completion_tokens", "max_tokens")


class _Choice(msgspec.Struct, gc=False):
    finish_reason: str | None = None


class _Answer(msgspec.Struct, gc=False):
    """A whole answer or one chunk of it; texts are skipped."""

    model: str | None = None
    service_tier: str | None = None
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_decode_answer = msgspec.json.Decoder(_Answer).decode


def read_usage(meter: CallMeter, usage: dict[str, Any]) -> None:
    """Counts of a `usage` object, taken apart so that they are disjoint; the last non-null report wins per field.

    Details are subsets of their parent (reference: gateways, 6.3); when they contradict it, the parent is charged whole.
    """
    mine = meter.counts
    prompt = count_of(usage.get("prompt_tokens"), meter, "prompt_tokens")
    if prompt is not None:
        details = object_of(usage.get("prompt_tokens_details"))
        cached = count_of(details.get("cached_tokens"), meter, "cached_tokens")
        written = count_of(details.get("cache_write_tokens"), meter, "cache_write_tokens")
        audio = count_of(details.get("audio_tokens"), meter, "audio_tokens")
        image = count_of(details.get("image_tokens"), meter, "image_tokens")
        rest = prompt - (cached or 0) - (written or 0) - (audio or 0) - (image or 0)
        if rest < 0:
            meter.degraded = "details of prompt_tokens are more than prompt_tokens"
            cached = written = audio = image = None
            rest = prompt
        mine[counts.INPUT] = rest
        mine[counts.CACHE_READ] = cached
        mine[counts.CACHE_WRITE_5M] = written
        mine[counts.INPUT_AUDIO] = audio
        mine[counts.INPUT_IMAGE] = image
    completion = count_of(usage.get("completion_tokens"), meter, "completion_tokens")
    if completion is not None:
        details = object_of(usage.get("completion_tokens_details"))
        reasoning = count_of(details.get("reasoning_tokens"), meter, "reasoning_tokens")
        audio = count_of(details.get("audio_tokens"), meter, "audio_tokens")
        rest = completion - (reasoning or 0) - (audio or 0)
        if rest < 0:
            meter.degraded = "details of completion_tokens are more than completion_tokens"
            reasoning = audio = None
            rest = completion
        mine[counts.OUTPUT] = rest
        mine[counts.REASONING] = reasoning
        mine[counts.OUTPUT_AUDIO] = audio


def has_all(meter: CallMeter) -> bool:
    """Whether both sides of the usage are known."""
    return meter.counts[counts.INPUT] is not None and meter.counts[counts.OUTPUT] is not None


def _read_answer(meter: CallMeter, answer: _Answer) -> None:
    if answer.model:
        meter.answered_model = answer.model
    if answer.service_tier:
        meter.service_tier = _ANSWER_TIERS.get(answer.service_tier, meter.service_tier)
    for choice in answer.choices or ():
        if choice.finish_reason:
            meter.finish_reason = choice.finish_reason
    if answer.error:
        meter.saw_error = True
        meter.error_code = str(object_of(answer.error).get("code") or object_of(answer.error).get("type") or "error")


class WholeChatMeter(WholeMeter):
    """Usage of a chat completion that is not streamed."""

    __slots__ = ()

    def _on_body(self, body: bytes) -> None:
        try:
            answer = _decode_answer(body)
        except (msgspec.MsgspecError, RecursionError):
            self.degraded = "the answer is not the JSON it should be"
            return
        self.complete = True
        _read_answer(self, answer)
        if answer.usage is not None:
            self._on_usage(answer.usage)

    def _on_usage(self, usage: dict[str, Any]) -> None:
        read_usage(self, usage)
        self.saw_usage = has_all(self)
        if self.saw_usage:
            self.counts[counts.REQUEST] = 1


class StreamChatMeter(EventMeter):
    """Usage of a streamed chat completion. Withholds only the final event without choices, and only if we asked for it."""

    __slots__ = ("_null_usage",)

    def __init__(self, withhold: bool) -> None:
        super().__init__(withhold)
        self._null_usage = b'"usage":null'

    def _is_plain(self, data: bytes) -> bool:
        events = data.count(b'"usage"')
        if events != data.count(self._null_usage) or data.find(b'"error"') >= 0 or data[-8:] == b"[DONE]\n\n":
            return False
        # a finish is said once, in an event that often comes alone; its name must be kept for the record
        if data.find(b'"finish_reason":"') >= 0 or data.find(b'"finish_reason": "') >= 0:
            return False
        self.output_events += events or data.count(b"\n\n")
        return True

    def _on_event(self, name: bytes, payload: bytes) -> bool:  # noqa: ARG002 - this dialect names no events
        if payload == b"[DONE]":
            self._complete()
            return False
        try:
            answer = _decode_answer(payload)
        except (msgspec.MsgspecError, RecursionError):
            self.degraded = "an event is not the JSON it should be"
            return False
        _read_answer(self, answer)
        if answer.choices:
            self.output_events += 1
        if answer.usage is None:
            if b'"usage": null' in payload:
                self._null_usage = b'"usage": null'
            return False
        read_usage(self, answer.usage)
        if answer.choices:  # counts so far; final only if the stream ends well
            return False
        self._final()
        return True

    def _complete(self) -> None:
        self.complete = True
        self._final()

    def _final(self) -> None:
        if has_all(self):
            self.saw_usage = True
            self.counts[counts.REQUEST] = 1


def _with_usage(body: bytes) -> bytes:
    """The client's own stream options and our wish for usage."""
    start, end = spans(body)["stream_options"]
    return json.dumps({**json.loads(body[start:end]), "include_usage": True}, separators=(",", ":")).encode()


_DENIAL_STATUS: Final = {
    "unknown_model": 404, "tier_not_sold": 400, "call_not_bounded": 400, "call_repeated": 409, "not_ready": 503,
}  # fmt: skip
_DENIAL_PARAM: Final = {"unknown_model": "model", "tier_not_sold": "service_tier"}
_CODES: Final = {"unknown_model": "model_not_found"}


class ChatCompletions:
    """The dialect of `POST /v1/chat/completions`; see Dialect for what each method promises."""

    index = 0
    name = "chat completions"
    paths = (b"/v1/chat/completions",)

    def facts(self, body: bytes) -> Facts:
        """See Dialect. Images, audio, files, searches and predictions are refused: nothing bounds them before they are sent."""
        head = read_head(body)
        facts = Facts()
        facts.input_bytes = len(body)
        facts.model = model_name(head)
        facts.fields = frozenset(head)
        get = head.get
        facts.stream = boolean(get("stream"), "stream")
        self._caps(head, facts)
        choices = get("n")
        if choices is not None:
            facts.choice_count = whole_number(choices, "n", 1, CHOICES_MAX)
        messages = items(get("messages"), "messages")
        if not messages:
            refuse("invalid_value", "'messages' must hold at least one message.", "messages")
        facts.message_count = len(messages)
        check_parts(messages, _PART_TYPES, "messages")
        for index, message in enumerate(messages):
            if is_given(message.audio):
                not_bounded(f"messages[{index}].audio", "earlier audio output as input")
        self._options(head, facts)
        if not _UNBOUNDED_NAMES.isdisjoint(head) or "modalities" in head:
            self._refuse_unbounded(head)
        return facts

    @staticmethod
    def _caps(head: dict[str, Any], facts: Facts) -> None:
        """With both caps given the larger bounds: which one a provider obeys, or whether it refuses, is its own matter."""
        new, old = (cap_tokens(head.get(field), field) for field in _CAP_FIELDS)
        facts.output_cap_tokens = max(new, old)
        facts.cap_field = "max_tokens" if old and not new else "max_completion_tokens"
        facts.second_cap_field = "max_tokens" if old and new else ""

    @staticmethod
    def _options(head: dict[str, Any], facts: Facts) -> None:
        get = head.get
        options = option(get("stream_options"), "stream_options")
        if options is not None:
            facts.has_stream_options = True
            facts.include_usage = boolean(raw_value(options.include_usage), "stream_options.include_usage")
        for field in ("tools", "functions"):
            if (tools := get(field)) is not None:
                listed = items(tools, field)
                facts.tool_count += len(listed)
                for index, tool in enumerate(listed):
                    if field == "tools" and bytes(tool.type) not in _TOOL_TYPES:
                        not_bounded(f"tools[{index}].type", f"a tool of type {raw_value(tool.type)!r}")
        facts.has_tools = facts.tool_count > 0
        tier = text(get("service_tier"), "service_tier")
        if tier not in _REQUEST_TIERS:
            not_bounded("service_tier", f"the service tier {tier!r}")
        facts.service_tier = _REQUEST_TIERS[tier]
        facts.user = text(get("user"), "user")

    @staticmethod
    def _refuse_unbounded(head: dict[str, Any]) -> None:
        for field, what in _UNBOUNDED.items():
            if head.get(field) is not None:
                not_bounded(field, what)
        modalities = head.get("modalities")
        if modalities is None:
            return
        if type(modalities) is not list:
            wrong_type("modalities", "an array", modalities)
        if modalities != ["text"]:
            not_bounded("modalities", "output other than text")

    def rewrite(
        self,
        body: bytes,
        facts: Facts,
        *,
        model: str,
        output_cap_tokens: int,
        inject_usage: bool,
        service_tier: str | None,
    ) -> Buffers:
        """See Dialect."""
        inject_usage = inject_usage and facts.stream and not facts.include_usage
        values: dict[str, bytes] = {}
        if model != facts.model:
            values["model"] = json.dumps(model).encode()
        if output_cap_tokens:
            values[facts.cap_field] = b"%d" % output_cap_tokens
            if facts.second_cap_field:
                values[facts.second_cap_field] = b"%d" % output_cap_tokens
        if inject_usage:
            values["stream_options"] = _with_usage(body) if facts.has_stream_options else b'{"include_usage":true}'
        if service_tier is not None:
            values["service_tier"] = json.dumps(_TIER_WORDS[service_tier]).encode()
        return edited(body, values, facts.fields) if values else [body]

    def upstream_target(self) -> bytes:
        """See Dialect."""
        return b"/v1/chat/completions"

    def upstream_headers(self, api_key: str) -> bytes:
        """See Dialect."""
        return b"authorization: Bearer %s\r\n" % api_key.encode("ascii")

    def meter(self, stream: bool, withhold_usage: bool) -> CallMeter:
        """See Dialect."""
        return StreamChatMeter(withhold_usage) if stream else WholeChatMeter()

    def denial(self, denial: Denial) -> ErrorAnswer:
        """See Dialect. An empty wallet is a 429 of the `insufficient_quota` family, which clients tell from a rate limit by type."""
        code = denial.code
        status = _DENIAL_STATUS.get(code, 429)
        kind = "insufficient_quota" if status == 429 else _error_type(status)
        body = _error_body(denial.sentence(), kind, _CODES.get(code, code), _DENIAL_PARAM.get(code))
        return ErrorAnswer(status, JSON_HEADER + denial_headers(denial, should_retry=status == 503), body)

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
        return ErrorAnswer(
            status,
            JSON_HEADER + retry_headers(should_retry, retry_after_seconds),
            _error_body(message, _error_type(status), code, param),
        )


def _error_type(status: int) -> str:
    return "server_error" if status >= 500 else "requests" if status == 429 else "invalid_request_error"


def _error_body(message: str, kind: str, code: str, param: str | None) -> bytes:
    return json.dumps(
        {"error": {"message": message, "type": kind, "param": param, "code": code}}, ensure_ascii=False
    ).encode()
