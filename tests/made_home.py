"""Homes for tests of the command line: made once by the commands themselves, and every test has a copy of its own."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import pytest

from tokenroll.cli import main

Lines = tuple[tuple[str, ...], ...]


@functools.cache
def _made(lines: Lines) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tokenroll-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKENROLL_HOME", str(folder / "home"))
        for line in lines:
            assert main(list(line)) == 0
    return folder / "home"


def home_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *lines: tuple[str, ...]) -> None:
    """`tmp_path / "home"` as these commands leave it, and from now on the home of this test's commands."""
    shutil.copytree(_made(lines), tmp_path / "home")
    monkeypatch.setenv("TOKENROLL_HOME", str(tmp_path / "home"))
