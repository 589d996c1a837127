"""The demo as a newcomer starts it: a process in an empty environment; its proofs as literals, its home verified by another."""

import contextlib
import csv
import http.client
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(500)  # two lanes share two cores; alone it takes half a minute

BIN = Path(sys.executable).parent
FEW = "200"


def empty_environment(folder: Path) -> dict[str, str]:
    return {
        "HOME": str(folder),
        "PATH": f"{BIN}{os.pathsep}{os.defpath}",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }


def play(
    folder: Path,
    *arguments: str,
    leave: bool = True,
    on_line: Callable[[str, subprocess.Popen[str]], None] = lambda _line, _process: None,
) -> tuple[int, str]:
    """Exit code and output of one demo; `on_line` is told each line as it comes."""
    with subprocess.Popen(
        [BIN / "tokenroll", "demo", "--no-browser", *(["--exit"] if leave else []), *arguments],
        cwd=folder,
        env=empty_environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = []
        try:
            for line in process.stdout:
                lines.append(line.rstrip())
                on_line(line, process)
        finally:
            process.terminate()  # ends nothing that has ended by itself
        return process.wait(), "\n".join(lines)


def one_line(text: str) -> str:
    """Without the line breaks of a narrow page."""
    return " ".join(text.split())


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    code, text = play(folder, "--home", str(folder / "home"))
    return folder, code, text


def test_it_exits_0_and_every_proof_holds(played):
    _folder, code, text = played
    assert code == 0, text
    assert "✗" not in text
    assert "22 of 22 proofs hold" in text


@pytest.mark.parametrize(
    "proof",
    [
        "The company is made up",
        "Every sum is checked",
        "✓ 42 people in 4 departments, 42 keys, 42 grants of together 210.00 credits, 7 dated rate cards",
        "signing bonus of 24.00: pay, vests over 12 months",
        "working allowance of 5.00: working tool, unlocks at once",
        "✓ left now 5.00: the tool's; not yet 24.00: pay in 12 tranches, the first of 2.00 on 2027-04-01",
        "✓ 2 400 calls settled for",
        "✓ 10 served, 190 refused, overspent 0.000000000",
        "HTTP/1.1 429 Too Many Requests",
        "x-tokenroll-denied: wallet_empty",
        "✓ refused with 429; admitted 0.",
        "lost 0, double 0; 24 being checked",
        "✓ 24 calls settled from the provider's bill, 0 still being checked",
        "✓ 43 slips: opening 0.000000000",
        "✓ at midnight 12.00 of 24.00 of Ben's bonus vested",
        "✓ his call was admitted before midnight and paid after it out of the day pass: 0.00",
        "✓ Ben left: 12.00 unvested are forfeited",
        "✓ Ada asked for 3.00, Bo approved it in one command",
        "✓ 4 teams used",
        "April, if it goes on like this: about",
        "to run dry before the allowance ends on 1 June",
        "changes stand: 0.",
        "✓ a year of two people's agents: ",  # until yesterday: how many calls that are is another number each day
        "✓ journal verify ✓",
        "tokenroll serve --observe",
        "tokenroll client show claude-code",
    ],
)
def test_it_shows_each_scene_with_its_proof(played, proof):
    assert proof in one_line(played[2])


def test_what_it_names_to_go_on_is_there(played):
    folder, _code, text = played
    assert f"… {folder / 'home' / 'acme.beancount'}" in "".join(text.split("\n")).replace("  ", "")
    assert "is not on the PATH" not in one_line(text)


def test_it_says_how_it_is_called_where_it_is_on_no_path(monkeypatch):
    from tokenroll.cli.demo import command
    from tokenroll.cli.demo.show import Shown

    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.setattr(sys, "argv", [".demo/bin/tokenroll", "demo", "--exit"])
    told = io.StringIO()
    command._verdict(None, Shown(told, draws=False), 1.0)
    assert "(`tokenroll` is not on the PATH of this shell; here it is .demo/bin/tokenroll)" in one_line(told.getvalue())


def test_its_books_are_accepted_by_bean_check(played):
    folder, _code, text = played
    assert "bean-check: no errors" in text
    done = subprocess.run([BIN / "bean-check", folder / "home" / "acme.beancount"], capture_output=True, check=False)
    assert done.returncode == 0


def test_its_march_is_the_same_in_focus_and_in_the_lake(played):
    folder, _code, _text = played
    environment = {**empty_environment(folder), "TOKENROLL_HOME": str(folder / "home")}

    def said(*arguments: str) -> str:
        command = [str(BIN / "tokenroll"), "usage", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    said("focus", "--month", "2027-03", "--output", str(folder / "march.csv"))
    with (folder / "march.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 200
    month = ("--from", "2027-03-01", "--until", "2027-04-01")
    header, figures = said("query", "--measure", "net,list", *month, "--format", "csv").splitlines()
    told = dict(zip(header.split(","), map(Decimal, figures.split(",")), strict=True))
    assert sum(Decimal(row["BilledCost"]) for row in rows) == told["net_cost_usd"]
    assert sum(Decimal(row["ListCost"]) for row in rows) == told["list_cost_usd"]


def test_its_home_is_verified_by_another_program_afterwards(played):
    folder, _code, _text = played
    environment = {**empty_environment(folder), "TOKENROLL_HOME": str(folder / "home")}
    done = subprocess.run(
        [BIN / "tokenroll", "journal", "verify"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "conservation hold" in done.stdout


def test_nothing_of_it_goes_on(played):
    folder, _code, _text = played
    assert not list((folder / "home" / "run").glob("*.pid"))
    assert not (folder / "home" / "run" / "ledger.sock").exists()
    assert not (folder / ".tokenroll").exists()


def test_a_nano_that_is_moved_under_it_fails_proofs_and_the_demo(tmp_path):
    """Milan makes no call after the month: one nano more is spent in his wallet's lot, by nobody."""
    home = tmp_path / "home"

    def tamper(line: str, _process: subprocess.Popen[str]) -> None:
        if not line.startswith("(d)"):
            return
        connection = sqlite3.connect(home / "ledger.db", timeout=30, isolation_level=None)
        changed = connection.execute(
            "UPDATE lot_values SET spent_nanos = spent_nanos + 1 WHERE lot_id IN "
            "(SELECT lots.id FROM lots JOIN wallets ON wallets.id = lots.wallet_id WHERE wallets.name = 'Milan Petrov')"
        ).rowcount
        connection.close()
        assert changed == 1

    code, text = play(tmp_path, "--home", str(home), "--calls", FEW, on_line=tamper)
    assert code == 1, text
    assert "✗ journal verify found something wanting" in text
    assert "✓ 10 served, 190 refused, overspent 0.000000000" in one_line(text)


def test_afterwards_the_engineers_number_falls_until_it_is_told_to_end(tmp_path):
    spent: list[Decimal] = []

    def enter(line: str, process: subprocess.Popen[str]) -> None:
        found = re.search(r"http://(\S+)(/enter/[0-9a-f]{64})", line)
        if found is None:
            return
        with contextlib.closing(http.client.HTTPConnection(found[1], timeout=30)) as web:
            spent.extend(falling(web, found[2]))
        process.send_signal(signal.SIGINT)

    code, text = play(tmp_path, "--calls", FEW, leave=False, on_line=enter)
    assert code == 0, text
    assert "ended" in text
    assert len(spent) == 3
    assert spent == sorted(spent)


def falling(web: http.client.HTTPConnection, way_in: str) -> list[Decimal]:
    """Three different amounts that the page said were spent, one after another; all the time nothing of 10 credits is missing."""
    status, headers, _ = ask(web, way_in)
    assert (status, headers.get("location")) == (303, "/me")
    cookie = headers["set-cookie"].partition(";")[0]
    assert ask(web, way_in)[0] == 401  # the way in was for one
    spent: list[Decimal] = []
    deadline = time.monotonic() + 60
    while len(spent) < 3 and time.monotonic() < deadline:
        texts = json.loads(ask(web, "/me/wallet.json", cookie)[2])["texts"]
        assert texts["about"].startswith("≈ ")
        now = Decimal(texts["spent"])
        # what is set aside for a call comes back in part, so what is left may rise for a moment; the sum never moves
        assert Decimal(texts["left-exact"].removesuffix(" credits")) + now + Decimal(texts["used"]) == Decimal(10)
        if now not in spent:
            spent.append(now)
        time.sleep(0.2)
    return spent


def ask(connection: http.client.HTTPConnection, path: str, cookie: str = "") -> tuple[int, dict[str, str], bytes]:
    connection.request("GET", path, headers={"cookie": cookie} if cookie else {})
    answer = connection.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def test_it_plays_in_a_new_home_only(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "ledger.db").write_bytes(b"somebody's books")
    code, text = play(tmp_path, "--home", str(tmp_path / "home"))
    assert code == 1
    assert "is not empty" in text
    assert (tmp_path / "home" / "ledger.db").read_bytes() == b"somebody's books"
