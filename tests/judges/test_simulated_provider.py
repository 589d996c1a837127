"""The official clients, in strict mode, believe the simulated provider: what passes here can stand in for a provider elsewhere."""

import json
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel

from tokenroll.testing import SimulatedProvider

PAY_TOOL = {
    "type": "object",
    "properties": {"who": {"type": "string"}, "credits": {"type": "integer", "minimum": 5}},
    "required": ["who", "credits"],
}
CHAT_TOOL = {"type": "function", "function": {"name": "pay", "parameters": PAY_TOOL}}
MESSAGES_TOOL = {"name": "pay", "input_schema": PAY_TOOL}
HELLO: list[Any] = [{"role": "user", "content": "How much is left?"}]
# "How much is left?" has 17 bytes: 5 tokens, and 16 for the message.
HELLO_TOKENS = 21


@pytest.fixture(scope="module")
def provider():
    with SimulatedProvider(seed=7) as running:
        yield running


@pytest.fixture(scope="module")
def chat(provider):
    with openai.OpenAI(
        base_url=provider.openai_base_url, api_key="My API Key", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


@pytest.fixture(scope="module")
def messages(provider):
    with anthropic.Anthropic(
        base_url=provider.base_url, api_key="My API Key", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


def sized(output_tokens: int, **more: str) -> dict[str, str]:
    return {"x-sim-output-tokens": str(output_tokens), **more}


def test_it_answers_a_chat(chat):
    answer = chat.chat.completions.create(model="gpt-4o-mini", messages=HELLO, extra_headers=sized(12))
    assert answer.model == "gpt-4o-mini-2024-07-18"
    assert answer.choices[0].finish_reason == "stop"
    assert len(answer.choices[0].message.content) == 48
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (21, 12, 33)


def test_it_stops_at_the_cap(chat):
    answer = chat.chat.completions.create(
        model="gpt-4o-mini", messages=HELLO, max_completion_tokens=5, extra_headers=sized(12)
    )
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 5)


def test_it_bills_the_prompt_once_and_every_choice(chat):
    answer = chat.chat.completions.create(model="gpt-4o-mini", messages=HELLO, n=3, extra_headers=sized(10))
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (HELLO_TOKENS, 30)


def test_it_streams_a_chat_with_usage_only_when_asked(chat):
    ask = {"model": "gpt-4o-mini", "messages": HELLO, "stream": True, "extra_headers": sized(20)}
    silent = list(chat.chat.completions.create(**ask))
    assert all(chunk.usage is None and chunk.choices for chunk in silent)
    told = list(chat.chat.completions.create(**ask, stream_options={"include_usage": True}))
    assert [chunk.usage for chunk in told[:-1]] == [None] * (len(told) - 1)
    assert (told[-1].choices, told[-1].usage.completion_tokens) == ([], 20)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in told[:-1])
    assert len(text) == 80
    assert told[-2].choices[0].finish_reason == "stop"


def test_it_streams_several_choices(chat):
    chunks = list(
        chat.chat.completions.create(
            model="gpt-4o-mini",
            messages=HELLO,
            n=2,
            stream=True,
            stream_options={"include_usage": True},
            extra_headers=sized(8),
        )
    )
    assert {choice.index for chunk in chunks for choice in chunk.choices} == {0, 1}
    assert chunks[-1].usage.completion_tokens == 16


def test_it_calls_a_tool_and_speaks_after_its_result(chat):
    answer = chat.chat.completions.create(model="gpt-4o-mini", messages=HELLO, tools=[CHAT_TOOL])
    (call,) = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls"
    assert (call.function.name, json.loads(call.function.arguments)) == ("pay", {"who": "roll", "credits": 5})
    # 21 for the message, 512 with tools, 32 for the tool, and the tool's own text
    assert answer.usage.prompt_tokens > HELLO_TOKENS + 512 + 32
    after = [
        *HELLO,
        {"role": "assistant", "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": "paid"},
    ]
    spoken = chat.chat.completions.create(model="gpt-4o-mini", messages=after, tools=[CHAT_TOOL])
    assert spoken.choices[0].message.content
    assert spoken.choices[0].finish_reason == "stop"


