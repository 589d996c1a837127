"""What the gateway sends when a plan lets it save, on real sockets, byte for byte; and what it tells with the answer.

`toy` costs 2,000 nanos an input token and 10,000 an output token; the answer of 10 and 5 tokens costs 70,000.
"""

import json
import re

import pytest

from tests.e2e.edge_table import ANSWER, BODY, STREAMED
from tests.e2e.rig import CREDIT, Exchange, Rig, RigOptions, key_terms, raw_call, toy_card, wallet_terms
from tests.e2e.test_it_bills_every_ending import request, whole
from tests.e2e.test_it_tries_elsewhere import MESSAGES_ANSWER, TwoWays, refusal
from tokenroll.gateway.deployment import Deployment

LONG = "x" * 5_000
KEY = re.compile(rb'"prompt_cache_key":"(tr-[0-9a-f]{32})",')
MARK = b',"cache_control":{"type":"ephemeral"}'


def chat(*, system=LONG, question="How much is left?", **more):
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return json.dumps({"model": "toy", "max_tokens": 8, "messages": messages, **more}).encode()


def messages(*turns, **more):
    listed = [{"role": "user" if at % 2 == 0 else "assistant", "content": text} for at, text in enumerate(turns)]
    return json.dumps({"model": "toy", "max_tokens": 8, "messages": listed, **more}, indent=1).encode()


def options(**changes):
    return RigOptions(
        wallets=[wallet_terms(1, CREDIT, cache_marking=True, cache_key=True, cap_hints=True), wallet_terms(2, CREDIT)],
        keys=[key_terms(1, 1, b"tr-ada"), key_terms(2, 1, b"tr-ada-too"), key_terms(3, 2, b"tr-bo")],
        **changes,
    )


def asked(one, body, *, path=b"/v1/chat/completions", key=b"tr-ada"):
    answer = one.call(raw_call(one.port, [request(body, path=path).replace(b"tr-ada\r\n", key + b"\r\n")]))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
    return answer


def bodies(provider):
    return [one.partition(b"\r\n\r\n")[2] for one in provider.received[b"a"]]


@pytest.fixture
def rig(tmp_path):
    with Rig(tmp_path, options()) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        yield one


def keys_for(one, systems, **how):
    """The keys that requests with these beginnings were sent with; None for one that was sent as it came."""
    start = len(one.provider.received.get(b"a", []))
    for system in systems:
        asked(one, chat(system=system), **how)
    found = []
    for system, body in zip(systems, bodies(one.provider)[start:], strict=True):
        match = KEY.search(body)
        assert KEY.sub(b"", body) == chat(system=system)
        found.append(match and match[1])
    return found


def test_requests_that_begin_alike_carry_one_key_and_nothing_else_is_changed(rig):
    systems = [letter * 5_000 for letter in "abcdefghijklmnopqrstuvwxyz"]
    first = keys_for(rig, systems)
    assert keys_for(rig, systems) == first
    with_key = [key for key in first if key]
    assert len(set(with_key)) == len(with_key)
    # about one beginning in eight has none, so that the others can be compared with it
    assert 0 < first.count(None) < 10
    others = keys_for(rig, systems, key=b"tr-ada-too")
    assert not set(with_key) & set(others)
    assert keys_for(rig, systems[:2], key=b"tr-bo") == [None, None]


def test_the_question_does_not_change_the_key(rig):
    for question in ("one", "two"):
        asked(rig, chat(system="b" * 5_000, question=question))
    one, two = bodies(rig.provider)
    assert KEY.findall(one) == KEY.findall(two) != []


@pytest.mark.parametrize(
    "body",
    [
        BODY,
        chat(prompt_cache_key="mine"),
        chat(prompt_cache_key=None),
        chat(system="short"),
    ],
)
def test_a_request_is_sent_as_it_came_where_a_key_would_be_of_no_use_or_is_there(rig, body):
    asked(rig, body)
    assert bodies(rig.provider) == [body]


def test_who_stands_in_for_openai_gets_the_request_as_it_came(tmp_path):
    """Another provider may not know the field; the hold of that attempt says that nothing was done."""
    each = [{}, {"provider": "other"}]
    cards = [toy_card(), toy_card(2, "other")]
    with TwoWays(tmp_path, each=each, cards=cards, wallets=options().wallets) as one:
        one.script([Exchange([refusal(503)])], [Exchange([whole()])])
        body = next(chat(system=letter * 5_000) for letter in "bcdefg")
        assert one.ask_for(body).startswith(b"HTTP/1.1 200 OK\r\n")
        first, second = one.provider.received[b"a"][0], one.others[0].received[b"a"][0]
        assert KEY.search(first)
        assert second.endswith(b"\r\n\r\n" + body)


