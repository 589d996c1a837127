"""One role in a process of its own: what `tokenroll serve` starts with `python -m tokenroll.cli.role NAME`."""

import argparse
import asyncio
import contextlib
import ctypes
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tokenroll.cli.log_lines import log_as
from tokenroll.cli.program import failure_from
from tokenroll.settings import DURABILITIES, DeploymentSettings, Settings, entry_place, load_settings
from tokenroll.settings_table import SettingsError

if TYPE_CHECKING:
    from tokenroll.gateway.deployment import Deployment, Target
    from tokenroll.services.ledger import Ledger
    from tokenroll.services.ledger_route import LedgerRoute
    from tokenroll.services.ledger_server import LedgerServer
    from tokenroll.services.live_usage import LiveUsage
    from tokenroll.services.node_door import NodeDoor
    from tokenroll.services.span_intake import SpanIntake

_log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_FIRST_FD: Final = 3
NOT_AGAIN_CODE: Final = 3
"""Of a role that ends so no other life can do better: it is not started again."""
LOCK_SECONDS_MAX: Final = 10.0
"""How long a ledger waits for the one before it, or for a command, to let go of the home's lock."""
LOCK_RETRY_SECONDS: Final = 0.05
DATABASE_RETRY_SECONDS: Final = 0.5
"""How soon it is noticed that a PostgreSQL went away, and that it is back."""
STOP_SECONDS: Final = 10.0
"""How long calls under way may take to end when the supervisor asks: less than it waits before it kills."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one role until it is told to end. 0: it ended; 1: it could not start, and why stands on standard error; 3: nor can it later."""
    parser = argparse.ArgumentParser(prog="python -m tokenroll.cli.role", description=__doc__)
    parser.add_argument("role", choices=("ledger", "gateway", "web"))
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--fd", type=int, default=-1)
    parser.add_argument("--attendance-fd", type=int, default=-1)
    parser.add_argument("--durability", choices=DURABILITIES)
    parser.add_argument("--observe", action="store_true")
    parser.add_argument("--retire", action="store_true")
    parser.add_argument("--supervisor", type=int, default=0)
    given = parser.parse_args(arguments)
    log_as(f"gateway {given.worker}" if given.role == "gateway" else given.role)
    _end_with_parent(given.supervisor or os.getppid())
    _keep_memory_private()
    try:
        settings = load_settings()
        if given.role == "ledger":
            asyncio.run(_ledger(settings, _inherited(given.fd) if given.fd >= 0 else None))
        elif given.role == "gateway":
            chosen = settings.gateway
            if given.durability:
                chosen = replace(chosen, durability=given.durability)
            chosen = replace(chosen, observe=given.observe or chosen.observe, workers=given.workers)
            settings = replace(settings, gateway=chosen)
            _gateway(settings, given.worker, None if given.retire else _inherited(given.fd), given.attendance_fd)
        else:
            _web(settings, _inherited(given.fd))
    except Exception as error:
        failure = failure_from(error)
        if failure is None:
            raise
        sys.stderr.write(f"tokenroll {given.role}: {failure}\n")
        return NOT_AGAIN_CODE if isinstance(error, _NotNamedError) else 1
    return 0


class _NotNamedError(SettingsError):
    """The node's certificate does not speak for this worker."""


def _end_with_parent(parent: int) -> None:
    """A role never outlives its supervisor, however that one died: the kernel tells it.

    Who the supervisor is, it says itself: it may be dead before this process has come so far as to ask.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(0)


def _keep_memory_private() -> None:
    """Whatever this process dies of, its memory is copied nowhere: prompts and answers under way are in it, and keys (law 10).

    The limit keeps core files from being written, the flag also keeps them from programs that the kernel would hand them to.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)


def _inherited(descriptor: int) -> socket.socket:
    """The listening socket that the supervisor handed down."""
    if descriptor < _FIRST_FD:
        message = "--fd must name an inherited listening socket; start roles with `tokenroll serve`"
        raise SettingsError(message)
    return socket.socket(fileno=descriptor)


def _refuse_other_zone(settings: Settings, ledger: "Ledger") -> None:
    """The zone of the configuration is the ledger's. Raises SettingsError: a month that begins elsewhere than the file says pays wrongly.

    Judged by who has brought the ledger's schema up to date: nobody else could read one of an earlier release.
    """
    from tokenroll.services.people import company_zone

    zone, kept = settings.company.zone, company_zone(ledger.connection)
    ledger.connection.rollback()
    if zone and zone != kept:
        message = (
            f"{entry_place(settings.config_path, 'company', 'zone')} says {zone}, but the ledger of this home was made for {kept}, "
            f'and its cycles are counted there: write zone = "{kept}", or leave the line out. Members have zones of their own; '
            "a company in another zone is another home"
        )
        raise SettingsError(message)


