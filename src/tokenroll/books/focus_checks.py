"""What must hold of FOCUS rows before they leave, row by row and over all of them.

The official validator passes several defects that a reader of costs would stumble over: it asks whether an allowed value stands
anywhere in the file, and its products are compared on corrections alone (reference: books, §4.4). These checks read rows and
nothing of how they were made, so they also judge a file that somebody else wrote. Rule names are those of FOCUS 1.2.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from tokenroll.books.focus import Row, wallet_name
from tokenroll.books.focus_schema import (
    ALLOWED_VALUES,
    COLUMN_NAMES,
    COLUMNS,
    COST_DECIMALS,
    PRICE_DECIMALS,
    SKU_PRICE_PROPERTIES,
    TAG_KEYS,
    DataType,
)
from tokenroll.model.amount import text_from_nanos

_DECIMAL = re.compile(r"(-?)([0-9]+)\.([0-9]+)")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_CURRENCY = re.compile(r"[A-Z]{3}")
_ONE: Final[int] = 10**PRICE_DECIMALS
_NANO: Final[int] = 10 ** (PRICE_DECIMALS - COST_DECIMALS)
_REQUIRED: Final = tuple(column.name for column in COLUMNS if column.required)
_DECIMALS: Final = tuple((column.name, column.decimals) for column in COLUMNS if column.data_type is DataType.DECIMAL)
_INSTANTS: Final = tuple(column.name for column in COLUMNS if column.data_type is DataType.INSTANT)
_PRICED: Final = (
    "ContractedUnitPrice", "ListUnitPrice", "PricingCategory", "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyListUnitPrice", "PricingQuantity", "SkuId", "SkuPriceId",
)  # fmt: skip
_UNIT_PRICES: Final = (
    "ContractedUnitPrice", "ListUnitPrice", "PricingCurrencyContractedUnitPrice", "PricingCurrencyListUnitPrice",
)  # fmt: skip
_TOGETHER: Final = (
    ("SubAccountId", "SubAccountName"),
    ("SubAccountId", "SubAccountType"),
    ("ResourceId", "ResourceType"),
    ("SkuId", "SkuMeter"),
    ("SkuId", "SkuPriceId"),
    ("ConsumedQuantity", "ConsumedUnit"),
    ("PricingQuantity", "PricingUnit"),
    ("CommitmentDiscountId", "CommitmentDiscountCategory"),
    ("CommitmentDiscountId", "CommitmentDiscountName"),
    ("CommitmentDiscountId", "CommitmentDiscountType"),
    ("CommitmentDiscountQuantity", "CommitmentDiscountUnit"),
)
"""Pairs of which either both are said or neither (SubAccountName-C-004 and 005, ConsumedUnit-C-005 and 006, and so on)."""


class Check(StrEnum):
    """What was asked; a failure carries it, so that a reader need not read sentences."""

    COLUMNS = "columns"
    CUSTOM_COLUMN = "custom column"
    REQUIRED = "required"
    ALLOWED_VALUE = "allowed value"
    DECIMAL = "decimal"
    INSTANT = "instant"
    PERIOD = "period"
    CURRENCY = "currency"
    KEY_VALUE = "key and value"
    SKU_PRICE_KEY = "key of SkuPriceDetails"
    TAG_KEY = "key of Tags"
    PSEUDONYM = "pseudonym"
    TOGETHER = "said together"
    LIST_COST = "list cost"
    CONTRACTED_COST = "contracted cost"
    UNIT_PRICE = "unit price"
    PRICED = "priced"
    CONSUMED = "consumed quantity"
    PURCHASE = "purchase"
    COMMITMENT = "commitment"
    CREDIT = "credit"
    PREPAID_TOTAL = "prepaid total"
    ONE_PRICE = "one price"
    ONE_SKU = "one SKU"
    INVOICE_TOTAL = "invoice total"


class Failure(NamedTuple):
    """One thing that does not hold: of which row (the first is 1, and 0 is the whole delivery), and what is wrong in words."""

    check: Check
    row_number: int
    said: str


_Found = Iterator[tuple[Check, str]]


def check_rows(rows: Iterable[Row], invoice_totals: Mapping[str, int] | None = None) -> list[Failure]:
    """Everything that is wrong with the rows, in their order; nothing is wrong with a delivery when the list is empty.

    `invoice_totals` are the payable nanos of issued invoices by their id: each must be the sum of BilledCost of its rows
    (BilledCost-C-007), and no row may belong to another invoice. Without them invoices are not compared.
    """
    failures: list[Failure] = []
    whole = _Whole()
    for number, row in enumerate(rows, 1):
        shape = list(_shape(row))
        failures += [Failure(check, number, said) for check, said in shape]
        if shape:
            continue  # what cannot be read cannot be compared
        failures += [Failure(check, number, said) for one in _ROW_CHECKS for check, said in one(row)]
        failures += [Failure(check, number, said) for check, said in whole.add(row)]
    failures += [Failure(check, 0, said) for check, said in whole.totals(invoice_totals)]
    return failures


def _shape(row: Row) -> _Found:
    """Columns, values and forms: what has to hold before anything can be compared."""
    missing = [name for name in COLUMN_NAMES if name not in row]
    if missing:
        yield Check.COLUMNS, f"{', '.join(missing)} not there"
    known = frozenset(COLUMN_NAMES)
    for name in row:
        if name not in known:
            lacks = "is not one that we hand out" if name.startswith("x_") else "is a custom column without x_"
            yield Check.CUSTOM_COLUMN, f"{name} {lacks} (ColumnHandling-A-010)"
    order = tuple(name for name in row if name in known)
    if not missing and order != COLUMN_NAMES:
        yield Check.COLUMNS, "columns are not in their order"
    for name in _REQUIRED:
        if row.get(name, "") is None:
            yield Check.REQUIRED, f"{name} is null"
    for name, value in row.items():
        if value is not None and not value.strip():
            yield Check.REQUIRED, f"{name} is empty text in place of a null (NullHandling-A-002)"
    for name, allowed in ALLOWED_VALUES.items():
        value = row.get(name)
        if value is not None and value not in allowed:
            yield Check.ALLOWED_VALUE, f"{name} is {value!r}"
    for name, decimals in _DECIMALS:
        value = row.get(name)
        if value is not None and ((match := _DECIMAL.fullmatch(value)) is None or len(match[3]) > decimals):
            yield Check.DECIMAL, f"{name} is {value!r}, no decimal with a point and at most {decimals} digits after it"
    for name in _INSTANTS:
        value = row.get(name)
        if value is not None and not _is_instant(value):
            yield Check.INSTANT, f"{name} is {value!r}, not YYYY-MM-DDTHH:MM:SSZ (DateTimeFormat-A-004 to 006)"


def _periods(row: Row) -> _Found:
    for start, end in (("ChargePeriodStart", "ChargePeriodEnd"), ("BillingPeriodStart", "BillingPeriodEnd")):
        if _text(row, start) >= _text(row, end):
            yield Check.PERIOD, f"{end} {row[end]} is not after {start} {row[start]}"


def _currencies(row: Row) -> _Found:
    """Money has ISO's three letters; what wallets are charged in may be a virtual currency of any name (CurrencyFormat)."""
    if _CURRENCY.fullmatch(_text(row, "BillingCurrency")) is None:
        yield Check.CURRENCY, f"BillingCurrency is {row['BillingCurrency']!r}, not three letters of ISO 4217"


