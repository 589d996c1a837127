"""The official OpenAI client, in strict mode, believes the gateway; and after every call the money is where it belongs.

Prices worked with, in nanos per token: gpt-4o-mini 150 in, 600 out; gpt-4o 2,500 in, 1,250 from the cache, 10,000 out.
"""

import asyncio
import json

import openai
import pytest
from pydantic import BaseModel

from tokenroll.testing import SimulatedProvider

HELLO = [{"role": "user", "content": "How much is left?"}]
# 17 bytes are 5 tokens, and 16 for the message: 21 tokens, 3,150 nanos at gpt-4o-mini.
PAY_TOOL = {
    "type": "function",
    "function": {
        "name": "pay",
        "parameters": {
            "type": "object",
            "properties": {"who": {"type": "string"}, "credits": {"type": "integer", "minimum": 5}},
            "required": ["who", "credits"],
        },
    },
}


def sized(output_tokens, **more):
    return {
        "x-sim-output-tokens": str(output_tokens),
        **{name.replace("_", "-"): value for name, value in more.items()},
    }


def ask(output_tokens=12, headers=None, **more):
    """A call whose answer has so many tokens; 12 of them cost 21 × 150 + 12 × 600 = 10,350 nanos."""
    return {
        "model": "gpt-4o-mini",
        "messages": HELLO,
        "extra_headers": {**sized(output_tokens), **(headers or {})},
        **more,
    }


def text_of(chunks):
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_it_answers_and_charges_what_the_provider_bills(company):
    with company.moves("Ada", 10_350):
        answer = company.openai().chat.completions.create(**ask())
    assert len(answer.choices[0].message.content) == 48
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (21, 12)


def test_it_tells_the_cost_in_headers_and_the_call_on_its_page(company):
    with company.moves("Ada", 10_350):
        raw = company.openai().chat.completions.with_raw_response.create(**ask(max_completion_tokens=100))
    headers = raw.headers
    # every byte of the body at the input price, 16 for the message, 100 tokens of output
    body = len(raw.http_request.content)
    assert headers["x-tokenroll-hold-max"] == f"0.{(body + 16) * 150 + 100 * 600:09d}"
    assert headers["x-tokenroll-cost"] == "0.000010350"
    assert "x-tokenroll-output-cap" not in headers
    left = company.wallet("Ada").left
    assert headers["x-tokenroll-available"] == f"{left // 10**9}.{left % 10**9:09d}"
    assert headers["x-tokenroll-cycle-ends"].endswith("-01T00:00:00Z")
    assert headers["x-request-id"] == company.bill()[-1].request_id
    status, seen = company.get(f"/me/calls/{headers['x-tokenroll-call-id']}", "Ada")
    assert (status, seen["attempts"][0]["state"], seen["attempts"][0]["cost"]) == (200, "settled", "0.000010350")
    assert company.get(f"/me/calls/{headers['x-tokenroll-call-id']}", "Nightly agent")[0] == 404
    assert raw.parse().usage.completion_tokens == 12


def test_it_stops_at_the_client_s_own_cap(company):
    with company.moves("Ada", 21 * 150 + 5 * 600):
        answer = company.openai().chat.completions.create(**ask(max_completion_tokens=5))
    assert answer.choices[0].finish_reason == "length"


def test_it_says_which_cap_it_put_where_there_was_none(company):
    with company.moves("Ada", 10_350):
        raw = company.openai().chat.completions.with_raw_response.create(**ask())
    # the plan's default: gpt-4o-mini may say 16,384 tokens as well
    assert raw.headers["x-tokenroll-output-cap"] == "16384"


def test_it_bills_the_prompt_once_and_every_choice(company):
    with company.moves("Ada", 21 * 150 + 30 * 600):
        answer = company.openai().chat.completions.create(**ask(10, n=3, max_tokens=50))
    assert [choice.index for choice in answer.choices] == [0, 1, 2]


def test_it_streams_without_usage_to_who_did_not_ask(company):
    with company.moves("Ada", 21 * 150 + 20 * 600):
        chunks = list(company.openai().chat.completions.create(**ask(20, stream=True)))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert len(text_of(chunks)) == 80


def test_it_streams_with_usage_to_who_asked(company):
    with company.moves("Ada", 21 * 150 + 20 * 600):
        chunks = list(
            company.openai().chat.completions.create(**ask(20, stream=True, stream_options={"include_usage": True}))
        )
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], 20)


