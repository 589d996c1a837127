"""The ledger on a Unix socket: workers and doors come here with the protocol's messages (DESIGN §5).

One loop, one ledger, one message at a time: what is folded, granted and leased has one order because there is one place for it.
"""

import asyncio
import contextlib
import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from tokenroll.services.amounts_desk import AmountsDesk
from tokenroll.services.lease_desk import LeaseDesk
from tokenroll.services.lease_watch import LeaseWatch
from tokenroll.services.ledger import GIVE_UP, PENDING, Ledger
from tokenroll.services.protocol import (
    Ack,
    Applied,
    AskAmounts,
    CaughtUp,
    Claim,
    Claimed,
    Command,
    FrameReader,
    Hello,
    KeysUsed,
    Lease,
    Message,
    ProtocolError,
    Ready,
    Refusal,
    Renew,
    Renewed,
    Reply,
    Report,
    Resign,
    Status,
    StatusReply,
    Want,
    encode,
)
from tokenroll.services.retention import delete_folded_segments
from tokenroll.store.database import is_lost, place_of, storage_problem
from tokenroll.store.limit_counters import delete_old_counters

DELIVERY_SECONDS_MAX: Final = 1.0
"""How long a command waits for the leases' holder before it says `pending`."""

HOUSE_SECONDS: Final = 60
REFILL_SECONDS: Final = 2
"""How soon a wallet that runs low is seen: one look is one query where nobody has a refill."""
RECOVERY_SECONDS: Final = 1.0
"""After so long without a report of a worker's earlier lives, summing goes on: they are waited for by callers, sums are not."""
USAGE_SECONDS: Final = 2
"""How soon ended calls are summed for usage reports, so that few are left for a report to add itself."""
SLICE_CPU_SECONDS: Final = 0.03
SLICE_SECONDS: Final = 0.1
SLICE_SETTLEMENTS_MIN: Final = 250
SLICE_SETTLEMENTS_MAX: Final = 2_000
"""Settlements that are summed in one transaction: twice as many as before where they took no more than so long, half as many where
more. Of the CPU, for a core that is shared makes a slice long, not costly; by the clock, for in PostgreSQL the CPU is the server's."""
SAID_AGAIN_SECONDS: Final = 60
"""How often the same trouble with the disk is told: workers come again several times a second, and a log can fill a disk, too."""

_log = logging.getLogger(__name__)


