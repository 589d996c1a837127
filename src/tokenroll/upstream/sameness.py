"""What two requests that are the same have in common: whether one answer can serve both, and what an agent did before it asked.

Read only for keys whose plan wants thrift (docs/thrift.md). Nothing here is kept: a turn is told as a digest that lives as long as
the comparison.
"""

import json
import re
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any, Final

import msgspec

from tokenroll.upstream.dialect import Dialect, RequestRefused
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.heads import object_fields
from tokenroll.upstream.shapes import NOTHING, decode_raws

_DIGEST_BYTES: Final = 16
_SERVED_TWICE: Final = frozenset({"chat completions", "messages", "responses", "completions", "embeddings"})
"""Endpoints at which nothing else than the answer comes of a call."""
_ZERO: Final = re.compile(rb"-?0(?:\.0+)?(?:[eE][+-]?[0-9]+)?")


def is_deterministic(dialect: Dialect, body: bytes, facts: Facts) -> bool:
    """Whether the same request asks for the same answer, and one answer is as good as two.

    It says temperature 0 itself, or there is nothing to sample. It asks for one choice, for nothing that is done or stored at the
    provider, and so for nothing that happens once per request: what its client does with the tools that it names is the client's own.
    """
    if (
        dialect.name not in _SERVED_TWICE
        or facts.choice_count != 1
        or facts.in_background
        or facts.reads_stored
        or facts.server_tool_uses_max
        or facts.search_is_open
        or (facts.has_output and "temperature" not in facts.fields)
    ):
        return False
    given = _fields(body)
    stores = bytes(given.get("store", NOTHING))
    if stores == b"true" or (dialect.stores_answers and stores != b"false"):
        return False
    return not facts.has_output or _ZERO.fullmatch(bytes(given.get("temperature", NOTHING))) is not None


def last_turns(dialect: Dialect, body: bytes) -> Iterator[bytes]:
    """What its agent did last, the newest first: each turn is the tools that one answer called with what came of them, as a digest.

    A turn is told by names, arguments and results, whatever ids they go under and whatever else the answer said. A text of the user's,
    and an answer that called nothing, end them: somebody has steered. What the provider has stored of a conversation is not seen.
    """
    if dialect.name not in _READERS:
        return
    field, reader = _READERS[dialect.name]
    listed = _fields(body).get(field, NOTHING)
    if bytes(memoryview(listed)[:1]) != b"[":
        return
    try:
        yield from reader(_backwards(decode_raws(listed)))
    except (msgspec.MsgspecError, RecursionError):  # too large a number, or nested too deeply, for a conversation
        return


def _fields(body: bytes) -> dict[str, msgspec.Raw]:
    """The undecoded fields of a request that was read before; none of one so deep that it was readable only from a flatter stack."""
    try:
        return object_fields(body)
    except RequestRefused:
        return {}


def _backwards(raws: list[msgspec.Raw]) -> Iterator[dict[str, Any]]:
    """The objects of a list, the last one first, read one by one: of a long conversation only its end is."""
    for raw in reversed(raws):
        one = msgspec.json.decode(raw)
        if not isinstance(one, dict):
            return
        yield one


def _turn(calls: list[tuple[Any, Any, Any]], results: dict[Any, Any], said: list[Any]) -> bytes:
    """The digest of `(id, name, arguments)` of each call, of their results, and of what else the results' message said."""
    told = [[name, arguments, results.get(call)] for call, name, arguments in calls]
    text = json.dumps([told, said], sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()


def _arguments(text: Any) -> Any:
    """Arguments that come as a text of JSON, whatever its blanks."""
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return text


def _chat_turns(messages: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    results: dict[Any, Any] = {}
    for message in messages:
        role = message.get("role")
        if role == "tool":
            results[_id(message.get("tool_call_id"))] = message.get("content")
            continue
        calls = message.get("tool_calls")
        if role != "assistant" or not results or not isinstance(calls, list):
            return
        asked = []
        for call in calls:
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict):
                return
            asked.append((_id(call.get("id")), function.get("name"), _arguments(function.get("arguments"))))
        yield _turn(asked, results, [])
        results = {}


def _message_turns(messages: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    results: dict[Any, Any] = {}
    said: list[Any] = []
    for message in messages:
        blocks = message.get("content")
        if not isinstance(blocks, list) or not all(isinstance(one, dict) for one in blocks):
            return
        if message.get("role") == "user":
            if results:
                return
            for block in blocks:
                if block.get("type") == "tool_result":
                    outcome = [_unmarked(block.get("content")), block.get("is_error")]
                    results[_id(block.get("tool_use_id"))] = outcome
                else:
                    said.append(_unmarked(block))
            continue
        asked = [
            (_id(one.get("id")), one.get("name"), one.get("input")) for one in blocks if one.get("type") == "tool_use"
        ]
        if not asked or not results:
            return
        yield _turn(asked, results, said)
        results, said = {}, []


def _response_turns(entries: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    results: dict[Any, Any] = {}
    asked: list[tuple[Any, Any, Any]] = []
    for entry in entries:
        kind = entry.get("type")
        if kind in {"function_call_output", "custom_tool_call_output"}:
            if asked:
                yield _turn(asked[::-1], results, [])
                results, asked = {}, []
            results[_id(entry.get("call_id"))] = entry.get("output")
        elif kind in {"function_call", "custom_tool_call"} and results:
            given = entry.get("input") if kind == "custom_tool_call" else _arguments(entry.get("arguments"))
            asked.append((_id(entry.get("call_id")), entry.get("name"), given))
        elif kind != "reasoning" and entry.get("role") != "assistant":
            break
    if asked:
        yield _turn(asked[::-1], results, [])


def _id(value: Any) -> Any:
    """The id that a call and its result share; what is no id is nobody's."""
    return value if isinstance(value, str) else None


def _unmarked(content: Any) -> Any:
    """Content without cache marks, which wander through a conversation and change nothing of it."""
    if isinstance(content, list):
        return [_unmarked(one) for one in content]
    if isinstance(content, dict):
        return {name: value for name, value in content.items() if name != "cache_control"}
    return content


_READERS: Final[dict[str, tuple[str, Callable[[Iterator[dict[str, Any]]], Iterator[bytes]]]]] = {
    "chat completions": ("messages", _chat_turns),
    "messages": ("messages", _message_turns),
    "responses": ("input", _response_turns),
}
"""By dialect: the field of its conversation, and who reads that."""
