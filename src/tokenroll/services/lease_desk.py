"""The lease desk: wants of workers, answered at once or once others have returned what they do not use.

`Lending` says what there is; this says who is asked for it and who waits for whom. It lives beside the ledger's connections, and what it
remembers may go with them: a worker that comes again wants again.
"""

import asyncio
import logging
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import takewhile
from operator import attrgetter
from typing import Final, Protocol

import msgspec

from tokenroll.model.limits import LEASE_ANSWER_SECONDS_MAX, NODE_WORKER_MIN, UNTOLD_TAPE_SECONDS_MAX
from tokenroll.services.ledger import Ledger
from tokenroll.services.protocol import AskBack, Lacking, Lent, Message, Want
from tokenroll.store.tape import LIMIT, LOT

_log = logging.getLogger(__name__)


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


_Thing = tuple[int, int]
"""What a want may be of, as a part of a lease has it: LOT and a wallet, or LIMIT and a limit."""


def _things(want: Want) -> list[_Thing]:
    return list(dict.fromkeys([*((LOT, one) for one in want.wallets), *((LIMIT, one) for one, _ in want.limits)]))


class _Waiting:
    """A want that others are asked for, or that waits behind one before it."""

    __slots__ = ("answered", "asked", "number", "peer", "place", "things", "timer", "want")

    def __init__(self, peer: Peer, want: Want) -> None:
        self.peer = peer
        self.want = want
        self.things: list[_Thing] = []
        """In whose lines it waits."""
        self.place = 0
        """Its place in all of them, so that no two wait for each other."""
        self.number = 0
        """Of what others were asked last; 0: nothing yet."""
        self.asked: dict[int, int] = {}
        """Who has not answered, and under which number it will."""
        self.answered: frozenset[int] = frozenset()
        """Who is asked no more."""
        self.timer: asyncio.TimerHandle | None = None


_PLACE, _NUMBER = attrgetter("place"), attrgetter("number")
_NUMBER_BITS: Final = 62
_PARTS: Final = 4
"""In which it is waited for answers."""


