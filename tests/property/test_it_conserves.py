"""Law 2 and its neighbours, over random lives of two wallets (see machine.py)."""

from tests.property.machine import SpendingMachine

TestItConserves = SpendingMachine.TestCase
