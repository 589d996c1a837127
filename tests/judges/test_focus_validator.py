"""FOCUS as the FinOps Foundation's own validator reads it: January passes, planted defects do not, and what it misses is on record."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.focus_story import (
    ADA_INPUT,
    ADJUSTMENT,
    GOLDEN,
    MISSED_BY_THE_VALIDATOR,
    PURCHASE,
    mutated,
    story_lines,
    story_rows,
)  # fmt: skip
from tests.judges import focus_validator
from tests.judges.focus_validator import Verdict, judged
from tests.judges.own_environment import EnvironmentUnavailableError
from tokenroll.books.focus import focus_rows

pytestmark = [pytest.mark.judge, pytest.mark.timeout(900)]

INVOICE_ID = {"InvoiceId-C-000-O", "InvoiceId-C-003-C", "InvoiceId-C-004-C", "InvoiceId-C-005-C"}
"""C-004 wants every InvoiceId null and C-005 wants none null, whatever the charge; the other two gather them."""
JANUARY = Verdict(asked=578, skipped=290, failed=frozenset(INVOICE_ID))


@pytest.fixture(scope="module", autouse=True)
def validator():
    try:
        focus_validator.prepare()
    except EnvironmentUnavailableError as error:
        pytest.skip(f"the official validator of FOCUS cannot be had here: {error}")


def judged_rows(rows: Iterable[Mapping[str, Any]], folder: Path) -> Verdict:
    """Of any rows, wrong columns and all."""
    known = list(rows)
    path = folder / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list({name: None for row in known for name in row}))
        writer.writeheader()
        writer.writerows(known)
    return judged(path)


def test_nothing_of_january_fails_but_what_no_file_can_pass(tmp_path):
    path = tmp_path / "january.csv"
    path.write_bytes(GOLDEN.read_bytes())
    assert judged(path) == JANUARY


def test_a_month_with_all_its_invoices_fails_in_one_rule_only(tmp_path):
    """578 are asked, 287 pass, 290 are skipped."""
    lines = [
        replace(line, billing=replace(line.billing, invoice_id=line.billing.invoice_id or "OAI-2026-01"))
        for line in story_lines()
    ]
    assert judged_rows(focus_rows(lines), tmp_path) == replace(JANUARY, failed=frozenset({"InvoiceId-C-004-C"}))


def test_an_adjustment_may_have_four_costs_of_its_own(tmp_path):
    own = {
        "ListCost": "0.030000000",
        "ContractedCost": "0.027000000",
        "EffectiveCost": "0.025000000",
        "BilledCost": "0.020000000",
    }
    assert judged_rows(mutated(ADJUSTMENT, own), tmp_path) == JANUARY


def test_a_wallet_in_credits_is_taken_for_a_malformed_currency(tmp_path):
    """The specification allows a virtual currency any name (CurrencyFormat); the validator wants three capitals."""
    verdict = judged_rows(story_rows(credit="Credits"), tmp_path)
    assert verdict.failed - INVOICE_ID == {"PricingCurrency-C-000-C", "PricingCurrency-C-003-M"}


CAUGHT: dict[str, tuple[int, dict[str, Any], str]] = {
    "a null cost": (ADA_INPUT, {"BilledCost": None}, "BilledCost-C-003-M"),
    "a quantity without its unit": (ADA_INPUT, {"PricingUnit": None}, "PricingUnit-C-006-C"),
    "usage that consumed nothing": (ADA_INPUT, {"ConsumedQuantity": None}, "ConsumedUnit-C-005-C"),
    "a purchase that consumed": (PURCHASE, {"ConsumedQuantity": "1.0"}, "ConsumedQuantity-C-004-C"),
    "a bad class": (ADA_INPUT, {"ChargeClass": "Mistake"}, "ChargeClass-C-005-C"),
    "money in a word": (ADA_INPUT, {"BillingCurrency": "Dollar"}, "BillingCurrency-C-006-M"),
    "tags that are no JSON": (ADA_INPUT, {"Tags": "project=atlas"}, "Tags-C-001-M"),
    "a prepaid purchase as expense": (PURCHASE, {"EffectiveCost": "450.000000000"}, "EffectiveCost-C-005-C"),
    "a date that is none": (ADA_INPUT, {"ChargePeriodStart": "yesterday"}, "ChargePeriodStart-C-001-M"),
}  # fmt: skip


@pytest.mark.parametrize("defect", CAUGHT)
def test_one_defect_in_one_row_fails(defect, tmp_path):
    row_number, changes, rule = CAUGHT[defect]
    failed = judged_rows(mutated(row_number, changes), tmp_path).failed
    assert rule in failed, sorted(failed - INVOICE_ID)


def test_a_column_that_is_missing_fails(tmp_path):
    rows = [{name: value for name, value in row.items() if name != "ListCost"} for row in story_rows()]
    assert "CostAndUsage-D-032-M" in judged_rows(rows, tmp_path).failed


def test_a_column_of_whole_numbers_without_a_point_fails(tmp_path):
    rows = story_rows()
    for row in rows:
        row["ConsumedQuantity"] = row["ConsumedQuantity"] and row["ConsumedQuantity"].removesuffix(".0")
    assert "ConsumedQuantity-C-001-M" in judged_rows(rows, tmp_path).failed


@pytest.mark.parametrize("defect", MISSED_BY_THE_VALIDATOR)
def test_what_our_own_checks_are_there_for_passes_here(defect, tmp_path):
    row_number, changes, _ = MISSED_BY_THE_VALIDATOR[defect]
    assert judged_rows(mutated(row_number, changes), tmp_path) == JANUARY
