"""Errands: requests that reach a provider and cost nothing, such as counting tokens, storing a file or reading again what is stored there.

They need a key like any call, and one that is for the model they name, and hold, meter and record nothing. What could cost anything is never an errand: the list below is all. Deleting is none
either: an answer that was read and deleted before its provider was asked what it cost would be free (decision 0074). Nor is a list
of what is stored: it would show everybody's (decision 0076).
"""

import json
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from tokenroll.gateway.answers import ANTHROPIC, OPENAI, error_answer, status_line
from tokenroll.gateway.chunks import LAST_CHUNK, chunk
from tokenroll.gateway.heads import CHUNKED, UNTIL_CLOSE, RequestHead, ResponseHead
from tokenroll.gateway.routing import Route, ways
from tokenroll.gateway.seeking import NOT_HERE, Seeking
from tokenroll.gateway.telling import forward_lines
from tokenroll.model.enforcement import Enforcement
from tokenroll.services.hot import HotKey
from tokenroll.store.tape import Finish
from tokenroll.upstream.dialect import Buffers, Denial, Dialect, RequestRefused
from tokenroll.upstream.heads import edited, named_model

if TYPE_CHECKING:
    from tokenroll.gateway.client import ClientConnection
    from tokenroll.gateway.upstream import UpstreamConnection

_PASS, _REFRAME, _PLAIN, _KEEP = range(4)
_LINK: Final = re.compile(rb'("results_url"\s*:\s*")https?:[^"]*?(/v1/messages/batches/[A-Za-z0-9_-]+/results")')
"""Where a provider says that results are: without its host, clients look for them at their own base URL."""


class ErrandKind(NamedTuple):
    """One thing that is free: how it is asked for, and whether its body names a model, which decides who is asked."""

    dialect: Dialect
    method: bytes
    path: "re.Pattern[bytes]"
    has_model: bool
    has_link: bool = False
    """Whether its answer says where more of it is: clients follow that, so it must lead through here again."""
    resumes: bool = False
    """Whether it makes something go on that costs: only while that has its hold (resuming.py)."""


_ID: Final = rb"[A-Za-z0-9_-]{1,256}"
ERRANDS: Final[tuple[ErrandKind, ...]] = tuple(
    ErrandKind(dialect, method, re.compile(path), has_model, has_link, path.endswith(b"/resume"))
    for dialect, method, path, has_model, has_link in (
        (ANTHROPIC, b"POST", rb"/v1/messages/count_tokens", True, False),
        (ANTHROPIC, b"GET", rb"/v1/messages/batches/" + _ID, False, True),
        (ANTHROPIC, b"POST", rb"/v1/messages/batches/" + _ID + rb"/cancel", False, True),
        (ANTHROPIC, b"GET", rb"/v1/messages/batches/" + _ID + rb"/results", False, False),
        (OPENAI, b"POST", rb"/v1/responses/input_tokens", True, False),
        (OPENAI, b"GET", rb"/v1/responses/" + _ID, False, False),
        (OPENAI, b"POST", rb"/v1/responses/" + _ID + rb"/cancel", False, False),
        (OPENAI, b"GET", rb"/v1/responses/" + _ID + rb"/input_items", False, False),
        (OPENAI, b"GET", rb"/v1/batches/" + _ID, False, False),
        (OPENAI, b"POST", rb"/v1/batches/" + _ID + rb"/cancel", False, False),
        (OPENAI, b"POST", rb"/v1/files", False, False),
        (OPENAI, b"GET", rb"/v1/files/" + _ID, False, False),
        (OPENAI, b"GET", rb"/v1/files/" + _ID + rb"/content", False, False),
        (OPENAI, b"GET", rb"/v1/fine_tuning/jobs/" + _ID, False, False),
        (OPENAI, b"GET", rb"/v1/fine_tuning/jobs/" + _ID + rb"/(?:events|checkpoints)", False, False),
        (OPENAI, b"POST", rb"/v1/fine_tuning/jobs/" + _ID + rb"/(?:cancel|pause)", False, False),
        (OPENAI, b"POST", rb"/v1/fine_tuning/jobs/" + _ID + rb"/resume", False, False),
    )
)  # fmt: skip
_LISTS: Final = re.compile(rb"/v1/(?:batches|files|messages/batches|fine_tuning/jobs)")
_STORED: Final = re.compile(rb"/v1/(?:batches|files|responses|messages/batches)/" + _ID)


