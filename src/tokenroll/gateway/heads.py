"""Message heads: what llhttp accepts and what we still refuse on top of it.

A head is collected whole before it is parsed, in however many reads it came, so there is one place where it is judged and one
parser for all connections of a worker.
"""

import re
import string
from typing import Final
from urllib.parse import unquote_to_bytes

import httptools

from tokenroll.gateway.headers import Request, RequestRules, Response, ResponseRules
from tokenroll.model.limits import BODY_BYTES_MAX, HEADER_LINES_MAX, TARGET_BYTES_MAX
from tokenroll.model.tag import PURPOSE, TagError, named_tag, tags_from_text
from tokenroll.upstream.dialect import Dialect

HEAD_END: Final = b"\r\n\r\n"
_REQUEST_LINE: Final = re.compile(rb"([A-Z]+(?:-[A-Z]+)*) ([\x21-\x7e]+) HTTP/(\d)\.(\d)")
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\])(?::\d*)?")
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#]+)", re.IGNORECASE)
_TAB_IN_FRAMING: Final = re.compile(rb"\r\n(?:transfer-encoding|content-length):[^\r]*\t", re.IGNORECASE)
"""Allowed by the letter, and read by some as another value: then two servers would end the body in two places."""
_KEY_IN_QUERY: Final = re.compile(
    rb"(?:^|[&;])(?:(?:x-|x-goog-)?api[-_]?key|key|access[-_]token|(?:ocp-apim-)?subscription-key)=", re.IGNORECASE
)
"""As the clouds take keys in an address."""
_CALL_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_CONTENT_LENGTH_NAME: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: (?=\d)")

_REQUEST_ID_BYTES_MAX: Final = 128
_LENGTH_DIGITS_MAX: Final = 12
_TOKEN_CHARACTERS: Final = (string.ascii_letters + string.digits + "-._~+/=").encode()
_TOKEN_BYTES_MAX: Final = 512
"""A longer token is read the long way."""

CHUNKED: Final = -1
"""Instead of a length: the body is chunked."""
UNTIL_CLOSE: Final = -2
"""Instead of a length: the body ends where the connection ends (answers only)."""


