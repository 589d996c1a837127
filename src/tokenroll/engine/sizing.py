"""Sizing: how much a grant is, from its plan's formula and what is known of who gets it.

A fraction of a nano is left out, never added, so that a budget is never exceeded by rounding.
"""

from dataclasses import dataclass

from tokenroll.model.amount import NANOS_PER_CREDIT, text_from_nanos
from tokenroll.model.formula import Formula, FormulaKind
from tokenroll.model.limits import SCORE_NANOS_MAX

_WHOLE_PERCENT = 100 * NANOS_PER_CREDIT


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeFacts:
    """What a formula may need. Pay and scores come with the grant; `is_level_given` tells a level that did so from a member's own."""

    level: str | None = None
    is_level_given: bool = False
    base_pay_nanos: int | None = None
    score_nanos: int | None = None


def size(formula: Formula, amount_nanos: int, facts: SizeFacts) -> int:
    """The nanos of a grant. Raises ValueError for what the formula needs and is not given, and for what it does not use."""
    _check_given(formula, facts)
    if formula.kind is FormulaKind.PERCENT_OF_BASE:
        assert facts.base_pay_nanos is not None
        return facts.base_pay_nanos * formula.percent_nanos // _WHOLE_PERCENT
    if formula.kind is FormulaKind.PER_OUTCOME:
        assert facts.score_nanos is not None
        return amount_nanos * facts.score_nanos // NANOS_PER_CREDIT
    if formula.kind is FormulaKind.PER_LEVEL:
        amounts = {one.level: one.amount_nanos for one in formula.levels}
        if facts.level is None:
            raise ValueError(
                f"the plan's amount depends on the level, and none is known: it is one of {', '.join(amounts)}"
            )
        if facts.level not in amounts:
            raise ValueError(f"the plan has no amount for the level {facts.level}: it has {', '.join(amounts)}")
        return amounts[facts.level]
    return amount_nanos


def _check_given(formula: Formula, facts: SizeFacts) -> None:
    kind = formula.kind
    for what, value, is_used, least, most in (
        ("base pay", facts.base_pay_nanos, kind is FormulaKind.PERCENT_OF_BASE, 1, None),
        ("score", facts.score_nanos, kind is FormulaKind.PER_OUTCOME, 0, SCORE_NANOS_MAX),
    ):
        if is_used and value is None:
            raise ValueError(f"the plan's formula is {kind}, so the {what} must be given with the grant")
        if value is None:
            continue
        if not is_used:
            raise ValueError(f"the plan's formula is {kind}, which uses no {what}: leave it out")
        if value < least or (most is not None and value > most):
            bounds = f"at least {text_from_nanos(least, 0)}" + (
                "" if most is None else f", at most {text_from_nanos(most, 0)}"
            )
            raise ValueError(f"the {what} is {bounds}, not {text_from_nanos(value, 0)}")
    if facts.is_level_given and kind is not FormulaKind.PER_LEVEL:
        raise ValueError(f"the plan's formula is {kind}, which uses no level: leave it out")
