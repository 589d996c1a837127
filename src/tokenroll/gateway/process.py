"""The gateway as a process: worker, tape, ledger link and listening socket, from the first HELLO to the last folded record."""

import asyncio
import contextlib
import ctypes
import fcntl
import gc
import logging
import os
import resource
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from tokenroll.gateway.backlog import Backlog
from tokenroll.gateway.deployment import DeploymentError
from tokenroll.gateway.outbox import Outbox
from tokenroll.gateway.settings import GatewaySettings
from tokenroll.gateway.worker import Gateway
from tokenroll.model.enforcement import Enforcement
from tokenroll.model.instant import MICROS_PER_SECOND
from tokenroll.model.limits import (
    BODY_BYTES_MAX,
    CONNECTIONS_MAX,
    LEASE_IDLE_SECONDS,
    UNFOLDED_RECORDS_MAX,
    UPSTREAM_CONNECTIONS_MAX,
)
from tokenroll.services.clock import Clock
from tokenroll.services.group_commit import GroupCommit
from tokenroll.services.lease_deadline import LeaseDeadline
from tokenroll.services.ledger_route import LedgerRoute
from tokenroll.services.node_tape import NodeTape
from tokenroll.services.protocol import (
    NOT_NAMED,
    Amounts,
    AskAmounts,
    AskBack,
    Claim,
    Claimed,
    Delta,
    Lacking,
    Lease,
    Lent,
    LimitTerms,
    Refusal,
    View,
    WalletTerms,
    Want,
)
from tokenroll.services.spending import Spending
from tokenroll.services.worker_link import WorkerCore, WorkerLink, lock_worker
from tokenroll.store.disk_check import NoDisk, disk_problem
from tokenroll.store.tape import Disk, TapeWriter, kernel_boot_id, worker_directory

_log = logging.getLogger(__name__)

SETTLE_SECONDS_MAX: Final = 0.005
"""How long a settlement may wait for the next hold's write. Until it is written a crash leaves its call in suspense, never lost."""
REPORT_PAUSE_SECONDS: Final = 0.02
"""How long written blocks gather before they are reported: one message and one fold for many calls; the ledger is so much behind."""
REPORT_SECONDS_MAX: Final = 5.0
"""How long an ending worker waits for the ledger to fold its last words; what is not folded then waits on the tape."""
DISK_RETRY_SECONDS: Final = 1.0
"""How soon it is noticed that a disk takes a tape again."""
_THRESHOLDS: Final = (100_000, 50, 100)
"""Of Python's collector: as often as it looks by default, it would take a tenth of a start."""
_GROWTH_KEPT: Final = 1000
"""So many new objects more between two looks at them are not searched for cycles."""
_SEARCHED_FROM: Final = 2000
"""A search of so many takes a millisecond."""
_LOOK_SECONDS: Final = 0.2
"""Between two looks: a busy worker makes some thousand objects in it."""
_SEARCHES_OF_YOUNG: Final = 10
"""After so many of them a search of what has lived through one: some ten milliseconds."""
_FILES_BESIDE: Final = 64
"""Tape, ledger, logs and what else is open beside connections."""
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_WAITING: Final = "The gateway waits for its lease from the ledger; try again in a moment."
_ENDING: Final = "The gateway is ending; try again in a moment."


class WorkerEndedError(Exception):
    """The ledger will not have this worker, or its tape cannot be written; the message says why."""


class WorkerNotNamedError(WorkerEndedError):
    """The certificate of this node does not speak for the worker: no other life of it is let in either."""