def test_it_streams_the_same_bytes_as_the_provider(company):
    """With a cap and usage asked for there is nothing to change: a provider of the same seed, asked directly, says the same bytes."""
    wanted = ask(40, stream=True, stream_options={"include_usage": True}, max_tokens=50, user="one of its kind")

    def bytes_of(client):
        with client.chat.completions.with_streaming_response.create(**wanted) as answer:
            return b"".join(answer.iter_bytes()), answer.headers

    with company.moves("Ada", 21 * 150 + 40 * 600):
        through, headers = bytes_of(company.openai())
    with SimulatedProvider(seed=7) as provider, openai.OpenAI(base_url=provider.openai_base_url, api_key="k") as direct:
        assert bytes_of(direct)[0] == through
    assert through.endswith(b"data: [DONE]\n\n")
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "x-tokenroll-cost" not in headers


def test_it_calls_tools_there_and_back(company):
    client = company.openai()
    before = len(company.bill())
    answer = client.chat.completions.create(**ask(7, tools=[PAY_TOOL], max_tokens=100))
    (call,) = answer.choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == {"who": "roll", "credits": 5}
    after = [*HELLO, {"role": "assistant", "tool_calls": [call.model_dump()]},
             {"role": "tool", "tool_call_id": call.id, "content": "paid"}]  # fmt: skip
    spoken = client.chat.completions.create(
        model="gpt-4o-mini", messages=after, tools=[PAY_TOOL], max_tokens=100, extra_headers=sized(9)
    )
    assert spoken.choices[0].finish_reason == "stop"
    company.prove()
    first, second = company.bill()[before:]
    assert [first.usage["output"], second.usage["output"]] == [7, 9]
    assert first.cost_nanos == first.usage["input"] * 150 + 7 * 600
    assert second.cost_nanos == second.usage["input"] * 150 + 9 * 600


def test_it_streams_a_tool_call(company):
    with company.openai().chat.completions.stream(**ask(30, tools=[PAY_TOOL], max_tokens=100)) as stream:
        stream.until_done()
        answer = stream.get_final_completion()
    assert json.loads(answer.choices[0].message.tool_calls[0].function.arguments) == {"who": "roll", "credits": 5}
    company.prove()


def test_it_fits_a_schema(company):
    class Slip(BaseModel):
        who: str
        credits: int

    answer = company.openai().chat.completions.parse(
        model="gpt-4o-mini", messages=HELLO, response_format=Slip, max_tokens=100, extra_headers=sized(8)
    )
    assert answer.choices[0].message.parsed == Slip(who="roll", credits=1)
    company.prove()


def test_it_charges_what_the_cache_held_at_the_cache_s_price(company):
    long = [{"role": "user", "content": "y" * 8_192}]
    # 2,048 tokens of text and 16 for the message, 10 of output: 2,064 × 2,500 + 10 × 10,000
    with company.moves("Ada", 5_260_000):
        company.openai().chat.completions.create(model="gpt-4o", messages=long, max_tokens=10, extra_headers=sized(10))
    # again: 2,048 × 1,250 + 16 × 2,500 + 10 × 10,000
    with company.moves("Ada", 2_700_000):
        second = company.openai().chat.completions.create(
            model="gpt-4o", messages=long, max_tokens=10, extra_headers=sized(10)
        )
    assert second.usage.prompt_tokens_details.cached_tokens == 2_048


def test_it_charges_reasoning_inside_the_completion(company):
    with company.moves("Ada", 21 * 150 + 100 * 600):
        answer = company.openai().chat.completions.create(
            **ask(100, headers={"x-sim-reasoning-tokens": "60"}, reasoning_effort="high")
        )
    assert answer.usage.completion_tokens_details.reasoning_tokens == 60
    assert len(answer.choices[0].message.content) == 160


def bound_told(company):
    """How `call show` says that Ada's last call was bounded."""
    call = company.calls("Ada", 1)[0]["call"]
    (attempt,) = company.tokenroll("call", "show", call, "--json")["attempts"]
    return attempt["bound"]


def test_it_charges_the_service_tier_that_answered(company):
    # gpt-6-astra costs 10,000 and 50,000 nanos a token, twice that at priority
    with company.moves("Ada", 21 * 20_000 + 4 * 100_000):
        answer = company.openai().chat.completions.create(
            model="gpt-6-astra", messages=HELLO, max_tokens=10, service_tier="priority", extra_headers=sized(4)
        )
    assert answer.service_tier == "priority"
    bound = bound_told(company)
    assert (bound["service_tier"], bound["computed"]) == ("priority", bound["hold"])


