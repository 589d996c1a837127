"""A running company for tests: ledger and gateway in processes of their own, a simulated provider, the cast with their keys.

`with Company(tmp_path) as company: …`. Ports are chosen by the kernel; only processes that were started here are ended here.
Homes are copies of one that was made once per test session, because importing published prices takes a second.
"""

import atexit
import contextlib
import http.client
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Self

import anthropic
import openai

from tests.postgresql_kit import Choice, migrated, new_database, server
from tokenroll.app import ledger_door, open_reports, random_bits
from tokenroll.cli.init import make_home
from tokenroll.gateway.accepting import attendance_page
from tokenroll.ledger_place import LedgerUrl
from tokenroll.model.amount import nanos_from_text
from tokenroll.model.instant import MICROS_PER_SECOND
from tokenroll.services.clock import VirtualClock, system_clock
from tokenroll.services.commands import COMMANDS
from tokenroll.services.keys import key_hash, shown_prefix
from tokenroll.services.ledger_home import open_ledger
from tokenroll.services.protocol import Command
from tokenroll.services.replay_proof import Standing, prove, standing
from tokenroll.settings import CLOCK_NAME, DEMO_MARK_NAME, Settings, load_settings
from tokenroll.store.database import open_reader
from tokenroll.store.verify import verify
from tokenroll.testing import BillLine, SimulatedProvider

CREDIT = 1_000_000_000
MODELS = (
    "gpt-4o-mini",
    "gpt-3.5-turbo-instruct",
    "text-embedding-3-small",
    "omni-moderation-latest",
    "gpt-image-1.5",
    "gpt-image-2",
    "tts-1",
    "gpt-4o-mini-tts",
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-audio",
    "gpt-4o",
    "gpt-5-mini",
    "gpt-6-astra",
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-haiku-4-5",
    "model",
)
OWN_CARDS = {"reranker": {"input": "0.05"}, "rerank-v3.5": {"search_unit": "2"}, "painter": {"image": "0.04"}}
"""Models that nobody publishes prices of, with what they cost."""
DEPARTMENTS = {
    "Ada": "Engineering",
    "Bo": "Engineering",
    "Nightly agent": "Engineering",
    "Cleo": "Finance",
    "Dev": "People",
}
COMPANY_KEY = "sk-the-company"
READY_SECONDS_MAX = 90
MADE_DATABASE = "made_home"
QUIET_SECONDS_MAX = 90


class UnevenError(AssertionError):
    """The books do not agree; the message names where."""


@dataclass(frozen=True)
class Amounts:
    """One wallet as the ledger has it, in nanos."""

    left: int
    in_use: int
    being_checked: int
    spent: int
    company_carried: int


