"""`make bench`: the speed budget, line by line, as ratios to plain nginx in the same run.

Systems alternate over rounds; each line is the median over rounds of the ratio within a round. QUICK=1 makes one short round.
The table goes to the terminal, all samples to bench/results/DATE.json.
"""

from __future__ import annotations

import argparse
import datetime
import http.cookiejar
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.busy import importing, tables
from bench.home import KEY_FORMAT, MEMBERS, prepared
from bench.interpreter import described, environment_of, interpreter
from bench.lines import Samples, lines_of, table
from bench.machine import DIR, HERE, LOAD_CLASS, LOAD_CORE, PROBE_CLASS, awake, cpu_seconds, disk_probed, rss_mb
from bench.subjects import WEB_PORT, Mock, Nginx, Subject, Tokenroll, installed_wheel

QUICK = os.environ.get("QUICK") == "1"
BODIES = {"calls-1k": 1_000, "calls-76k": 76_000, "calls-300k": 300_000}
TESTS = (*BODIES, "rotating-1k", "streams", "streams-injected", "paced", "latency", "busy", "fold")
PATH = "/v1/chat/completions"
STREAMS, EVENTS, EVENT_MICROS = 1000, 200, 50_000
PACED_STREAMS, PACED_EVENT_MICROS = 3000, 150_000
"""Concurrent streams at which latency is read: 20,000 events a second. At 30,000 the provider and its reader fill their core by themselves, and what is late is theirs."""
RATE = 3000
FOLDED_BESIDE = 2000
"""Calls a second of a second generator, so that the ledger folds 5,000 while the latency of 3,000 is read."""
UNFOLDED = "tokenroll_unfolded_records"
QUIET_SECONDS_MAX = 60
Result = dict[str, Any]


def load(program: str, *arguments: object, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    command = [*LOAD_CLASS, "taskset", "-c", str(LOAD_CORE), str(DIR / "bin" / program), *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}
    )


def answer_of(client: subprocess.Popen[str]) -> Result:
    out, errors = client.communicate()
    if client.returncode or not out.strip():
        raise SystemExit(f"the load failed: {errors[-600:]}")
    result: Result = json.loads(out.strip().splitlines()[-1])
    if errors:
        result["stderr"] = errors[:300]
    return result


def cpu_when_quiet(pids: list[int]) -> float:
    """CPU seconds of these processes once they have worked off what the load left: a fold, or answers that nobody reads any more."""
    before, until = cpu_seconds(pids), time.monotonic() + QUIET_SECONDS_MAX
    while time.monotonic() < until:
        time.sleep(0.5)
        now = cpu_seconds(pids)
        if now - before < 0.01:
            return now
        before = now
    return before


def cpu_shares(after: float, seconds: float, *groups: list[int]) -> list[float]:
    """CPU seconds of each group of processes for each second of the window that begins `after` seconds from now."""
    time.sleep(after)
    before, begun = [cpu_seconds(pids) for pids in groups], time.monotonic()
    time.sleep(seconds)
    spent, passed = [cpu_seconds(pids) for pids in groups], time.monotonic() - begun
    return [(now - then) / passed for now, then in zip(spent, before, strict=True)]


def openload(subject: Subject, seconds: float, warm: float, **options: object) -> Result:
    """Calls, with the CPU time of each side per call: near over the measured window, far over all calls and their fold."""
    far_before = cpu_seconds(subject.far())
    warm += subject.warm_up
    pairs = {"port": subject.port, "seconds": seconds, "warm": warm, "key": subject.key, **options}
    if subject.extra:
        pairs["extra"] = subject.extra
    client = load("openload", *(f"{name}={value}" for name, value in pairs.items()))
    [share] = cpu_shares(warm, seconds, subject.near())
    memory = rss_mb(subject.near())
    result = answer_of(client)
    result["cpu"] = round(share, 3)
    result["near_us"] = round(share / result["rps"] * 1e6, 3)
    result["rss_mb"] = memory
    if subject.far():
        result["far_us"] = round((cpu_when_quiet(subject.far()) - far_before) / result["sent"] * 1e6, 3)
    return result


def calls(subject: Subject, body: int, *, rotating: bool = False) -> Result:
    """As many calls as go, 64 connections; each keeps its own key, or keys rotate over all wallets."""
    keys = {"keys": MEMBERS, "sticky": 0} if rotating else {"keys": 64, "sticky": 1}
    seconds, warm = (1.5, 1.0) if QUICK else (5.0, 2.0)
    return openload(subject, seconds, warm, rate=0, connections=64, body=body, **keys)


