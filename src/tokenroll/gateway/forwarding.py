"""Questions about usage and costs, passed on to the process of the pages: tools know one base URL, and a worker has no SQL.

They are few and slow beside calls, so each may have a task and a connection of its own, over a Unix socket of this home. What a worker
holds of them is bounded: how many at a time, how long, how many bytes.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tokenroll.gateway import local
from tokenroll.gateway.answers import ANTHROPIC, OPENAI, error_answer
from tokenroll.gateway.heads import RequestHead
from tokenroll.model.api_key import KeyScope
from tokenroll.model.limits import HEADER_BYTES_MAX, REPORT_BYTES_MAX, REPORT_SECONDS_MAX, REPORTS_AT_ONCE_MAX
from tokenroll.upstream.dialect import Dialect, ErrorAnswer

if TYPE_CHECKING:
    from tokenroll.gateway.client import ClientConnection
    from tokenroll.gateway.worker import Gateway

_ANTHROPIC_PREFIX: Final = b"/v1/organizations/"
PREFIXES: Final = (b"/v1/organization/", _ANTHROPIC_PREFIX)
"""Where OpenAI's and Anthropic's tools ask for a company's usage and costs."""
_KEPT: Final = frozenset(
    {b"content-type", b"cache-control", b"retry-after", b"x-should-retry", b"x-tokenroll-ledger-seq"}
)
_NOT_RUNNING: Final = "Usage and costs are told by the process of the pages, which does not answer: `tokenroll serve` runs it beside the gateway."


class Forwarding:
    """The questions of one worker that are under way."""

    def __init__(self, gateway: "Gateway", socket_path: Path | None) -> None:
        self._gateway = gateway
        self._socket_path = socket_path
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, client: "ClientConnection", head: RequestHead) -> ErrorAnswer | None:
        """None when the client will be answered by and by; else the answer now."""
        gateway = self._gateway
        dialect = ANTHROPIC if head.path.startswith(_ANTHROPIC_PREFIX) else OPENAI
        gateway.metrics.requests["reports"] += 1
        if head.method not in {b"GET", b"HEAD"}:
            return error_answer(
                dialect, 405, "method_not_allowed", "This is read with GET.", headers=b"allow: GET, HEAD\r\n"
            )
        if gateway.not_ready:
            return error_answer(dialect, 503, "not_ready", gateway.not_ready, retry_after_seconds=1)
        key = local.authenticate(gateway, head, dialect, calls=False)
        if isinstance(key, ErrorAnswer):
            return key
        if key.scope != KeyScope.ADMIN:
            return error_answer(
                dialect, 403, "admin_key_required",
                f"Usage and costs of the company need a key with scope admin; this one has scope {key.scope}.",
            )  # fmt: skip
        if len(self._tasks) >= REPORTS_AT_ONCE_MAX:
            return error_answer(dialect, 503, "overloaded", "Too many reports at once.", retry_after_seconds=1)
        task = gateway.loop.create_task(self._answer(client, head.path + head.query, head.bearer, dialect))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return None

    async def _answer(self, client: "ClientConnection", target: bytes, bearer: bytes, dialect: Dialect) -> None:
        try:
            async with asyncio.timeout(REPORT_SECONDS_MAX):
                answer = await self._asked(target, bearer)
        except TimeoutError:
            message = f"The report was not ready within {REPORT_SECONDS_MAX} s; ask for fewer buckets, or fewer groups."
            answer = error_answer(dialect, 504, "report_timeout", message)
        except (OSError, EOFError, ValueError, IndexError):
            answer = error_answer(dialect, 503, "reports_not_running", _NOT_RUNNING, retry_after_seconds=5)
        if not client.closed:
            client.answer(answer)

    async def _asked(self, target: bytes, bearer: bytes) -> ErrorAnswer:
        """The other process's answer. Raises OSError, EOFError or ValueError when it has none that can be passed on."""
        if self._socket_path is None:
            raise ConnectionRefusedError("there is no socket for reports")
        reader, writer = await asyncio.open_unix_connection(self._socket_path, limit=HEADER_BYTES_MAX)
        try:
            writer.write(
                b"GET %b HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer %b\r\nconnection: close\r\n\r\n"
                % (target, bearer)
            )
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.LimitOverrunError as error:
                raise ValueError("a head without end") from error
            first, *lines = head[:-4].split(b"\r\n")
            fields = {name.strip().lower(): value.strip() for name, _, value in (one.partition(b":") for one in lines)}
            length = int(fields[b"content-length"]) if b"content-length" in fields else -1
            if not 0 <= length <= REPORT_BYTES_MAX:
                raise ValueError(f"an answer of {length} bytes")
            body = await reader.readexactly(length)
        finally:
            writer.close()
        kept = b"".join(b"%b: %b\r\n" % (name, value) for name, value in fields.items() if name in _KEPT)
        return ErrorAnswer(int(first.split(b" ", 2)[1]), kept, body)
