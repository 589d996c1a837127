"""Runs the lanes of `make quick`, `make test`, `make judges` and `make endure`, and closes with one truthful line.

That line is counted from the JUnit files of all test runs: a run that broke before it could write one, a check that
failed, and (with CI=true) a test that was skipped each count as failed. No test at all is a failure, too.
"""

from __future__ import annotations

import datetime
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / ".lanes" / f"{os.getpid()}"  # a folder of its own for each run, so that two at once do not mix
KEEP_SECONDS = 86400
BIN = Path(sys.prefix) / "bin"
IN_CI = os.environ.get("CI") == "true"
QUICK_SECONDS = 90
SAID_LINES_MAX = 20
"""Of one failed test, on a dated page."""

CHECKS = {
    "ruff check": ["ruff", "check"],
    "ruff format": ["ruff", "format", "--check"],
    "codespell": ["codespell"],
    "lint-imports": ["lint-imports", "--no-cache"],
    "mypy": ["mypy"],
}


def has_tests(folder: str | Path) -> bool:
    path = ROOT / folder
    return path.match("test_*.py") or any(path.rglob("test_*.py"))


# After the checks on one core, beside them on the other: the second list takes about as long as the checks and the first.
UNIT_FIRST = ("engine", "gateway", "model", "scripts", "upstream")
SLOW_SERVICES = ("cold_terms", "finance_parts", "forecasting", "lake_desk", "live_usage", "node_line", "team_parts")
UNIT_LATER = ("cli", "store", *(f"services/test_{name}.py" for name in SLOW_SERVICES))
"""Whole commands, ledgers with files on disk each, and services that read a usage lake: lane A runs them."""
UNIT_PARTS = (
    *(path.name for path in sorted((ROOT / "tests/unit").glob("[!_]*/")) if path.name != "services"),
    *(f"services/{path.name}" for path in sorted((ROOT / "tests/unit/services").glob("[!_]*")) if has_tests(path)),
)
QUICK = {
    "quick": ["tests/tidy", "tests/conformance", "tests/property", *(f"tests/unit/{name}" for name in UNIT_FIRST)],
    "quick 2": [f"tests/unit/{name}" for name in UNIT_PARTS if name not in {*UNIT_FIRST, *UNIT_LATER}],
}
LANES = {
    "A": [
        "tests/property",
        *(f"tests/unit/{name}" for name in UNIT_LATER),
        "tests/planted",
        "tests/crash",
        "tests/chaos",
        "tests/simulator",
    ],
    "postgresql": [
        "tests/unit/services/test_ledger.py",
        "tests/unit/services/test_limiting.py",
        "tests/unit/services/test_pay_cycles.py",
        "tests/unit/services/test_paying.py",
        "tests/unit/services/test_recalling.py",
        "tests/unit/services/test_reclaiming.py",
        "tests/unit/services/test_thrift_reports.py",
        "tests/unit/services/test_usage_reports.py",
        "tests/e2e/test_pay_run_in_processes.py",
        "tests/property/test_it_folds_in_columns.py",
        "tests/property/test_nodes_come_and_go.py",
        "tests/unit/store/test_verify.py",
        "tests/unit/store/test_verify_pay.py",
        "tests/unit/store/test_verify_usage.py",
    ],
    "B": ["tests/judges", "tests/e2e", "tests/demo", "tests/papers"],
    "browser": ["tests/browser"],
    "wheel": ["tests/wheel"],
}
"""`postgresql`: the tests of ledgers that fold, pay, limit and verify, once more on that database. The browser's driver keeps a loop
running in the thread that tests start theirs in, so it has a process of its own."""
SECOND_CORE = {"postgresql", "B", "browser"}
"""The others are on the first one, one after another as they stand above: so both are done at about the same time."""
OPTIONS = {"postgresql": ["--ledger", "postgresql"]}
# Programs of the distribution that the tests of a folder start.
PROGRAMS = {
    "tests/browser": ["chromium"],
    "tests/chaos": ["gcc"],
    "tests/e2e": ["nginx"],
    "tests/judges": ["hledger", "ledger"],
    "tests/wheel": ["gcc"],
}
LIMIT_SECONDS = {
    "quick": 600,
    "quick 2": 600,
    "A": 3000,
    "postgresql": 1200,
    "B": 3000,
    "browser": 1200,
    "wheel": 1800,
    "judges": 7200,
    "endure": 86400,
}


