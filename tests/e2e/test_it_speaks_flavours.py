"""What each kind of provider is sent, byte by byte: path, key, body. Facts: the providers' own documentation of their endpoints."""

import json
import sys

import pytest

from tests.e2e.edge_table import ANSWER, BODY, DONE, EVENT, EVENTS, STREAM_BODY, USAGE, chunked
from tests.e2e.rig import Exchange, Rig, RigOptions, raw_call, toy_card
from tests.e2e.test_it_bills_every_ending import ends, eventually, request, whole
from tests.e2e.test_it_tries_elsewhere import (
    MESSAGES_ANSWER,
    MESSAGES_BODY,
    RESPONSE_ANSWER,
    RESPONSE_BODY,
    deployments,
    metrics,
)
from tests.frames import FRAMES, HEAD
from tokenroll.gateway.answers import FAMILIES
from tokenroll.gateway.deployment import Deployment, DeploymentError, Target
from tokenroll.gateway.edge import EdgeLimits

COST = 70_000
VERTEX = "/v1/projects/acme/locations/us-east5/publishers/anthropic"
STREAMED_MESSAGE = EVENTS + chunked(
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","model":"toy","usage":{"input_tokens":10,"output_tokens":1}}}\n\n',
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
)


def one_way(path: str = "", **facts) -> RigOptions:
    """A rig with one deployment at this path of its provider."""

    def made(bases: list[str]) -> list[Deployment]:
        return [
            Deployment(**{"name": "one", "dialect": "openai", "base_url": bases[0] + path, "api_key": "secret"} | facts)
        ]

    return RigOptions(made=made, edge=EdgeLimits(tick_seconds=0.02))


def sent_by(
    tmp_path, options: RigOptions, body: bytes, answer: bytes, path: bytes
) -> tuple[bytes, dict[str, str], bytes]:
    """First line, headers and body that the provider got for one good call, which costs 70,000."""
    with Rig(tmp_path, options) as one:
        one.provider.scripts[b"a"] = [Exchange([answer])]
        got = one.call(raw_call(one.port, [request(body, path=path)]))
        assert got.startswith(b"HTTP/1.1 200 OK\r\n"), got
        assert ends(one) == [("settled", COST, "reported")]
        head, _, sent = one.provider.received[b"a"][0].partition(b"\r\n\r\n")
    lines = head.decode("ascii").split("\r\n")
    return lines[0].encode(), dict(line.split(": ", 1) for line in lines[1:]), sent


@pytest.mark.parametrize(
    ("base", "facts", "endpoint", "line", "key"),
    [
        ("/openai/v1", {"flavour": "azure"}, "/v1/chat/completions", b"POST /openai/v1/chat/completions HTTP/1.1", "api-key"),
        ("/openai", {"flavour": "azure"}, "/v1/responses", b"POST /openai/v1/responses HTTP/1.1", "api-key"),
        (
            "/openai",
            {"flavour": "azure_deployments", "api_version": "2024-10-21", "aliases": {"toy": "toy east"}},
            "/v1/chat/completions?beta=true",
            b"POST /openai/deployments/toy%20east/chat/completions?api-version=2024-10-21 HTTP/1.1",
            "api-key",
        ),
        (
            "/openai",
            {"flavour": "azure_deployments", "api_version": "2025-04-01-preview"},
            "/v1/responses",
            b"POST /openai/responses?api-version=2025-04-01-preview HTTP/1.1",
            "api-key",
        ),
        (
            "/v1beta/openai/",
            {"flavour": "gemini"},
            "/v1/chat/completions",
            b"POST /v1beta/openai/chat/completions HTTP/1.1",
            "authorization",
        ),
        ("/api/v1", {}, "/v1/chat/completions?x=1", b"POST /api/v1/chat/completions?x=1 HTTP/1.1", "authorization"),
        ("/v1", {"keyless": True, "api_key": ""}, "/v1/chat/completions", b"POST /v1/chat/completions HTTP/1.1", ""),
    ],
    ids=["azure", "azure responses", "azure before", "azure before, responses", "gemini", "openrouter", "vllm, ollama, sglang"],
)  # fmt: skip
def test_openai_flavours(tmp_path, base, facts, endpoint, line, key):
    facts = {**facts, "provider": "openai"}
    body, answer = (RESPONSE_BODY, RESPONSE_ANSWER) if "responses" in endpoint else (BODY, ANSWER)
    options = one_way(base, **facts)
    options.cards = [*options.cards, toy_card(3, model="toy east")]
    got, headers, sent = sent_by(tmp_path, options, body, whole(answer), endpoint.encode())
    assert got == line
    secrets = {name: value for name, value in headers.items() if name in {"authorization", "api-key", "x-api-key"}}
    assert secrets == ({} if not key else {key: "secret" if key == "api-key" else "Bearer secret"})
    assert json.loads(sent) == json.loads(body) | ({"model": "toy east"} if "aliases" in facts else {})


