"""Amazon's frames against literal bytes: what is read of them, in any reads, and what is not believed."""

import base64
import binascii
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.frames import FRAMES, STREAM, event_frame, event_headers, exception_frame, frame, header, number
from tokenroll.model.limits import FRAME_BYTES_MAX, FRAME_HEADERS_BYTES_MAX
from tokenroll.upstream.aws_frames import EventFrames, frames_place

PING = (
    b"\x00\x00\x00\x87\x00\x00\x00\x4b\x87\xea\x2b\xf3"
    b"\x0b:event-type\x07\x00\x05chunk\x0d:content-type\x07\x00\x10application/json\x0d:message-type\x07\x00\x05event"
    b'{"bytes":"eyJ0eXBlIjoicGluZyJ9","p":"abcde"}'
    b"\x1b\xb0\x02\xe9"
)
LIMITED = (
    b"\x00\x00\x00\x90\x00\x00\x00\x61\x8e\x91\xa9\xb7"
    b"\x0f:exception-type\x07\x00\x13throttlingException\x0d:content-type\x07\x00\x10application/json"
    b"\x0d:message-type\x07\x00\x09exception"
    b'{"message": "Too many tokens."}'
    b"\x9e\x4f\xe2\x35"
)
PING_EVENT = b'event: ping\ndata: {"type":"ping"}\n\n'


def read(*parts: bytes) -> tuple[bytes, str, bool]:
    """What came out, the problem, and whether the answer may end there."""
    frames = EventFrames()
    return b"".join([frames.feed(part) for part in parts]), frames.problem, frames.is_whole


def chunk(payload: bytes) -> bytes:
    return frame(event_headers(), payload)


def of_event(event: bytes) -> bytes:
    return chunk(b'{"bytes":"%b"}' % base64.b64encode(event))


def test_the_writer_of_these_tests_writes_the_bytes_that_amazon_publishes():
    assert frame(b"", b"") == bytes.fromhex("000000100000000005c248eb7d98c8ff")
    assert frame(b"", b"{'foo':'bar'}") == bytes.fromhex("0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936")
    assert frame(header("content-type", "application/json"), b"{'foo':'bar'}") == bytes.fromhex(
        "0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e7b27666f6f273a27626172277d8d9c08b1"
    )
    assert event_frame('{"type":"ping"}') == PING
    assert exception_frame("throttlingException", "Too many tokens.") == LIMITED


def test_an_event_goes_on_as_anthropic_sends_it():
    assert read(PING) == (PING_EVENT, "", True)
    assert read(FRAMES) == (STREAM, "", True)


def test_an_exception_is_an_error_in_the_words_of_anthropics_clients():
    assert read(PING + LIMITED) == (
        PING_EVENT
        + b'event: error\ndata: {"type": "error", "error": {"type": "rate_limit_error", "message": "Too many tokens."}}\n\n',
        "",
        True,
    )


@pytest.mark.parametrize(
    ("kind", "type_"),
    [
        ("serviceUnavailableException", "overloaded_error"),
        ("modelTimeoutException", "timeout_error"),
        ("validationException", "invalid_request_error"),
        ("internalServerException", "api_error"),
        ("modelStreamErrorException", "api_error"),
        ("somethingNewException", "api_error"),
    ],
)
def test_every_exception_has_a_type_that_clients_know(kind, type_):
    said = b'event: error\ndata: {"type": "error", "error": {"type": "%b", "message": "Why."}}\n\n' % type_.encode()
    assert read(exception_frame(kind, "Why.")) == (said, "", True)


def test_an_error_that_says_itself_in_its_headers_is_told_too():
    headers = (
        header(":message-type", "error") + header(":error-code", "InternalFailure") + header(":error-message", "Oh.")
    )
    assert b'{"type": "api_error", "message": "Oh."}' in read(frame(headers, b""))[0]
    bare = header(":message-type", "exception") + header(":exception-type", "internalServerException")
    assert b'"message": "internalServerException"' in read(frame(bare, b"<html>"))[0]
    assert b'"message": "The provider ended its answer."' in read(frame(header(":message-type", "error"), b""))[0]


def test_events_that_are_not_anthropics_are_read_over():
    assert read(frame(event_headers("initial-response"), b"{}") + PING) == (PING_EVENT, "", True)


def test_headers_of_every_kind_are_read_over():
    values = [b"\x00", b"\x01", b"\x02\x10", b"\x03\x00\x10", b"\x04\x00\x00\xa0\x0c", b"\x05" + bytes(8), b"\x06\x00\x03abc",
              b"\x08" + bytes(8), b"\x09" + bytes(16)]  # fmt: skip
    others = b"".join(b"\x02h%d" % place + value for place, value in enumerate(values))
    payload = PING[12 + 0x4B : -4]
    assert read(frame(others + event_headers(), payload)) == (PING_EVENT, "", True)


