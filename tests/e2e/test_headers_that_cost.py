"""What a client's head must not do: choose a dearer tier, show a provider our keys, or read more than its rate card has prices for."""

import json

import pytest

from tests.e2e.edge_table import ANSWER
from tests.e2e.rig import Exchange, Rig, RigOptions, raw_call, toy_card
from tests.e2e.test_it_bills_every_ending import ends, request, whole
from tokenroll.gateway.deployment import Deployment

CLOSE = b"Connection: close\r\n"
MESSAGE = b'{"type":"message","model":"toy","content":[],"stop_reason":"end_turn","usage":{"input_tokens":10,"output_tokens":5}}'
COSTLY = [
    b"X-Amzn-Bedrock-PerformanceConfig-Latency: optimized",
    b"X-Amzn-Bedrock-Service-Tier: priority",
    b"X-Amzn-Bedrock-GuardrailIdentifier: gr-1",
    b"x-amz-security-token: tr-ada",
    b"X-Goog-User-Project: another",
    b"x-goog-api-key: tr-ada",
    b"x-ms-region: far",
    b"X-Vertex-AI-LLM-Request-Type: dedicated",
    b"Ocp-Apim-Subscription-Key: tr-ada",
    b"Anthropic-Workspace-Id: wrkspc_1",
    b"Cookie: key=tr-ada",
    b"Proxy-Authorization: Bearer tr-ada",
]


def bedrock(urls: list[str]) -> list[Deployment]:
    return [Deployment(name="aws", dialect="anthropic", base_url=urls[0], api_key="sk-aws", flavour="bedrock")]


@pytest.mark.parametrize("line", COSTLY)
def test_headers_of_the_clouds_go_to_no_provider(tmp_path, line):
    with Rig(tmp_path, RigOptions(made=bedrock)) as one:
        one.provider.scripts[b"a"] = [Exchange([whole(MESSAGE)])]
        data = one.call(raw_call(one.port, [request(path=b"/v1/messages", extra=CLOSE + line + b"\r\n")]))
        assert data.startswith(b"HTTP/1.1 200 OK\r\n")
        (received,) = one.provider.received[b"a"]
    assert line.partition(b":")[0].lower() not in received.lower()
    assert b"tr-ada" not in received


@pytest.mark.parametrize("name", [b"api-key", b"Api-Key", b"x-api-key", b"Authorization: Bearer"])
@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1/messages"])
def test_a_key_is_taken_as_azures_and_each_dialects_clients_send_it_and_stays_here(tmp_path, name, path):
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([whole(MESSAGE if b"messages" in path else ANSWER)])]
        line = name + (b" tr-ada" if b":" in name else b": tr-ada")
        data = one.call(raw_call(one.port, [request(path=path).replace(b"Authorization: Bearer tr-ada", line)]))
        assert data.startswith(b"HTTP/1.1 200 OK\r\n")
        (received,) = one.provider.received[b"a"]
        assert ends(one) == [("settled", 70_000, "reported")]
    assert b"tr-ada" not in received
    assert b"api-key" not in received.lower().replace(b"x-api-key: sk-ant-company", b"")


@pytest.mark.parametrize("other", [b"api-key: tr-ada", b"api-key: tr-bo", b"x-api-key: tr-bo\r\napi-key: tr-ada"])
def test_beside_another_key_it_is_dropped(tmp_path, other):
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        data = one.call(raw_call(one.port, [request(extra=CLOSE + other + b"\r\n")]))
        assert data.startswith(b"HTTP/1.1 200 OK\r\n")
        (received,) = one.provider.received[b"a"]
    assert b"tr-" not in received


def test_two_of_them_are_refused(tmp_path):
    with Rig(tmp_path) as one:
        twice = b"api-key: tr-ada\r\napi-key: tr-ada\r\n"
        data = one.call(raw_call(one.port, [request(extra=CLOSE + twice)]))
    assert data.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"The header api-key is given twice." in data


@pytest.mark.parametrize(
    "query",
    [b"key=tr-ada", b"a=b&api-key=tr-ada", b"api_key=tr-ada", b"%6bey=tr-ada", b"a;key=tr-ada", b"X-Goog-Api-Key=tr-ada",
     b"access_token=tr-ada", b"subscription-key=tr-ada", b"key="],
)  # fmt: skip
def test_a_key_in_the_address_is_refused_and_goes_nowhere(tmp_path, query):
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        data = one.call(raw_call(one.port, [request(path=b"/v1/chat/completions?" + query)]))
        assert not one.provider.received
        assert not one.ended()
    assert data.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b'"code": "key_in_query"' in data
    assert b"tr-ada" not in data


