"""The parts of a prompt in the order in which a provider's cache knows them, and what tells it where to keep them.

Nothing is decoded but the shapes around the parts, and nothing is written anew: a mark is bytes put between the client's own. The order
is the provider's (tools, system, messages), whatever the order of the fields.
"""

import json
import re
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Raw

from tokenroll.model.limits import LEADING_BYTES_MAX
from tokenroll.upstream.heads import elements, spans
from tokenroll.upstream.shapes import NOTHING, decode_mark_part, decode_messages, decode_raws

_MARK_NAME: Final = b'"cache_control"'
_MARK: Final = b',"cache_control":{"type":"ephemeral"}'
_TEXT_OPENS: Final = b'[{"type":"text","text":'
_TEXT_CLOSES: Final = _MARK + b"}]"
_MARKABLE: Final = frozenset(
    {b'"text"', b'"image"', b'"document"', b'"tool_use"', b'"tool_result"', b'"search_result"'}
)
"""Types of parts that may carry a mark; one that holds thoughts may not."""
_SETTINGS: Final = ("tool_choice", "thinking")
"""Fields that are no part of the prompt, and whose change makes the provider forget what it kept of the messages."""
_LEADING_ROLES: Final = frozenset({"system", "developer"})
_LEADING_OPENS: Final = re.compile(r'\{\s*"role"\s*:\s*"(?:system|developer)"')
"""How one of them begins where its end is out of sight; one that says its role last is taken for another."""
_HEADING: Final = ("tools", "functions", "instructions")
_CONVERSATIONS: Final = ("messages", "input")
_VALUE_OF: Final = {
    name: re.compile(rb'"%b"[ \t\n\r]*:[ \t\n\r]*' % name.encode()) for name in (*_HEADING, *_CONVERSATIONS)
}
_BETWEEN: Final = frozenset(" \t\n\r,")
_CLOSES: Final = {"{": "}", "[": "]", '"': '"'}
_scan: Final = json.JSONDecoder().raw_decode


class PromptPart(NamedTuple):
    """One part of a prompt: a tool, a block of the system's text, or a block of a message."""

    field: str
    """`tools`, `system` or `messages`."""
    message: int
    """Which of the messages it is of; 0 elsewhere."""
    place: int
    """Which of the list's it is; -1: it is a text that stands alone."""
    opens: bytes
    """What must be the same besides its own bytes: the role, where it begins a message, and the settings, where messages begin."""
    raw: Raw
    role: bytes
    """Of its message, in quotes as it is written."""


Prompt: TypeAlias = list[PromptPart]


def is_marked(body: bytes) -> bool:
    """Whether the client has marked anything itself, or may have: then its prompt is its own business."""
    return body.find(_MARK_NAME) >= 0


def messages_prompt(body: bytes) -> Prompt:
    """The prompt of a request for a message, which its dialect has accepted."""
    where = spans(body)
    view = memoryview(body)
    parts: Prompt = []
    for field in ("tools", "system"):
        if field in where:
            start, end = where[field]
            parts += _listed(field, 0, b"", b"", view[start:end])
    opens = b"".join(body[where[name][0] : where[name][1]] + b"\n" for name in _SETTINGS if name in where)
    start, end = where["messages"]
    for number, message in enumerate(decode_messages(view[start:end])):
        role = bytes(message.role)
        parts += _listed("messages", number, opens + role, role, memoryview(message.content))
        opens = b""
    return parts


def _listed(field: str, message: int, opens: bytes, role: bytes, value: memoryview) -> Prompt:
    """The parts of a list, or the one that a text is; of anything else there are none."""
    first = bytes(value[:1])
    if first == b'"':
        return [PromptPart(field, message, -1, opens, Raw(bytes(value)), role)]
    if first != b"[":
        return []
    parts = []
    for place, raw in enumerate(decode_raws(value)):
        parts.append(PromptPart(field, message, place, opens, raw, role))
        opens = b""
    return parts


def may_be_marked(part: PromptPart) -> bool:
    """Whether a mark may stand at the end of this part."""
    if part.place < 0:
        return bytes(part.raw) != b'""'
    try:
        one = decode_mark_part(part.raw)
    except msgspec.MsgspecError:
        return False
    if one.cache_control is not NOTHING:
        return False
    if part.field == "tools":
        return one.name is not NOTHING and one.defer_loading is NOTHING
    return bytes(one.type) in _MARKABLE and bytes(one.text) != b'""'


