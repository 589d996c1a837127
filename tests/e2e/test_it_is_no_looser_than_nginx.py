"""What the gateway forwards, nginx would have forwarded as the same one request: both stand before the same provider and are sent the same bytes.

Being stricter is fine. A request that only we forward, or that we cut elsewhere, is a way to smuggle, and here it would move money. What
the ledger says is held against what the provider received, and nothing stays behind: no connection, no hold, no call in memory.
"""

import asyncio
import contextlib
import gc
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.e2e.edge_table import WHOLE
from tests.e2e.rig import CREDIT, Rig, RigOptions, ScriptedProvider, key_terms, raw_call, until, wallet_terms
from tests.e2e.smuggling import CORPUS, mutated
from tokenroll.gateway.call import Call
from tokenroll.gateway.client import ClientConnection
from tokenroll.gateway.edge import EdgeLimits

pytestmark = pytest.mark.skipif(
    shutil.which("nginx") is None, reason="nginx is not installed: scripts/system_packages.sh nginx"
)
SLOTS = 256
"""How many requests are sent at once: each has a wallet, a key and a mark of its own."""
CHARGE = 70_000
_WISHES = re.compile(
    rb'(?<=^\{)(?:"(?:max_completion_tokens|max_tokens)":\d+,|"stream_options":\{"include_usage":true\},)+'
)
"""What we put before a body's own fields: a cap where there is none, and the wish for a stream's usage."""
_MARK = re.compile(rb"x-case: ?(\d{6})", re.IGNORECASE)
_NEARLY_CLOSE = re.compile(rb"(?im)^connection:.*?(?:close[-\w]|[-\w]close)")
"""nginx ends a connection wherever it reads `close`; to RFC 9110 (7.6.1) a longer word is an option that nobody knows."""
_LENGTH = re.compile(rb"\r\ncontent-length: ?(\d+)\r\n", re.IGNORECASE)
CONFIG = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log info;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_max_body_size 4m; client_header_buffer_size 64k; large_client_header_buffers 4 64k;
  client_header_timeout 300ms; client_body_timeout 300ms; keepalive_timeout 300ms; lingering_close off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream provider {{ server 127.0.0.1:{provider}; keepalive 64; }}
  server {{ listen 127.0.0.1:{port} backlog=2048; location / {{ proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}
}}
"""


class Forwarded(NamedTuple):
    """A request as the provider received it, as far as both fronts must agree."""

    line: bytes
    body: bytes


class Recorder(ScriptedProvider):
    """A provider that writes down each request by its mark, and answers 10 tokens in and 5 out to all."""

    def __init__(self) -> None:
        super().__init__()
        self.by_mark: dict[bytes, list[Forwarded]] = {}

    async def listen(self, tls: ssl.SSLContext | None) -> None:
        assert tls is None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Recording(self), "127.0.0.1", 0, backlog=2048)
        self.port = self._server.sockets[0].getsockname()[1]


class Recording(asyncio.Protocol):
    """One connection of a front. A request without a length has no body: neither front sends chunks."""

    transport: asyncio.Transport

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.recorder.open.add(self)  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        self.recorder.open.discard(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, rest = self.buffer.partition(b"\r\n\r\n")
            length = _LENGTH.search(head + b"\r\n")
            size = int(length[1]) if length else 0
            if len(rest) < size:
                return
            self.buffer = rest[size:]
            mark = _MARK.search(head)
            line = head.partition(b"\r\n")[0]
            body = _WISHES.sub(b"", rest[:size])
            self.recorder.by_mark.setdefault(mark[1] if mark else b"", []).append(Forwarded(line, body))
            self.transport.write(WHOLE)


@contextlib.contextmanager
def nginx_before(provider_port: int, folder: Path) -> Iterator[int]:
    """The port of an nginx of our own before that provider."""
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    user = "user root;" if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(user + CONFIG.format(folder=folder, provider=provider_port, port=port))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["nginx", "-c", str(folder / "nginx.conf")], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        while True:
            assert process.poll() is None, (folder / "log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
        yield port
    finally:
        process.terminate()
        process.wait(20)


def filled(raw: bytes, slot: int) -> bytes:
    return raw.replace(b"KEY", b"tr-%06d" % slot).replace(b"CASE", b"%06d" % slot)


class Fronts:
    """Both fronts before one recorder."""

    def __init__(self, rig: Rig, recorder: Recorder, nginx_port: int) -> None:
        self.rig = rig
        self.recorder = recorder
        self.nginx_port = nginx_port
        self.forwarded = 0
        """Requests that we forwarded."""
        self.stricter = 0
        """Requests that nginx alone forwarded."""
        self.mishaps: list[str] = []
        rig.loop.set_exception_handler(lambda _, context: self.mishaps.append(str(context)))

    async def _seen(self, port: int, requests: list[list[bytes]]) -> dict[bytes, list[Forwarded]]:
        self.recorder.by_mark = {}
        await asyncio.gather(*(raw_call(port, parts, seconds=30) for parts in requests))
        return self.recorder.by_mark

    def differences(self, raws: list[bytes], split_at: int = 0) -> list[str]:
        """What one forwarded and the other did not, or otherwise; and where the ledger says another number of calls than the provider."""
        requests = [filled(raw, slot) for slot, raw in enumerate(raws, 1)]
        spent_before = self._spent_nanos()
        parts = [[one[:split_at], one[split_at:]] if split_at else [one] for one in requests]
        ours = self.rig.call(self._seen(self.rig.port, parts), 120)
        self.rig.call(until(lambda: not self.rig.spending.open_holds))
        theirs = self.rig.call(self._seen(self.nginx_port, [[one] for one in requests]), 120)
        found = []
        doubtful = []
        for mark, mine in ours.items():
            looser = Counter(mine) - Counter(theirs.get(mark, []))
            if looser and mark and 0 < int(mark) <= len(raws):
                doubtful.append(raws[int(mark) - 1])
            elif looser:  # its mark was lost: any of those without one
                doubtful += [raw for raw in raws if _MARK.search(filled(raw, 1)) is None]
        forwarded = sum(map(len, ours.values()))
        spent = self._spent_nanos() - spent_before
        if spent != CHARGE * forwarded:
            found.append(f"{forwarded} requests were forwarded, and {spent} nanos spent")
        found += [words for raw in doubtful for words in self._asked_again(raw)]
        self.forwarded += forwarded
        self.stricter += sum(map(len, theirs.values())) - forwarded
        return found

    def _asked_again(self, raw: bytes) -> list[str]:
        """The same alone: among hundreds, a busy machine lets nginx's time for a head pass. What differs three times differs."""
        if _NEARLY_CLOSE.search(raw):
            return []
        request = [[filled(raw, 1)]]
        words: list[str] = []
        for _ in range(3):
            ours = self.rig.call(self._seen(self.rig.port, request), 120)
            theirs = self.rig.call(self._seen(self.nginx_port, request), 120)
            looser = {mark: Counter(mine) - Counter(theirs.get(mark, [])) for mark, mine in ours.items()}
            words = [
                f"{raw[:400]!r}: we forwarded {list(one.elements())}, nginx {theirs}" for one in looser.values() if one
            ]
            if not words:
                return []
        return words

    def _spent_nanos(self) -> int:
        return sum(one.spent_nanos for one in self.rig.spending.wallets.hot.values())

    def leftovers(self) -> list[str]:
        """What is still there although every client has gone."""
        gateway = self.rig.gateway
        self.rig.call(until(lambda: gateway.metrics.client_connections == 0))
        with contextlib.suppress(
            TimeoutError
        ):  # what a closed transport still knows goes with a turn of the loop or two
            self.rig.call(until(lambda: not _alive(), seconds=20))
        alive = _alive()
        kept = [f"{len(alive)} calls and connections in memory"] if alive else []
        kept += [f"hold {number} is open" for number in self.rig.spending.open_holds]
        pooled = len(self.recorder.open)
        return kept + ([f"{pooled} connections to the provider"] if pooled > SLOTS + 64 else []) + self.mishaps


def _alive() -> list[object]:
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, Call | ClientConnection)]