class HeadError(Exception):
    """A head that is answered with `status` and never acted on."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class RequestHead:
    """What a request's head says. A connection uses it again for a head that differs in its content-length and bearer token only."""

    __slots__ = (
        "_digits", "_pieces", "_token_first", "allows_loops", "anthropic", "api_key", "asks_websocket", "authorization", "bearer", "betas", "call_id", "content_encoding", "content_length", "dialect",
        "expects_continue", "forward", "host_count", "http10", "is_plain_call", "keep_alive", "method", "other_key", "path",
        "prefix", "query", "suffix", "tags",
    )  # fmt: skip

    def __init__(self) -> None:
        self.method = b""
        self.path = b""
        self.query = b""
        """With its question mark, or empty."""
        self.http10 = False
        self.keep_alive = True
        self.content_length = 0
        self.authorization = b""
        self.api_key = b""
        self.other_key = b""
        """The key as Azure's clients send it, which counts where no other was given."""
        self.betas = b""
        """What `anthropic-beta` names, each after a comma."""
        self.call_id: bytes | None = None
        self.tags = ""
        """The call's labels, apart by commas."""
        self.allows_loops = False
        """Whether its client says that it repeats itself on purpose."""
        self.content_encoding = b""
        self.expects_continue = False
        self.anthropic = False
        self.asks_websocket = False
        """Whether it offers to go on as a WebSocket, which is never taken (RFC 9110 §7.8): only a refusal says more for it."""
        self.forward = b""
        """Header lines that go on to the provider."""
        self.host_count = 0
        self._digits = b""
        self._pieces: tuple[bytes, bytes, bytes] | None = None
        """The head around its digits and its token; empty pieces when the token's place is in doubt, None when nobody has looked."""
        self._token_first = False
        self.prefix = b""
        self.suffix = b""
        """The head around the digits of its content-length; empty when it has none."""
        self.dialect: Dialect | None = None
        self.bearer = b""
        self.is_plain_call = False
        """Set by whoever acts on it: in whose words it is answered, its key, and whether it is a call with nothing special about it."""

    def keep_form(self, data: bytes, digits_at: int) -> None:
        """What `repeated` compares with: this head, whose content-length begins at `digits_at`. With blanks behind it there is none."""
        stop = data.index(b"\r\n", digits_at)
        digits = data[digits_at:stop]
        if digits.isdigit():
            self._digits = digits
            self.prefix = data[:digits_at]
            self.suffix = data[stop:]

    def repeated(self, data: bytes) -> int:
        """Where the head ends that `data` begins with, when it is this very head but for its length and `bearer`, else 0.

        Clients of one connection repeat their heads; comparing is much cheaper than reading again, and as strict. Another token on
        the same connection is what a proxy before us sends, which shares its connections among its clients.
        """
        prefix = self.prefix
        if not prefix:
            return 0
        if not data.startswith(prefix):
            return self._repeated_for_another(data)
        start = len(prefix)
        suffix = self.suffix
        stop = start + len(self._digits)
        if not data.startswith(suffix, stop):
            stop = data.find(b"\r\n", start, start + _LENGTH_DIGITS_MAX)
            if stop < 0 or not data.startswith(suffix, stop):
                return self._repeated_for_another(data)
        digits = data[start:stop]
        if digits != self._digits:
            if not digits.isdigit():
                return 0
            self._digits = digits
            self.content_length = int(digits)
        return stop + len(suffix)

    def _repeated_for_another(self, data: bytes) -> int:
        """The same for a head with another bearer token in the place of this one's."""
        pieces = self._pieces
        if pieces is None:
            pieces = self._pieces = self._take_apart()
        first, middle, last = pieces
        if not first or not data.startswith(first):
            return 0
        start = len(first)
        stop = data.find(b"\r\n", start, start + _TOKEN_BYTES_MAX)
        if stop < 0 or not data.startswith(middle, stop):
            return 0
        next_start = stop + len(middle)
        next_stop = data.find(b"\r\n", next_start, next_start + _TOKEN_BYTES_MAX)
        if next_stop < 0 or not data.startswith(last, next_stop):
            return 0
        one, other = data[start:stop], data[next_start:next_stop]
        token, digits = (one, other) if self._token_first else (other, one)
        if (
            not token
            or token.translate(None, _TOKEN_CHARACTERS)
            or not digits.isdigit()
            or len(digits) > _LENGTH_DIGITS_MAX
        ):
            return 0
        self.bearer = token
        self.authorization = self.api_key = self.other_key = (
            b""  # the other's; whoever uses a head again goes by `bearer`
        )
        self._digits = digits
        self.content_length = int(digits)
        if self._token_first:
            self.prefix = first + token + middle
        else:
            self.suffix = middle + token + last
        return next_stop + len(last)

    def _take_apart(self) -> tuple[bytes, bytes, bytes]:
        """The three pieces around digits and token; empty ones unless the token stands once, as the whole end of a line."""
        token = self.bearer
        prefix, suffix = self.prefix, self.suffix
        if not token or prefix.count(token) + suffix.count(token) != 1:
            return b"", b"", b""
        whole_end = b" " + token + b"\r\n"
        place = prefix.find(whole_end)
        self._token_first = place >= 0
        if place >= 0:
            return prefix[: place + 1], prefix[place + 1 + len(token) :], suffix
        place = suffix.find(whole_end)
        return (prefix, suffix[: place + 1], suffix[place + 1 + len(token) :]) if place >= 0 else (b"", b"", b"")


