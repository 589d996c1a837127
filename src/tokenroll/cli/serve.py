"""`tokenroll serve`: ledger, gateways and pages as processes of their own, kept alive, ended together.

The listening sockets belong to the supervisor and are handed down, so a gateway that is restarted refuses nobody: callers wait
in the kernel's queue for its successor.
"""

import contextlib
import http.client
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Annotated, Final

import typer

from tokenroll.cli.console import note, say, settings_with_ledger
from tokenroll.cli.program import Failure
from tokenroll.cli.role import NOT_AGAIN_CODE, refuse_bad_deployments, refuse_bad_line
from tokenroll.gateway.accepting import attendance_page
from tokenroll.services.addresses import remove_addresses, running_addresses, write_addresses
from tokenroll.settings import NODE_WORKERS, WORKERS_MAX, Settings, child_environment
from tokenroll.settings_table import Listen, listen_from_text
from tokenroll.store.tape import worker_directory

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

LEDGER: Final = "ledger"
INTERPRETER: Final = (sys.executable, "-m", "tokenroll.cli.role")
BACKLOG: Final = 4096
_FLAGS: Final = {
    "gateway": "--listen or --port 0",
    "web": "--web-listen",
    "nodes": "listen under [nodes] in config.toml",
}
"""Where each address is chosen."""
READY_SECONDS_MAX: Final = 60
"""A ledger that folds a long tape first is slow to start; one that is not ready in a minute has a reason in its output."""
STOP_SECONDS_MAX: Final = 20
"""Time for open calls to drain and the tape to be folded, before a process is killed (which loses nothing, law 6)."""
BACK_OFF_SECONDS_MIN: Final = 0.1
BACK_OFF_SECONDS_MAX: Final = 10.0
LIVED_SECONDS: Final = 30
"""A process that lived this long is started again at once."""
MEANING: Final = {
    "synced": "a hold survives power loss before its call is sent",
    "written": "a hold survives the death of any process before its call is sent, not power loss",
}


@dataclass(slots=True, kw_only=True)
class Role:
    """One process to keep alive."""

    name: str
    command: Sequence[str]
    fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    back_off: float = BACK_OFF_SECONDS_MIN
    start_again_at: float = 0.0


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """Starts roles in order, starts again what dies, ends all in the reverse order."""

    settings: Settings
    roles: list[Role] = field(default_factory=list)
    stopping: bool = False

    def start(self, role: Role) -> None:
        """The role's process, in a process group of its own so that a terminal's Ctrl-C reaches only the supervisor."""
        role.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [*role.command, "--supervisor", str(os.getpid())],
            pass_fds=role.fds,
            env=child_environment(self.settings.home),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        role.started_at = time.monotonic()
        whole = self.settings.run_directory / f"{role.name}.pid"
        partial = whole.with_suffix(".partial")
        partial.write_text(f"{role.process.pid}\n", encoding="ascii")
        partial.replace(whole)  # whoever reads it never finds half of it

    def watch(self) -> None:
        """Until told to stop: whoever died is started again, later each time it dies young."""
        while not self.stopping:
            self.look()
            time.sleep(0.05)

    def look(self) -> None:
        """Whoever has died by now is started again when its time has come."""
        now = time.monotonic()
        for role in self.roles:
            if role.process is not None and (code := role.process.poll()) is not None:
                self._died(role, code, now)
            if role.process is None and now >= role.start_again_at:
                self.start(role)

    def _died(self, role: Role, code: int, now: float) -> None:
        role.process = None
        if code == NOT_AGAIN_CODE:
            role.start_again_at = math.inf
            note(f"tokenroll serve: {role.name} is not started again; its reason stands above")
            if all(one.process is None and one.start_again_at == math.inf for one in self.roles):
                raise Failure("nothing is left that could run; the reasons stand above", kind="certificate")
            return
        if now - role.started_at > LIVED_SECONDS:
            role.back_off = BACK_OFF_SECONDS_MIN
        role.start_again_at = now + role.back_off
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        note(f"tokenroll serve: {role.name} ended ({how}); starting it again in {role.back_off:.1f} s")
        role.back_off = min(role.back_off * 2, BACK_OFF_SECONDS_MAX)

    def stop(self) -> None:
        """Gateways and pages first, then the ledger, which folds their last words; each is asked, then killed."""
        self._end([role for role in self.roles if role.name != LEDGER])
        self._end([role for role in self.roles if role.name == LEDGER])

    def _end(self, roles: Sequence[Role]) -> None:
        alive = [(role, role.process) for role in roles if role.process is not None]
        for _, process in alive:
            process.send_signal(signal.SIGTERM)
        for role, process in alive:
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                note(f"tokenroll serve: {role.name} does not end and is killed; its tape is folded at the next start")
                process.kill()
                process.wait()
            (self.settings.run_directory / f"{role.name}.pid").unlink(missing_ok=True)

    def look_while_starting(self) -> None:
        """Whoever was killed is started again. Raises Failure for one that ended by itself: it says why, and would end so again."""
        for role in self.roles:
            if role.process is not None and (code := role.process.poll()) is not None and code >= 0:
                raise Failure(f"{role.name} did not start (exit code {code}); its reason stands above", kind="start")
        self.look()


