"""Reading the head of a JSON request in one scan, and changing single fields of it without touching any other byte.

The scan keeps duplicate keys apart, because two readers of `{"max_tokens":1,"max_tokens":9}` may read two different caps, and a
bound must hold for both. Prompts are skipped, not decoded, wherever the shape allows.

Below the top level a field given twice is refused where a bound or a policy reads it and reading it again is cheap: tools of
messages that name their type or their uses always; `include_usage`, `budget_tokens` and `edits` when the name stands twice near an
end of the body, where options stand. A part that carries an image, audio, a file or a source is none of text, whatever it calls itself.

Not looked for, because each look would cost what the whole scan costs: a message's or a tool result's `content` twice, an option that
is padded apart or written with escapes, a function's type. There the last one counts, as nearly every reader has it, and for one that
takes the first this holds: both are bytes of a body that is bounded whole; a usage that does not come is estimated, never free; a
budget is below a cap that is at the top; and an image hidden behind a text costs what the provider's bill trues up (law 5).

A part that is none of text is bounded by the model's context window, which no input exceeds: how many model tokens an image has is
decided by its pixels, and a link has nearly no bytes at all. Images are counted, for rate cards that say what one costs at most.
"""

import json
import math
import re
import sys
from collections.abc import Callable, Collection
from json.decoder import scanstring  # type: ignore[attr-defined]  # public in name, missing in the stubs
from typing import Any, Final, NamedTuple, NoReturn

import msgspec
from msgspec import Raw

from tokenroll.model.limits import (
    MEDIA_TOKENS_ESTIMATE,
    NAME_CHARACTERS_MAX,
    OUTPUT_CAP_TOKENS_MAX,
    USER_CHARACTERS_MAX,
)
from tokenroll.model.tag import SESSION, TagError, known_name, named_tag, tags_from_text
from tokenroll.upstream.dialect import BYTES_PER_TOKEN_ESTIMATE, Buffers, RequestRefused
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.shapes import (
    NOTHING,
    Item,
    Part,
    PartsItem,
    decode_items,
    decode_parts,
    decode_parts_list,
    decode_raw_pairs,
    decode_raws,
    decode_texts,
)

_SPACE = re.compile(rb"[ \t\n\r]*")
_SNIFFED_BYTES: Final = 2048
_HALF_PAIR: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_TO_HALF_PAIR: Final = re.compile(
    rb"(?:[^\\]++|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\(?!u[dD][89a-fA-F][0-9a-fA-F]{2}).)*+",
    re.DOTALL,
)
_SESSION_OF_USER: Final = re.compile(r"_session_([0-9A-Za-z-]{8,64})$")
"""How Claude Code ended a user's id before 2.1.78; since then the id is an object, as a text."""
_USER_OBJECT: Final = re.compile(r'\{.*"session_id" ?: ?"([0-9A-Za-z-]{8,64})"')
_DIGITS_MAX: Final = sys.int_info.default_max_str_digits
_DIGITS_SHOWN: Final = 20
_EXPLAINED_BYTES_MAX: Final = 4 * 1024 * 1024
"""A larger body that cannot be read is refused in the JSON library's words: to say more would take too long for a stranger."""


def refuse(code: str, message: str, param: str | None = None) -> NoReturn:
    """Raises RequestRefused with status 400."""
    raise RequestRefused(400, code, message, param)


def read_head(body: bytes, facts: Facts, default_model: str = "") -> dict[str, Any]:
    """The fields of a request's object by name, and the facts that every dialect has. Objects are Item or PartsItem.

    `default_model` is what the provider takes for a request that names none. Raises RequestRefused for what is not one UTF-8 JSON
    object without duplicate keys.
    """
    try:
        at = body.find(b'"content":', 0, _SNIFFED_BYTES)
        first = body[at + 10 : at + 12] if at >= 0 else b""
        has_parts = first[:1] == b"[" or first == b" ["
        pairs = decode_parts(body) if has_parts else decode_texts(body)
        if not body.isascii():
            str(body, "utf-8")
    except msgspec.ValidationError as error:
        _refuse_shape(body, error)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        _refuse_half_pair(body)
        reason = "it nests too deeply" if isinstance(error, RecursionError) else str(error)
        refuse("invalid_json", f"The request body is not valid JSON: {reason}.")
    head = {str(key): value for key, value in pairs.items()}
    if len(head) != len(pairs):
        _refuse_twice([str(key) for key in pairs])
    facts.fields = tuple(head)
    facts.input_bytes = len(body)
    model = head.get("model")
    if model is None and default_model:
        model = default_model
    if type(model) is not str or not 0 < len(model) <= NAME_CHARACTERS_MAX or not model.isprintable():
        refuse_model(model)
    facts.model = model
    stream = head.get("stream")
    if stream is not None:
        facts.stream = boolean(stream, "stream")
    return head


