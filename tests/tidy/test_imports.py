"""Importing any module of tokenroll does nothing: no file written, no socket, no process, no thread."""

import os
import subprocess
import sys
from pathlib import Path

from tests.tidy.checks import ROOT

WATCH = """
import importlib, os, pkgutil, sys, threading

events = []
FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.fork", "os.exec", "os.spawn", "os.posix_spawn", "os.mkdir",
             "os.remove", "os.rename", "os.truncate", "shutil.", "sqlite3.connect", "signal.")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC

def watch(event, args):
    writes = event == "open" and isinstance(args[2], int) and args[2] & WRITING
    if writes or (event.startswith(FORBIDDEN) and event != "socket.__new__"):
        events.append(f"{event} {args!r}")

root, skipped = sys.argv[1], {"__main__"}
package = importlib.import_module(root)
names = [m.name for m in pkgutil.walk_packages(package.__path__, root + ".") if m.name.split(".")[-1] not in skipped]
sys.addaudithook(watch)
for name in names:
    before = len(events)
    importlib.import_module(name)
    if len(events) > before or threading.active_count() > 1:
        print(name, events[before:], threading.enumerate()[1:])
        sys.exit(1)
print(len(names))
"""


def import_all(root: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path)} if path else dict(os.environ)
    return subprocess.run(
        [sys.executable, "-B", "-c", WATCH, root],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_importing_has_no_effect():
    done = import_all("tokenroll")
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) > 20


def test_an_effect_would_be_seen(tmp_path: Path):
    effects = {
        "write": "open('/dev/null', 'w').close()",
        "socket": "import socket; socket.socket().bind(('127.0.0.1', 0))",
        "thread": "import threading, time; threading.Thread(target=time.sleep, args=(1,), daemon=True).start()",
        "process": "import subprocess; subprocess.run(['true'])",
    }
    for name, effect in effects.items():
        package = tmp_path / f"bad_{name}"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "module.py").write_text(effect + "\n")
        done = import_all(package.name, tmp_path)
        assert done.returncode == 1, (name, done.stdout, done.stderr)
