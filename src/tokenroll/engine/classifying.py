"""Classifying: what a plan must not say to be what it claims (DESIGN §4 law 12; reference: books §1.7).

A working tool is not taxed because it is not pay; whatever would make it pay is refused before anybody is granted it. The
rules are rows of one table, so that a tax adviser can read them in a column.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tokenroll.model.classification import Classification
from tokenroll.model.grant import GrantKind
from tokenroll.model.limits import CLAWBACK_MONTHS_USUAL_MAX
from tokenroll.model.plan import Plan
from tokenroll.model.plan_terms import ClawbackBasis
from tokenroll.model.tax_facts import (
    Carryover,
    Catalogue,
    Convertible,
    CredentialForm,
    Denomination,
    PersonalShare,
    StatedReason,
    UseScope,
)

_REWARDS = frozenset({GrantKind.SIGNING_BONUS, GrantKind.PERFORMANCE_BONUS, GrantKind.SPOT_BONUS})
_WORDS_OF_PAY = re.compile(
    r"\b(bonus(es)?|compensations?|wages?|salary|salaries|rewards?|vest(s|ed|ing)?|perks?|pay|payments?|payslips?|worth|yours to keep)\b",
    re.IGNORECASE,
)
_WORDS_OF_TOOL = re.compile(r"\b(working tools?|work tools?|unlock(s|ed|ing)?|not pay)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One mark of pay: what it is called, what in a plan bears it (or None), and what to change."""

    name: str
    mark: Callable[[Plan], str | None]
    remedy: str


def objections(plan: Plan) -> tuple[str, ...]:
    """Every reason why a plan is not what it says: for a `tool` its marks of pay, for pay the words of a tool.

    Each says the mark, the rule and what to do.
    """
    if plan.classification is Classification.TOOL:
        return tuple(_told(plan, rule) for rule in RULES if rule.mark(plan) is not None)
    word = _word(_WORDS_OF_TOOL, plan)
    if word is None:
        return ()
    return (
        f"the wording says {word!r} of pay (rule: one wording, reference books §6): change the wording, or classify the plan as tool",
    )


def cautions(plan: Plan) -> tuple[str, ...]:
    """What is allowed and still needs somebody's eye: undeclared facts, pay that goes on beyond its tax year, a hard clawback."""
    found = []
    undeclared = plan.terms.tax.undeclared
    if undeclared:
        found.append(
            f"{len(undeclared)} tax facts are not declared, so taxes count the most taxable answer and ask for a review: "
            f"{', '.join(undeclared)}"
        )
    if plan.classification is Classification.COMPENSATION and plan.terms.tax.carryover is Carryover.BEYOND_TAX_YEAR:
        found.append(
            "pay that is carried over beyond its tax year may be deferred compensation in the United States (US-08, IRC 409A): "
            "let it expire by 15 March, or have it reviewed"
        )
    clawback = plan.terms.leaving.clawback
    if clawback is not None and (clawback.basis is ClawbackBasis.FULL or clawback.months > CLAWBACK_MONTHS_USUAL_MAX):
        found.append(
            f"a clawback in full, or later than {CLAWBACK_MONTHS_USUAL_MAX} months, is void where repayment is bound by law "
            "(California AB 692: pro rata and within two years): have it reviewed"
        )
    return tuple(found)


def _told(plan: Plan, rule: Rule) -> str:
    return (
        f"{rule.mark(plan)}, so it is pay and no working tool (rule: {rule.name}, reference books §1.7): {rule.remedy}"
    )


def _word(words: re.Pattern[str], plan: Plan) -> str | None:
    wording = plan.terms.wording
    found = words.search(f"{wording.title or ''}\n{wording.why or ''}")
    return None if found is None else found[0]


def _bonus(plan: Plan) -> str | None:
    return f"a {plan.kind} rewards the person" if plan.kind in _REWARDS else None


