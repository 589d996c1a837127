import pytest

from tests.cast import CREDIT
from tokenroll.model.formula import Formula, FormulaKind, LevelAmount

L4 = LevelAmount(level="L4", amount_nanos=40 * CREDIT)


def test_it_is_flat_unless_said():
    assert Formula().kind is FormulaKind.FLAT


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"percent_nanos": 5}, "a percent belongs to the formula percent_of_base"),
        ({"kind": FormulaKind.PERCENT_OF_BASE}, "a percent belongs to the formula percent_of_base"),
        ({"kind": FormulaKind.PERCENT_OF_BASE, "percent_nanos": -1}, "above 0 and at most 1000"),
        ({"kind": FormulaKind.PERCENT_OF_BASE, "percent_nanos": 10**12 + 1}, "above 0 and at most 1000"),
        ({"levels": (L4,)}, "a table of levels belongs to the formula per_level"),
        ({"kind": FormulaKind.PER_LEVEL}, "a table of levels belongs to the formula per_level"),
        ({"kind": FormulaKind.PER_LEVEL, "levels": (L4, L4)}, "a name stands twice in L4, L4"),
    ],
)
def test_it_is_valid_at_birth(changes, words):
    with pytest.raises(ValueError, match=words):
        Formula(**changes)


def test_a_level_has_a_name_and_an_amount():
    with pytest.raises(ValueError, match="level must be"):
        LevelAmount(level="", amount_nanos=1)
    with pytest.raises(ValueError, match="amount of level L4"):
        LevelAmount(level="L4", amount_nanos=-1)
