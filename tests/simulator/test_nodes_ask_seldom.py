"""How often nodes ask their ledger belongs to no machine, so it is held here as the bench holds it (bench/lease_trips.py)."""

import asyncio

from bench.lease_trips import BAR, run


def test_sixteen_nodes_ask_their_ledger_seldom():
    """A want and its answer, what was asked back, what was returned idle: for each call that was admitted, to the end of a wallet and its pool."""
    figures = asyncio.run(run(16, seed=0))
    assert figures.admissions > 6_000
    assert figures.trips <= BAR
    assert figures.stranded < 0.001
