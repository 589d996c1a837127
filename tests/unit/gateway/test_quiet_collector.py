"""The collector of cycles in a worker: it walks over nothing that stays, however many keys are found for the first time."""

import subprocess
import sys

import pytest

FINDS_KEYS = """
import gc, sys
from tokenroll.gateway import process
searched = []
process._quiet_collector()
gc.callbacks.append(lambda phase, said: searched.append(said["generation"]))
kept = []
for number in range(1000):
    kept += [[number, one] for one in range(300)]
    process._keep([number] if sys.argv[1] == "keys" else [])
print(len(searched))
"""


@pytest.mark.parametrize(("what", "is_searched"), [("keys", False), ("anything else", True)])
def test_three_hundred_objects_of_each_of_a_thousand_keys_are_never_searched(what, is_searched):
    done = subprocess.run([sys.executable, "-c", FINDS_KEYS, what], capture_output=True, text=True, check=True)
    assert (int(done.stdout) > 0) is is_searched
