"""A small firm by the command line alone: real processes, a real home, a simulated provider; every word of JSON read back."""

import contextlib
import http.client
import io
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from tokenroll.cli import main
from tokenroll.testing import SimulatedProvider

BEAN_CHECK = Path(sys.executable).parent / "bean-check"
CALL = json.dumps(
    {
        "model": "gpt-4o-mini",
        "max_completion_tokens": 100,
        "messages": [{"role": "user", "content": "What is left in my wallet?"}],
    }
)


class Said(NamedTuple):
    stdout: str
    stderr: str


class Desk:
    """A terminal in one home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {**os.environ, "TOKENROLL_HOME": str(home), "SIMULATED_KEY": "sk-simulated"}

    def run(self, *arguments, code=0, stdin=""):
        """One command line, in this process: what it loads is loaded once, what it does is done by the same code."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patch.setenv("TOKENROLL_HOME", str(self.home))
            patch.setenv("SIMULATED_KEY", "sk-simulated")
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
            ended = main(arguments)
        assert ended == code, f"{arguments}: {out.getvalue()}{err.getvalue()}"
        return Said(out.getvalue(), err.getvalue())

    def json(self, *arguments, code=0):
        return json.loads(self.run(*arguments, "--json", code=code)[0])

    @contextlib.contextmanager
    def served(self, end=signal.SIGTERM, *options):
        """The supervisor's process and where it listens; ended by `end` afterwards."""
        with (self.home.parent / "serve.log").open("w+") as log:
            command = [sys.executable, "-m", "tokenroll", "serve", "--port", "0", "--json", *options]
            process = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True)
            with process:
                assert process.stdout is not None
                line = process.stdout.readline()
                log.seek(0)
                assert line, log.read()
                try:
                    yield process, json.loads(line)
                finally:
                    process.send_signal(end)
                    process.wait(40)

    def pid(self, role):
        return int((self.home / "run" / f"{role}.pid").read_text())


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return (Path(f"/proc/{pid}/stat").read_text().split()[2]) != "Z"


def eventually(holds, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def ask(address, path, secret, body=None):
    host, port = address.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    try:
        headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
        connection.request("POST" if body else "GET", path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def provider():
    with SimulatedProvider() as simulated:
        yield simulated


@pytest.fixture(scope="module")
def desk(tmp_path_factory, provider):
    one = Desk(tmp_path_factory.mktemp("cli") / "home")
    one.run("init", "--name", "A small firm", "--zone", "Europe/Berlin")
    with (one.home / "config.toml").open("a") as config:
        config.write(
            f'\n[deployments.simulated]\ndialect = "openai"\nbase_url = "{provider.openai_base_url}"\napi_key_env = "SIMULATED_KEY"\n'
        )
    one.run("ratecard", "import", "--provider", "openai", "--model", "gpt-4o-mini")
    one.run("department", "create", "Engineering")
    one.run("member", "create", "Ada", "--department", "Engineering")
    one.run(
        "plan",
        "create",
        "tools",
        "--kind",
        "stipend",
        "--classification",
        "tool",
        "--amount",
        "0.5",
        "--lifetime",
        "3m",
    )
    one.run("grant", "create", "Ada", "--plan", "tools")
    return one


def test_it_keeps_its_home_private_and_makes_it_once(desk):
    assert oct(desk.home.stat().st_mode & 0o777) == "0o700"
    assert oct((desk.home / "secret").stat().st_mode & 0o777) == "0o600"
    again = desk.run("init", code=1)
    assert "has a ledger already: nothing was changed" in again.stderr


def test_it_tries_a_grant_and_repeats_an_answer_under_the_same_id(desk):
    tried = desk.json("grant", "create", "Ada", "--plan", "tools", "--amount", "0.25", "--dry-run")
    assert (tried["dry_run"], tried["amount"]) == (True, {"amount": "0.250000000", "unit": "credits"})
    first = desk.json("grant", "top-up", "Ada", "--amount", "0.25", "--id", "payroll-1")
    again = desk.json("grant", "top-up", "Ada", "--amount", "0.25", "--id", "payroll-1")
    assert again["grant"] == first["grant"]
    conflict = desk.json("grant", "top-up", "Ada", "--amount", "0.5", "--id", "payroll-1", code=1)
    assert conflict["problem"]["kind"] == "conflict"
    assert [one["amount"]["amount"] for one in desk.json("grant", "list", "--to", "Ada")] == [
        "0.250000000",
        "0.500000000",
    ]


def test_it_registers_a_key_with_spaces_from_a_file(desk):
    made = desk.run(
        "key", "create", "--member", "Ada", "--name", "judge", "--secret-file", "-", stdin="My Long API Key 2026\n"
    ).stdout
    assert "My Long API Key" not in made
    assert [one["shown_prefix"] for one in desk.json("key", "list", "--member", "Ada") if one["name"] == "judge"] == [
        "My Long A"
    ]


def test_it_serves_calls_and_tells_them_from_wallet_to_paper(desk, provider, tmp_path):
    secret = desk.json("key", "create", "--member", "Ada", "--name", "laptop")["secret"]
    with desk.served() as (process, addresses):
        assert addresses["durability"] == "synced"
        refused = desk.run("serve", "--port", "0", code=1)
        assert "is served already" in refused.stderr
        status, answer = ask(addresses["gateway"], "/v1/chat/completions", secret, CALL)
        assert (status, answer["object"]) == (200, "chat.completion")
        usage = answer["usage"]
        cost_nanos = (
            usage["prompt_tokens"] * 150 + usage["completion_tokens"] * 600
        )  # gpt-4o-mini: 0.15 and 0.60 per million
        eventually(lambda: desk.json("wallet", "show", "Ada")["call_count"] == 1)
        wallet = desk.json("wallet", "show", "Ada")
        assert wallet["spent"]["amount"] == f"0.{cost_nanos:09d}"
        assert (wallet["calls"][0]["model"], wallet["calls"][0]["outcome"]) == ("gpt-4o-mini-2024-07-18", "settled")
        status, mine = ask(addresses["web"], "/api/me/wallet", secret)
        assert (status, mine["spent"]) == (200, wallet["spent"])

        desk.run("key", "revoke", "laptop")
        status, answer = ask(addresses["gateway"], "/v1/chat/completions", secret, CALL)
        assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
        children = [desk.pid(role) for role in ("ledger", "gateway-000", "web")]
    assert process.returncode == 0
    assert not any(alive(pid) for pid in children)

    bill = tmp_path / "bill.jsonl"
    bill.write_bytes(b"\n".join(msgspec.json.encode(line) for line in provider.bill()))
    reconciled = desk.json("reconcile", "--bill", str(bill))
    assert (reconciled["agreed_count"], reconciled["difference_count"]) == (1, 0)
    verified = desk.json("journal", "verify")
    assert (verified["holds"], verified["counts"]["settlements"], verified["difference_count"]) == (True, 1, 0)
    export = tmp_path / "books.beancount"
    desk.run("journal", "export", "--output", str(export))
    judged = subprocess.run([str(BEAN_CHECK), str(export)], capture_output=True, text=True, check=False, timeout=60)
    assert (judged.returncode, judged.stdout + judged.stderr) == (0, "")


def test_it_restarts_a_gateway_that_dies_and_never_outlives_its_supervisor(desk):
    with desk.served(signal.SIGKILL) as (_process, addresses):
        first = desk.pid("gateway-000")
        os.kill(first, signal.SIGKILL)
        eventually(lambda: desk.pid("gateway-000") != first)
        # the listening socket is the supervisor's, so callers wait for the new gateway and are not refused
        status, _ = ask(addresses["gateway"], "/me/wallet", "tr-nobody")
        assert status == 401
        children = [desk.pid(role) for role in ("ledger", "gateway-000", "web")]
    eventually(lambda: not any(alive(pid) for pid in children))


def test_it_says_what_is_wrong_with_a_month(desk):
    assert "a cycle is a month such as 2026-01, not 'soon'" in desk.run("payrun", "preview", "soon", code=2).stderr
    assert "2199-01 begins on 2199-01-01" in desk.run("payrun", "run", "2199-01", code=1).stderr
    rehearsed = desk.run("payrun", "run", f"{datetime.now(UTC):%Y-%m}", code=1)
    assert "has not ended in every zone yet" in rehearsed.stdout


def test_it_refuses_nobody_under_observe_and_the_company_pays(desk):
    desk.run("member", "create", "Bo", "--department", "Engineering")
    secret = desk.json("key", "create", "--member", "Bo")["secret"]
    with desk.served(signal.SIGTERM, "--observe", "--durability", "written") as (_process, addresses):
        assert (addresses["observe"], addresses["durability"]) == (True, "written")
        status, answer = ask(addresses["gateway"], "/v1/chat/completions", secret, CALL)
        assert (status, answer["object"]) == (200, "chat.completion")
    wallet = desk.json("wallet", "show", "Bo")
    assert (wallet["call_count"], wallet["spent"]["amount"]) == (1, "0.000000000")
    assert wallet["company_carried"]["amount"] == wallet["calls"][0]["charge"]["amount"] != "0.000000000"
    told = " ".join(desk.run("wallet", "show", "Bo").stdout.split())
    assert "spent 0.00 expired unused 0.00" in told
    assert f"carried by the company {wallet['company_carried']['amount'].rstrip('0')} " in told
    story = desk.json("call", "show", wallet["calls"][0]["call"])
    assert story["attempts"][0]["would_deny"] is True
    with desk.served() as (_process, addresses):
        status, answer = ask(addresses["gateway"], "/v1/chat/completions", secret, CALL)
        assert (status, answer["error"]["code"]) == (429, "wallet_empty")
