"""The collector of cycles in a worker: it never walks over much at a time, and still finds what something rare has left."""

import subprocess
import sys

BEGIN = """
import gc, sys
from tokenroll.gateway import process
searched = []
gc.set_threshold(*process._THRESHOLDS)
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
LEAVES_OLD_CYCLES = """
import weakref
class Left: pass
alive, waiting = [], []
for number in range(4000):
    left = Left()
    left.itself = left
    waiting.append(left)
    alive.append(weakref.ref(left))
    if number % 100 == 0:
        collector.look()
    if len(waiting) > 1000:  # each lives through ten looks before it is dropped
        waiting.pop(0)
waiting.clear()
del left
for number in range(600):
    kept += [[number, one] for one in range(100)]
    collector.look()
print(sum(one() is not None for one in alive) < 2000)
"""


def run(code):
    return subprocess.run(
        [sys.executable, "-c", BEGIN + code], capture_output=True, text=True, check=True
    ).stdout.split()


def test_what_a_thousand_keys_are_made_of_is_never_searched():
    assert run(FINDS_KEYS) == ["0"]


def test_cycles_that_come_slowly_are_found_among_the_youngest():
    assert run(LEAVES_CYCLES) == ["0", "True"]


def test_cycles_that_lived_for_a_while_are_found_too():
    assert run(LEAVES_OLD_CYCLES) == ["True"]