@pytest.mark.parametrize(
    "query", [b"beta=true", b"api-version=2024-10-21", b"monkey=1", b"keys=2", b"api_key_ids=key_1"]
)
def test_other_queries_go_on(tmp_path, query):
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        one.call(raw_call(one.port, [request(path=b"/v1/chat/completions?" + query)]))
        (received,) = one.provider.received[b"a"]
    assert received.startswith(b"POST /v1/chat/completions?" + query + b" HTTP/1.1\r\n")


def long_ways() -> list[tuple[bytes, bytes]]:
    """Header lines and body fields that ask for the long context."""
    return [
        (b"anthropic-beta: context-1m-2025-08-07\r\n", b""),
        (b"anthropic-beta: interleaved-thinking-2025-05-14,Context-1M-2025-08-07\r\n", b""),
        (b"anthropic-beta: a\r\nanthropic-beta: context-1m-2025-08-07\r\n", b""),
        (b"", b'"anthropic_beta":["context-1m-2025-08-07"],'),
        (b"", b'"anthropic_beta":["a","context\\u002d1m"],'),
    ]


@pytest.mark.parametrize(("lines", "field"), long_ways())
def test_a_context_that_the_rate_card_has_no_prices_for_is_refused_by_name(tmp_path, lines, field):
    body = b'{"model":"toy","max_tokens":5,' + field + b'"messages":[{"role":"user","content":"hi"}]}'
    with Rig(tmp_path) as one:
        data = one.call(raw_call(one.port, [request(body, path=b"/v1/messages", extra=CLOSE + lines)]))
        assert not one.provider.received
        assert not one.ended()
    assert data.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    error = json.loads(data.partition(b"\r\n\r\n")[2])["error"]
    assert error["code"] == "call_not_bounded"
    assert "`anthropic-beta` names context-1m, a context of 1000000 model tokens" in error["message"]
    assert "its rate card a context of 200000 model tokens" in error["message"]


def test_a_batch_of_it_is_refused_too(tmp_path):
    body = b'{"requests":[{"custom_id":"1","params":{"model":"toy","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}}]}'
    with Rig(tmp_path, RigOptions(cards=[toy_card(2, "anthropic", tiers=("standard", "batch"))])) as one:
        line = b"anthropic-beta: context-1m-2025-08-07\r\n"
        data = one.call(raw_call(one.port, [request(body, path=b"/v1/messages/batches", extra=CLOSE + line)]))
        assert not one.provider.received
    assert b"names context-1m" in data


@pytest.mark.parametrize(
    "beta", [b"interleaved-thinking-2025-05-14", b"context-management-2025-06-27", b"files-api-2025-04-14"]
)
def test_betas_that_change_no_price_go_on(tmp_path, beta):
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([whole(MESSAGE)])]
        line = b"Anthropic-Beta: " + beta + b"\r\n"
        data = one.call(raw_call(one.port, [request(path=b"/v1/messages", extra=CLOSE + line)]))
        assert data.startswith(b"HTTP/1.1 200 OK\r\n")
        (received,) = one.provider.received[b"a"]
    assert line in received


@pytest.mark.parametrize(
    ("field", "what"),
    [
        (b'"thread":{"id":"thread_1"},', "a context that the provider keeps"),
        (b'"compaction":{"type":"auto"},', "a summary that the provider makes on the way"),
        (b'"billing_policy":{"type":"billing_policy","bill_to":"user_profile"},', "a bill to somebody else"),
        (b'"speed":"fast",', "the speed 'fast'"),
    ],
)
def test_what_a_beta_asks_for_in_the_body_is_refused_there(tmp_path, field, what):
    body = b'{"model":"toy","max_tokens":5,' + field + b'"messages":[{"role":"user","content":"hi"}]}'
    line = b"anthropic-beta: message-threads-2026-08-12,compact-2026-09-04,fast-mode-2026-02-01\r\n"
    with Rig(tmp_path) as one:
        data = one.call(raw_call(one.port, [request(body, path=b"/v1/messages", extra=CLOSE + line)]))
        assert not one.provider.received
    assert data.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    error = json.loads(data.partition(b"\r\n\r\n")[2])["error"]
    assert error["code"] == "call_not_bounded"
    assert what in error["message"]


def test_a_list_of_betas_in_the_body_that_is_none_is_refused(tmp_path):
    body = b'{"model":"toy","max_tokens":5,"anthropic_beta":{"a":1},"messages":[{"role":"user","content":"hi"}]}'
    with Rig(tmp_path) as one:
        data = one.call(raw_call(one.port, [request(body, path=b"/v1/messages")]))
    assert b"anthropic_beta: must be an array of strings" in data
