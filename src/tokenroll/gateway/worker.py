"""One worker of the gateway: what its connections share, and its life from listening to the last settled call."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, cast

from tokenroll.gateway.accepting import Acceptor
from tokenroll.gateway.answers import DIALECTS, FAMILIES
from tokenroll.gateway.client import ClientConnection
from tokenroll.gateway.deployment import Target
from tokenroll.gateway.edge import Ticks
from tokenroll.gateway.forwarding import PREFIXES, Forwarding
from tokenroll.gateway.heads import RequestReader, ResponseReader
from tokenroll.gateway.local import WALLET_PATH
from tokenroll.gateway.metrics import Metrics
from tokenroll.gateway.outbox import Outbox
from tokenroll.gateway.routing import Routes
from tokenroll.gateway.settings import GatewaySettings
from tokenroll.gateway.shared_pages import SharedPages
from tokenroll.gateway.telling import terms_lines
from tokenroll.gateway.tokens import TokenKeeper
from tokenroll.gateway.upstream import Pool
from tokenroll.gateway.wallet_telling import WalletTelling
from tokenroll.gateway.wheel import Wheel
from tokenroll.model.instant import Instant
from tokenroll.services.cache_aids import CacheAids
from tokenroll.services.clock import Clock
from tokenroll.services.group_commit import GroupCommit
from tokenroll.services.hot import HotHold
from tokenroll.services.loops import Loops
from tokenroll.services.output_sizes import OutputSizes
from tokenroll.services.spending import Spending

if TYPE_CHECKING:
    from tokenroll.gateway.exchange import Exchange
    from tokenroll.gateway.twins import TwinCall

_TERMS_MAX: Final = 4096
BACKLOG: Final = 4096
"""Connections the kernel may hold for us while we are busy; its own limit (somaxconn) caps it."""
_FIRST_CALL_SECONDS: Final = 1.0
"""How long a worker that stops waits for the first call of a client that has only connected: nobody sends it again by itself."""


class Gateway:
    """The shared state of all connections of one worker. Used on its loop's thread only."""

    def __init__(
        self,
        settings: GatewaySettings,
        spending: Spending,
        commit: GroupCommit,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        outbox: Outbox,
    ) -> None:
        self.settings = settings
        self.edge = settings.edge
        self.spending = spending
        self.commit = commit
        self.clock = clock
        self.loop = loop
        self.outbox = outbox
        self.metrics = Metrics()
        self.metric_labels = f'worker="{settings.worker}"'
        self.wheel = Wheel(loop, settings.edge.tick_seconds)
        self.ticks = Ticks(settings.edge, self.wheel)
        self.request_reader = RequestReader()
        self.response_reader = ResponseReader()
        self.forwarding = Forwarding(self, settings.reports_socket)
        self.wallet_telling = WalletTelling(self)
        self.routes = Routes(settings.deployments, FAMILIES, spending.prices)
        self.pools: dict[Target, Pool] = {target: Pool(self, target) for target in self.routes.targets}
        self.routes.pools = self.pools
        self.twins: dict[bytes, TwinCall] = {}
        """Calls under way whose answers others may share, by the keyed hash of what they ask."""
        self.kept_bytes = 0
        """Of their answers, for whoever joins late."""
        self.loops = Loops()
        self.cache_aids = CacheAids(spending.fingerprints, spending.prices)
        self.output_sizes = OutputSizes()
        self.clients: set[ClientConnection] = set()
        self.body_bytes = 0
        """Request bodies being received or sent, beyond those that came in one read."""
        self.file_readings = 0
        """Files being read that bound calls."""
        self.not_ready = "The gateway has no lease yet."
        """Why no call is admitted now; empty when calls are."""
        self.stopping = False
        self.extra_sources: list[Callable[[], Iterable[tuple[str, str, str, float]]]] = []
        """Where /metrics asks others: the worker link for its fold lag."""
        self.shared_pages: SharedPages | None = None
        if settings.pages_directory is not None:
            self.shared_pages = SharedPages(settings.pages_directory, settings.worker, self.own_page)
        self._token_keepers = [TokenKeeper(one) for one in self.routes.targets if one.deployment.token_command]
        self._terms: dict[tuple[str, int, int], tuple[Instant, bytes]] = {}
        self._server: asyncio.Server | None = None
        self._acceptor: Acceptor | None = None
        """Of one of several workers."""
        self._dials: set[asyncio.Task[None]] = set()
        self._all_gone: asyncio.Event | None = None

    # ---- shared by connections ----------------------------------------------------------------------------

    def told_elsewhere(self, path: bytes) -> Forwarding | WalletTelling | None:
        """Who asks another process for what is read at this path; None: it is told here."""
        if path.startswith(PREFIXES):
            return self.forwarding
        return self.wallet_telling if path == WALLET_PATH and self.spending.sized is not None else None

    def dial(self, call: "Exchange", pool: Pool) -> None:
        """A new connection for `call`, which is told when there is one, or why not."""
        task = self.loop.create_task(self._dial(call, pool))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    @staticmethod
    async def _dial(call: "Exchange", pool: Pool) -> None:
        try:
            connection = await pool.dial()
        except OSError as error:
            call.dialled(None, str(error))
        else:
            call.dialled(connection, "it closed at once")

    def terms_lines(self, hold: HotHold) -> bytes:
        """The header lines about cycle and rate card; worked out once per card, zone and cycle."""
        key = hold.key
        name = (key.wallet.zone, hold.card.id, self.spending.calendars_told)
        known = self._terms.get(name)
        if known is None or hold.admitted_at >= known[0]:
            if len(self._terms) >= _TERMS_MAX:
                self._terms.clear()
            ends_at = self.spending.cycle_ends_at(key, hold.admitted_at)
            known = self._terms[name] = (ends_at, terms_lines(ends_at, hold.rate_card))
        return known[1]

    def metrics_page(self) -> str:
        """What is told at /metrics: of several workers that share a port, what all of them count."""
        return self.own_page() if self.shared_pages is None else self.shared_pages.text()

    def own_page(self) -> str:
        """What this worker counts, in Prometheus' words."""
        return self.metrics.text(self.extra_metrics(), self.metric_labels)

    def extra_metrics(self) -> Iterable[tuple[str, str, str, float]]:
        """What others count: tape, commit and ledger link."""
        durability = self.settings.durability.value
        yield "tokenroll_durability_info", "gauge", f'mode="{durability}"', 1
        yield "tokenroll_admitting", "gauge", "", 0 if self.not_ready else 1
        yield "tokenroll_open_holds", "gauge", "", len(self.spending.open_holds)
        yield "tokenroll_request_body_bytes", "gauge", "", self.body_bytes
        for dialect in DIALECTS:
            above = self.spending.above_hold.counts[dialect.index]
            yield "tokenroll_settled_above_hold_total", "counter", f'dialect="{dialect.name}"', above
        yield from self._deployment_metrics()
        for source in self.extra_sources:
            yield from source()

    def _deployment_metrics(self) -> Iterable[tuple[str, str, str, float]]:
        """How each deployment is, as this worker met it."""
        healths = [(f'deployment="{target.name}"', pool.health) for target, pool in self.pools.items()]
        for label, health in healths:
            yield "tokenroll_deployment_passed_over", "gauge", label, int(health.resumes_at > self.wheel.now)
        for label, health in healths:
            yield "tokenroll_deployment_open", "gauge", label, int(health.is_open)
        for label, health in healths:
            yield "tokenroll_deployment_failures_total", "counter", label, health.failure_count
        for label, health in healths:
            yield "tokenroll_deployment_openings_total", "counter", label, health.openings_count
        for label, health in healths:
            yield "tokenroll_deployment_rests_total", "counter", label, health.rests_count

    def deployments_state(self) -> dict[str, str]:
        """Each deployment in one word, for /healthz: `ok`, `resting` (by its own word) or `open` (after failures)."""
        now = self.wheel.now
        return {
            target.name: "open" if pool.health.is_open else "resting" if pool.health.resumes_at > now else "ok"
            for target, pool in self.pools.items()
        }

    # ---- life ---------------------------------------------------------------------------------------------

    def _protocol(self) -> asyncio.Protocol:
        """A protocol by its methods, not by inheritance: compiled, a class without a foreign base is the cheaper one."""
        return cast("asyncio.Protocol", ClientConnection(self))

    async def listen(self) -> int:
        """Accepts connections from now on. The port. Of several workers on one socket each takes its share."""
        settings = self.settings
        self.wheel.start()
        await asyncio.gather(*(keeper.start() for keeper in self._token_keepers))
        if settings.listening is not None:
            handed: int = settings.listening.getsockname()[1]
            if settings.attendance is None:
                self._server = await self.loop.create_server(self._protocol, sock=settings.listening, backlog=BACKLOG)
            else:
                self._acceptor = Acceptor(
                    settings.listening,
                    settings.attendance,
                    self._protocol,
                    count=lambda: len(self.clients),
                    admits=lambda: not self.not_ready,
                )
                self._acceptor.start()
            return handed
        self._server = await self.loop.create_server(
            self._protocol,
            settings.host,
            settings.port,
            reuse_address=True,
            reuse_port=hasattr(socket, "SO_REUSEPORT") and settings.port != 0,
            backlog=BACKLOG,
        )
        server: Any = self._server  # its sockets are a tuple by their type and a list by uvloop
        port: int = server.sockets[0].getsockname()[1]
        return port

    def connection_ended(self) -> None:
        """A client's connection is gone; the last one ends a stop."""
        if self._acceptor is not None:
            self._acceptor.tell()
        if self._all_gone is not None and not self.clients:
            self._all_gone.set()

    def _close_idle(self, *, new_too: bool) -> None:
        for client in list(self.clients):
            client.close_when_idle(new_too=new_too)

    async def stop(self) -> None:
        """No new connection; who has only connected may send one request. Calls under way end or are cut at `stop_seconds`; nothing is left unsettled but in suspense."""
        self.stopping = True
        if self._server is not None:
            self._server.close()
        if self._acceptor is not None:
            await self._acceptor.close()
        for keeper in self._token_keepers:
            await keeper.stop()
        self._all_gone = asyncio.Event()
        self._close_idle(new_too=False)
        self.loop.call_later(_FIRST_CALL_SECONDS, lambda: self._close_idle(new_too=True))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.stop_seconds):
                # what a tape that failed cannot record stays open on it: its next life says what became of it
                while self.clients or (self.spending.open_holds and self.commit.failure is None):
                    if self.clients:
                        await self._all_gone.wait()
                    else:  # answers that are read on after their clients left
                        await asyncio.sleep(self.edge.tick_seconds / 4)
        self.outbox.flush()
        for client in list(self.clients):
            client.transport.abort()
        for pool in self.pools.values():
            for connection in list(pool.idle):
                connection.abort()
        if self.shared_pages is not None:
            self.shared_pages.remove()
        self.wheel.stop()
        await asyncio.sleep(0)