@pytest.fixture(scope="module")
def fronts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fronts")
    recorder = Recorder()
    options = RigOptions(
        wallets=[wallet_terms(slot, 100 * CREDIT) for slot in range(1, SLOTS + 1)],
        keys=[key_terms(slot, slot, b"tr-%06d" % slot) for slot in range(1, SLOTS + 1)],
        edge=EdgeLimits(tick_seconds=0.05, head_seconds=0.3, body_seconds=0.3, idle_seconds=0.3, linger_seconds=0.1),
    )
    with Rig(folder, options, provider=recorder) as rig, nginx_before(recorder.port, folder / "nginx") as port:
        yield Fronts(rig, recorder, port)


def told(found: list[str]) -> str:
    return f"{len(found)} differences, such as:\n" + "\n".join(found[:12])


def test_the_corpus_is_not_thin():
    assert 120 <= len(CORPUS) <= SLOTS
    assert len(set(CORPUS.values())) == len(CORPUS) - 1  # `plain, and closed` is the table's plain call


@pytest.mark.parametrize("split_at", [0, 1, 24, 60, 99, 130, 150, 180])
def test_every_way_to_smuggle_is_read_as_nginx_reads_it_or_refused(fronts, split_at):
    found = fronts.differences(list(CORPUS.values()), split_at)
    assert not found, told(found)
    assert not fronts.leftovers()
    assert fronts.forwarded >= 30
    assert fronts.stricter >= 10


@settings(max_examples=6, derandomize=True, deadline=None)
@given(st.integers(0, 2**32))
def test_mutations_are_read_as_nginx_reads_them_or_refused(fronts, seed):
    found = fronts.differences([mutated(seed * SLOTS + slot) for slot in range(SLOTS)])
    assert not found, told(found)
    assert not fronts.leftovers()


@pytest.mark.endure
@pytest.mark.timeout(7200)
@settings(max_examples=1_000, deadline=None)
@given(st.integers(0, 2**62), st.integers(0, 300))
def test_a_quarter_of_a_million_mutations_are_read_as_nginx_reads_them_or_refused(fronts, seed, split_at):
    found = fronts.differences([mutated(seed * SLOTS + slot) for slot in range(SLOTS)], split_at)
    assert not found, told(found)
    assert not fronts.leftovers()
