"""What the judge asks of a gateway: to be started, given budgets, asked what is left, killed and started again.

An adapter is one subclass. Everything else goes over HTTP as any client's call does, so no gateway can be judged by its own words alone.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

READY_SECONDS_MAX = 90
NANOS = 1_000_000_000
"""In one dollar, or one credit."""


class CannotRunError(Exception):
    """This gateway cannot be run on this machine; the message says why, and stands in the table."""


class NotOfferedError(Exception):
    """This gateway has nothing that the scenario needs; the message says what, and stands in the table."""


class AdapterError(Exception):
    """The gateway did not do what its adapter told it; nothing can be said about its promises."""


@dataclass(frozen=True)
class Door:
    """Where a simulated provider is."""

    base_url: str
    """Without `/v1`, as the dialect of Anthropic wants it."""

    @property
    def openai_base_url(self) -> str:
        return f"{self.base_url}/v1"


@dataclass(frozen=True)
class Setting:
    """What a gateway is started with."""

    folder: Path
    """Empty at the first start; its own from then on."""
    door: Door
    fallback_door: Door | None = None
    """Where `gpt-4o` is asked when `door` cannot answer a call to `gpt-4o-mini`; with it, `door` sells `gpt-4o-mini` alone."""
    workers: int = 1
    patience_seconds: int = 0
    """How long the gateway waits for a provider's first byte; 0: as long as it does by itself."""


@dataclass(frozen=True)
class Purse:
    """A key and the budget behind it."""

    key: str
    nanos: int
    subject: str
    """Whose budget it is, in the gateway's own words."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """What a call must carry so that this budget counts it, beside the key."""


@dataclass(frozen=True)
class Standing:
    """What the gateway says of a budget."""

    spent_nanos: int
    open_nanos: int
    """Neither spendable nor spent: held for calls under way, or being checked."""
    left_nanos: int


class Gateway(ABC):
    """One gateway with its processes. See the module."""

    name: ClassVar[str]
    scopes: ClassVar[Sequence[str]] = ()
    """What a budget can be of, beside a key's owner."""
    grain_nanos: ClassVar[int] = 0
    """The smallest step of its money, where it says itself that a charge is rounded to it; forgiven but in T40."""
    still_seconds: ClassVar[float] = 8.0
    """A race in which nothing new happens for so long is taken for decided."""
    quiet_seconds: ClassVar[float] = 15.0
    """So long it may take to book what has ended."""
    operators_step: ClassVar[str] = ""
    """How an operator has calls checked whose fate a crash left open, where that is a step of its own."""

    setting: Setting
    base_url: str

    def prepare(self) -> str:
        """Made once before the first start: whatever it needs. The version that is judged. Raises CannotRunError."""
        return ""

    @abstractmethod
    def start(self, setting: Setting) -> None: ...

    @abstractmethod
    def restart(self) -> None:
        """Started again on the same folder and port, after `kill`."""

    @abstractmethod
    def kill(self) -> None:
        """SIGKILL to every process of it."""

    @abstractmethod
    def stop(self) -> None: ...

    @abstractmethod
    def budget(self, nanos: int, scope: str = "") -> Purse:
        """A new key with so much to spend, or with plenty and a budget of that scope that counts it. Raises NotOfferedError."""

    @abstractmethod
    def standing(self, purse: Purse) -> Standing: ...

    def rows(self, purse: Purse) -> list[int] | None:
        """The charge of each call on record, in nanos; None where it keeps no record that can be read."""
        del purse
        return None

    def model(self, name: str) -> str:
        """What a client calls that model."""
        return name

    def hold_nanos(self, headers: Mapping[str, str]) -> int | None:
        """What was held for a call, where its answer says so."""
        del headers
        return None

    def key_headers(self, key: str, path: str) -> dict[str, str]:
        """How a client of that path's dialect shows its key."""
        if path.startswith("/v1/messages"):
            return {"x-api-key": key, "anthropic-version": "2023-06-01"}
        return {"authorization": f"Bearer {key}"}

    def windowed(self, nanos: int) -> tuple[Purse, float]:
        """A budget that begins anew by the clock, and the moment (of `time.time()`) at which it next does."""
        del nanos
        raise NotOfferedError("no budget of a window that could be seen to turn")

    def admin_key(self) -> str:
        """A key of whoever administers it."""
        raise NotOfferedError("no administrator's key")

    def admin_spent_nanos(self) -> int:
        """What calls with that key were charged to any budget."""
        return 0

    def misspelt(self) -> list[tuple[str, bool]]:
        """Ways to misspell a budget, and whether each was refused."""
        raise NotOfferedError("no way to make a budget that could be misspelt")

    def echoed(self, nanos: int) -> int:
        """What the answer to the making of a budget says that it is."""
        del nanos
        raise NotOfferedError("no answer tells what was made")

    def check_open_calls(self, bill: bytes) -> None:
        """What an operator does after a crash (`operators_step`), given the provider's bill; nothing, where there is no such step."""
        del bill


class Program:
    """One program of a gateway, in a session of its own so that all it starts can be ended with it."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.command = list(command)
        self.log = log
        self.environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, ready: Callable[[], bool], *, cwd: Path | None = None) -> None:
        """Returns when `ready`. Raises AdapterError with the end of its log."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not _is(ready):
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = self.log.read_text(errors="replace")[-1_500:]
                raise AdapterError(f"{self.command[0]} did not come up: {said}")
            time.sleep(0.05)

    def end(self, number: signal.Signals) -> None:
        """It and what it started are gone, by this signal, or by SIGKILL when that takes too long."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        try:
            self.process.wait(25)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None


def _is(ready: Callable[[], bool]) -> bool:
    try:
        return ready()
    except OSError:
        return False


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def nanos_of(dollars: Any) -> int:
    """A number of dollars as nanos, whatever it was told as."""
    return round(float(dollars) * NANOS)
