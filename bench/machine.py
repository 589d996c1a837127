"""Cores, scheduling classes, CPU time and memory, read from /proc: what every measurement stands on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

DIR = Path(os.environ.get("BENCH_DIR", ".bench")).absolute()
HERE = Path(__file__).resolve().parent
SYSTEM_CORE = 0
LOAD_CORE = 1


def allowed(*prefix: str) -> list[str]:
    """The prefix, where the user may run programs with it; nothing where not."""
    try:
        done = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    except OSError:
        return []
    return list(prefix) if done.returncode == 0 else []


# Other work on the machine must not disturb the figures: what is measured runs in the real-time class where that is
# allowed; a nice value is not enough where the kernel groups processes by session.
REAL_TIME = allowed("chrt", "-r", "1")
LOAD_CLASS = allowed("chrt", "-f", "2")
MOCK_CLASS = allowed("chrt", "-f", "3")
PROBE_CLASS = allowed("chrt", "-f", "4")


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may itself hold spaces and brackets; empty once it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def process_tree(root: int) -> list[int]:
    """A process and all its descendants; none for 0, which stands for "no system, only the mock"."""
    if not root:
        return []
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := stat_fields(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time of all threads of these processes, in the scheduler's own nanoseconds."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                with suppress(OSError):
                    total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def rss_mb(pids: Iterable[int]) -> int:
    total = 0
    for pid in pids:
        with suppress(OSError):
            found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
            total += int(found.group(1)) if found else 0
    return round(total / 1024)


def must_be_free(port: int) -> None:
    """Raises SystemExit when somebody listens there already, who would be measured in place of what is started next."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
        raise SystemExit(f"something listens on port {port} already; end it, or move the bench (bench/setup.sh)")


def wait_for_port(port: int, seconds: float = 150, process: subprocess.Popen[bytes] | None = None) -> None:
    """Somebody listens there when this returns. Raises SystemExit when nobody does in time, or `process` has ended before."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process is not None and process.poll() is not None:
            raise SystemExit(f"it ended with code {process.returncode} before it listened on port {port}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"nothing listens on port {port}")


def start(
    command: list[str], core: int, log: Path, scheduling: list[str] | None = None, env: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """The command on one core, in the real-time class unless another is given."""
    pinned = [*(REAL_TIME if scheduling is None else scheduling), "taskset", "-c", str(core), *command]
    with log.open("wb") as out:
        return subprocess.Popen(pinned, stdout=out, stderr=out, start_new_session=True, env=env)


def stop(process: subprocess.Popen[bytes], seconds: float = 4) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in reversed(process_tree(process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return


def place(pid: int, core: int, *, real_time: bool) -> None:
    """A running process with all its threads on one core, in or out of the real-time class."""
    subprocess.run(["taskset", "-a", "-c", "-p", str(core), str(pid)], capture_output=True, check=True)
    if REAL_TIME:
        how = ["-r", "1"] if real_time else ["-o", "0"]
        subprocess.run([REAL_TIME[0], "-a", how[0], "-p", how[1], str(pid)], capture_output=True, check=True)
        # A thread that comes back from the disk goes before the one that computes, as it does in the ordinary class; among equals
        # of the real-time class it would wait for the end of a slice of 100 ms.
        helpers = [task.name for task in Path(f"/proc/{pid}/task").iterdir() if task.name != str(pid)]
        for thread in helpers if real_time else ():
            subprocess.run([REAL_TIME[0], "-r", "-p", "2", thread], capture_output=True, check=False)


@contextlib.contextmanager
def awake(*, wanted: bool, cores: tuple[int, ...] = (SYSTEM_CORE, LOAD_CORE)) -> Iterator[None]:
    """These cores kept from sleeping, in the idle class (see load/awake.c)."""
    programs = []
    if wanted:
        command = str(DIR / "bin/awake")
        programs = [subprocess.Popen(["taskset", "-c", str(core), command]) for core in cores]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


@contextlib.contextmanager
def disk_probed() -> Iterator[dict[str, float]]:
    """While it is open, what an append and its fdatasync take on the disk of the homes; filled in at the end (microseconds)."""
    command = [*PROBE_CLASS, "taskset", "-c", str(LOAD_CORE), str(DIR / "bin/diskprobe"), str(DIR / "probe")]
    probe = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = {}
    try:
        yield found
    finally:
        probe.terminate()
        out, _ = probe.communicate()
        found.update(json.loads(out or "{}"))
