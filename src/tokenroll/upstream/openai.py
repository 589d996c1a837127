"""The dialect of OpenAI's chat completions, which most providers speak."""

from typing import Any, Final

import msgspec

from tokenroll.model.limits import CHOICES_MAX, NAME_CHARACTERS_MAX, UNIT_COUNT_MAX
from tokenroll.upstream import usage as counts
from tokenroll.upstream.dialect import CallMeter
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.fields import by_plain_name, check_fields
from tokenroll.upstream.heads import (
    PartKinds,
    cap_tokens,
    check_messages,
    is_given,
    items,
    kind_of,
    metadata_tags,
    not_bounded,
    raw_value,
    read_head,
    user_text,
    whole_number,
    wrong_type,
)
from tokenroll.upstream.openai_endpoint import ANSWER_TIERS, OpenAIEndpoint, read_stream_options, tier_asked
from tokenroll.upstream.shapes import (
    NOTHING,
    ChatAnswer,
    ChatChoice,
    ChatChunk,
    ChatUsage,
    CompletionDetails,
    PromptDetails,
    decode_chat_answer,
    decode_chat_chunk,
    decode_chat_frame,
    decode_loose_chat_answer,
)
from tokenroll.upstream.sse import EventMeter
from tokenroll.upstream.usage import WholeMeter, count_of, object_of

_PARTS: Final = PartKinds(
    text=frozenset({b'"text"', b'"refusal"'}),
    media=frozenset({b'"image_url"', b'"input_audio"', b'"file"'}),
    images=frozenset({b'"image_url"'}),
)
_TOOL_TYPES: Final = frozenset({b'"function"', b'"custom"'})
_FREE: Final = frozenset({
    "temperature", "top_p", "stop", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs",
    "response_format", "reasoning_effort", "verbosity", "parallel_tool_calls", "tool_choice", "function_call", "store",
    "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "moderation",
})  # fmt: skip
_FIRST: Final = frozenset({"model", "messages", "max_completion_tokens", "max_tokens", "n", "stream"})
_OPTIONS: Final = frozenset(
    {"stream_options", "tools", "functions", "service_tier", "user", "modalities", "metadata", "audio"}
)
_READ: Final = by_plain_name(_FIRST | _OPTIONS)
_PLAIN: Final = _FIRST | _FREE
"""Fields that most requests have; without any other nothing more is looked at."""
_KNOWN: Final = _PLAIN | _OPTIONS
_NO_PROMPT_DETAILS: Final = PromptDetails()
_PROMPT_COUNTS: Final = ("cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens")
_NO_COMPLETION_DETAILS: Final = CompletionDetails()


def _decode_answer(data: bytes, meter: CallMeter) -> ChatAnswer | None:
    """A whole answer; None when it is not a JSON object: it says nothing, and what else is said still counts."""
    try:
        return decode_chat_answer(data)
    except msgspec.ValidationError:
        return _loosely(data, meter)
    except (msgspec.DecodeError, RecursionError):
        return None


def _decode_chunk(data: bytes, meter: CallMeter) -> ChatChunk | None:
    """A chunk of a streamed one, likewise."""
    try:
        return decode_chat_chunk(data)
    except msgspec.ValidationError:
        return _loosely(data, meter)
    except (msgspec.DecodeError, RecursionError):
        return None


def _loosely(data: bytes, meter: CallMeter) -> ChatChunk | None:
    try:
        loose = decode_loose_chat_answer(data)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return ChatChunk(
        model=loose.model if isinstance(loose.model, str) else None,
        service_tier=loose.service_tier if isinstance(loose.service_tier, str) else None,
        choices=[ChatChoice() for _ in loose.choices] if isinstance(loose.choices, list) else None,
        usage=usage_from(object_of(loose.usage), meter) if loose.usage is not None else None,
        error=loose.error,
    )