def test_a_call_for_flex_that_is_answered_at_the_standard_tier_stays_within_its_hold(company):
    # gpt-5-mini costs 250 and 2,000 nanos a token, half of that at flex
    def flex(**headers):
        raw = company.openai().chat.completions.with_raw_response.create(
            model="gpt-5-mini",
            messages=HELLO,
            max_completion_tokens=10,
            service_tier="flex",
            extra_headers=sized(10, **headers),
        )
        return raw.parse().service_tier, int(raw.headers["x-tokenroll-hold-max"].replace(".", ""))

    with company.moves("Ada", 21 * 125 + 10 * 1_000):
        assert flex()[0] == "flex"
    with company.moves("Ada", 21 * 250 + 10 * 2_000):
        tier, held = flex(**{"x-sim-fault": "tier=standard"})
    assert tier == "default"
    assert held >= 21 * 250 + 10 * 2_000
    bound = bound_told(company)
    assert bound["computed"] == bound["hold"]
    assert held == bound["input_tokens_max"] * 250 + 10 * 2_000


def test_a_call_that_names_the_batch_tier_is_refused_as_openai_does(company):
    with company.moves("Ada", 0), pytest.raises(openai.BadRequestError) as refusal:
        company.openai().chat.completions.create(model="gpt-4o-mini", messages=HELLO, service_tier="batch")
    assert (refusal.value.param, refusal.value.code) == ("service_tier", "invalid_value")
    assert "Supported values are: 'auto', 'default', 'flex', and 'priority'." in refusal.value.message


def test_it_lists_what_can_be_called(company):
    client = company.openai()
    listed = [model.id for model in client.models.list()]
    assert {"gpt-4o-mini", "gpt-6-astra", "model"} <= set(listed)
    assert client.models.retrieve("gpt-6-astra").id == "gpt-6-astra"
    with pytest.raises(openai.NotFoundError) as unknown:
        client.models.retrieve("gpt-nowhere")
    assert unknown.value.code == "model_not_found"


# ---- many at once ----


def test_it_serves_fifty_asynchronous_calls_at_once(company):
    async def fifty():
        async with openai.AsyncOpenAI(**company.openai_options("Ada", {})) as client:
            whole = [client.chat.completions.create(**ask(12)) for _ in range(25)]
            streams = [client.chat.completions.create(**ask(12, stream=True)) for _ in range(25)]
            answers = await asyncio.gather(*whole, *streams)
            chunks = [[chunk async for chunk in stream] for stream in answers[25:]]
            return answers[:25], chunks

    with company.moves("Ada", 50 * 10_350):
        whole, streams = asyncio.run(fifty())
    assert {len(answer.choices[0].message.content) for answer in whole} == {48}
    assert {len(text_of(chunks)) for chunks in streams} == {48}


def test_it_answers_pipelined_calls_in_their_order(company):
    sizes = [3, 1, 4, 1, 5, 9, 2, 6]
    with company.moves("Ada", sum(21 * 150 + size * 600 for size in sizes)):
        answers = company.pipelined(
            [
                company.raw_chat("Ada", json.dumps({"model": "gpt-4o-mini", "messages": HELLO}).encode(), sized(size))
                for size in sizes
            ]
        )
    assert [json.loads(body)["usage"]["completion_tokens"] for _, body in answers] == sizes
    assert {status for status, _ in answers} == {200}


# ---- clients that leave ----


def test_it_charges_the_whole_stream_that_a_client_left(company):
    # 200 tokens in 25 events, one each 4 ms; the client leaves after three
    with company.moves("Ada", 21 * 150 + 200 * 600):
        stream = company.openai().chat.completions.create(
            **ask(200, stream=True, headers={"x-sim-interval-us": "4000"})
        )
        seen = [next(stream) for _ in range(3)]
        stream.close()
        assert len(seen) == 3
    assert company.bill()[-1].status == "complete"
    assert company.bill()[-1].usage == {"input": 21, "output": 200}


def test_it_charges_the_answer_that_a_client_did_not_wait_for(company):
    with company.moves("Ada", 10_350), pytest.raises(openai.APITimeoutError):
        company.openai(timeout=0.1).chat.completions.create(**ask(headers={"x-sim-fault": "slow-first-byte=500"}))
    assert company.bill()[-1].status == "complete"