class LeaseDesk:
    """Answers wants in the order in which they came: of one wallet one after another, for each must find what the last one left."""

    def __init__(self, ledger: Ledger, server: Server) -> None:
        self._ledger = ledger
        self._server = server
        self._number = ledger.random_bits(_NUMBER_BITS)
        """Of what is asked next. What was returned for a ledger before this one is on tapes yet: no number counts twice, whatever the clock."""
        self._place = 0
        self._waiting: dict[tuple[Peer, int], _Waiting] = {}
        """By connection and number of the want."""
        self._lines: dict[_Thing, list[_Waiting]] = {}
        """By wallet or limit, who waits for it; those that others are asked for come first."""
        self._asked: dict[tuple[int, int], _Waiting] = {}
        """For which of them a worker was asked under a number."""
        self.peers: dict[int, Peer] = {}
        """Workers that spend, by number."""
        self._early: list[tuple[Peer, Want]] = []
        """Wants that came to an older copy before all tapes beside it were told: until then nobody knows what there is."""

    def wants(self, peer: Peer, wants: Sequence[Want]) -> None:
        """Those that came together: what nobody need be asked for is lent in one transaction, and the others are answered after it.

        One after another where they are of one wallet or limit: behind one that is not met none is.
        """
        single: set[_Thing] = set()
        together = []
        for want in wants:
            things = _things(want)
            if want.again or any(one in self._lines or one in single for one in things):
                single.update(things)
            else:
                together.append(want)
        answers = self._lent(peer, together) if len(together) > 1 and not self._ledger.loans.untold else {}
        if answers is None:
            return
        for want in wants:
            answer = answers.get(want.number)
            if answer is None:
                self.want(peer, want)
            else:
                peer.say(answer)

    def _lent(self, peer: Peer, wants: Sequence[Want]) -> dict[int, Lent] | None:
        """By number, what is lent for these in one transaction; None: it failed, and the line is ended."""
        try:
            return self._ledger.lend(wants, sparing=bool(self._waiting))
        except Exception as error:  # noqa: BLE001 - a door: told, and wanted again
            self._server.note_failure(error, "wants cannot be answered")
            peer.end()
            return None

    def want(self, peer: Peer, want: Want) -> None:
        """Lent, lacking, or asked of others first. One that waits already is put another way: its worker returned what it counted on."""
        if self._ledger.loans.untold:
            self._early.append((peer, want))
            if len(self._early) == 1:
                asyncio.get_running_loop().call_later(UNTOLD_TAPE_SECONDS_MAX, self._tell_no_more)
            return
        if want.again and self._is_met(peer, want):
            return
        known = self._waiting.get((peer, want.number))
        if known is not None:
            self._put(known, want)
            return
        waiting = _Waiting(peer, want)
        if not any(one in self._lines for one in _things(want)):
            self._answer(waiting)
        elif self._is_met_beside(peer, want):
            return
        elif want.need_nanos or want.limits or want.again:
            self._place += 1
            self._wait(waiting, self._place)
        else:  # what is asked for ahead is for later, and others wait now
            peer.say(Lacking(want.number, []))

    def _tell_no_more(self) -> None:
        """A tape that cannot be read, or whose worker never starts, stops the others for no longer.

        What it took is lent once more then, and its report halts in words, as of a worker of whose loans nothing is known.
        """
        if self._ledger.loans.untold:
            late = ", ".join(str(one) for one in sorted(self._ledger.loans.untold))
            _log.error(
                "the tape of worker %s is not told after %d s, and nobody waits for it any more",
                late,
                UNTOLD_TAPE_SECONDS_MAX,
            )
            self._ledger.loans.untold.clear()
        self.look_again()

    def look_again(self) -> None:
        """Answers what came too early, once all is told."""
        if not self._ledger.loans.untold:
            early, self._early = self._early, []
            for peer, want in early:
                if self.peers.get(peer.worker) is peer:
                    self.want(peer, want)

    def returned(self, worker: int, numbers: set[int]) -> None:
        """A worker's report returned what was asked for under these numbers."""
        for number in sorted(numbers):
            waiting = self._asked.get((worker, number))
            if waiting is not None:
                self._heard(waiting, worker)

    def ended(self, worker: int) -> None:
        """A worker's lease came back whole: it resigned, or its next life begins."""
        for waiting in [one for one in self._waiting.values() if worker in one.asked]:
            if worker in waiting.asked:
                self._heard(waiting, worker)

    def came(self, peer: Peer) -> None:
        """A worker's line is there again: what it was asked on the one before may be lost, and is asked once more."""
        self.peers[peer.worker] = peer
        for waiting in tuple(self._waiting.values()):
            if peer.worker in waiting.asked:
                self._say(waiting, peer.worker)

    def left(self, peer: Peer) -> None:
        """A connection is gone: what it wanted it wants again when it is back."""
        if self.peers.get(peer.worker) is peer:
            del self.peers[peer.worker]
        self._early = [one for one in self._early if one[0] is not peer]
        gone = [one for one in self._waiting.values() if one.peer is peer]
        self._go_on([thing for one in gone for thing in self._forget(one)])

    def _is_met_beside(self, peer: Peer, want: Want) -> bool:
        """Whether there is at once all that it needs of what nobody waits for: who has enough waits for no other member of a pool.

        Of its wallets that is those before the first that somebody waits for, in their order: nobody draws a pool before what is one's own.
        """
        if not (want.need_nanos or want.limits) or any((LIMIT, one) in self._lines for one, _ in want.limits):
            return False
        own = list(takewhile(lambda one: (LOT, one) not in self._lines, want.wallets))
        if want.need_nanos and not own:
            return False
        answer = self._ledger.want(msgspec.structs.replace(want, wallets=own), sparing=True)
        if isinstance(answer, Lent):
            peer.say(answer)
        return isinstance(answer, Lent)

    def _put(self, waiting: _Waiting, want: Want) -> None:
        """Another way. Who was asked has said nothing of what it names now and did not name then, and is asked of all before it is decided."""
        waiting.want = want
        more = [one for one in _things(want) if one not in waiting.things]
        if more:
            waiting.answered = frozenset()
            self._join(waiting, more)

    def _is_met(self, peer: Peer, want: Want) -> bool:
        """Whether a want was met before, and its answer lost with the line: it is said again, and nobody need wait for that.

        As long as its worker had not heard it, there was nothing that it could return: who asked it asks it once more, and it has as long
        to answer as if it were asked for the first time.
        """
        met = self._ledger.met(want)
        if met is None:
            return False
        peer.say(met)
        for waiting in dict.fromkeys(
            one for thing in _things(want) for one in takewhile(_NUMBER, self._lines.get(thing, ()))
        ):
            if peer.worker in waiting.answered:
                self._number += 1
                self._question(waiting, peer.worker)
                self._await_answers(waiting)
        return True

    def _heard(self, waiting: _Waiting, worker: int) -> None:
        self._asked.pop((worker, waiting.asked.pop(worker)))
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
        waiting.number, waiting.answered = self._number, waiting.answered | holders
        if holders <= away:
            self._answer(waiting)  # machines without a line: theirs until their deadline, and nobody waits for it
            return
        self._wait(waiting, -self._number)  # it comes before those that wait behind it
        self._await_answers(waiting)
        for worker in sorted(holders - away):
            self._question(waiting, worker)

    def _await_answers(self, waiting: _Waiting) -> None:
        """From now on, for as long as anybody is waited for."""
        if waiting.timer is not None:
            waiting.timer.cancel()
        self._await_part(waiting, _PARTS)

    def _await_part(self, waiting: _Waiting, parts: int) -> None:
        """In parts, of which a pause of the whole machine takes one: those who were asked slept through it as the ledger did."""
        if parts:
            loop = asyncio.get_running_loop()
            waiting.timer = loop.call_later(LEASE_ANSWER_SECONDS_MAX / _PARTS, self._await_part, waiting, parts - 1)
        else:
            self._decide(waiting)

    def _question(self, waiting: _Waiting, worker: int) -> None:
        self._asked.pop((worker, waiting.asked.get(worker, 0)), None)
        waiting.asked[worker] = self._number
        self._asked[worker, self._number] = waiting
        self._say(waiting, worker)

    def _say(self, waiting: _Waiting, worker: int) -> None:
        """The question to one whom it is for; who has no line hears it when it is back."""
        if worker in self.peers:
            limits = [limit_id for limit_id, _ in waiting.want.limits]
            self.peers[worker].say(AskBack(waiting.asked[worker], waiting.want.wallets, limits))

    def _wait(self, waiting: _Waiting, place: int) -> None:
        waiting.place = place
        self._waiting[waiting.peer, waiting.want.number] = waiting
        self._join(waiting, _things(waiting.want))

    def _join(self, waiting: _Waiting, things: list[_Thing]) -> None:
        waiting.things += things
        for one in things:
            insort(self._lines.setdefault(one, []), waiting, key=_PLACE)

    def _forget(self, waiting: _Waiting) -> list[_Thing]:
        """It waits no more; where somebody else may be the first now."""
        del self._waiting[waiting.peer, waiting.want.number]
        for asked in waiting.asked.items():
            del self._asked[asked]
        things = waiting.things
        for one in things:
            line = self._lines[one]
            del line[bisect_left(line, waiting.place, key=_PLACE)]
            if not line:
                del self._lines[one]
        waiting.asked, waiting.things = {}, []
        if waiting.timer is not None:
            waiting.timer.cancel()
        return things

    def _decide(self, waiting: _Waiting) -> None:
        """All answered, or are away: what is there now is all that there is, but for whoever was lent something meanwhile."""
        things = self._forget(waiting)
        self._answer(waiting)
        self._go_on(things)

    def _go_on(self, things: Iterable[_Thing]) -> None:
        """Those that waited behind one that is answered, and are the first in all their lines now."""
        moved = deque(things)
        while moved:
            line = self._lines.get(moved.popleft())
            waiting = line[0] if line else None
            if waiting is None or waiting.number or any(self._lines[one][0] is not waiting for one in waiting.things):
                continue
            things = self._forget(waiting)
            self._answer(waiting)
            moved.extend(things)
