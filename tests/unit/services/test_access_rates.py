"""How fast a plan gives access: calls and model tokens of the last minute, counted where calls are admitted."""

import json

import pytest

from tests.cast import CREDIT, DAY, HOUR, T0
from tests.desk import CHAT, Desk, lot, make_facts, wallet
from tests.firm import JANUARY, Firm
from tokenroll.gateway.telling import special_lines
from tokenroll.model.hold import ReleaseReason
from tokenroll.model.instant import MICROS_PER_SECOND as SECOND
from tokenroll.services.hot import HotHold
from tokenroll.services.leasing import lease_parts
from tokenroll.services.protocol import Delta
from tokenroll.store import tape as tapes
from tokenroll.upstream.anthropic import Messages

MIDNIGHT = T0 + 3 * DAY
NOON = MIDNIGHT - 12 * HOUR


def test_the_third_call_of_a_minute_waits_for_the_first_to_be_a_minute_old(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT), calls_per_minute_max=2))
    assert isinstance(desk.admit(), HotHold)
    desk.now += 20 * SECOND
    assert isinstance(desk.admit(), HotHold)
    answer = desk.admit()
    assert (answer.code, answer.retry_after_millis) == ("limit_reached", 41_000)
    assert "The limit calls-per-minute (the plan of Ada) has 0 calls left in the last 60 seconds" in answer.sentence()
    assert answer.sentence().endswith(
        "How fast calls may come, the plan says; another plan can be approved by whoever runs the gateway."
    )
    for dialect, kind in ((CHAT, "requests"), (Messages(), "rate_limit_error")):
        told = dialect.denial(answer)
        assert (told.status, json.loads(told.body)["error"]["type"]) == (429, kind)
    desk.now += 41 * SECOND
    assert isinstance(desk.admit(), HotHold)


def test_tokens_are_counted_by_their_bound_until_they_are_known(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT), tokens_per_minute_max=3_000))
    facts = make_facts(input_bytes=1_000, output_cap_tokens=1_000)
    first = desk.admit(facts)
    assert isinstance(first, HotHold)
    refused = desk.admit(facts)
    assert (refused.code, refused.limit) == ("limit_reached", "model-tokens-per-minute")
    desk.dispatch(first)
    desk.settle(first, input=100, output=10, request=1)
    assert isinstance(desk.admit(facts), HotHold)


@pytest.mark.parametrize(
    ("rate", "first", "second", "refusal"),
    [
        # 1,016 tokens are bounded in, and 1,000 out; what is read from the cache does not count, what is written to it does
        ("input_tokens_per_minute_max", {"input": 10, "cache_read": 970, "output": 900}, True, ""),
        ("input_tokens_per_minute_max", {"input": 10, "cache_write_5m": 970, "output": 9}, False, "1016 input tokens"),
        ("output_tokens_per_minute_max", {"input": 980, "output": 20}, True, ""),
        ("output_tokens_per_minute_max", {"input": 0, "output": 400, "reasoning": 500}, False, "1000 output tokens"),
    ],
)
def test_input_and_output_are_each_trued_up_by_their_own(tmp_path, rate, first, second, refusal):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT), **{rate: 1_100}))
    facts = make_facts(input_bytes=1_000, output_cap_tokens=1_000)
    desk.call(facts, **first)
    answer = desk.admit(facts)
    assert isinstance(answer, HotHold) == second
    if not second:
        assert f"this call may take up to {refusal}." in answer.sentence()
        assert answer.fitting_cap_tokens == 0


def test_a_rate_shortens_nobodys_answer(tmp_path):
    """The cap that we name is what it is without the rate; only the call that does not fit any more is refused."""
    for most, caps in ((0, [16_384, 16_384, 16_384]), (40_000, [16_384, 16_384])):
        desk = Desk(tmp_path / str(most), wallet(lot(1, 100 * CREDIT), tokens_per_minute_max=most))
        holds = [desk.admit(make_facts(output_cap_tokens=0)) for _ in range(3)]
        assert [one.output_tokens_max for one in holds if isinstance(one, HotHold)] == caps


def test_a_call_that_was_never_sent_counts_no_more(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT), calls_per_minute_max=1))
    desk.spending.release(desk.admit(), ReleaseReason.NOT_SENT, desk.now)
    assert isinstance(desk.admit(), HotHold)


def test_no_counter_of_the_ledger_knows_of_it(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT), calls_per_minute_max=2))
    hold = desk.admit()
    assert len(hold.limited.limits) == 1
    assert hold.limited.record() == b""
    (record,) = [record for kind, record in desk.records() if kind in tapes.HOLDS]
    assert record[1] & tapes.HOLD_LIMITED == 0


@pytest.mark.parametrize("enforcement", ["observe", "warn"])
def test_where_nothing_is_enforced_a_call_too_many_is_recorded_and_refuses_nobody(tmp_path, enforcement):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT), calls_per_minute_max=1, enforcement=enforcement))
    assert not desk.admit().would_deny
    second = desk.admit()
    assert (second.would_deny, second.company_nanos) == (True, 0)
    assert (b"x-tokenroll-limit: calls-per-minute; would-deny" in special_lines(second)) == (enforcement == "warn")
    assert b"gives no access" not in special_lines(second)


def test_the_plans_next_version_changes_the_rate_and_not_what_was_counted(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT), calls_per_minute_max=1))
    assert isinstance(desk.admit(), HotHold)
    assert desk.admit().code == "limit_reached"
    desk.spending.apply_delta(Delta(1, [wallet(calls_per_minute_max=2)], [], [], [], {}))
    assert isinstance(desk.admit(), HotHold)
    assert desk.admit().code == "limit_reached"
    desk.spending.apply_delta(Delta(2, [wallet()], [], [], [], {}))
    assert isinstance(desk.admit(), HotHold)