def _key_values(row: Row) -> _Found:
    for name, check in (("SkuPriceDetails", Check.SKU_PRICE_KEY), ("Tags", Check.TAG_KEY)):
        value = row[name]
        if value is None:
            continue
        try:
            said = json.loads(value, object_pairs_hook=_unique)
        except ValueError as error:
            yield Check.KEY_VALUE, f"{name} is no JSON object with unique keys: {error}"
            continue
        if not isinstance(said, dict) or any(isinstance(one, dict | list) for one in said.values()):
            yield Check.KEY_VALUE, f"{name} is no JSON object of plain values (KeyValueFormat-A-001 and 004)"
            continue
        for key in said:
            if check is Check.SKU_PRICE_KEY and not key.startswith("x_") and key not in SKU_PRICE_PROPERTIES:
                yield check, f"{key} is not of FOCUS and has no x_ (SkuPriceDetails-C-017)"
            if check is Check.TAG_KEY and key not in TAG_KEYS:
                yield check, f"{key} is not one that we hand out"


def _pseudonyms(row: Row) -> _Found:
    """Ids of ours where ours belong, and no name beside them (reference: books, §4.3)."""
    for name, prefix in (("SubAccountId", "wallet"), ("x_GrantId", "grant"), ("x_FundingLotId", "lot")):
        value = row[name]
        if value is not None and re.fullmatch(f"{prefix}_[0-9a-f]{{32}}", value) is None:
            yield Check.PSEUDONYM, f"{name} is no {prefix} id"
    if None not in {row["SubAccountId"], row["SubAccountName"]} and row["SubAccountName"] != wallet_name(
        _text(row, "SubAccountId")
    ):
        yield Check.PSEUDONYM, "SubAccountName says more than SubAccountId"


