"""The amounts desk: what wallets and limits come to over all workers, told to one that has a part of them only.

A question is answered once the ledger has folded what its worker wrote before it: whoever asks after a call sees that call.
"""

from collections import deque

from tokenroll.model.limits import AMOUNTS_ASKED_MAX
from tokenroll.services.holdings import amounts_of
from tokenroll.services.lease_desk import Peer
from tokenroll.services.ledger import Ledger
from tokenroll.services.limit_terms import counted_from, counters_of, limit_from_row
from tokenroll.services.protocol import Amounts, AskAmounts, LimitAmounts, WalletAmounts
from tokenroll.store import schema


class AmountsDesk:
    """Answers from the ledger's rows. What waits for a report goes with its worker's connection."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: dict[int, deque[tuple[Peer, AskAmounts]]] = {}
        """By worker, in the order of its tape. No more than it lets wait: where a fold is halted, the oldest have long been told so."""

    def ask(self, peer: Peer, message: AskAmounts) -> None:
        """Answered now, or behind the report that is on its way."""
        self._waiting.setdefault(message.worker, deque(maxlen=AMOUNTS_ASKED_MAX)).append((peer, message))
        self.folded(message.worker)

    def folded(self, worker: int) -> None:
        """More of a worker's tape is in the ledger."""
        waiting = self._waiting.get(worker)
        while waiting:
            peer, message = waiting[0]
            if self._ledger.folded_sequence(worker, message.epoch) < message.sequence:
                return
            waiting.popleft()
            peer.say(told(self._ledger, message))

    def left(self, peer: Peer) -> None:
        """A connection is gone, and whoever asked on it."""
        waiting = self._waiting.get(peer.worker, ())
        self._waiting[peer.worker] = deque((one for one in waiting if one[0] is not peer), maxlen=AMOUNTS_ASKED_MAX)


def told(ledger: Ledger, message: AskAmounts) -> Amounts:
    """The answer as of now."""
    now = ledger.now()
    wallets = []
    for wallet_id in message.wallets:
        has, _ = amounts_of(ledger.connection, wallet_id, now)
        wallets.append(
            WalletAmounts(
                wallet_id, has["left_nanos"], has["in_use_nanos"], has["being_checked_nanos"], has["spent_nanos"],
                has["next_vest_at"] or 0, has["next_vest_nanos"], has["next_expiry_at"] or 0, has["next_expiry_nanos"],
            )
        )  # fmt: skip
    limits = _limits(ledger, message.limits) if message.limits else []
    ledger.connection.rollback()
    return Amounts(message.number, wallets, limits)


def _limits(ledger: Ledger, limit_ids: list[int]) -> list[LimitAmounts]:
    now, connection, raises = ledger.now(), ledger.connection, ledger.open_raises()
    found = []
    for row in connection.execute(schema.limits.select().where(schema.limits.c.id.in_(limit_ids))).all():
        limit = limit_from_row(row)
        since = counted_from(connection, limit, now)
        used = sum(used for _, used in counters_of(connection, limit, now))
        held = sum(
            amount for (limit_id, start_at), amount in raises.items() if limit_id == row.id and start_at >= since
        )
        found.append(LimitAmounts(row.id, used, held))
    return found
