"""The official Anthropic client, in strict mode, believes the gateway; and after every call the money is where it belongs.

Prices worked with, in nanos per token: claude-opus-5-5 4,000 in, 20,000 out; claude-sonnet-5-5 2,000 in, 100 from the cache,
2,500 and 4,000 into it for five minutes and an hour, 10,000 out.
"""

import asyncio
import json
from typing import Any

import anthropic
import pytest

HELLO = [{"role": "user", "content": "How much is left?"}]
# 17 bytes are 5 tokens, and 16 for the message: 21 tokens, 84,000 nanos at claude-opus-5-5.
PAY_TOOL = {
    "name": "pay",
    "input_schema": {
        "type": "object",
        "properties": {"who": {"type": "string"}, "credits": {"type": "integer", "minimum": 5}},
        "required": ["who", "credits"],
    },
}


def sized(output_tokens, headers=None):
    return {"x-sim-output-tokens": str(output_tokens), **(headers or {})}


def problem(error: anthropic.APIStatusError) -> Any:
    """The error object inside the body."""
    assert isinstance(error.body, dict)
    return error.body["error"]


def ask(output_tokens=12, headers=None, **more):
    """A call whose answer has so many tokens; 12 of them cost 21 × 4,000 + 12 × 20,000 = 324,000 nanos."""
    call = {
        "model": "claude-opus-5-5",
        "max_tokens": 500,
        "messages": HELLO,
        "extra_headers": sized(output_tokens, headers),
    }
    return {**call, **more}


def test_it_answers_and_charges_what_the_provider_bills(company):
    with company.moves("Ada", 324_000):
        answer = company.anthropic().messages.create(**ask())
    assert len(answer.content[0].text) == 48
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.stop_reason) == (21, 12, "end_turn")


def test_it_takes_a_bearer_token_as_well(company):
    token = company.keys["Ada"]
    with company.moves("Ada", 324_000):
        company.anthropic(api_key=None, auth_token=token).messages.create(**ask())


def test_it_tells_the_cost_in_headers_and_the_call_on_its_page(company):
    with company.moves("Ada", 324_000):
        raw = company.anthropic().messages.with_raw_response.create(**ask())
    headers = raw.headers
    # the dearest a byte of input can become is a token written into the cache for an hour: 8,000 nanos
    body = len(raw.http_request.content)
    bound = (body + 16) * 8_000 + 500 * 20_000
    assert headers["x-tokenroll-hold-max"] == f"0.{bound:09d}"
    assert headers["x-tokenroll-cost"] == "0.000324000"
    assert headers["request-id"] == company.bill()[-1].request_id
    status, seen = company.get(f"/me/calls/{headers['x-tokenroll-call-id']}", "Ada")
    assert (status, seen["attempts"][0]["cost"]) == (200, "0.000324000")


def test_it_streams_events_and_the_final_usage(company):
    with company.moves("Ada", 21 * 4_000 + 40 * 20_000), company.anthropic().messages.stream(**ask(40)) as stream:
        kinds = {event.type for event in stream}
        answer = stream.get_final_message()
    assert {"message_start", "content_block_start", "content_block_delta", "message_delta", "message_stop"} <= kinds
    assert (answer.usage.input_tokens, answer.usage.output_tokens, len(answer.content[0].text)) == (21, 40, 160)


def test_it_streams_text(company):
    client = company.anthropic()
    with company.moves("Ada", 284_000), client.messages.stream(**ask(40, max_tokens=10)) as stream:
        assert len("".join(stream.text_stream)) == 40
        assert stream.get_final_message().stop_reason == "max_tokens"


def test_it_uses_a_tool_there_and_back(company):
    client = company.anthropic()
    before = len(company.bill())
    answer = client.messages.create(**ask(30, tools=[PAY_TOOL]))
    assert (answer.stop_reason, answer.content[0].input) == ("tool_use", {"who": "roll", "credits": 5})
    after = [*HELLO, {"role": "assistant", "content": [block.model_dump() for block in answer.content]},
             {"role": "user", "content": [{"type": "tool_result", "tool_use_id": answer.content[0].id, "content": "paid"}]}]  # fmt: skip
    with client.messages.stream(**ask(9, tools=[PAY_TOOL], messages=after)) as stream:
        stream.until_done()
    company.prove()
    first, second = company.bill()[before:]
    assert first.cost_nanos == first.usage["input"] * 4_000 + first.usage["output"] * 20_000
    assert second.cost_nanos == second.usage["input"] * 4_000 + second.usage["output"] * 20_000


