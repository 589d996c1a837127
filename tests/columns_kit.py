"""Ledgers that fold every report in columns that they can, however short it is and however little of it is plain."""

from typing import Any


def in_columns(kit: Any) -> None:
    """The ledger of a kit folds so from now on."""
    fold = kit.ledger._fold
    fold.columns_bytes_min, fold.columns_rest_max = 0, 1.0