def usage_from(usage: dict[str, Any], meter: CallMeter) -> ChatUsage:
    """A usage object field by field; what is no count is not reported and degrades the meter."""
    prompt, completion = (
        object_of(usage.get("prompt_tokens_details")),
        object_of(usage.get("completion_tokens_details")),
    )
    return ChatUsage(
        prompt_tokens=count_of(usage.get("prompt_tokens"), meter, "prompt_tokens"),
        completion_tokens=count_of(usage.get("completion_tokens"), meter, "completion_tokens"),
        total_tokens=usage.get("total_tokens"),
        cached_tokens=usage.get("cached_tokens"),
        prompt_cache_hit_tokens=usage.get("prompt_cache_hit_tokens"),
        prompt_tokens_details=PromptDetails(
            cached_tokens_details=prompt.get("cached_tokens_details"),
            **{name: count_of(prompt.get(name), meter, name) for name in _PROMPT_COUNTS},
        ),
        completion_tokens_details=CompletionDetails(
            **{name: count_of(completion.get(name), meter, name) for name in CompletionDetails.__struct_fields__}
        ),
    )


def read_usage(meter: CallMeter, usage: ChatUsage) -> None:
    """Counts of a `usage` object, taken apart so that they are disjoint; the last non-null report wins per field.

    Details are subsets of their parent (reference: gateways, 6.3) and may overlap (decision 0103); when they contradict it, the parent
    is charged whole. What a total
    has beyond prompt and completion is reasoning that the completion leaves out.
    """
    mine = meter.counts
    prompt, completion, total = usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
    beside = 0
    if prompt is not None:
        details = usage.prompt_tokens_details or _NO_PROMPT_DETAILS
        cached, written = details.cached_tokens, details.cache_write_tokens
        if cached is None and (usage.cached_tokens is not None or usage.prompt_cache_hit_tokens is not None):
            hits = usage.cached_tokens if usage.cached_tokens is not None else usage.prompt_cache_hit_tokens
            cached = count_of(hits, meter, "tokens from a cache")
        audio, image = details.audio_tokens, details.image_tokens
        one, two, three, four = cached or 0, written or 0, audio or 0, image or 0
        if (three or four) and (one or two):
            one, two, four = _once_each(meter, prompt, details, one, two, three, four)
            cached, written = cached and one, written and two
            image = image and four
        rest = prompt - one - two - three - four
        if rest < 0 or one < 0 or two < 0 or three < 0 or four < 0 or prompt > UNIT_COUNT_MAX:
            meter.degraded = "prompt_tokens and their details contradict each other"
            cached = written = audio = image = None
            rest = prompt
        elif total is not None and completion is not None and total != prompt + completion:
            beside = _beside_completion(meter, prompt, completion, total)
        mine[counts.INPUT] = rest if 0 <= rest <= UNIT_COUNT_MAX else None
        mine[counts.CACHE_READ] = cached
        mine[counts.CACHE_WRITE_5M] = written
        mine[counts.INPUT_AUDIO] = audio
        mine[counts.INPUT_IMAGE] = image
    if completion is not None:
        output = usage.completion_tokens_details or _NO_COMPLETION_DETAILS
        reasoning, audio = output.reasoning_tokens, output.audio_tokens
        if beside:
            completion += beside
            reasoning = max(reasoning or 0, beside)
        one, two = reasoning or 0, audio or 0
        rest = completion - one - two
        if rest < 0 or one < 0 or two < 0 or completion > UNIT_COUNT_MAX:
            meter.degraded = "completion_tokens and their details contradict each other"
            reasoning = audio = None
            rest = completion
        mine[counts.OUTPUT] = rest if 0 <= rest <= UNIT_COUNT_MAX else None
        mine[counts.REASONING] = reasoning
        mine[counts.OUTPUT_AUDIO] = audio


def _once_each(
    meter: CallMeter, prompt: int, details: PromptDetails, cached: int, written: int, audio: int, image: int
) -> tuple[int, int, int]:
    """What was cached, written and seen such that no token of the prompt is counted twice; what contradicts itself stays as it is.

    A provider that takes apart what was cached is followed. Else plain text was cached first, then pictures, then sound: the dearest
    reading of its numbers. A picture from a cache is cached input; sound from one has no price of its own and keeps that of sound.
    """
    if min(cached, written, audio, image) < 0 or cached + written > prompt or audio + image > prompt:
        return cached, written, image
    seen = image
    apart = object_of(details.cached_tokens_details)
    if apart:
        heard = count_of(apart.get("audio_tokens"), meter, "cached audio_tokens") or 0
        shown = count_of(apart.get("image_tokens"), meter, "cached image_tokens") or 0
        if heard > audio or shown > image or heard + shown > cached:
            meter.degraded = "prompt_tokens_details and their cached_tokens_details contradict each other"
        else:
            cached -= heard
            seen -= shown
    twice = max(0, cached + written + audio + seen - prompt)
    of_images = min(twice, seen)
    twice -= of_images
    of_cached = min(twice, cached)
    return cached - of_cached, written - twice + of_cached, seen - of_images


