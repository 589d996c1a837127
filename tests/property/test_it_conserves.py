"""Law 2 and its neighbours, over random lives of two wallets (see machine.py).

In the deep lane five hundred lives of sixty steps: every verb that moves a wallet's credits, interleaved with calls and clock jumps.
"""

from hypothesis import settings

from tests.property.machine import SpendingMachine

TestItConserves = SpendingMachine.TestCase
if settings.default is not None and settings.default.max_examples > 100:
    TestItConserves.settings = settings(max_examples=500, stateful_step_count=60)