def test_it_streams_a_tool_call(chat):
    with chat.chat.completions.stream(model="gpt-4o-mini", messages=HELLO, tools=[CHAT_TOOL]) as stream:
        stream.until_done()
        answer = stream.get_final_completion()
    assert json.loads(answer.choices[0].message.tool_calls[0].function.arguments) == {"who": "roll", "credits": 5}


def test_it_calls_a_function_the_old_way(chat):
    answer = chat.chat.completions.create(
        model="gpt-4o-mini", messages=HELLO, functions=[{"name": "pay", "parameters": PAY_TOOL}]
    )
    assert answer.choices[0].finish_reason == "function_call"
    assert answer.choices[0].message.function_call.name == "pay"


def test_it_fits_a_schema(chat):
    class Slip(BaseModel):
        who: str
        credits: int
        lines: list[str]

    answer = chat.chat.completions.parse(model="gpt-4o-mini", messages=HELLO, response_format=Slip)
    assert answer.choices[0].message.parsed == Slip(who="roll", credits=1, lines=["roll"])


def test_it_reports_what_its_cache_held(chat):
    long = [{"role": "user", "content": "x" * 8_192}]
    first = chat.chat.completions.create(model="gpt-4o", messages=long)
    second = chat.chat.completions.create(model="gpt-4o", messages=long)
    assert first.usage.prompt_tokens_details.cached_tokens == 0
    # 8,197 bytes with the role in front are 16 whole blocks of 128 tokens
    assert second.usage.prompt_tokens_details.cached_tokens == 2_048
    assert second.usage.prompt_tokens == 2_048 + 16


def test_it_reasons_inside_the_completion(chat):
    answer = chat.chat.completions.create(
        model="o3-mini",
        messages=HELLO,
        reasoning_effort="high",
        extra_headers=sized(100, **{"x-sim-reasoning-tokens": "60"}),
    )
    assert answer.usage.completion_tokens == 100
    assert answer.usage.completion_tokens_details.reasoning_tokens == 60
    assert len(answer.choices[0].message.content) == 160


def test_it_answers_at_the_service_tier_it_sells(chat):
    priority = chat.chat.completions.create(model="gpt-4o-mini", messages=HELLO, service_tier="priority")
    flex = chat.chat.completions.create(model="gpt-4o-mini", messages=HELLO, service_tier="flex")
    assert (priority.service_tier, flex.service_tier) == ("priority", "default")


def test_it_lists_models(chat, messages):
    assert "gpt-6-astra" in {model.id for model in chat.models.list()}
    assert chat.models.retrieve("claude-opus-5-5").owned_by == "anthropic"
    assert "claude-opus-5-5" in {model.id for model in messages.models.list()}
    assert messages.models.retrieve("claude-opus-5-5").type == "model"


def test_it_answers_messages(messages):
    answer = messages.messages.create(model="claude-opus-5-5", max_tokens=100, messages=HELLO, extra_headers=sized(12))
    assert answer.stop_reason == "end_turn"
    assert len(answer.content[0].text) == 48
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.service_tier) == (21, 12, "standard")
    assert messages.messages.count_tokens(model="claude-opus-5-5", messages=HELLO).input_tokens == HELLO_TOKENS


def test_it_streams_messages(messages):
    with messages.messages.stream(
        model="claude-opus-5-5", max_tokens=10, messages=HELLO, extra_headers=sized(12)
    ) as stream:
        kinds = {event.type for event in stream}
        answer = stream.get_final_message()
    assert {"message_start", "content_block_start", "content_block_delta", "message_delta", "message_stop"} <= kinds
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 10)


def test_it_thinks_before_it_speaks(messages):
    ask = {
        "model": "claude-opus-5-5", "max_tokens": 4_000, "messages": HELLO,
        "thinking": {"type": "enabled", "budget_tokens": 1_024},
        "extra_headers": sized(100, **{"x-sim-reasoning-tokens": "40"}),
    }  # fmt: skip
    whole = messages.messages.create(**ask)
    assert [block.type for block in whole.content] == ["thinking", "text"]
    assert whole.usage.output_tokens == 100
    assert whole.usage.output_tokens_details.thinking_tokens == 40
    with messages.messages.stream(**ask) as stream:
        streamed = stream.get_final_message()
    assert len(streamed.content[0].thinking) == 160
    assert streamed.usage.output_tokens == 100


