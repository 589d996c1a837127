"""Meters read the same from every answer however it is cut, and relay what they must."""

import pytest

from tests.unit.upstream.golden import PRICES, Golden, chunk, last, streamed_chat, whole_chat
from tests.unit.upstream.golden_endpoints import (
    completion_answers,
    embedding_answers,
    ranks,
    streamed_responses,
    verdicts,
    whole_responses,
)
from tests.unit.upstream.golden_messages import start, streamed_messages, whole_messages
from tokenroll.engine.rating import charge_nanos
from tokenroll.model.limits import METER_BODY_BYTES_MAX, METER_EVENT_BYTES_MAX
from tokenroll.model.rate_card import RateTable
from tokenroll.model.usage import METERS, Usage
from tokenroll.upstream.anthropic import Messages
from tokenroll.upstream.completions import Completions
from tokenroll.upstream.dialect import Dialect
from tokenroll.upstream.embeddings import Embeddings
from tokenroll.upstream.moderations import Moderations
from tokenroll.upstream.openai import ChatCompletions
from tokenroll.upstream.rerank import Rerank
from tokenroll.upstream.responses import Responses
from tokenroll.upstream.sse import EventMeter
from tokenroll.upstream.usage import WholeMeter

CHAT, MESSAGES = ChatCompletions(), Messages()
TABLE: list[tuple[Dialect, Golden]] = [(CHAT, one) for one in (*whole_chat(), *streamed_chat())] + [
    (MESSAGES, one) for one in (*whole_messages(), *streamed_messages())
]
TABLE += [(Responses(), one) for one in (*whole_responses(), *streamed_responses())]
TABLE += [(Completions(), one) for one in completion_answers()] + [(Embeddings(), one) for one in embedding_answers()]
TABLE += [(Moderations(), one) for one in verdicts()] + [(Rerank(), one) for one in ranks()]
START = start('{"input_tokens":25,"output_tokens":1}')
NAMES = [f"{dialect.name}: {'stream' if one.stream else 'whole'}: {one.name}" for dialect, one in TABLE]


def read(dialect, one: Golden, *pieces: bytes):
    meter = dialect.meter(one.stream, one.withhold)
    relayed = b"".join([meter.feed(piece) for piece in pieces])
    return meter, relayed + meter.finish()


def told(meter):
    known = {
        meter_name.value: count for meter_name, count in zip(METERS, meter.counts, strict=False) if count is not None
    }
    return (
        known, meter.source.value, meter.complete, meter.saw_error, meter.service_tier,
        meter.output_tokens_seen(),
    )  # fmt: skip


def test_the_table_is_not_thin():
    assert len(TABLE) >= 120
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize(("dialect", "one"), TABLE, ids=NAMES)
def test_it_counts_and_costs_what_the_provider_says(dialect, one):
    meter, relayed = read(dialect, one, one.body)
    known, source, *_ = told(meter)
    assert known == one.counts
    assert source == one.source
    assert relayed == (one.body if one.relayed is None else one.relayed)
    assert {name: getattr(meter, name) for name in one.facts} == one.facts
    assert meter.delivered_output_bytes == len(one.body)
    if one.nanos is None:
        assert not meter.saw_usage
    else:
        assert meter.saw_usage
        prices = {"standard": RateTable(base=PRICES)}
        assert charge_nanos(prices, "standard", Usage.from_counts(tuple(meter.counts))) == one.nanos


@pytest.mark.parametrize(("dialect", "one"), TABLE, ids=NAMES)
def test_it_reads_the_same_split_at_every_byte(dialect, one):
    whole, relayed = read(dialect, one, one.body)
    for at in range(1, len(one.body)):
        meter, passed = read(dialect, one, one.body[:at], one.body[at:])
        assert (told(meter), passed) == (told(whole), relayed), f"split at byte {at}"


