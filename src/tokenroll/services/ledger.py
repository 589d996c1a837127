"""The ledger: sole author of grants, lots, leases, keys and the chain; folds what workers report (DESIGN §5).

Synchronous and without transport: `ledger_server.py` puts it on a socket, tests and the CLI call it directly. One command or one
fold is one transaction and one batch of the chain, so that a crash leaves whole batches and nothing else.
"""

import hashlib
import json
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, func, select, update

from tokenroll.model.instant import Instant
from tokenroll.model.limits import NODE_WORKER_MIN
from tokenroll.services import charging, leasing, recalling, reclaiming, refilling
from tokenroll.services.ageing import is_due
from tokenroll.services.approvers_told import is_told, tell_denials
from tokenroll.services.claim_book import ClaimBook
from tokenroll.services.clock import Clock
from tokenroll.services.command_words import words_problem
from tokenroll.services.known_workers import KnownWorker, known_workers, life_is_over, standing, unfit, worker_values
from tokenroll.services.lending import Lending
from tokenroll.services.protocol import (
    PROTOCOL_VERSION,
    Ack,
    Applied,
    CaughtUp,
    Claim,
    ClaimAnswer,
    Command,
    Delta,
    Hello,
    KeysUsed,
    Lacking,
    Lease,
    Lent,
    Ready,
    Refusal,
    Reply,
    Report,
    Resign,
    StatusReply,
    View,
    Want,
    Welcome,
)
from tokenroll.services.refusal import Refused
from tokenroll.services.roll_ups import Following, RollUps
from tokenroll.services.unit_of_work import Handler, RandomBits, UnitOfWork
from tokenroll.services.unknown_loans import UnknownLoans
from tokenroll.store import schema
from tokenroll.store.attempt_record import EPOCH_MAX, WORKER_MAX, hold_key
from tokenroll.store.cycles import CycleBook
from tokenroll.store.fold import Fold
from tokenroll.store.fold_batch import FoldBatch
from tokenroll.store.halt import FoldHalt
from tokenroll.store.hold_changes import HoldChanges
from tokenroll.store.journal import Journal, canonical, command_leaf
from tokenroll.store.key_uses import note_keys_used
from tokenroll.store.lease_book import LEASE_AWAY, LEASE_EARLY, LEASE_NONE, LEASE_SIZED, LEASE_WHOLE, LeaseBook
from tokenroll.store.mirror import Mirror, OpenHold
from tokenroll.store.rollups import SLICE_SETTLEMENTS
from tokenroll.store.statements import insert_into
from tokenroll.store.usage_rollups import SLICE_SETTLEMENTS as USAGE_SLICE_SETTLEMENTS

__all__ = ["Handler", "Ledger", "RandomBits", "Refused", "UnitOfWork"]

DELIVERED: Final = "applied"
PENDING: Final = "pending"
NO_WORKER: Final = "no_worker"
OPEN_HOLDS_BYTES_MAX: Final = 8 * 1024 * 1024
"""Of the records in a Welcome: half of what a message may have, and more calls at once than one worker has."""


