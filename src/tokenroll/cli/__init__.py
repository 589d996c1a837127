"""The door for terminals: one file per noun, and nothing but words and exit codes between it and the services."""

from tokenroll.cli.program import run as main

__all__ = ["main"]
