"""What clients know from a provider and is not served here: refused by its name, with what to use instead, before anybody is asked."""

import re
from typing import Final

from tokenroll.gateway.answers import ANTHROPIC, ENDPOINTS, error_answer
from tokenroll.gateway.heads import RequestHead
from tokenroll.upstream.dialect import Dialect, ErrorAnswer

_FILES: Final = re.compile(rb"/v1/files(?:/.*)?")
"""The one place where both providers store something, each in its own way."""
_ANTHROPICS_FILES: Final = (
    "Anthropic's Files API is not served here ({line}): what is stored at /v1/files is stored at OpenAI. Put the document or the picture "
    'into the message itself, as a source of type "base64"; who means OpenAI\'s files leaves `anthropic-version` and `anthropic-beta` out.'
)
_REALTIME: Final = re.compile(rb"(?:/openai)?/v1/realtime(?:/.*)?")
_NO_REALTIME: Final = (
    "Realtime is not served here ({line}), over WebSocket no more than over WebRTC or SIP: nothing says before a session what it may cost. "
    "Use POST /v1/responses or /v1/chat/completions with `stream: true` for text, /v1/audio/transcriptions and /v1/audio/speech for sound."
)
_NO_WEBSOCKET: Final = (
    "WebSocket is not spoken here ({line}): send the call over HTTP, as POST {path}. Where its answer comes event by event, "
    "`stream: true` in its body asks for that."
)
_STAY: Final = b"upgrade: HTTP/1.1\r\nconnection: upgrade\r\n"
"""What a 426 must say: the protocol to ask in. The connection is left as it was."""
_COMPACT: Final = b"/v1/responses/compact"
_NO_COMPACTION: Final = (
    "Compaction is not served here ({line}): how much the provider reads and writes to sum up a context has no bound that could be held "
    "for it. Send POST /v1/responses with the input that is still needed, or with `previous_response_id`."
)


def refusal(head: RequestHead, dialect: Dialect | None) -> ErrorAnswer | None:
    """The refusal of something that is known by name, in the words of `dialect`; None for what may be served, or is known to nobody."""
    path = head.path
    if _REALTIME.fullmatch(path):
        sentence = _NO_REALTIME
    elif path == _COMPACT:
        sentence = _NO_COMPACTION
    elif dialect is ANTHROPIC and _FILES.fullmatch(path):
        sentence = _ANTHROPICS_FILES
    elif path in ENDPOINTS and _is_handshake(head):
        # the one status by which clients know at once that the same call is to be made over HTTP (decision 0104)
        return error_answer(dialect, 426, "no_websocket", _said(_NO_WEBSOCKET, head), headers=_STAY)
    else:
        return None
    return error_answer(dialect, 404, "not_served", _said(sentence, head))


def no_websocket(head: RequestHead) -> str:
    """What more there is to say where nothing is found for a WebSocket, as a sentence with a blank before it; else ""."""
    if not _is_handshake(head):
        return ""
    return (
        " WebSocket is not spoken here at all: calls are made over HTTP, with POST, at the paths of docs/endpoints.md."
    )


def _is_handshake(head: RequestHead) -> bool:
    """Whether it is what opens a WebSocket (RFC 6455 §4.1). By another method the offer is passed over and the request is served."""
    return head.asks_websocket and head.method == b"GET"


def _said(sentence: str, head: RequestHead) -> str:
    """With what was asked for, as its first line said."""
    path = head.path.decode("ascii")
    return sentence.format(line=f"{head.method.decode('ascii')} {path}", path=path)
