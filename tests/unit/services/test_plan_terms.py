import pytest

from tokenroll.model.plan_terms import Clawback, ClawbackBasis, ForfeitedBudget, LeavingTerms, PlanTerms, Rollover
from tokenroll.services.plan_terms import given_from_terms, terms_from_given, terms_from_text, text_from_terms
from tokenroll.services.refusal import Refused

CREDIT = 1_000_000_000
TERMS = PlanTerms(
    rollover=Rollover(max_nanos=20 * CREDIT),
    leaving=LeavingTerms(
        forfeited=ForfeitedBudget.RETURN_TO_POOL, clawback=Clawback(basis=ClawbackBasis.PRO_RATA, months=24)
    ),
    transferable=True,
)


def test_what_is_as_usual_is_not_written():
    assert given_from_terms(TERMS) == {
        "rollover": {"max_nanos": 20_000_000_000},
        "leaving": {"forfeited": "return_to_pool", "clawback": {"basis": "pro_rata", "months": 24}},
        "transferable": True,
    }
    assert given_from_terms(PlanTerms()) == {}


def test_a_row_says_the_same_again():
    assert terms_from_text(text_from_terms(TERMS)) == TERMS
    assert text_from_terms(PlanTerms()) is None
    assert terms_from_text(None) == PlanTerms()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"vestings": 1}, "terms has no vestings; it has formula, eligibility, tax"),
        ({"leaving": {"window": 1}}, "terms.leaving has no window; it has windows, forfeited, clawback"),
        ({"leaving": {"windows": [{"why": 1}]}}, "terms.leaving.windows has no why; it has reason, days"),
        (
            {"tax": {"use_scope": "all"}},
            "terms.tax.use_scope is one of business_only, incidental_personal, personal_allowed: ",
        ),
        ({"transferable": "yes"}, "terms.transferable: expected `bool`, got `str`"),
        ({"rollover": {"max_nanos": 1.5}}, "terms.rollover.max_nanos: expected `int`, got `float`"),
        (
            {"leaving": {"clawback": {"basis": "full"}}},
            "terms.leaving.clawback: object missing required field `months`",
        ),
        ({"leaving": {"clawback": {"basis": "full", "months": 0}}}, "1 to 60 months after the grant, not 0"),
        ({"eligibility": {"hired_from": "soon"}}, "terms.eligibility.hired_from: "),
        ("none", "the terms of a plan are a table of terms, not 'none'"),
    ],
)
def test_what_is_no_term_is_refused_by_its_name(given, told):
    with pytest.raises(Refused) as refused:
        terms_from_given(given)
    assert told in refused.value.message