def why_refused(method: bytes, path: bytes) -> str:
    """Why something that clients ask for of what is stored is not served, as a sentence with a blank before it; "" where there is no more to say."""
    if method == b"GET" and _LISTS.fullmatch(path):
        return " A list would show what everybody has stored under the company's key: ask for each by the id that you were given."
    if method == b"DELETE" and _STORED.fullmatch(path):
        return " Nothing that is stored is deleted through here, because what is gone cannot be asked what it cost." + (
            " A file goes by itself if it is uploaded with `expires_after`." if b"/files/" in path else ""
        )
    return ""


def errands_at(path: bytes) -> list[ErrandKind]:
    """What is free at a path, by any method; none at the paths of calls."""
    return [one for one in ERRANDS if one.path.fullmatch(path)]


class Errand(Seeking):
    """See the module. It is relayed as it comes, both ways; a client that leaves ends it."""

    __slots__ = ("_buffers", "_is_answering", "_kept", "_kept_bytes", "_kind", "_mode", "_response")

    _response: ResponseHead

    def __init__(
        self, client: "ClientConnection", head: RequestHead, kind: ErrandKind, key: HotKey, body: bytes
    ) -> None:
        super().__init__(client, head, key, body)
        self._kind = kind
        self._buffers: Buffers = [body]
        self._is_answering = False
        self._mode = _PASS
        self._kept: list[bytes] = []
        self._kept_bytes = 0

    @property
    def is_waiting(self) -> bool:
        """An errand waits for nobody."""
        return False

    @property
    def is_answering(self) -> bool:
        """See Exchange."""
        return self._is_answering

    def start(self) -> None:
        """The request is whole: ask the first provider that may know."""
        gateway = self.gateway
        kind = self._kind
        routes = gateway.routes
        gateway.metrics.errands += 1
        if kind.has_model:
            try:
                model, fields = named_model(self._body)
            except RequestRefused as refused:
                self._refuse(refused.status, refused.code, refused.message)
                return
            route = routes.find(kind.dialect, model) if model else None
            if model and route is None:
                self._refuse(404, "model_not_found", f"No deployment here serves the model {model!r} in this dialect.")
                return
            is_enforced = self._key.wallet.enforcement == Enforcement.ENFORCE
            if route is not None and is_enforced and not gateway.spending.is_for(self._key, route.hot, model):
                state = f"the model {model!r}, only for {', '.join(self._key.models)}"
                self._take_client().answer(kind.dialect.denial(Denial("not_for_model", model=model, state=state)))
                return
            if route is not None:
                self._targets = [one.target for one in ways(route) if one.target.flavour.has_errands][:1]
                if not self._targets:
                    self._refuse(404, "not_found", self._nobody_counts(route, model))
                    return
                if route.hot.model:
                    self._buffers = edited(self._body, {"model": json.dumps(route.hot.model).encode()}, fields)
        if not self._targets:
            self._targets = routes.keepers(kind.dialect.family, self._key.id)
            if kind.has_model:  # it names none: only who serves every model serves this one
                self._targets = [one for one in self._targets if not one.deployment.models]
        if not self._targets and kind.has_model:
            self._refuse(400, "missing_model", "model: name the model that this is for; it decides who is asked.")
            return
        if not self._targets:
            self._refuse(404, "not_found", "No deployment here speaks this dialect and has this.")
            return
        self._ask()

    def _send(self, upstream: "UpstreamConnection") -> None:
        head = self._head
        target = upstream.pool.target
        size = sum(map(len, self._buffers))
        self._upstream = upstream
        self._is_answering = False
        upstream.send(
            self,
            b"%b %b%b%b%b%b\r\n"
            % (
                head.method,
                target.base_path + head.path,
                head.query,
                target.preamble,
                head.forward,
                b"content-length: %d\r\n" % size if size or head.method == b"POST" else b"",
            ),
            self._buffers,
            size,
        )

    def _nobody_counts(self, route: Route, model: str) -> str:
        """Why nobody is asked: what a request says is for those alone that serve its model, and they have no such thing."""
        path = self._head.path.decode("ascii")
        names = ", ".join(one.target.name for one in ways(route))
        return (
            f"There is no {path} for the model {model!r}: the deployments that serve it ({names}) have none, and nobody else is sent "
            "this text. Count without a provider, or make the call: it is held for its bytes at most, and its answer says what it read."
        )

    # ---- the answer -------------------------------------------------------------------------------------

    def takes_whole(self, response: ResponseHead) -> bool:
        """See Exchange."""
        return self._client is not None and not response.event_stream

    def on_whole(self, response: ResponseHead, payload: bytes) -> None:
        """See Exchange."""
        self._answer_whole(response, payload)

    def _answer_whole(self, response: ResponseHead, payload: bytes) -> None:
        client = self._take_client()
        body = _LINK.sub(rb"\1\2", payload) if self._kind.has_link else payload
        self.gateway.outbox.write(
            client.transport,
            b"%b%b%bcontent-length: %d\r\n\r\n%b"
            % (
                status_line(response.status),
                forward_lines(response),
                client.connection_line(),
                len(body),
                body,
            ),
        )
        client.finished()

    def on_head(self, response: ResponseHead) -> None:
        """See Exchange. A provider that does not know what is asked for is forgotten when there is another one to ask."""
        self._response = response
        client = self._client
        if client is None or (response.status in NOT_HERE and self._targets):
            self._abort()
            if client is not None:
                self._ask()
            return
        self._is_answering = True
        length = response.content_length
        if self._kind.has_link:
            self._mode = _KEEP
            return
        if length >= 0:
            self._mode = _PLAIN
            framing = b"content-length: %d\r\n" % length if response.status != 204 else b""
            lines = client.connection_line() + framing
        elif client.is_http10:
            self._mode = _PLAIN
            lines = b"connection: close\r\n"
        else:
            self._mode = _PASS if length == CHUNKED else _REFRAME
            lines = client.connection_line() + b"transfer-encoding: chunked\r\n"
        self.gateway.outbox.write(
            client.transport,
            b"%b%b%b\r\n" % (status_line(response.status), forward_lines(response), lines),
        )
        if client.writing_paused:
            self.pause_upstream()

    def on_data(self, raw: bytes, payload: bytes, *, one_chunk: bool = False) -> None:
        """See Exchange."""
        del one_chunk
        client = self._client
        if client is None or not self._is_answering:
            return
        mode = self._mode
        if mode == _KEEP:
            self._kept.append(payload)
            self._kept_bytes += len(payload)
            if self._kept_bytes > self.gateway.edge.buffered_response_bytes:
                self.client_gone()
                client.cut()
            return
        out = raw if mode == _PASS else chunk(payload) if mode == _REFRAME else payload
        self.gateway.outbox.write(client.transport, out)

    def on_end(self) -> None:
        """See Exchange."""
        self._upstream = None
        if self._client is None:
            return
        if self._mode == _KEEP:
            self._answer_whole(self._response, b"".join(self._kept))
            return
        client = self._take_client()
        if self._mode == _REFRAME:
            self.gateway.outbox.write(client.transport, LAST_CHUNK)
        if self._mode == _PLAIN and self._response.content_length in {CHUNKED, UNTIL_CLOSE}:
            self.gateway.outbox.close(client.transport)
        client.finished()

    # ---- troubles ---------------------------------------------------------------------------------------

    def upstream_lost(self, finish: Finish, message: str) -> None:
        """See Exchange."""
        upstream, self._upstream = self._upstream, None
        client = self._client
        if client is None:
            return
        if self._asks_again(upstream, finish):
            return
        if self._is_answering and self._mode != _KEEP:
            self._client = None
            client.cut()
        elif finish is Finish.TIMED_OUT:
            self._refuse(504, "provider_timeout", message)
        else:
            self._refuse(502, "bad_gateway", message)

    def _take_client(self) -> "ClientConnection":
        self._is_answering = False
        client, self._client = self._client, None
        assert client is not None
        return client

    def _refuse(self, status: int, code: str, message: str, retry_after_seconds: int = 0) -> None:
        self._take_client().answer(
            error_answer(self._kind.dialect, status, code, message, retry_after_seconds=retry_after_seconds)
        )
