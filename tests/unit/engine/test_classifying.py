from dataclasses import replace

import pytest

from tests.cast import make_plan
from tokenroll.engine.classifying import RULES, cautions, objections
from tokenroll.model.classification import Classification
from tokenroll.model.grant import GrantKind
from tokenroll.model.plan_terms import (
    Clawback,
    ClawbackBasis,
    LeavingTerms,
    LeavingWindow,
    PlanTerms,
    TerminationReason,
    Wording,
)
from tokenroll.model.tax_facts import (
    Carryover,
    Catalogue,
    Convertible,
    CredentialForm,
    Denomination,
    Entitlement,
    PersonalShare,
    Recipient,
    StatedReason,
    Supplier,
    TaxFacts,
    UseScope,
)


def tool(**terms):
    return make_plan(classification=Classification.TOOL, terms=PlanTerms(**terms))


def taxed(**facts):
    return tool(tax=TaxFacts(**facts))


@pytest.mark.parametrize("kind", [GrantKind.SIGNING_BONUS, GrantKind.PERFORMANCE_BONUS, GrantKind.SPOT_BONUS])
def test_a_tool_plan_that_rewards_is_pay(kind):
    (told,) = objections(make_plan(kind=kind, classification=Classification.TOOL))
    assert told.startswith(f"a {kind} rewards the person, so it is pay and no working tool (rule: bonus kinds")
    assert "classify the plan as compensation" in told


@pytest.mark.parametrize("kind", list(GrantKind))
def test_pay_may_be_of_any_kind(kind):
    assert objections(make_plan(kind=kind, classification=Classification.COMPENSATION)) == ()


@pytest.mark.parametrize("kind", [GrantKind.STIPEND, GrantKind.TOP_UP, GrantKind.ADJUSTMENT])
def test_a_tool_plan_may_serve_the_work(kind):
    assert objections(make_plan(kind=kind, classification=Classification.TOOL)) == ()


LATER = LeavingTerms(
    windows=(
        LeavingWindow(reason=TerminationReason.VOLUNTARY_OTHER, days=0),
        LeavingWindow(reason=TerminationReason.INVOLUNTARY_DEATH, days=90),
    )
)
MARKS = [
    (taxed(convertible=Convertible.CASH_CHOICE), "cash choice", "its holder may choose cash instead"),
    (taxed(convertible=Convertible.CASH_OUT), "cash choice", "it can be paid out in cash"),
    (taxed(convertible=Convertible.TRANSFERABLE), "transfer or gift", "it may be given or sold to others"),
    (tool(transferable=True), "transfer or gift", "it may be given or sold to others"),
    (taxed(convertible=Convertible.PORTABLE_AFTER_EXIT), "survival after exit", "it can be taken along"),
    (tool(leaving=LATER), "survival after exit", "it stays spendable for 90 days after leaving (involuntary_death)"),
    (taxed(denomination=Denomination.CURRENCY), "currency face value", "it is counted in a currency"),
    (taxed(catalogue=Catalogue.OPEN_CATALOGUE), "open catalogue", "it buys whatever its holder picks"),
    (taxed(salary_sacrifice=True), "salary trade", "it takes the place of salary"),
    (taxed(stated_reason=StatedReason.RECRUITING), "stated reason", "it is given for recruiting"),
    (taxed(stated_reason=StatedReason.MORALE), "stated reason", "it is given for morale"),
    (tool(wording=Wording(title="Your AI Bonus")), "wording of pay", "its wording says 'Bonus'"),
    (tool(wording=Wording(why="It vests over a year.")), "wording of pay", "its wording says 'vests'"),
    (tool(wording=Wording(why="It is yours to keep.")), "wording of pay", "its wording says 'yours to keep'"),
    (taxed(credential_form=CredentialForm.PERSONAL_API_KEY), "personal credentials", "its holder has an api key"),
    (taxed(credential_form=CredentialForm.PROVIDER_VOUCHER), "personal credentials", "its holder has a voucher"),
    (
        taxed(use_scope=UseScope.PERSONAL_ALLOWED),
        "personal use is measured",
        "personal use is allowed and not measured",
    ),
]


@pytest.mark.parametrize(("plan", "rule", "told"), MARKS, ids=[f"{rule}: {told}" for _, rule, told in MARKS])
def test_a_mark_of_pay_is_refused_with_its_rule_and_what_to_change(plan, rule, told):
    (found,) = objections(plan)
    assert found.startswith(told)
    assert f", so it is pay and no working tool (rule: {rule}, reference books §1.7): classify the plan as" in found
    assert ", or " in found


def test_every_rule_has_a_plan_that_it_refuses():
    assert {rule for _, rule, _ in MARKS} | {"bonus kinds"} == {rule.name for rule in RULES}


def test_what_is_pay_may_bear_every_mark():
    for plan, rule, _ in MARKS:
        pay = make_plan(classification=Classification.COMPENSATION, terms=plan.terms)
        assert objections(pay) == (), rule


def test_pay_does_not_speak_of_a_tool():
    wording = Wording(why="A working tool of the company.")
    (told,) = objections(make_plan(classification=Classification.COMPENSATION, terms=PlanTerms(wording=wording)))
    assert told.startswith("the wording says 'working tool' of pay (rule: one wording")


DECLARED = TaxFacts(
    use_scope=UseScope.PERSONAL_ALLOWED, convertible=Convertible.NONE, denomination=Denomination.CREDITS,
    catalogue=Catalogue.SPECIFIED_SERVICE, salary_sacrifice=False, entitlement=Entitlement.DISCRETIONARY,
    stated_reason=StatedReason.NONCOMPENSATORY, supplier=Supplier.THIRD_PARTY, recipient=Recipient.EMPLOYEE,
    company_device=True, carryover=Carryover.BEYOND_TAX_YEAR, credential_form=CredentialForm.GATEWAY_SESSION,
    personal_share=PersonalShare.TAG,
)  # fmt: skip


def test_a_tool_plan_with_all_facts_declared_is_in_order():
    plan = tool(tax=DECLARED, wording=Wording(title="Studio credits", why="For the models that your work needs."))
    assert (objections(plan), cautions(plan)) == ((), ())


def test_facts_that_nobody_declared_are_told():
    (told,) = cautions(taxed(convertible=Convertible.NONE, salary_sacrifice=False))
    assert told.startswith(
        "11 tax facts are not declared, so taxes count the most taxable answer and ask for a review: use_scope"
    )


def test_pay_that_goes_on_beyond_its_tax_year_is_told():
    (told,) = cautions(make_plan(classification=Classification.COMPENSATION, terms=PlanTerms(tax=DECLARED)))
    assert "409A" in told
    assert "15 March" in told


@pytest.mark.parametrize(
    ("basis", "months", "is_told"),
    [(ClawbackBasis.PRO_RATA, 24, False), (ClawbackBasis.PRO_RATA, 25, True), (ClawbackBasis.FULL, 12, True)],
)
def test_a_hard_clawback_is_told(basis, months, is_told):
    leaving = LeavingTerms(clawback=Clawback(basis=basis, months=months))
    declared = replace(DECLARED, carryover=Carryover.NONE)
    plan = make_plan(classification=Classification.COMPENSATION, terms=PlanTerms(tax=declared, leaving=leaving))
    assert [one.startswith("a clawback in full, or later than 24 months") for one in cautions(plan)] == [True] * is_told
