"""Heads: what is read out of them, what goes on, and what is refused."""

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenroll.gateway.heads import (
    CHUNKED,
    UNTIL_CLOSE,
    HeadError,
    RequestReader,
    ResponseReader,
    head_is_hopeless,
)

LINE = b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\n"


def request(data: bytes):
    return RequestReader().read(data)


def response(data: bytes):
    return ResponseReader().read(data.removesuffix(b"\r\n\r\n"))


def refused(data: bytes) -> int:
    with pytest.raises(HeadError) as caught:
        request(data)
    return caught.value.status


def test_it_reads_what_a_call_needs():
    head = request(
        LINE.replace(b"completions", b"completions?beta=true")
        + b"Authorization: Bearer My API Key\r\nContent-Length: 12\r\n"
        b"x-tokenroll-call-id: build-7\r\nExpect: 100-Continue\r\n\r\n"
    )
    assert (head.method, head.path, head.query) == (b"POST", b"/v1/chat/completions", b"?beta=true")
    assert head.authorization == b"Bearer My API Key"
    assert head.content_length == 12
    assert head.call_id == b"build-7"
    assert head.expects_continue
    assert head.keep_alive


def test_only_the_clients_own_business_goes_on():
    head = request(
        LINE
        + b"Content-Type: application/json\r\nanthropic-version: 2023-06-01\r\nAnthropic-Beta: x\r\nX-Stainless-Lang: python\r\n"
        b"Authorization: Bearer k\r\nx-api-key: k\r\nCookie: a=b\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nTE: trailers\r\n"
        b"Accept-Encoding: gzip\r\nOpenAI-Organization: org-1\r\nOpenAI-Project: p\r\nOpenAI-Beta: y\r\nX-Forwarded-For: 10.0.0.7\r\n"
        b"x-tokenroll-tag: z\r\nX-Client-Request-Id: 9\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n"
    )
    assert head.forward == (
        b"Content-Type: application/json\r\nanthropic-version: 2023-06-01\r\nAnthropic-Beta: x\r\nX-Stainless-Lang: python\r\n"
        b"OpenAI-Beta: y\r\n"
    )
    assert head.anthropic


