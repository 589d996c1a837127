"""What the ledger knows of each worker: its present life, whether it spends, and by what lease."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from tokenroll.model.instant import Instant
from tokenroll.services.protocol import Refusal
from tokenroll.store import schema
from tokenroll.store.journal import Journal
from tokenroll.store.lease_book import LEASE_AWAY, LEASE_EARLY, LEASE_SIZED, LEASE_WHOLE, LeaseBook
from tokenroll.store.mirror import Mirror


class KnownWorker:
    """One worker, as its row says, and how far it has applied deltas."""

    __slots__ = ("applied_delta", "boot_id", "closed_epoch", "epoch", "halt_reason", "lease", "ready_at", "resigned")

    def __init__(
        self,
        epoch: int,
        boot_id: bytes,
        ready_at: Instant | None,
        applied_delta: int,
        halt_reason: str,
        lease: int,
        *,
        resigned: bool = False,
        closed_epoch: int = 0,
    ) -> None:
        self.epoch = epoch
        self.boot_id = boot_id
        self.ready_at = ready_at
        self.applied_delta = applied_delta
        self.halt_reason = halt_reason
        self.lease = lease
        self.resigned = resigned
        self.closed_epoch = closed_epoch
        """Lives before this one are over: nothing is heard of them."""

    @property
    def has_everything(self) -> bool:
        """Whether it may spend everything, so that only it knows what is left."""
        return self.lease in {LEASE_WHOLE, LEASE_EARLY}


def known_workers(connection: Connection, before: Mapping[int, KnownWorker]) -> dict[int, KnownWorker]:
    """All of the rows; `before` knows of deltas that were applied since they were written."""
    applied = {number: one.applied_delta for number, one in before.items()}
    return {
        row.worker: KnownWorker(
            row.epoch,
            row.boot_id,
            row.ready_at,
            max(row.applied_delta, applied.get(row.worker, 0)),
            row.halt_reason,
            row.lease,
            resigned=row.resigned_at is not None,
            closed_epoch=row.closed_epoch,
        )
        for row in connection.execute(select(schema.workers))
    }


def worker_values(
    workers: Mapping[int, KnownWorker], mirror: Mirror, book: LeaseBook, folded: Mapping[tuple[int, int], int]
) -> list[dict[str, Any]]:
    """Each of them as the ledger's standing tells it."""
    return [
        {
            "worker": number, "epoch": one.epoch, "ready_at": one.ready_at, "applied_delta": one.applied_delta,
            "folded_sequence": folded.get((number, one.epoch), 0), "halt_reason": one.halt_reason, "lease": one.lease,
            "lent_nanos": sum(mirror.leased.get(number, ())[::2]),
            "away_nanos": sum(part.amount for part in book.reclaimed(number, one.epoch)) if one.lease == LEASE_AWAY else 0,
        }
        for number, one in sorted(workers.items())
    ]  # fmt: skip


def standing(journal: Journal, mirror: Mirror, last_delta: int, workers: list[dict[str, Any]]) -> dict[str, Any]:
    """Where everything stands, beside what `worker_values` says."""
    suspense = [hold for hold in mirror.holds.values() if hold.lapsed_at is not None]
    held_nanos = sum(one.nanos for hold in suspense for one in hold.slices)
    return {
        "ledger_seq": journal.next_seq - 1, "batch": journal.batch_number, "head": journal.head_hash.hex(),
        "last_delta": last_delta, "open_holds": len(mirror.holds) - len(suspense), "suspense_holds": len(suspense),
        "suspense_nanos": held_nanos + sum(one["away_nanos"] for one in workers), "workers": workers,
    }  # fmt: skip


def unfit(workers: Mapping[int, KnownWorker], worker: int, lease: int) -> Refusal | None:
    """Why a lease does not go with those that others have: one of everything goes with none.

    `leased` while such a worker lives; `waits` when its next life, or its end, is still to say what its last one left.
    """
    for number, one in workers.items():
        if number != worker and one.lease and (lease != LEASE_SIZED or one.has_everything):
            if one.ready_at is not None:
                return Refusal(
                    "leased", f"worker {number} runs: it is told of how many workers it is one, as each must be"
                )
            return Refusal("waits", f"worker {number} has not yet said what its last life left")
    return None


def life_is_over(worker: int, epoch: int) -> Refusal:
    """What a life is told that may not spend any more."""
    return Refusal(
        "closed_epoch", f"epoch {epoch} of worker {worker} is over: it may not spend; start the process again"
    )
