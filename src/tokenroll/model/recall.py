"""Recall: what the ledger asks back of a leased lot, and for what."""

from dataclasses import dataclass
from enum import StrEnum

from tokenroll.model.amount import amount_nanos_checked
from tokenroll.model.checks import id_checked


class RecallPurpose(StrEnum):
    """Where the nanos go."""

    FORFEITURE = "forfeiture"
    CLAWBACK = "clawback"
    VOID = "void"
    TRANSFER = "transfer"
    RESCHEDULE = "reschedule"
    CHARGE = "charge"


class RecallMode(StrEnum):
    """How much the lot's worker gives: `whole` all parts of a group or none; `left` what is left now; `owed` later returns, too.

    What is held at the moment can only come as its calls end (DESIGN §5: clawback).
    """

    WHOLE = "whole"
    LEFT = "left"
    OWED = "owed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """A part of one lot that is asked back. Only its worker can give it: what it holds, nobody else knows (DESIGN §5)."""

    id: int
    group_id: int
    purpose: RecallPurpose
    mode: RecallMode
    wallet_id: int
    lot_id: int
    wanted_nanos: int

    def __post_init__(self) -> None:
        for name in ("id", "group_id", "wallet_id", "lot_id"):
            id_checked(getattr(self, name), f"recall {name}")
        if amount_nanos_checked(self.wanted_nanos, "recalled amount") == 0:
            message = "a recall of nothing is not a recall"
            raise ValueError(message)