def _together(row: Row) -> _Found:
    for first, second in _TOGETHER:
        if (row[first] is None) is not (row[second] is None):
            there, lacking = (second, first) if row[first] is None else (first, second)
            yield Check.TOGETHER, f"{there} is said, and {lacking} is null"


def _products(row: Row) -> _Found:
    """Cost is unit price times quantity, to a nano for each call that it was added up from (decision 0117)."""
    for name in _UNIT_PRICES:
        if row[name] is not None and _number(row, name) < 0:
            yield Check.UNIT_PRICE, f"{name} is negative"
    if row["ChargeClass"] is not None or row["PricingQuantity"] is None:
        return
    allowed = 0 if row["x_CallCount"] is None else _number(row, "x_CallCount") * _NANO
    for check, price, cost in (
        (Check.LIST_COST, "ListUnitPrice", "ListCost"),
        (Check.CONTRACTED_COST, "ContractedUnitPrice", "ContractedCost"),
    ):
        if row[price] is None:
            continue
        product = _number(row, price) * _number(row, "PricingQuantity")
        if abs(product - _number(row, cost) * _ONE) > allowed:
            yield check, f"{cost} {row[cost]} is not {price} {row[price]} × PricingQuantity {row['PricingQuantity']}"


def _priced(row: Row) -> _Found:
    category, is_plain = row["ChargeCategory"], row["ChargeClass"] is None
    for name in _PRICED:
        if category in {"Usage", "Purchase"} and is_plain and row[name] is None:
            yield Check.PRICED, f"{name} is null on a row of {category}"
        if category == "Tax" and row[name] is not None:
            yield Check.PRICED, f"{name} is said of a tax"
    if row["SkuPriceId"] is None and row["SkuPriceDetails"] is not None:
        yield Check.PRICED, "SkuPriceDetails without SkuPriceId"
    is_consumed = category == "Usage" and row["CommitmentDiscountStatus"] != "Unused"
    if is_consumed and is_plain and row["ConsumedQuantity"] is None:
        yield Check.CONSUMED, "ConsumedQuantity is null on a row of Usage"
    if not is_consumed and row["ConsumedQuantity"] is not None:
        yield Check.CONSUMED, "ConsumedQuantity where nothing was consumed (ConsumedQuantity-C-004)"


def _categories(row: Row) -> _Found:
    """What a purchase and a credit must be, as far as their costs go."""
    if row["ChargeCategory"] == "Purchase":
        for name in ("EffectiveCost", "PricingCurrencyEffectiveCost"):
            if _number(row, name) != 0:
                yield Check.PURCHASE, f"{name} of a prepaid purchase is {row[name]}, not 0 (EffectiveCost-C-005)"
        if _number(row, "BilledCost") != _number(row, "ContractedCost"):
            yield Check.PURCHASE, f"BilledCost {row['BilledCost']} is not ContractedCost {row['ContractedCost']}"
        if row["ChargeFrequency"] == "Usage-Based":
            yield Check.PURCHASE, "a purchase is not Usage-Based (ChargeFrequency-C-004)"
    if row["ChargeCategory"] == "Credit":
        for name in ("ListCost", "ContractedCost", "EffectiveCost"):
            if _number(row, name) != _number(row, "BilledCost"):
                yield Check.CREDIT, f"{name} of a credit is {row[name]}, BilledCost {row['BilledCost']} ({name}-C-008)"


