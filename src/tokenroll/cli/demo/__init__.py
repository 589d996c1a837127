"""`tokenroll demo`: the whole main job on an empty machine, scene by scene, every sum read back from the ledger."""

from tokenroll.cli.demo.command import app

__all__ = ["app"]