def test_a_wallet_is_leased_with_the_rates_of_its_plan():
    firm = Firm()
    access = {"calls_per_minute_max": 30, "tokens_per_minute_max": 90_000}
    firm.hire("Ada")
    firm.do(
        "plan.create",
        name="fast",
        kind="stipend",
        classification="tool",
        amount_nanos=10 * CREDIT,
        terms={"access": access},
    )
    firm.do("grant.create", plan="fast", to="Ada")
    firm.connection.rollback()
    (lease,) = lease_parts(firm.connection, 0, firm.now)
    terms = next(one for one in lease.wallets if one.name == "Ada")
    assert (terms.calls_per_minute_max, terms.tokens_per_minute_max) == (30, 90_000)


# ---- in a day ----------------------------------------------------------------------------------------------------------------


def test_the_third_call_of_a_day_waits_for_midnight_in_utc(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT), calls_per_day_max=2, zone="Asia/Tokyo"))
    desk.now = NOON
    for _ in range(2):
        assert isinstance(desk.admit(), HotHold)
    answer = desk.admit()
    assert (answer.code, answer.limit, answer.next_at) == ("limit_reached", "calls-per-day", MIDNIGHT)
    assert "The limit calls-per-day (the plan of Ada) has 0 calls left in this day" in answer.sentence()
    desk.now = MIDNIGHT - 1
    assert not isinstance(desk.admit(), HotHold)
    desk.now = MIDNIGHT
    assert isinstance(desk.admit(), HotHold)


@pytest.mark.parametrize(
    ("rate", "used", "admitted"),
    [
        ("calls_per_day_max", [9, 0, 0, 0], True), ("calls_per_day_max", [10, 0, 0, 0], False),
        # the next call may take 1,016 tokens in and 100 out
        ("tokens_per_day_max", [0, 8_884, 0, 0], True), ("tokens_per_day_max", [0, 8_885, 0, 0], False),
        ("input_tokens_per_day_max", [0, 0, 8_984, 0], True), ("input_tokens_per_day_max", [0, 0, 8_985, 0], False),
        ("output_tokens_per_day_max", [0, 0, 0, 9_900], True), ("output_tokens_per_day_max", [0, 0, 0, 9_901], False),
    ],
)  # fmt: skip
def test_a_new_worker_goes_on_with_what_the_ledger_knows_of_the_day(tmp_path, rate, used, admitted):
    most = 10 if rate == "calls_per_day_max" else 10_000
    desk = Desk(tmp_path, wallet(lot(1, CREDIT), **{rate: most}, day_start_at=MIDNIGHT - DAY, day_used=used))
    desk.now = NOON
    assert isinstance(desk.admit(), HotHold) is admitted
    desk.now = MIDNIGHT
    assert isinstance(desk.admit(), HotHold)


def test_minute_and_day_count_the_same_calls_each_for_itself(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT), calls_per_minute_max=2, calls_per_day_max=3))
    desk.now = NOON
    limits = []
    for _ in range(6):
        answer = desk.admit()
        limits.append("" if isinstance(answer, HotHold) else answer.limit)
        desk.now += 20 * SECOND
    assert limits == ["", "", "calls-per-minute", "calls-per-minute", "", "calls-per-day"]


@pytest.fixture
def firm():
    """Ada under a plan with a rate of a day, at noon of 1 January 2026."""
    one = Firm(JANUARY - DAY)
    one.hire("Ada")
    one.do("key.create", member="Ada", secret_hash="ab" * 32, shown_prefix="tr-ada")
    one.do(
        "plan.create", name="slow", kind="stipend", classification="tool", amount_nanos=100 * CREDIT,
        terms={"access": {"calls_per_day_max": 50, "input_tokens_per_day_max": 90_000}},
    )  # fmt: skip
    one.do("grant.create", plan="slow", to="Ada")
    one.now = JANUARY + 12 * HOUR
    return one


def leased(firm):
    firm.connection.rollback()
    (lease,) = lease_parts(firm.connection, 0, firm.now)
    return next(one for one in lease.wallets if one.name == "Ada")


@pytest.mark.parametrize("rolled_up", [False, True])
def test_a_lease_says_what_was_used_since_midnight(firm, rolled_up):
    (lot_id,) = firm.lot_ids("Ada")
    firm.call("Ada", lot_id, CREDIT, at=JANUARY - 1)  # yesterday's, though it ended today
    firm.call("Ada", lot_id, CREDIT, at=JANUARY)
    firm.call("Ada", lot_id, CREDIT)
    firm.release(firm.hold("Ada", (lot_id, CREDIT)))
    if rolled_up:
        while firm.ledger.roll_up_usage():
            pass
    terms = leased(firm)
    assert (terms.calls_per_day_max, terms.input_tokens_per_day_max, terms.tokens_per_day_max) == (50, 90_000, 0)
    # each call read 1,000 tokens and wrote 50
    assert (terms.day_start_at, terms.day_used) == (JANUARY, [2, 2_100, 2_000, 100])
    firm.lapse(firm.hold("Ada", (lot_id, CREDIT)))  # in suspense: 400 bytes, and a cap of 100
    assert leased(firm).day_used == [3, 2_600, 2_400, 200]
    firm.now += DAY
    assert (leased(firm).day_start_at, leased(firm).day_used) == (JANUARY + DAY, [0, 0, 0, 0])


def test_a_wallet_without_such_a_rate_is_asked_nothing_about(firm):
    firm.now += HOUR
    firm.do("plan.create", name="slow", kind="stipend", classification="tool", amount_nanos=100 * CREDIT)
    assert leased(firm).day_used == []
