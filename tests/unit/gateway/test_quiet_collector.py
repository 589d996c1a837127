"""The collector of cycles in a worker: it never walks over much at a time, however many wallets are met for the first time."""

import subprocess
import sys

MEETS_WALLETS = """
import gc
from tokenroll.gateway import process
searched = []
process._quiet_collector()
gc.callbacks.append(lambda phase, said: searched.append(said["generation"]) if phase == "start" else None)
kept = [[number] for number in range(300_000)]
print(max(searched), 250 <= len(searched) <= 310)
"""


def test_three_hundred_thousand_new_objects_are_searched_a_thousand_at_a_time_and_once_each():
    done = subprocess.run([sys.executable, "-c", MEETS_WALLETS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "True"]