class RequestReader:
    """Reads whole request heads."""

    __slots__ = ("_connection", "_head", "_lines", "_parser", "_purpose", "_rules")

    def __init__(self) -> None:
        self._rules = RequestRules()
        self._lines: list[bytes] = []
        self._connection = b""
        self._purpose = b""
        self._head = RequestHead()
        self._parser = httptools.HttpRequestParser(self)

    def read(self, data: bytes) -> RequestHead:
        """The head that `data` is, up to and with its empty line. Raises HeadError."""
        head = self._head = RequestHead()
        self._lines = []
        self._connection = self._purpose = b""
        _request_line(head, data)
        if data.count(b"\n") > HEADER_LINES_MAX + 2:
            raise HeadError(431, "head_too_large", f"A request head has at most {HEADER_LINES_MAX} headers.")
        if b"\t" in data and _TAB_IN_FRAMING.search(data) is not None:
            raise HeadError(400, "malformed_request", "The header that says how long the body is has a tab in it.")
        try:
            self._parser.__init__(self)  # type: ignore[misc]  # how this binding is reset: no parser is made per message
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # an offer we do not take: the request is answered as if it had not been made (RFC 9110 §7.8)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, HeadError):
                raise error.__context__ from None
            if head_is_hopeless(data):
                raise malformed_head() from None
            raise HeadError(400, "malformed_request", f"The request head is malformed: {error}.") from None
        if head.host_count != 1 and not (head.http10 and head.host_count == 0):
            raise HeadError(400, "malformed_request", "A request names exactly one Host.")
        self._connection_options(head)
        if self._purpose:
            head.tags = _with_purpose(head.tags, self._purpose)
        head.forward = b"".join(self._lines)
        if head.content_length > 0 and (match := _CONTENT_LENGTH_NAME.search(data)):
            head.keep_form(data, match.end())
        return head

    def on_header(self, name: bytes, value: bytes) -> None:
        """Llhttp found a header; its value has no leading blanks."""
        rule = self._rules[name]
        if rule == Request.PASS:
            self._lines.append(b"%b: %b\r\n" % (name, value))
        elif rule != Request.DROP:
            self._special(rule, value.rstrip(b" \t"), name)

    def _special(self, rule: int, value: bytes, name: bytes) -> None:
        head = self._head
        if rule == Request.HOST:
            head.host_count += 1
            _check_host(value)
        elif rule == Request.CONTENT_LENGTH:
            head.content_length = _length(value)
        elif rule == Request.TRANSFER_ENCODING:
            if value.lower() != b"chunked":
                raise HeadError(
                    501, "unsupported_transfer_coding", "Only the chunked transfer coding is understood here."
                )
            if head.http10 or head.content_length == CHUNKED:
                raise HeadError(400, "malformed_request", "Transfer-Encoding does not fit this request.")
            head.content_length = CHUNKED
        elif rule == Request.CONNECTION:
            self._connection += b"," + value.lower()
        elif rule == Request.AUTHORIZATION:
            head.authorization = _only_one(head.authorization, value, name)
        elif rule == Request.API_KEY:
            head.api_key = _only_one(head.api_key, value, name)
        elif rule == Request.OTHER_KEY:
            head.other_key = _only_one(head.other_key, value, name)
        elif rule == Request.EXPECT:
            if value.lower() != b"100-continue":
                raise HeadError(417, "unknown_expectation", "The only expectation met here is 100-continue.")
            head.expects_continue = not head.http10
        elif rule == Request.CONTENT_ENCODING:
            head.content_encoding = _only_one(head.content_encoding, value, name).lower()
        elif rule == Request.CALL_ID:
            if _CALL_ID.fullmatch(value) is None:
                raise HeadError(
                    400, "malformed_call_id", "x-tokenroll-call-id is 1 to 128 letters, digits or . _ : / + = -"
                )
            head.call_id = _only_one(head.call_id or b"", value, name)
        elif rule == Request.TAGS:
            head.tags = _tags(_only_one(head.tags.encode(), value, name))
        elif rule == Request.PURPOSE:
            self._purpose = _only_one(self._purpose, value, name)
        elif rule == Request.LOOPS:
            if value.lower() != b"allow":
                raise HeadError(400, "malformed_loops", "x-tokenroll-loops is `allow`, or it is left out.")
            head.allows_loops = True
        elif rule == Request.UPGRADE:
            head.asks_websocket |= b"websocket" in value.lower()
        else:
            if rule == Request.ANTHROPIC_BETA:
                head.betas += b"," + value.lower()
            else:
                head.anthropic = True
            self._lines.append(b"%b: %b\r\n" % (name, value))

    def _connection_options(self, head: RequestHead) -> None:
        """Keep-alive by version and option; headers that the sender names as its hop's own do not go on."""
        options = {option.strip() for option in self._connection.split(b",")} - {b""}
        head.keep_alive = b"close" not in options and (not head.http10 or b"keep-alive" in options)
        head.asks_websocket &= b"upgrade" in options and not head.http10
        named = options - {b"close", b"keep-alive"}
        if named:
            self._lines = [line for line in self._lines if line.partition(b":")[0].lower() not in named]


def _tags(value: bytes) -> str:
    """The call's tags as they are recorded. Raises HeadError."""
    try:
        return tags_from_text(value.decode("latin-1"))
    except TagError as error:
        raise HeadError(400, "malformed_tags", f"x-tokenroll-tags: {error}.") from None