def object_fields(body: bytes) -> dict[str, Raw]:
    """The undecoded fields of an object by name. Raises RequestRefused for what is not one JSON object without duplicate keys."""
    try:
        pairs = decode_raw_pairs(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        refuse("invalid_json", f"The request body is not a JSON object: {error}.")
    fields = {str(key): raw for key, raw in pairs.items()}
    if len(fields) != len(pairs):
        _refuse_twice([str(key) for key in pairs])
    return fields


def named_model(body: bytes) -> tuple[str, tuple[str, ...]]:
    """The model that a free request names ("": none), and the names of its fields. Whatever else it holds costs nothing and is not read.

    Raises RequestRefused for what is not one JSON object without duplicate keys.
    """
    fields = object_fields(body)
    model = raw_value(fields["model"]) if "model" in fields else None
    return text(model, "model"), tuple(fields)


def _refuse_twice(names: list[str]) -> NoReturn:
    twice = next(name for name in names if names.count(name) > 1)
    refuse("duplicate_key", f"The field {twice!r} is given more than once; which one counts would be a guess.", twice)


def _refuse_shape(body: bytes, error: msgspec.ValidationError) -> NoReturn:
    """Valid JSON of a shape that no request has: not an object, or content that is neither text nor a list of parts."""
    if not body.lstrip(b" \t\n\r").startswith(b"{"):
        refuse("invalid_type", "The request body must be a JSON object.")
    try:
        _refuse_endless_number(body)
    except RecursionError:
        refuse("invalid_json", "The request body is not valid JSON: it nests too deeply.")
    except (msgspec.MsgspecError, UnicodeDecodeError) as worse:
        refuse("invalid_json", f"The request body is not valid JSON: {worse}.")
    refuse("invalid_type", f"The request body has a value of the wrong type: {error}.", "messages")


def _refuse_half_pair(body: bytes) -> None:
    """Raises RequestRefused when half of a surrogate pair is why the body cannot be read. Providers refuse it too: it is no character."""
    match = _TO_HALF_PAIR.match(body) if len(body) <= _EXPLAINED_BYTES_MAX else None
    at = len(body) if match is None else match.end()
    if not _HALF_PAIR.match(body, at):
        return
    try:
        fields = spans(_HALF_PAIR.sub(rb"\\ufffd", body))  # as long, and readable
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        fields = {}
    field = next((name for name, (start, end) in fields.items() if start <= at < end), None)
    refuse(
        "invalid_json",
        f"The {body[at : at + 6].decode()} at byte {at} of the request body{f' (in {field!r})' if field else ''} is half of a surrogate pair, "
        "which is no character, so the body cannot be read as text. "
        "A text that was cut in the middle of an emoji looks so: cut it between characters, or leave the half out.",
        field,
    )


def _refuse_endless_number(body: bytes) -> None:
    """Raises RequestRefused when a number is why the body cannot be read: beyond every float, or of thousands of digits."""
    for name, raw in decode_raw_pairs(body).items():
        if _is_endless(raw):
            _refuse_number(raw, str(name))
        if memoryview(raw)[0] == 0x5B:
            for index, one in enumerate(decode_raws(raw)):
                if _is_endless(one):
                    _refuse_number(one, f"{name}[{index}]")


def _is_endless(raw: Raw) -> bool:
    data = bytes(raw)
    if data[0] not in b"-0123456789":
        return False
    if data.lstrip(b"-").isdigit():
        return len(data) > _DIGITS_MAX
    return math.isinf(float(data))


def _refuse_number(raw: Raw, param: str) -> NoReturn:
    digits = bytes(raw).decode()
    shown = digits if len(digits) <= _DIGITS_SHOWN else f"{digits[:_DIGITS_SHOWN]}…"
    refuse("invalid_value", f"The number at '{param}' is too large for any field: {shown}. Send a smaller one.", param)


def is_given(raw: Raw) -> bool:
    """Whether a field was there and not null."""
    data = bytes(raw)
    return data not in {b"", b"null"}


def raw_value(raw: Raw) -> Any:
    """The value of a small undecoded field; None for null or absent. Duplicate keys inside an object raise RequestRefused."""
    data = bytes(raw)
    return read_json(data, object_pairs_hook=_pairs_once) if data else None


def read_json(data: bytes, *, object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """A part of a body as values. Raises RequestRefused for what no reader takes: nested too deeply, a number of thousands of digits."""
    try:
        return json.loads(data, object_pairs_hook=object_pairs_hook)
    except RecursionError:
        refuse("invalid_json", "The request body is not valid JSON: it nests too deeply.")
    except ValueError:
        refuse(
            "invalid_value",
            f"The request body holds a number of more than {_DIGITS_MAX} digits, which is too large for any field. Send a smaller one.",
        )


def kind_of(raw: Raw) -> bytes:
    """The type of an object as types are compared here, in quotes and without escapes, however it was written; b"" when absent."""
    data = bytes(raw)
    return f'"{raw_value(raw)}"'.encode("utf-8", "replace") if data.find(_ESCAPE) >= 0 else data


def refuse_doubles(body: bytes, field: str) -> None:
    """Raises RequestRefused when any object in a field of the head has a key twice. Reads the body once more: for what is rare."""
    start, end = spans(body)[field]
    read_json(body[start:end], object_pairs_hook=_pairs_once)


def raw_fields(body: bytes, field: str) -> list[frozenset[str]]:
    """The names of the fields of each object in a list of the head; of what is no object there are none."""
    start, end = spans(body)[field]
    return [frozenset(one) if isinstance(one, dict) else frozenset() for one in read_json(body[start:end])]


def refuse_doubled(body: bytes, field: str, name: bytes) -> None:
    """The same for an option that many requests have: only when its `name` stands twice near the body's ends. Texts stay unread."""
    if body.count(name, 0, _SNIFFED_BYTES) + body.count(name, max(_SNIFFED_BYTES, len(body) - _SNIFFED_BYTES)) > 1:
        refuse_doubles(body, field)


def _pairs_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    once = dict(pairs)
    if len(once) != len(pairs):
        _refuse_twice([name for name, _ in pairs])
    return once


def refuse_model(model: Any) -> NoReturn:
    """Raises RequestRefused saying what a model's name must be."""
    if model is None:
        refuse("missing_required_parameter", "Missing required parameter: 'model'.", "model")
    if type(model) is not str:
        wrong_type("model", "a string", model)
    refuse("invalid_value", f"'model' must be 1 to {NAME_CHARACTERS_MAX} printable characters.", "model")


def boolean(value: Any, param: str) -> bool:
    """A boolean field; null and absent are False."""
    if value is None:
        return False
    if type(value) is not bool:
        wrong_type(param, "a boolean", value)
    return value


def whole_number(value: Any, param: str, low: int, high: int) -> int:
    """An integer field within its limits."""
    if type(value) is not int:
        wrong_type(param, "an integer", value)
    if not low <= value <= high:
        refuse("invalid_value", f"'{param}' must be between {low} and {high}, not {str(value)[:40]}.", param)
    return value


def cap_tokens(value: Any, param: str) -> int:
    """An output cap that is not null."""
    return whole_number(value, param, 1, OUTPUT_CAP_TOKENS_MAX)


def text(value: Any, param: str, characters_max: int = NAME_CHARACTERS_MAX) -> str:
    """A short text field such as a service tier; null and absent are empty."""
    if value is None:
        return ""
    if type(value) is not str:
        wrong_type(param, "a string", value)
    if len(value) > characters_max:
        refuse("invalid_value", f"'{param}' may have at most {characters_max} characters.", param)
    return value


def user_text(value: Any, param: str) -> str:
    """Whose request it is, as its client says it: agents write several ids into it."""
    return text(value, param, USER_CHARACTERS_MAX)


def metadata_tags(body: bytes, head: dict[str, Any]) -> str:
    """What a request's metadata says by names that tags know; all other names are the client's own. Raises RequestRefused.

    Reads the body once more, so it is for requests that have metadata.
    """
    if head["metadata"].__class__ is not Item and head["metadata"].__class__ is not PartsItem:
        return ""
    start, end = spans(body)["metadata"]
    found = []
    param = "metadata"
    try:
        for name, raw in decode_raw_pairs(body[start:end]).items():
            known = known_name(str(name))
            if known:
                param = f"metadata.{name}"
                found.append(named_tag(known, text(raw_value(raw), param).strip()))
        return tags_from_text(",".join(found))
    except TagError as error:
        refuse("invalid_value", f"'{param}': {error}.", param)


def session_tag(user_id: str) -> str:
    """The session that Claude Code names behind a user's id; nothing of the user goes into it, and no other id says one."""
    match = _SESSION_OF_USER.search(user_id) or _USER_OBJECT.match(user_id)
    return "" if match is None else named_tag(SESSION, match[1])


def items(value: Any, param: str) -> list[Any]:
    """A list of objects."""
    if type(value) is not list:
        wrong_type(param, "an array", value)
    for index, one in enumerate(value):
        if one.__class__ is not Item and one.__class__ is not PartsItem:
            wrong_type(f"{param}[{index}]", "an object", one)
    return value


def option(value: Any, param: str) -> Any:
    """An option object that is not null."""
    if value.__class__ is not Item and value.__class__ is not PartsItem:
        wrong_type(param, "an object", value)
    return value


class PartKinds(NamedTuple):
    """The types of content parts that an endpoint knows, in quotes as they are written."""

    text: frozenset[bytes]
    """Their bytes bound their tokens."""
    media: frozenset[bytes]
    """Images, files and sound: the context window bounds them."""
    images: frozenset[bytes] = frozenset()
    """Those that are one image and nothing else."""


_AUDIO: Final = b'"input_audio"'
_ESCAPE: Final = b"\\"
_KINDS: Final = {
    str: "a string", int: "an integer", float: "a number", bool: "a boolean", list: "an array", type(None): "null",
}  # fmt: skip


def wrong_type(param: str, expected: str, value: Any) -> NoReturn:
    """Raises RequestRefused in the words that providers use."""
    got = _KINDS.get(type(value), "an object")
    refuse("invalid_type", f"Invalid type for '{param}': expected {expected}, but got {got} instead.", param)


def not_bounded(param: str, what: str) -> NoReturn:
    """Raises RequestRefused for what nobody can bound before it is sent (DESIGN §4 law 3)."""
    refuse(
        "call_not_bounded",
        f"The cost of {what} ('{param}') cannot be bounded before the call is sent, so this gateway refuses it. Leave it out.",
        param,
    )


def count_texts(value: Any, param: str) -> int:
    """How many texts a field holds: one text or list of token ids, or a list of either. Raises RequestRefused for anything else."""
    if value is None:
        refuse("missing_required_parameter", f"Missing required parameter: '{param}'.", param)
    if type(value) is str:
        return 1
    if type(value) is not list:
        wrong_type(param, "a string or an array", value)
    if not value:
        refuse("invalid_value", f"'{param}' must hold at least one text.", param)
    if type(value[0]) is int:
        return 1
    for index, one in enumerate(value):
        if type(one) is not str and type(one) is not list:
            not_bounded(f"{param}[{index}]", "an input that is no text")
    return len(value)


def check_messages(
    value: Any,
    kinds: PartKinds,
    facts: Facts,
    nested: Callable[[Part, Facts, str], None] | None = None,
    *,
    field: str = "messages",
) -> int:
    """How many messages there are; the facts hear of parts that are more than text. Raises RequestRefused naming the first unknown part."""
    if value is None:
        refuse("missing_required_parameter", f"Missing required parameter: '{field}'.", field)
    messages = items(value, field)
    if not messages:
        refuse("invalid_value", f"'{field}' must hold at least one message.", field)
    for index, message in enumerate(messages):
        content = message.content
        if content.__class__ is Raw:
            if content is NOTHING:
                continue
            first = memoryview(content)[0]
            if first == 0x22:  # text, by far the most; it is not looked at
                continue
            if first != 0x5B:
                if first != 0x6E:
                    wrong_type(f"{field}[{index}].content", "a string or an array", raw_value(content))
                continue
            content = parts_of(content, f"{field}[{index}].content")
        elif content.__class__ is not list:
            continue
        for place, part in enumerate(content):
            if bytes(part.type) not in kinds.text or part.is_suspect():
                bound_part(part, kinds, facts, f"{field}[{index}].content[{place}]")
            if nested is not None and part.content is not NOTHING:
                nested(part, facts, f"{field}[{index}].content[{place}]")
    return len(messages)


def parts_of(content: Raw, param: str) -> list[Part]:
    """The parts of an undecoded list of them. Raises RequestRefused when one is not an object."""
    try:
        return decode_parts_list(content)
    except msgspec.ValidationError:
        refuse("invalid_type", f"Invalid type for '{param}': every part must be an object.", param)


def items_of(listed: Raw, param: str) -> list[Item]:
    """The objects of an undecoded list. Raises RequestRefused when it is none, or one is no object."""
    try:
        return decode_items(listed)
    except msgspec.ValidationError:
        refuse("invalid_type", f"Invalid type for '{param}': it must be an array of objects.", param)


def bound_part(part: Part, kinds: PartKinds, facts: Facts, param: str) -> None:
    """Tells the facts of an image, a file or a sound: its own bytes say nothing.

    Images are counted; what else there is, or hides beside an image, has its call bounded by the context window. Nothing is told when
    the type was only written with escapes. Raises RequestRefused for a type that nobody knows.
    """
    name = raw_value(part.type)
    kind = f'"{name}"'.encode("utf-8", "replace")
    if kind not in kinds.text and kind not in kinds.media:
        not_bounded(param, f"a content part of type {str(name)[:80]!r}")
    if kind in kinds.text and not part.is_suspect():
        return
    facts.reads_stored = facts.reads_stored or part.is_stored()
    facts.beyond_bytes = True
    if kind in kinds.images and part.is_one_image():
        facts.image_count += 1
    else:
        facts.fills_window = True
    facts.input_bytes += MEDIA_TOKENS_ESTIMATE * BYTES_PER_TOKEN_ESTIMATE - part.media_bytes
    if kind == _AUDIO or part.input_audio is not NOTHING:
        facts.has_audio = True


def bound_parts(content: Raw, kinds: PartKinds, facts: Facts, param: str, inner: PartKinds | None = None) -> None:
    """The same for every part of an undecoded list of them, such as a tool's result, and for what stands in their own content."""
    for place, part in enumerate(parts_of(content, param)):
        if bytes(part.type) not in kinds.text or part.is_suspect():
            bound_part(part, kinds, facts, f"{param}[{place}]")
        if inner is not None and part.content is not NOTHING and memoryview(part.content)[0] == 0x5B:
            bound_parts(part.content, inner, facts, f"{param}[{place}].content")


def spans(body: bytes) -> dict[str, tuple[int, int]]:
    """Where the value of each field of an object begins and ends in `body`, which `read_head` has accepted."""
    found: dict[str, tuple[int, int]] = {}
    at = _skip(body, 0) + 1
    for key, raw in decode_raw_pairs(body).items():
        at = _skip(body, at)
        quoted = b'"%s"' % key.encode()
        if body.startswith(quoted, at):
            at += len(quoted)
        else:  # the key is written with escapes
            _, characters = scanstring(body[at:].decode("utf-8"), 1, True)
            at += len(body[at:].decode("utf-8")[:characters].encode())
        at = _skip(body, _skip(body, at) + 1)
        end = at + len(memoryview(raw))
        found[str(key)] = (at, end)
        at = _skip(body, end) + 1
    return found


def elements(body: bytes, start: int, end: int) -> list[tuple[int, int]]:
    """Where the elements of the list that is `body[start:end]` begin and end."""
    found: list[tuple[int, int]] = []
    at = start + 1
    for raw in decode_raws(memoryview(body)[start:end]):
        at = _skip(body, at)
        found.append((at, at + len(memoryview(raw))))
        at = _skip(body, found[-1][1]) + 1
    return found


def _skip(body: bytes, at: int) -> int:
    match = _SPACE.match(body, at)
    return at if match is None else match.end()


def edited(body: bytes, values: dict[str, bytes], present: Collection[str]) -> Buffers:
    """`body` with the fields of `values` set: replaced in place where `present`, else put first. All other bytes are the same objects.

    Only pieces are made, no copy of a large body.
    """
    buffers: Buffers = []
    view = memoryview(body)
    at = 0
    added = b""
    replaced: list[str] = []
    for name, value in values.items():
        if name in present:
            replaced.append(name)
        else:
            added += b'"%b":%b,' % (name.encode(), value)
    if added:
        at = _skip(body, 0) + 1
        buffers.append(body[:at] + added)
    if replaced:
        where = spans(body)
        for name in sorted(replaced, key=lambda one: where[one]):
            start, end = where[name]
            buffers.extend((view[at:start], values[name]))
            at = end
    buffers.append(view[at:])
    return buffers
