"""What the ledger knows of each worker: its present life, whether it spends, and by what lease."""

from collections.abc import Mapping

from sqlalchemy import Connection, select

from tokenroll.model.instant import Instant
from tokenroll.store import schema


class KnownWorker:
    """One worker, as its row says, and how far it has applied deltas."""

    __slots__ = ("applied_delta", "boot_id", "epoch", "halt_reason", "lease", "ready_at", "resigned")

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
    ) -> None:
        self.epoch = epoch
        self.boot_id = boot_id
        self.ready_at = ready_at
        self.applied_delta = applied_delta
        self.halt_reason = halt_reason
        self.lease = lease
        self.resigned = resigned


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
        )
        for row in connection.execute(select(schema.workers))
    }