def test_it_charges_thinking(company):
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1_024}, "max_tokens": 4_000}
    with company.moves("Ada", 21 * 4_000 + 100 * 20_000):
        answer = company.anthropic().messages.create(**ask(100, {"x-sim-reasoning-tokens": "40"}, **thinking))
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert answer.usage.output_tokens_details.thinking_tokens == 40


@pytest.mark.parametrize("stream", [False, True])
def test_it_charges_the_cache_written_and_read_the_same_in_one_piece_and_in_a_stream(company, stream):
    mark = "s" if stream else "w"
    system = [
        {"type": "text", "text": mark * 8_000, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": mark * 4_000, "cache_control": {"type": "ephemeral"}},
    ]
    call = ask(10, model="claude-sonnet-5-5", max_tokens=50, system=system)

    def once():
        client = company.anthropic()
        if not stream:
            return client.messages.create(**call).usage
        with client.messages.stream(**call) as events:
            return events.get_final_message().usage

    # 2,000 tokens for an hour, 1,000 for five minutes; 5 of the question and 16 each for question and system at the input price
    with company.moves("Ada", 2_000 * 4_000 + 1_000 * 2_500 + 37 * 2_000 + 10 * 10_000):
        first = once()
    with company.moves("Ada", 3_000 * 100 + 37 * 2_000 + 10 * 10_000):
        second = once()
    assert (first.input_tokens, first.cache_creation_input_tokens, first.cache_read_input_tokens) == (37, 3_000, 0)
    assert (second.input_tokens, second.cache_creation_input_tokens, second.cache_read_input_tokens) == (37, 0, 3_000)


def test_it_charges_the_service_tier_that_answered(company):
    with company.moves("Ada", 21 * 4_000 + 4 * 20_000):
        answer = company.anthropic().messages.create(**ask(4, service_tier="standard_only"))
    assert answer.usage.service_tier == "standard"


def test_it_lists_what_can_be_called_page_by_page(company):
    client = company.anthropic()
    listed = [model.id for model in client.models.list(limit=2)]
    assert {"claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-4-5", "model"} <= set(listed)
    assert listed == [model.id for model in client.models.list()]
    page = client.models.list(limit=2)
    assert ([model.id for model in page.data], page.has_more) == (listed[:2], True)
    back = client.models.list(limit=2, before_id=listed[3])
    assert ([model.id for model in back.data], back.has_more) == (listed[1:3], True)
    assert client.models.retrieve("claude-opus-5-5").type == "model"
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("claude-nowhere")


# ---- many at once ----


def test_it_serves_fifty_asynchronous_calls_at_once(company):
    async def fifty():
        async with anthropic.AsyncAnthropic(**company.anthropic_options("Ada", {})) as client:

            async def streamed():
                async with client.messages.stream(**ask()) as stream:
                    return await stream.get_final_message()

            return await asyncio.gather(
                *[client.messages.create(**ask()) for _ in range(25)], *[streamed() for _ in range(25)]
            )

    with company.moves("Ada", 50 * 324_000):
        answers = asyncio.run(fifty())
    assert {(len(answer.content[0].text), answer.usage.output_tokens) for answer in answers} == {(48, 12)}


def test_it_answers_pipelined_calls_in_their_order(company):
    sizes = [3, 1, 4, 1, 5]
    body = json.dumps({"model": "claude-opus-5-5", "max_tokens": 50, "messages": HELLO}).encode()
    with company.moves("Ada", sum(21 * 4_000 + size * 20_000 for size in sizes)):
        answers = company.pipelined([company.raw_messages("Ada", body, sized(size)) for size in sizes])
    assert [json.loads(answer)["usage"]["output_tokens"] for _, answer in answers] == sizes


# ---- clients that leave ----


def test_it_charges_the_whole_stream_that_a_client_left(company):
    with company.moves("Ada", 21 * 4_000 + 200 * 20_000):
        stream = company.anthropic().messages.create(**ask(200, {"x-sim-interval-us": "4000"}, stream=True))
        seen = [next(stream) for _ in range(4)]
        stream.close()
        assert len(seen) == 4
    assert company.bill()[-1].status == "complete"


def test_it_charges_the_answer_that_a_client_did_not_wait_for(company):
    with company.moves("Ada", 324_000), pytest.raises(anthropic.APITimeoutError):
        company.anthropic(timeout=0.1).messages.create(**ask(headers={"x-sim-fault": "slow-first-byte=500"}))
    assert company.bill()[-1].status == "complete"


# ---- providers that fail ----


@pytest.mark.parametrize(
    ("fault", "error", "kind"),
    [
        ("429", anthropic.RateLimitError, "rate_limit_error"),
        ("500", anthropic.InternalServerError, "api_error"),
        ("529", anthropic.InternalServerError, "overloaded_error"),
    ],
)
def test_it_passes_a_provider_s_error_on_and_charges_nothing(company, fault, error, kind):
    with company.moves("Ada", 0), pytest.raises(error) as raised:
        company.anthropic().messages.create(**ask(headers={"x-sim-fault": fault}))
    assert raised.value.status_code == int(fault)
    assert problem(raised.value)["type"] == kind
    assert raised.value.request_id.startswith("req_")


def test_it_bills_each_try_of_a_client_that_tries_again(company):
    fails = {"left": 2}

    def first_fail(request):
        if fails["left"]:
            fails["left"] -= 1
            request.headers["x-sim-fault"] = "529"

    http_client = anthropic.DefaultHttpxClient(event_hooks={"request": [first_fail]})
    before = len(company.calls("Ada"))
    with company.moves("Ada", 324_000):
        company.anthropic(max_retries=2, http_client=http_client).messages.create(**ask())
    tries = company.calls("Ada")[: len(company.calls("Ada")) - before]
    assert [one["outcome"] for one in tries] == ["settled", "not charged", "not charged"]


# ---- what is refused ----


def refused(company, error, name="Ada", **call):
    """The error of a call that must not reach the provider nor move money."""
    requests = company.provider.state()["requests"]
    with company.moves("Ada", 0), pytest.raises(error) as raised:
        company.anthropic(name).messages.create(**call)
    assert company.provider.state()["requests"] == requests
    assert isinstance(raised.value.body, dict)
    assert raised.value.body["type"] == "error"
    return raised.value


def test_it_denies_as_a_matter_of_billing_and_is_not_asked_again(company):
    denied = company.metric("tokenroll_denials_total")
    client = company.anthropic("Nightly agent", max_retries=5)
    with company.moves("Nightly agent", 0), pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(**ask(max_tokens=30_000))
    error = raised.value
    assert (error.status_code, problem(error)["type"]) == (402, "billing_error")
    assert "The wallet Nightly agent has 0.00" in problem(error)["message"]
    assert "can be approved by whoever runs the gateway" in problem(error)["message"]
    assert error.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in error.response.headers
    assert company.metric("tokenroll_denials_total") == denied + 1


def test_it_refuses_an_unknown_model(company):
    error = refused(company, anthropic.NotFoundError, **ask(model="claude-nowhere"))
    assert problem(error)["type"] == "not_found_error"


def test_it_refuses_an_unknown_key(company):
    requests = company.provider.state()["requests"]
    with pytest.raises(anthropic.AuthenticationError) as raised:
        company.anthropic(api_key="tr-nobody").messages.create(**ask())
    assert problem(raised.value)["type"] == "authentication_error"
    assert company.provider.state()["requests"] == requests


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"tools": [{"type": "code_execution_20250522", "name": "code_execution"}]}, "tools[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "file_1"}]}]}, "messages[0].content[0]"),
    ],
)  # fmt: skip
def test_it_refuses_what_nobody_can_bound_and_names_the_field(company, more, field):
    error = refused(company, anthropic.BadRequestError, **ask(**more))
    assert problem(error)["type"] == "invalid_request_error"
    assert field in problem(error)["message"]
    assert "cannot be bounded" in problem(error)["message"]