@pytest.mark.parametrize(
    ("lines", "keep"),
    [
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
        (b"POST / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Close\r\n\r\n", False),
        (b"POST / HTTP/1.0\r\n\r\n", False),
        (b"POST / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", True),
    ],
)
def test_it_knows_whether_the_connection_is_used_again(lines, keep):
    assert request(lines).keep_alive is keep


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (LINE + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (LINE + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400),
        (LINE + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        (LINE + b"Content-Length: 1, 1\r\n\r\n", 400),
        (LINE + b"Content-Length: +1\r\n\r\n", 400),
        (LINE + b"Content-Length: 0x1\r\n\r\n", 400),
        (LINE + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
        (LINE + b"Content-Length: 33554433\r\n\r\n", 413),
        (LINE + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (LINE + b"Transfer-Encoding: chunked, chunked\r\n\r\n", 400),
        (LINE + b"Transfer-Encoding: identity\r\n\r\n", 501),
        (LINE + b"X: a\r\n b\r\n\r\n", 400),
        (LINE + b"X : a\r\n\r\n", 400),
        (LINE + b"X: a\x00b\r\n\r\n", 400),
        (LINE + b"X: a\nY: b\r\n\r\n", 400),
        (LINE + b"Host: b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n\r\n", 400),
        (b"POST  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"POST /\r\nHost: a\r\n\r\n", 400),
        (b"post / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"POST / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"POST / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        (b"POST /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (LINE + b"Expect: 200-ok\r\n\r\n", 417),
        (LINE + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400),
        (LINE + b"x-tokenroll-call-id: a b\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ],
)
def test_it_refuses_what_two_readers_could_understand_differently(data, status):
    assert refused(data) == status


def test_absolute_targets_mean_their_path():
    assert request(b"POST http://other.example/v1/messages?x=1 HTTP/1.1\r\nHost: a\r\n\r\n").path == b"/v1/messages"
    assert request(b"GET http://other.example HTTP/1.1\r\nHost: a\r\n\r\n").path == b"/"


def test_a_repeated_head_is_known_again_by_everything_but_its_length():
    first = LINE + b"Content-Length: 12\r\nX: y\r\n\r\n"
    head = request(first)
    assert head.repeated(first + b"body") == len(first)
    assert head.content_length == 12
    assert head.repeated(first.replace(b": 12", b": 40001") + b"POST") == len(first) + 3
    assert head.content_length == 40001
    for other in (b": 1 2", b": -1", b": ", b": 12 ", b": 12\r\nContent-Length: 1", b": 123456789012345"):
        assert head.repeated(first.replace(b": 12", other)) == 0
    assert head.repeated(first.replace(b"X: y", b"X: z")) == 0
    assert head.repeated(first[:-2]) == 0
    assert request(LINE + b"\r\n").repeated(LINE + b"\r\n") == 0


def test_an_empty_length_is_no_repetition_not_even_the_first_time():
    first = LINE + b"Content-Length: 12\r\nX: y\r\n\r\n"
    assert request(first).repeated(first.replace(b": 12", b": ")) == 0


ADA = b"tr-ada-0123456789"


@pytest.mark.parametrize(
    "lines",
    [
        b"Authorization: Bearer %b\r\nContent-Length: %b\r\n",
        b"Content-Length: %b\r\nX: y\r\nAuthorization: Bearer %b\r\n",
        b"x-api-key: %b\r\nContent-Length: %b\r\nX: y\r\n",
    ],
)
def test_a_head_with_another_token_in_the_same_place_is_known_again_too(lines):
    token_first = lines.index(b"Content-Length") > 0

    def head_of(token, length):
        return LINE + lines % ((token, length) if token_first else (length, token)) + b"\r\n"

    head = request(head_of(ADA, b"12"))
    head.bearer = ADA  # whoever authenticates says which of the values was the key
    for token, length in (
        (b"tr-bo", b"12"),
        (b"tr-cleo_longer.than+before/==", b"7"),
        (ADA, b"3000"),
        (b"tr-bo", b"12"),
    ):
        data = head_of(token, length)
        assert head.repeated(data + b"{}") == len(data)
        assert (head.bearer, head.content_length) == (token, int(length))
        assert head.repeated(data + b"{}") == len(data)
    for token in (b"", b"tr bo", b"tr-bo ", b"tr-bo\r\nX: y", b"tr\tbo", b"tr-\x80", b"t" * 600):
        assert head.repeated(head_of(token, b"12")) == 0
    assert head.repeated(head_of(b"tr-dev", b"1x")) == 0
    assert head.repeated(head_of(b"tr-dev", b"12").replace(LINE, LINE + b"New: 1\r\n")) == 0


def test_a_token_whose_place_is_in_doubt_is_read_the_long_way():
    for lines in (
        b"Authorization: Bearer %b\r\nX-Copy: %b\r\nContent-Length: 2\r\n\r\n" % (ADA, ADA),
        b"Authorization: Bearer\t%b\r\nContent-Length: 2\r\n\r\n" % ADA,
        b"Authorization: Bearer %b \r\nContent-Length: 2\r\n\r\n" % ADA,
    ):
        head = request(LINE + lines)
        head.bearer = ADA
        assert head.repeated(LINE + lines.replace(ADA, b"tr-bo")) == 0
    nobody = request(LINE + b"Authorization: Bearer %b\r\nContent-Length: 2\r\n\r\n" % ADA)
    assert nobody.repeated(LINE + b"Authorization: Bearer tr-bo\r\nContent-Length: 2\r\n\r\n") == 0


def test_it_sees_at_once_that_nothing_can_come_of_this():
    assert head_is_hopeless(b"POST / HTTP/1.1\r\nHost: a\n")
    assert head_is_hopeless(b"POST / HTTP/1.1\r\nHost: \0")
    assert not head_is_hopeless(b"POST / HTTP/1.1\r\nHost: a\r\nX")


def test_it_reads_a_providers_head():
    head = response(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=b\r\n"
        b"x-request-id: req_1\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nAlt-Svc: h3\r\nx-tokenroll-available: 9\r\n\r\n"
    )
    assert head.status == 200
    assert head.event_stream
    assert head.content_length == CHUNKED
    assert head.keep_alive
    assert head.forward == [b"Content-Type: text/event-stream; charset=utf-8", b"x-request-id: req_1"]
    assert head.request_id == "req_1"


def test_a_providers_answer_without_length_ends_with_its_connection():
    assert response(b"HTTP/1.0 200 OK\r\n\r\n").content_length == UNTIL_CLOSE
    assert not response(b"HTTP/1.0 200 OK\r\n\r\n").keep_alive
    assert response(b"HTTP/1.1 204 No Content\r\n\r\n").content_length == 0
    assert not response(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").keep_alive


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
    ],
)
def test_a_providers_broken_head_is_a_bad_gateway(data):
    with pytest.raises(HeadError) as caught:
        response(data)
    assert caught.value.status == 502


NAMES = ["Content-Type", "content-length", "Transfer-Encoding", "X", "x-request-id", "Connection", "X y", "", "X:"]
VALUES = [
    "a",
    "5",
    "chunked",
    "",
    " 5 ",
    "a\tb",
    "a\x00b",
    "a\nb",
    "a\rb",
    "\x7f",
    "\xff",
    "gzip, chunked",
    "+5",
    "5, 5",
    "close",
]


@given(
    st.sampled_from(
        ["HTTP/1.1 200 OK", "HTTP/1.1 200", "HTTP/1.0 404 No", "HTTP/1.1 2000 OK", "HTTP/1.1 20 OK", "HTTP/1.1  200 OK"]
    ),
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.sampled_from([":", ": ", ":\t", " :", ""]), st.sampled_from(VALUES)),
        max_size=4,
    ),
)
@settings(max_examples=300)
def test_nothing_is_accepted_that_llhttp_refuses(status_line, headers):
    lines = [status_line, *(f"{name}{colon}{value}" for name, colon, value in headers)]
    data = "\r\n".join(lines).encode("latin-1")
    try:
        reader = ResponseReader()
        reader.read(data)
        reader.read(data)
    except HeadError:
        return
    httptools.HttpResponseParser(object()).feed_data(data + b"\r\n\r\n")


def test_one_reader_serves_many_heads():
    reader = RequestReader()
    for _ in range(3):
        with pytest.raises(HeadError):
            reader.read(LINE + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert reader.read(LINE + b"Content-Length: 5\r\n\r\n").content_length == 5
        assert reader.read(LINE + b"Transfer-Encoding: chunked\r\n\r\n").content_length == CHUNKED


def test_every_request_id_is_read_the_first_and_the_strange_ones_too():
    reader = ResponseReader()
    lines = (
        b"x-request-id: req_1",
        b"x-request-id: req_2-B",
        b"x-request-id: a.b:c",
        b"x-request-id:\treq_3",
        b"x-amzn-RequestId: 4-a",
    )
    for line, told in zip(lines, ("req_1", "req_2-B", "a.b:c", "req_3", "4-a"), strict=True):
        head = reader.read(b"HTTP/1.1 200 OK\r\n" + line + b"\r\nContent-Length: 2")
        assert (head.request_id, head.forward, head.content_length) == (told, [line], 2)
    for line in (b"x-request-id: re\x01q", b"x-request-id: a\nb", b"x-request-id : a"):
        with pytest.raises(HeadError):
            reader.read(b"HTTP/1.1 200 OK\r\n" + line)
    assert reader.read(b"HTTP/1.1 200 OK\r\nx-request-id: " + b"i" * 200).request_id == "i" * 128