def _beside_completion(meter: CallMeter, prompt: int, completion: int, total: Any) -> int:
    """Model tokens that the total of a usage has beyond its prompt and its completion.

    Some providers leave reasoning out of the completion, and some of these count it nowhere but in the total, which is what they bill.
    """
    if type(total) is not int or completion < 0:
        return 0
    beside = total - prompt - completion
    if beside > UNIT_COUNT_MAX:
        meter.degraded = f"total_tokens is {str(total)[:40]}"
        return 0
    return max(0, beside)


def _has_all(meter: CallMeter) -> bool:
    """Whether both sides of the usage are known."""
    return meter.counts[counts.INPUT] is not None and meter.counts[counts.OUTPUT] is not None


def read_answer(meter: CallMeter, model: Any, service_tier: Any, error: Any) -> None:
    """What an answer says beside its usage: which model and tier it was, and whether it is an error."""
    if model and type(model) is str:
        meter.answered_model = model[:NAME_CHARACTERS_MAX]
    if service_tier and type(service_tier) is str:
        meter.service_tier = ANSWER_TIERS.get(service_tier, meter.service_tier)
    if error:
        meter.saw_error = True
        meter.error_code = str(object_of(error).get("code") or object_of(error).get("type") or "error")


class WholeChatMeter(WholeMeter):
    """Usage of a chat completion that is not streamed."""

    __slots__ = ()

    def _on_body(self, body: bytes) -> None:
        answer = _decode_answer(body, self)
        if answer is None:
            return
        self.complete = True
        read_answer(self, answer.model, answer.service_tier, answer.error)
        if answer.usage is not None:
            self._read(answer.usage)

    def _on_usage(self, usage: dict[str, Any]) -> None:
        self._read(usage_from(usage, self))

    def _read(self, usage: ChatUsage) -> None:
        read_usage(self, usage)
        if _has_all(self):
            self.saw_usage = True
            self.counts[counts.REQUEST] = 1


_LEAST_EVENT_BYTES: Final = len(b'data:{"choices":[{"delta":}]}\n\n')
_LEAST_DELTA_BYTES: Final = len(b'{"content":""}')


class StreamChatMeter(EventMeter):
    """Usage of a streamed chat completion. Withholds only the final event without choices, and only if we asked for it."""

    __slots__ = ("_null_usage", "_output")

    def __init__(self, withhold: bool) -> None:
        super().__init__(withhold)
        self._null_usage = b'"usage":null'
        self._output = b'"delta"'
        """What stands once in every event with output."""
        self._text_mark = b'"content":"'

    def _is_plain(self, data: bytes) -> bool:
        if (
            data.count(b'"usage"') != data.count(self._null_usage)
            or data.find(b'"error"') >= 0
            or data[-8:] == b"[DONE]\n\n"
        ):
            return False
        self.output_events += data.count(self._output)
        return True

    def _frame_of(self, name: bytes, payload: bytes) -> int:  # noqa: ARG002 - this dialect names no events
        try:
            frame = decode_chat_frame(payload)
        except (msgspec.MsgspecError, RecursionError):
            return 0
        if not frame.choices:
            return 0
        delta_bytes = 2
        for output in (b'"delta":{"', b'"delta": {"'):
            if output in payload:
                self._output = output
                delta_bytes = _LEAST_DELTA_BYTES
        return _LEAST_EVENT_BYTES + delta_bytes + frame.repeated_bytes()

    def _on_event(self, name: bytes, payload: bytes) -> bool:  # noqa: ARG002 - this dialect names no events
        if payload == b"[DONE]":
            self._complete()
            return False
        answer = _decode_chunk(payload, self)
        if answer is None:
            return False
        read_answer(self, answer.model, answer.service_tier, answer.error)
        self.output_events += payload.count(self._output)
        if answer.usage is None:
            if answer.choices and answer.choices[0].usage is not None:  # final only if the stream ends well, too
                read_usage(self, usage_from(object_of(answer.choices[0].usage), self))
            elif b'"usage": null' in payload:
                self._null_usage = b'"usage": null'
            return False
        read_usage(self, answer.usage)
        if answer.choices:  # counts so far; final only if the stream ends well
            return False
        self._final()
        return answer.choices is not None

    def _on_usage(self, usage: dict[str, Any]) -> None:
        read_usage(self, usage_from(usage, self))

    def _complete(self) -> None:
        self.complete = True
        self._final()

    def _final(self) -> None:
        if _has_all(self):
            self.saw_usage = True
            self.counts[counts.REQUEST] = 1


