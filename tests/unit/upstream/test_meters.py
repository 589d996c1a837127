"""Meters read the same from every answer however it is cut, and relay what they must."""

import pytest

from tests.unit.upstream.golden import PRICES, Golden, chunk, last, streamed_chat, whole_chat
from tests.unit.upstream.golden_endpoints import (
    COUNTS,
    MODEL,
    USAGE,
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
    assert len(set(NAMES)) == len(NAMES)
    priced = [(dialect.name, one.stream) for dialect, one in TABLE if one.nanos is not None]
    assert len(priced) >= 180
    for name in ("chat completions", "messages", "responses"):
        assert priced.count((name, False)) >= 15
        assert priced.count((name, True)) >= 15


def test_the_same_call_costs_the_same_however_it_is_told():
    """60 fresh, 40 cached, 12 said, 8 thought: in each dialect, in one piece and in a stream."""
    told_as = {
        "chat completions: whole: details are subsets",
        "chat completions: stream: asked for by the client",
        "responses: whole: details are subsets",
        "responses: stream: usage in the last event",
        "messages: whole: the call of all dialects",
        "messages: stream: the call of all dialects",
    }
    assert [one.nanos for name, (_, one) in zip(NAMES, TABLE, strict=True) if name in told_as] == [164_007] * 6


QUIRKS = {
    "T17": ("chat completions: stream: cut before usage", "messages: stream: a delta without an end is evidence", "responses: stream: cut"),
    "T19": (
        "chat completions: whole: explicit zeros stay zeros", "messages: whole: explicit zeros stay zeros",
        "responses: whole: explicit zeros stay zeros", "chat completions: stream: explicit zeros stay zeros",
        "messages: stream: explicit zeros stay zeros", "responses: stream: explicit zeros stay zeros",
    ),
    "T20": ("messages: stream: the placeholder of the start is no report", "messages: stream: message_stop without any delta is no report"),
    "T21": ("chat completions: whole: an id that is empty", "chat completions: stream: ids that are empty"),
    "T22": ("chat completions: whole: no field but the usage", "chat completions: whole: no usage at all", "messages: whole: no usage", "responses: whole: no usage", "rerank: whole: no usage"),
    "T24": (
        "chat completions: whole: details are subsets", "responses: whole: details are subsets", "responses: stream: usage in the last event",
        "messages: whole: input is without what was cached", "messages: stream: lives of cache writes come only at the start",
        "chat completions: whole: what a cache held, as DeepSeek says it", "chat completions: whole: what a cache held, as Moonshot says it",
        "chat completions: stream: what a cache held, as DeepSeek says it", "chat completions: stream: usage inside the last choice, as Moonshot says it",
        "messages: stream: caches are told at the end only", "chat completions: stream: cache writes", "responses: stream: cache writes",
    ),
    "T25": ("chat completions: whole: more cached than prompted is no refund", "responses: whole: more cached than read is no refund",
            "chat completions: stream: more cached than prompted is no refund", "responses: stream: more cached than read is no refund"),
    "T27": (
        "chat completions: whole: flex answered", "chat completions: stream: tier in the stream", "messages: whole: priority answered",
        "responses: whole: the tier that answered", "responses: stream: the tier that answered", "messages: stream: priority answered", "chat completions: whole: reasoning beside the completion, as xAI counts it",
        "chat completions: whole: reasoning that only the total counts, as at Gemini",
        "chat completions: stream: reasoning beside the completion", "responses: whole: reasoning beside the output",
    ),
    "T30": ("messages: whole: a pass on another model counts, and its own card prices it", "messages: stream: passes come at the end"),
    "T33": ("chat completions: whole: audio both ways", "chat completions: whole: images in", "chat completions: stream: sound and pictures", "chat completions: whole: pictures among what was cached",
            "chat completions: whole: sound among what was cached keeps its price", "chat completions: stream: pictures among what was cached",
            "responses: whole: pictures among what was cached"),
    "T34": ("messages: whole: answered from a batch",),
}  # fmt: skip
"""Which rows are about which failure of other gateways, among T17 to T34, that an answer's shape brings about. The others of them are about
prices (T26, T28, T29, T31, T32), failed writes (T23) and clients that leave (T18): docs/peers_failures.md has their tests."""


@pytest.mark.parametrize("quirk", QUIRKS)
def test_each_quirk_of_providers_is_in_the_table(quirk):
    assert set(QUIRKS[quirk]) <= set(NAMES)


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


# ---- events that are too long to keep ---------------------------------------------------------------------------------------

ASKED = "x" * 1_400_000
"""Instructions of 1.4 MB, which every event with the response repeats."""
DELTA = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","item_id":"msg_1","output_index":0,'
    b'"content_index":0,"delta":"Hello there, Ada"}\n\n'
)
SEARCHED = '[{"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"pay"}}]'
DECOY = ',"tools":[{"type":"function","parameters":{"default":{"usage":{"input_tokens":1,"output_tokens":1}},"service_tier":"batch"}}]'
RESPONSES = Responses()


