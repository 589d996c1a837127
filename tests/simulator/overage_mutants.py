"""Bugs planted in what the company carries above a wallet (see mutants.py). Of every four runs one has plans that let it."""

from tests.simulator.mutants import BUSY, KILLS, Mutant, Planted
from tokenroll.services import hot
from tokenroll.services.cold_terms import Wallets
from tokenroll.store.fold_batch import FoldBatch

_nothing: Mutant = lambda _real: lambda *_arguments: None  # noqa: E731 - as the others are

OVERAGE: list[Planted] = [
    Planted("carry anew in each life", hot, "carried_at", lambda _real: lambda *_arguments: 0, KILLS),
    Planted("count nothing that the company carries", FoldBatch, "carry", _nothing, BUSY),
    Planted("tell nobody what the company carries after all", Wallets, "carry", _nothing, KILLS | {"silences": 0.3}),
]

__all__ = ["OVERAGE"]
