"""The claim book: which worker may send a call that its client named, until the call is folded (DESIGN §4 law 7).

A name is claimed before anything is sent under it, in a row of its own: so neither a ledger that dies nor a worker that does can let two
workers have it. The row goes when the call is folded, for then the call itself says that its name is used; when its worker says that it
sent nothing; or when its worker's next life has told everything that the last one did.
"""

from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select

from tokenroll.services.known_workers import KnownWorker
from tokenroll.services.protocol import AWAY, FREE, YOURS, Claim, ClaimAnswer
from tokenroll.store import schema
from tokenroll.store.attempt_record import Outcome
from tokenroll.store.mirror import Mirror

_Client = tuple[int, str]
"""The api key, and what its client named a call."""


class Claimant(NamedTuple):
    """Who may send it: a worker's life, and the number of its claim."""

    worker: int
    epoch: int
    number: int


class ClaimBook:
    """Claims as the rows have them, and what became of calls that were named earlier."""

    def __init__(self, connection: Connection, mirror: Mirror) -> None:
        self._connection = connection
        self._mirror = mirror
        self._claims: dict[_Client, Claimant] = {}

    def load(self) -> None:
        """The claims of the rows."""
        rows = self._connection.execute(select(schema.call_claims))
        self._claims = {
            (row.api_key_id, row.client_call_id): Claimant(row.worker, row.epoch, row.number) for row in rows
        }

    def answer(
        self,
        claims: Iterable[Claim],
        workers: Mapping[int, KnownWorker],
        given_up: Container[tuple[int, int]],
        peers: Container[int],
    ) -> list[ClaimAnswer]:
        """Inside a transaction: each claim granted, or what became of the call. `peers`: the workers that are there."""
        answers = []
        for one in claims:
            client, claimant = (one.api_key_id, one.client_call_id), Claimant(one.worker, one.epoch, one.number)
            if one.ends:
                if self._claims.get(client) == claimant:
                    self._forget(client)
                answers.append(ClaimAnswer(one.number, FREE))
                continue
            known = self._claims.get(client)
            answer = self._sent(client, one.number) if known is None else None
            if answer is None and known is None:
                self._claims[client] = known = claimant
                values = {"api_key_id": client[0], "client_call_id": client[1], **claimant._asdict()}
                self._connection.execute(insert(schema.call_claims).values(values))
            if answer is None and known is not None:
                state = YOURS if known == claimant else _whereabouts(known, workers, given_up, peers)
                answer = ClaimAnswer(one.number, state)
            assert answer is not None
            answers.append(answer)
        return answers

    def folded(self, named: Iterable[tuple[int, str, int]]) -> None:
        """Inside the fold's transaction: calls that are in the ledger from now on."""
        for api_key_id, client_call_id, _ in named if self._claims else ():
            if (api_key_id, client_call_id) in self._claims:
                self._forget((api_key_id, client_call_id))

    def end(self, worker: int, epoch: int, given_up: Container[tuple[int, int]]) -> None:
        """A worker's lives before that epoch have told everything, but for those that nobody waits for: what they sent is not known."""
        for client, one in tuple(self._claims.items()):
            if one.worker == worker and one.epoch < epoch and (worker, one.epoch) not in given_up:
                self._forget(client)

    def _forget(self, client: _Client) -> None:
        del self._claims[client]
        claims = schema.call_claims
        row = (claims.c.api_key_id == client[0]) & (claims.c.client_call_id == client[1])
        self._connection.execute(delete(claims).where(row))

    def _sent(self, client: _Client, number: int) -> ClaimAnswer | None:
        """What became of the last attempt of a folded call of that name; None: there is none."""
        calls, later, ended = schema.client_calls.c, schema.attempts.c, schema.settlements.c
        named = select(calls.hold_key).where(calls.api_key_id == client[0], calls.client_call_id == client[1])
        key = self._connection.scalar(named)
        if key is None:
            return None
        newest = select(later.hold_key).where(later.call_key == key).order_by(later.attempt.desc()).limit(1)
        key = self._connection.scalar(newest) or key
        row = self._connection.execute(
            select(ended.outcome, ended.charge_nanos).where(ended.hold_key == key)
        ).one_or_none()
        if row is not None:
            return ClaimAnswer(number, "released" if row.outcome == Outcome.RELEASED else "settled", row.charge_nanos)
        hold = self._mirror.holds.get(key)
        return ClaimAnswer(number, "held" if hold is not None and hold.lapsed_at is None else "suspense")


def _whereabouts(
    claimant: Claimant,
    workers: Mapping[int, KnownWorker],
    given_up: Container[tuple[int, int]],
    peers: Container[int],
) -> str:
    """What is known of a call that another life may send, or an earlier claim of this one, and that is not folded."""
    worker, epoch, _ = claimant
    if (worker, epoch) in given_up:
        return "suspense"  # its tape is never read: only the provider's bill can say what it sent
    known = workers.get(worker)
    return "held" if known is not None and known.epoch == epoch and worker in peers else AWAY