def _cash(plan: Plan) -> str | None:
    convertible = plan.terms.tax.convertible
    if convertible is Convertible.CASH_CHOICE:
        return "its holder may choose cash instead"
    return "it can be paid out in cash" if convertible is Convertible.CASH_OUT else None


def _passing_on(plan: Plan) -> str | None:
    may_be = plan.terms.transferable or plan.terms.tax.convertible is Convertible.TRANSFERABLE
    return "it may be given or sold to others" if may_be else None


def _survival(plan: Plan) -> str | None:
    window = next((one for one in plan.terms.leaving.windows if one.days), None)
    if window is not None:
        return f"it stays spendable for {window.days} days after leaving ({window.reason})"
    if plan.terms.tax.convertible is Convertible.PORTABLE_AFTER_EXIT:
        return "it can be taken along when its holder leaves"
    return None


def _currency(plan: Plan) -> str | None:
    return "it is counted in a currency" if plan.terms.tax.denomination is Denomination.CURRENCY else None


def _catalogue(plan: Plan) -> str | None:
    return "it buys whatever its holder picks" if plan.terms.tax.catalogue is Catalogue.OPEN_CATALOGUE else None


def _salary(plan: Plan) -> str | None:
    return "it takes the place of salary" if plan.terms.tax.salary_sacrifice else None


def _reason(plan: Plan) -> str | None:
    reason = plan.terms.tax.stated_reason
    return None if reason in {None, StatedReason.NONCOMPENSATORY} else f"it is given for {reason}"


def _pay_words(plan: Plan) -> str | None:
    word = _word(_WORDS_OF_PAY, plan)
    return None if word is None else f"its wording says {word!r}"


def _personal_account(plan: Plan) -> str | None:
    form = plan.terms.tax.credential_form
    if form is CredentialForm.PERSONAL_API_KEY:
        return "its holder has an api key of the provider in their own name"
    return "its holder has a voucher of the provider" if form is CredentialForm.PROVIDER_VOUCHER else None


def _unmeasured(plan: Plan) -> str | None:
    tax = plan.terms.tax
    is_unmeasured = tax.use_scope is UseScope.PERSONAL_ALLOWED and tax.personal_share in {
        None,
        PersonalShare.UNMEASURED,
    }
    return "personal use is allowed and not measured" if is_unmeasured else None


RULES: Final = (
    Rule(
        name="bonus kinds",
        mark=_bonus,
        remedy="classify the plan as compensation, or make its kind stipend",
    ),
    Rule(
        name="cash choice",
        mark=_cash,
        remedy="classify the plan as compensation, or make tax.convertible none",
    ),
    Rule(
        name="transfer or gift",
        mark=_passing_on,
        remedy="classify the plan as compensation, or make transferable false and tax.convertible none",
    ),
    Rule(
        name="survival after exit",
        mark=_survival,
        remedy="classify the plan as compensation, or let it end with employment (leaving.windows 0, tax.convertible none)",
    ),
    Rule(
        name="currency face value",
        mark=_currency,
        remedy="classify the plan as compensation, or make tax.denomination credits or model_tokens",
    ),
    Rule(
        name="open catalogue",
        mark=_catalogue,
        remedy="classify the plan as compensation, or make tax.catalogue specified_service",
    ),
    Rule(
        name="salary trade",
        mark=_salary,
        remedy="classify the plan as compensation, or give it without a change of pay and make tax.salary_sacrifice false",
    ),
    Rule(
        name="stated reason",
        mark=_reason,
        remedy="classify the plan as compensation, or give it for the work alone and make tax.stated_reason noncompensatory",
    ),
    Rule(
        name="wording of pay",
        mark=_pay_words,
        remedy="classify the plan as compensation, or change the wording",
    ),
    Rule(
        name="personal credentials",
        mark=_personal_account,
        remedy="classify the plan as compensation, or make tax.credential_form gateway_session",
    ),
    Rule(
        name="personal use is measured",
        mark=_unmeasured,
        remedy="classify the plan as compensation, or make tax.personal_share tag, attestation or sample",
    ),
)
