"""The official clients at what costs nothing: counting tokens before a call, and reading again what a provider has stored.

`HELLO` is 17 bytes: 5 tokens, and 16 for the message. It moves no wallet and leaves nothing on the bill.
"""

import json

import anthropic
import openai
import pytest

HELLO = "How much is left?"


def as_ada(company):
    return {"authorization": f"Bearer {company.keys['Ada']}"}


def stored(company, **more):
    with company.moves("Ada", 21 * 150 + 12 * 600):
        return company.openai().responses.create(
            model="gpt-4o-mini", input=HELLO, extra_headers={"x-sim-output-tokens": "12"}, **more
        )


def test_tokens_are_counted_before_a_message_is_sent(free):
    counted = free.anthropic().messages.count_tokens(
        model="claude-haiku-4-5", messages=[{"role": "user", "content": HELLO}]
    )
    assert counted.input_tokens == 21
    assert free.metric("tokenroll_errands_total") >= 1


def test_tokens_are_counted_of_what_no_call_could_bound(free):
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    counted = free.anthropic().beta.messages.count_tokens(
        model="claude-haiku-4-5", messages=[{"role": "user", "content": [picture]}]
    )
    assert counted.input_tokens > 16


def test_the_input_of_a_response_is_counted(free):
    counted = free.openai().responses.input_tokens.count(model="gpt-4o-mini", input=HELLO)
    assert counted.input_tokens == 21


def test_a_count_of_something_that_is_no_object_reaches_nobody(free):
    body = b'{"model": "claude-haiku-4-5", "model": "x"}'
    status, _, answer = free.request("POST", "/v1/messages/count_tokens", body, as_ada(free))
    assert (status, json.loads(answer)["error"]["type"]) == (400, "invalid_request_error")


def test_a_stored_response_is_read_again_and_not_deleted(company, request):
    response = stored(company)
    free = request.getfixturevalue("free")
    client = free.openai()
    assert client.responses.retrieve(response.id) == response
    items = list(client.responses.input_items.list(response.id))
    assert [item.content[0].text for item in items] == [HELLO]
    # else one that was deleted before its provider was asked about it would be free
    with pytest.raises(openai.APIStatusError) as refused:
        client.responses.delete(response.id)
    assert (refused.value.status_code, refused.value.code) == (405, "method_not_allowed")
    with pytest.raises(openai.NotFoundError) as unknown:
        client.responses.retrieve("resp_unknown")
    assert unknown.value.code == "response_not_found"


def test_a_response_that_has_ended_is_cancelled_in_vain(company, request):
    response = stored(company)
    free = request.getfixturevalue("free")
    assert free.openai().responses.cancel(response.id).status == "completed"


def test_what_is_free_needs_a_key_that_may_call(free):
    with pytest.raises(openai.AuthenticationError):
        free.openai(api_key="nobody's").responses.retrieve("resp_1")
    status, headers, _ = free.request("PUT", "/v1/responses/resp_1", b"", as_ada(free))
    assert (status, headers["allow"]) == (405, "GET")


@pytest.mark.parametrize("path", ["/v1/responses/a/b", "/v1/responses/..%2Ffiles", "/v1/responses//input_items"])
def test_a_path_that_is_not_quite_free_is_refused_here(free, path):
    status, _, answer = free.request("GET", path, None, as_ada(free))
    assert (status, json.loads(answer)["error"]["code"]) == (404, "not_found")


def test_the_official_clients_find_the_id_of_a_refusal(free):
    with pytest.raises(openai.AuthenticationError) as chat:
        free.openai().with_options(api_key="tr-nobody").responses.input_tokens.count(model="gpt-4o-mini", input=HELLO)
    assert chat.value.request_id.startswith("refusal_")
    with pytest.raises(anthropic.AuthenticationError) as message:
        free.anthropic().with_options(api_key="tr-nobody").messages.count_tokens(
            model="claude-haiku-4-5", messages=[{"role": "user", "content": HELLO}]
        )
    assert message.value.request_id.startswith("refusal_")
    assert message.value.body["request_id"] == message.value.request_id
