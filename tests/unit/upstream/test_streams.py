"""A stream reads the same in any pieces: nothing that counts is overlooked in an event that passes at a glance."""

import json

import pytest

from tokenroll.model.usage import METER_INDEX, Meter
from tokenroll.upstream.anthropic import Messages
from tokenroll.upstream.openai import ChatCompletions

TEXTS = (
    "Hello", " there", "", "a\\", 'she said "usage"', '{"usage":{"prompt_tokens":9}}', '","usage":{"prompt_tokens":9},"x":"', "é\n\n", "}",
    "ok", "\\\\", '\\"', "data: [DONE]", "end",
)  # fmt: skip


def chat_event(text, **more):
    choices = [{"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}]
    return event({"id": "chatcmpl-1", "model": "gpt-6-astra", "choices": choices, **more})


def message_event(text):
    body = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    return b"event: content_block_delta\n" + event(body)


def event(body):
    return b"data: " + json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


CHAT = [
    *(chat_event(text, usage=None) for text in TEXTS * 3),
    chat_event("late", usage={"prompt_tokens": 3, "completion_tokens": 4}),
    *(chat_event(text) for text in TEXTS * 3),
    event({"model": "gpt-6-astra", "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 42}}),
    b"data: [DONE]\n\n",
]
MESSAGES = [
    b"event: message_start\n"
    + event(
        {
            "type": "message_start",
            "message": {"model": "claude-opus-5-5", "usage": {"input_tokens": 7, "output_tokens": 1}},
        }
    ),
    *(message_event(text) for text in TEXTS * 3),
    b"event: message_delta\n"
    + event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 42}}),
    b"event: message_stop\n" + event({"type": "message_stop"}),
]


def read(meter, pieces):
    relayed = b"".join([*(meter.feed(piece) for piece in pieces), meter.finish()])
    return (
        relayed,
        meter.counts,
        meter.output_events,
        meter.saw_usage,
        meter.delivered_output_bytes,
    )


@pytest.mark.parametrize("withhold", [False, True], ids=["asked by the client", "asked by us"])
@pytest.mark.parametrize(
    ("dialect", "events", "output"),
    [(ChatCompletions(), CHAT, 85), (Messages(), MESSAGES, 42)],
    ids=["chat", "messages"],
)
def test_it_reads_the_same_event_by_event_and_byte_by_byte(dialect, events, output, withhold):
    whole = b"".join(events)
    one_by_one = read(dialect.meter(True, withhold), events)
    crumbs = read(dialect.meter(True, withhold), [whole[at : at + 1] for at in range(len(whole))])
    assert one_by_one == crumbs
    assert one_by_one[1][METER_INDEX[Meter.OUTPUT]] == 42
    assert one_by_one[2] == output


def test_it_reads_usage_that_comes_with_text():
    meter = ChatCompletions().meter(True, False)
    known = chat_event("Hello")
    for piece in (known, known, known[:-2], b"\n\n"):
        meter.feed(piece)
    begin, end = known.split(b"Hello")
    meter.feed(
        begin
        + b'x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":6},"choices":[{"delta":{"content":"'
        + end
    )
    assert (meter.counts[METER_INDEX[Meter.INPUT]], meter.counts[METER_INDEX[Meter.OUTPUT]]) == (5, 6)