def response_event(kind, usage="null", *, output="[]", behind=""):
    return (
        f'event: response.{kind}\ndata: {{"type":"response.{kind}","response":{{"id":"resp_1","object":"response","output":{output},'
        f'"instructions":"{ASKED}","model":"{MODEL}","service_tier":"flex","usage":{usage},"user":null{behind}}},"sequence_number":9}}\n\n'
    ).encode()


def fed(dialect, body, size):
    meter = dialect.meter(stream=True, withhold_usage=False)
    assert b"".join(meter.feed(body[at : at + size]) for at in range(0, len(body), size)) == body
    meter.finish()
    return meter


@pytest.mark.parametrize("size", [9_000, 65_536])
@pytest.mark.parametrize("behind", ["", DECOY], ids=["as OpenAI", "with what the client sent behind the usage"])
def test_a_response_that_repeats_megabytes_is_read_from_its_end_and_stored_by_its_beginning(size, behind):
    body = response_event("created", behind=behind) + response_event("in_progress") + DELTA * 20
    meter = fed(RESPONSES, body + response_event("completed", USAGE, behind=behind), size)
    known, source, complete, saw_error, tier, _ = told(meter)
    assert known == COUNTS
    assert (source, complete, saw_error, tier) == ("reported", True, False, "flex")
    assert (meter.stored_as(), meter.answered_model) == ("resp_1", MODEL)


def test_what_is_repeated_is_no_output_where_the_usage_never_comes():
    opened = response_event("created") + response_event("in_progress")
    # 20 texts of 16 bytes, and of each frame 1 byte for each of 2 spaces and 5 for its item's id: 460 bytes
    assert fed(RESPONSES, opened + DELTA * 20, 65_536).output_tokens_seen() == 115
    ended = opened + DELTA * 20 + response_event("completed")
    for body in (ended, ended[:-100]):  # without its usage, and cut before it
        meter = fed(RESPONSES, body, 65_536)
        assert (meter.saw_usage, meter.output_tokens_seen(), meter.stored_as()) == (False, 115, "resp_1")


def test_searches_that_cannot_be_seen_any_more_make_it_an_estimate():
    assert told(fed(RESPONSES, DELTA + response_event("completed", USAGE, output=SEARCHED), 9_000))[1] == "estimated"
    assert told(fed(RESPONSES, DELTA + response_event("completed", USAGE), 9_000))[1] == "reported"


def test_a_long_response_that_failed_says_so():
    meter = fed(RESPONSES, response_event("failed", USAGE), 9_000)
    assert (meter.saw_error, meter.complete, meter.saw_usage) == (True, False, True)


def test_a_long_chunk_of_chat_is_read_from_its_end():
    body = chunk(f'{{"content":"{ASKED}"}}').replace(
        "}\n\n", ',"usage":{"prompt_tokens":100,"completion_tokens":20}}\n\n'
    )
    meter = fed(CHAT, body.encode() + b"data: [DONE]\n\n", 9_000)
    assert (meter.counts[0], meter.counts[6], meter.saw_usage) == (100, 20, True)


def test_a_long_whole_answer_is_not_read_from_what_its_client_sent():
    body = (
        b'{"output":"'
        + b"x" * (2 * METER_BODY_BYTES_MAX)
        + b'","usage":'
        + USAGE.encode()
        + b',"user":null'
        + DECOY.encode()
        + b"}"
    )
    meter = RESPONSES.meter(stream=False, withhold_usage=False)
    meter.feed(body)
    meter.finish()
    assert told(meter)[0] == COUNTS


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
