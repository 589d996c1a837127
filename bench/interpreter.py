"""The interpreter that our side of a measurement runs on: of those of this version on the machine, the fastest.

Builds of one Python version differ by a fifth: with and without profile-guided optimisation, with and without a shared library.
Who runs a gateway under load takes a good one, and so does the benchmark; the results name it. `BENCH_PYTHON` names another.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

_PLACES = ("/usr/local/bin", "/usr/bin")
_SCORE = """
import sys, sysconfig, time
def work():
    rows = {}
    for number in range(20_000):
        key = number % 97
        rows[key] = rows.get(key, 0) + len(b"%d: %b" % (number, b"x" * (number & 7)))
    return rows
best = 1e9
for _ in range(25):
    begun = time.perf_counter(); work(); best = min(best, time.perf_counter() - begun)
print(sysconfig.get_config_var("SOABI"), best)
"""


def _seconds(python: str) -> float:
    """What a little of the gateway's kind of work takes there; infinite when our packages would not load."""
    done = subprocess.run([python, "-I", "-c", _SCORE], capture_output=True, text=True, check=False)
    abi, _, seconds = done.stdout.strip().partition(" ")
    same = done.returncode == 0 and abi == sysconfig.get_config_var("SOABI")
    return float(seconds) if same else float("inf")


@functools.cache
def interpreter() -> str:
    """The path of the fastest that loads our packages, or of the one that is named. Raises SystemExit when that one does not."""
    if named := os.environ.get("BENCH_PYTHON"):
        if _seconds(named) == float("inf"):
            raise SystemExit(
                f"BENCH_PYTHON={named} does not load packages built for {sysconfig.get_config_var('SOABI')}"
            )
        return named
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *_PLACES]
    places = [found for folder in folders if (found := shutil.which(name, path=folder))]
    distinct = {os.path.realpath(place): place for place in [*places, sys.executable]}
    return min(distinct.values(), key=_seconds)


def described() -> str:
    """Its version and how it was found, for the results."""
    python = interpreter()
    version = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
    if "BENCH_PYTHON" in os.environ:
        return f"{version} (named)"
    ours = os.path.realpath(python) == os.path.realpath(sys.executable)
    return version if ours else f"{version} (the fastest build here)"


def environment_of(package: Path) -> dict[str, str]:
    """In which that interpreter finds our package, from `package`, and what it needs."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(package), sysconfig.get_path("purelib")))}
