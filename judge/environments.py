"""Environments of other gateways, apart from ours: made once in `.judges/`, with versions that are pinned here."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from judge.gateway import CannotRunError

FOLDER = Path(__file__).resolve().parent.parent / ".judges"
INSTALL_SECONDS_MAX = 560


def environment(name: str, packages: Sequence[str], versions: Sequence[str], place: Path = FOLDER) -> Path:
    """The `bin` folder of an environment with these packages; the second time nothing is done. Raises CannotRunError."""
    folder, wanted = place / name, "\n".join(packages)
    stamp = folder / "ready"
    if not (stamp.exists() and stamp.read_text() == wanted):
        shutil.rmtree(folder / "env", ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        run("make its environment", python(versions), "-m", "venv", str(folder / "env"))
        run("install it", str(folder / "env/bin/python"), "-m", "pip", "install", "--quiet", *packages)
        stamp.write_text(wanted)
    return folder / "env/bin"


def python(versions: Sequence[str]) -> str:
    """A Python of one of these versions: this one, on the path, or among those that pyenv keeps."""
    if "{}.{}".format(*sys.version_info) in versions:
        return sys.executable
    found = [path for version in versions if (path := shutil.which(f"python{version}"))]
    pyenv = shutil.which("pyenv")
    if pyenv is not None:
        root = Path(run("ask pyenv", pyenv, "root").strip())
        found += [str(path) for version in versions for path in sorted(root.glob(f"versions/{version}.*/bin/python"))]
    for path in found:  # pyenv puts names on the path that answer for no version
        if subprocess.run([path, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
            return path
    raise CannotRunError(f"there is no Python {' or '.join(versions)} here")


def run(what: str, *command: str, cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """What the program printed. Raises CannotRunError with the last line of what it complained about."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX, check=False, cwd=cwd, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotRunError(f"could not {what}: {error}") from None
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise CannotRunError(f"could not {what}: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout
