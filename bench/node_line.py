"""What the line to another machine costs: `python -m bench.node_line [ROUNDS]`, figures in docs/performance.md.

Calls per CPU-second of a node ÷ those of a gateway beside the ledger, in alternating rounds with the same load, and likewise of
the ledger. Both run from source on this machine, the line over loopback TCP and TLS: what the ratio holds is frames,
encryption and the kernel's TCP.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from statistics import median

from bench.interpreter import interpreter
from bench.machine import DIR, LOAD_CORE, awake, start, stop
from bench.measure import EVENT_MICROS, EVENTS, Result, calls
from bench.subjects import GATEWAY_PORT, Mock, Tokenroll

LINE_PORT = GATEWAY_PORT + 2
BODY_BYTES = 1_000


class Node(Tokenroll):
    """The same, with its gateway as `tokenroll node serve` in a home of its own, and the ledger with nothing but nodes."""

    def __init__(self, durability: str) -> None:
        super().__init__(durability, from_source=True)
        self.name = f"{durability}-node"
        self.home = DIR / f"home-{self.name}"
        self.node_home = DIR / f"home-{self.name}-gateway"
        self._node: subprocess.Popen[bytes] | None = None

    def _serve(self, environment: dict[str, str]) -> None:
        shutil.rmtree(self.node_home, ignore_errors=True)
        config = self.home / "config.toml"
        ours = config.read_text(encoding="utf-8")
        config.write_text(f'{ours}\n[nodes]\nlisten = "127.0.0.1:{LINE_PORT}"\n', encoding="utf-8")
        program = [interpreter(), "-m", "tokenroll"]
        made = [*program, "node", "certificate", "bench", "--folder", str(self.node_home)]
        subprocess.run(made, env=environment, check=True, stdout=subprocess.DEVNULL)
        node = self.node_home / "config.toml"
        deployments = ours[ours.index("[deployments") :]
        alone = node.read_text(encoding="utf-8").replace("[node]\n", "[node]\nalone = true\n")
        text = alone.replace("127.0.0.1:8787", f"127.0.0.1:{GATEWAY_PORT}")
        node.write_text(f"{text.replace('synced', self.durability, 1)}\n{deployments}", encoding="utf-8")
        self._process = start(
            [*program, "serve", "--workers", "0"], LOAD_CORE, DIR / f"{self.name}.log", scheduling=[], env=environment
        )
        self._node = start(
            [*program, "node", "serve"], LOAD_CORE, DIR / f"{self.name}-gateway.log", scheduling=[],
            env={**environment, "TOKENROLL_HOME": str(self.node_home)},
        )  # fmt: skip

    def _pid(self, role: str) -> int:
        path = self.node_home / "run/gateway-064.pid" if role == "gateway-000" else self.home / "run" / f"{role}.pid"
        try:
            return int(path.read_text())
        except (OSError, ValueError):
            return 0

    def stop(self) -> None:
        if self._node is not None:
            stop(self._node, 30)
        super().stop()


def main() -> None:
    """Prints JSON."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    samples: dict[str, list[Result]] = {}
    with awake(wanted=True):
        for _ in range(rounds):
            for subject in (Tokenroll("written", from_source=True), Node("written")):
                with running(subject):
                    samples.setdefault(subject.name, []).append(calls(subject, BODY_BYTES))
                subject.verified()
    beside, node = samples.values()
    ratios = {
        what: [round(one[key] / other[key], 3) for one, other in zip(beside, node, strict=True)]
        for what, key in (
            ("calls per CPU-second of the gateway", "near_us"),
            ("calls per CPU-second of the ledger", "far_us"),
        )
    }
    summary = {what: round(median(values), 3) for what, values in ratios.items()}
    print(
        json.dumps({"node ÷ beside": summary, "rounds": ratios, "samples": samples, "load": os.getloadavg()}, indent=2)
    )


@contextlib.contextmanager
def running(subject: Tokenroll) -> Iterator[None]:
    """The subject and its provider, for one measurement."""
    mock = Mock([str(EVENTS), str(EVENT_MICROS)])
    mock.start()
    try:
        subject.start()
        yield
    finally:
        subject.stop()
        mock.stop()


if __name__ == "__main__":
    main()
