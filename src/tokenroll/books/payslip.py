"""The pay slip (or allowance statement) as lines: one wallet, one cycle, opening + movements = closing.

The same lines make the terminal's text and the page, so no door words a movement differently.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tokenroll.books import words
from tokenroll.model.classification import Classification

MIXED_VESTS: Final = "became spendable"


class SlipLine(NamedTuple):
    """One movement: what people read, and its signed nanos."""

    text: str
    nanos: int


def slip_lines(slip: Mapping[str, Any]) -> list[SlipLine]:
    """Opening, the movements that are not nothing (what vested and what was spent always), closing, in their order."""
    signed = [
        SlipLine("opening", slip["opening_nanos"]),
        SlipLine(_vested_word(slip["classifications"]), slip["vested_nanos"]),
        SlipLine(words.SPENT, -slip["spent_nanos"]),
        *(
            line
            for line in (
                SlipLine("adjustments of earlier cycles", -slip["adjustments_nanos"]),
                SlipLine(words.EXPIRED, -slip["breakage_nanos"]),
                SlipLine("forfeited", -slip["forfeited_nanos"]),
                SlipLine("clawed back", -slip["clawed_back_nanos"]),
            )
            if line.nanos
        ),
    ]
    closing = sum(line.nanos for line in signed)
    assert closing == slip["closing_nanos"], (
        f"slip of {slip['name']}: lines sum to {closing}, closing is {slip['closing_nanos']}"
    )
    return [*signed, SlipLine("closing", closing)]


def slip_notes(slip: Mapping[str, Any]) -> list[SlipLine]:
    """What is told beside the movements and is no part of their sum; only what is not nothing."""
    notes = (
        SlipLine("granted in this cycle", slip["granted_nanos"]),
        SlipLine(f"of closing, {words.BEING_CHECKED}", slip["suspense_nanos"]),
        SlipLine(words.CARRIED, slip["company_carried_nanos"]),
    )
    return [line for line in notes if line.nanos]


def classification_notes(classifications: Sequence[str]) -> list[str]:
    """One sentence per classification on the slip: why it is what it is."""
    known = [words.words_of(one) for one in classifications]
    return [f"{one.allowance.capitalize()}: {one.why[0].lower()}{one.why[1:]}" for one in known]


def _vested_word(classifications: Sequence[str]) -> str:
    kinds = {Classification(one) for one in classifications}
    if len(kinds) == 1:
        return words.WORDS[kinds.pop()].vested
    return MIXED_VESTS if kinds else words.TOOL.vested
