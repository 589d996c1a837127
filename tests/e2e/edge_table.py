"""The HTTP edge as a table: raw bytes in, raw bytes out on both sides, and what became of the money. All literals.

Placeholders, replaced on both sides of every comparison: KEY (the run's key), CASE (the run's number, which names the provider's
script), CALL (the minted call id), PORT (the provider's port). A toy token costs 2,000 nanos in and 10,000 out; a request of 74 bytes
with one message and a cap of 5 is bounded by (74 + 16) × 4,000 + 5 × 10,000 = 410,000 nanos, and answers of 10 in and 5 out cost
10 × 2,000 + 5 × 10,000 = 70,000.
"""

from typing import NamedTuple

BODY = b'{"model":"toy","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'
STREAM_BODY = b'{"model":"toy","stream":true,"max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'
ASKED_BODY = (
    b'{"model":"toy","stream":true,"stream_options":{"include_usage":true},"max_tokens":5,'
    b'"messages":[{"role":"user","content":"hi"}]}'
)
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer KEY\r\nx-case: CASE\r\n"
CLOSE = b"Connection: close\r\n"
CALL = HEAD + CLOSE + b"Content-Length: 74\r\n\r\n" + BODY
STREAM = HEAD + CLOSE + b"Content-Length: 88\r\n\r\n" + STREAM_BODY
ASKED = HEAD + CLOSE + b"Content-Length: 128\r\n\r\n" + ASKED_BODY

SENT_HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost:PORT\r\nauthorization: Bearer sk-company\r\n"
    b"accept-encoding: identity\r\nx-client-request-id: CALL/1\r\nx-case: CASE\r\n"
)
SENT = SENT_HEAD + b"content-length: 74\r\n\r\n" + BODY
SENT_STREAM = (
    SENT_HEAD + b'content-length: 128\r\n\r\n{"stream_options":{"include_usage":true},"model":"toy","stream":true,'
    b'"max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'
)
SENT_ASKED = SENT_HEAD + b"content-length: 128\r\n\r\n" + ASKED_BODY

ANSWER = (
    b'{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"yo"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":10,"completion_tokens":5}}'
)
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 154\r\n\r\n" + ANSWER
TERMS = (
    b"x-tokenroll-call-id: CALL\r\nx-tokenroll-available: 0.999590000\r\nx-tokenroll-hold-max: 0.000410000\r\n"
    b"x-tokenroll-cycle-ends: 2024-02-01T00:00:00Z\r\nx-tokenroll-rate-card: CARD\r\n"
)
COST_TERMS = (
    b"x-tokenroll-call-id: CALL\r\nx-tokenroll-available: 0.999930000\r\nx-tokenroll-hold-max: 0.000410000\r\n"
    b"x-tokenroll-cycle-ends: 2024-02-01T00:00:00Z\r\nx-tokenroll-rate-card: CARD\r\nx-tokenroll-cost: 0.000070000\r\n"
)
STREAM_TERMS = TERMS.replace(b"0.999590000", b"0.999534000").replace(b"0.000410000", b"0.000466000")
"""(88 + 16) × 4,000 + 5 × 10,000 = 466,000."""
ASKED_TERMS = TERMS.replace(b"0.999590000", b"0.999374000").replace(b"0.000410000", b"0.000626000")
"""(128 + 16) × 4,000 + 5 × 10,000 = 626,000."""
OK = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    + COST_TERMS
    + b"connection: close\r\ncontent-length: 154\r\n\r\n"
    + ANSWER
)
OK_KEPT = OK.replace(b"connection: close\r\n", b"")

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"yo"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5}}\n\n'
DONE = b"data: [DONE]\n\n"


def chunked(*payloads: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(payload), payload) for payload in payloads) + b"0\r\n\r\n"


EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAMED = EVENTS + chunked(EVENT, USAGE, DONE)


def stream_head(terms: bytes) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + terms
        + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    )  # fmt: skip


