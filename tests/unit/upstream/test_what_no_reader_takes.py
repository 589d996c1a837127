"""What a stranger may write into a request never raises: it is read, or refused in words, before anything is held or changed.

Numbers of thousands of digits and deep nesting are valid JSON that many readers cannot take, at every place of a request.
"""

import contextlib
import json
from typing import Any

import msgspec
import pytest

from tokenroll.gateway.answers import DIALECTS
from tokenroll.upstream.dialect import RequestRefused

ENDLESS = "9" * 5_000
DEEP = "[" * 985 + "]" * 985
PLACEHOLDER = "PUT IT HERE"
TEXT = {"type": "text", "text": "hi"}
REQUESTS: dict[str, dict[str, Any]] = {
    "chat completions": {
        "model": "toy", "stream": True, "stream_options": {"include_usage": False, "x": 1}, "max_tokens": 5, "n": 1, "user": "ada",
        "metadata": {"project": "atlas"}, "service_tier": "default", "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "messages": [{"role": "user", "content": [TEXT]}, {"role": "user", "content": "hi"}],
    },
    "messages": {
        "model": "toy", "max_tokens": 5, "stream": True, "system": [TEXT], "thinking": {"type": "enabled", "budget_tokens": 1024},
        "metadata": {"user_id": "ada"}, "tool_choice": {"type": "auto"}, "context_management": {"edits": []},
        "tools": [{"name": "f", "input_schema": {}}, {"type": "web_search_20250305", "name": "web_search"}],
        "messages": [{"role": "user", "content": [TEXT, {"type": "tool_result", "tool_use_id": "1", "content": [TEXT]}]}],
    },
    "responses": {
        "model": "toy", "max_output_tokens": 5, "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "tools": [{"type": "web_search"}, {"type": "function", "name": "f", "parameters": {}}], "metadata": {"project": "atlas"},
        "stream": True, "stream_options": {}, "service_tier": "default", "tool_choice": {"type": "web_search"},
    },
    "completions": {"model": "toy", "prompt": ["hi"], "max_tokens": 5, "n": 1, "stream": True, "stream_options": {}},
    "embeddings": {"model": "toy", "input": ["hi"], "dimensions": 3, "user": "ada"},
    "moderations": {"model": "toy", "input": [{"type": "text", "text": "hi"}]},
    "rerank": {"model": "toy", "query": "hi", "documents": [{"text": "hi"}], "top_n": 1},
    "image generations": {"model": "toy", "prompt": "hi", "n": 1, "size": "1024x1024"},
    "speech": {"model": "toy", "input": "hi", "voice": "alloy", "speed": 1},
    "message_batches": {"requests": [{"custom_id": "a", "params": {"model": "toy", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}}]},
}  # fmt: skip


def places(value, path=()):
    """Every value in a request, by its path."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def with_put(value, path, more):
    """The same request with something else, or one field more, at that place."""
    if not path:
        return {**value, "x_more": PLACEHOLDER} if more and isinstance(value, dict) else PLACEHOLDER
    key, *rest = path
    changed = value.copy()
    changed[key] = with_put(value[key], tuple(rest), more)
    return changed


ODDITIES = {"endless": ENDLESS, "below": "-" + ENDLESS, "huge": "1e999999", "deep": DEEP}


@pytest.mark.parametrize("what", ODDITIES.values(), ids=ODDITIES)
@pytest.mark.parametrize("name", REQUESTS)
def test_every_place_of_a_request_is_read_or_refused(name, what):
    dialect = next(one for one in DIALECTS if one.name == name)
    refused = 0
    for path in places(REQUESTS[name]):
        for more in (False, True):
            if not (path or more):
                continue
            text = json.dumps(with_put(REQUESTS[name], path, more)).replace(f'"{PLACEHOLDER}"', what)
            refused += is_refused(dialect, text.encode())
    assert refused > 1  # where the model's name stands it always is


@pytest.mark.parametrize("name", [name for name in REQUESTS if not name.startswith(("message", "speech"))])
def test_a_user_may_be_an_agents_several_ids_and_no_longer(name):
    dialect = next(one for one in DIALECTS if one.name == name)
    asked = {**REQUESTS[name], "tools": [], "tool_choice": "auto", "user": "u" * 1_024}
    assert dialect.facts(json.dumps(asked).encode()).user == "u" * 1_024
    assert is_refused(dialect, json.dumps({**asked, "user": "u" * 1_025}).encode())


def is_refused(dialect, body):
    try:
        facts = dialect.facts(body)
    except RequestRefused as error:
        return error.status == 400
    # what cannot be changed raises one of these, which the gateway tells in words before it sends (gateway/writing.py)
    with contextlib.suppress(ValueError, RecursionError, msgspec.MsgspecError):
        dialect.rewrite(
            body, facts, model="other", output_cap_tokens=3, inject_usage=True, service_tier="standard", searches=0
        )
    return False


@pytest.mark.parametrize("end", [b",]", b"", b', "x": \xff}'])
def test_a_body_that_is_wrong_twice_is_refused_as_no_json(end):
    """Content that is a number is refused where it stands; what follows it is no JSON at all."""
    dialect = next(one for one in DIALECTS if one.name == "chat completions")
    with pytest.raises(RequestRefused) as refused:
        dialect.facts(b'{"model": "toy", "messages": [{"role": "user", "content": 5}]' + end)
    assert refused.value.code == "invalid_json"
