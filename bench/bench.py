"""Measures one system: it on core 0, mock and load on core 1, one JSON line a test.

    python -m bench.bench NAME [--tests ns,lat,mid,burst,paced] [--port 8000] [--key K] [--extra 'H: v|...'] [-- COMMAND...]

Without a command the load goes to --port as it is. The standard library is enough; wrk must be on the path, and mockup
and sseload are looked for in $BENCH_DIR/bin. CPU time is read from /proc for the whole process tree of COMMAND, so every
figure comes with `cpu`: CPU seconds of the system for each second of wall time (1.0 = its core is full).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.machine import (
    DIR,
    HERE,
    LOAD_CLASS,
    LOAD_CORE,
    REAL_TIME,
    SYSTEM_CORE,
    cpu_seconds,
    process_tree,
    rss_mb,
    start,
    stop,
    wait_for_port,
)

MOCK_PORT = int(os.environ.get("BENCH_PROVIDER_PORT", "9000"))

Result = dict[str, Any]


class Bench:
    """One named system and the options of its run."""

    def __init__(self, options: argparse.Namespace, command: list[str]) -> None:
        self.options = options
        self.command = command

    def emit(self, test: str, result: Result) -> None:
        line = json.dumps({"name": self.options.name, "test": test, **result})
        print(line, flush=True)
        with (DIR / "results.jsonl").open("a") as out:
            out.write(line + "\n")

    def run(self, mock_arguments: list[str], measure: Callable[[int], None]) -> None:
        """A fresh mock and a fresh system for each test, so that none inherits the other's memory or sockets."""
        mock = start([str(DIR / "bin/mockup"), str(MOCK_PORT), *mock_arguments], LOAD_CORE, DIR / "mock.log")
        system = None
        try:
            wait_for_port(MOCK_PORT)
            if self.command:
                system = start(self.command, SYSTEM_CORE, DIR / f"system-{self.options.name}.log")
            wait_for_port(self.options.port)
            time.sleep(0.5)
            measure(system.pid if system else 0)
        finally:
            if system:
                stop(system)
            stop(mock)

    def wrk(self, connections: int, seconds: int) -> Result:
        o = self.options
        command = [
            *REAL_TIME,
            "taskset",
            "-c",
            "1",
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout",
            "10s",
        ]
        command += ["-s", str(HERE / "load/chat.lua"), f"http://127.0.0.1:{o.port}{o.path}"]
        environment = {"WRK_KEY": o.key, "WRK_EXTRA": o.extra, "BODY_BYTES": str(o.body), "WRK_MODEL": o.model}
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=True)
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))

    def around(self, pid: int, load: Callable[[], Result]) -> Result:
        cpu_before, started = cpu_seconds(process_tree(pid)), time.monotonic()
        result = load()
        result["cpu"] = round((cpu_seconds(process_tree(pid)) - cpu_before) / (time.monotonic() - started), 3)
        result["rss_mb"] = rss_mb(process_tree(pid))
        return result

    def saturated(self, pid: int) -> None:
        o = self.options
        self.wrk(o.connections, o.warm)
        result = self.around(pid, lambda: self.wrk(o.connections, o.seconds))
        result["rps_per_core"] = round(result["rps"] / max(result["cpu"], 0.001))
        self.emit(f"ns c{o.connections} body{o.body}", result)

    def one_connection(self, pid: int) -> None:
        self.wrk(4, 1)
        self.emit("lat c1", self.around(pid, lambda: self.wrk(1, 3)))

    def slow_upstream(self, pid: int) -> None:
        self.wrk(self.options.mid, 1)
        result = self.around(pid, lambda: self.wrk(self.options.mid, 4))
        self.emit(f"mid c{self.options.mid} upstream20ms", result)

    def streams(self, test: str, count: int, *, seconds: float, warm: float, ramp: int) -> Callable[[int], None]:
        o = self.options
        command = [*LOAD_CLASS, "taskset", "-c", "1", str(DIR / "bin/sseload"), str(o.port), str(count)]
        command += [str(seconds), str(warm), o.path, o.key, str(o.body), str(ramp), o.extra]

        def measure(pid: int) -> None:
            client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            time.sleep(warm)
            cpu_before, started = cpu_seconds(process_tree(pid)), time.monotonic()
            time.sleep(seconds - 0.3)
            cpu = (cpu_seconds(process_tree(pid)) - cpu_before) / (time.monotonic() - started)
            memory = rss_mb(process_tree(pid))
            out, errors = client.communicate()
            if client.returncode or not out.strip():
                self.emit(test, {"failed": errors[-300:]})
                return
            result = {**json.loads(out.strip().splitlines()[-1]), "cpu": round(cpu, 3), "rss_mb": memory}
            if result["events_s"]:
                result["us_per_event"] = round(cpu * 1e6 / result["events_s"], 2)
            if errors:
                result["stderr"] = errors[:200]
            self.emit(test, result)

        return measure

    def test(self, name: str) -> None:
        if name == "ns":
            self.run(["60", "0"], self.saturated)
        elif name == "lat":
            self.run(["60", "0"], self.one_connection)
        elif name == "mid":
            self.run(["60", "0", "0", "20000"], self.slow_upstream)
        elif name == "burst":
            for chunks in ("60", "500"):
                self.run([chunks, "0"], self.streams(f"burst{chunks} c64", 64, seconds=4, warm=1.5, ramp=200))
        elif name == "paced":
            for spec in self.options.paced.split(","):
                count, interval_us = (int(part) for part in spec.split(":"))
                label = f"paced {count}x{interval_us // 1000}ms"
                load = self.streams(label, count, seconds=5, warm=3 + count / 1500, ramp=1000 + count // 2)
                self.run(["200", str(interval_us)], load)
        else:
            raise SystemExit(f"unknown test {name!r}; known: ns, lat, mid, burst, paced")


def options_from(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--tests", default="ns,lat,mid,burst,paced")
    parser.add_argument("--path", default="/v1/chat/completions")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--key", default="sk-test-0001")
    parser.add_argument("--extra", default="", help="more request headers: 'Name: value|Name: value'")
    parser.add_argument("--model", default="gpt-4o-mini")
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--warm", type=int, default=2)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--body", type=int, default=1000, help="bytes of a request body")
    parser.add_argument("--mid", type=int, default=64, help="connections of the test with a slow upstream")
    parser.add_argument("--paced", default="1000:50000,3000:100000", help="streams:microseconds between events, …")
    return parser.parse_args(arguments)


def main() -> int:
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    bench = Bench(options_from(sys.argv[1:split]), sys.argv[split + 1 :])
    for name in bench.options.tests.split(","):
        bench.test(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
