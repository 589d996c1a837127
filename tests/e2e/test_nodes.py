"""A gateway on another machine: a home of its own, the ledger across TCP and TLS, and a network that fails in every way."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import openai
import pytest

from tests.company import CREDIT, Company
from tests.e2e.burst import Burst, body_of, run
from tests.e2e.node_kit import free_port
from tests.line_kit import Cable
from tokenroll.services.addresses import running_addresses
from tokenroll.services.clock import system_clock
from tokenroll.services.node_certificates import issue

WHOLE = body_of(116, model="gpt-4o-mini", max_tokens=400, stream=False)
QUICK = {"x-sim-output-tokens": "12"}
CALL_NANOS = 21 * 150 + 12 * 600
"""What such a call costs: 20 bytes of content are 5 model tokens, and 16 for the message; 12 out."""


def tokenroll(home: Path, *arguments: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "tokenroll", *arguments], env={**os.environ, "TOKENROLL_HOME": str(home)},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Remote(Company):
    """A company whose only gateway is a node, alone, so that it has everything: `tokenroll node serve` in a home that `tokenroll node certificate` made."""

    def __init__(self, folder: Path, **options) -> None:
        self.ledger_port = free_port()
        config = f'\n[nodes]\nlisten = "127.0.0.1:{self.ledger_port}"\n'
        super().__init__(folder / "home", config=config, **options)
        self.node_home = folder / "eu-1"
        self.cable: Cable | None = None
        self._door: socket.socket | None = None

    def __exit__(self, *details) -> None:
        super().__exit__(*details)
        if self.cable is not None:
            self.cable.close()
        if self._door is not None:
            self._door.close()

    def start_ledger(self, *, wait: bool = True) -> None:
        """On a socket that the test keeps, as the supervisor does."""
        if self._door is None:
            self._door = socket.create_server(("127.0.0.1", self.ledger_port))
            self._door.set_inheritable(True)
            self.cable = Cable(self.ledger_port)
            made = self.tokenroll(
                "node", "certificate", "eu-1", "--folder", str(self.node_home), "--json",
                "--ledger", f"127.0.0.1:{self.cable.port}",
            )  # fmt: skip
            assert made["workers"] == [64]
            deployments = self._config_text().split("[deployments", 1)[1].split("[nodes]")[0]
            path = self.node_home / "config.toml"
            alone = path.read_text().replace("[node]\n", "[node]\nalone = true\n")
            path.write_text(f"{alone}[deployments{deployments}")
        self._start_with(
            self._door.fileno(), "ledger", "tokenroll.cli.role", "ledger", "--fd", str(self._door.fileno())
        )
        if wait:
            self.until(self._ledger_answers, "the ledger")

    def start_gateway(self, *, wait: bool = True) -> None:
        """The node, with its supervisor."""
        self._start_with(
            None, "gateway", "tokenroll", "node", "serve", "--listen", "127.0.0.1:0", home=self.node_home
        )  # fmt: skip
        self.until(lambda: running_addresses(self.node_home / "run"), "the node's address")
        self.port = int(running_addresses(self.node_home / "run")["gateway"].rsplit(":", 1)[1])
        if wait:
            self.until(self.is_admitting, "the node")

    def _start_with(self, fd, role, module, *arguments, home=None):
        assert role not in self._processes
        with (self.home / f"{role}.log").open("ab") as log:
            self._processes[role] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env={**os.environ, "TOKENROLL_HOME": str(home or self.home)}, pass_fds=(fd,) if fd else (),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def kill_node(self) -> None:
        """`kill -9` of the node's gateway; its supervisor starts another one."""
        os.kill(int((self.node_home / "run/gateway-064.pid").read_text()), signal.SIGKILL)

    def chat(self, name: str = "Ada"):
        return self.openai(name).chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "How much is left?"}], max_tokens=50,
            extra_headers=QUICK,
        )  # fmt: skip


@pytest.fixture
def company(tmp_path):
    with Remote(tmp_path) as running:
        running.hire("Ada")
        yield running


def all_agree(company):
    company.prove()
    assert company.ledger_verify()["differences"] == []
    assert company.calls_open() == []
    assert sum(line.cost_nanos for line in company.bill()) == company.spent_by_all()


