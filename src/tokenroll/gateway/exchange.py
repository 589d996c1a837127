"""Exchange: what stands between a client's connection and a provider's, whatever it costs."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from tokenroll.gateway.heads import ResponseHead
from tokenroll.store.tape import Finish

if TYPE_CHECKING:
    from tokenroll.gateway.upstream import UpstreamConnection
    from tokenroll.gateway.worker import Gateway


class AnswerReader(ABC):
    """Whom a connection tells of an answer as it comes."""

    __slots__ = ()

    def takes_whole(self, response: ResponseHead) -> bool:  # noqa: ARG002 - for who does
        """Whether a whole, good answer may come by `on_whole`."""
        return False

    def on_whole(self, response: ResponseHead, payload: bytes) -> None:
        """An answer of status 200 that came in one read: the same as its head, its data and its end."""
        self.on_head(response)
        self.on_data(payload, payload)
        self.on_end()

    @abstractmethod
    def on_head(self, response: ResponseHead) -> None:
        """The answer's head; its body follows."""

    @abstractmethod
    def on_data(self, raw: bytes, payload: bytes, *, one_chunk: bool = False) -> None:
        """Answer bytes, as they came and without the transfer coding; `one_chunk`: `raw` is one whole chunk after whole ones."""

    @abstractmethod
    def on_end(self) -> None:
        """The answer is whole."""

    @abstractmethod
    def upstream_lost(self, finish: Finish, message: str) -> None:
        """The answer will not be whole."""


class Exchange(AnswerReader):
    """One request to a provider and its answer: a Call, which is held, metered and settled, or an Errand, which is free."""

    __slots__ = ("_upstream", "gateway")

    gateway: "Gateway"
    _upstream: "UpstreamConnection | None"

    @property
    @abstractmethod
    def is_waiting(self) -> bool:
        """Whether nothing was begun yet that must be ended if its client leaves."""

    @property
    @abstractmethod
    def is_answering(self) -> bool:
        """Whether the answer's body is under way."""

    @abstractmethod
    def dialled(self, upstream: "UpstreamConnection | None", error: str) -> None:
        """A new connection, or why there is none."""

    @abstractmethod
    def client_gone(self) -> None:
        """Nobody reads any more."""

    def pause_upstream(self) -> None:
        """The client reads slower than the provider writes."""
        upstream = self._upstream
        if upstream is not None and self.is_answering and not upstream.closed:
            upstream.pause_reading()

    def resume_upstream(self) -> None:
        """The client has caught up."""
        upstream = self._upstream
        if upstream is not None and self.is_answering and not upstream.closed:
            upstream.deadline = self.gateway.wheel.now + upstream.pool.idle_ticks
            upstream.resume_reading()