def marked(body: bytes, parts: Sequence[PromptPart]) -> bytes:
    """The body with a mark at the end of each of these parts. All of its own bytes are there, in their order."""
    where = spans(body)
    insertions: list[tuple[int, bytes]] = []
    for part in parts:
        start, end = _span_of(body, where[part.field], part)
        if part.place < 0:
            insertions += [(start, _TEXT_OPENS), (end, _TEXT_CLOSES)]
        else:
            insertions.append((end - 1, _MARK))
    insertions.sort()
    view = memoryview(body)
    pieces: list[bytes | memoryview] = []
    done = 0
    for at, what in insertions:
        pieces += (view[done:at], what)
        done = at
    pieces.append(view[done:])
    return b"".join(pieces)


def _span_of(body: bytes, field: tuple[int, int], part: PromptPart) -> tuple[int, int]:
    """Where a part begins and ends in the body, whose `field` holds it."""
    start, end = field
    if part.field == "messages":
        message_start, message_end = elements(body, start, end)[part.message]
        start, end = spans(body[message_start:message_end])["content"]
        start, end = message_start + start, message_start + end
    return (start, end) if part.place < 0 else elements(body, start, end)[part.place]


def leading_parts(body: bytes, fields: Collection[str]) -> list[bytes]:
    """What requests of one kind have in common at OpenAI's endpoints: tools and instructions; where there are none, the first message.

    `body` is a chat completion's or a response's, which its dialect has accepted with these fields. No more than LEADING_BYTES_MAX is
    read of each, wherever it stands: what is equal so far is worth one cache, and a long prompt costs no more than a short one.
    """
    found = [part for name in _HEADING for part in _leading(body, name, fields)]
    for name in _CONVERSATIONS:
        window = _window(body, name, fields)
        if window[:1] == "[":
            found += _opening_messages(window, has_heading=bool(found))
        elif window and not found:
            found.append(_first_value(window))
    return found


def _window(body: bytes, name: str, fields: Collection[str]) -> str:
    """The beginning of a field's value, a character a byte; "" where there is none, or its name is written with escapes.

    A field of that name further down may be taken for it: then a key is for something else that such requests have in common.
    """
    match = _VALUE_OF[name].search(body) if name in fields else None
    return "" if match is None else body[match.end() : match.end() + LEADING_BYTES_MAX].decode("latin-1")


def _first_value(window: str) -> bytes:
    """The value that it begins with, or as much of it as there is."""
    return window[: _end_of(window, 0)[1]].encode("latin-1")


def _end_of(window: str, at: int) -> tuple[Any, int]:
    """The value that begins there, None where it is not whole, and where it ends."""
    closes = _CLOSES.get(window[at : at + 1])
    if closes and window.find(closes, at + 1) < 0:  # a long text mostly: seen at a glance, not by an exception
        return None, len(window)
    try:
        return _scan(window, at)
    except (ValueError, RecursionError):
        return None, len(window)


def _leading(body: bytes, name: str, fields: Collection[str]) -> list[bytes]:
    window = _window(body, name, fields)
    return [_first_value(window)] if window else []


def _opening_messages(window: str, *, has_heading: bool) -> list[bytes]:
    """The messages of the developer and of the system that a list begins with; where there is nothing else, its first one."""
    found: list[bytes] = []
    at = _after_blanks(window, 1)
    while at < len(window) and window[at] != "]":
        message, end = _end_of(window, at)
        if message is None:  # longer than is read
            leads = _LEADING_OPENS.match(window, at) is not None
        else:
            leads = isinstance(message, dict) and message.get("role") in _LEADING_ROLES
        if not leads and (found or has_heading):
            break
        found.append(window[at:end].encode("latin-1"))
        if not leads:
            break
        at = _after_blanks(window, end)
    return found


def _after_blanks(window: str, at: int) -> int:
    """Where the next element begins."""
    while window[at : at + 1] in _BETWEEN:
        at += 1
    return at