@app.command()
def serve(
    *,
    listen: Annotated[str | None, typer.Option(help="Gateway address host:port; default from config.toml.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Gateway port; 0 lets the system choose, for the pages too.")
    ] = None,
    web_listen: Annotated[str | None, typer.Option(help="Address of the pages; default from config.toml.")] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, max=WORKERS_MAX, help="Gateway processes, 0: only nodes serve; default from config.toml."),
    ] = None,
    durability: Annotated[str | None, typer.Option(help="synced or written; default from config.toml.")] = None,
    observe: Annotated[bool, typer.Option("--observe", help="Refuse nobody, record every would-be denial.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="When ready, print one line of JSON with the addresses.")
    ] = False,
) -> None:
    """Start ledger, gateways and pages; Ctrl-C ends them all."""
    settings = _overridden(
        settings_with_ledger(),
        listen=listen,
        port=port,
        web_listen=web_listen,
        workers=workers,
        durability=durability,
        observe=observe,
    )
    if not settings.gateway.workers and settings.nodes is None:
        raise Failure(
            f"with 0 workers only nodes serve, and {settings.config_path} lets none in: start with --workers 1 or more, or write [nodes] "
            "with its listen (docs/nodes.md)", kind="settings",
        )  # fmt: skip
    refuse_bad_deployments(settings)
    refuse_bad_line(settings)
    settings.pepper()  # its roles need it: without one, why is told once, here, and not by each of them
    refuse_second(settings)
    settings.run_directory.mkdir(mode=0o700, exist_ok=True)
    with contextlib.ExitStack() as sockets:
        places = _places(settings).items()
        doors = {name: sockets.enter_context(listening(place, _FLAGS[name])) for name, place in places}
        supervisor = Supervisor(settings=settings)
        obey_signals(supervisor)
        try:
            _start_all(supervisor, doors)
            addresses = {name: address_of(door) for name, door in doors.items()}
            write_addresses(settings.run_directory, addresses)
            _announce(settings, addresses, as_json=as_json)
            supervisor.watch()
        finally:
            supervisor.stop()
            remove_addresses(settings.run_directory)


def _places(settings: Settings) -> dict[str, Listen]:
    """Where this home is reached: by clients, unless only nodes serve them, by browsers, and by nodes if there may be some."""
    places = {"gateway": settings.gateway.listen} if settings.gateway.workers else {}
    places["web"] = settings.web.listen
    if settings.nodes is not None:
        places["nodes"] = settings.nodes.listen
    return places


