"""What roles log says when, in UTC, and which of them: several write to one standard error."""

import subprocess
import sys

LOGS = """
import logging, os, time
os.environ["TZ"] = "Asia/Tokyo"
time.tzset()
from tokenroll.cli.log_lines import log_as
log_as("gateway 1")
logging.getLogger("tokenroll.gateway").info("nobody needs this")
said = {"levelno": logging.WARNING, "levelname": "WARNING", "created": 1_767_600_000.0}
logging.getLogger("tokenroll.gateway").handle(logging.makeLogRecord({**said, "msg": "the disk is %s", "args": ("full",)}))
"""


def test_a_line_has_its_instant_and_its_role():
    done = subprocess.run([sys.executable, "-c", LOGS], capture_output=True, text=True, check=True)
    assert done.stderr == "2026-01-05T08:00:00Z gateway 1: the disk is full\n"
    assert done.stdout == ""
