"""The dialect of OpenAI's responses: items in place of messages, and usage in the event that ends a stream."""

from typing import Any, Final

import msgspec

from tokenroll.model.limits import SERVER_TOOL_USES_MAX
from tokenroll.upstream import usage as counts
from tokenroll.upstream.dialect import CallMeter
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.heads import (
    boolean,
    cap_tokens,
    check_messages,
    items,
    not_bounded,
    parts_of,
    raw_value,
    read_head,
    refuse,
    refuse_part,
    text,
    whole_number,
    wrong_type,
)
from tokenroll.upstream.openai import read_answer, read_usage, usage_from
from tokenroll.upstream.openai_endpoint import OpenAIEndpoint, tier_asked
from tokenroll.upstream.shapes import (
    NOTHING,
    ChatUsage,
    ResponseAnswer,
    ResponseOutput,
    ResponseUsage,
    decode_event_output,
    decode_loose_response_event,
    decode_response,
    decode_response_event,
    decode_response_output,
)
from tokenroll.upstream.sse import EventMeter
from tokenroll.upstream.usage import WholeMeter, object_of

_PART_TYPES: Final = frozenset(
    {b'"input_text"', b'"output_text"', b'"text"', b'"refusal"', b'"reasoning_text"', b'"summary_text"'}
)
_ITEM_TYPES: Final = frozenset({
    b"", b'"message"', b'"reasoning"', b'"function_call"', b'"function_call_output"', b'"custom_tool_call"',
    b'"custom_tool_call_output"', b'"local_shell_call"', b'"local_shell_call_output"', b'"shell_call"', b'"shell_call_output"',
    b'"apply_patch_call"', b'"apply_patch_call_output"',
})  # fmt: skip
"""Items whose bytes bound their tokens."""
_STORED_ITEM_TYPES: Final = frozenset({b'"item_reference"', b'"web_search_call"', b'"compaction"'})
"""Items that stand for what only the provider has: as much as the context window takes."""
_STORED_FIELDS: Final = ("previous_response_id", "conversation", "prompt")
_TOOL_TYPES: Final = frozenset({b'"function"', b'"custom"', b'"local_shell"', b'"shell"', b'"apply_patch"'})
"""Tools that the client runs."""
_SEARCH_TYPES: Final = frozenset({
    b'"web_search"', b'"web_search_preview"', b'"web_search_2025_08_26"', b'"web_search_preview_2025_03_11"',
})  # fmt: skip
_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_SEARCH_MARK: Final = b'"web_search_call"'
_FRAME_BYTES: Final = len(
    b'event:response.output_text.delta\ndata:{"type":"response.output_text.delta","item_id":"","output_index":0,'
    b'"content_index":0,"delta":""}\n\n'
)
"""The least that an event with output weighs beside its text and its item's id."""


def _as_chat(usage: ResponseUsage) -> ChatUsage:
    return ChatUsage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        prompt_tokens_details=usage.input_tokens_details,
        completion_tokens_details=usage.output_tokens_details,
    )


def _loose_usage(usage: Any, meter: CallMeter) -> ChatUsage:
    """A usage object field by field; what is no count is not reported and degrades the meter."""
    said = object_of(usage)
    return usage_from(
        {
            "prompt_tokens": said.get("input_tokens"), "completion_tokens": said.get("output_tokens"),
            "prompt_tokens_details": said.get("input_tokens_details"),
            "completion_tokens_details": said.get("output_tokens_details"),
        },
        meter,
    )  # fmt: skip


def _read_final(meter: CallMeter, usage: ChatUsage) -> None:
    read_usage(meter, usage)
    if meter.counts[counts.INPUT] is not None and meter.counts[counts.OUTPUT] is not None:
        meter.saw_usage = True
        meter.counts[counts.REQUEST] = 1


def _read_searches(meter: CallMeter, body: bytes, *, is_event: bool) -> None:
    """The searches in the output, which no usage counts and which are billed each; looking a page up or through costs nothing."""
    if body.find(_SEARCH_MARK) < 0:
        return
    try:
        said: ResponseOutput | None = decode_event_output(body).response if is_event else decode_response_output(body)
    except (msgspec.MsgspecError, RecursionError):
        meter.degraded = "its searches cannot be counted"
        return
    if said is not None:
        kinds = [one.action and one.action.type for one in said.output if one.type == "web_search_call"]
        meter.counts[counts.WEB_SEARCH] = len([kind for kind in kinds if kind in {None, "search"}])


class WholeResponseMeter(WholeMeter):
    """Usage of a response that is not streamed."""

    __slots__ = ()

    def _on_body(self, body: bytes) -> None:
        try:
            answer = decode_response(body)
        except msgspec.ValidationError:
            self._on_loose(body)
            return
        except (msgspec.DecodeError, RecursionError):
            return
        self.complete = True
        read_answer(self, answer.model, answer.service_tier, answer.error)
        if answer.usage is not None:
            _read_final(self, _as_chat(answer.usage))
        _read_searches(self, body, is_event=False)

    def _on_loose(self, body: bytes) -> None:
        try:
            said = object_of(msgspec.json.decode(body))
        except (msgspec.DecodeError, RecursionError):  # of a wrong type first, and no JSON behind it
            return
        if not said:
            return
        self.complete = True
        read_answer(self, said.get("model"), said.get("service_tier"), said.get("error"))
        _read_final(self, _loose_usage(said.get("usage"), self))

    def _on_usage(self, usage: dict[str, Any]) -> None:
        _read_final(self, _loose_usage(usage, self))


