"""Which calls a worker remembers: the last ones whole, and the clients' own call ids for longer (DESIGN §4 law 7).

A call that has ended well is kept as what can still be asked of it, not as its hold: a hold is some thirty lines of the processor's
caches, and so many of them would push out all that the next call needs.

A repeated id is never sent again. Within one life of a worker its memory answers; at the start of a life the ledger tells it the
ids of earlier ones (protocol, ClientCallTerms). Both are bounded and forget one for each that comes, so no pause ever frees many.
"""

from bisect import bisect_left
from collections import deque
from operator import attrgetter
from typing import Final, NamedTuple

from tokenroll.model.limits import CALLS_REMEMBERED_MAX, CLIENT_CALL_IDS_REMEMBERED_MAX
from tokenroll.services.hot import HotHold
from tokenroll.services.protocol import ClientCallTerms
from tokenroll.upstream.dialect import Denial

_sequence_of: Final = attrgetter("sequence")


class SettledCall:
    """All that can be asked of a call that was settled at its first attempt and has no id of its client's."""

    __slots__ = (
        "_card", "admitted_at", "bound_nanos", "call_number_bytes", "charge_nanos", "model", "sequence", "upstream_model", "wallet",
        "would_deny",
    )  # fmt: skip

    def __init__(self, hold: HotHold) -> None:
        self.sequence = hold.sequence
        self.wallet = hold.key.wallet
        self.call_number_bytes = hold.call_number_bytes
        self.admitted_at = hold.admitted_at
        self.model = hold.model
        self.upstream_model = hold.upstream_model
        self.bound_nanos = hold.bound_nanos
        self.charge_nanos = hold.charge_nanos
        self._card = hold.card
        limited = hold.limited
        self.would_deny = hold.would_deny or (limited is not None and limited.would_deny)

    @property
    def call_id(self) -> str:
        """See HotHold."""
        return f"call_{self.call_number_bytes.hex()}"

    @property
    def rate_card(self) -> str:
        """See HotHold."""
        return self._card.digest[:16]


class EndedCall(NamedTuple):
    """All that a repeated id must be told once its call has left the memory of whole calls."""

    state: str
    charge_nanos: int


class CallMemory:
    """The last calls by their sequence, and client ids by key."""

    __slots__ = ("_at", "_by_client", "_clients", "_ring")

    def __init__(self) -> None:
        self._ring: list[HotHold | SettledCall] = []
        """First attempts in the order of their sequences; `_at` is the oldest once the ring is full."""
        self._at = 0
        self._by_client: dict[tuple[int, str], HotHold | EndedCall] = {}
        self._clients: deque[tuple[int, str]] = deque()

    def remember(self, hold: HotHold) -> None:
        """A call's first attempt."""
        ring = self._ring
        if len(ring) < CALLS_REMEMBERED_MAX:
            hold.place = len(ring)
            ring.append(hold)
        else:
            at = hold.place = self._at
            gone = ring[at]
            ring[at] = hold
            self._at = (at + 1) % CALLS_REMEMBERED_MAX
            if type(gone) is HotHold and gone.client_call_id:
                self._shorten(gone)
        if hold.client_call_id:
            self._add((hold.key.id, hold.client_call_id), hold)

    def settled(self, hold: HotHold) -> None:
        """An attempt was settled, and no other follows."""
        place, ring = hold.place, self._ring
        if 0 <= place < len(ring) and ring[place] is hold and not hold.client_call_id:
            ring[place] = SettledCall(hold)

    def learn(self, terms: ClientCallTerms) -> None:
        """A call of an earlier life, or of another worker; one that is known here stays as it is."""
        client = (terms.api_key_id, terms.client_call_id)
        if client not in self._by_client:
            self._add(client, EndedCall(terms.state, terms.charge_nanos))

    def by_sequence(self, sequence: int) -> HotHold | SettledCall | None:
        """The call whose first HOLD has that sequence, if it is one of the last."""
        ring, at = self._ring, self._at
        for low, high in ((at, len(ring)), (0, at)):
            place = bisect_left(ring, sequence, low, high, key=_sequence_of)
            if place < high and ring[place].sequence == sequence:
                return ring[place]
        return None

    def by_client(self, key_id: int, client_call_id: str) -> HotHold | EndedCall | None:
        """The call that this key has named so."""
        return self._by_client.get((key_id, client_call_id))

    def _add(self, client: tuple[int, str], call: HotHold | EndedCall) -> None:
        self._by_client[client] = call
        clients = self._clients
        clients.append(client)
        if len(clients) > CLIENT_CALL_IDS_REMEMBERED_MAX:
            oldest = clients.popleft()
            known = self._by_client[oldest]
            if isinstance(known, HotHold) and last_attempt(known).state == "held":
                clients.append(oldest)  # still running: to forget it could send it twice
            else:
                del self._by_client[oldest]

    def _shorten(self, gone: HotHold) -> None:
        client = (gone.key.id, gone.client_call_id)
        last = last_attempt(gone)
        if last.state != "held" and self._by_client.get(client) is gone:
            self._by_client[client] = EndedCall(last.state, last.charge_nanos)


def last_attempt(hold: HotHold) -> HotHold:
    """The latest attempt of a call."""
    while hold.later is not None:
        hold = hold.later
    return hold


def may_have_ended(known: HotHold | EndedCall) -> bool:
    """Whether more may have become of it than is remembered here: when that was told, it ran elsewhere or was being checked."""
    return not isinstance(known, HotHold) and known.state in {"held", "suspense"}


_STATES: Final = {
    "held": "still running",
    "settled": "settled",
    "released": "released without a charge",
    "suspense": "being checked",
}


def repeated(known: HotHold | EndedCall, client_call_id: str) -> Denial:
    """What a call is told whose id was used before: what became of that call."""
    last = last_attempt(known) if isinstance(known, HotHold) else known
    cost = last.charge_nanos if last.state == "settled" else None
    return Denial("call_repeated", call_id=client_call_id, state=_STATES[last.state], cost_nanos=cost)