PICTURE = {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}
PAPER = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "A" * 40_000}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}


@pytest.mark.parametrize(("part", "tokens"), [(PICTURE, 1_500), (PAPER, 3_000)])
def test_a_picture_and_a_paper_are_bounded_by_the_context_window(company, part, tokens):
    said = [{"role": "user", "content": [{"type": "text", "text": "How much is left?"}, part]}]
    with company.moves("Ada", (21 + tokens) * 4_000 + 12 * 20_000):
        raw = company.anthropic().messages.with_raw_response.create(**ask(messages=said))
    # a million tokens at the dearest input, 8,000 nanos, and 500 out at 20,000
    assert raw.headers["x-tokenroll-hold-max"] == "8.010000000"


def test_pictures_are_bounded_by_what_the_rate_card_says_of_one(company):
    result = [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [PICTURE]}]
    said = [
        {"role": "user", "content": [{"type": "text", "text": "How much is left?"}, PICTURE]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "shoot", "input": {}}]},
        {"role": "user", "content": result},
    ]
    raw = company.anthropic().messages.with_raw_response.create(**ask(model="claude-haiku-4-5", messages=said))
    company.prove()
    source = len('{"type":"url","url":"https://a.example/b.png"}')
    sent = len(raw.http_request.content) - 2 * source
    # the text by its bytes and 16 for each message, 2,000 tokens for each picture, at 2,000 nanos; 500 out at 5,000
    assert raw.headers["x-tokenroll-hold-max"] == f"{((sent + 3 * 16 + 2 * 2_000) * 2_000 + 500 * 5_000) / 10**9:.9f}"