async def _ledger(settings: Settings, for_nodes: socket.socket | None) -> None:
    from tokenroll.services.ledger_home import LedgerBusyError
    from tokenroll.store.database import is_lost, storage_problem

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    deadline = loop.time() + LOCK_SECONDS_MAX
    told = ""
    while not stopped.is_set():
        try:
            await _ledger_life(settings, stopped, for_nodes, has_waited=bool(told))
            told, deadline = "", loop.time() + LOCK_SECONDS_MAX
            continue
        except LedgerBusyError as error:
            if loop.time() > deadline:
                raise SettingsError(str(error)) from error
            waits, pause = f"waiting up to {LOCK_SECONDS_MAX:.0f} s, because {error}", LOCK_RETRY_SECONDS
        except Exception as error:
            if not is_lost(error):
                raise
            waits, pause = f"waiting, because {storage_problem(error)}", DATABASE_RETRY_SECONDS
            deadline = loop.time() + LOCK_SECONDS_MAX
        if told != waits:
            told = waits
            sys.stderr.write(f"tokenroll ledger: {waits}\n")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), pause)


async def _ledger_life(
    settings: Settings, stopped: asyncio.Event, for_nodes: socket.socket | None, *, has_waited: bool
) -> None:
    """The ledger opened and served, until it is told to stop or its database is gone or cannot be synced: then what was committed is read anew."""
    from tokenroll.app import clock_of, random_bits
    from tokenroll.gateway.asking import Asker
    from tokenroll.services.alert_desk import AlertDesk
    from tokenroll.services.commands import COMMANDS
    from tokenroll.services.enquiry_desk import EnquiryDesk
    from tokenroll.services.ledger_home import open_ledger
    from tokenroll.services.ledger_server import LedgerServer
    from tokenroll.services.restoring import CopyTooOldError, learn_lives
    from tokenroll.store.database import is_gone

    with open_ledger(
        ledger_place=settings.ledger_place,
        lock_path=settings.lock_path,
        clock=clock_of(settings),
        commands=COMMANDS,
        random_bits=random_bits,
    ) as ledger:
        _refuse_other_zone(settings, ledger)
        refuse_bad_line(settings)
        try:
            for told in learn_lives(ledger, settings.tape_directory):
                _log.warning("%s", told)
        except CopyTooOldError as error:
            raise SettingsError(str(error)) from error
        server = LedgerServer(ledger)
        if settings.nodes is not None:
            server.watch.seconds = settings.nodes.lease_seconds
            server.workers = lambda: [*range(settings.gateway.workers), *_node_workers(settings)]
        await server.start(settings.socket_path, settings.tape_directory)
        nodes = _node_door(settings, server, for_nodes)
        if has_waited:
            sys.stderr.write("tokenroll ledger: it goes on\n")
        alerts = AlertDesk(ledger, settings.alerts)
        alerts.start()
        enquiries = EnquiryDesk(ledger, Asker(_sound_targets(settings)), server.publish)
        enquiries.start()
        while not stopped.is_set() and not server.lost and not is_gone(ledger.connection):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), DATABASE_RETRY_SECONDS)
        await alerts.close()
        await enquiries.close()
        if nodes is not None:
            await nodes.close()
        await server.close()


def refuse_bad_line(settings: Settings) -> None:
    """Certificates with which the ledger can show itself to nodes, if there may be some. Raises SettingsError naming file and line."""
    from tokenroll.services.node_line import LineError, ledger_context

    if settings.nodes is None:
        return
    try:
        ledger_context(settings.nodes.files)
    except LineError as error:
        made = "" if settings.nodes_directory.exists() else "; `tokenroll node certificate NAME` makes the first ones"
        raise SettingsError(f"{entry_place(settings.config_path, 'nodes', 'listen')}: {error}{made}") from error


def _node_workers(settings: Settings) -> list[int]:
    """The workers that certificates of this home's authority name."""
    from tokenroll.services.node_certificates import CertificateError, issued

    try:
        return sorted(worker for one in issued(settings.nodes_directory).values() for worker in one.workers)
    except CertificateError:
        return []


def _node_door(settings: Settings, server: "LedgerServer", for_nodes: socket.socket | None) -> "NodeDoor | None":
    """Where gateways of other machines come in, if the configuration has such a door.

    The supervisor's socket outlives this ledger, so a copy of it is closed with the door. Certificates end by the machine's own clock,
    also in the demo.
    """
    from tokenroll.services.clock import system_clock
    from tokenroll.services.node_door import NodeDoor

    if settings.nodes is None or for_nodes is None:
        return None
    door = NodeDoor(server, settings.nodes, system_clock)
    door.start(for_nodes.dup())
    return door


