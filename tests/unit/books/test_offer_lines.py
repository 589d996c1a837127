"""How an offer reads: a golden text each for pay and for a working tool."""

from tests.cast import CREDIT, make_plan, monthly
from tokenroll.books.offer_lines import offer_lines
from tokenroll.model.classification import Classification
from tokenroll.model.grant import GrantKind
from tokenroll.model.offer import Package
from tokenroll.model.plan_terms import (
    Clawback,
    ClawbackBasis,
    LeavingTerms,
    LeavingWindow,
    PlanTerms,
    TerminationReason,
    Wording,
)

PACKAGE = Package(
    currency="EUR", base_pay_cost_nanos=120_000 * CREDIT, bonus_cost_nanos=12_000 * CREDIT, equity_cost_nanos=40_000 * CREDIT
)  # fmt: skip


def test_pay_is_a_line_of_the_package_and_says_what_it_is():
    plan = make_plan(
        kind=GrantKind.SIGNING_BONUS,
        classification=Classification.COMPENSATION,
        vesting=monthly(12),
        terms=PlanTerms(
            leaving=LeavingTerms(
                windows=(LeavingWindow(reason=TerminationReason.INVOLUNTARY_DEATH, days=90),),
                clawback=Clawback(basis=ClawbackBasis.PRO_RATA, months=24),
            )
        ),
    )
    told = offer_lines(plan, 4_800 * CREDIT, PACKAGE, "over 12 months, each part lives 12 months")
    assert told.lines == (
        ("Base pay, a year", "120 000.00 EUR"),
        ("Bonus at target, a year", "12 000.00 EUR"),
        ("Equity, a year", "40 000.00 EUR"),
        ("Signing bonus (pay)", "4 800.00 credits"),
        ("Total package", "172 000.00 EUR and 4 800.00 credits"),
    )
    assert told.sentences == (
        "It is pay: taxable, and valued at the list price of the compute that it buys.",
        "It vests over 12 months, each part lives 12 months.",
        "When you leave, what has not vested is forfeited; what has vested ends with your last day, or stays spendable after it for 90 days (involuntary death).",
        "Terms of repayment stand in a separate agreement; used credits are never asked for.",
    )  # fmt: skip


def test_a_working_tool_stands_below_the_total_and_is_no_part_of_it():
    told = offer_lines(make_plan(), 80 * CREDIT, PACKAGE, "at once, each part lives 1 month")
    assert told.lines == (
        ("Base pay, a year", "120 000.00 EUR"),
        ("Bonus at target, a year", "12 000.00 EUR"),
        ("Equity, a year", "40 000.00 EUR"),
        ("Total package", "172 000.00 EUR"),
        ("Beside the total: working allowance (working tool)", "80.00 credits"),
    )
    assert told.sentences == (
        "Access to AI compute for your work: at once, each part lives 1 month; its list value is about 80.00 USD.",
        "A working tool of the company: for business use, without cash value.",
        "It may change or end, and it ends when you leave.",
    )
    said = " ".join(told.sentences).lower()
    assert not [word for word in ("bonus", "compensation", "vest", "worth", "reward") if word in said]


def test_without_a_package_there_is_no_total():
    pay = make_plan(classification=Classification.COMPENSATION, terms=PlanTerms(wording=Wording(title="AI credits")))
    assert offer_lines(pay, CREDIT, None, "at once").lines == (("AI credits (pay)", "1.00 credits"),)
    assert offer_lines(make_plan(), CREDIT, None, "at once").lines == (
        ("Beside the total: working allowance (working tool)", "1.00 credits"),
    )