def openai_error(
    status: bytes, message: str, kind: str, code: str, extra: bytes = b"", request_id: bytes = b"REFUSAL"
) -> bytes:
    """As it is answered: under an id of its own, or under that of the call that ends with it."""
    body = f'{{"error": {{"message": "{message}", "type": "{kind}", "param": null, "code": "{code}"}}}}'.encode()
    return (
        b"HTTP/1.1 " + status + b"\r\ncontent-type: application/json\r\n" + extra
        + b"x-request-id: " + request_id + b"\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )  # fmt: skip


def bad_gateway(message: str) -> bytes:
    """Under the id of the call that ends with it."""
    return openai_error(b"502 Bad Gateway", message, "server_error", "bad_gateway", request_id=b"CALL")


MALFORMED = openai_error(
    b"400 Bad Request", "The request head is malformed.", "invalid_request_error", "malformed_request"
)
BAD_LINE = openai_error(
    b"400 Bad Request", "The request line is not METHOD TARGET HTTP/1.1.", "invalid_request_error", "malformed_request"
)


def bad_head(reason: str) -> bytes:
    return openai_error(
        b"400 Bad Request", f"The request head is malformed: {reason}.", "invalid_request_error", "malformed_request"
    )


def bad_body(reason: str) -> bytes:
    return openai_error(
        b"400 Bad Request", f"The request body is malformed: {reason}.", "invalid_request_error", "malformed_request"
    )


BAD_HOST = openai_error(
    b"400 Bad Request",
    "A host is a name or an address, and perhaps a port.",
    "invalid_request_error",
    "malformed_request",
)


class Row(NamedTuple):
    """One row. `sent` empty: the provider hears nothing. `money` in words, one item per attempt."""

    name: str
    request: bytes
    answer: bytes
    client: bytes
    sent: bytes
    money: tuple[str, ...]
    close: str = ""
    """What the provider does with the connection after its answer: `fin`, `rst` or nothing."""


SETTLED = ("settled 70000 of 410000 reported",)
SIZE_ERROR = "a chunk size is not a hexadecimal number"
END_ERROR = "a chunk does not end where its size says"


def refused(name: str, request: bytes, client: bytes) -> Row:
    return Row(name, request, b"", client, b"", ())


CHUNKED_HEAD = HEAD + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n"

REQUEST_ROWS = [
    Row("a plain call", CALL, WHOLE, OK, SENT, SETTLED),
    Row("an empty line before the request", b"\r\n" + CALL, WHOLE, OK, SENT, SETTLED),
    Row(
        "an absolute target",
        CALL.replace(b"POST /v1", b"POST http://gw.example:80/v1"),
        WHOLE,
        OK,
        SENT,
        SETTLED,
    ),
    Row(
        "a query goes on",
        CALL.replace(b"completions ", b"completions?a=b ", 1),
        WHOLE,
        OK,
        SENT.replace(b"completions ", b"completions?a=b ", 1),
        SETTLED,
    ),
    Row(
        "a chunked body",
        CHUNKED_HEAD + b"a\r\n" + BODY[:10] + b"\r\n40\r\n" + BODY[10:] + b"\r\n0\r\n\r\n",
        WHOLE,
        OK,
        SENT,
        SETTLED,
    ),
    Row(
        "a chunked body with extension and trailer",
        CHUNKED_HEAD + b"4a;a=b\r\n" + BODY + b"\r\n0\r\nx-t: 1\r\n\r\n",
        WHOLE,
        OK,
        SENT,
        SETTLED,
    ),
    Row(
        "the key in x-api-key", CALL.replace(b"Authorization: Bearer KEY", b"x-api-key: KEY"), WHOLE, OK, SENT, SETTLED
    ),
    Row(
        "what is not the provider's business stays here",
        CALL.replace(
            b"x-case",
            b"Cookie: a=b\r\nTE: trailers\r\nX-Forwarded-For: 10.0.0.7\r\nOpenAI-Organization: o\r\nx-tokenroll-x: 1\r\nx-case",
            1,
        ),
        WHOLE,
        OK,
        SENT,
        SETTLED,
    ),
    Row(
        "a header that the client names as its hop's own stays here",
        CALL.replace(b"Connection: close", b"Connection: close, X-Hop\r\nX-Hop: 1"),
        WHOLE,
        OK,
        SENT,
        SETTLED,
    ),
    Row(
        "an upgrade is not taken",
        CALL.replace(b"Connection: close", b"Connection: close, upgrade\r\nUpgrade: h2c"),
        WHOLE,
        OK,
        SENT,
        SETTLED,
    ),
    Row(
        "HTTP/1.0",
        CALL.replace(b"HTTP/1.1", b"HTTP/1.0", 1).replace(b"Host: gw\r\n", b"").replace(CLOSE, b""),
        WHOLE,
        OK,
        SENT,
        SETTLED,
    ),
    Row(
        "HTTP/1.0 reads a stream without chunks",
        STREAM.replace(b"HTTP/1.1", b"HTTP/1.0", 1).replace(CLOSE, b""),
        STREAMED,
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        + STREAM_TERMS
        + b"connection: close\r\n\r\n"
        + EVENT
        + DONE,
        SENT_STREAM,
        ("settled 70000 of 466000 reported",),
    ),
    Row(
        "pipelined: two calls, answered in order",
        CALL.replace(CLOSE, b"") + CALL,
        WHOLE,
        OK_KEPT + OK.replace(b"0.999930000", b"0.999860000"),
        SENT + SENT,
        SETTLED + SETTLED,
    ),
    Row(
        "pipelined: a refusal, then a call",
        CALL.replace(CLOSE, b"").replace(b"Bearer KEY", b"Bearer nobody") + CALL,
        WHOLE,
        openai_error(
            b"401 Unauthorized",
            "This key is not known here, or it was revoked.",
            "invalid_request_error",
            "invalid_api_key",
            b"www-authenticate: Bearer\r\nx-tokenroll-denied: unknown_key\r\n",
        ).replace(b"connection: close\r\n", b"")
        + OK,
        SENT,
        SETTLED,
    ),
    Row(
        "pipelined: garbage behind a call ends the connection after its answer",
        CALL.replace(CLOSE, b"") + b"GARBAGE\r\n\r\n",
        WHOLE,
        OK_KEPT
        + b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\nconnection: close\r\ncontent-length: 152\r\n\r\n"
        b'{"type": "about:blank", "title": "Bad Request", "status": 400, "code": "malformed_request", '
        b'"detail": "The request line is not METHOD TARGET HTTP/1.1."}',
        SENT,
        SETTLED,
    ),
    refused(
        "content-length and transfer-encoding",
        HEAD + b"Content-Length: 74\r\nTransfer-Encoding: chunked\r\n\r\n" + BODY,
        bad_head("Transfer-Encoding can't be present with Content-Length"),
    ),
    refused(
        "transfer-encoding and content-length",
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 74\r\n\r\n0\r\n\r\n",
        bad_head("Content-Length can't be present with Transfer-Encoding"),
    ),
    refused(
        "two content-lengths",
        HEAD + b"Content-Length: 74\r\nContent-Length: 74\r\n\r\n" + BODY,
        bad_head("Duplicate Content-Length"),
    ),
    refused(
        "a list of lengths",
        HEAD + b"Content-Length: 74, 74\r\n\r\n" + BODY,
        bad_head("Invalid character in Content-Length"),
    ),
    refused(
        "a signed length", HEAD + b"Content-Length: +74\r\n\r\n" + BODY, bad_head("Invalid character in Content-Length")
    ),
    refused(
        "a hexadecimal length",
        HEAD + b"Content-Length: 0x4a\r\n\r\n" + BODY,
        bad_head("Invalid character in Content-Length"),
    ),
    refused(
        "an endless length", HEAD + b"Content-Length: 99999999999999999999\r\n\r\n", bad_head("Content-Length overflow")
    ),
    refused("an empty length", HEAD + b"Content-Length:\r\n\r\n" + BODY, bad_head("Empty Content-Length")),
    refused(
        "chunked twice",
        HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        bad_head("Invalid `Transfer-Encoding` header value"),
    ),
    refused(
        "a coding before chunked",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        openai_error(
            b"501 Not Implemented",
            "Only the chunked transfer coding is understood here.",
            "server_error",
            "unsupported_transfer_coding",
        ),
    ),
    refused(
        "chunked is not last",
        HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        bad_head("Invalid `Transfer-Encoding` header value"),
    ),
    refused(
        "a folded header",
        HEAD + b"X: a\r\n b\r\nContent-Length: 74\r\n\r\n" + BODY,
        bad_head("Unexpected whitespace after header value"),
    ),
    refused(
        "a blank before the colon", HEAD + b"Content-Length : 74\r\n\r\n" + BODY, bad_head("Invalid header field char")
    ),
    refused(
        "a header without a colon", HEAD + b"Content-Length 74\r\n\r\n" + BODY, bad_head("Invalid header field char")
    ),
    refused("a header without a name", HEAD + b": 74\r\n\r\n" + BODY, bad_head("Invalid header token")),
    refused("NUL in a header", HEAD + b"X: a\x00b\r\nContent-Length: 74\r\n\r\n" + BODY, MALFORMED),
    refused("a bare LF ends a header", HEAD + b"X: a\nContent-Length: 74\r\n\r\n" + BODY, MALFORMED),
    refused("a bare LF ends the head", HEAD + b"Content-Length: 74\r\n\n" + BODY, MALFORMED),
    refused(
        "a bare CR in a header",
        HEAD + b"X: a\rb\r\nContent-Length: 74\r\n\r\n" + BODY,
        bad_head("Missing expected LF after header value"),
    ),
    refused("a bare LF ends the request line", CALL.replace(b"1.1\r\n", b"1.1\n", 1), MALFORMED),
    refused("two blanks in the request line", CALL.replace(b"POST ", b"POST  ", 1), BAD_LINE),
    refused("a blank in the target", CALL.replace(b"completions ", b"completions x ", 1), BAD_LINE),
    refused("a method in small letters", CALL.replace(b"POST", b"post", 1), BAD_LINE),
    refused("no version", CALL.replace(b" HTTP/1.1", b"", 1), BAD_LINE),
    refused(
        "HTTP/2.0",
        CALL.replace(b"HTTP/1.1", b"HTTP/2.0", 1),
        openai_error(
            b"505 HTTP Version Not Supported", "HTTP/1.1 is spoken here.", "server_error", "unsupported_version"
        ),
    ),
    refused(
        "no host",
        CALL.replace(b"Host: gw\r\n", b""),
        openai_error(
            b"400 Bad Request", "A request names exactly one Host.", "invalid_request_error", "malformed_request"
        ),
    ),
    refused(
        "two hosts",
        CALL.replace(b"Host: gw\r\n", b"Host: gw\r\nHost: gw\r\n"),
        openai_error(
            b"400 Bad Request", "A request names exactly one Host.", "invalid_request_error", "malformed_request"
        ),
    ),
    refused("a host with a path", CALL.replace(b"Host: gw", b"Host: gw/v1"), BAD_HOST),
    refused("a host of nothing", CALL.replace(b"Host: gw", b"Host:"), BAD_HOST),
    refused("a user before the host", CALL.replace(b"POST /v1", b"POST http://me@gw/v1"), BAD_HOST),
    refused(
        "a tab before the length",
        CALL.replace(b"Content-Length: ", b"Content-Length:\t"),
        openai_error(
            b"400 Bad Request",
            "The header that says how long the body is has a tab in it.",
            "invalid_request_error",
            "malformed_request",
        ),
    ),
    refused(
        "two keys",
        CALL.replace(b"x-case", b"Authorization: Bearer KEY\r\nx-case", 1),
        openai_error(
            b"400 Bad Request", "The header Authorization is given twice.", "invalid_request_error", "malformed_request"
        ),
    ),
    refused(
        "an unknown expectation",
        CALL.replace(b"x-case", b"Expect: cake\r\nx-case", 1),
        openai_error(
            b"417 Expectation Failed",
            "The only expectation met here is 100-continue.",
            "invalid_request_error",
            "unknown_expectation",
        ),
    ),
    refused("a chunk size that is no number", CHUNKED_HEAD + b"xyz\r\n", bad_body(SIZE_ERROR)),
    refused("a chunk size with a sign", CHUNKED_HEAD + b"+4a\r\n" + BODY + b"\r\n0\r\n\r\n", bad_body(SIZE_ERROR)),
    refused("a chunk size with 0x", CHUNKED_HEAD + b"0x4a\r\n" + BODY + b"\r\n0\r\n\r\n", bad_body(SIZE_ERROR)),
    refused("a chunk size that ends in a bare LF", CHUNKED_HEAD + b"4a\n" + BODY + b"\n0\n\n", bad_body(SIZE_ERROR)),
    refused(
        "a chunk that is longer than it says", CHUNKED_HEAD + b"49\r\n" + BODY + b"\r\n0\r\n\r\n", bad_body(END_ERROR)
    ),
    refused(
        "a chunk that is shorter than it says", CHUNKED_HEAD + b"4b\r\n" + BODY + b"\r\n0\r\n\r\n", bad_body(END_ERROR)
    ),
    refused(
        "a trailer that is no header",
        CHUNKED_HEAD + b"4a\r\n" + BODY + b"\r\n0\r\nx y\r\n\r\n",
        bad_body("trailers are malformed or too long"),
    ),
    refused(
        "an encoded body",
        CALL.replace(b"x-case", b"Content-Encoding: gzip\r\nx-case", 1),
        openai_error(
            b"415 Unsupported Media Type",
            "Encoded request bodies are not taken here; send the JSON as it is.",
            "invalid_request_error",
            "encoded_body",
            b"accept-encoding: identity\r\n",
        ),
    ),
    refused(
        "a wrong method",
        CALL.replace(b"POST", b"PUT", 1),
        openai_error(
            b"405 Method Not Allowed",
            "Calls are made with POST.",
            "invalid_request_error",
            "method_not_allowed",
            b"allow: POST\r\n",
        ),
    ),
    refused(
        "an unknown path",
        CALL.replace(b"chat/completions", b"nowhere", 1),
        openai_error(b"404 Not Found", "There is no /v1/nowhere here.", "invalid_request_error", "not_found"),
    ),
    refused(
        "an unknown path of ours",
        CALL.replace(b"/v1/chat/completions", b"/nowhere", 1),
        b"HTTP/1.1 404 Not Found\r\ncontent-type: application/problem+json\r\nconnection: close\r\ncontent-length: 121\r\n\r\n"
        b'{"type": "about:blank", "title": "Not Found", "status": 404, "code": "not_found", "detail": "There is no /nowhere here."}',
    ),
    refused(
        "a tunnel",
        b"CONNECT gw:443 HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\ncontent-type: application/problem+json\r\nconnection: close\r\ncontent-length: 119\r\n\r\n"
        b'{"type": "about:blank", "title": "Not Found", "status": 404, "code": "not_found", "detail": "There is no gw:443 here."}',
    ),
    refused(
        "no key",
        CALL.replace(b"Authorization: Bearer KEY\r\n", b""),
        openai_error(
            b"401 Unauthorized",
            "No key was given; send yours as `Authorization: Bearer …` or `x-api-key: …`.",
            "invalid_request_error",
            "missing_api_key",
            b"www-authenticate: Bearer\r\n",
        ),
    ),
    refused("a body that is no JSON", HEAD + CLOSE + b"Content-Length: 5\r\n\r\n{oops", b"NOT_JSON"),
    refused("a model without a rate card", CALL.replace(b'"toy"', b'"tox"'), b"NO_CARD"),
]

RESPONSE_ROWS = [
    Row("whole, with a length", CALL, WHOLE, OK, SENT, SETTLED),
    Row(
        "whole, in chunks",
        CALL,
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunked(ANSWER[:50], ANSWER[50:]),
        OK,
        SENT,
        SETTLED,
    ),
    Row(
        "whole, until the connection closes",
        CALL,
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + ANSWER,
        OK,
        SENT,
        SETTLED,
        "fin",
    ),
    Row("from a provider of HTTP/1.0", CALL, WHOLE.replace(b"1.1", b"1.0", 1), OK, SENT, SETTLED, "fin"),
    Row(
        "after an interim answer",
        CALL,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + WHOLE,
        OK,
        SENT,
        SETTLED,
    ),
    Row(
        "headers that stay with us",
        CALL,
        WHOLE.replace(
            b"Content-Length",
            b"Set-Cookie: a=b\r\nKeep-Alive: timeout=5\r\nAlt-Svc: h3\r\nx-tokenroll-cost: 9\r\nX-Ok: 1\r\nContent-Length",
        ),
        OK.replace(b"application/json\r\n", b"application/json\r\nX-Ok: 1\r\n", 1),
        SENT,
        SETTLED,
    ),
    Row(
        "a stream, usage asked for by the client",
        ASKED,
        STREAMED,
        stream_head(ASKED_TERMS) + chunked(EVENT, USAGE, DONE),
        SENT_ASKED,
        ("settled 70000 of 626000 reported",),
    ),
    Row(
        "a stream with trailers, which stay here",
        ASKED,
        STREAMED.removesuffix(b"\r\n") + b"x-late: 1\r\n\r\n",
        stream_head(ASKED_TERMS) + chunked(EVENT, USAGE, DONE),
        SENT_ASKED,
        ("settled 70000 of 626000 reported",),
    ),
    Row(
        "a stream, the usage event withheld",
        STREAM,
        STREAMED,
        b"DECHUNKED" + EVENT + DONE,
        SENT_STREAM,
        ("settled 70000 of 466000 reported",),
    ),
    Row(
        "a stream with a length",
        ASKED,
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 145\r\n\r\n" + EVENT + USAGE + DONE,
        stream_head(ASKED_TERMS).replace(b"transfer-encoding: chunked", b"content-length: 145") + EVENT + USAGE + DONE,
        SENT_ASKED,
        ("settled 70000 of 626000 reported",),
    ),
    Row(
        "a stream until the connection closes",
        ASKED,
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + EVENT + USAGE + DONE,
        b"DECHUNKED" + EVENT + USAGE + DONE,
        SENT_ASKED,
        ("settled 70000 of 626000 reported",),
        "fin",
    ),
    Row(
        "a stream cut after its usage is paid by its usage",
        ASKED,
        EVENTS + chunked(EVENT, USAGE).removesuffix(b"0\r\n\r\n"),
        stream_head(ASKED_TERMS) + chunked(EVENT, USAGE).removesuffix(b"0\r\n\r\n"),
        SENT_ASKED,
        ("settled 70000 of 626000 reported",),
        "fin",
    ),
    Row(
        "an error of the provider",
        CALL,
        b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nretry-after: 7\r\nContent-Length: 21\r\n\r\n"
        + b'{"error":{"code":"x"}}'[:21],
        b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nretry-after: 7\r\n"
        + COST_TERMS.replace(b"0.999930000", b"1.000000000").replace(b"0.000070000", b"0.000000000")
        + b"connection: close\r\ncontent-length: 21\r\n\r\n"
        + b'{"error":{"code":"x"}}'[:21],
        SENT,
        ("released: provider error of 410000",),
    ),
    Row(
        "both framings at once",
        CALL,
        WHOLE.replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length"),
        bad_gateway("The provider's Content-Length is not one number."),
        SENT,
        ("suspense of 410000",),
    ),
    Row(
        "two lengths",
        CALL,
        WHOLE.replace(b"Content-Length", b"Content-Length: 1\r\nContent-Length"),
        bad_gateway("The provider's Content-Length is not one number."),
        SENT,
        ("suspense of 410000",),
    ),
    Row(
        "a folded header",
        CALL,
        WHOLE.replace(b"Content-Length", b"X: a\r\n b\r\nContent-Length"),
        bad_gateway("The provider's response head is malformed."),
        SENT,
        ("suspense of 410000",),
    ),
    Row(
        "no HTTP at all",
        CALL,
        b"hello, this is something else\r\n\r\n",
        bad_gateway("The provider does not speak HTTP/1.1."),
        SENT,
        ("suspense of 410000",),
    ),
    Row(
        "a switch of protocols",
        CALL,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        bad_gateway("The provider sent interim answers only."),
        SENT,
        ("suspense of 410000",),
    ),
    Row(
        "a chunk size that is no number",
        CALL,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        bad_gateway(f"The provider's answer is malformed: {SIZE_ERROR}."),
        SENT,
        ("suspense of 410000",),
    ),
    Row(
        "an answer that ends before its length",
        CALL,
        WHOLE[:-1],
        bad_gateway("The provider closed the connection before its answer was whole."),
        SENT,
        ("suspense of 410000",),
        "fin",
    ),
]

BEHIND = b"HTTP/1.1 200 OK\r\n\r\n"
BEHIND_ROW = Row("bytes behind the answer are nobody's", CALL, WHOLE + BEHIND, OK, SENT, SETTLED)
"""Not among the others: their calls share connections, and which call is under way when these bytes come would be chance."""
