"""A company with gateways on other machines: a home for each node, and a line that tests cut."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.company import Company
from tests.line_kit import Cable
from tokenroll.app import ledger_door
from tokenroll.services.clock import system_clock
from tokenroll.services.node_certificates import issue
from tokenroll.store.lease_book import LEASE_AWAY


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


class Node:
    """One of them: its home, its line, and the socket that its clients know."""

    def __init__(self, company: "Several", name: str, place: int, ledger_port: int) -> None:
        self.name = name
        self.worker = 64 + place
        self.home = company.home.parent / name
        self.cable = Cable(ledger_port)
        self.door = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.door.set_inheritable(True)
        self.port = self.door.getsockname()[1]
        self.home.mkdir(mode=0o700)
        issue(company.settings.nodes_directory, name, [self.worker], self.home, days=9, now=system_clock())
        shutil.copy(company.home / "secret", self.home)
        company.furnish(self)

    def close(self) -> None:
        self.cable.close()
        self.door.close()


class Several(Company):
    """Two nodes, and as many workers beside the ledger as `workers` says. Each node is one process, which nobody starts again.

    A lease counts for three seconds: a node stops after two and a half without its ledger, and the ledger waits a half longer.
    """

    def __init__(self, folder: Path, *, node: str = "", workers: int = 0, **options: Any) -> None:
        self.ledger_port = free_port()
        self._node = node
        self.nodes: list[Node] = []
        self._line: socket.socket | None = None
        config = f'\n[nodes]\nlisten = "127.0.0.1:{self.ledger_port}"\nlease_seconds = 3\n'
        super().__init__(folder / "home", config=config, workers=workers, **options)

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)
        for node in self.nodes:
            node.close()
        if self._line is not None:
            self._line.close()

    def start_ledger(self, *, wait: bool = True) -> None:
        if self._line is None:
            self._line = socket.create_server(("127.0.0.1", self.ledger_port))
            self._line.set_inheritable(True)
            self.nodes = [Node(self, f"eu-{place + 1}", place, self.ledger_port) for place in range(2)]
        arguments = ["ledger", "--fd", str(self._line.fileno())]
        self._start_in(self.home, "ledger", self._line, *arguments)
        if wait:
            self.until(self._ledger_answers, "the ledger")

    def furnish(self, node: Node) -> None:
        """What `tokenroll node certificate` writes beside the certificates, which other tests see to."""
        deployments = self._config_text().split("[deployments", 1)[1].split("[nodes]")[0]
        line = f'[node]\nledger = "tls://127.0.0.1:{node.cable.port}"\nworker = {node.worker}\n{self._node}'
        (node.home / "config.toml").write_text(f"{line}\n[deployments{deployments}")

    def start_gateway(self, *, wait: bool = True) -> None:
        if self.workers:
            super().start_gateway(wait=False)
        for node in self.nodes:
            self.start_node(node)
        self.port = self.nodes[0].port
        self.until(lambda: self.leases_out() == self.workers + 2, "every lease")
        for node in self.nodes:
            self.until(lambda node=node: self.admits(node), node.name)

    def start_node(self, node: Node) -> None:
        flags = ["--worker", str(node.worker), "--workers", "1", "--durability", "written"]
        self._start_in(node.home, node.name, node.door, "gateway", "--fd", str(node.door.fileno()), *flags)

    def _start_in(self, home: Path, name: str, door: socket.socket, *arguments: str) -> None:
        assert name not in self._processes
        with (self.home / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "tokenroll.cli.role", *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "TOKENROLL_HOME": str(home)}, pass_fds=(door.fileno(),),
            )  # fmt: skip

    @contextlib.contextmanager
    def at(self, port: int) -> Iterator[None]:
        """Clients come to that one meanwhile."""
        self.port, before = port, self.port
        try:
            yield
        finally:
            self.port = before

    @property
    def local_port(self) -> int:
        """The door of the workers beside the ledger."""
        port: int = self._listening.getsockname()[1]
        return port

    def admits(self, node: Node) -> bool:
        """Whether that node says that calls are admitted."""
        with self.at(node.port):
            return self.is_admitting()

    def everywhere(self, *names: str) -> list[int]:
        found: list[int] = []
        if self.workers:
            with self.at(self.local_port):
                found += super().everywhere(*names)
        for node in self.nodes:
            if node.name in self._processes:
                with self.at(node.port):
                    found += [self.metric(name) for name in names]
        return found

    def kill(self, node: Node) -> None:
        self.end(node.name, signal.SIGKILL)

    def cut(self, node: Node) -> None:
        """Nothing comes through, and nothing new."""
        node.cable.refuses = True
        node.cable.cut()

    def mend(self, node: Node) -> None:
        node.cable.refuses = False

    def lease_of(self, node: Node) -> dict[str, Any]:
        """What the ledger says of it."""
        with ledger_door(self.settings) as door:
            (one,) = [one for one in door.status().values["workers"] if one["worker"] == node.worker]
        return one

    def is_away(self, node: Node) -> bool:
        """Whether its lease was taken back, and is in suspense."""
        return self.lease_of(node)["lease"] == LEASE_AWAY
