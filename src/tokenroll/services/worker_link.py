"""The worker's side of the protocol: HELLO, recovery of its earlier lives, lease, reports and deltas (DESIGN §5).

`WorkerCore` decides and does no network; `WorkerLink` puts it on the ledger's Unix socket or on a line to another machine
(`ledger_route.py`), `loopback.py` on a ledger in the same process, with the same bytes. While the ledger is away the worker goes on within its lease: blocks wait, first in memory, then on
the tape where they are anyway, and are reported again until they are acknowledged.
"""

import asyncio
import contextlib
import fcntl
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from tokenroll.model.instant import HOUR_MICROS
from tokenroll.model.limits import KEYS_USED_TOLD_MAX
from tokenroll.services import recovery
from tokenroll.services.clock import Clock
from tokenroll.services.lease_deadline import LeaseDeadline
from tokenroll.services.ledger_route import RETRY_SECONDS, LedgerRoute, SocketRoute
from tokenroll.services.protocol import (
    NOT_NAMED,
    PROTOCOL_VERSION,
    Ack,
    Alive,
    Amounts,
    Applied,
    AskAmounts,
    AskBack,
    CaughtUp,
    Claim,
    Claimed,
    Deletable,
    Delta,
    FrameReader,
    Hello,
    KeysUsed,
    Lacking,
    Lease,
    Lent,
    Message,
    ProtocolError,
    Ready,
    Refusal,
    Report,
    Resign,
    View,
    Want,
    Welcome,
    encode,
)
from tokenroll.services.unfolded_tape import UnfoldedTape
from tokenroll.store.tape import Block, Disk, TapeError, block_span

REPORT_BYTES_MAX: Final = 14 * 1024 * 1024
"""One report while nobody is served: below a message's limit, about 120,000 attempts, which the ledger folds in one transaction."""
LIVE_REPORT_BYTES_MAX: Final = 2 * 1024 * 1024
"""One report while calls are served, about 16,000 attempts: making or reading a larger one holds them up for more than some milliseconds."""
WAITING_BYTES_MAX: Final = 64 * 1024 * 1024
"""Blocks kept in memory while the ledger is away; beyond it they are read from the tape again."""
REPORT_PAUSE_SECONDS: Final = 0.025
"""Between a report's acknowledgment and the next report: how much later than it could be the ledger may know of a settlement."""
EARLY_RECORDS_MIN: Final = 20_000
"""So many records of earlier lives take the ledger a while to fold, and a worker alone need not wait for it."""
FINAL_REFUSALS: Final = frozenset({"closed_epoch", "leased", NOT_NAMED, "tape", "version", "worker"})
"""Refusals that no repetition changes: the process must end, and say why."""

Send = Callable[[bytes], None]


class WorkerEvents(Protocol):
    """What the worker does when the ledger speaks. All calls come from the loop that owns the link."""

    def begin(self, epoch: int) -> None:
        """A new life: tape and spending are made for this epoch. Once."""

    def apply_view(self, view: View) -> None:
        """A part of keys, cards and settings."""

    def apply_lease(self, lease: Lease) -> None:
        """A part of the wallets; after the last one the worker may spend."""

    def apply_delta(self, delta: Delta) -> object:
        """One numbered change."""

    def lent(self, lent: Lent) -> None:
        """What a want was given."""

    def lacking(self, lacking: Lacking) -> None:
        """A want that cannot be met."""

    def ask_back(self, asked: AskBack) -> None:
        """Another worker is short: what is not used here goes back."""

    def told(self, amounts: Amounts) -> None:
        """What wallets come to over all workers, which somebody here asked."""

    def claimed(self, claimed: Claimed) -> None:
        """Which calls that their clients named may be sent."""

    def unanswered(self) -> list[Want | Claim]:
        """What was wanted and claimed and is not answered, for a ledger that may not have heard it."""

    def take_used(self, keys_max: int) -> list[int]:
        """Keys that were used and not told of yet, at most so many."""

    def ended(self, refusal: Refusal) -> None:
        """The ledger will not have this worker: stop admitting, end the process."""


