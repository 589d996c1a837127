"""What is measured: the mock provider itself, plain nginx before it, and tokenroll before it with its roles pinned apart."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path

from bench.home import KEY_FORMAT, prepared, write_config
from bench.interpreter import environment_of, interpreter
from bench.machine import (
    DIR,
    HERE,
    LOAD_CORE,
    MOCK_CLASS,
    SYSTEM_CORE,
    must_be_free,
    place,
    process_tree,
    start,
    stop,
    wait_for_port,
)

MOCK_PORT = int(os.environ.get("BENCH_PROVIDER_PORT", "9000"))
NGINX_PORT = int(os.environ.get("BENCH_PORT", "8000"))
GATEWAY_PORT = int(os.environ.get("BENCH_GATEWAY_PORT", "8787"))
WEB_PORT = GATEWAY_PORT + 1
SETTLED_SECONDS_MAX = 60


class Mock:
    """The provider, fresh for each measurement, before all others on the load's core: it must never be what is waited for."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = [str(DIR / "bin/mockup"), str(MOCK_PORT), *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        must_be_free(MOCK_PORT)
        self._process = start(self._arguments, LOAD_CORE, DIR / "mock.log", MOCK_CLASS)
        wait_for_port(MOCK_PORT)

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process)


class Subject:
    """One system. `near` are the processes that bytes pass through, `far` the others that the work needs."""

    name = "direct"
    port = MOCK_PORT
    key = KEY_FORMAT
    extra = ""
    """More request headers that it asks for: `Name: value|Name: value`."""
    warm_up = 0.0
    """Seconds of load that it needs beyond what others get before it is as fast as it will be."""

    def start(self) -> None:
        """It listens when this returns."""

    def stop(self) -> None:
        """Its processes have ended."""

    def near(self) -> list[int]:
        return []

    def far(self) -> list[int]:
        return []


class Program(Subject):
    """A program of others, alone on the system's core with all that it starts."""

    port = NGINX_PORT

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What to start."""
        return []

    def environment(self) -> dict[str, str]:
        """In which it is started."""
        return dict(os.environ)

    def start(self) -> None:
        must_be_free(self.port)
        self._process = start(self.command(), SYSTEM_CORE, DIR / f"{self.name}.log", env=self.environment())
        wait_for_port(self.port, process=self._process)

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process)

    def near(self) -> list[int]:
        return process_tree(self._process.pid) if self._process else []


class Nginx(Program):
    """Plain reverse proxy, one worker: the floor."""

    name = "nginx"

    def command(self) -> list[str]:
        return ["nginx", "-c", str(DIR / "peers/nginx-proxy.conf")]


class Tokenroll(Subject):
    """`tokenroll serve` in a home of its own: the gateway alone on the system's core, ledger and pages on the other."""

    port = GATEWAY_PORT

    def __init__(self, durability: str, *, from_source: bool = False, full: bool = False) -> None:
        self.name = durability + "-full" * full + "-source" * from_source
        self.durability = durability
        self.full = full
        self.from_source = from_source
        self.home = DIR / f"home-{self.name}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """A fresh copy of the prepared home, so that no run inherits another's tape."""
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(prepared(full=self.full), self.home)
        write_config(self.home, gateway_port=GATEWAY_PORT, web_port=WEB_PORT, provider_port=MOCK_PORT, full=self.full)
        environment = {**environment_of(self.package()), "TOKENROLL_HOME": str(self.home)}
        for port in (GATEWAY_PORT, WEB_PORT):
            must_be_free(port)
        self._serve(environment)
        wait_for_port(WEB_PORT)
        self._wait_until_healthy()
        for pid in self.near():
            place(pid, SYSTEM_CORE, real_time=True)

    def package(self) -> Path:
        """What it is started from."""
        return HERE.parent / "src" if self.from_source else installed_wheel()

    def _serve(self, environment: dict[str, str]) -> None:
        command = [interpreter(), "-m", "tokenroll", "serve", "--durability", self.durability]
        self._process = start(command, LOAD_CORE, DIR / f"{self.name}.log", scheduling=[], env=environment)

    def _wait_until_healthy(self) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=1) as answer:
                    if answer.status == 200 and self._pid("gateway-000"):
                        return
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"{self.name}: not healthy; see {DIR / self.name}.log")

    def stop(self) -> None:
        """Gateway, ledger and pages end in order and fold what is left (SIGTERM to the supervisor alone)."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(SETTLED_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            stop(self._process)

    def _pid(self, role: str) -> int:
        try:
            return int((self.home / "run" / f"{role}.pid").read_text())
        except (OSError, ValueError):
            return 0

    def near(self) -> list[int]:
        return [pid] if (pid := self._pid("gateway-000")) else []

    def far(self) -> list[int]:
        return [pid] if (pid := self._pid("ledger")) else []

    def metrics(self) -> dict[str, float]:
        """The gateway's own counters by name (labels included)."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def verified(self) -> str:
        """What `journal verify` says of the home after the run; raises SystemExit when it finds anything wanting."""
        done = subprocess.run(
            [sys.executable, "-m", "tokenroll", "journal", "verify", "--json"],
            env={**os.environ, "TOKENROLL_HOME": str(self.home)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{self.name}: the journal does not verify:\n{done.stdout}{done.stderr}")
        return json.dumps(json.loads(done.stdout))


@functools.cache
def installed_wheel() -> Path:
    """The package out of the wheel that `make wheel` builds, made anew when its source has changed."""
    folder, root = DIR / "installed", HERE.parent
    files = [*sorted((root / "src").rglob("*.py")), root / "scripts" / "compile.sh"]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    stamp = folder / ".digest"
    if not stamp.is_file() or stamp.read_text() != digest:
        shutil.rmtree(folder, ignore_errors=True)
        command = [str(root / "scripts/wheel.sh"), str(DIR / "dist")]
        environment = {**os.environ, "PYTHON": sys.executable}
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        zipfile.ZipFile(done.stdout.strip()).extractall(folder)
        stamp.write_text(digest)
    return folder
