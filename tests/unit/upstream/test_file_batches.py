"""What an input file says of a batch: read in any pieces, summed into one bound, refused by line."""

import json
from typing import Any

import pytest

from tokenroll.upstream.dialect import RequestRefused
from tokenroll.upstream.file_batches import FileBatches

BATCHES = FileBatches()
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
TOOL = {"type": "function", "function": {"name": "pay"}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:,"}}


def request(endpoint="/v1/chat/completions", **more):
    asked = {"input_file_id": "file-1", "endpoint": endpoint, "completion_window": "24h", **more}
    return json.dumps(asked).encode()


def line(body: Any, url="/v1/chat/completions", **more):
    return json.dumps({"custom_id": "a", "method": "POST", "url": url, "body": body, **more}).encode() + b"\n"


def read(file, body=None, *, at=None):
    reading = BATCHES.reading(body or request())
    cut = len(file) if at is None else at
    for piece in (file[:cut], file[cut:]):
        reading.feed(piece)
    return reading.end()


def test_its_facts_are_the_sums_of_its_lines():
    one = {**CHAT, "max_tokens": 100, "n": 3, "tools": [TOOL]}
    two = {**CHAT, "messages": [*CHAT["messages"], {"role": "user", "content": [PICTURE]}]}
    file = line(one) + b"\n  \r\n" + line(two)
    facts = read(file)
    assert (facts.model, facts.service_tier, facts.is_text, facts.has_output) == ("gpt-4o-mini", "batch", True, True)
    assert (facts.output_cap_tokens, facts.message_count, facts.tool_count, facts.has_tools) == (300, 3, 1, True)
    assert facts.input_bytes == len(json.dumps(one)) + len(json.dumps(two)) - len(b'{"url": "data:,"}') + 6_400
    assert (facts.beyond_bytes, facts.fills_window, facts.reads_stored) == (True, False, True)
    batched = facts.batched
    assert batched is not None
    assert (batched.request_count, batched.tool_request_count, batched.window_count) == (2, 1, 0)
    assert (batched.image_request_count, facts.image_count) == (1, 1)
    assert batched.uncapped_choice_count == 1


def test_it_is_the_same_file_in_whatever_pieces_it_comes():
    file = line({**CHAT, "max_tokens": 5}) + line({**CHAT, "max_tokens": 7}).rstrip(b"\n")
    for at in range(len(file)):
        facts = read(file, at=at)
        assert (facts.output_cap_tokens, facts.message_count) == (12, 2)


@pytest.mark.parametrize(
    ("endpoint", "body", "has_output", "cap"),
    [
        ("/v1/responses", {"model": "m", "input": "Hi", "max_output_tokens": 9}, True, 9),
        ("/v1/completions", {"model": "m", "prompt": ["Hi", "Ho"], "max_tokens": 9, "n": 2}, True, 36),
        ("/v1/embeddings", {"model": "m", "input": ["Hi", "Ho"]}, False, 0),
        ("/v1/moderations", {"input": "Hi"}, False, 0),
    ],
)
def test_a_line_is_read_as_its_endpoint_reads_it(endpoint, body, has_output, cap):
    facts = read(line(body, endpoint), request(endpoint))
    assert facts.batched is not None
    assert (facts.has_output, facts.output_cap_tokens, facts.batched.uncapped_choice_count) == (has_output, cap, 0)


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (b"", "1 to 2000 requests here, not none"),
        (b"\n \n", "not none"),
        (line(CHAT) + b"{", "Line 2 of the input file: The request body is not a JSON object"),
        (line(CHAT).replace(b'"body"', b'"url"'), "Line 1 of the input file: The field 'url' is given more than once"),
        (line(CHAT, custom_id=7), "Invalid type for 'custom_id'"),
        (line(CHAT, custom_id=""), "'custom_id' is empty"),
        (line(CHAT, custom_id=json.loads("[" * 900 + "]" * 900)), "Invalid type for 'custom_id'"),
        (line(CHAT, url=None), "Invalid type for 'url'"),
        (line([CHAT]), "must be a JSON object"),
        (line({**CHAT, "max_tokens": 0}), "Line 1 of the input file: 'max_tokens' must be between"),
        (line(CHAT) + line({**CHAT, "model": "gpt-4o"}), "Line 2 of the input file: body.model: a batch has one model"),
        (line({**CHAT, "stream": True}), "body.stream: a batch has no stream"),
        (line({**CHAT, "service_tier": "flex"}), "body.service_tier: a batch is a tier of its own"),
        (line({**CHAT, "max_tokens": 10_000_000, "n": 128}) * 4, "Line 4 of the input file: body: the output caps"),
    ],
)
def test_what_is_no_batch_is_refused_by_its_line(file, says):
    with pytest.raises(RequestRefused, match=says) as refused:
        read(file)
    assert (refused.value.status, refused.value.param) == (400, "input_file_id")


