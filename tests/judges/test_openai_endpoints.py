"""The official OpenAI client at the other endpoints that calls are made at: responses, completions and embeddings.

Prices worked with, in nanos a token: gpt-4o-mini 150 in, 600 out; gpt-3.5-turbo-instruct 1,500 in, 2,000 out;
text-embedding-3-small 20 in. `HELLO` is 17 bytes: 5 tokens, and 16 for the message.
"""

import openai
import pytest
from pydantic import BaseModel

HELLO = "How much is left?"
PAY_TOOL = {
    "type": "function",
    "name": "pay",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"who": {"type": "string"}},
        "required": ["who"],
        "additionalProperties": False,
    },
}


class Slip(BaseModel):
    closing: int


def sized(output_tokens):
    return {"extra_headers": {"x-sim-output-tokens": str(output_tokens)}}


# ---- responses -------------------------------------------------------------------------------------------------------------


def test_a_response_costs_what_the_same_call_costs_at_chat_completions(company):
    client = company.openai()
    with company.moves("Ada", 10_350):
        response = client.responses.create(model="gpt-4o-mini", input=HELLO, **sized(12))
    assert (response.status, len(response.output_text)) == ("completed", 48)
    assert (response.usage.input_tokens, response.usage.output_tokens) == (21, 12)
    with company.moves("Ada", 10_350):
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": HELLO}], **sized(12))


def test_a_streamed_response_is_charged_by_the_event_that_ends_it(company):
    with company.moves("Ada", 10_350):
        stream = company.openai().responses.create(model="gpt-4o-mini", input=HELLO, stream=True, **sized(12))
        events = list(stream)
    kinds = [event.type for event in events]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert (
        "".join(event.delta for event in events if event.type == "response.output_text.delta")
        == events[-1].response.output_text
    )
    assert events[-1].response.usage.total_tokens == 33


def test_a_response_stopped_by_its_cap_is_incomplete_and_charged(company):
    with company.moves("Ada", 21 * 150 + 20 * 600):
        response = company.openai().responses.create(
            model="gpt-4o-mini", input=HELLO, max_output_tokens=20, **sized(500)
        )
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_items_tools_and_shaped_answers_pass(company):
    client = company.openai()
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": HELLO}]},
        {"type": "function_call", "call_id": "call_1", "name": "pay", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "paid"},
    ]
    response = client.responses.create(
        model="gpt-4o-mini", input=items, instructions="Pay.", tools=[PAY_TOOL], **sized(8)
    )
    assert response.output[0].type == "message"
    called = client.responses.create(model="gpt-4o-mini", input=HELLO, tools=[PAY_TOOL], **sized(8))
    assert (called.output[0].type, called.output[0].name) == ("function_call", "pay")
    shaped = client.responses.parse(model="gpt-4o-mini", input=HELLO, text_format=Slip)
    assert isinstance(shaped.output_parsed, Slip)
    company.prove()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "tools[0].type"),
        ({"input": [{"type": "computer_call_output", "call_id": "1", "output": {}}]}, "input[0]"),
    ],
)
def test_what_nobody_can_bound_is_refused_by_name_and_never_sent(company, fields, param):
    sent = len(company.bill())
    with company.moves("Ada", 0), pytest.raises(openai.BadRequestError) as refused:
        company.openai().responses.create(**{"model": "gpt-4o-mini", "input": HELLO, **fields})
    assert refused.value.param == param
    assert len(company.bill()) == sent


def test_what_goes_on_from_something_stored_is_bounded_by_the_whole_context(company):
    with company.moves("Ada", 21 * 150 + 4 * 600):
        raw = company.openai().responses.with_raw_response.create(
            model="gpt-4o-mini", input=HELLO, previous_response_id="resp_1", max_output_tokens=16, **sized(4)
        )
    assert raw.headers["x-tokenroll-hold-max"] == f"0.{128_000 * 150 + 16 * 600:09d}"


SEARCH = {"type": "web_search"}


@pytest.mark.parametrize("stream", [False, True])
def test_who_names_no_limit_of_searches_gets_one_and_pays_for_those_that_were_made(company, stream):
    # 6 for 21 bytes of the tool, 5 for the text, 16 for the message, 512 + 32 for tools; each search 0.01 credits
    client = company.openai(_strict_response_validation=False)
    with company.moves("Ada", 571 * 150 + 12 * 600 + 2 * 10_000_000):
        raw = client.responses.with_raw_response.create(
            model="gpt-4o-mini", input=HELLO, tools=[SEARCH], max_output_tokens=40, stream=stream,
            extra_headers={"x-sim-output-tokens": "12", "x-sim-web-searches": "2"},
        )  # fmt: skip
        if stream:
            list(raw.parse())
    assert raw.headers["x-tokenroll-searches"] == "8"
    # nine times the context at 150 nanos a token, eight searches, the cap at 600
    assert raw.headers["x-tokenroll-hold-max"] == f"0.{9 * 128_000 * 150 + 8 * 10_000_000 + 40 * 600:09d}"


def test_never_more_often_than_the_limit(company):
    with company.moves("Ada", 571 * 150 + 12 * 600 + 8 * 10_000_000):
        company.openai().responses.create(
            model="gpt-4o-mini", input=HELLO, tools=[SEARCH],
            extra_headers={"x-sim-output-tokens": "12", "x-sim-web-searches": "50"},
        )  # fmt: skip