class Company:
    """See the module. `config` is TOML that is put after the deployments, `deployment` is put into each; `others` serve the same models.

    `messages_flavour` is how the provider wants Anthropic's dialect spoken.
    """

    def __init__(
        self,
        home: Path,
        *,
        durability: str = "written",
        observe: bool = False,
        config: str = "",
        deployment: str = "",
        provider: SimulatedProvider | None = None,
        moving_clock: bool = False,
        others: tuple[SimulatedProvider, ...] = (),
        messages_flavour: str = "standard",
        postgresql: bool | None = None,
        environment: dict[str, str] | None = None,
        workers: int = 1,
    ) -> None:
        self.workers = workers
        """How many gateway processes there are; the first is called "gateway", the second "gateway-1"."""
        self.ledger_url: LedgerUrl | None = None
        """The database of its ledger, where that is no file: by the argument, else by what the tests were told."""
        self._postgresql = Choice.postgresql if postgresql is None else postgresql
        self.home = home
        self.durability = durability
        self.observe = observe
        self.environment = environment or {}
        """What its processes are started with, beside the tests' own."""
        self.provider = provider or SimulatedProvider(seed=7, api_key=COMPANY_KEY)
        self.providers = (self.provider, *others)
        self.settings: Settings
        self.port = 0
        self.keys: dict[str, str] = {}
        self.clock: VirtualClock
        """With `moving_clock`: what all processes of this home go by."""
        self._moving_clock = moving_clock
        self._config = config
        self._deployment = deployment
        self._flavours = {"openai": "standard", "anthropic": messages_flavour}
        self._numbers = itertools.count(1)
        self._plans: set[str] = set()
        self._listening: socket.socket
        self._pages: socket.socket
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._clients: list[Any] = []

    # ---- life ----

    def __enter__(self) -> Self:
        for provider in self.providers:
            provider.start()
        shutil.copytree(_made_home(self._postgresql), self.home, dirs_exist_ok=True)
        if self._postgresql:
            self.ledger_url = new_database(MADE_DATABASE)
        (self.home / "provider-key").write_text(COMPANY_KEY)
        (self.home / "config.toml").write_text(self._config_text())
        if self._moving_clock:
            (self.home / DEMO_MARK_NAME).touch()
            self.clock = VirtualClock(self.home / CLOCK_NAME)
        self.settings = load_settings(self.home)
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self._listening.set_inheritable(True)
        self._pages = socket.create_server(("127.0.0.1", 0))
        self._pages.set_inheritable(True)
        self._attendance = attendance_page(self.workers)
        self.web_port: int = self._pages.getsockname()[1]
        self.port = self._listening.getsockname()[1]
        try:
            self.start_ledger(wait=False)
            self.start_gateway()
            self.before = standing(self.settings.ledger_place)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            with contextlib.suppress(Exception):
                client.close()
        for name in sorted(self._processes, key=lambda one: (one == "ledger", one == "web")):
            self.end(name, signal.SIGTERM)
        self._pages.close()
        self._listening.close()
        os.close(self._attendance)
        for provider in self.providers:
            provider.stop()

    def _config_text(self) -> str:
        tables = []
        for number, provider in enumerate(self.providers, 1):
            mark = "" if number == 1 else f"-{number}"
            for dialect, url in {"openai": provider.openai_base_url, "anthropic": provider.base_url}.items():
                tables.append(
                    f'[deployments.{dialect}{mark}]\ndialect = "{dialect}"\nbase_url = "{url}"\n'
                    f'api_key_file = "{self.home}/provider-key"\nflavour = "{self._flavours[dialect]}"\n{self._deployment}'
                )
        ledger = f'ledger = "{self.ledger_url.text}"\n' if self.ledger_url else ""
        return f'{ledger}[company]\nname = "Acme"\nzone = "UTC"\n' + "\n".join(tables) + self._config

    def start_ledger(self, *, wait: bool = True) -> None:
        """The ledger's process. It must not run already."""
        self._start("ledger")
        if wait:
            self.until(self._ledger_answers, "the ledger")

    def start_gateway(self, *, wait: bool = True) -> None:
        """The processes of the gateway that do not run, on the listening socket that outlives them, as under `tokenroll serve`."""
        flags = ["--fd", str(self._listening.fileno()), "--durability", self.durability]
        flags += ["--workers", str(self.workers), *(["--observe"] if self.observe else [])]
        flags += ["--attendance-fd", str(self._attendance)] if self.workers > 1 else []
        for worker in range(self.workers):
            name = f"gateway-{worker}" if worker else "gateway"
            if name not in self._processes:
                self._start(name, *flags, "--worker", str(worker))
        if wait:
            self.until(self.is_admitting, "the gateway")
            self.until(lambda: self.leases_out() == self.workers, "every gateway's lease")

    def start_web(self) -> None:
        """The process of the pages, where the gateway has reports of usage and costs from. Not every company here needs one."""
        self._start("web", "--fd", str(self._pages.fileno()))
        self.until(self.settings.reports_socket_path.exists, "the pages")

    def _start(self, role: str, *arguments: str) -> None:
        assert role not in self._processes, f"the {role} runs already"
        name, role = role, role.split("-", maxsplit=1)[0]
        with (self.home / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "tokenroll.cli.role", role, *arguments],
                env={**os.environ, **self.environment, "TOKENROLL_HOME": str(self.home)}, pass_fds=(self._listening.fileno(), self._pages.fileno(), self._attendance),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def end(self, role: str, number: signal.Signals = signal.SIGKILL) -> None:
        """That role's process gone, by this signal. Nothing happens when it does not run."""
        process = self._processes.pop(role, None)
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def clock_to(self, second: int) -> None:
        """The moving clock goes on to the next moment that is so many seconds after the turn of a minute."""
        minute = 60 * MICROS_PER_SECOND
        self.clock.advance((second * MICROS_PER_SECOND - self.clock()) % minute)

    def clock_to_hour(self, hour: int) -> None:
        """The moving clock goes on to the next moment that is so many hours after midnight: a test that moves on by minutes stays in that day."""
        day = 86_400 * MICROS_PER_SECOND
        self.clock.advance((hour * 3600 * MICROS_PER_SECOND - self.clock()) % day)

    def ask_to_end(self, role: str) -> None:
        """SIGTERM, without waiting."""
        self._processes[role].terminate()

    def log(self, role: str) -> str:
        """What a role wrote."""
        path = self.home / f"{role}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def until(self, ready: Any, what: str) -> None:
        """Waits for a condition while every process lives."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not ready():
            for role, process in self._processes.items():
                assert process.poll() is None, f"{role} ended with {process.returncode}:\n{self.log(role)}"
            assert time.monotonic() < deadline, f"{what} is not ready:\n{self.log('ledger')}\n{self.log('gateway')}"
            time.sleep(0.01)

    def until_found(self, name: str) -> None:
        """Waits until nothing of that member is being checked, in the ledger and in the gateway."""
        self.quiet()
        self.until(lambda: not self._open_rows() and self.me(name).being_checked == 0, "what is found out")

    def _ledger_answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.settings.socket_path))
            except OSError:
                return False
            return True

    def leases_out(self) -> int:
        """How many workers spend, as the ledger knows it."""
        with ledger_door(self.settings) as door:
            return sum(one["ready_at"] is not None for one in door.status().values["workers"])

    def is_admitting(self) -> bool:
        """Whether the gateway says that calls are admitted."""
        try:
            return self.get("/healthz")[0] == 200
        except OSError:
            return False

    # ---- people and money ----

    def do(self, name_: str, **arguments: Any) -> dict[str, Any]:
        """The answer of a command that must succeed and reach the gateway."""
        with ledger_door(self.settings) as door:
            reply = door.execute(Command(id=f"test-{next(self._numbers)}", name=name_, arguments=arguments))
        assert reply.result is not None, reply.problem
        if "gateway" in self._processes:
            assert reply.result["delivery"] != "pending", f"{name_} is not applied: {self.log('gateway')}"
        return reply.result

    def hire(self, name: str, nanos: int = 100 * CREDIT, *, department: str = "", key: str = "", **plan: Any) -> str:
        """A member with a stipend of `nanos` (0: none) under a plan with these terms, and a key. The key."""
        self.do("member.create", name=name, department=department or DEPARTMENTS.get(name, "Engineering"), zone="UTC",
                kind="service" if name == "Nightly agent" else "person")  # fmt: skip
        if nanos:
            self.grant(name, nanos, **plan)
        return self.key(name, key or f"tr-{name.lower().replace(' ', '-')}-{next(self._numbers)}")

    def key(self, name: str, secret: str, scope: str = "inference") -> str:
        """One more key of a member; the first one is the one that clients made here use."""
        self.do("key.create", member=name, name=f"{name} {next(self._numbers)}", scope=scope,
                secret_hash=key_hash(self.settings.pepper(), secret.encode()).hex(), shown_prefix=shown_prefix(secret))  # fmt: skip
        self.keys.setdefault(name, secret)
        return secret

    def grant(self, to: str, nanos: int, **plan: Any) -> dict[str, Any]:
        """Spendable at once, under a plan with these terms (enforcement, cap_policy, output_cap_tokens, overage_nanos_max)."""
        name = "stipend " + " ".join(f"{key}={value}" for key, value in sorted(plan.items()))
        if name not in self._plans:
            self.do("plan.create", name=name, kind="stipend", classification="tool", amount_nanos=CREDIT, **plan)
            self._plans.add(name)
        return self.do("grant.create", to=to, plan=name, amount_nanos=nanos)

    def openai(self, name: str = "Ada", **options: Any) -> openai.OpenAI:
        """The official client with that member's key; it does not try again unless told to."""
        client = openai.OpenAI(**self.openai_options(name, options))
        self._clients.append(client)
        return client

    def anthropic(self, name: str = "Ada", **options: Any) -> anthropic.Anthropic:
        """The official client with that member's key; it does not try again unless told to."""
        client = anthropic.Anthropic(**self.anthropic_options(name, options))
        self._clients.append(client)
        return client

    def openai_options(self, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """What an OpenAI client, synchronous or not, is made with."""
        strict = {"_strict_response_validation": True, "max_retries": 0, "timeout": 60}
        return {
            "base_url": f"http://127.0.0.1:{self.port}/v1",
            "api_key": self.keys.get(name, name),
            **strict,
            **options,
        }

    def anthropic_options(self, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """What an Anthropic client, synchronous or not, is made with."""
        strict = {"_strict_response_validation": True, "max_retries": 0, "timeout": 60}
        return {"base_url": f"http://127.0.0.1:{self.port}", "api_key": self.keys.get(name, name), **strict, **options}

    # ---- what is seen ----

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request without any client library: status, headers with small names, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def get(self, path: str, name: str = "") -> tuple[int, Any]:
        """Status and JSON (or text) of one of the gateway's own pages, with that member's key."""
        headers = {"authorization": f"Bearer {self.keys.get(name, name)}"} if name else {}
        status, seen, body = self.request("GET", path, None, headers)
        return status, json.loads(body) if "json" in seen.get("content-type", "") else body.decode()

    def metric(self, name: str) -> int:
        """One number of /metrics, summed over its labels unless they are part of `name`."""
        lines = [
            line.split() for line in self.get("/metrics")[1].splitlines() if line.startswith((name + " ", name + "{"))
        ]
        return sum(int(float(line[-1])) for line in lines)

    def wallet(self, name: str) -> Amounts:
        """The wallet of a member or pool in the ledger's books, now."""
        with open_reports(self.settings) as reports:
            seen = reports.wallet(name)
        return Amounts(seen["left_nanos"], seen["in_use_nanos"], seen["being_checked_nanos"], seen["spent_nanos"],
                       seen["company_carried_nanos"])  # fmt: skip

    def me(self, name: str) -> Amounts:
        """The same as the gateway knows it: `GET /me/wallet` with the member's own key. What the company carries is not told there."""
        status, seen = self.get("/me/wallet", name)
        assert status == 200, seen
        left, in_use, checked, spent = (
            nanos_from_text(seen[name]) for name in ("left", "in_use_now", "being_checked", "spent")
        )
        return Amounts(left, in_use, checked, spent, 0)

    def calls(self, name: str, limit: int = 1000) -> list[dict[str, Any]]:
        """The calls of a wallet in the ledger's books, newest first."""
        with open_reports(self.settings) as reports:
            return reports.calls(name, limit=limit)

    def bill(self) -> list[BillLine]:
        """The providers' own bills, every attempt they received."""
        return [line for provider in self.providers for line in provider.bill()]

    def bill_file(self, path: Path) -> Path:
        """The same as the file that finance is sent."""
        lines = [json.dumps({name: getattr(line, name) for name in line.__struct_fields__}) for line in self.bill()]
        path.write_text("".join(line + "\n" for line in lines))
        return path

    # ---- proof ----

    def quiet(self) -> None:
        """Waits until no call is open anywhere and the ledger has folded everything the gateway wrote."""
        deadline = time.monotonic() + QUIET_SECONDS_MAX
        while not self._is_quiet():
            if time.monotonic() > deadline:
                facts = (
                    f"provider {self.provider.state()}, gateway {self.get('/metrics')[1]}, ledger {self._open_rows()}"
                )
                raise UnevenError(f"not quiet after {QUIET_SECONDS_MAX} s: {facts}")
            time.sleep(0.01)

    def _is_quiet(self) -> bool:
        return (
            all(provider.state()["open"] == 0 for provider in self.providers)
            and not any(self.everywhere("tokenroll_open_holds", "tokenroll_unfolded_records"))
            and all(row.state == "suspense" for row in self._open_rows())
        )

    def everywhere(self, *names: str) -> list[int]:
        """These numbers of every worker, the first one's first. Who answers is not known before, so it is asked until all have.

        By connections that stay meanwhile: the next one comes to whoever has fewer.
        """
        found: dict[str, list[int]] = {}
        with contextlib.ExitStack() as asked:
            while len(found) < self.workers:
                connection = asked.enter_context(
                    contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60))
                )
                connection.request("GET", "/metrics?worker=this")
                told = [line.split() for line in connection.getresponse().read().decode().splitlines()]
                lines = [line for line in told if line[0].partition("{")[0] in names]
                worker = next(line[0] for line in lines).partition('worker="')[2].partition('"')[0]
                found[worker] = [int(float(line[-1])) for line in lines]
        return [number for worker in sorted(found, key=int) for number in found[worker]]

    def calls_open(self) -> list[Any]:
        """Attempts that have not ended in the ledger's books: in use or being checked."""
        return self._open_rows()

    def spent_by_all(self) -> int:
        """What all wallets and the company have spent on calls."""
        return self.stand().charged_nanos

    def _open_rows(self) -> list[Any]:
        reader = open_reader(self.settings.ledger_place)
        with reader.connect() as connection:
            rows = connection.exec_driver_sql("SELECT hold_key, wallet_id, state FROM holds").all()
        reader.dispose()
        return list(rows)

    def prove(self) -> None:
        """Once all is quiet: bill = usage × rates = settlements = wallets = ledger, to the nano, and the journal
        recomputed from empty says the same.

        Raises UnevenError. The bill is added up here by hand as well, so that one adder's mistake does not vouch for itself.
        """
        self.quiet()
        lines = [json.dumps({name: getattr(line, name) for name in line.__struct_fields__}) for line in self.bill()]
        proof = prove(self.settings.ledger_place, self.before, lines)
        if not proof.holds:
            raise UnevenError(json.dumps(proof.summary(), indent=2))
        billed = sum(line.cost_nanos for line in self.bill()) - proof.suspense_bill_nanos
        if billed != proof.ledger_nanos:
            raise UnevenError(f"the bill adds up to {billed}, the ledger to {proof.ledger_nanos}")
        with open_reports(self.settings) as reports:
            verified = verify(reports.connection, reports.now)
        if not verified.holds:
            raise UnevenError("; ".join(one.message for one in verified.differences))

    def ledger_verify(self) -> dict[str, Any]:
        """`tokenroll journal verify` as a person runs it; what it says. Raises UnevenError."""
        return self.tokenroll("journal", "verify", "--json")

    def tokenroll(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """The command line's answer in this home, as JSON; `code` is how it must end."""
        done = subprocess.run(
            [sys.executable, "-m", "tokenroll", *arguments], env={**os.environ, "TOKENROLL_HOME": str(self.home)},
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        if done.returncode != code:
            raise UnevenError(
                f"tokenroll {' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}"
            )
        return json.loads(done.stdout)

    def stand(self) -> Standing:
        """Where the ledger stands now."""
        return standing(self.settings.ledger_place)

    @contextlib.contextmanager
    def moves(self, name: str, nanos: int) -> Iterator[None]:
        """What happens inside costs that wallet exactly `nanos`; all books agree on it, and so does what the gateway enforces."""
        before = self.wallet(name)
        yield
        self.prove()
        after = self.wallet(name)
        assert after == replace(before, left=before.left - nanos, spent=before.spent + nanos)
        assert self.me(name) == replace(after, company_carried=0)

    # ---- without any client library ----

    def raw_chat(self, name: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
        """The bytes of a chat call."""
        return self._raw(
            "/v1/chat/completions", {"authorization": f"Bearer {self.keys[name]}", **(headers or {})}, body
        )

    def raw_messages(self, name: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
        """The bytes of a messages call."""
        return self._raw(
            "/v1/messages", {"x-api-key": self.keys[name], "anthropic-version": "2023-06-01", **(headers or {})}, body
        )

    @staticmethod
    def _raw(path: str, headers: dict[str, str], body: bytes) -> bytes:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {path} HTTP/1.1\r\nhost: gateway\r\n{lines}content-length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def pipelined(self, requests: list[bytes]) -> list[tuple[int, bytes]]:
        """Status and body of each, all sent at once on one connection before the first answer is read."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(b"".join(requests))
            answers = []
            reader = connection.makefile("rb")
            for _ in requests:
                status = int(reader.readline().split()[1])
                length = 0
                while (line := reader.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                answers.append((status, reader.read(length)))
            reader.close()
        return answers


@cache
def _made_home(on_postgresql: bool) -> Path:
    """A home with secret, ledger, departments and rate cards, made once for all tests of a session; its database is a template."""
    folder = Path(tempfile.mkdtemp(prefix="tokenroll-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    place = None
    if on_postgresql:
        server().run(f"CREATE DATABASE {MADE_DATABASE} TEMPLATE {migrated()} STRATEGY FILE_COPY")
        place = server().url(MADE_DATABASE)
    settings = Settings(home=folder / "home", ledger=place)
    make_home(settings, "Acme", "UTC")
    commands: list[tuple[str, dict[str, Any]]] = [
        ("company.set", {"name": "Acme", "zone": "UTC"}),
        *(("department.create", {"name": name}) for name in sorted(set(DEPARTMENTS.values()))),
        ("ratecard.import", {"providers": ["openai", "anthropic", "testing"], "models": list(MODELS)}),
        *(
            ("ratecard.set", {"card": {"provider": "openai", "model": model, "prices": {"standard": prices}}})
            for model, prices in OWN_CARDS.items()
        ),
    ]
    with open_ledger(
        ledger_place=settings.ledger_place, lock_path=settings.lock_path, clock=system_clock, commands=COMMANDS,
        random_bits=random_bits,
    ) as ledger:  # fmt: skip
        for number, (name, arguments) in enumerate(commands):
            reply = ledger.execute(Command(id=f"made-{number}", name=name, arguments=arguments))
            assert reply.result is not None, reply.problem
    return settings.home
