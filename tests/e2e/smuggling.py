"""Requests that two servers may read differently: the classic ways to smuggle one past a front, as raw bytes.

KEY and CASE are replaced in each. `BODY` is 74 bytes, so a plain call is bounded at 410,000 nanos and costs 70,000 (edge_table.py).
"""

import random

from tests.e2e.edge_table import BODY, CALL, CLOSE, HEAD, REQUEST_ROWS

MARKED = BODY
KEPT = HEAD + b"Content-Length: 74\r\n\r\n" + BODY
"""A plain call on a connection that may go on."""
CHUNKS = b"4a\r\n" + BODY + b"\r\n0\r\n\r\n"
SECOND = KEPT.replace(b"POST /v1", b"POST /smuggled/v1", 1)


def headed(*lines: bytes, body: bytes = BODY) -> bytes:
    """A call with these header lines in place of its length."""
    return HEAD + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def line(first: bytes) -> bytes:
    """A plain call with another request line."""
    return first + b"\r\n" + KEPT.partition(b"\r\n")[2]


LENGTH, CHUNKED = b"Content-Length: 74", b"Transfer-Encoding: chunked"
CORPUS: dict[str, bytes] = {
    "plain": KEPT,
    "plain, and closed": CALL,
    # ---- which framing holds
    "CL.TE": headed(b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n" + SECOND),
    "CL.TE, the chunks in the length": headed(b"Content-Length: %d" % len(CHUNKS), CHUNKED, body=CHUNKS),
    "TE.CL": headed(CHUNKED, b"Content-Length: 4", body=b"4a\r\n" + BODY + b"\r\n0\r\n\r\n" + SECOND),
    "TE.TE": headed(CHUNKED, b"Transfer-Encoding: identity", body=CHUNKS),
    "TE.TE, another case": headed(CHUNKED, b"transfer-encoding: Chunked", body=CHUNKS),
    "TE: CHUNKED": headed(b"Transfer-Encoding: CHUNKED", body=CHUNKS),
    "TE: xchunked": headed(b"Transfer-Encoding: xchunked", LENGTH),
    "TE: chunked behind a tab": headed(b"Transfer-Encoding:\tchunked", body=CHUNKS),
    "TE: chunked behind a vertical tab": headed(b"Transfer-Encoding: \x0bchunked", body=CHUNKS),
    "TE: chunked in quotes": headed(b'Transfer-Encoding: "chunked"', LENGTH),
    "TE: chunked and a comma": headed(b"Transfer-Encoding: chunked,", body=CHUNKS),
    "TE: a comma and chunked": headed(b"Transfer-Encoding: , chunked", body=CHUNKS),
    "TE: chunked with a parameter": headed(b"Transfer-Encoding: chunked;q=1", body=CHUNKS),
    "TE: empty, with a length": headed(b"Transfer-Encoding:", LENGTH),
    "TE: identity, with a length": headed(b"Transfer-Encoding: identity", LENGTH),
    "TE: gzip alone": headed(b"Transfer-Encoding: gzip"),
    "TE under another name": headed(b"Transfer_Encoding: chunked", LENGTH),
    "TE behind a NUL": headed(b"Transfer-Encoding\x00: chunked", LENGTH),
    "TE with a blank before the colon": headed(b"Transfer-Encoding : chunked", LENGTH),
    "TE folded": headed(b"Transfer-Encoding:\r\n chunked", body=CHUNKS),
    "TE after a fold": headed(b"X: y\r\n Transfer-Encoding: chunked", LENGTH),
    "TE behind a bare LF": headed(b"X: y\nTransfer-Encoding: chunked", LENGTH),
    "TE behind a bare CR": headed(b"X: y\rTransfer-Encoding: chunked", LENGTH),
    "TE of HTTP/1.0": headed(CHUNKED, body=CHUNKS).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    # ---- lengths
    "lengths that differ": headed(LENGTH, b"Content-Length: 5"),
    "lengths that differ, the other way": headed(b"Content-Length: 5", LENGTH),
    "lengths in a list that differ": headed(b"Content-Length: 74, 5"),
    "a length with zeros before it": headed(b"Content-Length: 0000074"),
    "a length with a fraction": headed(b"Content-Length: 74.0"),
    "a length with an exponent": headed(b"Content-Length: 7e1"),
    "a length below zero": headed(b"Content-Length: -1"),
    "a length with blanks inside": headed(b"Content-Length: 7 4"),
    "a length behind a NUL": headed(b"Content-Length: \x0074"),
    "a length above every integer": headed(b"Content-Length: 18446744073709551690"),
    "a length in other digits": headed("Content-Length: ٧٤".encode()),
    "a length that is too short": headed(b"Content-Length: 73"),
    "a length that is too long": headed(b"Content-Length: 75", body=BODY),
    "a length of zero, and a second request": headed(b"Content-Length: 0", body=SECOND),
    "no length at all": headed(body=BODY),
    "no length, and a second request": headed(body=SECOND),
    "a length under another name": headed(b"Content_Length: 74"),
    "a length that the connection drops": headed(b"Connection: content-length", LENGTH),
    "a length in a folded line": headed(b"Content-Length:\r\n 74"),
    # ---- chunks
    "an extension": headed(CHUNKED, body=b"4a;name=value\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "an extension with a quote that does not end": headed(CHUNKED, body=b'4a;name="\r\n' + BODY + b"\r\n0\r\n\r\n"),
    "an extension with a bare LF": headed(CHUNKED, body=b"4a;a\nb\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "an extension with a bare CR": headed(CHUNKED, body=b"4a;a\rb\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "an extension without end": headed(CHUNKED, body=b"4a;" + b"a" * 70_000 + b"\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a blank after the size": headed(CHUNKED, body=b"4a \r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a blank before the size": headed(CHUNKED, body=b" 4a\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a size in capitals": headed(CHUNKED, body=b"4A\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a size with zeros before it": headed(CHUNKED, body=b"000000000004a\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a size above every integer": headed(CHUNKED, body=b"1000000000000004a\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a size below zero": headed(CHUNKED, body=b"-4a\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a size with an underscore": headed(CHUNKED, body=b"4_a\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "no size": headed(CHUNKED, body=b"\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk that ends in a bare LF": headed(CHUNKED, body=b"4a\r\n" + BODY + b"\n0\r\n\r\n"),
    "a chunk without an end": headed(CHUNKED, body=b"4a\r\n" + BODY + b"0\r\n\r\n"),
    "a last chunk of several zeros": headed(CHUNKED, body=b"4a\r\n" + BODY + b"\r\n000\r\n\r\n"),
    "a last chunk that is missing": headed(CHUNKED, body=b"4a\r\n" + BODY + b"\r\n"),
    "trailers that are framings": headed(CHUNKED, body=b"4a\r\n" + BODY + b"\r\n0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "a trailer that is folded": headed(CHUNKED, body=b"4a\r\n" + BODY + b"\r\n0\r\nX: a\r\n b\r\n\r\n"),
    "trailers that end in bare LFs": headed(CHUNKED, body=b"4a\r\n" + BODY + b"\r\n0\r\nX: a\n\n"),
    "the end in bare LFs": headed(CHUNKED, body=b"4a\r\n" + BODY + b"\r\n0\n\n"),
    "a request behind the chunks": headed(CHUNKED, body=CHUNKS + SECOND),
    "a call behind the chunks": headed(CHUNKED, body=CHUNKS + KEPT),
    # ---- request lines
    "a tab in the request line": line(b"POST\t/v1/chat/completions HTTP/1.1"),
    "a form feed in the request line": line(b"POST /v1/chat/completions\x0cHTTP/1.1"),
    "a bare CR in the request line": line(b"POST /v1/chat/completions HTTP/1.1\r"),
    "a blank behind the version": line(b"POST /v1/chat/completions HTTP/1.1 "),
    "HTTP/1.10": line(b"POST /v1/chat/completions HTTP/1.10"),
    "HTTP/01.1": line(b"POST /v1/chat/completions HTTP/01.1"),
    "http/1.1": line(b"POST /v1/chat/completions http/1.1"),
    "HTTP/0.9": line(b"POST /v1/chat/completions"),
    "HTTP/1.2": line(b"POST /v1/chat/completions HTTP/1.2"),
    "a NUL in the target": line(b"POST /v1/chat/completions\x00 HTTP/1.1"),
    "an escape in the target": line(b"POST /v1/chat%2fcompletions HTTP/1.1"),
    "dots in the target": line(b"POST /v1/x/../chat/completions HTTP/1.1"),
    "two strokes in the target": line(b"POST //v1/chat/completions HTTP/1.1"),
    "a fragment in the target": line(b"POST /v1/chat/completions#x HTTP/1.1"),
    "high bytes in the target": line(b"POST /v1/chat/completions?\xff\xfe HTTP/1.1"),
    "another host in the target": line(b"POST http://elsewhere/v1/chat/completions HTTP/1.1"),
    "a user in the target": line(b"POST http://me@gw/v1/chat/completions HTTP/1.1"),
    "another scheme": line(b"POST ftp://gw/v1/chat/completions HTTP/1.1"),
    "a target without a stroke": line(b"POST v1/chat/completions HTTP/1.1"),
    "a star": line(b"OPTIONS * HTTP/1.1"),
    "a method of its own": line(b"P\xd6ST /v1/chat/completions HTTP/1.1"),
    "a GET with a body": line(b"GET /v1/chat/completions HTTP/1.1"),
    "a HEAD with a body": line(b"HEAD /v1/models HTTP/1.1"),
    "a TRACE": line(b"TRACE /v1/chat/completions HTTP/1.1"),
    # ---- headers
    "many headers": KEPT.replace(b"x-case", b"".join(b"x-%d: 1\r\n" % number for number in range(3_000)) + b"x-case", 1),
    "a header of a megabyte": KEPT.replace(b"x-case", b"x-long: " + b"a" * 2**20 + b"\r\nx-case", 1),
    "a name of a megabyte": KEPT.replace(b"x-case", b"a" * 2**20 + b": 1\r\nx-case", 1),
    "a header without a name": KEPT.replace(b"x-case", b": x\r\nx-case", 1),
    "a header of high bytes": KEPT.replace(b"x-case", b"x-h: \xff\xfe\r\nx-case", 1),
    "a name of high bytes": KEPT.replace(b"x-case", b"x-\xff: 1\r\nx-case", 1),
    "a header with DEL": KEPT.replace(b"x-case", b"x-h: a\x7fb\r\nx-case", 1),
    "a header with a bell": KEPT.replace(b"x-case", b"x-h: a\x07b\r\nx-case", 1),
    "a first header that is folded": KEPT.replace(b"Host", b" X: y\r\nHost", 1),
    "hosts that differ": KEPT.replace(b"Host: gw", b"Host: gw\r\nHost: elsewhere"),
    "a host with a path": KEPT.replace(b"Host: gw", b"Host: gw/v1"),
    "an empty host": KEPT.replace(b"Host: gw", b"Host:"),
    "an empty line more": KEPT.replace(b"POST", b"\r\n\r\nPOST", 1),
    "empty lines of bare LFs": KEPT.replace(b"POST", b"\n\nPOST", 1),
    "bare LFs throughout the head": KEPT.replace(b"\r\n", b"\n"),
    "bare CRs throughout the head": KEPT.replace(b"\r\n", b"\r"),
    # ---- more than HTTP/1.1
    "an upgrade to h2c": KEPT.replace(b"x-case", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nx-case", 1),
    "an upgrade to a socket": KEPT.replace(b"x-case", b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nx-case", 1),
    "HTTP/2 at once": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + KEPT,
    "TLS at once": bytes.fromhex("16030100a5010000a10303") + bytes(100) + KEPT,
    "expecting to go on": KEPT.replace(b"x-case", b"Expect: 100-continue\r\nx-case", 1),
    "expecting in another case": KEPT.replace(b"x-case", b"Expect: 100-Continue\r\nx-case", 1),
    "expecting something else": KEPT.replace(b"x-case", b"Expect: 100-continue, cake\r\nx-case", 1),
    # ---- one behind the other
    "five in a row": KEPT * 5,
    "a refused one between two": KEPT + KEPT.replace(b"Bearer KEY", b"Bearer nobody") + KEPT,
    "a malformed one between two": KEPT + headed(b"Content-Length: x") + KEPT,
    "an unknown one between two": KEPT + KEPT.replace(b"chat/completions", b"nowhere") + KEPT,
    "closing, and one more": CALL + KEPT,
    "HTTP/1.0, and one more": KEPT.replace(b"HTTP/1.1", b"HTTP/1.0", 1) + KEPT,
    "HTTP/1.0 that stays, and one more": KEPT.replace(b"HTTP/1.1", b"HTTP/1.0", 1).replace(b"x-case", b"Connection: keep-alive\r\nx-case", 1) + KEPT,
    "half of one behind one": KEPT + KEPT[:200],
    **{f"table: {row.name}": row.request for row in REQUEST_ROWS},
}  # fmt: skip
TOKENS = (
    b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b":", b",", b";", b"0", b"4a", b"74", b"0\r\n\r\n", b"\x0b", b"\xff", b'"', b"/", b"?", b"#", b"%2f",
    LENGTH + b"\r\n", CHUNKED + b"\r\n", CLOSE, b"Expect: 100-continue\r\n", b"Host: x\r\n", b"HTTP/1.0", b"HTTP/1.1", b"GET ", b"POST ", BODY, CHUNKS, KEPT,
)  # fmt: skip
SHORT = [name for name, raw in CORPUS.items() if len(raw) < 4_000]


def mutated(seed: int) -> bytes:
    """One of the corpus with up to six changes that the seed chooses: bytes lost, doubled, swapped, tokens put in."""
    choose = random.Random(seed)
    raw = bytearray(CORPUS[choose.choice(SHORT)])
    for _ in range(choose.randint(1, 6)):
        at = choose.randrange(len(raw) + 1)
        length = choose.choice((1, 1, 2, 5, 20))
        how = choose.randrange(5)
        if how == 0:
            del raw[at : at + length]
        elif how == 1:
            raw[at:at] = raw[at : at + length]
        elif how == 2:
            raw[at : at + 1] = bytes([choose.randrange(256)])
        elif how == 3:
            raw[at:at] = choose.choice(TOKENS)
        else:
            other = CORPUS[choose.choice(SHORT)]
            raw[at:] = other[choose.randrange(len(other)) :]
    return bytes(raw)