def streams(subject: Subject, *, injected: bool, count: int = STREAMS) -> Result:
    """1,000 streams, an event each 50 ms on average, one event a write: CPU time per event. Each stream has its own key."""
    seconds, warm = (2.0, 2.5) if QUICK else (5.0, 4.0)
    warm += subject.warm_up
    own_keys = "%" in subject.key
    env = {**({"KEYS": str(count)} if own_keys else {}), **({"NO_USAGE": "1"} if injected else {})}
    key = subject.key % 0 if own_keys else subject.key
    arguments = (subject.port, count, seconds, warm, PATH, key, 1000, 1500, subject.extra)
    client = load("sseload", *arguments, env=env)
    share, far_share = cpu_shares(warm, seconds - 0.3, subject.near(), subject.far())
    memory = rss_mb(subject.near())
    result = answer_of(client)
    cpu_when_quiet(
        subject.near()
    )  # streams whose client left are read on for their usage, and must not be in the next figure
    return {
        **result,
        "cpu": round(share, 3),
        "rss_mb": memory,
        "near_us": round(share * 1e6 / max(result["events_s"], 1), 3),
        "far_us": round(far_share * 1e6 / max(result["events_s"], 1), 3),
    }


def paced(subject: Subject) -> Result:
    """3,000 streams, an event each 150 ms on average: how late an event is read, by the stamp that the provider writes into it."""
    seconds, warm, ramp = (3.0, 3.0, 1500) if QUICK else (8.0, 5.0, 2500)
    arguments = (subject.port, PACED_STREAMS, seconds, warm, PATH, KEY_FORMAT % 0, 1000, ramp)
    with awake(wanted=True):
        client = load("sseload", *arguments, env={"KEYS": str(PACED_STREAMS)})
        [share] = cpu_shares(warm, seconds - 0.3, subject.near())
        result = answer_of(client)
    if subject.near():
        cpu_when_quiet(subject.near())
    return {**result, "cpu": round(share, 3)}


@contextmanager
def pages_polled(subject: Subject) -> Iterator[list[float]]:
    """A reader of pages, logged in as one member, that asks for its wallet's page ten times a second; its own waits in ms."""
    waits: list[float] = []
    done = threading.Event()
    if not isinstance(subject, Tokenroll):
        yield waits
        return

    def poll() -> None:
        site = f"http://127.0.0.1:{WEB_PORT}"
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        browser.open(f"{site}/login", urllib.parse.urlencode({"key": KEY_FORMAT % 1}).encode(), timeout=10)
        while not done.wait(0.1):
            begun = time.perf_counter()
            with suppress(OSError), browser.open(f"{site}/me", timeout=10) as page:
                if page.status == 200 and page.url.endswith("/me"):
                    waits.append((time.perf_counter() - begun) * 1e3)

    reader = threading.Thread(target=poll, daemon=True)
    reader.start()
    try:
        yield waits
    finally:
        done.set()
        reader.join()


