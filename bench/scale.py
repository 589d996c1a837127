"""A million wallets: what they cost in memory and in each call, how long a start takes, and how soon a killed gateway serves again.

- `memory`: RSS of a process that holds a gateway's decisions, per wallet that was never touched and per active one.
- `admission`: CPU of key, admit, dispatch and settle at 1 k and at 1 M wallets in turn: calls of as many wallets here as there, and calls
  of all that there are, drawn evenly and used before, which is the worst case for every cache.
- `recovery`: `tokenroll serve` on a home, killed with so many records on its tape that no ledger has folded; then from its start to
  the first call that is served, and to the last record folded. `0` records is a start after nothing.

Each size has a process of its own, so that memory is its own, too. `--package DIR` measures a compiled copy (scripts/compile.sh DIR).

usage: python -m bench.scale memory,admission,recovery [--wallets 1000,10000,100000,1000000] [--records 0,100000,500000,1000000,2000000]
       [--package DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import gc
import http.client
import http.server
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.home import KEY_FORMAT, write_config
from bench.interpreter import environment_of, interpreter
from bench.machine import process_tree
from bench.micro import spending as parts
from bench.scale_home import home_of, write_unfolded
from tokenroll.model.limits import CALLS_REMEMBERED_MAX
from tokenroll.services.hot import Deployment, HotHold
from tokenroll.services.keys import key_hash
from tokenroll.services.protocol import FrameReader, KeyTerms, Lease, LotTerms, View, WalletTerms, encode
from tokenroll.services.spending import Spending
from tokenroll.store.tape import Finish, TapeWriter
from tokenroll.upstream.openai import ChatCompletions

HERE = Path(__file__).resolve().parent
ACTIVE = 10_000
CALLS = 20_000
ROUNDS = 5
SERVED_SECONDS_MAX = 300.0
ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":25,"completion_tokens":8,'
    b'"total_tokens":33}}'
)
BODY = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"yes?"}],"max_tokens":10}'


# ---- one process a size: a gateway's decisions without its sockets ---------------------------------------------------


class Leased:
    """A `Spending` that was told of so many wallets and keys as a ledger tells it, by messages that were bytes in between."""

    def __init__(self, wallets: int, folder: Path) -> None:

        self.tape = TapeWriter(folder, worker=0, epoch=1, boot_id=bytes(16), created_at=0)
        self.spending = Spending(self.tape, lambda: 0, parts.PEPPER)
        self.wallets = wallets
        reader = FrameReader()

        def told(message: Any) -> Any:
            return reader.feed(encode(message))[0]

        self.spending.apply_view(told(View([], [parts.card()], {}, False)))
        for first in range(1, wallets + 1, 20_000):
            keys = [key_terms(one) for one in range(first, min(first + 20_000, wallets + 1))]
            self.spending.apply_view(told(View(keys, [], {}, False)))
        self.spending.apply_view(told(View([], [], {}, True)))
        gc.collect()
        self.bytes_with_keys = resident_bytes()
        for first in range(1, wallets + 1, 5_000):
            last = min(first + 5_000, wallets + 1)
            leased = [wallet_terms(one) for one in range(first, last)]
            self.spending.apply_lease(told(Lease(leased, 0, 0, last > wallets)))


def key_terms(number: int) -> Any:

    secret = key_hash(parts.PEPPER, b"bench-%06d" % number)
    member = f"member_{number:032x}"
    return KeyTerms(number, f"key_{number:032x}", secret, "inference", number, member, number, 0, 0, False, [1])


def wallet_terms(number: int) -> Any:

    lots = [LotTerms(number, 100, 1, 10**16, 10**14, "tool")]
    public_id = f"wallet_{number:032x}"
    return WalletTerms(
        number, public_id, f"Member {number}", "member", "UTC", lots, "enforce", "deny", 16_384, 0, 0, 0, 0
    )


def resident_bytes(process: int | str = "self") -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def caller(leased: Leased) -> Callable[[int], None]:
    """One call of a wallet, from its key to its settlement; blocks are thrown away as they fill."""
    dialect, deployment = ChatCompletions(), Deployment("bench", "bench")
    facts = dialect.facts(parts.BODY)
    meter = dialect.meter(False, False)
    meter.feed(parts.ANSWER)
    meter.finish()
    spending, tape = leased.spending, leased.tape

    def call(wallet: int) -> None:
        key = spending.key_for(b"bench-%06d" % wallet, 2_000)
        assert key is not None
        hold = spending.admit(key, dialect, facts, 2_000, deployment=deployment)
        assert type(hold) is HotHold
        spending.dispatched([hold], 2_000)
        spending.settle(hold, meter, 3_000, 200, Finish.COMPLETE)
        if wallet & 63 == 0:
            tape.take_block()

    return call


def memory_of(wallets: int) -> dict[str, Any]:
    """What wallets cost that nobody has touched, and what those cost more that then call."""
    with tempfile.TemporaryDirectory() as folder:
        warm = Leased(10, Path(folder) / "warm")  # what is loaded and made only once is nobody's
        caller(warm)(1)
        gc.collect()
        before = resident_bytes()
        leased = Leased(wallets, Path(folder) / "tape")
        gc.collect()
        untouched = resident_bytes()
        call = caller(leased)
        active = min(ACTIVE, wallets // 2)
        for _ in range(CALLS_REMEMBERED_MAX + 1):  # what is kept of the last calls is nobody's either
            call(1)
        gc.collect()
        settled = resident_bytes()
        chosen = random.Random(7).sample(range(2, wallets + 1), active)
        for wallet in chosen:
            call(wallet)
        gc.collect()
        touched = resident_bytes()
    return {
        "wallets": wallets,
        "bytes_per_untouched_wallet": round((untouched - leased.bytes_with_keys) / wallets),
        "bytes_per_untouched_key": round((leased.bytes_with_keys - before) / wallets),
        "bytes_more_per_active_wallet": round((touched - settled) / active),
        "active_wallets": active,
        "resident_megabytes": round(touched / 1e6),
    }


def admission(wallets: list[int], rounds: int) -> list[dict[str, Any]]:
    """Microseconds of CPU of a call, by how many wallets there are; the sizes take turns, the least of each counts.

    First as many have called as there are in the smallest size, the others never; then all of them have, and call at random.
    """
    fewest = wallets[0]
    with tempfile.TemporaryDirectory() as folder:
        subjects = {}
        for count in wallets:
            call = caller(Leased(count, Path(folder) / str(count)))
            subjects[count] = (call, random.Random(7).sample(range(1, count + 1), count))
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)
        few = _least(subjects, fewest, rounds)
        every = _least(subjects, max(wallets), rounds)
    return [
        {
            "wallets": count, "micros_per_call_of_few": round(few[count], 2),
            "of_few_against_the_fewest": round(few[count] / few[fewest], 3), "micros_per_call_of_all": round(every[count], 2),
            "of_all_against_the_fewest": round(every[count] / every[fewest], 3),
        }
        for count in wallets
    ]  # fmt: skip


def _least(subjects: dict[int, tuple[Callable[[int], None], list[int]]], active: int, rounds: int) -> dict[int, float]:
    """Calls of so many wallets of each size, drawn evenly, after each of them has called once."""
    for call, chosen in subjects.values():
        for wallet in chosen[:active]:
            call(wallet)
    least = dict.fromkeys(subjects, float("inf"))
    for turn in range(rounds):
        for count, (call, chosen) in subjects.items():
            least[count] = min(least[count], _micros(call, chosen[:active], turn))
    return least


def _micros(call: Callable[[int], None], wallets: list[int], turn: int) -> float:
    # as machine words: as objects the numbers of a few of a million lie as far apart as the million do, and would be counted as the gateway's misses
    chosen = array("I", random.Random(turn).choices(wallets, k=CALLS))
    started = time.process_time()
    for wallet in chosen:
        call(wallet)
    return (time.process_time() - started) / CALLS * 1e6


# ---- a home that is served, killed and served again ------------------------------------------------------------------


class Provider(http.server.BaseHTTPRequestHandler):
    """Answers every call with the same few words."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_arguments: object) -> None:
        """Nobody reads it."""


