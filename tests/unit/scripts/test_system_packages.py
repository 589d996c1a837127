"""A missing program is named with what to install, and where nothing may be skipped its absence is a failure."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts/system_packages.sh"


@pytest.fixture
def without_a_package_manager(tmp_path: Path) -> dict[str, str]:
    for program in ("bash", "env", "id"):
        (tmp_path / program).symlink_to(shutil.which(program) or program)
    return {"PATH": str(tmp_path)}


def call(environment: dict[str, str], *programs: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *programs], env=environment, capture_output=True, text=True, check=False)


def test_present_programs_need_nothing():
    assert call({"PATH": os.environ["PATH"]}, "bash", "env").returncode == 0


def test_a_missing_program_is_skipped_by_name(without_a_package_manager):
    done = call(without_a_package_manager, "bash", "chromium", "taskset")
    assert done.returncode == 3
    assert "missing: chromium taskset" in done.stderr
    assert "apt-get install chromium util-linux" in done.stderr


def test_nothing_may_be_skipped_in_ci(without_a_package_manager):
    assert call({**without_a_package_manager, "CI": "true"}, "chromium").returncode == 1
