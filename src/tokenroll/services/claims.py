"""Calls that their clients named, at one of several workers: each is claimed at the ledger before it is sent (DESIGN §4 law 7).

What a worker has sent it remembers itself; what it has not, another worker may have. So it asks, once, and calls of one name wait for
one answer together. A claim under which nothing was sent is given back.
"""

from collections.abc import Callable
from typing import Final

from tokenroll.services.call_memory import EndedCall, repeated
from tokenroll.services.hot import Wait
from tokenroll.services.protocol import AWAY, FREE, YOURS, Claim, ClaimAnswer
from tokenroll.upstream.dialect import Denial

_Client = tuple[int, str]
_LOOKS_MAX: Final = 2
"""A claim that is unused at so many looks for idle ones goes back: whoever still waits with it claims anew."""

_REFUSED_MAX: Final = 4_096
"""So many claims that were refused are remembered."""


class _Asked:
    """A claim on its way, and the calls that wait for its answer."""

    __slots__ = ("claim", "waits")

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.waits: list[Wait] = []


class Claims:
    """What one life of a worker has claimed, and asks for."""

    def __init__(self, worker: int, epoch: int, say: Callable[[Claim], None]) -> None:
        self._worker = worker
        self._epoch = epoch
        self._say = say
        self._number = 0
        self._asked: dict[int, _Asked] = {}
        self._numbers: dict[_Client, int] = {}
        """Of claims on their way."""
        self._mine: dict[_Client, Claim] = {}
        """Granted, and nothing was sent under it yet."""
        self._ending: dict[int, Claim] = {}
        """Given back, by number, as far as the ledger has not said that it heard it."""
        self._refused: dict[int, Claim] = {}
        """By number, the newest ones. Said again over a new line, one may be granted after all, when nobody here waits for it any more."""
        self._again: set[int] = set()
        """Of those on their way, which were said once more over a new line, so that there may be two answers."""
        self._looks: dict[int, int] = {}
        self.claim_count = 0

    def needed(self, client: _Client, asked: Wait | None) -> Denial | Wait | None:
        """What a call of that name is told; None: it may be sent. `asked`: what it has waited for, and was not given, or not in time."""
        if asked is not None and asked.told is not None:
            return asked.told
        if client in self._mine:
            return None
        if asked is not None and not asked.lacked:
            return not_answered(client[1])
        return Wait(client=client)

    def wait(self, wait: Wait) -> None:
        """A call waits until it is known whether its name is used."""
        client = wait.client
        assert client is not None
        number = self._numbers.get(client)
        if number is not None:
            self._asked[number].waits.append(wait)
            return
        number = self._numbers[client] = self._number = self._number + 1
        asked = self._asked[number] = _Asked(Claim(self._worker, self._epoch, number, *client))
        asked.waits.append(wait)
        self.claim_count += 1
        self._say(asked.claim)

    def forget(self, wait: Wait) -> None:
        """The call waits no more."""
        number = None if wait.client is None else self._numbers.get(wait.client)
        if number is not None and wait in self._asked[number].waits:
            self._asked[number].waits.remove(wait)

    def used(self, client: _Client) -> None:
        """A HOLD of that name is on the tape: from there the ledger learns of it."""
        self._looks.pop(self._mine.pop(client).number, None)

    def drop(self, client: _Client) -> None:
        """A call of that name is over. Where nothing was sent under it, another may use the name."""
        claim = self._mine.pop(client, None)
        if claim is not None:
            self._looks.pop(claim.number, None)
            self._end(claim)

    def drop_idle(self) -> None:
        """Claims that were there, unused, when it was asked the last times."""
        for client, claim in tuple(self._mine.items()):
            looks = self._looks[claim.number] = self._looks.get(claim.number, 0) + 1
            if looks >= _LOOKS_MAX:
                self.drop(client)

    def unanswered(self) -> list[Claim]:
        """What is said again after a lost connection, in the order in which it was said: ends first."""
        self._again.update(self._asked)
        return [*self._ending.values(), *(one.claim for one in self._asked.values())]

    def answered(self, answers: list[ClaimAnswer]) -> None:
        """Whoever waited is tried again."""
        for one in answers:
            asked = self._asked.pop(one.number, None)
            if one.state == FREE:
                self._ending.pop(one.number, None)
            elif asked is not None:
                self._answered(asked, one)
            elif one.state == YOURS and one.number in self._refused:  # other answers that come twice say nothing new
                self._end(self._refused.pop(one.number))

    def _answered(self, asked: _Asked, answer: ClaimAnswer) -> None:
        client = asked.claim.api_key_id, asked.claim.client_call_id
        del self._numbers[client]
        was_again = asked.claim.number in self._again
        self._again.discard(asked.claim.number)
        if answer.state == YOURS:
            if not asked.waits:  # its client is gone, or waited for too long
                self._end(asked.claim)
                return
            self._mine[client] = asked.claim
        else:
            self._refused[answer.number] = asked.claim
            if was_again:  # the other time it may be granted, and that answer lost with the line
                self._end(asked.claim)
            if len(self._refused) > _REFUSED_MAX:
                del self._refused[next(iter(self._refused))]
            away = answer.state == AWAY
            for wait in asked.waits:
                wait.lacked = True
                known = EndedCall(answer.state, answer.charge_nanos)
                wait.told = not_answered(client[1]) if away else repeated(known, client[1])
        for wait in asked.waits:
            wake, wait.wake = wait.wake, None
            if wake is not None:
                wake()

    def _end(self, claim: Claim) -> None:
        end = Claim(claim.worker, claim.epoch, claim.number, claim.api_key_id, claim.client_call_id, ends=True)
        self._ending[claim.number] = end
        self._say(end)


def not_answered(client_call_id: str) -> Denial:
    """A call whose name may be another's, with nobody there who knows."""
    return Denial("not_ready", call_id=client_call_id)