def _sound_targets(settings: Settings) -> "Iterator[Target]":
    """The deployments that can be asked. A bad one is its gateway's to refuse, and no reason for the ledger to stand still."""
    from tokenroll.gateway.answers import FAMILIES
    from tokenroll.gateway.deployment import DeploymentError, Target

    for one in settings.deployments:
        with contextlib.suppress(DeploymentError, OSError, ValueError):
            yield Target(deployment_of(one), FAMILIES[one.dialect])


def _gateway(settings: Settings, worker: int, listening: socket.socket | None, attendance_fd: int) -> None:
    """A worker's life. Without a socket it is its last: nobody calls it, and it ends once it has told everything."""
    from tokenroll.app import clock_of
    from tokenroll.gateway.accepting import Attendance
    from tokenroll.gateway.deployment import DeploymentError
    from tokenroll.gateway.edge import EdgeLimits
    from tokenroll.gateway.process import WorkerEndedError, WorkerNotNamedError, run_gateway
    from tokenroll.gateway.settings import GatewaySettings
    from tokenroll.services.sized_lease import WhenCutOff
    from tokenroll.store.tape import Durability

    chosen = settings.gateway
    attendance = None
    if attendance_fd >= _FIRST_FD:  # the numbers of a machine's workers follow each other, wherever they begin
        attendance = Attendance(attendance_fd, chosen.workers, worker % chosen.workers)
    try:
        run_gateway(
            GatewaySettings(
                home=settings.home,
                worker=worker,
                workers=_lessees(settings),
                when_cut_off=WhenCutOff(settings.node.when_cut_off if settings.node else WhenCutOff.RETRY_THEN_DENY),
                beyond_max_nanos=_beyond_max_nanos(settings),
                retires=listening is None,
                listening=listening,
                attendance=attendance,
                durability=Durability(chosen.durability),
                deployments=tuple(deployment_of(one) for one in settings.deployments),
                decode_request_bodies=chosen.decode_request_bodies,
                empty_wallet_status=chosen.empty_wallet_status,
                limit_wait_seconds=chosen.limit_wait_seconds,
                stop_seconds=STOP_SECONDS,
                edge=EdgeLimits(attempts=chosen.attempts, retry_seconds=chosen.retry_seconds),
                pages_directory=settings.run_directory if attendance is not None else None,
                reports_socket=settings.reports_socket_path if settings.node is None else None,
            ),
            clock=clock_of(settings),
            pepper=settings.pepper(),
            route=_route(settings, worker),
            observe=chosen.observe,
        )
    except WorkerNotNamedError as error:
        raise _NotNamedError(
            f"{error}. Let `tokenroll node certificate`, beside the ledger, make one for {settings.gateway.workers} workers, or write "
            f"fewer workers under [gateway] in {settings.config_path}; then start this node again"
        ) from error
    except (DeploymentError, WorkerEndedError) as error:
        raise SettingsError(str(error)) from error


def _lessees(settings: Settings) -> int:
    """Of how many workers each of this machine is one: with nodes, of several, but for the one that is alone."""
    workers = settings.gateway.workers
    alone = settings.nodes is None if settings.node is None else settings.node.alone
    return workers if alone else max(2, workers)


def _beyond_max_nanos(settings: Settings) -> int:
    """The part of one worker in what a node may allow while it is cut off."""
    from tokenroll.model.amount import NANOS_PER_CREDIT

    return (
        0 if settings.node is None else settings.node.allow_credits_max * NANOS_PER_CREDIT // settings.gateway.workers
    )


def _route(settings: Settings, worker: int) -> "Path | LedgerRoute":
    """The way to the ledger: its socket, or from a node's home the line to another machine."""
    from tokenroll.services.ledger_route import TlsRoute

    if settings.node is None:
        return settings.socket_path

    def tell(text: str) -> None:
        _log.warning("%s", text)

    return TlsRoute(settings.node.ledger, settings.node.files, tell, worker=worker)


def deployment_of(one: DeploymentSettings) -> "Deployment":
    """A deployment of the configuration as the gateway wants it."""
    from tokenroll.gateway.deployment import Deployment

    return Deployment(
        name=one.name,
        dialect=one.dialect,
        base_url=one.base_url,
        api_key=one.api_key,
        provider=one.provider,
        models=one.models,
        aliases=one.aliases,
        service_tier=one.service_tier,
        pin_tier=one.pin_tier,
        ca_file=one.ca_file,
        plain_http_allowed=one.plain_http_allowed,
        weight=one.weight,
        priority=one.priority,
        retry_unanswered=one.retry_unanswered,
        fallbacks=one.fallbacks,
        connect_seconds=one.connect_seconds,
        first_byte_seconds=one.first_byte_seconds,
        idle_seconds=one.idle_seconds,
        answer_seconds=one.answer_seconds,
        flavour=one.flavour,
        api_version=one.api_version,
        keyless=one.keyless,
        token_command=one.token_command,
        token_seconds=one.token_seconds,
        refuses_unmetered=one.refuses_unmetered,
    )