def test_it_uses_a_tool_in_messages(messages):
    ask = {"model": "claude-opus-5-5", "max_tokens": 400, "messages": HELLO, "tools": [MESSAGES_TOOL]}
    whole = messages.messages.create(**ask)
    assert (whole.stop_reason, whole.content[0].input) == ("tool_use", {"who": "roll", "credits": 5})
    with messages.messages.stream(**ask) as stream:
        assert stream.get_final_message().content[0].input == {"who": "roll", "credits": 5}


def test_it_writes_and_reads_marked_prefixes(messages):
    system = [
        {"type": "text", "text": "a" * 8_000, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": "b" * 4_000, "cache_control": {"type": "ephemeral"}},
    ]
    ask = {"model": "claude-sonnet-5-5", "max_tokens": 50, "messages": HELLO, "system": system}
    first = messages.messages.create(**ask).usage
    # 2,000 tokens for an hour, 1,000 more for five minutes; 5 of the question and 16 each for question and system stay
    assert (first.cache_creation.ephemeral_1h_input_tokens, first.cache_creation.ephemeral_5m_input_tokens) == (
        2_000,
        1_000,
    )
    assert first.input_tokens + first.cache_creation_input_tokens + first.cache_read_input_tokens == 3_037
    second = messages.messages.create(**ask).usage
    assert (second.cache_read_input_tokens, second.cache_creation_input_tokens) == (3_000, 0)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("429", openai.RateLimitError),
        ("500", openai.InternalServerError),
        ("529", openai.InternalServerError),
    ],
)
def test_it_fails_a_chat_as_providers_do(chat, fault, error):
    with pytest.raises(error) as raised:
        chat.chat.completions.create(model="gpt-4o-mini", messages=HELLO, extra_headers={"x-sim-fault": fault})
    assert set(raised.value.body) == {"message", "type", "param", "code"}
    if fault == "429":
        assert raised.value.code == "rate_limit_exceeded"
        assert raised.value.response.headers["retry-after"] == "1"
        assert raised.value.response.headers["x-ratelimit-remaining-requests"] == "0"


@pytest.mark.parametrize(
    ("fault", "error", "kind"),
    [
        ("429", anthropic.RateLimitError, "rate_limit_error"),
        ("500", anthropic.InternalServerError, "api_error"),
        ("529", anthropic.InternalServerError, "overloaded_error"),
    ],
)
def test_it_fails_messages_as_providers_do(messages, fault, error, kind):
    with pytest.raises(error) as raised:
        messages.messages.create(
            model="claude-opus-5-5", max_tokens=9, messages=HELLO, extra_headers={"x-sim-fault": fault}
        )
    assert raised.value.body["error"]["type"] == kind
    assert raised.value.request_id.startswith("req_")


def test_it_refuses_what_it_does_not_sell(chat, messages):
    with pytest.raises(openai.NotFoundError) as unknown:
        chat.chat.completions.create(model="gpt-nowhere", messages=HELLO)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(anthropic.NotFoundError):
        messages.messages.create(model="claude-nowhere", max_tokens=9, messages=HELLO)
    with pytest.raises(anthropic.BadRequestError):
        messages.messages.create(
            model="claude-opus-5-5",
            max_tokens=1_024,
            messages=HELLO,
            thinking={"type": "enabled", "budget_tokens": 1_024},
        )


def test_it_breaks_a_stream_with_an_error_event(chat, messages):
    with pytest.raises(openai.APIError, match="server had an error"):
        list(
            chat.chat.completions.create(
                model="gpt-4o-mini", messages=HELLO, stream=True, extra_headers={"x-sim-fault": "error-event"}
            )
        )
    with (
        pytest.raises(anthropic.APIStatusError, match="Overloaded"),
        messages.messages.stream(
            model="claude-opus-5-5", max_tokens=90, messages=HELLO, extra_headers={"x-sim-fault": "error-event"}
        ) as stream,
    ):
        stream.until_done()


def test_it_cuts_a_stream_in_the_middle(chat):
    with pytest.raises(openai.APIConnectionError):
        list(
            chat.chat.completions.create(
                model="gpt-4o-mini", messages=HELLO, stream=True, extra_headers={"x-sim-fault": "cut=3"}
            )
        )


