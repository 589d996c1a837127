"""One POST to another program, with the standard library: blocking, bounded in time, without redirects and without proxies."""

import http.client
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from tokenroll.model.limits import MESSAGE_SECONDS_MAX

_ANSWER_BYTES_MAX: Final = 64 * 1024


class PostAnswer(NamedTuple):
    """What the other one said."""

    status: int
    reason: str

    @property
    def is_taken(self) -> bool:
        """Whether it was a yes."""
        return 200 <= self.status < 300

    def __str__(self) -> str:
        return f"HTTP {self.status} {self.reason}"


def post(url: str, body: bytes, headers: Mapping[str, str], ca_file: Path | None = None) -> PostAnswer:
    """The answer to one POST. Raises OSError and http.client.HTTPException where there is none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        connection = http.client.HTTPSConnection(host, parts.port, timeout=MESSAGE_SECONDS_MAX, context=context)
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=MESSAGE_SECONDS_MAX)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, {"user-agent": "tokenroll", **headers})
        answer = connection.getresponse()
        answer.read(_ANSWER_BYTES_MAX)
        return PostAnswer(answer.status, answer.reason)
    finally:
        connection.close()