def _with_purpose(tags: str, value: bytes) -> str:
    """The tags and what x-tokenroll-purpose says, which are one: a call has one purpose. Raises HeadError."""
    try:
        return tags_from_text(f"{named_tag(PURPOSE, value.decode('latin-1').lower())},{tags}")
    except TagError as error:
        raise HeadError(400, "malformed_purpose", f"x-tokenroll-purpose: {error}.") from None


def malformed_head() -> HeadError:
    """The refusal of bytes that no head can be made of."""
    return HeadError(400, "malformed_request", "The request head is malformed.")


def judge_request_line(data: bytes) -> tuple[bytes, bytes, bool]:
    """Method, target and whether it is HTTP/1.0, of a head whose first line is whole. Raises HeadError.

    Also called as soon as the first line is there, so that a stranger is turned away before the rest comes.
    """
    stop = data.find(b"\n")
    if stop < 1 or data[stop - 1 : stop] != b"\r":
        raise malformed_head()
    match = _REQUEST_LINE.fullmatch(data, 0, stop - 1)
    if match is None:
        raise HeadError(400, "malformed_request", "The request line is not METHOD TARGET HTTP/1.1.")
    method, target, major, minor = match.groups()
    if major != b"1" or minor > b"1":
        raise HeadError(505, "unsupported_version", "HTTP/1.1 is spoken here.")
    if len(target) > TARGET_BYTES_MAX:
        raise HeadError(414, "target_too_long", f"A request target has at most {TARGET_BYTES_MAX} bytes.")
    return method, target, minor == b"0"


def _request_line(head: RequestHead, data: bytes) -> None:
    head.method, target, head.http10 = judge_request_line(data)
    if not target.startswith(b"/"):
        absolute = _ABSOLUTE.match(target)
        if absolute is not None:
            _check_host(absolute[1])
            target = target[absolute.end() :]
            target = target if target.startswith(b"/") else b"/" + target
    path, mark, query = target.partition(b"?")
    if query and _KEY_IN_QUERY.search(unquote_to_bytes(query)) is not None:
        raise HeadError(
            400,
            "key_in_query",
            "A key is not taken in the address, where logs would keep it; send yours as `Authorization: Bearer …`, and make "
            "another one, because this one may have been seen.",
        )
    head.path = path
    head.query = mark + query


def _check_host(value: bytes) -> None:
    if _HOST.fullmatch(value) is None:
        raise HeadError(400, "malformed_request", "A host is a name or an address, and perhaps a port.")


def _length(value: bytes) -> int:
    if not value.isdigit():
        raise HeadError(400, "malformed_request", "Content-Length is not a number.")
    if len(value) > 18 or int(value) > BODY_BYTES_MAX:
        raise HeadError(413, "request_too_large", f"A request body has at most {BODY_BYTES_MAX} bytes.")
    return int(value)


def _only_one(known: bytes, value: bytes, name: bytes) -> bytes:
    if known:
        raise HeadError(400, "malformed_request", f"The header {name.decode('ascii')} is given twice.")
    return value


def head_is_hopeless(data: bytes) -> bool:
    """Whether no further byte can make a head of this: told at once instead of waiting for the time limit."""
    return b"\0" in data or _BARE_LF.search(data) is not None


class ResponseHead:
    """What a provider's head says."""

    __slots__ = (
        "content_encoding", "content_length", "event_stream", "forward", "keep_alive", "request_id", "status", "tells_pace",
    )  # fmt: skip

    def __init__(self) -> None:
        self.status = 0
        self.request_id = ""
        """The provider's own name for this answer, for its bill and its support."""
        self.content_length = UNTIL_CLOSE
        self.event_stream = False
        self.content_encoding = b""
        self.keep_alive = True
        self.forward: list[bytes] = []
        """Header lines that go on to the client, without their ends."""
        self.tells_pace = False
        """Whether one of them is of a rate limit; of most answers none is, and nobody then looks for it line by line."""


_BODILESS: Final = frozenset({204, 304})
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")
_HEADER_LINE: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t ]*((?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)[\t ]*"
)
_PACE_NAME: Final = b"ratelimit-"
"""In the name of each line that tells of a provider's rate limit (reference: gateways, 6.1, 6.4)."""
_LINES_MAX: Final = 8192
"""Remembered header lines; most lines of a provider's heads are the same in every answer."""


