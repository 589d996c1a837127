"""Every answer of ours under /v1 is what OpenAI's own published specification says it is, errors included."""

import json

import pytest

HELLO = [{"role": "user", "content": "How much is left?"}]
PLAIN = {"model": "gpt-4o-mini", "messages": HELLO, "max_tokens": 60}
TOOL = {"type": "function", "function": {"name": "pay", "parameters": {"type": "object", "properties": {}}}}


def asked(company, body, name="Ada", **headers):
    """Status, headers and JSON of a chat call."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"authorization": f"Bearer {company.keys.get(name, name)}", "content-type": "application/json", **headers}
    status, seen, answer = company.request("POST", "/v1/chat/completions", raw, sent)
    return status, seen, answer


@pytest.mark.parametrize(
    "more",
    [
        {}, {"n": 3}, {"tools": [TOOL]}, {"reasoning_effort": "high"}, {"service_tier": "auto"}, {"max_tokens": 1},
        {"response_format": {"type": "json_object"}}, {"functions": [{"name": "pay", "parameters": {"type": "object"}}]},
    ],
)  # fmt: skip
def test_it_answers_with_what_the_specification_calls_a_chat_completion(company, schema, more):
    status, headers, body = asked(company, PLAIN | more)
    assert (status, headers["content-type"]) == (200, "application/json")
    schema("CreateChatCompletionResponse").validate(json.loads(body))
    company.prove()


@pytest.mark.parametrize("more", [{}, {"stream_options": {"include_usage": True}}, {"n": 2}, {"tools": [TOOL]}])
def test_it_streams_what_the_specification_calls_chunks(company, schema, more):
    status, headers, body = asked(company, PLAIN | {"stream": True} | more)
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    *events, done, rest = body.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    validator = schema("CreateChatCompletionStreamResponse")
    for event in events:
        validator.validate(json.loads(event.removeprefix("data: ")))
    assert len(events) > 2
    company.prove()


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("/v1/responses", {"model": "gpt-4o-mini", "input": "Hello"}, "Response"),
        (
            "/v1/completions",
            {"model": "gpt-3.5-turbo-instruct", "prompt": "Hello", "max_tokens": 20},
            "CreateCompletionResponse",
        ),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "Hello"}, "CreateEmbeddingResponse"),
    ],
)
def test_its_other_endpoints_answer_what_the_specification_calls_their_answers(company, schema, path, body, answer):
    status, headers, said = company.request(
        "POST", path, json.dumps(body).encode(), {"authorization": f"Bearer {company.keys['Ada']}"}
    )
    assert (status, headers["content-type"]) == (200, "application/json")
    schema(answer).validate(json.loads(said))
    company.prove()


def test_it_streams_what_the_specification_calls_response_events(company, schema):
    body = {"model": "gpt-4o-mini", "input": "Hello", "stream": True}
    _, _, said = company.request(
        "POST", "/v1/responses", json.dumps(body).encode(), {"authorization": f"Bearer {company.keys['Ada']}"}
    )
    *events, rest = said.decode().split("\n\n")
    assert rest == ""
    validator = schema("ResponseStreamEvent")
    for event in events:
        value = json.loads(event.partition("data: ")[2])
        if "response" in value and value["response"]["usage"] is None:
            del value["response"][
                "usage"
            ]  # OpenAI itself says null before the end, where the specification has an object or none
        validator.validate(value)
    assert len(events) > 8
    company.prove()


def test_it_lists_models_as_the_specification_says(company, schema):
    status, listed = company.get("/v1/models", "Ada")
    assert status == 200
    schema("ListModelsResponse").validate(listed)
    status, one = company.get("/v1/models/gpt-4o-mini", "Ada")
    assert status == 200
    schema("Model").validate(one)


def chat(**changes):
    return json.dumps(PLAIN | changes).encode()


ERRORS = {
    "no body": (b"", {}, 400, None),
    "no JSON": (b"{", {}, 400, None),
    "no messages": (b'{"model":"gpt-4o-mini"}', {}, 400, None),
    "unbounded": (chat(web_search_options={}), {}, 400, "call_not_bounded"),
    "unknown tier": (chat(service_tier="platinum"), {}, 400, None),
    "tier not sold": (chat(service_tier="flex"), {}, 400, "tier_not_sold"),
    "encoded body": (chat(), {"content-encoding": "gzip"}, 415, None),
    "unknown key": (chat(), {"authorization": "Bearer nobody"}, 401, "invalid_api_key"),
    "empty wallet": (chat(), {"authorization": "Bearer {Cleo}"}, 429, "wallet_empty"),
    "unknown model": (chat(model="gpt-nowhere"), {}, 404, "model_not_found"),
    "provider's limit": (chat(), {"x-sim-fault": "429"}, 429, "rate_limit_exceeded"),
    "provider's error": (chat(), {"x-sim-fault": "500"}, 500, None),
}


@pytest.mark.parametrize("case", ERRORS)
def test_it_refuses_in_the_shape_of_the_specification(company, schema, case):
    body, headers, expected, code = ERRORS[case]
    named = {name: value.format_map(company.keys) for name, value in headers.items()}
    with company.moves("Ada", 0):
        status, seen, answer = asked(company, body, **named)
    assert (status, seen["content-type"]) == (expected, "application/json")
    error = json.loads(answer)
    schema("ErrorResponse").validate(error)
    if code is not None:
        assert error["error"]["code"] == code


def test_it_knows_no_other_path(company, schema):
    """What is not served reaches nobody: there is no way to a provider around the wallet."""
    requests = company.provider.state()["requests"]
    for method, path in (
        ("POST", "/v1/images/variations"), ("GET", "/v1/responses/"), ("GET", "/v1/moderations"), ("POST", "/v2/chat"), ("POST", "/rerank"), ("GET", "/v1/chat/completions"), ("DELETE", "/v1/models/gpt-4o"),
        ("POST", "/v1/chat/completions/"), ("POST", "/v1//chat/completions"), ("GET", "/v1/messages/batches"),
        ("GET", "/v1/files"), ("DELETE", "/v1/files/file-abc"), ("POST", "/v1/uploads"), ("PUT", "/v1/chat/completions"),
    ):  # fmt: skip
        status, seen, answer = company.request(method, path, b"{}", {"authorization": f"Bearer {company.keys['Ada']}"})
        assert status in {404, 405}, path
        if path.startswith("/v1/") and "messages" not in path:
            schema("ErrorResponse").validate(json.loads(answer))
        kind = "json" if path.startswith("/v1/") else "problem+json"
        assert seen["content-type"] == f"application/{kind}"
    assert company.provider.state()["requests"] == requests
