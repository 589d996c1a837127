"""The dialect of OpenAI's responses: items in place of messages, and usage in the event that ends a stream."""

import json
import re
from typing import Any, Final, NoReturn

import msgspec
from msgspec import Raw

from tokenroll.model.limits import SEARCHES_DEFAULT, SERVER_TOOL_USES_MAX
from tokenroll.upstream import usage as counts
from tokenroll.upstream.dialect import CallMeter
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.fields import by_plain_name, check_fields
from tokenroll.upstream.heads import (
    PartKinds,
    boolean,
    bound_part,
    bound_parts,
    cap_tokens,
    check_messages,
    items,
    items_of,
    kind_of,
    metadata_tags,
    not_bounded,
    parts_of,
    raw_value,
    read_head,
    refuse,
    refuse_doubles,
    spans,
    user_text,
    whole_number,
    wrong_type,
)
from tokenroll.upstream.openai import read_answer, read_usage, usage_from
from tokenroll.upstream.openai_endpoint import OpenAIEndpoint, tier_asked
from tokenroll.upstream.shapes import (
    NOTHING,
    ChatUsage,
    Item,
    PartsItem,
    ResponseAnswer,
    ResponseOutput,
    ResponseUsage,
    decode_event_output,
    decode_loose_response_event,
    decode_raws,
    decode_response,
    decode_response_event,
    decode_response_output,
)
from tokenroll.upstream.sse import EventMeter, end_payload
from tokenroll.upstream.usage import WholeMeter, closing, object_of

_PARTS: Final = PartKinds(
    text=frozenset(
        {b'"input_text"', b'"output_text"', b'"text"', b'"refusal"', b'"reasoning_text"', b'"summary_text"'}
    ),
    media=frozenset({b'"input_image"', b'"input_file"', b'"input_audio"'}),
    images=frozenset({b'"input_image"'}),
)
_ITEM_TYPES: Final = frozenset({
    b"", b'"message"', b'"reasoning"', b'"function_call"', b'"function_call_output"', b'"custom_tool_call"',
    b'"custom_tool_call_output"', b'"local_shell_call"', b'"local_shell_call_output"', b'"shell_call"', b'"shell_call_output"',
    b'"apply_patch_call"', b'"apply_patch_call_output"', b'"additional_tools"',
})  # fmt: skip
"""Items whose bytes bound their tokens."""
_STORED_ITEM_TYPES: Final = frozenset({b'"item_reference"', b'"web_search_call"', b'"compaction"'})
"""Items that stand for what only the provider has: as much as the context window takes."""
_READ: Final = by_plain_name((
    "model", "input", "instructions", "max_output_tokens", "max_tool_calls", "stream", "background", "tools", "tool_choice", "service_tier",
    "user", "metadata", "context_management", "previous_response_id", "conversation", "prompt",
))  # fmt: skip
_KNOWN: Final = frozenset(_READ.values()) | {
    "include", "moderation", "parallel_tool_calls", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning",
    "safety_identifier", "store", "stream_options", "temperature", "text", "top_logprobs", "top_p", "truncation",
}  # fmt: skip
"""The fields of which it is known that they cost nothing beyond what is read here."""
_STORED_FIELDS: Final = ("previous_response_id", "conversation")
_TOOL_TYPES: Final = frozenset({b'"function"', b'"custom"', b'"local_shell"', b'"shell"', b'"apply_patch"'})
"""Tools that the client runs: a shell, too, when it names no environment or says that it is local."""
_SHELL_OUTPUT: Final = b'"shell_call_output"'
_NAMESPACE: Final = b'"namespace"'
"""A group of them under one name."""
_SEARCH_TYPES: Final = frozenset({b'"web_search"', b'"web_search_2025_08_26"'})
_PREVIEW_TYPES: Final = frozenset({b'"web_search_preview"', b'"web_search_preview_2025_03_11"'})
"""The same search at another price, refused as a tool (decision 0113); as a choice it names whatever search there is."""
_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_SEARCH_MARK: Final = b'"web_search_call"'
_NO_SEARCHES_COUNTED: Final = "its searches cannot be counted"
_RESPONSE: Final = "response"
_OPENS_RESPONSE: Final = re.compile(rb'"response"\s*:\s*\{(?:\s*"id"\s*:\s*"(resp_[A-Za-z0-9_-]{1,200})")?')
_EVENT_KIND: Final = re.compile(rb'(?:\A\s*event:\s*|"type"\s*:\s*")(response\.[a-z_.]{1,60})')
"""Which event it is, by the line of its name or by the first type in its data, which is its own."""
_UNDER_WAY: Final = frozenset({"queued", "in_progress"})
STORED_NAME: Final = re.compile(r"resp_[A-Za-z0-9_-]{1,200}")
_FRAME_BYTES: Final = len(
    b'event:response.output_text.delta\ndata:{"type":"response.output_text.delta","item_id":"","output_index":0,'
    b'"content_index":0,"delta":""}\n\n'
)
"""The least that an event with output weighs beside its text and its item's id."""


