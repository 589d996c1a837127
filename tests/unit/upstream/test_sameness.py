"""Whether one answer can serve two requests, and what an agent did before it asked, in each dialect."""

import json

import pytest

from tokenroll.gateway.answers import DIALECTS
from tokenroll.upstream.sameness import is_deterministic, last_turns

CHAT, MESSAGES, RESPONSES, COMPLETIONS, EMBEDDINGS = DIALECTS[:5]
HI = [{"role": "user", "content": "hi"}]


def same(dialect, **fields):
    body = json.dumps({"model": "toy", **fields}).encode()
    return is_deterministic(dialect, body, dialect.facts(body))


@pytest.mark.parametrize(
    ("dialect", "fields", "expected"),
    [
        (CHAT, {"messages": HI, "temperature": 0}, True),
        (CHAT, {"messages": HI, "temperature": 0.0, "stream": True}, True),
        (CHAT, {"messages": HI, "temperature": 0, "tools": [{"type": "function", "function": {"name": "ls"}}]}, True),
        (CHAT, {"messages": HI}, False),
        (CHAT, {"messages": HI, "temperature": 0.01}, False),
        (CHAT, {"messages": HI, "temperature": None}, False),
        (CHAT, {"messages": HI, "temperature": "0"}, False),
        (CHAT, {"messages": HI, "temperature": False}, False),
        (CHAT, {"messages": HI, "temperature": 0, "n": 2}, False),
        (CHAT, {"messages": HI, "temperature": 0, "store": True}, False),
        (CHAT, {"messages": HI, "temperature": 0, "store": False}, True),
        (MESSAGES, {"messages": HI, "max_tokens": 5, "temperature": 0}, True),
        (MESSAGES, {"messages": HI, "max_tokens": 5}, False),
        (
            MESSAGES,
            {"messages": HI, "max_tokens": 5, "temperature": 0, "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 1}]},
            False,
        ),
        (RESPONSES, {"input": "hi", "temperature": 0, "store": False}, True),
        (RESPONSES, {"input": "hi", "temperature": 0}, False),
        (RESPONSES, {"input": "hi", "temperature": 0, "store": None}, False),
        (RESPONSES, {"input": "hi", "temperature": 0, "store": False, "previous_response_id": "resp_1"}, False),
        (RESPONSES, {"input": "hi", "temperature": 0, "store": False, "tools": [{"type": "web_search"}]}, False),
        (COMPLETIONS, {"prompt": "hi", "temperature": 0}, True),
        (EMBEDDINGS, {"input": "hi"}, True),
    ],
)  # fmt: skip
def test_only_what_has_one_answer_and_leaves_nothing_behind_is_served_twice(dialect, fields, expected):
    assert same(dialect, **fields) is expected


@pytest.mark.parametrize("zero", ["0", "0.0", "-0", "0e1", "0.00E-5"])
def test_zero_is_zero_however_it_is_written(zero):
    body = b'{"model":"toy","messages":[{"role":"user","content":"hi"}],"temperature":%b}' % zero.encode()
    assert is_deterministic(CHAT, body, CHAT.facts(body)) is True


# ---- turns ------------------------------------------------------------------------------------------------------


def chat_turn(number, *results, name="ls", arguments="{}"):
    calls = [
        {"id": f"c{number}.{place}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for place in range(len(results))
    ]
    told = [
        {"role": "tool", "tool_call_id": f"c{number}.{place}", "content": result}
        for place, result in enumerate(results)
    ]
    return [{"role": "assistant", "content": f"thought {number}", "tool_calls": calls}, *told]


def message_turn(number, result, *said, marked=False):
    text: dict[str, object] = {"type": "text", "text": result}
    if marked:
        text["cache_control"] = {"type": "ephemeral"}
    block = {"type": "tool_result", "tool_use_id": f"t{number}", "content": [text]}
    asked = [
        {"type": "text", "text": f"thought {number}"},
        {"type": "tool_use", "id": f"t{number}", "name": "ls", "input": {"path": "/"}},
    ]
    return [{"role": "assistant", "content": asked}, {"role": "user", "content": [block, *said]}]


def response_turn(number, result, arguments='{"path":"/"}'):
    return [
        {"type": "reasoning", "id": f"r{number}", "summary": []},
        {"type": "function_call", "call_id": f"f{number}", "name": "ls", "arguments": arguments},
        {"type": "function_call_output", "call_id": f"f{number}", "output": result},
    ]


def turns(dialect, *conversation):
    field = "input" if dialect is RESPONSES else "messages"
    return list(last_turns(dialect, json.dumps({"model": "toy", field: [*HI, *conversation]}).encode()))


@pytest.mark.parametrize(
    ("dialect", "turn"), [(CHAT, chat_turn), (MESSAGES, message_turn), (RESPONSES, response_turn)], ids=["chat", "messages", "responses"]
)  # fmt: skip
def test_the_same_call_with_the_same_result_is_the_same_turn_whatever_its_ids_and_thoughts(dialect, turn):
    newest, second, third, first = turns(dialect, *turn(1, "x"), *turn(2, "y"), *turn(3, "y"), *turn(4, "y"))
    assert newest == second == third != first


def test_several_tools_of_one_answer_are_one_turn_told_by_the_call_that_each_result_is_of():
    one, two = chat_turn(1, "x", "y"), chat_turn(2, "x", "y")
    two[1], two[2] = two[2], two[1]
    newest, first = turns(CHAT, *one, *two)
    assert newest == first
    swapped, first = turns(CHAT, *one, *chat_turn(2, "y", "x"))
    assert swapped != first


def test_blanks_in_arguments_are_none_and_other_arguments_are_other_turns():
    same_, first = turns(CHAT, *chat_turn(1, "x", arguments='{"a":1}'), *chat_turn(2, "x", arguments='{ "a": 1 }'))
    assert same_ == first
    other, first = turns(CHAT, *chat_turn(1, "x", arguments='{"a":1}'), *chat_turn(2, "x", arguments='{"a":2}'))
    assert other != first
    broken, first = turns(CHAT, *chat_turn(1, "x", arguments="{oops"), *chat_turn(2, "x", arguments="{oops"))
    assert broken == first


def test_cache_marks_wander_and_are_no_difference():
    newest, first = turns(MESSAGES, *message_turn(1, "x"), *message_turn(2, "x", marked=True))
    assert newest == first


def test_what_somebody_says_with_the_results_makes_another_turn():
    newest, first = turns(MESSAGES, *message_turn(1, "x"), *message_turn(2, "x", {"type": "text", "text": "not that"}))
    assert newest != first


@pytest.mark.parametrize(
    ("dialect", "turn"), [(CHAT, chat_turn), (MESSAGES, message_turn), (RESPONSES, response_turn)], ids=["chat", "messages", "responses"]
)  # fmt: skip
def test_who_steers_begins_anew(dialect, turn):
    steering = {"role": "user", "content": "try the other folder"}
    assert len(turns(dialect, *turn(1, "x"), *turn(2, "x"), steering, *turn(3, "x"))) == 1
    assert turns(dialect, *turn(1, "x"), *turn(2, "x"), steering) == []


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (CHAT, b'{"model":"toy"}'),
        (CHAT, b'{"model":"toy","messages":"hi"}'),
        (CHAT, b'{"model":"toy","messages":[1]}'),
        (CHAT, b'{"model":"toy","messages":[{"role":"tool"}]}'),
        (CHAT, b'{"model":"toy","messages":[{"role":"assistant","tool_calls":[1]},{"role":"tool"}]}'),
        (MESSAGES, b'{"model":"toy","messages":[{"role":"user","content":[1]}]}'),
        (RESPONSES, b'{"model":"toy","input":"hi"}'),
        (EMBEDDINGS, b'{"model":"toy","input":"hi"}'),
        (CHAT, b'{"model":"toy","messages":[{"role":"tool","content":' + b"[" * 5_000 + b"]" * 5_000 + b"}]}"),
    ],
)
def test_what_is_no_conversation_with_tools_has_no_turns(dialect, body):
    assert list(last_turns(dialect, body)) == []


@pytest.mark.parametrize("depth", [100, 300, 900, 1_100])
def test_how_deep_a_request_nests_breaks_nothing(depth):
    deep = b'{"role":"tool","tool_call_id":"c","content":' + b"[" * depth + b"]" * depth + b"}"
    call = b'{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"ls","arguments":"{}"}}]}'
    body = b'{"model":"toy","temperature":0,"messages":[%b,%b]}' % (call, deep)
    assert len(list(last_turns(CHAT, body))) <= 1
