"""What thrift came to, told from the ledger: by plan and mechanism, with what is lost, and without what nobody can know.

gpt-5-mini costs 250 nanos a token in, 25 from the cache, 2,000 out.
"""

import pytest

from tests.firm import CREDIT, DAY, JANUARY, Firm
from tokenroll.model.usage import METERS
from tokenroll.store.attempt_record import ReleaseRecord, SettleRecord, pack_release, pack_settle
from tokenroll.store.tape import (
    HOLD_CACHE_KEYED,
    HOLD_CACHE_MARKED,
    HOLD_CACHE_WITHHELD,
    HOLD_STREAM,
    TapeRelease,
    TapeSource,
)

PLAN = {"kind": "stipend", "classification": "tool", "amount_nanos": 100 * CREDIT}


@pytest.fixture
def firm():
    one = Firm()
    one.do("ratecard.import", providers=["openai"], models=["gpt-5-mini"])
    for name, plan in (("Ada", "thrifty"), ("Bo", "plain")):
        one.do("plan.create", name=plan, **PLAN)
        one.hire(name)
        one.do("grant.create", to=name, plan=plan)
    one.now = JANUARY + DAY
    return one


def call(firm, name, flags, *, source=TapeSource.REPORTED, charge=100_000, **counts):
    """A settled call with these counts; its hold's sequence."""
    sequence = firm.hold(name, (firm.lot_ids(name)[0], CREDIT), flags=flags)
    settle = SettleRecord(
        firm.now, firm.now, charge, charge, charge, 200, source, 1, "standard", 0, 200, 1, 0,
        tuple(counts.get(meter.value) for meter in METERS),
    )  # fmt: skip
    firm._report([pack_settle(sequence, settle)])
    return sequence


def release(firm, name, reason, leader=0):
    sequence = firm.hold(name, (firm.lot_ids(name)[0], CREDIT), dispatched=False)
    firm._report([pack_release(sequence, ReleaseRecord(firm.now, reason, 0, 0, leader))])


def told(firm, *names, cycle=None):
    rows = firm.reports.thrift(cycle)["effects"]
    return [tuple(row[name] for name in ("plan", "mechanism", *names)) for row in rows]


def test_a_mark_saves_what_is_read(firm):
    # 10,000 × 225; what is lost and a net below zero: tests/judges/test_thrift.py
    call(firm, "Ada", HOLD_CACHE_MARKED | HOLD_STREAM, input=100, cache_read=10_000)
    assert told(firm, "call_count", "saved_nanos", "lost_nanos", "net_nanos", "read_tokens") == [
        ("thrifty", "cache marking", 1, 2_250_000, 0, 2_250_000, 10_000)
    ]


def test_a_call_that_was_not_marked_saves_nothing_however_much_it_reads(firm):
    call(firm, "Ada", HOLD_STREAM, input=100, cache_read=10_000)
    call(firm, "Bo", 0, input=100, cache_read=10_000)
    assert told(firm) == []


def test_of_a_call_without_a_report_nothing_is_claimed(firm):
    call(firm, "Ada", HOLD_CACHE_MARKED, source=TapeSource.ESTIMATED, input=100, cache_read=10_000)
    assert told(firm, "call_count", "unknown_count", "saved_nanos", "net_nanos") == [
        ("thrifty", "cache marking", 1, 1, None, None)
    ]


def keyed(firm, keyed_count, withheld_count):
    for _ in range(keyed_count):
        call(firm, "Ada", HOLD_CACHE_KEYED, input=400, cache_read=600)
    for _ in range(withheld_count):
        call(firm, "Ada", HOLD_CACHE_WITHHELD, input=800, cache_read=200)


def test_a_key_saves_what_calls_without_one_cost_more(firm):
    """With a key 1,000 tokens cost 400 × 250 + 600 × 25 = 115,000, without one 205,000: thirty calls saved 2,700,000."""
    keyed(firm, 30, 30)
    assert told(firm, "call_count", "withheld_count", "saved_nanos", "lost_nanos", "net_nanos") == [
        ("thrifty", "cache key", 30, 30, 2_700_000, 0, 2_700_000)
    ]


def test_a_key_that_does_harm_is_shown_so(firm):
    for _ in range(30):
        call(firm, "Ada", HOLD_CACHE_KEYED, input=1_000)
        call(firm, "Ada", HOLD_CACHE_WITHHELD, input=500, cache_read=500)
    # 1,000 tokens cost 250,000 with a key and 137,500 without
    assert told(firm, "saved_nanos", "lost_nanos", "net_nanos") == [("thrifty", "cache key", 0, 3_375_000, -3_375_000)]


def test_too_few_calls_to_compare_say_nothing(firm):
    keyed(firm, 30, 29)
    assert told(firm, "call_count", "unknown_count", "withheld_count", "net_nanos") == [
        ("thrifty", "cache key", 30, 30, 29, None)
    ]


def test_a_coalesced_call_saves_what_its_leader_was_charged_and_a_broken_loop_claims_nothing(firm):
    leader = call(firm, "Ada", 0, charge=70_000, input=100)
    for _ in range(2):
        release(firm, "Ada", TapeRelease.COALESCED, leader)
    release(firm, "Ada", TapeRelease.COALESCED, 10**6)
    for _ in range(3):
        release(firm, "Bo", TapeRelease.LOOP_BROKEN)
    release(firm, "Ada", TapeRelease.NOT_SENT)
    assert told(firm, "call_count", "unknown_count", "saved_nanos", "lost_nanos", "net_nanos") == [
        ("plain", "loops broken", 3, 3, None, None, None),
        ("thrifty", "coalescing", 3, 1, 140_000, 0, 140_000),
    ]


def test_a_call_belongs_to_the_plan_whose_terms_it_was_made_under(firm):
    call(firm, "Ada", HOLD_CACHE_MARKED, cache_read=1_000)
    firm.now += DAY
    firm.do("plan.create", name="newer", **PLAN)
    firm.do("grant.create", to="Ada", plan="newer")
    firm.now += DAY
    call(firm, "Ada", HOLD_CACHE_MARKED, cache_read=2_000)
    assert told(firm, "net_nanos") == [("newer", "cache marking", 450_000), ("thrifty", "cache marking", 225_000)]


def test_a_cycle_is_told_by_itself(firm):
    call(firm, "Ada", HOLD_CACHE_MARKED, cache_read=1_000)
    firm.now = JANUARY + 40 * DAY
    assert told(firm) == []
    assert told(firm, cycle="2026-01") == [("thrifty", "cache marking")]
    assert told(firm, cycle="2026-01-15") == [("thrifty", "cache marking")]