def test_so_is_a_screenshot_that_a_tool_gave(company):
    said = [
        {"role": "user", "content": "How much is left?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "shoot", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [PICTURE]}]},
    ]
    raw = company.anthropic().messages.with_raw_response.create(**ask(messages=said))
    assert raw.headers["x-tokenroll-hold-max"] == "8.010000000"
    company.prove()


def test_who_names_no_limit_of_searches_gets_one_and_pays_for_those_that_were_made(company):
    # 16 for 63 bytes of the tool with its limit, 5 for the text, 16 for the message, 512 + 32 for tools
    with company.moves("Ada", 581 * 1_000 + 12 * 5_000 + 2 * 10_000_000):
        raw = company.anthropic().messages.with_raw_response.create(
            **ask(model="claude-haiku-4-5", tools=[SEARCH], headers={"x-sim-web-searches": "2"})
        )
    assert raw.headers["x-tokenroll-searches"] == "8"
    assert raw.headers["x-tokenroll-hold-max"] == f"{(9 * 200_000 * 2_000 + 8 * 10_000_000 + 500 * 5_000) / 10**9:.9f}"


def test_a_search_that_the_wallet_cannot_carry_is_left_out_and_the_call_goes_on(company):
    # opus reads a million tokens for 8 credits: two contexts are more than an eighth of what Ada has
    with company.moves("Ada", 324_000):
        raw = company.anthropic().messages.with_raw_response.create(**ask(tools=[SEARCH]))
    assert raw.headers["x-tokenroll-searches"].startswith("0; a search may read a whole context again")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b'{"model":"claude-opus-5-5","max_tokens":5}',
        b'{"model":"claude-opus-5-5","messages":[{"role":"user","content":"hi"}]}',
        b'{"model":"claude-opus-5-5","max_tokens":0,"messages":[{"role":"user","content":"hi"}]}',
        b'{"model":"claude-opus-5-5","max_tokens":5,"max_tokens":50000,"messages":[{"role":"user","content":"hi"}]}',
        b'{"model":"claude-opus-5-5","max_tokens":5,"messages":[{"role":"user","content":7}]}',
    ],
)  # fmt: skip
def test_it_refuses_a_malformed_body(company, body):
    requests = company.provider.state()["requests"]
    with company.moves("Ada", 0), pytest.raises(anthropic.BadRequestError) as raised:
        company.anthropic().post("/v1/messages", content=body, cast_to=object)
    assert problem(raised.value)["type"] == "invalid_request_error"
    assert company.provider.state()["requests"] == requests


def test_it_refuses_a_body_that_is_too_large(company):
    requests = company.provider.state()["requests"]
    long = [{"role": "user", "content": "x" * (32 * 1024 * 1024)}]
    with company.moves("Ada", 0), pytest.raises(anthropic.RequestTooLargeError) as raised:
        company.anthropic().messages.create(**ask(messages=long))
    assert problem(raised.value)["type"] == "request_too_large"
    assert company.provider.state()["requests"] == requests


def test_it_never_sends_a_call_id_twice(company):
    headers = {"x-tokenroll-call-id": "a-call-of-ada-s-own"}
    with company.moves("Ada", 324_000):
        company.anthropic().messages.create(**ask(headers=headers))
    error = refused(company, anthropic.ConflictError, **ask(headers=headers))
    assert problem(error)["type"] == "conflict_error"
    assert "It cost 0.000324000 credits." in problem(error)["message"]


# ---- both dialects ----


def test_it_moves_the_wallet_by_the_same_amount_in_both_dialects(company):
    """The model called `model` is sold in both at the same price: 21 × 1,000 + 12 × 5,000."""
    with company.moves("Ada", 81_000):
        company.anthropic().messages.create(**ask(model="model"))
    with company.moves("Ada", 81_000):
        company.openai().chat.completions.create(model="model", messages=HELLO, max_tokens=500, extra_headers=sized(12))