class WorkerCore:
    """One worker's talk with the ledger, whatever carries it."""

    def __init__(
        self,
        worker: int,
        directory: Path,
        events: WorkerEvents,
        *,
        boot_id: bytes,
        clock: Clock,
        disk: Disk | None = None,
        of: int = 1,
        early_records_min: int = EARLY_RECORDS_MIN,
    ) -> None:
        self.worker = worker
        self._early_records_min = early_records_min
        self._of = of
        """How many workers there are: of several each has a sized lease."""
        self.epoch = 0
        self.spending = False
        self._is_ending = False
        """Whether nothing more is written to its tape: what the ledger changes from here on its next life hears of, or nobody need."""
        self._begun = 0
        self.last_delta = 0
        self.acked_sequence = 0
        self.halt: Refusal | None = None
        self._directory = directory
        self._events = events
        self._boot_id = boot_id
        self._clock = clock
        self._disk = disk
        self._send: Send | None = None
        self.is_welcome = False
        """Whether the ledger has answered this connection's HELLO. Until then a door takes small messages alone: nothing large is said."""
        self._recovered: Iterator[tuple[int, Block]] = iter(())
        self._recovering = False
        self._is_early = False
        """Whether this life was READY before its earlier ones were folded."""
        self._ahead: UnfoldedTape | None = None
        """How far the tape is ahead of the lease, until the lease has come."""
        self._tape_ends: dict[int, recovery.TapeEnd] = {}
        """What `look_back` has read, until it is used."""
        self._ends: dict[int, int] = {}
        """By earlier life: its last record."""
        self._backlog: dict[int, int] = {}
        """By earlier life: how many records the ledger still lacks, where this life began before it had them."""
        self._asked: set[int] = set()
        """Recalls that this life was asked for while its earlier lives' answers were on their way."""
        self._held: tuple[int, Block] | None = None
        self._unfolded: tuple[int, list[bytes]] | None = None
        """Blocks of an earlier life that are reported until they are acknowledged: no lease before that."""
        self._in_flight: tuple[int, int] | None = None
        self._waiting: deque[tuple[int, bytes]] = deque()
        """What is to be reported, by its last record."""
        self._waiting_bytes = 0
        self._overflowed = False
        self._newest_sequence = 0

    def look_back(self) -> None:
        """Reads how the tapes of earlier lives end, as a ledger that starts at the same time is not needed for. May take a second."""
        for epoch in recovery.epochs_on_disk(self._directory):
            with contextlib.suppress(TapeError, OSError):  # met again, and told, when it is recovered
                self._tape_ends[epoch] = recovery.whole_end(self._directory, epoch, self._disk)

    # ---- called by the transport ----------------------------------------------------------------------

    def connected(self, send: Send) -> None:
        """A connection is there: HELLO, as a new life or as the present one."""
        self._send = send
        self.is_welcome = False
        self._in_flight = None
        epoch = self._begun
        self._say(
            Hello(
                version=PROTOCOL_VERSION,
                worker=self.worker,
                epoch=epoch,
                boot_id=self._boot_id,
                last_delta=self.last_delta,
            )
        )

    def lost(self) -> None:
        """The connection is gone; what was not acknowledged will be reported again."""
        self._send = None
        self.is_welcome = False
        self._in_flight = None

    def received(self, message: Message) -> None:
        """What the ledger said. Raises ProtocolError for what only a worker says."""
        if isinstance(message, Ack):
            self._acknowledged(message)
        elif isinstance(message, Delta):
            self._delta(message)
        elif isinstance(message, Welcome):
            self._welcomed(message)
        elif isinstance(message, View):
            self._events.apply_view(message if self._ahead is None else self._ahead.view(message))
        elif isinstance(message, Lease):
            self._leased(message)
        elif isinstance(message, Lent):
            if self.spending and not self._is_ending:  # it is taken back when the life resigns
                self._events.lent(message)
        elif isinstance(message, Lacking):
            self._events.lacking(message)
        elif isinstance(message, AskBack):
            self._events.ask_back(message)
        elif isinstance(message, Amounts):
            self._events.told(message)
        elif isinstance(message, Claimed):
            self._events.claimed(message)
        elif isinstance(message, Refusal):
            self._refused(message)
        else:
            raise ProtocolError(f"a {type(message).__name__} is not for a worker")

    # ---- called by the worker ---------------------------------------------------------------------------

    def report(self, *blocks: bytes) -> None:
        """Blocks that are on the tape as durably as was promised, the next ones in order. Reported as soon as the ledger listens.

        A moment's blocks wait as one piece: a busy worker writes thousands a second, and while the ledger is slow or away there would
        be tens of thousands of pieces to go through at its first word, in which nobody is answered.
        """
        self._newest_sequence = block_span(blocks[-1])[1]
        size = sum(map(len, blocks))
        if self._overflowed or self._waiting_bytes + size > WAITING_BYTES_MAX:
            self._overflowed = True
        else:
            self._wait(blocks)
        self._report_next()

    def want(self, want: Want | Claim) -> None:
        """What calls need beyond the lease, or the name that a client gave one. A ledger that is away hears of it when it is back."""
        self._say(want)

    def ask(self, question: AskAmounts) -> None:
        """What somebody here wants to know now: a ledger that is away never hears of it."""
        self._say(question)

    def retry(self) -> None:
        """Reports once more what a fold refused; a fold that halted for a passing reason goes on."""
        if self.halt is not None:
            self.halt = None
            self._report_next()

    def tell_used(self) -> None:
        """Which keys were used since the last time, for whoever asks which are unused."""
        if self.is_welcome and self.spending:
            used = self._events.take_used(KEYS_USED_TOLD_MAX)
            if used:
                self._say(KeysUsed(used_at=self._clock() // HOUR_MICROS * HOUR_MICROS, key_ids=used))

    def ends(self) -> None:
        """The tape is closed: a change that would have to be answered on it is not taken any more, and lies with the ledger."""
        self._is_ending = True

    def resign(self) -> None:
        """The life ends in order: all is reported and nothing is held, so the ledger may spend by itself from here on."""
        self.tell_used()
        self.ends()
        if self.spending:
            self.spending = False
            self._say(Resign(worker=self.worker, epoch=self.epoch))

    @property
    def unreported_records(self) -> int:
        """How far the ledger is behind this life's tape, in records."""
        return max(0, self._newest_sequence - self.acked_sequence)

    @property
    def is_behind(self) -> bool:
        """Whether more waits for the ledger than one report takes: then the next one is full however soon it is made."""
        return self._waiting_bytes > 2 * LIVE_REPORT_BYTES_MAX

    @property
    def earlier_records(self) -> int:
        """How many records of earlier lives are still to be folded, of a life that began before they were."""
        return sum(self._backlog.values())

    # ---- inside -----------------------------------------------------------------------------------------

    def _say(self, message: Message) -> None:
        if self._send is not None:
            self._send(encode(message))

    def _welcomed(self, message: Welcome) -> None:
        self.is_welcome = True
        if self._begun and not self.spending:
            if not self._is_ending:
                self._say_ready()
            return
        folded = message.folded_sequences.get(self.epoch, 0)
        if self.spending and folded < self.acked_sequence:
            text = f"the ledger has {folded} records of this life and had {self.acked_sequence}: it is an older copy"
            self._refused(Refusal("closed_epoch", text))
            return
        if self.spending:
            for want in self._events.unanswered() if self._of > 1 else ():
                self.want(want)
            if self._is_early:
                self._begin_backlog(message.folded_sequences)
            self._acknowledged(Ack(epoch=self.epoch, sequence=folded))
            return
        newest = max(recovery.epochs_on_disk(self._directory), default=0)
        if newest >= message.epoch:  # its number on a tape a second time: neither life could be read back
            text = f"the ledger begins life {message.epoch} and the tape has life {newest}: it is an older copy, and does not know this tape"
            self._refused(Refusal("tape", text))
            return
        self.epoch = message.epoch
        self._recovering = False
        self._ahead = self._followed(message) if message.may_begin_early and self._of == 1 else None
        self._is_early = self._ahead is not None
        self._begin_backlog(message.folded_sequences)
        if self._is_early:
            self._begin()
        else:
            self._recovering = True
            self._report_next()

    def _followed(self, message: Welcome) -> UnfoldedTape | None:
        """What earlier lives wrote and the ledger lacks; None where that is soon folded, or where the fold alone can say what it means."""
        ahead = UnfoldedTape(message.open_holds)
        self._ends = {}
        try:
            for epoch, block in self._recover(message.folded_sequences):
                if block.first_sequence != self._ends.get(epoch, message.folded_sequences.get(epoch, 0)) + 1:
                    return None
                ahead.follow(epoch, block)
                self._ends[epoch] = block.last_sequence
            ahead.end()
            if ahead.needs_names:
                for epoch, block in self._blocks(message.folded_sequences):
                    ahead.name_clients(epoch, block)
        except (TapeError, OSError):  # met again, and told, by who reports them first
            return None
        return None if ahead.record_count < self._early_records_min or ahead.lacks_names else ahead

    def _begin_backlog(self, folded: dict[int, int]) -> None:
        """What is reported before anything of this life, from the first record that the ledger lacks."""
        self._held = self._unfolded = None
        self._recovered = self._blocks(folded) if self._is_early else self._recover(folded)
        self._recovering = self._is_early
        ends = self._ends if self._is_early else {}
        self._backlog = {epoch: max(0, last - folded.get(epoch, 0)) for epoch, last in ends.items()}

    def _recover(self, folded: dict[int, int]) -> Iterator[tuple[int, Block]]:
        """Every block of earlier lives that the ledger does not have, oldest life first; their tapes are ended."""
        now = self._clock()
        for epoch in self._earlier():
            sequence = folded.get(epoch, 0)
            recovery.recover_epoch(
                self._directory, epoch, folded_sequence=sequence, boot_id=self._boot_id, now=now, disk=self._disk,
                end=self._tape_ends.pop(epoch, None),
            )  # fmt: skip
            for block in recovery.epoch_blocks(self._directory, epoch, sequence):
                yield epoch, block

    def _blocks(self, folded: dict[int, int]) -> Iterator[tuple[int, Block]]:
        """The same of tapes that are ended already."""
        for epoch in self._earlier():
            for block in recovery.epoch_blocks(self._directory, epoch, folded.get(epoch, 0)):
                yield epoch, block

    def _earlier(self) -> list[int]:
        return [epoch for epoch in recovery.epochs_on_disk(self._directory) if epoch < self.epoch]

    def _report_next(self) -> None:
        if not self.is_welcome or self._in_flight is not None or self.halt is not None or not self.epoch:
            return
        if self._recovering and (self.spending or not self._is_early):
            self._report_recovered()
        elif self.spending:
            self._report_waiting()

    def _report_recovered(self) -> None:
        """The next blocks of earlier lives, or once more those that the ledger did not take; after the last ones the life begins."""
        if self._unfolded is None:
            try:
                self._unfolded = self._next_recovered()
            except TapeError as error:  # a new connection would find the same bytes
                self._refused(Refusal("tape", f"the tape of an earlier life cannot be read: {error}"))
                return
            except OSError as error:
                self._refused(Refusal("tape", f"the tape of an earlier life cannot be ended: {error}"))
                return
        if self._unfolded is not None:
            epoch, parts = self._unfolded
            self._send_report(epoch, block_span(parts[-1])[1], parts)
            return
        self._recovering = False
        if not self._is_early:
            self._begin()
            return
        self._backlog.clear()
        self._say(CaughtUp(worker=self.worker, epoch=self.epoch))
        self._report_waiting()

    def _begin(self) -> None:
        try:
            self._events.begin(self.epoch)
        except OSError as error:  # a new connection would find the same disk, and cost an epoch
            self._refused(Refusal("tape", f"a tape cannot be begun: {error}"))
            return
        self._begun = self.epoch
        self._say_ready()

    def _say_ready(self) -> None:
        self._say(Ready(worker=self.worker, epoch=self.epoch, of=self._of, early=self._is_early))

    def _next_recovered(self) -> tuple[int, list[bytes]] | None:
        """An epoch and as many of its blocks as one report takes; None behind the last one."""
        parts: list[bytes] = []
        size, epoch = 0, 0
        most = LIVE_REPORT_BYTES_MAX if self._is_early else REPORT_BYTES_MAX
        while (one := self._held or next(self._recovered, None)) is not None:
            self._held = None
            raw = one[1].raw
            if parts and (one[0] != epoch or size + len(raw) > most):
                self._held = one
                break
            epoch = one[0]
            parts.append(raw)
            size += len(raw)
        return (epoch, parts) if parts else None

    def _wait(self, blocks: Sequence[bytes]) -> None:
        piece = b"".join(blocks)
        self._waiting.append((block_span(blocks[-1])[1], piece))
        self._waiting_bytes += len(piece)

    def _report_waiting(self) -> None:
        if not self._waiting and self._overflowed:
            self._read_again()
        parts: list[bytes] = []
        last = size = 0
        for piece_last, piece in self._waiting:
            if parts and size + len(piece) > LIVE_REPORT_BYTES_MAX:
                break
            parts.append(piece)
            size += len(piece)
            last = piece_last
        if parts:
            self._send_report(self.epoch, last, parts)

    def _read_again(self) -> None:
        """What did not fit in memory, from the tape; blocks that were not told to us yet are left out."""
        self._overflowed = False
        for block in recovery.epoch_blocks(self._directory, self.epoch, self.acked_sequence):
            if block.last_sequence > self._newest_sequence:
                break
            if self._waiting_bytes + len(block.raw) > WAITING_BYTES_MAX:
                self._overflowed = True
                break
            self._wait([block.raw])

    def _send_report(self, epoch: int, last: int, parts: list[bytes]) -> None:
        self._in_flight = (epoch, last)
        self._say(Report(worker=self.worker, epoch=epoch, blocks=b"".join(parts)))

    def _acknowledged(self, ack: Ack) -> None:
        if ack.epoch == self.epoch:
            self.acked_sequence = max(self.acked_sequence, ack.sequence)
            while self._waiting and self._waiting[0][0] <= self.acked_sequence:
                self._waiting_bytes -= len(self._waiting.popleft()[1])
        if self._in_flight is not None and (ack.epoch, ack.sequence) < self._in_flight:
            return  # said twice: what is on its way is still to be answered, and nothing else is sent before
        if self._unfolded is not None and ack.epoch == self._unfolded[0]:
            if ack.epoch in self._backlog:
                first, last = block_span(self._unfolded[1][0])[0], block_span(self._unfolded[1][-1])[1]
                self._backlog[ack.epoch] -= last - first + 1
            self._unfolded = None
        self._in_flight = None
        self._report_next()

    def _leased(self, lease: Lease) -> None:
        if self._is_ending:
            return
        self._events.apply_lease(lease if self._ahead is None else self._ahead.lease(lease, self.worker))
        if lease.last:
            self._ahead = None
            self.last_delta = lease.delta
            self.spending = True
            self._report_next()

    def _delta(self, delta: Delta) -> None:
        if not self.spending or self._is_ending:
            return  # the lease that is on its way holds it, or that of the next life
        if delta.number > self.last_delta:
            self._events.apply_delta(self._not_asked_twice(delta) if self._is_early else delta)
            self.last_delta = delta.number
        self._say(Applied(worker=self.worker, number=self.last_delta))

    def _not_asked_twice(self, delta: Delta) -> Delta:
        """Without recalls that this life has answered: once its earlier lives are folded it is asked for all that are open by then."""
        new = [one for one in delta.recalls if one.id not in self._asked]
        self._asked.update(one.id for one in new)
        return delta if len(new) == len(delta.recalls) else msgspec.structs.replace(delta, recalls=new)

    def _refused(self, refusal: Refusal) -> None:
        self._in_flight = None
        if refusal.kind in FINAL_REFUSALS:
            self.spending = False
            self._events.ended(refusal)
        else:
            self.halt = refusal


class WorkerLink:
    """A WorkerCore on a connection to its ledger, made again for as long as the link is open.

    A path is the ledger's socket on this machine. A worker on another one hears an answer to Alive, or tries the next connection;
    `deletable` is told what the ledger says of segments that were offered for deletion.
    """

    def __init__(
        self,
        core: WorkerCore,
        route: Path | LedgerRoute,
        deletable: Callable[[Deletable], None] | None = None,
        deadline: LeaseDeadline | None = None,
    ) -> None:
        self.core = core
        self._deadline = deadline
        """Of a node with a sized lease."""
        self._route: LedgerRoute = SocketRoute(route) if isinstance(route, Path) else route
        self._deletable = deletable
        self._rounds = 0
        """Looks at the present connection, and how many of them since a word of the ledger."""
        self._quiet_rounds = 0
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._lost = asyncio.Event()
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins to connect, on the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="worker-link")

    async def drained(self, seconds: float) -> bool:
        """Whether everything told to `report` is acknowledged, waiting so long at most: for an orderly end."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self._unfolded_records and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - asked once, at the end
            await asyncio.sleep(0.01)
        return not self._unfolded_records

    @property
    def _unfolded_records(self) -> int:
        return self.core.unreported_records + self.core.earlier_records

    async def close(self) -> None:
        """No more connecting; what is not acknowledged stays on the tape for the next life."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._transport is not None:
            self._transport.close()

    async def _run(self) -> None:
        while True:
            self._lost.clear()
            if not await self._route.connect(lambda: _LinkProtocol(self)):
                await asyncio.sleep(self._route.pause_seconds)
                continue
            while not self._lost.is_set():
                try:  # not wait_for: in Python 3.11 it forgets a cancellation that comes just after what it waits for
                    async with asyncio.timeout(RETRY_SECONDS):
                        await self._lost.wait()
                except TimeoutError:
                    self.core.retry()
                    self.core.tell_used()
                    self._listen_for_silence()
                    self._renew()
            await asyncio.sleep(self._route.pause_seconds)

    def _listen_for_silence(self) -> None:
        """A peer on another machine is told now and then that we are here, and given up when it says nothing: a cut cable tells nobody.

        Whatever it says meanwhile: a lease may be minutes on its way, in which nothing else is ours to say, and it gives silence up, too.
        """
        most = self._route.quiet_rounds_max
        self._rounds += 1
        self._quiet_rounds += 1
        if not most or self._transport is None:
            return
        if self._quiet_rounds >= 4 * most:
            self._transport.abort()
        elif self._rounds % most == 0:
            self.say(Alive())

    def _renew(self) -> None:
        deadline, core = self._deadline, self.core
        if deadline is not None and core.spending and (asked := deadline.due(core.worker, core.epoch)) is not None:
            self.say(asked)

    def say(self, message: Message) -> None:
        """A message beside the worker's own talk, if there is a connection."""
        if self._transport is not None:
            self._transport.write(encode(message))

    def made(self, transport: asyncio.Transport) -> None:
        """The connection is there."""
        self._transport = transport
        self._rounds = self._quiet_rounds = 0
        if self._deadline is not None:
            self._deadline.made()
        self.core.connected(transport.write)

    def received(self, message: Message) -> None:
        """A message of the ledger. Its acknowledgment of a live report is heard a moment later, and with it the next report goes out.

        A report is a transaction: a moment's calls in one cost the ledger, and us, much less than each group of calls by itself.
        """
        self._quiet_rounds = 0
        if not isinstance(message, Refusal):
            self._route.works()
        elif message.kind not in FINAL_REFUSALS:  # else the process ends, and says why
            self._route.refused(message.text)
        if isinstance(message, Alive) or (self._deadline is not None and self._deadline.hear(message)):
            return
        if isinstance(message, Deletable):
            if self._deletable is not None:
                self._deletable(message)
        elif isinstance(message, Ack) and self._gathers():
            self._pause = asyncio.get_running_loop().call_later(REPORT_PAUSE_SECONDS, self.core.received, message)
        else:
            self.core.received(message)
            self._renew()

    def _gathers(self) -> bool:
        """Whether the next report gains by waiting: not while earlier lives are told, nor where a full one waits already."""
        core = self.core
        return core.spending and not core.earlier_records and not core.is_behind

    def lost(self, error: Exception | None = None) -> None:
        """The connection is gone."""
        if not self._closing:
            self._route.lost(error)
        if self._pause is not None:
            self._pause.cancel()
        self._transport = None
        if self._deadline is not None:
            self._deadline.lost()
        self.core.lost()
        self._lost.set()


class _LinkProtocol(asyncio.Protocol):
    def __init__(self, link: WorkerLink) -> None:
        self._link = link
        self._reader = FrameReader()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._link.made(transport)  # type: ignore[arg-type]

    def connection_lost(self, error: Exception | None) -> None:
        self._link.lost(error)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                self._link.received(message)
        except ProtocolError:
            if self._transport is not None:
                self._transport.close()


def lock_worker(directory: Path) -> int:
    """A descriptor that holds the worker's directory for this process; keep it open. Raises BlockingIOError when it is taken.

    Two processes under one number would write one tape; the lock goes with its holder's death.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor
