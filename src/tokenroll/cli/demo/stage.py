"""What all scenes stand on: a throw-away home, its clock, the processes in it, and the auditor who reads it back."""

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tokenroll.app import ledger_door
from tokenroll.cli.demo.show import Shown
from tokenroll.cli.init import make_home
from tokenroll.cli.program import Failure
from tokenroll.model.instant import Instant, instant_from_text, text_from_instant
from tokenroll.services.clock import VirtualClock, start_clock_at
from tokenroll.services.keys import RANDOM_BYTES, key_hash, new_key, shown_prefix
from tokenroll.services.ledger_client import LedgerClient
from tokenroll.services.protocol import Command
from tokenroll.services.replaying import Address
from tokenroll.settings import CLOCK_NAME, DEMO_MARK_NAME, Settings, child_environment, load_settings

COMPANY: Final = "Acme"
CYCLE: Final = "2027-03"
NEXT_CYCLE: Final = "2027-04"
BEGINS_AT: Final[Instant] = instant_from_text("2027-03-01T08:00:00Z")
"""A Monday morning: the made-up company's month is always this one, whatever the machine's date is."""
GRANTS_AT: Final[Instant] = instant_from_text("2027-03-01T00:00:00Z")
"""Plans hold and grants count from the month's first midnight."""
SEED: Final = 42
BILL_NAME: Final = "provider-bill.jsonl"
GATEWAY_PID_NAME: Final = "gateway-000.pid"
STOP_SECONDS_MAX: Final = 30
READY_SECONDS_MAX: Final = 60
_SAID_CHARACTERS_MAX: Final = 2_000
"""The end of a long complaint says most."""
_CONFIG: Final = """\
# Made by `tokenroll demo`: a made-up company, and a simulated provider on this machine.

[company]
name = "Acme"
zone = "UTC"

[gateway]
listen = "127.0.0.1:{port}"
durability = "synced"

[web]
listen = "127.0.0.1:0"

[deployments.openai]
dialect = "openai"
base_url = "{provider}/v1"
api_key_file = "{key_file}"

[deployments.anthropic]
dialect = "anthropic"
base_url = "{provider}"
api_key_file = "{key_file}"
"""


