"""A month of Bo and the Nightly agent as FOCUS: the ledger's own amounts, every row right, nobody named."""

from datetime import date

import pytest

from tests.firm import CREDIT, DAY, HOUR, JANUARY, Firm
from tokenroll.books.focus import focus_csv, focus_rows
from tokenroll.books.focus_checks import check_rows
from tokenroll.books.focus_lines import AccountCharge, Line, UsageLine, WalletType
from tokenroll.model.usage import Meter
from tokenroll.services.focus_export import focus_lines
from tokenroll.store.attempt_record import SettleRecord, pack_settle

MONTH = date(2026, 1, 1)


@pytest.fixture
def firm() -> Firm:
    one = Firm()
    one.do("ratecard.import", providers=["openai"], models=["gpt-5-mini"])
    return staffed(one)


@pytest.fixture
def contracted() -> Firm:
    """Its model costs 1 USD a million in at list, a tenth less by contract, and half as many credits; flex is listed nowhere."""
    one = Firm()
    card = {
        "provider": "ours", "model": "small", "prices": {"standard": {"input": "1"}}, "net_prices": {"standard": {"input": "0.9"}},
        "internal_prices": {"standard": {"input": "0.5"}, "flex": {"input": "0.25"}}, "context_window_tokens": 32_768,
    }  # fmt: skip
    one.do("ratecard.set", card=card)
    return staffed(one)


def staffed(one: Firm) -> Firm:
    """Bo and the Nightly agent with a grant and a key each."""
    one.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT)
    one.hire("Bo")
    one.do("member.create", name="Nightly agent", department="Engineering", zone="UTC", kind="service")
    for number, name in enumerate(("Bo", "Nightly agent"), 1):
        one.do("grant.create", to=name, plan="tools")
        one.do(
            "key.create", member=name, name="k", scope="inference", secret_hash=f"{number:064x}", shown_prefix="tr-…"
        )
    return one


def used(
    firm: Firm,
    name: str,
    key: int,
    at: int,
    cost_nanos: int,
    *,
    net_nanos: int | None = None,
    charge_nanos: int | None = None,
    tier: str = "standard",
    **counts: int,
) -> None:
    """A call of gpt-5-mini, which costs 0.25 USD a million in, 0.025 read, 2 out; the same net and in credits unless told otherwise."""
    from tokenroll.model.usage import Usage

    firm.now = at
    sequence = firm.hold(name, (firm.lot_ids(name)[0], CREDIT), key=key)
    settle = SettleRecord(
        at + 9, at + 5, cost_nanos if charge_nanos is None else charge_nanos, cost_nanos, cost_nanos if net_nanos is None else net_nanos,
        200, 1, 2, tier, 0, 200, 1, 0, Usage(**counts).counts,
    )  # fmt: skip
    firm._report([pack_settle(sequence, settle)])


def told(firm: Firm) -> list[UsageLine]:
    firm.connection.rollback()
    lines = list(focus_lines(firm.connection, MONTH))
    assert check_rows(focus_rows(lines)) == []
    return [line for line in lines if isinstance(line, UsageLine)]


def test_a_call_is_a_line_for_each_of_its_meters_and_their_sum_is_the_ledgers(firm: Firm):
    # 1,000 x 0.25 + 2,001 x 0.025 + 101 x 2 USD a million: 250,000 + 50,025 + 202,000 nanos
    used(firm, "Bo", 1, JANUARY + HOUR, 502_025, input_tokens=1000, cache_read_tokens=2001, output_tokens=101)
    lines = told(firm)
    assert [(line.meter, line.count, line.list_cost_nanos, line.billed_cost_nanos) for line in lines] == [
        (Meter.INPUT, 1000, 250_000, 250_000),
        (Meter.CACHE_READ, 2001, 50_025, 50_025),
        (Meter.OUTPUT, 101, 202_000, 202_000),
    ]
    assert {line.wallet_type for line in lines} == {WalletType.EMPLOYEE}
    assert {line.policy_version for line in lines} == {"tools v1"}
    assert all(line.grant_id and line.funding_lot_id for line in lines)


def test_calls_of_one_day_and_price_are_one_line(firm: Firm):
    used(firm, "Bo", 1, JANUARY + HOUR, 250_000, input_tokens=1000)
    used(firm, "Bo", 1, JANUARY + 2 * HOUR, 500_000, input_tokens=2000)
    used(firm, "Nightly agent", 2, JANUARY + 2 * HOUR, 250, input_tokens=1)
    used(firm, "Bo", 1, JANUARY + DAY, 250, input_tokens=1)
    lines = told(firm)
    assert [(line.call_count, line.count, line.list_cost_nanos, line.wallet_type) for line in lines] == [
        (2, 3000, 750_000, WalletType.EMPLOYEE),
        (1, 1, 250, WalletType.SERVICE),
        (1, 1, 250, WalletType.EMPLOYEE),
    ]


