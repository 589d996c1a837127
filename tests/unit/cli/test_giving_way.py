"""An import takes minutes and may: it goes behind those whose answers people and agents wait for. Whoever calls it from Python does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tokenroll.cli import giving_way
from tokenroll.cli.program import run

NICEST = 19
PROGRAM = """
import os, sys
from pathlib import Path
from tokenroll.cli import giving_way
giving_way._AUTOGROUP = Path(sys.argv[1])
giving_way.give_way()
print(os.getpriority(os.PRIO_PROCESS, 0), os.getpriority(os.PRIO_PROCESS, os.getppid()))
"""


def gave_way(autogroup: Path, *, leads: bool) -> tuple[int, int]:
    """The priorities of a process that gave way, and of this one."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(autogroup)],
        capture_output=True, text=True, check=True, start_new_session=leads,
    )  # fmt: skip
    mine, ours = map(int, done.stdout.split())
    return mine, ours


@pytest.mark.parametrize("leads", [True, False])
def test_who_gives_way_is_ten_behind_and_takes_its_session_along_where_it_leads_it(tmp_path, leads):
    group = tmp_path / "autogroup"
    mine, ours = gave_way(group, leads=leads)
    assert mine == min(ours + 10, NICEST)
    assert group.exists() == leads
    assert not leads or group.read_text() == str(mine)


def test_a_system_that_groups_no_sessions_is_not_asked_twice(tmp_path):
    mine, ours = gave_way(tmp_path / "no" / "autogroup", leads=True)
    assert mine == min(ours + 10, NICEST)


@pytest.mark.parametrize(
    ("line", "gives_way"), [("usage import", True), ("usage query", False), ("member list", False), ("usage", False)]
)
def test_an_import_gives_way_and_who_is_waited_for_does_not(monkeypatch, capfd, line, gives_way):
    given = []
    monkeypatch.setattr(giving_way, "give_way", lambda: given.append(line))
    monkeypatch.setattr(sys, "argv", ["tokenroll", *line.split(), "--help"])
    assert run() == 0
    assert given == [line] * gives_way
    assert "Usage" in capfd.readouterr().out


def test_a_program_that_runs_an_import_inside_itself_stays_where_it_is(monkeypatch, capfd):
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert run(["usage", "import", "--help"]) == 0
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
    assert "Usage" in capfd.readouterr().out