class ResponseReader:
    """Reads whole response heads, line by line.

    A line that was read before is known by one lookup; a new one must match the grammar of RFC 9112 without its obsolete parts. A
    test compares the verdicts with llhttp's: nothing is accepted here that llhttp refuses.
    """

    __slots__ = ("_id_start", "_lengths", "_lines", "_rules", "_statuses")

    def __init__(self) -> None:
        self._rules = ResponseRules()
        self._id_start = b"\0"
        """The name, colon and blanks before the last request id: the one line that is new in every answer."""
        self._lines: dict[bytes, int] = {}
        self._lengths: dict[bytes, int] = {}
        self._statuses: dict[bytes, int] = {}

    def read(self, data: bytes) -> ResponseHead:
        """The head that `data` is, without its empty line. Raises HeadError (502)."""
        head = ResponseHead()
        lines = data.split(b"\r\n")
        known = self._lines
        line = lines.pop(0)
        head.status = status = self._statuses.get(line) or self._status(line)
        forward = head.forward
        for line in lines:
            rule = known.get(line)
            if rule is None:
                if line.startswith(self._id_start) and self._plain_id(head, line):
                    continue
                rule = self._learn(line)
            if rule == Response.PASS:
                forward.append(line)
            elif rule == Response.LENGTH_KNOWN:
                if head.content_length != UNTIL_CLOSE:
                    raise HeadError(502, "bad_gateway", "The provider's Content-Length is not one number.")
                head.content_length = self._lengths[line]
            elif rule != Response.DROP:
                self._special(head, rule, line)
        if status in _BODILESS:
            head.content_length = 0
        if data.startswith(b"HTTP/1.0"):
            head.keep_alive = False
        return head

    def _status(self, line: bytes) -> int:
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise HeadError(502, "bad_gateway", "The provider does not speak HTTP/1.1.")
        status = int(match[2])
        if len(self._statuses) < _LINES_MAX:
            self._statuses[line] = status
        return status

    def _learn(self, line: bytes) -> int:
        match = _HEADER_LINE.fullmatch(line)
        if match is None:
            raise HeadError(502, "bad_gateway", "The provider's response head is malformed.")
        rule = self._rules[match[1]]
        if rule == Response.CONTENT_TYPE:  # decided once: an event stream is special, any other type just goes on
            is_stream = match[2][:17].lower() == b"text/event-stream"
            rule = Response.EVENT_STREAM if is_stream else Response.PASS
        elif rule == Response.PASS and match[1].lower().find(_PACE_NAME) >= 0:
            rule = Response.PACE
        if rule == Response.REQUEST_ID:
            self._id_start = line[: match.start(2)]
            return rule
        if len(self._lines) >= _LINES_MAX:
            return rule
        if rule == Response.CONTENT_LENGTH and match[2].isdigit() and len(match[2]) < 19:
            self._lengths[line] = int(match[2])
            rule = Response.LENGTH_KNOWN
        self._lines[line] = rule
        return rule

    def _plain_id(self, head: ResponseHead, line: bytes) -> bool:
        """The short way for a request id of letters, digits, - and _ alone, which need no grammar; False for any other."""
        value = line[len(self._id_start) :]
        if len(value) > _REQUEST_ID_BYTES_MAX or not value.replace(b"_", b"").replace(b"-", b"").isalnum():
            return False
        head.request_id = value.decode("ascii")
        head.forward.append(line)
        return True

    @staticmethod
    def _special(head: ResponseHead, rule: int, line: bytes) -> None:
        value = line.partition(b":")[2].strip(b" \t")
        if rule == Response.CONTENT_LENGTH:
            if not value.isdigit() or len(value) > 18 or head.content_length != UNTIL_CLOSE:
                raise HeadError(502, "bad_gateway", "The provider's Content-Length is not one number.")
            head.content_length = int(value)
        elif rule == Response.EVENT_STREAM:
            head.event_stream = True
            head.forward.append(line)
        elif rule == Response.PACE:
            head.tells_pace = True
            head.forward.append(line)
        elif rule == Response.REQUEST_ID:
            head.request_id = value[:_REQUEST_ID_BYTES_MAX].decode("latin-1")
            head.forward.append(line)
        elif rule == Response.TRANSFER_ENCODING:
            if value.lower() != b"chunked" or head.content_length != UNTIL_CLOSE:
                raise HeadError(502, "bad_gateway", "The provider's transfer coding is not understood.")
            head.content_length = CHUNKED
        elif rule == Response.CONNECTION:
            if b"close" in value.lower():
                head.keep_alive = False
        else:
            head.content_encoding = value.lower()
            head.forward.append(line)