def refuse_bad_deployments(settings: Settings) -> None:
    """Every deployment can be made ready: its address, its key, its authorities. Raises SettingsError naming file, line and entry.

    Asked before anything is started: a gateway would find it out only once it has its lease.
    """
    from tokenroll.gateway.answers import FAMILIES
    from tokenroll.gateway.deployment import DeploymentError, Target

    for one in settings.deployments:
        try:
            Target(deployment_of(one), FAMILIES[one.dialect])
        except DeploymentError as error:
            problem = str(error).removeprefix(f"{one.name}: ")
        except (OSError, ValueError) as error:
            problem = f"ca_file {one.ca_file} cannot be used: {error}" if one.ca_file else str(error)
        else:
            continue
        message = f"{entry_place(settings.config_path, 'deployments', one.name)}: {problem}"
        raise SettingsError(message)


def _web(settings: Settings, listening: socket.socket) -> None:
    import uvicorn

    from tokenroll.api import anthropic_usage, openai_usage
    from tokenroll.api.application import Branch, create_api
    from tokenroll.api.outcomes import outcome_routes
    from tokenroll.api.scim import PLACE, create_scim
    from tokenroll.api.traces import traces_route
    from tokenroll.app import Reader
    from tokenroll.gateway.answers import ANTHROPIC, ENDPOINTS, OPENAI
    from tokenroll.services.live_usage import LiveUsage
    from tokenroll.services.outcome_log import OutcomeLog
    from tokenroll.web.application import create_application

    reader = Reader(settings)
    live = LiveUsage(reader.reports, settings.live_usage_path)
    intake = _span_intake(settings)
    usage = [
        *openai_usage.usage_routes(reader, ENDPOINTS.values(), OPENAI),
        *anthropic_usage.usage_routes(reader, ENDPOINTS.values(), ANTHROPIC),
    ]
    config = uvicorn.Config(
        create_application(
            reader,
            [
                *outcome_routes(reader, OutcomeLog(settings.outcomes_path), settings.outcomes, reader.clock),
                Branch("/api", create_api(reader, live)),
                Branch(PLACE, create_scim(reader)),
                *usage,
                traces_route(reader, intake),
            ],
        ),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=64 * 1024,
    )
    with _beside(settings, live, intake), _for_reports(settings.reports_socket_path) as reports:
        asyncio.run(uvicorn.Server(config).serve(sockets=[listening, reports]))
    intake.close()
    reader.close()


def _span_intake(settings: Settings) -> "SpanIntake":
    """What takes reported spans. Raises SettingsError for rules of attribution that cannot be followed."""
    from tokenroll.services.importers.attribution import AttributionError, attribution_from_toml
    from tokenroll.services.span_intake import SpanIntake

    attribution = None
    rules = settings.telemetry.attribution_rules
    if rules is not None:
        try:
            attribution = attribution_from_toml(rules.read_text(encoding="utf-8"))
        except (OSError, AttributionError, UnicodeDecodeError) as error:
            place = entry_place(settings.config_path, "telemetry", "attribution_rules")
            raise SettingsError(f"{place} names {rules}, which cannot be followed: {error}") from error
    return SpanIntake(settings.spool_directory, settings.lake_directory, attribution)


@contextlib.contextmanager
def _beside(settings: Settings, live: "LiveUsage", intake: "SpanIntake") -> Iterator[None]:
    """What the pages' process does now and then: reported calls go into the lake, live sums to a collector where one is named."""
    from importlib.metadata import version

    from tokenroll.app import clock_of
    from tokenroll.model.limits import SPANS_DRAIN_SECONDS
    from tokenroll.services.live_sending import LiveSender
    from tokenroll.services.repeating import Repeating

    with contextlib.ExitStack() as threads:
        threads.enter_context(Repeating("reported calls", SPANS_DRAIN_SECONDS, intake.round))
        telemetry = settings.telemetry
        if telemetry.otlp_metrics_url:
            sender = LiveSender(
                live.figures,
                telemetry,
                company=settings.company.name,
                version=version("tokenroll"),
                clock=clock_of(settings),
            )
            threads.enter_context(Repeating("live usage", telemetry.otlp_metrics_seconds, sender.round))
        yield


@contextlib.contextmanager
def _for_reports(path: Path) -> Iterator[socket.socket]:
    """The Unix socket on which gateways ask for reports; only this user may. One that a dead process left is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    before = os.umask(0o177)
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.bind(str(path))
        finally:
            os.umask(before)
        server.listen()
        yield server
    path.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
