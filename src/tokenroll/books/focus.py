"""Rows of FOCUS 1.2 cost and usage from lines of the ledger, and the file that they make (reference: books, §4.2 and 4.3).

A wallet is a sub-account under its pseudonym; a model is a resource; every meter has rows of its own, so that a token's direction
and cache action can be grouped by. Money is exact decimal text, because a float has no cents.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from tokenroll.books.cells import neutral
from tokenroll.books.focus_lines import (
    AccountCharge,
    Billing,
    Line,
    PrepaidLot,
    PrepaidPurchase,
    UnusedPrepaid,
    UsageLine,
    WalletType,
)  # fmt: skip
from tokenroll.books.focus_schema import COLUMN_NAMES, METER_FACTS, PRICE_DECIMALS, ChargeCategory
from tokenroll.model.amount import text_from_nanos
from tokenroll.model.instant import Instant, text_from_instant

Row: TypeAlias = Mapping[str, str | None]
"""Every column of a delivery by its name; None is a null, which a file shows as nothing at all."""
_Cells: TypeAlias = dict[str, str | None]
_PSEUDONYM_DIGITS: Final = 12
_NOTHING: Final = "0.0"


def focus_rows(lines: Iterable[Line]) -> Iterator[Row]:
    """One row for each line, in its order. Costs are the lines' nanos, unit prices the price book's attos, neither recomputed."""
    for line in lines:
        match line:
            case UsageLine():
                cells = _usage(line)
            case PrepaidPurchase():
                cells = _purchase(line)
            case UnusedPrepaid():
                cells = _unused(line)
            case AccountCharge():
                cells = _charge(line)
        yield {**dict.fromkeys(COLUMN_NAMES), **cells}


def focus_csv(rows: Iterable[Row]) -> Iterator[str]:
    """The file line by line, heading first (RFC 4180 but for the line ends of text files), so that a year of it needs no memory."""
    yield ",".join(COLUMN_NAMES) + "\n"
    for row in rows:
        yield ",".join(_cell(row[name]) for name in COLUMN_NAMES) + "\n"


def decimal_text(value: int, decimals: int) -> str:
    """`value ÷ 10^decimals` exactly, and always with a point: a column of integers is read as one of another type."""
    whole, rest = divmod(abs(value), 10**decimals)
    digits = f"{rest:0{decimals}d}".rstrip("0") if decimals else ""
    return f"{'-' if value < 0 else ''}{whole}.{digits or '0'}"


def wallet_name(wallet_id: str) -> str:
    """What a wallet is called here: a sub-account has to have a name (SubAccountName-C-005), and this one says no more than its id."""
    return f"Wallet {wallet_id[-_PSEUDONYM_DIGITS:]}"


def _usage(line: UsageLine) -> _Cells:
    facts = METER_FACTS[line.meter]
    sku_id = f"{line.billing.provider}/{line.model}/{line.meter}"
    long_context = f"/above-{line.input_tokens_above}" if line.input_tokens_above else ""
    details = {
        "x_Meter": line.meter.value,
        "x_ModelId": line.model,
        "x_ServiceTier": line.service_tier,
        **facts.details,
    }
    if line.input_tokens_above:
        details["x_InputTokensAbove"] = str(line.input_tokens_above)
    list_price = _price(line.list_price_attos, facts.pricing_power)
    contracted_price = _price(line.contracted_price_attos, facts.pricing_power)
    cells = {
        **_billing(line.billing, ChargeCategory.USAGE, line.start_at, line.until),
        **_wallet(line.wallet_id, line.wallet_type, line.tags),
        "ChargeClass": "Correction" if line.is_correction else None,
        "ChargeDescription": f"{facts.sku_meter} of {line.model}, service tier {line.service_tier}",
        "ChargeFrequency": "Usage-Based",
        "ConsumedQuantity": decimal_text(line.count, 0),
        "ConsumedUnit": facts.unit,
        "PricingQuantity": decimal_text(line.count, facts.pricing_power),
        "PricingUnit": facts.pricing_unit,
        "PricingCategory": "Standard",
        "ListUnitPrice": list_price,
        "ContractedUnitPrice": contracted_price,
        "ListCost": text_from_nanos(line.list_cost_nanos),
        "ContractedCost": text_from_nanos(line.contracted_cost_nanos),
        "EffectiveCost": text_from_nanos(line.effective_cost_nanos),
        "BilledCost": text_from_nanos(line.billed_cost_nanos),
        "PricingCurrencyListUnitPrice": list_price,
        "PricingCurrencyContractedUnitPrice": contracted_price,
        "PricingCurrencyEffectiveCost": text_from_nanos(line.effective_cost_nanos),
        "ResourceId": f"{line.billing.provider}/{line.model}",
        "ResourceName": line.model,
        "ResourceType": "Model",
        "SkuId": sku_id,
        "SkuMeter": facts.sku_meter,
        "SkuPriceId": f"{sku_id}/{line.service_tier}{long_context}",
        "SkuPriceDetails": _json(details),
        "x_CallCount": decimal_text(line.call_count, 0),
        "x_FundingLotId": line.funding_lot_id,
        "x_GrantId": line.grant_id,
        "x_PolicyVersion": line.policy_version,
        "x_PriceBookDigest": line.price_book_digest,
        "x_PriceBookVersion": line.price_book_version,
    }
    if line.credit_charge is not None:
        price = _price(line.credit_charge.price_attos, facts.pricing_power)
        cells["PricingCurrency"] = line.credit_charge.currency
        cells["PricingCurrencyListUnitPrice"] = cells["PricingCurrencyContractedUnitPrice"] = price
        cells["PricingCurrencyEffectiveCost"] = text_from_nanos(line.credit_charge.nanos)
    if line.prepaid_lot is not None:
        cells |= _commitment(line.prepaid_lot, line.billing.currency, line.contracted_cost_nanos, "Used")
        cells["PricingCategory"] = "Committed"
    return cells


def _purchase(line: PrepaidPurchase) -> _Cells:
    """The invoice has it now, the expense comes with the usage: EffectiveCost is 0 (EffectiveCost-C-005)."""
    return {
        **_billing(line.billing, ChargeCategory.PURCHASE, line.start_at, line.until),
        **_block(line.billing, line.lot),
        **_commitment(line.lot, line.billing.currency, line.lot.face_nanos, None),
        "ChargeDescription": f"Purchase of {line.lot.name}",
        "ChargeFrequency": "One-Time",
        "PricingCategory": "Standard",
        "PricingQuantity": "1.0",
        "ListCost": text_from_nanos(line.lot.face_nanos),
        "ContractedCost": text_from_nanos(line.lot.paid_nanos),
        "EffectiveCost": text_from_nanos(0),
        "BilledCost": text_from_nanos(line.lot.paid_nanos),
        "PricingCurrencyEffectiveCost": text_from_nanos(0),
    }


def _unused(line: UnusedPrepaid) -> _Cells:
    """Expense without usage: nothing is priced, nothing is billed, EffectiveCost is what was lost (DiscountHandling-A-017 to 019)."""
    return {
        **_billing(line.billing, ChargeCategory.USAGE, line.start_at, line.until),
        **_block(line.billing, line.lot),
        **_commitment(line.lot, line.billing.currency, line.unused_nanos, "Unused"),
        "ChargeDescription": f"Unused part of {line.lot.name}",
        "ChargeFrequency": "Usage-Based",
        "PricingCategory": "Committed",
        "PricingQuantity": _NOTHING,
        "ListCost": text_from_nanos(0),
        "ContractedCost": text_from_nanos(0),
        "EffectiveCost": text_from_nanos(line.effective_cost_nanos),
        "BilledCost": text_from_nanos(0),
        "PricingCurrencyEffectiveCost": text_from_nanos(line.effective_cost_nanos),
    }


def _charge(line: AccountCharge) -> _Cells:
    charge = line.credit_charge
    return {
        **_billing(line.billing, line.category, line.start_at, line.until),
        **({} if line.wallet_id is None else _wallet(line.wallet_id, line.wallet_type, {})),
        "Tags": _json(line.tags) if line.tags else None,
        "ChargeClass": "Correction" if line.is_correction else None,
        "ChargeDescription": line.description,
        "ChargeFrequency": "One-Time",
        "ListCost": text_from_nanos(line.list_cost_nanos),
        "ContractedCost": text_from_nanos(line.contracted_cost_nanos),
        "EffectiveCost": text_from_nanos(line.effective_cost_nanos),
        "BilledCost": text_from_nanos(line.billed_cost_nanos),
        "PricingCurrency": charge.currency if charge else line.billing.currency,
        "PricingCurrencyEffectiveCost": text_from_nanos(charge.nanos if charge else line.effective_cost_nanos),
    }


def _billing(billing: Billing, category: ChargeCategory, start_at: Instant, until: Instant) -> _Cells:
    return {
        "BillingAccountId": billing.account_id,
        "BillingAccountName": billing.account_name,
        "BillingAccountType": billing.account_type,
        "BillingCurrency": billing.currency,
        "BillingPeriodStart": text_from_instant(billing.period_start_at),
        "BillingPeriodEnd": text_from_instant(billing.period_until),
        "ChargeCategory": category.value,
        "ChargePeriodStart": text_from_instant(start_at),
        "ChargePeriodEnd": text_from_instant(until),
        "InvoiceId": billing.invoice_id,
        "InvoiceIssuerName": billing.invoice_issuer,
        "PricingCurrency": billing.currency,
        "ProviderName": billing.provider,
        "PublisherName": billing.publisher,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": billing.service,
        "ServiceSubcategory": "Generative AI",
    }


def _wallet(wallet_id: str, wallet_type: WalletType, tags: Mapping[str, str]) -> _Cells:
    return {
        "SubAccountId": wallet_id,
        "SubAccountName": wallet_name(wallet_id),
        "SubAccountType": wallet_type.value,
        "Tags": _json(tags) if tags else None,
    }


def _block(billing: Billing, lot: PrepaidLot) -> _Cells:
    """A prepaid block as what is sold: one of it costs its face value by list, and what was agreed by contract."""
    face, paid = _price_of_nanos(lot.face_nanos), _price_of_nanos(lot.paid_nanos)
    return {
        "PricingUnit": "Blocks",
        "ListUnitPrice": face,
        "ContractedUnitPrice": paid,
        "PricingCurrencyListUnitPrice": face,
        "PricingCurrencyContractedUnitPrice": paid,
        "ResourceId": lot.lot_id,
        "ResourceName": lot.name,
        "ResourceType": "Prepaid block",
        "SkuId": f"{billing.provider}/prepaid",
        "SkuMeter": "Prepaid Blocks",
        "SkuPriceId": f"{billing.provider}/prepaid/{lot.lot_id}",
    }


def _commitment(lot: PrepaidLot, currency: str, nanos: int, status: str | None) -> _Cells:
    """How much of a block's face was bought, used or lost, in the currency that it is measured in."""
    return {
        "CommitmentDiscountCategory": "Spend",
        "CommitmentDiscountId": lot.lot_id,
        "CommitmentDiscountName": lot.name,
        "CommitmentDiscountQuantity": text_from_nanos(nanos),
        "CommitmentDiscountStatus": status,
        "CommitmentDiscountType": "Prepaid block",
        "CommitmentDiscountUnit": currency,
    }


def _price(attos: int, pricing_power: int) -> str:
    return decimal_text(attos * 10**pricing_power, PRICE_DECIMALS)


def _price_of_nanos(nanos: int) -> str:
    return text_from_nanos(nanos, 1)


def _json(said: Mapping[str, str]) -> str:
    return json.dumps(dict(said), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _cell(value: str | None) -> str:
    if value is None:
        return ""
    text = neutral(value)
    if any(mark in text for mark in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
