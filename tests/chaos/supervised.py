"""A company whose processes are kept alive by `tokenroll serve`, as at a customer's: whatever is killed comes back by itself."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.company import Company
from tokenroll.store.database import open_reader

SERVE = "serve"
ROLES = ("gateway", "ledger", "web")
START_SECONDS_MAX = 180


class Supervised(Company):
    """See the module. `end` and `signal_to` find a role by the file that the supervisor keeps of it."""

    def __init__(self, home: Path, **options: Any) -> None:
        super().__init__(home, **options)
        self.starts_refused = 0

    def start_ledger(self, *, wait: bool = True) -> None:
        """Nothing: the supervisor's work."""

    def start_gateway(self, *, wait: bool = True) -> None:
        """The supervisor, on the port that was chosen first; started again for as long as its roles' earlier lives are ending."""
        self._listening.close()
        (self.settings.run_directory / "addresses.json").unlink(missing_ok=True)  # of a life that was killed
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self._has_started():
            assert time.monotonic() < deadline, self.log(SERVE)
            self.starts_refused += 1
            time.sleep(0.5)

    def _has_started(self) -> bool:
        command = [sys.executable, "-m", "tokenroll", "serve", "--listen", f"127.0.0.1:{self.port}", "--web-listen", "127.0.0.1:0",
                   "--durability", self.durability, "--workers", str(self.workers), "--json"]  # fmt: skip
        with (self.home / f"{SERVE}.log").open("ab") as log:
            process = subprocess.Popen(
                command, env={**os.environ, **self.environment, "TOKENROLL_HOME": str(self.home)}, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        assert process.stdout is not None
        with process.stdout:
            said = process.stdout.readline()
            if said.strip() == b"{":  # a problem, which is told on several lines
                problem = json.loads(said + process.stdout.read())["problem"]
                assert problem["kind"] in {"start", "running", "listen", "storage"}, problem
                said = b""
        if not said:
            process.wait(60)
            return False
        self.web_port = int(json.loads(said)["web"].rpartition(":")[2])
        self._processes[SERVE] = process
        return True

    @property
    def gateways(self) -> list[str]:
        """Every gateway by the name of its file; "gateway" is the first."""
        return [f"gateway-{worker:03d}" for worker in range(self.workers)]

    def pid(self, role: str) -> int:
        """Of a role or of the supervisor; 0 while there is none."""
        if role == SERVE:
            return self._processes[SERVE].pid if SERVE in self._processes else 0
        name = "gateway-000" if role == "gateway" else role
        with contextlib.suppress(OSError, ValueError):
            return int((self.settings.run_directory / f"{name}.pid").read_text())
        return 0

    def signal_to(self, role: str, number: signal.Signals) -> bool:
        """Whether a process of that role was there to be signalled."""
        pid = self.pid(role)
        if not pid or not self._is_ours(pid):
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            return True
        return False

    def _is_ours(self, pid: int) -> bool:
        """A number from a file may be another's by now: only a process that works in this home is signalled."""
        with contextlib.suppress(OSError):
            return f"TOKENROLL_HOME={self.home}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return False

    def rows(self, query: str) -> list[Any]:
        """Rows of the ledger, which nobody waits for."""
        reader = open_reader(self.settings.ledger_place)
        with reader.connect() as connection:
            found = list(connection.exec_driver_sql(query).all())
        reader.dispose()
        return found

    def end(self, role: str, number: signal.Signals = signal.SIGKILL) -> None:
        """A role is killed and comes back; the supervisor is gone, and its roles with it."""
        if role != SERVE:
            if SERVE in self._processes:
                self.signal_to(role, number)
            return
        super().end(SERVE, number)

    def __exit__(self, *_: object) -> None:
        for role in (*ROLES, *self.gateways):
            self.signal_to(role, signal.SIGCONT)
        if SERVE in self._processes:
            super().end(SERVE, signal.SIGTERM)
        super().__exit__()