def latency(subject: Subject, rate: int = RATE) -> Result:
    """Calls at a fixed rate, arriving by chance, while the ledger folds them and pages are read; the disk's sync beside it."""
    seconds, warm = (3.0, 1.5) if QUICK else (10.0, 2.0)
    with awake(wanted=True), disk_probed() as probe, pages_polled(subject) as waits:
        result = openload(subject, seconds, warm, rate=rate, connections=256, keys=MEMBERS, body=1000)
    result["fdatasync_us"] = probe
    result["pages_read"] = len(waits)
    result["page_ms"] = round(sorted(waits)[len(waits) // 2], 1) if waits else 0
    return result


def busy(subject: Subject) -> Result:
    """The same while a second generator calls, tables are imported into the home and pages are read.

    It begins when nearly all members have called once. The program that keeps cores awake stays off the system's: where that is used
    above 95 %, the kernel takes 55 ms of every second from the real-time class for whoever else could run there.
    """
    seconds, warm = (3.0, 1.5) if QUICK else (12.0, 10.0)
    beside = ("rate", FOLDED_BESIDE), ("seconds", seconds + warm), ("warm", 0), ("connections", 256), ("seed", 2)
    pairs = (("port", subject.port), ("key", subject.key), ("keys", MEMBERS), ("body", 1000), *beside)
    with ExitStack() as meanwhile:
        meanwhile.enter_context(awake(wanted=True, cores=(LOAD_CORE,)))
        rows = meanwhile.enter_context(importing(subject.home)) if isinstance(subject, Tokenroll) else []
        waits = meanwhile.enter_context(pages_polled(subject))
        second = load("openload", *(f"{name}={value}" for name, value in pairs))
        result = openload(subject, seconds, warm, rate=RATE, connections=256, keys=MEMBERS, body=1000)
        result["beside"] = answer_of(second)["rps"]
        result["rows_imported"], result["pages_read"] = sum(rows), len(waits)
    if isinstance(subject, Tokenroll):
        behind = (value for name, value in subject.metrics().items() if name.partition("{")[0] == UNFOLDED)
        result["unfolded_after"] = sum(behind)
    return result


def fold(wallets: int) -> Result:
    return micro("fold.py", "--wallets", wallets)


def micro(script: str, *arguments: object) -> Result:
    """What a script of bench/micro prints, run with the package as it is installed for load."""
    command = [interpreter(), str(HERE / "micro" / script), *map(str, arguments)]
    environment = environment_of(installed_wheel())
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def says_something(subject: Subject, test: str) -> bool:
    """Whether the test says something about this system."""
    if test in {"rotating-1k", "streams-injected"}:
        return isinstance(subject, Tokenroll)
    return subject.name != "direct" or test in {"paced", "latency", "busy"}


def measure(subject: Subject, test: str, rate: int = RATE, count: int = STREAMS) -> Result:
    """One sample; `rate` calls a second where latency is measured, `count` streams at a time."""
    if test in BODIES:
        return calls(subject, BODIES[test])
    if test == "rotating-1k":
        return calls(subject, 1000, rotating=True)
    if test in {"streams", "streams-injected"}:
        return streams(subject, injected=test == "streams-injected", count=count)
    if test == "paced":
        return paced(subject)
    if test == "latency":
        return latency(subject, rate)
    if test == "busy":
        return busy(subject)
    raise SystemExit(f"unknown test {test!r}; known: {', '.join(TESTS)}")


def one_round(number: int, systems: list[Subject], tests: list[str], samples: Samples, *, verify: bool) -> None:
    """Every test once with every system in turn, each in a fresh process with a fresh provider; who is first changes.

    What is compared stands side by side in time: this machine's speed changes within minutes.
    """
    for place, test in enumerate(tests):
        turn = (number + place) % len(systems)
        for subject in systems[turn:] + systems[:turn]:
            if says_something(subject, test):
                result = one_sample(subject, test)
                samples.setdefault(test, {}).setdefault(subject.name, []).append(result)
                print(json.dumps({"round": number, "system": subject.name, "test": test, **result}), flush=True)
                if verify and isinstance(subject, Tokenroll):
                    print(json.dumps({"system": subject.name, "verified": subject.verified()}), flush=True)


def one_sample(subject: Subject, test: str, rate: int = RATE, count: int = STREAMS) -> Result:
    """A test of a system that was started for it and is stopped after it."""
    mock = Mock([str(EVENTS), str(PACED_EVENT_MICROS if test == "paced" else EVENT_MICROS)])
    mock.start()
    try:
        subject.start()
        time.sleep(0.3)
        return measure(subject, test, rate, count)
    finally:
        subject.stop()
        mock.stop()


def facts() -> Result:
    """What the figures were measured on, so far as it explains them."""
    nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr.strip()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    return {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit.strip(),
        "cores": os.cpu_count(),
        "python": described(),
        "nginx": nginx.removeprefix("nginx version: "),
        "real_time": bool(LOAD_CLASS),
        "members": MEMBERS,
        "quick": QUICK,
        "load_average_after": round(os.getloadavg()[0], 1),
    }


def options_from(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", default=",".join(TESTS))
    parser.add_argument(
        "--systems", default="direct,nginx,written,synced,written-full,synced-full,written-source,synced-source"
    )
    parser.add_argument("--rounds", type=int, default=1 if QUICK else 3)
    parser.add_argument("--wallets", type=int, default=100_000 if QUICK else 1_000_000, help="of the fold's ledger")
    parser.add_argument("--no-verify", action="store_true", help="leave out `journal verify` after the last round")
    parser.add_argument("--out", type=Path, default=None, help="file for the samples; default bench/results/DATE.json")
    return parser.parse_args(arguments)


def take_place() -> None:
    """This process, which takes the time, on the load's core and before all others there; its children begin as ordinary ones."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends it ends what it has started, too
    os.sched_setaffinity(0, {LOAD_CORE})
    if PROBE_CLASS:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(5))


def main() -> int:
    options = options_from(sys.argv[1:])
    take_place()
    tests = options.tests.split(",")
    made: dict[str, Subject] = {"direct": Subject(), "nginx": Nginx()}
    for durability in ("written", "synced"):
        for ours in (
            Tokenroll(durability),
            Tokenroll(durability, full=True),
            Tokenroll(durability, from_source=True),
            Tokenroll(durability, full=True, from_source=True),
        ):
            made[ours.name] = ours
    systems = [made[name] for name in options.systems.split(",")]
    prepared()
    prepared(full=True)
    installed_wheel()
    if "busy" in tests:
        tables()
    samples: Samples = {}
    in_rounds = [test for test in tests if test != "fold"]
    for number in range(options.rounds if in_rounds else 0):
        verify = not options.no_verify and number == options.rounds - 1
        one_round(number, systems, in_rounds, samples, verify=verify)
    if "fold" in tests:
        pairs = [(micro("plain_sqlite.py"), fold(options.wallets)) for _ in range(options.rounds)]
        samples["fold"] = {"plain": [plain for plain, _ in pairs], "ledger": [ours for _, ours in pairs]}
    lines = lines_of(samples)
    out = options.out or HERE / "results" / f"{datetime.datetime.now(datetime.UTC).date()}.json"
    if not QUICK or options.out:
        out.parent.mkdir(exist_ok=True)
        out.write_text(json.dumps({"facts": facts(), "lines": lines, "samples": samples}, indent=1) + "\n")
        print(f"samples: {out}")
    print(table(lines))
    for subject in systems:
        if isinstance(subject, Tokenroll):
            shutil.rmtree(subject.home, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
