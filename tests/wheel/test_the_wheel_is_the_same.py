"""The wheel that `make wheel` builds is the same program: every test of the gateway's and the fold's behaviour passes on it, compiled."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
E2E = (
    "bodies_in_crumbs", "empty_lines", "headers_that_cost", "it_bills_every_ending", "it_feels_back_pressure", "it_keeps_the_http_edge",
    "it_reads_frames", "it_runs_errands", "it_speaks_flavours", "it_tries_elsewhere", "kills", "limits", "pace", "replay", "thrift",
    "twins", "withheld_answers", "workers",
)  # fmt: skip
"""Stories of whole gateways in which what is compiled does the work; the others are about programs that are the same files in a wheel."""
PROPERTIES = (
    "begins_early", "conserves", "draws_and_returns", "keeps_limits", "lends", "prices_exactly", "promises_once", "reads_what_it_writes",
    "reads_what_providers_send", "rolls_up", "speaks_both_dialects", "spends_as_the_engine_says", "sums_bytes_as_records", "sums_usage",
)  # fmt: skip
BEHAVIOUR = (
    *(f"tests/e2e/test_{name}.py" for name in E2E),
    *(f"tests/property/test_it_{name}.py" for name in PROPERTIES),
    "tests/unit/gateway",
    "tests/unit/upstream",
    "tests/unit/store",
)
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
