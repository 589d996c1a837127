import pytest

from tests.cast import CREDIT
from tokenroll.engine.sizing import SizeFacts, size
from tokenroll.model.formula import Formula, FormulaKind, LevelAmount

FLAT = Formula()
PERCENT = Formula(kind=FormulaKind.PERCENT_OF_BASE, percent_nanos=12_500_000_000)
OUTCOME = Formula(kind=FormulaKind.PER_OUTCOME)
LEVELS = Formula(
    kind=FormulaKind.PER_LEVEL,
    levels=(LevelAmount(level="L4", amount_nanos=40 * CREDIT), LevelAmount(level="L5", amount_nanos=65 * CREDIT)),
)


@pytest.mark.parametrize(
    ("formula", "facts", "nanos"),
    [
        (FLAT, {}, 200 * CREDIT),
        (FLAT, {"level": "L4"}, 200 * CREDIT),  # the member has a level, and the plan does not ask
        (PERCENT, {"base_pay_nanos": 64_000_500_000_000}, 8_000_062_500_000),
        (PERCENT, {"base_pay_nanos": 7}, 0),  # 0.875 of a nano is none
        (OUTCOME, {"score_nanos": 1_250_000_000}, 250 * CREDIT),
        (OUTCOME, {"score_nanos": 0}, 0),
        (LEVELS, {"level": "L4"}, 40 * CREDIT),
        (LEVELS, {"level": "L5", "is_level_given": True}, 65 * CREDIT),
    ],
)
def test_a_formula_gives_an_amount(formula, facts, nanos):
    assert size(formula, 200 * CREDIT, SizeFacts(**facts)) == nanos


@pytest.mark.parametrize(
    ("formula", "facts", "told"),
    [
        (PERCENT, {}, "the plan's formula is percent_of_base, so the base pay must be given with the grant"),
        (PERCENT, {"base_pay_nanos": 0}, "the base pay is at least 0.000000001, not 0"),
        (OUTCOME, {}, "the plan's formula is per_outcome, so the score must be given"),
        (OUTCOME, {"score_nanos": 100_000_000_001}, "the score is at least 0, at most 100, not 100.000000001"),
        (LEVELS, {}, "depends on the level, and none is known: it is one of L4, L5"),
        (LEVELS, {"level": "L6"}, "no amount for the level L6: it has L4, L5"),
        (FLAT, {"base_pay_nanos": 1}, "the plan's formula is flat, which uses no base pay: leave it out"),
        (FLAT, {"score_nanos": 1}, "which uses no score"),
        (FLAT, {"level": "L4", "is_level_given": True}, "which uses no level"),
        (PERCENT, {"base_pay_nanos": 1, "score_nanos": 1}, "percent_of_base, which uses no score"),
    ],
)
def test_what_is_needed_or_of_no_use_is_told(formula, facts, told):
    with pytest.raises(ValueError, match=told):
        size(formula, 200 * CREDIT, SizeFacts(**facts))