@dataclass
class Run:
    """One program with its log, and a JUnit file where it is a test run."""

    name: str
    command: list[str]
    limit_seconds: float
    junit: Path | None = None
    core: int | None = None
    code: int = -1
    seconds: float = 0
    notes: list[str] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return OUT / (self.name.replace(" ", "-") + ".log")


@dataclass
class Tally:
    """What all runs together amounted to."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def say(text: str) -> None:
    print(text, flush=True)


def pytest_run(name: str, folders: list[str], *, profile: str, core: int | None = None, marker: str = "") -> Run | None:
    """A run over those folders that hold tests; the others are named, because a silent gap looks like a success."""
    present = [folder for folder in folders if has_tests(folder)]
    for folder in sorted(set(folders) - set(present)):
        say(f"{name}: {folder}: no tests yet")
    if not present:
        return None
    junit = OUT / f"{name.replace(' ', '-')}.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-ra", "--durations=5", f"--junitxml={junit}"]
    command += [
        f"--hypothesis-profile={profile}",
        *(["-m", marker] if marker else []),
        *OPTIONS.get(name, []),
        *present,
    ]
    return Run(name, command, LIMIT_SECONDS.get(name, 600), junit=junit, core=core)


def execute(run: Run) -> None:
    """Runs it to its end or to its limit; at the limit the whole process group goes, so that no server stays behind."""
    command = run.command
    if run.core is not None and shutil.which("taskset") and (os.cpu_count() or 1) > run.core:
        command = ["taskset", "-c", str(run.core), *command]
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}", "PYTHONUNBUFFERED": "1"}
    started = time.monotonic()
    with run.log.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            run.code = process.wait(run.limit_seconds)
        except subprocess.TimeoutExpired:
            run.notes.append(f"stopped after {run.limit_seconds:.0f} s")
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    run.seconds = time.monotonic() - started


def execute_chains(chains: list[list[Run]]) -> None:
    """Chains go side by side, the runs of a chain one after the other; each log is printed whole when its run is done."""
    printing = threading.Lock()

    def work(chain: list[Run]) -> None:
        for run in chain:
            execute(run)
            with printing:
                show(run)

    threads = [threading.Thread(target=work, args=(chain,)) for chain in chains]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def show(run: Run) -> None:
    text = run.log.read_text(errors="replace").strip()
    if run.junit is None and run.code == 0:
        say(f"ok    {run.name} ({run.seconds:.1f} s)")
        return
    say(f"───── {run.name} ({run.seconds:.1f} s, exit {run.code}) · {run.log.relative_to(ROOT)}")
    say(text)
    for note in run.notes:
        say(f"{run.name}: {note}")


def tally(runs: list[Run]) -> Tally:
    total = Tally()
    for run in runs:
        failed_before = len(total.failed)
        if run.junit is not None and run.junit.exists():
            read_junit(run, total)
        if run.code != 0 and len(total.failed) == failed_before:
            total.failed.append(f"{run.name}: exit {run.code}")
    if IN_CI:
        total.failed += [f"{name} (skipped; with CI=true nothing may be)" for name in total.skipped]
        total.skipped = []
    if not total.passed and not total.failed:
        total.failed.append("no test was run")
    return total


def read_junit(run: Run, total: Tally) -> None:
    try:
        root = ET.parse(run.junit or "").getroot()  # noqa: S314 the file was written by our own pytest a moment ago
    except ET.ParseError:
        total.failed.append(f"{run.name}: unreadable JUnit file")
        return
    for case in root.iter("testcase"):
        name = f"{run.name}: {case.get('classname')}::{case.get('name')}"
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            total.failed.append(name)
        elif skip is not None and skip.get("type") != "pytest.xfail":
            total.skipped.append(f"{name}: {skip.get('message')}")
        else:
            total.passed += 1


def close(runs: list[Run]) -> int:
    total = tally(runs)
    say("")
    for name in total.skipped:
        say(f"skipped {name}")
    for name in total.failed:
        say(f"FAILED  {name}")
    tail = f", {len(total.skipped)} skipped" if total.skipped else ""
    say(f"{total.passed} passed, {len(total.failed)} failed{tail}")
    return 1 if total.failed else 0


def quick() -> list[Run]:
    started = time.monotonic()
    checks = [Run(name, [str(BIN / argv[0]), *argv[1:]], 300) for name, argv in CHECKS.items()]
    tests = [pytest_run(name, folders, profile="quick") for name, folders in QUICK.items()]
    first, second = ([run] if run else [] for run in tests)
    execute_chains([[*checks, *first], second])
    seconds = time.monotonic() - started
    say(
        f"quick: {seconds:.0f} s"
        + ("" if seconds <= QUICK_SECONDS else f", more than the {QUICK_SECONDS} s it may take")
    )
    return [*checks, *first, *second]


def ensure_programs(folders: list[str]) -> None:
    """What cannot be installed is named here; the tests that need it skip themselves by name, which CI=true forbids."""
    wanted = [program for folder in folders if has_tests(folder) for program in PROGRAMS.get(folder, [])]
    for program in wanted:
        subprocess.run([ROOT / "scripts/system_packages.sh", program], check=False)


def test() -> list[Run]:
    runs = quick()
    ensure_programs([folder for folders in LANES.values() for folder in folders])
    lanes = [
        pytest_run(name, folders, profile="deep", core=int(name in SECOND_CORE)) for name, folders in LANES.items()
    ]
    present = [lane for lane in lanes if lane is not None]
    execute_chains([[lane for lane in present if lane.core == core] for core in (0, 1)])
    return [*runs, *present]


def by_hand(name: str, marker: str) -> list[Run]:
    run = pytest_run(name, ["tests"], profile="deep", marker=marker)
    if run is None:
        return []
    execute_chains([[run]])
    say(f"{name}: {write_result(run)} names every test, and under each that failed what it said")
    return [run]


def write_result(run: Run) -> str:
    """A dated page with the machine and every test by name, because a figure without its machine means nothing. Its name."""
    today = datetime.datetime.now(tz=datetime.UTC).date()
    total = tally([run])
    lines = [f"# {run.name}, {today}", "", f"Python {platform.python_version()}, {platform.machine()}, "]
    lines[-1] += f"{os.cpu_count()} cores, {run.seconds:.0f} s: {total.passed} passed, {len(total.failed)} failed."
    if run.junit is not None and run.junit.exists():
        cases = list(ET.parse(run.junit).getroot().iter("testcase"))  # noqa: S314 as in read_junit
        lines += ["", "| test | seconds |", "|---|---|"]
        lines += [f"| {case.get('classname')}::{case.get('name')} | {case.get('time')} |" for case in cases]
        for case in cases:
            lines += what_failed(case)
    lines += ["", *(f"- failed: {name}" for name in total.failed), *(f"- skipped: {name}" for name in total.skipped)]
    results = ROOT / "results"
    results.mkdir(exist_ok=True)
    page = results / f"{run.name}-{today}.md"
    page.write_text("\n".join(lines).rstrip() + "\n")
    return str(page.relative_to(ROOT))


def what_failed(case: ET.Element) -> list[str]:
    """A heading and the first lines of what a test said that failed; nothing of one that passed."""
    trouble = next((one for one in case if one.tag in {"failure", "error"}), None)
    if trouble is None:
        return []
    said = str(trouble.get("message")).splitlines()[:SAID_LINES_MAX]
    return ["", f"## {case.get('classname')}::{case.get('name')}", "", *(f"    {line}" for line in said)]


def main(argv: list[str]) -> int:
    commands: dict[str, Callable[[], list[Run]]] = {
        "quick": quick,
        "test": test,
        "judges": lambda: by_hand("judges", "judge"),
        "endure": lambda: by_hand("endure", "endure"),
    }
    if len(argv) != 1 or argv[0] not in commands:
        say(f"usage: lanes.py {'|'.join(commands)}")
        return 2
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.parent.iterdir():
        if time.time() - old.stat().st_mtime > KEEP_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    return close(commands[argv[0]]())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