def burst(company, count: int):
    """So many whole calls at once, and what happens while they are under way."""
    return [company.raw_chat("Ada", WHOLE, QUICK) for _ in range(count)]


def test_a_node_serves_calls_and_hears_of_grants_and_keys_within_a_second(company):
    status = company.tokenroll("node", "list", "--json")
    assert [(one["name"], one["workers"], one["refused"]) for one in status] == [("eu-1", [64], False)]
    with company.moves("Ada", 21 * 150 + 12 * 600):
        assert company.chat().choices
    # a grant is spent by within a second, or the ledger would have said "pending"
    started = time.monotonic()
    assert company.grant("Ada", 7 * CREDIT)["delivery"] == "applied"
    assert time.monotonic() - started < 1
    assert company.me("Ada").left == company.wallet("Ada").left
    # a new key works, a revoked one does not
    first = {one["key"] for one in company.tokenroll("key", "list", "--json")}
    company.key("Ada", "tr-second-key-of-ada")
    assert company.get("/me/wallet", "tr-second-key-of-ada")[0] == 200
    (key,) = {one["key"] for one in company.tokenroll("key", "list", "--json")} - first
    company.do("key.revoke", key=key)
    assert company.get("/me/wallet", "tr-second-key-of-ada")[0] == 401
    # all of it is the node's doing: there is no tape beside the ledger
    assert not list((company.home / "tape").glob("worker-*"))
    assert list((company.node_home / "tape/worker-064").glob("*.tape"))
    all_agree(company)
    # the node gives its lease back when it is asked to end, and begins another life
    company.end("gateway", signal.SIGTERM)
    company.start_gateway()
    assert company.chat().choices
    all_agree(company)


def test_calls_go_on_while_the_ledger_is_dead_and_all_is_booked_when_it_is_back(company):
    company.end("ledger")
    for _ in range(20):
        assert company.chat().choices
    # 20 × (21 × 150 + 12 × 600), known to the node alone
    assert company.me("Ada").spent == 207_000
    company.start_ledger()
    company.quiet()
    assert company.wallet("Ada").spent == 207_000
    all_agree(company)


def test_kills_of_ledger_and_node_under_load_lose_nothing(company, tmp_path):
    async def story():
        calls = Burst(company.port, burst(company, 300))
        await calls.until(lambda: len(calls.answers) >= 60)
        company.end("ledger")
        company.start_ledger(wait=False)
        await calls.until(lambda: len(calls.answers) >= 140)
        company.kill_node()
        return await calls.finish()

    answers = run(story)
    assert sum(answer.whole for answer in answers) >= 140
    company.until(company.is_admitting, "the node's next life")
    company.quiet()
    company.tokenroll("reconcile", "--bill", str(company.bill_file(tmp_path / "bill.jsonl")), "--json")
    all_agree(company)
    assert company.wallet("Ada") == company.me("Ada")
    calls = company.calls("Ada")
    assert len({call["call"] for call in calls}) == len(calls)
    assert company.chat().choices


@pytest.mark.parametrize("fault", ["cut", "half", "delay", "swallow", "refuse"])
def test_a_line_that_fails_loses_nothing_and_comes_back(company, fault):
    cable = company.cable

    async def story():
        calls = Burst(company.port, burst(company, 150))
        for part in range(1, 4):
            await calls.until(partial(lambda wanted: len(calls.answers) >= wanted, part * 30))
            if fault == "cut":
                cable.cut()
            elif fault == "half":
                cable.half = True
            elif fault == "delay":
                cable.delay_seconds = 0.05 * part
            elif fault == "swallow":
                cable.swallows = True
            else:
                cable.refuses = True
                cable.cut()
        return await calls.finish()

    answers = run(story)
    # the node spends what it has been leased, whatever becomes of the line
    assert [answer.status for answer in answers] == [200] * 150
    assert company.me("Ada").spent == 150 * CALL_NANOS
    cable.delay_seconds, cable.swallows, cable.refuses = 0, False, False
    if fault == "swallow":
        cable.cut()  # what was swallowed in the middle of a record, no TLS goes on behind
    company.quiet()
    assert company.wallet("Ada").spent == 150 * CALL_NANOS
    all_agree(company)
    assert company.grant("Ada", CREDIT)["delivery"] == "applied"
    assert cable.connections >= (1 if fault == "delay" else 2)