def test_it_cancels_an_asynchronous_stream_without_losing_its_charge(company):
    async def leave():
        async with openai.AsyncOpenAI(**company.openai_options("Ada", {})) as client:
            stream = await client.chat.completions.create(
                **ask(160, stream=True, headers={"x-sim-interval-us": "4000"})
            )
            task = asyncio.create_task(anext(stream.__aiter__()))
            await task
            await stream.close()

    with company.moves("Ada", 21 * 150 + 160 * 600):
        asyncio.run(leave())


# ---- providers that fail ----


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("429", openai.RateLimitError, "rate_limit_exceeded"),
        ("500", openai.InternalServerError, None),
        ("503", openai.InternalServerError, None),
    ],
)
def test_it_passes_a_provider_s_error_on_and_charges_nothing(company, fault, error, code):
    with company.moves("Ada", 0), pytest.raises(error) as raised:
        company.openai().chat.completions.create(**ask(headers={"x-sim-fault": fault}))
    assert raised.value.status_code == int(fault)
    assert raised.value.body["code"] == code
    if fault == "429":
        assert raised.value.response.headers["retry-after"] == "1"
        assert raised.value.response.headers["x-ratelimit-remaining-requests"] == "0"


def test_it_bills_each_try_of_a_client_that_tries_again(company):
    """The first try meets a 500, the second an answer: one release, one settlement, two different call ids."""
    fails = {"left": 1}

    def first_fails(request):
        if fails["left"]:
            fails["left"] -= 1
            request.headers["x-sim-fault"] = "500"

    http_client = openai.DefaultHttpx2Client(event_hooks={"request": [first_fails]})
    before = len(company.calls("Ada"))
    with company.moves("Ada", 10_350):
        company.openai(max_retries=2, http_client=http_client).chat.completions.create(**ask())
    second, first = company.calls("Ada")[: len(company.calls("Ada")) - before]
    assert (first["outcome"], second["outcome"]) == ("not charged", "settled")
    assert first["call"] != second["call"]


# ---- what is refused ----


def refused(company, error, name="Ada", **call):
    """The error of a call that must not reach the provider nor move money."""
    requests = company.provider.state()["requests"]
    with company.moves("Ada", 0), pytest.raises(error) as raised:
        company.openai(name).chat.completions.create(**call)
    assert company.provider.state()["requests"] == requests
    assert isinstance(raised.value.body, dict)
    assert set(raised.value.body) == {"message", "type", "param", "code"}
    return raised.value


def test_it_denies_as_a_used_up_quota_and_is_not_asked_again(company):
    denied = company.metric("tokenroll_denials_total")
    client = company.openai("Nightly agent", max_retries=5)
    # the Nightly agent has 0.001 credits; 100,000 tokens at 600 nanos are 0.06
    with company.moves("Nightly agent", 0), pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(**ask(max_completion_tokens=100_000))
    error = raised.value
    assert (error.status_code, error.type, error.code, error.param) == (429, "insufficient_quota", "wallet_empty", None)
    assert "The wallet Nightly agent has 0.001000000 credits left" in error.message
    # (1,000,000 - what the input may cost) // 600
    assert "It would fit with an output cap of 1634 tokens." in error.message
    assert "No more credits are scheduled to arrive." in error.message
    assert "can be approved by whoever runs the gateway" in error.message
    headers = error.response.headers
    assert (headers["x-should-retry"], headers.get("retry-after")) == ("false", None)
    assert (headers["x-tokenroll-denied"], headers["x-tokenroll-available"]) == ("wallet_empty", "0.001000000")
    assert company.metric("tokenroll_denials_total") == denied + 1
    # what it can afford it gets
    with company.moves("Nightly agent", 10_350):
        client.chat.completions.create(**ask(max_completion_tokens=500))


def test_it_denies_a_member_without_any_grant(company):
    error = refused(company, openai.RateLimitError, "Cleo", **ask())
    assert (error.type, error.code) == ("insufficient_quota", "wallet_empty")
    assert "The wallet Cleo has 0.000000000 credits left" in error.message


def test_it_refuses_an_unknown_model(company):
    error = refused(company, openai.NotFoundError, **ask() | {"model": "gpt-nowhere"})
    assert (error.type, error.code, error.param) == ("invalid_request_error", "model_not_found", "model")


@pytest.mark.parametrize("key", ["tr-nobody", "sk-the-company", "My API Key"])
def test_it_refuses_an_unknown_key(company, key):
    requests = company.provider.state()["requests"]
    with pytest.raises(openai.AuthenticationError) as raised:
        company.openai(api_key=key).chat.completions.create(**ask())
    assert raised.value.code == "invalid_api_key"
    assert company.provider.state()["requests"] == requests