@contextmanager
def provider() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()


class Served:
    """`tokenroll serve` on a home."""

    def __init__(self, home: Path, port: int, package: str | None) -> None:
        self.port = port
        environment = environment_of(Path(package or HERE.parent / "src"))
        environment["TOKENROLL_HOME"] = str(home)
        self.began = time.monotonic()
        self._log = (home / "serve.log").open("ab")
        self._process = subprocess.Popen(
            [interpreter(), "-m", "tokenroll", "serve"], env=environment, stdout=self._log, stderr=self._log
        )

    def first_call(self, key: str) -> float:
        """Seconds from the start to the first call that is served."""
        while time.monotonic() - self.began < SERVED_SECONDS_MAX:
            try:
                if self._call(key) == http.client.OK:
                    return time.monotonic() - self.began
            except OSError:
                pass
            time.sleep(0.02)
        self.kill()
        raise SystemExit("no call was served; see serve.log in the home")

    def _call(self, key: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SERVED_SECONDS_MAX)
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        try:
            connection.request("POST", "/v1/chat/completions", BODY, headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def admitting(self) -> bool:
        return self.metric("tokenroll_admitting") == 1

    def metric(self, name: str) -> float:
        """One of the gateway's own figures; -1 while it tells none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SERVED_SECONDS_MAX)
        try:
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
        except OSError:
            return -1.0
        finally:
            connection.close()
        return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name}{{")), -1.0)

    def resident(self, home: Path) -> dict[str, int]:
        """Megabytes of each role."""
        found = {}
        for role in ("gateway-000", "ledger"):
            try:
                found[role] = round(resident_bytes((home / "run" / f"{role}.pid").read_text().strip()) / 1e6)
            except OSError:
                continue
        return found

    def kill(self) -> None:
        """Every process of it, at once and without a word."""
        for pid in process_tree(self._process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()
        self._log.close()


def folded_records(home: Path, epoch: int) -> int:
    """What the ledger's file says is folded of a life of worker 0."""
    raw = sqlite3.connect(f"file:{home / 'ledger.db'}?mode=ro", uri=True)
    row = raw.execute("SELECT folded_sequence FROM tapes WHERE worker = 0 AND epoch = ?", (epoch,)).fetchone()
    raw.close()
    return 0 if row is None else int(row[0])


def recovery(wallets: int, records: int, package: str | None) -> dict[str, Any]:
    """A gateway killed with so many records unfolded, started again."""
    made = home_of(wallets)
    with tempfile.TemporaryDirectory(dir=made.parent) as folder, provider() as provider_port:
        home = Path(folder) / "home"
        shutil.copytree(made, home)
        port = 18_787
        write_config(home, gateway_port=port, web_port=port + 1, provider_port=provider_port)
        served = Served(home, port, package)
        while not served.admitting():
            time.sleep(0.05)
        started = time.monotonic() - served.began
        served.kill()
        last = write_unfolded(home, 1, records, wallets) if records else 0
        served = Served(home, port, package)
        try:
            seconds = served.first_call(KEY_FORMAT % 3)
            behind = last - folded_records(home, 1)
            while folded_records(home, 1) < last:
                time.sleep(0.1)
            folded = time.monotonic() - served.began
            resident = served.resident(home)
        finally:
            served.kill()
    return {
        "wallets": wallets, "records": last, "seconds_of_a_start_after_nothing": round(started, 2),
        "seconds_to_the_first_call": round(seconds, 2), "unfolded_then": behind,
        "seconds_until_all_is_folded": round(folded, 2), "megabytes": resident,
    }  # fmt: skip


# ---- the door ----------------------------------------------------------------------------------------------------------


def apart(package: str | None, *arguments: str) -> Any:
    """What this module says of one size, in a process of its own."""
    environment = {**environment_of(Path(package or HERE.parent / "src")), "PYTHONHASHSEED": "0"}
    environment["PYTHONPATH"] += os.pathsep + str(HERE.parent)
    command = [interpreter(), "-m", "bench.scale", "--one", *arguments]
    return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)


def one(what: str, arguments: list[str]) -> Any:
    if what == "memory":
        return memory_of(int(arguments[0]))
    return admission([int(count) for count in arguments], ROUNDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="?", default="memory,admission,recovery")
    parser.add_argument("more", nargs="*")
    parser.add_argument("--wallets", default="1000,10000,100000,1000000")
    parser.add_argument("--records", default="0,100000,500000,1000000,2000000")
    parser.add_argument("--home-wallets", type=int, default=10_000)
    parser.add_argument("--package")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", action="store_true")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.parts, options.more)))
        return
    counts = options.wallets.split(",")
    found: dict[str, Any] = {}
    for part in options.parts.split(","):
        if part == "memory":
            found[part] = [apart(options.package, part, count) for count in counts]
        elif part == "admission":
            found[part] = apart(options.package, part, counts[0], counts[-1])
        else:
            sizes = [int(count) for count in options.records.split(",")]
            found[part] = [recovery(options.home_wallets, size, options.package) for size in sizes]
        print(json.dumps({part: found[part]}, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
