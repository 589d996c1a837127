"""`tokenroll node`: gateways on other machines, their certificates, and the process that keeps one alive there."""

import json
import os
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tokenroll.cli.console import (
    CommandId,
    DryRun,
    Json,
    execute,
    noun_app,
    say,
    settings_with_ledger,
    show,
    table,
    when,
)
from tokenroll.cli.program import Failure
from tokenroll.settings import NODE_WORKERS, SECRET_NAME, WORKERS_MAX, Settings, load_settings
from tokenroll.settings_table import SettingsError, listen_from_text

if TYPE_CHECKING:
    from tokenroll.cli.serve import Supervisor

app = noun_app("Gateways on other machines.")

_LOOK_SECONDS: Final = 0.1
_QUESTION_SECONDS_MAX: Final = 5.0
_CONFIG: Final = """\
# tokenroll: the home of a node. Its ledger is on another machine; see docs/nodes.md and docs/config.md.

[node]
ledger = "tls://{ledger}"
worker = {worker}            # as its certificate says
# when_cut_off = "retry_then_deny"         # a call above its lease without its ledger: or "deny", or "allow" with allow_credits_max

[gateway]
listen = "127.0.0.1:8787"
workers = {workers}
durability = "synced"        # synced: a hold survives power loss; written: only the death of a process

# As in the ledger's own config.toml, under the same names. Providers' keys do not cross the line: they are told here.
#
# [deployments.anthropic]
# dialect = "anthropic"
# base_url = "https://api.anthropic.com"
# api_key_env = "ANTHROPIC_API_KEY"          # or api_key_file = "/path/to/key"
"""