def _as_chat(usage: ResponseUsage) -> ChatUsage:
    return ChatUsage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        prompt_tokens_details=usage.input_tokens_details,
        completion_tokens_details=usage.output_tokens_details,
    )


def _loose_usage(usage: Any, meter: CallMeter) -> ChatUsage:
    """A usage object field by field; what is no count is not reported and degrades the meter."""
    said = object_of(usage)
    return usage_from(
        {
            "prompt_tokens": said.get("input_tokens"), "completion_tokens": said.get("output_tokens"),
            "total_tokens": said.get("total_tokens"), "prompt_tokens_details": said.get("input_tokens_details"),
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
        meter.degraded = _NO_SEARCHES_COUNTED
        return
    if said is not None:
        kinds = [one.action and one.action.type for one in said.output if one.type == "web_search_call"]
        meter.counts[counts.WEB_SEARCH] = len([kind for kind in kinds if kind in {None, "search"}])


def _name_of(stored_id: Any) -> str:
    """A response's own name, if it is one that a provider may be asked by."""
    return stored_id if isinstance(stored_id, str) and STORED_NAME.fullmatch(stored_id) else ""


class WholeResponseMeter(WholeMeter):
    """Usage of a response that is not streamed."""

    __slots__ = ("_status", "_stored_as")

    def __init__(self) -> None:
        super().__init__()
        self._stored_as: Any = None
        self._status: Any = None

    def stored_as(self) -> str:
        return _name_of(self._stored_as)

    def goes_on(self) -> bool:
        return self._status in _UNDER_WAY and bool(self.stored_as())

    def _on_body(self, body: bytes) -> None:
        try:
            answer = decode_response(body)
        except msgspec.ValidationError:
            self._on_loose(body)
            return
        except (msgspec.DecodeError, RecursionError):
            return
        self.complete = True
        self._stored_as = answer.id
        self._status = answer.status
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
        self._stored_as = said.get("id")
        self._status = said.get("status")
        read_answer(self, said.get("model"), said.get("service_tier"), said.get("error"))
        _read_final(self, _loose_usage(said.get("usage"), self))

    def _on_usage(self, usage: dict[str, Any]) -> None:
        _read_final(self, _loose_usage(usage, self))


class StreamResponseMeter(EventMeter):
    """Usage of a streamed response: it stands in the event that ends it, whether or not anybody asked.

    Events with the response repeat what was asked and said so far, which may be megabytes: of those that are too long to keep, the
    beginning says which they are and what the response is stored as, and the end what it used.
    """

    __slots__ = ("_may_have_searched", "_stored_as")

    def __init__(self) -> None:
        super().__init__(withhold=False)
        self._stored_as: Any = None
        self._text_mark = b'"delta":"'

    def stored_as(self) -> str:
        return _name_of(self._stored_as)

    def _is_plain(self, data: bytes) -> bool:
        if data.find(b'"response":') >= 0 or data.find(b'"error"') >= 0:
            return False
        self.output_events += data.count(b'"delta":')
        return True

    def _frame_of(self, name: bytes, payload: bytes) -> int:  # noqa: ARG002 - the type is in the data, too
        return _FRAME_BYTES if b'"delta":' in payload else 0

    def _drop(self, count: int) -> None:
        found = self._tail.find(_SEARCH_MARK, 0, count + len(_SEARCH_MARK)) >= 0
        if not self._cut:
            self._may_have_searched = False
        self._may_have_searched = self._may_have_searched or found
        super()._drop(count)

    def _on_end(self, end: bytes, event_bytes: int) -> None:
        beginning = self._beginning
        opened, named = _OPENS_RESPONSE.search(beginning), _EVENT_KIND.search(beginning)
        if opened is None or named is None:
            return
        kind = named[1].decode()
        if opened[1]:
            self._stored_as = opened[1].decode()
        if kind not in _ENDS or self.output_events:
            self._prelude_bytes += event_bytes
        if kind not in _ENDS:
            return
        said = end_payload(end)
        failed = kind == "response.failed"
        read_answer(self, closing(said, "model", _RESPONSE), closing(said, "service_tier", _RESPONSE), failed)
        self.complete = not failed
        _read_final(self, _loose_usage(closing(said, "usage", _RESPONSE), self))
        if self._may_have_searched or _SEARCH_MARK in end:
            self.degraded = _NO_SEARCHES_COUNTED

    def _on_usage(self, usage: dict[str, Any]) -> None:
        _read_final(self, _loose_usage(usage, self))

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
            if self.output_events:
                self._prelude_bytes += len(payload)
            self._on_response(event.type, event.response)
            if event.type in _ENDS:
                _read_searches(self, payload, is_event=True)
        return False

    def _on_response(self, kind: str | None, answer: ResponseAnswer) -> None:
        self._stored_as = answer.id
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
    stores_answers = True

    def facts(self, body: bytes) -> Facts:
        """See Dialect. What goes on from something stored is bounded by the context window."""
        facts = Facts()
        head = read_head(body, facts)
        if not _KNOWN.issuperset(head):
            check_fields(head, _READ)
        get = head.get
        facts.in_background = boolean(get("background"), "background")
        facts.cap_field = "max_output_tokens"
        cap = get("max_output_tokens")
        if cap is not None:
            facts.output_cap_tokens = cap_tokens(cap, "max_output_tokens")
        if get("prompt") is not None:
            _refuse_stored_prompt()
        facts.reads_stored = facts.fills_window = any(get(field) is not None for field in _STORED_FIELDS)
        self._input(body, head, facts)
        facts.message_count += get("instructions") is not None
        if get("tools") is not None:
            _tools(body, items(head["tools"], "tools"), "tools", head, facts)
        if get("context_management") is not None:
            _refuse_compaction(items(head["context_management"], "context_management"))
        facts.beyond_bytes = facts.fills_window or facts.image_count > 0 or facts.server_tool_uses_max > 0
        facts.service_tier = tier_asked(get("service_tier"))
        facts.user = user_text(get("user"), "user")
        if "metadata" in head:
            facts.tags = metadata_tags(body, head)
        return facts

    def _input(self, body: bytes, head: dict[str, Any], facts: Facts) -> None:
        value = head.get("input")
        if value is None:
            if not facts.reads_stored:
                refuse("missing_required_parameter", "Missing required parameter: 'input'.", "input")
            return
        if type(value) is str:
            facts.message_count = 1
            return
        facts.message_count = check_messages(value, _PARTS, facts, field="input")
        for index, item in enumerate(value):
            kind = kind_of(item.type)
            if kind in _STORED_ITEM_TYPES:
                facts.reads_stored = facts.fills_window = True
            elif kind not in _ITEM_TYPES:
                not_bounded(f"input[{index}]", f"an item of type {str(raw_value(item.type))[:80]!r}")
            output = item.output
            if output is not NOTHING and memoryview(output)[0] == 0x5B:
                if kind == _SHELL_OUTPUT:
                    _check_shell_output(output, facts, f"input[{index}].output")
                else:
                    bound_parts(output, _PARTS, facts, f"input[{index}].output")
            if item.tools is not NOTHING:  # tools may stand among the items, too
                _tools(body, items_of(item.tools, f"input[{index}].tools"), f"input[{index}].tools", head, facts)

    def _with_searches(self, body: bytes, searches: int) -> dict[str, bytes]:
        return {"max_tool_calls": b"%d" % searches} if searches else _without_searches(body)

    def meter(self, stream: bool, withhold_usage: bool) -> CallMeter:  # noqa: ARG002 - nobody has to ask for usage
        """See Dialect."""
        return StreamResponseMeter() if stream else WholeResponseMeter()


def _tools(body: bytes, listed: list[Any], param: str, head: dict[str, Any], facts: Facts) -> None:
    """Tools that the client runs are bounded by their bytes; searches by `max_tool_calls`, which admission names where the client does not."""
    facts.tool_count += len(listed)
    facts.has_tools = facts.has_tools or bool(listed)
    for index, tool in enumerate(listed):
        kind = kind_of(tool.type)
        where = f"{param}[{index}]"
        if tool.environment is not NOTHING:
            _check_environment(body, tool, where)
        if kind in _SEARCH_TYPES:
            _searches(head, facts)
        elif kind == _NAMESPACE and tool.tools is not NOTHING:
            grouped = items_of(tool.tools, f"{where}.tools")
            facts.tool_count += len(grouped)
            for place, one in enumerate(grouped):
                if kind_of(one.type) not in _TOOL_TYPES:
                    _refuse_tool(one, f"{where}.tools[{place}]")
                if one.environment is not NOTHING:
                    _check_environment(body, one, f"{where}.tools[{place}]")
        elif kind not in _TOOL_TYPES:
            _refuse_tool(tool, where)


def _check_environment(body: bytes, tool: Any, param: str) -> None:
    """A shell in a container of the provider's has a fee of its own, and each command that it ran has the context read again."""
    refuse_doubles(body, param.partition("[")[0])
    environment = raw_value(tool.environment)
    kind = object_of(environment).get("type")
    if environment is not None and kind != "local":
        not_bounded(f"{param}.environment", f"a shell in an environment of type {str(kind)[:80]!r}")


def _check_shell_output(output: Raw, facts: Facts, param: str) -> None:
    """What a shell printed stands in chunks without a type, and is text."""
    for place, chunk in enumerate(parts_of(output, param)):
        if chunk.type is not NOTHING or chunk.is_suspect():
            bound_part(chunk, _PARTS, facts, f"{param}[{place}]")


def _refuse_stored_prompt() -> NoReturn:
    """It holds more than a context that the window bounds: tools with fees of their own, and settings that nobody here sees."""
    refuse(
        "call_not_bounded",
        "A stored prompt ('prompt') may switch on tools that cost, which cannot be seen before the call is sent, so this gateway "
        "refuses it. Send what it says in 'instructions' and 'input', and its tools in 'tools'.",
        "prompt",
    )


def _refuse_compaction(entries: list[Any]) -> None:
    """The provider reads the context once more, for a summary that no cap bounds, whenever it has grown over a threshold."""
    for index, entry in enumerate(entries):
        not_bounded(f"context_management[{index}]", f"managing the context by {str(raw_value(entry.type))[:80]!r}")


def _refuse_tool(tool: Item, param: str) -> None:
    if tool.type is NOTHING:
        wrong_type(f"{param}.type", "a string", None)
    if kind_of(tool.type) in _PREVIEW_TYPES:
        refuse(
            "call_not_bounded",
            f"{param}: a search by {str(raw_value(tool.type))!r} costs more than one by 'web_search' at some models, so this gateway "
            "refuses it. Ask for the type 'web_search', which finds the same.",
            f"{param}.type",
        )
    not_bounded(f"{param}.type", f"a tool of type {str(raw_value(tool.type))[:80]!r}")


def _searches(head: dict[str, Any], facts: Facts) -> None:
    most = head.get("max_tool_calls")
    if most is not None:
        most = whole_number(most, "max_tool_calls", 1, SERVER_TOOL_USES_MAX)
    else:
        choice = head.get("tool_choice")
        if isinstance(choice, (Item, PartsItem)) and kind_of(choice.type) in _SEARCH_TYPES | _PREVIEW_TYPES:
            not_bounded("tool_choice", "searching the web in any case without 'max_tool_calls'")
        facts.search_is_open = True
        most = SEARCHES_DEFAULT
    facts.server_tool_uses_max = facts.web_search_max = most


def _without_searches(body: bytes) -> dict[str, bytes]:
    """The fields that name a search tool without it; every other tool and item as it came."""
    where = spans(body)
    values: dict[str, bytes] = {}
    if "tools" in where:
        start, end = where["tools"]
        kept = [raw for raw in decode_raws(body[start:end]) if not _is_search(json.loads(bytes(raw)))]
        values["tools"] = b"[" + b",".join(map(bytes, kept)) + b"]"
    start, end = where.get("input", (0, 0))
    if body[start : start + 1] == b"[":
        values["input"] = b"[" + b",".join(map(_item_without_searches, decode_raws(body[start:end]))) + b"]"
    return values


def _item_without_searches(raw: Raw) -> bytes:
    data = bytes(raw)
    if b'"tools"' not in data:
        return data
    item = json.loads(data)
    listed = item.get("tools")
    kept = [tool for tool in listed if not _is_search(tool)] if isinstance(listed, list) else listed
    return data if kept == listed else json.dumps({**item, "tools": kept}).encode()


def _is_search(tool: Any) -> bool:
    return isinstance(tool, dict) and f'"{tool.get("type")}"'.encode("utf-8", "replace") in _SEARCH_TYPES