class _DryRun(Exception):  # noqa: N818 - ends a transaction that was never meant to be kept
    """Carries a dry run's answer out of its transaction."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__("dry run")
        self.result = result


_ROLLED_UP_FIRST: Final = frozenset({"payrun.close", "payrun.off_cycle"})
"""Commands that read roll-ups of a million wallets in processes of their own: what is not rolled up by then would be added by one."""
GIVE_UP: Final = "lease.give_up"
_SEQUENCE_MAX: Final = (1 << 63) - 1
"""The last record of a tape that nobody is to report any more."""


class Ledger:
    """All that may change the ledger's rows. Not thread-safe: one owner calls it, one call at a time."""

    def __init__(
        self, connection: Connection, clock: Clock, commands: Mapping[str, Handler], random_bits: RandomBits
    ) -> None:
        self.connection = connection
        self._clock = clock
        self._commands = commands
        self.random_bits = random_bits
        self._journal = Journal(connection)
        self._mirror = Mirror()
        self._changes = HoldChanges(self._journal, self._mirror, CycleBook())
        self._fold = Fold(connection, self._changes)
        self._book = LeaseBook(connection, self._journal, self._mirror)
        self._lending = Lending(connection, self._mirror, self._book)
        self._undelivered: list[Delta] = []
        self._refill_delta = 0
        self.recalls_answered = False
        """Whether the last report gave back parts of lots: commands that wait for them look again."""
        self.returned: set[int] = set()
        """The numbers of what the last report returned parts of a lease for."""
        self._claims = ClaimBook(connection, self._mirror)
        self.loans = UnknownLoans()
        self._last_at = 0
        self._last_delta = 0
        self._roll_ups = RollUps(connection, self._changes.cycles, self._mirror)
        self._workers: dict[int, KnownWorker] = {}
        self._folded: dict[tuple[int, int], int] = {}
        self._given_up: set[tuple[int, int]] = set()
        """Lives of nodes whose tapes nobody waits for any more: each up to the newest one that was given up."""
        self._reload()
        self._tell_denials()

    # ---- commands -----------------------------------------------------------------------------------

    def execute(self, command: Command) -> Reply:
        """The answer to a write: done and durable, or refused with nothing changed (law 7).

        The same id gives the first answer, a different body under it conflicts; a refusal wrote nothing and may be tried again.
        A dry run does everything and keeps nothing.
        """
        body = canonical([command.name, command.arguments])
        if problem := words_problem(command.id, body):
            return Reply(command.id, problem=problem, problem_kind="argument")
        body_digest = hashlib.sha256(body).digest()
        earlier = self._earlier_answer(command, body_digest)
        if earlier is not None:
            return earlier
        handler = self._commands.get(command.name)
        if handler is None:
            return Reply(command.id, problem=f"there is no command {command.name!r}", problem_kind="unknown_command")
        try:
            if command.name in _ROLLED_UP_FIRST:
                while self.roll_up():
                    pass
            result, number = self._run(command, handler, body_digest)
            self._lending.forget()
        except Refused as refused:
            return Reply(command.id, problem=refused.message, problem_kind=refused.kind)
        except _DryRun as dry:
            return Reply(command.id, result={**dry.result, "dry_run": True})
        return self._answer(command.id, result, number)

    def _answer(self, command_id: str, result: dict[str, Any], delta: int) -> Reply:
        """The stored answer and, as of now, how far it was delivered and what its recalls have brought in."""
        recalled = recalling.outcome(self.connection, command_id)
        self.connection.rollback()
        if recalled is None:
            return Reply(command_id, result={**result, "delivery": self.delivery(delta)})
        delivery = PENDING if recalled["state"] == "asked" else self.delivery(delta)
        return Reply(command_id, result={**result, "recalled": recalled, "delivery": delivery})

    def delivery(self, delta: int) -> str:
        """Whether the workers spend by that delta: `applied`, `pending`, or `no_worker` to tell."""
        ready = [worker for worker in self._workers.values() if worker.ready_at is not None]
        if not ready:
            return NO_WORKER
        return DELIVERED if all(worker.applied_delta >= delta for worker in ready) else PENDING

    def take_deltas(self) -> list[Delta]:
        """Deltas made since the last call, for the transport to send to every ready worker."""
        taken, self._undelivered = self._undelivered, []
        return taken

    @property
    def last_delta(self) -> int:
        """The newest delta's number."""
        return self._last_delta

    def _earlier_answer(self, command: Command, body_digest: bytes) -> Reply | None:
        query = select(schema.commands).where(schema.commands.c.id == command.id)
        row = self.connection.execute(query).one_or_none()
        self.connection.rollback()
        if row is None:
            return None
        if row.body_digest != body_digest:
            return Reply(
                command.id, problem=f"command id {command.id} was used for another {row.name}; use a new id",
                problem_kind="conflict",
            )  # fmt: skip
        return self._answer(command.id, json.loads(row.result_json), row.delta or 0)

    def _run(self, command: Command, handler: Handler, body_digest: bytes) -> tuple[dict[str, Any], int]:
        """The handler's answer as it was stored, and the number of its delta (0: none)."""
        with self._transaction() as now:
            work = UnitOfWork(
                self.connection, self._changes, now=now, command_id=command.id, random_bits=self.random_bits,
                leases=self._book,
            )  # fmt: skip
            result_json = canonical(handler(work, command.arguments)).decode()
            if not self._leased:
                charging.collect(work)
            work.write()
            delta = self._store_delta(work.delta(self._last_delta + 1), now)
            if command.dry_run:
                recalled = recalling.outcome(self.connection, command.id)
                raise _DryRun(json.loads(result_json) | ({"recalled": recalled} if recalled else {}))
            leaf = command_leaf(self._journal.next_seq, command.id, command.name, body_digest, result_json)
            self.connection.execute(
                schema.commands.insert().values(
                    id=command.id, ledger_seq=self._journal.take(leaf), name=command.name, body_digest=body_digest,
                    result_json=result_json, delta=delta.number if delta else None, recorded_at=now,
                )
            )  # fmt: skip
            self._journal.close_batch(now)
        self._publish(delta)
        self._changes.cycles.reload(self.connection)
        if command.name == GIVE_UP:
            self._read_workers()
        self.connection.rollback()
        return json.loads(result_json), delta.number if delta else 0

    @property
    def _leased(self) -> bool:
        """Whether some worker's life may spend everything: until it resigns, or its next life is ready, only it knows what is left."""
        return any(worker.has_everything for worker in self._workers.values())

    def _store_delta(self, delta: Delta | None, now: Instant) -> Delta | None:
        """Inside the transaction: what workers that come later are told first."""
        if delta is not None:
            body = msgspec.msgpack.encode(delta)
            self.connection.execute(schema.deltas.insert().values(number=delta.number, body=body, recorded_at=now))
        return delta

    def _publish(self, delta: Delta | None) -> None:
        """After the transaction: for the transport to send."""
        if delta is not None:
            self._last_delta = delta.number
            self._undelivered.append(delta)
            self._lending.forget()

    # ---- workers ------------------------------------------------------------------------------------

    def hello(self, message: Hello) -> Welcome | Refusal:
        """A new life for a worker, or its present one again after a lost connection."""
        if message.version != PROTOCOL_VERSION:
            return Refusal(
                "version", f"the ledger speaks protocol {PROTOCOL_VERSION}, not {message.version}: restart both"
            )
        if not 0 <= message.worker <= WORKER_MAX:
            return Refusal("worker", f"workers are numbered 0 to {WORKER_MAX}, not {message.worker}")
        if not self._back(message):
            return life_is_over(message.worker, message.epoch)
        known = self._workers.get(message.worker)
        early = not message.epoch and message.worker not in self._mirror.leased
        early = early and not leasing.names_day_rates(self.connection)
        self.connection.rollback()
        if message.epoch == 0:
            epoch = (known.epoch if known else 0) + 1
            if epoch > EPOCH_MAX:
                return Refusal(
                    "worker", f"worker {message.worker} has had {EPOCH_MAX} lives: give the process another number"
                )
            self._begin_epoch(message, epoch)
        elif known is None or known.epoch != message.epoch or message.last_delta > self._last_delta:
            # what it was leased is not all in this ledger: another life has begun, or this is an older copy
            return life_is_over(message.worker, message.epoch)
        epoch = self._workers[message.worker].epoch
        folded = {one: sequence for (worker, one), sequence in self._folded.items() if worker == message.worker}
        folded |= {one: _SEQUENCE_MAX for worker, one in self._given_up if worker == message.worker}
        holds = {hold.key: hold.record for hold in reclaiming.left_open(self._mirror, message.worker, epoch)}
        early = early and sum(map(len, holds.values())) <= OPEN_HOLDS_BYTES_MAX
        return Welcome(epoch, folded, early, holds if early else {})

    def _back(self, message: Hello) -> bool:
        """A node that was away has what it was lent again, before anything that it says is folded. Not the same life whose shares are free."""
        known = self._workers.get(message.worker)
        if known is None or known.lease != LEASE_AWAY or message.epoch not in {0, known.epoch}:
            return True
        if message.epoch and self._book.has_freed(message.worker, known.epoch):
            return False
        with self._transaction() as now:
            at = (message.worker, known.epoch)
            reclaiming.restore(self.connection, self._changes, self._book, at, now, same_life=message.epoch > 0)
            self._journal.close_batch(now)
        self._read_workers()
        return True

    def reclaim(self, worker: int) -> int | None:
        """A node's lease counts no more: what it was lent goes to suspense, in nanos. None for one that has no sized lease."""
        known = self._workers.get(worker)
        if known is None or known.lease != LEASE_SIZED:
            return None
        with self._transaction() as now:
            nanos = reclaiming.reclaim(self.connection, self._changes, self._book, (worker, known.epoch), now)
            self._journal.close_batch(now)
        self._read_workers()
        return nanos

    @property
    def lessees(self) -> list[int]:
        """The workers that have a sized lease."""
        return [worker for worker, one in self._workers.items() if one.lease == LEASE_SIZED]

    def away(self) -> dict[int, Instant]:
        """The nodes that are away and not given up, and since which hour."""
        epochs = {worker: one.epoch for worker, one in self._workers.items() if one.lease == LEASE_AWAY}
        since = {worker: self._book.reclaimed_at(worker, epoch) for worker, epoch in epochs.items()}
        self.connection.rollback()
        return since

    def ready(self, message: Ready) -> Iterator[View | Lease] | Refusal:
        """What a worker needs to spend, once its earlier epochs are reported; from here on those are closed.

        What they left open without a word goes to suspense: their worker is dead, so nobody else will ever tell.
        """
        worker = self._workers.get(message.worker)
        if worker is None or worker.epoch != message.epoch:
            return life_is_over(message.worker, message.epoch)
        lease = LEASE_SIZED if message.of > 1 else LEASE_EARLY if message.early else LEASE_WHOLE
        refusal = unfit(self._workers, message.worker, lease)
        if refusal is not None:
            return refusal
        leased_delta = self._last_delta
        with self._transaction() as now:
            values = {"ready_at": now, "applied_delta": leased_delta, "lease": lease}
            if lease != LEASE_EARLY:
                values["closed_epoch"] = message.epoch
            reclaiming.note_worker(self.connection, message.worker, **values)
            worker.lease = lease
            again = None if lease == LEASE_EARLY else self._close_earlier(worker, message.worker, now)
            self._journal.close_batch(now)
        self._publish(again)
        self._lending.forget()
        worker.ready_at = now
        worker.applied_delta = leased_delta
        self.loans.untold.discard(message.worker)
        return leasing.ready_parts(self.connection, leased_delta, now, message.of, with_expired=message.early)

    def caught_up(self, message: CaughtUp) -> Refusal | None:
        """A worker that was READY early has reported its earlier epochs: what would have followed at READY follows now."""
        worker = self._workers.get(message.worker)
        if worker is None or worker.epoch != message.epoch:
            return life_is_over(message.worker, message.epoch)
        if worker.lease != LEASE_EARLY or worker.ready_at is None:
            return None
        with self._transaction() as now:
            reclaiming.note_worker(self.connection, message.worker, lease=LEASE_WHOLE, closed_epoch=message.epoch)
            worker.lease = LEASE_WHOLE
            again = self._close_earlier(worker, message.worker, now)
            self._journal.close_batch(now)
        self._publish(again)
        return None

    def _close_earlier(self, worker: KnownWorker, number: int, now: Instant) -> Delta | None:
        """What earlier lives left open goes to suspense, and what they were lent to the ledger. What they were asked for is asked again."""
        worker.closed_epoch = worker.epoch
        self._lapse_earlier(number, worker.epoch, now)
        self._book.end(number, worker.epoch)
        self._claims.end(number, worker.epoch, self._given_up)
        recalling.end_spent(self.connection, now)
        if worker.lease == LEASE_SIZED:
            self._mirror.begin_lease(number)
            return None if self._leased else self._alone("ready", charging.collect, now)
        return self._store_delta(charging.asked_again(self.connection, self._mirror.left, self._last_delta + 1), now)

    def _lapse_earlier(self, worker: int, epoch: int, now: Instant) -> None:
        self._changes.batch = FoldBatch()
        reclaiming.lapse_earlier(self._changes, worker, epoch, now)
        self._changes.batch.write(self.connection, self._mirror, now)

    def want(
        self, message: Want, asked: frozenset[int] = frozenset(), *, sparing: bool = False
    ) -> Lent | Lacking | set[int] | None:
        """What a worker is lent for what it wants, durable, or the workers that shall return something first.

        Those that were `asked` did, or are away. `sparing`: nothing beyond what calls need, for others wait. None: a life that is over.
        """
        if not self._is_lessee(message):
            return None
        if (met := self.met(message)) is not None:
            return met
        at = message.at or self.now()
        plan = self._lending.plan(message, at, sparing=sparing)
        if not plan.suffices and self._free_outlived(message, at):
            plan = self._lending.plan(message, at, sparing=sparing)
        holders = plan.holders - asked  # also where it suffices: of a wallet that comes first others may have something
        if holders or not plan.suffices:
            answer = holders or self._lending.lacking(message, at)
            self.connection.rollback()
            return answer
        with self._transaction() as now:
            self._book.move(message.worker, message.epoch, message.number, plan.parts)
            self._journal.close_batch(now)
        self.loans.lent(self.last_seq)
        return self._lending.lent(message, plan.parts, at)

    def lend(self, messages: Sequence[Want], *, sparing: bool) -> dict[int, Lent]:
        """By number, what one life is lent for new wants of it, durable in one transaction, as far as nobody need be asked for it."""
        with self._transaction() as now:
            met = self._lending.lend([one for one in messages if self._is_lessee(one)], now, sparing=sparing)
            self._journal.close_batch(now)
        self.loans.lent(self.last_seq if met else 0)
        return {one.number: self._lending.lent(one, parts, at) for one, parts, at in met}

    def _free_outlived(self, message: Want, at: Instant) -> bool:
        """Whether nodes that are away had shares of windows that began since: they are free. It is for their next lives to come back."""
        freed = self._lending.outlived(message, min(at, self.now()), self.away()) if message.limits else {}
        if freed:
            with self._transaction() as now:
                for worker, limit_ids in freed.items():
                    self._book.free(worker, self._workers[worker].epoch, limit_ids)
                self._journal.close_batch(now)
        return bool(freed)

    def met(self, message: Want) -> Lent | None:
        """What was lent for a want that is said again, if it was met."""
        seq, known = self._book.lent(message.worker, message.epoch, message.number) if message.again else (0, None)
        met = None if known is None else self._lending.lent(message, known, message.at or self.now())
        self.connection.rollback()
        self.loans.lent(seq)  # whoever lent it may have failed before that was noted
        return met if self._is_lessee(message) else None

    def claim(self, messages: Sequence[Claim], peers: Container[int]) -> list[ClaimAnswer]:
        """Which calls that their clients named a worker may send, durable. None of a life that is over is answered."""
        with self._transaction():
            living = [one for one in messages if self._is_lessee(one)]
            return self._claims.answer(living, self._workers, self._given_up, peers)

    def _is_lessee(self, message: Want | Claim) -> bool:
        """Whether it is of a life that may spend, and has a sized lease."""
        one = self._workers.get(message.worker)
        return one is not None and (one.epoch, one.lease) == (message.epoch, LEASE_SIZED) and one.ready_at is not None

    def resign(self, message: Resign) -> bool:
        """A life ended in order: the lease is back, and what is still asked for the ledger gives by itself. Whether it is heeded.

        Not from a life that is over or that has open holds: its next life says what became of them. Of those in suspense it has told all.
        """
        worker = self._workers.get(message.worker)
        if worker is None or worker.epoch != message.epoch or worker.lease == LEASE_EARLY:
            return False
        if reclaiming.left_open(self._mirror, message.worker, message.epoch + 1):
            return False
        with self._transaction() as now:
            reclaiming.note_worker(self.connection, message.worker, ready_at=None, resigned_at=now, lease=LEASE_NONE)
            self._book.end(message.worker, message.epoch)
            self._claims.end(message.worker, message.epoch + 1, self._given_up)
            worker.ready_at, worker.lease, worker.resigned = None, LEASE_NONE, True
            delta = None if self._leased else self._alone("resign", charging.collect, now)
            self._journal.close_batch(now)
        self._publish(delta)
        self._lending.forget()
        return True

    def _tell_denials(self) -> None:
        """Once after an update: a ledger of an earlier release stores otherwise whom denials name."""
        if not is_told(self.connection):
            with self._transaction() as now:
                delta = self._alone("open", tell_denials, now)
            self._publish(delta)
        self.connection.rollback()

    def _alone(self, cause: str, does: Callable[[UnitOfWork], None], now: Instant) -> Delta | None:
        """What the ledger does without a command, inside a transaction: its delta is stored and not published yet."""
        work = UnitOfWork(
            self.connection, self._changes, now=now, command_id=f"{cause}-{now}", random_bits=self.random_bits,
            leases=self._book,
        )  # fmt: skip
        does(work)
        work.write()
        return self._store_delta(work.delta(self._last_delta + 1), now)

    def missed_deltas(self, worker: int, after: int) -> list[Delta]:
        """What a worker that goes on in its life has not applied yet."""
        deltas = schema.deltas.c
        rows = self.connection.scalars(select(deltas.body).where(deltas.number > after).order_by(deltas.number)).all()
        self.connection.rollback()
        known = self._workers.get(worker)
        return (
            [msgspec.msgpack.decode(body, type=Delta) for body in rows] if known and known.ready_at is not None else []
        )

    def applied(self, message: Applied) -> None:
        """A worker spends by that delta from now on. Kept in memory: a worker says its last one in every HELLO."""
        worker = self._workers.get(message.worker)
        if worker is not None:
            worker.applied_delta = max(worker.applied_delta, message.number)

    def keys_used(self, message: KeysUsed) -> None:
        """When keys were used last, to the hour. No money hangs on it, so it is no part of the journal."""
        note_keys_used(self.connection, message.key_ids, message.used_at)

    def report(self, message: Report) -> Ack | Refusal:
        """The worker's blocks folded and durable, or refused with nothing applied."""
        worker = self._workers.get(message.worker)
        at = (message.worker, message.epoch)
        if (
            worker is None or at not in self._folded or at in self._given_up or worker.lease == LEASE_AWAY
            or message.epoch < worker.closed_epoch
        ):  # fmt: skip
            return life_is_over(message.worker, message.epoch)
        self.recalls_answered, self.returned = False, set()
        try:
            with self._transaction() as now:
                first = self._folded[at]
                lent = self.loans.lend(message, first, self._book, self._mirror)
                folded = self._fold.apply(message.worker, message.epoch, message.blocks, first, now)
                if folded > first:
                    tapes = schema.tapes
                    self.connection.execute(
                        update(tapes)
                        .where(tapes.c.worker == message.worker, tapes.c.epoch == message.epoch)
                        .values(folded_sequence=folded)
                    )
                self._claims.folded(self._fold.named)
                delta = self._book_gives(message, now)
                self.loans.take_back(message, lent, self._book, self._mirror)
                self._journal.close_batch(now, (message.worker, message.epoch, first + 1, folded))
        except FoldHalt as halt:
            return self._halted(message, halt)
        self._publish(delta)
        self.recalls_answered = self._lending.noted(bool(self._fold.gives or self._fold.answered))
        self.returned = self._fold.returned
        self._folded[at] = folded
        if worker.halt_reason:
            self._note_halt(message.worker, "")
        return Ack(epoch=message.epoch, sequence=folded)

    def _book_gives(self, message: Report, now: Instant) -> Delta | None:
        """What a report gave back of leased lots goes where it was asked for, in the report's own transaction."""
        fold = self._fold
        is_over = message.epoch < self._workers[message.worker].epoch or self.loans.has(message.worker, message.epoch)
        returns = self._book.capped(message.worker, fold.returns) if is_over else fold.returns
        if returns:
            self._book.note(message.worker, message.epoch, 0, returns)
        if fold.answered:
            recalling.note_answers(self.connection, fold.answered, message.worker)
            return self._alone("fold", charging.collect, now)
        return self._alone("fold", lambda work: charging.book(work, fold.gives), now) if fold.gives else None

    def open_sequences(self, worker: int, epoch: int) -> set[int]:
        """Sequences of that epoch's holds that are not ended: a tape segment with one of them is not deleted."""
        keys = (hold_key(number) for number in self._mirror.holds)
        return {key.sequence for key in keys if key.worker == worker and key.epoch == epoch}

    @property
    def last_seq(self) -> int:
        """The newest row of the journal."""
        return self._journal.next_seq - 1

    def open_raises(self) -> dict[tuple[int, Instant], int]:
        """By limit and counter: what calls that have not ended raised it by."""
        return self._mirror.open_raises()

    def holds_in_suspense(self) -> list[OpenHold]:
        """Attempts whose fate is being found out."""
        return [hold for hold in self._mirror.holds.values() if hold.lapsed_at is not None]

    def folded_sequence(self, worker: int, epoch: int) -> int:
        """The last record of that epoch in the ledger; 0 for none."""
        return self._folded.get((worker, epoch), 0)

    # ---- the ledger itself ----------------------------------------------------------------------------

    def status(self) -> StatusReply:
        """Where everything stands."""
        workers = worker_values(self._workers, self._mirror, self._book, self._folded)
        self.connection.rollback()
        return StatusReply(values=standing(self._journal, self._mirror, self._last_delta, workers))

    def housekeep(self) -> Reply | None:
        """The age rule of law 4, when somebody's suspense is due. Safe to call at any time and any number of times (law 9)."""
        now = self.now()
        due = any(is_due(hold, now) for hold in self._mirror.holds.values())
        return self.execute(Command(id=f"housekeep-{now}", name="suspense.decide", arguments={})) if due else None

    def refill(self) -> Reply | None:
        """Standing top-ups that are due, granted. None while the last ones are on their way: what is left is not known until then."""
        if self.delivery(self._refill_delta) == PENDING:
            return None
        now = self.now()
        is_due = bool(refilling.due(self.connection, now))
        self.connection.rollback()
        if not is_due:
            return None
        reply = self.execute(Command(id=f"refill-{now}", name="refill.run", arguments={}))
        self._refill_delta = self._last_delta
        return reply

    def roll_up(self, limit: int = SLICE_SETTLEMENTS) -> int:
        """The next settlements summed for pay runs (store/rollups.py); how many there were. Safe at any time, any number of times."""
        return self._sum_up(self._roll_ups.spend, limit)

    def roll_up_usage(self, limit: int = USAGE_SLICE_SETTLEMENTS) -> int:
        """The same for usage reports (store/usage_rollups.py)."""
        return self._sum_up(self._roll_ups.usage, limit)

    def _sum_up(self, following: Following, limit: int) -> int:
        if not following.lacks(self.last_seq):
            return 0
        with self._transaction():
            count = following.next(limit)
        following.came_through(self.last_seq, is_all=count < limit)
        self.connection.rollback()
        return count

    def now(self) -> Instant:
        """The clock, never before what was recorded last."""
        return max(self._clock(), self._last_at)

    def _begin_epoch(self, message: Hello, epoch: int) -> None:
        row = {
            "epoch": epoch, "boot_id": message.boot_id, "ready_at": None, "applied_delta": 0, "halt_reason": "",
            "resigned_at": None,
        }  # fmt: skip
        with self._transaction() as now:
            statement = insert_into(self.connection, schema.workers).values(worker=message.worker, hello_at=now, **row)
            self.connection.execute(
                statement.on_conflict_do_update(index_elements=["worker"], set_={"hello_at": now, **row})
            )
            self.connection.execute(schema.tapes.insert().values(worker=message.worker, epoch=epoch, folded_sequence=0))
        known = self._workers.get(message.worker)
        lease, closed = (LEASE_NONE, 0) if known is None else (known.lease, known.closed_epoch)
        self._workers[message.worker] = KnownWorker(epoch, message.boot_id, None, 0, "", lease, closed_epoch=closed)
        self._folded[message.worker, epoch] = 0

    def epoch_of(self, worker: int) -> int:
        """The number of that worker's present life; 0 for one that never was."""
        known = self._workers.get(worker)
        return known.epoch if known else 0

    def known(self, worker: int) -> KnownWorker | None:
        """What is known of that worker; None of one that never was."""
        return self._workers.get(worker)

    def learn_life(self, worker: int, epoch: int, boot_id: bytes, *, is_lent: bool = False) -> None:
        """A life that this ledger does not know, because it was restored from a copy that is older (services/restoring.py).

        Was it lent to by the ledger that is lost, its worker has a sized lease of nothing: what its tape takes is lent as it is told.
        """
        self._begin_epoch(Hello(version=PROTOCOL_VERSION, worker=worker, epoch=0, boot_id=boot_id, last_delta=0), epoch)
        if is_lent:
            with self._transaction() as now:
                self._book.end(worker, epoch)
                reclaiming.note_worker(self.connection, worker, lease=LEASE_SIZED)
                self._journal.close_batch(now)
            self._reload()

    def _halted(self, message: Report, halt: FoldHalt) -> Refusal:
        self.loans.untold.discard(message.worker)  # it cannot tell, and others need not wait for it
        self._note_halt(message.worker, halt.reason)
        return Refusal(halt.reason, f"fold of worker {message.worker} epoch {message.epoch} halted: {halt}")

    def _note_halt(self, worker: int, reason: str) -> None:
        with self.connection.begin():
            table = schema.workers
            self.connection.execute(update(table).where(table.c.worker == worker).values(halt_reason=reason))
        self._workers[worker].halt_reason = reason

    @contextmanager
    def _transaction(self) -> Iterator[Instant]:
        """One transaction; whatever is raised inside leaves rows, mirror and journal as they were."""
        self.connection.rollback()
        now = self.now()
        try:
            with self.connection.begin():
                yield now
        except BaseException:
            self._reload()
            raise
        self._last_at = now

    def _reload(self) -> None:
        """Everything in memory from the committed rows."""
        connection = self.connection
        self._journal.reload()
        self._mirror.load(connection)
        self._book.load()
        self._claims.load()
        self._lending.forget()
        self._changes.cycles.reload(connection)
        self._last_at = self._journal.last_closed_at()
        self._roll_ups.reload()
        self._last_delta = connection.scalar(select(func.max(schema.deltas.c.number))) or 0
        self._read_workers()
        connection.rollback()

    def _read_workers(self) -> None:
        self._workers = known_workers(self.connection, self._workers)
        tapes = self.connection.execute(select(schema.tapes))
        self._folded = {(row.worker, row.epoch): row.folded_sequence for row in tapes}
        nodes = [worker for worker in self._workers if worker >= NODE_WORKER_MIN]
        over = {worker: self._book.given_up_to(worker) for worker in nodes}
        self._given_up = {at for at in self._folded if at[1] <= over.get(at[0], 0)}
        self.connection.rollback()