def test_a_server_of_ones_own_gets_no_key_once_it_has_a_provider_of_its_own(tmp_path):
    """It may speak OpenAI's dialect and refuse what it does not know (docs/thrift.md)."""
    each = [{"provider": "ours"}, {}]
    cards = [toy_card(), toy_card(2, "ours")]
    with TwoWays(tmp_path, each=each, cards=cards, wallets=options().wallets) as one:
        one.script([Exchange([whole()])] * 7, [])
        for letter in "bcdefgh":
            body = chat(system=letter * 5_000)
            assert one.ask_for(body).startswith(b"HTTP/1.1 200 OK\r\n")
            assert one.provider.received[b"a"][-1].endswith(b"\r\n\r\n" + body)


def test_marks_are_put_between_the_clients_bytes_and_only_from_the_second_turn_on(tmp_path):
    with Rig(tmp_path, options()) as one:
        one.provider.scripts[b"a"] = [Exchange([whole(MESSAGES_ANSWER)])]
        turns = ["q" * 20_000, "a" * 100, "r" * 100]
        more = {"system": [{"type": "text", "text": "s" * 20_000}], "tools": [{"name": "pay", "input_schema": {}}]}
        first, second = messages(*turns[:1], **more), messages(*turns, **more)
        asked(one, first, path=b"/v1/messages")
        asked(one, second, path=b"/v1/messages")
        sent_first, sent_second = bodies(one.provider)
        assert sent_first == first
        # at the end of the system, of the first question and of the last
        assert sent_second.count(MARK) == 3
        opens = b'[{"type":"text","text":'
        assert sent_second.replace(MARK + b"}]", b"").replace(opens, b"").replace(MARK, b"") == second
        told = json.loads(sent_second)
        assert [part.get("cache_control") for part in told["system"]] == [{"type": "ephemeral"}]
        assert [type(one["content"]) for one in told["messages"]] == [list, str, list]
        assert told["messages"][0]["content"][0]["text"] == turns[0]


@pytest.mark.parametrize("flavour", ["vertex", "bedrock"])
def test_other_providers_of_the_same_models_get_the_same_marks(tmp_path, flavour):
    def made(bases):
        base = f"{bases[0]}/v1/projects/p/publishers/anthropic"
        return [Deployment(name="one", dialect="anthropic", base_url=base, api_key="key", flavour=flavour)]

    with Rig(tmp_path, options(made=made)) as one:
        one.provider.scripts[b"a"] = [Exchange([whole(MESSAGES_ANSWER)])]
        turns = ["q" * 20_000, "a" * 100, "r" * 100]
        asked(one, messages(*turns[:1]), path=b"/v1/messages")
        asked(one, messages(*turns), path=b"/v1/messages")
        first, second = (json.loads(body) for body in bodies(one.provider))
        assert MARK not in bodies(one.provider)[0]
        marks = [
            part[0]["cache_control"]
            for part in (turn["content"] for turn in second["messages"])
            if isinstance(part, list)
        ]
        assert marks == [{"type": "ephemeral"}] * 2
        assert set(second) == set(first) == {"max_tokens", "messages", "anthropic_version"}


def test_what_is_too_short_for_the_cache_is_not_marked(tmp_path):
    with Rig(tmp_path, options(cards=[toy_card(), toy_card(2, "anthropic")])) as one:
        one.provider.scripts[b"a"] = [Exchange([whole(MESSAGES_ANSWER)])]
        short = messages("q" * 400)
        for _ in range(4):
            asked(one, short, path=b"/v1/messages")
        assert bodies(one.provider) == [short] * 4


def test_it_tells_which_cap_would_do_once_it_has_seen_enough_answers(rig):
    """Answers of 5 tokens under a cap of 8,000 fall into the bucket of 5, so a cap of 6 holds them: whole and streamed."""
    body = json.dumps({"model": "toy", "max_tokens": 8_000, "messages": [{"role": "user", "content": "hi"}]}).encode()
    for _ in range(100):
        assert b"x-tokenroll-cap-hint" not in asked(rig, body)
    answer = asked(rig, body)
    assert b"x-tokenroll-cap-hint: 6\r\n" in answer
    assert answer.endswith(ANSWER)
    assert b"x-tokenroll-cap-hint: 6\r\n" in asked(rig, b'{"model":"toy","messages":[{"role":"user","content":"hi"}]}')
    # who asks for about as much as is needed hears nothing, nor does another key
    assert b"x-tokenroll-cap-hint" not in asked(rig, BODY)
    assert b"x-tokenroll-cap-hint" not in asked(rig, body, key=b"tr-ada-too")
    rig.provider.scripts[b"a"] = [Exchange([STREAMED])]
    streamed = body.replace(b'"max_tokens"', b'"stream": true, "max_tokens"')
    assert b"x-tokenroll-cap-hint: 6\r\n" in asked(rig, streamed)
    assert rig.gateway.metrics.cap_hints == 3