def _output_kinds(head: dict[str, Any], facts: Facts) -> None:
    """Text, or sound beside it, which is told apart in the usage and bounded at the dearer of the two; nothing bounds a picture."""
    modalities = head.get("modalities")
    speaks = head.get("audio") is not None
    if modalities is not None:
        if type(modalities) is not list:
            wrong_type("modalities", "an array", modalities)
        for kind in modalities:
            if kind == "audio":
                speaks = True
            elif kind != "text":
                not_bounded("modalities", "output other than text and sound")
    if speaks:
        facts.speaks = facts.beyond_bytes = True
        facts.is_text = False


class ChatCompletions(OpenAIEndpoint):
    """The dialect of `POST /v1/chat/completions`; see Dialect for what each method promises."""

    index = 0
    name = "chat completions"
    path = b"/v1/chat/completions"
    asks_for_usage = True

    def facts(self, body: bytes) -> Facts:
        """See Dialect. What the model has said aloud before is kept by its provider under an id, and read again as sound."""
        facts = Facts()
        head = read_head(body, facts)
        new, old = head.get("max_completion_tokens"), head.get("max_tokens")
        facts.cap_field = "max_completion_tokens"
        if new is not None:
            facts.output_cap_tokens = cap_tokens(new, "max_completion_tokens")
        if old is not None:
            cap = cap_tokens(old, "max_tokens")
            if new is None:
                facts.cap_field = "max_tokens"
            else:  # which one a provider obeys, or whether it refuses, is its own matter: the larger bounds
                facts.second_cap_field = "max_tokens"
            facts.output_cap_tokens = max(cap, facts.output_cap_tokens)
        choices = head.get("n")
        if choices is not None:
            facts.choice_count = whole_number(choices, "n", 1, CHOICES_MAX)
        messages: Any = head.get("messages")
        facts.message_count = check_messages(messages, _PARTS, facts)
        for message in messages:
            if message.audio is not NOTHING and is_given(message.audio):
                facts.has_audio = facts.reads_stored = facts.fills_window = facts.beyond_bytes = True
        if not _PLAIN.issuperset(head):
            if not _KNOWN.issuperset(head):
                check_fields(head, _READ)
            self._options(body, head, facts)
        return facts

    def _options(self, body: bytes, head: dict[str, Any], facts: Facts) -> None:
        get = head.get
        read_stream_options(body, head, facts)
        for field in ("tools", "functions"):
            if (tools := get(field)) is not None:
                listed = items(tools, field)
                facts.tool_count += len(listed)
                for index, tool in enumerate(listed):
                    if field == "tools" and kind_of(tool.type) not in _TOOL_TYPES:
                        not_bounded(f"tools[{index}].type", f"a tool of type {raw_value(tool.type)!r}")
        facts.has_tools = facts.tool_count > 0
        facts.service_tier = tier_asked(get("service_tier"))
        facts.user = user_text(get("user"), "user")
        if "metadata" in head:
            facts.tags = metadata_tags(body, head)
        _output_kinds(head, facts)

    def meter(self, stream: bool, withhold_usage: bool) -> CallMeter:
        """See Dialect."""
        return StreamChatMeter(withhold_usage) if stream else WholeChatMeter()