@pytest.mark.parametrize(
    "fault",
    [
        "gzip",
        "br",
        "early-hints",
        "split-head",
        "split-body",
        "spaced",
        "no-length",
        "slow-first-byte=20",
        "close-after",
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_it_is_understood_in_every_disguise(provider, fault, stream):
    # A client of its own each time: some of these end the connection
    with openai.OpenAI(base_url=provider.openai_base_url, api_key="k", max_retries=0) as client:
        answer: Any = client.chat.completions.create(
            model="gpt-4o-mini", messages=HELLO, stream=stream, extra_headers=sized(16, **{"x-sim-fault": fault})
        )
        text = (
            "".join(chunk.choices[0].delta.content or "" for chunk in answer)
            if stream
            else answer.choices[0].message.content
        )
    assert len(text) == 64


async def async_answers(provider):
    async with openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="k", max_retries=0) as client:
        stream: Any = await client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True)
        return [chunk async for chunk in stream]


def test_it_serves_asynchronous_clients(provider):
    import asyncio

    assert len(asyncio.run(async_answers(provider))) > 3


def test_it_keeps_a_response_under_the_id_that_it_is_told_and_plays_it_again(chat):
    named = {"x-sim-name": "resp_slip", **sized(12)}
    made = chat.responses.create(model="gpt-4o-mini", input="How much is left?", extra_headers=named)
    assert (made.id, chat.responses.retrieve("resp_slip").id) == ("resp_slip", "resp_slip")
    events = list(chat.responses.retrieve("resp_slip", stream=True))
    assert [events[0].type, events[-1].type] == ["response.created", "response.completed"]
    assert events[-1].response.output_text == made.output_text
    chat.responses.delete("resp_slip")
    assert chat.responses.retrieve("resp_slip").id == "resp_slip"
    other = chat.responses.create(model="gpt-4o-mini", input="How much is left?").id
    chat.responses.delete(other)
    with pytest.raises(openai.NotFoundError, match=other):
        chat.responses.retrieve(other)


def test_it_answers_a_response_that_names_nothing_and_a_chat_whose_cap_is_nothing(chat):
    answer = chat.responses.create(extra_headers=sized(12))
    assert (answer.model, answer.usage.input_tokens, answer.usage.output_tokens) == ("gpt-4o-mini-2024-07-18", 0, 12)
    ended = chat.chat.completions.create(
        model="gpt-4o-mini", messages=HELLO, max_tokens=0, max_completion_tokens=0, extra_headers=sized(12)
    )
    assert (ended.choices[0].finish_reason, ended.usage.completion_tokens) == ("stop", 12)
    with pytest.raises(openai.BadRequestError, match="max_output_tokens"):
        chat.responses.create(max_output_tokens=0)


def test_no_calls_of_tools_are_no_searches(chat):
    search: Any = [{"type": "web_search"}]
    headers = sized(12, **{"x-sim-web-searches": "3"})
    kinds = [
        [item.type for item in chat.responses.create(input="Hi", tools=search, extra_headers=headers, **most).output]
        for most in ({}, {"max_tool_calls": 2}, {"max_tool_calls": 0})
    ]
    assert [one.count("web_search_call") for one in kinds] == [3, 2, 0]


def test_it_lists_batches_and_those_that_were_named_are_not_lost(messages):
    create = messages.messages.batches.create
    request: Any = {"model": "claude-haiku-4-5", "max_tokens": 64, "messages": HELLO}
    for name in ("one", "two"):
        create(requests=[{"custom_id": "slip", "params": request}], extra_headers={"x-sim-name": f"msgbatch_{name}"})
    assert [one.id for one in messages.messages.batches.list()] == ["msgbatch_two", "msgbatch_one"]
    messages.messages.batches.delete("msgbatch_one")
    assert messages.messages.batches.retrieve("msgbatch_one").processing_status == "ended"


def test_it_limits_batches_and_jobs_as_it_limits_calls(chat):
    limited = {"x-sim-fault": "429"}
    file = chat.files.create(file=("in.jsonl", b"{}"), purpose="batch").id
    with pytest.raises(openai.RateLimitError):
        chat.batches.create(
            input_file_id=file, endpoint="/v1/responses", completion_window="24h", extra_headers=limited
        )
    with pytest.raises(openai.RateLimitError):
        chat.fine_tuning.jobs.create(model="gpt-4o-mini", training_file=file, extra_headers=limited)
    assert list(chat.batches.list()) == []