def test_a_search_without_a_price_is_left_out_and_the_call_goes_on(company):
    # the rate card of gpt-3.5 prices no search: what is sent has no tool at all, so 5 + 16 tokens
    company.do("ratecard.import", providers=["openai"], models=["gpt-4"])
    with company.moves("Ada", 21 * 30_000 + 12 * 60_000):
        raw = company.openai().responses.with_raw_response.create(
            model="gpt-4", input=HELLO, tools=[SEARCH], max_output_tokens=40,
            extra_headers={"x-sim-output-tokens": "12", "x-sim-web-searches": "2"},
        )  # fmt: skip
    assert raw.headers["x-tokenroll-searches"] == "0; the rate card has no price for searches"


def test_a_screenshot_and_a_paper_are_bounded_by_the_context_window(company):
    content = [
        {"type": "input_text", "text": HELLO},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"},
        {"type": "input_file", "filename": "slip.pdf", "file_data": "data:application/pdf;base64,AAAA"},
    ]
    with company.moves("Ada", (5 + 16 + 1_500 + 3_000) * 150 + 12 * 600):
        raw = company.openai().responses.with_raw_response.create(
            model="gpt-4o-mini", input=[{"role": "user", "content": content}], max_output_tokens=16, **sized(12)
        )
    assert raw.headers["x-tokenroll-hold-max"] == f"0.{128_000 * 150 + 16 * 600:09d}"


# ---- completions -----------------------------------------------------------------------------------------------------------


def test_a_completion_is_charged_for_every_choice_of_every_prompt(company):
    # two prompts of 5 + 16 tokens, two choices of each, 12 tokens a choice
    with company.moves("Ada", 42 * 1_500 + 4 * 12 * 2_000):
        answer = company.openai().completions.create(
            model="gpt-3.5-turbo-instruct", prompt=[HELLO, HELLO], n=2, max_tokens=40, **sized(12)
        )
    assert [len(choice.text) for choice in answer.choices] == [48] * 4
    assert answer.usage.completion_tokens == 48


@pytest.mark.parametrize("asked", [True, False])
def test_a_streamed_completion_is_charged_whether_or_not_its_client_asks_for_usage(company, asked):
    more = {"stream_options": {"include_usage": True}} if asked else {}
    with company.moves("Ada", 21 * 1_500 + 12 * 2_000):
        # strict, the client refuses the null `finish_reason` of every chunk but the last that OpenAI itself sends
        chunks = list(
            company.openai(_strict_response_validation=False).completions.create(
                model="gpt-3.5-turbo-instruct", prompt=HELLO, stream=True, max_tokens=40, **more, **sized(12)
            )
        )
    assert sum(len(choice.text) for chunk in chunks for choice in chunk.choices) == 48
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == ([33] if asked else [])


# ---- embeddings ------------------------------------------------------------------------------------------------------------


def test_embeddings_are_charged_for_what_was_read_and_never_hold_for_output(company):
    with company.moves("Ada", 42 * 20):
        raw = company.openai().embeddings.with_raw_response.create(
            model="text-embedding-3-small", input=[HELLO, HELLO], dimensions=8, encoding_format="float"
        )
    answer = raw.parse()
    assert [len(one.embedding) for one in answer.data] == [8, 8]
    assert answer.usage.total_tokens == 42
    assert raw.headers["x-tokenroll-hold-max"] == f"0.{(len(raw.http_request.content) + 32) * 20:09d}"


def test_embeddings_in_base64_as_the_client_asks_for_by_default(company):
    client = company.openai(_strict_response_validation=False)  # strict, it looks before it has decoded
    with company.moves("Ada", 21 * 20):
        answer = client.embeddings.create(model="text-embedding-3-small", input=HELLO)
    assert [type(number) for number in answer.data[0].embedding] == [float] * 16


def test_token_ids_are_embedded_too(company):
    with company.moves("Ada", (3 + 16) * 20):
        company.openai().embeddings.create(model="text-embedding-3-small", input=[1, 2, 3], encoding_format="float")


def test_a_model_that_only_embeds_cannot_be_talked_to(company):
    with company.moves("Ada", 0), pytest.raises(openai.BadRequestError, match="has no price for output"):
        company.openai().chat.completions.create(
            model="text-embedding-3-small", messages=[{"role": "user", "content": HELLO}], max_completion_tokens=5
        )


# ---- all of them -----------------------------------------------------------------------------------------------------------

CALLS = {
    "responses": lambda client, **more: client.responses.create(model="gpt-4o-mini", input=HELLO, **more),
    "completions": lambda client, **more: client.completions.create(
        model="gpt-3.5-turbo-instruct", prompt=HELLO, max_tokens=20, **more
    ),
    "embeddings": lambda client, **more: client.embeddings.create(
        model="text-embedding-3-small", input=HELLO, encoding_format="float", **more
    ),
}


@pytest.mark.parametrize("endpoint", CALLS)
def test_an_empty_wallet_is_told_so_and_nothing_is_sent(company, endpoint):
    sent = company.provider.state()["requests"]
    with pytest.raises(openai.RateLimitError) as refused:
        CALLS[endpoint](company.openai("Cleo"))
    assert (refused.value.type, refused.value.code) == ("insufficient_quota", "wallet_empty")
    assert company.provider.state()["requests"] == sent


@pytest.mark.parametrize("fault", ["429", "500", "503"])
@pytest.mark.parametrize("endpoint", CALLS)
def test_a_providers_refusal_is_passed_on_and_costs_nothing(company, endpoint, fault):
    with company.moves("Ada", 0), pytest.raises(openai.APIStatusError) as refused:
        CALLS[endpoint](company.openai(), extra_headers={"x-sim-fault": fault})
    assert refused.value.status_code == int(fault)


@pytest.mark.parametrize("endpoint", CALLS)
def test_a_key_that_nobody_knows_calls_nothing(company, endpoint):
    with company.moves("Ada", 0), pytest.raises(openai.AuthenticationError):
        CALLS[endpoint](company.openai(api_key="tr-nobody"))
