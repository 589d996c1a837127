"""January of a small firm as FOCUS sees it: what was used, bought, lost, credited, corrected and rounded, under pseudonyms.

Anthropic invoices in arrears, at a tenth off its list. OpenAI's usage draws on a block of 500 USD that cost 450; of an older block,
10 USD expired. Two calls of Bo are rounded down by half a nano each: that nano is the only difference between a cost and its product.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tokenroll.books.focus import focus_rows
from tokenroll.books.focus_checks import Check
from tokenroll.books.focus_lines import (
    AccountCharge,
    Billing,
    CreditCharge,
    Line,
    PrepaidLot,
    PrepaidPurchase,
    UnusedPrepaid,
    UsageLine,
    WalletType,
)
from tokenroll.books.focus_schema import ChargeCategory
from tokenroll.model.instant import Instant, instant_from_datetime
from tokenroll.model.usage import Meter

ADA_INPUT, BO_CACHE_READ, CLEO_SEARCHES = 1, 5, 8
PURCHASE, UNUSED, CREDIT, CORRECTION, TAX, ADJUSTMENT = 10, 11, 12, 13, 14, 15
"""Row numbers of January."""
GOLDEN = Path(__file__).with_name("papers") / "focus_january.csv"
ADA = "wallet_0191e3a0000000000000000000000ada"
BO = "wallet_0191e3a00000000000000000000000b0"
CLEO = "wallet_0191e3a00000000000000000000c1e00"
NIGHTLY = "wallet_0191e3a0000000000000000000009197"
CLAUDE_PRICES, NANO_PRICES = "a" * 64, "b" * 64
INVOICE_TOTALS = {"ANT-2026-01": 5_630_000_000, "OAI-2026-0107": 450_000_000_000}


def at(month: int, day: int, hour: int = 0, year: int = 2026) -> Instant:
    return instant_from_datetime(datetime(year, month, day, hour, tzinfo=UTC))


def billing(provider: str, invoice_id: str | None) -> Billing:
    return Billing(
        account_id=f"org-{provider.lower()}-acme",
        account_name="Acme",
        invoice_issuer=provider,
        provider=provider,
        publisher=provider,
        service=f"{provider} API",
        currency="USD",
        period_start_at=at(1, 1),
        period_until=at(2, 1),
        invoice_id=invoice_id,
    )


ANTHROPIC = billing("Anthropic", "ANT-2026-01")
OPENAI = billing("OpenAI", None)
OPENAI_PURCHASES = billing("OpenAI", "OAI-2026-0107")
BLOCK = PrepaidLot(lot_id="openai-block-7", name="OpenAI block 7", face_nanos=500 * 10**9, paid_nanos=450 * 10**9)
OLD_BLOCK = PrepaidLot(lot_id="openai-block-6", name="OpenAI block 6", face_nanos=100 * 10**9, paid_nanos=90 * 10**9)


def ada(meter: Meter, count: int, list_attos: int, list_nanos: int, net_nanos: int, **changes: Any) -> UsageLine:
    """A day of Ada's on Claude, at a tenth off the list; what is contracted is expense and is billed."""
    facts: dict[str, Any] = {
        "billing": ANTHROPIC,
        "wallet_id": ADA,
        "start_at": at(1, 5),
        "until": at(1, 6),
        "model": "claude-sonnet-4-5",
        "meter": meter,
        "count": count,
        "call_count": 10,
        "list_price_attos": list_attos,
        "contracted_price_attos": list_attos * 9 // 10,
        "list_cost_nanos": list_nanos,
        "contracted_cost_nanos": net_nanos,
        "effective_cost_nanos": net_nanos,
        "billed_cost_nanos": net_nanos,
        "grant_id": "grant_0191e3a0000000000000000000000001",
        "policy_version": "tools/3",
        "funding_lot_id": "lot_0191e3a0000000000000000000000001",
        "price_book_version": "2026-01-01",
        "price_book_digest": CLAUDE_PRICES,
        "tags": {"cost_center": "R&D", "project": "atlas"},
    }
    return UsageLine(**facts | changes)


def bo(meter: Meter, count: int, price_attos: int, cost_nanos: int, effective_nanos: int, **changes: Any) -> UsageLine:
    """An hour of Bo's batches, paid by the block: expense at what the block cost, and nothing is billed."""
    facts: dict[str, Any] = {
        "billing": OPENAI,
        "wallet_id": BO,
        "start_at": at(1, 6, 14),
        "until": at(1, 6, 15),
        "model": "gpt-5-nano",
        "service_tier": "batch",
        "call_count": 2,
        "contracted_price_attos": price_attos,
        "effective_cost_nanos": effective_nanos,
        "billed_cost_nanos": 0,
        "prepaid_lot": BLOCK,
        "grant_id": "grant_0191e3a0000000000000000000000002",
        "funding_lot_id": "lot_0191e3a0000000000000000000000002",
        "price_book_digest": NANO_PRICES,
        "tags": {"project": 'the "blue" one, phase 2'},
    }
    return ada(meter, count, price_attos, cost_nanos, cost_nanos, **facts | changes)


