"""What a batch of messages asks for in sum, and what is sent of it."""

import json
from typing import Any

import pytest

from tokenroll.upstream.dialect import RequestRefused
from tokenroll.upstream.message_batches import MessageBatches

BATCHES = MessageBatches()


def message(**fields):
    return {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}], **fields}


def batch(*messages):
    return json.dumps({"requests": [{"custom_id": str(at), "params": one} for at, one in enumerate(messages)]}).encode()


def test_its_facts_are_the_sums_of_its_messages():
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    tool = {"name": "pay", "input_schema": {"type": "object"}}
    body = batch(
        message(),
        message(system="Be brief.", max_tokens=50, tools=[tool, {**tool, "name": "ask"}]),
        message(messages=[{"role": "user", "content": [picture]}], tools=[tool]),
    )
    facts = BATCHES.facts(body)
    assert (facts.model, facts.service_tier, facts.input_bytes) == ("claude-haiku-4-5", "batch", len(body))
    assert (facts.output_cap_tokens, facts.message_count, facts.tool_count, facts.has_tools) == (250, 4, 3, True)
    assert facts.batched is not None
    batched = facts.batched
    assert (batched.request_count, batched.tool_request_count, batched.window_count) == (3, 2, 0)
    assert (batched.image_request_count, facts.image_count) == (1, 1)
    assert (facts.beyond_bytes, facts.fills_window) == (True, False)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"[]", None),
        (b"{}", "requests"),
        (b'{"requests": {}}', "requests"),
        (b'{"requests": [], "requests": []}', "requests"),
        (b'{"requests": [1]}', "requests[0].params"),
        (b'{"requests": [{"params": 1}]}', "requests[0].params"),
        (b'{"requests": [{"params": {}, "params": {}}]}', "requests[0].params.params"),
        (batch(message(), message(messages=[])), "requests[1].params.messages"),
        (batch(message(max_tokens=0)), "requests[0].params.max_tokens"),
        (batch(*[message()] * 2_001), "requests"),
    ],
)
def test_what_is_no_batch_is_refused_by_its_place(body, param):
    with pytest.raises(RequestRefused) as refused:
        BATCHES.facts(body)
    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize(("what", "kind"), [(b'"x"', "a string"), (b'{"a":1}', "an object"), (b"5", "an integer")])
def test_what_stands_in_the_requests_place_is_named(what, kind):
    with pytest.raises(RequestRefused, match=f"expected an array, but got {kind} instead"):
        BATCHES.facts(b'{"requests":%b}' % what)


def test_only_an_alias_is_written_out_in_every_message():
    body = batch(message(), message())
    facts = BATCHES.facts(body)
    asked: dict[str, Any] = {"output_cap_tokens": 0, "inject_usage": False, "service_tier": "batch"}
    assert BATCHES.rewrite(body, facts, model="claude-haiku-4-5", **asked) == [body]
    (sent,) = BATCHES.rewrite(body, facts, model="claude-haiku-4-5-20251001", **asked)
    assert [one["params"]["model"] for one in json.loads(bytes(sent))["requests"]] == ["claude-haiku-4-5-20251001"] * 2


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"id": "msgbatch_01", "processing_status": "in_progress"}', "msgbatch_01"),
        (b'{"id": "msgbatch_01/../x"}', ""),
        (b'{"id": 7}', ""),
        (b"[]", ""),
        (b"{", ""),
    ],
)
def test_its_receipt_says_under_which_name_it_goes_on(body, name):
    meter = BATCHES.meter(stream=False, withhold_usage=False)
    meter.feed(body)
    meter.finish()
    assert (meter.stored_as(), meter.goes_on(), meter.saw_usage) == (name, bool(name), False)
