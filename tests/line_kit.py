"""Certificates for the line between a ledger and its nodes, good ones and all kinds of bad ones, and the two ends of it in one loop."""

import asyncio
import datetime
import itertools
import socket
import threading
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.ledger_kit import BOOT, START, connect, new_ledger
from tests.lone_worker import ListeningWorker
from tokenroll.services.clock import system_clock
from tokenroll.services.ledger_route import TlsRoute
from tokenroll.services.ledger_server import LedgerServer
from tokenroll.services.node_door import NodeDoor
from tokenroll.services.node_tape import NodeTape
from tokenroll.services.protocol import FrameReader, encode
from tokenroll.services.worker_link import WorkerCore, WorkerLink
from tokenroll.settings import LineFiles, NodesSettings
from tokenroll.settings_table import Listen
from tokenroll.store.tape import worker_directory

WORKER = 64
_DAY = datetime.timedelta(days=1)
_numbers = itertools.count(1)


class Authority:
    """One that issues whatever a test wants, each certificate in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / f"authority-{next(_numbers)}"
        self.folder.mkdir()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "an authority")])
        made = self._build(self._name, self._key.public_key(), days=9, ca=True, purpose=None, names=[])
        self.ca_file = self.folder / "ca.crt"
        self.ca_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def ledger(self) -> LineFiles:
        return self.issue("ledger.tokenroll", "server", [x509.DNSName("ledger.tokenroll")])

    def node(self, name: str = "eu-1", *workers: int, days: int = 9) -> LineFiles:
        uris = [x509.UniformResourceIdentifier(f"tokenroll:worker:{one}") for one in workers or (WORKER,)]
        return self.issue(name, "client", uris, days=days)

    def issue(self, name: str, purpose: str, names: list[Any], *, days: int = 9) -> LineFiles:
        folder = self.folder / f"{name}-{next(_numbers)}"
        folder.mkdir()
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        made = self._build(subject, key.public_key(), days=days, ca=False, purpose=purpose, names=names)
        (folder / "crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        (folder / "key").touch(mode=0o600)
        (folder / "key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return LineFiles(ca_file=self.ca_file, certificate_file=folder / "crt", key_file=folder / "key")

    def _build(
        self, subject: Any, key: Any, *, days: int, ca: bool, purpose: str | None, names: list[Any]
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        usage = x509.KeyUsage(
            digital_signature=not ca, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=ca, crl_sign=ca, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        public = self._key.public_key()
        building = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
            .serial_number(x509.random_serial_number()).not_valid_before(now - 30 * _DAY).not_valid_after(now + days * _DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        )  # fmt: skip
        if purpose:
            oid = {"client": x509.OID_CLIENT_AUTH, "server": x509.OID_SERVER_AUTH}[purpose]
            building = building.add_extension(x509.ExtendedKeyUsage([oid]), critical=False)
        if names:
            building = building.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return building.sign(self._key, hashes.SHA256())


class NodeEvents(ListeningWorker):
    """A node's worker that writes down what it hears, refusals with their words."""

    def __init__(self, directory: Path, worker: int = WORKER) -> None:
        super().__init__(directory, worker)

    def ended(self, refusal):
        self.heard.append(f"ended {refusal.kind}: {refusal.text}")


class Line:
    """`async with Line(tmp_path) as line:` — a ledger that listens for nodes at `line.port`, on the running loop."""

    def __init__(self, folder: Path, *, refused: tuple[str, ...] = (), files: LineFiles | None = None) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.ledger = new_ledger(connect(), lambda: START)
        self.server = LedgerServer(self.ledger)
        self.told: list[str] = []
        self._settings = NodesSettings(files=files or self.authority.ledger(), refused=refused)
        self._links: list[WorkerLink] = []
        self._houses: list[NodeTape] = []

    async def __aenter__(self):
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self.door = NodeDoor(self.server, self._settings, system_clock)
        self.door.start(listening)
        return self

    async def __aexit__(self, *_):
        for house in self._houses:
            await house.close()
        for link in self._links:
            await link.close()
        await self.door.close()
        await self.server.close()

    def worker(
        self, files: LineFiles, *, worker: int = WORKER, boot_id: bytes = BOOT, port: int = 0, folder: str = "a",
        keeps_house: bool = False,
    ):  # fmt: skip
        """Core, events and link of a node that is on its way to the ledger."""
        directory = worker_directory(self.folder / f"node-{folder}", worker)
        directory.mkdir(parents=True, exist_ok=True)
        events = NodeEvents(directory, worker)
        core = WorkerCore(worker, directory, events, boot_id=boot_id, clock=lambda: START)
        route = TlsRoute(Listen(host="127.0.0.1", port=port or self.port), files, self.told.append, worker=worker)
        house = NodeTape(core, directory) if keeps_house else None
        link = WorkerLink(core, route, house.answered if house else None)
        link.start()
        if house:
            house.start(link)
            self._houses.append(house)
        self._links.append(link)
        return core, events, link

    def workers(self) -> list[int]:
        return [one["worker"] for one in self.ledger.status().values["workers"]]


class Cable:
    """A proxy of bytes between node and ledger, in a thread of its own, which can be cut, slow down, swallow and halve."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.swallows = False
        self.delay_seconds = 0.0
        self.half = False
        """The next piece is cut in its middle, and the connection with it."""
        self.refuses = False
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._call(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]

    def _call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self):
        return await asyncio.start_server(self._relay, "127.0.0.1", 0)

    async def _relay(self, reader, writer):
        self.connections += 1
        self._writers.add(writer)
        try:
            if self.refuses:
                return
            there, onward = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(onward)
            await asyncio.gather(self._pump(reader, onward), self._pump(there, writer))
        except OSError:
            pass
        finally:
            self._cut()

    async def _pump(self, source, target):
        while data := await source.read(65_536):
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            if self.half:
                self.half = False
                target.write(data[: len(data) // 2])
                await target.drain()
                self._cut()
                return
            if not self.swallows:
                for start in range(0, len(data), 700):  # in crumbs, so that no frame arrives in one piece
                    target.write(data[start : start + 700])
                await target.drain()
        target.close()

    def _cut(self):
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def cut(self) -> None:
        """Every connection gone at once."""
        self._loop.call_soon_threadsafe(self._cut)

    def close(self) -> None:
        async def end():
            self._server.close()
            self._cut()
            await asyncio.sleep(0.05)

        self._call(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class RawPeer(asyncio.Protocol):
    """Says what a test wants, and keeps what it hears."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.gone = asyncio.get_running_loop().create_future()
        self.reader = FrameReader()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.messages += self.reader.feed(data)

    def connection_lost(self, error):
        if not self.gone.done():
            self.gone.set_result(error)

    def say(self, *messages):
        self.transport.write(b"".join(map(encode, messages)))

    async def hears(self):
        """Everything until the ledger ended the connection."""
        async with asyncio.timeout(20):
            await self.gone
        return self.messages


async def until(condition, seconds: float = 20):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - any condition, without an event for each
            await asyncio.sleep(0.005)
