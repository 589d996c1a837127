"""Where the running roles of a home listen: written by the supervisor, read by every other command."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_NAME: Final = "addresses.json"


def write_addresses(run_directory: Path, addresses: Mapping[str, str]) -> None:
    """`gateway` and `web` as host:port, whole or not at all."""
    target = run_directory / _NAME
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps({**addresses, "pid": str(os.getpid())}), encoding="utf-8")
    partial.replace(target)


def remove_addresses(run_directory: Path) -> None:
    """Nothing listens any more."""
    (run_directory / _NAME).unlink(missing_ok=True)


def running_addresses(run_directory: Path) -> dict[str, str]:
    """The addresses of a supervisor that still lives; empty when there is none."""
    try:
        found = json.loads((run_directory / _NAME).read_text(encoding="utf-8"))
        os.kill(int(found.pop("pid")), 0)
    except (OSError, ValueError, KeyError, AttributeError):
        return {}
    return {str(role): str(address) for role, address in found.items()}