@pytest.mark.parametrize(("dialect", "one"), TABLE, ids=NAMES)
def test_it_reads_the_same_byte_by_byte(dialect, one):
    whole, relayed = read(dialect, one, one.body)
    meter, passed = read(dialect, one, *(one.body[at : at + 1] for at in range(len(one.body))))
    assert (told(meter), passed) == (told(whole), relayed)


def test_a_stream_that_is_not_withheld_passes_as_the_same_object():
    for dialect, one in TABLE:
        if not one.withhold:
            meter = dialect.meter(one.stream, False)
            for piece in (one.body[:100], one.body[100:]):
                assert meter.feed(piece) is piece
            assert meter.finish() == b""


def test_plain_events_pass_as_the_same_object_even_when_withholding():
    meter = CHAT.meter(stream=True, withhold_usage=True)
    for words in ("Hel", "lo", "!"):
        event = chunk(f'{{"content":"{words}"}}').encode()
        assert meter.feed(event) is event


def test_no_part_of_the_withheld_event_ever_leaves():
    head = chunk('{"content":"Hi"}').encode()
    usage = last('{"prompt_tokens":1,"completion_tokens":1}').encode()
    meter = CHAT.meter(stream=True, withhold_usage=True)
    assert b"".join(meter.feed(bytes([byte])) for byte in head + usage) == head
    assert meter.finish() == b""
    assert meter.counts[0] == 1


def test_a_kept_back_piece_that_was_no_usage_goes_out_at_the_end():
    meter = CHAT.meter(stream=True, withhold_usage=True)
    assert meter.feed(b'data: {"choices":[{"del') == b""
    assert meter.finish() == b'data: {"choices":[{"del'


def test_memory_is_bounded_for_an_event_without_an_end():
    meter = CHAT.meter(stream=True, withhold_usage=True)
    piece = b'data: {"x":"' + b"a" * 65_536
    sent = relayed = 0
    for _ in range(4 * METER_EVENT_BYTES_MAX // len(piece)):
        relayed += len(meter.feed(piece))
        sent += len(piece)
        assert isinstance(meter, EventMeter)
        assert len(meter._tail) <= METER_EVENT_BYTES_MAX + 2 * len(piece)
    relayed += len(meter.feed(b'"}\n\n')) + len(meter.feed(chunk("{}").encode()))
    assert relayed == sent + 4 + len(chunk("{}"))
    meter.feed(last('{"prompt_tokens":3,"completion_tokens":4}').encode())
    assert meter.saw_usage


@pytest.mark.parametrize("size", [7, 1_000, 65_536, 300_000])
def test_a_long_event_is_relayed_whole_whatever_the_reads(size):
    body = b"data: {" + b'"a":"b",' * (METER_EVENT_BYTES_MAX // 4 if size > 7 else 20) + b'"z":1}\n\n'
    body += chunk('{"content":"end"}').encode()
    meter = CHAT.meter(stream=True, withhold_usage=True)
    relayed = b"".join(meter.feed(body[at : at + size]) for at in range(0, len(body), size)) + meter.finish()
    assert relayed == body


def test_a_long_whole_answer_is_read_from_its_end_and_marked():
    body = b'{"choices":[{"message":{"content":"' + b"x" * (2 * METER_BODY_BYTES_MAX) + b'"}}],"usage":'
    body += b'{"prompt_tokens":100,"completion_tokens":20},"x":1}'
    meter = CHAT.meter(stream=False, withhold_usage=False)
    for at in range(0, len(body), 65_536):
        meter.feed(body[at : at + 65_536])
        assert isinstance(meter, WholeMeter)
        assert meter._size <= METER_BODY_BYTES_MAX + 65_536
    meter.finish()
    assert (meter.counts[0], meter.counts[6]) == (100, 20)
    assert meter.source.value == "estimated"


def test_evidence_of_a_cut_stream_counts_events_and_bytes():
    meter = CHAT.meter(stream=True, withhold_usage=True)
    meter.feed(chunk('{"role":"assistant","content":""}').encode())
    for _ in range(10):
        meter.feed(chunk('{"content":"Hel"}').encode())
    # 30 bytes of text and, at four bytes to a token, one for each of eleven events at least; 60 bytes are no frame
    assert meter.output_tokens_seen() == 15
    meter.feed(chunk(f'{{"content":"{"word " * 100}"}}').encode())
    # 500 bytes of text in one event are about 125 tokens, not one
    assert meter.output_tokens_seen() == 140
    of_messages = MESSAGES.meter(stream=True, withhold_usage=False)
    assert of_messages.output_tokens_seen() == 0
    of_messages.feed(start('{"input_tokens":25,"output_tokens":1}').encode())
    assert of_messages.counts[0] == 25


TEXT = "word " * 400
"""2,000 bytes: 500 tokens at four bytes each."""


@pytest.mark.parametrize(
    ("dialect", "events", "seen"),
    [
        # the first event already carries text: its length is no frame
        (CHAT, [chunk(f'{{"content":"{TEXT}"}}')] * 3, 1_500),
        (CHAT, [chunk('{"role":"assistant","content":""}'), chunk(f'{{"content":"{TEXT}"}}')], 505),
        # a prelude without choices, as some front ends send it, is neither text nor frame
        (CHAT, [chunk("{}").replace('[{"index":0,"delta":{},"finish_reason":null}]', "[]"), chunk(f'{{"content":"{TEXT}"}}')], 500),
        # later events without a word are not taken for more than they weigh
        (CHAT, [chunk(f'{{"content":"{TEXT}"}}'), *[chunk("{}")] * 40], 2_340),
        (CHAT, [f'data: {{"choices":[{{"delta":{{"content":"{TEXT}"}}}}]}}\n\n'] * 2, 1_000),
        (CHAT, [f'data: {{ "choices" : [ {{ "delta" : {{ "content" : "{TEXT}" }} }} ] }}\n\n'] * 2, 1_013),
        (MESSAGES, [START, *[f'event: content_block_delta\ndata: {{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{TEXT}"}}}}\n\n'] * 3], 1_501),
    ],
    ids=["text at once", "a role first", "a prelude", "empty events", "bare", "spaced", "messages"],
)  # fmt: skip
def test_evidence_is_never_below_the_text_that_was_delivered(dialect, events, seen):
    meter = dialect.meter(True, False)
    for event in events:
        meter.feed(event.encode())
    delivered = sum(event.count("word ") for event in events) * 5 // 4
    assert meter.output_tokens_seen() == seen >= delivered


@pytest.mark.parametrize("dialect", [CHAT, MESSAGES])
def test_evidence_of_a_whole_answer_is_never_below_its_text(dialect):
    meter = dialect.meter(False, False)
    least = (
        '{"content":[{"type":"text","text":"%s"}]}'
        if dialect is MESSAGES
        else '{"choices":[{"message":{"content":"%s"}}]}'
    )
    meter.feed((least % TEXT).encode())
    meter.finish()
    assert meter.output_tokens_seen() == 500


def test_an_answered_model_is_a_name_and_no_text():
    long = "m" * 5_000
    whole = f'{{"model":"{long}","choices":[],"usage":{{"prompt_tokens":1,"completion_tokens":1}}}}'.encode()
    message = f'{{"type":"message","model":"{long}","usage":{{"input_tokens":1,"output_tokens":1}}}}'
    begun = f'event: message_start\ndata: {{"type":"message_start","message":{message}}}\n\n'.encode()
    for dialect, stream, body in (
        (CHAT, False, whole),
        (CHAT, True, b"data: " + whole + b"\n\n"),
        (MESSAGES, False, message.encode()),
        (MESSAGES, True, begun),
    ):
        meter = dialect.meter(stream, False)
        meter.feed(body)
        meter.finish()
        assert meter.answered_model == "m" * 200


def test_finishing_twice_gives_nothing_more():
    for dialect, one in TABLE:
        meter, _ = read(dialect, one, one.body)
        before = told(meter)
        assert meter.finish() == b""
        assert told(meter) == before
