"""What an offer says of its package, line by line (reference: books, §6).

A working tool stands below the total and is never part of it: a letter that adds it up is evidence that it is pay. Pay names
its tax, its value, how it vests and ends, and leaves repayment to a paper of its own.
"""

from dataclasses import dataclass

from tokenroll.books.words import grant_title
from tokenroll.model.amount import text_from_nanos
from tokenroll.model.classification import Classification
from tokenroll.model.offer import Package
from tokenroll.model.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferLines:
    """`lines` are name and value; `sentences` stand below them."""

    lines: tuple[tuple[str, str], ...]
    sentences: tuple[str, ...]


def offer_lines(plan: Plan, amount_nanos: int, package: Package | None, schedule: str) -> OfferLines:
    """The total package with this grant in it, where it belongs. `schedule` says when it becomes spendable and how long it lives."""
    lines = [] if package is None else _cash(package)
    title = grant_title(plan.classification, plan.kind, plan.terms.wording)
    credits_text = f"{_money(amount_nanos)} credits"
    if plan.classification is Classification.TOOL:
        return OfferLines(
            lines=(*lines, *_total(package), (f"Beside the total: {title}", credits_text)),
            sentences=(
                f"Access to AI compute for your work: {schedule}; its list value is about {_money(amount_nanos)} USD.",
                "A working tool of the company: for business use, without cash value.",
                "It may change or end, and it ends when you leave.",
            ),
        )
    return OfferLines(
        lines=(*lines, (title[0].upper() + title[1:], credits_text), *_total(package, beside=credits_text)),
        sentences=tuple(_sentences_of_pay(plan, schedule)),
    )


def _cash(package: Package) -> list[tuple[str, str]]:
    named = (
        ("Base pay, a year", package.base_pay_cost_nanos),
        ("Bonus at target, a year", package.bonus_cost_nanos),
        ("Equity, a year", package.equity_cost_nanos),
    )
    return [(name, f"{_money(nanos)} {package.currency}") for name, nanos in named if nanos]


def _total(package: Package | None, *, beside: str = "") -> tuple[tuple[str, str], ...]:
    """Money is summed with money; credits are named beside it, because they are no currency."""
    if package is None:
        return ()
    total = package.base_pay_cost_nanos + package.bonus_cost_nanos + package.equity_cost_nanos
    return (("Total package", f"{_money(total)} {package.currency}{f' and {beside}' if beside else ''}"),)


def _sentences_of_pay(plan: Plan, schedule: str) -> list[str]:
    leaving = plan.terms.leaving
    windows = [f"{one.days} days ({str(one.reason).replace('_', ' ')})" for one in leaving.windows if one.days]
    exit_ = "what has vested ends with your last day"
    if windows:
        exit_ += f", or stays spendable after it for {', '.join(windows)}"
    found = [
        "It is pay: taxable, and valued at the list price of the compute that it buys.",
        f"It vests {schedule}.",
        f"When you leave, what has not vested is forfeited; {exit_}.",
    ]
    if leaving.clawback is not None:
        found.append("Terms of repayment stand in a separate agreement; used credits are never asked for.")
    return found


def _money(nanos: int) -> str:
    whole, _, decimals = text_from_nanos(nanos, 2).partition(".")
    return f"{int(whole):,}.{decimals}".replace(",", " ")
