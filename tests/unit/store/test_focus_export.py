"""A month of Bo and the Nightly agent as FOCUS: the ledger's own amounts, every row right, nobody named."""

from datetime import date

import pytest

from tests.firm import CREDIT, DAY, HOUR, JANUARY, Firm
from tokenroll.books.focus import focus_csv, focus_rows
from tokenroll.books.focus_checks import check_rows
from tokenroll.books.focus_lines import AccountCharge, UsageLine, WalletType
from tokenroll.model.usage import Meter
from tokenroll.services.focus_export import focus_lines
from tokenroll.store.attempt_record import SettleRecord, pack_settle

MONTH = date(2026, 1, 1)


@pytest.fixture
def firm() -> Firm:
    one = Firm()
    one.do("ratecard.import", providers=["openai"], models=["gpt-5-mini"])
    one.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT)
    one.hire("Bo")
    one.do("member.create", name="Nightly agent", department="Engineering", zone="UTC", kind="service")
    for number, name in enumerate(("Bo", "Nightly agent"), 1):
        one.do("grant.create", to=name, plan="tools")
        one.do(
            "key.create", member=name, name="k", scope="inference", secret_hash=f"{number:064x}", shown_prefix="tr-…"
        )
    return one


def used(firm: Firm, name: str, key: int, at: int, cost_nanos: int, **counts: int) -> None:
    """A call of gpt-5-mini, which costs 0.25 USD a million in, 0.025 read, 2 out."""
    from tokenroll.model.usage import Usage

    firm.now = at
    sequence = firm.hold(name, (firm.lot_ids(name)[0], CREDIT), key=key)
    settle = SettleRecord(
        at + 9, at + 5, cost_nanos, cost_nanos, cost_nanos, 200, 1, 2, "standard", 0, 200, 1, 0, Usage(**counts).counts
    )
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


def test_what_a_bill_made_dearer_is_a_charge_of_its_own(firm: Firm):
    used(firm, "Bo", 1, JANUARY + HOUR, 260_000, input_tokens=1000)
    firm.connection.rollback()
    lines = list(focus_lines(firm.connection, MONTH))
    assert check_rows(focus_rows(lines)) == []
    usage, beside = lines
    assert isinstance(usage, UsageLine)
    assert isinstance(beside, AccountCharge)
    assert (usage.billed_cost_nanos, beside.cost_nanos) == (250_000, 10_000)


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