@pytest.mark.parametrize("stream", [False, True])
def test_messages_at_vertex_are_asked_by_path_and_a_token(tmp_path, stream):
    options = one_way(
        VERTEX,
        dialect="anthropic",
        flavour="vertex",
        api_key="",
        token_command=(sys.executable, "-c", "print('ya29.fresh')"),
    )
    body = MESSAGES_BODY.replace(b'"max_tokens"', b'"stream":true,"max_tokens"') if stream else MESSAGES_BODY
    answer = STREAMED_MESSAGE if stream else whole(MESSAGES_ANSWER)
    got, headers, sent = sent_by(tmp_path, options, body, answer, b"/v1/messages?beta=true")
    method = b"streamRawPredict" if stream else b"rawPredict"
    assert got == b"POST %b/models/toy:%b HTTP/1.1" % (VERTEX.encode(), method)
    assert headers["authorization"] == "Bearer ya29.fresh"
    assert "x-api-key" not in headers
    expected = {
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "hi"}],
        "anthropic_version": "vertex-2023-10-16",
    }
    assert json.loads(sent) == (expected | {"stream": True} if stream else expected)


@pytest.mark.parametrize("stream", [False, True])
def test_messages_at_bedrock_are_asked_by_path_and_an_api_key(tmp_path, stream):
    options = one_way(dialect="anthropic", flavour="bedrock", aliases={"toy": "us.anthropic.toy-v1:0"}, models=("toy",))
    options.cards = [*options.cards, toy_card(4, "anthropic", "us.anthropic.toy-v1:0")]
    body = MESSAGES_BODY.replace(b'"max_tokens"', b'"stream":true,"max_tokens"') if stream else MESSAGES_BODY
    answer = HEAD + chunked(FRAMES) if stream else whole(MESSAGES_ANSWER)
    got, headers, sent = sent_by(tmp_path, options, body, answer, b"/v1/messages")
    method = b"invoke-with-response-stream" if stream else b"invoke"
    assert got == b"POST /model/us.anthropic.toy-v1%%3A0/%b HTTP/1.1" % method
    assert headers["authorization"] == "Bearer secret"
    assert json.loads(sent) == {
        "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}], "anthropic_version": "bedrock-2023-05-31",
    }  # fmt: skip


