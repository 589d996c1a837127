"""One run: a company, its ledger, a worker and a provider in one process, and a seed that decides what happens and what goes wrong.

First the world is unsafe, at the rates of the run; then the faults stop, and everything must come to its end. An event is one turn of
some process: a callback, a frame, an answer, a fault. After each the judge looks.
"""

import asyncio
import contextlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.empty_ledger import sqlite_connection
from tests.ledger_kit import new_ledger
from tests.postgresql_kit import Choice
from tests.simulator import company
from tests.simulator.company import (
    ADA,
    BO,
    NAMES,
    NIGHTLY,
    OVERAGES_NANOS,
    POOL,
    SECRETS,
    START,
    Door,
    Killed,
    LedgerProcess,
    Provider,
    Statements,
)
from tests.simulator.denials import Denials
from tests.simulator.gateway import Worker
from tests.simulator.judging import Judge
from tests.simulator.ports import Agenda, Died, Event, FaultyDisk, Host, Loop, Wire
from tests.simulator.rates import DAY, HOUR, SECOND, Rates, calm, drawn
from tests.simulator.reference import Violation, must
from tokenroll.model.limits import TAPE_SEGMENT_BYTES_MAX
from tokenroll.services.ledger import Ledger
from tokenroll.services.ledger_server import LedgerConnection
from tokenroll.services.protocol import Command, FrameReader, Report, Want
from tokenroll.services.restoring import CopyTooOldError, learn_lives
from tokenroll.services.worker_link import EARLY_RECORDS_MIN
from tokenroll.store import tape as tapes
from tokenroll.store.lease_book import LEASE_EARLY, LEASE_SIZED
from tokenroll.store.tape import worker_directory

EVENTS = 4_000
REST_EVENTS_MAX = 8_000
"""With several workers ten times as many: calls that wait for what others hold ask for it again and again."""
WAIT_EVENTS_MAX = 240
"""And for each call that waits then: twenty times a second for six seconds at most, a timer and a try."""
RESTART_MICROS = 300_000


