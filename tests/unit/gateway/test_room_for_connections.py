"""A gateway may open as many connections as the system allows it at all, and the kernel has room for all of them before the first comes."""

import re
import subprocess
import sys

BEGIN = """
import resource
from pathlib import Path
from tokenroll.gateway import process
{given}
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
process._make_room_for_connections(0)
print(resource.getrlimit(resource.RLIMIT_NOFILE))
print(Path("/proc/self/status").read_text())
"""


def beginning(soft, hard, given=""):
    """Its limits after it, and how many descriptors its table has room for."""
    done = subprocess.run([sys.executable, "-c", BEGIN.format(soft=soft, hard=hard, given=given)], capture_output=True, text=True, check=True)  # fmt: skip
    room = re.search(r"^FDSize:\s+(\d+)", done.stdout, re.MULTILINE)
    assert room is not None
    return done.stdout.splitlines()[0], int(room[1])


def test_the_soft_limit_is_raised_to_the_hard_one():
    limits, room = beginning(1_024, 4_096)
    assert limits == "(4096, 4096)"
    assert room >= 4_096


def test_a_limit_that_suffices_stays():
    few = "process.CONNECTIONS_MAX, process.UPSTREAM_CONNECTIONS_MAX = 2_000, 1_000"
    limits, room = beginning(4_096, 8_192, few)
    assert limits == "(4096, 8192)"
    assert room >= 3_000
