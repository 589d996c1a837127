"""The lease desk: wants of workers, answered at once or once others have returned what they do not use.

`Lending` says what there is; this says who is asked for it and who waits for whom. It lives beside the ledger's connections, and what it
remembers may go with them: a worker that comes again wants again.
"""

import asyncio
from typing import Protocol

from tokenroll.model.limits import LEASE_ANSWER_SECONDS_MAX, NODE_WORKER_MIN
from tokenroll.services.ledger import Ledger
from tokenroll.services.protocol import AskBack, Lacking, Message, Want


class Peer(Protocol):
    """A worker's connection."""

    worker: int

    def say(self, message: Message) -> None:
        """The message to the worker, if it is still there."""

    def end(self) -> None:
        """The connection closed: its worker comes again, and says what it wants once more."""


class Server(Protocol):
    """Who serves the ledger."""

    lost: bool
    """Whether nobody knows what the ledger has, and no more is answered."""

    def note_failure(self, error: Exception, what: str) -> None:
        """Told to whoever looks after the ledger."""


class _Waiting:
    """A want that others are asked for, or that waits behind one before it."""

    __slots__ = ("answered", "asked", "number", "peer", "timer", "want")

    def __init__(self, peer: Peer, want: Want) -> None:
        self.peer = peer
        self.want = want
        self.number = 0
        """Of what others were asked last; 0: nothing yet."""
        self.asked: set[int] = set()
        """Who has not answered."""
        self.answered: frozenset[int] = frozenset()
        """Who is asked no more."""
        self.timer: asyncio.TimerHandle | None = None

    def overlaps(self, want: Want) -> bool:
        """Whether both want of the same wallet or limit."""
        mine, limits = self.want, {limit_id for limit_id, _ in self.want.limits}
        return not {*mine.wallets}.isdisjoint(want.wallets) or any(limit_id in limits for limit_id, _ in want.limits)


class LeaseDesk:
    """Answers wants in the order in which they came: of one wallet one after another, for each must find what the last one left."""

    def __init__(self, ledger: Ledger, server: Server) -> None:
        self._ledger = ledger
        self._server = server
        self._number = 0
        self._waiting: list[_Waiting] = []
        self.peers: dict[int, Peer] = {}
        """Workers that spend, by number."""

    def want(self, peer: Peer, want: Want) -> None:
        """Lent, lacking, or asked of others first. One that waits already is put another way: its worker returned what it counted on."""
        for waiting in self._waiting:
            if waiting.peer is peer and waiting.want.number == want.number:
                waiting.want = want
                return
        waiting = _Waiting(peer, want)
        if not any(one.overlaps(want) for one in self._waiting):
            self._answer(waiting)
        elif want.need_nanos or want.limits or want.again:  # what is said again may have been lent already
            self._waiting.append(waiting)
        else:  # what is asked for ahead is for later, and others wait now
            peer.say(Lacking(want.number, []))

    def returned(self, worker: int, numbers: set[int]) -> None:
        """A worker's report returned what was asked for under these numbers."""
        for waiting in [one for one in self._waiting if one.number in numbers]:
            if waiting.number in numbers:
                self._heard(waiting, worker)

    def ended(self, worker: int) -> None:
        """A worker's lease came back whole: it resigned, or its next life begins."""
        for waiting in [one for one in self._waiting if worker in one.asked]:
            if worker in waiting.asked:
                self._heard(waiting, worker)

    def left(self, peer: Peer) -> None:
        """A connection is gone: what it wanted it wants again when it is back."""
        if self.peers.get(peer.worker) is peer:
            del self.peers[peer.worker]
        for waiting in [one for one in self._waiting if one.peer is peer]:
            self._forget(waiting)
        self._go_on()

    def _heard(self, waiting: _Waiting, worker: int) -> None:
        waiting.asked.discard(worker)
        if not waiting.asked:
            self._decide(waiting)

    def _answer(self, waiting: _Waiting) -> None:
        """Where it fails the wanter's line is ended, so that it is wanted again: nobody else stands in for it, and others go on."""
        if self._server.lost:
            waiting.peer.end()
            return
        try:
            answer = self._ledger.want(waiting.want, waiting.answered, sparing=bool(self._waiting))
        except Exception as error:  # noqa: BLE001 - a door: told, and wanted again
            self._server.note_failure(error, "a want cannot be answered")
            waiting.peer.end()
            return
        if isinstance(answer, set):
            self._ask(waiting, answer)
        elif answer is not None:
            waiting.peer.say(answer)

    def _ask(self, waiting: _Waiting, holders: set[int]) -> None:
        self._number += 1
        away = {worker for worker in holders if worker >= NODE_WORKER_MIN and worker not in self.peers}
        waiting.number, waiting.asked, waiting.answered = self._number, holders - away, waiting.answered | holders
        if not waiting.asked:
            self._answer(waiting)  # machines without a line: theirs until their deadline, and nobody waits for it
            return
        self._waiting.insert(0, waiting)  # it comes before those that wait behind it
        waiting.timer = asyncio.get_running_loop().call_later(LEASE_ANSWER_SECONDS_MAX, self._decide, waiting)
        limits = [limit_id for limit_id, _ in waiting.want.limits]
        for worker in waiting.asked:
            if worker in self.peers:
                self.peers[worker].say(AskBack(self._number, waiting.want.wallets, limits))

    def _forget(self, waiting: _Waiting) -> None:
        self._waiting.remove(waiting)
        if waiting.timer is not None:
            waiting.timer.cancel()

    def _decide(self, waiting: _Waiting) -> None:
        """All answered, or are away: what is there now is all that there is, but for whoever was lent something meanwhile."""
        self._forget(waiting)
        self._answer(waiting)
        self._go_on()

    def _go_on(self) -> None:
        """Those that waited behind one that is answered."""
        for place, waiting in enumerate(tuple(self._waiting)):
            before = self._waiting[:place]
            if (
                waiting in self._waiting
                and not waiting.number
                and not any(one.overlaps(waiting.want) for one in before)
            ):
                self._waiting.remove(waiting)
                self._answer(waiting)
                return self._go_on()
        return None
