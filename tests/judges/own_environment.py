"""Environments of Python for judges of others, whose packages ours does not have and our process never imports."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

JUDGES = Path(__file__).resolve().parent.parent.parent / ".judges"
INSTALL_SECONDS_MAX = 500


class EnvironmentUnavailableError(Exception):
    """The environment cannot be had here; the message says what was tried."""


def prepare(folder: Path, python: str, packages: Sequence[str]) -> Path:
    """The folder of the environment's programs; the second time nothing is done. Raises EnvironmentUnavailableError."""
    programs, stamp = folder / "venv" / "bin", folder / "ready"
    wanted = "\n".join(packages)
    if not (stamp.exists() and stamp.read_text() == wanted):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        told(python, "-m", "venv", str(folder / "venv"))
        told(str(programs / "python"), "-m", "pip", "install", "--quiet", *packages)
        stamp.write_text(wanted)
    return programs


def variables() -> dict[str, str]:
    """Those of this process without what makes our own Python run as it does."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYENV_VERSION"))}


def told(*command: str) -> str:
    """What a program says. Raises EnvironmentUnavailableError."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX, check=False, env=variables()
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentUnavailableError(str(error)) from error
    if done.returncode:
        raise EnvironmentUnavailableError(f"{' '.join(command[1:4])} …: {done.stderr.strip()[-500:]}")
    return done.stdout
