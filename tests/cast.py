"""Makers of nouns for tests: the cast is Ada (engineer), Bo (her manager), Cleo (finance), Dev (HR) and the Nightly agent.

Every default is a literal, so that a test names only what it is about.
"""

from datetime import UTC, datetime
from typing import Any

from tokenroll.model.classification import Classification
from tokenroll.model.grant import Grant, GrantKind
from tokenroll.model.hold import Hold, Slice
from tokenroll.model.identifier import HoldKey
from tokenroll.model.instant import Instant, instant_from_datetime
from tokenroll.model.lot import Lot, LotState
from tokenroll.model.plan import Plan
from tokenroll.model.rate_card import RateCard, RateTable
from tokenroll.model.settlement import Settlement
from tokenroll.model.usage import Meter, Usage, UsageSource
from tokenroll.model.vesting import Period, PeriodUnit, Vesting, VestingKind

CREDIT = 1_000_000_000
DAY = 86_400_000_000
HOUR = 3_600_000_000
T0: Instant = 1_704_067_200_000_000  # 2024-01-01T00:00:00Z
ADA_WALLET, BO_WALLET, NIGHTLY_WALLET, POOL_WALLET = 1, 2, 3, 9
PLAN = 1


def utc(text: str) -> Instant:
    """The instant of a UTC date and time: `utc("2026-01-31T09:00")`."""
    return instant_from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


def monthly(months: int, cliff_months: int = 0, **changes: Any) -> Vesting:
    """So many months, nothing before the cliff."""
    month = Period(count=1, unit=PeriodUnit.MONTH)
    return Vesting(
        kind=VestingKind.PERIODIC, period=month, occurrences=months, cliff_occurrences=cliff_months, **changes
    )


def make_grant(**changes: Any) -> Grant:
    facts: dict[str, Any] = {
        "id": 1,
        "public_id": "grant_00000000000000000000000000000001",
        "wallet_id": ADA_WALLET,
        "plan_id": PLAN,
        "kind": GrantKind.STIPEND,
        "classification": Classification.TOOL,
        "amount_nanos": 100 * CREDIT,
        "effective_at": T0,
        "recorded_at": T0,
    }
    return Grant(**facts | changes)


def make_plan(**changes: Any) -> Plan:
    facts: dict[str, Any] = {
        "id": 1,
        "public_id": "plan_00000000000000000000000000000001",
        "name": "engineer-stipend",
        "version": 1,
        "kind": GrantKind.STIPEND,
        "classification": Classification.TOOL,
        "amount_nanos": 150 * CREDIT,
        "effective_at": 0,
    }
    return Plan(**facts | changes)


def make_lot(**changes: Any) -> Lot:
    facts: dict[str, Any] = {
        "id": 1,
        "grant_id": 1,
        "wallet_id": ADA_WALLET,
        "classification": Classification.TOOL,
        "priority": 100,
        "amount_nanos": 100 * CREDIT,
        "effective_at": T0,
        "expires_at": None,
    }
    return Lot(**facts | changes)


def make_state(*, held: int = 0, suspense: int = 0, spent: int = 0, **lot: Any) -> LotState:
    return LotState(lot=make_lot(**lot), held_nanos=held, suspense_nanos=suspense, spent_nanos=spent)


def make_hold(sequence: int, *slices: tuple[int, int], **changes: Any) -> Hold:
    facts: dict[str, Any] = {
        "key": HoldKey(1, 1, sequence),
        "call_number": sequence,
        "attempt": 1,
        "wallet_id": ADA_WALLET,
        "api_key_id": 1,
        "rate_card_id": 1,
        "bound_nanos": sum(nanos for _, nanos in slices),
        "slices": tuple(Slice(lot_id, nanos) for lot_id, nanos in slices),
        "admitted_at": T0,
    }
    return Hold(**facts | changes)


def make_settlement(sequence: int, *consumed: tuple[int, int], **changes: Any) -> Settlement:
    charge = sum(nanos for _, nanos in consumed)
    facts: dict[str, Any] = {
        "key": HoldKey(1, 1, sequence),
        "usage": Usage(input_tokens=1000, output_tokens=200),
        "usage_source": UsageSource.REPORTED,
        "service_tier": "standard",
        "charge_nanos": charge,
        "list_cost_nanos": charge,
        "net_cost_nanos": charge,
        "consumed": tuple(Slice(lot_id, nanos) for lot_id, nanos in consumed),
        "settled_at": T0 + HOUR,
    }
    return Settlement(**facts | changes)


# 3 credits per million input tokens, 15 per million output, cached reads at a tenth, writes at 1.25 and 2 times the input
SONNET_RATES = {
    Meter.INPUT: 3 * 10**12,
    Meter.CACHE_READ: 3 * 10**11,
    Meter.CACHE_WRITE_5M: 375 * 10**10,
    Meter.CACHE_WRITE_1H: 6 * 10**12,
    Meter.OUTPUT: 15 * 10**12,
    Meter.WEB_SEARCH: 10**16,
}


def make_card(table: RateTable | None = None, **changes: Any) -> RateCard:
    prices = {"standard": table or RateTable(base=SONNET_RATES)}
    facts: dict[str, Any] = {
        "id": 1,
        "public_id": "ratecard_00000000000000000000000000000001",
        "provider": "anthropic",
        "model": "sonnet",
        "aliases": (),
        "effective_at": T0,
        "recorded_at": T0,
        "currency": "USD",
        "list_prices": prices,
        "net_prices": prices,
        "internal_prices": prices,
        "context_window_tokens": 200_000,
        "output_tokens_max": 64_000,
        "source": "test",
        "digest": "",
        "overhead_tokens_per_message": 16,
        "overhead_tokens_per_request_with_tools": 512,
        "overhead_tokens_per_tool": 32,
    }
    return RateCard(**facts | changes)