def test_it_refuses_to_serve_without_a_key(company):
    with pytest.raises(openai.AuthenticationError) as raised:
        company.openai().chat.completions.create(**ask(headers={"Authorization": openai.Omit()}))
    assert raised.value.code == "missing_api_key"


def test_it_refuses_an_administrator_s_key(company):
    company.key("Ada", "tr-admin-of-ada", scope="admin")
    error = refused(company, openai.PermissionDeniedError, "tr-admin-of-ada", **ask())
    assert error.code == "admin_key"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"web_search_options": {}}, "web_search_options"),
        ({"prediction": {"type": "content", "content": "abc"}}, "prediction"),
        ({"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "https://a.example/b.mp4"}}]}]},
         "messages[0].content[0]"),
    ],
)  # fmt: skip
def test_it_refuses_what_nobody_can_bound_and_names_the_field(company, more, param):
    error = refused(company, openai.BadRequestError, **ask() | more)
    assert (error.code, error.type) == ("call_not_bounded", "invalid_request_error")
    assert error.param == param


def test_sound_without_a_price_is_refused(company):
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    error = refused(company, openai.BadRequestError, **ask() | {"messages": [{"role": "user", "content": [sound]}]})
    assert error.code == "call_not_bounded"
    assert "no price for sound" in error.message
    spoken = {"audio": {"format": "wav", "voice": "alloy"}, "modalities": ["text", "audio"]}
    error = refused(company, openai.BadRequestError, **ask() | spoken)
    assert error.code == "call_not_bounded"
    assert "no price for an answer in sound" in error.message


@pytest.mark.parametrize("url", ["https://a.example/b.png", "data:image/png;base64," + "A" * 900_000])
def test_an_image_is_bounded_by_the_context_window_and_charged_as_reported(company, url):
    # 1,500 tokens for the image, 5 for 17 bytes of text, 16 for the message
    content = [{"type": "text", "text": "How much is left?"}, {"type": "image_url", "image_url": {"url": url}}]
    with company.moves("Ada", 1_521 * 150 + 12 * 600):
        raw = company.openai().chat.completions.with_raw_response.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": content}], max_completion_tokens=40,
            extra_headers={"x-sim-output-tokens": "12"},
        )  # fmt: skip
    # whatever it weighs: 128,000 tokens in at 150 nanos, 40 out at 600
    assert raw.headers["x-tokenroll-hold-max"] == "0.019224000"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'{"model":"gpt-4o-mini"}', b'{"model":"gpt-4o-mini","messages":"hello"}',
        b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"n":0}',
        b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"model":"gpt-4o"}',
        b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"max_tokens":-1}',
        b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"stream":"yes"}',
        b'{"model":7,"messages":[{"role":"user","content":"hi"}]}', b"\xff\xfe{}",
    ],
)  # fmt: skip
def test_it_refuses_a_malformed_body(company, body):
    requests = company.provider.state()["requests"]
    with company.moves("Ada", 0), pytest.raises(openai.BadRequestError) as raised:
        company.openai().post("/chat/completions", content=body, cast_to=object)
    assert isinstance(raised.value.body, dict)
    assert set(raised.value.body) == {"message", "type", "param", "code"}
    assert raised.value.type == "invalid_request_error"
    assert company.provider.state()["requests"] == requests


def test_it_refuses_a_body_that_is_too_large(company):
    long = [{"role": "user", "content": "x" * (32 * 1024 * 1024)}]
    requests = company.provider.state()["requests"]
    with company.moves("Ada", 0), pytest.raises(openai.APIStatusError) as raised:
        company.openai().chat.completions.create(model="gpt-4o-mini", messages=long)
    assert (raised.value.status_code, raised.value.code) == (413, "request_too_large")
    assert company.provider.state()["requests"] == requests


def test_it_never_sends_a_call_id_twice(company):
    headers = {"x-tokenroll-call-id": "nightly-2026-11-23-0001"}
    with company.moves("Ada", 10_350):
        company.openai().chat.completions.create(**ask(headers=headers))
    error = refused(company, openai.ConflictError, **ask(headers=headers))
    assert error.code == "call_repeated"
    assert "that call is settled. It cost 0.000010350 credits." in error.message
    assert error.response.headers["x-should-retry"] == "false"
