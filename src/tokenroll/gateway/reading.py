"""Before a call that a file bounds: the file is read at the deployment that has it, and then the call begins there.

Nothing is held meanwhile and nothing of the file is kept or logged. A client that leaves ends it.
"""

from typing import TYPE_CHECKING, Final

from tokenroll.gateway.answers import error_answer
from tokenroll.gateway.call import Call
from tokenroll.gateway.heads import RequestHead, ResponseHead
from tokenroll.gateway.routing import ways
from tokenroll.gateway.seeking import NOT_HERE, Seeking
from tokenroll.model.limits import FILE_READING_SECONDS_MAX, FILE_READINGS_MAX
from tokenroll.services.hot import HotKey
from tokenroll.store.tape import Finish
from tokenroll.upstream.dialect import ErrorAnswer, RequestRefused
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.reading import FileBoundEndpoint, FileReading

if TYPE_CHECKING:
    from tokenroll.gateway.client import ClientConnection
    from tokenroll.gateway.upstream import UpstreamConnection

_OK: Final = 200


class ReadAhead(Seeking):
    """See the module."""

    __slots__ = ("_dialect", "_old_tick", "_reading", "_status")

    _reading: FileReading

    def __init__(
        self, client: "ClientConnection", head: RequestHead, dialect: FileBoundEndpoint, key: HotKey, body: bytes
    ) -> None:
        super().__init__(client, head, key, body)
        self._dialect = dialect
        self._status = 0
        self._old_tick = 0

    @property
    def is_waiting(self) -> bool:
        """Nothing was begun yet that must be ended: who leaves now has not called."""
        return True

    @property
    def is_answering(self) -> bool:
        """Nothing of this answer goes to the client."""
        return False

    def start(self) -> None:
        """The request is whole: ask the first deployment that may have its file."""
        gateway = self.gateway
        if gateway.file_readings >= FILE_READINGS_MAX:
            self._refuse(503, "overloaded", "Too many files are being read at once.", retry_after_seconds=1)
            return
        try:
            self._reading = self._dialect.reading(self._body)
        except RequestRefused as refused:
            self._refuse_request(refused)
            return
        self._targets = gateway.routes.keepers(self._dialect.family, self._key.id)
        if not self._targets:
            self._refuse(404, "not_found", "No deployment here speaks this dialect and has files.")
            return
        gateway.file_readings += 1
        self._old_tick = gateway.wheel.now + gateway.wheel.ticks(FILE_READING_SECONDS_MAX)
        self._ask()

    def _send(self, upstream: "UpstreamConnection") -> None:
        target = upstream.pool.target
        self._upstream = upstream
        self._status = 0
        path = target.base_path + self._reading.path.encode("ascii")
        upstream.send(self, b"GET %b%b\r\n" % (path, target.preamble), [b""], 0)

    # ---- the file -----------------------------------------------------------------------------------------

    def takes_whole(self, response: ResponseHead) -> bool:
        """See Exchange."""
        return self._client is not None and not response.content_encoding

    def on_whole(self, response: ResponseHead, payload: bytes) -> None:
        """See Exchange."""
        self._status = response.status
        self._upstream = None
        if self._feed(payload):
            self.on_end()

    def on_head(self, response: ResponseHead) -> None:
        """See Exchange."""
        self._status = response.status
        coding = response.content_encoding
        if self._client is None or response.status != _OK:
            self._abort()
            if self._client is None:
                return
            if response.status in NOT_HERE and self._targets:
                self._ask()
            elif response.status in NOT_HERE:
                self._refuse(404, "file_not_found", f"No deployment here has the file of {self._reading.path}.")
            else:
                message = f"The file could not be read: the provider answers {response.status}. Nothing was held."
                self._refuse(503, "file_not_read", message, retry_after_seconds=1)
        elif coding and coding != b"identity":
            self._abort()
            self._refuse(502, "bad_gateway", "The provider sends the file in an encoding that nobody asked for.")

    def on_data(self, raw: bytes, payload: bytes, *, one_chunk: bool = False) -> None:
        """See Exchange."""
        del raw, one_chunk
        if self._client is None or self._status != _OK:  # the rest of an answer that said that the file is not there
            return
        if self.gateway.wheel.now >= self._old_tick:
            self._abort()
            message = f"The file was not read within {FILE_READING_SECONDS_MAX} seconds. Nothing was held."
            self._refuse(504, "provider_timeout", message)
        else:
            self._feed(payload)

    def _feed(self, payload: bytes) -> bool:
        """Whether the file is still one that a call may be made of."""
        try:
            self._reading.feed(payload)
        except RequestRefused as refused:
            self._abort()
            self._refuse_request(refused)
            return False
        return True

    def on_end(self) -> None:
        """See Exchange."""
        self._upstream = None
        if self._client is None:
            return
        try:
            facts = self._reading.end()
        except RequestRefused as refused:
            self._refuse_request(refused)
            return
        if facts is None:  # another file of the same call, which must lie there, too
            self._targets = [self._pool.target]
            self._attempt = 1
            self._ask()
            return
        self._end()
        problem = self._place(facts)
        if problem:
            self._refuse(400, "file_elsewhere", problem)
        else:
            self._begin(facts)

    def _place(self, facts: Facts) -> str:
        """Notes where the file lies; why the call cannot be made there, "" when it can.

        A model that nobody serves is left to the call, which refuses it as any.
        """
        target = self._pool.target
        facts.kept_by = target.name
        route = self.gateway.routes.find(self._dialect, facts.model)
        if route is None:
            return ""
        way = next((one for one in ways(route) if one.target is target), None)
        if way is None:
            return f"The file lies at the deployment {target.name!r}, which does not serve the model {facts.model!r}."
        if not self._dialect.names_model and way.hot.model not in {"", facts.model}:
            return (
                f"The deployment {target.name!r} knows the model {facts.model!r} as {way.hot.model!r}. "
                "Name it so in the file, which is never changed here."
            )
        return ""

    def _begin(self, facts: Facts) -> None:
        """The call, in this exchange's place."""
        client = self._client
        assert client is not None
        self._client = None
        head = self._head
        head.dialect = self._dialect.knowing(facts)
        call = Call(client, head, self._key, self._body, self.gateway.clock())
        client.call = call
        call.start()

    # ---- troubles and ends --------------------------------------------------------------------------------

    def client_gone(self) -> None:
        """See Exchange."""
        super().client_gone()
        self._end()

    def upstream_lost(self, finish: Finish, message: str) -> None:
        """See Exchange."""
        upstream, self._upstream = self._upstream, None
        if self._client is None:
            return
        if self._asks_again(upstream, finish):
            return
        if finish is Finish.TIMED_OUT:
            self._refuse(504, "provider_timeout", message)
        else:
            self._refuse(502, "bad_gateway", message)

    def _end(self) -> None:
        """It reads no more, whatever comes of it; told once or twice."""
        if self._old_tick:
            self._old_tick = 0
            self.gateway.file_readings -= 1

    def _refuse_request(self, refused: RequestRefused) -> None:
        self.gateway.metrics.denials[refused.code] += 1
        self._give(self._dialect.error(refused.status, refused.code, refused.message, param=refused.param))

    def _refuse(self, status: int, code: str, message: str, retry_after_seconds: int = 0) -> None:
        self._give(error_answer(self._dialect, status, code, message, retry_after_seconds=retry_after_seconds))

    def _give(self, answer: ErrorAnswer) -> None:
        self._end()
        client, self._client = self._client, None
        if client is not None:
            client.answer(answer)
