"""The compiled hot path is the same program: every test of the gateway's behaviour passes on it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BEHAVIOUR = ("tests/e2e", "tests/unit/gateway", "tests/unit/upstream")
REPLACED = (
    "leaves_before_its_hold_is_durable or leaves_while_its_dispatch_waits or full_disk or reaches_the_provider_before or never_synced "
    "or the_table_catches"
)
"""Tests that put a part of their own into the program (a slow disk, a planted bug): a compiled program takes none."""


@pytest.mark.endure
@pytest.mark.timeout(3600)
def test_it_is_the_same_compiled(tmp_path):
    folder = tmp_path / "compiled"
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(folder)}
    subprocess.run([ROOT / "scripts" / "compile.sh", folder], check=True, env=environment, stdout=subprocess.DEVNULL)
    where = subprocess.run(
        [sys.executable, "-c", "import tokenroll.gateway.call as call; print(call.__file__)"],
        check=True,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert where.stdout.strip().endswith(".so")
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", f"not ({REPLACED})", *BEHAVIOUR],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout[-8000:]