@app.command()
def certificate(
    name: Annotated[
        str, typer.Argument(help="What the node is called, such as eu-1; a known name gets a new certificate.")
    ],
    *,
    ledger: Annotated[
        str, typer.Option(help="Where nodes reach this ledger, host:port; default where it listens.")
    ] = "",
    folder: Annotated[Path | None, typer.Option(help="Where the node's home is made; default NAME here.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=WORKERS_MAX, help="Gateway processes of that machine.")] = 1,
    days: Annotated[int, typer.Option(min=1, max=3_650, help="How long the certificate counts.")] = 397,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Make a node's home: certificate, key, configuration and the company's secret, in a folder to be copied there."""
    from tokenroll.services.clock import system_clock
    from tokenroll.services.node_certificates import CertificateError, issue, issued, workers_for

    settings = settings_with_ledger()
    address = _address(settings, ledger)
    target = (folder or Path(name)).absolute()
    try:
        numbers = workers_for(issued(settings.nodes_directory), name, workers)
        if not dry_run:
            settings.pepper()
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
            issue(settings.nodes_directory, name, numbers, target, days=days, now=system_clock())
            _furnish(settings, target, _CONFIG.format(ledger=address, worker=numbers[0], workers=workers))
    except CertificateError as error:
        raise Failure(str(error), kind="certificate") from error
    result = {"name": name, "workers": numbers, "folder": str(target), "ledger": f"tls://{address}", "dry_run": dry_run}

    def human() -> None:
        say(f"{'would make' if dry_run else 'made'} {target}: node {name}, worker {', '.join(map(str, numbers))}")
        if settings.nodes is None:
            say(
                f'next: write [nodes] with listen = "{address}" into {settings.config_path}, and start `tokenroll serve` anew'
            )
        say(f"next: add its deployments to {target}/config.toml, copy the folder to the machine, its keys in it")
        say("      and run there: TOKENROLL_HOME=that/folder tokenroll node serve")

    show(result, as_json=as_json, human=human)


@app.command("list")
def list_command(*, as_json: Json = False) -> None:
    """Every node that has a certificate of this home's authority: what it was lent, and for how long its lease still counts."""
    from tokenroll.services.node_certificates import CertificateError, issued

    settings = settings_with_ledger()
    try:
        known = issued(settings.nodes_directory)
    except CertificateError as error:
        raise Failure(str(error), kind="certificate") from error
    refused = settings.nodes.refused if settings.nodes else ()
    leases = _leases(settings)
    rows: list[dict[str, Any]] = [
        {
            "name": name, "workers": one.workers, "expires_at": one.expires_at, "refused": name in refused,
            **_lease_of([leases[worker] for worker in one.workers if worker in leases]),
        }
        for name, one in sorted(known.items())
    ]  # fmt: skip

    def human() -> None:
        shown = [
            {**row, "workers": ", ".join(map(str, row["workers"])), "expires": when(row["expires_at"]),
             "counts": "" if row["lease_seconds_left"] is None else f"{row['lease_seconds_left']} s"}
            for row in rows
        ]  # fmt: skip
        columns = {
            "name": "node", "workers": "worker", "lease": "lease", "counts": "counts on", "lent_nanos": "out, credits",
            "suspense_nanos": "in suspense, credits", "expires": "certificate until", "refused": "refused",
        }  # fmt: skip
        table(columns, shown, empty="no node has a certificate: `tokenroll node certificate NAME` makes one")

    show(rows, as_json=as_json, human=human)


def _leases(settings: Settings) -> dict[int, dict[str, Any]]:
    """By worker, what the ledger knows of it."""
    from tokenroll.app import ledger_door

    with ledger_door(settings) as door:
        return {one["worker"]: one for one in door.status().values["workers"]}


_LEASES: Final = {0: "none", 1: "everything", 2: "sized", 3: "away"}
"""As `store/lease_book.py` numbers them."""


def _lease_of(workers: list[dict[str, Any]]) -> dict[str, Any]:
    """The leases of a node's workers together: of several kinds the one that somebody has to see to."""
    left = [one["lease_seconds_left"] for one in workers if one.get("lease_seconds_left") is not None]
    return {
        "lease": _LEASES[max((one["lease"] for one in workers), default=0)],
        "lease_seconds_left": min(left, default=None),
        "lent_nanos": sum(one["lent_nanos"] for one in workers),
        "suspense_nanos": sum(one["away_nanos"] for one in workers),
    }


@app.command("give-up")
def give_up(
    name: Annotated[str, typer.Argument(help="A node that is away and will not come back with its tape.")],
    *,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Wait no more for a node: what it was lent is free again, and what calls held is found out by bill or by age."""
    from tokenroll.services.node_certificates import CertificateError, issued

    settings = settings_with_ledger()
    try:
        known = issued(settings.nodes_directory)
    except CertificateError as error:
        raise Failure(str(error), kind="certificate") from error
    if name not in known:
        raise Failure(f"no node is called {name}: `tokenroll node list` names all", kind="not_found")
    leases = _leases(settings)
    mine = [leases[worker] for worker in known[name].workers if worker in leases]
    away = [one["worker"] for one in mine if _LEASES[one["lease"]] == "away"]
    if not away:
        message = f"node {name} is not away, its lease is {_lease_of(mine)['lease']}: only one that is away is given up, for nobody spends of it any more"
        raise Failure(message, kind="not_away")
    results = [
        execute(
            "lease.give_up", {"worker": worker}, command_id=command_id and f"{command_id}-{worker}", dry_run=dry_run
        )
        for worker in away
    ]

    def human() -> None:
        for one in results:
            say(
                f"{'would give' if dry_run else 'gave'} up worker {one['worker']}: {one['returned']} credits are free again, "
                f"{one['calls_being_checked']} call(s) being checked"
            )

    show(results, as_json=as_json, human=human)


@app.command()
def serve(
    *,
    listen: Annotated[str | None, typer.Option(help="Gateway address host:port; default from config.toml.")] = None,
    observe: Annotated[bool, typer.Option("--observe", help="Refuse nobody, record every would-be denial.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="When ready, print one line of JSON with the address.")
    ] = False,
) -> None:
    """Start this node's gateways, and keep them alive; Ctrl-C ends them. Without its ledger it waits for it."""
    from tokenroll.cli import serve as serving
    from tokenroll.cli.role import refuse_bad_deployments
    from tokenroll.services.addresses import remove_addresses, write_addresses

    settings = load_settings()
    node = settings.node
    if node is None:
        message = f"{settings.config_path} has no table [node]: `tokenroll node certificate NAME`, beside the ledger, makes a node's home"
        raise Failure(message, kind="no_home")
    _refuse_unreadable(settings)
    refuse_bad_deployments(settings)
    settings.pepper()
    serving.refuse_second(settings)
    gateway = settings.gateway
    address = gateway.listen if listen is None else listen_from_text(listen)
    settings = replace(settings, gateway=replace(gateway, listen=address, observe=observe or gateway.observe))
    for place in (settings.run_directory, settings.tape_directory):
        place.mkdir(mode=0o700, exist_ok=True)
    with serving.listening(address) as door:
        supervisor = serving.Supervisor(settings=settings)
        serving.obey_signals(supervisor)
        try:
            serving.start_gateways(supervisor, door, first_worker=node.worker)
            addresses = {"gateway": serving.address_of(door)}
            write_addresses(settings.run_directory, addresses)
            if _ready(supervisor, door):
                _announce(settings, addresses["gateway"], as_json=as_json)
            supervisor.watch()
        finally:
            supervisor.stop()
            remove_addresses(settings.run_directory)


def _ready(supervisor: "Supervisor", door: socket.socket) -> bool:
    """True once calls are admitted, however long the ledger is away; False when it is told to stop.

    Asked less and less often: each question waits in the very queue that the gateway takes its first calls from.
    """
    from tokenroll.cli.serve import healthy

    pause, next_at = _LOOK_SECONDS, 0.0
    while not supervisor.stopping:
        supervisor.look()
        now = time.monotonic()
        if now >= next_at:
            if healthy(door):
                return True
            pause = min(2 * pause, _QUESTION_SECONDS_MAX)
            next_at = now + pause
        time.sleep(_LOOK_SECONDS)
    return False


def _announce(settings: Settings, address: str, *, as_json: bool) -> None:
    from tokenroll.cli.serve import MEANING, announce_deployments

    node, durability = settings.node, settings.gateway.durability
    assert node is not None
    if as_json:
        facts = {"gateway": address, "ledger": f"tls://{node.ledger}", "durability": durability, "pid": os.getpid()}
        say(json.dumps(facts))
        return
    say(
        f"gateway     http://{address}   {settings.gateway.workers} worker(s), {node.worker} and on",
        f"ledger      tls://{node.ledger}",
        f"durability  {durability}: {MEANING[durability]}",
    )
    announce_deployments(settings)


def _address(settings: Settings, given: str) -> str:
    """Where nodes reach the ledger. Raises Failure where nobody could: everything listens on 0.0.0.0 and nobody is there."""
    known = settings.nodes.listen if settings.nodes is not None else None
    try:
        address = listen_from_text(given) if given else known
    except SettingsError as error:
        raise Failure(f"--ledger {error}", kind="usage", code=2) from error
    if address is None:
        message = "--ledger must say where nodes reach this ledger, host:port: config.toml has no [nodes] yet"
        raise Failure(message, kind="usage", code=2)
    if address.host in {"0.0.0.0", "::"}:  # noqa: S104 - refused
        message = (
            f"--ledger must say where nodes reach this ledger, host:port: {address} is every address of this machine"
        )
        raise Failure(message, kind="usage", code=2)
    return str(address)


def _furnish(settings: Settings, target: Path, config: str) -> None:
    """The rest of a node's home. A configuration that is there stays: a new certificate changes nothing else."""
    secret = target / SECRET_NAME
    if not secret.exists():
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(settings.pepper())
    path = target / "config.toml"
    if not path.exists():
        path.write_text(config, encoding="utf-8")
        path.chmod(0o600)


def _refuse_unreadable(settings: Settings) -> None:
    """Certificates and number that cannot be right, told here once and not by each gateway. Raises Failure."""
    from tokenroll.services.node_line import LineError, node_context

    node = settings.node
    assert node is not None
    last = node.worker + settings.gateway.workers - 1
    if not settings.gateway.workers or last > NODE_WORKERS[1]:
        message = f"{settings.config_path}: a node has workers, up to number {NODE_WORKERS[1]}: see to [gateway] workers and [node] worker"
        raise Failure(message, kind="settings")
    try:
        node_context(node.files)
    except LineError as error:
        raise Failure(str(error), kind="certificate") from error