def _overridden(
    settings: Settings,
    *,
    listen: str | None,
    port: int | None,
    web_listen: str | None,
    workers: int | None,
    durability: str | None,
    observe: bool,
) -> Settings:
    if durability not in {None, "synced", "written"}:
        message = f"durability is synced or written, not {durability!r}"
        raise Failure(message, kind="usage", code=2)
    gateway, web = settings.gateway, settings.web
    address = gateway.listen if listen is None else listen_from_text(listen)
    pages = web.listen if web_listen is None else listen_from_text(web_listen)
    if port is not None:
        address = replace(address, port=port)
        pages = replace(pages, port=0) if port == 0 and web_listen is None else pages
    chosen = gateway.durability if durability is None else "written" if durability == "written" else "synced"
    return replace(
        settings,
        gateway=replace(
            gateway,
            listen=address,
            workers=gateway.workers if workers is None else workers,
            durability=chosen,
            observe=observe or gateway.observe,
        ),
        web=replace(web, listen=pages),
    )


def refuse_second(settings: Settings) -> None:
    """One supervisor a home. Raises Failure."""
    running = running_addresses(settings.run_directory)
    if running:
        where = running.get("gateway") or running.get("web")
        message = f"{settings.home} is served already, at http://{where}: stop that one, or set another TOKENROLL_HOME"
        raise Failure(message, kind="running")


@contextlib.contextmanager
def listening(listen: Listen, where: str = _FLAGS["gateway"]) -> Iterator[socket.socket]:
    """A socket that listens for as long as the block runs and that processes inherit. Raises Failure, which says where another is chosen."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((listen.host, listen.port))
        except OSError as error:
            message = f"cannot listen on {listen}: {error.strerror}; choose another with {where}"
            raise Failure(message, kind="listen") from error
        server.listen(BACKLOG)
        server.set_inheritable(True)
        yield server
    finally:
        server.close()


def address_of(server: socket.socket) -> str:
    """Where a socket listens."""
    host, port = server.getsockname()[:2]
    return str(Listen(host=host, port=port))


def obey_signals(supervisor: Supervisor) -> None:
    """SIGINT and SIGTERM end the watch."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        supervisor.stopping = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def _start_all(supervisor: Supervisor, doors: Mapping[str, socket.socket]) -> None:
    settings = supervisor.settings
    fds = (doors["nodes"].fileno(),) if "nodes" in doors else ()
    flags = [text for fd in fds for text in ("--fd", str(fd))]
    ledger = Role(name=LEDGER, command=[*INTERPRETER, "ledger", *flags], fds=fds)
    supervisor.roles.append(ledger)
    supervisor.start(ledger)
    note("tokenroll serve: starting the ledger")
    beside = "gateway" in doors and not _ran_with_more(settings)
    if beside:  # they read their tapes, and wait for the ledger
        start_gateways(supervisor, doors["gateway"], first_worker=0)
    _wait(supervisor, lambda: _ledger_answers(settings), "the ledger")
    _retire(settings)
    if "gateway" in doors and not beside:  # one that is alone now is refused while another may still run
        start_gateways(supervisor, doors["gateway"], first_worker=0)
    note("tokenroll serve: starting the pages; the gateway goes on where its tape ends")
    web = doors["web"]
    pages = Role(name="web", command=[*INTERPRETER, "web", "--fd", str(web.fileno())], fds=(web.fileno(),))
    supervisor.roles.append(pages)
    supervisor.start(pages)
    if "gateway" in doors:
        _wait(supervisor, lambda: healthy(doors["gateway"]), "the gateway")
    _wait(supervisor, lambda: healthy(web), "the pages")