def account_charge(category: ChargeCategory, description: str, nanos: int, **changes: Any) -> AccountCharge:
    """A charge of January by Anthropic, the same by every price."""
    facts: dict[str, Any] = dict.fromkeys(
        ("list_cost_nanos", "contracted_cost_nanos", "effective_cost_nanos", "billed_cost_nanos"), nanos
    )
    facts |= {"billing": ANTHROPIC, "start_at": at(1, 1), "until": at(2, 1)}
    return AccountCharge(category=category, description=description, **facts | changes)


def story_lines(*, credit: str = "") -> list[Line]:
    """January; with `credit`, Ada's input is charged to her wallet in a virtual currency of that name, 1 credit for 1 USD of list."""
    charge: dict[str, Any] = (
        {"credit_charge": CreditCharge(nanos=3_600_000_000, price_attos=3 * 10**12, currency=credit)} if credit else {}
    )
    return [
        ada(Meter.INPUT, 1_200_000, 3 * 10**12, 3_600_000_000, 3_240_000_000, **charge),
        ada(Meter.CACHE_READ, 400_000, 3 * 10**11, 120_000_000, 108_000_000),
        ada(Meter.CACHE_WRITE_5M, 100_000, 375 * 10**10, 375_000_000, 337_500_000),
        ada(Meter.OUTPUT, 80_000, 15 * 10**12, 1_200_000_000, 1_080_000_000),
        bo(Meter.CACHE_READ, 2_002, 25 * 10**8, 5_004, 4_504),
        bo(Meter.OUTPUT, 1_000_000, 2 * 10**11, 200_000_000, 180_000_000),
        bo(Meter.REASONING, 500_000, 2 * 10**11, 100_000_000, 90_000_000),
        ada(
            Meter.WEB_SEARCH, 3, 10**16, 30_000_000, 30_000_000,
            wallet_id=CLEO, contracted_price_attos=10**16, call_count=1, tags={},
        ),
        ada(
            Meter.INPUT, 250_000, 6 * 10**12, 1_500_000_000, 1_350_000_000,
            wallet_id=NIGHTLY, wallet_type=WalletType.SERVICE, input_tokens_above=200_000, call_count=1,
        ),
        PrepaidPurchase(billing=OPENAI_PURCHASES, lot=BLOCK, start_at=at(1, 1), until=at(1, 1, year=2027)),
        UnusedPrepaid(
            billing=OPENAI, lot=OLD_BLOCK, start_at=at(1, 1), until=at(1, 2),
            unused_nanos=10 * 10**9, effective_cost_nanos=9 * 10**9,
        ),
        account_charge(ChargeCategory.CREDIT, "Credit for the outage of 12 January", -1_000_000_000),
        ada(
            Meter.OUTPUT, -1_000, 15 * 10**12, -15_000_000, -13_500_000,
            start_at=at(12, 8, year=2025), until=at(12, 9, year=2025), call_count=1, is_correction=True,
        ),
        account_charge(ChargeCategory.TAX, "Sales tax", 500_000_000),
        account_charge(ChargeCategory.ADJUSTMENT, "Rounding of the invoice to cents", -2_000_000),
    ]  # fmt: skip


def story_rows(**changes: str) -> list[dict[str, Any]]:
    return [dict(row) for row in focus_rows(story_lines(**changes))]


def mutated(row_number: int, changes: dict[str, Any]) -> list[dict[str, Any]]:
    """January with changes in one row; `...` takes a column away."""
    rows = story_rows()
    row = rows[row_number - 1] | changes
    rows[row_number - 1] = {name: value for name, value in row.items() if value is not ...}
    return rows


MISSED_BY_THE_VALIDATOR: dict[str, tuple[int, dict[str, Any], Check]] = {
    "one bad PricingCategory among good rows": (ADA_INPUT, {"PricingCategory": "Cheap"}, Check.ALLOWED_VALUE),
    "one bad ChargeCategory": (ADJUSTMENT, {"ChargeCategory": "Rounding"}, Check.ALLOWED_VALUE),
    "ListCost is not price × quantity": (ADA_INPUT, {"ListCost": "3.700000000"}, Check.LIST_COST),
    "ContractedCost is not price × quantity": (ADA_INPUT, {"ContractedCost": "3.140000000"}, Check.CONTRACTED_COST),
    "a date without time and Z": (ADA_INPUT, {"ChargePeriodStart": "2026-01-05"}, Check.INSTANT),
    "a charge period that ends before it starts": (ADA_INPUT, {"ChargePeriodEnd": "2026-01-04T00:00:00Z"}, Check.PERIOD),
    "a custom column without x_": (ADA_INPUT, {"TeamName": "Blue"}, Check.CUSTOM_COLUMN),
    "a key of SkuPriceDetails without x_": (ADA_INPUT, {"SkuPriceDetails": '{"ModelId":"claude"}'}, Check.SKU_PRICE_KEY),
}  # fmt: skip
"""What the official validator lets pass, by one defect in one row (reference: books, §4.4)."""