def test_a_token_is_fetched_before_the_door_opens_and_again_before_it_ends_never_for_a_call(tmp_path):
    counter = tmp_path / "count"
    script = f"import pathlib; p = pathlib.Path({str(counter)!r}); p.open('a').write('x'); print('token-%d' % len(p.read_text()))"
    options = one_way(api_key="", token_command=(sys.executable, "-c", script), token_seconds=1)
    with Rig(tmp_path / "home", options) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        for _ in range(5):
            assert one.call(raw_call(one.port, [request()])).endswith(ANSWER)
        first = one.provider.received[b"a"][0]
        assert b"authorization: Bearer token-1\r\n" in first
        eventually(lambda: len(counter.read_text()) >= 2)

        def is_fresh() -> bool:
            one.call(raw_call(one.port, [request()]))
            return b"authorization: Bearer token-1\r\n" not in one.provider.received[b"a"][-1]

        eventually(is_fresh)
        assert len(counter.read_text()) < len(one.provider.received[b"a"])


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise SystemExit(3)", b"ended with 3"),
        ("print('two words')", b"printed no token"),
        ("print()", b"printed no token"),
        ("print('x' * 20000)", b"printed more than 16384 bytes"),
    ],
)
def test_without_a_token_nothing_is_sent_and_it_is_said_why(tmp_path, code, says):
    with Rig(tmp_path, one_way(api_key="", token_command=(sys.executable, "-c", code))) as one:
        got = one.call(raw_call(one.port, [request()]))
        assert got.startswith(b"HTTP/1.1 502 ")
        assert says in got
        assert ends(one) == [("released: not sent", 0, "")]


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"flavour": "bedrock"}, "flavour 'bedrock' speaks the dialect 'anthropic', not 'openai'"),
        ({"flavour": "azure_deployments"}, "needs an api_version"),
        ({"flavour": "grape"}, "flavour 'grape' is not known; there are standard, azure"),
    ],
)
def test_what_does_not_go_together_is_told_before_anything_starts(facts, says):
    deployment = Deployment(name="one", dialect="openai", base_url="https://a.example", api_key="k", **facts)
    with pytest.raises(DeploymentError, match=says):
        Target(deployment, FAMILIES["openai"])


# ---- what answers look like elsewhere -----------------------------------------------------------------------------

LAST_WITH_CHOICES = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5}}\n\n'
UNMETERED = ANSWER.replace(b',"usage":{"prompt_tokens":10,"completion_tokens":5}', b"")


@pytest.mark.parametrize(
    "events",
    [
        (EVENT, LAST_WITH_CHOICES, DONE),
        (b": OPENROUTER PROCESSING\n\n", EVENT, b": keep-alive\n\n", USAGE, DONE),
        (EVENT, LAST_WITH_CHOICES, USAGE, DONE),
    ],
    ids=["usage in a last chunk with choices", "comments", "usage twice"],
)
def test_streams_of_compatible_servers_are_metered(tmp_path, events):
    with Rig(tmp_path, one_way()) as one:
        one.provider.scripts[b"a"] = [Exchange([EVENTS + chunked(*events)])]
        got = one.call(raw_call(one.port, [request(STREAM_BODY)]))
        assert EVENT in got
        assert DONE in got
        assert ends(one) == [("settled", COST, "reported")]


def test_an_error_before_any_output_of_a_good_stream_costs_nothing(tmp_path):
    error = b'data: {"error":{"message":"overloaded","type":"server_error","code":502}}\n\n'
    with Rig(tmp_path, one_way()) as one:
        one.provider.scripts[b"a"] = [Exchange([EVENTS + chunked(error)])]
        assert error in one.call(raw_call(one.port, [request(STREAM_BODY)]))
        assert ends(one) == [("released: provider error", 0, "")]


def test_an_answer_without_usage_is_estimated_or_kept_back_and_charged_either_way(tmp_path):
    with Rig(tmp_path / "estimate", one_way()) as one:
        one.provider.scripts[b"a"] = [Exchange([whole(UNMETERED)])]
        assert one.call(raw_call(one.port, [request()])).endswith(UNMETERED)
        estimated = ends(one)
        assert [(end, source) for end, _, source in estimated] == [("settled", "estimated")]
        assert estimated[0][1] > 0
    for chunks in (False, True):
        with Rig(tmp_path / f"refuse {chunks}", one_way(refuses_unmetered=True)) as one:
            parts = (
                [EVENTS.replace(b"text/event-stream", b"application/json") + chunked(UNMETERED)]
                if chunks
                else [whole(UNMETERED)]
            )
            one.provider.scripts[b"a"] = [Exchange(parts), Exchange([whole()])]
            got = one.call(raw_call(one.port, [request()]))
            assert got.startswith(b"HTTP/1.1 502 ")
            assert b'"code": "usage_missing"' in got
            assert b"x-tokenroll-cost: " in got
            assert one.call(raw_call(one.port, [request()])).endswith(ANSWER)
            assert ends(one) == [estimated[0], ("settled", COST, "reported")]
            assert b'tokenroll_deployment_failures_total{worker="0",deployment="one"} 1\n' in metrics(one)
            assert deployments(one) == {"one": "ok"}