class LedgerServer:
    """Serves one ledger to any number of connections."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.connections: set[LedgerConnection] = set()
        self.lost = False
        """Whether nobody knows what of the last commit is kept: no more is answered, and whoever serves this reads the ledger anew."""
        self._said: dict[str, float] = {}
        self.leases = LeaseDesk(ledger, self)
        self.amounts = AmountsDesk(ledger)
        self.watch = LeaseWatch(ledger, self._reclaimed)
        self.workers: Callable[[], list[int]] = list
        """The numbers of the workers that there may be, beside the ledger and on nodes: they share what is divided among them.
        Where there is no door for nodes, as many as each says."""
        self._server: asyncio.Server | None = None
        self._path: Path | None = None
        self._chores: asyncio.Task[None] | None = None
        self._refills: asyncio.Task[None] | None = None
        self._usage: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self, path: Path, tape_directory: Path | None = None) -> None:
        """Listens on the socket, which only its owner may use. Whoever has the home's lock may replace a dead one's socket.

        With the workers' `tape_directory` it also keeps house, every minute.
        """
        _make_room(path)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.get_running_loop().create_unix_server(
                lambda: LedgerConnection(self), str(path)
            )
        finally:
            os.umask(before)
        self._path = path
        if tape_directory is not None:
            self._chores = asyncio.get_running_loop().create_task(self._keep_house(tape_directory), name="chores")
            self._refills = asyncio.get_running_loop().create_task(self._keep_refilling(), name="refills")
            self._usage = asyncio.get_running_loop().create_task(self._keep_usage(), name="usage")
            self._watching = asyncio.get_running_loop().create_task(self._keep_watching(), name="leases")

    async def close(self) -> None:
        """No new connections, the open ones ended, the socket removed."""
        for task in (self._chores, self._refills, self._usage, self._watching):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        for connection in tuple(self.connections):
            connection.end()
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    async def _keep_house(self, tape_directory: Path) -> None:
        """The ledger's own chores, now and every minute: suspense that is due, segments and counters that nobody needs.

        A chore that fails is told and tried again a minute later: one odd moment must not end the age rule for good.
        """
        while True:
            try:
                self.watch.give_up()
                self.ledger.housekeep()
                self.publish()
                self.begin_those_who_wait()
                delete_folded_segments(self.ledger, tape_directory)
                await self._roll_up(self.ledger.roll_up)
                delete_old_counters(self.ledger.connection, self.ledger.now())
            except Exception as error:  # noqa: BLE001 - a door: told, and tried again
                self.note_failure(error, "the ledger's chores failed; they are tried again in %d s", HOUSE_SECONDS)
            await asyncio.sleep(HOUSE_SECONDS)

    async def _keep_refilling(self) -> None:
        """Standing top-ups, looked at every moment: who waits for one waits for nobody to wake up."""
        while True:
            try:
                if self.ledger.refill() is not None:
                    self.publish()
            except Exception as error:  # noqa: BLE001 - a door: told, and tried again
                self.note_failure(error, "the refills failed; they are tried again in %d s", REFILL_SECONDS)
            await asyncio.sleep(REFILL_SECONDS)

    async def _keep_usage(self) -> None:
        """What calls consumed, summed soon after they ended: a report reads what is summed, and few calls beyond it."""
        while True:
            try:
                await self._roll_up(self.ledger.roll_up_usage)
            except Exception as error:  # noqa: BLE001 - a door: told, and tried again
                self.note_failure(error, "usage could not be summed; it is tried again in %d s", USAGE_SECONDS)
            await asyncio.sleep(USAGE_SECONDS)

    async def _keep_watching(self) -> None:
        """Leases of nodes that are away, taken back."""
        while True:
            try:
                await self.watch.run()
            except Exception as error:  # noqa: BLE001 - a door: told, and tried again
                self.note_failure(error, "a lease could not be taken back; it is tried again in %d s", REFILL_SECONDS)
            await asyncio.sleep(REFILL_SECONDS)

    def _reclaimed(self, worker: int) -> None:
        """A node that is away has nothing any more: its line says HELLO again if it is one, and nobody waits for it."""
        for connection in tuple(self.connections):
            if connection.worker == worker:
                connection.end()
        self.publish()
        self.leases.ended(worker)
        self.noticed()

    def status(self) -> StatusReply:
        """What the ledger knows of itself, and its watch of leases."""
        reply = self.ledger.status()
        self.watch.told(reply.values["workers"])
        return reply

    async def _roll_up(self, roll_up: Callable[[int], int]) -> None:
        """What was folded summed, a slice at a time, and never for more than a quarter of the time: reports come first.

        A slice is as long as keeps nobody waiting, whatever is in it: calls of few keys are summed ten times as fast as calls of many.
        Nothing while a worker's earlier lives are folded: it serves nobody until then, or the books are far behind.
        """
        limit = SLICE_SETTLEMENTS_MIN
        while not any(one.recovers() for one in self.connections):
            started, started_cpu = time.monotonic(), time.thread_time()
            if not roll_up(limit):
                return
            took, cpu = time.monotonic() - started, time.thread_time() - started_cpu
            if cpu > SLICE_CPU_SECONDS or took > SLICE_SECONDS:
                limit = max(SLICE_SETTLEMENTS_MIN, limit // 2)
            else:
                limit = min(SLICE_SETTLEMENTS_MAX, limit * 2)
            await asyncio.sleep(3 * took)

    def answer(self, command: Command) -> Reply:
        """The ledger's answer. An error that nobody foresaw is an answer too: whoever asked must not be left without one.

        Its transaction was rolled back, so nothing changed; a full or failing disk is told as what it is.
        """
        try:
            return self.ledger.execute(command)
        except Exception as error:  # noqa: BLE001 - a door: logged, and told to whoever asked
            if is_lost(error):
                self.note_failure(error, "what became of command %s is not known", command.name)
                problem = f"{storage_problem(error)}; whether it was done is not known: ask again with the same id, {command.id}"
                return Reply(command.id, problem=problem, problem_kind="storage")
            self.note_failure(error, "command %s failed; nothing was changed", command.name)
            place = place_of(self.ledger.connection)
            trouble = storage_problem(error, place.parent if isinstance(place, Path) else None)
            if trouble:
                return Reply(command.id, problem=f"{trouble}; nothing was changed", problem_kind="storage")
            return Reply(
                command.id, problem=f"the ledger failed inside at {command.name} ({type(error).__name__}); nothing was changed, and "
                "asking again will not help: the ledger's output says where", problem_kind="internal",
            )  # fmt: skip

    def note_failure(self, error: Exception, what: str, *values: object) -> None:
        """A defect with its traceback; trouble with the disk or the database in one line, for there is nothing to look for in the code."""
        self.lost = self.lost or is_lost(error)
        problem = storage_problem(error)
        if not problem:
            _log.error(what, *values, exc_info=error)
            return
        said = f"{what % values}: {problem}"
        now = time.monotonic()
        if now - self._said.get(said, -SAID_AGAIN_SECONDS) >= SAID_AGAIN_SECONDS:
            self._said[said] = now
            _log.warning("%s", said)

    def publish(self) -> None:
        """New deltas to every worker that spends."""
        for delta in self.ledger.take_deltas():
            frame = encode(delta)
            for connection in self.connections:
                if connection.spends:
                    connection.write(frame)

    def begin_those_who_wait(self) -> None:
        """A lease ended or began: who could not be ready beside what others had may be by now."""
        for connection in tuple(self.connections):
            connection.ready_again()
        self.leases.look_again()

    def noticed(self) -> None:
        """A worker applied something: commands that wait for it look again."""
        for connection in tuple(self.connections):
            connection.look_again()


class LedgerConnection(asyncio.Protocol):
    """One peer: a worker or a door, told apart by what it says."""

    def __init__(self, server: LedgerServer) -> None:
        self._server = server
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[str, tuple[Command, asyncio.TimerHandle]] = {}
        self.worker = -1
        self.spends = False
        self._recovered_at = -RECOVERY_SECONDS
        """When it said HELLO, or the last report of its earlier lives was folded, by a clock that only goes on."""
        self._is_early = False
        """Whether it spends already, and what its earlier lives left is still on its way."""
        self._ready_later: Ready | None = None
        self._wants: list[Want] = []
        """Those that came one behind the other are answered together."""
        self._claims: list[Claim] = []
        """What came in one read is claimed in one transaction."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._server.connections.discard(self)
        self._server.leases.left(self)
        self._server.amounts.left(self)
        for _, timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()
        self._transport = None

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                if self._server.lost:
                    self.end()
                    return
                if self._wants and not isinstance(message, Want):
                    self._answer_wants()
                self._handle(message)
            self._answer_wants()
            self._answer_claims()
        except ProtocolError:
            self.end()
        except Exception as error:
            if not storage_problem(error):
                raise
            self._server.note_failure(error, "a message cannot be answered")
            self.end()  # without an answer nothing is done for its sender, who comes again

    def write(self, frame: bytes) -> None:
        """The frame to the peer, if it is still there."""
        if self._transport is not None:
            self._transport.write(frame)

    def say(self, message: Message) -> None:
        """The message to the peer, behind what changed before it."""
        self._server.publish()
        self.write(encode(message))

    def end(self) -> None:
        """The connection closed once what was written is out."""
        if self._transport is not None:
            self._transport.close()

    def recovers(self) -> bool:
        """Whether it is a worker that reports what its earlier lives left. One whose report was refused does not hold others up."""
        return (self._is_early or not self.spends) and time.monotonic() < self._recovered_at + RECOVERY_SECONDS

    def look_again(self) -> None:
        """Answers the commands whose deltas are applied by now."""
        for command, timer in tuple(self._waiting.values()):
            reply = self._server.answer(command)
            if not _pending(reply):
                timer.cancel()
                del self._waiting[command.id]
                self.write(encode(reply))

    def _handle(self, message: Message) -> None:
        ledger = self._server.ledger
        if self.worker >= 0:
            self._server.watch.heard(self.worker)
        if isinstance(message, Report):
            # on the line whose HELLO named the worker: while its next life recovers, any earlier one may be reported
            answer = ledger.report(message) if message.worker == self.worker else _unnamed(message)
            self.write(encode(answer))
            if not isinstance(answer, Ack):
                self._server.leases.look_again()  # others need not wait for what cannot be told
                return
            self._recovered_at = time.monotonic()
            if ledger.recalls_answered:  # first: what they brought may be lent in the next line, and is a new lot
                self._server.publish()
            if ledger.returned:
                self._server.leases.returned(message.worker, ledger.returned)
            self._server.amounts.folded(message.worker)
            if ledger.recalls_answered:
                self._server.noticed()
        elif isinstance(message, Want):
            if message.worker == self.worker:
                self._wants.append(message)
        elif isinstance(message, AskAmounts):
            if message.worker == self.worker:
                self._server.amounts.ask(self, message)
        elif isinstance(message, Claim):
            if message.worker == self.worker:
                self._claims.append(message)
        elif isinstance(message, Renew):
            if self.spends:
                self.write(encode(Renewed(message.number, self._server.watch.seconds)))
        elif isinstance(message, Applied):
            ledger.applied(message)
            self._server.noticed()
        elif isinstance(message, Command):
            self._execute(message)
        elif isinstance(message, Hello):
            self._hello(message)
        elif isinstance(message, Ready):
            self._ready(message)
        elif isinstance(message, CaughtUp):
            self._is_early = False
            refusal = ledger.caught_up(message)
            if refusal is not None:
                self.write(encode(refusal))
            self._server.publish()
            self._server.noticed()
        elif isinstance(message, Resign):
            if message.worker == self.worker:
                self._resigned(message)
        elif isinstance(message, KeysUsed):
            ledger.keys_used(message)
        elif isinstance(message, Status):
            self.write(encode(self._server.status()))
        else:
            raise ProtocolError(f"a {type(message).__name__} is for the ledger to send")

    def _resigned(self, message: Resign) -> None:
        self.spends = False
        is_heeded = self._server.ledger.resign(message)
        self._server.publish()
        if is_heeded:
            self._server.leases.ended(message.worker)
        self._server.noticed()
        self._server.begin_those_who_wait()

    def _answer_wants(self) -> None:
        wants, self._wants = self._wants, []
        if len(wants) == 1:
            self._server.leases.want(self, wants[0])
        elif wants:
            self._server.leases.wants(self, wants)

    def _answer_claims(self) -> None:
        claims, self._claims = self._claims, []
        if claims:
            answers = self._server.ledger.claim(claims, self._server.leases.peers)
            self.write(encode(Claimed(answers)))

    def _hello(self, message: Hello) -> None:
        ledger = self._server.ledger
        answer = ledger.hello(message)
        self.write(encode(answer))
        if isinstance(answer, Refusal):
            return
        self.worker = message.worker
        self._server.watch.heard(self.worker)
        self._recovered_at = time.monotonic()
        for other in tuple(self._server.connections):
            if other is not self and other.worker == message.worker:
                other.end()  # its epoch is over, or this is the same process after a lost connection
        if message.epoch:
            self.spends = True
            ledger.applied(Applied(worker=message.worker, number=message.last_delta))
            for delta in ledger.missed_deltas(message.worker, message.last_delta):
                self.write(encode(delta))
            self._server.leases.came(self)

    def _lessees(self, of: int) -> list[int]:
        """Among whom is divided what each may use a part of: who may spend, and who has not told all that it did; nobody, for one alone."""
        if of == 1:
            return []
        ledger = self._server.ledger
        return sorted({*(self._server.workers() or range(of)), *ledger.lessees, *ledger.away()})

    def _ready(self, message: Ready) -> None:
        workers = self._lessees(message.of)
        message = msgspec.structs.replace(message, of=max(message.of, len(workers)))
        answer = self._server.ledger.ready(message)
        if isinstance(answer, Refusal) and answer.kind == "waits":
            self._ready_later = message
            return
        if isinstance(answer, Refusal):
            self.write(encode(answer))
            return
        seconds = self._server.watch.seconds_for(message.worker) if message.of > 1 else 0
        for part in answer:
            told = part
            if isinstance(part, Lease):
                told = msgspec.structs.replace(part, seconds=seconds, workers=workers)
            self.write(encode(told))
        self.spends, self._is_early = True, message.early
        self._server.leases.peers[self.worker] = self
        self._server.publish()  # what earlier lives were asked for and did not give is asked for again
        self._server.leases.ended(self.worker)
        self._server.noticed()
        self._server.begin_those_who_wait()

    def ready_again(self) -> None:
        """A worker that waited for another's last word asks once more."""
        message, self._ready_later = self._ready_later, None
        if message is not None and self._transport is not None:
            self._ready(message)

    def _execute(self, command: Command) -> None:
        reply = self._server.answer(command)
        self._server.publish()
        if command.name == GIVE_UP:
            self._server.begin_those_who_wait()
        if not _pending(reply) or command.id in self._waiting:
            self.write(encode(reply))
            return
        timer = asyncio.get_running_loop().call_later(DELIVERY_SECONDS_MAX, self._give_up, command.id, reply)
        self._waiting[command.id] = (command, timer)

    def _give_up(self, command_id: str, reply: Reply) -> None:
        if self._waiting.pop(command_id, None) is not None:
            self.write(encode(reply))


def _unnamed(message: Report) -> Refusal:
    """A report on a line that has not said who it is, or is over: nothing of it is heard."""
    return Refusal("closed_epoch", f"worker {message.worker} has not said HELLO on this line")


def _make_room(path: Path) -> None:
    """The folder there, and no socket of a dead ledger in the way."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()


def _pending(reply: Reply) -> bool:
    return reply.result is not None and reply.result.get("delivery") == PENDING