@given(st.lists(st.integers(0, len(FRAMES) + len(LIMITED)), max_size=20))
def test_reads_may_split_it_anywhere(cuts):
    data = FRAMES + LIMITED
    places = [0, *sorted(cuts), len(data)]
    parts = [data[start:stop] for start, stop in itertools.pairwise(places)]
    assert read(*parts) == read(data)
    assert read(data)[0].startswith(STREAM + b"event: error\n")


def test_a_byte_at_a_time_gives_each_event_with_its_last_byte():
    frames = EventFrames()
    out = [frames.feed(bytes([byte])) for byte in PING + PING]
    assert [place for place, part in enumerate(out) if part] == [len(PING) - 1, 2 * len(PING) - 1]
    assert b"".join(out) == 2 * PING_EVENT


@pytest.mark.parametrize("place", range(len(PING)))
def test_no_flipped_bit_is_believed(place):
    wrong = PING[:place] + bytes([PING[place] ^ 1]) + PING[place + 1 :]
    out, problem, is_whole = read(PING + wrong + PING)
    assert out == PING_EVENT
    assert problem.endswith("not what their checksum says" if place < 12 else "not what its checksum says")
    assert not is_whole


def test_what_is_missing_is_known():
    for stop in range(1, len(PING)):
        assert read(PING[:stop]) == (b"", "", False)


def lengths(total: int, headers: int) -> bytes:
    raw = number(total, 4) + number(headers, 4)
    return raw + number(binascii.crc32(raw), 4)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (lengths(15, 0), "a frame of 15 bytes is none of 16 to 4194304"),
        (lengths(FRAME_BYTES_MAX + 1, 0), "a frame of 4194305 bytes is none of 16 to 4194304"),
        (lengths(100, 85), "a frame of 100 bytes has no headers of 85"),
        (lengths(1_000_000, FRAME_HEADERS_BYTES_MAX + 1), "a frame of 1000000 bytes has no headers of 131073"),
        (frame(b"", b""), "a frame says neither an event nor an error"),
        (frame(header(":message-type", "joke"), b""), "a frame says neither an event nor an error"),
        (frame(b"\x00\x07\x00\x00", b""), "a header of a frame has no name or no value"),
        (frame(b"\x05abc", b""), "a header of a frame has no name or no value"),
        (frame(b"\x03abc", b""), "a header of a frame has no name or no value"),
        (frame(b"\x03abc\x0a", b""), "a header of a frame has a value of the kind 10"),
        (frame(b"\x03abc\x07\x00\x02a", b"payload"), "a header of a frame is longer than all of them"),
        (frame(b"\x03abc\x07", b"payload"), "a header of a frame is longer than all of them"),
        (frame(b"\x03abc\x05\x00", b"payload"), "a header of a frame is longer than all of them"),
        (frame(2 * header(":message-type", "event"), b""), "a header of a frame is given twice"),
        (chunk(b"{}"), "a frame holds no event"),
        (chunk(b"nothing"), "a frame holds no event"),
        (chunk(b'{"bytes":"eyJ0eXBl*joicGluZyJ9"}'), "a frame holds no event"),
        (chunk(b'{"bytes":7}'), "a frame holds no event"),
        (of_event(b""), "a frame holds no event"),
        (of_event(b"[" * 100_000), "a frame holds no event"),
        (of_event(b'{"index":0}'), "a frame holds no event"),
        (of_event(b'{"type":"ping"}{"type":"ping"}'), "a frame holds no event"),
        (of_event(b'{"type":""}'), "a frame holds an event without a name"),
        (of_event(b'{"type":"ping\\n\\ndata: free"}'), "a frame holds an event without a name"),
    ],
)
def test_what_is_wrong_is_not_read_on(data, problem):
    assert read(PING + data + PING) == (PING_EVENT, problem, False)


def test_the_longest_frame_is_read():
    room = FRAME_BYTES_MAX - len(of_event(b""))
    text = b"a" * (room // 4 * 3 - len(b'{"type":"ping","x":""}') - 1)
    event = b'{"type":"ping","x":"%b"}' % text
    out, problem, _ = read(of_event(event))
    assert (out, problem) == (b"event: ping\ndata: %b\n\n" % event, "")


def test_no_line_end_inside_an_event_ends_it():
    pretty = b'{\r\n "type": "content_block_stop",\n\n "index": 0\r}'
    assert read(of_event(pretty))[0] == (
        b'event: content_block_stop\ndata: {   "type": "content_block_stop",   "index": 0 }\n\n'
    )


def test_the_kind_of_the_answer_says_that_frames_follow():
    lines = [b"x-amzn-requestid: 1", b"Content-Type:  Application/vnd.amazon.eventstream; a=b"]
    assert frames_place(lines) == 1
    assert (
        frames_place([b"content-type: text/event-stream", b"x-content-type: application/vnd.amazon.eventstream"]) == -1
    )
