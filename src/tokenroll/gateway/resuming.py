"""Resuming a fine-tuning job: it may go on only while its hold has days left, because what trains after its hold is charged to nobody."""

import json
from typing import TYPE_CHECKING, Final

from tokenroll.gateway.errand import Errand
from tokenroll.gateway.heads import ResponseHead
from tokenroll.gateway.seeking import NOT_HERE
from tokenroll.model.instant import MICROS_PER_SECOND
from tokenroll.model.limits import TRAINING_RESUMED_SECONDS_MAX
from tokenroll.upstream.usage import object_of

if TYPE_CHECKING:
    from tokenroll.gateway.upstream import UpstreamConnection

_VERB: Final = b"/resume"
_OK: Final = 200
_SECONDS_PER_DAY: Final = 86_400


class Resumption(Errand):
    """An errand that first asks its provider how old the job is, and is relayed when it is young enough."""

    __slots__ = ("_is_asking", "_is_found", "_job")

    def start(self) -> None:
        """See Errand."""
        self._is_asking = True
        self._job = b""
        super().start()

    def _send(self, upstream: "UpstreamConnection") -> None:
        if not self._is_asking:
            super()._send(upstream)
            return
        target = upstream.pool.target
        self._upstream = upstream
        self._is_found = False
        path = target.base_path + self._head.path.removesuffix(_VERB)
        upstream.send(self, b"GET %b%b\r\n" % (path, target.preamble), [b""], 0)

    def on_whole(self, response: ResponseHead, payload: bytes) -> None:
        """See Exchange."""
        if self._is_asking:
            self._judge(payload)
        else:
            super().on_whole(response, payload)

    def on_head(self, response: ResponseHead) -> None:
        """See Exchange. What the provider refuses to tell is its answer to the client."""
        if self._is_asking and self._client is not None:
            if response.status == _OK:
                self._is_found = True
                return
            self._is_asking = response.status in NOT_HERE and bool(self._targets)
        super().on_head(response)

    def on_data(self, raw: bytes, payload: bytes, *, one_chunk: bool = False) -> None:
        """See Exchange."""
        if not self._is_asking:
            super().on_data(raw, payload, one_chunk=one_chunk)
            return
        if not self._is_found:  # the rest of an answer that said that the job is not there
            return
        self._job += payload
        if len(self._job) > self.gateway.edge.buffered_response_bytes and self._client is not None:
            client = self._client
            self.client_gone()
            client.cut()

    def on_end(self) -> None:
        """See Exchange."""
        if self._is_asking and self._client is not None:
            self._judge(self._job)
        else:
            super().on_end()

    def _judge(self, said: bytes) -> None:
        """How old the job is decides."""
        self._is_asking = False
        self._upstream = None
        try:
            created_at = object_of(json.loads(said)).get("created_at")
        except (ValueError, RecursionError):
            created_at = None
        if type(created_at) is not int:
            self._refuse(502, "bad_gateway", "The provider does not say when this job was made, so it is not resumed.")
        elif self.gateway.clock() // MICROS_PER_SECOND - created_at > TRAINING_RESUMED_SECONDS_MAX:
            days = TRAINING_RESUMED_SECONDS_MAX // _SECONDS_PER_DAY
            message = (
                f"This job is older than {days} days, and what is held for it ends soon: what it trained after that would be charged to "
                "nobody. Begin another job, on what this one has trained if you like; this one can be cancelled."
            )
            self._refuse(409, "hold_ends", message)
        else:
            self._targets.insert(0, self._pool.target)
            self._ask()
