from tokenroll.books.consequences import CONSEQUENCES
from tokenroll.model.classification import Classification


def test_each_desk_is_told_of_both():
    assert set(CONSEQUENCES) == set(Classification)
    assert list(CONSEQUENCES[Classification.TOOL]) == list(CONSEQUENCES[Classification.COMPENSATION])
    for desk, sentence in CONSEQUENCES[Classification.TOOL].items():
        assert sentence != CONSEQUENCES[Classification.COMPENSATION][desk]
