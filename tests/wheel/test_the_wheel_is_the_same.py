"""The wheel that `make wheel` builds is the same program: every test of the gateway's and the fold's behaviour passes on it, compiled."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BEHAVIOUR = ("tests/e2e", "tests/unit/gateway", "tests/unit/upstream", "tests/unit/store", "tests/property")
REPLACED = (
    "leaves_before_its_hold_is_durable or leaves_while_its_dispatch_waits or full_disk or reaches_the_provider_before or never_synced "
    "or the_table_catches or no_word_of_any_call or defect_in_one or (too_large_to_keep and all)"
)
"""Tests that put a part of their own into the program (a slow disk, a planted bug, a smaller limit): a compiled program takes none."""
COMPILED = ("gateway.call", "gateway.outbox", "services.spending", "store.fold", "store.tape", "upstream.openai")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="a wheel with a compiled hot path needs gcc")
@pytest.mark.timeout(1800)
def test_the_wheel_is_the_same(tmp_path):
    environment = {**os.environ, "PYTHON": sys.executable}
    built = subprocess.run(
        [ROOT / "scripts" / "wheel.sh", tmp_path / "dist"], check=True, env=environment, capture_output=True, text=True
    )
    folder = tmp_path / "installed"
    zipfile.ZipFile(built.stdout.strip()).extractall(folder)
    environment["PYTHONPATH"] = str(folder)
    names = ", ".join(f"tokenroll.{name}" for name in COMPILED)
    program = f"import sys, {names}\nfor name in '{names}'.split(', '): print(sys.modules[name].__file__)"
    where = subprocess.run(
        [sys.executable, "-c", program], check=True, env=environment, cwd=tmp_path, capture_output=True, text=True
    ).stdout.split()
    assert len(where) == len(COMPILED)
    assert [one for one in where if not (one.startswith(str(folder)) and one.endswith(".so"))] == []
    told = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=quick", "-k",
            f"not ({REPLACED})", *BEHAVIOUR,
        ],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout[-8000:]