def test_a_node_that_is_cut_off_hears_what_it_has_missed(company):
    company.cable.refuses = True
    company.cable.cut()
    company.until(lambda: "waiting for the ledger at" in company.log("gateway"), "the node's word")
    with contextlib.suppress(AssertionError):
        company.grant("Ada", 7 * CREDIT)
    assert company.me("Ada").left == 100 * CREDIT
    assert company.wallet("Ada").left == 107 * CREDIT
    company.cable.refuses = False
    company.until(lambda: company.me("Ada").left == 107 * CREDIT, "the grant")
    assert "answers again" in company.log("gateway")
    all_agree(company)


def test_a_node_whose_certificate_is_not_taken_says_so_and_admits_nobody(company, tmp_path):
    company.end("gateway", signal.SIGTERM)
    # the same name and number, and another authority
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    issue(tmp_path / "other", "eu-1", [64], theirs, days=9, now=system_clock())
    for name in ("node.crt", "node.key"):
        (theirs / name).replace(company.node_home / name)
    company.start_gateway(wait=False)
    company.until(lambda: "it is of another authority than the ledger's" in company.log("gateway"), "why")
    # nobody takes calls, and nobody has a lease
    with socket.create_connection(("127.0.0.1", company.port), timeout=1) as caller:
        caller.sendall(b"GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n")
        with pytest.raises(TimeoutError):
            caller.recv(1)
    assert company.leases_out() == 0
    assert "was refused: its certificate is not taken (" in company.log("ledger")


def test_only_nodes_serve_where_there_are_no_workers_beside_the_ledger(tmp_path):
    """`tokenroll serve --workers 0` on one machine, `tokenroll node serve` on the other: the commands alone."""
    home, node = tmp_path / "home", tmp_path / "eu-1"
    port = free_port()
    subprocess.run(
        [sys.executable, "-m", "tokenroll", "init"], env={**os.environ, "TOKENROLL_HOME": str(home)}, check=True,
        capture_output=True, timeout=100,
    )  # fmt: skip
    with (home / "config.toml").open("a") as file:
        file.write(f'[nodes]\nlisten = "127.0.0.1:{port}"\n')
    tokenroll(home, "node", "certificate", "eu-1", "--folder", str(node), "--json")
    node_command = [sys.executable, "-m", "tokenroll", "node", "serve", "--listen", "127.0.0.1:0", "--json"]
    with started(node, node_command) as gateway:
        ledger_command = [
            sys.executable,
            "-m",
            "tokenroll",
            "serve",
            "--workers",
            "0",
            "--web-listen",
            "127.0.0.1:0",
            "--json",
        ]
        with started(home, ledger_command) as ledger:
            addresses = json.loads(ledger.stdout.readline())
            assert "gateway" not in addresses
            assert addresses["nodes"] == f"127.0.0.1:{port}"
            said = json.loads(gateway.stdout.readline())
            assert said["ledger"] == f"tls://127.0.0.1:{port}"
            with pytest.raises(openai.AuthenticationError):
                openai.OpenAI(base_url=f"http://{said['gateway']}/v1", api_key="tr-nobody", max_retries=0).models.list()


@contextlib.contextmanager
def started(home, command):
    process = subprocess.Popen(
        command,
        env={**os.environ, "TOKENROLL_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


def test_a_node_with_more_workers_than_its_certificate_names_says_so_once_and_serves(company, tmp_path):
    """The second one is not started again and again: no other life of it is let in either."""
    """The second one is not started again and again: no other life of it is let in either."""
    company.end("gateway", signal.SIGTERM)
    path = company.node_home / "config.toml"
    before, after = path.read_text().split("[gateway]\n")
    kept = [line for line in after.splitlines() if not line.startswith("workers")]
    path.write_text("\n".join([f"{before}[gateway]", "workers = 2", *kept, ""]))
    company.start_gateway()
    company.until(lambda: "gateway-065 is not started again" in company.log("gateway"), "the supervisor's word")
    company.chat()
    time.sleep(1)
    said = company.log("gateway")
    assert said.count("make one for 2 workers, or write fewer workers under [gateway] in ") == 1
    assert "the certificate of eu-1 speaks for worker 64, not for worker 65. Let `tokenroll node certificate`" in said
    assert "starting it again" not in said