def test_rounding_is_shared_so_that_no_meter_is_a_nano_off(firm: Firm):
    # 2 read at 25 nanos and 1 in at 250: exact; three calls of one read each are 25 nanos each
    for hour in range(3):
        used(firm, "Bo", 1, JANUARY + hour * HOUR, 275, input_tokens=1, cache_read_tokens=1)
    assert [(line.meter, line.list_cost_nanos) for line in told(firm)] == [(Meter.INPUT, 750), (Meter.CACHE_READ, 75)]


def columns(lines: list[Line]) -> list[tuple[str | None, ...]]:
    """The day, the four costs and what the wallet was charged, as the file has them."""
    rows = list(focus_rows(lines))
    assert check_rows(rows) == []
    names = (
        "ChargeCategory", "ListCost", "ContractedCost", "EffectiveCost", "BilledCost", "PricingCurrency", "PricingCurrencyEffectiveCost",
    )  # fmt: skip
    return [(str(row["ChargePeriodStart"])[:10], *(row[name] for name in names)) for row in rows]


def test_each_cost_is_adjusted_by_what_its_own_prices_do_not_explain(contracted: Firm):
    """By hand, of a thousand model tokens: 0.001 USD at list, 0.0009 by contract, 0.0005 credits."""
    # a meter without a price was estimated: 30,000 nanos at list, 25,000 net, 12,000 in credits
    used(contracted, "Bo", 1, JANUARY + HOUR, 1_030_000, net_nanos=925_000, charge_nanos=512_000, input_tokens=1000)
    # two thousand, of which the hold was 10,000 nanos of credits short
    used(
        contracted, "Bo", 1, JANUARY + 2 * HOUR, 2_000_000, net_nanos=1_800_000, charge_nanos=990_000, input_tokens=2000
    )
    # the list cost alone, 1,000 nanos less
    used(contracted, "Bo", 1, JANUARY + DAY, 999_000, net_nanos=900_000, charge_nanos=500_000, input_tokens=1000)
    contracted.connection.rollback()
    assert columns(list(focus_lines(contracted.connection, MONTH))) == [
        ("2026-01-01", "Usage", "0.003000000", "0.002700000", "0.002700000", "0.002700000", "Credits", "0.001500000"),
        ("2026-01-02", "Usage", "0.001000000", "0.000900000", "0.000900000", "0.000900000", "Credits", "0.000500000"),
        ("2026-01-01", "Adjustment", "0.000030000", "0.000025000", "0.000025000", "0.000025000", "Credits", "0.000002000"),
        ("2026-01-02", "Adjustment", "-0.000001000", "0.000000000", "0.000000000", "0.000000000", "Credits", "0.000000000"),
    ]  # fmt: skip


def test_a_tier_that_is_not_listed_costs_what_is_charged_for_it(contracted: Firm):
    """Settlements take it so; at the standard price of the list, 750 nanos of each thousand would be no price's."""
    used(contracted, "Bo", 1, JANUARY + HOUR, 250_000, tier="flex", input_tokens=1000)
    contracted.connection.rollback()
    assert columns(list(focus_lines(contracted.connection, MONTH))) == [
        ("2026-01-01", "Usage", "0.000250000", "0.000250000", "0.000250000", "0.000250000", "Credits", "0.000250000")
    ]


def test_what_a_call_cost_beyond_its_prices_is_a_charge_of_its_own(firm: Firm):
    used(firm, "Bo", 1, JANUARY + HOUR, 260_000, input_tokens=1000)
    firm.connection.rollback()
    lines = list(focus_lines(firm.connection, MONTH))
    assert check_rows(focus_rows(lines)) == []
    usage, beside = lines
    assert isinstance(usage, UsageLine)
    assert isinstance(beside, AccountCharge)
    assert columns(lines) == [
        ("2026-01-01", "Usage", "0.000250000", "0.000250000", "0.000250000", "0.000250000", "USD", "0.000250000"),
        ("2026-01-01", "Adjustment", "0.000010000", "0.000010000", "0.000010000", "0.000010000", "USD", "0.000010000"),
    ]


def test_nobody_is_named(firm: Firm):
    used(firm, "Nightly agent", 2, JANUARY + HOUR, 250_000, input_tokens=1000)
    firm.connection.rollback()
    text = "".join(focus_csv(focus_rows(focus_lines(firm.connection, MONTH))))
    assert "Nightly" not in text
    assert "wallet_" in text


def test_another_month_is_empty(firm: Firm):
    used(firm, "Bo", 1, JANUARY + HOUR, 250_000, input_tokens=1000)
    firm.connection.rollback()
    assert list(focus_lines(firm.connection, date(2026, 2, 1))) == []