def _commitments(row: Row) -> _Found:
    lot_id, status = row["CommitmentDiscountId"], row["CommitmentDiscountStatus"]
    is_usage = row["ChargeCategory"] == "Usage"
    if lot_id is None:
        if status is not None or row["CommitmentDiscountQuantity"] is not None:
            yield Check.COMMITMENT, "a status or a quantity without CommitmentDiscountId"
        if row["PricingCategory"] == "Committed":
            yield Check.COMMITMENT, "PricingCategory is Committed without CommitmentDiscountId"
        return
    if is_usage is not (status is not None):
        yield Check.COMMITMENT, f"CommitmentDiscountStatus is {status} on a row of {row['ChargeCategory']}"
    if row["CommitmentDiscountQuantity"] is None and row["ChargeClass"] is None:
        yield Check.COMMITMENT, "CommitmentDiscountQuantity is null (CommitmentDiscountQuantity-C-005)"
    if is_usage and row["PricingCategory"] != "Committed":
        yield Check.COMMITMENT, f"{row['PricingCategory']} pricing of what a commitment pays (PricingCategory-C-009)"
    if is_usage and _number(row, "BilledCost") != 0:
        yield Check.COMMITMENT, f"{lot_id} was paid before, and {row['BilledCost']} is billed (DiscountHandling-A-009)"


_ROW_CHECKS: Final[tuple[Callable[[Row], _Found], ...]] = (
    _periods, _currencies, _key_values, _pseudonyms, _together, _products, _priced, _categories, _commitments,
)  # fmt: skip


class _Whole:
    """What can only be seen over all rows. It keeps prices, lots and invoices, never rows."""

    def __init__(self) -> None:
        self.skus: dict[str, str] = {}
        self.prices: dict[tuple[str, str, str], str] = {}
        self.paid: dict[str, int] = {}
        self.used: dict[str, int] = {}
        self.billed: dict[str, int] = {}

    def add(self, row: Row) -> _Found:
        price_id, sku_id, digest = row["SkuPriceId"], row["SkuId"], row["x_PriceBookDigest"]
        if price_id is not None and sku_id is not None and self.skus.setdefault(price_id, sku_id) != sku_id:
            yield Check.ONE_SKU, f"{price_id} belongs to {self.skus[price_id]} and to {sku_id} (SkuPriceId-C-008)"
        if price_id is not None and digest is not None and row["ListUnitPrice"] is not None:
            first = self.prices.setdefault((price_id, digest, _text(row, "BillingCurrency")), row["ListUnitPrice"])
            if first != row["ListUnitPrice"]:
                yield Check.ONE_PRICE, f"{price_id} costs {first} and {row['ListUnitPrice']} in the same price book"
        lot_id = row["CommitmentDiscountId"]
        if lot_id is not None and row["ChargeCategory"] == "Purchase":
            self.paid[lot_id] = self.paid.get(lot_id, 0) + _number(row, "BilledCost")
        elif lot_id is not None:
            self.used[lot_id] = self.used.get(lot_id, 0) + _number(row, "EffectiveCost")
        if row["InvoiceId"] is not None:
            self.billed[row["InvoiceId"]] = self.billed.get(row["InvoiceId"], 0) + _number(row, "BilledCost")

    def totals(self, invoice_totals: Mapping[str, int] | None) -> _Found:
        for lot_id, paid in self.paid.items():
            used = self.used.get(lot_id, 0)
            if used > paid:
                yield (
                    Check.PREPAID_TOTAL,
                    f"{lot_id} cost {_shown(paid)} and {_shown(used)} of it is expense (DiscountHandling-A-011)",
                )
        if invoice_totals is None:
            return
        for invoice_id in sorted({*self.billed, *invoice_totals}):
            billed, total = self.billed.get(invoice_id, 0), invoice_totals.get(invoice_id)
            if total is None:
                yield Check.INVOICE_TOTAL, f"rows belong to {invoice_id}, which is no invoice that was given"
            elif billed != total * _NANO:
                yield Check.INVOICE_TOTAL, f"{invoice_id} is {text_from_nanos(total)}, its rows bill {_shown(billed)}"


def _text(row: Row, name: str) -> str:
    return row[name] or ""


def _number(row: Row, name: str) -> int:
    """The value in steps of 18 decimals, exactly; its form was checked before."""
    whole, _, digits = _text(row, name).removeprefix("-").partition(".")
    scaled = int(whole) * _ONE + int(digits.ljust(PRICE_DECIMALS, "0"))
    return -scaled if _text(row, name).startswith("-") else scaled


def _shown(number: int) -> str:
    return text_from_nanos(number // _NANO)


def _is_instant(text: str) -> bool:
    if _INSTANT.fullmatch(text) is None:
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    said = dict(pairs)
    if len(said) < len(pairs):
        raise ValueError("a key stands twice (KeyValueFormat-A-002)")
    return said