class StreamResponseMeter(EventMeter):
    """Usage of a streamed response: it stands in the event that ends it, whether or not anybody asked."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(withhold=False)
        self._text_mark = b'"delta":"'

    def _is_plain(self, data: bytes) -> bool:
        if data.find(b'"response":') >= 0 or data.find(b'"error"') >= 0:
            return False
        self.output_events += data.count(b'"delta":')
        return True

    def _frame_of(self, name: bytes, payload: bytes) -> int:  # noqa: ARG002 - the type is in the data, too
        return _FRAME_BYTES if b'"delta":' in payload else 0

    def _on_event(self, name: bytes, payload: bytes) -> bool:  # noqa: ARG002 - the type is in the data, too
        try:
            event = decode_response_event(payload)
        except msgspec.ValidationError:
            self._on_loose(payload)
            return False
        except (msgspec.DecodeError, RecursionError):
            return False
        self.output_events += payload.count(b'"delta":')
        if event.type == "error":
            self.saw_error = True
            self.error_code = str(event.code or "error")
        if event.response is not None:
            self._on_response(event.type, event.response)
            if event.type in _ENDS:
                _read_searches(self, payload, is_event=True)
        return False

    def _on_response(self, kind: str | None, answer: ResponseAnswer) -> None:
        read_answer(self, answer.model, answer.service_tier, answer.error)
        if kind in _ENDS:
            self.complete = kind != "response.failed"
            if answer.usage is not None:
                _read_final(self, _as_chat(answer.usage))

    def _on_loose(self, payload: bytes) -> None:
        try:
            event = decode_loose_response_event(payload)
        except (msgspec.MsgspecError, RecursionError):
            return
        answer = object_of(event.response)
        read_answer(self, answer.get("model"), answer.get("service_tier"), answer.get("error"))
        if event.type in _ENDS:
            self.complete = event.type != "response.failed"
            _read_final(self, _loose_usage(answer.get("usage"), self))


class Responses(OpenAIEndpoint):
    """The dialect of `POST /v1/responses`; see Dialect for what each method promises."""

    index = 2
    name = "responses"
    path = b"/v1/responses"

    def facts(self, body: bytes) -> Facts:
        """See Dialect. What goes on from something stored is bounded by the context window; what runs on after the answer is refused."""
        facts = Facts()
        head = read_head(body, facts)
        get = head.get
        if boolean(get("background"), "background"):
            refuse(
                "unsupported_parameter",
                "Responses in the background are not served here: leave 'background' out.",
                "background",
            )
        facts.cap_field = "max_output_tokens"
        cap = get("max_output_tokens")
        if cap is not None:
            facts.output_cap_tokens = cap_tokens(cap, "max_output_tokens")
        facts.reads_stored = any(get(field) is not None for field in _STORED_FIELDS)
        self._input(get("input"), facts)
        facts.message_count += get("instructions") is not None
        if get("tools") is not None:
            self._tools(head, facts)
        facts.beyond_bytes = facts.reads_stored or facts.server_tool_uses_max > 0
        facts.service_tier = tier_asked(get("service_tier"))
        facts.user = text(get("user"), "user")
        return facts

    @staticmethod
    def _input(value: Any, facts: Facts) -> None:
        if value is None:
            if not facts.reads_stored:
                refuse("missing_required_parameter", "Missing required parameter: 'input'.", "input")
            return
        if type(value) is str:
            facts.message_count = 1
            return
        facts.message_count = check_messages(value, _PART_TYPES, field="input")
        for index, item in enumerate(value):
            kind = bytes(item.type)
            if kind in _STORED_ITEM_TYPES:
                facts.reads_stored = True
            elif kind not in _ITEM_TYPES:
                not_bounded(f"input[{index}]", f"an item of type {str(raw_value(item.type))[:80]!r}")
            output = item.output
            if output is not NOTHING and memoryview(output)[0] == 0x5B:
                for place, part in enumerate(parts_of(output, f"input[{index}].output")):
                    if bytes(part.type) not in _PART_TYPES or part.is_suspect():
                        refuse_part(part, _PART_TYPES, f"input[{index}].output[{place}]")

    @staticmethod
    def _tools(head: dict[str, Any], facts: Facts) -> None:
        listed = items(head["tools"], "tools")
        facts.tool_count = len(listed)
        facts.has_tools = facts.tool_count > 0
        for index, tool in enumerate(listed):
            kind = bytes(tool.type)
            if kind in _SEARCH_TYPES:
                most = head.get("max_tool_calls")
                if most is None:
                    not_bounded(f"tools[{index}].type", "searching the web without 'max_tool_calls'")
                facts.server_tool_uses_max = facts.web_search_max = whole_number(
                    most, "max_tool_calls", 1, SERVER_TOOL_USES_MAX
                )
            elif kind not in _TOOL_TYPES:
                if tool.type is NOTHING:
                    wrong_type(f"tools[{index}].type", "a string", None)
                not_bounded(f"tools[{index}].type", f"a tool of type {str(raw_value(tool.type))[:80]!r}")

    def meter(self, stream: bool, withhold_usage: bool) -> CallMeter:  # noqa: ARG002 - nobody has to ask for usage
        """See Dialect."""
        return StreamResponseMeter() if stream else WholeResponseMeter()