def run_gateway(
    settings: GatewaySettings,
    *,
    clock: Clock,
    pepper: bytes,
    route: Path | LedgerRoute,
    observe: bool = False,
    ready: Callable[[int], None] | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT. Raises WorkerEndedError when it may not go on.

    `route` leads to the ledger: a path is its socket on this machine. `observe` overrides the enforcement of every wallet. `ready` is told the port once calls are admitted.
    """
    directory = worker_directory(settings.home / "tape", settings.worker)
    try:
        lock = lock_worker(directory)
    except BlockingIOError as error:
        message = f"worker {settings.worker} runs already: its tape in {directory} is locked"
        raise WorkerEndedError(message) from error
    try:
        gc.set_threshold(*_THRESHOLDS)  # a tape of two million records makes as many objects, of which none is a cycle
        _keep_memory()
        _make_room_for_connections(lock)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            life = _Life(settings, clock, pepper, observe=observe, ready=ready)
            runner.run(life.run(directory, route))
    finally:
        os.close(lock)


def _make_room_for_connections(descriptor: int) -> None:
    """The process may open as many connections as its limits name, where the system's hard limit allows them, and its table has room for all.

    The soft limit is mostly 1,024. The kernel doubles the table as connections come, and has a process with threads wait for all cores
    each time: 15 ms in which nobody is answered. So it is made large at once, before there are threads. `descriptor` is any.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + UPSTREAM_CONNECTIONS_MAX + _FILES_BESIDE
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(OSError, ValueError):
        if soft != resource.RLIM_INFINITY and soft < allowed:
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        os.close(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, allowed - 1))


def _keep_memory() -> None:
    """Freed memory of large bodies stays with the process: giving it back and faulting it in again costs more than a body's copy.

    Only where the C library has such knobs (glibc); elsewhere nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_THRESHOLD, BODY_BYTES_MAX)
    mallopt(_M_TRIM_THRESHOLD, 8 * BODY_BYTES_MAX)


def _quiet_collector() -> None:
    """What was leased stays: it is taken out of the collector's sight.

    A call leaves no cycles behind, so a full collection would only walk over wallets and keys while calls wait.
    """
    gc.collect()
    gc.freeze()


class _Collector:
    """Python's search for cycles, done little by little between the calls, or not at all of what is sure to stay.

    Left to itself it waits for a hundred thousand new objects and walks over them in 50 ms, in which nobody is answered. Many at once
    are what keys with limits are made of when they are used: no cycles, so they are taken out of sight and leave by themselves. A few
    may be cycles that something rare has left.
    """

    def __init__(self) -> None:
        self._young_count = 0

    def look_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Now and five times a second, for as long as the loop runs."""
        self.look()
        loop.call_later(_LOOK_SECONDS, self.look_on, loop)

    def look(self) -> None:
        """Once."""
        young_count = gc.get_count()[0]
        if young_count - self._young_count > _GROWTH_KEPT:
            gc.freeze()
        elif young_count > _SEARCHED_FROM:
            self._search()
        self._young_count = gc.get_count()[0]

    @staticmethod
    def _search() -> None:
        """The youngest alone; after some times all that was found to live then, too, which is not searched again."""
        if gc.get_count()[1] < _SEARCHES_OF_YOUNG:
            gc.collect(0)
        else:
            gc.collect()
            gc.freeze()


