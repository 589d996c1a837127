"""Input files of batches: whatever stands in one, in whatever pieces it comes, it is read alike or refused alike, and breaks nothing."""

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from tokenroll.upstream.dialect import RequestRefused
from tokenroll.upstream.file_batches import LINE_DIALECTS, FileBatches

ENDPOINTS = st.sampled_from(sorted(LINE_DIALECTS))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
MESSAGES = st.just([{"role": "user", "content": "Hi"}]) | JSON
BODIES = st.fixed_dictionaries(
    {"model": st.sampled_from(["gpt-4o-mini"]) | JSON},
    optional={
        "messages": MESSAGES, "input": st.text(max_size=10) | MESSAGES, "prompt": JSON, "max_tokens": st.integers(-1, 100) | JSON, "n": JSON,
        "max_output_tokens": JSON, "stream": JSON, "tools": JSON, "background": JSON, "service_tier": JSON,
    },
)  # fmt: skip


def lines(endpoint):
    line = st.fixed_dictionaries(
        {"custom_id": st.just("a") | JSON, "method": st.just("POST") | JSON, "url": st.just(endpoint) | JSON},
        optional={"body": BODIES | JSON},
    )
    written = line.map(lambda one: json.dumps(one).encode())
    return st.lists(written | st.binary(max_size=20) | st.just(b""), max_size=4)


def read(endpoint, pieces):
    """The sums of a file, or why it is refused."""
    reading = FileBatches().reading(json.dumps({"input_file_id": "file-1", "endpoint": endpoint}).encode())
    try:
        for piece in pieces:
            reading.feed(piece)
        return sums(reading.end())
    except RequestRefused as refused:
        return refused.status, refused.param, refused.message


def sums(facts):
    batched = facts.batched
    return facts.model, facts.input_bytes, facts.output_cap_tokens, facts.message_count, batched.request_count


@given(ENDPOINTS.flatmap(lambda one: st.tuples(st.just(one), lines(one))), st.lists(st.integers(0, 400), max_size=5))
def test_a_file_is_read_or_refused_alike_in_whatever_pieces(asked, cuts):
    endpoint, listed = asked
    file = b"\n".join(listed)
    places = [0, *sorted(min(cut, len(file)) for cut in cuts), len(file)]
    pieces = [file[start:end] for start, end in itertools.pairwise(places)]
    assert read(endpoint, pieces) == read(endpoint, [file])
