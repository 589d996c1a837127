"""Payroll for AI tokens: grants that vest, a metering gateway, a double-entry ledger and a pay slip."""

from importlib.metadata import version

__version__ = version("tokenroll")