def start_gateways(supervisor: Supervisor, door: socket.socket, *, first_worker: int) -> None:
    """The gateways of this machine, all on one listening socket, of whose connections each takes its share."""
    chosen = supervisor.settings.gateway
    fds: tuple[int, ...] = (door.fileno(),)
    flags = [
        "--workers",
        str(chosen.workers),
        "--durability",
        chosen.durability,
        *(["--observe"] if chosen.observe else []),
    ]
    if chosen.workers > 1:
        page = attendance_page(chosen.workers)
        fds += (page,)
        flags += ["--attendance-fd", str(page)]
    for worker in range(first_worker, first_worker + chosen.workers):
        command = [*INTERPRETER, "gateway", "--worker", str(worker), "--fd", str(door.fileno()), *flags]
        role = Role(name=f"gateway-{worker:03d}", command=command, fds=fds)
        supervisor.roles.append(role)
        supervisor.start(role)


def _ran_with_more(settings: Settings) -> bool:
    """Whether there are tapes of workers that run no more."""
    numbers = range(settings.gateway.workers, NODE_WORKERS[0])
    return any(worker_directory(settings.tape_directory, number).exists() for number in numbers)


def _retire(settings: Settings) -> None:
    """Workers of an earlier start with more of them, that did not end in order: a last life of each tells what its tape says.

    Raises Failure for one that cannot: what it was lent waits for it, and nobody may have everything meanwhile.
    """
    from tokenroll.app import ledger_door

    with ledger_door(settings) as door:
        known = door.status().values["workers"]
    for one in known:
        worker = one["worker"]
        if one["lease"] and settings.gateway.workers <= worker < NODE_WORKERS[0]:
            note(
                f"tokenroll serve: gateway {worker} runs no more; what its tape says is booked, what it was lent comes back"
            )
            command = [*INTERPRETER, "gateway", "--worker", str(worker), "--workers", str(worker + 1), "--retire"]
            ended = subprocess.run(command, env=child_environment(settings.home), check=False)  # noqa: S603 - our own
            if ended.returncode:
                raise Failure(f"gateway {worker} could not be retired; its reason stands above", kind="start")


def _wait(supervisor: Supervisor, ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not ready():
        if supervisor.stopping:
            raise typer.Exit(130)
        supervisor.look_while_starting()
        if time.monotonic() > deadline:
            message = f"{what} was not ready after {READY_SECONDS_MAX} s"
            raise Failure(message, kind="start")
        time.sleep(0.02)


def _ledger_answers(settings: Settings) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(settings.socket_path))
        except OSError:
            return False
        return True


def healthy(server: socket.socket) -> bool:
    """Whether a process behind the socket answers that it works."""
    host, port = server.getsockname()[:2]
    connection = http.client.HTTPConnection(_reachable(host), port, timeout=1)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - how such a listener is asked from here


def _announce(settings: Settings, addresses: dict[str, str], *, as_json: bool) -> None:
    durability = settings.gateway.durability
    if as_json:
        facts = {**addresses, "durability": durability, "observe": settings.gateway.observe, "pid": os.getpid()}
        say(json.dumps(facts))
        return
    if "gateway" in addresses:
        say(f"gateway     http://{addresses['gateway']}   {settings.gateway.workers} worker(s)")
    if "nodes" in addresses:
        say(f"nodes       tls://{addresses['nodes']}   `tokenroll node certificate NAME` makes one")
    say(
        f"pages       http://{addresses['web']}/me",
        f"ledger      {settings.ledger_place}",
        f"durability  {durability}: {MEANING[durability]}",
    )
    if settings.gateway.observe:
        say("observe     nobody is refused; every would-be denial is recorded")
    announce_deployments(settings)
    say("next        tokenroll client show claude-code | openai-python | anthropic-python | curl")


def announce_deployments(settings: Settings) -> None:
    """Where calls go from here."""
    for one in settings.deployments:
        has_secret = one.api_key or one.keyless or one.token_command
        missing = "" if has_secret else "   no key found: its calls will be refused by the provider"
        say(f"deployment  {one.name}: {one.dialect} at {one.base_url}{missing}")
    if not settings.deployments:
        say(f"deployment  none yet: add one to {settings.config_path}, or every call is refused")
