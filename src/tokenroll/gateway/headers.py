"""Which headers pass, in both directions: the table of docs/headers.md, as code.

Names are looked up as they arrived; what a name means is worked out once and remembered, because clients and providers send the
same few dozen names in every message.
"""

from typing import Final

_NAMES_MAX: Final = 4096
"""Remembered spellings; a client that invents names only loses the shortcut."""


class Request:
    """What a request header is to us, as plain integers because an enum's members cost a fifth of a microsecond at every look.

    PASS goes on to the provider byte by byte, all others do not.
    """

    PASS: Final = 0
    DROP: Final = 1
    HOST: Final = 2
    CONTENT_LENGTH: Final = 3
    TRANSFER_ENCODING: Final = 4
    CONNECTION: Final = 5
    AUTHORIZATION: Final = 6
    API_KEY: Final = 7
    EXPECT: Final = 8
    CONTENT_ENCODING: Final = 9
    CALL_ID: Final = 10
    ANTHROPIC_VERSION: Final = 11
    TAGS: Final = 12
    PURPOSE: Final = 13
    LOOPS: Final = 14
    ANTHROPIC_BETA: Final = 15
    OTHER_KEY: Final = 16
    UPGRADE: Final = 17


class Response:
    """What a response header is to us. PASS, PACE, CONTENT_TYPE, EVENT_STREAM, CONTENT_ENCODING and REQUEST_ID go on to the client."""

    PASS: Final = 0
    DROP: Final = 1
    CONTENT_LENGTH: Final = 2
    TRANSFER_ENCODING: Final = 3
    CONNECTION: Final = 4
    CONTENT_TYPE: Final = 5
    CONTENT_ENCODING: Final = 6
    REQUEST_ID: Final = 7
    EVENT_STREAM: Final = 8
    LENGTH_KNOWN: Final = 9
    PACE: Final = 10


OUR_PREFIX: Final = b"x-tokenroll-"
HOP_BY_HOP: Final = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer",
        b"transfer-encoding", b"upgrade", b"http2-settings",
    }
)  # fmt: skip
REQUEST_DROPPED: Final = HOP_BY_HOP | {
    b"accept-encoding",  # ours: identity, so that usage can be read
    b"cookie",  # of our own origin, if any; never a provider's business
    b"ocp-apim-subscription-key",  # a key, as Azure's front door takes it
    b"openai-organization", b"openai-project", b"anthropic-workspace-id",  # the company's, not the client's, to name
    b"x-client-request-id",  # ours: the call id, so that a provider's log can be matched
    b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto", b"x-real-ip",
}  # fmt: skip
DROPPED_PREFIXES: Final = (OUR_PREFIX, b"x-amz-", b"x-amzn-", b"x-goog-", b"x-ms-", b"x-vertex-")
"""Clouds take keys, projects, dearer tiers and guardrails that cost by the unit in headers of these names: nothing bounds or meters those."""
RESPONSE_DROPPED: Final = HOP_BY_HOP | {
    b"set-cookie", b"set-cookie2",  # a provider's session belongs to the company's account
    b"alt-svc", b"strict-transport-security",  # promises about the provider's origin, not about ours
}  # fmt: skip

_REQUEST_SPECIAL: Final = {
    b"host": Request.HOST,
    b"content-length": Request.CONTENT_LENGTH,
    b"transfer-encoding": Request.TRANSFER_ENCODING,
    b"connection": Request.CONNECTION,
    b"authorization": Request.AUTHORIZATION,
    b"x-api-key": Request.API_KEY,
    b"api-key": Request.OTHER_KEY,
    b"expect": Request.EXPECT,
    b"content-encoding": Request.CONTENT_ENCODING,
    b"x-tokenroll-call-id": Request.CALL_ID,
    b"x-tokenroll-tags": Request.TAGS,
    b"x-tokenroll-purpose": Request.PURPOSE,
    b"x-tokenroll-loops": Request.LOOPS,
    b"anthropic-version": Request.ANTHROPIC_VERSION,
    b"anthropic-beta": Request.ANTHROPIC_BETA,
    b"upgrade": Request.UPGRADE,
}
_RESPONSE_SPECIAL: Final = {
    b"content-length": Response.CONTENT_LENGTH,
    b"transfer-encoding": Response.TRANSFER_ENCODING,
    b"connection": Response.CONNECTION,
    b"content-type": Response.CONTENT_TYPE,
    b"content-encoding": Response.CONTENT_ENCODING,
    b"x-request-id": Response.REQUEST_ID,
    b"request-id": Response.REQUEST_ID,
    b"x-amzn-requestid": Response.REQUEST_ID,
}


class RequestRules(dict[bytes, int]):
    """Header name as received -> Request; fills itself."""

    def __missing__(self, name: bytes) -> int:
        lower = name.lower()
        rule = _REQUEST_SPECIAL.get(lower, Request.PASS)
        if rule == Request.PASS and (lower in REQUEST_DROPPED or lower.startswith(DROPPED_PREFIXES)):
            rule = Request.DROP
        return _remember(self, name, rule)


class ResponseRules(dict[bytes, int]):
    """Header name as received -> Response; fills itself."""

    def __missing__(self, name: bytes) -> int:
        lower = name.lower()
        rule = _RESPONSE_SPECIAL.get(lower, Response.PASS)
        if rule == Response.PASS and (lower in RESPONSE_DROPPED or lower.startswith(OUR_PREFIX)):
            rule = Response.DROP
        return _remember(self, name, rule)


def _remember(rules: dict[bytes, int], name: bytes, rule: int) -> int:
    if len(rules) < _NAMES_MAX:
        rules[name] = rule
    return rule
