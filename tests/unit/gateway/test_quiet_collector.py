"""The collector of cycles in a worker: it never walks over much at a time, and still finds what something rare has left."""

import subprocess
import sys

BEGIN = """
import gc, sys
from tokenroll.gateway import process
searched = []
process._quiet_collector()
collector = process._Collector()
gc.callbacks.append(lambda phase, said: searched.append(said["generation"]))
kept = []
"""
FINDS_KEYS = """
for number in range(1000):
    kept += [[number, one] for one in range(1500)]
    collector.look()
print(len(searched))
"""
LEAVES_CYCLES = """
import weakref
class Left: pass
alive = []
for number in range(60):
    for one in range(100):
        left = Left()
        left.itself = left
        alive.append(weakref.ref(left))
    collector.look()
print(max(searched), sum(one() is not None for one in alive) < 1500)
"""


def run(code):
    return subprocess.run(
        [sys.executable, "-c", BEGIN + code], capture_output=True, text=True, check=True
    ).stdout.split()


def test_what_a_thousand_keys_are_made_of_is_never_searched():
    assert run(FINDS_KEYS) == ["0"]


def test_cycles_that_come_slowly_are_found_among_the_youngest():
    assert run(LEAVES_CYCLES) == ["0", "True"]