class Universe:
    """Everything, and what may happen to it."""

    def __init__(self, seed: int, folder: Path, rates: Rates | None = None) -> None:
        self.rng = random.Random(seed)
        self.ids = random.Random(seed)
        self.rates = self.rates_were = rates or drawn(self.rng)
        self.early_records_min = EARLY_RECORDS_MIN if seed % 3 == 0 or self.rates.lost_syncs else 1
        """In most runs a life begins before what its earlier ones wrote is folded. Not below a disk that lies: what it forgets of an
        earlier life may be credits that the next one has used since, which the fold says and halts at (docs/faults.md)."""
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        if (
            not self.rates.lost_syncs
        ):  # below a disk that lies, a life of several segments may be one that nobody can read, which is said
            tapes.TAPE_SEGMENT_BYTES_MAX = self.rng.choice((TAPE_SEGMENT_BYTES_MAX, 30_000, 5_000))  # type: ignore[attr-defined]
        self.agenda = Agenda(START)
        self.connection = company.connect()
        self.ledger_host = Host(self.agenda)
        count = self.rng.randint(1, self.rates.workers_max)
        self.hosts = [Host(self.agenda) for _ in range(count)]
        self.disks = [FaultyDisk(self.rng, self.rates) for _ in range(count)]
        self.directories = [worker_directory(folder, number) for number in range(count)]
        self.pool = POOL
        self.overage_nanos = random.Random(seed).choice(OVERAGES_NANOS) if seed % 4 == 3 else 0
        """What every plan of this run lets the company carry above a wallet; nothing in most runs."""
        self.keys = dict(SECRETS)
        self.wallet_of_member = {1: ADA, 2: BO, 3: NIGHTLY}
        self.granted = 0
        self.faults = self.calls = 0
        self.answers: dict[str, int] = {}
        self.estimated: set[int] = set()
        self.partition_until = 0
        self.readies: dict[int, int] = {}
        """By worker: how often a life of it was ready."""
        self.are_several = count > 1
        self.provider = Provider(self)
        self.denials = Denials(self)
        self.judge = Judge(self)
        self.door = Door(self)
        self.process: LedgerProcess | None = LedgerProcess(self)
        self.workers: list[Worker | None] = [None] * count
        self._copy: Any = None
        self._endow()
        self.judge.look()
        for number in range(count):
            self._start_worker(number)
        self._plan()

    # ---- who is there ----------------------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        """The one that lives, or the last one that did."""
        return self._ledger if self.process is None else self.process.ledger

    @property
    def ledger_at(self) -> int:
        """The latest instant that the ledger can know of."""
        return self.ledger.now()

    @property
    def is_leased(self) -> bool:
        """Whether a worker alone knows what is left of lots."""
        return self.ledger._leased

    def epoch_of(self, number: int) -> int:
        """The newest life that the ledger knows of."""
        known = self.ledger._workers.get(number)
        return 0 if known is None else known.epoch

    def is_early(self, number: int) -> bool:
        """Whether what that worker's earlier lives wrote is still on its way."""
        return self.ledger._workers[number].lease == LEASE_EARLY

    def ready_epochs(self) -> list[tuple[int, int, int]]:
        """The lives that may spend, and how many of that worker were ready with them: one may be ready again after a lost line."""
        return [
            (number, one.epoch, self.readies.get(number, 0))
            for number, one in self.ledger._workers.items()
            if one.ready_at is not None
        ]

    def ready_at(self, number: int) -> int:
        """Since when that worker's present life may spend, by the ledger's clock; 0 for one that may not."""
        return self.ledger._workers[number].ready_at or 0

    def leases(self) -> dict[int, tuple[int, int]]:
        """By worker that was lent what it spends: in which life, and as the how manieth. It is over when a life is ready after it, or it resigned."""
        sized = self.judge.books.sized
        found = {
            number: (one.epoch, self.readies.get(number, 0)) if one.ready_at is not None else sized.get(number, (0, 0))
            for number, one in self.ledger._workers.items()
            if one.lease == LEASE_SIZED
        }
        return {number: life for number, life in found.items() if life[0]}

    def dial(self, peer: Any, loop: Loop) -> Wire | None:
        """A connection to the ledger; None: nobody answers."""
        process = self.process
        if process is None or self.agenda.now < self.partition_until:
            return None
        wire = Wire(
            self.agenda, self.rng, self.rates, LedgerConnection(process.server), process.loop, peer, loop,
            lambda: Statements.is_killed, self.denials.overhear,
        )  # fmt: skip
        process.wires = [one for one in process.wires if one.is_up or one.is_down]
        process.wires.append(wire)
        return wire

    def _endow(self) -> None:
        """What everybody has on the first day."""
        assert self.process is not None
        for wallet, most in ((ADA, 4_000_000_000), (BO, 600_000_000), (POOL, 1_500_000_000)):
            for part in range(self.rng.randint(1, 2)):
                plan = company.plan_name(
                    "tools" if wallet == POOL else self.rng.choice(tuple(company.PLANS)), self.overage_nanos
                )
                arguments = {"to": NAMES[wallet], "plan": plan, "amount_nanos": self.rng.randint(4, most)}
                reply = self.process.ledger.execute(
                    Command(id=f"first {wallet} {part}", name="grant.create", arguments=arguments)
                )
                assert reply.result is not None, reply.problem
                self.door.grants.append(reply.result["grant"])
                self.door.done.append((Command(id="", name="grant.create", arguments=arguments), reply.result))
        self.process.ledger.take_deltas()

    # ---- what happens ----------------------------------------------------------------------------------------

    def _plan(self) -> None:
        """Each kind of thing that happens by itself has its own pace."""
        self._often("calls_every", self._call)
        self.door.wish()
        for name, deed in {
            "jumps_every": self._jump, "retirements_every": self._retire, "worker_kills_every": self._kill_worker, "ledger_kills_every": self.kill_ledger,
            "power_losses_every": self._lose_power, "cuts_every": self._cut, "partitions_every": self._part,
            "stalls_every": self._stall, "skews_every": self._skew, "restores_every": self._restore,
            "echoes_every": self._echo,
        }.items():  # fmt: skip
            self._often(name, deed)

    def _often(self, name: str, deed: Callable[[], None]) -> None:
        def happens() -> None:
            every = getattr(self.rates, name)
            if every:
                self.faults += name != "calls_every"
                deed()
                self.agenda.after(int(self.rng.expovariate(1) * every), happens)

        if getattr(self.rates, name):
            self.agenda.after(int(self.rng.expovariate(1) * getattr(self.rates, name)), happens)

    def step(self) -> None:
        """The next event, and the judge's look at what came of it."""
        event = self.agenda.next()
        must(event is not None, "nothing will ever happen again")
        assert event is not None
        loop = event.loop
        process = self.process
        is_ledgers = process is not None and loop is process.loop
        if is_ledgers and self.rates.statement_deaths and self.rng.random() < self.rates.statement_deaths:
            Statements.left = self.rng.randint(0, 40)
        self._happen(event, loop)
        if is_ledgers and self.process is process:
            if Statements.is_killed:
                self.kill_ledger()
            else:
                Statements.spare()
                self.judge.look()

    @staticmethod
    def _happen(event: Event, loop: Loop | None) -> None:
        assert event.callback is not None
        asyncio._set_running_loop(loop)  # type: ignore[arg-type]
        try:
            event.callback(*event.arguments)
        except Killed:
            pass
        except Died:
            assert loop is not None
            loop.dies()
        finally:
            asyncio._set_running_loop(None)

    def _call(self) -> None:
        """Somebody calls, mostly for little."""
        rng = self.rng
        worker = self.workers[rng.randrange(len(self.workers))]
        if worker is None or worker.loop.stalled_until > self.agenda.now:
            return
        number = rng.choice(tuple(self.keys))
        secret, wallet = self.keys[number]
        client = ""
        if rng.random() < self.rates.repeats:
            client = f"client {rng.randint(1, 30)}"
        sizes = rng.randint(0, 3_000), rng.choice((1, 100, 100, 1_000, 4_000))
        self.calls += 1
        self.within(worker, worker.call, (number, secret, wallet), *sizes, client)
        if client and rng.random() < 0.5:  # it is impatient, and asks others, too
            for other in self.workers:
                if other is not None and other is not worker and other.loop.stalled_until <= self.agenda.now:
                    self.within(other, other.call, (number, secret, wallet), *sizes, client)

    def told(self, answer: str) -> None:
        """What a client was told."""
        self.answers[answer] = self.answers.get(answer, 0) + 1

    def within(self, worker: Worker, deed: Callable[..., object], *arguments: object) -> None:
        """A deed of a worker's process, which may die of it."""
        self._happen(Event(deed, arguments, worker.loop), worker.loop)

    # ---- what goes wrong -------------------------------------------------------------------------------------

    def _start_worker(self, number: int) -> None:
        if self.workers[number] is None:
            worker = self.workers[number] = Worker(self, number)
            worker.loop.dies = lambda: self._bury(worker)

    def _bury(self, worker: Worker) -> None:
        """Its process is gone; another one is started a little later."""
        if self.workers[worker.number] is worker:
            worker.die()
            self.workers[worker.number] = None
            self.agenda.after(RESTART_MICROS, self._start_worker, worker.number)

    def ends(self, worker: Worker, _why: str) -> None:
        """The process ends by itself: it may not go on."""
        worker.is_open = False
        worker.loop.call_later(0.05, self._bury, worker)

    def _kill_worker(self) -> None:
        worker = self.rng.choice(self.workers)
        if worker is not None:
            self._bury(worker)

    def _retire(self) -> None:
        worker = self.rng.choice(self.workers)
        if worker is not None and worker.is_open:
            worker.is_open = False
            self.within(worker, worker.retire)

    def kill_ledger(self) -> None:
        """Its process is gone, what was committed stays, and it is started again."""
        process = self.process
        if process is None:
            return
        self._ledger = process.ledger
        process.die()
        self.process = None
        Statements.spare()
        self.connection.rollback()
        if not Choice.postgresql:  # also a transaction that was begun when it died, and that SQLAlchemy does not know
            sqlite_connection(self.connection).rollback()
        self.agenda.after(RESTART_MICROS, self._start_ledger)

    def _start_ledger(self) -> None:
        if self.process is None:
            self.process = LedgerProcess(self)
            self.judge.look()

    def _lose_power(self) -> None:
        """A host goes dark: a worker's, and half of the time it is the ledger's as well."""
        number = self.rng.randrange(len(self.hosts))
        worker = self.workers[number]
        if worker is not None:
            self._bury(worker)
        if self.rng.random() < 0.5:
            self.kill_ledger()
        self.disks[number].lose_power()
        self.hosts[number].boots += 1
        self.judge.power_lost(number)

    def _wires(self) -> list[Wire]:
        return [] if self.process is None else [one for one in self.process.wires if one.is_up and one.is_down]

    def _cut(self) -> None:
        wires = self._wires()
        if wires:
            self.rng.choice(wires).cut()

    def _part(self) -> None:
        """Nobody reaches the ledger for a while; some connections live through it, and what was said then is heard after it."""
        self.partition_until = self.agenda.now + int(self.rng.expovariate(1) * 5 * SECOND)
        for wire in self._wires():
            if self.rng.random() < 0.5:
                wire.held_until = self.partition_until
            else:
                wire.cut()

    def _stall(self) -> None:
        """A process stands still, and wakes as if nothing had happened."""
        worker = self.rng.choice(self.workers)
        loop = (
            self.process.loop
            if self.process is not None and self.rng.random() < 0.5
            else worker.loop
            if worker is not None
            else None
        )
        if loop is not None:
            loop.stalled_until = max(loop.stalled_until, self.agenda.now + int(self.rng.expovariate(1) * 10 * SECOND))

    def _echo(self) -> None:
        """A report is heard on a line of its own, whoever said it and however long ago."""
        process = self.process
        if self.agenda.said and process is not None:
            self.agenda.after(0, self._hear_again, process, self.rng.choice(self.agenda.said), loop=process.loop)

    def _hear_again(self, process: LedgerProcess, frame: bytes) -> None:
        """On a line of nobody, or, while every worker's life is ready, on one that belonged to a worker.

        A want of a life that goes on is heard by no line twice: only what was met already is said again.
        """
        if self.process is not process:
            return
        line = LedgerConnection(process.server)
        (message,) = FrameReader().feed(frame)
        assert isinstance(message, Report | Want)
        are_ready = len(self.ready_epochs()) == len(self.workers)
        is_over = isinstance(message, Report) or message.epoch != self.epoch_of(message.worker)
        if are_ready and is_over and self.rng.random() < 0.5:
            line.worker = message.worker
        line.data_received(frame)

    def _skew(self) -> None:
        """Somebody sets a clock, by seconds or by hours, forwards or back."""
        host = self.rng.choice([*self.hosts, self.ledger_host])
        host.skew = self.rng.choice((0, self.rng.randint(-5, 5) * SECOND, self.rng.randint(-3, 3) * HOUR))

    def _jump(self) -> None:
        """Hours in which nobody calls."""
        self.agenda.now += int(self.rng.expovariate(1) * 20 * HOUR)

    def _restore(self) -> None:
        """The ledger comes back as it was some time ago, if only folds are missing since."""
        if Choice.postgresql or self.process is None:
            return
        marks = self._marks()
        if self._copy is None or self._copy[0] != marks:
            raw = company.copied(self.connection)
            self._copy = (marks, raw, self.judge.remember())
            return
        self.kill_ledger()
        present, known = company.copied(self.connection), self.judge.remember()
        self._put_back(self._copy[1], self._copy[2])
        try:
            learn_lives(new_ledger(self.connection, self.ledger_host.clock), self.folder)
        except CopyTooOldError:  # it says so and does not start: a newer one is put in its place
            self._put_back(present, known)
            return
        for worker in self.workers:
            if worker is not None:
                self._bury(worker)

    def _put_back(self, copy: Any, known: tuple[Any, ...]) -> None:
        copy.backup(sqlite_connection(self.connection))
        self.connection.rollback()
        self.judge.recall(known)

    def _marks(self) -> tuple[Any, ...]:
        """What must not have changed since a copy was taken: commands, lives, what was given to recalls, and which tapes are deleted."""
        rows = company.rows_of(self.connection, "SELECT count(*), coalesce(max(delta), 0) FROM commands")
        workers = company.rows_of(self.connection, "SELECT worker, epoch, ready_at FROM workers ORDER BY worker")
        deleted = company.rows_of(self.connection, "SELECT count(*) FROM tape_segments")
        gives = company.rows_of(self.connection, "SELECT count(*) FROM recall_gives")
        loans = company.rows_of(self.connection, "SELECT count(*) FROM lease_moves WHERE number > 0")
        self.connection.rollback()
        return (rows, workers, deleted, gives, loans)

    # ---- the end ---------------------------------------------------------------------------------------------

    def rest(self) -> None:
        """Faults stop; within a bounded number of events everything must have come to its end (I11)."""
        self.rates = calm(self.rates_were)
        for disk in self.disks:
            disk.rates = self.rates
        self.partition_until = 0
        for wire in self._wires():
            wire.held_until = 0
        self.rates.calls_every = 0
        waiting = sum(len(one.waiting) for one in self.workers if one is not None)
        until = self.agenda.events + REST_EVENTS_MAX * (10 if self.are_several else 1) + WAIT_EVENTS_MAX * waiting
        while not self._is_quiet():
            must(
                self.agenda.events < until,
                "the faults stopped, and the world does not come to rest: %s",
                self._unrest(),
            )
            self.step()

    def _is_quiet(self) -> bool:
        process = self.process
        if process is None or self.door.asked is not None or self.agenda.now < self.partition_until:
            return False
        for worker in self.workers:
            if (
                worker is None
                or not worker.is_open
                or worker.waiting
                or worker.wants_something
                or worker.spending.open_holds
                or worker.tape.has_pending
                or worker.loop.is_dead
            ):
                return False
            if (
                worker.core.acked_sequence != worker.tape.next_sequence - 1
                or worker.core.last_delta != process.ledger.last_delta
            ):
                return False
            if process.ledger.folded_sequence(worker.number, worker.epoch) != worker.tape.next_sequence - 1:
                return False
        return not any(self.is_early(number) for number, *_ in self.ready_epochs())

    def _unrest(self) -> str:
        return ", ".join(
            "no process" if one is None
            else f"epoch {one.epoch}, open {one.is_open}, halt {one.core.halt}, acked {one.core.acked_sequence}"
            for one in self.workers
        )  # fmt: skip

    def finish(self) -> None:
        """Liveness, the provider's bill, and days later nothing in suspense."""
        self.rest()
        judge = self.judge
        judge.look()
        judge.agree()
        judge.bill()
        judge.verify()
        judge.no_claim_is_left()
        judge.must_be_spendable()
        self.door.differences.clear()
        rows = list(self.provider.bill.values())
        for start in range(0, len(rows), 300):
            self.door.ask("reconcile", rows=rows[start : start + 300])
            self.rest()
        judge.look()
        judge.bill()
        judge.must_agree_with_the_bill(self.door.differences)
        must(
            not [hold for hold in judge.books.holds.values() if hold.call in self.provider.bill],
            "a billed call is still in suspense",
        )
        self.agenda.now += 4 * DAY
        while judge.books.holds:
            assert self.process is not None
            self.process.chores()
            judge.look()
            must(len(judge.books.holds) == 0, "suspense outlives its age: %d", len(judge.books.holds))
        self.rest()
        if self.are_several:
            self._lie_idle()
        judge.agree()
        judge.verify()
        judge.all_is_somewhere()

    def _lie_idle(self) -> None:
        """Nobody calls, and what was lent comes back by itself."""
        for _ in range(3):
            looks = [one.idle_looks for one in self.workers if one is not None]
            self.agenda.now += 31 * SECOND
            while any(
                one is not None and one.idle_looks <= before for one, before in zip(self.workers, looks, strict=True)
            ):
                self.step()
            self.rest()

    def close(self) -> None:
        """Nothing of it is left."""
        tapes.TAPE_SEGMENT_BYTES_MAX = TAPE_SEGMENT_BYTES_MAX  # type: ignore[attr-defined]
        for disk in self.disks:
            disk.close_all()
        self.connection.rollback()
        shutil.rmtree(self.folder, ignore_errors=True)


def run(seed: int, folder: Path, *, events: int = EVENTS, rates: Rates | None = None) -> Universe:
    """One run; whatever is wrong is told with the seed and the line that shows it again."""
    world = None
    try:
        world = Universe(seed, folder, rates)
        while world.agenda.events < events:
            world.step()
        world.finish()
    except Exception as error:
        done = 0 if world is None else world.agenda.events
        error.add_note(f"seed {seed}, after {done} events; again: make simulate SEED={seed} EVENTS={events}")
        raise
    finally:
        if world is not None:
            with contextlib.suppress(Exception):
                world.close()
    return world


__all__ = ["EVENTS", "Universe", "Violation", "run"]
