"""Whatever bytes come, from clients or providers: facts or a refusal, never a crash; and what is relayed is what was sent."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.upstream.golden import DONE, USAGE_DETAILED, chunk, last
from tests.unit.upstream.golden_messages import delta, start, text
from tests.unit.upstream.test_facts import BAD, GOOD
from tokenroll.model.usage import UsageSource
from tokenroll.upstream.anthropic import Messages
from tokenroll.upstream.dialect import RequestRefused
from tokenroll.upstream.openai import ChatCompletions

CHAT, MESSAGES = ChatCompletions(), Messages()
DIALECTS = st.sampled_from([CHAT, MESSAGES])
BODIES = st.sampled_from([body for *_, body, _ in GOOD] + [row[2] for row in BAD])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    [
        "model", "messages", "max_tokens", "max_completion_tokens", "n", "stream", "stream_options", "tools", "functions",
        "service_tier", "user", "metadata", "thinking", "system", "modalities", "audio", "prediction", "context_management",
        "mcp_servers", "speed", "container",
    ]
)  # fmt: skip
EVENTS = st.sampled_from(
    [
        chunk('{"role":"assistant","content":""}'), chunk('{"content":"Hi"}'), chunk("{}", finish='"stop"'), last(USAGE_DETAILED),
        last("null"), DONE, ": ping\n\n", "\n\n", "data: \n\n", "event: x\ndata: {}\n\n", "data: [1]\n\n", 'data: {"error":{}}\n\n',
        start('{"input_tokens":3,"output_tokens":1}'), text("Hi"), delta('{"output_tokens":9}'), "data: {\n\n",
        'data: {"choices":[],"usage":{"prompt_tokens":-1,"completion_tokens":true}}\n\n',
        'data: {"choices":5,"usage":[]}\n\n',
    ]
)  # fmt: skip


@given(DIALECTS, BODIES, st.data())
def test_a_damaged_head_is_facts_or_a_refusal(dialect, body, data):
    if body:
        at = data.draw(st.integers(0, len(body) - 1))
        body = body[:at] + data.draw(st.binary(max_size=3)) + body[at + data.draw(st.integers(0, 4)) :]
    facts_or_refusal(dialect, body)


@given(DIALECTS, st.dictionaries(FIELDS, JSON, max_size=5))
@example(CHAT, {"model": "m", "messages": [{"content": []}], "tools": [{"type": {"a": 1}}]})
def test_any_json_is_facts_or_a_refusal(dialect, fields):
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]} | fields
    facts_or_refusal(dialect, json.dumps(body).encode())


def facts_or_refusal(dialect, body):
    facts = refusal = None
    try:
        facts = dialect.facts(body)
    except RequestRefused as refused:
        refusal = refused
    if refusal is not None:
        assert refusal.status == 400
        assert refusal.code
        assert refusal.message
        return
    assert facts is not None
    assert facts.model
    assert facts.message_count > 0
    assert facts.choice_count >= 1
    assert 0 <= facts.output_cap_tokens <= 10_000_000
    sent = dialect.rewrite(
        body, facts, model="other", output_cap_tokens=9_000_000, inject_usage=True, service_tier="standard"
    )
    changed = json.loads(b"".join(sent))
    assert (changed["model"], changed[facts.cap_field]) == ("other", 9_000_000)
    assert {name for name in changed if name not in facts.fields} <= {facts.cap_field, "service_tier", "stream_options"}


@given(DIALECTS, st.booleans(), st.booleans(), st.lists(st.binary(max_size=40), max_size=6))
def test_any_answer_is_relayed_whole(dialect, stream, withhold, pieces):
    meter = dialect.meter(stream, withhold)
    relayed = b"".join(meter.feed(piece) for piece in pieces) + meter.finish()
    assert relayed == b"".join(pieces)
    assert meter.source is UsageSource.ESTIMATED


@given(
    DIALECTS, st.lists(EVENTS, max_size=12), st.sampled_from(["\n", "\r\n"]), st.lists(st.integers(1, 400), max_size=20)
)
def test_a_withheld_stream_is_the_clients_own_stream(dialect, events, line_end, cuts):
    """What a client gets when we asked for usage is what it would have got, had nobody asked: all but the last event."""
    events = [event.replace("\n", line_end).encode() for event in events]
    body = b"".join(events)
    own = b"".join(event for event in events if not asked_by_us(dialect, event))
    meter = dialect.meter(stream=True, withhold_usage=True)
    plain = dialect.meter(stream=True, withhold_usage=False)
    relayed = b"".join(meter.feed(piece) for piece in cut(body, cuts)) + meter.finish()
    assert relayed == own
    assert b"".join(plain.feed(piece) for piece in cut(body, cuts)) + plain.finish() == body
    whole = dialect.meter(stream=True, withhold_usage=False)
    whole.feed(body)
    whole.finish()
    assert meter.counts == plain.counts == whole.counts
    assert meter.output_tokens_seen() == whole.output_tokens_seen()
    assert all(count is None or count >= 0 for count in meter.counts)


def asked_by_us(dialect, event):
    return dialect is CHAT and b'"choices":[]' in event and b'"usage":{' in event


def cut(body, sizes):
    pieces = []
    for size in sizes:
        pieces.append(body[:size])
        body = body[size:]
    return [*pieces, body]