def test_a_response_that_goes_on_by_itself_and_one_that_searches_are_no_lines_of_a_batch():
    for more, says in (
        ({"background": True}, "a batch goes on by itself"),
        ({"tools": [{"type": "web_search"}]}, "searching the web in a batch"),
    ):
        with pytest.raises(RequestRefused, match=says):
            read(line({"model": "m", "input": "Hi", **more}, "/v1/responses"), request("/v1/responses"))


def test_an_answer_in_sound_is_no_line_of_a_batch():
    with pytest.raises(RequestRefused, match="an answer in sound in a batch"):
        read(line({**CHAT, "modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "mp3"}}))


def test_a_file_and_a_line_have_a_largest_size():
    megabyte = 1024 * 1024
    reading = BATCHES.reading(request())
    for _ in range(200):
        reading.feed(b" " * (megabyte - 1) + b"\n")
    with pytest.raises(RequestRefused, match="at most 209715200 bytes"):
        reading.feed(b" ")
    reading = BATCHES.reading(request())
    reading.feed(b"\n" + b" " * megabyte * 16)
    with pytest.raises(RequestRefused, match="Line 2 of the input file has more than 33554432 bytes"):
        reading.feed(b" " * megabyte * 16 + b" ")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"[]", None),
        (b"{}", "input_file_id"),
        (request(input_file_id=7), "input_file_id"),
        (request(input_file_id="../models"), "input_file_id"),
        (request(endpoint=None), "endpoint"),
        (request(endpoint="/v1/videos"), "endpoint"),
        (b'{"input_file_id": "a", "input_file_id": "b"}', "input_file_id"),
        (request(metadata={"project": "x" * 300}), "metadata"),
    ],
)
def test_a_request_that_names_no_file_and_endpoint_is_refused_by_its_field(body, param):
    with pytest.raises(RequestRefused) as refused:
        BATCHES.reading(body)
    assert (refused.value.status, str(refused.value.param).partition(".")[0]) == (400, str(param))


def test_its_metadata_may_say_what_it_is_for():
    assert read(line(CHAT), request(metadata={"project": "atlas", "other": "x"})).tags == "project=atlas"


def test_nothing_is_known_of_a_batch_whose_file_was_not_read_and_nothing_of_it_is_ever_changed():
    with pytest.raises(RequestRefused, match="was not read"):
        BATCHES.facts(request())
    facts = read(line(CHAT))
    knowing = BATCHES.knowing(facts)
    assert knowing.facts(request()) is facts
    asked: dict[str, Any] = {"output_cap_tokens": 9, "inject_usage": True, "service_tier": "flex", "searches": 1}
    assert knowing.rewrite(request(), facts, model="other", **asked) == [request()]


@pytest.mark.parametrize(
    ("body", "name"),
    [(b'{"id": "batch_01", "status": "validating"}', "batch_01"), (b'{"id": "msgbatch_01"}', ""), (b"{", "")],
)
def test_its_receipt_says_under_which_name_it_goes_on(body, name):
    meter = BATCHES.meter(stream=False, withhold_usage=False)
    meter.feed(body)
    meter.finish()
    assert (meter.stored_as(), meter.goes_on(), meter.saw_usage) == (name, bool(name), False)