class _Life:
    """One life of a worker: what it does when the ledger speaks (services/worker_link.py: WorkerEvents)."""

    def __init__(
        self,
        settings: GatewaySettings,
        clock: Clock,
        pepper: bytes,
        *,
        observe: bool,
        ready: Callable[[int], None] | None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._pepper = pepper
        self._observe = observe
        self._ready = ready
        self._boot_id = kernel_boot_id()
        self._ended = asyncio.Event()
        self._unreported: list[bytes] = []
        self._why = ""
        self._is_not_named = False
        self._deadline: LeaseDeadline | None = None
        """Of a node with a sized lease."""
        self._hurries = False
        """Whether another worker waits for what the next block says."""
        self._core: WorkerCore
        self._directory: Path
        self._tape: TapeWriter | None = None
        self._spending: Spending
        self._commit: GroupCommit
        self._returns = True
        """Whether the tape still takes what goes back of a sized lease: also while the last calls end, for others wait for it."""
        self._gateway: Gateway | None = None
        self._backlog: Backlog
        self._listening: asyncio.Task[None] | None = None
        self._waiting: asyncio.Task[None] | None = None

    async def run(self, directory: Path, route: Path | LedgerRoute) -> None:
        self._directory = directory
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        chosen = self._settings
        self._core = WorkerCore(
            chosen.worker, directory, self, boot_id=self._boot_id, clock=self._clock, of=chosen.workers
        )
        house = None if isinstance(route, Path) else NodeTape(self._core, directory)
        if house is not None and chosen.workers > 1:
            self._deadline = LeaseDeadline()
        link = WorkerLink(self._core, route, house.answered if house else None, self._deadline)
        problem = await loop.run_in_executor(None, disk_problem, directory)
        if problem:
            self._refuse_all(problem)
        else:
            await loop.run_in_executor(None, self._core.look_back)
            link.start()
            if house is not None:
                house.start(link)
        await self._ended.wait()
        if house is not None:
            await house.close()
        if self._gateway is not None:
            self._gateway.not_ready = self._why or _ENDING
            await self._gateway.stop()
            self._returns = False
            self._commit.close()
            self._core.ends()
            self._report()
        if await link.drained(REPORT_SECONDS_MAX) and self._gateway is not None and not self._spending.open_holds:
            self._core.resign()
        await link.close()
        if self._tape is not None:
            with contextlib.suppress(OSError):  # of a tape that cannot be written, and that is told already
                self._tape.close()
        if self._why:
            raise (WorkerNotNamedError if self._is_not_named else WorkerEndedError)(self._why)

    # ---- what the ledger says ---------------------------------------------------------------------------------------

    def _block_written(self, block: bytes) -> None:
        """A block is on the tape: reported with those that come in the next moment, or at once where another worker waits for it."""
        if not self._unreported:
            asyncio.get_running_loop().call_later(REPORT_PAUSE_SECONDS, self._report)
        self._unreported.append(block)
        if self._hurries:
            self._hurries = False
            self._report()

    def _report(self) -> None:
        blocks, self._unreported = self._unreported, []
        if blocks:
            self._core.report(*blocks)

    def begin(self, epoch: int) -> None:
        """See WorkerEvents. A life that never got its lease is begun again under a new epoch."""
        if self._tape is not None:
            self._commit.close()
            self._tape.close()
        self._make(epoch, None)

    def _make(self, epoch: int, disk: Disk | None) -> None:
        """Tape, spending and gateway of a life. Raises OSError for a tape that cannot be written."""
        loop = asyncio.get_running_loop()
        self._tape = TapeWriter(
            self._directory,
            worker=self._settings.worker,
            epoch=epoch,
            boot_id=self._boot_id,
            created_at=self._clock(),
            disk=disk,
        )
        spending = self._spending = Spending(self._tape, self._clock, self._pepper)
        spending.limit_wait_micros = self._settings.limit_wait_seconds * MICROS_PER_SECOND
        outbox = Outbox(loop)
        self._commit = GroupCommit(
            self._tape,
            self._settings.durability,
            loop,
            clock=self._clock,
            append_dispatched=lambda holds: spending.dispatched(holds, self._clock()),
            after_dispatch=outbox.flush,
            on_block=self._block_written,
            on_failure=self._tape_failed,
            idle_seconds=SETTLE_SECONDS_MAX,
        )
        try:
            self._gateway = Gateway(self._settings, spending, self._commit, self._clock, loop, outbox)
        except (DeploymentError, OSError) as error:
            self._stop(f"cannot start: {error}")
            return
        self._gateway.not_ready = _WAITING
        self._backlog = Backlog(self._gateway, self._unfolded)
        self._gateway.extra_sources += (self._link_metrics, self._backlog.metrics)

    def apply_view(self, view: View) -> None:
        """See WorkerEvents."""
        self._spending.apply_view(msgspec.structs.replace(view, limits=self._policed_limits(view.limits)))
        if view.cards and self._gateway is not None:
            self._gateway.routes.forget()

    def apply_lease(self, lease: Lease) -> None:
        """See WorkerEvents. The last part opens the door."""
        self._spending.apply_lease(msgspec.structs.replace(lease, wallets=self._policed(lease.wallets)))
        if lease.last and self._settings.retires:
            self._ended.set()
        elif lease.last and self._gateway is not None:
            self._gateway.not_ready = ""
            self._begin_returning()
            _quiet_collector()
            if self._listening is None:
                loop = asyncio.get_running_loop()
                _Collector().look_on(loop)
                self._backlog.look_on(loop)
                if self._gateway.shared_pages is not None:
                    self._gateway.shared_pages.write_on(loop)
                self._listening = loop.create_task(self._listen(self._gateway))

    def apply_delta(self, delta: Delta) -> object:
        """See WorkerEvents. What it gives back of its lots is written soon, for the ledger waits for it."""
        wallets, limits = self._policed(delta.wallets), self._policed_limits(delta.limits)
        applied = self._spending.apply_delta(msgspec.structs.replace(delta, wallets=wallets, limits=limits))
        if delta.cards and self._gateway is not None:
            self._gateway.routes.forget()
        if self._tape is not None and self._tape.has_pending:
            self._commit.soon()
        return applied

    def lent(self, lent: Lent) -> None:
        """See WorkerEvents. What is of no use here goes back at once."""
        unknown = self._spending.lent(lent)
        if unknown and self._returns:
            self._spending.returned(unknown)
        if self._tape is not None and self._tape.has_pending:
            self._commit.soon()

    def lacking(self, lacking: Lacking) -> None:
        """See WorkerEvents."""
        if self._spending.sized is not None:
            self._spending.sized.lacking(lacking)

    def ask_back(self, asked: AskBack) -> None:
        """See WorkerEvents. Calls that were woken by what was lent just now come first: it is theirs."""
        asyncio.get_running_loop().call_soon(self._give_back, asked)

    def told(self, amounts: Amounts) -> None:
        """See WorkerEvents."""
        if self._gateway is not None:
            self._gateway.wallet_telling.told(amounts)

    def claimed(self, claimed: Claimed) -> None:
        """See WorkerEvents."""
        if self._spending.sized is not None:
            self._spending.sized.claims.answered(claimed.answers)

    def unanswered(self) -> list[Want | Claim]:
        """See WorkerEvents."""
        return [] if self._spending.sized is None else self._spending.sized.unanswered()

    def take_used(self, keys_max: int) -> list[int]:
        """See WorkerEvents."""
        return self._spending.take_used(self._clock(), keys_max)

    def ended(self, refusal: Refusal) -> None:
        """See WorkerEvents."""
        self._is_not_named = refusal.kind == NOT_NAMED
        self._stop(refusal.text if refusal.kind == "tape" else f"the ledger refuses this worker: {refusal.text}")

    # ---- a sized lease ----------------------------------------------------------------------------------------------

    def _begin_returning(self) -> None:
        """What is wanted is said on the link; what lies idle goes back now and then."""
        sized = self._spending.sized
        if sized is not None:
            sized.say = self._core.want
            if self._gateway is not None:
                self._gateway.wallet_telling.ask = self._ask_amounts
            if self._deadline is not None:
                sized.deadline, self._deadline.on_renewed = self._deadline, sized.renewed
            sized.when_cut_off, sized.beyond_max_nanos = self._settings.when_cut_off, self._settings.beyond_max_nanos
            asyncio.get_running_loop().call_later(LEASE_IDLE_SECONDS, self._return_idle)

    def _ask_amounts(self, number: int, wallets: list[int], limits: list[int]) -> None:
        """Behind all that is on the tape by now, which is reported at once."""
        assert self._tape is not None
        last = self._tape.next_sequence - 1
        self._core.ask(AskAmounts(self._settings.worker, self._core.epoch, number, last, wallets, limits))
        if self._tape.has_pending:
            self._hurries = True
            self._commit.soon()
        else:
            self._report()

    def _give_back(self, asked: AskBack) -> None:
        if self._returns:
            self._spending.give_back_asked(asked)
            self._hurries = True
            self._commit.soon()

    def _return_idle(self) -> None:
        sized = self._spending.sized
        if sized is None or not self._returns:
            return
        parts = sized.idle()
        if parts:
            self._spending.returned(parts)
            self._commit.soon()
        asyncio.get_running_loop().call_later(LEASE_IDLE_SECONDS, self._return_idle)

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _policed(self, wallets: list[WalletTerms]) -> list[WalletTerms]:
        """The wallets as they are enforced here: under `observe` nobody is refused, whatever the plans say."""
        if not self._observe:
            return wallets
        return [msgspec.structs.replace(one, enforcement=Enforcement.OBSERVE.value) for one in wallets]

    def _policed_limits(self, limits: list[LimitTerms]) -> list[LimitTerms]:
        """The limits likewise."""
        if not self._observe:
            return limits
        return [msgspec.structs.replace(one, enforcement=Enforcement.OBSERVE.value) for one in limits]

    async def _listen(self, gateway: Gateway) -> None:
        try:
            port = await gateway.listen()
        except OSError as error:
            self._stop(f"cannot listen: {error}")
            return
        if self._ready is not None:
            self._ready(port)

    def _tape_failed(self, error: OSError) -> None:
        """A tape that cannot be written admits nobody; a new life begins with a new segment, on a disk that works.

        Until it does this one stays and says so to every caller: a successor could not begin, and they would wait for it unanswered.
        """
        self._say(f"the tape cannot be written: {error.strerror or error}")
        self._waiting = asyncio.get_running_loop().create_task(self._end_when_disk_works())

    def _refuse_all(self, problem: str) -> None:
        """A disk that takes nothing already at the start: the door opens, and everybody is told."""
        self._make(0, NoDisk())
        self._say(f"the tape cannot be written: {problem}")
        if self._gateway is not None:
            loop = asyncio.get_running_loop()
            self._listening = loop.create_task(self._listen(self._gateway))
            self._waiting = loop.create_task(self._end_when_disk_works())

    async def _end_when_disk_works(self) -> None:
        """Tried aside: a disk that fails may take its time over it."""
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, disk_problem, self._directory):  # noqa: ASYNC110 - the condition is the disk
            await asyncio.sleep(DISK_RETRY_SECONDS)
        self._ended.set()

    def _stop(self, why: str) -> None:
        self._say(why)
        self._ended.set()

    def _say(self, why: str) -> None:
        self._why = self._why or why
        if self._gateway is not None:
            self._gateway.not_ready = why
        _log.error("%s", why)

    def _unfolded(self) -> int:
        """By the tape's own count: records that wait for a write, or written ones for the next report, are unfolded too.

        What earlier lives left does not pause this one, unless it is more than one life may leave.
        """
        own = 0 if self._tape is None else max(0, self._tape.next_sequence - 1 - self._core.acked_sequence)
        return own + max(0, self._core.earlier_records - UNFOLDED_RECORDS_MAX)

    def _link_metrics(self) -> Iterable[tuple[str, str, str, float]]:
        yield "tokenroll_unfolded_records", "gauge", "", self._unfolded()
        yield "tokenroll_earlier_unfolded_records", "gauge", "", self._core.earlier_records
        sized = None if self._tape is None else self._spending.sized
        if sized is not None:
            yield "tokenroll_lease_wants_total", "counter", "", sized.want_count
            yield "tokenroll_lease_lacks_total", "counter", "", sized.lack_count
            yield "tokenroll_call_claims_total", "counter", "", sized.claims.claim_count
        if self._deadline is not None:
            yield "tokenroll_lease_counts", "gauge", "", int(self._deadline.counts)