@dataclass(kw_only=True)
class Stage:
    """One run of the demo."""

    shown: Shown
    settings: Settings
    clock: VirtualClock
    provider: Address
    twin: Address
    """A second simulated provider without gateway and bill: how long the same calls take when nothing stands before them."""
    gateway: Address
    web: str
    door: LedgerClient
    auditor: "Auditor"
    calls: int
    """How many calls the month has."""
    is_kept: bool
    """Whether its home outlives the demo."""
    keys: dict[str, str] = field(default_factory=dict)
    """The secret of each member's key, by name."""
    key_ids: dict[str, str] = field(default_factory=dict)
    _command_count: int = 0

    @property
    def home(self) -> Path:
        """Where everything of this run lies."""
        return self.settings.home

    @property
    def bill(self) -> Path:
        """What the provider says it is owed."""
        return self.home / BILL_NAME

    # ---- doing --------------------------------------------------------------------------------------------------

    def execute(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        """The ledger's answer to one write. Raises Failure with its sentence."""
        self._command_count += 1
        reply = self.door.execute(Command(id=f"demo-{self._command_count}", name=name, arguments=arguments))
        if reply.result is None:
            raise Failure(f"{name}: {reply.problem}", kind=reply.problem_kind or "refused")
        result: dict[str, Any] = reply.result
        return result

    def make_key(self, member: str) -> str:
        """A key of a member, known to the ledger by its hash."""
        secret = new_key(os.urandom(RANDOM_BYTES))
        digest = key_hash(self.settings.pepper(), secret.encode()).hex()
        made = self.execute("key.create", member=member, secret_hash=digest, shown_prefix=shown_prefix(secret))
        self.keys[member] = secret
        self.key_ids[member] = str(made["key"])
        return secret

    def tokenroll(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> "Said":
        """What the product's own command line says in a process of its own. Raises Failure for another exit code."""
        done = subprocess.run(  # noqa: S603  our own program
            [sys.executable, "-m", "tokenroll", *arguments],
            env=child_environment(self.home),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in codes:
            said = (done.stderr.strip() or done.stdout.strip())[-_SAID_CHARACTERS_MAX:]
            raise Failure(f"`tokenroll {' '.join(arguments)}` ended with {done.returncode}: {said}")
        return Said(done.stdout, done.stderr, done.returncode)

    def advance_to(self, at: Instant) -> None:
        """Every process of the home finds itself at that instant, if it is not there or later already."""
        ahead = at - self.clock()
        if ahead > 0:
            self.clock.advance(ahead)

    def provider_control(self, path: str, **arguments: Any) -> dict[str, Any]:
        """What the simulated provider answers on `/-/…`: hold, release, state."""
        connection = http.client.HTTPConnection(*self.provider, timeout=30)
        try:
            if path == "state":
                connection.request("GET", "/-/state")
            else:
                connection.request("POST", f"/-/{path}", json.dumps(arguments))
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()

    def gateway_ready(self) -> bool:
        """Whether the gateway admits calls."""
        connection = http.client.HTTPConnection(*self.gateway, timeout=1)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def settled(self, seconds: float = READY_SECONDS_MAX) -> dict[str, Any]:
        """Waits until no call is under way any more and the books have all; calls that are being checked may be."""
        deadline = time.monotonic() + seconds
        while True:
            told = self._has_told_all()
            found = self.auditor.ask("open")
            if (told and not found["under_way"]) or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    def _has_told_all(self) -> bool:
        """Whether the gateway's last record is folded: it tells the ledger a moment after it told its client."""
        connection = http.client.HTTPConnection(*self.gateway, timeout=5)
        try:
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
        except OSError:  # it is starting anew: asked again soon
            return False
        finally:
            connection.close()
        found = [line for line in lines if line.startswith("tokenroll_unfolded_records{")]
        return bool(found) and all(line.endswith(" 0") for line in found)


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, what it complained of, and its exit code."""

    text: str
    complaint: str
    code: int

    @property
    def json(self) -> Any:
        """Its JSON."""
        return json.loads(self.text)


class Auditor:
    """A second process that knows the home and nothing else; every proof is its answer (`auditor.py`)."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, question: str, **arguments: Any) -> dict[str, Any]:
        """Its answer, read from the ledger now. Raises Failure when it has none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"question": question, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise Failure(f"the process that reads the ledger back ended at {question!r}; its reason stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def open_stage(shown: Shown, *, port: int, home: Path | None, keep: bool, calls: int) -> Iterator[Stage]:
    """Everything running, and everything ended and removed afterwards, however the scenes end."""
    place, is_kept = _new_home(home), keep or home is not None
    try:
        with contextlib.ExitStack() as stack:
            yield _set_up(stack, shown, place, port, calls, is_kept=is_kept)
    finally:
        if not is_kept:
            shutil.rmtree(place, ignore_errors=True)


def _new_home(home: Path | None) -> Path:
    if home is None:
        return Path(tempfile.mkdtemp(prefix="tokenroll-demo-")).resolve()
    place = home.expanduser().absolute()
    if place.exists() and any(place.iterdir()):
        raise Failure(f"{place} is not empty: the demo plays in a new home only, so that it can harm no other")
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place


def _set_up(stack: contextlib.ExitStack, shown: Shown, home: Path, port: int, calls: int, *, is_kept: bool) -> Stage:
    (home / DEMO_MARK_NAME).write_text("made by `tokenroll demo`; only such a home may have a moving clock\n")
    start_clock_at(home / CLOCK_NAME, BEGINS_AT)
    key_file = home / "provider-key"
    key_file.write_text("simulated", encoding="ascii")
    simulate = ["simulate", "--bill", str(home / BILL_NAME), "--seed", str(SEED), "--json"]
    simulator = stack.enter_context(process(home, "provider", simulate))
    twin = stack.enter_context(process(home, "twin", ["simulate", "--seed", str(SEED), "--json"]))
    make_home(load_settings(home), COMPANY, "UTC")
    address = json.loads(first_line(simulator, home, "provider"))["anthropic_base_url"]
    config = _CONFIG.format(port=port, provider=address, key_file=key_file)
    (home / "config.toml").write_text(config, encoding="utf-8")
    settings = load_settings(home)
    clock = VirtualClock(home / CLOCK_NAME)
    stack.callback(clock.close)
    with ledger_door(settings) as door:
        command = Command(id="demo-0", name="company.set", arguments={"name": COMPANY, "zone": "UTC"})
        door.execute(command)
    server = stack.enter_context(process(home, "serve", ["serve", "--json"]))
    auditing = stack.enter_context(process(home, "auditor", None))
    listening = json.loads(first_line(server, home, "serve"))
    return Stage(
        shown=shown,
        settings=settings,
        clock=clock,
        provider=address_of(address),
        twin=address_of(json.loads(first_line(twin, home, "twin"))["anthropic_base_url"]),
        gateway=address_of(f"//{listening['gateway']}"),
        web=f"http://{listening['web']}",
        door=stack.enter_context(ledger_door(settings)),
        auditor=Auditor(auditing),
        calls=calls,
        is_kept=is_kept,
    )


def address_of(url: str) -> Address:
    """Host and port of a URL that one of our own processes printed."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return Address(parts.hostname, parts.port)


@contextlib.contextmanager
def process(home: Path, name: str, arguments: list[str] | None) -> Iterator["subprocess.Popen[str]"]:
    """One process of the home, in a session of its own so that Ctrl-C reaches the demo alone; ended by its id.

    No arguments: the auditor. What it writes to standard error lies in the home.
    """
    module = ["tokenroll.cli.demo.auditor"] if arguments is None else ["tokenroll", *arguments]
    with (home / f"{name}.log").open("ab") as log:
        started = subprocess.Popen(  # noqa: S603  our own program
            [sys.executable, "-m", *module],
            env=child_environment(home),
            stdin=subprocess.PIPE if arguments is None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        _end(started)


def _end(started: "subprocess.Popen[str]") -> None:
    if started.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            started.stdin.close()
    started.terminate()
    try:
        started.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()
    if started.stdout is not None:
        started.stdout.close()


def first_line(started: "subprocess.Popen[str]", home: Path, name: str) -> str:
    """The line that a process prints when it is ready. Raises Failure with what it said instead."""
    assert started.stdout is not None
    line = started.stdout.readline()
    if not line:
        said = (home / f"{name}.log").read_text(encoding="utf-8", errors="replace").strip()
        raise Failure(f"the process {name!r} ended with code {started.wait()} before it was ready: {said}")
    return line


def wait_until(ready: Callable[[], bool], what: str, seconds: float = READY_SECONDS_MAX) -> None:
    """Returns when it is so. Raises Failure when it takes too long."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise Failure(f"{what} took longer than {seconds:.0f} s")
        time.sleep(0.01)


def day_of(at: Instant) -> str:
    """The date of an instant."""
    return text_from_instant(at)[:10]
