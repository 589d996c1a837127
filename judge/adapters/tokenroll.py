"""tokenroll itself, from outside: its command line, its config file, its processes, and no import of its code."""

import contextlib
import functools
import http.client
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from judge.gateway import AdapterError, Gateway, NotOfferedError, Program, Purse, Setting, Standing, free_port, nanos_of

PLENTY = 1_000
MODELS = ("gpt-4o", "gpt-4o-mini", "claude-haiku-4-5")
ROWS_PER_PAGE = 1_000


class Tokenroll(Gateway):
    """See the module. A purse is a member with a grant; a budget of a scope is a limit on credits, or a pool."""

    name = "tokenroll"
    scopes = ("member", "key", "department", "tag", "pool")
    operators_step = "`tokenroll reconcile --bill`"

    def prepare(self) -> str:
        self._numbers = itertools.count(1)
        return _run(None, "--version").split()[-1]

    # ---- life ----

    def start(self, setting: Setting) -> None:
        self.setting = setting
        self._home = setting.folder / "home"
        shutil.copytree(_made_home(), self._home)
        (self._home / "provider-key").write_text("sk-the-company")
        with (self._home / "config.toml").open("a") as config:
            config.write(self._deployments())
        self._port = free_port()
        self.base_url = f"http://127.0.0.1:{self._port}"
        workers = ("--workers", str(setting.workers)) if setting.workers > 1 else ()
        self._program = Program(
            [sys.executable, "-m", "tokenroll", "serve", "--listen", f"127.0.0.1:{self._port}",
             "--web-listen", "127.0.0.1:0", *workers],
            setting.folder / "log", {"TOKENROLL_HOME": str(self._home)},
        )  # fmt: skip
        try:
            self.restart()
        except AdapterError as error:
            if setting.workers == 1:
                raise
            said = " ".join(line.strip("│╭╮╰╯─ ") for line in str(error).splitlines() if "workers" in line)
            raise NotOfferedError(f"refuses to start: {said}") from None

    def restart(self) -> None:
        (self._home / "run/addresses.json").unlink(missing_ok=True)  # of a life that was killed
        self._program.start(self._admits)
        addresses = json.loads((self._home / "run/addresses.json").read_text())
        self._web: str = addresses["web"]

    def kill(self) -> None:
        """The supervisor first, so that it starts nothing again."""
        self._program.end(signal.SIGKILL)
        for path in (self._home / "run").glob("*.pid"):
            number = int(path.read_text())
            with contextlib.suppress(OSError):
                if b"tokenroll" in Path(f"/proc/{number}/cmdline").read_bytes():
                    os.kill(number, signal.SIGKILL)
            while _is_alive(number):
                time.sleep(0.01)

    def stop(self) -> None:
        self._program.end(signal.SIGTERM)

    def _deployments(self) -> str:
        setting = self.setting
        key = f'api_key_file = "{self._home}/provider-key"\n'
        if setting.patience_seconds:
            key += f"first_byte_seconds = {setting.patience_seconds}\n"
        if setting.fallback_door is None:
            tables = {
                "openai": ("openai", setting.door.openai_base_url, ""),
                "anthropic": ("anthropic", setting.door.base_url, ""),
            }
        else:
            more = 'models = ["gpt-4o-mini"]\nfallbacks = { "gpt-4o-mini" = ["gpt-4o"] }\n'
            dear = setting.fallback_door.openai_base_url
            tables = {
                "cheap": ("openai", setting.door.openai_base_url, more),
                "dear": ("openai", dear, 'models = ["gpt-4o"]\n'),
            }
        return "".join(
            f'\n[deployments.{name}]\ndialect = "{dialect}"\nbase_url = "{url}"\n{key}{more}'
            for name, (dialect, url, more) in tables.items()
        )

    def _admits(self) -> bool:
        status = _get(f"127.0.0.1:{self._port}", "/healthz")[0]
        return status == 200 and (self._home / "run/addresses.json").exists()

    # ---- budgets ----

    def budget(self, nanos: int, scope: str = "") -> Purse:
        name = f"judged {next(self._numbers)}"
        department = "Tools"
        if scope in {"department", "pool"}:
            department = f"Department of {name}"
            self._do("department", "create", department)
        self._do("member", "create", name, "--department", department)
        if scope == "pool":
            self._do("pool", "create", f"Pool of {name}", "--department", department)
            self._grant(f"Pool of {name}", nanos)
        else:
            self._grant(name, nanos if not scope else PLENTY * 10**9)
        key = self._do("key", "create", "--member", name)
        headers = {}
        if scope not in {"", "pool"}:
            subject = {"member": name, "key": key["key"], "department": department, "tag": f"session={name.split()[1]}"}
            if scope == "tag":
                headers["x-tokenroll-tags"] = subject["tag"]
            self._limit(name, nanos, "cycle", f"--{scope}", subject[scope])
        subject_name = f"Pool of {name}" if scope == "pool" else name
        return Purse(key["secret"], nanos, subject_name, headers)

    def windowed(self, nanos: int) -> tuple[Purse, float]:
        purse = self.budget(PLENTY * 10**9)
        self._limit(purse.subject, nanos, "minute", "--member", purse.subject)
        return Purse(purse.key, nanos, purse.subject), (time.time() // 60 + 1) * 60

    def standing(self, purse: Purse) -> Standing:
        if purse.subject.startswith("Pool of "):
            told = {name: one["amount"] for name, one in self._do("wallet", "show", purse.subject).items()
                    if name in {"left", "in_use", "being_checked", "spent"}}  # fmt: skip
        else:
            told = json.loads(_get(f"127.0.0.1:{self._port}", "/me/wallet", purse.key)[1])
            told["in_use"] = told["in_use_now"]
        left, used, checked, spent = (
            nanos_of_text(told[name]) for name in ("left", "in_use", "being_checked", "spent")
        )
        if left > purse.nanos:  # the wallet is a larger one than the limit that is judged
            left = purse.nanos - spent - used - checked
        return Standing(spent, used + checked, left)

    def rows(self, purse: Purse) -> list[int]:
        """From the ledger, where calls arrive after they were settled, and not from the gateway that settled them."""
        charges: list[int] = []
        before = ""
        while True:
            status, body = _get(self._web, f"/api/me/calls?limit={ROWS_PER_PAGE}{before}", purse.key)
            if status != 200:
                raise AdapterError(f"/api/me/calls answered {status}: {body[:300]!r}")
            page = json.loads(body)
            charges += [nanos_of_text(one["charge"]["amount"]) for one in page["calls"] if one.get("charge")]
            if not page["before"]:
                return charges
            before = f"&before={page['before']}"

    def hold_nanos(self, headers: Mapping[str, str]) -> int | None:
        said = headers.get("x-tokenroll-hold-max")
        return nanos_of_text(said) if said else None

    def check_open_calls(self, bill: bytes) -> None:
        path = self.setting.folder / "bill.jsonl"
        path.write_bytes(bill)
        with contextlib.suppress(AdapterError):  # 1 where the bill has what is still on its way into the ledger
            self._do("reconcile", "--bill", str(path))

    # ---- who administers it ----

    def admin_key(self) -> str:
        self._do("member", "create", "Administrator", "--department", "Tools")
        self._grant("Administrator", PLENTY * 10**9)
        key: str = self._do("key", "create", "--member", "Administrator", "--scope", "admin")["secret"]
        return key

    def admin_spent_nanos(self) -> int:
        return nanos_of(self._do("wallet", "show", "Administrator")["spent"]["amount"])

    def misspelt(self) -> list[tuple[str, bool]]:
        name = self.budget(10**9).subject
        commands = {
            "`key create --budgett 1`": ("key", "create", "--member", name, "--budgett", "1"),
            "`grant create --amout 1`": ("grant", "create", name, "--plan", "purse", "--amout", "1"),
            "`limit create --capp 1`": ("limit", "create", "l", "--member", name, "--capp", "1"),
        }
        tried = [(what, self._is_refused(*command)) for what, command in commands.items()]
        config = self._home / "config.toml"
        kept = config.read_text()
        config.write_text(kept.replace("[gateway]\n", "[gateway]\nbudgett = 1\n"))
        tried.append(("`budgett = 1` in config.toml", self._is_refused("member", "list")))
        config.write_text(kept)
        return tried

    def echoed(self, nanos: int) -> int:
        name = self.budget(10**9).subject
        return nanos_of_text(self._grant(name, nanos)["amount"]["amount"])

    def _grant(self, name: str, nanos: int) -> Any:
        return self._do("grant", "create", name, "--plan", "purse", "--amount", text_of(nanos))

    def _limit(self, name: str, nanos: int, window: str, *scope: str) -> None:
        self._do("limit", "create", name, *scope, "--window", window, "--cap", text_of(nanos))

    def _is_refused(self, *command: str) -> bool:
        try:
            self._do(*command)
        except AdapterError:
            return True
        return False

    def _do(self, *command: str) -> Any:
        return json.loads(_run(self._home, *command, "--json"))


def nanos_of_text(text: str) -> int:
    """Credits as they are told, to the nano: no float on the way."""
    whole, _, part = text.partition(".")
    return int(whole + part.ljust(9, "0")[:9])


def text_of(nanos: int) -> str:
    """Nanos as credits."""
    return f"{nanos // 10**9}.{nanos % 10**9:09d}"


def _run(home: Path | None, *command: str) -> str:
    environment = {**os.environ, "TOKENROLL_HOME": str(home)} if home else None
    done = subprocess.run(
        [sys.executable, "-m", "tokenroll", *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if done.returncode:
        raise AdapterError(f"tokenroll {' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


@functools.cache
def _made_home() -> Path:
    """A home with prices and a plan, made once: the folder of each trial begins as a copy of it."""
    home = Path(tempfile.mkdtemp(prefix="judge-home-")) / "home"
    _run(home, "init", "--name", "Judged")
    _run(home, "department", "create", "Tools")
    _run(home, "ratecard", "import", *(part for model in MODELS for part in ("--model", model)))
    _run(home, "plan", "create", "purse", "--kind", "stipend", "--classification", "tool", "--amount", "1")
    config = home / "config.toml"
    # a window that turns is judged by what is refused, not by how long a call is held back
    config.write_text(config.read_text().replace("[gateway]\n", "[gateway]\nlimit_wait_seconds = 0\n"))
    return home


def _get(address: str, path: str, key: str = "") -> tuple[int, bytes]:
    place = urlsplit(f"http://{address}")
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    try:
        connection.request("GET", path, headers={"authorization": f"Bearer {key}"} if key else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _is_alive(number: int) -> bool:
    """Whether that process still runs; one that ended and that nobody has asked about does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
