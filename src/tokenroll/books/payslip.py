"""The pay slip (or allowance statement) as lines: one wallet, one cycle, opening + movements = closing.

The same lines make the terminal's text and the page, so no door words a movement differently.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tokenroll.books import words
from tokenroll.model.classification import Classification

MIXED_VESTS: Final = "became spendable"
NO_MODEL: Final = "a model that was not named"
NO_PROJECT: Final = "no project"


class SlipLine(NamedTuple):
    """One movement: what people read, and its signed nanos."""

    text: str
    nanos: int


def slip_lines(slip: Mapping[str, Any]) -> list[SlipLine]:
    """Opening, the movements that are not nothing (what vested and what was spent always), closing, in their order."""
    signed = [
        SlipLine("opening", slip["opening_nanos"]),
        SlipLine(_vested_word(slip["classifications"]), slip["vested_nanos"]),
        *(line for line in (SlipLine(words.TRANSFERRED_IN, slip["transferred_in_nanos"]),) if line.nanos),
        SlipLine(words.SPENT, -slip["spent_nanos"]),
        *(
            line
            for line in (
                SlipLine("adjustments of earlier cycles", -slip["adjustments_nanos"]),
                SlipLine(words.EXPIRED, -slip["breakage_nanos"]),
                SlipLine("forfeited", -slip["forfeited_nanos"]),
                SlipLine("clawed back", -slip["clawed_back_nanos"]),
                SlipLine(words.VOIDED, -slip["voided_nanos"]),
                SlipLine(words.TRANSFERRED_OUT, -slip["transferred_out_nanos"]),
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
        SlipLine(f"of {words.SPENT}, {words.PERSONAL}", slip["personal_nanos"]),
        SlipLine(f"of {words.SPENT}, {words.CHARGED_AROUND}", slip["around_nanos"]),
        SlipLine(f"of closing, {words.ROLLED_OVER}", slip["rolled_over_nanos"]),
        SlipLine(f"of closing, {words.BEING_CHECKED}", slip["suspense_nanos"]),
        SlipLine(words.CARRIED, slip["company_carried_nanos"]),
    )
    return [line for line in notes if line.nanos]


def slip_parts(slip: Mapping[str, Any]) -> list[tuple[str, list[SlipLine]]]:
    """What was spent by model and by project, largest first: each part adds up to the movement. Projects only if one was named."""
    models = [SlipLine(one["model"] or NO_MODEL, one["spent_nanos"]) for one in slip["spent_by_model"]]
    projects = [SlipLine(one["project"] or NO_PROJECT, one["spent_nanos"]) for one in slip["spent_by_project"]]
    parts = [("spent by model", models), ("spent by project", projects)]
    for text, lines in parts:
        total = sum(line.nanos for line in lines)
        assert not lines or total == slip["spent_nanos"], f"slip of {slip['name']}: {text} sums to {total}"
    if not any(one["project"] for one in slip["spent_by_project"]):
        parts.pop()
    return [(text, lines) for text, lines in parts if lines]


def slip_dates(slip: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """What comes next: the word, when, and how much; only what comes."""
    known = (
        (f"next {_next_word(slip['classifications'])}", slip["next_vest_at"], slip["next_vest_nanos"]),
        ("next to expire", slip["next_expiry_at"], slip["next_expiry_nanos"]),
    )
    return [(text, at, nanos) for text, at, nanos in known if at is not None]


def classification_notes(classifications: Sequence[str]) -> list[str]:
    """One sentence per classification on the slip: why it is what it is."""
    known = [words.words_of(one) for one in classifications]
    return [f"{one.allowance.capitalize()}: {one.why[0].lower()}{one.why[1:]}" for one in known]


def _next_word(classifications: Sequence[str]) -> str:
    kinds = {Classification(one) for one in classifications}
    return f"to {'vest' if kinds == {Classification.COMPENSATION} else 'unlock' if kinds == {Classification.TOOL} else 'become spendable'}"


def _vested_word(classifications: Sequence[str]) -> str:
    kinds = {Classification(one) for one in classifications}
    if len(kinds) == 1:
        return words.WORDS[kinds.pop()].vested
    return MIXED_VESTS if kinds else words.TOOL.vested
