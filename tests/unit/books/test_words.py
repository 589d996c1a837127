import pytest

from tokenroll.books.words import PAY, TOOL, WORDS, about_days, paper_name, words_of
from tokenroll.model.classification import Classification
from tokenroll.model.grant import GrantKind


def test_it_has_words_for_every_classification_and_kind():
    assert set(WORDS) == set(Classification)
    for words in WORDS.values():
        assert set(words.kinds) == set(GrantKind)


def test_it_never_calls_a_working_tool_pay_nor_pay_a_tool():
    told = " ".join([TOOL.paper, TOOL.vests, TOOL.vested, TOOL.unvested, *TOOL.kinds.values()]).lower()
    assert not [word for word in ("pay", "salary", "bonus", "vest", "compensation") if word in told]
    assert not [
        word for word in ("tool", "unlock") if word in f"{PAY.paper} {PAY.vests} {' '.join(PAY.kinds.values())}".lower()
    ]


@pytest.mark.parametrize(
    ("classifications", "name"),
    [
        ((), "Allowance statement"),
        (("tool",), "Allowance statement"),
        (("compensation",), "Pay slip"),
        (("tool", "compensation"), "Pay slip and allowance statement"),
    ],
)
def test_it_names_the_paper_by_what_is_on_it(classifications, name):
    assert paper_name(classifications) == name


def test_it_refuses_an_unknown_classification():
    with pytest.raises(ValueError, match="gift"):
        words_of("gift")


def test_it_does_not_count_days_beyond_a_year():
    assert [about_days(days) for days in (0, 1, 365)] == ["about 0 days", "about 1 day", "about 365 days"]
    assert about_days(39, "≈") == "≈ 39 days"
    assert about_days(88_104) == "more than a year"
