"""FOCUS: what finance takes into its own tools adds up to the ledger, and what is wrong with it is named before it leaves."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.focus_story import (
    ADA,
    ADA_INPUT,
    ADJUSTMENT,
    ANTHROPIC,
    BLOCK,
    BO,
    BO_CACHE_READ,
    CLEO,
    CLEO_SEARCHES,
    CORRECTION,
    CREDIT,
    GOLDEN,
    INVOICE_TOTALS,
    MISSED_BY_THE_VALIDATOR,
    NIGHTLY,
    OPENAI,
    PURCHASE,
    TAX,
    UNUSED,
    account_charge,
    ada,
    at,
    bo,
    mutated,
    story_lines,
    story_rows,
)  # fmt: skip
from tokenroll.books.focus import decimal_text, focus_csv, focus_rows
from tokenroll.books.focus_checks import Check, check_rows
from tokenroll.books.focus_lines import (
    AccountCharge,
    CreditCharge,
    PrepaidLot,
    PrepaidPurchase,
    UnusedPrepaid,
    UsageLine,
    WalletType,
)  # fmt: skip
from tokenroll.books.focus_schema import (
    COLUMN_NAMES,
    FOCUS_COLUMNS,
    METER_FACTS,
    TAG_KEYS,
    ChargeCategory,
    schema_id,
    schema_json,
)  # fmt: skip
from tokenroll.model.amount import nanos_from_text
from tokenroll.model.usage import METERS, Meter

COSTS = ("ListCost", "ContractedCost", "EffectiveCost", "BilledCost")
MUST = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodStart",
    "BillingPeriodEnd",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
]


def sums(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    return {name: sum(nanos_from_text(row[name]) for row in rows) for name in COSTS}


# --- the story ---------------------------------------------------------------------------------------


def test_january_is_this_file():
    assert "".join(focus_csv(focus_rows(story_lines()))) == GOLDEN.read_text(encoding="utf-8")


def test_january_has_nothing_wrong_and_bills_what_the_invoices_say():
    assert check_rows(story_rows(), INVOICE_TOTALS) == []


def test_the_file_has_the_columns_that_focus_demands_and_ours_last():
    with GOLDEN.open(encoding="utf-8", newline="") as file:
        heading = next(csv.reader(file))
    assert set(MUST) <= set(heading)
    assert sum(name.startswith("CommitmentDiscount") for name in heading) == 7
    focus, own = heading[: len(FOCUS_COLUMNS)], heading[len(FOCUS_COLUMNS) :]
    assert focus == sorted(focus)
    assert own == [
        "x_CallCount", "x_FundingLotId", "x_GrantId", "x_PolicyVersion", "x_PriceBookDigest", "x_PriceBookVersion",
    ]  # fmt: skip


def test_what_is_read_back_is_what_was_written():
    read = list(csv.DictReader(io.StringIO(GOLDEN.read_text(encoding="utf-8"), newline="")))
    assert [{name: value or None for name, value in row.items()} for row in read] == story_rows()
    assert json.loads(read[BO_CACHE_READ - 1]["Tags"]) == {"project": 'the "blue" one, phase 2'}


def test_costs_of_january_worked_by_hand():
    assert sums(story_rows()) == {
        # Ada 3.6 + 0.12 + 0.375 + 1.2, Bo 0.000005004 + 0.2 + 0.1, Cleo 0.03, the agent 1.5, the block 500, − 1 − 0.015 + 0.5 − 0.002
        "ListCost": 506_608_005_004,
        # Ada 4.7655, Bo as by list, Cleo 0.03, the agent 1.35, the block 450, − 1 − 0.0135 + 0.5 − 0.002
        "ContractedCost": 455_930_005_004,
        # Ada 4.7655, Bo 0.000004504 + 0.18 + 0.09, Cleo 0.03, the agent 1.35, what expired 9, − 1 − 0.0135 + 0.5 − 0.002
        "EffectiveCost": 14_900_004_504,
        # 5.63 and 450: Bo was paid for by the block
        "BilledCost": 455_630_000_000,
    }


def test_adas_input_line_by_line():
    row = story_rows()[ADA_INPUT - 1]
    assert (row["ConsumedQuantity"], row["ConsumedUnit"]) == ("1200000.0", "Tokens")
    assert (row["PricingQuantity"], row["PricingUnit"]) == ("1.2", "1000000 Tokens")
    assert (row["ListUnitPrice"], row["ListCost"]) == ("3.0", "3.600000000")  # 1.2 × 3
    assert (row["ContractedUnitPrice"], row["ContractedCost"]) == ("2.7", "3.240000000")  # 1.2 × 2.7
    assert (row["PricingCurrency"], row["PricingCurrencyEffectiveCost"]) == ("USD", "3.240000000")
    assert json.loads(row["SkuPriceDetails"]) == {
        "x_CacheAction": "None",
        "x_Meter": "input",
        "x_ModelId": "claude-sonnet-4-5",
        "x_ServiceTier": "standard",
        "x_TokenDirection": "Input",
    }


def test_a_wallet_in_credits_has_its_own_pricing_currency():
    row = story_rows(credit="Credits")[ADA_INPUT - 1]
    assert [row[name] for name in ("BillingCurrency", "EffectiveCost")] == ["USD", "3.240000000"]
    assert row["PricingCurrency"] == "Credits"
    assert row["PricingCurrencyEffectiveCost"] == "3.600000000"
    assert row["PricingCurrencyListUnitPrice"] == row["PricingCurrencyContractedUnitPrice"] == "3.0"
    assert check_rows(story_rows(credit="Credits"), INVOICE_TOTALS) == []


def test_bos_two_calls_cost_a_nano_less_than_their_product():
    row = story_rows()[BO_CACHE_READ - 1]
    # 2 × 1001 tokens at 2.5 nanos each: 2502.5 is rounded to the even 2502, twice
    assert (row["ListUnitPrice"], row["PricingQuantity"], row["ListCost"]) == ("0.0025", "0.002002", "0.000005004")
    assert row["x_CallCount"] == "2.0"


def test_what_the_block_pays_is_expense_and_not_billed():
    row = story_rows()[BO_CACHE_READ]
    assert [row[name] for name in ("PricingCategory", "CommitmentDiscountStatus", "CommitmentDiscountQuantity")] == [
        "Committed", "Used", "0.200000000",
    ]  # fmt: skip
    assert [row[name] for name in COSTS] == ["0.200000000", "0.200000000", "0.180000000", "0.000000000"]


def test_the_block_is_billed_when_bought_and_expense_when_used_or_lost():
    purchase, unused = story_rows()[PURCHASE - 1], story_rows()[UNUSED - 1]
    assert [purchase[name] for name in COSTS] == ["500.000000000", "450.000000000", "0.000000000", "450.000000000"]
    assert [unused[name] for name in COSTS] == ["0.000000000", "0.000000000", "9.000000000", "0.000000000"]
    assert (purchase["ConsumedQuantity"], unused["ConsumedQuantity"]) == (None, None)
    assert (purchase["CommitmentDiscountStatus"], unused["CommitmentDiscountStatus"]) == (None, "Unused")


def test_rows_are_grouped_by_direction_and_cache_action():
    found = {
        (row["SkuMeter"], details["x_TokenDirection"], details["x_CacheAction"])
        for row in story_rows()
        if "x_TokenDirection" in (details := json.loads(row["SkuPriceDetails"] or "{}"))
    }
    assert found == {
        ("Input Tokens", "Input", "None"),
        ("Cache Read Tokens", "Input", "Read"),
        ("Cache Write Tokens (5 Minutes)", "Input", "Write"),
        ("Output Tokens", "Output", "None"),
        ("Reasoning Tokens", "Output", "None"),
    }


def test_what_is_no_token_has_a_unit_of_its_own():
    row = story_rows()[CLEO_SEARCHES - 1]
    assert (row["ConsumedQuantity"], row["ConsumedUnit"]) == ("3.0", "Searches")
    assert (row["PricingQuantity"], row["PricingUnit"], row["ListUnitPrice"]) == ("0.003", "1000 Searches", "10.0")
    assert "x_TokenDirection" not in json.loads(row["SkuPriceDetails"])
    units = {meter.value: METER_FACTS[meter].pricing_unit for meter in METERS if METER_FACTS[meter].unit != "Tokens"}
    assert units == {
        "request": "Requests",
        "web_search": "1000 Searches",
        "web_fetch": "1000 Fetches",
        "file_search": "1000 Searches",
        "code_second": "Seconds",
        "search_unit": "1000 Searches",
        "image": "Images",
        "character": "1000000 Characters",
        "audio_second": "Seconds",
    }


def test_a_correction_of_december_stands_in_january_with_its_class():
    row = story_rows()[CORRECTION - 1]
    assert (row["ChargeClass"], row["ChargePeriodStart"]) == ("Correction", "2025-12-08T00:00:00Z")
    assert (row["BillingPeriodStart"], row["BilledCost"]) == ("2026-01-01T00:00:00Z", "-0.013500000")


def test_people_are_pseudonyms_and_wallets_say_of_what_kind_they_are():
    wallets = {(row["SubAccountId"], row["SubAccountName"], row["SubAccountType"]) for row in story_rows()}
    assert wallets == {
        (ADA, "Wallet 000000000ada", "Employee wallet"),
        (BO, "Wallet 0000000000b0", "Employee wallet"),
        (CLEO, "Wallet 0000000c1e00", "Employee wallet"),
        (NIGHTLY, "Wallet 000000009197", "Service wallet"),
        (None, None, None),
    }


def test_no_line_has_a_place_for_a_name_a_tax_class_or_personal_use():
    places = {one.name for noun in (UsageLine, AccountCharge, PrepaidPurchase, UnusedPrepaid) for one in fields(noun)}
    assert not [
        place for place in places for word in ("member", "employee", "personal", "purpose", "class") if word in place
    ]
    assert sorted(TAG_KEYS) == ["business_component", "cost_center", "project"]


def test_an_overage_that_the_company_bears_has_no_grant_and_no_lot():
    line = bo(Meter.OUTPUT, 10, 2 * 10**11, 2_000, 1_800, grant_id=None, policy_version=None, funding_lot_id=None)
    [row] = focus_rows([line])
    assert (row["SubAccountId"], row["x_GrantId"], row["x_PolicyVersion"], row["x_FundingLotId"]) == (
        BO,
        None,
        None,
        None,
    )
    assert check_rows([row]) == []


def test_decimals_always_have_a_point():
    assert [decimal_text(*one) for one in ((0, 0), (5, 0), (-5, 1), (1_200_000, 6), (1, 18), (10**18, 18))] == [
        "0.0", "5.0", "-0.5", "1.2", "0.000000000000000001", "1.0",
    ]  # fmt: skip


def test_an_adjustment_has_four_costs_of_its_own():
    """By hand: what was estimated costs 30 USD at list, 27 by contract, of which 20 were billed, and the wallet 15 credits."""
    line = account_charge(
        ChargeCategory.ADJUSTMENT, "Estimated", 30 * 10**9, contracted_cost_nanos=27 * 10**9, effective_cost_nanos=25 * 10**9,
        billed_cost_nanos=20 * 10**9, credit_charge=CreditCharge(nanos=15 * 10**9, price_attos=0, currency="Credits"),
    )  # fmt: skip
    [row] = focus_rows([line])
    assert [row[name] for name in (*COSTS, "PricingCurrency", "PricingCurrencyEffectiveCost")] == [
        "30.000000000", "27.000000000", "25.000000000", "20.000000000", "Credits", "15.000000000",
    ]  # fmt: skip
    assert check_rows([row]) == []


# --- the schema that goes with it --------------------------------------------------------------------


def test_the_schema_says_every_column_in_its_order():
    schema = json.loads(schema_json(at(2, 1)))
    assert list(schema) == ["SchemaId", "FocusVersion", "CreationDate", "ColumnDefinition"]
    assert (schema["FocusVersion"], schema["CreationDate"]) == ("1.2", "2026-02-01T00:00:00Z")
    assert [column["ColumnName"] for column in schema["ColumnDefinition"]] == list(COLUMN_NAMES)
    by_name = {column["ColumnName"]: column for column in schema["ColumnDefinition"]}
    assert by_name["BilledCost"] == {
        "ColumnName": "BilledCost", "DataType": "DECIMAL", "NumericPrecision": 38, "NumberScale": 9,
    }  # fmt: skip
    assert by_name["ChargePeriodEnd"] == {"ColumnName": "ChargePeriodEnd", "DataType": "DATETIME"}
    assert by_name["Tags"] == {"ColumnName": "Tags", "DataType": "JSON"}
    assert by_name["SubAccountId"]["StringMaxLength"] == 200


def test_the_schema_keeps_its_id_whenever_it_is_written():
    early, late = json.loads(schema_json(at(2, 1))), json.loads(schema_json(at(3, 1)))
    assert early["SchemaId"] == late["SchemaId"] == schema_id()
    assert early["CreationDate"] != late["CreationDate"]


# --- lines that are refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"wallet_id": "Ada Lovelace"}, "is not a wallet id"),
        ({"grant_id": ADA}, "is not a grant id"),
        ({"tags": {"purpose": "personal"}}, "'purpose' is not handed out"),
        ({"tags": {"session": "late-night"}}, "'session' is not handed out"),
        ({"until": at(1, 5)}, "ends after it starts"),
        ({"until": at(1, 7)}, "by the hour or by the day"),
        ({"start_at": at(1, 5) + 1}, "whole seconds"),
        ({"count": 0}, "without usage"),
        ({"list_cost_nanos": 3_600_000_011}, "to a nano for each of 10 calls"),
        ({"contracted_cost_nanos": 3_239_999_989}, "to a nano for each of 10 calls"),
        ({"effective_cost_nanos": -1}, "the effective cost is negative"),
        ({"prepaid_lot": BLOCK}, "openai-block-7 is billed again"),
        ({"credit_charge": CreditCharge(nanos=-1, price_attos=1, currency="Credits")}, "charge to the wallet is negative"),
        ({"list_price_attos": -1}, "list price is 0 to"),
    ],
)  # fmt: skip
def test_a_usage_line_that_cannot_be_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        ada(
            Meter.INPUT,
            **{"count": 1_200_000, "list_attos": 3 * 10**12, "list_nanos": 3_600_000_000, "net_nanos": 3_240_000_000}
            | changes,
        )


def test_ten_calls_may_be_ten_nanos_off():
    assert ada(Meter.INPUT, 1_200_000, 3 * 10**12, 3_600_000_010, 3_239_999_990).list_cost_nanos == 3_600_000_010


def test_other_lines_that_cannot_be_are_refused():
    january: dict[str, Any] = {"billing": ANTHROPIC, "start_at": at(1, 1), "until": at(2, 1)}
    with pytest.raises(ValueError, match="its cost is not positive"):
        account_charge(ChargeCategory.CREDIT, "a gift", 1)
    with pytest.raises(ValueError, match="all what is billed, -2 nanos"):
        account_charge(ChargeCategory.CREDIT, "a credit", -2, list_cost_nanos=-3)
    with pytest.raises(ValueError, match="has a line of its own"):
        account_charge(ChargeCategory.USAGE, "usage", 1)
    with pytest.raises(ValueError, match="cannot be left unused"):
        UnusedPrepaid(lot=BLOCK, unused_nanos=BLOCK.face_nanos + 1, effective_cost_nanos=0, **january)
    with pytest.raises(ValueError, match="a face value and a price"):
        PrepaidLot(lot_id="x", name="x", face_nanos=0, paid_nanos=0)
    with pytest.raises(ValueError, match="three capital letters"):
        replace(ANTHROPIC, currency="Dollars")


# --- what is wrong with rows -------------------------------------------------------------------------

OTHER_DEFECTS: dict[str, tuple[int, dict[str, Any], Check]] = {
    "a column is missing": (ADA_INPUT, {"ListCost": ...}, Check.COLUMNS),
    "a null cost": (ADA_INPUT, {"BilledCost": None}, Check.REQUIRED),
    "empty text for a null": (ADA_INPUT, {"InvoiceId": ""}, Check.REQUIRED),
    "a bad class": (ADA_INPUT, {"ChargeClass": "Mistake"}, Check.ALLOWED_VALUE),
    "another service": (ADA_INPUT, {"ServiceCategory": "Compute"}, Check.ALLOWED_VALUE),
    "a cost without a point": (ADA_INPUT, {"EffectiveCost": "3"}, Check.DECIMAL),
    "a cost in scientific notation": (ADA_INPUT, {"EffectiveCost": "3.24e0"}, Check.DECIMAL),
    "a cost below a nano": (ADA_INPUT, {"EffectiveCost": "3.2400000001"}, Check.DECIMAL),
    "a day that is none": (ADA_INPUT, {"ChargePeriodStart": "2026-02-30T00:00:00Z"}, Check.INSTANT),
    "a billing period without length": (ADA_INPUT, {"BillingPeriodEnd": "2026-01-01T00:00:00Z"}, Check.PERIOD),
    "money in a word": (ADA_INPUT, {"BillingCurrency": "Dollar"}, Check.CURRENCY),
    "tags that are no JSON": (ADA_INPUT, {"Tags": "project=atlas"}, Check.KEY_VALUE),
    "tags in a list": (ADA_INPUT, {"Tags": '["atlas"]'}, Check.KEY_VALUE),
    "tags in tags": (ADA_INPUT, {"Tags": '{"project":{"a":"b"}}'}, Check.KEY_VALUE),
    "a tag twice": (ADA_INPUT, {"Tags": '{"project":"a","project":"b"}'}, Check.KEY_VALUE),
    "a tag of personal use": (ADA_INPUT, {"Tags": '{"purpose":"personal"}'}, Check.TAG_KEY),
    "a name in a custom column": (ADA_INPUT, {"x_EmployeeName": "Ada Lovelace"}, Check.CUSTOM_COLUMN),
    "a name for a wallet's": (ADA_INPUT, {"SubAccountName": "Ada Lovelace"}, Check.PSEUDONYM),
    "an employee number for a grant": (ADA_INPUT, {"x_GrantId": "E-1815"}, Check.PSEUDONYM),
    "a name for a lot's": (ADA_INPUT, {"x_FundingLotId": "lot_Ada"}, Check.PSEUDONYM),
    "a quantity without its unit": (ADA_INPUT, {"PricingUnit": None}, Check.TOGETHER),
    "a wallet without a type": (ADA_INPUT, {"SubAccountType": None}, Check.TOGETHER),
    "a negative unit price": (CORRECTION, {"ContractedUnitPrice": "-13.5"}, Check.UNIT_PRICE),
    "two nanos off in one call": (CLEO_SEARCHES, {"ListCost": "0.030000002"}, Check.LIST_COST),
    "a nano off in a purchase": (PURCHASE, {"ListCost": "500.000000001"}, Check.LIST_COST),
    "usage without a price": (ADA_INPUT, {"ListUnitPrice": None}, Check.PRICED),
    "a priced tax": (TAX, {"PricingCategory": "Standard"}, Check.PRICED),
    "details without a price": (ADJUSTMENT, {"SkuPriceDetails": "{}"}, Check.PRICED),
    "usage that consumed nothing": (ADA_INPUT, {"ConsumedQuantity": None, "ConsumedUnit": None}, Check.CONSUMED),
    "a purchase that consumed": (PURCHASE, {"ConsumedQuantity": "1.0", "ConsumedUnit": "Blocks"}, Check.CONSUMED),
    "a prepaid purchase as expense": (PURCHASE, {"EffectiveCost": "450.000000000"}, Check.PURCHASE),
    "a prepaid purchase as expense in credits": (PURCHASE, {"PricingCurrencyEffectiveCost": "1.000000000"}, Check.PURCHASE),
    "a purchase by usage": (PURCHASE, {"ChargeFrequency": "Usage-Based"}, Check.PURCHASE),
    "usage of a block without a status": (BO_CACHE_READ, {"CommitmentDiscountStatus": None}, Check.COMMITMENT),
    "usage of a block at standard prices": (BO_CACHE_READ, {"PricingCategory": "Standard"}, Check.COMMITMENT),
    "committed prices without a block": (ADA_INPUT, {"PricingCategory": "Committed"}, Check.COMMITMENT),
    "usage of a block that is billed again": (BO_CACHE_READ, {"BilledCost": "0.000005004"}, Check.COMMITMENT),
    "a credit that is no expense": (CREDIT, {"EffectiveCost": "0.000000000"}, Check.CREDIT),
}  # fmt: skip


@pytest.mark.parametrize("defect", [*MISSED_BY_THE_VALIDATOR, *OTHER_DEFECTS])
def test_one_defect_is_named_once_and_in_its_row(defect):
    row_number, changes, check = (MISSED_BY_THE_VALIDATOR | OTHER_DEFECTS)[defect]
    found = check_rows(mutated(row_number, changes))
    assert [(failure.check, failure.row_number) for failure in found] == [(check, row_number)]


def test_columns_out_of_order_are_named():
    rows = [dict(reversed(row.items())) for row in story_rows()]
    assert {failure.check for failure in check_rows(rows)} == {Check.COLUMNS}


def test_an_invoice_that_is_not_the_sum_of_its_rows_is_named():
    [failure] = check_rows(story_rows(), INVOICE_TOTALS | {"ANT-2026-01": 5_640_000_000})
    assert failure == (Check.INVOICE_TOTAL, 0, "ANT-2026-01 is 5.640000000, its rows bill 5.630000000")


def test_rows_of_no_invoice_and_an_invoice_without_rows_are_named():
    found = check_rows(story_rows(), {"ANT-2026-01": 5_630_000_000, "ANT-2025-12": 1})
    assert [failure.said for failure in found] == [
        "ANT-2025-12 is 0.000000001, its rows bill 0.000000000",
        "rows belong to OAI-2026-0107, which is no invoice that was given",
    ]


def test_more_expense_than_a_block_cost_is_named():
    found = check_rows(mutated(BO_CACHE_READ, {"EffectiveCost": "449.730000001"}))
    assert found == [
        (Check.PREPAID_TOTAL, 0, "openai-block-7 cost 450.000000000 and 450.000000001 of it is expense (DiscountHandling-A-011)")
    ]  # fmt: skip


def test_two_prices_in_one_price_book_are_named():
    rows = [*story_rows(), *story_rows()[:1]]
    rows[-1] = rows[-1] | {"ListUnitPrice": "4.0", "ListCost": "4.800000000"}
    assert [(failure.check, failure.row_number) for failure in check_rows(rows)] == [(Check.ONE_PRICE, 16)]


def test_one_price_of_two_skus_is_named():
    rows = [*story_rows(), *story_rows()[:1]]
    rows[-1] = rows[-1] | {"SkuId": "Anthropic/claude-sonnet-4-5/output"}
    assert [(failure.check, failure.row_number) for failure in check_rows(rows)] == [(Check.ONE_SKU, 16)]


# --- any lines ---------------------------------------------------------------------------------------

NANOS = st.integers(0, 10**15)
LABELS = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=12)
CREDITS = st.none() | st.builds(CreditCharge, nanos=NANOS, price_attos=st.integers(0, 10**14), currency=LABELS)


@st.composite
def usage_lines(draw, number):
    """Of any meter, price and rounding; a block, if one pays, is dear enough for what it pays."""
    calls, count = draw(st.integers(1, 10**4)), draw(st.integers(1, 10**9))
    list_attos, net_attos = draw(st.integers(0, 10**14)), draw(st.integers(0, 10**14))
    list_nanos, net_nanos = (
        max(0, attos * count // 10**9 + draw(st.integers(1 - calls, calls))) for attos in (list_attos, net_attos)
    )
    effective = draw(NANOS)
    lot = PrepaidLot(lot_id=f"block {number}", name="Block", face_nanos=1 + net_nanos, paid_nanos=effective)
    start_at = at(1, draw(st.integers(1, 31)), draw(st.integers(0, 23)))
    facts = {
        "billing": draw(st.sampled_from((ANTHROPIC, OPENAI))),
        "start_at": start_at,
        "until": start_at + draw(st.sampled_from((1, 23, 24, 25))) * 3_600_000_000,
        "model": draw(LABELS),
        "service_tier": draw(st.sampled_from(("standard", "batch"))),
        "call_count": calls,
        "contracted_price_attos": net_attos,
        "contracted_cost_nanos": net_nanos,
        "effective_cost_nanos": effective,
        "wallet_type": draw(st.sampled_from(WalletType)),
        "input_tokens_above": draw(st.sampled_from((0, 200_000))),
        "price_book_digest": f"{list_attos:064x}",
        "credit_charge": draw(CREDITS),
        "tags": draw(st.dictionaries(st.sampled_from(sorted(TAG_KEYS)), LABELS)),
    }
    if draw(st.booleans()):
        facts |= {"prepaid_lot": lot, "billed_cost_nanos": 0}
    else:
        facts["billed_cost_nanos"] = draw(NANOS)
    line = ada(draw(st.sampled_from(Meter)), count, list_attos, list_nanos, net_nanos, **facts)
    if draw(st.integers(0, 5)) == 0:
        turned = {
            f"{name}_cost_nanos": -getattr(line, f"{name}_cost_nanos")
            for name in ("list", "contracted", "effective", "billed")
        }
        return replace(line, is_correction=True, count=-count, **turned)
    return line


@st.composite
def other_lines(draw, number):
    term: dict[str, Any] = {
        "billing": draw(st.sampled_from((ANTHROPIC, OPENAI))),
        "start_at": at(1, 1),
        "until": at(2, 1),
    }
    lot = PrepaidLot(lot_id=f"other {number}", name="Other", face_nanos=1 + draw(NANOS), paid_nanos=draw(NANOS))
    kind = draw(st.sampled_from(("bought", "lost", "Credit", "Tax", "Adjustment")))
    if kind == "bought":
        return PrepaidPurchase(lot=lot, **term)
    if kind == "lost":
        unused_nanos = draw(st.integers(1, lot.face_nanos))
        return UnusedPrepaid(lot=lot, unused_nanos=unused_nanos, effective_cost_nanos=draw(NANOS), **term)
    names = ("list_cost_nanos", "contracted_cost_nanos", "effective_cost_nanos", "billed_cost_nanos")
    own = dict.fromkeys(names, -draw(NANOS))
    if kind != "Credit":
        own = {name: draw(st.integers(-(10**15), 10**15)) for name in names}
    wallet_id = draw(st.sampled_from((None, ADA, BO)))
    tags = draw(st.dictionaries(st.sampled_from(sorted(TAG_KEYS)), LABELS))
    return AccountCharge(
        category=ChargeCategory(kind), description=draw(LABELS), wallet_id=wallet_id, tags=tags, credit_charge=draw(CREDITS),
        **own, **term,
    )  # fmt: skip


@st.composite
def any_lines(draw):
    return [
        draw(draw(st.sampled_from((usage_lines, other_lines)))(number)) for number in range(draw(st.integers(0, 6)))
    ]


def costs(line):
    """The four costs of a line in nanos, from the words of the specification alone."""
    if isinstance(line, UsageLine | AccountCharge):
        return (line.list_cost_nanos, line.contracted_cost_nanos, line.effective_cost_nanos, line.billed_cost_nanos)
    if isinstance(line, PrepaidPurchase):
        return (line.lot.face_nanos, line.lot.paid_nanos, 0, line.lot.paid_nanos)
    assert isinstance(line, UnusedPrepaid)
    return (0, 0, line.effective_cost_nanos, 0)


@given(lines=any_lines())
def test_any_lines_give_rows_without_failures_that_add_up_to_their_nanos(lines):
    rows = list(focus_rows(lines))
    billed: dict[str, int] = {}
    for line in lines:
        if line.billing.invoice_id is not None:
            billed[line.billing.invoice_id] = billed.get(line.billing.invoice_id, 0) + costs(line)[3]
    assert check_rows(rows, billed) == []
    assert (
        tuple(sums(rows).values()) == tuple(sum(column) for column in zip(*map(costs, lines), strict=True)) or not lines
    )
    read = list(csv.DictReader(io.StringIO("".join(focus_csv(rows)), newline="")))
    # an apostrophe stands before what a spreadsheet would take for a formula, and before one that was there (books/cells.py)
    assert [{name: value.removeprefix("'") or None for name, value in row.items()} for row in read] == rows


@given(lines=st.lists(usage_lines(0), min_size=1, max_size=3))
def test_any_cost_that_moves_by_more_than_a_nano_for_each_call_is_named(lines):
    plain = [line for line in lines if not line.is_correction]
    rows: list[dict[str, Any]] = [dict(row) for row in focus_rows(plain)]
    for line, row in zip(plain, rows, strict=True):
        row["ListCost"] = decimal_text(line.list_cost_nanos + 2 * line.call_count + 1, 9)
    assert [failure.check for failure in check_rows(rows)] == [Check.LIST_COST] * len(rows)
